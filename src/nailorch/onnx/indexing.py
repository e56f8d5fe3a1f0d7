"""NumPy's indexing in ONNX's operators: Slice, then Gather for ints and arrays, then Unsqueeze for None."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nailorch.graph import Batch
from nailorch.messages import message
from nailorch.onnx.steps import Step, Unwritable
from nailorch.shapes import integer

__all__ = ['write_item']

FURTHEST = 2**63 - 1


def write_item(step: Step) -> str:
    items = expanded(step['slices'], len(step.shape))
    axes = [item for item in items if item is not None]  # one for each axis of x
    y, shape = write_slices(step, step.x(), axes)
    chosen = {axis: np.asarray(item) for axis, item in enumerate(axes) if not isinstance(item, slice)}
    arrays = any(index.ndim for index in chosen.values())
    if len(chosen) > 1 and arrays:
        return write_joint(step, y, shape, items, chosen)
    for axis, index in reversed(chosen.items()):  # from the last: those before keep their places
        y = step.add('Gather', y, step.indices(index), axis=axis)
    return write_new_axes(step, y, items)


def expanded(slices: Any, ndim: int) -> list[Any]:
    """Return an index as a list: slices, ints and arrays for each axis, None between them for new ones."""
    items: list[Any] = []
    for item in slices if isinstance(slices, tuple) else (slices,):
        if isinstance(item, Batch):
            raise Unwritable(message('onnx.index_batch'))
        if item is None or item is Ellipsis or isinstance(item, slice) or integer(item):
            items.append(item)
            continue
        array = np.asarray(item)
        items += array.nonzero() if array.dtype == np.bool_ else [array.astype(np.int64)]
    missing = [slice(None)] * (ndim - sum(item is not None and item is not Ellipsis for item in items))
    place = next((place for place, item in enumerate(items) if item is Ellipsis), len(items))
    return [*items[:place], *missing, *items[place + 1:]]


def write_slices(step: Step, x: str, axes: Sequence[Any]) -> tuple[str, list[Any]]:
    """Write the slices that leave something out, and return the result with its shape (None for a size unknown)."""
    shape: list[Any] = [*step.shape]
    cut = {axis: item for axis, item in enumerate(axes) if isinstance(item, slice) and item != slice(None)}
    if not cut:
        return x, shape
    for axis, item in cut.items():
        fixed = integer(shape[axis]) and not any(isinstance(end, Batch) for end in (item.start, item.stop))
        shape[axis] = len(range(shape[axis])[item]) if fixed else None
    steps = [1 if item.step is None else item.step for item in cut.values()]
    starts = [item.start if item.start is not None else 0 if by > 0 else FURTHEST
              for item, by in zip(cut.values(), steps, strict=True)]
    stops = [item.stop if item.stop is not None else FURTHEST if by > 0 else -FURTHEST
             for item, by in zip(cut.values(), steps, strict=True)]
    ends = [step.ints(values, name) for values, name in (
        (starts, 'starts'), (stops, 'stops'), ([*cut], 'axes'), (steps, 'steps'))]
    return step.add('Slice', x, *ends), shape


def write_new_axes(step: Step, y: str, items: Sequence[Any]) -> str:
    """Write the axes that None asks for, and return the result: all other items have been written."""
    places, at = [], 0
    for item in items:
        if item is None:
            places.append(at)
        at += 1 if item is None or isinstance(item, slice) else np.ndim(item)
    return step.add('Unsqueeze', y, step.ints(places, 'new')) if places else y


def write_joint(step: Step, y: str, shape: Sequence[Any], items: Sequence[Any], chosen: dict[int, Any]) -> str:
    """Write several arrays (and ints) that index together: their axes become one, from which one array takes.

    Where a slice or None stands between them, NumPy puts the axes of the result in front.
    """
    sizes = [shape[axis] for axis in chosen]
    if not all(map(integer, sizes)):
        raise Unwritable(message('onnx.index_joint'))
    joint = [place for place, item in enumerate(items) if item is not None and not isinstance(item, slice)]
    together = joint == list(range(joint[0], joint[-1] + 1))
    indices = np.broadcast_arrays(*chosen.values())
    place = np.ravel_multi_index([index % size for index, size in zip(indices, sizes, strict=True)], sizes)

    rest = [axis for axis in range(len(shape)) if axis not in chosen]
    first = min(chosen) if together else 0
    order = [*rest[:first], *chosen, *rest[first:]]
    if order != sorted(order):
        y = step.add('Transpose', y, perm=order)
    behind = [shape[axis] if integer(shape[axis]) else -1 for axis in rest[first:]]
    if behind.count(-1) > 1:
        raise Unwritable(message('onnx.index_joint'))
    y = step.add('Reshape', y, step.ints([*[0] * first, math.prod(sizes), *behind], 'shape'))
    y = step.add('Gather', y, step.indices(place), axis=first)

    new = [item for item in items if item is None or isinstance(item, slice)]
    before = sum(item is None or isinstance(item, slice) for item in items[:joint[0]]) if together else 0
    return write_new_axes(step, y, [*new[:before], place, *new[before:]])
