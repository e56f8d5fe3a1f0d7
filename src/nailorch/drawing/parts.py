"""What the figures of convolution are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nailorch.drawing.fonts import HEIGHT, measure
from nailorch.drawing.scene import Align, Box, Drawing, Item, Line, Polygon, Rect, Text, above, blank

__all__ = ['arrow', 'captioned', 'cell_box', 'cells', 'label', 'outlined', 'paragraph', 'shown', 'stack', 'symbol',
           'volume', 'wrapped']

CELL = 44.0  # a cell's side


def label(text: str, size: float = 16, fill: str = 'ink', align: Align = 'middle', leading: float = 1.45) -> Drawing:
    """Return a text; '\\n' begins a new line."""
    lines = text.split('\n')
    width = max(measure(line, size) for line in lines)
    height = size * (HEIGHT + leading * (len(lines) - 1))
    x = {'start': 0.0, 'middle': width / 2, 'end': width}[align]
    items = (Text(x, size * (HEIGHT / 2 + leading * place), line, size, fill, align)
             for place, line in enumerate(lines) if line)
    return Drawing(width, height, tuple(items))


def wrapped(text: str, width: float, size: float) -> str:
    """Return the text with line breaks, so that no line is wider; Chinese breaks anywhere, English between words."""
    lines = ['']
    for piece in pieces(text):
        if lines[-1] and measure(lines[-1] + piece.rstrip(), size) > width:
            lines.append('')
        lines[-1] += piece if lines[-1] else piece.lstrip()
    return '\n'.join(line.rstrip() for line in lines)


def pieces(text: str) -> list[str]:
    """Cut a text where a line may break: after each space and each Chinese character that no mark follows."""
    found = ['']
    for place, character in enumerate(text):
        found[-1] += character
        following = text[place + 1:place + 2]
        if character == ' ' or (character > '\u2e80' and following not in '，。、；：！？）》”'):
            found.append('')
    return [piece for piece in found if piece]


def paragraph(text: str, width: float, size: float = 14, fill: str = 'muted', align: Align = 'start') -> Drawing:
    """Return a text that is broken into lines no wider than `width`."""
    return label(wrapped(text, width, size), size, fill, align)


def captioned(drawing: Drawing, text: str, size: float = 14, fill: str = 'muted', gap: float = 8) -> Drawing:
    """Put a line of text under a drawing."""
    return above(drawing, label(text, size, fill), gap=gap)


def shown(value: Any) -> str:
    """Write a number as a cell shows it: whole where it is whole, else with three digits that count.

    Example:
        >>> [shown(value) for value in (25.0, 3.25, -1 / 3, -0.0, float('nan'), 123456.7)]
        ['25', '3.25', '−0.333', '0', 'nan', '1.23e+05']
    """
    value = float(value)
    whole = np.isfinite(value) and abs(value) < 1e6 and value == round(value)
    text = f'{abs(value):.0f}' if whole else f'{abs(value):.3g}'
    return f'−{text}' if value < 0 else text


def cell_box(row: int, column: int, side: float = CELL) -> Box:
    """Return where a grid's cell lies."""
    return Box(column * side, row * side, side, side)


def cells(values: npt.ArrayLike, side: float = CELL, fill: str | Callable[[int, int], str | None] | None = 'paper',
          ink: str | Callable[[int, int], str] = 'ink', stroke: str = 'muted',
          show: Callable[[Any], str] = shown, line: float = 1) -> Drawing:
    """Draw a matrix as a grid of cells, each with its number.

    Args:
        values: (rows, columns); a cell of None or an empty string stays empty.
        side: of a cell; numbers that would be too wide are written smaller.
        fill, ink: the cells' and the numbers' colours, or functions of (row, column) that give them.
        show: how a number is written.
    """
    table: Any = np.asarray(values, dtype=object)
    items: list[Item] = []
    texts: list[Item] = []
    for row, column in np.ndindex(*table.shape):
        box = cell_box(row, column, side)
        items.append(Rect(box, fill(row, column) if callable(fill) else fill, stroke, line))
        value = table[row, column]
        text = value if isinstance(value, str) else '' if value is None else show(value)
        if text:
            size = min(0.42 * side, 0.42 * side * (side - 10) / max(measure(text, 0.42 * side), 1))
            texts.append(Text(*box.middle, text, size, ink(row, column) if callable(ink) else ink))
    return Drawing(table.shape[1] * side, table.shape[0] * side, (*items, *texts))


def outlined(grid: Drawing, row: int, column: int, rows: int, columns: int, colour: str = 'orange',
             side: float = CELL, line: float = 4, dash: bool = False) -> Drawing:
    """Draw a frame round a block of a grid's cells."""
    box = Box(column * side, row * side, columns * side, rows * side)
    return grid.plus(Rect(box, None, colour, line, dash=dash))


def stack(drawings: Sequence[Drawing], dx: float = 18, dy: float = 18) -> Drawing:
    """Lay drawings over each other like channels: the first in front, each other one further up and to the right."""
    depth = len(drawings) - 1
    width, height = drawings[0].width + dx * depth, drawings[0].height + dy * depth
    result = blank(width, height)
    for place in range(depth, -1, -1):
        result = result.at(dx * place, dy * (depth - place), drawings[place])
    return result


def arrow(length: float = 56, text: str = '', size: float = 14, colour: str = 'muted', down: bool = False) -> Drawing:
    """Draw an arrow to the right, or down, with a text at its side."""
    if down:
        line = Drawing(12, length, (Line(((6, 0), (6, length)), colour, 2, arrow=True),))
        if not text:
            return line
        words = label(text, size, 'muted', align='start')
        # As much room before the arrow as the words take behind it: in a column the arrow stands in the middle.
        room = blank(2 * (words.width + 8) + 12, max(length, words.height))
        return room.at((room.width - 12) / 2, (room.height - length) / 2, line).at(
            room.width / 2 + 14, (room.height - words.height) / 2, words)
    words = label(text, size, 'muted') if text else blank()
    length = max(length, words.width + 12)
    line = Drawing(length, 12, (Line(((0, 6), (length, 6)), colour, 2, arrow=True),))
    # As much room below as the words take above: in a row the arrow stands in the middle.
    return above(words, line, blank(0, words.height), gap=4) if text else line


def symbol(text: str, size: float = 28, fill: str = 'ink') -> Drawing:
    """Draw a sign between two drawings: ∗, =, +."""
    return label(text, size, fill)


def volume(width: float, height: float, depth: float, fill: str = 'pale blue', stroke: str = 'blue') -> Drawing:
    """Draw a block of channels in perspective: width and height face the reader, depth goes back."""
    dx, dy = 0.6 * depth, 0.45 * depth
    front = Polygon(((0, dy), (width, dy), (width, dy + height), (0, dy + height)), fill, stroke)
    top = Polygon(((0, dy), (dx, 0), (width + dx, 0), (width, dy)), fill, stroke)
    side = Polygon(((width, dy), (width + dx, 0), (width + dx, height), (width, dy + height)), fill, stroke)
    return Drawing(width + dx, height + dy, (top, side, front))
