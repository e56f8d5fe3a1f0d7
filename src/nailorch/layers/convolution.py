"""Layers that slide one small set of weights over the whole image."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import nailorch.functions as F
from nailorch.core import Parameter, Variable, as_variable
from nailorch.functions.activation import check_activation
from nailorch.layers.base import Layer, check_nobias, float_dtype, unknown, warn_if_double
from nailorch.layers.initializers import Init, initial
from nailorch.messages import message
from nailorch.shapes import Array, Pair, Window, at_least, check_images, pair

__all__ = ['Conv2d', 'Deconv2d']


class Filters(Layer):
    """What Conv2d and Deconv2d share: filters W that are drawn once the images' channels are known, and a bias."""

    op: ClassVar[str]
    torch_names: ClassVar = {'W': 'weight', 'b': 'bias'}
    keras_names: ClassVar = {'W': 'kernel', 'b': 'bias'}

    def __init__(self, out_channels: int, kernel_size: Pair, stride: Pair = 1, pad: Any = 0, nobias: bool = False,
                 dtype: Any = None, in_channels: int | None = None, dilation: Pair = 1, groups: int = 1,
                 W_init: Init = None, b_init: Init = 0) -> None:
        at_least(1, out_channels, 'out_channels')
        check_nobias(self, nobias, f'{type(self).__name__}(16, kernel_size=3, in_channels=3)')
        Window(kernel_size, stride, pad, dilation)  # a size that fits no image is best heard of here
        self.out_channels, self.kernel_size, self.stride, self.pad = out_channels, kernel_size, stride, pad
        self.nobias, self.in_channels, self.dilation, self.groups = nobias, in_channels, dilation, groups
        self.dtype, self.W_init = float_dtype(dtype), W_init
        check_groups(self.op, 'OC', out_channels, groups)
        self.W = Parameter(None, 'W', self.W_shape(in_channels))
        self.b = None if nobias else Parameter(initial(b_init, (out_channels,), 1, out_channels, self.dtype), 'b')
        if in_channels is not None:
            self.fill(in_channels)

    def W_shape(self, in_channels: Any) -> tuple[Any, ...]:
        """Return W's shape for images of so many channels, or of None: not yet known."""
        raise NotImplementedError

    def fill(self, in_channels: int) -> None:
        """Draw W, now that its size is known."""
        at_least(1, in_channels, 'in_channels')
        check_groups(self.op, 'C', in_channels, self.groups)
        self.in_channels = in_channels
        KH, KW = pair(self.kernel_size)
        fan_in, fan_out = (channels // self.groups * KH * KW for channels in (in_channels, self.out_channels))
        self.W.data = initial(self.W_init, self.W_shape(in_channels), fan_in, fan_out, self.dtype)

    @property
    def depthwise(self) -> bool:
        """Does each filter look at one channel alone?"""
        return self.groups > 1 and self.groups == self.out_channels

    @property
    def keras_kind(self) -> str:
        return 'depthwise_conv2d' if self.depthwise else {'conv2d': 'conv2d', 'deconv2d': 'conv2d_transpose'}[self.op]

    def keras_array(self, name: str) -> str:
        return 'depthwise_kernel' if name == 'W' and self.depthwise else super().keras_array(name)

    def keras_layout(self, name: str, array: Array) -> Array:
        """Keras's W is (KH, KW, C, OC), transposed (KH, KW, OC, C), depthwise (KH, KW, C, 1)."""
        if name != 'W' or array.ndim != 4:
            return array
        return array.transpose(2, 3, 0, 1) if self.depthwise else array.transpose(3, 2, 0, 1)

    def meet(self, x: Any) -> Variable:
        """Return the images as a Variable; the first ones tell the number of channels."""
        x = as_variable(x)
        check_images(self.op, x.data)
        if unknown(self.W):
            self.check_order(x.shape[1])
            self.check_last(x.shape)
            self.fill(x.shape[1])
        return x

    def check_order(self, channels: int) -> None:
        """Warn of numbers in PyTorch's order, (in, out, kernel): as many filters as channels, large, of even size."""
        size, stride = self.kernel_size, self.stride
        if (isinstance(size, int) and isinstance(stride, int) and self.out_channels == channels and self.groups == 1
                and size >= 6 and size % 2 == 0 and stride >= 3 and stride % 2 == 1):
            warnings.warn(message('conv.order', kind=type(self).__name__, out_channels=channels, kernel_size=size,
                                  stride=stride), stacklevel=5)


    def check_last(self, shape: tuple[int, ...]) -> None:
        """Warn of images that look like (N, H, W, C): large, and one or three columns wide."""
        _, C, H, W = shape
        if min(C, H) >= 8 and (W == 3 or (W == 1 and C == H)):
            warnings.warn(message('conv.last', kind=type(self).__name__, shape=shape, channels=C, width=W),
                          stacklevel=5)


class Conv2d(Filters):
    """Slide learned filters over images.

    Args:
        out_channels: filters, OC.
        kernel_size, stride, pad, dilation, groups: as F.conv2d takes them.
        nobias: True for no bias, as before a batch norm, which would take it away again.
        dtype: of the parameters; None: `Config.dtype`.
        in_channels: C; None: what the first call brings.
        W_init, b_init: an initializer, a number or an array; for W None: LeCunNormal().
        activation: 'relu' or 'relu6', which then follows in one go; '' for none.
        pool: max pooling by windows of so many pixels, which then follows too; 1 for none.
        moments: True where a batch norm follows, which then has less to do: see F.conv2d.
    Attributes:
        W: (OC, C // groups, KH, KW).
        b: (OC,), or None.
    Raises:
        ValueError: sizes that fit no image, at once; or when called: images with other channels, or too small.
    Example:
        >>> Conv2d(16, kernel_size=3, pad=1)(np.ones((2, 3, 8, 8), 'float32')).shape
        (2, 16, 8, 8)
    """

    op = 'conv2d'

    def __init__(self, out_channels: int, kernel_size: Pair, stride: Pair = 1, pad: Any = 0, nobias: bool = False,
                 dtype: Any = None, in_channels: int | None = None, dilation: Pair = 1, groups: int = 1,
                 W_init: Init = None, b_init: Init = 0, activation: str = '', pool: Pair = 1,
                 moments: bool = False) -> None:
        check_activation('Conv2d', activation)
        at_least(1, min(pair(pool, 'pool')), 'pool')
        self.activation, self.pool, self.moments = activation, pool, moments
        super().__init__(out_channels, kernel_size, stride, pad, nobias, dtype, in_channels, dilation, groups, W_init,
                         b_init)

    def W_shape(self, in_channels: Any) -> tuple[Any, ...]:
        C = None if in_channels is None else in_channels // self.groups
        return self.out_channels, C, *pair(self.kernel_size)

    def forward(self, x: Any) -> Variable:
        x = self.meet(x)
        warn_if_double(self, x, self.W)
        return F.conv2d(x, self.W, self.b, self.stride, self.pad, self.dilation, self.groups, self.activation,
                        self.pool, self.moments and not self._hooks)  # a hook may write into the result


class Deconv2d(Filters):
    """Spread every pixel over a learned window: the transpose of Conv2d, which makes images larger.

    Args:
        out_channels: OC.
        kernel_size, stride, pad, dilation, groups, outsize, output_padding: as F.deconv2d takes them.
        nobias, dtype, in_channels, W_init, b_init: as Conv2d takes them.
    Attributes:
        W: (C, OC // groups, KH, KW).
        b: (OC,), or None.
    Raises:
        ValueError: as Conv2d; or `outsize` is none that such a convolution turns into the images' size.
    Example:
        >>> Deconv2d(3, kernel_size=4, stride=2, pad=1)(np.ones((2, 16, 8, 8), 'float32')).shape
        (2, 3, 16, 16)
    """

    op = 'deconv2d'

    def __init__(self, out_channels: int, kernel_size: Pair, stride: Pair = 1, pad: Any = 0, nobias: bool = False,
                 dtype: Any = None, in_channels: int | None = None, dilation: Pair = 1, groups: int = 1,
                 outsize: Pair | None = None, output_padding: Pair = 0, W_init: Init = None,
                 b_init: Init = 0) -> None:
        self.outsize, self.output_padding = outsize, output_padding
        super().__init__(out_channels, kernel_size, stride, pad, nobias, dtype, in_channels, dilation, groups, W_init,
                         b_init)

    def W_shape(self, in_channels: Any) -> tuple[Any, ...]:
        return in_channels, self.out_channels // self.groups, *pair(self.kernel_size)

    def forward(self, x: Any) -> Variable:
        x = self.meet(x)
        warn_if_double(self, x, self.W)
        return F.deconv2d(x, self.W, self.b, self.stride, self.pad, self.outsize, self.dilation, self.groups,
                          self.output_padding)


def check_groups(op: str, name: str, channels: int, groups: int) -> None:
    """Raise ValueError unless the groups share the channels out evenly."""
    at_least(1, groups, 'groups')
    if channels % groups:
        raise ValueError(message('conv.groups', op=op, name=name, channels=channels, groups=groups))
