"""The gradient of images with three channels: for each pixel, products of vectors along gy's channels.

A vector of the result would hold the channels of one pixel, and three of sixteen lanes is a waste. gy's channels are
many, though, and the sums run over them: so a lane's number is the sum over every LANES-th channel,

    gx[h, w, c] = sum over lanes of (sum over the cells that saw the pixel, and vectors of channels, of gy * W[cell, c])

and only at the end the lanes are added up, those of all sums of a block of pixels together. As in depthwise.py, there
are SH * SW kinds of pixels, each seen by cells of its own; cells beyond the edges are left out.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nailorch.kernels.fast import packs, threads
from nailorch.kernels.fast.depthwise import axes, inside
from nailorch.kernels.fast.emit import SIZE, kernel, peek
from nailorch.kernels.fast.jit import claim, inner, opened, worker
from nailorch.kernels.fast.layout import channels_last
from nailorch.kernels.fast.memory import POOL, address, from_weights, images, strides, unfilled
from nailorch.kernels.fast.target import LANES
from nailorch.kernels.fast.vectors import copy_pieces, totals

COLOURS = 3
PLACES = max(LANES // COLOURS, 1)  # of one kind in a row, computed together: their sums fill a vector
ROWS = 8  # of pixels, to a piece of work
ENOUGH = 1 << 18  # multiplications that are worth a thread


def block_kernel(places):
    """Return the kernel of blocks of `places` places, the first at place 0, the last one at `last`.

    A row of the table is a cell: the pixel of gy that place 0 meets there, and the cell's weights, COLOURS rows of
    `weight_row` bytes. From place to place, gy moves on `step` bytes, and out COLOURS numbers.
    """
    def run(m, table, cells, channels, step, weight_row, blocks, last, between, out):
        def block(b):
            first = b * last // between

            def cell(s, *sums):
                pixel, w = m.word(table + s * 16) + first * step, m.word(table + s * 16 + 8)

                def vector(at, load, sums):
                    weights = [m.load(w + c * weight_row + at) for c in range(COLOURS)]
                    seen = [load(pixel + i * step + at) for i in range(places)]
                    return [m.fma(seen[k // COLOURS], weights[k % COLOURS], x) for k, x in enumerate(sums)]

                whole, rest = channels // LANES, channels % LANES
                sums = m.loop(whole, lambda v, *sums: vector(v * SIZE, m.load, sums), *sums)
                return m.when(rest, lambda *sums: vector(
                    whole * SIZE, lambda at: m.load_part(at, rest), sums), *sums)

            sums = m.loop(cells, cell, *[m.splat(0)] * (places * COLOURS))
            for k in range(0, len(sums), LANES):
                some = sums[k:k + LANES]
                m.store_part(out + first * (4 * COLOURS) + 4 * k, totals(m, some), len(some))

        m.loop(blocks, block)

    return kernel(run)


blocks_of_1, blocks_of_many = block_kernel(1), block_kernel(PLACES)


class Dots(NamedTuple):
    """A data gradient: addresses, and steps in bytes."""

    out: int
    out_n: int
    out_h: int
    N: int
    H: int
    W: int
    source: int
    source_n: int
    source_h: int
    source_w: int
    OH: int
    OW: int
    channels: int
    weight: int  # (KH * KW, COLOURS, channels in whole vectors)
    weight_row: int
    KW: int
    step_h: int  # see depthwise.Axis
    turns_h: int
    apart_h: int
    onward_h: int
    kinds_h: int
    step_w: int
    turns_w: int
    apart_w: int
    onward_w: int
    kinds_w: int


@inner
def look_up(g, n, h, x, kind, table):
    """Fill the table with the cells that saw a place of row h, and meet a pixel of gy; return how many.

    The cells of that kind across meet columns x, x + apart_w and so on.
    """
    kind_h, cells = g.kinds_h + 24 * (h % g.turns_h), 0
    y, tap_h = h // g.turns_h * g.step_h + peek(kind_h), peek(kind_h + 8)
    for a in range(peek(kind_h + 16)):
        row, down = y + a * g.apart_h, tap_h + a * g.onward_h
        for b in range(peek(kind + 16)):
            column = x + b * g.apart_w
            if row >= 0 and row < g.OH and column >= 0 and column < g.OW:
                table[2 * cells] = g.source + n * g.source_n + row * g.source_h + column * g.source_w
                across = peek(kind + 8) + b * g.onward_w
                table[2 * cells + 1] = g.weight + (down * g.KW + across) * COLOURS * g.weight_row
                cells += 1
    return cells


@inner
def compute_row(g, n, h, turn, count, table, out):
    """Compute the places of one kind in a row, side by side: at the edges one by one, those between in blocks."""
    kind, step = g.kinds_w + 24 * turn, g.step_w * g.source_w
    first = peek(kind)
    low, high = inside(first, g.step_w, peek(kind + 16), g.apart_w, g.OW, count)
    place = 0
    while place < count:
        cells, to = look_up(g, n, h, first + place * g.step_w, kind, table), out + 4 * COLOURS * place
        run = high - low
        if place != low or run < PLACES:
            blocks_of_1(table.ctypes.data, cells, g.channels, 0, g.weight_row, 1, 0, 1, to)
            place += 1
            continue
        blocks = -(-run // PLACES)
        blocks_of_many(table.ctypes.data, cells, g.channels, step, g.weight_row, blocks, run - PLACES,
                       max(blocks - 1, 1), to)
        place += run


@worker(Dots)
def compute(number, job):
    """Take some rows of an image's pixels, until none is left."""
    g = opened(job)
    table, pieces = np.empty(2 * len_of(g), np.int64), -(-g.H // ROWS)
    row = np.empty(COLOURS * g.W, np.float32)  # of pixels of one kind, where others stand between them
    while True:
        work = claim(g.counter, number, g.N * pieces)
        if work >= g.N * pieces:
            return
        n, first = work // pieces, work % pieces * ROWS
        for h in range(first, min(first + ROWS, g.H)):
            out = g.out + n * g.out_n + h * g.out_h
            for turn in range(g.turns_w):
                count = (g.W - turn + g.turns_w - 1) // g.turns_w
                if g.turns_w == 1:
                    compute_row(g, n, h, turn, count, table, out)
                else:
                    compute_row(g, n, h, turn, count, table, row.ctypes.data)
                    copy_pieces(row.ctypes.data, 4 * COLOURS, out + 4 * COLOURS * turn, 4 * COLOURS * g.turns_w, count,
                                COLOURS)


@inner
def len_of(g):
    """Return how many cells see a pixel, at most."""
    down = across = 0
    for turn in range(g.turns_h):
        down = max(down, peek(g.kinds_h + 24 * turn + 16))
    for turn in range(g.turns_w):
        across = max(across, peek(g.kinds_w + 24 * turn + 16))
    return down * across


def in_rows(weight):
    """Return the weights (OC, COLOURS, KH, KW) as (KH * KW, COLOURS, OC), whole vectors."""
    OC, C, KH, KW = weight.shape
    rows = unfilled((KH * KW, C, -(-OC // LANES) * LANES), pool=POOL)
    rows[..., :OC], rows[..., OC:] = weight.reshape(OC, C, -1).transpose(2, 1, 0), 0
    return rows


def serves(C, OC, groups):
    """Return whether the images' gradient is faster here."""
    return groups == 1 and C == COLOURS and OC >= LANES


def conv2d_data_grad(gy, weight, size, window):
    """Return the images' gradient."""
    gx, gy, (down, across) = images(len(gy), COLOURS, *size), channels_last(gy), axes(window, True)
    rows = packs.packed('dots', weight, lambda: from_weights(lambda: in_rows(weight)))
    threads.run(compute, Dots(
        address(gx), *strides(gx)[:2], len(gx), *size, address(gy), *strides(gy), *gy.shape[2:], gy.shape[1],
        address(rows), rows.strides[1], window.kernel_size[1],
        *down[:-1], address(down.kinds), *across[:-1], address(across.kinds)),
        gy.size * weight[0].size // ENOUGH)
    return gx
