"""Depthwise convolution: every channel by itself, so no matrix product, but 9 multiplications a number that is read.

Channels lie side by side, so a vector holds LANES of them, and a *run* of places in a row, all of whose cells lie
inside the image, is computed with the same few addresses: a table of where each cell's first pixel lies, and the step
to the next. Cells in rows above or below the image run along zeros; the places at the left and right edges are runs of
one.

    y[n, oh, ow, c] = sum over kh, kw of x[n, oh*SH + kh*DH - top, ow*SW + kw*DW - left, c] * W[kh, kw, c]
"""

from __future__ import annotations

import numpy as np

from nailorch.kernels.fast import threads
from nailorch.kernels.fast.emit import SIZE, kernel, peek, take
from nailorch.kernels.fast.gemm import Walk, beside, distances, kinds
from nailorch.kernels.fast.jit import jit, opened, worker
from nailorch.kernels.fast.layout import channels_last, like
from nailorch.kernels.fast.memory import address, images, strides, zeros
from nailorch.kernels.fast.target import LANES
from nailorch.kernels.fast.tiles import rectified

TOGETHER = 9  # cells whose gradients are summed at a time


def by_vectors(m, channels, body):
    """Run body(offset, load, store) for every vector of the channels, the last one in part."""
    rest = channels % LANES
    m.loop(channels // LANES, lambda v: body(v * SIZE, m.load, m.store))
    m.loop((rest + LANES - 1) // LANES, lambda _: body(
        channels // LANES * SIZE, lambda at: m.load_part(at, rest), lambda at, x: m.store_part(at, x, rest)))


@kernel
def run_forward(m, table, step, cells, weight, count, out, out_step, channels, bias, relu, gated, gate, added):
    """Convolve a run: `count` places, `step` bytes of the source apart."""
    def vector(at, load, store):
        def several(together):
            def block(first):
                def cell(c, *sums):
                    pixel, w = m.word(table + c * 8) + first * step + at, load(weight + c * channels * 4 + at)
                    return [m.fma(load(pixel + i * step), w, s) for i, s in enumerate(sums)]

                zero, to = m.splat(0), out + first * out_step + at
                sums = m.loop(cells, cell, *[load(bias + at)] * together)
                sums = m.loop(added, lambda _, *s: [x + load(to + i * out_step + gate) for i, x in enumerate(s)], *sums)
                sums = rectified(m, relu, sums)
                sums = m.loop(gated, lambda _, *s: [m.below(zero, load(to + i * out_step + gate), x, zero)
                                                    for i, x in enumerate(s)], *sums)
                for i, x in enumerate(sums):
                    store(to + i * out_step, x)
            return block

        m.loop(count // 8, lambda i: several(8)(i * 8))
        m.loop(count % 8 // 4, lambda _: several(4)(count // 8 * 8))
        m.loop(count % 4, lambda i: several(1)(count // 4 * 4 + i))

    by_vectors(m, channels, vector)


@kernel
def run_gradient(m, table, step, count, gy, gy_step, channels, sums):
    """Add a run's products to the sums of TOGETHER cells, (cells, channels)."""
    def vector(at, load, store):
        def pixel(i, *totals):
            g = load(gy + i * gy_step + at)
            return [m.fma(load(start + i * step), g, total) for start, total in zip(starts, totals, strict=True)]

        places = [sums + channels * (4 * c) + at for c in range(TOGETHER)]
        starts = [m.word(table + 8 * c) + at for c in range(TOGETHER)]
        for place, total in zip(places, m.loop(count, pixel, *map(load, places)), strict=True):
            store(place, total)

    by_vectors(m, channels, vector)


@jit
def inner(g, cells):
    """Return the first place of a row all of whose cells lie inside the image, and the place after the last."""
    low, high = 0, g.OW
    for cell in range(cells):
        dx = peek(g.dx + 8 * cell)
        low, high = max(low, -(dx // g.step_w)), min(high, (g.W - 1 - dx) // g.step_w + 1)
    low = min(low, g.OW)
    return low, max(high, low)


@jit
def first_pixels(g, cells, n, oh, ow, table):
    """Fill the table of a run's first pixels."""
    for cell in range(cells):
        y, x = oh * g.step_h + peek(g.dy + 8 * cell), ow * g.step_w + peek(g.dx + 8 * cell)
        inside = y >= 0 and y < g.H and x >= 0 and x < g.W
        table[cell] = g.source + n * g.source_n + y * g.source_h + x * g.source_w if inside else g.zeros


@worker(Walk)
def forward(_, job):
    """Take rows of places, run by run."""
    g = opened(job)
    table = np.empty(g.cells, np.int64)
    low, high = inner(g, g.cells)
    while True:
        row = take(g.counter)
        if row >= g.N * g.OH:
            return
        n, oh, ow = row // g.OH, row % g.OH, 0
        while ow < g.OW:
            count = high - low if ow == low and high > low else 1
            first_pixels(g, g.cells, n, oh, ow, table)
            run_forward(table.ctypes.data, g.step_w * g.source_w, g.cells, g.weight, count,
                        g.out + n * g.out_n + oh * g.out_h + ow * g.out_w, g.out_w, g.channels, g.bias, g.relu, g.gated,
                        g.gate, g.added)
            ow += count


@worker(Walk)
def gradient(_, job):
    """Take parts of the rows; each has sums of its own, (cells, channels), which begin as zeros."""
    g = opened(job)
    table = np.empty(g.cells, np.int64)
    low, high = inner(g, g.cells)
    while True:
        part = take(g.counter)
        if part >= g.parts:
            return
        for row in range(part * g.N * g.OH // g.parts, (part + 1) * g.N * g.OH // g.parts):
            n, oh, ow = row // g.OH, row % g.OH, 0
            while ow < g.OW:
                count = high - low if ow == low and high > low else 1
                first_pixels(g, g.cells, n, oh, ow, table)
                gy = g.out + n * g.out_n + oh * g.out_h + ow * g.out_w
                for cell in range(0, g.cells, TOGETHER):
                    run_gradient(table.ctypes.data + 8 * cell, g.step_w * g.source_w, count, gy, g.out_w, g.channels,
                                 g.weight + 4 * (part * g.cells + cell) * g.channels)
                ow += count


def start(worker, out, source, step, dy, dx, weight, bias=None, relu=0, gate=None, added=None, parts=1):
    """Let the threads run along out's rows."""
    N, C, OH, OW = out.shape
    nothing = zeros(source.strides[2] // 4 * 2 + 2 * C + OW * step[1] * source.strides[3] // 4)
    bias = nothing if bias is None else np.ascontiguousarray(bias)
    threads.run(worker, Walk(
        address(out), *strides(out), N, OH, OW, address(source), *strides(source), *source.shape[2:], *step, 1,
        address(weight), C, 1, address(bias), int(relu), int(gate is not None),
        beside(gate if added is None else added, out), address(nothing), len(dy), address(dy), address(dx), 1, 1, parts,
        int(added is not None)))


def conv2d(image, weight, bias, window, relu=0, added=None):
    """Convolve every channel of the images with its own filter, weight (C, 1, KH, KW)."""
    x, y = channels_last(image), images(*image.shape[:2], *window.outsize(image.shape[2:]))
    dy, dx = distances(window)
    packed = np.ascontiguousarray(weight.reshape(len(weight), -1).T)
    start(forward, y, x, window.stride, dy, dx, packed, bias, relu, added=None if added is None else like(added, y))
    return y


def conv2d_data_grad(gy, weight, size, window, gate=None):
    """Return the gradient of the images: like gemm's, a convolution of gy for each kind of pixel."""
    gx, gy, (SH, SW) = images(*gy.shape[:2], *size), channels_last(gy), window.stride
    gate = None if gate is None else like(gate, gx)
    rows, cols = (list(kinds(window, axis)) for axis in (0, 1))
    for h, kh, dy in rows:
        for w, kw, dx in cols:
            here = gx[:, :, h::SH, w::SW]
            if not len(kh) or not len(kw):
                here[...] = 0
            elif here.size:
                packed = np.ascontiguousarray(weight[:, 0][:, kh][:, :, kw].reshape(len(weight), -1).T)
                start(forward, here, gy, (1, 1), np.repeat(dy, len(dx)), np.tile(dx, len(dy)), packed,
                      gate=None if gate is None else gate[:, :, h::SH, w::SW])
    return gx


def conv2d_weight_grad(image, gy, window):
    """Return the gradient of the weights, (C, 1, KH, KW)."""
    x, gy, C, parts = channels_last(image), channels_last(gy), image.shape[1], threads.count()
    dy, dx = distances(window)
    cells = -(-len(dy) // TOGETHER) * TOGETHER
    beyond = np.full(cells - len(dy), x.shape[2] + gy.shape[2] * window.stride[0])  # cells that see no row of the image
    dy, dx = np.concatenate([dy, -beyond]), np.concatenate([dx, 0 * beyond])
    sums = np.zeros((parts, cells, C), np.float32)
    start(gradient, gy, x, window.stride, dy, dx, sums, parts=parts)
    real = window.kernel_size[0] * window.kernel_size[1]
    return np.ascontiguousarray(sums.sum(axis=0)[:real].T).reshape(C, 1, *window.kernel_size)
