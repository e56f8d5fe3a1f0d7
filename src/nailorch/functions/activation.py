"""Activations: the bend between two linear layers, without which they would be one.

All but softmax work element by element. At a kink the derivative is taken as everywhere: relu's at 0 is 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.polynomial.chebyshev import chebval

from nailorch import kernels
from nailorch.config import Config
from nailorch.core import Function, Variable, as_variable, own
from nailorch.functions.arithmetic import Broadcasting, clip, exp, where
from nailorch.functions.reduction import max, sum
from nailorch.functions.shape import sum_to
from nailorch.messages import message
from nailorch.shapes import Array

__all__ = ['ELU', 'GELU', 'HardSwish', 'LeakyReLU', 'LogSoftmax', 'NormalCDF', 'PReLU', 'ReLU', 'ReLU6', 'ReLU6Grad',
           'ReLUGrad', 'SiLU', 'Sigmoid', 'Softmax', 'Softplus', 'Tanh', 'elu', 'gelu', 'hardswish', 'leaky_relu',
           'log_softmax', 'prelu', 'relu', 'relu6', 'sigmoid', 'sigmoid_simple', 'silu', 'softmax', 'softmax_simple',
           'softplus', 'tanh']


def relu(x: Any) -> Variable:
    """Return x where it is positive, else 0.

    Example:
        >>> relu(np.array([-2., 0., 3.]))
        variable([0. 0. 3.])

    Source: Nair & Hinton, Rectified linear units improve restricted Boltzmann machines, 2010.
    """
    return ReLU()(x)


class ReLU(Function):
    saves = 'y',  # the next layer keeps it anyway: x, the result of a convolution, is let go

    def forward(self, x: Array) -> Array:
        return kernels.relu(x)

    def backward(self, gy: Variable) -> Any:
        y, = self.saved
        if not Config.enable_backprop:  # nobody will differentiate this again
            return own(kernels.relu_grad(y.data, gy.data))
        return ReLUGrad()(y.data, gy)


class ReLUGrad(Function):
    """Let gy pass where the gate, relu's result, is positive: relu's derivative, and its own too."""

    saves = 'gate',

    def forward(self, gate: Array, gy: Array) -> Array:
        return kernels.relu_grad(gate, gy)

    def backward(self, ggx: Variable) -> Any:
        gate, = self.saved
        return None, ReLUGrad()(gate.data, ggx)


def leaky_relu(x: Any, slope: float = 0.2) -> Variable:
    """Return x where it is positive, else slope * x: a unit that never dies.

    Example:
        >>> leaky_relu(np.array([-2., 0., 3.]), slope=0.1)
        variable([-0.2  0.   3. ])

    Source: Maas, Hannun & Ng, Rectifier nonlinearities improve neural network acoustic models, 2013.
    """
    return LeakyReLU(slope)(x)


class LeakyReLU(Function):
    saves = 'positive',

    def __init__(self, slope: float = 0.2) -> None:
        self.slope = slope

    def forward(self, x: Array) -> Array:
        self.positive = x > 0
        return kernels.select(self.positive, x, x * self.slope)

    def backward(self, gy: Variable) -> Any:
        positive, = self.saved
        return where(positive, gy, gy * self.slope)


def prelu(x: Any, slope: Any) -> Variable:
    """Return x where it is positive, else slope * x, for a slope that is learned; the two are broadcast.

    Example:
        >>> prelu(np.array([-2., 0., 3.]), np.array([0.5]))
        variable([-1.  0.  3.])

    Source: He et al., Delving deep into rectifiers, 2015.
    """
    return PReLU()(x, slope)


class PReLU(Broadcasting):
    saves = 'x', 'slope'

    def forward(self, x: Array, slope: Array) -> Array:
        return kernels.select(x > 0, x, x * slope)

    def backward(self, gy: Variable) -> Any:
        x, slope = self.saved
        below = where(x.data > 0, 0, gy)
        gx = where(x.data > 0, gy, gy * slope)
        return sum_to(gx, x.shape), sum_to(below * x, slope.shape) if self.needs(1) else None


def elu(x: Any, alpha: float = 1.0) -> Variable:
    """Return x where it is positive, else alpha * (exp(x) - 1), which bends smoothly towards -alpha.

    Example:
        >>> elu(np.array([-1000., 0., 3.]))
        variable([-1.  0.  3.])

    Source: Clevert, Unterthiner & Hochreiter, Fast and accurate deep network learning by ELUs, 2016.
    """
    return ELU(alpha)(x)


class ELU(Function):
    saves = 'x',

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def forward(self, x: Array) -> Array:
        return kernels.select(x > 0, x, self.alpha * np.expm1(np.minimum(x, 0)))

    def backward(self, gy: Variable) -> Any:
        x, = self.saved
        return gy * where(x.data > 0, 1, self.alpha * exp(clip(x, x_max=0)))


def relu6(x: Any) -> Variable:
    """Return x held between 0 and 6; what small networks use, since it fits into few bits.

    Example:
        >>> relu6(np.array([-2., 3., 8.]))
        variable([0. 3. 6.])

    Source: Howard et al., MobileNets, 2017.
    """
    return ReLU6()(x)


class ReLU6(Function):
    saves = 'y',

    def forward(self, x: Array) -> Array:
        return kernels.relu6(x)

    def backward(self, gy: Variable) -> Any:
        y, = self.saved
        if not Config.enable_backprop:
            return own(kernels.relu6_grad(y.data, gy.data))
        return ReLU6Grad()(y.data, gy)


class ReLU6Grad(Function):
    """Let gy pass where the gate, relu6's result, lies between its ends: relu6's derivative, and its own too."""

    saves = 'gate',

    def forward(self, gate: Array, gy: Array) -> Array:
        return kernels.relu6_grad(gate, gy)

    def backward(self, ggx: Variable) -> Any:
        gate, = self.saved
        return None, ReLU6Grad()(gate.data, ggx)


# those that a layer computes in one go with what comes before them: by name, the function and its derivative
ACTIVATIONS: dict[str, Any] = {'': lambda y: y, 'relu': relu, 'relu6': relu6}
GATES: dict[str, type[Function]] = {'relu': ReLUGrad, 'relu6': ReLU6Grad}


def check_activation(op: str, activation: str) -> None:
    if activation not in ACTIVATIONS:
        raise ValueError(f'{op}: activation is {activation!r}; there are {", ".join(map(repr, ACTIVATIONS))}')


def sigmoid(x: Any) -> Variable:
    """Return 1 / (1 + exp(-x)), from 0 to 1, without overflow.

    Example:
        >>> sigmoid(np.array([-1000., 0., 1000.]))
        variable([0.  0.5 1. ])
    """
    return Sigmoid()(x)


def sigmoid_simple(x: Any) -> Variable:
    """Return the sigmoid from another formula, (1 + tanh(x / 2)) / 2: the readable twin of sigmoid."""
    return (1 + tanh(as_variable(x) / 2)) / 2


def logistic(x: Array) -> Array:
    return np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))  # no power exceeds 1


class Sigmoid(Function):
    saves = 'y',

    def forward(self, x: Array) -> Array:
        return logistic(x)

    def backward(self, gy: Variable) -> Any:
        y, = self.saved
        return gy * y * (1 - y)


def tanh(x: Any) -> Variable:
    """Return the hyperbolic tangent of x, from -1 to 1."""
    return Tanh()(x)


class Tanh(Function):
    saves = 'y',

    def forward(self, x: Array) -> Array:
        return np.tanh(x)

    def backward(self, gy: Variable) -> Any:
        y, = self.saved
        return gy * (1 - y * y)


def softplus(x: Any) -> Variable:
    """Return log(1 + exp(x)), a relu with a rounded corner, without overflow.

    Example:
        >>> softplus(np.array([-1000., 0., 1.]))
        variable([0.         0.69314718 1.31326169])
    """
    return Softplus()(x)


class Softplus(Function):
    saves = 'x',

    def forward(self, x: Array) -> Array:
        return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))

    def backward(self, gy: Variable) -> Any:
        x, = self.saved
        return gy * sigmoid(x)


def silu(x: Any) -> Variable:
    """Return x * sigmoid(x), also called swish.

    Source: Elfwing, Uchibe & Doya 2017; Ramachandran, Zoph & Le, Searching for activation functions, 2017.
    """
    return SiLU()(x)


class SiLU(Function):
    saves = 'x',

    def forward(self, x: Array) -> Array:
        return x * logistic(x)

    def backward(self, gy: Variable) -> Any:
        x, = self.saved
        y = sigmoid(x)
        return gy * (y + x * y * (1 - y))


def hardswish(x: Any) -> Variable:
    """Return x * relu6(x + 3) / 6: silu out of straight lines.

    Example:
        >>> hardswish(np.array([-4., 0., 1.5, 4.]))
        variable([-0.     0.     1.125  4.   ])

    Source: Howard et al., Searching for MobileNetV3, 2019.
    """
    return HardSwish()(x)


class HardSwish(Function):
    saves = 'x',

    def forward(self, x: Array) -> Array:
        return x * ((np.clip(x, -3, 3) + 3) / 6)

    def backward(self, gy: Variable) -> Any:
        x, = self.saved
        return gy * where(x.data > 3, 1, where(x.data > -3, x / 3 + 0.5, 0))


def gelu(x: Any, approximate: str = 'none') -> Variable:
    """Return x times the probability that a standard normal number lies below x.

    Args:
        approximate: 'none' for that, or 'tanh' for the formula that some networks were trained with:
            x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x ** 3))).
    Raises:
        ValueError: `approximate` is neither.
    Example:
        >>> gelu(np.array([-1., 0., 1.]))
        variable([-0.15865525  0.          0.84134475])

    Source: Hendrycks & Gimpel, Gaussian error linear units, 2016.
    """
    if approximate not in ('none', 'tanh'):
        raise ValueError(f"gelu: approximate is 'none' or 'tanh', not {approximate!r}")
    return GELU(approximate)(x)


class GELU(Function):
    saves = 'x',

    def __init__(self, approximate: str = 'none') -> None:
        self.approximate = approximate

    def forward(self, x: Array) -> Array:
        if self.approximate == 'none':
            return x * normal_cdf(x)
        near = np.clip(x, -10, 10)  # tanh is 1 long before, and x ** 3 too much for float16 soon after
        return x * ((1 + np.tanh(ROOT * near * (1 + 0.044715 * near * near))) / 2)

    def backward(self, gy: Variable) -> Any:
        x, = self.saved
        if self.approximate == 'none':
            return gy * (NormalCDF()(x) + x * density(x))
        near = clip(x, -10, 10)
        y = tanh(ROOT * near * (1 + 0.044715 * near * near))
        return gy * (1 + y + near * (1 - y * y) * ROOT * (1 + 3 * 0.044715 * near * near)) / 2


class NormalCDF(Function):
    saves = 'x',

    def forward(self, x: Array) -> Array:
        return normal_cdf(x)

    def backward(self, gy: Variable) -> Any:
        x, = self.saved
        return gy * density(x)


ROOT = math.sqrt(2 / math.pi)

# (1 + 2z) exp(z^2) erfc(z) for z from 0 to infinity, in Chebyshev polynomials of (z - 3) / (z + 3); the coefficients
# were computed with 50 digits. Source of the form: Shepherd & Laframboise, Mathematics of Computation 36, 1981.
ERFC = np.array([
    1.17756257419656, 0.005353904539615676, -0.09377550342284209, 0.05436652555744322, -0.018976596707845208,
    0.004453426061462712, -0.000633553171055315, 1.7661719523172e-05, 1.2841532864057e-05, -2.007228565906e-06,
    -1.80752279041e-07, 7.5498283438e-08, 1.885668524e-09, -2.69951905e-09, -1.4600791e-11, 1.03616074e-10,
    1.475716e-12, -4.27734e-12, -2.07922e-13, 1.81345e-13, 1.9734e-14, -7.288e-15, -1.517e-15, 2.35e-16,
])


BLOCK = 2 ** 15  # numbers whose sixty intermediate results stay in the cache


def normal_cdf(x: Array) -> Array:
    """Return the probability that a standard normal number lies below x, to the last digits of x's dtype."""
    y = np.empty_like(x, np.result_type(x, np.float16))
    given, found = x.ravel('K'), y.ravel('K')  # as they lie in memory
    for start in range(0, x.size, BLOCK):
        found[start:start + BLOCK] = cdf_of_block(given[start:start + BLOCK])
    return y


def cdf_of_block(x: Array) -> Array:
    dtype = np.result_type(x, np.float32)
    z = np.minimum(np.abs(x.astype(dtype)) * math.sqrt(0.5), 30)  # beyond, the tail is 0 in any dtype
    series = ERFC if dtype.itemsize > 4 else ERFC[:12].astype(dtype)
    tail = np.exp(-z * z) * chebval((z - 3) / (z + 3), series) / (2 + 4 * z)
    return np.abs((x > 0) - tail)


def density(x: Variable) -> Variable:
    """Return the standard normal density: the derivative of normal_cdf."""
    near = clip(x, -40, 40)  # beyond, it is 0 in any dtype, but x * x might overflow
    return exp(-near * near / 2) * (ROOT / 2)


def softmax(x: Any, axis: int = 1) -> Variable:
    """Turn scores into probabilities along `axis`: exp(x) over the sum of exp(x), without overflow.

    Args:
        x: scores, (N, C) or (N, C, ...); `axis` counts the classes.
    Returns:
        positive numbers that add up to 1 along `axis`, of x's shape.
    Raises:
        ValueError: x has no such axis.
    Example:
        >>> softmax(np.array([[0., 0.], [1000., 0.]]))
        variable([[0.5 0.5]
                  [1.  0. ]])
    """
    return Softmax(axis)(with_axis('softmax', x, axis))


def softmax_simple(x: Any, axis: int = 1) -> Variable:
    """Return the softmax from elementary functions: the readable twin of softmax."""
    x = as_variable(x)
    power = exp(x - max(x, axis, keepdims=True))
    return power / sum(power, axis, keepdims=True)


def with_axis(op: str, x: Any, axis: int) -> Variable:
    """Return x as a Variable; raise ValueError if it has no such axis."""
    x = as_variable(x)
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(message('softmax.axis', op=op, axis=axis, x=x.shape))
    return x


class Softmax(Function):
    saves = 'y',

    def __init__(self, axis: int = 1) -> None:
        self.axis = axis

    def forward(self, x: Array) -> Array:
        return kernels.softmax(x, self.axis)

    def backward(self, gy: Variable) -> Any:
        y, = self.saved
        gx = y * gy
        return gx - y * sum(gx, self.axis, keepdims=True)


def log_softmax(x: Any, axis: int = 1) -> Variable:
    """Return the logarithm of softmax, exact even where a probability is too small to be a number.

    Example:
        >>> log_softmax(np.array([[0., 1000.]]))
        variable([[-1000.     0.]])
    """
    return LogSoftmax(axis)(with_axis('log_softmax', x, axis))


class LogSoftmax(Function):
    saves = 'y',

    def __init__(self, axis: int = 1) -> None:
        self.axis = axis

    def forward(self, x: Array) -> Array:
        return kernels.log_softmax(x, self.axis)

    def backward(self, gy: Variable) -> Any:
        y, = self.saved
        return gy - exp(y) * sum(gy, self.axis, keepdims=True)
