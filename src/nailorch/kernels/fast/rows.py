"""Rows of scores: softmax, its logarithm, and how wrong they are about a class, forward and backward."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from nailorch.kernels.fast import threads
from nailorch.kernels.fast.emit import kernel, peek, take
from nailorch.kernels.fast.jit import opened, worker
from nailorch.kernels.fast.memory import address, again, apart, new
from nailorch.kernels.fast.vectors import across, exp, ln, load, store, sweep, total

TOGETHER = 1 << 12  # numbers to a piece of work
SOFTMAX, LOGARITHM, LOSS, GRADIENT = range(4)


def highest(m, x, count):
    """Return the row's maximum."""
    def higher(i, part, best):
        value = load(m, x + 4 * i, part)
        value = value if part is None else m.choose(m.first(part), value, m.splat(-math.inf))
        return [m.below(best, value, value, best)]

    return across(m, sweep(m, count, higher, m.splat(-math.inf))[0], lambda a, b: m.below(a, b, b, a))


def sum_of_powers(m, x, count, best, y=None):
    """Return the sum of e**(x - best), and write the powers to y. What is NaN makes the sum NaN."""
    def add(i, part, sums):
        power = exp(m, load(m, x + 4 * i, part) - best)
        if y is not None:
            store(m, y + 4 * i, power, part)
        return [sums + (power if part is None else m.choose(m.first(part), power, m.splat(0)))]

    return total(m, sweep(m, count, add, m.splat(0))[0])


@kernel
def softmax_row(m, x, y, count):
    """Write e**(x - max) over its sum."""
    whole = sum_of_powers(m, x, count, highest(m, x, count), y)
    sweep(m, count, lambda i, part: store(m, y + 4 * i, load(m, y + 4 * i, part) / whole, part))


@kernel
def logarithm_row(m, x, y, count):
    """Write x - max - log(sum)."""
    best = highest(m, x, count)
    shift = ln(m, sum_of_powers(m, x, count, best))
    sweep(m, count, lambda i, part: store(m, y + 4 * i, load(m, x + 4 * i, part) - best - shift, part))


@kernel
def loss_row(m, x, y, count, target):
    """Write log(sum) - (x - max) of the target: one number."""
    best = highest(m, x, count)
    m.put(y, ln(m, sum_of_powers(m, x, count, best)) - (m.broadcast(x + 4 * target) - best))


@kernel
def gradient_row(m, x, y, count, target, scale):
    """Write softmax, less 1 at the target, times a scale."""
    whole, factor = sum_of_powers(m, x, count, highest(m, x, count), y), m.broadcast(scale)
    sweep(m, count, lambda i, part: store(m, y + 4 * i, load(m, y + 4 * i, part) / whole * factor, part))
    m.put(y + 4 * target, m.broadcast(y + 4 * target) - factor)


class Rows(NamedTuple):
    """Rows of `count` numbers, one behind the other."""

    kind: int
    x: int
    y: int
    rows: int
    count: int
    target: int  # words, one a row
    scale: int  # numbers, one a row
    each: int  # rows to a piece of work


@worker(Rows)
def walk(_, job):
    """Take rows until none is left."""
    g = opened(job)
    while True:
        first = take(g.counter) * g.each
        if first >= g.rows:
            return
        for row in range(first, min(first + g.each, g.rows)):
            x, y = g.x + 4 * row * g.count, g.y + 4 * row * g.count
            if g.kind == SOFTMAX:
                softmax_row(x, y, g.count)
            elif g.kind == LOGARITHM:
                logarithm_row(x, y, g.count)
            elif g.kind == LOSS:
                loss_row(x, g.y + 4 * row, g.count, peek(g.target + 8 * row))
            else:
                gradient_row(x, y, g.count, peek(g.target + 8 * row), g.scale + 4 * row)


def run(kind, x, y, target=None, scale=None):
    count = x.shape[-1]
    threads.run(walk, Rows(kind, address(x), address(y), x.size // count, count, 0 if target is None else
                           address(target), 0 if scale is None else address(scale), -(-TOGETHER // count)),
                x.size // TOGETHER)
    return y


def normalised(x, axis, kind):
    turned = axis not in (-1, x.ndim - 1)
    x = np.moveaxis(x, axis, -1) if turned else x
    if not x.flags.c_contiguous:
        apart()
        x = np.ascontiguousarray(x)
    y = run(kind, x, new(*x.shape))
    return np.moveaxis(y, -1, axis) if turned else y


def softmax(x, axis):
    return normalised(x, axis, SOFTMAX)


def log_softmax(x, axis):
    return normalised(x, axis, LOGARITHM)


def in_a_row(array, dtype=np.float32):
    """Return an array of a type with its numbers in the order of its axes: itself, or a copy."""
    if array.flags.c_contiguous and array.dtype == dtype:
        return array
    return again(lambda: np.array(array, dtype, order='C'), [array])


def cross_entropy(x, target):
    return run(LOSS, in_a_row(x), new(len(x)), in_a_row(target, np.int64))


def cross_entropy_grad(x, target, scale):
    return run(GRADIENT, in_a_row(x), new(*x.shape), in_a_row(target, np.int64), in_a_row(scale))
