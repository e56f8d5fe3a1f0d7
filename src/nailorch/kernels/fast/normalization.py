"""Sums over a channel's numbers, and a straight line through each number: bias gradients, and batch norm both ways.

Batch norm's sums are of distances from the channel's first number: those of squares then hold no large square of the
mean, and one pass yields mean and variance both. A few pixels at a time are added up in float32, and those sums in
float64. Each piece of work leaves its own, which are added in order; how many pieces there are, no thread decides.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from nailorch.kernels.fast import threads
from nailorch.kernels.fast.emit import kernel, poke, take
from nailorch.kernels.fast.jit import claim, opened, worker
from nailorch.kernels.fast.layout import copied
from nailorch.kernels.fast.memory import address, again, images, new
from nailorch.kernels.fast.target import LANES
from nailorch.kernels.fast.tiles import rectified
from nailorch.kernels.fast.vectors import load, save, store, sweep, sweep_wide

PIECE, PIECES = 1 << 14, 64  # numbers to a piece of work, at least; and pieces, at most
BLOCK = 16  # rows that are added up in float32
WIDE = 4  # vectors at a time
MANY = 1 << 16  # numbers from which on two threads are worth it
BEYOND = 1 << 22  # numbers: more than caches hold until they are wanted again
TOTALS, MOMENTS, PRODUCTS, LINE, ADDED_LINE, BACK, GATED_PRODUCTS, GATED_BACK, GATED = range(9)
SUMS = TOTALS, MOMENTS, PRODUCTS, GATED_PRODUCTS, GATED
RELU = {'': 0, 'relu': 1, 'relu6': 2}
MOST = {'relu': math.inf, 'relu6': 6.0}  # that an activation lets pass
BELOW = {'relu': np.float32(math.inf), 'relu6': np.nextafter(np.float32(6), np.float32(0))}  # its largest such result


class Channels(NamedTuple):
    """Rows of numbers, `width` each, one behind the other: a pixel's channels, or those of several pixels."""

    kind: int
    x: int
    gy: int  # or what is added
    out: int
    sums: int  # a piece's: two rows of float64, so many numbers each
    row: int
    known: int  # rows of numbers, one a channel
    rows: int
    width: int
    each: int  # rows to a piece of work
    streamed: int
    relu: int


def summing(terms, numbers=1, count=2):
    """Return the kernel that adds `count` terms(m, x, gy, *known) over a few rows, column by column."""
    def body(m, x, gy, rows, width, known, out, row):
        def columns(c, parts):
            values = [[load(m, known + 4 * (k * row + c + v * LANES), part) for k in range(numbers)]
                      for v, part in enumerate(parts)]

            def step(i, *sums):
                new = []
                for v, part in enumerate(parts):
                    at = 4 * (i * width + c + v * LANES)
                    new += terms(m, load(m, x + at, part), lambda at=at, part=part: load(m, gy + at, part), *values[v])
                return [s + t for s, t in zip(sums, new, strict=True)]

            sums = m.loop(rows, step, *(m.splat(0) for _ in range(count * len(parts))))
            for k, total in enumerate(sums):
                at = out + 8 * (k % count * row + c + k // count * LANES)
                m.store_doubles(at, m.load_doubles(at) + m.double(total))

        sweep_wide(m, width, WIDE, columns)

    return kernel(body)


def gated(m, x, gy, mean, scale, shift, most):
    """Return gy where the activation lets its own input pass, between 0 and `most`, else 0."""
    y, zero = m.fma(x - mean, scale, shift), m.splat(0)
    return m.below(zero, y, m.below(y, most, gy(), zero), zero)


def distances(m, x, gy, shift):
    distance = x - shift
    return distance, distance * distance


def pairs(m, x, gy, mean):
    g = gy()
    return g, g * (x - mean)


def gated_pairs(m, x, gy, mean, scale, shift, most):
    g = gated(m, x, gy, mean, scale, shift, most)
    return g, g * (x - mean)


totals, moments = summing(lambda m, x, gy, shift: [x], count=1), summing(distances)
products, gated_products = summing(pairs), summing(gated_pairs, 4)


@kernel
def pass_gate(m, y, gy, out, rows, width, sums, most):
    """Write gy where y lies between 0 and `most`, else 0, and add it up, column by column, over a few rows."""
    def columns(c, parts):
        highest, zero = m.broadcast(most), m.splat(0)

        def step(i, *totals):
            new = []
            for v, part in enumerate(parts):
                at = 4 * (i * width + c + v * LANES)
                result, gradient = load(m, y + at, part), load(m, gy + at, part)
                passed = m.below(zero, result, m.below(highest, result, zero, gradient), zero)
                store(m, out + at, passed, part)
                new.append(totals[v] + passed)
            return new

        for v, total in enumerate(m.loop(rows, step, *(m.splat(0) for _ in parts))):
            at = sums + 8 * (c + v * LANES)
            m.store_doubles(at, m.load_doubles(at) + m.double(total))

    sweep_wide(m, width, WIDE, columns)


def through(formula, numbers):
    """Return the kernel that writes formula(m, x, gy, *known) for every number, row by row; `numbers` are known.

    relu is as in tiles.py.
    """
    def body(m, x, gy, out, rows, width, known, row, streamed, relu):
        def every(how):
            def line(i):
                def vector(c, part):
                    at = 4 * (i * width + c)
                    values = [load(m, known + 4 * (k * row + c), part) for k in range(numbers)]
                    y = formula(m, load(m, x + at, part), lambda: load(m, gy + at, part), *values)
                    y, = rectified(m, relu, [y])
                    save(m, out + at, y, part, how)
                sweep(m, width, vector)
            m.loop(rows, line)

        m.when(streamed, lambda: every(1))
        m.when(1 - streamed, lambda: every(0))

    return kernel(body)


line = through(lambda m, x, gy, mean, scale, shift: m.fma(x - mean, scale, shift), 3)
added_line = through(lambda m, x, added, mean, scale, shift: m.fma(x - mean, scale, shift) + added(), 3)


def backward(m, x, gy, mean, inverse, of_gy, of_both, scale):
    """Return (gy - mean of gy - xhat * mean of gy * xhat) * scale, with xhat = (x - mean) / deviation."""
    return (gy() - of_gy - (x - mean) * inverse * of_both) * scale


def gated_backward(m, x, gy, mean, inverse, of_gy, of_both, scale, shift, most):
    """Return the same of what the activation let pass."""
    g = gated(m, x, gy, mean, scale, shift, most)
    return backward(m, x, lambda: g, mean, inverse, of_gy, of_both, scale)


back, gated_back = through(backward, 5), through(gated_backward, 7)


@worker(Channels)
def walk(number, job):
    """Take pieces of rows until none is left."""
    g = opened(job)
    while True:
        piece = claim(g.counter, number, -(-g.rows // g.each))
        first = piece * g.each
        if first >= g.rows:
            return
        count, at = min(g.each, g.rows - first), 4 * first * g.width
        sums = g.sums + 16 * piece * g.row
        if g.kind == LINE:
            line(g.x + at, 0, g.out + at, count, g.width, g.known, g.row, g.streamed, g.relu)
        elif g.kind == ADDED_LINE:
            added_line(g.x + at, g.gy + at, g.out + at, count, g.width, g.known, g.row, g.streamed, g.relu)
        elif g.kind == BACK:
            back(g.x + at, g.gy + at, g.out + at, count, g.width, g.known, g.row, g.streamed, 0)
        elif g.kind == GATED_BACK:
            gated_back(g.x + at, g.gy + at, g.out + at, count, g.width, g.known, g.row, g.streamed, 0)
        else:
            for i in range(2 * g.row):
                poke(sums + 8 * i, 0)
            for i in range(0, count, BLOCK):
                few, here = min(BLOCK, count - i), at + 4 * i * g.width
                if g.kind == TOTALS:
                    totals(g.x + here, 0, few, g.width, g.known, sums, g.row)
                elif g.kind == MOMENTS:
                    moments(g.x + here, 0, few, g.width, g.known, sums, g.row)
                elif g.kind == GATED:
                    pass_gate(g.x + here, g.gy + here, g.out + here, few, g.width, sums, g.known)
                elif g.kind == PRODUCTS:
                    products(g.x + here, g.gy + here, few, g.width, g.known, sums, g.row)
                else:
                    gated_products(g.x + here, g.gy + here, few, g.width, g.known, sums, g.row)


class Totals(NamedTuple):
    """Sums of pieces that are to be added up: rows of float64, so many bytes apart."""

    sums: int
    step: int
    pieces: int
    together: int
    channels: int
    out: int


@kernel
def add_pieces(m, sums, step, pieces, together, channels, out):
    """Write, for each channel, the sum of all pieces' numbers, and of the pixels that lie side by side in a row."""
    def columns(c, part):
        def pixel(k, whole):
            return m.loop(pieces, lambda i, column: [
                column + m.load_doubles(sums + i * step + 8 * (k * channels + c))], whole)

        whole, = m.loop(together, pixel, m.double(m.splat(0)))
        store(m, out + 4 * c, m.single(whole), part)

    sweep(m, channels, columns)


@worker(Totals)
def add_up(_, job):
    g = opened(job)
    if take(g.counter) == 0:
        add_pieces(g.sums, g.step, g.pieces, g.together, g.channels, g.out)


def channel_sums(kind, x, known, gy=None, out=None):
    """Let the threads walk; return the first of their sums, (C,)."""
    C, sums = x.shape[1], walked(kind, x, known, gy, out)
    whole = new(C)
    threads.run(add_up, Totals(address(sums), sums.strides[0], len(sums), pieces(x.size // C, C)[0], C, address(whole)),
                1)
    return whole


def run(kind, x, known, gy=None, out=None, relu=0):
    """Let the threads walk; return both sums, (2, C)."""
    sums, C = walked(kind, x, known, gy, out, relu), x.shape[1]
    together, _, width, *_ = pieces(x.size // C, C)

    def added_up() -> np.ndarray:
        whole = np.add.reduce(sums)[:, :width]
        return whole if together == 1 else np.add.reduce(whole.reshape(2, together, C), 1)

    return again(added_up) if kind in SUMS else None


def walked(kind, x, known, gy, out, relu=0):
    """Let the threads walk; return the sums of each piece."""
    C = x.shape[1]
    together, rows, width, each, row = pieces(x.size // C, C)

    def for_all() -> np.ndarray:
        numbers = np.zeros((max(len(known), 1), row), np.float32)
        for to, values in zip(numbers, known, strict=False):
            to[:width].reshape(together, C)[...] = values
        return numbers

    numbers = again(for_all) if any(map(np.ndim, known)) else for_all()
    sums = np.empty((-(-rows // each), 2, row) if kind in SUMS else 0)
    threads.run(walk, Channels(
        kind, address(x), 0 if gy is None else address(gy), 0 if out is None else address(out), address(sums), row,
        address(numbers), rows, width, each, int(x.size >= BEYOND and width % LANES == 0), relu), x.size // MANY)
    return sums


@lru_cache(256)
def pieces(pixels, C):
    """Return how many pixels make a row, how many rows there are, how wide, how many are taken at a time, and room."""
    together = math.gcd(pixels, 1 << max(WIDE * LANES // C, 1).bit_length() - 1)  # few channels: several pixels a row
    rows, width = pixels // together, together * C
    return together, rows, width, max(-(-PIECE // width), -(-rows // PIECES)), -(-width // LANES) * LANES


def as_images(x):
    """Return x, (N, C) or with one or two axes more, as images whose pixels lie one behind the other."""
    x = x.reshape(*x.shape, *(1,) * (4 - x.ndim))
    return x if x.transpose(0, 2, 3, 1).flags.c_contiguous and x.flags.aligned else copied(x)


def sum_over(x, axes):
    return channel_sums(TOTALS, as_images(x), [])


def passed(y, gy, activation):
    """Return the gradient that an activation with the result y lets pass, and its sum for each channel."""
    shape, y, gy = gy.shape, as_images(y), as_images(gy)
    out = images(*y.shape)
    sums = channel_sums(GATED, y, [BELOW[activation]], gy, out)
    return out.reshape(shape), sums


def moments_of(x):
    """Return each channel's mean and variance."""
    x = as_images(x)
    first = again(lambda: np.where(np.isfinite(x[0, :, 0, 0]), x[0, :, 0, 0], 0))
    return known_moments(run(MOMENTS, x, [first]), first, x.size // x.shape[1])


class Pieces(NamedTuple):
    """Sums of pieces, of distances from numbers of their own: see tiles.row_tile."""

    sums: int
    row: int  # numbers
    pieces: int
    counts: int  # how many each is of
    out: int


@kernel
def join(m, sums, row, pieces, counts, out):
    """Add up the pieces' sums of distances and of their squares, as if all were those from the first one's number."""
    def columns(c, part):
        at, zero = sums + 4 * c, m.double(m.splat(0))

        def piece(i, total, squares):
            number, distances, square = (m.double(m.load(at + (3 * i + k) * (4 * row))) for k in range(3))
            away = number - m.double(m.load(at))
            shift = m.double(m.broadcast(counts + 4 * i)) * away
            return total + distances + shift, squares + square + away * (distances + distances + shift)

        for k, whole in enumerate(m.loop(pieces, piece, zero, zero)):
            m.store_doubles(out + 8 * (k * row + c), whole)

    sweep(m, row, columns)


@worker(Pieces)
def join_pieces(_, job):
    g = opened(job)
    if take(g.counter) == 0:
        join(g.sums, g.row, g.pieces, g.counts, g.out)


def moments_of_pieces(sums, places, x):
    """Return the mean and variance of x's channels from the sums of its pieces, of `places` pixels but for the last."""
    (pieces, _, row), C = sums.shape, x.shape[1]
    counts, out = np.full(pieces, places, np.float32), np.empty((2, row))
    counts[-1] = x.size // C - (pieces - 1) * places
    threads.run(join_pieces, Pieces(address(sums), row, pieces, address(counts), address(out)), 1)
    return known_moments(out[:, :C], sums[0, 0, :C], x.size // C)


def known_moments(sums, near, count):
    """Return mean and variance of `count` numbers, from the sums of their distances from `near`, and of the squares."""
    def moments() -> np.ndarray:
        with np.errstate(all='ignore'):
            of_x, of_squares = sums / count
            return np.array([of_x + near, np.maximum(of_squares - of_x * of_x, 0)], np.float32)

    return again(moments)


def batch_norm(x, gamma, beta, eps, activation, added=None, moments=None):
    shape, x = x.shape, as_images(x)
    mean, var = moments_of(x) if moments is None else moments
    scale = again(lambda: gamma * inverse_deviation(var, eps))
    return scaled(x, mean, scale, beta, RELU[activation], added).reshape(shape), mean, var


def inverse_deviation(var, eps):
    return 1 / np.sqrt(var + np.float32(eps))


def scale_channels(x, mean, scale, shift, activation='', added=None):
    return scaled(as_images(x), mean, scale, shift, RELU[activation], added).reshape(x.shape)


def scaled(x, mean, scale, shift, relu=0, added=None):
    y = images(*x.shape)
    if added is None:
        run(LINE, x, [mean, scale, shift], out=y, relu=relu)
    else:
        run(ADDED_LINE, x, [mean, scale, shift], gy=as_images(added), out=y, relu=relu)
    return y


def batch_norm_grad(x, gamma, beta, gy, mean, var, eps, activation):
    """Return the gradients; the activation's results are computed once more, as they were, instead of being read."""
    shape, x, gy = x.shape, as_images(x), as_images(gy)
    m, inverse = x.size // x.shape[1], again(lambda: inverse_deviation(var, eps))
    scale, gate = again(lambda: gamma * inverse), [beta, np.full_like(mean, MOST[activation])] if activation else []
    sums = run(GATED_PRODUCTS, x, [mean, scale, *gate], gy=gy) if gate else run(PRODUCTS, x, [mean], gy=gy)
    gbeta, ggamma = again(lambda: sums[0].astype(np.float32)), again(lambda: (sums[1] * inverse).astype(np.float32))
    of_gy, of_both = again(lambda: np.stack([gbeta, ggamma]) / m)
    gx = images(*x.shape)
    run(GATED_BACK if gate else BACK, x, [mean, inverse, of_gy, of_both, scale, *gate], gy=gy, out=gx)
    return gx.reshape(shape), ggamma, gbeta
