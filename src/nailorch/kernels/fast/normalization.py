"""Batch norm: two sums over a channel's numbers, then a straight line through each number; forward and backward alike.

The sums are of distances from the channel's first number, and float64: those of squares then hold no large square of
the mean, and one pass yields mean and variance both. Each piece of work leaves its own sums, which are added in order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nailorch.kernels.fast import threads
from nailorch.kernels.fast.emit import kernel, take
from nailorch.kernels.fast.jit import opened, worker
from nailorch.kernels.fast.memory import address, images
from nailorch.kernels.fast.target import LANES
from nailorch.kernels.fast.tiles import rectified
from nailorch.kernels.fast.vectors import load, store, sweep

PIECE = 1 << 14  # numbers
MOMENTS, PRODUCTS, LINE, BACK = range(4)
RELU = {'': 0, 'relu': 1, 'relu6': 2}




class Channels(NamedTuple):
    """Pixels, `channels` numbers each, one behind the other."""

    kind: int
    x: int
    gy: int
    out: int
    sums: int  # a piece's: two rows of float64, so many numbers each
    row: int
    known: int  # rows of numbers, one a channel
    pixels: int
    channels: int
    each: int  # pixels to a piece of work
    relu: int


def summing(terms):
    """Return the kernel that adds up two terms, functions of x - shift and gy, over pixels, channel by channel."""
    def body(m, x, gy, pixels, channels, known, out, row):
        def vector(c, part):
            shift = load(m, known + 4 * c, part)

            def pixel(i, *sums):
                at = 4 * (i * channels + c)
                distance = load(m, x + at, part) - shift
                new = terms(m, distance, lambda: load(m, gy + at, part))
                return [s + m.double(t) for s, t in zip(sums, new, strict=True)]

            for k, total in enumerate(m.loop(pixels, pixel, *(m.double(m.splat(0)) for _ in '12'))):
                m.store_doubles(out + 8 * (k * row + c), total)

        sweep(m, channels, vector)

    return kernel(body)


moments = summing(lambda m, distance, gy: (distance, distance * distance))


@summing
def products(m, distance, gy):
    g = gy()
    return g, g * distance


@kernel
def line(m, x, y, pixels, channels, known, row, relu):
    """Write (x - mean) * scale + shift; relu is as in tiles.py."""
    def vector(c, part):
        mean, scale, shift = (load(m, known + 4 * (k * row + c), part) for k in range(3))

        def pixel(i):
            at = 4 * (i * channels + c)
            value, = rectified(m, relu, [m.fma(load(m, x + at, part) - mean, scale, shift)])
            store(m, y + at, value, part)

        m.loop(pixels, pixel)

    sweep(m, channels, vector)


@kernel
def back(m, x, gy, gx, pixels, channels, known, row):
    """Write (gy - mean of gy - xhat * mean of gy * xhat) * scale, with xhat = (x - mean) / deviation."""
    def vector(c, part):
        mean, inverse, of_gy, of_both, scale = (load(m, known + 4 * (k * row + c), part) for k in range(5))

        def pixel(i):
            at = 4 * (i * channels + c)
            xhat = (load(m, x + at, part) - mean) * inverse
            store(m, gx + at, (load(m, gy + at, part) - of_gy - xhat * of_both) * scale, part)

        m.loop(pixels, pixel)

    sweep(m, channels, vector)


@worker(Channels)
def walk(_, job):
    """Take pieces of pixels until none is left."""
    g = opened(job)
    while True:
        piece = take(g.counter)
        first = piece * g.each
        if first >= g.pixels:
            return
        count, at = min(g.each, g.pixels - first), 4 * first * g.channels
        sums = g.sums + 16 * piece * g.row
        if g.kind == MOMENTS:
            moments(g.x + at, 0, count, g.channels, g.known, sums, g.row)
        elif g.kind == PRODUCTS:
            products(g.x + at, g.gy + at, count, g.channels, g.known, sums, g.row)
        elif g.kind == LINE:
            line(g.x + at, g.out + at, count, g.channels, g.known, g.row, g.relu)
        else:
            back(g.x + at, g.gy + at, g.out + at, count, g.channels, g.known, g.row)


def run(kind, x, known, gy=None, out=None, relu=0):
    """Let the threads walk; return the sums, (2, C)."""
    N, C, H, W = x.shape
    pixels, each, row = N * H * W, -(-PIECE // C), -(-C // LANES) * LANES
    pieces = -(-pixels // each)
    sums = np.empty((pieces, 2, row) if kind <= PRODUCTS else 0)
    rows = np.zeros((len(known), row), np.float32)
    for to, values in zip(rows, known, strict=True):
        to[:C] = values
    threads.run(walk, Channels(kind, address(x), 0 if gy is None else address(gy), 0 if out is None else address(out),
                               address(sums), row, address(rows), pixels, C, each, relu), pieces)
    return sums.sum(axis=0)[:, :C] if kind <= PRODUCTS else None


def as_images(x):
    """Return x, (N, C) or with one or two axes more, as images whose pixels lie one behind the other."""
    x = x.reshape(*x.shape, *(1,) * (4 - x.ndim))
    if x.transpose(0, 2, 3, 1).flags.c_contiguous and x.flags.aligned:
        return x
    y = images(*x.shape)
    np.copyto(y, x)
    return y


def batch_norm(x, gamma, beta, eps):
    shape, x = x.shape, as_images(x)
    m = x.size // x.shape[1]
    first = x[0, :, 0, 0]
    first = np.where(np.isfinite(first), first, 0)
    of_x, of_squares = run(MOMENTS, x, [first]) / m
    mean, var = (of_x + first).astype(np.float32), np.maximum(of_squares - of_x * of_x, 0).astype(np.float32)
    y = images(*x.shape)
    run(LINE, x, [mean, gamma / np.sqrt(var + np.float32(eps)), beta], out=y)
    return y.reshape(shape), mean, var


def batch_norm_grad(x, gamma, gy, mean, var, eps):
    shape, x, gy = x.shape, as_images(x), as_images(gy)
    m = x.size // x.shape[1]
    inverse = 1 / np.sqrt(var + np.float32(eps))
    of_gy, of_both = run(PRODUCTS, x, [mean], gy=gy)
    gbeta, ggamma = of_gy.astype(np.float32), (of_both * inverse).astype(np.float32)
    gx = images(*x.shape)
    run(BACK, x, [mean, inverse, gbeta / m, ggamma / m, gamma * inverse], gy=gy, out=gx)
    return gx.reshape(shape), ggamma, gbeta


def scale_shift(x, scale, shift, activation):
    """Return activation(x * scale + shift), channel by channel."""
    shape, x = x.shape, as_images(x)
    y = images(*x.shape)
    run(LINE, x, [np.float32(0), scale, shift], out=y, relu=RELU[activation])
    return y.reshape(shape)
