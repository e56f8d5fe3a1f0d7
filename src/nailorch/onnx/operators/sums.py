"""Products of matrices, and what sums or chooses along an axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import nailorch.functions as F
from nailorch.core import Variable, as_variable
from nailorch.functions.reduction import as_axes, kept_shape
from nailorch.onnx.operators.shaping import gather_elements
from nailorch.onnx.operators.table import DISCRETE, discrete, host, ints, like, operator
from nailorch.shapes import Array


@operator('Gemm', weights=[1, 2])
def gemm(a: Any, b: Any, c: Any = None, *, alpha: float = 1.0, beta: float = 1.0, transA: int = 0,
         transB: int = 0) -> Any:
    """alpha * A @ B + beta * C; a dense layer is that with both 1."""
    a, b = F.transpose(a) if transA else as_variable(a), F.transpose(b) if transB else as_variable(b)
    if alpha == beta == 1 and a.dtype.kind == 'f' and (c is None or as_variable(c).shape == b.shape[1:]):
        return F.linear(a, b, c)
    y = F.matmul(a, b)
    y = y if alpha == 1 else y * like(alpha, y)
    return y if c is None else y + (c if beta == 1 else F.mul(c, like(beta, y)))


@operator('MatMul', weights=[1])
def matmul(a: Any, b: Any) -> Any:
    a, b = as_variable(a), as_variable(b)
    if b.ndim == 2 and a.ndim > 1 and a.dtype.kind == 'f':
        return F.linear(a, b)
    return F.matmul(a, b)


# reductions

Axes = tuple[int, ...]


def over(axes: Any, noop: int, x: Variable) -> tuple[int, ...] | None:
    """Return the axes to reduce; None: nothing is to be reduced."""
    chosen = None if axes is None else ints(axes)
    if not chosen:
        return None if noop else tuple(range(x.ndim))
    return as_axes(chosen, x.ndim)


Reduce = Callable[[Variable, Axes, bool], Any]


def reduction(name: str, since: int) -> Callable[[Reduce], Reduce]:
    """Register a reduction whose axes are an attribute at first, and an input since some opset.

    `compute(x, axes, keepdims)` gets the axes as a tuple.
    """

    def register(compute: Reduce) -> Reduce:
        def old(x: Any, *, axes: Sequence[int] | None = None, keepdims: int = 1) -> Any:
            x = as_variable(x)
            return compute(x, over(axes, 0, x) or (), bool(keepdims))

        def new(x: Any, axes: Any = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Any:
            x = as_variable(x)
            return compute(x, over(axes, noop_with_empty_axes, x) or (), bool(keepdims))

        operator(name)(old)
        operator(name, since=since)(new)
        return compute

    return register


def total(x: Variable, axes: Axes, keepdims: bool) -> Variable:
    return F.astype(F.sum(x, axes, keepdims), x.dtype)  # NumPy's sum of int32 is int64


@reduction('ReduceSum', 13)
def reduce_sum(x: Variable, axes: Axes, keepdims: bool) -> Any:
    return total(x, axes, keepdims)


@reduction('ReduceMean', 18)
def reduce_mean(x: Variable, axes: Axes, keepdims: bool) -> Any:
    if x.ndim == 4 and axes == (2, 3) and keepdims:
        return F.global_average_pooling(x)
    return F.astype(F.mean(x, axes, keepdims), x.dtype)


@reduction('ReduceMax', 18)
def reduce_max(x: Variable, axes: Axes, keepdims: bool) -> Any:
    return extreme(F.max, x, axes, keepdims, -np.inf)


@reduction('ReduceMin', 18)
def reduce_min(x: Variable, axes: Axes, keepdims: bool) -> Any:
    if x.dtype.kind in 'bu':  # these have no negative to take the maximum of
        return discrete('ReduceMin', x, axes=axes, keepdims=keepdims)
    return extreme(F.min, x, axes, keepdims, np.inf)


DISCRETE['ReduceMin'] = lambda x, axes, keepdims: x.min(axis=axes, keepdims=keepdims)


def extreme(function: Any, x: Variable, axes: Axes, keepdims: bool, of_nothing: float) -> Any:
    if x.size or not axes:
        return function(x, axes, keepdims) if axes else x
    shape = kept_shape(x.shape, axes) if keepdims else [n for axis, n in enumerate(x.shape) if axis not in axes]
    low = x.dtype.kind != 'f' and (np.iinfo(x.dtype).min if x.dtype.kind != 'b' else False)
    return np.full(shape, of_nothing if x.dtype.kind == 'f' else low, x.dtype)


@reduction('ReduceProd', 18)
def reduce_prod(x: Variable, axes: Axes, keepdims: bool) -> Any:
    shape = kept_shape(x.shape, axes) if keepdims else [n for axis, n in enumerate(x.shape) if axis not in axes]
    rest = [axis for axis in range(x.ndim) if axis not in axes]
    rows = F.reshape(F.transpose(x, (*axes, *rest)), (-1 if x.size else 0, *(x.shape[axis] for axis in rest)))
    y: Any = np.ones(rows.shape[1:], x.dtype)
    for row in rows:
        y = F.mul(y, row)
    return F.reshape(y, shape)


@reduction('ReduceL1', 18)
def reduce_l1(x: Variable, axes: Axes, keepdims: bool) -> Any:
    return total(F.abs(x), axes, keepdims)


@reduction('ReduceL2', 18)
def reduce_l2(x: Variable, axes: Axes, keepdims: bool) -> Any:
    return F.astype(F.sqrt(F.sum(F.square(x), axes, keepdims)), x.dtype)


@reduction('ReduceSumSquare', 18)
def reduce_sum_square(x: Variable, axes: Axes, keepdims: bool) -> Any:
    return total(F.square(x), axes, keepdims)


@reduction('ReduceLogSum', 18)
def reduce_log_sum(x: Variable, axes: Axes, keepdims: bool) -> Any:
    with np.errstate(divide='ignore'):  # the logarithm of nothing is -inf
        return F.log(F.sum(x, axes, keepdims))


@reduction('ReduceLogSumExp', 18)
def reduce_log_sum_exp(x: Variable, axes: Axes, keepdims: bool) -> Any:
    return F.logsumexp(x, axes, keepdims) if x.size else extreme(None, x, axes, keepdims, -np.inf)


# the places of extremes


@operator('ArgMax')
def arg_max(x: Any, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Any:
    return discrete('ArgMax', x, axis=axis, keepdims=keepdims, select_last_index=select_last_index)


@operator('ArgMin')
def arg_min(x: Any, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Any:
    return discrete('ArgMin', x, axis=axis, keepdims=keepdims, select_last_index=select_last_index)


def place_of(choose: Any) -> Any:
    def place(x: Array, axis: int, keepdims: int, select_last_index: int) -> Array:
        if select_last_index:
            return np.asarray(x.shape[axis] - 1 - choose(np.flip(x, axis), axis=axis, keepdims=bool(keepdims)))
        return np.asarray(choose(x, axis=axis, keepdims=bool(keepdims)))
    return place


DISCRETE |= {'ArgMax': place_of(np.argmax), 'ArgMin': place_of(np.argmin)}


@operator('TopK')
def top_k_old(x: Any, *, k: int, axis: int = -1) -> Any:
    return top_k(x, np.array(k), axis=axis)


@operator('TopK', since=10)
def top_k(x: Any, k: Any, *, axis: int = -1, largest: int = 1, sorted: int = 1) -> Any:
    index = discrete('TopK', x, k=int(host(k).item()), axis=axis, largest=largest)
    return gather_elements(x, index, axis=axis), index


def top_k_indices(x: Array, k: int, axis: int, largest: int) -> Array:
    if largest:  # of equals the first comes first
        order = x.shape[axis] - 1 - np.flip(np.argsort(np.flip(x, axis), axis=axis, kind='stable'), axis)
    else:
        order = np.argsort(x, axis=axis, kind='stable')
    return np.take(order, np.arange(k), axis=axis)


DISCRETE['TopK'] = top_k_indices


@operator('CumSum')
def cum_sum(x: Any, axis: Any, *, exclusive: int = 0, reverse: int = 0) -> Any:
    """A running sum is a product with a triangle of ones."""
    x = as_variable(x)
    along, count = int(host(axis).item()), x.shape[int(host(axis).item())]
    triangle = np.tri(count, k=-1 if exclusive else 0, dtype=x.dtype)
    return times_along(x, triangle.T if reverse else triangle, along)


def times_along(x: Any, matrix: Array, axis: int) -> Variable:
    """Return x with `matrix`, (OUT, IN), applied along one of its axes."""
    x = as_variable(x)
    axis = axis + x.ndim if axis < 0 else axis
    if x.ndim > 1 and axis == x.ndim - 2:
        return F.matmul(matrix, x)
    order = [*(other for other in range(x.ndim) if other != axis), axis]
    y = F.matmul(x if axis == x.ndim - 1 else F.transpose(x, order), np.ascontiguousarray(matrix.T))
    return y if axis == x.ndim - 1 else F.transpose(y, np.argsort(order).tolist())
