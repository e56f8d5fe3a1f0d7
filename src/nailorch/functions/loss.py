"""Losses: how wrong the answers are, as one number to be made smaller.

`reduction` says what becomes of the losses of single answers: 'mean' is their average, 'sum' their sum, 'batch' their
sum over the batch's size N, and 'none' returns them all.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nailorch import kernels
from nailorch.config import Config
from nailorch.core import Function, Variable, as_array, as_variable, own
from nailorch.functions.activation import log_softmax, sigmoid, softmax
from nailorch.functions.arithmetic import astype, log, where
from nailorch.functions.reduction import sum
from nailorch.functions.shape import expand_dims, reshape
from nailorch.kernels.reference import float_type
from nailorch.messages import message
from nailorch.shapes import Array

__all__ = ['MeanSquaredError', 'SigmoidCrossEntropy', 'SoftmaxCrossEntropy', 'accuracy', 'binary_cross_entropy',
           'mean_squared_error', 'mean_squared_error_simple', 'nll_loss', 'sigmoid_cross_entropy',
           'softmax_cross_entropy', 'softmax_cross_entropy_simple']


# numbers against numbers


def mean_squared_error(x0: Any, x1: Any, reduction: str = 'batch') -> Variable:
    """Return the squared differences of x0 and x1, summed, over the batch's size N.

    PyTorch's mse_loss divides by all elements instead: that is reduction='mean'; for x of (N, 1) they agree.

    Args:
        x0, x1: predictions and targets, of one shape, (N, ...).
        reduction: 'batch', 'mean', 'sum' or 'none'.
    Raises:
        ValueError: the shapes differ.
    Example:
        >>> mean_squared_error(np.array([[1., 2.], [3., 4.]]), np.zeros((2, 2)))
        variable(15.0)
    """
    x0, x1 = as_variable(x0), as_variable(x1)
    if x1.dtype.kind != 'f':
        x1 = astype(x1, float_type(x0.dtype))  # float32 less int64 would be float64
    return MeanSquaredError(reduction)(x0, x1)


def mean_squared_error_simple(x0: Any, x1: Any) -> Variable:
    """Return the mean squared error from elementary functions: the readable twin of mean_squared_error."""
    difference = as_variable(x0) - as_variable(x1)
    return sum(difference ** 2) / len(difference)


class MeanSquaredError(Function):
    saves = 'x0', 'x1'

    def __init__(self, reduction: str = 'batch') -> None:
        self.reduction = reduction

    def forward(self, x0: Array, x1: Array) -> Array:
        check_shapes('mean_squared_error', 'x0', x0, 'x1', x1)
        self.share = share_of_each(self.reduction, x0)
        difference = x0 - x1
        squares = np.square(difference, dtype=np.result_type(difference, np.float32))  # 256**2 is too much for float16
        return reduced(squares * self.share, self.reduction).astype(difference.dtype)

    def backward(self, gy: Variable) -> Any:
        x0, x1 = self.saved
        gx = (x0 - x1) * gy * (2 * self.share)
        return gx, -gx if self.needs(1) else None


# yes or no


def sigmoid_cross_entropy(x: Any, t: Any, reduction: str = 'batch') -> Variable:
    """Return the cross entropy of sigmoid(x) and t: how surprising the answers t are to who believes the scores x.

    Args:
        x: scores, (N, ...), of any size: sigmoid makes them probabilities here.
        t: 1 for yes, 0 for no, or a probability between, of x's shape; (N,) will do for (N, 1).
        reduction: 'batch' (their sum over N), 'mean', 'sum' or 'none'.
    Raises:
        ValueError: the shapes differ.
    Example:
        >>> sigmoid_cross_entropy(np.array([0., 50., -1000.]), np.array([1, 1, 0]), reduction='sum')
        variable(0.6931471805599453)
    """
    x = as_variable(x)
    return SigmoidCrossEntropy(reduction)(x, matching(t, x))


class SigmoidCrossEntropy(Function):
    saves = 'x', 't'

    def __init__(self, reduction: str = 'batch') -> None:
        self.reduction = reduction

    def forward(self, x: Array, t: Array) -> Array:
        check_shapes('sigmoid_cross_entropy', 'x', x, 't', t)
        self.share = share_of_each(self.reduction, x)
        losses = np.maximum(x, 0) - x * t + np.log1p(np.exp(-np.abs(x)))
        return reduced(losses * self.share, self.reduction)

    def backward(self, gy: Variable) -> Any:
        x, t = self.saved
        gy = gy * self.share
        return (sigmoid(x) - t) * gy, -x * gy if self.needs(1) else None


def binary_cross_entropy(p: Any, t: Any, reduction: str = 'batch') -> Variable:
    """Return -t log(p) - (1 - t) log(1 - p) for probabilities p; for scores, sigmoid_cross_entropy is more exact.

    A logarithm is never taken as less than -100, so that one sure mistake is not an infinite loss.

    Args:
        p: probabilities, (N, ...).
        t: 1 for yes, 0 for no, or a probability between, of p's shape; (N,) will do for (N, 1).
        reduction: 'batch' (their sum over N), 'mean', 'sum' or 'none'.
    Raises:
        ValueError: the shapes differ, or p is not between 0 and 1.
    Example:
        >>> binary_cross_entropy(np.array([0.5, 1.0]), np.array([1, 1]), reduction='sum')
        variable(0.6931471805599453)
    """
    p = as_variable(p)
    t = matching(t, p)
    check_shapes('binary_cross_entropy', 'p', p.data, 't', t.data)
    if p.size and not (p.data.min() >= 0 and p.data.max() <= 1):
        raise ValueError(message('loss.probability', low=p.data.min(), high=p.data.max()))
    losses = -(t * bounded_log(p) + (1 - t) * bounded_log(1 - p))
    return reduced(losses * share_of_each(reduction, p.data), reduction)


def bounded_log(p: Variable) -> Variable:
    """Return log(p), but -100 where that is less; no gradient passes there."""
    enough = p.data > np.exp(-100)
    return where(enough, log(where(enough, p, 1)), -100)


# one class of many


def softmax_cross_entropy(x: Any, t: Any, label_smoothing: float = 0.0, ignore_index: int | None = None,
                          class_weight: Any = None, reduction: str = 'mean') -> Variable:
    """Return -log softmax(x)[t]: how surprising the right classes t are to who believes the scores x.

    Args:
        x: scores, (N, C), or (N, C, ...) for an answer at every pixel.
        t: the right classes' ids, ints from 0 to C - 1, (N,) or (N, ...).
        label_smoothing: this part of a target is spread evenly over all C classes, so that no score need be infinite.
        ignore_index: a target of this value counts for nothing.
        class_weight: (C,), how much each class counts.
        reduction: 'mean' (the sum over that of the targets' weights; 0 if all are ignored), 'batch', 'sum' or 'none'.
    Returns:
        one number, or with 'none' t's shape.
    Raises:
        ValueError: t is not ints, not of that shape (one-hot rows, say), or not from 0 to C - 1.
    Example:
        >>> softmax_cross_entropy(np.array([[0., 0.], [1000., 0.]]), np.array([1, 0]))
        variable(0.34657359027997264)

    Source: label smoothing is from Szegedy et al., Rethinking the Inception architecture, 2016, section 7.
    """
    x = as_variable(x)
    t = checked_targets('softmax_cross_entropy', x, t, ignore_index)
    return SoftmaxCrossEntropy(label_smoothing, ignore_index, class_weight, reduction)(x, t)


def softmax_cross_entropy_simple(x: Any, t: Any) -> Variable:
    """Return the softmax cross entropy of (N, C) and (N,) from other functions: the readable twin."""
    x = as_variable(x)
    N = len(x)
    log_p = log_softmax(x)
    return -sum(log_p[np.arange(N), as_array(t)]) / N


class SoftmaxCrossEntropy(Function):
    saves = 'x', 't'

    def __init__(self, label_smoothing: float = 0.0, ignore_index: int | None = None, class_weight: Any = None,
                 reduction: str = 'mean') -> None:
        self.label_smoothing, self.ignore_index = label_smoothing, ignore_index
        self.class_weight, self.reduction = class_weight, reduction

    def shares(self, x: Array, t: Array) -> Array:
        return class_shares('softmax_cross_entropy', x, t, self.label_smoothing, self.ignore_index, self.class_weight,
                            self.reduction)

    def is_plain(self, x: Array) -> bool:
        """Return whether every row has one class, and all classes count alike: the case that has kernels of its own."""
        return x.ndim == 2 and self.label_smoothing == 0 and self.ignore_index is None and self.class_weight is None

    def forward(self, x: Array, t: Array) -> Array:
        if self.is_plain(x):
            losses, count = kernels.cross_entropy(x, t), divisor(self.reduction, len(t), len(t))
            return kernels.again(lambda: reduced(losses / count, self.reduction))
        return cross_entropy(self.shares(x, t), kernels.log_softmax(x, 1), self.reduction)

    def backward(self, gy: Variable) -> Any:
        x, t = self.saved
        if self.is_plain(x.data) and not Config.enable_backprop:  # nobody will differentiate this again
            count = divisor(self.reduction, len(t), len(t))
            scale = kernels.again(lambda: np.full(t.shape, gy.data / count), [gy.data])
            return own(kernels.cross_entropy_grad(x.data, t.data, scale)), None
        shares = self.shares(x.data, t.data)  # made again: as large as x, they are not worth keeping
        if self.reduction == 'none':
            gy = expand_dims(gy, 1)
        return (softmax(x) * shares.sum(axis=1, keepdims=True) - shares) * gy, None


def nll_loss(log_p: Any, t: Any, ignore_index: int | None = None, class_weight: Any = None,
             reduction: str = 'mean') -> Variable:
    """Return -log_p[t], the negative log-likelihood of the classes t: softmax_cross_entropy after log_softmax.

    Args:
        log_p: logarithms of probabilities, (N, C) or (N, C, ...).
        t, ignore_index, class_weight, reduction: as softmax_cross_entropy takes them.
    Raises:
        ValueError: t is not ints, not of that shape, or not from 0 to C - 1.
    Example:
        >>> nll_loss(np.array([[-0.5, -2.], [-3., -0.1]]), np.array([1, 1]))
        variable(1.05)
    """
    log_p = as_variable(log_p)
    t = checked_targets('nll_loss', log_p, t, ignore_index)
    shares = class_shares('nll_loss', log_p.data, t, 0.0, ignore_index, class_weight, reduction)
    losses = -sum(where(shares != 0, log_p, 0) * shares, axis=1)
    return reduced(losses, reduction)


def accuracy(y: Any, t: Any, ignore_index: int | None = None) -> Variable:
    """Return the fraction of answers that are right; it has no derivative.

    Args:
        y: scores or probabilities, (N, C) or (N, C, ...): the class with the highest is the answer.
        t: the right classes' ids, ints from 0 to C - 1, (N,) or (N, ...).
        ignore_index: a target of this value counts for nothing.
    Returns:
        a number from 0 to 1, or NaN if there is no target that counts.
    Raises:
        ValueError: t is not ints, not of that shape, or not from 0 to C - 1.
    Example:
        >>> accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
        variable(0.5)
    """
    y = as_variable(y)
    t = checked_targets('accuracy', y, t, ignore_index)
    counted = is_counted(t, ignore_index)
    right = (y.data.argmax(axis=1) == t) & counted
    total = counted.sum()
    return as_variable(np.asarray(right.sum() / total if total else np.nan, float_type(y.dtype)))


# what the losses share


def share_of_each(reduction: str, x: Array) -> float:
    """Return by what each element's loss is multiplied before they are summed."""
    return 1 / divisor(reduction, batch=x.shape[0] if x.ndim else 1, mean=x.size)


def divisor(reduction: str, batch: int, mean: float) -> float:
    """Return what a sum is divided by; the loss of nothing at all is 0."""
    divisors = {'mean': mean, 'sum': 1, 'batch': batch, 'none': 1}
    if reduction not in divisors:
        raise ValueError(f'reduction is one of {", ".join(map(repr, divisors))}, not {reduction!r}')
    return divisors[reduction] or 1


def reduced(losses: Any, reduction: str) -> Any:
    return losses if reduction == 'none' else losses.sum()


def cross_entropy(shares: Array, log_p: Array, reduction: str) -> Array:
    """Return -shares * log_p, summed over the classes; a share of 0 counts for nothing, even of -inf."""
    products = np.multiply(shares, log_p, where=shares != 0, out=np.zeros_like(log_p))
    return reduced(-products.sum(axis=1), reduction)


def class_shares(op: str, x: Array, t: Array, label_smoothing: float, ignore_index: int | None, class_weight: Any,
                 reduction: str) -> Array:
    """Return, of x's shape, by what each -log p is multiplied in the loss: 1 / N at the target's class, 0 elsewhere.

    Label smoothing moves a part to the other classes, a class's weight multiplies it, and what is ignored has no share.
    """
    if not 0 <= label_smoothing <= 1:
        raise ValueError(message('ratio.range', op=op, name='label_smoothing', value=label_smoothing))
    C = x.shape[1]
    weight = np.ones(C) if class_weight is None else as_array(class_weight)
    if weight.shape != (C,):
        raise ValueError(message('loss.weight', op=op, shape=weight.shape, classes=C))
    counted, dtype = is_counted(t, ignore_index), float_type(x.dtype)
    ids = np.where(counted, t, 0)

    shares = np.full(x.shape, label_smoothing / C, dtype)
    np.put_along_axis(shares, np.expand_dims(ids, 1), 1 - label_smoothing + label_smoothing / C, axis=1)
    if class_weight is not None:
        shares *= weight.reshape(-1, *(1,) * (x.ndim - 2)).astype(dtype)
    total = divisor(reduction, batch=len(t), mean=weight[ids][counted].sum())
    shares *= np.expand_dims(counted / total, 1).astype(dtype)
    return shares


def is_counted(t: Array, ignore_index: int | None) -> Array:
    return np.ones(t.shape, bool) if ignore_index is None else t != ignore_index


def matching(t: Any, x: Variable) -> Variable:
    """Return t as floats of x's dtype, and in x's shape if it only lacks axes: (N,) for (N, 1)."""
    t = as_variable(t)
    if t.ndim != x.ndim and t.size == x.size:
        t = reshape(t, x.shape)
    return astype(t, float_type(x.dtype))


def check_shapes(op: str, name0: str, x0: Array, name1: str, x1: Array) -> None:
    """Raise ValueError if the shapes differ: (N, 1) against (N,) would be spread out to (N, N)."""
    if x0.shape != x1.shape:
        raise ValueError(message('loss.shapes', op=op, name0=name0, x0=x0.shape, name1=name1, x1=x1.shape,
                                 remedy=reshaped(name1, x1.shape, x0.shape)))


def reshaped(name: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> str:
    """Return the remedy for a shape that only axes of length 1 keep from being the expected one, or nothing."""
    if [n for n in shape if n != 1] != [n for n in expected if n != 1]:
        return ''
    return message('loss.reshape', name=name, shape=expected)


def checked_targets(op: str, x: Variable, t: Any, ignore_index: int | None) -> Array:
    """Return the targets as an array of ints.

    Raises:
        ValueError: they are not class ids, one for each row of scores in x.
    """
    ids = as_array(t)
    if x.ndim < 2:
        raise ValueError(message('loss.scores', op=op, x=x.shape))
    if ids.shape == x.shape and ids.shape[1] > 1:
        raise ValueError(message('loss.onehot', op=op, x=x.shape))
    expected = (x.shape[0], *x.shape[2:])
    if ids.shape != expected:
        remedy = message('loss.flatten') if ids.shape == x.shape[:1] else reshaped('t', ids.shape, expected)
        raise ValueError(message('loss.targets', op=op, t=ids.shape, expected=expected, x=x.shape, remedy=remedy))
    if ids.dtype.kind not in 'iu':
        raise ValueError(message('loss.dtype', op=op, dtype=ids.dtype))
    C = x.shape[1]

    def check_range() -> None:
        counted = ids if ignore_index is None else ids[is_counted(ids, ignore_index)]
        if counted.size and not 0 <= counted.min() <= counted.max() < C:
            raise ValueError(message('loss.range', op=op, classes=C, last=C - 1, low=counted.min(),
                                     high=counted.max()))

    kernels.again(check_range, [ids])
    return ids if ids.dtype == np.intp else kernels.again(lambda: ids.astype(np.intp), [ids])
