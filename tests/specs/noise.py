"""Specs of functions/noise.py."""

import numpy as np

import nailorch
import nailorch.functions as F
from tests.specs import OpSpec, normal, sample


def dropout(x, ratio=0.5):
    """The function on random numbers that are the same at every call."""
    nailorch.seed(0)
    return F.dropout(x, ratio)


def reference(x, ratio=0.5):
    draws = np.random.default_rng(0).random(x.shape, np.float32).ravel()
    return np.array([v / (1 - ratio) if draw >= ratio else 0.0
                     for v, draw in zip(x.ravel(), draws, strict=True)]).reshape(x.shape)


SPECS = [
    OpSpec('dropout', dropout, reference,
           [sample(normal(3, 4)), sample(normal(2, 3, 4, 5), 0.25), sample(normal(3, 4), 0.0),
            sample(normal(3, 4), 1.0), sample(normal(0, 3)), sample(normal())],
           errors=[(lambda: F.dropout(np.ones(2), 1.5), ValueError,
                    'dropout_ratio is a part of the whole, from 0 to 1; got 1.5'),
                   (lambda: F.dropout(np.ones(2), -0.1), ValueError, 'got -0.1'),
                   (lambda: F.dropout(np.ones(2), float('nan')), ValueError, 'got nan')]),
]
