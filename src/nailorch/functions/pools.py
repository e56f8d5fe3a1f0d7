"""Pooling: every window shrinks to its maximum or its average.

Max pooling and its derivative are a gather and a scatter by one table of indices: each is the other's derivative, so
pooling differentiates to any order. Average pooling is linear and needs no table at all.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nailorch import kernels
from nailorch.config import Config
from nailorch.core import Function, Node, Variable, as_variable, own, watched
from nailorch.functions.columns import im2col
from nailorch.functions.dense import matmul
from nailorch.functions.indexing import get_item
from nailorch.functions.reduction import max, mean
from nailorch.functions.shape import pad as pad_with
from nailorch.functions.shape import reshape, transpose
from nailorch.kernels.reference import lowest
from nailorch.messages import message
from nailorch.shapes import Array, Pair, Window, at_least, check_images, pair, window_of

__all__ = ['AveragePooling', 'AveragePoolingGrad', 'MaxGather', 'MaxScatter', 'Pooling', 'Unspread',
           'adaptive_average_pooling', 'adaptive_max_pooling', 'average_pooling', 'global_average_pooling',
           'global_max_pooling', 'max_pooling', 'pooling', 'pooling_simple']

FEW = 64  # pixels that one window takes as fast as two, a row's and a column's


def pooling(x: Any, kernel_size: Pair, stride: Pair = 1, pad: Any = 0, dilation: Pair = 1,
            ceil_mode: bool = False) -> Variable:
    """Take the maximum of every window.

    Args:
        x: images, (N, C, H, W).
        kernel_size: the window, an int or (KH, KW).
        stride: pixels from one window to the next, 1 by default; most networks use the window's own size.
        pad: as conv2d takes it; padding never wins a maximum.
        dilation: pixels from one cell of the window to the next.
        ceil_mode: let a last window hang over the edge, if it begins inside.
    Returns:
        (N, C, OH, OW). Of equal pixels the first in the window, row by row, is the maximum: it gets the gradient.
    Raises:
        ValueError: an axis is missing, the window exceeds the padded image, or would see nothing but padding.
    Example:
        >>> x = [[1., 2, 3, 4], [5, 6, 7, 8], [9, 1, 2, 3], [4, 5, 6, 7]]
        >>> pooling(np.array(x).reshape(1, 1, 4, 4), 2, 2).data[0, 0]
        array([[6., 8.],
               [9., 7.]])

    Source: Jarrett et al., What is the best multi-stage architecture for object recognition?, 2009.
    """
    return Pooling(kernel_size, stride, pad, dilation, ceil_mode)(x)


max_pooling = pooling


class Pooling(Function):
    saves = 'y', 'index'

    def __init__(self, kernel_size: Pair, stride: Pair = 1, pad: Any = 0, dilation: Pair = 1,
                 ceil_mode: bool = False) -> None:
        self.kernel_size, self.stride, self.pad = kernel_size, stride, pad
        self.dilation, self.ceil_mode = dilation, ceil_mode

    def forward(self, x: Array) -> Array:
        check_images('pooling', x)
        window = window_of(self.kernel_size, self.stride, self.pad, self.dilation, self.ceil_mode)
        check_pad(window, x.shape[2:])
        self.window, self.size = window.on(x.shape[2:]), x.shape[2:]
        y, self.index = kernels.max_pool(x, self.window)
        return y

    def backward(self, gy: Variable) -> Any:
        y, index = self.saved
        if not Config.enable_backprop:  # nobody will differentiate this again
            gx = Unspread(self.nodes[0], y.data, gy.data, index, self.size, self.window)
            return gx if index.dtype == np.uint8 else own(gx.data)
        return MaxScatter(self.size, self.window)(gy, index)


class Unspread(Variable):
    """What max pooling sends back, before it is spread over the pixels: that is done when somebody asks for its data.

    A convolution asks for less: what its activation lets pass, the few maxima tell as well as all pixels do. But only
    the maxima of its own result: an addition between hands this on as it is, and a sum's sign is not its summand's.

    Attributes:
        pooled: the place of what was pooled.
        y, gy, index: the maxima, their gradient, and where they stood.
    """

    def __init__(self, pooled: Node, y: Array, gy: Array, index: Array, pixels: Sequence[int], window: Window) -> None:
        self.pooled, self.y, self.gy, self.index, self.pixels, self.window = pooled, y, gy, index, pixels, window
        self.name, self.node, self.owned = None, Node(False), True

    @property
    def is_spread(self) -> bool:
        """Whether somebody has asked for the data, or replaced it: from then on that is what counts."""
        return '_array' in vars(self)

    @functools.cached_property
    def _array(self) -> Array:
        return kernels.max_pool_scatter(self.gy, self.index, self.pixels, self.window)

    @property
    def shape(self) -> tuple[int, ...]:
        return *self.gy.shape[:2], *self.pixels

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.gy.dtype


class MaxScatter(Function):
    """Add every gy into the pixel that won its window: max pooling's derivative."""

    saves = 'index',

    def __init__(self, size: Sequence[int], window: Window) -> None:
        self.size, self.window = size, window

    def forward(self, gy: Array, index: Array) -> Array:
        return kernels.max_pool_scatter(gy, index, self.size, self.window)

    def backward(self, ggx: Variable) -> Any:
        index, = self.saved
        return MaxGather(self.size, self.window)(ggx, index)


class MaxGather(Function):
    """Take from every window the pixel that won it: the scatter's derivative."""

    saves = 'index',

    def __init__(self, size: Sequence[int], window: Window) -> None:
        self.size, self.window = size, window

    def forward(self, x: Array, index: Array) -> Array:
        return kernels.max_pool_gather(x, index, self.window)

    def backward(self, gy: Variable) -> Any:
        index, = self.saved
        return MaxScatter(self.size, self.window)(gy, index)


def pooling_simple(x: Any, kernel_size: Pair, stride: Pair = 1, pad: Any = 0) -> Variable:
    """Pool as the textbook does: pad with -inf, unfold (im2col), take each row's maximum, reshape.

    Args:
        x, kernel_size, stride, pad: as pooling takes them.
    Returns:
        (N, C, OH, OW), equal to pooling's result, ties and gradients included.
    """
    x = as_variable(x)
    check_images('pooling_simple', x.data)
    N, C, H, W = x.shape
    window = Window(kernel_size, stride, pad)
    check_pad(window, (H, W))
    OH, OW = window.outsize((H, W))
    KH, KW = window.kernel_size

    around = pad_with(x, ((0, 0), (0, 0), *window.pads((H, W))), lowest(x.dtype))  # -inf
    rows = im2col(around, (KH, KW), stride)  # (N*OH*OW, C*KH*KW): all channels of a window in a row
    y = max(reshape(rows, (-1, KH * KW)), axis=1)  # one channel of a window a row
    return transpose(reshape(y, (N, OH, OW, C)), (0, 3, 1, 2))


def average_pooling(x: Any, kernel_size: Pair, stride: Pair = 1, pad: Any = 0, ceil_mode: bool = False,
                    count_include_pad: bool = True, dilation: Pair = 1) -> Variable:
    """Take the average of every window.

    Args:
        x, kernel_size, stride, pad, ceil_mode, dilation: as pooling takes them.
        count_include_pad: divide by the window's cells, its padding among them; False divides by its pixels alone. What
            hangs over by `ceil_mode` is never counted.
    Returns:
        (N, C, OH, OW).
    Example:
        >>> average_pooling([[[[1., 5.], [3., 4.]]]], 2)
        variable([[[[3.25]]]])
    """
    return AveragePooling(kernel_size, stride, pad, ceil_mode, count_include_pad, dilation)(x)


class AveragePooling(Function):
    saves = ()

    def __init__(self, kernel_size: Pair, stride: Pair = 1, pad: Any = 0, ceil_mode: bool = False,
                 count_include_pad: bool = True, dilation: Pair = 1) -> None:
        self.kernel_size, self.stride, self.pad, self.dilation = kernel_size, stride, pad, dilation
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, x: Array) -> Array:
        check_images('average_pooling', x)
        window = window_of(self.kernel_size, self.stride, self.pad, self.dilation, self.ceil_mode)
        check_pad(window, x.shape[2:])
        self.window, self.size = window, x.shape[2:]
        return kernels.average_pool(x, window.on(self.size), counts(window, self.size, self.count_include_pad))

    def backward(self, gy: Variable) -> Any:
        return AveragePoolingGrad(self.size, self.window, self.count_include_pad)(gy)


class AveragePoolingGrad(Function):
    """Share every gy out among its window's pixels: average pooling's derivative."""

    saves = ()

    def __init__(self, size: Sequence[int], window: Window, count_include_pad: bool) -> None:
        self.size, self.window, self.count_include_pad = size, window, count_include_pad

    def forward(self, gy: Array) -> Array:
        count = counts(self.window, tuple(self.size), self.count_include_pad)
        return kernels.average_pool_grad(gy, self.size, self.window.on(self.size), count)

    def backward(self, ggx: Variable) -> Any:
        w = self.window
        return average_pooling(ggx, w.kernel_size, w.stride, w.pad, w.ceil_mode, self.count_include_pad, w.dilation)


def global_average_pooling(x: Any) -> Variable:
    """Return each channel's average, (N, C, 1, 1).

    Source: Lin, Chen & Yan, Network in network, 2014.
    """
    return over_all_pixels('global_average_pooling', average_pooling, mean, x)


def global_max_pooling(x: Any) -> Variable:
    """Return each channel's maximum, (N, C, 1, 1)."""
    return over_all_pixels('global_max_pooling', pooling, max, x)


def over_all_pixels(op: str, pool: Callable[..., Variable], reduce: Callable[..., Variable], x: Any) -> Variable:
    """Return what each channel's pixels are reduced to: those of every row, then the column of their results.

    For the kernels number a window's cells by bytes, and a long sum in float32 would not be exact.
    """
    x = as_variable(x)
    check_images(op, x.data)
    H, W = x.shape[2:]
    if watched() or H * W == 0:  # whoever watches sees what is computed, not how
        return reduce(x, axis=(2, 3), keepdims=True)
    return pool(x, (H, W)) if H * W <= FEW else pool(pool(x, (1, W)), (H, 1))


def adaptive_average_pooling(x: Any, outsize: Pair) -> Variable:
    """Average the images down to `outsize`; place i covers pixels floor(i * H / OH) to ceil((i + 1) * H / OH).

    An average over a rectangle is one over its rows, then over its columns: two matrix products.

    Args:
        x: images, (N, C, H, W).
        outsize: (OH, OW), or one int for both.
    Returns:
        (N, C, OH, OW).
    Example:
        >>> adaptive_average_pooling(np.arange(6.).reshape(1, 1, 2, 3), (1, 2))
        variable([[[[2. 3.]]]])
    """
    x = as_variable(x)
    check_images('adaptive_average_pooling', x.data)
    OH, OW = pair(outsize, 'outsize')
    down, across = shares(x.shape[2], OH, x.dtype), shares(x.shape[3], OW, x.dtype)
    return matmul(matmul(down, x), across.T)


def adaptive_max_pooling(x: Any, outsize: Pair) -> Variable:
    """Take maxima down to `outsize`, over the same windows as adaptive_average_pooling: (N, C, OH, OW)."""
    x = as_variable(x)
    check_images('adaptive_max_pooling', x.data)
    OH, OW = pair(outsize, 'outsize')
    rows, columns = spans(x.shape[2], OH), spans(x.shape[3], OW)
    windows = get_item(x, (slice(None), slice(None), rows[:, None, :, None], columns[None, :, None, :]))
    return max(windows, axis=(4, 5))


def spans(size: int, places: int) -> Array:
    """Return, (places, K), the pixels that each of `places` covers; shorter spans repeat their last pixel."""
    at_least(1, places, 'outsize')
    start = np.arange(places) * size // places
    end = -(-np.arange(1, places + 1) * size // places)
    return np.minimum(start[:, None] + np.arange((end - start).max()), end[:, None] - 1)


def shares(size: int, places: int, dtype: Any) -> Array:
    """Return the matrix, (places, size), that averages every span."""
    matrix = np.zeros((places, size), dtype)
    np.put_along_axis(matrix, spans(size, places), 1, axis=1)
    return matrix / matrix.sum(axis=1, keepdims=True)


@functools.lru_cache(1024)
def check_pad(window: Window, size: tuple[int, ...]) -> None:
    """Raise ValueError if a window sees nothing but padding."""
    for n, kernel, stride, pad, dilation, places in zip(size, window.kernel_size, window.stride, window.pads(size),
                                                        window.dilation, window.outsize(size), strict=True):
        cells = np.arange(places)[:, None] * stride - pad[0] + np.arange(kernel) * dilation
        if not ((cells >= 0) & (cells < n)).any(axis=1).all():
            raise ValueError(message('pool.pad', size=n, pad=pad, kernel=dilation * (kernel - 1) + 1))


@functools.lru_cache(256)
def counts(window: Window, size: tuple[int, ...], include_pad: bool) -> Array:
    """Return, (OH, OW), by how many cells each window's sum is divided."""
    along = []
    for n, k, s, d, places, (before, after) in zip(size, window.kernel_size, window.stride, window.dilation,
                                                   window.outsize(size), window.pads(size), strict=True):
        cells = np.arange(places)[:, None] * s - before + np.arange(k) * d
        low, high = (-before, n + after) if include_pad else (0, n)
        along.append(((cells >= low) & (cells < high)).sum(axis=1))
    count = np.outer(*along)
    count.flags.writeable = False  # every call gets the same
    return count
