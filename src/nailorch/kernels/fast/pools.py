"""Pooling: every result is made of a rectangle of pixels, and every pixel's gradient of a rectangle of results.

Along one axis, place o of a window covers pixels o * S - before + k * D, those of them that exist: from a first one on,
D apart. And pixel h was seen from the places o with o * S + k * D = h + before: from a first one on too, D / gcd(S, D)
apart, as its cell k goes down by S / gcd(S, D). So both ways are one walk, over targets and the rectangle of sources
of each, without a case for edges, overlaps or gaps; and no two threads ever add to one number.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

from nailorch.kernels.fast import threads
from nailorch.kernels.fast.emit import kernel, peek
from nailorch.kernels.fast.jit import claim, opened, worker
from nailorch.kernels.fast.layout import channels_last
from nailorch.kernels.fast.memory import address, apart, images, octets, strides
from nailorch.kernels.fast.target import LANES
from nailorch.kernels.fast.vectors import load, save, store, sweep

LARGEST, PICK, SPREAD, AVERAGE, SHARE = range(5)
FEW = 1 << 14  # numbers that one thread computes before two would have begun
MANY = 1 << 16  # and of squares
BEYOND = 1 << 22  # numbers: more than caches hold until they are wanted again


def pool(start, step, finish):
    """Return a kernel: from start(...), step over a rectangle of sources, vector by vector of their channels.

    The rectangle is `rows` x `cols`, row_step and col_step bytes apart; in `other` the steps are the same number of
    numbers but of another size. The cells it stands for begin at `cell`.
    """
    def body(m, out, index, source, rows, cols, row_step, col_step, other, other_row, other_col, cell, cell_row,
             cell_col, channels, divisor):
        def vector(c, part):
            def row(i, *values):
                def col(j, *values):
                    at, beside = source + i * row_step + j * col_step, other + i * other_row + j * other_col
                    here = cell + i * cell_row + j * cell_col
                    return step(m, values, load(m, at + 4 * c, part), beside, here, c, part)
                return m.loop(cols, col, *values)
            finish(m, m.loop(rows, row, *start(m, index, cell, c, part)), out, index, divisor, c, part)

        sweep(m, channels, vector)

    return kernel(body)


def bytes_at(m, address, part):
    return m.load_bytes(address) if part is None else m.load_bytes(address, part)


def keep(m, values, out, index, divisor, c, part):
    store(m, out + 4 * c, values[0], part)


def larger(m, values, x, beside, cell, c, part):
    best, where = values
    wins = m.beats(x, best)
    return m.choose(wins, x, best), m.choose(wins, m.ints(cell), where)


def keep_both(m, values, out, index, divisor, c, part):
    keep(m, values, out, index, divisor, c, part)
    m.store_bytes(index + c, values[1]) if part is None else m.store_bytes(index + c, values[1], part)


def picked(m, values, x, beside, cell, c, part):
    y, where = values
    return m.choose(m.equal(where, m.ints(cell)), x, y), where


def won(m, values, gy, beside, cell, c, part):
    here = m.equal(bytes_at(m, beside + c, part), m.ints(cell))
    return [values[0] + m.choose(here, gy, m.splat(0))]


def add(m, values, x, beside, cell, c, part):
    return [values[0] + x]


def add_share(m, values, gy, beside, cell, c, part):
    return [values[0] + gy / m.broadcast(beside)]


def divide(m, values, out, index, divisor, c, part):
    store(m, out + 4 * c, values[0] / m.broadcast(divisor), part)


def nothing(m, index, cell, c, part):
    return [m.splat(0)]


largest = pool(lambda m, index, cell, c, part: (m.splat(-math.inf), m.ints(cell)), larger, keep_both)
pick = pool(lambda m, index, cell, c, part: (m.splat(0), bytes_at(m, index + c, part)), picked, keep)
spread = pool(nothing, won, keep)
average = pool(nothing, add, divide)
share = pool(nothing, add_share, keep)


class Pooling(NamedTuple):
    """A walk over targets: addresses, and steps in bytes from image to image, row to row, pixel to pixel."""

    kind: int
    N: int
    H: int  # of the targets
    W: int
    channels: int
    out: int
    out_n: int
    out_h: int
    out_w: int
    source: int
    source_n: int
    source_h: int
    source_w: int
    index: int  # beside the targets, or beside the sources
    index_n: int
    index_h: int
    index_w: int
    count: int  # the cells that averages divide by: (OH, OW)
    count_h: int
    rows: int  # tables, one entry a target: its first source, how many, the first one's cell
    cols: int
    source_row: int  # from one source of a target to the next, down and across: pixels, and cells
    source_col: int
    cell_row: int
    cell_col: int
    each: int  # rows of targets to a piece of work


@worker(Pooling)
def walk(number, job):
    """Take rows of targets until none is left."""
    g = opened(job)
    while True:
        first = claim(g.counter, number, -(-g.N * g.H // g.each)) * g.each
        if first >= g.N * g.H:
            return
        for line in range(first, min(first + g.each, g.N * g.H)):
            n, h = line // g.H, line % g.H
            y, rows, cell_y = peek(g.rows + 24 * h), peek(g.rows + 24 * h + 8), peek(g.rows + 24 * h + 16)
            for w in range(g.W):
                x, cols, cell = peek(g.cols + 24 * w), peek(g.cols + 24 * w + 8), peek(g.cols + 24 * w + 16) + cell_y
                out = g.out + n * g.out_n + h * g.out_h + w * g.out_w
                source = g.source + n * g.source_n + y * g.source_h + x * g.source_w
                down, right = g.source_row * g.source_h, g.source_col * g.source_w
                beside = g.index + n * g.index_n
                if g.kind in (LARGEST, PICK):
                    beside += h * g.index_h + w * g.index_w
                else:
                    beside += y * g.index_h + x * g.index_w
                if g.kind == LARGEST:
                    largest(out, beside, source, rows, cols, down, right, 0, 0, 0, cell, g.cell_row, g.cell_col,
                            g.channels, 0)
                elif g.kind == PICK:
                    pick(out, beside, source, rows, cols, down, right, 0, 0, 0, cell, g.cell_row, g.cell_col,
                         g.channels, 0)
                elif g.kind == SPREAD:
                    spread(out, 0, source, rows, cols, down, right, beside, g.source_row * g.index_h,
                           g.source_col * g.index_w, cell, g.cell_row, g.cell_col, g.channels, 0)
                elif g.kind == AVERAGE:
                    average(out, 0, source, rows, cols, down, right, 0, 0, 0, 0, 0, 0, g.channels,
                            g.count + h * g.count_h + 4 * w)
                else:
                    share(out, 0, source, rows, cols, down, right, g.count + y * g.count_h + 4 * x,
                          g.source_row * g.count_h, g.source_col * 4, 0, 0, 0, g.channels, 0)


# Tables along one axis, a row a target: its first source, how many it has, and the cell of the first


@functools.lru_cache(256)
def covered(size, places, K, S, D, before):
    """Return the table of the pixels that each place covers, and the steps between them, in pixels and cells."""
    cell = np.arange(K)
    pixel = np.arange(places)[:, None] * S - before + cell * D
    first = ((pixel >= 0) | (cell == K - 1)).argmax(axis=1)
    count = ((pixel >= 0) & (pixel < size)).sum(axis=1)
    return np.stack([pixel[np.arange(places), first], count, first], axis=1), D, 1


@functools.lru_cache(256)
def seen(size, places, K, S, D, before):
    """Return the table of the places that saw each pixel, and the steps between them, in places and cells."""
    cell = np.arange(K)
    distance = np.arange(size)[:, None] + before - cell * D
    saw = (distance >= 0) & (distance % S == 0) & (distance // S < places)
    last = K - 1 - saw[:, ::-1].argmax(axis=1)
    step = math.gcd(S, D)
    return np.stack([distance[np.arange(size), last] // S, saw.sum(axis=1), last], axis=1), D // step, -(S // step)


def tables(look, size, places, window):
    rows, cols = (look(*along) for along in zip(size, places, window.kernel_size, window.stride, window.dilation,
                                                    (before for before, _ in window.pad), strict=True))
    return rows, cols


# Squares of four pixels, side by side: what most networks pool, and the one case worth code of its own


class Squares(NamedTuple):
    """Rows of squares: addresses, and steps in bytes. What is written, and its index, lies without gaps."""

    backward: int
    rows: int  # of squares in an image
    places: int  # squares in a row
    channels: int
    source: int  # the image, or what flows back to it
    source_n: int
    source_h: int
    source_w: int
    index: int
    index_n: int
    index_h: int
    index_w: int
    out: int
    count: int  # rows in all images
    each: int  # rows to a piece of work
    streamed: int


CORNERS = [(0, 0), (0, 1), (1, 0), (1, 1)]


@kernel
def largest_of_four(m, source, down, right, index, out, places, channels):
    """Write a row of maxima, and which corner each stood in."""
    def place(o):
        def vector(c, part):
            best, *others = (load(m, source + 2 * o * right + i * down + j * right + 4 * c, part) for i, j in CORNERS)
            where = m.ints(0)
            for corner, x in enumerate(others, 1):
                best, where = larger(m, (best, where), x, None, corner, c, part)
            keep_both(m, (best, where), out + 4 * o * channels, index + o * channels, None, c, part)

        sweep(m, channels, vector)

    m.loop(places, place)


@kernel
def spread_to_four(m, source, right, index, index_right, out, places, channels, streamed):
    """Write two rows of pixels: in each square gy at the corner that won, 0 at the others."""
    def every(how):
        def place(o):
            def vector(c, part):
                gy, won = load(m, source + o * right + 4 * c, part), bytes_at(m, index + o * index_right + c, part)
                for corner, (i, j) in enumerate(CORNERS):
                    at = out + 4 * ((2 * (places * i + o) + j) * channels + c)
                    save(m, at, m.choose(m.equal(won, m.ints(corner)), gy, m.splat(0)), part, how)

            sweep(m, channels, vector)

        m.loop(places, place)

    m.when(streamed, lambda: every(1))
    m.when(1 - streamed, lambda: every(0))


@worker(Squares)
def walk_squares(number, job):
    """Take rows of squares until none is left."""
    g = opened(job)
    while True:
        first = claim(g.counter, number, -(-g.count // g.each)) * g.each
        if first >= g.count:
            return
        for line in range(first, min(first + g.each, g.count)):
            n, h = line // g.rows, line % g.rows
            index = g.index + n * g.index_n + h * g.index_h
            if g.backward:
                spread_to_four(g.source + n * g.source_n + h * g.source_h, g.source_w, index, g.index_w,
                               g.out + 16 * line * g.places * g.channels, g.places, g.channels, g.streamed)
            else:
                largest_of_four(g.source + n * g.source_n + 2 * h * g.source_h, g.source_h, g.source_w, index,
                                g.out + 4 * line * g.places * g.channels, g.places, g.channels)


def in_squares(window, size, places):
    """Return whether the windows are squares of four pixels that cover the images."""
    return window.kernel_size == window.stride == (2, 2) and window.dilation == (1, 1) and \
        not any(map(any, window.pad)) and tuple(size) == (2 * places[0], 2 * places[1])


def run_squares(backward, source, index, out):
    source, (N, C, OH, OW) = channels_last(source), index.shape
    threads.run(walk_squares, Squares(
        backward, OH, OW, C, address(source), *strides(source), address(index), *strides(index), address(out), N * OH,
        -(-FEW // (4 * OW * C)), int(out.size >= BEYOND and C % LANES == 0)), 4 * index.size // MANY)


# The five walks


def run(kind, look, size, places, window, source, targets, index=None, count=None):
    """Return, for images of `targets` rows and columns, what the sources make of them."""
    (rows, down, cell_down), (cols, right, cell_right) = tables(look, size, places, window)
    KW, source = window.kernel_size[1], channels_last(source)
    N, C, (H, W) = *source.shape[:2], targets
    rows, out = rows * [1, 1, KW], images(N, C, H, W)
    beside = (0,) * 4 if index is None else (address(index), *strides(index))
    divisors = np.ones((1, 1), np.float32) if count is None else np.ascontiguousarray(count, np.float32)
    each = -(-FEW // 4 // (W * C))
    threads.run(walk, Pooling(
        kind, N, H, W, C, address(out), *strides(out), address(source), *strides(source), *beside, address(divisors),
        divisors.strides[0], address(rows), address(cols), down, right, cell_down * KW, cell_right, each),
        out.size // FEW)
    return out


def bytes_last(index):
    """Return the index with the channels of a pixel side by side."""
    if index.shape[1] == 1 or index.strides[1] == 1:
        return index
    apart()
    return np.ascontiguousarray(index.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def bytes_for(shape):
    """Return an unwritten index for results (N, C, OH, OW), the channels of a place side by side."""
    N, C, OH, OW = shape
    return octets(N * C * OH * OW).reshape(N, OH, OW, C).transpose(0, 3, 1, 2)


def max_pool(image, window):
    (N, C, *size), places = image.shape, window.outsize(image.shape[2:])
    index = bytes_for((N, C, *places))
    if in_squares(window, size, places):
        y = images(N, C, *places)
        run_squares(0, image, index, y)
        return y, index
    return run(LARGEST, covered, size, places, window, image, places, index), index


def max_pool_gather(image, index, window):
    places = index.shape[2:]
    return run(PICK, covered, image.shape[2:], places, window, image, places, bytes_last(index))


def max_pool_scatter(gy, index, size, window):
    if in_squares(window, size, gy.shape[2:]):
        gx = images(*gy.shape[:2], *size)
        run_squares(1, gy, bytes_last(index), gx)
        return gx
    return run(SPREAD, seen, size, gy.shape[2:], window, gy, size, bytes_last(index))


def average_pool(image, window, count):
    places = window.outsize(image.shape[2:])
    return run(AVERAGE, covered, image.shape[2:], places, window, image, places, count=count)


def average_pool_grad(gy, size, window, count):
    return run(SHARE, seen, size, gy.shape[2:], window, gy, size, count=count)
