"""Resizing images: one axis at a time, each a choice of pixels or a product with a matrix of shares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import nailorch.functions as F
from nailorch.core import Variable, as_variable
from nailorch.onnx.operators.sums import times_along
from nailorch.onnx.operators.table import bounded, host, ints, like, operator
from nailorch.shapes import Array


@dataclass(frozen=True)
class Sampling:
    """How an axis is resized, by ONNX's names."""

    mode: str = 'nearest'
    transform: str = 'half_pixel'
    nearest: str = 'round_prefer_floor'
    cubic: float = -0.75
    exclude_outside: bool = False
    antialias: bool = False
    extrapolation: float = 0.0


@operator('Upsample')
def upsample_old(x: Any, *, scales: Sequence[float], mode: str = 'nearest') -> Any:
    return resized(as_variable(x), scales, None, None, Sampling(mode, 'asymmetric', 'floor'))


@operator('Upsample', since=9, settings=[1])
def upsample(x: Any, scales: Any, *, mode: str = 'nearest') -> Any:
    return resized(as_variable(x), host(scales).tolist(), None, None, Sampling(mode, 'asymmetric', 'floor'))


@operator('Resize', since=10, settings=[1])
def resize_old(x: Any, scales: Any, *, mode: str = 'nearest') -> Any:
    return upsample(x, scales, mode=mode)


@operator('Resize', since=11, settings=[1, 2])
def resize(x: Any, roi: Any = None, scales: Any = None, sizes: Any = None, *, antialias: int = 0, axes: Any = None,
           coordinate_transformation_mode: str = 'half_pixel', cubic_coeff_a: float = -0.75, exclude_outside: int = 0,
           extrapolation_value: float = 0.0, keep_aspect_ratio_policy: str = 'stretch', mode: str = 'nearest',
           nearest_mode: str = 'round_prefer_floor') -> Any:
    x = as_variable(x)
    how = Sampling(mode, coordinate_transformation_mode, nearest_mode, cubic_coeff_a, bool(exclude_outside),
                   bool(antialias), extrapolation_value)
    places = list(range(x.ndim)) if axes is None else [axis % x.ndim for axis in axes]
    factors, wanted = [1.0] * x.ndim, list(x.shape)
    corners = [(0.0, 1.0)] * x.ndim
    if roi is not None and host(roi).size:
        bounds = host(roi).tolist()
        for axis, start, end in zip(places, bounds[:len(places)], bounds[len(places):], strict=True):
            corners[axis] = start, end
    if scales is not None and host(scales).size:
        for axis, factor in zip(places, host(scales).tolist(), strict=True):
            factors[axis] = factor
        return resized(x, factors, None, corners, how)
    if sizes is None:
        raise ValueError('Resize: neither scales nor sizes are given')
    for axis, size in zip(places, ints(sizes), strict=True):
        factors[axis], wanted[axis] = size / x.shape[axis], size
    if keep_aspect_ratio_policy != 'stretch':
        choose = min if keep_aspect_ratio_policy == 'not_larger' else max
        factor = choose(factors[axis] for axis in places)
        for axis in places:
            factors[axis], wanted[axis] = factor, math.floor(factor * x.shape[axis] + 0.5)
    return resized(x, factors, wanted, corners, how)


def resized(x: Variable, scales: Sequence[float], sizes: Sequence[int] | None,
            corners: Sequence[tuple[float, float]] | None, how: Sampling) -> Variable:
    """Return x with every axis resized by its scale, to sizes that follow from the scales if none are given."""
    if not all(math.isfinite(scale) and scale > 0 for scale in scales) or len(scales) != x.ndim:
        raise ValueError(f'scales: {len(scales)} positive numbers for {x.ndim} axes, got {list(scales)}')
    sizes = [math.floor(n * s) for n, s in zip(x.shape, scales, strict=True)] if sizes is None else sizes
    bounded(sizes)
    cropping = how.transform == 'tf_crop_and_resize'
    for axis in reversed(range(x.ndim)):
        n, size, scale = x.shape[axis], sizes[axis], scales[axis]
        corner = corners[axis] if corners else (0.0, 1.0)
        if (n == size and scale == 1 and not cropping) or (cropping and n == size and corner == (0, 1)):
            continue
        at = positions(n, size, scale, corner, how.transform)
        if how.mode == 'nearest':
            index = nearest(at, how.nearest).clip(0, n - 1)
            x = F.get_item(x, (*(slice(None),) * axis, index))
        else:
            x = times_along(x, shares(at, n, scale, how).astype(x.dtype), axis)
        outside = (at < 0) | (at > n - 1)
        if cropping and outside.any():
            mask = outside.reshape([-1 if place == axis else 1 for place in range(x.ndim)])
            x = F.where(mask, like(how.extrapolation, x), x)
    return x


def positions(n: int, size: int, scale: float, corner: tuple[float, float], transform: str) -> Array:
    """Return where on the old axis of n pixels each of the `size` new pixels lies."""
    new, length = np.arange(size, dtype=np.float64), scale * n
    if transform == 'align_corners':
        return new * 0 if length == 1 else new * ((n - 1) / (length - 1))
    if transform == 'asymmetric':
        return new / scale
    if transform == 'tf_crop_and_resize':
        start, end = corner
        along = (end - start) * (n - 1) / 2 + new * 0 if length == 1 else new * ((end - start) * (n - 1) / (length - 1))
        return start * (n - 1) + along
    if transform == 'pytorch_half_pixel' and size == 1:
        return new * 0
    at = (new + 0.5) / scale - 0.5
    if transform == 'half_pixel_symmetric':
        at += n / 2 * (1 - size / length)
    elif transform not in ('half_pixel', 'pytorch_half_pixel'):
        raise ValueError(f'Resize knows no coordinate_transformation_mode {transform!r}')
    return at


def nearest(at: Array, rule: str) -> Array:
    """Return the pixel nearest to each position."""
    rules = {'round_prefer_floor': lambda: np.ceil(at - 0.5), 'round_prefer_ceil': lambda: np.floor(at + 0.5),
             'floor': lambda: np.floor(at), 'ceil': lambda: np.ceil(at)}
    if rule not in rules:
        raise ValueError(f'Resize knows no nearest_mode {rule!r}')
    return rules[rule]().astype(np.int64)


def shares(at: Array, n: int, scale: float, how: Sampling) -> Array:
    """Return the matrix, (new, n), of what each old pixel gives to each new one."""
    narrow = min(scale, 1.0) if how.antialias else 1.0  # a smaller image's pixels see more of the larger one's
    if how.mode not in ('linear', 'cubic'):
        raise ValueError(f'Resize knows no mode {how.mode!r}')
    reach = (1 if how.mode == 'linear' else 2) / narrow
    first = np.floor(at)
    whole = first == at
    first, rest = np.where(whole, first - 1, first), np.where(whole, 1.0, at - first)
    start = math.floor(-reach) + 1
    steps = np.arange(start, 2 - start)
    bounded((len(at), len(steps)))
    distance = (steps - rest[:, None]) * narrow
    weight = np.clip(1 - np.abs(distance), 0, 1) if how.mode == 'linear' else cubic(np.abs(distance), how.cubic)
    index = (first[:, None] + steps).astype(np.int64)
    if how.exclude_outside:
        weight = np.where((index >= 0) & (index < n), weight, 0)
    if how.exclude_outside or how.antialias:
        weight = weight / weight.sum(axis=1, keepdims=True)
    matrix = np.zeros(bounded((len(at), n)))
    np.add.at(matrix, (np.arange(len(at))[:, None], index.clip(0, n - 1)), weight)
    return matrix


def cubic(distance: Array, a: float) -> Array:
    """Return Keys' cubic convolution kernel. Source: Keys, IEEE Transactions on ASSP 29, 1981."""
    d = distance
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0))
