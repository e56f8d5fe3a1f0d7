"""Where the boxes of a graph stand, and how the lines between them run: a layered layout.

Four steps, after Sugiyama, Tagawa & Toda 1981. Every box stands one row below the lowest box that it reads. A line over
several rows gets a narrow place in each row between, so that it passes beside the boxes there. Each row is ordered by
the mean place of what its members are joined to above and below, again and again. At last each member moves as near to
what it is joined to as its neighbours let it, and chains become straight. The same graph always gives the same picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ['Layout', 'layered']

SWEEPS = 8
LANE = 26.0  # a line's place between boxes

Edge = tuple[int, int]


@dataclass(frozen=True)
class Layout:
    """A graph's boxes in rows.

    Attributes:
        rows: of each box, the row, from 0.
        middles: of each box, where its middle lies, from 0 on.
        lanes: of each edge, the x at which it passes each row between its ends.
        width: of all.
    """

    rows: list[int]
    middles: list[float]
    lanes: dict[Edge, list[float]]
    width: float


def layered(widths: Sequence[float], edges: Sequence[Edge], gap: float = 24) -> Layout:
    """Lay out boxes of these widths; an edge (a, b) leads from a box to one with a larger number."""
    count = len(widths)
    rows = [0] * count
    for a, b in sorted(edges, key=lambda edge: edge[1]):
        assert a < b, 'boxes are numbered in the order in which they compute'
        rows[b] = max(rows[b], rows[a] + 1)
    extents, row_of, links = list(widths), list(rows), []
    lanes: dict[Edge, list[int]] = {}
    for a, b in edges:
        chain = [a]
        for row in range(rows[a] + 1, rows[b]):
            chain.append(len(extents))
            extents.append(LANE)
            row_of.append(row)
        chain.append(b)
        links += list(pairwise(chain))
        lanes[a, b] = chain[1:-1]
    above: list[list[int]] = [[] for _ in extents]
    below: list[list[int]] = [[] for _ in extents]
    for a, b in links:
        above[b].append(a)
        below[a].append(b)
    table: list[list[int]] = [[] for _ in range(max(row_of, default=0) + 1)]
    for member, row in enumerate(row_of):
        table[row].append(member)
    order(table, above, below)
    middles = [0.0] * len(extents)
    for row_members in table:
        spread(row_members, [0.0] * len(row_members), extents, middles, gap)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for row_members in table if down else table[::-1]:
            joined = above if down else below
            wanted = [mean([middles[other] for other in joined[member]], middles[member]) for member in row_members]
            spread(row_members, wanted, extents, middles, gap)
    for row_members in table:  # what is a mere chain becomes straight
        spread(row_members, [middles[above[member][0]] if len(above[member]) == 1 == len(below[above[member][0]])
                             else middles[member] for member in row_members], extents, middles, gap)
    left = min((middle - extent / 2 for middle, extent in zip(middles, extents, strict=True)), default=0)
    right = max((middle + extent / 2 for middle, extent in zip(middles, extents, strict=True)), default=0)
    return Layout(rows, [middle - left for middle in middles[:count]],
                  {edge: [middles[member] - left for member in chain] for edge, chain in lanes.items()}, right - left)


def order(table: list[list[int]], above: Sequence[Sequence[int]], below: Sequence[Sequence[int]]) -> None:
    """Order each row by the mean place of its members' neighbours, first downwards, then upwards, several times."""
    place = {member: float(index) for row in table for index, member in enumerate(row)}
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for row in table if down else table[::-1]:
            joined = above if down else below
            row.sort(key=lambda member: mean([place[other] for other in joined[member]], place[member]))
            place |= {member: float(index) for index, member in enumerate(row)}


def spread(members: Sequence[int], wanted: Sequence[float], extents: Sequence[float], middles: list[float],
           gap: float) -> None:
    """Set the members' middles as near to what they want as their widths allow, in this order.

    Those that would overlap stand side by side as one block, in the middle of what its members want.
    """
    blocks: list[tuple[list[int], list[float]]] = []  # members, and where each wants the block's first member

    for member, want in zip(members, wanted, strict=True):
        blocks.append(([member], [want]))
        while len(blocks) > 1 and end(blocks[-2], extents, gap) + gap > start(blocks[-1], extents):
            (first, wants), (second, others) = blocks[-2], blocks[-1]
            shift = offset([*first, second[0]], extents, gap)
            blocks[-2:] = [([*first, *second], [*wants, *(other - shift for other in others)])]
    for inside, wants in blocks:
        for index, member in enumerate(inside):
            middles[member] = mean(wants, 0.0) + offset(inside[:index + 1], extents, gap)


def offset(members: Sequence[int], extents: Sequence[float], gap: float) -> float:
    """Return how far the last one's middle lies to the right of the first one's, side by side."""
    return sum((extents[a] + extents[b]) / 2 + gap for a, b in pairwise(members))


def start(block: tuple[list[int], list[float]], extents: Sequence[float]) -> float:
    return mean(block[1], 0.0) - extents[block[0][0]] / 2


def end(block: tuple[list[int], list[float]], extents: Sequence[float], gap: float) -> float:
    return mean(block[1], 0.0) + offset(block[0], extents, gap) + extents[block[0][-1]] / 2


def mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
