"""Depthwise convolution: every channel by itself, so no matrix product, but 9 multiplications a number that is read.

    y[n, oh, ow, c] = sum over kh, kw of x[n, oh*SH + kh*DH - top, ow*SW + kw*DW - left, c] * W[kh, kw, c]

It should take as long as reading x and writing y once. Channels lie side by side, so a vector holds LANES of them, and
a kernel takes PLACES of a row at a time, then all vectors of these pixels: in the order in which they lie in memory.
The rows of the window come from a table of addresses, zeros for those outside the image, and a number that was read
serves all the places that see it. Where the images exceed the caches, the row that the next row of places will see is
asked for meanwhile, and the one that it will write: that halves the time. At the left and right edges, places are
computed one by one, and the table is one of all the window's pixels. What 3x3 windows side by side see is in pairs.py.

The data gradient is the same walk. A pixel of gx was seen by the taps kh for which h + top - kh*DH is a multiple of SH:
the same ones for every SHth row, so there are SH * SW kinds of pixels. Along an axis, the taps of a kind are as far
from one another as those of any other kind, and so are the pixels of gy that they meet.
"""

from __future__ import annotations

import functools
from math import gcd
from typing import NamedTuple

import numpy as np

from nailorch.kernels.fast import pairs, threads
from nailorch.kernels.fast.emit import SIZE, kernel, peek, take
from nailorch.kernels.fast.gemm import beside
from nailorch.kernels.fast.jit import inner, opened, worker
from nailorch.kernels.fast.layout import channels_last, like
from nailorch.kernels.fast.memory import POOL, address, again, from_weights, images, strides, unfilled, zeros
from nailorch.kernels.fast.target import LANES
from nailorch.kernels.fast.tiles import rectified

PLACES = 4  # of a row, computed together
SLAB = 12 * LANES  # channels that are taken along: what their windows read stays in the first cache
PIECES = 4  # of work to a thread
LARGE = 3 << 20  # numbers that the caches do not hold; asking for those that they do hold takes a fifth longer
ENOUGH = 1 << 17  # multiplications that are worth a thread


def by_vectors(m, channels, body):
    """Run body(offset, load, store) for every vector of the channels, the last one in part."""
    rest = channels % LANES
    m.loop(channels // LANES, lambda v: body(v * SIZE, m.load, m.store))
    m.when(rest, lambda: body(
        channels // LANES * SIZE, lambda at: m.load_part(at, rest), lambda at, x: m.store_part(at, x, rest)))


def fetch(m, at, rows, row_step, pixels, step):
    """Ask for one vector of each of `pixels` pixels, in as many rows."""
    m.loop(rows, lambda r: [m.prefetch(at + r * row_step + i * step) for i in range(pixels)] and None)


def forward_kernel(places, window=0, stride=0, lines=0):
    """Return the kernel of a run: blocks of `places` places, the first at place 0, the last one at `last`.

    A row of the table is a row of the window: where its first tap lies for place 0, in the source, and its weight. From
    tap to tap it is `apart` and `weight_step` bytes, from place to place `step` bytes. With `window` taps in a row and
    a stride that are known here, apart = step / stride, and a number is loaded once for all places. `lines` rows of the
    table may be known too. If `large` is 1, it asks for the `new` rows that the next row of places will
    see, from `ahead` on, and for the next row of out.
    """
    def run(m, table, rows, shift, taps, apart, weight_shift, weight_step, blocks, last, between, step, out, out_step,
            channels, bias, relu, gated, gate, added, large, ahead, new, row_step, out_ahead):
        def block(b):
            first = b * last // between

            def vector(at, load, store):
                def row(r, *sums):
                    pixel, w = m.word(table + r * 16) + away, m.word(table + r * 16 + 8) + (weight_shift + at)

                    def tap(k, *sums):
                        weight = load(w + k * weight_step)
                        return [m.fma(load(pixel + k * apart + i * step), weight, s) for i, s in enumerate(sums)]

                    if not window:
                        return m.loop(taps, tap, *sums)
                    seen = [load(pixel + i * apart) for i in range((places - 1) * stride + window)]
                    for k in range(window):
                        weight = load(w + k * weight_step)
                        sums = [m.fma(seen[i * stride + k], weight, s) for i, s in enumerate(sums)]
                    return sums

                def prepare():
                    fetch(m, ahead + away, new, row_step, places * max(stride, 1), apart if stride else step)
                    fetch(m, to + out_ahead, 1, 0, places, out_step)

                away, to, zero = shift + first * step + at, out + first * out_step + at, m.splat(0)
                m.when(large, prepare)
                sums = [load(bias + at)] * places
                for r in range(lines):
                    sums = row(r, *sums)
                sums = sums if lines else m.loop(rows, row, *sums)
                sums = m.loop(added, lambda _, *s: [x + load(to + i * out_step + gate) for i, x in enumerate(s)], *sums)
                sums = rectified(m, relu, sums)
                sums = m.loop(gated, lambda _, *s: [m.below(zero, load(to + i * out_step + gate), x, zero)
                                                    for i, x in enumerate(s)], *sums)
                for i, x in enumerate(sums):
                    store(to + i * out_step, x)

            by_vectors(m, channels, vector)

        m.loop(blocks, block)

    return kernel(run)


def gradient_kernel(places):
    """Return the kernel that adds up what a run says about the weights; its table has their sums in place of them."""
    def run(m, table, rows, shift, taps, apart, weight_step, blocks, step, gy, gy_step, channels):
        def block(b):
            def vector(at, load, store):
                away, to = shift + b * places * step + at, gy + b * places * gy_step + at
                gs = [load(to + i * gy_step) for i in range(places)]

                def row(r):
                    pixel, w = m.word(table + r * 16) + away, m.word(table + r * 16 + 8) + at

                    def tap(k):
                        total = load(w + k * weight_step)
                        for i, g in enumerate(gs):
                            total = m.fma(load(pixel + k * apart + i * step), g, total)
                        store(w + k * weight_step, total)

                    m.loop(taps, tap)

                m.loop(rows, row)

            by_vectors(m, channels, vector)

        m.loop(blocks, block)

    return kernel(run)


def window_gradient_kernel(places, window, stride, lines):
    """Return the same for so many rows, whose sums stay in registers: vector by vector, each along the whole run."""
    def run(m, table, shift, apart, weight_step, blocks, step, gy, gy_step, channels, large, ahead, new,
            row_step, gy_ahead):
        def vector(at, load, store):
            def block(b, *totals):
                away, to, sums = shift + b * places * step + at, gy + b * places * gy_step + at, list(totals)

                def prepare():
                    fetch(m, ahead + away, new, row_step, places * stride, apart)
                    fetch(m, to + gy_ahead, 1, 0, places, gy_step)

                m.when(large, prepare)
                gs = [load(to + i * gy_step) for i in range(places)]
                for r in range(lines):
                    pixel = m.word(table + r * 16) + away
                    seen = [load(pixel + i * apart) for i in range((places - 1) * stride + window)]
                    for i, g in enumerate(gs):
                        for k in range(window):
                            sums[r * window + k] = m.fma(seen[i * stride + k], g, sums[r * window + k])
                return sums

            cells = [m.word(table + r * 16 + 8) + at + k * weight_step for r in range(lines) for k in range(window)]
            for cell, total in zip(cells, m.loop(blocks, block, *map(load, cells)), strict=True):
                store(cell, total)

        by_vectors(m, channels, vector)

    return kernel(run)


KNOWN = (PLACES, 1, 1), (PLACES, 2, 1), (PLACES, 3, 1), (PLACES, 3, 2)
EDGE = 1, 1, 1, 9  # a single place of a 3x3 window: its table has a row for each pixel
forward_edge, forward_edge_9, forward_any, forward_1, forward_2, forward_3, forward_3_2 = (
    forward_kernel(*which) for which in ((1,), EDGE, (PLACES,), *KNOWN))
gradient_edge, gradient_any = gradient_kernel(1), gradient_kernel(PLACES)
gradient_edge_9, gradient_3, gradient_3_2 = (
    window_gradient_kernel(*which) for which in (EDGE, (*KNOWN[2], 3), (*KNOWN[3], 3)))


class Axis(NamedTuple):
    """How a walk goes along an axis."""

    step: int  # pixels of the source from one place to the next of its kind
    turns: int  # kinds of places, which take turns
    apart: int  # pixels of the source from tap to tap
    onward: int  # taps of the weight from one to the next
    kinds: np.ndarray  # of each: where the first place's first tap lies, which of the weight's it is, how many follow


class Walk(NamedTuple):
    """A depthwise convolution: addresses, and steps in bytes."""

    out: int
    out_n: int
    out_h: int
    out_w: int
    N: int
    OH: int
    OW: int
    source: int
    source_n: int
    source_h: int
    source_w: int
    H: int
    W: int
    channels: int
    weight: int  # (KH, KW, channels); or the sums, (parts, KH, KW, channels)
    KH: int
    KW: int
    bias: int
    relu: int
    gated: int
    gate: int
    added: int
    large: int
    zeros: int  # as many as a row of the source has
    step_h: int
    turns_h: int
    apart_h: int
    onward_h: int
    kinds_h: int
    step_w: int
    turns_w: int
    apart_w: int
    onward_w: int
    kinds_w: int
    parts: int  # of an image's rows; of all rows, for the weight gradient
    pairs: int = 0  # 1: rows are computed two at a time


@inner
def look_up(g, n, oh, weight, at, table):
    """Fill the table of a row of places: where the window's rows lie in the source and the weight. Return how many.

    The entry after the last one is the source's row that a next row of places will see.
    """
    kind, step, tap_step = g.kinds_h + 24 * (oh % g.turns_h), g.source_h, 4 * g.KW * g.channels
    first, tap, taps = oh // g.turns_h * g.step_h + peek(kind), peek(kind + 8), peek(kind + 16)
    for k in range(taps):
        y = first + k * g.apart_h
        table[2 * k] = g.source + n * g.source_n + y * step + at if y >= 0 and y < g.H else g.zeros
        table[2 * k + 1] = weight + (tap + k * g.onward_h) * tap_step + at
    table[2 * taps] = g.source + n * g.source_n + (first + (taps - 1) * g.apart_h + 1) * step + at
    return taps


@inner
def look_around(g, table, rows, x, tap, taps, cells):
    """Fill the table of a single place, whose first tap is at column x: where all its pixels lie, and the weights."""
    for r in range(rows):
        for k in range(taps):
            here, c = x + k * g.apart_w, 2 * (r * taps + k)
            cells[c] = table[2 * r] + here * g.source_w if here >= 0 and here < g.W else g.zeros
            cells[c + 1] = table[2 * r + 1] + 4 * (tap + k * g.onward_w) * g.channels
    return rows * taps


@inner
def inside(first, step, taps, apart, size, count):
    """Return which of the places see no pixel beyond the edges: the first, and the one after the last."""
    low = min(max(-(first // step), 0), count)
    return low, min(max((size - 1 - first - (taps - 1) * apart) // step + 1, low), count)


@inner
def compute_row(g, table, rows, cells, out, channels, bias):
    """Compute a row of places."""
    apart, onward, step, out_step = (g.apart_w * g.source_w, 4 * g.onward_w * g.channels, g.step_w * g.source_w,
                                     g.turns_w * g.out_w)
    lines, around, ahead = table.ctypes.data, cells.ctypes.data, table[2 * rows]
    for turn in range(g.turns_w):
        kind, count, ow = g.kinds_w + 24 * turn, (g.OW - turn + g.turns_w - 1) // g.turns_w, 0
        first, tap, taps = peek(kind), peek(kind + 8), peek(kind + 16)
        low, high = inside(first, g.step_w, taps, g.apart_w, g.W, count)
        while ow < count:
            x, to, weight = first + ow * g.step_w, out + turn * g.out_w + ow * out_step, 4 * tap * g.channels
            if ow != low or high - low < PLACES:
                pixels = look_around(g, table, rows, x, tap, taps, cells)
                if pixels == 9:
                    forward_edge_9(around, 9, 0, 1, 0, 0, 0, 1, 0, 1, 0, to, 0, channels, bias, g.relu, g.gated, g.gate,
                                   g.added, 0, 0, 0, 0, 0)
                else:
                    forward_edge(around, pixels, 0, 1, 0, 0, 0, 1, 0, 1, 0, to, 0, channels, bias, g.relu, g.gated,
                                 g.gate, g.added, 0, 0, 0, 0, 0)
                ow += 1
                continue
            run, shift = high - low, x * g.source_w
            blocks, last = -(-run // PLACES), run - PLACES
            between = max(blocks - 1, 1)
            if taps == 3 and apart == step:
                forward_3(lines, rows, shift, taps, apart, weight, onward, blocks, last, between, step, to,
                          out_step, channels, bias, g.relu, g.gated, g.gate, g.added, g.large, ahead, g.step_h,
                          g.source_h, g.out_h)
            elif taps == 3 and 2 * apart == step:
                forward_3_2(lines, rows, shift, taps, apart, weight, onward, blocks, last, between, step, to,
                            out_step, channels, bias, g.relu, g.gated, g.gate, g.added, g.large, ahead, g.step_h,
                            g.source_h, g.out_h)
            elif taps == 2 and apart == step:
                forward_2(lines, rows, shift, taps, apart, weight, onward, blocks, last, between, step, to,
                          out_step, channels, bias, g.relu, g.gated, g.gate, g.added, g.large, ahead, g.step_h,
                          g.source_h, g.out_h)
            elif taps == 1 and apart == step:
                forward_1(lines, rows, shift, taps, apart, weight, onward, blocks, last, between, step, to,
                          out_step, channels, bias, g.relu, g.gated, g.gate, g.added, g.large, ahead, g.step_h,
                          g.source_h, g.out_h)
            else:
                forward_any(lines, rows, shift, taps, apart, weight, onward, blocks, last, between, step, to,
                            out_step, channels, bias, g.relu, g.gated, g.gate, g.added, g.large, ahead, g.step_h,
                            g.source_h, g.out_h)
            ow += run


@inner
def add_row(g, table, rows, cells, gy, channels):
    """Add a row's products to the sums."""
    apart, onward, step = g.apart_w * g.source_w, 4 * g.channels, g.step_w * g.source_w
    lines, around, ahead = table.ctypes.data, cells.ctypes.data, table[2 * rows]
    first, taps, ow = peek(g.kinds_w), g.KW, 0
    low, high = inside(first, g.step_w, taps, g.apart_w, g.W, g.OW)
    while ow < g.OW:
        x, to = first + ow * g.step_w, gy + ow * g.out_w
        blocks, shift = (high - ow) // PLACES, x * g.source_w
        if ow < low or blocks <= 0:
            pixels = look_around(g, table, rows, x, 0, taps, cells)
            if pixels == 9:
                gradient_edge_9(around, 0, 0, 0, 1, 0, to, 0, channels, 0, 0, 0, 0, 0)
            else:
                gradient_edge(around, pixels, 0, 1, 0, 0, 1, 0, to, 0, channels)
            ow += 1
            continue
        if rows == 3 and taps == 3 and apart == step:
            gradient_3(lines, shift, apart, onward, blocks, step, to, g.out_w, channels, g.large, ahead, g.step_h,
                       g.source_h, g.out_h)
        elif rows == 3 and taps == 3 and 2 * apart == step:
            gradient_3_2(lines, shift, apart, onward, blocks, step, to, g.out_w, channels, g.large, ahead, g.step_h,
                         g.source_h, g.out_h)
        else:
            gradient_any(lines, rows, shift, taps, apart, onward, blocks, step, to, g.out_w, channels)
        ow += blocks * PLACES


@worker(Walk)
def forward(_, job):
    """Take bands of rows of places."""
    g = opened(job)
    table, cells = np.empty(2 * g.KH + 1, np.int64), np.empty(2 * g.KH * g.KW, np.int64)
    pixels, together = np.empty(pairs.TABLE, np.int64), 1 + g.pairs
    while True:
        work = take(g.counter)
        if work >= g.N * g.parts:
            return
        n, band = work // g.parts, work % g.parts
        begin, end = band * g.OH // g.parts // together * together, (band + 1) * g.OH // g.parts // together * together
        end = g.OH if band + 1 == g.parts else end
        for c in range(0, g.channels, SLAB):
            channels, bias = min(SLAB, g.channels - c), g.bias + 4 * c
            for oh in range(begin, end, together):
                if g.pairs and oh + 1 < end:
                    pairs.compute_pair(g, n, oh, c, channels, bias, pixels)
                else:
                    rows = look_up(g, n, oh, g.weight, 4 * c, table)
                    compute_row(g, table, rows, cells, g.out + n * g.out_n + oh * g.out_h + 4 * c, channels, bias)


@worker(Walk)
def gradient(_, job):
    """Take parts of all rows of places; each has sums of its own, which begin as zeros."""
    g = opened(job)
    table, cells = np.empty(2 * g.KH + 1, np.int64), np.empty(2 * g.KH * g.KW, np.int64)
    pixels, total = np.empty(pairs.TABLE, np.int64), g.N * g.OH
    while True:
        part = take(g.counter)
        if part >= g.parts:
            return
        sums = g.weight + 4 * part * g.KH * g.KW * g.channels
        for c in range(0, g.channels, SLAB):
            channels, row, end = min(SLAB, g.channels - c), part * total // g.parts, (part + 1) * total // g.parts
            while row < end:
                n, oh = row // g.OH, row % g.OH
                both = g.pairs and row + 1 < end and oh + 1 < g.OH
                if both:
                    pairs.add_pair(g, n, oh, c, channels, sums + 4 * c, pixels)
                else:
                    rows = look_up(g, n, oh, sums, 4 * c, table)
                    add_row(g, table, rows, cells, g.out + n * g.out_n + oh * g.out_h + 4 * c, channels)
                row += 1 + both


@functools.lru_cache(256)
def axes(window, back):
    """Return how a convolution, or its data gradient, walks down and across."""
    return tuple(axis(*sizes, before, back) for *sizes, (before, _) in zip(
        window.kernel_size, window.stride, window.dilation, window.pad, strict=True))


def axis(size, stride, dilation, before, back):
    if not back:
        return Axis(stride, 1, dilation, 1, np.array([(-before, 0, size)]))
    common, kinds = gcd(stride, dilation), []
    for first in range(stride):
        seen = [k for k in range(size) if (first + before - k * dilation) % stride == 0]
        tap = seen[-1] if seen else 0  # of the first pixel of gy
        kinds.append(((first + before - tap * dilation) // stride, tap, len(seen)))
    return Axis(1, stride, dilation // common, -(stride // common), np.array(kinds))


def start(worker, way, out, source, weight, size, bias=None, relu=0, gate=None, added=None, parts=0, by_pairs=False):
    """Let the threads walk along out's rows."""
    (N, C, OH, OW), (down, across) = out.shape, way
    row = source.shape[3] * source.strides[3]  # bytes; below 0 where images are mirrored
    nothing = zeros(C + abs(row) // 4)
    bias = nothing if bias is None else np.ascontiguousarray(bias)
    threads.run(worker, Walk(
        address(out), *strides(out), N, OH, OW, address(source), *strides(source), *source.shape[2:], C,
        address(weight), *size, address(bias), int(relu), int(gate is not None),
        beside(gate if added is None else added, out), int(added is not None), int(out.size + source.size > LARGE),
        address(nothing) - min(row, 0), *down[:-1], address(down.kinds), *across[:-1], address(across.kinds),
        parts or min(-(-PIECES * threads.count() // max(N, 1)), max(OH // 3, 1)), int(by_pairs)),
        out.size * size[0] * size[1] // ENOUGH)


def side_by_side(weight):
    """Return the weights as (KH * KW, channels), vectors in lines of memory."""
    def arranged():
        columns = weight.reshape(len(weight), -1).T
        packed = unfilled(columns.shape, pool=POOL)
        packed[...] = columns
        return packed

    return from_weights(arranged)


def conv2d(image, weight, bias, window, relu=0, added=None):
    """Convolve every channel of the images with its own filter, weight (C, 1, KH, KW)."""
    x, y = channels_last(image), images(*image.shape[:2], *window.outsize(image.shape[2:]))
    start(forward, axes(window, False), y, x, side_by_side(weight), window.kernel_size, bias, relu,
          added=None if added is None else like(added, y), by_pairs=pairs.serves(window, y.shape[3]))
    return y


def conv2d_data_grad(gy, weight, size, window, gate=None):
    """Return the gradient of the images."""
    gx, gy = images(*gy.shape[:2], *size), channels_last(gy)
    start(forward, axes(window, True), gx, gy, side_by_side(weight), window.kernel_size,
          gate=None if gate is None else like(gate, gx), by_pairs=pairs.serves(window, size[1]))
    return gx


def conv2d_weight_grad(image, gy, window):
    """Return the gradient of the weights, (C, 1, KH, KW)."""
    x, gy, C, (KH, KW) = channels_last(image), channels_last(gy), image.shape[1], window.kernel_size
    parts = max(min(2 * threads.count(), len(gy) * gy.shape[2]), 1)
    sums = again(lambda: np.zeros((parts, KH * KW, C), np.float32))
    start(gradient, axes(window, False), gy, x, sums, (KH, KW), parts=parts,
          by_pairs=pairs.serves(window, gy.shape[3]) and gy.shape[3] % pairs.WIDTH == 0)
    return again(lambda: np.ascontiguousarray(sums.sum(axis=0).T).reshape(C, 1, KH, KW))
