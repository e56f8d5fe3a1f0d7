"""`nailorch graph`: what a model computes, as a picture."""

from __future__ import annotations

import argparse
from pathlib import Path

from nailorch.cli.output import as_argument, show_json
from nailorch.cli.parser import UsageError, count
from nailorch.cli.summary import add_subject, subject
from nailorch.cli.texts import text
from nailorch.drawing import to_png, to_svg
from nailorch.formats.files import replace_file
from nailorch.inspection import draw_graph

__all__ = ['add_arguments', 'run']


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_subject(parser)
    parser.add_argument('--out', metavar='FILE', type=Path, help=text('graph.out'))
    parser.add_argument('--depth', metavar='N', type=count, default=2, help=text('graph.depth'))


def run(options: argparse.Namespace) -> int:
    path = options.out or Path(f'{Path(options.what).stem}.svg')
    if path.suffix.lower() not in ('.svg', '.png'):
        raise UsageError(text('graph.suffix', path=path))
    scene = draw_graph(*subject(options), options.depth)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, [to_svg(scene).encode() if path.suffix.lower() == '.svg' else to_png(scene)])
    if options.json:
        show_json({'file': str(path), **scene.facts, 'description': scene.description})
    else:
        print(path if options.quiet else text('graph.done', path=as_argument(path), **scene.facts))
    return 0
