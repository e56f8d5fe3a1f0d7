"""An inverted residual in one go: 1x1 convolution to many channels, depthwise, 1x1 back to few; MobileNet's block.

One after the other, the three would write the wide middle to memory and read it again, twice: more than their few
multiplications take. Here a thread takes some rows of an image through all three. Of the expanded rows it keeps, in a
ring, those that the depthwise windows still need; they and what becomes of them stay in its second cache. Only where
two threads' rows meet is a row or two expanded twice. Of small images it takes several at once, so that the weights,
too, are fetched for many pixels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from nailorch.kernels.fast import convolution, threads
from nailorch.kernels.fast.convolution import RELU
from nailorch.kernels.fast.depthwise import SLAB, axes, compute_row, side_by_side
from nailorch.kernels.fast.dispatch import record
from nailorch.kernels.fast.emit import SIZE, kernel, peek, take
from nailorch.kernels.fast.gemm import beside, pack_forward
from nailorch.kernels.fast.jit import inner, opened, worker
from nailorch.kernels.fast.layout import copied, like
from nailorch.kernels.fast.memory import ALIGN, address, floats, images, strides, zeros
from nailorch.kernels.fast.panels import panel_width
from nailorch.kernels.fast.target import LANES
from nailorch.kernels.fast.tiles import WIDE, rectified, rolled
from nailorch.shapes import Window

PIXELS = 48  # of the result that are computed at a time, at least
TALL = 12  # rows of the tiles for what is left of the channels
MOST = 3 << 18  # bytes of rows between that a thread keeps: more would not stay in its second cache
HIGH = 24  # rows of a band, at least, where rows are expanded: more bands would expand more of them twice
BANDS = 4  # of an image's rows to a thread, at most


def product(rows, vectors):
    """Return the kernel of a product's panel: out[i] = relu(bias + sum over k of a[i, k] * b[k] + added[i]).

    Rows are `a_step` and `out_step` bytes apart, and are computed in `blocks` of so many: the first one begins at row
    0, the last one at `last`, and those between overlap where the rows do not come out even. `part` numbers of the last
    vector are real. If `added` is 1, what lies `beside` bytes from out is added before relu, which is as in tiles.py.
    """
    def body(m, a, a_step, depth, b, bias, out, out_step, blocks, last, between, part, relu, added, beside):
        def load(at, v):
            return m.load(at + SIZE * v) if v < vectors - 1 else m.load_part(at + SIZE * v, part)

        def block(i):
            first = i * last // between
            left, outs = ([base + (first + r) * step for r in range(rows)]
                          for base, step in ((a, a_step), (out, out_step)))

            def several(steps):
                def step(i, *sums):
                    for k in range(steps):
                        at = b + i * (SIZE * vectors * steps) + SIZE * vectors * k
                        right, new = [m.load(at + SIZE * v) for v in range(vectors)], []
                        for r in range(rows):
                            number = m.broadcast(left[r] + i * (4 * steps) + 4 * k)
                            new += [m.fma(number, right[v], sums[vectors * r + v]) for v in range(vectors)]
                        sums = new
                    return sums
                return step

            start = [load(bias, v) for v in range(vectors)]
            sums = rolled(m, depth, several, *(start * rows))
            cells = [(r, v) for r in range(rows) for v in range(vectors)]
            sums = m.when(added, lambda *sums: [
                x + load(outs[r] + beside, v) for (r, v), x in zip(cells, sums, strict=True)], *sums)
            for (r, v), x in zip(cells, rectified(m, relu, sums), strict=True):
                if v < vectors - 1:
                    m.store(outs[r] + SIZE * v, x)
                else:
                    m.store_part(outs[r] + SIZE * v, x, part)

        m.loop(blocks, block)

    return kernel(body)


whole_wide, whole_1, whole_2, whole_3 = product(6, WIDE), product(TALL, 1), product(TALL, 2), product(8, 3)
single_wide, single_1, single_2, single_3 = (product(1, vectors) for vectors in (WIDE, 1, 2, 3))


class Block(NamedTuple):
    """An inverted residual: addresses, and steps in bytes. The depthwise part's names are those of depthwise.py."""

    out: int
    out_n: int
    OH: int
    OW: int
    out_channels: int
    N: int
    source: int
    source_n: int
    source_h: int
    source_w: int
    H: int
    W: int
    depth: int  # channels of the image
    expand: int  # panels, or 0: there is no such part
    expand_bias: int
    expand_relu: int
    weight: int
    bias: int
    relu: int
    project: int
    project_bias: int
    project_relu: int
    residual: int  # 1: what lies `beside` bytes from out is added
    beside: int
    channels: int  # between
    KH: int
    KW: int
    step_h: int
    apart_h: int
    kinds_h: int
    step_w: int
    turns_w: int
    apart_w: int
    onward_w: int
    kinds_w: int
    out_h: int  # of the depthwise part's results
    out_w: int
    zeros: int
    rows: int  # of the result at a time
    ring: int  # expanded rows of each image that are kept
    together: int  # images
    bands: int
    scratch: int  # each worker has so many bytes there
    size: int
    gated: int = 0
    gate: int = 0
    added: int = 0
    large: int = 0


@inner
def multiply(a, a_step, count, depth, panels, bias, out, out_step, channels, relu, added, beside):
    """Multiply so many rows with all panels of a matrix."""
    wide = panel_width(channels)
    for first in range(0, channels, wide):
        numbers = min(wide, channels - first)
        vectors = -(-numbers // LANES)
        part = numbers - (vectors - 1) * LANES
        b, to, start = panels + 4 * depth * first, out + 4 * first, bias + 4 * first
        high = 6 if vectors == WIDE else 8 if vectors == 3 else TALL
        blocks, last = -(-count // high), count - high
        between = max(blocks - 1, 1)
        if vectors == WIDE:
            if count >= high:
                whole_wide(a, a_step, depth, b, start, to, out_step, blocks, last, between, part, relu, added, beside)
            else:
                single_wide(a, a_step, depth, b, start, to, out_step, count, count - 1, max(count - 1, 1), part, relu,
                            added, beside)
        elif vectors == 1:
            if count >= high:
                whole_1(a, a_step, depth, b, start, to, out_step, blocks, last, between, part, relu, added, beside)
            else:
                single_1(a, a_step, depth, b, start, to, out_step, count, count - 1, max(count - 1, 1), part, relu,
                         added, beside)
        elif vectors == 2:
            if count >= high:
                whole_2(a, a_step, depth, b, start, to, out_step, blocks, last, between, part, relu, added, beside)
            else:
                single_2(a, a_step, depth, b, start, to, out_step, count, count - 1, max(count - 1, 1), part, relu,
                         added, beside)
        else:
            if count >= high:
                whole_3(a, a_step, depth, b, start, to, out_step, blocks, last, between, part, relu, added, beside)
            else:
                single_3(a, a_step, depth, b, start, to, out_step, count, count - 1, max(count - 1, 1), part, relu,
                         added, beside)


@inner
def expand_rows(g, source, ring, begin, end):
    """Expand rows of an image into their places in the ring."""
    y, row = begin, g.W * 4 * g.channels
    while y < end:
        run = min(end - y, g.ring - y % g.ring)
        multiply(source + y * g.source_h, 4 * g.depth, run * g.W, g.depth, g.expand,
                 g.expand_bias, ring + y % g.ring * row, 4 * g.channels, g.channels, g.expand_relu, 0, 0)
        y += run


@inner
def look_down(g, oh, source, ring, c, table):
    """Fill the table of a row of places: where the window's rows lie, expanded or in the image, and in the weight."""
    first, taps, step = oh * g.step_h + peek(g.kinds_h), g.KH, g.W * 4 * g.channels
    for k in range(taps):
        y = first + k * g.apart_h
        at = ring + y % g.ring * step if g.expand else source + y * g.source_h
        table[2 * k] = at + 4 * c if y >= 0 and y < g.H else g.zeros
        table[2 * k + 1] = g.weight + 4 * (k * g.KW * g.channels + c)
    table[2 * taps] = 0


@worker(Block)
def through(number, job):
    """Take images, or bands of their rows, until none is left."""
    g = opened(job)
    ring = g.scratch + number * g.size
    row, spread = g.W * 4 * g.channels, (g.KH - 1) * g.apart_h + 1
    middle = ring + (g.together * g.ring * row if g.expand else 0)
    table, cells = np.empty(2 * g.KH + 1, np.int64), np.empty(2 * g.KH * g.KW, np.int64)
    while True:
        work = take(g.counter)
        n, band = work // g.bands * g.together, work % g.bands
        if n >= g.N:
            return
        images, oh, end = min(g.together, g.N - n), band * g.OH // g.bands, (band + 1) * g.OH // g.bands
        done = max(oh * g.step_h + peek(g.kinds_h), 0)
        while oh < end:
            rows = min(g.rows, end - oh)
            seen = min((oh + rows - 1) * g.step_h + peek(g.kinds_h) + spread, g.H)
            if g.expand:
                for i in range(images):
                    expand_rows(g, g.source + (n + i) * g.source_n, ring + i * g.ring * row, done, seen)
            done = max(seen, done)
            for i in range(images):
                source, to = g.source + (n + i) * g.source_n, middle + i * rows * g.out_h
                for c in range(0, g.channels, SLAB):
                    for r in range(rows):
                        look_down(g, oh + r, source, ring + i * g.ring * row, c, table)
                        compute_row(g, table, g.KH, cells, to + r * g.out_h + 4 * c, min(SLAB, g.channels - c),
                                    g.bias + 4 * c)
            multiply(middle, g.out_w, images * rows * g.OW, g.channels, g.project, g.project_bias,
                     g.out + n * g.out_n + oh * g.OW * 4 * g.out_channels, 4 * g.out_channels, g.out_channels,
                     g.project_relu, g.residual, g.beside)
            oh += rows


def one_by_one(image, expand, depthwise, project, window, added):
    """Convolve thrice, each time all images."""
    (weight, bias, activation), point = depthwise, Window(1)
    if expand is not None:
        image = convolution.fused_conv2d(image, *expand[:2], point, 1, expand[2], None, False)
    image = convolution.fused_conv2d(image, weight, bias, window, len(weight), activation, None, False)
    return convolution.fused_conv2d(image, *project[:2], point, 1, project[2], added, False)


def gapless(image):
    """Return the images, a pixel behind the other: themselves, or a copy."""
    return image if image.transpose(0, 2, 3, 1).flags.c_contiguous and image.flags.aligned else copied(image)


def cut(N, rows, workers, high):
    """Return into how many bands to cut each image, so that all threads have as many of them."""
    least = workers // math.gcd(N, workers)
    return min(least * max(min(BANDS * workers // (N * least), rows // (high * least)), 1), rows)


def fused_bottleneck(image, expand, depthwise, project, window, added=None):
    """Convolve thrice: `expand` (or None), `depthwise` and `project` are each (weight, bias or None, activation)."""
    x, (N, C, H, W), (OH, OW) = gapless(image), image.shape, window.outsize(image.shape[2:])
    (weight, bias, activation), OC = depthwise, project[0].shape[0]
    y, wide, (down, across) = images(N, OC, OH, OW), len(weight), axes(window, False)
    nothing = zeros(max(OC, wide) * 2 + W * wide)

    def ready(layer):
        """Return a 1x1 convolution's panels, bias and relu."""
        panels, bias = pack_forward(layer[0], 1), nothing if layer[1] is None else np.ascontiguousarray(layer[1])
        return panels, bias, RELU[layer[2]]

    workers, spread = threads.count(), (window.kernel_size[0] - 1) * window.dilation[0] + 1
    rows, together = min(-(-PIXELS // OW), OH), 1
    bands = cut(N, OH, workers, HIGH if expand is not None else HIGH // 3)
    if bands == 1 and rows == OH:
        together = max(min(-(-2 * PIXELS // (OH * OW)), N // (2 * workers)), 1)
    while True:
        ring = rows * window.stride[0] + spread if together == 1 else H
        size = -(-4 * wide * together * (ring * W * (expand is not None) + rows * OW) // ALIGN) * ALIGN
        if size <= MOST:
            break
        if rows == together == 1:
            return one_by_one(image, expand, depthwise, project, window, added)
        rows, together = rows if together > 1 else rows // 2, 1
    record('bottleneck', 'bottleneck')
    scratch = floats(workers * size // 4)
    weights, bias = side_by_side(weight), nothing if bias is None else np.ascontiguousarray(bias)
    last, last_bias, last_relu = ready(project)
    first, first_bias, first_relu = (nothing, nothing, 0) if expand is None else ready(expand)
    other = None if added is None else like(added, y)
    threads.run(through, Block(
        address(y), y.strides[0], OH, OW, OC, N, address(x), *strides(x)[:2], 4 * wide, H, W, C,
        0 if expand is None else address(first), address(first_bias), first_relu,
        address(weights), address(bias), RELU[activation], address(last), address(last_bias), last_relu,
        int(added is not None), beside(other, y), wide, *window.kernel_size, down.step, down.apart,
        address(down.kinds), *across[:-1], address(across.kinds), OW * 4 * wide, 4 * wide, address(nothing), rows,
        ring, together, bands, address(scratch), size), workers)
    return y
