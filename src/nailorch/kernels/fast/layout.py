"""From images with a channel after the other to images whose channels lie side by side, and back.

The kernels read and write pixels: the channels of one place, next to each other, (N, H, W, C) in memory. What comes
from elsewhere has whole planes, (N, C, H, W). Between the two lies a transposition, of squares of LANES x LANES numbers
that fit into registers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nailorch.kernels.fast import threads
from nailorch.kernels.fast.emit import SIZE, kernel, take
from nailorch.kernels.fast.jit import claim, opened, worker
from nailorch.kernels.fast.memory import address, again, images, new, strides, unwritten
from nailorch.kernels.fast.target import LANES
from nailorch.kernels.fast.tiles import turn
from nailorch.kernels.fast.vectors import copy_pieces, save, sweep

FEW = 16  # squares to a piece of work
COLOURS = 3  # planes of a picture, which have a kernel of their own
AHEAD = 1 << 11  # bytes
SMALL = 1 << 16  # numbers that one thread has turned before two would have begun


class Turning(NamedTuple):
    """Matrices on their way to their transposes: addresses, and steps in bytes."""

    source: int
    source_n: int
    source_row: int
    out: int
    out_n: int
    out_row: int
    N: int
    rows: int
    columns: int
    each: int  # parts of a matrix to a piece of work


@kernel
def weave(m, source, source_row, out, count):
    """Lay the numbers of COLOURS rows side by side, `count` of each: a square would be almost empty.

    A picture often comes from memory: what lies AHEAD is asked for, in rows and in out.
    """
    def woven(load, store):
        def step(i):
            for c in range(COLOURS):
                m.prefetch(source + c * source_row + SIZE * i + AHEAD)
                m.prefetch(out + SIZE * (COLOURS * i + c) + COLOURS * AHEAD)
            rows = [load(source + c * source_row + SIZE * i) for c in range(COLOURS)]
            for k in range(COLOURS):
                places = [divmod(k * LANES + lane, COLOURS) for lane in range(LANES)]  # number, row
                mixed = m.shuffle(rows[0], rows[1], [number + LANES * (row == 1) for number, row in places])
                mixed = m.shuffle(mixed, rows[2], [
                    LANES + number if row == 2 else lane for lane, (number, row) in enumerate(places)])
                store(out + SIZE * (COLOURS * i + k), mixed, k)
        return step

    whole, rest = count // LANES, count % LANES
    m.loop(whole, woven(m.load, lambda at, x, k: m.store(at, x)))
    last = woven(lambda at: m.load_part(at, rest), lambda at, x, k: m.store_part(at, x, rest * COLOURS - k * LANES))
    m.when(rest, lambda: last(whole))


@worker(Turning)
def turn_matrices(number, job):
    """Take pieces of work, parts of LANES rows by some columns of a matrix."""
    g = opened(job)
    sources, outs, steps = np.empty(LANES, np.int64), np.empty(LANES, np.int64), np.empty(LANES, np.int64)
    steps[:], waste = LANES * g.out_row, np.empty(LANES, np.float32)
    blocks, pieces = -(-g.rows // LANES), -(-g.columns // (FEW * LANES))
    while True:
        begin = claim(g.counter, number, -(-g.N * pieces * blocks // g.each)) * g.each
        if begin >= g.N * pieces * blocks:
            return
        for work in range(begin, min(begin + g.each, g.N * pieces * blocks)):
            n, column, row = work // (pieces * blocks), work // blocks % pieces * FEW * LANES, work % blocks * LANES
            rows, columns = min(LANES, g.rows - row), min(FEW * LANES, g.columns - column)
            squares, rest = columns // LANES, columns % LANES
            if g.rows == COLOURS and g.out_row == 4 * COLOURS:
                weave(g.source + n * g.source_n + 4 * column, g.source_row, g.out + n * g.out_n + column * g.out_row,
                      columns)
                continue
            for i in range(LANES):
                sources[i] = g.source + n * g.source_n + (row + min(i, rows - 1)) * g.source_row + 4 * column
                outs[i] = g.out + n * g.out_n + (column + i) * g.out_row + 4 * row
            turn(sources.ctypes.data, SIZE, LANES, outs.ctypes.data, steps.ctypes.data, rows, squares)
            if rest:
                for i in range(LANES):
                    sources[i] += squares * SIZE
                    outs[i] = outs[i] + squares * LANES * g.out_row if i < rest else waste.ctypes.data
                turn(sources.ctypes.data, 0, rest, outs.ctypes.data, steps.ctypes.data, rows, 1)


class Clearing(NamedTuple):
    """Rows of pixels that become 0: addresses, and steps in bytes."""

    out: int
    out_n: int
    out_h: int
    out_w: int
    N: int
    H: int
    W: int
    numbers: int  # of a pixel
    streamed: int


@kernel
def clear_row(m, out, step, count, numbers, streamed):
    """Write zeros into `count` pixels, `step` bytes apart; `streamed` ones, of whole vectors, past the caches."""
    zero = m.splat(0)

    def pixel(past):
        return lambda i: sweep(m, numbers, lambda k, part: save(m, out + i * step + 4 * k, zero, part, past))

    m.loop(streamed * count, pixel(True))
    m.loop((1 - streamed) * count, pixel(False))


@worker(Clearing)
def clear_rows(_, job):
    """Take rows of pixels until none is left."""
    g = opened(job)
    while True:
        work = take(g.counter)
        if work >= g.N * g.H:
            return
        clear_row(g.out + work // g.H * g.out_n + work % g.H * g.out_h, g.out_w, g.W, g.numbers, g.streamed)


def clear(image, streamed=False):
    """Write zeros into images, or a part of some, whose channels lie side by side; `streamed` past the caches."""
    N, C, H, W = image.shape
    n, _, h, w = image.strides
    past = streamed and C % LANES == 0
    threads.run(clear_rows, Clearing(address(image), n, h, w, N, H, W, C, int(past)), image.size // SMALL)


class Copying(NamedTuple):
    """Rows of pixels on their way to other places: addresses, and steps in bytes."""

    source: int
    source_n: int
    source_h: int
    source_w: int
    out: int
    out_n: int
    out_h: int
    out_w: int
    N: int
    H: int
    W: int
    numbers: int  # of a pixel


@worker(Copying)
def copy_rows(number, job):
    """Take rows of pixels until none is left."""
    g = opened(job)
    while True:
        work = claim(g.counter, number, g.N * g.H)
        if work >= g.N * g.H:
            return
        n, h = work // g.H, work % g.H
        copy_pieces(g.source + n * g.source_n + h * g.source_h, g.source_w, g.out + n * g.out_n + h * g.out_h,
                    g.out_w, g.W, g.numbers)


def parts_each(columns):
    """Return how many parts of matrices with so many columns a thread takes at a time: small ones together."""
    return max(FEW * LANES // columns, 1)


def side_by_side(image):
    """Return whether the channels of a pixel lie side by side."""
    return image.flags.aligned and (image.shape[1] == 1 or image.strides[1] == 4)


def channels_last(image):
    """Return the images with the channels of a pixel side by side: themselves, or a copy."""
    return image if side_by_side(image) else copied(image)


def copied(image, y=None):
    """Return a copy of the images, the channels of a pixel side by side; or write it into y, which has them so."""
    N, C, H, W = image.shape
    n, c, h, w = image.strides
    y = images(N, C, H, W) if y is None else y
    if w == 4 and (h == 4 * W or H == 1) and image.flags.aligned and y.strides[2] == W * y.strides[3]:  # whole planes
        threads.run(turn_matrices, Turning(address(image), n, c, address(y), y.strides[0], y.strides[3], N, C, H * W,
                                           parts_each(H * W)), y.size // SMALL)
    elif side_by_side(image):
        threads.run(copy_rows, Copying(address(image), n, h, w, address(y), *strides(y), N, H, W, C), y.size // SMALL)
    else:
        again(lambda: np.copyto(y, image))
    return y


def concat(xs, _):
    """Return images joined by their channels."""
    N, _, H, W = xs[0].shape
    y, done = images(N, sum(x.shape[1] for x in xs), H, W), 0
    for x in xs:
        copied(x, y[:, done:done + x.shape[1]])
        done += x.shape[1]
    return y


def in_c_order(image):
    """Return a copy of images whose channels lie side by side: whole planes."""
    N, C, H, W = image.shape
    y = new(N, C, H, W)
    threads.run(turn_matrices, Turning(address(image), 4 * C * H * W, 4 * C, address(y), 4 * C * H * W, 4 * H * W,
                                       N, H * W, C, parts_each(C)), y.size // SMALL)
    return y


def like(array, model):
    """Return `array` with the memory order of `model`, channels side by side: itself, or a copy."""
    return array if array.strides == model.strides and array.flags.aligned else copied(array)


def in_order(array, model):
    """Return `array` with the memory order of a gapless `model`: itself, or a copy."""
    if array.flags.aligned and (array.strides == model.strides or all(
            n == 1 or here == there for n, here, there in zip(model.shape, array.strides, model.strides, strict=True))):
        return array
    if model.ndim == 4 and model.transpose(0, 2, 3, 1).flags.c_contiguous:
        return copied(array)
    copy = unwritten(model)
    again(lambda: np.copyto(copy, array))
    return copy
