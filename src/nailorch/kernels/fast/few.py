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
from nailorch.kernels.fast.gemm import pack_forward, panel_width
from nailorch.kernels.fast.jit import jit, opened, worker
from nailorch.kernels.fast.layout import channels_last
from nailorch.kernels.fast.memory import address, apart, floats, images, strides, zeros
from nailorch.kernels.fast.outer import Delivery, deliver
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
    """Return the kernel of sums[kh, k] += the sum over a row of places of source[kh, k] * gy."""
    def body(m, source, source_row, step, gy, gy_step, count, sums, sums_row, part):
        cells = [(kh, k) for kh in range(KH) for k in range(depth)]

        def place(i, *totals):
            right, at = m.load_part(gy + i * gy_step, part), source + i * step
            return [m.fma(m.broadcast(at + kh * source_row + 4 * k), right, x)
                    for (kh, k), x in zip(cells, totals, strict=True)]

        totals = m.loop(count, place, *(m.load_part(sums + i * sums_row, part) for i in range(len(cells))))
        for i, x in enumerate(totals):
            m.store_part(sums + i * sums_row, x, part)

    return kernel(body)


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
    while True:
        work = take(g.counter)
        if work >= g.N * pieces:
            return
        n, first = work // pieces, work % pieces * g.rows
        rows = min(g.rows, g.OH - first)
        fill(g, n, first, rows, band.ctypes.data)
        for r in range(rows):
            at = band.ctypes.data + 4 * r * g.step_h * width
            out = g.out + n * g.out_n + (first + r) * g.out_h
            for k in range(0, g.channels, LANES):
                panel = k // wide * wide
                weight_row = 4 * min(wide, -(-(g.channels - panel) // LANES) * LANES)
                weight = g.weight + 4 * g.KH * g.depth * panel + 4 * (k - panel)
                bias, part = g.bias + 4 * k, min(LANES, g.channels - k)
                if part == LANES:
                    line_whole(at, 4 * width, g.KH, g.depth, 4 * g.step_w, weight, weight_row, bias, out + 4 * k,
                               g.out_w, g.OW, part, g.relu)
                else:
                    line_part(at, 4 * width, g.KH, g.depth, 4 * g.step_w, weight, weight_row, bias, out + 4 * k,
                              g.out_w, g.OW, part, g.relu)


@worker(Few)
def collect(_, job):
    """Take parts of the images' rows, and add each one's share of the weight gradient up, in sums of its own."""
    g = opened(job)
    width, pieces, each = g.before + g.row + g.after, -(-g.OH // g.rows), g.KH * g.depth * g.channels
    band, row = np.empty(((g.rows - 1) * g.step_h + g.KH) * width, np.float32), 4 * g.channels
    while True:
        part = take(g.counter)
        if part >= g.parts:
            return
        sums = g.sums + 4 * part * each
        pad_row(0, sums, each, 0, 0)
        for work in range(part * g.N * pieces // g.parts, (part + 1) * g.N * pieces // g.parts):
            n, first = work // pieces, work % pieces * g.rows
            rows = min(g.rows, g.OH - first)
            fill(g, n, first, rows, band.ctypes.data)
            for r in range(rows):
                at = band.ctypes.data + 4 * r * g.step_h * width
                gy = g.out + n * g.out_n + (first + r) * g.out_h
                for k in range(0, g.channels, LANES):
                    to, numbers = sums + 4 * k, min(LANES, g.channels - k)
                    if g.form == 0:
                        sums_1(at, 4 * width, 4 * g.step_w, gy + 4 * k, g.out_w, g.OW, to, row, numbers)
                    elif g.form == 1:
                        sums_2(at, 4 * width, 4 * g.step_w, gy + 4 * k, g.out_w, g.OW, to, row, numbers)
                    else:
                        sums_3(at, 4 * width, 4 * g.step_w, gy + 4 * k, g.out_w, g.OW, to, row, numbers)


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


def job(x, y, window, **rest):
    """Return what both directions share: x is (N, H, W, C), y or gy (N, OC, OH, OW)."""
    (N, H, W, C), (_, OC, OH, OW), (KH, KW) = x.shape, y.shape, window.kernel_size
    (top, _), (left, right) = window.pad
    before, after, (SH, SW) = left * C, right * C, window.stride
    rows = min(BAND // (4 * SH * (before + W * C + after)), N * OH // (8 * threads.count()), OH)
    return Few(address(y), *strides(y), N, OH, OW, OC, address(x), *x.strides[:2], H, top, before, W * C, after,
               KH, KW * C, SH, SW * C, max(rows, 1), **rest)


def conv2d(image, weight, bias, window, relu=0):
    N, OC = len(image), weight.shape[0]
    x, y = in_rows(image), images(N, OC, *window.outsize(image.shape[2:]))
    packed, bias = pack_forward(weight, 1), zeros(OC + LANES) if bias is None else np.ascontiguousarray(bias)
    threads.run(convolve, job(x, y, window, weight=address(packed), bias=address(bias), relu=int(relu),
                          wide=panel_width(OC)),
                y.size * weight[0].size // SMALL)
    return y


def conv2d_weight_grad(image, gy, window):
    C, OC, size = image.shape[1], gy.shape[1], window.kernel_size
    x, gy, parts = in_rows(image), channels_last(gy), min(8 * threads.count(), -(-len(gy) * gy.shape[2] // ROWS))
    each, work = prod(size) * C * OC, gy.size * prod(size) * C // SMALL
    sums, gW = floats(parts * each), floats(each).reshape(OC, C, *size)
    threads.run(collect, job(x, gy, window, weight=0, bias=0, form=FORMS.index((size[0], size[1] * C)), parts=parts,
                             sums=address(sums)), work)
    threads.run(deliver, Delivery(address(sums), parts, prod(size), C, OC, 1, address(gW)), sums.size // threads.TINY)
    return gW
