"""Optimisers' updates: one pass over all parameters, each number read once and written once.

Parameters lie anywhere in memory, and many are small. So the threads share one table of pieces, all parameters' pieces
in a row, each with the addresses of the parameter, its gradient and what the optimiser keeps beside it.
"""

from __future__ import annotations

from array import array
from typing import NamedTuple

import numpy as np

from nailorch.kernels.fast import threads
from nailorch.kernels.fast.emit import kernel, peek, take
from nailorch.kernels.fast.jit import opened, worker
from nailorch.kernels.fast.layout import in_order
from nailorch.kernels.fast.memory import address
from nailorch.kernels.fast.vectors import load, store, sweep

PIECE = 1 << 14  # numbers
CONSTANTS = 8  # at most so many to a rule


def rule(formula, kept):
    """Return the kernel of an update: formula(m, constants, p, g, *state) returns the new p and state."""
    def update(m, p, g, a, b, count, constants):
        c = [m.broadcast(constants + 4 * k) for k in range(CONSTANTS)]

        def step(i, part):
            places = [place + 4 * i for place in (p, a, b)[:1 + kept]]
            old, *state = (load(m, place, part) for place in places)
            for place, value in zip(places, formula(m, c, old, load(m, g + 4 * i, part), *state), strict=True):
                store(m, place, value, part)

        sweep(m, count, step)

    return kernel(update)


def sgd(m, c, p, g):
    lr, *_ = c
    return [p - lr * g]


def momentum(m, c, p, g, v):
    lr, factor, *_ = c
    v = m.fma(v, factor, g)
    return p - lr * v, v


def nesterov(m, c, p, g, v):
    lr, factor, *_ = c
    v = m.fma(v, factor, g)
    return p - lr * m.fma(v, factor, g), v


def adagrad(m, c, p, g, s):
    lr, eps, *_ = c
    s = m.fma(g, g, s)
    return p - lr * g / (m.sqrt(s) + eps), s


def adadelta(m, c, p, g, s, d):
    lr, rest, eps, *_ = c
    s = m.fma(rest, g * g - s, s)
    delta = m.sqrt((d + eps) / (s + eps)) * g
    return p - lr * delta, s, m.fma(rest, delta * delta - d, d)


def rmsprop(m, c, p, g, s):
    lr, rest, eps, *_ = c
    s = m.fma(rest, g * g - s, s)
    return p - lr * g / (m.sqrt(s) + eps), s


def adam(m, c, p, g, mean, s):
    rest1, rest2, lr, unbias, eps, decay, *_ = c
    mean, s = m.fma(rest1, g - mean, mean), m.fma(rest2, g * g - s, s)
    return p * decay - lr * mean / (m.sqrt(s * unbias) + eps), mean, s


apply_sgd, apply_momentum, apply_nesterov = rule(sgd, 0), rule(momentum, 1), rule(nesterov, 1)
apply_adagrad, apply_adadelta = rule(adagrad, 1), rule(adadelta, 2)
apply_rmsprop, apply_adam = rule(rmsprop, 1), rule(adam, 2)
SGD, MOMENTUM, NESTEROV, ADAGRAD, ADADELTA, RMSPROP, ADAM = range(7)


ROW = 48  # bytes


class Update(NamedTuple):
    """A table of rows p, g, a, b, count, constants, one a parameter; a and b are the state that the rule keeps."""

    rule: int
    table: int
    params: int


@worker(Update)
def update(_, job):
    """Take pieces until none is left."""
    job = opened(job)
    row, end, before = job.table, job.table + ROW * job.params, 0  # pieces of the parameters before this row's
    while True:
        piece = take(job.counter) - before
        while row < end and piece * PIECE >= peek(row + 32):
            pieces = -(-peek(row + 32) // PIECE)
            piece, before, row = piece - pieces, before + pieces, row + ROW
        if row >= end:
            return
        at = 4 * PIECE * piece
        p, g, a, b = peek(row) + at, peek(row + 8) + at, peek(row + 16) + at, peek(row + 24) + at
        count, constants = min(peek(row + 32) - PIECE * piece, PIECE), peek(row + 40)
        if job.rule == SGD:
            apply_sgd(p, g, a, b, count, constants)
        elif job.rule == MOMENTUM:
            apply_momentum(p, g, a, b, count, constants)
        elif job.rule == NESTEROV:
            apply_nesterov(p, g, a, b, count, constants)
        elif job.rule == ADAGRAD:
            apply_adagrad(p, g, a, b, count, constants)
        elif job.rule == ADADELTA:
            apply_adadelta(p, g, a, b, count, constants)
        elif job.rule == RMSPROP:
            apply_rmsprop(p, g, a, b, count, constants)
        else:
            apply_adam(p, g, a, b, count, constants)


def run(rule, params, grads, state, constants):
    """Update all parameters; `constants` has a row for each."""
    grads = [in_order(g, p) for p, g in zip(params, grads, strict=True)]
    numbers = np.zeros((len(params), CONSTANTS), np.float32)
    numbers[:, :len(constants[0])] = constants
    table, at = array('q'), address(numbers)
    for i, row in enumerate(zip(params, grads, *state, *[params] * (2 - len(state)), strict=True)):
        table.extend([*map(address, row), row[0].size, at + 4 * CONSTANTS * i])
    pieces = sum([-(-p.size // PIECE) for p in params])
    threads.run(update, Update(rule, table.buffer_info()[0], len(params)), pieces)


def sgd_update(params, grads, lr):
    run(SGD, params, grads, [], [[lr]] * len(params))


def momentum_update(params, grads, velocity, lr, momentum, nesterov):
    run(NESTEROV if nesterov else MOMENTUM, params, grads, [velocity], [[lr, momentum]] * len(params))


def adagrad_update(params, grads, square, lr, eps):
    run(ADAGRAD, params, grads, [square], [[lr, eps]] * len(params))


def adadelta_update(params, grads, square, change, lr, rho, eps):
    run(ADADELTA, params, grads, [square, change], [[lr, 1 - rho, eps]] * len(params))


def rmsprop_update(params, grads, square, lr, rho, eps):
    run(RMSPROP, params, grads, [square], [[lr, 1 - rho, eps]] * len(params))


def adam_update(params, grads, mean, square, steps, lr, beta1, beta2, eps, weight_decay=0.0):
    rows = {t: [1 - beta1, 1 - beta2, lr / (1 - beta1**t), 1 / (1 - beta2**t), eps, 1 - lr * weight_decay]
            for t in {*steps}}
    run(ADAM, params, grads, [mean, square], [rows[t] for t in steps])
