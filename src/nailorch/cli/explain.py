"""`nailorch explain`: how an operator computes every number, cell by cell, in the terminal."""

from __future__ import annotations

import argparse
import errno
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

from nailorch.cli.output import show_json
from nailorch.cli.parser import UsageError, did_you_mean
from nailorch.cli.texts import text
from nailorch.explaining import EXPLAINED, Explanation, explain
from nailorch.explaining.asking import ALIASES
from nailorch.formats.files import replace_file

__all__ = ['EXAMPLES', 'add_arguments', 'run']

IMAGE, KERNEL = '1 2 3; 4 5 6; 7 8 9', '0 1; 2 3'
TABLE = '1 2 3 4; 5 6 7 8; 9 1 2 3; 4 5 6 7'

# What is explained where nothing is given: the textbook's own numbers.
EXAMPLES: dict[str, dict[str, Any]] = {
    'conv2d': {'x': IMAGE, 'W': KERNEL},
    'deconv2d': {'x': '25 31; 43 49', 'W': KERNEL},
    'pooling': {'x': TABLE, 'kernel_size': 2, 'stride': 2},
    'average_pooling': {'x': '1 5; 3 4', 'kernel_size': 2},
    'im2col': {'x': IMAGE, 'kernel_size': 2},
    'col2im': {'x': '1 1 1 1; 1 1 1 1; 1 1 1 1; 1 1 1 1', 'kernel_size': 2, 'input_shape': (3, 3)},
    'linear': {'x': '1 2 3', 'W': '1 0; 0 1; 2 2', 'b': '1 −1'},
    'softmax': {'x': '1 2 3'},
    'batch_norm': {'x': '1 2; 3 4; 5 9'},
}

# The flag of each argument, and which operators take it.
FLAGS = {'W': '--kernel', 'b': '--bias', 'kernel_size': '--size', 'stride': '--stride', 'pad': '--pad',
         'dilation': '--dilation', 'groups': '--groups', 'input_shape': '--shape', 'gy': '--gy', 'of': '--of'}
WINDOWED = {'stride', 'pad', 'dilation'}
TAKES = {
    'conv2d': {'W', 'b', 'groups', 'of', 'gy', *WINDOWED}, 'deconv2d': {'W', 'b', 'groups', *WINDOWED},
    'pooling': {'kernel_size', 'of', 'gy', *WINDOWED}, 'average_pooling': {'kernel_size', 'stride', 'pad', 'of', 'gy'},
    'im2col': {'kernel_size', *WINDOWED}, 'col2im': {'kernel_size', 'input_shape', *WINDOWED},
    'linear': {'W', 'b', 'of', 'gy'}, 'softmax': {'of', 'gy'}, 'batch_norm': {'of', 'gy'},
}
ARRAYS = {'x', 'W', 'b', 'gy'}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('op', metavar='OP', help=text('explain.op', names=', '.join(EXPLAINED)))
    parser.add_argument('which', metavar='conv', nargs='?', help=text('explain.which'))
    parser.add_argument('--x', metavar='"1 2; 3 4"', help=text('explain.x'))
    for name, flag in FLAGS.items():
        metavar = {'of': 'x|W|b', 'input_shape': 'H,W'}.get(name, '"0 1; 2 3"' if name in ARRAYS else 'N')
        parser.add_argument(flag, dest=name, metavar=metavar, help=text(f'explain.{name}'))
    parser.add_argument('--cell', metavar='ROW,COLUMN', help=text('explain.cell'))
    parser.add_argument('--html', metavar='FILE', help=text('explain.html'))
    parser.add_argument('--all', action='store_true', help=text('explain.all'))


def run(options: argparse.Namespace) -> int:
    if options.op == 'ladder':
        return ladder(options)
    name = ALIASES.get(options.op, options.op)
    if name not in EXPLAINED:
        remedy = did_you_mean(options.op, [*EXPLAINED, 'ladder'])
        raise UsageError(text('explain.unknown', word=options.op, remedy=remedy))
    if options.which:
        raise UsageError(text('usage.many', word=options.which, command='explain'))
    told = asked(name, options)
    if options.html is not None:
        path = write_page(told, options)
        if options.json:
            show_json({'path': str(path)})
        else:
            print(path)
    elif options.json:
        show_json(told.to_dict() if options.cell is None else
                  {'cell': place(told, options), 'value': told.cell(place(told, options)).value,
                   'formula': told.cell(place(told, options)).formula})
    else:
        show(told, options)
    return 0


def show(told: Explanation, options: argparse.Namespace) -> None:
    """Step through the cells where somebody sits at the terminal, else write them down."""
    from rich.console import Console

    from nailorch.explaining.terminal import screen, step

    console = Console(highlight=False)
    if options.quiet:
        for cell in told if options.cell is None else [told.cell(place(told, options))]:
            print(cell)
    elif options.cell is not None and not console.is_terminal:
        console.print(screen(told, told.cell(place(told, options))))
    elif not options.all and console.is_terminal and sys.stdin.isatty():
        step(told, console, None if options.cell is None else place(told, options))
    else:
        console.print(screen(told, told.cell((0,) * told.output.ndim)))
        for cell in list(told)[1:]:
            print(f'{told.of}[{", ".join(map(str, cell.index))}]', *cell.formula.split('\n'), sep='\n  ')


def write_page(told: Explanation, options: argparse.Namespace) -> Path:
    """Write the explanation as one HTML file, the cell of --cell first."""
    path = Path(options.html)
    page = told.to_html(at=None if options.cell is None else place(told, options))
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))
    replace_file(path, [page.encode()])
    return path


def asked(name: str, options: argparse.Namespace) -> Explanation:
    """Return the explanation of what the options say; where they give no x, of the textbook's example."""
    given = {key: getattr(options, key) for key in FLAGS if getattr(options, key) is not None}
    for key in given:
        if key not in TAKES[name]:
            raise UsageError(text('explain.no', op=name, flag=FLAGS[key],
                                  flags=', '.join(FLAGS[key] for key in FLAGS if key in TAKES[name])))
    example = EXAMPLES[name]
    values = {'x': options.x, **given} if options.x is not None else {**example, **given}
    for key in {'W', 'kernel_size', 'input_shape'} & TAKES[name] & example.keys():
        values.setdefault(key, example[key])
    read = {key: value if not isinstance(value, str) or key == 'of' else
            matrix(f'--{key}' if key == 'x' else FLAGS[key], value) if key in ARRAYS else
            sizes(FLAGS[key], value) for key, value in values.items()}
    if name in ('linear', 'softmax') and read['x'].shape[0] == 1:
        read['x'] = read['x'][0]
    if 'b' in read:
        read['b'] = read['b'].ravel()
    return explain(name, read.pop('x'), **read)


def matrix(flag: str, written: str) -> np.ndarray:
    """Read rows parted by ';' as a matrix, and matrices parted by '|' as channels.

    Example:
        >>> matrix('--x', '1 2; 3 4 | 5 6; 7 8').shape
        (2, 2, 2)
    """
    planes = [[numbers_of(flag, row) for row in plane.strip(' ;').split(';')] for plane in written.split('|')]
    if len({(len(plane), *map(len, plane)) for plane in planes}) > 1 or len(set(map(len, planes[0]))) > 1:
        raise UsageError(text('explain.ragged', flag=flag, value=written))
    table = np.array(planes, np.float64)
    return table[0] if len(planes) == 1 else table


def numbers_of(flag: str, written: str) -> list[float]:
    """Read numbers parted by spaces or commas."""
    words = re.split(r'[\s,]+', written.strip().replace('−', '-'))
    try:
        return [float(word) for word in words]
    except ValueError:
        raise UsageError(text('explain.number', flag=flag, value=written)) from None


def whole_numbers(flag: str, written: str) -> tuple[int, ...]:
    """Read whole numbers, of sizes and places."""
    numbers = numbers_of(flag, written)
    if not all(number.is_integer() for number in numbers):  # nan and inf are none either
        raise UsageError(text('explain.number', flag=flag, value=written))
    return tuple(int(number) for number in numbers)


def sizes(flag: str, written: str) -> Any:
    """Read 'same', '2', '2,1' or '1,0;2,1' as a stride, a pad, a shape."""
    if written in ('same', 'valid'):
        return written
    whole = [whole_numbers(flag, row) for row in written.split(';')]
    if len(whole) > 1:
        return tuple(whole)
    return whole[0][0] if len(whole[0]) == 1 else whole[0]


def place(told: Explanation, options: argparse.Namespace) -> tuple[int, ...]:
    """Return the place that --cell names."""
    return whole_numbers('--cell', options.cell)


def ladder(options: argparse.Namespace) -> int:
    """Climb the ladder that `nailorch bench ladder` times, and show every rung's source."""
    if options.which not in (None, 'conv', 'conv2d'):
        raise UsageError(text('explain.ladder', word=options.which))
    for name, flag in {'x': '--x', **FLAGS, 'cell': '--cell', 'html': '--html', 'all': '--all'}.items():
        if getattr(options, name):
            raise UsageError(text('explain.ladder_alone', flag=flag))
    from nailorch.bench import campaign
    from nailorch.bench.machine import cores
    from nailorch.cli import bench_tables

    threads = cores()
    progress = bench_tables.Progress(options)
    found = campaign.climb_ladder(threads, 3, progress.rung)
    progress.say('')
    if options.json:
        show_json(found)
    else:
        bench_tables.show_ladder(found, threads)
        if not options.quiet:
            bench_tables.show_sources(found)
    return 0
