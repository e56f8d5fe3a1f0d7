"""`nailorch figures`: the textbook chapter's figures as SVG, PNG and GIF, in one language or both."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from nailorch.cli.output import as_argument, say, show_json, show_table
from nailorch.cli.parser import LANGUAGES, UsageError, did_you_mean
from nailorch.cli.texts import text
from nailorch.explaining.model import in_words
from nailorch.figures import FIGURES, FORMATS, write
from nailorch.messages import language

__all__ = ['add_arguments', 'run']


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('names', metavar='NAME', nargs='*', help=text('figures.name'))
    parser.add_argument('--out', metavar='DIR', default='figures', help=text('figures.out'))
    parser.add_argument('--format', metavar='svg,png,gif', default=','.join(FORMATS), help=text('figures.format'))
    parser.add_argument('--list', action='store_true', help=text('figures.list'))


def run(options: argparse.Namespace) -> int:
    for name in options.names:
        if name not in FIGURES:
            raise UsageError(text('figures.unknown', name=name, remedy=did_you_mean(name, FIGURES)))
    names = list(dict.fromkeys(options.names)) or list(FIGURES)
    if options.list:
        return show_list(names, options)
    formats = options.format.split(',')
    if not set(formats) <= set(FORMATS):
        raise UsageError(text('figures.formats', value=options.format))
    return make(names, formats, options)


def show_list(names: list[str], options: argparse.Namespace) -> int:
    """Say which figures there are, and what they show."""
    figures = [FIGURES[name] for name in names]
    if options.json:
        show_json([{'name': figure.name, 'title': in_words(figure.title), 'caption': in_words(figure.caption),
                    'steps': figure.steps, 'needs': figure.needs} for figure in figures])
    elif options.quiet:
        print('\n'.join(names))
    else:
        rows = [(figure.name, str(figure.steps), in_words(figure.title)) for figure in figures]
        show_table(text('figures.heads').split(', '), rows, right={1})
    return 0


def make(names: list[str], formats: list[str], options: argparse.Namespace) -> int:
    """Write the figures; one whose photograph cannot be had is left out, and fails the command if it was asked for."""
    asked = getattr(options, 'lang', None)
    folder = Path(options.out)
    folders = {lang: folder / lang for lang in LANGUAGES} if asked == 'all' else {language(): folder}
    told: list[dict[str, Any]] = []
    missing = []
    for name in names:
        try:
            for lang, place in folders.items():
                scenes, paths = write(name, place, lang, formats)
                told.append({'name': name, 'lang': lang, 'title': scenes[0].title,
                             'files': [str(path) for path in paths],
                             'descriptions': [scene.description for scene in scenes]})
                say(options, f'{name:<{max(map(len, names))}}  {scenes[0].title}')
        except FileNotFoundError as error:
            photo = FIGURES[name].needs
            if photo is None or error.filename is not None:  # the folder, not the photograph
                raise
            missing.append(name)
            print(f'nailorch: {text("figures.missing", name=name, photo=photo)}', file=sys.stderr)
    if options.json:
        show_json({'figures': told, 'missing': missing})
        return int(bool(missing and options.names))
    files = [path for figure in told for path in figure['files']]
    still = list(dict.fromkeys(figure['name'] for figure in told if not figure['files']))
    if still and options.names:
        say(options, text('figures.still', names=', '.join(still)))
    if options.quiet:
        print('\n'.join(files))
    else:
        drawn = {figure['name'] for figure in told if figure['files']}
        print(text('figures.done', figures=len(drawn), files=len(files), folder=as_argument(folder)))
    return int(bool(missing and options.names))
