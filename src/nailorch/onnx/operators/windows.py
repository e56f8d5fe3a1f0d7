"""Windows that move over images: convolution, pooling. A signal (N, C, L) is an image of one row."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import nailorch.functions as F
from nailorch import kernels
from nailorch.core import Variable, as_variable
from nailorch.messages import message
from nailorch.onnx.operators.table import DISCRETE, bounded, discrete, ints, like, operator
from nailorch.shapes import Array, Window

Ints = Sequence[int]
Sides = tuple[tuple[int, int], ...]


def sides(pads: Ints | None, axes: int) -> Sides:
    """Return ONNX's pads, all starts and then all ends, as (before, after) for each axis."""
    pads = pads or (0,) * (2 * axes)
    if len(pads) != 2 * axes:
        raise ValueError(f'pads: {len(pads)} numbers for {axes} axes')
    return tuple(zip(pads[:axes], pads[axes:], strict=True))


def padding(auto_pad: str, pads: Ints | None, size: Ints, kernel: Ints, strides: Ints, dilations: Ints) -> Sides:
    """Return (before, after) for each axis, as one of ONNX's ways to say it means for images of `size`."""
    if auto_pad in ('NOTSET', ''):
        return sides(pads, len(size))
    if auto_pad == 'VALID':
        return ((0, 0),) * len(size)
    missing = [max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
               for n, k, s, d in zip(size, kernel, strides, dilations, strict=True)]
    return tuple((m // 2, m - m // 2) if auto_pad == 'SAME_UPPER' else (m - m // 2, m // 2) for m in missing)


def of(values: Ints | None, axes: int) -> tuple[int, ...]:
    return (1,) * axes if values is None else tuple(values)


def as_image(x: Any) -> Variable:
    """Return a signal (N, C, L) as an image (N, C, 1, L)."""
    x = as_variable(x)
    return F.reshape(x, (*x.shape[:2], 1, x.shape[2]))


def as_signal(y: Any) -> Variable:
    return F.reshape(y, (*y.shape[:2], y.shape[3]))


def check_axes(name: str, x: Variable) -> int:
    """Return how many axes the images have.

    Raises:
        ValueError: neither one nor two.
    """
    if x.ndim not in (3, 4):
        raise ValueError(message('onnx.read.axes', op=name, shape=x.shape))
    return x.ndim - 2


# convolution


@operator('Conv', weights=[1, 2])
def conv(x: Any, W: Any, b: Any = None, *, auto_pad: str = 'NOTSET', dilations: Ints | None = None, group: int = 1,
         kernel_shape: Ints | None = None, pads: Ints | None = None, strides: Ints | None = None) -> Any:
    x, W = as_variable(x), as_variable(W)
    axes = check_axes('Conv', x)
    kernel, stride, dilation = W.shape[2:], of(strides, axes), of(dilations, axes)
    pad = padding(auto_pad, pads, x.shape[2:], kernel, stride, dilation)
    check_kernel(kernel, kernel_shape)
    if axes == 1:
        y = F.conv2d(as_image(x), as_image(W), b, (1, *stride), ((0, 0), *pad), (1, *dilation), group)
        return as_signal(y)
    bounded((*x.shape[:2], *(n + sum(both) for n, both in zip(x.shape[2:], pad, strict=True))))
    return F.conv2d(x, W, b, stride, same_both_sides(pad), dilation, group)


def same_both_sides(pad: Sides) -> Any:
    """Return padding as (vertical, horizontal) if it is the same at both ends: that reads better."""
    return tuple(before for before, _ in pad) if all(before == after for before, after in pad) else pad


def check_kernel(kernel: Ints, said: Ints | None) -> None:
    if said is not None and tuple(said) != tuple(kernel):
        raise ValueError(f'kernel_shape is {tuple(said)}, the weights are {tuple(kernel)}')


@operator('ConvTranspose', weights=[1, 2])
def conv_transpose(x: Any, W: Any, b: Any = None, *, auto_pad: str = 'NOTSET', dilations: Ints | None = None,
                   group: int = 1, kernel_shape: Ints | None = None, output_padding: Ints | None = None,
                   output_shape: Ints | None = None, pads: Ints | None = None, strides: Ints | None = None) -> Any:
    x, W = as_variable(x), as_variable(W)
    axes = check_axes('ConvTranspose', x)
    check_kernel(W.shape[2:], kernel_shape)
    stride, dilation, extra = of(strides, axes), of(dilations, axes), tuple(output_padding or (0,) * axes)
    full = [s * (n - 1) + d * (k - 1) + 1
            for n, k, s, d in zip(x.shape[2:], W.shape[2:], stride, dilation, strict=True)]
    if output_shape is None and auto_pad.startswith('SAME'):
        output_shape = [s * n for s, n in zip(stride, x.shape[2:], strict=True)]
    if output_shape is None:
        pad = sides(None if auto_pad == 'VALID' else pads, axes)
    else:
        total = [f + e - n for f, e, n in zip(full, extra, output_shape[-axes:], strict=True)]
        pad = tuple((t // 2, t - t // 2) if auto_pad == 'SAME_UPPER' else (t - t // 2, t // 2) for t in total)
    size = tuple(f + e - sum(both) for f, e, both in zip(full, extra, pad, strict=True))
    bounded((*x.shape[:1], W.shape[1] * group, *size))
    if axes == 1:
        y = spread(as_image(x), as_image(W), b, (1, *stride), ((0, 0), *pad), (1, *dilation), group, (1, *size))
        return as_signal(y)
    return spread(x, W, b, stride, pad, dilation, group, size)


def spread(x: Variable, W: Variable, b: Any, stride: Ints, pad: Sides, dilation: Ints, group: int, size: Ints) -> Any:
    """Return the transposed convolution of that size; one that no convolution undoes is cut, or filled up with 0."""
    smallest = [s * (n - 1) + d * (k - 1) + 1 - sum(both) for n, k, s, d, both in
                zip(x.shape[2:], W.shape[2:], stride, dilation, pad, strict=True)]
    fits = all(0 <= n - least < s for n, least, s in zip(size, smallest, stride, strict=True))
    if fits and min(map(min, pad)) >= 0:
        outsize = None if tuple(smallest) == tuple(size) else tuple(size)
        return F.deconv2d(x, W, b, stride, same_both_sides(pad), outsize, dilation, group)
    y = F.deconv2d(x, W, None, stride, 0, None, dilation, group)
    starts = [before for before, _ in pad]
    widths = [(max(-start, 0), max(start + n - have, 0)) for start, n, have in
              zip(starts, size, y.shape[2:], strict=True)]
    y = F.pad(y, [(0, 0), (0, 0), *widths])
    H, W_ = (slice(max(start, 0), max(start, 0) + n) for start, n in zip(starts, size, strict=True))
    y = F.get_item(y, (slice(None), slice(None), H, W_))
    return y if b is None else y + F.reshape(b, (-1, 1, 1))


@operator('Col2Im', since=18, settings=[1, 2])
def col2im(x: Any, image_shape: Any, block_shape: Any, *, dilations: Ints | None = None, pads: Ints | None = None,
           strides: Ints | None = None) -> Any:
    """Add columns (N, C * KH * KW, OH * OW) up to images."""
    x, size, kernel = as_variable(x), ints(image_shape), ints(block_shape)
    axes = len(size)
    if axes not in (1, 2) or x.ndim != 3 or len(kernel) != axes:
        raise ValueError(message('onnx.read.axes', op='Col2Im', shape=(*x.shape[:1], *size)))
    stride, pad, dilation = of(strides, axes), sides(pads, axes), of(dilations, axes)
    if axes == 1:  # a signal is an image of one row
        stride, pad, dilation, kernel, size = (1, *stride), ((0, 0), *pad), (1, *dilation), (1, *kernel), (1, *size)
    N, C = x.shape[0], x.shape[1] // math.prod(kernel)
    places = Window(kernel, stride, pad, dilation).outsize(size)
    bounded((N, C, *(n + sum(both) for n, both in zip(size, pad, strict=True))))
    columns = F.reshape(x, (N, C, *kernel, *places))
    y = F.col2im(columns, (N, C, *size), kernel, stride, same_both_sides(pad), False, dilation)
    return as_signal(y) if axes == 1 else y


# pooling


def pooled(x: Variable, pool: Callable[..., Any], auto_pad: str, ceil_mode: int, dilations: Ints | None,
           kernel_shape: Ints, pads: Ints | None, strides: Ints | None) -> Any:
    """Pool over all axes behind the channels: over the last two, then, since a volume's windows allow it, the rest.

    `pool(image, kernel, stride, pad, dilation, ceil_mode)` pools images.
    """
    axes = len(kernel_shape)
    if x.ndim != axes + 2 or axes not in (1, 2, 3):
        raise ValueError(message('onnx.read.axes', op='pooling', shape=x.shape))
    stride, dilation = of(strides, axes), of(dilations, axes)
    pad = padding(auto_pad, pads, x.shape[2:], kernel_shape, stride, dilation)
    bounded((*x.shape[:2], *(n + sum(both) for n, both in zip(x.shape[2:], pad, strict=True))))
    how = [tuple(kernel_shape), stride, pad, dilation]
    if axes == 1:
        one: Any = [1, 1, (0, 0), 1]
        return as_signal(pool(as_image(x), *((first, *rest) for first, rest in zip(one, how, strict=True)), ceil_mode))
    if axes == 2:
        return pool(x, tuple(kernel_shape), stride, same_both_sides(pad), dilation, ceil_mode)
    N, C, D, H, W = x.shape
    y = pool(F.reshape(x, (N, C * D, H, W)), *(values[1:] for values in how), ceil_mode)
    OH, OW = y.shape[2:]
    deep: Any = [(values[0], one) for values, one in zip(how, [1, 1, (0, 0), 1], strict=True)]
    y = pool(F.reshape(y, (N, C, D, OH * OW)), *deep, ceil_mode)
    return F.reshape(y, (N, C, y.shape[2], OH, OW))


@operator('MaxPool')
def max_pool(x: Any, *, auto_pad: str = 'NOTSET', ceil_mode: int = 0, dilations: Ints | None = None,
             kernel_shape: Ints, pads: Ints | None = None, storage_order: int = 0, strides: Ints | None = None,
             outputs: int = 1) -> Any:
    x = as_variable(x)

    def pool(image: Variable, kernel: Ints, stride: Ints, pad: Any, dilation: Any, ceil: int) -> Any:
        return F.pooling(image, kernel, stride, pad, dilation, bool(ceil))

    y = pooled(x, pool, auto_pad, ceil_mode, dilations, kernel_shape, pads, strides)
    if outputs == 1:
        return y
    axes = check_axes('MaxPool', x)
    pad = padding(auto_pad, pads, x.shape[2:], kernel_shape, of(strides, axes), of(dilations, axes))
    image, how = x, [tuple(kernel_shape), of(strides, axes), pad, of(dilations, axes)]
    if axes == 1:
        image = as_image(x)
        how = [(1, *kernel_shape), (1, *of(strides, 1)), ((0, 0), *pad), (1, *of(dilations, 1))]
    where = discrete('MaxPoolIndices', image, window=(*how, bool(ceil_mode)), by_column=bool(storage_order))
    return y, where if axes == 2 else as_signal(where)


def max_pool_indices(x: Array, window: Any, by_column: bool) -> Array:
    """Return where in x, laid flat, each window's maximum lies."""
    here = Window(*window).on(x.shape[2:])
    _, index = kernels.max_pool(x, here)
    cell = index.astype(np.int64)
    (SH, SW), (DH, DW), KW = here.stride, here.dilation, here.kernel_size[1]
    (top, _), (left, _) = here.pad
    row = np.arange(index.shape[2])[:, None] * SH - top + cell // KW * DH
    column = np.arange(index.shape[3]) * SW - left + cell % KW * DW
    N, C, H, W = x.shape
    plane = np.arange(N * C).reshape(N, C, 1, 1) * (H * W)
    return np.asarray(plane + (column * H + row if by_column else row * W + column))


DISCRETE['MaxPoolIndices'] = max_pool_indices


@operator('AveragePool')
def average_pool(x: Any, *, auto_pad: str = 'NOTSET', ceil_mode: int = 0, count_include_pad: int = 0,
                 dilations: Ints | None = None, kernel_shape: Ints, pads: Ints | None = None,
                 strides: Ints | None = None) -> Any:
    def pool(image: Variable, kernel: Ints, stride: Ints, pad: Any, dilation: Any, ceil: int) -> Any:
        return F.average_pooling(image, kernel, stride, pad, bool(ceil), bool(count_include_pad), dilation)

    return pooled(as_variable(x), pool, auto_pad, ceil_mode, dilations, kernel_shape, pads, strides)


@operator('LpPool')
def lp_pool(x: Any, *, auto_pad: str = 'NOTSET', ceil_mode: int = 0, dilations: Ints | None = None,
            kernel_shape: Ints, p: int = 2, pads: Ints | None = None, strides: Ints | None = None) -> Any:
    def pool(image: Variable, kernel: Ints, stride: Ints, pad: Any, dilation: Any, ceil: int) -> Any:
        here = Window(kernel, stride, pad, dilation, bool(ceil)).on(image.shape[2:])
        channels = image.shape[1]
        ones = np.ones((channels, 1, *kernel), image.dtype)
        return F.conv2d(image, ones, None, stride, here.pad, dilation, channels)

    powers = F.pow(F.abs(x), p)
    return F.pow(pooled(powers, pool, auto_pad, ceil_mode, dilations, kernel_shape, pads, strides), 1 / p)


@operator('GlobalAveragePool')
def global_average_pool(x: Any) -> Any:
    x = as_variable(x)
    return F.global_average_pooling(x) if x.ndim == 4 else F.mean(x, tuple(range(2, x.ndim)), True)


@operator('GlobalMaxPool')
def global_max_pool(x: Any) -> Any:
    x = as_variable(x)
    return F.global_max_pooling(x) if x.ndim == 4 else F.max(x, tuple(range(2, x.ndim)), True)


@operator('GlobalLpPool')
def global_lp_pool(x: Any, *, p: int = 2) -> Any:
    x = as_variable(x)
    return F.pow(F.sum(F.pow(F.abs(x), p), tuple(range(2, x.ndim)), True), 1 / p)


@operator('LRN')
def lrn(x: Any, *, alpha: float = 0.0001, beta: float = 0.75, bias: float = 1.0, size: int) -> Any:
    """Local response normalisation: every channel is divided by the strength of its neighbours."""
    x = as_variable(x)
    C = x.shape[1]
    before, after = min((size - 1) // 2, C - 1), min(size // 2, C - 1)  # beyond all channels there is nothing
    squares = F.pad(F.square(x), [(0, 0), (before, after), *[(0, 0)] * (x.ndim - 2)])
    total = squares[:, :C]
    for place in range(1, before + 1 + after):
        total = total + squares[:, place:place + C]
    return F.div(x, F.pow(total * like(alpha / size, x) + bias, beta))


