"""Specs of functions/arithmetic.py."""

import numpy as np

import nailorch.functions as F
from tests.specs import OpSpec, distinct, normal, positive, sample

PAIRS = [
    sample(normal(3, 4), normal(3, 4, seed=1)),
    sample(normal(2, 3, 4), normal(3, 1, seed=1)),
    sample(normal(4), normal(2, 1, 4, seed=1)),
    sample(normal(2, 3), 2.5),
    sample(-1.5, normal(2, 3)),
    sample(normal(), normal(2, 3, seed=1)),
]
AWAY_FROM_ZERO = [sample(normal(2, 3), np.sign(normal(2, 3, seed=1)) * positive(2, 3, seed=2)),
                  sample(normal(3), positive(2, 3)), sample(2.0, positive(2, 3)), sample(normal(2, 3), 4)]
ANY = [sample(normal(2, 3)), sample(normal()), sample(normal(2, 1, 3, 2))]
POSITIVE = [sample(positive(2, 3)), sample(positive(1, 4, 2))]


def misfit(op, called, first, second):
    """Return the error for two shapes that do not fit, one for each function that broadcasts."""
    return (lambda: op(normal(2, 3), normal(2, 4)), ValueError,
            f'{called}: axis 1 is 3 in {first} and 4 in {second}, and only an axis of 1 stretches; '
            f'{first}.shape=(2, 3), {second}.shape=(2, 4)')


SPECS = [
    OpSpec('add', F.add, np.add, PAIRS, torch=lambda a, b: a + b,
           errors=[misfit(F.add, 'add', 'x0', 'x1'),
                   (lambda: F.add(normal(2, 3, 4, 5), normal(3)), ValueError,
                    'add: axis -1 is 5 in x0 and 3 in x1, and only an axis of 1 stretches; x0.shape=(2, 3, 4, 5), '
                    'x1.shape=(3,). If the first axis of x1 is axis 1 of x0: x1.reshape(3, 1, 1)')]),
    OpSpec('sub', F.sub, np.subtract, PAIRS, torch=lambda a, b: a - b, errors=[misfit(F.sub, 'sub', 'x0', 'x1')]),
    OpSpec('rsub', F.rsub, lambda a, b: b - a, PAIRS),
    OpSpec('mul', F.mul, np.multiply, PAIRS, torch=lambda a, b: a * b, errors=[misfit(F.mul, 'mul', 'x0', 'x1')]),
    OpSpec('div', F.div, np.divide, AWAY_FROM_ZERO, torch=lambda a, b: a / b,
           errors=[misfit(F.div, 'div', 'x0', 'x1')]),
    OpSpec('rdiv', F.rdiv, lambda a, b: b / a, [sample(positive(2, 3), normal(2, 3))]),
    OpSpec('neg', F.neg, np.negative, ANY, torch=lambda x: -x),
    OpSpec('square', F.square, lambda x: x * x, ANY),
    OpSpec('pow', F.pow, np.power,
           [sample(normal(2, 3), 2), sample(normal(2, 3), 3), sample(positive(2, 3), -1.5), sample(positive(2, 3), 0.5),
            sample(positive(2, 3), normal(3)), sample(2.0, normal(2, 3)), sample(normal(2, 3), 1),
            sample(normal(2, 3), 0)],
           torch=lambda x, c: x ** c, errors=[misfit(F.pow, 'pow', 'x', 'c')]),
    OpSpec('exp', F.exp, np.exp, ANY, torch=lambda x: x.exp()),
    OpSpec('log', F.log, np.log, POSITIVE, torch=lambda x: x.log()),
    OpSpec('sqrt', F.sqrt, np.sqrt, POSITIVE, torch=lambda x: x.sqrt()),
    OpSpec('sin', F.sin, np.sin, ANY, torch=lambda x: x.sin()),
    OpSpec('cos', F.cos, np.cos, ANY, torch=lambda x: x.cos()),
    OpSpec('abs', F.abs, np.abs, [sample(distinct(3, 4))], torch=lambda x: x.abs()),
    OpSpec('clip', F.clip, np.clip,
           [sample(distinct(3, 4), -0.3, 0.31), sample(distinct(3, 4), None, 0.21),
            sample(distinct(3, 4), -0.12, None)],
           torch=lambda x, low, high: x.clamp(low, high),
           errors=[(lambda: F.clip(np.ones(2), 3, 1), ValueError, 'x_min=3 exceeds x_max=1')]),
    OpSpec('maximum', F.maximum, np.maximum, [sample(distinct(3, 4), normal(4)), sample(distinct(2, 3), 0.01)],
           errors=[misfit(F.maximum, 'maximum', 'x0', 'x1')]),
    OpSpec('minimum', F.minimum, np.minimum, [sample(distinct(3, 4), normal(4)), sample(distinct(2, 3), 0.01)],
           errors=[misfit(F.minimum, 'minimum', 'x0', 'x1')]),
    OpSpec('where', F.where, np.where,
           [sample(normal(3, 4) > 0, normal(3, 4), normal(3, 4, seed=1)),
            sample(normal(4) > 0, normal(3, 1), normal(1, 4, seed=1)), sample(normal(3, 4) > 0, normal(3, 4), 0)],
           errors=[(lambda: F.where(np.ones((2, 3), bool), 0.0, normal(2, 1, 4)), ValueError,
                    'where: axis -1 is 3 in condition and 4 in x1, and only an axis of 1 stretches; '
                    'condition.shape=(2, 3), x0.shape=(), x1.shape=(2, 1, 4)')]),
    OpSpec('astype', F.astype, lambda x, dtype: x.astype(dtype), [sample(normal(2, 3), np.float64)], low=()),
]
