"""Element by element: what stands between the layers that compute, and takes as long as memory does.

So results lie in memory that was used before, in the order of what they are made from, whichever that is: all arrays of
a call lie alike, and are one row of numbers here. A result too large for the caches goes straight to memory, which
would otherwise be read before it is written.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nailorch.kernels.fast import threads
from nailorch.kernels.fast.emit import kernel
from nailorch.kernels.fast.jit import claim, opened, worker
from nailorch.kernels.fast.layout import in_order
from nailorch.kernels.fast.memory import address, unwritten
from nailorch.kernels.fast.vectors import load, save, sweep

PIECE = 1 << 14  # numbers
FEW = 1 << 15  # numbers that one thread computes before two would have begun
BEYOND = 1 << 22  # numbers: more than caches hold until they are wanted again
ADD, SUBTRACT, MULTIPLY, RELU, GATE, CHOOSE, RELU6, GATE6 = range(8)
UFUNCS = {np.add: ADD, np.subtract: SUBTRACT, np.multiply: MULTIPLY}


class Elements(NamedTuple):
    """Addresses; the steps of a and b are 4 bytes, or 0 for a single number that is everywhere."""

    kind: int
    a: int
    a_step: int
    b: int
    b_step: int
    condition: int
    out: int
    numbers: int  # a record has a `size` of its own
    streamed: int


def each(formula):
    """Return the kernel that writes formula(m, a, b, condition), three functions that load a vector."""
    def body(m, a, a_step, b, b_step, condition, out, count, streamed):
        def loader(at, step, i, part):
            def number():
                single = m.broadcast(at)
                return m.loop(step // 4, lambda _, value: [load(m, at + 4 * i, part)], single)[0]
            return number

        def holds(i, part):
            flags = m.load_bytes(condition + i) if part is None else m.load_bytes(condition + i, part)
            return m.equal(flags, m.ints(0))

        def every(how):
            sweep(m, count, lambda i, part: save(m, out + 4 * i, formula(
                m, loader(a, a_step, i, part), loader(b, b_step, i, part), lambda: holds(i, part)), part, how))

        m.when(streamed, lambda: every(1))
        m.when(1 - streamed, lambda: every(0))

    return kernel(body)


def positive(m, x):
    return m.below(x, m.splat(0), m.splat(0), x)  # NaN stays


add = each(lambda m, a, b, no: a() + b())
subtract = each(lambda m, a, b, no: a() - b())
multiply = each(lambda m, a, b, no: a() * b())
rectify = each(lambda m, a, b, no: positive(m, a()))
gate = each(lambda m, a, b, no: m.below(m.splat(0), a(), b(), m.splat(0)))
choose = each(lambda m, a, b, no: m.choose(no(), b(), a()))


@each
def hold(m, a, b, no):
    y, six = positive(m, a()), m.splat(6)
    return m.below(six, y, six, y)


@each
def gate_6(m, a, b, no):
    y = a()
    return m.below(m.splat(0), y, m.below(y, m.splat(6), b(), m.splat(0)), m.splat(0))


@worker(Elements)
def walk(number, job):
    """Take pieces until none is left."""
    g = opened(job)
    while True:
        first = claim(g.counter, number, -(-g.numbers // PIECE)) * PIECE
        if first >= g.numbers:
            return
        a, b, out = g.a + first * g.a_step, g.b + first * g.b_step, g.out + 4 * first
        count = min(PIECE, g.numbers - first)
        if g.kind == ADD:
            add(a, g.a_step, b, g.b_step, 0, out, count, g.streamed)
        elif g.kind == SUBTRACT:
            subtract(a, g.a_step, b, g.b_step, 0, out, count, g.streamed)
        elif g.kind == MULTIPLY:
            multiply(a, g.a_step, b, g.b_step, 0, out, count, g.streamed)
        elif g.kind == RELU:
            rectify(a, g.a_step, b, g.b_step, 0, out, count, g.streamed)
        elif g.kind == GATE:
            gate(a, g.a_step, b, g.b_step, 0, out, count, g.streamed)
        elif g.kind == RELU6:
            hold(a, g.a_step, b, g.b_step, 0, out, count, g.streamed)
        elif g.kind == GATE6:
            gate_6(a, g.a_step, b, g.b_step, 0, out, count, g.streamed)
        else:
            choose(a, g.a_step, b, g.b_step, g.condition + first, out, count, g.streamed)


def run(kind, model, a, b, condition=None, out=None):
    """Compute over arrays that lie like `model`, or are single numbers."""
    a, b, out = np.asarray(a), np.asarray(b), unwritten(model) if out is None else out  # a scalar has no address
    threads.run(walk, Elements(kind, address(a), 4 * (a.ndim > 0), address(b), 4 * (b.ndim > 0),
                               0 if condition is None else address(condition), address(out), out.size,
                               int(out.size >= BEYOND)), out.size // FEW)
    return out


def elementwise(ufunc, a, b):
    return run(UFUNCS[ufunc], b if a.ndim == 0 else a, a, b)


def relu(x):
    return run(RELU, x, x, x)


def rectify_in_place(y, activation):
    """Write an activation's results where what it is given lies, without gaps."""
    run({'relu': RELU, 'relu6': RELU6}[activation], y, y, y, out=y)


def relu_grad(y, gy):
    return run(GATE, y, y, in_order(gy, y))


def relu6(x):
    return run(RELU6, x, x, x)


def relu6_grad(y, gy):
    return run(GATE6, y, y, in_order(gy, y))


def select(condition, a, b):
    condition = np.asarray(condition)
    return run(CHOOSE, condition, a, b, condition)
