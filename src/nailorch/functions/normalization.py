"""Normalisation: numbers are moved to mean 0 and variance 1, then to where the network wants them (gamma, beta)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from nailorch import kernels
from nailorch.config import Config
from nailorch.core import Function, Variable, as_array, as_variable, own, watched
from nailorch.functions.activation import ACTIVATIONS, GATES, check_activation
from nailorch.functions.arithmetic import astype, sqrt
from nailorch.functions.reduction import mean as average
from nailorch.functions.reduction import sum
from nailorch.functions.shape import reshape
from nailorch.kernels.reference import float_type
from nailorch.messages import message
from nailorch.shapes import Array, at_least

__all__ = ['BatchNorm', 'FixedBatchNorm', 'batch_norm', 'group_norm', 'layer_norm']


def batch_norm(x: Any, gamma: Any, beta: Any, mean: Any, var: Any, decay: float = 0.9, eps: float = 2e-5,
               activation: str = '', added: Any = None) -> Variable:
    """Normalise every channel over the batch, and remember the averages for when there is no batch.

    While training, a channel is normalised by its own mean and (biased) variance, and the running averages follow, in
    place: mean = decay * mean + (1 - decay) * the batch's, and var likewise with the unbiased variance. In test mode
    (`Config.train` is False) they are what x is normalised by.

    Args:
        x: (N, C), or images (N, C, H, W).
        gamma, beta: scale and shift, (C,).
        mean, var: the running averages, (C,): arrays, or Variables such as a layer's Buffers.
        decay: how much of the running averages stays; 1 - PyTorch's momentum.
        eps: added to the variance, so that a constant channel can be divided by.
        activation: 'relu' or 'relu6' follows, at no cost: a third less memory is read and written in training.
        added: of x's shape; it is added before the activation. So ends a residual block, in one go as well.
    Returns:
        activation((x - mean) / sqrt(var + eps) * gamma + beta + added), of x's shape.
    Raises:
        ValueError: sizes differ from x's channels, or training on one value a channel, which has no variance.
    Example:
        >>> mean, var = np.zeros(1), np.ones(1)
        >>> batch_norm(np.array([[1.], [3.]]), np.ones(1), np.zeros(1), mean, var, eps=0)
        variable([[-1.]
                  [ 1.]])
        >>> mean, var
        (array([0.2]), array([1.1]))

    Source: Ioffe & Szegedy, Batch normalization, 2015.
    """
    x, running_mean, running_var = as_variable(x), as_array(mean), as_array(var)
    if x.ndim < 2:
        raise ValueError(message('norm.axes', op='batch_norm', x=x.shape))
    check_channels('batch_norm', x, gamma=gamma, beta=beta, mean=mean, var=var)
    check_activation('batch_norm', activation)
    if added is not None and as_variable(added).shape != x.shape:
        raise ValueError(message('norm.added', x=x.shape, added=as_variable(added).shape))
    if not Config.train:
        if watched() or not (activation or added is not None):  # whoever watches sees what is done, one after the other
            y = FixedBatchNorm(eps)(x, gamma, beta, mean, var)
            return ACTIVATIONS[activation](y if added is None else y + added)
        return FixedBatchNormAdd(eps, activation)(x, gamma, beta, mean, var, *([] if added is None else [added]))

    count = x.size // x.shape[1]
    if count < 2:
        raise ValueError(message('norm.single', x=x.shape))
    function = BatchNorm(eps, activation) if added is None else BatchNormAdd(eps, activation)
    if x.moments is not None:
        function.moments = x.moments
    y = function(x, gamma, beta, *([] if added is None else [added]))

    def follow(mean: Array = function.mean, var: Array = function.var) -> None:
        for running, measured in (running_mean, mean), (running_var, var * (count / (count - 1))):
            running *= decay
            running += (1 - decay) * measured

    kernels.again(follow)
    return y


class BatchNorm(Function):
    saves: ClassVar[tuple[str, ...]] = ('x', 'gamma', 'beta', 'mean', 'var')
    moments: tuple[Array, Array] | None = None  # of x, if its convolution took them

    def __init__(self, eps: float = 2e-5, activation: str = '') -> None:
        self.eps, self.activation = eps, activation

    def forward(self, x: Array, gamma: Array, beta: Array) -> Array:
        y, self.mean, self.var = kernels.batch_norm(x, gamma, beta, self.eps, self.activation,
                                                    moments=self.moments)
        return y

    def backward(self, gy: Variable) -> Any:
        return self.gradients(self.saved, gy, self.activation)

    def gradients(self, saved: Sequence[Any], gy: Variable, activation: str) -> Any:
        """Return the gradients of x, gamma and beta from that of the norm's result, or the activation's."""
        x, gamma, beta, mean, var = saved
        if not Config.enable_backprop:  # nobody will differentiate this again
            gs = kernels.batch_norm_grad(x.data, gamma.data, beta.data, gy.data, mean, var, self.eps, activation)
            return tuple(map(own, gs))
        axes = all_but_channels(x)
        distance = x - average(x, axes, keepdims=True)
        deviation = sqrt(average(distance * distance, axes, keepdims=True) + self.eps)
        xhat = distance / deviation
        if activation:
            y = ACTIVATIONS[activation](xhat.data * by_channel(gamma, x.ndim).data + by_channel(beta, x.ndim).data)
            gy = GATES[activation]()(y.data, gy)
        along = gy * xhat
        gx = gy - average(gy, axes, keepdims=True) - xhat * average(along, axes, keepdims=True)
        return gx * by_channel(gamma, x.ndim) / deviation, sum(along, axes), sum(gy, axes)


class BatchNormAdd(BatchNorm):
    """Batch norm, an array that is added, an activation: the end of a residual block."""

    saves: ClassVar[tuple[str, ...]] = (*BatchNorm.saves, 'y')

    def forward(self, x: Array, gamma: Array, beta: Array, added: Array | None = None) -> Array:
        y, self.mean, self.var = kernels.batch_norm(x, gamma, beta, self.eps, self.activation, added,
                                                    self.moments)
        return y

    def backward(self, gy: Variable) -> Any:
        *saved, y = self.saved
        if self.activation:
            gy = GATES[self.activation]()(y.data, gy)
        return *self.gradients(saved, gy, ''), gy


class FixedBatchNorm(Function):
    """Batch norm in test mode: mean and variance are given, and each channel is a straight line."""

    saves: ClassVar[tuple[str, ...]] = ('x', 'gamma', 'mean', 'var')

    def __init__(self, eps: float = 2e-5) -> None:
        self.eps = eps

    def forward(self, x: Array, gamma: Array, beta: Array, mean: Array, var: Array) -> Array:
        return kernels.scale_channels(x, mean, gamma / np.sqrt(var + self.eps), beta)

    def backward(self, gy: Variable) -> Any:
        return self.gradients(self.saved, gy)

    def gradients(self, saved: Sequence[Any], gy: Variable) -> Any:
        """Return the gradients of x, gamma, beta, mean and var from that of the norm's result."""
        x, gamma, mean, var = saved
        axes = all_but_channels(x)
        deviation = sqrt(var + self.eps)
        gx = gy * by_channel(gamma / deviation, x.ndim)
        if not any(map(self.needs, (1, 3, 4))):
            return gx, None, sum(gy, axes) if self.needs(2) else None, None, None
        distance = x - by_channel(mean, x.ndim)
        ggamma = sum(gy * distance, axes) / deviation
        return gx, ggamma, sum(gy, axes), -sum(gx, axes), ggamma * gamma / (-2 * deviation * deviation)


class FixedBatchNormAdd(FixedBatchNorm):
    """Batch norm in test mode, an array that is added, an activation: one pass over memory for three."""

    saves: ClassVar[tuple[str, ...]] = (*FixedBatchNorm.saves, 'y')

    def __init__(self, eps: float = 2e-5, activation: str = '') -> None:
        super().__init__(eps)
        self.activation = activation

    def forward(self, x: Array, gamma: Array, beta: Array, mean: Array, var: Array,
                added: Array | None = None) -> Array:
        return kernels.scale_channels(x, mean, gamma / np.sqrt(var + self.eps), beta, self.activation, added)

    def backward(self, gy: Variable) -> Any:
        *saved, y = self.saved
        if self.activation:
            gy = GATES[self.activation]()(y.data, gy)
        return *self.gradients(saved, gy), *[gy][:len(self.nodes) - 5]


def layer_norm(x: Any, gamma: Any, beta: Any, eps: float = 1e-5) -> Variable:
    """Normalise every sample over its last axes, those that gamma has.

    Args:
        x: (..., *gamma's shape).
        gamma, beta: scale and shift, of one shape.
        eps: added to the variance.
    Returns:
        (x - mean) / sqrt(var + eps) * gamma + beta, of x's shape.
    Raises:
        ValueError: gamma's shape is not that of x's last axes, or not beta's.
    Example:
        >>> layer_norm(np.array([[1., 3.]]), np.ones(2), np.zeros(2), eps=0)
        variable([[-1.  1.]])

    Source: Ba, Kiros & Hinton, Layer normalization, 2016.
    """
    x, gamma, beta = as_variable(x), as_variable(gamma), as_variable(beta)
    if gamma.ndim == 0 or x.shape[-gamma.ndim:] != gamma.shape or beta.shape != gamma.shape:
        raise ValueError(message('norm.last', x=x.shape, gamma=gamma.shape, beta=beta.shape))
    return standardised(x, gamma.size, eps) * gamma + beta


def group_norm(x: Any, groups: int, gamma: Any, beta: Any, eps: float = 1e-5) -> Variable:
    """Normalise every sample over groups of neighbouring channels; unlike batch norm it needs no batch.

    Args:
        x: (N, C), or images (N, C, H, W).
        groups: how many; 1 takes all channels together, C each by itself (instance norm).
        gamma, beta: scale and shift, (C,).
        eps: added to the variance.
    Returns:
        (x - mean) / sqrt(var + eps) * gamma + beta, of x's shape.
    Raises:
        ValueError: the channels cannot be shared out evenly, or sizes differ from x's channels.
    Example:
        >>> group_norm(np.array([[1., 3., 10., 30.]]), 2, np.ones(4), np.zeros(4), eps=0)
        variable([[-1.  1. -1.  1.]])

    Source: Wu & He, Group normalization, 2018.
    """
    x, gamma, beta = as_variable(x), as_variable(gamma), as_variable(beta)
    if x.ndim < 2:
        raise ValueError(message('norm.axes', op='group_norm', x=x.shape))
    check_channels('group_norm', x, gamma=gamma, beta=beta)
    at_least(1, groups, 'groups')
    C = x.shape[1]
    if C % groups:
        raise ValueError(message('conv.groups', op='group_norm', name='C', channels=C, groups=groups))
    y = standardised(x, C // groups * math.prod(x.shape[2:]), eps)
    return y * by_channel(gamma, x.ndim) + by_channel(beta, x.ndim)


def standardised(x: Variable, count: int, eps: float) -> Variable:
    """Return x with mean 0 and variance 1 over every `count` elements in a row."""
    dtype = float_type(x.dtype)
    wide = astype(x, np.result_type(dtype, np.float32))  # in float16, the square of 256 is too much
    rows = reshape(wide, (x.size // count, count))
    distance = rows - average(rows, 1, keepdims=True)
    y = reshape(distance / sqrt(average(distance * distance, 1, keepdims=True) + eps), x.shape)
    return astype(y, dtype)


def all_but_channels(x: Variable) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


def by_channel(values: Variable, ndim: int) -> Variable:
    """Return (C,) as (C, 1, ...), to stand beside arrays of `ndim` axes."""
    return reshape(values, (-1, *(1,) * (ndim - 2)))


def check_channels(op: str, x: Variable, **sizes: Any) -> None:
    """Raise ValueError unless each of `sizes` has one number for every channel of x."""
    for name, values in sizes.items():
        shape = as_array(values).shape
        if shape != x.shape[1:2]:
            raise ValueError(message('norm.channels', op=op, name=name, shape=shape, channels=x.shape[1], x=x.shape))
