"""Specs of functions/loss.py. The references are Python loops over single answers."""

import math

import numpy as np

import nailorch.functions as F
from tests.specs import OpSpec, normal, sample

X, T = normal(4, 3), np.array([2, 0, 1, 2])
PIXELS, LABELS = normal(2, 3, 2, 4), np.array([[[0, 1, 2, 2], [1, 1, 0, 255]], [[255, 0, 0, 1], [2, 1, 0, 2]]])
WEIGHT = np.array([0.5, 2.0, 1.25])
P = 1 / (1 + np.exp(-normal(3, 2, seed=1)))
YES = np.array([[0, 1], [1, 1], [0, 0]])


def reduce(losses, reduction, mean=None):
    total = math.fsum(np.ravel(losses))
    return {'none': losses, 'sum': total, 'batch': total / len(losses),
            'mean': total / (mean or np.size(losses))}[reduction]


def over_pairs(f):
    """Return the reference of a loss that is `f(x, t)` for each pair of numbers."""
    def loss(x, t, reduction='batch'):
        t = t.reshape(x.shape)
        losses = np.array([f(float(a), float(b)) for a, b in zip(x.ravel(), t.ravel(), strict=True)])
        return reduce(losses.reshape(x.shape), reduction)
    return loss


def nll(log_p, t, label_smoothing=0.0, ignore_index=None, class_weight=None, reduction='mean'):
    C = log_p.shape[1]
    w = np.ones(C) if class_weight is None else class_weight
    losses, weights = np.zeros(t.shape), 0.0
    for place in np.ndindex(t.shape):
        if t[place] == ignore_index:
            continue
        row = log_p[(place[0], slice(None), *place[1:])]
        target = t[place]
        weights += w[target]
        losses[place] = -(1 - label_smoothing) * w[target] * row[target]
        losses[place] -= label_smoothing / C * math.fsum(w * row)
    return reduce(losses, reduction, weights)


def softmax_cross_entropy(x, t, **kwargs):
    log_p = np.empty_like(x)
    for place in np.ndindex(t.shape):
        row = (place[0], slice(None), *place[1:])
        log_p[row] = x[row] - math.log(math.fsum(math.exp(v) for v in x[row]))
    return nll(log_p, t, **kwargs)


def accuracy(y, t, ignore_index=None):
    right, total = 0, 0
    for place in np.ndindex(t.shape):
        row = y[(place[0], slice(None), *place[1:])].tolist()
        if t[place] != ignore_index:
            right, total = right + (row.index(max(row)) == t[place]), total + 1
    return right / total


def in_torch(name):
    def call(x, t, label_smoothing=0.0, ignore_index=None, class_weight=None, reduction='mean'):
        import torch
        options = {'label_smoothing': label_smoothing} if name == 'cross_entropy' else {}
        weight = None if class_weight is None else torch.tensor(class_weight)
        ignore_index = -100 if ignore_index is None else ignore_index
        how = 'sum' if reduction == 'batch' else reduction
        y = getattr(torch.nn.functional, name)(x, t.long(), weight, ignore_index=ignore_index, reduction=how, **options)
        return y / len(t) if reduction == 'batch' else y
    return call


def pairs_in_torch(name):
    def call(x, t, reduction='batch'):
        import torch
        how = 'sum' if reduction == 'batch' else reduction
        y = getattr(torch.nn.functional, name)(x, t.reshape(x.shape).to(x.dtype), reduction=how)
        return y / len(x) if reduction == 'batch' else y
    return call


def targets_errors(op):
    """Return what every function of class ids says of wrong ones."""
    return [
        (lambda: op(X, np.eye(3)[T]), ValueError, 't has the shape of the scores, (4, 3)'),
        (lambda: op(X, np.eye(3)[T]), ValueError, 't.argmax(axis=1)'),
        (lambda: op(X, T[:3]), ValueError, 't has the shape (3,), expected (4,)'),
        (lambda: op(PIXELS, T), ValueError, 't has the shape (4,), expected (2, 2, 4)'),
        (lambda: op(PIXELS, T[:2]), ValueError, 'flatten before the first linear layer, F.flatten(x)'),
        (lambda: op(X, T[:, None]), ValueError, 't has the shape (4, 1), expected (4,)'),
        (lambda: op(X, T[:, None]), ValueError, 't.reshape(4,)'),
        (lambda: op(X, T.astype(np.float32)), ValueError, 'got float32'),
        (lambda: op(X, T > 0), ValueError, 'got bool'),
        (lambda: op(X, T + 1), ValueError, '3 classes have the ids 0 to 2; t holds 1 to 3'),
        (lambda: op(X, T - 1), ValueError, 't holds -1 to 1'),
        (lambda: op(X, T + 1, ignore_index=1), ValueError, 't holds 2 to 3'),
        (lambda: op(X[0], T[:1]), ValueError, 'x.shape=(3,)'),
    ]


CLASSES = [
    sample(X, T), sample(3 * PIXELS, LABELS % 3), sample(X, T.astype(np.uint8), reduction='sum'),
    sample(PIXELS, LABELS, ignore_index=255, reduction='none'), sample(X, T, ignore_index=2),
    sample(PIXELS, LABELS.astype(np.uint8), ignore_index=255, class_weight=WEIGHT),
    sample(X, T, class_weight=WEIGHT, reduction='none'), sample(PIXELS, LABELS % 3, reduction='batch'),
    sample(normal(1, 3, 5), np.array([[0, 1, 2, -100, 0]]), ignore_index=-100),
]
SMOOTHED = [
    sample(X, T, label_smoothing=0.1), sample(X, T, label_smoothing=1.0),
    sample(PIXELS, LABELS, label_smoothing=0.3, ignore_index=255, class_weight=WEIGHT),
    sample(PIXELS, LABELS, label_smoothing=0.3, ignore_index=255, class_weight=WEIGHT, reduction='none'),
]
OPTIONS_ERRORS = [
    (lambda: F.softmax_cross_entropy(X, T, class_weight=np.ones(4)), ValueError, 'class_weight has the shape (4,)'),
    (lambda: F.softmax_cross_entropy(X, T, label_smoothing=1.5), ValueError, 'label_smoothing is a part of the whole'),
    (lambda: F.softmax_cross_entropy(X, T, reduction='average'), ValueError, "not 'average'"),
]
REDUCTIONS = ('batch', 'mean', 'sum', 'none')
SIGMOID = [sample(normal(3, 2), YES, reduction=how) for how in REDUCTIONS] + [
    sample(5 * normal(2, 1, 3, 4), normal(2, 1, 3, 4, seed=1)), sample(normal(4, 1), np.array([1, 0, 1, 1])),
    sample(normal(4), np.array([True, False, True, True]))]

SPECS = [
    OpSpec('mean_squared_error', F.mean_squared_error, over_pairs(lambda a, b: (a - b) ** 2),
           [sample(normal(3, 4), normal(3, 4, seed=1), reduction=how) for how in REDUCTIONS]
           + [sample(normal(2, 3, 1, 4), normal(2, 3, 1, 4, seed=1)), sample(normal(5), normal(5, seed=1))],
           torch=pairs_in_torch('mse_loss'),
           errors=[(lambda: F.mean_squared_error(np.ones((4, 1)), np.ones(4)), ValueError,
                    'x0.shape=(4, 1), x1.shape=(4,). Only axes of length 1 differ: x1.reshape(4, 1)'),
                   (lambda: F.mean_squared_error(np.ones(4), np.ones(4), 'max'), ValueError, "not 'max'")]),
    OpSpec('mean_squared_error_simple', F.mean_squared_error_simple, over_pairs(lambda a, b: (a - b) ** 2),
           [sample(normal(3, 4), normal(3, 4, seed=1)), sample(normal(5), normal(5, seed=1))]),
    OpSpec('sigmoid_cross_entropy', F.sigmoid_cross_entropy,
           over_pairs(lambda a, b: b * math.log(1 + math.exp(-a)) + (1 - b) * math.log(1 + math.exp(a))), SIGMOID,
           torch=pairs_in_torch('binary_cross_entropy_with_logits'),
           errors=[(lambda: F.sigmoid_cross_entropy(np.ones((4, 1)), T[:3]), ValueError,
                    'x.shape=(4, 1), t.shape=(3,)')]),
    OpSpec('binary_cross_entropy', F.binary_cross_entropy,
           over_pairs(lambda p, t: -t * math.log(p) - (1 - t) * math.log(1 - p)),
           [sample(P, YES, reduction=how) for how in REDUCTIONS] + [sample(P[:, :1], np.array([0.2, 1.0, 0.0])),
                                                                    sample(P, P[::-1].copy())],
           torch=pairs_in_torch('binary_cross_entropy'),
           errors=[(lambda: F.binary_cross_entropy(np.array([0.5, 1.5]), T[:2]), ValueError, 'got 0.5 to 1.5'),
                   (lambda: F.binary_cross_entropy(np.array([-3., 1.]), T[:2]), ValueError, 'sigmoid_cross_entropy'),
                   (lambda: F.binary_cross_entropy(P, T), ValueError, 'p.shape=(3, 2), t.shape=(4,)')]),
    OpSpec('softmax_cross_entropy', F.softmax_cross_entropy, softmax_cross_entropy, CLASSES + SMOOTHED,
           torch=in_torch('cross_entropy'), errors=targets_errors(F.softmax_cross_entropy) + OPTIONS_ERRORS),
    OpSpec('softmax_cross_entropy_simple', F.softmax_cross_entropy_simple, softmax_cross_entropy,
           [sample(X, T), sample(normal(1, 5), np.array([3]))]),
    OpSpec('nll_loss', F.nll_loss, nll, CLASSES, torch=in_torch('nll_loss'), errors=targets_errors(F.nll_loss)),
    OpSpec('accuracy', F.accuracy, accuracy,
           [sample(X, T), sample(PIXELS, LABELS, 255), sample(np.array([[1., 1.], [0., 1.]]), np.array([1, 1]))],
           order=0, errors=targets_errors(F.accuracy)),
]
