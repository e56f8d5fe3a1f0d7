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
from nailorch.kernels.fast.emit import kernel, take
from nailorch.kernels.fast.gemm import beside, pack_forward, panel_width
from nailorch.kernels.fast.jit import jit, opened, worker
from nailorch.kernels.fast.layout import channels_last, like
from nailorch.kernels.fast.memory import address, apart, floats, images, strides, zeros
from nailorch.kernels.fast.normalization import BELOW, as_images
from nailorch.kernels.fast.outer import Delivery, deliver
from nailorch.kernels.fast.pools import CORNERS, bytes_at, bytes_for, largest_of_four
from nailorch.kernels.fast.target import LANES, REGISTERS
from nailorch.kernels.fast.tiles import rectified
from nailorch.kernels.fast.vectors import store, sweep

BAND = 1 << 14  # bytes of padded rows at a time
ROWS = 4  # of places, whose gradient is worth sums of their own
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


def line(whole):
    """Return the kernel of a row of places, for one vector of output channels, the first `part` of them if not whole.

    For every place, out = relu(bias + sum over kh and k of source[kh, k] * weight[kh, k]); from place to place, source
    moves on `step` bytes, from kh to kh `source_row`.
    """
    def body(m, source, source_row, KH, depth, step, weight, weight_row, bias, out, out_step, count, part, relu):
        part = None if whole else part
        begin = m.load(bias) if whole else m.load_part(bias, part)

        def tiles(size, first):
            def tile(i):
                place = first + i * size
                rows = [source + (place + r) * step for r in range(size)]

                def row(kh, *sums):
                    def cell(k, *sums):
                        right = m.load(weight + (kh * depth + k) * weight_row)
                        return [m.fma(m.broadcast(rows[r] + kh * source_row + 4 * k), right, sums[r])
                                for r in range(size)]
                    return m.loop(depth, cell, *sums)

                sums = rectified(m, relu, m.loop(KH, row, *[begin] * size))
                for r in range(size):
                    store(m, out + (place + r) * out_step, sums[r], part)
            return tile

        m.loop(count // 8, tiles(8, 0))
        m.loop(count % 8 // 4, tiles(4, count // 8 * 8))
        m.loop(count % 4, tiles(1, count // 4 * 4))

    return kernel(body)


def cell_sums(KH, depth):
    """Return the kernel of sums[kh, k] += the sum over a row of places of source[kh, k] * gy, and own += gy's sum.

    `gated` 1, gy counts where the number `gate` bytes from it lies between 0 and what stands at `most`; and 2, there
    and in that one of four places, a square's, which the byte at `index` names.
    """
    def body(m, source, source_row, step, gy, gy_step, count, sums, sums_row, own, part, gated, gate, most, index,
             index_step):
        cells, zero = [(kh, k) for kh in range(KH) for k in range(depth)], m.splat(0)

        def add(at, right, totals):
            products = [m.fma(m.broadcast(at + kh * source_row + 4 * k), right, x)
                        for (kh, k), x in zip(cells, totals, strict=False)]
            return [*products, totals[-1] + right]

        def plain(i, *totals):
            return add(source + i * step, m.load_part(gy + i * gy_step, part), totals)

        def passed(i):
            result, highest = m.load_part(gy + i * gy_step + gate, part), m.broadcast(most)
            right = m.load_part(gy + i * gy_step, part)
            return m.below(zero, result, m.below(highest, result, zero, right), zero)

        def behind_gate(i, *totals):
            return add(source + i * step, passed(i), totals)

        def in_square(i, *totals):
            right, won = passed(i), bytes_at(m, index + i * index_step, part)
            for corner, (down, across) in enumerate(CORNERS):
                here = m.choose(m.equal(won, m.ints(corner)), right, zero)
                totals = add(source + (2 * i + across) * step + down * source_row, here, totals)
            return totals

        outs = [*(sums + i * sums_row for i in range(len(cells))), own]
        totals = [m.load_part(out, part) for out in outs]
        for kind, place in enumerate((plain, behind_gate, in_square)):
            totals = m.loop(count * is_equal(gated, kind), place, *totals)
        for out, x in zip(outs, totals, strict=True):
            m.store_part(out, x, part)

    return kernel(body)


def is_equal(gated, kind):
    """Return 1 if gated, one of 0, 1 and 2, is that kind, else 0."""
    return (1 - gated) * (2 - gated) // 2 if kind == 0 else gated * (2 - gated) if kind == 1 else gated // 2


line_whole, line_part = line(True), line(False)
sums_1, sums_2, sums_3 = (cell_sums(*(*FORMS, FORMS[0], FORMS[0])[i]) for i in range(3))


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
    gated: int = 0
    gate: int = 0  # bytes from gy
    most: int = 0
    index: int = 0  # where in its square each of out's numbers stands, if out has one for every square: bytes
    index_n: int = 0
    index_h: int = 0
    pooled: int = 0


@jit
def fill(g, n, first, rows, band):
    """Copy the rows that so many rows of places see."""
    width = g.before + g.row + g.after
    for i in range((rows - 1) * g.step_h + g.KH):
        y = first * g.step_h + i - g.top
        if y < 0 or y >= g.H:
            pad_row(0, band + 4 * i * width, width, 0, 0)
        else:
            pad_row(g.source + n * g.source_n + y * g.source_h, band + 4 * i * width, g.before, g.row, g.after)


@worker(Few)
def convolve(_, job):
    """Take images, or some rows of them, until none is left."""
    g = opened(job)
    width, pieces, wide = g.before + g.row + g.after, -(-g.OH // g.rows), g.wide
    band = np.empty(((g.rows - 1) * g.step_h + g.KH) * width, np.float32)
    pixel, row = 4 * g.channels, 4 * g.channels * g.OW
    two = np.empty(g.pooled * 2 * g.OW * g.channels, np.float32)  # rows, whose maxima are taken while they are at hand
    while True:
        work = take(g.counter)
        if work >= g.N * pieces:
            return
        n, first = work // pieces, work % pieces * g.rows
        rows = min(g.rows, g.OH - first)
        fill(g, n, first, rows, band.ctypes.data)
        for r in range(rows):
            at = band.ctypes.data + 4 * r * g.step_h * width
            out = two.ctypes.data + r % 2 * row if g.pooled else g.out + n * g.out_n + (first + r) * g.out_h
            for k in range(0, g.channels, LANES):
                panel = k // wide * wide
                weight_row = 4 * min(wide, -(-(g.channels - panel) // LANES) * LANES)
                weight = g.weight + 4 * g.KH * g.depth * panel + 4 * (k - panel)
                bias, part = g.bias + 4 * k, min(LANES, g.channels - k)
                if part == LANES:
                    line_whole(at, 4 * width, g.KH, g.depth, 4 * g.step_w, weight, weight_row, bias, out + 4 * k,
                               pixel, g.OW, part, g.relu)
                else:
                    line_part(at, 4 * width, g.KH, g.depth, 4 * g.step_w, weight, weight_row, bias, out + 4 * k,
                              pixel, g.OW, part, g.relu)
            if g.pooled and r % 2:
                square = (first + r) // 2
                largest_of_four(two.ctypes.data, row, pixel, g.index + n * g.index_n + square * g.index_h,
                                g.out + n * g.out_n + square * g.out_h, g.OW // 2, g.channels)


@worker(Few)
def collect(_, job):
    """Take parts of the images' rows, and add each one's share of the weight gradient up, in sums of its own."""
    g = opened(job)
    width, pieces, each = g.before + g.row + g.after, -(-g.OH // g.rows), g.KH * g.depth * g.channels
    band, row = np.empty(((g.rows - 1) * g.step_h + g.KH) * width, np.float32), 4 * g.channels
    places = g.OW // (1 + g.pooled)
    while True:
        part = take(g.counter)
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
                    to, numbers = sums + 4 * k, min(LANES, g.channels - k)
                    if g.form == 0:
                        sums_1(at, 4 * width, 4 * g.step_w, gy + 4 * k, g.out_w, places, to, row, own + 4 * k, numbers,
                               g.gated, g.gate, g.most, index + k, g.channels)
                    elif g.form == 1:
                        sums_2(at, 4 * width, 4 * g.step_w, gy + 4 * k, g.out_w, places, to, row, own + 4 * k, numbers,
                               g.gated, g.gate, g.most, index + k, g.channels)
                    else:
                        sums_3(at, 4 * width, 4 * g.step_w, gy + 4 * k, g.out_w, places, to, row, own + 4 * k, numbers,
                               g.gated, g.gate, g.most, index + k, g.channels)


def serves(C, window, groups):
    """Return whether conv2d is faster here: few numbers to a row of the kernel."""
    return groups == 1 and C < LANES and C * window.kernel_size[1] <= 2 * LANES and window.dilation == (1, 1)


def serves_weight_grad(C, OC, window, groups):
    """Return whether the weight gradient is: there are kernels for the form, and not many filters."""
    KH, KW = window.kernel_size
    return groups == 1 and window.dilation == (1, 1) and (KH, KW * C) in FORMS and OC <= 2 * LANES


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
                          wide=panel_width(OC)),
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
                             gated=2 if index is not None else int(y is not None), gate=gate, most=address(most)), work)
    threads.run(deliver, Delivery(address(sums), parts, prod(size), C, OC, 1, address(gW)), sums.size // threads.TINY)
    return gW, np.add.reduce(own.reshape(parts, OC))
