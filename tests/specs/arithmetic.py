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

SPECS = [
    OpSpec('add', F.add, np.add, PAIRS, torch=lambda a, b: a + b,
           errors=[(lambda: F.add(np.ones(2), np.ones(3)), ValueError, '(2,)')]),
    OpSpec('sub', F.sub, np.subtract, PAIRS, torch=lambda a, b: a - b),
    OpSpec('rsub', F.rsub, lambda a, b: b - a, PAIRS),
    OpSpec('mul', F.mul, np.multiply, PAIRS, torch=lambda a, b: a * b),
    OpSpec('div', F.div, np.divide, AWAY_FROM_ZERO, torch=lambda a, b: a / b),
    OpSpec('rdiv', F.rdiv, lambda a, b: b / a, [sample(positive(2, 3), normal(2, 3))]),
    OpSpec('neg', F.neg, np.negative, ANY, torch=lambda x: -x),
    OpSpec('square', F.square, lambda x: x * x, ANY),
    OpSpec('pow', F.pow, np.power,
           [sample(normal(2, 3), 2), sample(normal(2, 3), 3), sample(positive(2, 3), -1.5), sample(positive(2, 3), 0.5),
            sample(positive(2, 3), normal(3)), sample(2.0, normal(2, 3)), sample(normal(2, 3), 1),
            sample(normal(2, 3), 0)],
           torch=lambda x, c: x ** c),
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
    OpSpec('maximum', F.maximum, np.maximum, [sample(distinct(3, 4), normal(4)), sample(distinct(2, 3), 0.01)]),
    OpSpec('minimum', F.minimum, np.minimum, [sample(distinct(3, 4), normal(4)), sample(distinct(2, 3), 0.01)]),
    OpSpec('where', F.where, np.where,
           [sample(normal(3, 4) > 0, normal(3, 4), normal(3, 4, seed=1)),
            sample(normal(4) > 0, normal(3, 1), normal(1, 4, seed=1)), sample(normal(3, 4) > 0, normal(3, 4), 0)]),
    OpSpec('astype', F.astype, lambda x, dtype: x.astype(dtype), [sample(normal(2, 3), np.float64)], low=()),
]
