"""Specs of functions/pools.py, against float64 loops and PyTorch."""

import numpy as np

import nailorch.functions as F
from tests import loops
from tests.specs import OpSpec, distinct, sample
from tests.specs.convolution import torch_pads


def torch_pooling(x, kernel_size, stride=1, pad=0, dilation=1, ceil_mode=False):
    import torch
    if isinstance(pad, tuple) and isinstance(pad[0], tuple):
        x, pad = torch_pads(x, pad, -np.inf), 0
    return torch.nn.functional.max_pool2d(x, kernel_size, stride, pad, dilation, ceil_mode)


def torch_average(x, kernel_size, stride=1, pad=0, ceil_mode=False, count_include_pad=True):
    import torch
    return torch.nn.functional.avg_pool2d(x, kernel_size, stride, pad, ceil_mode, count_include_pad)


def torch_adaptive(name):
    def op(x, outsize):
        import torch
        return getattr(torch.nn.functional, name)(x, outsize)
    return op


X = distinct(2, 3, 7, 6)
SIMPLE = [sample(distinct(1, 1, 4, 4), 2, 2), sample(X, (2, 3), (1, 2)), sample(X, 3, 2, 1),
          sample(X, (3, 2), (2, 3), (1, 0)), sample(X - 100, 3, 2, 1), sample(X, 1)]
LOPSIDED = sample(X, 3, 2, ((0, 2), (1, 0)))
CEIL = [sample(X, 3, 2, ceil_mode=True), sample(X, 3, 2, 1, ceil_mode=True), sample(X, 2, 4, ceil_mode=True),
        sample(X, (2, 3), (3, 2), (1, 0), ceil_mode=True), sample(distinct(1, 2, 5, 5), 2, 3, 1, ceil_mode=True)]
ADAPTIVE = [sample(X, (3, 2)), sample(X, (2, 5)), sample(X, 1), sample(X, 7), sample(distinct(1, 2, 3, 2), 5)]

SPECS = [
    OpSpec('pooling', F.pooling, loops.pooling,
           [*SIMPLE, LOPSIDED, *CEIL, sample(X, 2, 2, dilation=(2, 3)), sample(X, 3, 1, 1, (2, 1))],
           torch=torch_pooling, errors=[
               (lambda: F.pooling(X, 2, 2, 2), ValueError, 'a pad of (2, 2) lets a window of 2 see nothing'),
               (lambda: F.pooling(X, 9), ValueError, 'does not fit into 7'),
               (lambda: F.pooling(X[0], 2), ValueError, 'x[None]'),
               (lambda: F.pooling(X[:, 0, 0, 0], 2), ValueError, 'x has 1; x.shape=(2,)'),
               (lambda: F.pooling(X[:, :, :2], 2, 3, 1, 3), ValueError, 'on 2 pixels, a pad of (1, 1) lets'),
           ]),
    OpSpec('pooling', F.pooling, loops.pooling, [sample(X, 3, 2, 'same'), sample(X, (2, 4), (1, 2), 'same')]),
    OpSpec('pooling_simple', F.pooling_simple, loops.pooling, [*SIMPLE, LOPSIDED], torch=torch_pooling, errors=[
        (lambda: F.pooling_simple(X, 2, 2, 2), ValueError, 'nothing but padding')]),
    OpSpec('average_pooling', F.average_pooling, loops.average_pooling,
           [*SIMPLE, *CEIL, *(sample(X, 3, 2, 1, **how) for how in (
               {'count_include_pad': False}, {'ceil_mode': True, 'count_include_pad': False}))],
           torch=torch_average, errors=[(lambda: F.average_pooling(X[0], 2), ValueError, 'x[None]')]),
    OpSpec('average_pooling', F.average_pooling, loops.average_pooling,
           [LOPSIDED, sample(X, 3, 2, 'same', count_include_pad=False), sample(X, 2, 2, dilation=(2, 3)),
            sample(X, (2, 3), 2, 1, True, False, 2)]),
    OpSpec('global_average_pooling', F.global_average_pooling, lambda x: x.mean(axis=(2, 3), keepdims=True),
           [sample(X)], errors=[(lambda: F.global_average_pooling(X[0]), ValueError, 'x[None]')]),
    OpSpec('global_max_pooling', F.global_max_pooling, lambda x: x.max(axis=(2, 3), keepdims=True), [sample(X)],
           errors=[(lambda: F.global_max_pooling(X[0]), ValueError, 'x[None]')]),
    OpSpec('adaptive_average_pooling', F.adaptive_average_pooling, lambda x, size: loops.adaptive(x, size, np.mean),
           ADAPTIVE, torch=torch_adaptive('adaptive_avg_pool2d'),
           errors=[(lambda: F.adaptive_average_pooling(X, 0), ValueError, 'outsize: 0 is too small')]),
    OpSpec('adaptive_max_pooling', F.adaptive_max_pooling, lambda x, size: loops.adaptive(x, size, np.max),
           ADAPTIVE, torch=torch_adaptive('adaptive_max_pool2d'),
           errors=[(lambda: F.adaptive_max_pooling(X[0], 2), ValueError, 'x[None]')]),
]
