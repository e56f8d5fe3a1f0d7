"""Convolution, and the two operations that its derivative is made of.

Conv2d, Deconv2d and Conv2dGradW close under differentiation: each is linear in both its inputs, so each one's backward
is made of the other two. That is all there is to double backpropagation.

    y  = conv(x, W)      gx  = deconv(gy, W)      gW = grad_W(x, gy)
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from nailorch import kernels
from nailorch.config import Config
from nailorch.core import Function, Variable, as_variable, own, watched
from nailorch.functions.activation import ACTIVATIONS, GATES, check_activation
from nailorch.functions.columns import col2im, im2col
from nailorch.functions.dense import matmul
from nailorch.functions.pools import MaxScatter, Unspread, pooling
from nailorch.functions.reduction import sum
from nailorch.functions.shape import reshape, transpose
from nailorch.messages import message
from nailorch.shapes import Array, Pair, Window, check_images, integer, pair, window_of

__all__ = ['ActivatedConv2d', 'Conv2DGradW', 'Conv2d', 'Conv2dGradW', 'Deconv2d', 'PooledConv2d', 'conv2d',
           'conv2d_simple', 'deconv2d', 'deconv2d_simple']


def conv2d(x: Any, W: Any, b: Any = None, stride: Pair = 1, pad: Any = 0, dilation: Pair = 1,
           groups: int = 1, activation: str = '', pool: Pair = 1, moments: bool = False) -> Variable:
    """Slide the filters W over the images x.

    This is cross-correlation, as in every framework: the filter is not flipped.

    Args:
        x: images, (N, C, H, W).
        W: filters, (OC, C // groups, KH, KW).
        b: bias, (OC,), or None.
        stride: pixels from one place to the next, an int or (vertical, horizontal).
        pad: pixels of zeros around the images: an int, (vertical, horizontal), ((top, bottom), (left, right)), 'valid'
            (none), or 'same' (as many as make OH = ceil(H / SH)).
        dilation: pixels from one cell of the filter to the next.
        groups: the channels are shared out among so many convolutions side by side; groups=C is depthwise.
        activation: 'relu' or 'relu6' follows in one go, which saves reading and writing the images once more each way.
        pool: max pooling by windows of so many pixels, side by side, follows too; 1 leaves the images as they are.
        moments: True where `batch_norm` follows: while training, each channel's mean and variance are taken on the way.
            Nothing may be written into the result before it.
    Returns:
        (N, OC, OH, OW) with OH = (H + top + bottom - KH) // SH + 1, OW likewise; of OH // pool, OW // pool pixels.
    Raises:
        ValueError: channels differ, an axis is missing, or the kernel exceeds the padded image.
    Example:
        >>> x = np.arange(1., 10).reshape(1, 1, 3, 3)
        >>> conv2d(x, [[[[0., 1.], [2., 3.]]]]).data[0, 0]
        array([[25., 31.],
               [43., 49.]])

    Source: Dumoulin & Visin, A guide to convolution arithmetic for deep learning, 2016, section 2.
    """
    check_activation('conv2d', activation)
    how, plain = (stride, pad, dilation, groups), pool == 1 or pair(pool, 'pool') == (1, 1)
    if watched() and not (plain and activation == ''):  # whoever watches sees what is done, one after the other
        y = ACTIVATIONS[activation](conv2d(x, W, b, *how))
        return y if plain else pooling(y, pool, pool)
    function = PooledConv2d(pool, activation, *how) if not plain else \
        ActivatedConv2d(activation, *how) if activation else Conv2d(*how)
    if moments and Config.train and not watched():
        function.summing = True
    y = function(x, W) if b is None else function(x, W, b)
    if function.moments is not None:
        y.moments = function.moments
    return y


class Conv2d(Function):
    saves: ClassVar[tuple[str, ...]] = 'x', 'W'

    summing = False  # are the result's moments wanted too?
    moments: tuple[Array, Array] | None = None

    def __init__(self, stride: Pair = 1, pad: Any = 0, dilation: Pair = 1, groups: int = 1) -> None:
        self.stride, self.pad, self.dilation, self.groups = stride, pad, dilation, groups

    def forward(self, x: Array, W: Array, b: Array | None = None) -> Array:
        self.window = self.window_on(x, W, b)
        if self.summing:
            y, mean, var = kernels.conv2d_moments(x, W, b, self.window, self.groups)
            self.moments = mean, var
            return y
        return kernels.conv2d(x, W, b, self.window, self.groups)

    def window_on(self, x: Array, W: Array, b: Array | None) -> Window:
        """Return the window on these images; raise ValueError unless all fit together."""
        check_images('conv2d', x)
        check_filters('conv2d', W)
        check_channels('conv2d', x, W, W.shape[1] * self.groups, self.groups)
        check_bias('conv2d', b, W.shape[0])
        return window_of(W.shape[2:], self.stride, self.pad, self.dilation).on(x.shape[2:])

    def backward(self, gy: Variable) -> Any:
        x, W = self.saved
        if not Config.enable_backprop:  # nobody will differentiate this again
            return self.grads(x, W, gy)
        return self.gradients(x, W, gy)

    def grads(self, x: Variable, W: Variable, gy: Variable, y: Array | None = None, activation: str = '',
              index: Array | None = None, pool: Window | None = None) -> Any:
        """Return the gradients by kernels; to the images', what has come from elsewhere is added in the same pass."""
        rest, sent = self.earlier(0), None
        if isinstance(gy, Unspread) and not gy.is_spread and index is None and (
                not activation or gy.pooled in self.made()):
            sent, y, index, pool = gy.gy, gy.y, gy.index, gy.window
        gs = kernels.conv2d_grads(x.data, W.data, gy.data if sent is None else sent, self.window, self.groups,
                                  self.wanted, y, activation, index, pool, None if rest is None else rest.data)
        return tuple(map(own, gs))

    def gradients(self, x: Variable, W: Variable, gy: Variable) -> Any:
        w, how = self.window, (self.window.stride, self.window.pad, self.window.dilation, self.groups)
        gx = Deconv2d(*how, outsize=x.shape[2:])(gy, W) if self.needs(0) else None
        gW = Conv2dGradW(w.kernel_size, *how)(x, gy) if self.needs(1) else None
        gb = sum(gy, axis=(0, 2, 3)) if self.needs(2) else None
        return gx, gW, gb


class ActivatedConv2d(Conv2d):
    """A convolution, and an activation, whose result tells where the gradient passes."""

    saves = 'x', 'W', 'y'

    def __init__(self, activation: str, stride: Pair = 1, pad: Any = 0, dilation: Pair = 1, groups: int = 1) -> None:
        super().__init__(stride, pad, dilation, groups)
        self.activation = activation

    def forward(self, x: Array, W: Array, b: Array | None = None) -> Array:
        self.window = self.window_on(x, W, b)
        return kernels.fused_conv2d(x, W, b, self.window, self.groups, self.activation)

    def backward(self, gy: Variable) -> Any:
        x, W, y = self.saved
        if not Config.enable_backprop:
            return self.grads(x, W, gy, y.data, self.activation)
        return self.gradients(x, W, GATES[self.activation]()(y.data, gy))


HALVES = Window(2, 2)


class PooledConv2d(Conv2d):
    """A convolution, perhaps an activation, and max pooling: of three results, only the small last one is kept.

    For the maximum's gate is that of the pixel it was.
    """

    saves = 'x', 'W', 'y', 'index'

    def __init__(self, pool: Pair, activation: str = '', stride: Pair = 1, pad: Any = 0, dilation: Pair = 1,
                 groups: int = 1) -> None:
        super().__init__(stride, pad, dilation, groups)
        self.activation, self.pool = activation, pool

    def forward(self, x: Array, W: Array, b: Array | None = None) -> Array:
        self.window = self.window_on(x, W, b)
        self.squares, self.size = window_of(self.pool, self.pool), self.window.outsize(x.shape[2:])
        self.squares.outsize(self.size)  # raises where they do not fit
        if not Config.enable_backprop and self.squares == HALVES:  # nobody will ask where the maxima stood
            return kernels.fused_conv2d(x, W, b, self.window, self.groups, self.activation, pooled=True)
        y, self.index = kernels.pooled_conv2d(x, W, b, self.window, self.groups, self.activation, self.squares)
        return y

    def backward(self, gy: Variable) -> Any:
        x, W, y, index = self.saved
        if not Config.enable_backprop:
            return self.grads(x, W, gy, y.data, self.activation, index, self.squares)
        gy = GATES[self.activation]()(y.data, gy) if self.activation else gy
        return self.gradients(x, W, MaxScatter(self.size, self.squares)(gy, index))


def deconv2d(x: Any, W: Any, b: Any = None, stride: Pair = 1, pad: Any = 0, outsize: Pair | None = None,
             dilation: Pair = 1, groups: int = 1, output_padding: Pair = 0) -> Variable:
    """Spread every pixel of x over the window that a convolution would have seen: the transpose of conv2d.

    Args:
        x: images, (N, C, H, W).
        W: filters, (C, OC // groups, KH, KW): those of the convolution that goes the other way.
        b: bias, (OC,), or None.
        stride, pad, dilation, groups: those of that convolution.
        outsize: (OH, OW), where the stride leaves a choice; by default the smallest.
        output_padding: pixels more than the smallest, less than the stride; another way to say `outsize`.
    Returns:
        (N, OC, OH, OW) with OH = SH * (H - 1) + KH - top - bottom + output_padding, OW likewise.
    Raises:
        ValueError: channels differ, or `outsize` is none that such a convolution turns into x's size.
    Example:
        >>> deconv2d(np.ones((1, 1, 2, 2)), np.ones((1, 1, 2, 2)), stride=2).shape
        (1, 1, 4, 4)

    Source: Dumoulin & Visin 2016, section 4.
    """
    function = Deconv2d(stride, pad, dilation, groups, outsize, output_padding)
    return function(x, W) if b is None else function(x, W, b)


class Deconv2d(Function):
    saves = 'x', 'W'

    def __init__(self, stride: Pair = 1, pad: Any = 0, dilation: Pair = 1, groups: int = 1, outsize: Pair | None = None,
                 output_padding: Pair = 0) -> None:
        self.stride, self.pad, self.dilation, self.groups = stride, pad, dilation, groups
        self.outsize, self.output_padding = outsize, output_padding

    def forward(self, x: Array, W: Array, b: Array | None = None) -> Array:
        check_images('deconv2d', x)
        check_filters('deconv2d', W)
        check_channels('deconv2d', x, W, W.shape[0], self.groups)
        check_bias('deconv2d', b, W.shape[1] * self.groups)
        window = window_of(W.shape[2:], self.stride, self.pad, self.dilation)
        size = window.insize(x.shape[2:], self.outsize)
        extra = pair(self.output_padding, 'output_padding')
        if any(extra):
            if self.outsize is not None:
                raise ValueError('deconv2d: outsize and output_padding say the same; give one of them')
            size = window.insize(x.shape[2:], (size[0] + extra[0], size[1] + extra[1]))
        self.window = window.on(size)
        y = kernels.conv2d_data_grad(x, W, size, self.window, self.groups)
        return y if b is None else y + b.reshape(-1, 1, 1)

    def backward(self, gy: Variable) -> Any:
        x, W = self.saved
        w, how = self.window, (self.window.stride, self.window.pad, self.window.dilation, self.groups)
        gx = Conv2d(*how)(gy, W) if self.needs(0) else None
        gW = Conv2dGradW(w.kernel_size, *how)(gy, x) if self.needs(1) else None
        gb = sum(gy, axis=(0, 2, 3)) if self.needs(2) else None
        return gx, gW, gb


class Conv2dGradW(Function):
    """The gradient of conv2d's W, (OC, C // groups, KH, KW), from its x and the gradient gy of its result."""

    saves = 'x', 'gy'

    def __init__(self, kernel_size: Pair, stride: Pair = 1, pad: Any = 0, dilation: Pair = 1, groups: int = 1) -> None:
        self.kernel_size, self.stride, self.pad = kernel_size, stride, pad
        self.dilation, self.groups = dilation, groups

    def forward(self, x: Array, gy: Array) -> Array:
        self.window = window_of(self.kernel_size, self.stride, self.pad, self.dilation).on(x.shape[2:])
        return kernels.conv2d_weight_grad(x, gy, self.window, self.groups)

    def backward(self, ggW: Variable) -> Any:
        x, gy = self.saved
        how = self.window.stride, self.window.pad, self.window.dilation, self.groups
        gx = Deconv2d(*how, outsize=x.shape[2:])(gy, ggW) if self.needs(0) else None
        ggy = Conv2d(*how)(x, ggW) if self.needs(1) else None
        return gx, ggy


Conv2DGradW = Conv2dGradW


def conv2d_simple(x: Any, W: Any, b: Any = None, stride: Pair = 1, pad: Any = 0) -> Variable:
    """Convolve as the textbook does: unfold (im2col), one matrix product, reshape. The readable twin of conv2d.

    Args:
        x, W, b, stride, pad: as conv2d takes them.
    Returns:
        (N, OC, OH, OW).
    """
    x, W = as_variable(x), as_variable(W)
    check_images('conv2d_simple', x.data)
    check_filters('conv2d_simple', W.data)
    check_channels('conv2d_simple', x.data, W.data, W.shape[1], 1)
    check_bias('conv2d_simple', b, W.shape[0])
    N, OC = x.shape[0], W.shape[0]
    OH, OW = Window(W.shape[2:], stride, pad).outsize(x.shape[2:])

    rows = im2col(x, W.shape[2:], stride, pad)  # (N*OH*OW, C*KH*KW): a window a row
    y = matmul(rows, transpose(reshape(W, (OC, -1))))  # a filter a column
    y = y if b is None else y + b
    return transpose(reshape(y, (N, OH, OW, OC)), (0, 3, 1, 2))


def deconv2d_simple(x: Any, W: Any, b: Any = None, stride: Pair = 1, pad: Any = 0,
                    outsize: Pair | None = None) -> Variable:
    """Deconvolve in three steps: one matrix product, reshape, fold (col2im). The readable twin of deconv2d."""
    x, W = as_variable(x), as_variable(W)
    check_images('deconv2d_simple', x.data)
    check_filters('deconv2d_simple', W.data)
    check_channels('deconv2d_simple', x.data, W.data, W.shape[0], 1)
    check_bias('deconv2d_simple', b, W.shape[1])
    (N, C, H, W_), OC = x.shape, W.shape[1]
    size = Window(W.shape[2:], stride, pad).insize((H, W_), outsize)

    pixels = reshape(transpose(x, (0, 2, 3, 1)), (-1, C))  # (N*H*W, C): a pixel a row
    rows = matmul(pixels, reshape(W, (C, -1)))  # (N*H*W, OC*KH*KW): the window it spreads over
    y = col2im(rows, (N, OC, *size), W.shape[2:], stride, pad)
    return y if b is None else y + reshape(b, (-1, 1, 1))


# what is said when x and W do not fit together


def check_filters(op: str, W: Array) -> None:
    """Raise ValueError unless W is (OC, C, KH, KW)."""
    if W.ndim != 4:
        raise ValueError(message('axes.filters', op=op, ndim=W.ndim, shape=W.shape))


def check_channels(op: str, x: Array, W: Array, expected: int, groups: int) -> None:
    """Raise ValueError unless x has the channels that W expects, and the groups share them out evenly."""
    channels = x.shape[1]
    if not integer(groups) or groups < 1 or W.shape[0] % groups or channels % groups:
        name, size = ('OC', W.shape[0]) if groups >= 1 and W.shape[0] % groups else ('C', channels)
        raise ValueError(message('conv.groups', op=op, name=name, channels=size, groups=groups))
    if channels != expected:
        last = x.shape[-1] == expected
        remedy = message('conv.layout', expected=expected) if last else ''
        raise ValueError(message('conv.channels', op=op, channels=channels, expected=expected, x=x.shape, W=W.shape,
                                 remedy=remedy))


def check_bias(op: str, b: Any, channels: int) -> None:
    """Raise ValueError unless b has one number for each output channel."""
    if b is not None and np.shape(b) != (channels,):
        raise ValueError(message('conv.bias', op=op, b=np.shape(b), channels=channels))
