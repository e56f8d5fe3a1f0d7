"""Optimisers' updates: one pass over all parameters, each number read once and written once.

Parameters lie anywhere in memory, and many are small. So the threads share one table of pieces, all parameters' pieces
in a row, each with the addresses of the parameter, its gradient and what the optimiser keeps beside it.
"""

from __future__ import annotations

import functools
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


class Update(NamedTuple):
    """Pieces: a table of rows p, g, a, b, count, constants; a and b are the state that the rule keeps."""

    rule: int
    table: int
    pieces: int


@worker(Update)
def update(_, job):
    """Take pieces until none is left."""
    job = opened(job)
    while True:
        piece = take(job.counter)
        if piece >= job.pieces:
            return
        row = job.table + 48 * piece
        p, g, a, b = peek(row), peek(row + 8), peek(row + 16), peek(row + 24)
        count, constants = peek(row + 32), peek(row + 40)
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


@functools.lru_cache(64)
def pieces(sizes):
    """Return, for every piece of arrays of these sizes: whose it is, how many bytes in, and how long it is."""
    owner = np.repeat(np.arange(len(sizes)), [-(-size // PIECE) for size in sizes])
    offset = np.concatenate([np.arange(0, size, PIECE) for size in sizes])
    return owner, 4 * offset[:, None], np.minimum(np.array(sizes)[owner] - offset, PIECE)


def run(rule, params, grads, state, constants):
    """Update all parameters; `constants` has a row for each, or one for all."""
    grads = [in_order(g, p) for p, g in zip(params, grads, strict=True)]
    numbers = np.zeros((len(params), CONSTANTS), np.float32)
    numbers[:, :np.shape(constants)[-1]] = constants
    columns = [params, grads, *state, *[params] * (2 - len(state))]
    beginnings = np.array([[address(array) for array in column] for column in columns])
    owner, offset, count = pieces(tuple([p.size for p in params]))
    table = np.empty((len(owner), 6), np.int64)
    table[:, :4] = beginnings.T[owner] + offset
    table[:, 4], table[:, 5] = count, address(numbers) + 4 * CONSTANTS * owner
    threads.run(update, Update(rule, address(table), len(table)), len(table))


def sgd_update(params, grads, lr):
    run(SGD, params, grads, [], [lr])


def momentum_update(params, grads, velocity, lr, momentum, nesterov):
    run(NESTEROV if nesterov else MOMENTUM, params, grads, [velocity], [lr, momentum])


def adagrad_update(params, grads, square, lr, eps):
    run(ADAGRAD, params, grads, [square], [lr, eps])


def adadelta_update(params, grads, square, change, lr, rho, eps):
    run(ADADELTA, params, grads, [square, change], [lr, 1 - rho, eps])


def rmsprop_update(params, grads, square, lr, rho, eps):
    run(RMSPROP, params, grads, [square], [lr, 1 - rho, eps])


def adam_update(params, grads, mean, square, steps, lr, beta1, beta2, eps, weight_decay=0.0):
    rows = {t: [1 - beta1, 1 - beta2, lr / (1 - beta1**t), 1 / (1 - beta2**t), eps, 1 - lr * weight_decay]
            for t in {*steps}}
    run(ADAM, params, grads, [mean, square], [rows[t] for t in steps] if len(rows) > 1 else rows[steps[0]])
