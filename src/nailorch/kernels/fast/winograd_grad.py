"""The weights' gradient by Winograd: the transposed problem, on the tiles of winograd.py. With D = A gy A^T,

    gU[p] = V[p]^T @ D[p]     gW = G^T gU G

at every point p, so the sum over tiles, the bulk of the work, is 36 products of matrices as well.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from nailorch.kernels.fast import repair, threads
from nailorch.kernels.fast.emit import poke, take
from nailorch.kernels.fast.jit import claim, inner, opened, worker
from nailorch.kernels.fast.layout import channels_last
from nailorch.kernels.fast.memory import address, apart, floats, strides, verdict, zeros
from nailorch.kernels.fast.outer import outer, panel_of, turn_rows
from nailorch.kernels.fast.target import LANES
from nailorch.kernels.fast.tiles import add_numbers
from nailorch.kernels.fast.transforms import transform, transposed
from nailorch.kernels.fast.winograd import (
    AT_3,
    OWN,
    PADDING,
    PIECE,
    Tiling,
    even,
    fetch_pixels,
    fetch_results,
    kinds,
    place,
    share_points,
    tiles_at,
    to_points,
)
from nailorch.kernels.fast.winograd_filters import AT, AT_2, G_2, PANEL, G

# Bytes of gU, of V and D, and of all together, that fit side by side into a second cache.
OWN_SUMS, OWN_TILES, SECOND = 5 << 17, 3 << 17, 7 << 17

A, A_3, A_2 = transposed(AT), transposed(AT_3), transposed(AT_2)
gradient_4, gradient_43, gradient_34, gradient_3, gradient_2 = (
    transform(*matrices, from_table=True)
    for matrices in ([A], [A, A_3, 6], [A_3, A, 6], [A_3, A_3, 6], [A_2]))
back_4 = transform(transposed(G), paired=True, check=True)
back_2 = transform(transposed(G_2), paired=True, check=True)


@inner
def gradients_to_points(g, t, table, out):
    """Transform one tile of gy: A gy A^T."""
    kind = place(g, t, g.m, g.m, 0, 0, table, g.out, g.out_n, g.out_h, g.out_w, g.OH, g.OW, g.zeros)
    pixels = table.ctypes.data
    if g.m == 2:
        gradient_2(pixels, 0, 0, out, g.D_plane, 0, g.channels, 0, 0, 0, 0, 0)
    elif kind == 0:
        gradient_4(pixels, 0, 0, out, g.D_plane, 0, g.channels, 0, 0, 0, 0, 0)
    elif kind == 1:
        gradient_43(pixels, 0, 0, out, g.D_plane, 0, g.channels, 0, 0, 0, 0, 0)
    elif kind == 2:
        gradient_34(pixels, 0, 0, out, g.D_plane, 0, g.channels, 0, 0, 0, 0, 0)
    else:
        gradient_3(pixels, 0, 0, out, g.D_plane, 0, g.channels, 0, 0, 0, 0, 0)


@worker(Tiling)
def share_gradients(number, job):
    """Take single tiles of gy, and transform them into a D that all threads will read."""
    g = opened(job)
    table = np.empty(g.m**2, np.int64)
    while True:
        i = claim(g.counter, number, g.total)
        if i >= g.total:
            return
        fetch_results(g, g.first + i + 1 - 2 * (number & 1), 0, g.channels)
        gradients_to_points(g, g.first + i, table, g.D + i * g.D_row)


@worker(Tiling)
def accumulate(_, job):
    """Take points, by some rows of gU each, and add these tiles' products to gU: V[p]^T @ D[p]."""
    g = opened(job)
    few, rows = 128, np.empty(g.total + 1, np.int64)
    for i in range(g.total + 1):
        rows[i] = g.V + i * g.V_row
    blocks = -(-g.depth // few)
    while True:
        work = take(g.counter)
        if work >= (g.m + 2)**2 * blocks:
            return
        p, k = work // blocks, work % blocks * few
        add_products(g, rows, g.first, g.total, g.D, p, k, min(few, g.depth - k), g.weight, g.first == 0)


@inner
def add_products(g, rows, first, count, D, p, k, depth, sums, fresh):
    """Add the products of `count` tiles at one point to `depth` rows of gU: of those that have it."""
    row, (begin, end) = 4 * g.channels, tiles_at(g, p, first, first + count)
    if begin == end and not fresh:
        return
    channel = 0
    while channel < g.channels:
        numbers, to = panel_of(g.channels - channel), sums + (p * g.depth + k) * row + 4 * channel
        a, at = rows.ctypes.data + 8 * (begin - first), p * g.V_plane + 4 * k
        b = D + p * g.D_plane + (begin - first) * g.D_row + 4 * channel
        outer(a, at, depth, end - begin, b, g.D_row, g.zeros if fresh else to,
              0 if fresh else row, to, row, numbers, a, at, 4 * depth, a, at, 0)
        channel += numbers


@worker(Tiling)
def collect_tiles(number, job):
    """Take parts of the tiles, and carry them from pixels to a gU of the part's own, in the worker's own V and D."""
    g = opened(job)
    points, V, D = (g.m + 2)**2, g.V + number * g.size, g.D + number * g.size
    table, rows = np.empty(points, np.int64), np.empty(g.tiles + 1, np.int64)
    for i in range(g.tiles + 1):
        rows[i] = V + i * g.V_row
    while True:
        part = claim(g.counter, number, g.parts)
        if part >= g.parts:
            return
        sums = g.weight + 4 * part * points * g.depth * g.channels
        begin, end = part * g.total // g.parts, (part + 1) * g.total // g.parts
        for first in range(begin, end, g.tiles):
            count = min(g.tiles, end - first)
            for i in range(count):
                fetch_pixels(g, first + i + 1)
                to_points(g, first + i, table, V + i * g.V_row, g.V_plane)
                fetch_results(g, first + i + 1, 0, g.channels)
                gradients_to_points(g, first + i, table, D + i * g.D_row)
            for p in range(points):
                add_products(g, rows, first, count, D, p, 0, g.depth, sums, first == begin)


@worker(Tiling)
def finish(_, job):
    """Take some input channels, add up the parts' gU, transform it back, G^T gU G, and write gW in C order."""
    g = opened(job)
    few, row, finite = 8, g.channels + PADDING, 1
    points, plane = (g.m + 2)**2, 4 * g.depth * g.channels
    taps = np.empty(few * 9 * row, np.float32).ctypes
    tables, rows = np.empty((4, LANES), np.int64), np.empty(LANES, np.int64)
    while True:
        k = take(g.counter) * few
        if k >= g.depth:
            break
        here, begin = min(few, g.depth - k), g.weight + 4 * k * g.channels
        for part in range(1, g.parts):
            for p in range(points):
                add_numbers(begin + (part * points + p) * plane, begin + p * plane, here * g.channels)
        for i in range(here):
            at, to = begin + 4 * i * g.channels, taps.data + 4 * 9 * i * row
            if g.m == 4:
                finite *= back_4(at, plane, 0, to, 4 * row, 0, g.channels, 0, 0, 0, 0, 0)
            else:
                finite *= back_2(at, plane, 0, to, 4 * row, 0, g.channels, 0, 0, 0, 0, 0)
        for j in range(0, 9 * here, LANES):
            count = min(LANES, 9 * here - j)
            for i in range(count):
                rows[i] = taps.data + 4 * (j + i) * row
            turn_rows(rows, count, g.channels, g.scratch + 4 * (9 * k + j), 36 * g.depth, tables)
    if not finite:
        poke(g.finite, 0)


def conv2d_weight_grad(image, gy, window, m=4):
    """Return the gradient of the weights, or None if most of it is not finite."""
    x, gy, (N, C, H, W), (_, OC, OH, OW) = channels_last(image), channels_last(gy), image.shape, gy.shape
    ((top, _), (left, _)), points, finite = window.pad, (m + 2)**2, verdict()
    TH, TW, *_ = tiles = kinds(N, (OH, OW), window.dilation, m)
    nothing, total, workers = zeros(max(C, OC) + PANEL), N * TH * TW, threads.count()
    own = own_sums(C, OC, m) and total >= 8 * PIECE
    parts, shared, V_row, D_row = portions(total, C, OC, points, own)
    V_plane, D_plane = shared * V_row + 4 * PADDING, shared * D_row + 4 * PADDING
    size = points * (V_plane + D_plane)
    sums, gW = floats(parts * points * C * OC), floats(9 * C * OC).reshape(OC, C, 3, 3)
    scratch = floats((workers if own else 1) * size // 4)
    g = Tiling(address(gy), *strides(gy), OH, OW, OC, address(x), *strides(x), H, W, C, top, left,
               *window.dilation, *tiles, address(sums), address(nothing), 0, 0, address(nothing), 0, total=total,
               tiles=shared, V=address(scratch), V_row=V_row, V_plane=V_plane, D=address(scratch) + points * V_plane,
               D_row=D_row, D_plane=D_plane, scratch=address(gW), size=size, finite=address(finite), parts=parts)
    if own:
        threads.run(collect_tiles, g, workers)  # V and D are for no more
    else:
        for first in range(0, total, shared):
            g = g._replace(first=first, total=min(shared, total - first))
            for step in (share_points, share_gradients, accumulate):
                threads.run(step, g)
    threads.run(finish, g, sums.size // threads.TINY)
    if finite[0]:
        return gW
    apart()
    return gW if repair.weight_grad(gW, x, gy, window) else None


@lru_cache(256)
def portions(total, C, OC, points, own):
    """Return how many parts of the tiles have a gU of their own, how many tiles are taken at a time, bytes of rows."""
    parts = min(total // (4 * PIECE), 16) if own else 1  # whatever the threads: so their number changes no result
    V_row, D_row = 4 * (C + PADDING), 4 * (-(-OC // (2 * LANES)) * 2 * LANES + PADDING)
    sums = 4 * points * C * OC
    most = (min(OWN_TILES, SECOND - sums) if own else at_once(sums)) // (points * (V_row + D_row))
    shared = even(-(-total // parts), max(most, OWN)) if own else min(total, max(most, PIECE))
    return parts, shared, V_row, D_row


def own_sums(C, OC, m):
    """Return whether gU is so small that each thread can have its own."""
    return 4 * (m + 2)**2 * C * OC <= OWN_SUMS


def at_once(sums):
    """Return how many bytes of V and D are made before their products are added to so many bytes of sums.

    Few sums stay in the second cache, so V and D should stay in the third; many have to be fetched from memory and
    written back each time, which costs more than V and D do: for 512 x 512 channels, 58 ms with 12 MB, 45 with 96.
    """
    return min(max(6 << 20, 5 * sums // 2), 96 << 20)
