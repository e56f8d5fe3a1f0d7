"""Many numbers become one: sums, averages, extremes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from nailorch import kernels
from nailorch.core import Function, Variable, as_variable
from nailorch.functions.arithmetic import astype, clip, exp, log, neg, where
from nailorch.functions.shape import broadcast_to, reshape
from nailorch.kernels.reference import float_type
from nailorch.shapes import Array

__all__ = ['Max', 'Mean', 'Sum', 'average', 'logsumexp', 'max', 'mean', 'min', 'sum', 'var']

Axis: TypeAlias = int | Sequence[int] | None


def sum(x: Any, axis: Axis = None, keepdims: bool = False) -> Variable:
    """Return the sum over `axis`: an int, several, or None for all. Of bools and ints it is an int64, as in NumPy.

    Example:
        >>> sum(np.ones((2, 3)), axis=1)
        variable([3. 3.])
    """
    return Sum(axis, keepdims)(x)


class Sum(Function):
    saves = ()

    def __init__(self, axis: Axis = None, keepdims: bool = False) -> None:
        self.axis, self.keepdims = axis, keepdims

    def forward(self, x: Array) -> Array:
        self.x_shape = x.shape
        y = kernels.sum_over(x, as_axes(self.axis, x.ndim))
        return y.reshape(kept_shape(x.shape, self.axis)) if self.keepdims else y

    def backward(self, gy: Variable) -> Any:
        return broadcast_to(reshape(gy, kept_shape(self.x_shape, self.axis)), self.x_shape)


def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Variable:
    """Return the average over `axis`: an int, several, or None for all."""
    return Mean(axis, keepdims)(x)


average = mean


class Mean(Sum):
    def forward(self, x: Array) -> Array:
        self.x_shape = x.shape
        return x.mean(axis=as_axes(self.axis, x.ndim), keepdims=self.keepdims)  # NumPy adds up float16 in float32

    def backward(self, gy: Variable) -> Any:
        return super().backward(gy / extent(self.x_shape, self.axis))


def var(x: Any, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> Variable:
    """Return the variance over `axis`: squared distances from the mean, summed, over their number less `ddof`."""
    x = as_variable(x)
    dtype, count = float_type(x.dtype), extent(x.shape, axis)
    x = astype(x, np.result_type(dtype, np.float32))  # in float16, the square of 256 is too much
    distance = x - mean(x, axis, keepdims=True)
    y = mean(distance * distance, axis, keepdims)
    return astype(y * (count / (count - ddof)) if ddof else y, dtype)


def max(x: Any, axis: Axis = None, keepdims: bool = False) -> Variable:
    """Return the maximum over `axis`; of equals, the first (row by row) gets the gradient.

    Raises:
        ValueError: there is no element to choose from.
    Example:
        >>> max(np.array([[1., 5.], [3., 4.]]), axis=0)
        variable([3. 5.])
    """
    return Max(axis, keepdims)(x)


class Max(Function):
    saves = 'first',

    def __init__(self, axis: Axis = None, keepdims: bool = False) -> None:
        self.axis, self.keepdims = axis, keepdims

    def forward(self, x: Array) -> Array:
        axes = as_axes(self.axis, x.ndim)
        rest = tuple(axis for axis in range(x.ndim) if axis not in axes)
        rows = x.transpose(*rest, *axes).reshape(*(x.shape[axis] for axis in rest), extent(x.shape, axes))
        winner = rows.argmax(axis=-1, keepdims=True)
        self.x_shape, self.first = x.shape, mask_at(winner, rows.shape, x.shape, (*rest, *axes))
        y = np.take_along_axis(rows, winner, axis=-1)
        return y.reshape(kept_shape(x.shape, self.axis)) if self.keepdims else y[..., 0]

    def backward(self, gy: Variable) -> Any:
        first, = self.saved
        return where(first, reshape(gy, kept_shape(self.x_shape, self.axis)), 0)


def min(x: Any, axis: Axis = None, keepdims: bool = False) -> Variable:
    """Return the minimum over `axis`; of equals, the first (row by row) gets the gradient."""
    return neg(max(neg(x), axis, keepdims))


def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Variable:
    """Return log(sum(exp(x))) over `axis`, without overflow: the maximum is taken out first."""
    x = as_variable(x)
    x = astype(x, float_type(x.dtype))  # bytes have no numbers below 0
    axes = as_axes(axis, x.ndim)
    largest = float(np.finfo(x.dtype).max)
    highest = clip(max(x, axis, keepdims=True), -largest, largest)  # inf - inf is no number
    with np.errstate(over='ignore', divide='ignore'):  # float16's -60000 - 60000 is -inf, and so is log(0), rightly
        y = log(sum(exp(x - highest), axis, keepdims=True)) + highest
    return y if keepdims else reshape(y, [n for axis, n in enumerate(x.shape) if axis not in axes])


def as_axes(axis: Axis, ndim: int) -> tuple[int, ...]:
    """Return `axis` as a sorted tuple of axes counted from the front.

    Raises:
        ValueError: an axis does not exist, or is named twice.
    """
    if axis is None:
        return tuple(range(ndim))
    axes = (axis,) if isinstance(axis, int | np.integer) else tuple(axis)
    return tuple(sorted(np.lib.array_utils.normalize_axis_tuple(axes, ndim)))


def kept_shape(shape: Sequence[int], axis: Axis) -> tuple[int, ...]:
    """Return `shape` with 1 in place of the axes summed over."""
    axes = as_axes(axis, len(shape))
    return tuple(1 if axis in axes else n for axis, n in enumerate(shape))


def extent(shape: Sequence[int], axis: Axis) -> int:
    """Return how many elements lie along `axis`."""
    return math.prod(shape[axis] for axis in as_axes(axis, len(shape)))


def mask_at(winner: Array, rows: Sequence[int], shape: Sequence[int], order: Sequence[int]) -> Array:
    """Return bools of `shape`, True where `winner` points to in `rows`, whose axes are `shape`'s in another `order`."""
    mask = np.zeros(rows, bool)
    np.put_along_axis(mask, winner, True, axis=-1)
    return mask.reshape([shape[axis] for axis in order]).transpose(np.argsort(order))
