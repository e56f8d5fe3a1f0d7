"""A tall graph in columns, side by side as in a newspaper, so that it can be read on a slide and on a page.

It may be cut between two rows where all that is read below comes from one box, just above: its line is drawn from the
foot of a column to the head of the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nailorch.inspection.layering import Layout

__all__ = ['Columns', 'fold']

SCREEN = 900.0  # a picture of this height is not cut
MOST = 12  # columns
WIDEST = 1600.0  # on a slide that shows more, the text cannot be read
GUTTER = 56.0  # between columns
ROOM = 34.0  # above and below them, for the lines from one to the next


@dataclass(frozen=True)
class Columns:
    """Where the rows of a layout stand.

    Attributes:
        column: of each row, from 0.
        top: of each row, where it begins.
        shift: of each row, what its column is moved to the right by.
        width, height: of all.
        left: of each column, where it begins.
    """

    column: list[int]
    top: list[float]
    shift: list[float]
    width: float
    height: float
    left: list[float]

    def gutter(self, row: int) -> float | None:
        """Return the middle of the gutter before a column, if that row is its first."""
        begins = row and self.column[row] != self.column[row - 1]
        return self.left[self.column[row]] - GUTTER / 2 if begins else None


def fold(layout: Layout, widths: Sequence[float], heights: Sequence[float], between: float) -> Columns:
    """Return the columns that show a layout largest in a frame of 4:3.

    Args:
        widths: of the boxes.
        heights: of the rows.
        between: the room from a row to the next.
    """
    blocks = uncut(layout, len(heights))
    choices = [placed(shared(blocks, heights, between, count), layout, widths, heights, between)
               for count in range(1, min(len(blocks), MOST) + 1)]
    return min(choices, key=lambda found: (found.width > WIDEST, max(found.height, 3 / 4 * found.width, SCREEN)))


def uncut(layout: Layout, rows: int) -> list[list[int]]:
    """Return the rows in blocks: all lines from one block to the next come from one box, of the last row."""
    blocks = [[0]]
    for row in range(1, rows):
        sources = {a for a, b in layout.lanes if layout.rows[a] < row <= layout.rows[b]}
        if len(sources) == 1 and layout.rows[sources.pop()] == row - 1:
            blocks.append([])
        blocks[-1].append(row)
    return blocks


def shared(blocks: list[list[int]], heights: Sequence[float], between: float, count: int) -> list[list[int]]:
    """Return the rows of each column, so many columns at most, and all about as tall."""
    limit = (sum(heights) + between * len(heights)) / count
    while len(columns := packed(blocks, heights, between, limit)) > count:
        limit *= 1.02
    return columns


def packed(blocks: list[list[int]], heights: Sequence[float], between: float, limit: float) -> list[list[int]]:
    """Return the rows of each column: blocks one after another, up to a height."""
    columns: list[list[int]] = []
    for block in blocks:
        rows = [*(columns[-1] if columns else []), *block]
        if columns and sum(heights[row] + between for row in rows) <= limit:
            columns[-1] = rows
        else:
            columns.append(list(block))
    return columns


def placed(columns: list[list[int]], layout: Layout, widths: Sequence[float], heights: Sequence[float],
           between: float) -> Columns:
    """Return where the rows of each column stand."""
    found = Columns([], [], [], 0, 0, [])
    right, tallest, room = 0.0, 0.0, ROOM if len(columns) > 1 else 0.0
    for index, rows in enumerate(columns):
        boxes = [(middle, width / 2) for middle, width, row in zip(layout.middles, widths, layout.rows, strict=True)
                 if row in rows]
        lanes = [(x, 0.0) for (a, _), lane in layout.lanes.items()
                 for row, x in enumerate(lane, layout.rows[a] + 1) if row in rows]
        left = min(x - half for x, half in boxes + lanes)
        begin = right + GUTTER if index else 0.0
        found.left.append(begin)
        top = room
        for row in rows:
            found.column.append(index)
            found.top.append(top)
            found.shift.append(begin - left)
            top += heights[row] + between
        tallest = max(tallest, top - between)
        right = begin + max(x + half for x, half in boxes + lanes) - left
    return replace(found, width=right, height=tallest + room)
