"""Convolution of images with few channels, as every network's first: one channel, or the three of colours.

A stretch of so few numbers is not worth a table of addresses. But in a row of pixels, one window's row of the kernel is
KW * C numbers side by side, and the next window's begins SW * C numbers later: so all a tile needs is a first address.
Some rows of an image are copied with the padding around them, into the first cache, and used from there.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np

from nailorch.kernels.fast import threads
from nailorch.kernels.fast.emit import SIZE, kernel
from nailorch.kernels.fast.gemm import beside, pack_forward
from nailorch.kernels.fast.jit import claim, inner, opened, worker
from nailorch.kernels.fast.layout import channels_last, like
from nailorch.kernels.fast.memory import address, apart, floats, images, strides, zeros
from nailorch.kernels.fast.normalization import BELOW, as_images
from nailorch.kernels.fast.outer import Delivery, deliver
from nailorch.kernels.fast.panels import panel_width
from nailorch.kernels.fast.pools import CORNERS, bytes_at, bytes_for, largest_of_four
from nailorch.kernels.fast.target import LANES, REGISTERS
from nailorch.kernels.fast.tiles import WIDE, rectified
from nailorch.kernels.fast.vectors import load, save, store, sweep

BAND = 1 << 14  # bytes of padded rows at a time
SIZES = {1: (8, 4, 1), 2: (12, 4, 1), WIDE: (6, 2, 1)}  # of a row's tiles, in places, by their vectors
ROWS = 4  # of places, whose gradient is worth sums of their own
BEYOND = 1 << 22  # numbers of a result: more than caches hold until they are wanted again
SMALL = 1 << 18  # multiplications that one thread has done before two would have begun
# (KH, KW * C) of the kernels whose weight gradient has a sum for each cell in a register
FORMS = ((3, 3), (5, 5), (3, 9)) if REGISTERS == 32 else ((3, 3),)


@kernel
def pad_row(m, source, out, before, count, after):
    """Write zeros, so many numbers, and zeros."""
    zero = m.splat(0)
    sweep(m, before, lambda i, part: store(m, out + 4 * i, zero, part))
    to = out + 4 * before
    sweep(m, count, lambda i, part: store(
        m, to + 4 * i, m.load(source + 4 * i) if part is None else m.load_part(source + 4 * i, part), part))
    end = to + 4 * count
    sweep(m, after, lambda i, part: store(m, end + 4 * i, zero, part))


def line(vectors, whole=True, known=0):
    """Return the kernel of a row of places, for so many vectors of output channels, `part` of the last if not whole.

    For every place, out = relu(bias + sum over kh and k of source[kh, k] * weight[kh, k]); from place to place, source
    moves on `step` bytes, from kh to kh `source_row`. Where it is `known` that KH and depth are so many and the step is
    one number, all weights stay in registers, and a number is fetched once for all the places that see it.
    Results may go past the caches, `streamed` ones.
    """
    def body(m, source, source_row, KH, depth, step, weight, weight_row, bias, out, out_step, count, part, relu,
             streamed):
        parts = [None] * (vectors - 1) + [None if whole else part]
        begin = [load(m, bias + SIZE * v, some) for v, some in enumerate(parts)]
        weights = [[m.load(weight + (kh * known + k) * weight_row) for k in range(known)] for kh in range(known)]

        def tiles(size, first):
            def tile(i):
                place = first + i * size
                rows = [source + (place + r) * step for r in range(size)]

                def seen(kh, j, sums):
                    pixel = m.broadcast(rows[0] + kh * source_row + 4 * j)
                    return [m.fma(pixel, weights[kh][j - r], x) if 0 <= j - r < known else x
                            for r, x in enumerate(sums)]

                def row(kh, *sums):
                    def cell(k, *sums):
                        at = weight + (kh * depth + k) * weight_row
                        right = [m.load(at + SIZE * v) for v in range(vectors)]
                        left = [m.broadcast(rows[r] + kh * source_row + 4 * k) for r in range(size)]
                        return [m.fma(left[r], right[v], sums[vectors * r + v]) for r, v in cells]
                    return m.loop(depth, cell, *sums)

                cells = list(np.ndindex(size, vectors))
                sums = begin * size
                for kh, j in np.ndindex(known, size + known - 1):
                    sums = seen(kh, j, sums)
                sums = rectified(m, relu, sums if known else m.loop(KH, row, *sums))

                def write(past):
                    for (r, v), x in zip(cells, sums, strict=True):
                        save(m, out + (place + r) * out_step + SIZE * v, x, parts[v], past)

                m.when(streamed, lambda: write(True))
                m.when(1 - streamed, lambda: write(False))
            return tile

        done = count * 0
        for size in SIZES[vectors]:
            m.loop((count - done) // size, tiles(size, done))
            done = done + (count - done) // size * size

    return kernel(body)


def cell_sums(KH, depth, kind):
    """Return the kernel of sums[kh, k] += the sum over a row of places of source[kh, k] * gy, and own += gy's sum.

    There are `count` plain places; or `gated` ones, where gy counts if the number `gate` bytes from it lies between 0
    and what stands at `most`; or `pooled` squares of four, where besides it counts in the one that the byte at `index`
    names: its lower places lie `next_row` bytes further on. In `near` ones, whose places are one number apart, down and
    across, a number is fetched once for all that see it. Of plain and gated places, those `ahead` bytes further on are
    asked for. A kernel for each kind: one for all would have too few registers for its sums.
    """
    def body(m, source, source_row, step, next_row, gy, gy_step, count, near, sums, sums_row, own, part, gate, most,
             index, index_step, ahead):
        cells, zero = [(kh, k) for kh in range(KH) for k in range(depth)], m.splat(0)

        def add(at, right, totals):
            products = [m.fma(m.broadcast(at + kh * source_row + 4 * k), right, x)
                        for (kh, k), x in zip(cells, totals, strict=False)]
            return [*products, totals[-1] + right]

        def plain(i, *totals):
            m.prefetch(gy + i * gy_step + ahead)
            return add(source + i * step, m.load_part(gy + i * gy_step, part), totals)

        def passed(i):
            result, highest = m.load_part(gy + i * gy_step + gate, part), m.broadcast(most)
            right = m.load_part(gy + i * gy_step, part)
            return m.below(zero, result, m.below(highest, result, zero, right), zero)

        def gated(i, *totals):
            m.prefetch(gy + i * gy_step + ahead)
            m.prefetch(gy + i * gy_step + gate + ahead)
            return add(source + i * step, passed(i), totals)

        def by_corners(i):
            right, won = passed(i), bytes_at(m, index + i * index_step, part)
            return right, [m.choose(m.equal(won, m.ints(corner)), right, zero) for corner in range(4)]

        def in_square(i, *totals):
            for (down, across), here in zip(CORNERS, by_corners(i)[1], strict=True):
                totals = add(source + (2 * i + across) * step + down * next_row, here, totals)
            return totals

        def in_near_square(i, *carried):
            (right, heres), totals = by_corners(i), [*carried]
            for y, x in np.ndindex(KH + 1, depth + 1):
                pixel = m.broadcast(source + y * source_row + 4 * x + 8 * i)
                for (down, across), here in zip(CORNERS, heres, strict=True):
                    kh, k = y - down, x - across
                    if 0 <= kh < KH and 0 <= k < depth:
                        totals[kh * depth + k] = m.fma(pixel, here, totals[kh * depth + k])
            return [*totals[:-1], totals[-1] + right]

        outs = [*(sums + i * sums_row for i in range(len(cells))), own]
        totals = [m.load_part(out, part) for out in outs]
        places = {'plain': [(count, plain)], 'gated': [(count, gated)],
                  'pooled': [(count, in_square), (near, in_near_square)]}[kind]
        for number, place in places:
            totals = m.loop(number, place, *totals)
        for out, x in zip(outs, totals, strict=True):
            m.store_part(out, x, part)

    return kernel(body)


line_wide, line_2, line_1, line_part = line(WIDE), line(2), line(1), line(1, whole=False)
line_of_3 = line(1, known=3 if REGISTERS == 32 else 0)
(plain_1, gated_1, pooled_1), (plain_2, gated_2, pooled_2), (plain_3, gated_3, pooled_3) = (
    [cell_sums(*(*FORMS, FORMS[0], FORMS[0])[i], kind) for kind in ('plain', 'gated', 'pooled')] for i in range(3))


class Few(NamedTuple):
    """A convolution of rows of numbers: addresses, and steps in bytes."""

    out: int  # y, or gy
    out_n: int
    out_h: int
    out_w: int
    N: int
    OH: int
    OW: int
    channels: int
    source: int
    source_n: int
    source_h: int
    H: int
    top: int
    before: int  # numbers of padding, of an image's row, and of padding
    row: int
    after: int
    KH: int
    depth: int  # KW * C
    step_h: int  # rows
    step_w: int  # numbers
    rows: int  # of places, at a time
    weight: int
    bias: int
    relu: int = 0
    wide: int = 0  # channels of a panel of weights
    form: int = 0
    parts: int = 0
    sums: int = 0
    own: int = 0  # gy's sums
    gated: int = 0  # 1: gy passes where the activation did
    gate: int = 0  # bytes from gy
    most: int = 0
    index: int = 0  # where in its square each of out's numbers stands, if out has one for every square: bytes
    index_n: int = 0
    index_h: int = 0
    pooled: int = 0
    streamed: int = 0  # the result goes past the caches


@inner
def fill(g, n, first, rows, band):
    """Copy the rows that so many rows of places see."""
    width = g.before + g.row + g.after
    for i in range((rows - 1) * g.step_h + g.KH):
        y = first * g.step_h + i - g.top
        if y < 0 or y >= g.H:
            pad_row(0, band + 4 * i * width, width, 0, 0)
        else:
            pad_row(g.source + n * g.source_n + y * g.source_h, band + 4 * i * width, g.before, g.row, g.after)


@inner
def compute_row(g, at, width, out):
    """Convolve a row of places, whose first source is `at`: as many vectors of a panel at once as have a kernel."""
    wide, near, k = g.wide, g.KH == 3 and g.depth == 3 and g.step_w == 1, 0
    width, step, pixel = 4 * width, 4 * g.step_w, 4 * g.channels
    while k < g.channels:
        panel = k // wide * wide
        row = min(wide, -(-(g.channels - panel) // LANES) * LANES)
        weight, bias, to = g.weight + 4 * (g.KH * g.depth * panel + k - panel), g.bias + 4 * k, out + 4 * k
        left, row = min(panel + row, g.channels) - k, 4 * row
        if near and left >= LANES:
            line_of_3(at, width, g.KH, g.depth, step, weight, row, bias, to, pixel, g.OW, 0, g.relu, g.streamed)
            k += LANES
        elif left >= WIDE * LANES:
            line_wide(at, width, g.KH, g.depth, step, weight, row, bias, to, pixel, g.OW, 0, g.relu, g.streamed)
            k += WIDE * LANES
        elif left >= 2 * LANES:
            line_2(at, width, g.KH, g.depth, step, weight, row, bias, to, pixel, g.OW, 0, g.relu, g.streamed)
            k += 2 * LANES
        elif left >= LANES:
            line_1(at, width, g.KH, g.depth, step, weight, row, bias, to, pixel, g.OW, 0, g.relu, g.streamed)
            k += LANES
        else:
            line_part(at, width, g.KH, g.depth, step, weight, row, bias, to, pixel, g.OW, left, g.relu, 0)
            k += LANES


@worker(Few)
def convolve(number, job):
    """Take images, or some rows of them, until none is left."""
    g = opened(job)
    width, pieces = g.before + g.row + g.after, -(-g.OH // g.rows)
    band = np.empty(((g.rows - 1) * g.step_h + g.KH) * width, np.float32)
    pixel, row = 4 * g.channels, 4 * g.channels * g.OW
    two = np.empty(g.pooled * 2 * g.OW * g.channels, np.float32)  # rows, whose maxima are taken while they are at hand
    while True:
        work = claim(g.counter, number, g.N * pieces)
        if work >= g.N * pieces:
            return
        n, first = work // pieces, work % pieces * g.rows
        rows = min(g.rows, g.OH - first)
        fill(g, n, first, rows, band.ctypes.data)
        for r in range(rows):
            at = band.ctypes.data + 4 * r * g.step_h * width
            out = two.ctypes.data + r % 2 * row if g.pooled else g.out + n * g.out_n + (first + r) * g.out_h
            compute_row(g, at, width, out)
            if g.pooled and r % 2:
                square = (first + r) // 2
                largest_of_four(two.ctypes.data, row, pixel, g.index + n * g.index_n + square * g.index_h,
                                g.out + n * g.out_n + square * g.out_h, g.OW // 2, g.channels)


@inner
def add_row(g, at, source_row, gy, index, sums, own, part):
    """Add the products of a row of places, for one vector of output channels, to the sums of its cells."""
    step, row, pooled, gated, count = 4 * g.step_w, 4 * g.channels, g.pooled == 1, g.gated == 1, g.OW // (1 + g.pooled)
    near, next_row = count * (pooled and g.step_w == g.step_h == 1), g.step_h * source_row
    if g.form == 0:
        if pooled:
            pooled_1(at, source_row, step, next_row, gy, g.out_w, count - near, near, sums, row, own, part, g.gate,
                     g.most, index, g.channels, 0)
        elif gated:
            gated_1(at, source_row, step, next_row, gy, g.out_w, count, 0, sums, row, own, part, g.gate, g.most, 0, 0,
                    g.out_h)
        else:
            plain_1(at, source_row, step, next_row, gy, g.out_w, count, 0, sums, row, own, part, 0, 0, 0, 0, g.out_h)
    elif g.form == 1:
        if pooled:
            pooled_2(at, source_row, step, next_row, gy, g.out_w, count - near, near, sums, row, own, part, g.gate,
                     g.most, index, g.channels, 0)
        elif gated:
            gated_2(at, source_row, step, next_row, gy, g.out_w, count, 0, sums, row, own, part, g.gate, g.most, 0, 0,
                    g.out_h)
        else:
            plain_2(at, source_row, step, next_row, gy, g.out_w, count, 0, sums, row, own, part, 0, 0, 0, 0, g.out_h)
    elif pooled:
        pooled_3(at, source_row, step, next_row, gy, g.out_w, count - near, near, sums, row, own, part, g.gate,
                 g.most, index, g.channels, 0)
    elif gated:
        gated_3(at, source_row, step, next_row, gy, g.out_w, count, 0, sums, row, own, part, g.gate, g.most, 0, 0,
                g.out_h)
    else:
        plain_3(at, source_row, step, next_row, gy, g.out_w, count, 0, sums, row, own, part, 0, 0, 0, 0, g.out_h)


@worker(Few)
def collect(number, job):
    """Take parts of the images' rows, and add each one's share of the weight gradient up, in sums of its own."""
    g = opened(job)
    width, pieces, each = g.before + g.row + g.after, -(-g.OH // g.rows), g.KH * g.depth * g.channels
    band = np.empty(((g.rows - 1) * g.step_h + g.KH) * width, np.float32)
    while True:
        part = claim(g.counter, number, g.parts)
        if part >= g.parts:
            return
        sums = g.sums + 4 * part * each
        own = g.own + 4 * part * g.channels
        pad_row(0, sums, each, 0, 0)
        pad_row(0, own, g.channels, 0, 0)
        for work in range(part * g.N * pieces // g.parts, (part + 1) * g.N * pieces // g.parts):
            n, first = work // pieces, work % pieces * g.rows
            rows = min(g.rows, g.OH - first)
            fill(g, n, first, rows, band.ctypes.data)
            for r in range(0, rows, 1 + g.pooled):
                at, row_of_y = band.ctypes.data + 4 * r * g.step_h * width, (first + r) // (1 + g.pooled)
                gy, index = g.out + n * g.out_n + row_of_y * g.out_h, g.index + n * g.index_n + row_of_y * g.index_h
                for k in range(0, g.channels, LANES):
                    add_row(g, at, 4 * width, gy + 4 * k, index + k, sums + 4 * k, own + 4 * k,
                            min(LANES, g.channels - k))


def serves(C, window, groups):
    """Return whether conv2d is faster here: few numbers to a row of the kernel."""
    return groups == 1 and C < LANES and C * window.kernel_size[1] <= 2 * LANES and window.dilation == (1, 1)


def serves_weight_grad(C, OC, window, groups):
    """Return whether the weight gradient is: there are kernels for the form, and not many filters."""
    KH, KW = window.kernel_size
    return groups == 1 and window.dilation == (1, 1) and (KH, KW * C) in FORMS and OC <= 4 * LANES


def in_rows(image):
    """Return images (N, H, W, C) whose rows are numbers side by side."""
    def good(x):
        w, c = x.strides[2:]
        return x.flags.aligned and (c == 4 or x.shape[3] == 1) and (w == 4 * x.shape[3] or x.shape[2] == 1)

    x = image.transpose(0, 2, 3, 1)
    x = x if good(x) else channels_last(image).transpose(0, 2, 3, 1)
    if not good(x):
        apart()
    return x if good(x) else np.ascontiguousarray(x)


def job(x, y, window, index=None, **rest):
    """Return what both directions share: x is (N, H, W, C), y or gy (N, OC, OH, OW), or with an index half as large."""
    (N, H, W, C), OC, (OH, OW), (KH, KW) = x.shape, y.shape[1], window.outsize(x.shape[1:3]), window.kernel_size
    (top, _), (left, right) = window.pad
    before, after, (SH, SW) = left * C, right * C, window.stride
    rows = min(BAND // (4 * SH * (before + W * C + after)), N * OH // (8 * threads.count()), OH)
    squares = {} if index is None else {'index': address(index), 'index_n': index.strides[0],
                                        'index_h': index.strides[2], 'pooled': 1}
    return Few(address(y), *strides(y), N, OH, OW, OC, address(x), *x.strides[:2], H, top, before, W * C, after,
               KH, KW * C, SH, SW * C, max(rows, 1) if index is None else max(rows // 2 * 2, 2), **squares, **rest)


def conv2d(image, weight, bias, window, relu=0, pooled=False):
    """Convolve; `pooled`, return the maxima of 2x2 places, and where in its square each stood."""
    N, OC, (OH, OW) = len(image), weight.shape[0], window.outsize(image.shape[2:])
    x, y = in_rows(image), images(N, OC, OH // 2, OW // 2) if pooled else images(N, OC, OH, OW)
    index = bytes_for(y.shape) if pooled else None
    packed, bias = pack_forward(weight, 1), zeros(OC + LANES) if bias is None else np.ascontiguousarray(bias)
    threads.run(convolve, job(x, y, window, index, weight=address(packed), bias=address(bias), relu=int(relu),
                          wide=panel_width(OC), streamed=int(y.size >= BEYOND and OC % LANES == 0 and not pooled)),
                N * OC * OH * OW * weight[0].size // SMALL)
    return (y, index) if pooled else y


def conv2d_weight_grad(image, gy, window, y=None, activation='', index=None):
    """Return the gradients of activation(conv2d)'s weights and bias; with an index, gy and y are its maxima's."""
    C, OC, size = image.shape[1], gy.shape[1], window.kernel_size
    x, parts = in_rows(image), min(8 * threads.count(), -(-len(gy) * gy.shape[2] // ROWS))
    y = None if y is None else as_images(y)
    gy = channels_last(gy) if y is None else like(gy, y)
    gate, most = beside(y, gy), np.full(1, BELOW.get(activation, 0), np.float32)
    each, work = prod(size) * C * OC, gy.size * prod(size) * C // SMALL
    sums, gW = floats(parts * (each + OC)), floats(each).reshape(OC, C, *size)
    own = sums[parts * each:]
    threads.run(collect, job(x, gy, window, index, weight=0, bias=0, form=FORMS.index((size[0], size[1] * C)),
                             parts=parts, sums=address(sums), own=address(own),
                             gated=int(y is not None), gate=gate, most=address(most)), work)
    threads.run(deliver, Delivery(address(sums), parts, prod(size), C, OC, 1, address(gW)), sums.size // threads.TINY)
    gb = floats(OC)
    threads.run(deliver, Delivery(address(own), parts, 1, 1, OC, 1, address(gb)), 1)
    return gW, gb
