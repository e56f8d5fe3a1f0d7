"""Shapes: what is said about them, and the same numbers in others.

`Shape` and all that is computed from it alone are plain arrays, not Variables: what they say becomes attributes of the
functions that use them, so a traced model follows the batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import nailorch.functions as F
from nailorch.core import Variable, as_variable
from nailorch.functions.dense import EmbedID
from nailorch.functions.shape import Reshape
from nailorch.onnx.operators.table import DISCRETE, bounded, discrete, host, ints, like, operator
from nailorch.shapes import Array

DTYPES = {1: 'float32', 2: 'uint8', 3: 'int8', 4: 'uint16', 5: 'int16', 6: 'int32', 7: 'int64', 9: 'bool',
          10: 'float16', 11: 'float64', 12: 'uint32', 13: 'uint64'}


def dtype_of(number: int) -> np.dtype[Any]:
    """Return NumPy's type of ONNX's number.

    Raises:
        ValueError: NumPy has no such type.
    """
    if number not in DTYPES:
        raise ValueError(f'no array holds ONNX type {number}')
    return np.dtype(DTYPES[number])


# settings from settings


@operator('Shape')
def shape(x: Any, *, start: int = 0, end: int | None = None) -> Any:
    return np.array(as_variable(x).shape[start:end], np.int64)


@operator('Size')
def size(x: Any) -> Any:
    return np.array(as_variable(x).size, np.int64)


@operator('ConstantOfShape')
def constant_of_shape(shape: Any, *, value: Any = None) -> Any:
    value = np.zeros(1, np.float32) if value is None else value
    return np.full(bounded(ints(shape)), value.ravel()[0], value.dtype)


@operator('Range')
def arange(start: Any, limit: Any, delta: Any) -> Any:
    first, last, step = (host(x).item() for x in (start, limit, delta))
    count, = bounded([max(math.ceil((last - first) / step), 0)])
    return (np.arange(count) * step + first).astype(host(start).dtype)


@operator('EyeLike')
def eye_like(x: Any, *, dtype: int | None = None, k: int = 0) -> Any:
    x = as_variable(x)
    H, W = x.shape
    return np.eye(H, W, k, x.dtype if dtype is None else dtype_of(dtype))


# other types


@operator('Cast')
def cast(x: Any, *, to: int, saturate: int = 1, round_mode: str = 'up') -> Any:
    with np.errstate(invalid='ignore', over='ignore'):
        return F.astype(x, dtype_of(to))


@operator('CastLike')
def cast_like(x: Any, target: Any, *, saturate: int = 1, round_mode: str = 'up') -> Any:
    return F.astype(x, as_variable(target).dtype)


# the same numbers


@operator('Reshape')
def reshape(x: Any, shape: Any, *, allowzero: int = 0) -> Any:
    x, sizes = as_variable(x), ints(shape)
    if not allowzero:
        sizes = tuple(x.shape[axis] if size == 0 else size for axis, size in enumerate(sizes))
    return F.reshape(x, sizes)


@operator('Flatten')
def flatten(x: Any, *, axis: int = 1) -> Any:
    x = as_variable(x)
    if axis == 1 and x.ndim > 1:
        return F.flatten(x)
    if axis < 0:
        axis += x.ndim
    return F.reshape(x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))


@operator('Transpose')
def transpose(x: Any, *, perm: Sequence[int] | None = None) -> Any:
    return F.transpose(x, perm)


@operator('Squeeze')
def squeeze_old(x: Any, *, axes: Sequence[int] | None = None) -> Any:
    return F.squeeze(x, axes)


@operator('Squeeze', since=13)
def squeeze(x: Any, axes: Any = None) -> Any:
    return F.squeeze(x, None if axes is None else ints(axes))


@operator('Unsqueeze')
def unsqueeze_old(x: Any, *, axes: Sequence[int]) -> Any:
    x = as_variable(x)
    return F.reshape(x, np.expand_dims(x.data, tuple(axes)).shape)


@operator('Unsqueeze', since=13)
def unsqueeze(x: Any, axes: Any) -> Any:
    return unsqueeze_old(x, axes=ints(axes))


@operator('Expand')
def expand(x: Any, shape: Any) -> Any:
    x = as_variable(x)
    return F.broadcast_to(x, bounded(np.broadcast_shapes(x.shape, ints(shape))))


@operator('Tile')
def tile(x: Any, repeats: Any) -> Any:
    x, times = as_variable(x), ints(repeats)
    full = bounded([n * size for n, size in zip(times, x.shape, strict=True)])
    beside = F.reshape(x, [n for size in x.shape for n in (1, size)])
    wide = F.broadcast_to(beside, [n for pair in zip(times, x.shape, strict=True) for n in pair])
    return F.reshape(wide, full)


@operator('Concat')
def concat(*xs: Any, axis: int) -> Any:
    return F.concat(xs, axis)


@operator('Split')
def split_old(x: Any, *, axis: int = 0, split: Sequence[int] | None = None, outputs: int) -> Any:
    return parts_of(x, axis, split, outputs)


@operator('Split', since=13)
def split(x: Any, split: Any = None, *, axis: int = 0, num_outputs: int | None = None, outputs: int) -> Any:
    return parts_of(x, axis, None if split is None else ints(split), num_outputs or outputs)


def parts_of(x: Any, axis: int, sizes: Sequence[int] | None, count: int) -> Any:
    x = as_variable(x)
    if sizes is None:
        each = -(-x.shape[axis] // count)
        return F.split(x, [each * place for place in range(1, count)], axis)
    if np.sum(sizes) != x.shape[axis]:
        raise ValueError(f'Split: parts of {tuple(sizes)} are not {x.shape[axis]} together')
    return F.split(x, np.cumsum(sizes)[:-1].tolist(), axis)


@operator('Slice')
def slice_old(x: Any, *, starts: Sequence[int], ends: Sequence[int], axes: Sequence[int] | None = None) -> Any:
    return sliced(x, starts, ends, axes, None)


@operator('Slice', since=10)
def slice_of(x: Any, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Any:
    return sliced(x, ints(starts), ints(ends), None if axes is None else ints(axes),
                  None if steps is None else ints(steps))


def sliced(x: Any, starts: Sequence[int], ends: Sequence[int], axes: Sequence[int] | None,
           steps: Sequence[int] | None) -> Any:
    x = as_variable(x)
    items = [slice(None)] * x.ndim
    places = range(len(starts)) if axes is None else axes
    for axis, start, end, step in zip(places, starts, ends, steps or [1] * len(starts), strict=True):
        items[axis] = slice(start, end if abs(end) < 2 ** 31 - 1 else None if (end > 0) == (step > 0) else end, step)
    return F.get_item(x, tuple(items))


@operator('Pad')
def pad_old(x: Any, *, pads: Sequence[int], mode: str = 'constant', value: float = 0.0) -> Any:
    return padded(x, pads, value, None, mode)


@operator('Pad', since=11, settings=[2])
def pad(x: Any, pads: Any, constant_value: Any = None, axes: Any = None, *, mode: str = 'constant') -> Any:
    value = 0 if constant_value is None else host(constant_value).item()
    return padded(x, ints(pads), value, None if axes is None else ints(axes), mode)


def padded(x: Any, pads: Sequence[int], value: float, axes: Sequence[int] | None, mode: str) -> Any:
    """Return x with more around it; where `pads` are negative, with less."""
    x = as_variable(x)
    widths, count = [(0, 0)] * x.ndim, len(pads) // 2
    for axis, before, after in zip(range(x.ndim) if axes is None else axes, pads[:count], pads[count:], strict=True):
        widths[axis] = before, after
    bounded([n + before + after for n, (before, after) in zip(x.shape, widths, strict=True)])
    if min(map(min, widths), default=0) < 0:
        x = F.get_item(x, tuple(slice(max(-before, 0), n - max(-after, 0))
                                for n, (before, after) in zip(x.shape, widths, strict=True)))
        widths = [(max(before, 0), max(after, 0)) for before, after in widths]
    return F.pad(x, widths, value, mode)


@operator('DepthToSpace')
def depth_to_space(x: Any, *, blocksize: int, mode: str = 'DCR') -> Any:
    x, b = as_variable(x), blocksize
    N, C, H, W = x.shape
    if mode == 'DCR':
        y = F.transpose(F.reshape(x, (N, b, b, C // (b * b), H, W)), (0, 3, 4, 1, 5, 2))
    else:
        y = F.transpose(F.reshape(x, (N, C // (b * b), b, b, H, W)), (0, 1, 4, 2, 5, 3))
    return F.reshape(y, (N, C // (b * b), H * b, W * b))


@operator('SpaceToDepth')
def space_to_depth(x: Any, *, blocksize: int, mode: str = 'DCR') -> Any:
    x, b = as_variable(x), blocksize
    N, C, H, W = x.shape
    order = (0, 3, 5, 1, 2, 4) if mode == 'DCR' else (0, 1, 3, 5, 2, 4)
    y = F.transpose(F.reshape(x, (N, C, H // b, b, W // b, b)), order)
    return F.reshape(y, (N, C * b * b, H // b, W // b))


# taking out


@operator('Gather')
def gather(x: Any, indices: Any, *, axis: int = 0) -> Any:
    x = as_variable(x)
    axis = axis + x.ndim if axis < 0 else axis
    if not isinstance(indices, Variable):
        index: Any = host(indices)
        return F.get_item(x, (*(slice(None),) * axis, int(index) if index.ndim == 0 else index))
    order = [axis, *(other for other in range(x.ndim) if other != axis)]
    rows = x if axis == 0 else F.transpose(x, order)
    y = EmbedID()(discrete('Wrap', indices, size=x.shape[axis]), rows)
    count = indices.ndim
    if axis == 0:
        return y
    return F.transpose(y, [*range(count, count + axis), *range(count), *range(count + axis, y.ndim)])


def wrapped(indices: Array, size: int) -> Array:
    """Return indices counted from the front."""
    if indices.size and not -size <= indices.min() <= indices.max() < size:
        raise ValueError(f'an index from {indices.min()} to {indices.max()} is outside of {size}')
    return np.where(indices < 0, indices + size, indices)


DISCRETE['Wrap'] = wrapped


@operator('GatherElements')
def gather_elements(x: Any, indices: Any, *, axis: int = 0) -> Any:
    x = as_variable(x)
    flat = discrete('FlatIndex', indices, shape=x.shape, axis=axis)
    return Reshape(flat.shape)(EmbedID()(flat, F.reshape(x, (-1, 1))))


def flat_index(indices: Array, shape: Sequence[int], axis: int) -> Array:
    """Return where in an array of `shape`, laid flat, each index along `axis` points to."""
    grid: Any = list(np.indices(indices.shape, sparse=True))
    grid[axis] = wrapped(indices, shape[axis])
    return np.asarray(np.ravel_multi_index(tuple(np.broadcast_arrays(*grid)), tuple(shape)))


DISCRETE['FlatIndex'] = flat_index


@operator('GatherND')
def gather_nd(x: Any, indices: Any, *, batch_dims: int = 0) -> Any:
    x, index = as_variable(x), host(indices)
    batch = np.indices(index.shape[:-1], sparse=True)[:batch_dims]
    return F.get_item(x, (*batch, *np.moveaxis(index, -1, 0)))


@operator('OneHot')
def one_hot(indices: Any, depth: Any, values: Any, *, axis: int = -1) -> Any:
    return discrete('OneHot', indices, host(depth), values, axis=axis)


def one_hot_array(indices: Array, depth: Array, values: Array, axis: int) -> Array:
    count = int(depth.item())
    off, on = values
    bounded((*indices.shape, count))
    axis = axis + indices.ndim + 1 if axis < 0 else axis
    ids = np.expand_dims(np.where(indices < 0, indices + count, indices), axis)
    classes = np.arange(count).reshape([-1 if place == axis else 1 for place in range(indices.ndim + 1)])
    return np.where(ids == classes, on, off).astype(values.dtype)


DISCRETE['OneHot'] = one_hot_array


@operator('NonZero')
def non_zero(x: Any) -> Any:
    return discrete('NonZero', x)


DISCRETE['NonZero'] = lambda x: np.array(np.nonzero(np.atleast_1d(x)))


@operator('Trilu')
def trilu(x: Any, k: Any = None, *, upper: int = 1) -> Any:
    x = as_variable(x)
    offset = 0 if k is None else int(host(k).item())
    H, W = x.shape[-2:]
    kept = np.tri(H, W, offset - 1 if upper else offset, bool) != bool(upper)
    return F.where(kept, x, like(0, x))
