"""Specs of functions/activation.py."""

import math

import numpy as np

import nailorch.functions as F
from tests.specs import OpSpec, distinct, normal, sample


def torch_function(name, **kwargs):
    def call(*args, **more):
        import torch
        return getattr(torch.nn.functional, name)(*args, **kwargs, **more)
    return call


def each(f):
    """Return the float64 function that applies `f`, of one Python number, to every element."""
    return lambda x, *args: np.array([f(v, *args) for v in x.ravel()]).reshape(x.shape)


def gelu(x, approximate='none'):
    if approximate == 'none':
        return each(lambda v: v / 2 * math.erfc(-v / math.sqrt(2)))(x)
    return each(lambda v: v / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v ** 3))))(x)


def softmax(x, axis=1):
    """Softmax vector by vector, with Python's exact sum."""
    y = np.empty_like(x)
    for index in np.ndindex(*np.delete(x.shape, axis)):
        place = (*index[:axis % x.ndim], slice(None), *index[axis % x.ndim:])
        powers = [math.exp(v) for v in x[place]]
        y[place] = [power / math.fsum(powers) for power in powers]
    return y


SMOOTH = [sample(normal(2, 3)), sample(3 * normal(2, 1, 3, 4)), sample(normal()), sample(10 * normal(7))]
KINKED = [sample(distinct(3, 4)), sample(10 * distinct(2, 1, 3, 4)), sample(np.array(0.7))]
SCORES = [sample(normal(3, 4)), sample(3 * normal(2, 3, 1, 4)), sample(normal(3, 1)), sample(normal(2, 5, 3), axis=-1),
          sample(normal(2, 5), axis=0)]

SPECS = [
    OpSpec('relu', F.relu, each(lambda v: v if v > 0 else 0), KINKED, torch=torch_function('relu')),
    OpSpec('leaky_relu', F.leaky_relu, each(lambda v, slope=0.2: v if v > 0 else slope * v),
           [*KINKED, sample(distinct(2, 3), 0.01), sample(distinct(2, 3), -0.5)],
           torch=lambda x, slope=0.2: torch_function('leaky_relu')(x, slope)),
    OpSpec('prelu', F.prelu, lambda x, slope: np.where(x > 0, x, x * slope),
           [sample(distinct(2, 3, 2, 2), normal(3, 1, 1)), sample(distinct(2, 3), normal(1))],
           errors=[(lambda: F.prelu(normal(2, 3, 4, 4), normal(3)), ValueError,
                    'slope.shape=(3,). If the first axis of slope is axis 1 of x: slope.reshape(3, 1, 1)')]),
    OpSpec('elu', F.elu, lambda x, alpha=1.0: np.where(x > 0, x, alpha * (np.exp(np.minimum(x, 0)) - 1)),
           [*KINKED, sample(distinct(2, 3), 0.5)], torch=lambda x, alpha=1.0: torch_function('elu')(x, alpha)),
    OpSpec('relu6', F.relu6, each(lambda v: min(max(v, 0), 6)), KINKED, torch=torch_function('relu6')),
    OpSpec('sigmoid', F.sigmoid, each(lambda v: 1 / (1 + math.exp(-v))), SMOOTH, torch=lambda x: x.sigmoid()),
    OpSpec('sigmoid_simple', F.sigmoid_simple, each(lambda v: 1 / (1 + math.exp(-v))), SMOOTH),
    OpSpec('tanh', F.tanh, each(math.tanh), SMOOTH, torch=lambda x: x.tanh()),
    OpSpec('softplus', F.softplus, each(lambda v: math.log(1 + math.exp(v))), SMOOTH, torch=torch_function('softplus')),
    OpSpec('silu', F.silu, each(lambda v: v / (1 + math.exp(-v))), SMOOTH, torch=torch_function('silu')),
    OpSpec('hardswish', F.hardswish, each(lambda v: v * min(max(v + 3, 0), 6) / 6), KINKED,
           torch=torch_function('hardswish')),
    OpSpec('gelu', F.gelu, gelu, [*SMOOTH, sample(normal(2, 3), 'tanh'), sample(3 * normal(2, 1, 3, 2), 'tanh')],
           torch=lambda x, how='none': torch_function('gelu')(x, approximate=how),
           errors=[(lambda: F.gelu(np.ones(2), 'erf'), ValueError, "'none' or 'tanh', not 'erf'")]),
    OpSpec('softmax', F.softmax, softmax, SCORES, torch=lambda x, axis=1: x.softmax(axis),
           errors=[(lambda: F.softmax(np.ones(3)), ValueError, 'softmax: x has no axis 1; x.shape=(3,)')]),
    OpSpec('softmax_simple', F.softmax_simple, softmax, SCORES),
    OpSpec('log_softmax', F.log_softmax, lambda x, axis=1: np.log(softmax(x, axis)), SCORES,
           torch=lambda x, axis=1: x.log_softmax(axis),
           errors=[(lambda: F.log_softmax(np.ones((2, 3)), -3), ValueError, 'log_softmax: x has no axis -3')]),
]
