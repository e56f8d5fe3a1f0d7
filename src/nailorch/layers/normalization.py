"""Normalisation: features are brought to mean 0 and variance 1, then scaled and shifted by what is learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

import nailorch.functions as F
from nailorch.core import Buffer, Parameter, Variable, as_variable
from nailorch.layers.base import Layer, float_dtype, unknown
from nailorch.layers.convolution import check_groups
from nailorch.messages import message
from nailorch.shapes import at_least

__all__ = ['BatchNorm', 'GroupNorm', 'LayerNorm']


class BatchNorm(Layer):
    """Normalise each channel over the batch; in test mode by the running averages of training.

    Args:
        decay: how much of the old averages each batch keeps; 1 - decay is what PyTorch calls momentum.
        eps: added to the variance, so that a constant channel can be divided by.
        channels: C; None: what the first call brings.
        dtype: of the parameters; None: `Config.dtype`.
        activation: 'relu' or 'relu6', which then follows in one go; '' for none. An array of x's shape, given behind x
            in a call, is added before it: a residual block's end.
    Attributes:
        gamma, beta: scale and shift, (C,), learned.
        avg_mean, avg_var: the running averages, (C,): saved, not learned.
    Example:
        >>> BatchNorm()(np.ones((2, 3, 4, 4), 'float32')).shape
        (2, 3, 4, 4)

    Source: Ioffe & Szegedy, Batch normalization, 2015.
    """

    torch_names: ClassVar = {'gamma': 'weight', 'beta': 'bias', 'avg_mean': 'running_mean', 'avg_var': 'running_var'}
    torch_extras = 'num_batches_tracked',
    keras_names: ClassVar = {'gamma': 'gamma', 'beta': 'beta', 'avg_mean': 'moving_mean', 'avg_var': 'moving_variance'}
    keras_kind = 'batch_normalization'

    def __init__(self, decay: float = 0.9, eps: float = 2e-5, channels: int | None = None, dtype: Any = None,
                 activation: str = '') -> None:
        if not 0 <= decay <= 1:
            raise ValueError(message('norm.decay', decay=decay))
        self.activation = activation
        self.decay, self.eps, self.channels, self.dtype = decay, eps, channels, float_dtype(dtype)
        self.gamma = Parameter(None, 'gamma', (channels,))
        self.beta = Parameter(None, 'beta', (channels,))
        self.avg_mean = Buffer(None, 'avg_mean', (channels,))
        self.avg_var = Buffer(None, 'avg_var', (channels,))
        if channels is not None:
            self.fill(channels)

    def fill(self, channels: int) -> None:
        """Make the parameters, now that their size is known."""
        at_least(1, channels, 'channels')
        self.channels = channels
        fill(self.gamma, self.beta, (channels,), self.dtype)
        fill(self.avg_var, self.avg_mean, (channels,), self.dtype)

    def forward(self, x: Any, added: Any = None) -> Variable:
        x = as_variable(x)
        if unknown(self.gamma):
            self.fill(channels_of('batch_norm', x))
        return F.batch_norm(x, self.gamma, self.beta, self.avg_mean, self.avg_var, self.decay, self.eps,
                            self.activation, added)


class LayerNorm(Layer):
    """Normalise each sample over its last axes.

    Args:
        size: of those axes, an int or several; None: the last axis, whose size the first call brings.
        eps, dtype: as BatchNorm takes them.
    Attributes:
        gamma, beta: scale and shift, of that size.
    Example:
        >>> LayerNorm()(np.ones((2, 5, 8), 'float32')).shape
        (2, 5, 8)

    Source: Ba, Kiros & Hinton, Layer normalization, 2016.
    """

    torch_names: ClassVar = {'gamma': 'weight', 'beta': 'bias'}

    def __init__(self, size: int | Sequence[int] | None = None, eps: float = 1e-5, dtype: Any = None) -> None:
        self.size = None if size is None else tuple(size) if isinstance(size, Sequence) else (size,)
        self.eps, self.dtype = eps, float_dtype(dtype)
        self.gamma = Parameter(None, 'gamma', self.size or (None,))
        self.beta = Parameter(None, 'beta', self.size or (None,))
        if self.size is not None:
            fill(self.gamma, self.beta, self.size, self.dtype)

    def forward(self, x: Any) -> Variable:
        x = as_variable(x)
        if unknown(self.gamma):
            self.size = x.shape[-1:]
            fill(self.gamma, self.beta, self.size, self.dtype)
        return F.layer_norm(x, self.gamma, self.beta, self.eps)


class GroupNorm(Layer):
    """Normalise each sample over groups of neighbouring channels; unlike batch norm it needs no batch.

    Args:
        groups: how many; 1 takes all channels together, C each by itself (instance norm).
        channels: C; None: what the first call brings.
        eps, dtype: as BatchNorm takes them.
    Attributes:
        gamma, beta: scale and shift, (C,).
    Raises:
        ValueError: when called on channels that the groups cannot share out evenly.
    Example:
        >>> GroupNorm(2)(np.ones((2, 4, 5, 5), 'float32')).shape
        (2, 4, 5, 5)

    Source: Wu & He, Group normalization, 2018.
    """

    torch_names: ClassVar = {'gamma': 'weight', 'beta': 'bias'}

    def __init__(self, groups: int, channels: int | None = None, eps: float = 1e-5, dtype: Any = None) -> None:
        self.groups, self.channels, self.eps, self.dtype = groups, channels, eps, float_dtype(dtype)
        self.gamma = Parameter(None, 'gamma', (channels,))
        self.beta = Parameter(None, 'beta', (channels,))
        if channels is not None:
            self.fill(channels)

    def fill(self, channels: int) -> None:
        """Make the parameters, now that their size is known."""
        at_least(1, channels, 'channels')
        check_groups('group_norm', 'C', channels, self.groups)
        self.channels = channels
        fill(self.gamma, self.beta, (channels,), self.dtype)

    def forward(self, x: Any) -> Variable:
        x = as_variable(x)
        if unknown(self.gamma):
            self.fill(channels_of('group_norm', x))
        return F.group_norm(x, self.groups, self.gamma, self.beta, self.eps)


def channels_of(op: str, x: Variable) -> int:
    """Return the size of the channel axis, or raise ValueError where there is none."""
    if x.ndim < 2:
        raise ValueError(message('norm.axes', op=op, x=x.shape))
    return x.shape[1]


def fill(scale: Parameter, shift: Parameter, shape: tuple[int, ...], dtype: Any) -> None:
    """Begin with what changes nothing: times 1, plus 0."""
    scale.data = np.ones(shape, dtype)
    shift.data = np.zeros(shape, dtype)
