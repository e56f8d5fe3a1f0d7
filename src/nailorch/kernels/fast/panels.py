"""Weights in panels: some vectors of output channels each, so that a tile reads them from beginning to end."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nailorch.kernels.fast import threads
from nailorch.kernels.fast.emit import SIZE, peek, take
from nailorch.kernels.fast.jit import inner, opened, worker
from nailorch.kernels.fast.memory import address, from_weights
from nailorch.kernels.fast.target import LANES
from nailorch.kernels.fast.tiles import WIDE, turn
from nailorch.kernels.fast.vectors import copy_pieces


@inner
def panel_width(channels):
    """Return how many channels a panel has: WIDE vectors, or less where panels come out even, two of 3 for 6."""
    vectors = -(-channels // LANES)
    return -(-vectors // -(-vectors // WIDE)) * LANES


class Packing(NamedTuple):
    """Weights on their way into panels: addresses, and steps in bytes."""

    out: int
    cells: int  # how many, and a table of their addresses
    cell: int
    depth: int
    depth_step: int
    channels: int
    channel_step: int
    groups: int
    group_step: int
    low: int  # the address of the first cell in memory, and how many numbers the cells span
    span: int
    wide: int = 0  # channels of a panel


@inner
def pack_block(g, source, depth, numbers, to, row, plane, tables):
    """Pack LANES output channels, of which `numbers` are real: rows `row` bytes apart, cells `plane`."""
    if g.cells == 1 and g.channel_step == 4:  # channels lie side by side already
        copy_pieces(source, g.depth_step, to, row, depth, numbers)
        return
    source_rows, out_rows, out_steps = tables[0], tables[1], tables[2]
    waste = tables[3].ctypes.data
    for i in range(LANES):
        source_rows[i] = source + min(i, numbers - 1) * g.channel_step
    if g.cells == 1 and g.depth_step == 4:  # a row of depths: LANES of them are a square
        for i in range(LANES):
            out_rows[i], out_steps[i] = to + i * row, LANES * row
        whole, rest = depth // LANES, depth % LANES
        turn(source_rows.ctypes.data, SIZE, LANES, out_rows.ctypes.data, out_steps.ctypes.data, numbers, whole)
        if rest:
            for i in range(LANES):
                source_rows[i] += whole * SIZE
                out_rows[i] = to + (whole * LANES + i) * row if i < rest else waste
            turn(source_rows.ctypes.data, 0, rest, out_rows.ctypes.data, out_steps.ctypes.data, numbers, 1)
    else:  # a row of cells
        for first in range(0, g.span, LANES):
            out_rows[:], out_steps[:] = waste, 0
            for c in range(g.cells):
                i = (peek(g.cell + 8 * c) - g.low) // 4 - first
                if i >= 0 and i < LANES:
                    out_rows[i], out_steps[i] = to + c * plane, row
            turn(source_rows.ctypes.data, g.depth_step, min(LANES, g.span - first), out_rows.ctypes.data,
                 out_steps.ctypes.data, numbers, depth)
            for i in range(LANES):
                source_rows[i] += SIZE


@worker(Packing)
def pack(_, job):
    """Copy weights into panels: (groups, panels, cells * depth, channels of the panel)."""
    g = opened(job)
    wide, tables = g.wide, np.empty((4, LANES), np.int64)
    blocks, padded = -(-g.channels // LANES), -(-g.channels // LANES) * LANES
    while True:
        work = take(g.counter)
        if work >= g.groups * blocks:
            return
        group, first = work // blocks, work % blocks * LANES
        panel, numbers = first // wide * wide, min(LANES, g.channels - first)
        row = 4 * min(wide, padded - panel)
        to = g.out + 4 * g.cells * g.depth * (group * padded + panel) + 4 * (first - panel)
        at = group * g.group_step + first * g.channel_step
        pack_block(g, g.low + at, g.depth, numbers, to, row, g.depth * row, tables)


def panels_size(cells, depth, channels, groups):
    """Return how many numbers the panels of so many cells have."""
    return groups * cells * depth * -(-channels // LANES) * LANES


def fill_panels(packed, cell, depth, depth_step, channels, channel_step, groups, group_step):
    """Write weights in panels: `cell` holds the address of each cell of the kernel, steps are in bytes."""
    if channels % LANES:
        from_weights(lambda: packed.fill(0))
    low, high = int(cell.min()), int(cell.max())
    threads.run(pack, Packing(address(packed), len(cell), address(cell), depth, depth_step, channels, channel_step,
                              groups, group_step, low, (high - low) // 4 + 1, panel_width(channels)),
                packed.size // threads.TINY)
