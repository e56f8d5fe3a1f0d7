"""The activation functions as layers, for Sequential and for prints."""

from __future__ import annotations

from typing import Any

import nailorch.functions as F
from nailorch.core import Variable
from nailorch.layers.base import Layer

__all__ = ['GELU', 'HardSwish', 'LeakyReLU', 'LogSoftmax', 'ReLU', 'ReLU6', 'SiLU', 'Sigmoid', 'Softmax', 'Softplus',
           'Tanh']


class ReLU(Layer):
    """F.relu: what is negative becomes 0."""

    def forward(self, x: Any) -> Variable:
        return F.relu(x)


class LeakyReLU(Layer):
    """F.leaky_relu: what is negative is multiplied by `slope`."""

    def __init__(self, slope: float = 0.2) -> None:
        self.slope = slope

    def forward(self, x: Any) -> Variable:
        return F.leaky_relu(x, self.slope)


class ReLU6(Layer):
    """F.relu6: held between 0 and 6."""

    def forward(self, x: Any) -> Variable:
        return F.relu6(x)


class Sigmoid(Layer):
    """F.sigmoid: 1 / (1 + exp(-x))."""

    def forward(self, x: Any) -> Variable:
        return F.sigmoid(x)


class Tanh(Layer):
    """F.tanh: the hyperbolic tangent."""

    def forward(self, x: Any) -> Variable:
        return F.tanh(x)


class Softplus(Layer):
    """F.softplus: log(1 + exp(x)), a relu with a rounded corner."""

    def forward(self, x: Any) -> Variable:
        return F.softplus(x)


class SiLU(Layer):
    """F.silu: x * sigmoid(x)."""

    def forward(self, x: Any) -> Variable:
        return F.silu(x)


class HardSwish(Layer):
    """F.hardswish: silu out of straight lines."""

    def forward(self, x: Any) -> Variable:
        return F.hardswish(x)


class GELU(Layer):
    """F.gelu: x times the probability that a standard normal number lies below x.

    Args:
        approximate: 'none', or 'tanh' for the formula that older networks were trained with.
    """

    def __init__(self, approximate: str = 'none') -> None:
        self.approximate = approximate

    def forward(self, x: Any) -> Variable:
        return F.gelu(x, self.approximate)


class Softmax(Layer):
    """F.softmax: scores along `axis` become probabilities."""

    def __init__(self, axis: int = 1) -> None:
        self.axis = axis

    def forward(self, x: Any) -> Variable:
        return F.softmax(x, self.axis)


class LogSoftmax(Layer):
    """F.log_softmax: the logarithms of those probabilities."""

    def __init__(self, axis: int = 1) -> None:
        self.axis = axis

    def forward(self, x: Any) -> Variable:
        return F.log_softmax(x, self.axis)
