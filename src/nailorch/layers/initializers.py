"""Initial weights: random numbers whose spread keeps signals from growing or fading as they pass through many layers.

    LeCun   variance 1 / fan_in                 the spread of the outputs is that of the inputs
    He      variance 2 / fan_in                 the same where ReLU takes away half of it
    Xavier  variance 2 / (fan_in + fan_out)     a middle way between forward and backward

fan_in counts the numbers that one output is a sum over: C // groups * KH * KW in a convolution.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from nailorch import rng
from nailorch.messages import message
from nailorch.shapes import Array

__all__ = ['Constant', 'HeNormal', 'HeUniform', 'Init', 'Initializer', 'LeCunNormal', 'LeCunUniform', 'Normal',
           'XavierNormal', 'XavierUniform', 'initial']

BLOCK = 1 << 20  # numbers drawn at a time: VGG16's fc6 would be 822 MB of float64 at once


class Initializer:
    """Draws an array: `initializer(shape, fan_in, fan_out, dtype)`; subclasses say how it is distributed."""

    def __call__(self, shape: tuple[int, ...], fan_in: int, fan_out: int, dtype: Any) -> Array:
        array = np.empty(math.prod(shape), dtype)
        deviation = self.deviation(max(fan_in, 1), max(fan_out, 1))
        for start in range(0, array.size, BLOCK):
            block = array[start:start + BLOCK]
            block[:] = self.draw(block.size) * deviation
        return array.reshape(shape)

    def deviation(self, fan_in: int, fan_out: int) -> float:
        """Return the standard deviation."""
        raise NotImplementedError

    def draw(self, size: int) -> Array:
        """Return so many numbers of mean 0 and variance 1."""
        return rng.generator().standard_normal(size)

    def __repr__(self) -> str:
        return f'{type(self).__name__}({", ".join(map(str, vars(self).values()))})'


class Normal(Initializer):
    """The normal distribution with a given standard deviation."""

    def __init__(self, std: float = 1.0) -> None:
        self.std = std

    def deviation(self, fan_in: int, fan_out: int) -> float:
        return self.std


class LeCunNormal(Initializer):
    """Normal, variance 1 / fan_in: the default.

    Source: LeCun, Bottou, Orr & Müller, Efficient backprop, 1998, section 4.6.
    """

    def deviation(self, fan_in: int, fan_out: int) -> float:
        return math.sqrt(1 / fan_in)


class HeNormal(Initializer):
    """Normal, variance 2 / fan_in, for layers before a ReLU.

    Source: He, Zhang, Ren & Sun, Delving deep into rectifiers, 2015, section 2.2.
    """

    def deviation(self, fan_in: int, fan_out: int) -> float:
        return math.sqrt(2 / fan_in)


class XavierNormal(Initializer):
    """Normal, variance 2 / (fan_in + fan_out), for layers before a sigmoid or tanh.

    Source: Glorot & Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010.
    """

    def deviation(self, fan_in: int, fan_out: int) -> float:
        return math.sqrt(2 / (fan_in + fan_out))


class Uniform(Initializer):
    """Between two limits around 0, instead of the normal distribution."""

    def draw(self, size: int) -> Array:
        limit = math.sqrt(3)  # the variance of a uniform distribution is limit ** 2 / 3
        return rng.generator().uniform(-limit, limit, size)


class LeCunUniform(Uniform, LeCunNormal):
    """Uniform, variance 1 / fan_in."""


class HeUniform(Uniform, HeNormal):
    """Uniform, variance 2 / fan_in."""


class XavierUniform(Uniform, XavierNormal):
    """Uniform, variance 2 / (fan_in + fan_out)."""


class Constant(Initializer):
    """The same number everywhere."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __call__(self, shape: tuple[int, ...], fan_in: int, fan_out: int, dtype: Any) -> Array:
        return np.full(shape, self.value, dtype)


Init: TypeAlias = Callable[[tuple[int, ...], int, int, Any], Array] | Any


def initial(init: Init, shape: tuple[int, ...], fan_in: int, fan_out: int, dtype: Any) -> Array:
    """Return the initial array that `init` stands for.

    Args:
        init: an Initializer (or a function that takes what it takes), a number, an array; None: LeCunNormal().
    Raises:
        ValueError: the array is not of the layer's `shape`.
    """
    init = LeCunNormal() if init is None else init
    values = init(shape, fan_in, fan_out, dtype) if callable(init) else np.asarray(init)
    if values.ndim and values.shape != shape:
        raise ValueError(message('init.shape', got=values.shape, expected=shape))
    return np.array(np.broadcast_to(values, shape), dtype, order='C')
