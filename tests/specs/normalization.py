"""Specs of functions/normalization.py. The references are loops over channels, with Python's exact sum."""

import math

import numpy as np

import nailorch
import nailorch.functions as F
from tests.specs import OpSpec, Sample, normal, positive, sample


def torch_function(name, *args, **kwargs):
    import torch
    return getattr(torch.nn.functional, name)(*args, **kwargs)


def moments(values):
    mean = math.fsum(values.ravel()) / values.size
    return mean, math.fsum((values.ravel() - mean) ** 2) / values.size


def standardised(values, eps):
    mean, var = moments(values)
    return (values - mean) / math.sqrt(var + eps)


def trained(x, gamma, beta, eps=2e-5):
    """batch_norm while training; the running averages have tests of their own."""
    return F.batch_norm(x, gamma, beta, np.zeros(x.shape[1]), np.ones(x.shape[1]), eps=eps)


ACTIVATIONS = {'': lambda y: y, 'relu': lambda y: np.maximum(y, 0), 'relu6': lambda y: np.minimum(np.maximum(y, 0), 6)}


def rectified(x, gamma, beta, activation):
    """batch_norm and an activation while training."""
    return F.batch_norm(x, gamma, beta, np.zeros(x.shape[1]), np.ones(x.shape[1]), activation=activation)


def joined(x, gamma, beta, added, activation=''):
    """The end of a residual block while training."""
    return F.batch_norm(x, gamma, beta, np.zeros(x.shape[1]), np.ones(x.shape[1]), activation=activation, added=added)


def joined_in_test_mode(*args):
    with nailorch.test_mode():
        return F.batch_norm(*args[:5], activation='relu', added=args[5])


def batch_norm(x, gamma, beta, *running, eps=2e-5):
    y = np.empty_like(x)
    for c in range(x.shape[1]):
        mean, var = (r[c] for r in running) if running else moments(x[:, c])
        xhat = (x[:, c] - mean) / math.sqrt(var + eps)
        y[:, c] = xhat * gamma[c] + beta[c]
    return y


def tested(*args, **kwargs):
    """batch_norm in test mode."""
    with nailorch.test_mode():
        return F.batch_norm(*args, **kwargs)


def tested_in_torch(x, gamma, beta, mean, var, eps=2e-5):
    """PyTorch's own gives no gradient for the running averages."""
    mean, var, gamma, beta = (values.reshape(-1, *[1] * (x.ndim - 2)) for values in (mean, var, gamma, beta))
    return (x - mean) / (var + eps).sqrt() * gamma + beta


def layer_norm(x, gamma, beta, eps=1e-5):
    rows = x.reshape(-1, gamma.size)
    y = [standardised(row, eps) * gamma.ravel() + beta.ravel() for row in rows]
    return np.array(y).reshape(x.shape)


def group_norm(x, groups, gamma, beta, eps=1e-5):
    y = np.empty_like(x)
    size = x.shape[1] // groups
    for n in range(x.shape[0]):
        for start in range(0, x.shape[1], size):
            y[n, start:start + size] = standardised(x[n, start:start + size], eps)
        for c in range(x.shape[1]):
            y[n, c] = y[n, c] * gamma[c] + beta[c]
    return y


def affine(C):
    return positive(C, seed=1), normal(C, seed=2)


def fixed(x: np.ndarray) -> Sample:
    C = x.shape[1]
    return sample(x, *affine(C), normal(C, seed=3), positive(C, seed=4))


BATCH = [sample(normal(4, 3), *affine(3)), sample(normal(2, 3, 4, 5) + 3, *affine(3)),
         sample(normal(3, 2, 4), *affine(2), eps=0.1), sample(normal(1, 2, 1, 3), *affine(2))]
FIXED = [fixed(normal(4, 3)), fixed(normal(2, 3, 4, 5)), fixed(normal(1, 3))]
ONES, IMAGES = np.ones(3), np.ones((2, 3, 4, 5))


SPECS = [
    OpSpec('batch_norm', tested, batch_norm, FIXED, torch=tested_in_torch),
    OpSpec('batch_norm', trained, batch_norm, BATCH,
           torch=lambda x, gamma, beta, eps=2e-5:
               torch_function('batch_norm', x, None, None, gamma, beta, True, eps=eps),
           errors=[
               (lambda: F.batch_norm(ONES, ONES, ONES, ONES, ONES), ValueError, 'x is (N, C)'),
               (lambda: F.batch_norm(IMAGES, np.ones(4), ONES, ONES, ONES), ValueError,
                'x has 3 channels, gamma has the shape (4,), expected (3,)'),
               (lambda: F.batch_norm(IMAGES, ONES, ONES, ONES, np.ones((3, 1))), ValueError,
                'var has the shape (3, 1)'),
               (lambda: trained(np.ones((1, 3)), ONES, ONES), ValueError, 'one value a channel has no variance'),
               (lambda: trained(np.ones((1, 3, 1, 1)), ONES, ONES), ValueError, 'x.shape=(1, 3, 1, 1)'),
           ]),
    OpSpec('batch_norm', rectified, lambda x, gamma, beta, activation: ACTIVATIONS[activation](
               batch_norm(x, gamma, beta)),
           [sample(normal(3, 2, 4, 3), *affine(2), 'relu'),
            sample(normal(9, 3), 6 * affine(3)[0], affine(3)[1], 'relu6')],
           errors=[(lambda: rectified(IMAGES, ONES, ONES, 'tanh'), ValueError, "there are '', 'relu', 'relu6'")]),
    OpSpec('batch_norm', joined, lambda x, gamma, beta, added, activation='': ACTIVATIONS[activation](
               batch_norm(x, gamma, beta) + added),
           [sample(normal(3, 2, 4, 3), *affine(2), normal(3, 2, 4, 3, seed=4)),
            sample(normal(3, 2, 4, 3), *affine(2), normal(3, 2, 4, 3, seed=4), 'relu'),
            sample(normal(9, 3), 6 * affine(3)[0], affine(3)[1], normal(9, 3, seed=4), 'relu6')],
           errors=[(lambda: joined(IMAGES, ONES, ONES, IMAGES[:1]), ValueError, 'added.shape=(1, 3, 4, 5)')]),
    OpSpec('batch_norm', joined_in_test_mode, lambda x, gamma, beta, mean, var, added: ACTIVATIONS['relu'](
               batch_norm(x, gamma, beta, mean, var) + added),
           [sample(*FIXED[1].args, normal(*FIXED[1].args[0].shape, seed=9))]),
    OpSpec('layer_norm', F.layer_norm, layer_norm,
           [sample(normal(4, 5), *affine(5)), sample(normal(2, 3, 4) + 3, *affine(4), eps=0.1),
            sample(normal(2, 3, 2, 4), normal(3, 2, 4, seed=1), normal(3, 2, 4, seed=2)),
            sample(normal(6), *affine(6))],
           torch=lambda x, gamma, beta, eps=1e-5: torch_function('layer_norm', x, gamma.shape, gamma, beta, eps),
           errors=[(lambda: F.layer_norm(IMAGES, ONES, ONES), ValueError, 'x.shape=(2, 3, 4, 5), gamma.shape=(3,)'),
                   (lambda: F.layer_norm(IMAGES, np.ones(5), ONES), ValueError, 'beta.shape=(3,)'),
                   (lambda: F.layer_norm(IMAGES, np.ones(()), np.ones(())), ValueError, 'gamma.shape=()')]),
    OpSpec('group_norm', F.group_norm, group_norm,
           [sample(normal(2, 6, 3, 4), 2, *affine(6)), sample(normal(2, 6, 1, 4) + 3, 1, *affine(6), eps=0.1),
            sample(normal(3, 4), 2, *affine(4)), sample(normal(2, 3, 2, 4), 3, *affine(3))],
           torch=lambda x, groups, gamma, beta, eps=1e-5: torch_function('group_norm', x, groups, gamma, beta, eps),
           errors=[(lambda: F.group_norm(IMAGES, 2, ONES, ONES), ValueError,
                    'C=3 cannot be shared out evenly among groups=2'),
                   (lambda: F.group_norm(IMAGES, 0, ONES, ONES), ValueError, 'groups: 0 is too small'),
                   (lambda: F.group_norm(IMAGES, 3, np.ones(2), ONES), ValueError, 'gamma has the shape (2,)'),
                   (lambda: F.group_norm(ONES, 1, ONES, ONES), ValueError, 'x is (N, C)')]),
]
