"""Winograd's points, and the filters' values there, G g G^T, in the panels that winograd.py reads."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nailorch.kernels.fast import packs, threads
from nailorch.kernels.fast.emit import take
from nailorch.kernels.fast.gemm import all_cells
from nailorch.kernels.fast.jit import opened, worker
from nailorch.kernels.fast.memory import address, floats
from nailorch.kernels.fast.panels import pack_block
from nailorch.kernels.fast.target import LANES
from nailorch.kernels.fast.tiles import WIDE
from nailorch.kernels.fast.transforms import cook_toom, transform

PANEL = WIDE * LANES  # output channels that are computed together
POINTS = ['0', '3/4', '-3/4', '3/2', '-3/2']
BT, G, AT = cook_toom(POINTS)
BT_2, G_2, AT_2 = cook_toom(['0', '1', '-1'])
filter_4, filter_2 = transform(G), transform(G_2)


class Packing(NamedTuple):
    """Filters on their way to the points, as in gemm.py."""

    m: int
    out: int
    cells: int
    cell: int
    depth: int
    depth_step: int
    channels: int
    channel_step: int
    low: int
    span: int


@worker(Packing)
def pack(_, job):
    """Transform filters, G g G^T, into panels: (panels, points, depth, channels of the panel)."""
    g = opened(job)
    few, points, row = 8, (g.m + 2)**2, 4 * PANEL
    taps, tables = np.zeros(9 * few * PANEL, np.float32).ctypes, np.empty((4, LANES), np.int64)
    blocks = -(-g.depth // few)
    while True:
        work = take(g.counter)
        if work >= -(-g.channels // PANEL) * blocks:
            return
        panel, k = work // blocks * PANEL, work % blocks * few
        here, numbers = min(few, g.depth - k), min(PANEL, g.channels - panel)
        width = -(-numbers // LANES) * LANES
        for first in range(0, numbers, LANES):
            at = g.low + (panel + first) * g.channel_step + k * g.depth_step
            pack_block(g, at, here, min(LANES, numbers - first), taps.data + 4 * first, row, few * row, tables)
        for i in range(here):
            to = g.out + 4 * (points * g.depth * panel + (k + i) * width)
            if g.m == 4:
                filter_4(taps.data + i * row, few * row, 0, to, 4 * g.depth * width, 0, width, 0, 0, 0, 0, 0)
            else:
                filter_2(taps.data + i * row, few * row, 0, to, 4 * g.depth * width, 0, width, 0, 0, 0, 0, 0)


def pack_forward(weight, m):
    """Return the filters for conv2d."""
    return packs.packed(('winograd', m), weight, lambda: panels(m, np.ascontiguousarray(weight), 1, 0, 1))


def pack_backward(weight, m):
    """Return the filters for the data gradient: turned half around, channels in and out exchanged."""
    return packs.packed(('winograd back', m), weight, lambda: panels(m, np.ascontiguousarray(weight), 0, 1, -1))


def panels(m, weight, depth, channel, order):
    """Return the filters' values at the points, in panels; `depth` and `channel` are axes of the weight."""
    channels, cells = weight.shape[channel], np.ascontiguousarray(all_cells(weight)[::order])
    packed = floats((m + 2)**2 * weight.shape[depth] * -(-channels // LANES) * LANES)
    threads.run(pack, Packing(m, address(packed), 9, address(cells), weight.shape[depth], weight.strides[depth],
                              channels, weight.strides[channel], address(weight), 9), packed.size // threads.TINY)
    return packed
