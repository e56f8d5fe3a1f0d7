"""Element by element: arithmetic, comparisons, activations."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

import nailorch.functions as F
from nailorch.core import Variable, as_variable
from nailorch.functions.activation import NormalCDF
from nailorch.onnx.operators.table import DISCRETE, discrete, host, operator
from nailorch.shapes import Array


def is_float(x: Any) -> bool:
    return as_variable(x).dtype.kind == 'f'


# arithmetic


@operator('Add')
def add(a: Any, b: Any) -> Any:
    return F.add(a, b)


@operator('Sub')
def sub(a: Any, b: Any) -> Any:
    return F.sub(a, b)


@operator('Mul')
def mul(a: Any, b: Any) -> Any:
    return F.mul(a, b)


@operator('Div')
def div(a: Any, b: Any) -> Any:
    return F.div(a, b) if is_float(a) else discrete('Div', a, b)


def truncated(a: Array, b: Array) -> Array:
    """Return a / b of ints, rounded towards 0 as C does."""
    quotient = a // b
    return quotient + ((a % b != 0) & ((a < 0) != (b < 0))).astype(quotient.dtype)


DISCRETE['Div'] = truncated


@operator('Mod')
def mod(a: Any, b: Any, *, fmod: int = 0) -> Any:
    if not is_float(a):
        return discrete('Mod', a, b, fmod=fmod)
    quotient = discrete('Trunc' if fmod else 'Floor', F.div(a, b))
    return F.sub(a, F.mul(quotient, b))


DISCRETE['Mod'] = lambda a, b, fmod: np.fmod(a, b) if fmod else np.mod(a, b)
DISCRETE['Trunc'] = np.trunc


@operator('Pow', settings=[1])
def pow(x: Any, exponent: Any) -> Any:
    x = as_variable(x)
    constant = host(exponent)
    if constant.size == 1 and constant.item() == 2:
        return F.square(x)
    if not is_float(x):
        return discrete('Pow', x, exponent)
    return F.pow(x, F.astype(exponent, x.dtype))


DISCRETE['Pow'] = lambda x, exponent: np.power(x, exponent).astype(x.dtype)


@operator('Max')
def max(*xs: Any) -> Any:
    return functools.reduce(F.maximum, xs) if len(xs) > 1 else identity(xs[0])


@operator('Min')
def min(*xs: Any) -> Any:
    return functools.reduce(F.minimum, xs) if len(xs) > 1 else identity(xs[0])


@operator('Sum')
def sum(*xs: Any) -> Any:
    return functools.reduce(F.add, xs) if len(xs) > 1 else identity(xs[0])


@operator('Mean')
def mean(*xs: Any) -> Any:
    return sum(*xs) / len(xs)


@operator('Identity')
def identity(x: Any) -> Any:
    return as_variable(x)


@operator('Neg')
def neg(x: Any) -> Any:
    return F.neg(x)


@operator('Abs')
def abs(x: Any) -> Any:
    return F.abs(x)


@operator('Sqrt')
def sqrt(x: Any) -> Any:
    return F.sqrt(x)


@operator('Exp')
def exp(x: Any) -> Any:
    return F.exp(x)


@operator('Log')
def log(x: Any) -> Any:
    return F.log(x)


@operator('Reciprocal')
def reciprocal(x: Any) -> Any:
    return F.div(1, x)


@operator('Sin')
def sin(x: Any) -> Any:
    return F.sin(x)


@operator('Cos')
def cos(x: Any) -> Any:
    return F.cos(x)


@operator('Tan')
def tan(x: Any) -> Any:
    return F.div(F.sin(x), F.cos(x))


@operator('Sinh')
def sinh(x: Any) -> Any:
    return (F.exp(x) - F.exp(F.neg(x))) / 2


@operator('Cosh')
def cosh(x: Any) -> Any:
    return (F.exp(x) + F.exp(F.neg(x))) / 2


@operator('Erf')
def erf(x: Any) -> Any:
    return NormalCDF()(F.mul(x, math.sqrt(2))) * 2 - 1


# what is constant between its steps

COMPARISONS: dict[str, Any] = {'Equal': np.equal, 'Less': np.less, 'Greater': np.greater, 'LessOrEqual': np.less_equal,
               'GreaterOrEqual': np.greater_equal, 'And': np.logical_and, 'Or': np.logical_or, 'Xor': np.logical_xor,
               'BitwiseAnd': np.bitwise_and, 'BitwiseOr': np.bitwise_or, 'BitwiseXor': np.bitwise_xor}
STEPS: dict[str, Any] = {'Not': np.logical_not, 'Floor': np.floor, 'Ceil': np.ceil, 'Round': np.rint, 'Sign': np.sign,
         'IsNaN': np.isnan, 'BitwiseNot': np.invert}
DISCRETE |= COMPARISONS | STEPS


def register(name: str) -> None:
    operator(name)(functools.partial(discrete, name))


for name in (*COMPARISONS, *STEPS):
    register(name)


@operator('IsInf')
def is_inf(x: Any, *, detect_negative: int = 1, detect_positive: int = 1) -> Any:
    return discrete('IsInf', x, detect_negative=detect_negative, detect_positive=detect_positive)


DISCRETE['IsInf'] = lambda x, detect_negative, detect_positive: (
    (np.isneginf(x) & bool(detect_negative)) | (np.isposinf(x) & bool(detect_positive)))


@operator('BitShift')
def bit_shift(x: Any, y: Any, *, direction: str) -> Any:
    return discrete('BitShift', x, y, direction=direction)


DISCRETE['BitShift'] = lambda x, y, direction: np.left_shift(x, y) if direction == 'LEFT' else np.right_shift(x, y)


@operator('Where')
def where(condition: Any, x: Any, y: Any) -> Any:
    return F.where(condition, x, y)


# activations


@operator('Relu')
def relu(x: Any) -> Any:
    return F.relu(x)


@operator('LeakyRelu')
def leaky_relu(x: Any, *, alpha: float = 0.01) -> Any:
    return F.leaky_relu(x, alpha)


@operator('PRelu', weights=[1])
def prelu(x: Any, slope: Any) -> Any:
    return F.prelu(x, slope)


@operator('Elu')
def elu(x: Any, *, alpha: float = 1.0) -> Any:
    return F.elu(x, alpha)


@operator('Celu')
def celu(x: Any, *, alpha: float = 1.0) -> Any:
    return F.elu(F.div(x, alpha)) * alpha


@operator('Selu')
def selu(x: Any, *, alpha: float = 1.67326319217681884765625, gamma: float = 1.05070102214813232421875) -> Any:
    return F.elu(x, alpha) * gamma


@operator('ThresholdedRelu')
def thresholded_relu(x: Any, *, alpha: float = 1.0) -> Any:
    return F.where(discrete('Greater', x, np.asarray(alpha, as_variable(x).dtype)), x, 0)


@operator('Shrink')
def shrink(x: Any, *, bias: float = 0.0, lambd: float = 0.5) -> Any:
    x = as_variable(x)
    edge = np.asarray(lambd, x.dtype if is_float(x) else np.float32)
    below, above = discrete('Less', x, -edge), discrete('Greater', x, edge)
    y = F.where(below, F.add(x, bias), F.where(above, F.sub(x, bias), 0))
    return F.astype(y, x.dtype)


@operator('Sigmoid')
def sigmoid(x: Any) -> Any:
    return F.sigmoid(x)


@operator('HardSigmoid')
def hard_sigmoid(x: Any, *, alpha: float = 0.2, beta: float = 0.5) -> Any:
    return F.clip(F.add(F.mul(x, alpha), beta), 0, 1)


@operator('HardSwish')
def hard_swish(x: Any) -> Any:
    return F.hardswish(x)


@operator('Swish')
def swish(x: Any, *, alpha: float = 1.0) -> Any:
    return F.silu(x) if alpha == 1 else F.mul(x, F.sigmoid(F.mul(x, alpha)))


@operator('Tanh')
def tanh(x: Any) -> Any:
    return F.tanh(x)


@operator('Gelu')
def gelu(x: Any, *, approximate: str = 'none') -> Any:
    return F.gelu(x, approximate)


@operator('Softplus')
def softplus(x: Any) -> Any:
    return F.softplus(x)


@operator('Softsign')
def softsign(x: Any) -> Any:
    return F.div(x, 1 + F.abs(x))


@operator('Mish')
def mish(x: Any) -> Any:
    return F.mul(x, F.tanh(F.softplus(x)))


@operator('Clip')
def clip_old(x: Any, *, min: float | None = None, max: float | None = None) -> Any:
    return clipped(x, min, max)


@operator('Clip', since=11, settings=[1, 2])
def clip(x: Any, min: Any = None, max: Any = None) -> Any:
    if isinstance(min, Variable) or isinstance(max, Variable):  # limits that are computed from the input
        y = as_variable(x) if min is None else F.maximum(x, min)
        return y if max is None else F.minimum(y, max)
    return clipped(x, None if min is None else host(min).item(), None if max is None else host(max).item())


def clipped(x: Any, low: float | None, high: float | None) -> Any:
    """Return x between two numbers, by the function that layers use for such numbers."""
    if low == 0 and high is None:
        return F.relu(x)
    if low == 0 and high == 6:
        return F.relu6(x)
    if low is not None and high is not None and low > high:  # then ONNX says: high
        low = high
    return identity(x) if low is None and high is None else F.clip(x, low, high)


# one axis at a time


@operator('Softmax')
def softmax_old(x: Any, *, axis: int = 1) -> Any:
    return over_rows(F.softmax, x, axis)


@operator('LogSoftmax')
def log_softmax_old(x: Any, *, axis: int = 1) -> Any:
    return over_rows(F.log_softmax, x, axis)


def over_rows(function: Any, x: Any, axis: int) -> Any:
    """Apply a function to x as a matrix: before opset 13, all axes from `axis` on were one."""
    x = as_variable(x)
    axis %= x.ndim
    if axis == x.ndim - 1:
        return function(x, axis)
    rows = F.reshape(x, (*x.shape[:axis], math.prod(x.shape[axis:])))
    return F.reshape(function(rows, axis), x.shape)


@operator('Softmax', since=13)
def softmax(x: Any, *, axis: int = -1) -> Any:
    return F.softmax(x, axis)


@operator('LogSoftmax', since=13)
def log_softmax(x: Any, *, axis: int = -1) -> Any:
    return F.log_softmax(x, axis)


@operator('Hardmax')
def hardmax_old(x: Any, *, axis: int = 1) -> Any:
    return over_rows(hardmax_along, x, axis)


@operator('Hardmax', since=13)
def hardmax(x: Any, *, axis: int = -1) -> Any:
    return hardmax_along(x, axis)


def hardmax_along(x: Any, axis: int) -> Any:
    return discrete('Hardmax', x, axis=axis)


def one_at_maximum(x: Array, axis: int) -> Array:
    y = np.zeros_like(x)
    np.put_along_axis(y, x.argmax(axis=axis, keepdims=True), 1, axis=axis)
    return y


DISCRETE['Hardmax'] = one_at_maximum
