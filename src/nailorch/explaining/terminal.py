"""An explanation in the terminal: the arrays with what one cell reads in brackets, and the cell's formula below."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from nailorch.drawing.parts import shown
from nailorch.explaining.model import LETTERS, Cell, Explanation, Index, in_words
from nailorch.shapes import Array

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.text import Text

__all__ = ['screen', 'step']

MOST_ROWS, MOST_COLUMNS, MOST_PLANES = 12, 12, 4  # of an array that is larger, the part around what is read
COLOURS = {'x': 'bold blue', 'W': 'bold dark_orange3', 'gy': 'bold magenta'}
HELP = ('← → ↑ ↓ move · Home End first and last · q quits', '← → ↑ ↓ 移动 · Home End 首尾 · q 退出')


def screen(told: Explanation, cell: Cell, keys: bool = False) -> Group:
    """Return one cell's picture: title, rules, arrays side by side, stages."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    row = Table.grid(padding=(0, 3))
    pictures = [column(name, array, marked(cell, name), told.padding if name == 'x' else None,
                       COLOURS.get(name, 'bold cyan'), {read.index[:-2] for read in cell.reads if read.array == name})
                for name, array in told.arrays.items()]
    pictures.append(column(told.of, told.output, {cell.index}, None, 'bold green', {cell.index[:-2]}))
    row.add_row(*pictures)
    rules = [Text(in_words(rule), 'dim') for rule in told.rules]
    if told.has_sizes:
        rules.append(Text(in_words(LETTERS), 'dim'))
    lines: list[Any] = [Text(told.title, 'bold'), *rules, Text(), row, Text(),
                        Text(f'{told.of}[{", ".join(map(str, cell.index))}]', 'bold green')]
    alone = len(cell.stages) == 1 and told.op not in ('im2col',)
    for stage in cell.stages:
        lines.append(Text('  ' + (str(stage) if alone else f'{in_words(stage.title)}:  {stage.formula}')))
    if keys:
        lines += [Text(), Text(in_words(HELP), 'dim')]
    return Group(*lines)


def marked(cell: Cell, name: str) -> set[Index]:
    """Return the places of an array that a cell reads; of a maximum, they include those that lose."""
    return {read.index for read in cell.reads if read.array == name}


def column(name: str, array: Array, marks: set[Index], padding: Any, colour: str, leads: set[Index]) -> Text:
    """Draw an array's planes under each other: those that are read."""
    from rich.text import Text

    if array.ndim < 2:
        array, marks, leads = array.reshape(1, -1), {(0, *index) for index in marks}, {()}
    every = list(np.ndindex(*array.shape[:-2]))
    chosen = [lead for lead in every if lead in leads] or every
    result = Text()
    for lead in chosen[:MOST_PLANES]:
        title = f'{name}[{", ".join(map(str, lead))}]' if lead else f'{name} {"×".join(map(str, array.shape))}'
        result.append(title + '\n', colour)
        plane({index[-2:] for index in marks if index[:-2] == lead}, array[lead], padding, colour, result)
    if len(chosen) > MOST_PLANES:
        result.append(f'… +{len(chosen) - MOST_PLANES}\n', 'dim')
    return result


def plane(marks: set[Index], values: Array, padding: Any, colour: str, result: Text) -> None:
    """Write a matrix; marked places stand in brackets, padding shows as points."""
    (top, bottom), (left, right) = padding or ((0, 0), (0, 0))
    rows = part(range(-top, values.shape[0] + bottom), [row for row, _ in marks], MOST_ROWS)
    columns = part(range(-left, values.shape[1] + right), [column for _, column in marks], MOST_COLUMNS)

    def text(row: int, column: int) -> str:
        inside = 0 <= row < values.shape[0] and 0 <= column < values.shape[1]
        return shown(values[row, column]) if inside else '·'

    width = max(len(text(row, column)) for row in rows for column in columns)
    for row in rows:
        for column in columns:
            mark = (row, column) in marks
            result.append(f'[{text(row, column):>{width}}]' if mark else f' {text(row, column):>{width}} ',
                          colour if mark else 'dim' if text(row, column) == '·' else '')
        result.append('\n')
    hidden = values.shape[0] + top + bottom - len(rows), values.shape[1] + left + right - len(columns)
    if any(hidden):
        result.append(f'… +{hidden[0]}, +{hidden[1]}\n', 'dim')


def part(places: range, wanted: list[int], most: int) -> range:
    """Return at most `most` places, those that are wanted in their middle."""
    if len(places) <= most:
        return places
    middle = (min(wanted) + max(wanted)) // 2 if wanted else places.start
    start = min(max(middle - most // 2, places.start), places.stop - most)
    return range(start, start + most)


def step(told: Explanation, console: Console, index: Index | None = None) -> None:
    """Show one cell after another, as the arrow keys say, until q."""
    from rich.live import Live

    shape = told.output.shape
    place = index or (0,) * len(shape)
    # The keyboard first: what is pressed while the first screen is drawn is read, not lost.
    with keyboard() as read, Live(console=console, auto_refresh=False, screen=True) as live:
        live.update(screen(told, told.cell(place), keys=True), refresh=True)
        while (key := read()) not in ENDING:
            place = moved(place, key, shape)
            live.update(screen(told, told.cell(place), keys=True), refresh=True)
    console.print(screen(told, told.cell(place)))


def moved(place: Index, key: str, shape: tuple[int, ...]) -> Index:
    """Return where a key leads: left and right in reading order, up and down by a row."""
    flat, last = int(np.ravel_multi_index(place, shape)), int(np.prod(shape)) - 1
    by = {'left': -1, 'right': 1, 'up': -shape[-1], 'down': shape[-1], 'home': -flat, 'end': last - flat}.get(key, 0)
    target = flat + by if 0 <= flat + by <= last else flat
    return tuple(int(i) for i in np.unravel_index(target, shape))


KEYS = {'\x1b[D': 'left', '\x1b[C': 'right', '\x1b[A': 'up', '\x1b[B': 'down', '\x1b[H': 'home', '\x1b[F': 'end',
        '\x1b[1~': 'home', '\x1b[4~': 'end', '\x1bOD': 'left', '\x1bOC': 'right', '\x1bOA': 'up', '\x1bOB': 'down',
        '\x1bOH': 'home', '\x1bOF': 'end', ' ': 'right', '\r': 'right', '\n': 'right', 'h': 'left', 'l': 'right',
        'k': 'up', 'j': 'down'}
SCANNED = {'K': 'left', 'M': 'right', 'H': 'up', 'P': 'down', 'G': 'home', 'O': 'end'}  # after \xe0, on Windows
ENDING = ('q', '\x1b', '')  # the last: nobody is left who could press a key


@contextlib.contextmanager
def keyboard() -> Iterator[Callable[[], str]]:
    """Give what reads a key, by its name, without Enter; the terminal is left as it was."""
    if os.name == 'nt':
        yield windows_key
        return
    import select
    import termios
    import tty

    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    tty.setcbreak(terminal)

    def read() -> str:
        given = os.read(terminal, 1)
        while given[:1] == b'\x1b' and select.select([terminal], [], [], 0.05)[0]:  # an arrow is several bytes
            given += os.read(terminal, 1)
            if given.decode('latin-1') in KEYS:
                break
        text = given.decode('latin-1')
        return KEYS.get(text, text if len(text) <= 1 else 'unknown')

    try:
        yield read
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def windows_key() -> str:
    import msvcrt

    console: Any = msvcrt
    key: str = console.getwch()
    return SCANNED.get(console.getwch(), 'unknown') if key in '\x00\xe0' else KEYS.get(key, key)
