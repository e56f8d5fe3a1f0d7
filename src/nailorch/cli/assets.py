"""`nailorch assets`: the files that nailorch can fetch, and where they lie."""

from __future__ import annotations

import argparse
import sys

from nailorch.cli.output import show_json, show_table
from nailorch.cli.parser import UsageError
from nailorch.cli.texts import text
from nailorch.formats.assets import Asset, asset, find, list_assets, lookup, places

__all__ = ['add_arguments', 'run']


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('action', metavar='ACTION', nargs='?', choices=('list', 'fetch', 'path'), default='list',
                        help=text('assets.action'))
    parser.add_argument('names', metavar='NAME', nargs='*', help=text('assets.names'))


def run(options: argparse.Namespace) -> int:
    """Do it for every name; a line on standard error, and the code 1, for those where it fails."""
    if options.action == 'list':
        show([lookup(name) for name in options.names] or list_assets(), options)
        return 0
    if not options.names:
        raise UsageError(text('assets.which', action=options.action))
    for name in options.names:
        lookup(name)  # a misspelt name is said before a long download, not after
    told, failed = [], 0
    for name in options.names:
        try:
            path = str(asset(name) if options.action == 'fetch' else present(name))
        except OSError as error:
            failed += 1
            told.append({'name': name, 'path': None, 'error': str(error)})
            print(f'nailorch: {" ".join(str(error).split())}', file=sys.stderr)
            continue
        told.append({'name': name, 'path': path})
        if not options.json:
            print(path)
    if options.json:
        show_json(told)
    return 1 if failed else 0


def present(name: str) -> str:
    """Return the path of an asset that is here; else say where it would be looked for."""
    if path := find(name):
        return str(path)
    raise FileNotFoundError(text('assets.absent', name=name, path=places(name)[0]))


def show(chosen: list[Asset], options: argparse.Namespace) -> None:
    """List assets: what they are called, whether they are here, their size, and under which licence they come."""
    if options.json:
        show_json([{'name': each.name, 'path': str(path) if (path := find(each.name)) else None, 'bytes': each.bytes,
                    'exact': each.exact, 'sha256': each.sha256, 'licence': each.licence,
                    'sources': [str(source) for source in each.sources]} for each in chosen])
        return
    rows = [(each.name, text('assets.here') if find(each.name) else '', each.size, each.licence) for each in chosen]
    if options.quiet:
        print(*(name for name, *_ in rows), sep='\n')
        return
    show_table([text(f'assets.{column}') for column in ('name', 'present', 'size', 'licence')], rows, right=(2,))
