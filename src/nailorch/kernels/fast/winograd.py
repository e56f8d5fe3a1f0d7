"""3x3 convolution with stride 1 by Winograd's minimal filtering: 36 products where the definition has 144.

Images are cut into tiles that overlap by two pixels. Forward, for tiles t, points p, channels c and output channels k:

    V[p, t, c] = B^T d B     U[p, c, k] = G g G^T     M[p] = V[p] @ U[p]     Y = A^T M A

so the sum over channels, the bulk of the work, is 36 matrix products. The data gradient is a convolution too, with the
filters flipped and transposed. The weight gradient is the transposed problem (winograd_grad.py).

Tiles have 4 x 4 results; where 4 does not divide an image's side, some have 3 along it, which takes 5 points: the same
as the others', but for 0, at which those tiles have no part in the products. So 14 pixels are 4 + 4 + 3 + 3.

A kernel whose cells stand d pixels apart sees, from a place, only every dth pixel: the image falls into d * d images of
its own, interleaved, for each of which it is a plain kernel. Only the addresses of a tile's pixels know of this.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from nailorch.kernels.fast import repair, threads
from nailorch.kernels.fast.emit import kernel, poke
from nailorch.kernels.fast.gemm import NARROW, SPARE, tall
from nailorch.kernels.fast.jit import claim, inner, opened, worker
from nailorch.kernels.fast.layout import channels_last, like
from nailorch.kernels.fast.memory import address, apart, floats, images, strides, verdict, zeros
from nailorch.kernels.fast.outer import LINE
from nailorch.kernels.fast.target import LANES
from nailorch.kernels.fast.tiles import WIDE, plain_tile
from nailorch.kernels.fast.transforms import transform, without_0
from nailorch.kernels.fast.winograd_filters import AT, AT_2, BT, BT_2, PANEL, POINTS, pack_backward, pack_forward

OWN = 16  # tiles that a thread takes for itself: their V and M stay in its second cache, beside the filters
PIECE = 48  # tiles that a thread takes at a time where V is shared: each time, it fetches weights
SHARED = 192  # tiles whose V all threads share
PADDING = 16  # numbers between planes: powers of two apart they would compete for the same places of the cache

BT_3, AT_3 = without_0(POINTS)
wide_6, wide_5, wide_4 = plain_tile(6, WIDE), plain_tile(5, WIDE), plain_tile(4, WIDE)
narrow_1, narrow_2, narrow_3 = plain_tile(NARROW, 1), plain_tile(NARROW, 2), plain_tile(NARROW, 3)
# Tiles of 4 x 4 results, 4 x 3, 3 x 4, 3 x 3, and 2 x 2.
image_4, image_43, image_34, image_3, image_2 = (
    transform(*matrices, from_table=True)
    for matrices in ([BT], [BT, BT_3, 6], [BT_3, BT, 6], [BT_3, BT_3, 6], [BT_2]))
result_4, result_43, result_34, result_3, result_2 = (
    transform(*matrices, to_table=True, paired=True, check=True)
    for matrices in ([AT], [AT, AT_3, 6], [AT_3, AT, 6], [AT_3, AT_3, 6], [AT_2]))
pooled_4 = transform(AT, to_table=True, paired=True, check=True, pooled=True)
pooled_2 = transform(AT_2, to_table=True, paired=True, check=True, pooled=True)


class Tiling(NamedTuple):
    """A Winograd convolution: addresses, and steps in bytes."""

    out: int
    out_n: int
    out_h: int
    out_w: int
    OH: int
    OW: int
    channels: int
    source: int
    source_n: int
    source_h: int
    source_w: int
    H: int
    W: int
    depth: int
    top: int
    left: int
    DH: int  # pixels from one of a tile's to the next, down and across
    DW: int
    TH: int  # tiles of an image, down and across
    TW: int
    WH: int  # those of them that are whole: the others, at the end, are a pixel smaller, and lack point 0
    WW: int
    right: int  # tiles are numbered by kinds: narrow ones, then to here whole ones
    whole: int  # then low ones
    below: int  # then those that are both
    m: int  # pixels of a tile's side, 4 or 2
    weight: int  # U: (panels, points, depth, channels of the panel)
    bias: int
    relu: int
    gate: int  # like out; or 0
    zeros: int
    waste: int  # where results beyond the edges go
    added: int = 0  # 1: what is at `gate` is added to the result, before relu
    pooled: int = 0  # 1: out has every 2x2 pixels' maximum, OH and OW are its own
    first: int = 0  # the present tiles: the first, how many, and how many at a time
    total: int = 0
    tiles: int = 0
    V: int = 0  # B^T d B, and D = A gy A^T, shared by all threads, and the bytes from tile to tile, point to point
    V_row: int = 0
    V_plane: int = 0
    D: int = 0
    D_row: int = 0
    D_plane: int = 0
    M_plane: int = 0
    scratch: int = 0  # each worker has so many bytes there
    size: int = 0
    finite: int = 0  # a word that becomes 0 where something is not finite
    spoilt: int = 0  # and one for each tile, which becomes 1
    parts: int = 1  # of all tiles, each with a gU of its own


@inner
def corner(g, t, step):
    """Return a tile's image, its first pixel's row and column, and by how much it is lower and narrower than others.

    The next tile's first pixel is `step` further on.
    """
    low, narrow = int(t >= g.whole), int(t < g.right or t >= g.below)
    t -= (g.below if narrow else g.whole) if low else 0 if narrow else g.right
    down, across = g.TH - g.WH if low else g.WH, g.TW - g.WW if narrow else g.WW
    down, across = max(down, 1), max(across, 1)  # what is asked for ahead may be beyond the last one
    # Divisions take longer than all the rest: two where one does, none by 1.
    above = t // across
    n = above // down
    r, c = above - n * down, t - above * across
    y = r * step if g.DH == 1 else r // g.DH * (step * g.DH) + r % g.DH
    x = c * step if g.DW == 1 else c // g.DW * (step * g.DW) + c % g.DW
    return n, y + low * (step * g.WH - r), x + narrow * (step * g.WW - c), low, narrow


@inner
def place(g, t, size, step, top, left, table, base, n_step, h_step, w_step, H, W, outside):
    """Fill the table of one tile's pixels: size x size, DH and DW apart; return which kind it is, from 0 to 3."""
    n, y, x, low, narrow = corner(g, t, step)
    y, x, k, across = y - top, x - left, 0, g.DW * w_step
    for row in range(y, y + (size - low) * g.DH, g.DH):
        at, beyond = base + n * n_step + row * h_step + x * w_step, row < 0 or row >= H
        for column in range(x, x + (size - narrow) * g.DW, g.DW):
            table[k] = outside if beyond or column < 0 or column >= W else at
            at += across
            k += 1
    return 2 * low + narrow


@inner
def tiles_at(g, p, begin, end):
    """Return the first of some tiles that have a point, and the one after the last."""
    row, column = p // (g.m + 2), p % (g.m + 2)
    first = g.right if column == 0 else 0
    last = g.whole if row == 0 else g.below if column == 0 else end
    return min(max(first, begin), end), max(min(last, end), begin)


@kernel
def fetch(m, at, down, h_step, across, w_step, lines):
    """Ask for so many cache lines of each pixel, into the second cache."""
    m.loop(down, lambda i: m.loop(across, lambda j: m.loop(
        lines, lambda k: m.prefetch(at + i * h_step + j * w_step + 4 * LINE * k))))


@inner
def fetch_pixels(g, t):
    """Ask for the pixels that the tiles above a tile, and before it, have not: its transform would wait for them."""
    n, y, x, _, _ = corner(g, t, g.m)
    at = g.source + n * g.source_n + (y + 2 * g.DH - g.top) * g.source_h + (x + 2 * g.DW - g.left) * g.source_w
    fetch(at, g.m, g.DH * g.source_h, g.m, g.DW * g.source_w, -(-g.depth // LINE))


@inner
def fetch_results(g, t, first, channels):
    """Ask for where a tile's results go, and for what lies beside them."""
    side = g.m // 2 if g.pooled else g.m
    n, y, x, _, _ = corner(g, t, side)
    at, lines = n * g.out_n + y * g.out_h + x * g.out_w + 4 * first, -(-channels // LINE)
    fetch(g.out + at, side, g.DH * g.out_h, side, g.DW * g.out_w, lines)
    if g.gate:
        fetch(g.gate + at, side, g.DH * g.out_h, side, g.DW * g.out_w, lines)


@inner
def to_points(g, t, table, out, plane):
    """Transform one tile of the images: B^T d B."""
    kind = place(g, t, g.m + 2, g.m, g.top, g.left, table, g.source, g.source_n, g.source_h, g.source_w, g.H, g.W,
                 g.zeros)
    pixels = table.ctypes.data
    if g.m == 2:
        image_2(pixels, 0, 0, out, plane, 0, g.depth, 0, 0, 0, 0, 0)
    elif kind == 0:
        image_4(pixels, 0, 0, out, plane, 0, g.depth, 0, 0, 0, 0, 0)
    elif kind == 1:
        image_43(pixels, 0, 0, out, plane, 0, g.depth, 0, 0, 0, 0, 0)
    elif kind == 2:
        image_34(pixels, 0, 0, out, plane, 0, g.depth, 0, 0, 0, 0, 0)
    else:
        image_3(pixels, 0, 0, out, plane, 0, g.depth, 0, 0, 0, 0, 0)


@inner
def from_points(g, t, table, gates, source, plane, first, channels):
    """Transform one tile of results back, A^T M A, for some channels; return 1 if it is finite."""
    side = g.m // 2 if g.pooled else g.m
    kind = place(g, t, side, side, 0, 0, table, g.out, g.out_n, g.out_h, g.out_w, g.OH, g.OW, g.waste)
    if g.gate:
        place(g, t, side, side, 0, 0, gates, g.gate, g.out_n, g.out_h, g.out_w, g.OH, g.OW, g.zeros)
    bias, gated = g.bias + 4 * first * (g.bias != g.zeros), int(g.gate != 0) - g.added
    to, gate, at = table.ctypes.data, gates.ctypes.data, 4 * first
    if g.pooled:
        if g.m == 4:
            return pooled_4(source, plane, 0, to, 0, at, channels, bias, g.relu, gated, g.added, gate)
        return pooled_2(source, plane, 0, to, 0, at, channels, bias, g.relu, gated, g.added, gate)
    if g.m == 2:
        return result_2(source, plane, 0, to, 0, at, channels, bias, g.relu, gated, g.added, gate)
    if kind == 0:
        return result_4(source, plane, 0, to, 0, at, channels, bias, g.relu, gated, g.added, gate)
    if kind == 1:
        return result_43(source, plane, 0, to, 0, at, channels, bias, g.relu, gated, g.added, gate)
    if kind == 2:
        return result_34(source, plane, 0, to, 0, at, channels, bias, g.relu, gated, g.added, gate)
    return result_3(source, plane, 0, to, 0, at, channels, bias, g.relu, gated, g.added, gate)


@inner
def product(tiles, rows, vectors, a, a_row, depth, b, out, out_row, asked, share):
    """Compute tiles of a product, one below the other."""
    if vectors == WIDE:
        if rows == 6:
            wide_6(tiles, a, a_row, depth, b, out, out_row, asked, share)
        elif rows == 5:
            wide_5(tiles, a, a_row, depth, b, out, out_row, asked, share)
        else:
            wide_4(tiles, a, a_row, depth, b, out, out_row, asked, share)
    elif vectors == 1:
        narrow_1(tiles, a, a_row, depth, b, out, out_row, asked, share)
    elif vectors == 2:
        narrow_2(tiles, a, a_row, depth, b, out, out_row, asked, share)
    else:
        narrow_3(tiles, a, a_row, depth, b, out, out_row, asked, share)


@inner
def multiply(g, first, count, V, M, table, gates, panel):
    """Compute `count` tiles for one panel of output channels: the products at every point, and the way back."""
    numbers = min(PANEL, g.channels - panel * PANEL)
    vectors = -(-numbers // LANES)
    width = 4 * vectors * LANES
    points = (g.m + 2)**2
    b = g.weight + 4 * points * g.depth * panel * PANEL
    for p in range(points):
        # While a point's filters are read, the next point's are asked for: each tile takes its share of them.
        # The last tile may be higher than what is left: there is room for as many rows more.
        begin, end = tiles_at(g, p, first, first + count)
        tiles, here, done = max(-(-(end - begin) // 6), 1), b + p * g.depth * width, 0
        share, i = -(-width // tiles), begin - first
        while i < end - first:
            high = tall(end - first - i, vectors)
            together = 1 if vectors == WIDE else -(-(end - first - i) // high)
            product(together, high, vectors, V + p * g.V_plane + i * g.V_row, g.V_row, g.depth, here,
                    M + p * g.M_plane + i * width, width, here + g.depth * (width + done * share), share)
            i += together * high
            done += 1
    for i in range(count):
        fetch_results(g, first + i + 1, panel * PANEL, numbers)
        if not from_points(g, first + i, table, gates, M + i * width, g.M_plane, panel * PANEL, numbers):
            poke(g.finite, 0)
            poke(g.spoilt + 8 * (first + i), 1)


@worker(Tiling)
def convolve_tiles(number, job):
    """Take some tiles, by panels of output channels where V is shared, and compute their results.

    Otherwise V is the worker's own: the tiles are carried from pixels to pixels, every step of a convolution.
    """
    g = opened(job)
    points, panels = (g.m + 2)**2, -(-g.channels // PANEL)
    table, gates = np.empty(points, np.int64), np.empty(points, np.int64)
    shares = panels if g.V else 1
    M = g.scratch + number * g.size
    own = M + points * g.M_plane
    while True:
        work = claim(g.counter, number, -(-g.total // g.tiles) * shares)
        begin, panel = work // shares * g.tiles, work % shares
        if begin >= g.total:
            break
        first, count = g.first + begin, min(g.tiles, g.total - begin)
        if g.V:
            multiply(g, first, count, g.V + begin * g.V_row, M, table, gates, panel)
        else:
            for i in range(count):
                fetch_pixels(g, first + i + 1)
                to_points(g, first + i, table, own + i * g.V_row, g.V_plane)
            for panel in range(panels):
                multiply(g, first, count, own, M, table, gates, panel)


@worker(Tiling)
def share_points(number, job):
    """Take single tiles of the images, and transform them into a V that all threads will read."""
    g = opened(job)
    table = np.empty((g.m + 2)**2, np.int64)
    while True:
        i = claim(g.counter, number, g.total)
        if i >= g.total:
            return
        fetch_pixels(g, g.first + i + 1 - 2 * (number & 1))  # see claim
        to_points(g, g.first + i, table, g.V + i * g.V_row, g.V_plane)


@lru_cache(256)
def shares(total, depth, channels, points, workers):
    """Return whether each thread has a V of its own, the tiles of one V, those taken at a time, and bytes of planes."""
    own = total >= 2 * PIECE * workers and depth * channels <= OWN_WEIGHTS
    shared = total if own else even(total, SHARED)
    each = even(shared, OWN, workers) if own else even(shared, PIECE)
    return own, shared, each, 4 * ((each if own else shared) * depth + PADDING), 4 * ((each + SPARE) * PANEL + PADDING)


def even(total, most, multiple=1):
    """Return how many tiles are taken at a time, about `most`: so that as many remain for the last time.

    Each time, all weights are fetched. Several threads take turns `multiple` times as often as they are.
    """
    times = max(round(total / most), 1)
    times = -(-times // multiple) * multiple
    return -(-total // times)


OWN_WEIGHTS = 256 * 256


def tiles_along(size, dilation, m):
    """Return how many tiles cover an axis: every one of `dilation` interleaved images has as many."""
    return dilation * -(-size // (dilation * m))


def whole_along(size, dilation, m):
    """Return how many of an axis' tiles are whole: as few, of 4 results, as others of 3 leave to do."""
    tiles = tiles_along(size, dilation, m)
    return tiles if m == 2 or dilation > 1 else max(tiles - (m * tiles - size), 0)


def points_along(size, dilation, m):
    return (m + 1) * tiles_along(size, dilation, m) + whole_along(size, dilation, m)


def kinds(N, size, dilation, m, squares=False):
    """Return Tiling's fields from TH to m; `squares`, tiles are whole."""
    TH, TW = (tiles_along(n, d, m) for n, d in zip(size, dilation, strict=True))
    WH, WW = (TH, TW) if squares else (whole_along(n, d, m) for n, d in zip(size, dilation, strict=True))
    right = N * WH * (TW - WW)
    return TH, TW, WH, WW, right, right + N * WH * WW, right + N * TH * WW, m


def convolve(image, weight, packed, top, left, OH, OW, dilation, m, bias=None, relu=0, gate=None, added=None,
             pooled=False):
    """Return a 3x3 convolution's result, or None if most of it is not finite: that is not the way to compute it."""
    x, (N, C, H, W), channels = channels_last(image), image.shape, weight.shape[0]
    TH, TW, *_ = tiles = kinds(N, (OH, OW), dilation, m, pooled)
    total, points, workers = N * TH * TW, (m + 2)**2, threads.count()
    own, shared, each, V_plane, M_plane = shares(total, C, channels, points, workers)
    if pooled:
        OH, OW = OH // 2, OW // 2
    y, nothing, waste = images(N, channels, OH, OW), zeros(max(C, channels) + PANEL), floats(channels + PANEL)
    size = points * M_plane + (points * V_plane + 4 * SPARE * C) * own
    V = None if own else floats(points * V_plane // 4 + SPARE * C)
    scratch, finite, spoilt = floats(workers * size // 4), verdict(), np.zeros(total, np.int64)
    bias = None if bias is None else np.ascontiguousarray(bias)
    beside = gate if added is None else added
    beside = None if beside is None else like(beside, y)
    g = Tiling(
        address(y), *strides(y), OH, OW, channels, address(x), *strides(x), H, W, C, top, left, *dilation, *tiles,
        address(packed), address(nothing if bias is None else bias), int(relu),
        0 if beside is None else address(beside), address(nothing), address(waste), int(added is not None),
        int(pooled), 0, shared, each, 0 if V is None else address(V), 4 * C, V_plane, M_plane=M_plane,
        scratch=address(scratch), size=size, finite=address(finite), spoilt=address(spoilt))
    for first in range(0, total, shared):
        if shared < total:
            g = g._replace(first=first, total=min(shared, total - first))
        if not own:
            threads.run(share_points, g)
        threads.run(convolve_tiles, g, workers)  # the scratch is for no more
    if finite[0]:
        return y
    apart()
    bad = np.flatnonzero(spoilt)
    if 2 * bad.size > total:
        return None
    where = getattr(corner, 'py_func', corner)  # a job in Python is no job to compiled functions
    repair.convolve(g, np.array([where(g, t, g.m) for t in bad]), y, x, weight, bias, gate, added)
    return y


def conv2d(image, weight, bias, window, m=4, relu=0, added=None, pooled=False):
    (top, _), (left, _) = window.pad
    OH, OW = window.outsize(image.shape[2:])
    return convolve(image, weight, pack_forward(weight, m), top, left, OH, OW, window.dilation, m, bias, relu,
                    added=added, pooled=pooled)


def conv2d_data_grad(gy, weight, size, window, m=4, gate=None):
    ((top, _), (left, _)), (DH, DW) = window.pad, window.dilation
    turned = weight.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
    return convolve(gy, turned, pack_backward(weight, m), 2 * DH - top, 2 * DW - left, *size, (DH, DW), m, gate=gate)
