"""Depthwise convolution with 3x3 windows side by side, and its weight gradient: two rows of places at a time.

A row of places reads three rows of pixels, but two rows only four. So a block of 2 x WIDTH places, with nine weights
and a sum for each place in registers, loads a number for three to six multiplications, and the multipliers never wait.
A table holds the address of every pixel that the block sees, a zero's for those outside the image: so blocks at the
edges are like the others.
"""

from __future__ import annotations

import numpy as np

from nailorch.kernels.fast.emit import kernel, peek
from nailorch.kernels.fast.jit import inner
from nailorch.kernels.fast.target import REGISTERS
from nailorch.kernels.fast.tiles import rectified
from nailorch.kernels.fast.vectors import load, store, sweep

WIDTH = 7  # places of a row: the sizes of images are often multiples
SEEN = WIDTH + 2  # pixels in each of four rows
TABLE = 4 * SEEN


@kernel
def pair(m, table, shift, weight, down, across, out, out_h, out_w, channels, bias, relu, gated, gate, added, large,
         row_step):
    """Compute a block from the table's pixels, `shift` bytes further on.

    From cell to cell, weights are `down` and `across` bytes apart. If `large` is 1, the two rows of pixels that come
    next are asked for, and the next two rows of out.
    """
    def vector(i, part):
        def pixel(r, x):
            return m.word(table + 8 * (r * SEEN + x)) + (shift + 4 * i)

        def fetch():
            for r, x in np.ndindex(2, WIDTH):
                m.prefetch(pixel(3, x + 1) + (r + 1) * row_step)
                m.prefetch(places[r][x] + 2 * out_h)

        def beside(r, x):
            return load(m, places[r][x] + gate, part)

        places = [[out + (r * out_h + x * out_w + 4 * i) for x in range(WIDTH)] for r in range(2)]
        m.when(large, fetch)
        weights = [[load(m, weight + (k * down + j * across + 4 * i), part) for j in range(3)] for k in range(3)]
        begin, cells, zero = load(m, bias + 4 * i, part), list(np.ndindex(2, WIDTH)), m.splat(0)
        sums = dict.fromkeys(cells, begin)
        for r, x in np.ndindex(4, SEEN):
            seen = load(m, pixel(r, x), part)
            for row, j in np.ndindex(2, 3):
                k, place = r - row, (row, x - j)
                if 0 <= k < 3 and place in sums:
                    sums[place] = m.fma(seen, weights[k][j], sums[place])
        values = [sums[cell] for cell in cells]
        values = m.when(added, lambda *s: [v + beside(*c) for c, v in zip(cells, s, strict=True)], *values)
        values = rectified(m, relu, values)
        values = m.when(gated, lambda *s: [m.below(zero, beside(*c), v, zero)
                                              for c, v in zip(cells, s, strict=True)], *values)
        for (r, x), value in zip(cells, values, strict=True):
            store(m, places[r][x], value, part)

    sweep(m, channels, vector)


@kernel
def pair_gradient(m, table, shift, gy, gy_h, gy_w, channels, sums, down, across, large, row_step):
    """Add a block's products, of pixels and gy, to the sums of the nine cells; the rest is as in `pair`."""
    def vector(i, part):
        def pixel(r, x):
            return m.word(table + 8 * (r * SEEN + x)) + (shift + 4 * i)

        def fetch(_):
            for r, x in np.ndindex(2, WIDTH):
                m.prefetch(pixel(3, x + 1) + (r + 1) * row_step)
                m.prefetch(places[r, x] + 2 * gy_h)

        places = {(r, x): gy + (r * gy_h + x * gy_w + 4 * i) for r, x in np.ndindex(2, WIDTH)}
        m.loop(large, fetch)
        cells = {(k, j): sums + (k * down + j * across + 4 * i) for k, j in np.ndindex(3, 3)}
        totals = {cell: load(m, at, part) for cell, at in cells.items()}
        gradients = {place: load(m, at, part) for place, at in places.items()}
        for r, x in np.ndindex(4, SEEN):
            seen = load(m, pixel(r, x), part)
            for k, j in np.ndindex(3, 3):
                if (r - k, x - j) in gradients:
                    totals[k, j] = m.fma(seen, gradients[r - k, x - j], totals[k, j])
        for cell, at in cells.items():
            store(m, at, totals[cell], part)

    sweep(m, channels, vector)


@inner
def look(g, n, top, left, at, table):
    """Fill the table with the pixels of four rows, from `top` on, and SEEN columns."""
    for r in range(4):
        y = top + r
        row = g.source + n * g.source_n + y * g.source_h + at if y >= 0 and y < g.H else g.zeros
        for i in range(SEEN):
            x = left + i
            table[r * SEEN + i] = row + x * g.source_w if x >= 0 and x < g.W else g.zeros


@inner
def compute_pair(g, n, oh, channel, channels, bias, table):
    """Compute two rows of places, of so many channels."""
    pixel, top, left = 4 * g.channels, peek(g.kinds_h) + oh, peek(g.kinds_w)
    weight = g.weight + (peek(g.kinds_h + 8) * g.KW + peek(g.kinds_w + 8)) * pixel + 4 * channel
    out, blocks, filled = g.out + n * g.out_n + oh * g.out_h + 4 * channel, -(-g.OW // WIDTH), -1
    for b in range(blocks):
        place = b * (g.OW - WIDTH) // max(blocks - 1, 1)
        x = left + place
        if filled < 0 or x + SEEN > g.W:  # else the table moves on: all of its pixels are inside
            look(g, n, top, x, 4 * channel, table)
            filled = x
        pair(table.ctypes.data, (x - filled) * g.source_w, weight, g.onward_h * g.KW * pixel, g.onward_w * pixel,
             out + place * g.out_w, g.out_h, g.out_w, channels, bias, g.relu, g.gated, g.gate, g.added, g.large,
             g.source_h)


@inner
def add_pair(g, n, oh, channel, channels, sums, table):
    """Add the products of two rows of places, of so many channels, to the sums; a row has whole blocks."""
    pixel, top, left = 4 * g.channels, peek(g.kinds_h) + oh, peek(g.kinds_w)
    gy, filled = g.out + n * g.out_n + oh * g.out_h + 4 * channel, -1
    for place in range(0, g.OW, WIDTH):
        x = left + place
        if filled < 0 or x + SEEN > g.W:
            look(g, n, top, x, 4 * channel, table)
            filled = x
        pair_gradient(table.ctypes.data, (x - filled) * g.source_w, gy + place * g.out_w, g.out_h, g.out_w, channels,
                      sums, g.KW * pixel, pixel, g.large, g.source_h)


def serves(window, OW):
    """Return whether a convolution, or its data gradient, with OW places in a row goes by pairs of rows."""
    plain = window.kernel_size == (3, 3) and window.stride == window.dilation == (1, 1)
    return REGISTERS == 32 and plain and OW >= WIDTH
