"""The weight gradient: for each cell of the kernel, the sum over all places of the pixel it saw times gy.

    gW[kh, kw] = sum over n, oh, ow of x[n, oh*SH + kh*DH - top, ow*SW + kw*DW - left, :]^T gy[n, oh, ow, :]

One matrix product a cell, with the places in the middle; its left matrix is again no more than a table of addresses.

A kernel of one cell is a product of two matrices, and either may be the left one. With gy to the left, the sums come
out in the order of the weights; to the right, no more of a vector's lanes should be empty than need be.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nailorch.kernels.fast import threads
from nailorch.kernels.fast.emit import SIZE, take
from nailorch.kernels.fast.gemm import SPARE, Walk, look_up, stretches
from nailorch.kernels.fast.jit import inner, opened, worker
from nailorch.kernels.fast.layout import channels_last
from nailorch.kernels.fast.memory import address, again, floats, strides, zeros
from nailorch.kernels.fast.target import LANES
from nailorch.kernels.fast.tiles import HIGH, WIDE, add_numbers, copy_rows, outer_tile, turn

PLACES = 192  # places at a time: what they read of x and gy stays in the second cache
PANEL = WIDE * LANES
OFTEN = 4  # panels for which rows are read, from which on they are copied first
ROWS, SUMS, WIDEST = 256, 5 << 17, 16 // WIDE  # of a block of gW: rows, bytes, and panels, at most
LINE = 16  # numbers that memory hands out together

# Tiles of four vectors fetch 10 numbers or vectors for 24 products, those of two, for what is left, 10 for 16.
wide_6, wide_5, wide_4, wide_1 = (outer_tile(rows, WIDE) for rows in ((6, 5, 4, 1) if WIDE == 4 else (1, 1, 1, 1)))
outer_high, outer_half, outer_1 = outer_tile(HIGH, 2), outer_tile(HIGH // 2, 2), outer_tile(1, 2)
narrow_8, narrow_1 = outer_tile(8, 1), outer_tile(1, 1)


@inner
def height(rows, numbers):
    """Return how high the next tile is. Widest ones come out even where they can, for a low one is slow."""
    if numbers <= LANES:
        return 8 if rows >= 8 else 1
    if numbers <= 2 * LANES:
        return HIGH if rows >= HIGH else HIGH // 2 if rows >= HIGH // 2 else 1
    even = -(-rows // -(-rows // 6))
    return even if even >= 4 else 1


@inner
def outer(a, a_offset, rows, count, b, b_step, start, start_step, out, out_step, numbers, next_a, next_a_offset,
          next_a_size, next_b, next_b_offset, turn):
    """Add a product to `rows` rows of out, tile by tile.

    Of what two more tables name, the first `next_a_size` bytes and a panel's are asked for: a line of each by two
    tiles, which share the entries out, and look at one more than `count`. The first tile does as the `turn`th would.
    """
    r = 0
    while r < rows:
        high, at, first = height(rows - r, numbers), a_offset + 4 * r, start + r * start_step
        to, odd, line = out + r * out_step, 8 * (turn % 2), 4 * LINE * (turn // 2)
        la, lb = next_a + odd, next_b + odd
        ao, bo = next_a_offset + line % next_a_size, next_b_offset + line % (4 * PANEL)
        if numbers > 2 * LANES:
            if high == 6:
                wide_6(a, at, count, b, b_step, first, start_step, to, out_step, numbers, la, ao, lb, bo)
            elif high == 5:
                wide_5(a, at, count, b, b_step, first, start_step, to, out_step, numbers, la, ao, lb, bo)
            elif high == 4:
                wide_4(a, at, count, b, b_step, first, start_step, to, out_step, numbers, la, ao, lb, bo)
            else:
                wide_1(a, at, count, b, b_step, first, start_step, to, out_step, numbers, la, ao, lb, bo)
        elif numbers <= LANES:
            if high == 8:
                narrow_8(a, at, count, b, b_step, first, start_step, to, out_step, numbers, la, ao, lb, bo)
            else:
                narrow_1(a, at, count, b, b_step, first, start_step, to, out_step, numbers, la, ao, lb, bo)
        elif high == HIGH:
            outer_high(a, at, count, b, b_step, first, start_step, to, out_step, numbers, la, ao, lb, bo)
        elif high == HIGH // 2:
            outer_half(a, at, count, b, b_step, first, start_step, to, out_step, numbers, la, ao, lb, bo)
        else:
            outer_1(a, at, count, b, b_step, first, start_step, to, out_step, numbers, la, ao, lb, bo)
        r += high
        turn += 1


@inner
def panel_of(channels):
    """Return how many of so many channels come next: a panel, or of three vectors the first two."""
    return min(channels, PANEL) if channels > 3 * LANES else min(channels, 2 * LANES)


@worker(Walk)
def collect(_, job):
    """Take pieces of work: blocks of gW, by parts of the places. Each part has sums of its own."""
    g = opened(job)
    total, panels = g.N * g.OH * g.OW, -(-g.channels // PANEL)
    stretch, out = np.empty((2, g.cells, PLACES + 2 * SPARE), np.int64), np.empty((2, PLACES + SPARE), np.int64)
    left, right = np.empty((PLACES, g.deep + LINE), np.float32), np.empty((PLACES, PANEL), np.float32)
    lefts, copied = np.empty(PLACES, np.int64), g.cells == 1 and g.panels_each >= OFTEN
    for i in range(PLACES):
        lefts[i] = left[i].ctypes.data
    shares, blocks, row = -(-panels // g.panels_each), -(-g.depth // g.deep), 4 * g.channels
    wide = PANEL * g.panels_each
    while True:
        work = take(g.counter)
        if work >= g.parts * g.groups * blocks * shares:
            return
        part, group, block = work // (g.groups * blocks * shares), work // (blocks * shares) % g.groups, work % blocks
        share, deep, at = work // blocks % shares, min(g.deep, g.depth - block * g.deep), 4 * block * g.deep
        result = g.weight + 4 * ((part * g.groups + group) * g.cells * g.depth + block * g.deep) * g.channels
        begin, end, now = part * total // g.parts, (part + 1) * total // g.parts, 0
        each = max(-(-(end - begin) // max(-(-(end - begin) // PLACES), 1)), 1)
        look_up(g, begin, min(each, end - begin), group, stretch[0], out[0])
        for first in range(begin, end, each):
            count, after, then = min(each, end - first), min(end - first - each, each), now
            if after > 0:  # the next places' numbers are asked for while these are multiplied
                then = 1 - now
                look_up(g, first + each, after, group, stretch[then], out[then])
            if copied:  # pixels of many channels compete for the same places of the caches
                vectors = -(-deep // LANES)
                copy_rows(stretch[now, 0].ctypes.data, at, count, left.ctypes.data, 4 * (g.deep + LINE), vectors,
                          deep - (vectors - 1) * LANES)
            asked = 4 * LINE * -(-deep // (LINE * g.panels_each))
            column, last = share * wide, min((share + 1) * wide, g.channels)
            while column < last:
                numbers, channel, panel = panel_of(last - column), 4 * column, column // PANEL % g.panels_each
                vectors, b = -(-numbers // LANES), right.ctypes.data
                copy_rows(out[now].ctypes.data, channel, count, b, 4 * PANEL, vectors, numbers - (vectors - 1) * LANES)
                for cell in range(g.cells):
                    to = result + cell * g.depth * row + channel
                    a = lefts.ctypes.data if copied else stretch[now, cell].ctypes.data
                    outer(a, 0 if copied else at, deep, count, b, 4 * PANEL,
                          g.zeros if first == begin else to, 0 if first == begin else row, to, row, numbers,
                          stretch[then, cell].ctypes.data, at + asked * panel, asked,
                          out[then].ctypes.data, channel, cell)
                column += numbers
            now = then


class Delivery(NamedTuple):
    """Sums on their way into the weights' own order."""

    source: int
    parts: int
    cells: int
    depth: int
    channels: int
    groups: int
    out: int


@inner
def turn_rows(source_rows, count, channels, out, out_row, tables):
    """Write `count` rows of `channels` numbers, at most LANES, as columns: out's rows are `out_row` bytes apart."""
    rows, outs, steps = tables[0], tables[1], tables[2]
    for i in range(LANES):
        rows[i], outs[i], steps[i] = source_rows[min(i, count - 1)], out + i * out_row, LANES * out_row
    whole, rest = channels // LANES, channels % LANES
    turn(rows.ctypes.data, SIZE, LANES, outs.ctypes.data, steps.ctypes.data, count, whole)
    if rest:
        for i in range(LANES):
            rows[i] += whole * SIZE
            outs[i] = out + (whole * LANES + i) * out_row if i < rest else tables[3].ctypes.data
        turn(rows.ctypes.data, 0, rest, outs.ctypes.data, steps.ctypes.data, count, 1)


@worker(Delivery)
def deliver(_, job):
    """Add the parts up, and turn (groups, cells, depth, channels) into (groups, channels, depth, cells)."""
    g = opened(job)
    each, size = g.cells * g.depth * g.channels, 4 * g.groups * g.cells * g.depth * g.channels
    total, tables, source = g.cells * g.depth, np.empty((4, LANES), np.int64), np.empty(LANES, np.int64)
    blocks = -(-total // LANES)
    while True:
        work = take(g.counter)
        if work >= g.groups * blocks:
            return
        group, first = work // blocks, work % blocks * LANES
        count = min(LANES, total - first)
        for i in range(count):
            k, cell = (first + i) // g.cells, (first + i) % g.cells
            source[i] = g.source + 4 * (group * each + (cell * g.depth + k) * g.channels)
            for part in range(1, g.parts):
                add_numbers(source[i] + part * size, source[i], g.channels)
        turn_rows(source, count, g.channels, g.out + 4 * (group * each + first), 4 * total, tables)


def wide(numbers):
    """Return how many numbers whole vectors have."""
    return -(-numbers // LANES) * LANES


def block(depth, channels, cells, step, fewest=1):
    """Return how many rows and panels of gW a piece of work has; a place has `step` pixels of x for itself.

    In the second cache, its sums stay beside what PLACES read of x and gy, and what the next ones will read. There are
    to be `fewest` blocks of rows at least.
    """
    rows, panels = ROWS if step == 1 or cells == 1 else ROWS // 2, -(-channels // PANEL)
    rows = min(rows, max(depth // fewest, LINE))
    deep = -(-depth // -(-depth // rows))
    deep = min(-(-deep // LINE) * LINE, depth)
    each = max(min(SUMS // (4 * cells * deep * PANEL), WIDEST), 1)
    return deep, -(-panels // -(-panels // each))


def conv2d_weight_grad(image, gy, window, groups=1):
    """Return the gradient of conv2d's weights, (OC, C // groups, KH, KW), in C order, that of the weights."""
    C, (N, OC, OH, OW), (KH, KW) = image.shape[1], gy.shape, window.kernel_size
    x, dy, dx, depth = stretches(image, window, groups)
    gy, workers, channels, step = channels_last(gy), threads.count(), OC // groups, window.stride
    count, cells, total = channels * depth * len(dy), len(dy), N * OH * OW
    turned = (KH, KW) == (1, 1) and window.pad == ((0, 0), (0, 0)) and (
        (channels * wide(depth), min(depth, ROWS)) <= (depth * wide(channels), min(channels, ROWS)))
    if turned:
        x, gy, depth, channels, step = gy, x[:, :, ::step[0], ::step[1]], channels, depth, (1, 1)
    most = max(total // (4 * PLACES), 1)  # parts that are worth sums of their own
    deep, panels_each = block(depth, channels, cells, step[0] * step[1], -(-2 * workers // (groups * most)))
    pieces = groups * -(-depth // deep) * -(-channels // (PANEL * panels_each))
    parts = min(-(-2 * workers // pieces), most)
    nothing, sums = zeros(max(C * KW, OC) + PANEL), floats(parts * groups * count)
    threads.run(collect, Walk(
        address(gy), *strides(gy), N, OH, OW, address(x), *strides(x), *x.shape[2:], *step, depth,
        address(sums), channels, groups, address(nothing), 0, 0, 0, address(nothing),
        cells, address(dy), address(dx), PLACES, panels_each, parts, deep=deep))
    if turned:
        sums = sums.reshape(parts, OC, C // groups, 1, 1)
        return sums[0] if parts == 1 else again(lambda: sums.sum(axis=0))
    gW = floats(groups * count).reshape(OC, C // groups, KH, KW)
    threads.run(deliver, Delivery(address(sums), parts, KH * KW, C // groups, OC // groups, groups, address(gW)),
                sums.size // threads.TINY)
    return gW
