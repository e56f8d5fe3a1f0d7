"""Pooling as layers: images become smaller, nothing is learned."""

from __future__ import annotations

from typing import Any

import nailorch.functions as F
from nailorch.core import Variable
from nailorch.layers.base import Layer
from nailorch.shapes import Pair

__all__ = ['AdaptiveAveragePool2d', 'AdaptiveMaxPool2d', 'AveragePool2d', 'GlobalAveragePool2d', 'GlobalMaxPool2d',
           'MaxPool2d']


class MaxPool2d(Layer):
    """F.pooling: the maximum of every window.

    Args:
        kernel_size, pad, dilation, ceil_mode: as F.pooling takes them.
        stride: None: the window's own size, so that windows touch without overlapping.
    Example:
        >>> MaxPool2d(2)(np.ones((1, 1, 6, 8))).shape
        (1, 1, 3, 4)
    """

    def __init__(self, kernel_size: Pair, stride: Pair | None = None, pad: Any = 0, dilation: Pair = 1,
                 ceil_mode: bool = False) -> None:
        self.kernel_size, self.stride, self.pad = kernel_size, stride, pad
        self.dilation, self.ceil_mode = dilation, ceil_mode

    def forward(self, x: Any) -> Variable:
        stride = self.kernel_size if self.stride is None else self.stride
        return F.pooling(x, self.kernel_size, stride, self.pad, self.dilation, self.ceil_mode)


class AveragePool2d(Layer):
    """F.average_pooling: the average of every window.

    Args:
        kernel_size, pad, ceil_mode, count_include_pad: as F.average_pooling takes them.
        stride: None: the window's own size, so that windows touch without overlapping.
    """

    def __init__(self, kernel_size: Pair, stride: Pair | None = None, pad: Any = 0, ceil_mode: bool = False,
                 count_include_pad: bool = True) -> None:
        self.kernel_size, self.stride, self.pad = kernel_size, stride, pad
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, x: Any) -> Variable:
        stride = self.kernel_size if self.stride is None else self.stride
        return F.average_pooling(x, self.kernel_size, stride, self.pad, self.ceil_mode, self.count_include_pad)


class GlobalAveragePool2d(Layer):
    """F.global_average_pooling: each channel's average, (N, C, 1, 1)."""

    def forward(self, x: Any) -> Variable:
        return F.global_average_pooling(x)


class GlobalMaxPool2d(Layer):
    """F.global_max_pooling: each channel's maximum, (N, C, 1, 1)."""

    def forward(self, x: Any) -> Variable:
        return F.global_max_pooling(x)


class AdaptiveAveragePool2d(Layer):
    """F.adaptive_average_pooling: averages, (N, C, *outsize), of images of any size."""

    def __init__(self, outsize: Pair) -> None:
        self.outsize = outsize

    def forward(self, x: Any) -> Variable:
        return F.adaptive_average_pooling(x, self.outsize)


class AdaptiveMaxPool2d(Layer):
    """F.adaptive_max_pooling: maxima, (N, C, *outsize), of images of any size."""

    def __init__(self, outsize: Pair) -> None:
        self.outsize = outsize

    def forward(self, x: Any) -> Variable:
        return F.adaptive_max_pooling(x, self.outsize)
