"""Choosing between numbers, element by element: what every ReLU does to the gradient."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nailorch.kernels.fast import threads
from nailorch.kernels.fast.emit import kernel, take
from nailorch.kernels.fast.jit import opened, worker
from nailorch.kernels.fast.memory import address, floats
from nailorch.kernels.fast.vectors import load, store, sweep

PIECE = 1 << 14  # numbers


class Choice(NamedTuple):
    """Addresses; the steps of a and b are 4 bytes, or 0 for a single number that is everywhere."""

    condition: int
    a: int
    a_step: int
    b: int
    b_step: int
    out: int
    size: int


@kernel
def choose(m, condition, a, a_step, b, b_step, out, count):
    """Write a where the condition's byte is not 0, else b."""
    def vector(i, part):
        flags = m.load_bytes(condition + i) if part is None else m.load_bytes(condition + i, part)
        no, yes = values(b, b_step, i, part), values(a, a_step, i, part)
        store(m, out + 4 * i, m.choose(m.equal(flags, m.ints(0)), no, yes), part)

    def values(at, step, i, part):
        single = m.broadcast(at)
        return m.loop(step // 4, lambda _, value: [load(m, at + 4 * i, part)], single)[0]

    sweep(m, count, vector)


@worker(Choice)
def choose_all(_, job):
    g = opened(job)
    while True:
        first = take(g.counter) * PIECE
        if first >= g.size:
            return
        choose(g.condition + first, g.a + first * g.a_step, g.a_step, g.b + first * g.b_step, g.b_step,
               g.out + 4 * first, min(PIECE, g.size - first))


def select(condition, a, b):
    condition, a, b = map(np.asarray, (condition, a, b))  # a NumPy scalar has no address
    order = [4 * s for s in condition.strides]
    out = np.ndarray(condition.shape, np.float32, floats(condition.size), strides=order)
    threads.run(choose_all, Choice(address(condition), address(a), 4 * (a.ndim > 0), address(b), 4 * (b.ndim > 0),
                                   address(out), out.size), out.size // PIECE)
    return out
