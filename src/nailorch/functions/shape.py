"""The same numbers in another shape: reshape, transpose, broadcast, join and split."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nailorch import kernels
from nailorch.core import Function, Variable, as_variable
from nailorch.messages import message
from nailorch.shapes import Array

__all__ = ['BroadcastTo', 'Concat', 'Pad', 'Reshape', 'Split', 'SumTo', 'Transpose', 'broadcast_to', 'concat',
           'concatenate', 'expand_dims', 'flatten', 'pad', 'reshape', 'split', 'squeeze', 'stack', 'sum_to',
           'transpose']


def reshape(x: Any, shape: int | Sequence[int]) -> Variable:
    """Return x with another shape of as many elements; one size may be -1: what is left.

    Raises:
        ValueError: there are more or fewer elements than the shape takes.
    Example:
        >>> reshape(np.zeros((2, 3, 4)), (2, -1)).shape
        (2, 12)
    """
    x = as_variable(x)
    shape = (int(shape),) if isinstance(shape, int | np.integer) else tuple(shape)
    return x if x.shape == shape else Reshape(shape)(x)


class Reshape(Function):
    saves = ()

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = shape

    def forward(self, x: Array) -> Array:
        self.x_shape = x.shape
        if x.ndim == 4 and not x.flags.c_contiguous and tuple(self.shape[:2]) != x.shape[:2]:  # NumPy would copy
            x = kernels.in_c_order(x)
        try:
            return x.reshape(self.shape)
        except ValueError:
            raise ValueError(misfit(x.shape, tuple(self.shape))) from None

    def backward(self, gy: Variable) -> Any:
        return reshape(gy, self.x_shape)


def misfit(x: tuple[int, ...], shape: tuple[int, ...]) -> str:
    """Return why an array of shape x cannot have this shape, and what may have been meant."""
    count, room = math.prod(x), math.prod(size for size in shape if size != -1)
    if shape.count(-1) > 1:
        return message('reshape.twice', shape=shape, x=x)
    if -1 in shape and room == count == 0:
        return message('reshape.empty', shape=shape, x=x)
    told = message('reshape.rest' if -1 in shape else 'reshape.count', count=count, shape=shape, room=room, x=x)
    return told + (message('reshape.batch', N=x[0]) if len(x) > 2 and len(shape) == 2 else '')


def transpose(x: Any, axes: Sequence[int] | None = None) -> Variable:
    """Return x with its axes in another order, reversed by default.

    Example:
        >>> transpose(np.zeros((8, 28, 28, 3)), (0, 3, 1, 2)).shape
        (8, 3, 28, 28)
    """
    return Transpose(None if axes is None else tuple(axes))(x)


class Transpose(Function):
    saves = ()

    def __init__(self, axes: Sequence[int] | None) -> None:
        self.axes = axes

    def forward(self, x: Array) -> Array:
        return x.transpose(self.axes)

    def backward(self, gy: Variable) -> Any:
        if self.axes is None:
            return transpose(gy)
        back = np.argsort([axis % len(self.axes) for axis in self.axes])
        return transpose(gy, back.tolist())


def broadcast_to(x: Any, shape: Sequence[int]) -> Variable:
    """Return x repeated along axes of size 1, and new ones in front, to fill `shape`.

    Raises:
        ValueError: a size of x is neither 1 nor `shape`'s.
    """
    x, shape = as_variable(x), tuple(shape)
    if x.shape == shape:
        return x
    if not stretches(x.shape, shape):
        raise ValueError(f'broadcast_to: x has shape {x.shape}, which does not stretch to {shape}')
    return BroadcastTo(shape)(x)


def stretches(shape: Sequence[int], larger: Sequence[int]) -> bool:
    """Return whether `shape` broadcasts to `larger`."""
    lead = len(larger) - len(shape)
    return lead >= 0 and all(have in (1, want) for have, want in zip(shape, larger[lead:], strict=True))


class BroadcastTo(Function):
    saves = ()

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = shape

    def forward(self, x: Array) -> Array:
        self.x_shape = x.shape
        return np.broadcast_to(x, self.shape)

    def backward(self, gy: Variable) -> Any:
        return sum_to(gy, self.x_shape)


def sum_to(x: Any, shape: Sequence[int]) -> Variable:
    """Return x summed over the axes along which `shape` was broadcast to x's: the reverse of broadcast_to.

    Raises:
        ValueError: `shape` does not stretch to x's.
    Example:
        >>> sum_to(np.ones((2, 3)), (1, 3))
        variable([[2. 2. 2.]])
    """
    x, shape = as_variable(x), tuple(shape)
    if x.shape == shape:
        return x
    if not stretches(shape, x.shape):
        raise ValueError(f'sum_to: x has shape {x.shape}, to which {shape} does not stretch')
    return SumTo(shape)(x)


class SumTo(Function):
    saves = ()

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = shape

    def forward(self, x: Array) -> Array:
        self.x_shape = x.shape
        lead = x.ndim - len(self.shape)
        axes = [axis for axis in range(x.ndim) if axis < lead or self.shape[axis - lead] == 1 < x.shape[axis]]
        return kernels.sum_over(x, tuple(axes)).reshape(self.shape)

    def backward(self, gy: Variable) -> Any:
        return broadcast_to(gy, self.x_shape)


def pad(x: Any, widths: Sequence[Any], value: float = 0, mode: str = 'constant') -> Variable:
    """Return x with more around it.

    Args:
        widths: (before, after) for each axis, as np.pad takes them.
        value: what the new cells hold.
        mode: 'constant' for that, or as np.pad: 'edge', 'reflect' and 'wrap' repeat what is there.
    Example:
        >>> pad(np.ones((1, 2)), ((0, 0), (1, 2)))
        variable([[0. 1. 1. 0. 0.]])
        >>> pad(np.array([1., 2., 3.]), 2, mode='reflect')
        variable([3. 2. 1. 2. 3. 2. 1.])
    """
    x = as_variable(x)
    pairs = np.broadcast_to(np.asarray(widths), (x.ndim, 2)).tolist()
    if mode == 'constant':
        return Pad(tuple(map(tuple, pairs)), value)(x) if np.any(pairs) else x
    for axis, width in enumerate(pairs):
        if any(width):
            x = x[(slice(None),) * axis + (np.pad(np.arange(x.shape[axis]), width, mode),)]  # type: ignore[call-overload]
    return x


class Pad(Function):
    saves = ()

    def __init__(self, widths: Sequence[tuple[int, int]], value: float = 0) -> None:
        self.widths, self.value = widths, value

    def forward(self, x: Array) -> Array:
        self.x_shape = x.shape
        return np.pad(x, self.widths, constant_values=self.value)

    def backward(self, gy: Variable) -> Any:
        inside = tuple(slice(before, before + n) for (before, _), n in zip(self.widths, self.x_shape, strict=True))
        return gy[inside]


def flatten(x: Any) -> Variable:
    """Return x as (N, everything else): what stands between convolutions and the first dense layer."""
    x = as_variable(x)
    return reshape(x, (x.shape[0], -1) if x.size else (x.shape[0], math.prod(x.shape[1:])))


def expand_dims(x: Any, axis: int) -> Variable:
    """Return x with a new axis of size 1 at position `axis` of the result."""
    x = as_variable(x)
    return reshape(x, np.expand_dims(x.data, axis).shape)


def squeeze(x: Any, axis: int | Sequence[int] | None = None) -> Variable:
    """Return x without its axes of size 1: all of them, or those named.

    Raises:
        ValueError: a named axis is not of size 1.
    """
    x = as_variable(x)
    return reshape(x, np.squeeze(x.data, tuple(axis) if isinstance(axis, Sequence) else axis).shape)


def concat(xs: Sequence[Any], axis: int = 1) -> Variable:
    """Return the xs joined along `axis`; for images, axis 1 joins channels.

    Raises:
        ValueError: there is nothing to join, or the other axes differ.
    Example:
        >>> concat([np.zeros((2, 3, 4, 4)), np.ones((2, 5, 4, 4))]).shape
        (2, 8, 4, 4)
    """
    return Concat(axis)(*xs)


concatenate = concat


class Concat(Function):
    saves = ()

    def __init__(self, axis: int = 1) -> None:
        self.axis = axis

    def forward(self, *xs: Array) -> Array:
        y = kernels.concat(xs, self.axis)  # first: it notices what cannot be joined
        self.sizes = [x.shape[self.axis] for x in xs]
        return y

    def misfit(self, shapes: list[tuple[int, ...]]) -> str:
        return unjoined(shapes, self.axis)

    def backward(self, gy: Variable) -> Any:
        return split(gy, np.cumsum(self.sizes[:-1]).tolist(), self.axis)


def unjoined(shapes: list[tuple[int, ...]], axis: int) -> str:
    """Return why arrays of these shapes cannot be joined along `axis`, and what may have been meant; '' if they can."""
    if not shapes:
        return message('concat.empty')
    first, ndim = shapes[0], len(shapes[0])
    for index, x in enumerate(shapes):
        if len(x) != ndim:
            return message('concat.axes', ndim=ndim, index=index, other=len(x), first=first, x=x)
    if not -ndim <= axis < ndim:
        return message('concat.axis', axis=axis, first=first) + (message('concat.first') if ndim == 1 else '')
    differ = [k for k in range(ndim) if len({x[k] for x in shapes}) > 1]
    k = next((k for k in differ if k != axis % ndim), None)
    if k is None:
        return ''
    index, x = next((index, x) for index, x in enumerate(shapes) if x[k] != first[k])
    told = message('concat.sizes', k=k, size0=first[k], index=index, size=x[k], axis=axis, first=first, x=x)
    return told + (message('concat.along', axis=k) if len(differ) == 1 else '')


def stack(xs: Sequence[Any], axis: int = 0) -> Variable:
    """Return the xs side by side along a new `axis`.

    Raises:
        ValueError: they are not all of one shape.
    """
    xs = [as_variable(x) for x in xs]
    for index, x in enumerate(xs):
        if x.shape != xs[0].shape:
            raise ValueError(message('stack.shapes', first=xs[0].shape, index=index, x=x.shape))
    return concat([expand_dims(x, axis) for x in xs], axis)


def split(x: Any, parts: int | Sequence[int], axis: int = 1) -> tuple[Variable, ...]:
    """Return x cut along `axis` into so many equal parts, or before the given indices.

    Raises:
        ValueError: the axis cannot be cut into equal parts.
    Example:
        >>> [part.shape for part in split(np.zeros((2, 8)), [3])]
        [(2, 3), (2, 5)]
    """
    return Split(parts if isinstance(parts, int | np.integer) else tuple(parts), axis)(x)


class Split(Function):
    saves = ()

    def __init__(self, parts: int | Sequence[int], axis: int = 1) -> None:
        self.parts, self.axis = parts, axis

    def forward(self, x: Array) -> tuple[Array, ...]:
        return tuple(np.split(x, self.parts, axis=self.axis))

    def backward(self, *gys: Variable) -> Any:
        return concat(gys, self.axis)
