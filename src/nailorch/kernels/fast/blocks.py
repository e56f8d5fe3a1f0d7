"""The images' gradient where they have few channels: a block of pixels at a time, so that vectors are full.

A vector of the result holds the channels of one pixel, and three of sixteen lanes is a waste. But a block's pixels,
2x2 say, together fill it: channels of one large pixel. Each of them was seen by other cells of the kernel, or by the
same ones at other places; with zeros where a place did not see a pixel, all that is one convolution of gy:

    block[bh, bw, (i, j, c)] = sum over dy, dx of gy[bh*BH/SH + dy, bw*BW/SW + dx, :] @ wide[dy, dx, :, (i, j, c)]
    wide[dy, dx, :, (i, j, c)] = W[kh, kw, c, :] where kh*DH = i + top - dy*SH and kw*DW = j + left - dx*SW, else 0
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import NamedTuple

import numpy as np

from nailorch.kernels.fast import packs, threads
from nailorch.kernels.fast.emit import take
from nailorch.kernels.fast.gemm import forward_panels, start
from nailorch.kernels.fast.jit import opened, worker
from nailorch.kernels.fast.layout import channels_last
from nailorch.kernels.fast.memory import address, from_weights, images, is_finite, strides
from nailorch.kernels.fast.target import LANES
from nailorch.kernels.fast.tiles import WIDE
from nailorch.kernels.fast.vectors import copy_pieces

ROWS = 8  # of pixels, to a piece of work
GAIN = 0.8  # of the multiplications: with fewer saved, the blocks' copy would cost more


def sights(window, axis, side):
    """Return, along an axis, each (pixel of a block, distance, cell) where a place so far off sees it by that cell."""
    stride, dilation, before = window.stride[axis], window.dilation[axis], window.pad[axis][0]
    distances = ((i, i + before - k * dilation, k) for i in range(side) for k in range(window.kernel_size[axis]))
    return [(i, d // stride, k) for i, d, k in distances if d % stride == 0]


def reach(seen):
    """Return the distances from the first to the last."""
    at = [d for _, d, _ in seen]
    return range(min(at), max(at) + 1)


@lru_cache
def block(window, C):
    """Return the sides of the blocks that take the fewest multiplications; None if single pixels do."""
    sides, least = None, GAIN * prod(window.kernel_size) / prod(window.stride) * -(-C // LANES)
    for k in range(1, LANES):
        BH, BW = k * window.stride[0], k * window.stride[1]
        if BH * BW * C > WIDE * LANES:
            break
        cells = len(reach(sights(window, 0, BH))) * len(reach(sights(window, 1, BW)))
        cost = cells * -(-(BH * BW * C) // LANES) / (BH * BW)
        if cost < least:
            sides, least = (BH, BW), cost
    return sides


def spread(weight, window, sides):
    """Return the weights (BH * BW * C, OC, distances down, distances across) of a convolution of gy."""
    (BH, BW), (OC, C) = sides, weight.shape[:2]
    down, across = sights(window, 0, BH), sights(window, 1, BW)
    rows, columns = reach(down), reach(across)
    wide = np.zeros((BH, BW, C, OC, len(rows), len(columns)), np.float32)
    for i, dy, kh in down:
        for j, dx, kw in across:
            wide[i, j, :, :, dy - rows[0], dx - columns[0]] = weight[:, :, kh, kw].T
    return wide.reshape(BH * BW * C, OC, len(rows), len(columns))


class Blocks(NamedTuple):
    """Blocks on their way into rows of pixels: addresses, and steps in bytes."""

    out: int
    out_n: int
    out_h: int
    N: int
    H: int
    W: int
    C: int
    source: int
    source_n: int
    source_h: int
    source_w: int
    BH: int
    BW: int


@worker(Blocks)
def deal_out(_, job):
    """Take rows of pixels, and copy each from the blocks it runs through."""
    g = opened(job)
    row, pieces = 4 * g.BW * g.C, -(-g.H // ROWS)
    while True:
        work = take(g.counter)
        if work >= g.N * pieces:
            return
        n, first = work // pieces, work % pieces * ROWS
        for h in range(first, min(first + ROWS, g.H)):
            at = g.source + n * g.source_n + h // g.BH * g.source_h + h % g.BH * row
            to, whole = g.out + n * g.out_n + h * g.out_h, g.W // g.BW
            copy_pieces(at, g.source_w, to, row, whole, g.BW * g.C)
            copy_pieces(at + whole * g.source_w, 0, to + whole * row, 0, 1, g.W % g.BW * g.C)


def conv2d_data_grad(gy, weight, size, window, sides):
    """Return the images' gradient; None if something is not finite: NaN times a zero between two pixels is NaN."""
    (H, W), (BH, BW), C, N = size, sides, weight.shape[1], len(gy)
    rows, columns = (reach(sights(window, axis, sides[axis])) for axis in (0, 1))
    kind = 'blocks', sides, window.kernel_size, window.stride, window.dilation, window.pad
    packed = packs.packed(kind, weight, lambda: forward_panels(from_weights(lambda: spread(weight, window, sides)), 1))
    y, gx, gy = images(N, BH * BW * C, -(-H // BH), -(-W // BW)), images(N, C, H, W), channels_last(gy)
    start(N, y, gy, (BH // window.stride[0], BW // window.stride[1]), np.repeat(rows, len(columns)),
          np.tile(columns, len(rows)), gy.shape[1], packed, BH * BW * C, 1)
    if not is_finite(y):
        return None
    threads.run(deal_out, Blocks(address(gx), *strides(gx)[:2], N, H, W, C, address(y), *strides(y), BH, BW),
                gx.size // threads.TINY)
    return gx
