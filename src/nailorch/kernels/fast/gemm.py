"""Convolution as a matrix product whose left matrix is never written down.

im2col copies every window into a row, and multiplies rows by filters. But a window is just KH * KW stretches of memory,
the C channels of a pixel each, and a register tile can fetch its rows from anywhere: so the driver hands it a *table of
addresses*, one for each cell of the kernel and each place. Cells outside the image point at zeros; stride and dilation
are only arithmetic on addresses.

    y[n, oh, ow, :] = sum over kh, kw of x[n, oh*SH + kh*DH - top, ow*SW + kw*DW - left, :] @ W[kh, kw]

The data gradient is the same walk. A pixel of gx was seen by the cells kh for which h + top - kh*DH is a multiple of
SH; those are the same for every SHth row. So there are SH * SW kinds of pixels, each a convolution of gy with step 1.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from nailorch.kernels.fast import packs, threads
from nailorch.kernels.fast.emit import peek, take
from nailorch.kernels.fast.jit import inner, opened, worker
from nailorch.kernels.fast.layout import channels_last, clear, copied, like
from nailorch.kernels.fast.memory import address, floats, images, strides, zeros
from nailorch.kernels.fast.panels import fill_panels, panel_width, panels_size
from nailorch.kernels.fast.target import LANES
from nailorch.kernels.fast.tiles import WIDE, row_tile, take_back

PLACES, MOST = 96, 384  # rows of the left matrix to a piece of work (their stretches stay in the second cache)
DEPTH = 512  # and so many columns of it at a time
BEYOND = 1 << 19  # numbers of a result: more than second caches hold, and the third one has other use
SMALL = 1 << 17  # multiplications that one thread has done before two would have begun
NARROW = 8  # rows of the tiles for what is left of the channels
SPARE = 8  # a last tile may be taller than what is left

wide_6, wide_5, wide_4 = row_tile(6, WIDE), row_tile(5, WIDE), row_tile(4, WIDE)
narrow_1, narrow_2, narrow_3 = row_tile(NARROW, 1), row_tile(NARROW, 2), row_tile(NARROW, 3)


class Walk(NamedTuple):
    """One pass of a kernel over images: addresses, and steps in bytes."""

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
    step_h: int  # pixels of the source from one row of places to the next
    step_w: int
    depth: int  # numbers in a stretch: the channels of a pixel (of its group)
    weight: int  # panels of `wide` output channels: (groups, panels, cells * depth, channels of the panel)
    channels: int  # of the output, in a group
    groups: int
    bias: int
    relu: int
    gated: int
    gate: int
    zeros: int
    cells: int  # stretches to a window, and where they are: tables of pixels from its place, down and across
    dy: int
    dx: int
    places: int  # to a piece of work
    panels_each: int  # panels of output channels to a piece of work
    parts: int = 1  # the weight gradient's: pieces of its own that each part of the places has
    added: int = 0  # 1: what lies `addend` bytes from the output is added to it, before relu
    addend: int = 0
    streamed: int = 0  # 1: the output goes past the caches
    wide: int = 0
    deep: int = 0  # the weight gradient's: rows of a piece of work
    sums: int = 0  # three rows for each piece of the places: see row_tile; or 0


@inner
def tall(rows, vectors):
    """Return how high the next tile is, for so many rows: 6, or 5 and 4 where they come out even."""
    if vectors < WIDE:
        return NARROW
    tiles = -(-rows // 6)
    return max(-(-rows // tiles), 4)


@inner
def tiles(count, rows, vectors, a, a_step, a_offset, segments, depth, b, start, start_step, start_offset, out, offset,
          part, relu, gated, gate, added, addend, ahead, onward, streamed, summed, sums, sums_step, fresh):
    """Compute so many tiles, one below the other."""
    if vectors == WIDE:
        if rows == 6:
            wide_6(count, a, a_step, a_offset, segments, depth, b, start, start_step, start_offset, out, offset,
                   part, relu, gated, gate, added, addend, ahead, onward, streamed, summed, sums, sums_step, fresh)
        elif rows == 5:
            wide_5(count, a, a_step, a_offset, segments, depth, b, start, start_step, start_offset, out, offset,
                   part, relu, gated, gate, added, addend, ahead, onward, streamed, summed, sums, sums_step, fresh)
        else:
            wide_4(count, a, a_step, a_offset, segments, depth, b, start, start_step, start_offset, out, offset,
                   part, relu, gated, gate, added, addend, ahead, onward, streamed, summed, sums, sums_step, fresh)
    elif vectors == 1:
        narrow_1(count, a, a_step, a_offset, segments, depth, b, start, start_step, start_offset, out, offset,
                 part, relu, gated, gate, added, addend, ahead, onward, streamed, summed, sums, sums_step, fresh)
    elif vectors == 2:
        narrow_2(count, a, a_step, a_offset, segments, depth, b, start, start_step, start_offset, out, offset,
                 part, relu, gated, gate, added, addend, ahead, onward, streamed, summed, sums, sums_step, fresh)
    else:
        narrow_3(count, a, a_step, a_offset, segments, depth, b, start, start_step, start_offset, out, offset,
                 part, relu, gated, gate, added, addend, ahead, onward, streamed, summed, sums, sums_step, fresh)


@inner
def look_up(g, first, count, group, stretch, out):
    """Fill the tables of a piece of work: where each place's stretches and its result lie.

    The last tile may be higher than what is left: then it computes the last place several times over.
    """
    n, oh, ow = first // (g.OH * g.OW), first // g.OW % g.OH, first % g.OW
    i = 0
    while i < count:
        run = min(count - i, g.OW - ow)  # places side by side
        result = g.out + n * g.out_n + oh * g.out_h + ow * g.out_w + 4 * group * g.channels
        out_w, step, source_w, W, outside = g.out_w, g.step_w, g.source_w, g.W, g.zeros
        for j in range(run):
            out[i + j] = result + j * out_w
        for cell in range(g.cells):
            y, x = oh * g.step_h + peek(g.dy + 8 * cell), ow * step + peek(g.dx + 8 * cell)
            at = g.source + n * g.source_n + y * g.source_h + 4 * group * g.depth
            row = stretch[cell]
            if y < 0 or y >= g.H:
                row[i:i + run] = outside
            else:
                for j in range(run):
                    row[i + j] = at + (x + j * step) * source_w if x + j * step >= 0 and x + j * step < W else outside
        i, ow = i + run, 0
        oh += 1
        if oh == g.OH:
            n, oh = n + 1, 0
    out[count:count + SPARE] = out[count - 1]
    for cell in range(g.cells):
        stretch[cell, count:count + 2 * SPARE] = stretch[cell, count - 1]  # a tile asks for the rows of the next one


@inner
def walk_piece(g, piece, count, group, first_panel, last_panel, stretch, out, bias):
    """Compute the places that the tables hold, for some panels of output channels."""
    a, outs, cells, wide = stretch.ctypes.data, out.ctypes.data, g.cells, g.wide
    a_step = 8 * stretch.shape[1]
    together = max(DEPTH // g.depth, 1)  # whole cells at a time, or a part of one
    padded = -(-g.channels // LANES) * LANES
    sums_step = 4 * g.groups * padded
    for cell in range(0, cells, together):
        segments = min(together, cells - cell)
        for k in range(0, g.depth, DEPTH):
            depth = min(DEPTH, g.depth - k) if together == 1 else g.depth
            begin, end = cell == 0 and k == 0, cell + segments == cells and k + depth == g.depth
            for panel in range(first_panel, last_panel):
                numbers = min(wide, g.channels - panel * wide)
                vectors = -(-numbers // LANES)
                part = numbers - (vectors - 1) * LANES
                b = g.weight + 4 * cells * g.depth * (group * padded + panel * wide)
                b += 4 * vectors * LANES * (cell * g.depth + k)
                offset = 4 * panel * wide
                sums = g.sums + 3 * sums_step * piece + 4 * (group * padded + panel * wide)
                summed, i = int(end and g.sums != 0), 0
                while i < count:
                    rows, alike = tall(count - i, vectors), 1
                    while i + alike * rows < count and tall(count - i - alike * rows, vectors) == rows:
                        alike += 1
                    to = outs + 8 * i
                    tiles(alike, rows, vectors, a + a_step * cell + 8 * i, a_step, 4 * k, segments, depth, b,
                          bias.ctypes.data if begin else to, 0 if begin else 8 * rows, offset, to, offset, part,
                          g.relu * end, g.gated * end, g.gate, g.added * end, g.addend, 0,
                          8 * rows * (panel == first_panel), g.streamed * end, summed, sums, sums_step, int(i == 0))
                    i += alike * rows
                if summed and i > count:
                    take_back(out[count - 1] + offset, numbers, i - count, sums, sums_step)
            if together > 1:
                break


@worker(Walk)
def walk(_, job):
    """Take pieces of work, places by groups by panels, until none is left."""
    g = opened(job)
    stretch = np.empty((g.cells, g.places + 2 * SPARE), np.int64)
    out, bias = np.empty(g.places + SPARE, np.int64), np.empty(SPARE, np.int64)
    total, panels = g.N * g.OH * g.OW, -(-g.channels // g.wide)
    pieces, shares = -(-total // g.places), -(-panels // g.panels_each)
    while True:
        work = take(g.counter)
        if work >= pieces * shares * g.groups:
            return
        # Groups follow one another, since they read the same pixels; then come other places.
        first, group, share = work // (shares * g.groups) * g.places, work // shares % g.groups, work % shares
        count, panel = min(g.places, total - first), share * g.panels_each
        look_up(g, first, count, group, stretch, out)
        bias[:] = g.bias + 4 * group * g.channels * (g.bias != g.zeros)
        walk_piece(g, first // g.places, count, group, panel, min(panels, panel + g.panels_each), stretch, out, bias)


def start(N, out, source, step, dy, dx, depth, weight, channels, groups, bias=None, relu=0, gate=None, added=None,
          size=0, by_panels=False, summed=False):
    """Cut a walk over N images into pieces, and let the threads take them. Out may be a part of `size` numbers.

    With `summed`, return how many places each piece had, and its columns' three rows of `row_tile`'s sums.
    `by_panels`, a piece is a single panel: where the time is that of reading the weights, threads are to read as many.
    """
    total, wide = N * out.shape[2] * out.shape[3], panel_width(channels)
    panels, nothing = -(-channels // wide), zeros(max(depth, channels) + WIDE * LANES)
    pieces, enough = -(-total // PLACES) * groups, 6 * threads.count()
    shares = min(panels, -(-enough // pieces)) if pieces < enough else 1
    shares = panels if by_panels else shares
    places = max(min(DEPTH // (depth * len(dy)) * PLACES, MOST, total // (2 * enough)), PLACES)
    rounds = round(total / (places * threads.count()))  # in which all threads have as much to do
    places = -(-total // (rounds * threads.count())) if rounds else min(places, total)
    bias = nothing if bias is None else np.ascontiguousarray(bias)
    sums = floats(-(-total // places) * 3 * panels_size(1, 1, channels, groups)) if summed else nothing
    threads.run(walk, Walk(
        address(out), *strides(out), N, *out.shape[2:], address(source), *strides(source), *source.shape[2:], *step,
        depth, address(weight), channels, groups, address(bias), int(relu), int(gate is not None),
        beside(gate, out), address(nothing), len(dy), address(dy), address(dx), places, -(-panels // shares),
        added=int(added is not None), addend=beside(added, out),
        streamed=int(max(out.size, size) >= BEYOND and channels % LANES == 0), wide=wide,
        sums=address(sums) if summed else 0), total * len(dy) * depth * channels * groups // SMALL)
    return places, sums.reshape(-(-total // places), 3, -1) if summed else None


def beside(other, out):
    """Return how many bytes lie between out and an array of its shape and memory order that is read along with it."""
    return 0 if other is None else address(other) - address(out)


# The two walks


def conv2d(image, weight, groups, bias, window, relu=0, added=None):
    """Convolve: one walk, cell (kh, kw) of the kernel a stretch of C channels."""
    return convolve(image, weight, groups, bias, window, relu, added)[0]


def conv2d_sums(image, weight, bias, window):
    """Return conv2d, how many places each piece of its work had, and their columns' three rows of row_tile's sums."""
    return convolve(image, weight, 1, bias, window, summed=True)


def convolve(image, weight, groups, bias, window, relu=0, added=None, summed=False):
    N, OC, (OH, OW) = len(image), weight.shape[0], window.outsize(image.shape[2:])
    x, dy, dx, depth = stretches(image, window, groups)
    y = images(N, OC, OH, OW)
    return y, *start(N, y, x, window.stride, dy, dx, depth, pack_forward(weight, groups), OC // groups, groups, bias,
                     relu, added=None if added is None else like(added, y), summed=summed)


def stretches(image, window, groups):
    """Return the images, how far each stretch of a window is from its place, in rows and columns, and its length.

    A stretch is the channels of one pixel; but few channels make short stretches. So they are copied into images with
    the padding around them, where a whole row of the kernel is one stretch.
    """
    (KH, KW), (DH, DW), depth = window.kernel_size, window.dilation, image.shape[1] // groups
    if depth < LANES and KW > 1 and DW == 1 and groups == 1:
        return padded(image, window), np.arange(KH) * DH, np.zeros(KH, np.int64), depth * KW
    return channels_last(image), *distances(window), depth


@lru_cache(256)
def distances(window):
    """Return how far every cell of the kernel is from its place, in rows and in columns."""
    (KH, KW), (DH, DW), ((top, _), (left, _)) = window.kernel_size, window.dilation, window.pad
    return np.repeat(np.arange(KH) * DH - top, KW), np.tile(np.arange(KW) * DW - left, KH)


def pack_forward(weight, groups):
    """Return the weights for conv2d."""
    return packs.packed(('gemm', groups), weight, lambda: forward_panels(weight, groups))


def forward_panels(weight, groups):
    weight = np.ascontiguousarray(weight)
    cells = all_cells(weight)
    oc, c = weight.strides[:2]
    each = weight.shape[0] // groups
    packed = floats(panels_size(len(cells), weight.shape[1], each, groups))
    fill_panels(packed, cells, weight.shape[1], c, each, oc, groups, each * oc)
    return packed


def all_cells(weight):
    """Return the addresses of the cells of gapless weights, row by row."""
    return np.arange(weight.shape[2] * weight.shape[3]) * 4 + address(weight)


def cell_addresses(weight, cells):
    return np.array([address(weight) + kh * weight.strides[2] + kw * weight.strides[3] for kh, kw in cells], np.int64)


def padded(image, window):
    """Copy images into zeros, their channels side by side."""
    (N, C, H, W), ((top, bottom), (left, right)) = image.shape, window.pad
    x = images(N, C, H + top + bottom, W + left + right)
    for edge in (x[:, :, :top], x[:, :, top + H:], x[..., :left], x[..., left + W:]):
        if edge.size:
            clear(edge)
    copied(channels_last(image), x[:, :, top:top + H, left:left + W])
    return x


def conv2d_data_grad(gy, weight, groups, size, window, gate=None, added=None):
    """Return the gradient of conv2d's images: one walk over gy for each kind of pixel.

    Where the stride is 1, another gradient may be `added`. With `gate`, an activation of the result's shape, it stops
    where that is not positive: ReLU's derivative.
    """
    (N, OC, _, _), C, (H, W), (SH, SW) = gy.shape, weight.shape[1] * groups, size, window.stride
    gx, gy = images(N, C, H, W), channels_last(gy)
    gate, added = (None if other is None else like(other, gx) for other in (gate, added))
    cells, tables = meetings(window)
    packed, begin = pack_backward(weight, cells, groups), 0
    for kind, (dy, dx) in enumerate(tables):
        h, w = kind // SW, kind % SW
        here, end = gx[:, :, h::SH, w::SW], begin + panels_size(len(dy), OC // groups, C // groups, groups)
        if not len(dy):
            clear(here, gx.size >= BEYOND)
        elif here.size:
            start(N, here, gy, (1, 1), dy, dx, OC // groups, packed[begin:end], C // groups, groups,
                  gate=None if gate is None else gate[:, :, h::SH, w::SW], added=added, size=gx.size)
        begin = end
    return gx


@lru_cache(256)
def meetings(window):
    """Return, for every kind of pixels, the cells that saw it, down and across, and how far off each stood in gy."""
    rows, cols = (list(kinds(window, axis)) for axis in (0, 1))
    cells = tuple((tuple(kh), tuple(kw)) for _, kh, _ in rows for _, kw, _ in cols)
    return cells, [(np.repeat(dy, len(dx)), np.tile(dx, len(dy))) for *_, dy in rows for *_, dx in cols]


def kinds(window, axis):
    """Yield the first pixel of each kind along an axis, the cells that saw it, and how far off in gy they stood."""
    step, dilation, before = window.stride[axis], window.dilation[axis], window.pad[axis][0]
    cells = np.arange(window.kernel_size[axis])
    for first in range(step):
        distance = first + before - cells * dilation
        seen = distance % step == 0
        yield first, cells[seen], distance[seen] // step


def pack_backward(weight, kinds_cells, groups):
    """Return the weights for the data gradient, channels in and out exchanged: for every kind, those of its cells."""
    kind = 'gemm back', kinds_cells, groups
    return packs.packed(kind, weight, lambda: backward_panels(weight, kinds_cells, groups))


def backward_panels(weight, kinds_cells, groups):
    weight = np.ascontiguousarray(weight)
    oc, c = weight.strides[:2]
    each, channels = weight.shape[0] // groups, weight.shape[1]
    sizes = [panels_size(len(kh) * len(kw), each, channels, groups) for kh, kw in kinds_cells]
    packed, begin = floats(sum(sizes)), 0
    for (kh, kw), size in zip(kinds_cells, sizes, strict=True):
        if size:
            fill_panels(packed[begin:begin + size], cell_addresses(weight, [(h, w) for h in kh for w in kw]), each, oc,
                        channels, c, groups, each * oc)
        begin += size
    return packed
