"""Specs of functions/reduction.py and functions/dense.py."""

import numpy as np

import nailorch.functions as F
from tests.specs import OpSpec, distinct, normal, sample

X = normal(2, 3, 4)
AXES = [sample(X), sample(X, 1), sample(X, (0, 2)), sample(X, axis=-1, keepdims=True),
        sample(X, axis=(-1, 0), keepdims=True), sample(X, ()), sample(normal())]
CHOICES = [sample(distinct(*s.args[0].shape), *s.args[1:], **s.kwargs) for s in AXES if s.args[1:] != ((),)]


def logsumexp(x, axis=None, keepdims=False):
    return np.log(np.exp(x).sum(axis=axis, keepdims=keepdims))


def linear_then(x, W, b=0, activation=''):
    return np.clip(x @ W + b, 0, 6 if activation == 'relu6' else np.inf)


SPECS = [
    OpSpec('sum', F.sum, np.sum, AXES, errors=[(lambda: F.sum(X, 3), ValueError, 'axis 3 is out of bounds'),
                                              (lambda: F.sum(X, (1, 1)), ValueError, 'repeated axis')]),
    OpSpec('mean', F.mean, np.mean, AXES),
    OpSpec('var', F.var, np.var, [*AXES[:5], sample(X, 2, ddof=1), sample(X, (0, -1), ddof=3)]),
    OpSpec('max', F.max, np.max, CHOICES, errors=[(lambda: F.max(X[:0], 0), ValueError, 'empty')]),
    OpSpec('min', F.min, np.min, CHOICES),
    OpSpec('logsumexp', F.logsumexp, logsumexp, AXES[:5]),
    OpSpec('matmul', F.matmul, np.matmul,
           [sample(normal(2, 3), normal(3, 4)), sample(normal(5, 2, 3), normal(3, 4)), sample(normal(3), normal(3, 4)),
            sample(normal(2, 3), normal(3)), sample(normal(3), normal(3, seed=1)),
            sample(normal(2, 1, 2, 3), normal(4, 3, 2))],
           torch=lambda a, b: a @ b,
           errors=[(lambda: F.matmul(normal(2, 3), normal(2, 3)), ValueError, 'x.shape=(2, 3), W.shape=(2, 3)')]),
    OpSpec('linear', F.linear, lambda x, W, b=None: x @ W + (0 if b is None else b),
           [sample(normal(2, 3), normal(3, 4), normal(4)), sample(normal(2, 3), normal(3, 4)),
            sample(normal(2, 5, 3), normal(3, 4), normal(4)), sample(normal(3), normal(3, 4))],
           errors=[(lambda: F.linear(np.zeros((8, 784)), np.zeros((3136, 10))), ValueError,
                    'linear: x has 784 features, W expects 3136; x.shape=(8, 784), W.shape=(3136, 10). '
                    '3136 = 4 * 784: the layer before is one 2x2 pooling further'),
                   (lambda: F.linear(np.zeros((8, 2, 3, 3)), np.zeros((18, 10))), ValueError, 'Flatten the images'),
                   (lambda: F.linear(np.zeros((0, 2, 3, 3)), np.zeros((18, 10))), ValueError, 'Flatten the images'),
                   (lambda: F.linear(np.zeros((2, 3)), np.zeros(3)), ValueError, 'two axes, (IN, OUT)'),
                   (lambda: F.linear(np.zeros((8, 4)), np.zeros((4, 10)), np.zeros(4)), ValueError, 'b has shape')]),
    OpSpec('linear', F.linear, linear_then,
           [sample(normal(4, 3), normal(3, 5), normal(5), activation='relu'),
            sample(9 * normal(2, 4, 3), normal(3, 5), activation='relu6')],
           errors=[(lambda: F.linear(np.zeros((8, 4)), np.zeros((4, 10)), activation='tanh'), ValueError,
                    "linear: activation is 'tanh'")]),
    OpSpec('linear_simple', F.linear_simple, lambda x, W, b=None: x @ W + (0 if b is None else b),
           [sample(normal(2, 3), normal(3, 4), normal(4)), sample(normal(2, 3), normal(3, 4))]),
    OpSpec('embed_id', lambda W, ids: F.embed_id(ids, W), lambda W, ids: W[ids],
           [sample(normal(5, 3), np.array([[0, 4], [4, 1]])), sample(normal(5, 3), np.array([2]))],
           errors=[(lambda: F.embed_id([5], np.zeros((5, 3))), ValueError, 'from 0 to 4'),
                   (lambda: F.embed_id([-1], np.zeros((5, 3))), ValueError, 'from -1 to -1'),
                   (lambda: F.embed_id([0.5], np.zeros((5, 3))), ValueError, 'float64')]),
]
