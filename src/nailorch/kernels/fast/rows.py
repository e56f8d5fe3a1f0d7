"""Softmax: rows of scores into probabilities, or their logarithms."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from nailorch.kernels.fast import threads
from nailorch.kernels.fast.emit import kernel, take
from nailorch.kernels.fast.jit import opened, worker
from nailorch.kernels.fast.memory import address, new
from nailorch.kernels.fast.vectors import across, exp, ln, load, store, sweep, total

TOGETHER = 1 << 12  # numbers to a piece of work


@kernel
def softmax_row(m, x, y, count, logarithm):
    """Write e**(x - max) over its sum, or x - max - log(sum). What is NaN makes the sum, and so the whole row, NaN."""
    def higher(i, part, best):
        value = load(m, x + 4 * i, part)
        value = value if part is None else m.choose(m.first(part), value, m.splat(-math.inf))
        return [m.below(best, value, value, best)]

    best = across(m, sweep(m, count, higher, m.splat(-math.inf))[0], lambda a, b: m.below(a, b, b, a))

    def add(i, part, sums):
        low = load(m, x + 4 * i, part) - best
        power = exp(m, low)
        m.loop(1 - logarithm, lambda _: store(m, y + 4 * i, power, part))
        return [sums + (power if part is None else m.choose(m.first(part), power, m.splat(0)))]

    whole = total(m, sweep(m, count, add, m.splat(0))[0])

    def divide(_):
        sweep(m, count, lambda i, part: store(m, y + 4 * i, load(m, y + 4 * i, part) / whole, part))

    def subtract(_):
        shift = ln(m, whole)
        sweep(m, count, lambda i, part: store(m, y + 4 * i, load(m, x + 4 * i, part) - best - shift, part))

    m.loop(1 - logarithm, divide)
    m.loop(logarithm, subtract)


class Rows(NamedTuple):
    """Rows of `count` numbers, one behind the other."""

    x: int
    y: int
    rows: int
    count: int
    logarithm: int
    each: int  # rows to a piece of work


@worker(Rows)
def softmax_rows(_, job):
    g = opened(job)
    while True:
        first = take(g.counter) * g.each
        if first >= g.rows:
            return
        for row in range(first, min(first + g.each, g.rows)):
            softmax_row(g.x + 4 * row * g.count, g.y + 4 * row * g.count, g.count, g.logarithm)


def normalised(x, axis, logarithm):
    turned = axis not in (-1, x.ndim - 1)
    x = np.ascontiguousarray(np.moveaxis(x, axis, -1) if turned else x)
    y, count = new(*x.shape), x.shape[-1]
    threads.run(softmax_rows, Rows(address(x), address(y), x.size // count, count, logarithm, -(-TOGETHER // count)),
                x.size // TOGETHER)
    return np.moveaxis(y, -1, axis) if turned else y


def softmax(x, axis):
    return normalised(x, axis, 0)


def log_softmax(x, axis):
    return normalised(x, axis, 1)
