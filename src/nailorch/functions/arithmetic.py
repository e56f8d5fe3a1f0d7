"""Arithmetic, element by element, with NumPy's broadcasting: what is spread out forward is summed backward."""

from __future__ import annotations

from typing import Any

import numpy as np

from nailorch import kernels
from nailorch.core import Function, Variable, as_variable, operands
from nailorch.functions.shape import sum_to
from nailorch.shapes import Array, broadcast_misfit

__all__ = ['Abs', 'Add', 'AsType', 'Clip', 'Cos', 'Div', 'Exp', 'Log', 'Maximum', 'Minimum', 'Mul', 'Neg', 'Pow', 'Sin',
           'Sqrt', 'Sub', 'Where', 'abs', 'absolute', 'add', 'astype', 'clip', 'cos', 'div', 'exp', 'log', 'maximum',
           'minimum', 'mul', 'neg', 'pow', 'rdiv', 'rsub', 'sin', 'sqrt', 'square', 'sub', 'where']


class Broadcasting(Function):
    """A Function whose inputs are broadcast against each other."""

    def misfit(self, shapes: list[tuple[int, ...]]) -> str:
        return broadcast_misfit(type(self).__name__.lower(), dict(zip(self.parameters, shapes, strict=False)))


def add(x0: Any, x1: Any) -> Variable:
    """Return x0 + x1, broadcast against each other.

    Example:
        >>> add(np.array([1., 2.]), 10)
        variable([11. 12.])
    """
    return Add()(*operands(x0, x1))


class Add(Broadcasting):
    saves = ()

    def forward(self, x0: Array, x1: Array) -> Array:
        self.shapes = x0.shape, x1.shape
        return kernels.elementwise(np.add, x0, x1)

    def backward(self, gy: Variable) -> Any:
        return (sum_to(gy, self.shapes[0]) if self.needs(0) else None,
                sum_to(gy, self.shapes[1]) if self.needs(1) else None)


def sub(x0: Any, x1: Any) -> Variable:
    """Return x0 - x1, broadcast against each other."""
    return Sub()(*operands(x0, x1))


def rsub(x0: Any, x1: Any) -> Variable:
    """Return x1 - x0."""
    return sub(x1, x0)


class Sub(Broadcasting):
    saves = ()

    def forward(self, x0: Array, x1: Array) -> Array:
        self.shapes = x0.shape, x1.shape
        return kernels.elementwise(np.subtract, x0, x1)

    def backward(self, gy: Variable) -> Any:
        return (sum_to(gy, self.shapes[0]) if self.needs(0) else None,
                sum_to(neg(gy), self.shapes[1]) if self.needs(1) else None)


def mul(x0: Any, x1: Any) -> Variable:
    """Return x0 * x1, broadcast against each other."""
    return Mul()(*operands(x0, x1))


class Mul(Broadcasting):
    saves = 'x0', 'x1'

    def forward(self, x0: Array, x1: Array) -> Array:
        return kernels.elementwise(np.multiply, x0, x1)

    def backward(self, gy: Variable) -> Any:
        x0, x1 = self.saved
        return (sum_to(gy * x1, x0.shape) if self.needs(0) else None,
                sum_to(gy * x0, x1.shape) if self.needs(1) else None)


def div(x0: Any, x1: Any) -> Variable:
    """Return x0 / x1, broadcast against each other."""
    return Div()(*operands(x0, x1))


def rdiv(x0: Any, x1: Any) -> Variable:
    """Return x1 / x0."""
    return div(x1, x0)


class Div(Broadcasting):
    saves = 'x1', 'y'

    def forward(self, x0: Array, x1: Array) -> Array:
        self.shapes = x0.shape, x1.shape
        return x0 / x1

    def backward(self, gy: Variable) -> Any:
        x1, y = self.saved
        return (sum_to(gy / x1, self.shapes[0]) if self.needs(0) else None,
                sum_to(-gy * y / x1, self.shapes[1]) if self.needs(1) else None)  # x1 * x1 might overflow


def neg(x: Any) -> Variable:
    """Return -x."""
    return Neg()(x)


class Neg(Function):
    saves = ()

    def forward(self, x: Array) -> Array:
        return -x

    def backward(self, gy: Variable) -> Any:
        return -gy


def pow(x: Any, c: Any) -> Variable:
    """Return x ** c, broadcast against each other; a Variable c gets a gradient too, for which x must be positive."""
    return Pow()(*operands(x, c))


def square(x: Any) -> Variable:
    """Return x * x."""
    x = as_variable(x)
    return mul(x, x)


class Pow(Broadcasting):
    saves = 'x', 'c'

    def forward(self, x: Array, c: Array) -> Array:
        return x ** c

    def backward(self, gy: Variable) -> Any:
        x, c = self.saved
        # where c is 0 the derivative is 0, not 0 * 0 ** -1
        gx = sum_to(gy * c * x ** where(c.data == 0, 1, c - 1), x.shape) if self.needs(0) else None
        # 0 ** c does not change with c
        gc = sum_to(gy * x ** c * log(where(x.data == 0, 1, x)), c.shape) if self.needs(1) else None
        return gx, gc


def exp(x: Any) -> Variable:
    """Return e ** x."""
    return Exp()(x)


class Exp(Function):
    saves = 'y',

    def forward(self, x: Array) -> Array:
        return np.exp(x)

    def backward(self, gy: Variable) -> Any:
        y, = self.saved
        return gy * y


def log(x: Any) -> Variable:
    """Return the natural logarithm of x."""
    return Log()(x)


class Log(Function):
    saves = 'x',

    def forward(self, x: Array) -> Array:
        return np.log(x)

    def backward(self, gy: Variable) -> Any:
        x, = self.saved
        return gy / x


def sqrt(x: Any) -> Variable:
    """Return the square root of x."""
    return Sqrt()(x)


class Sqrt(Function):
    saves = 'y',

    def forward(self, x: Array) -> Array:
        return np.sqrt(x)

    def backward(self, gy: Variable) -> Any:
        y, = self.saved
        return gy / (2 * y)


def sin(x: Any) -> Variable:
    """Return the sine of x, in radians."""
    return Sin()(x)


class Sin(Function):
    saves = 'x',

    def forward(self, x: Array) -> Array:
        return np.sin(x)

    def backward(self, gy: Variable) -> Any:
        x, = self.saved
        return gy * cos(x)


def cos(x: Any) -> Variable:
    """Return the cosine of x, in radians."""
    return Cos()(x)


class Cos(Function):
    saves = 'x',

    def forward(self, x: Array) -> Array:
        return np.cos(x)

    def backward(self, gy: Variable) -> Any:
        x, = self.saved
        return -gy * sin(x)


def abs(x: Any) -> Variable:
    """Return |x|; its derivative at 0 is taken as 0."""
    return Abs()(x)


absolute = abs


class Abs(Function):
    saves = 'sign',

    def forward(self, x: Array) -> Array:
        self.sign = np.sign(x)
        return np.abs(x)

    def backward(self, gy: Variable) -> Any:
        sign, = self.saved
        return gy * sign


def clip(x: Any, x_min: float | None = None, x_max: float | None = None) -> Variable:
    """Return x held between x_min and x_max (None: no limit); no gradient passes where x lies beyond them.

    Raises:
        ValueError: x_min exceeds x_max.
    """
    if x_min is not None and x_max is not None and x_min > x_max:
        raise ValueError(f'clip: x_min={x_min} exceeds x_max={x_max}')
    return Clip(x_min, x_max)(x)


class Clip(Function):
    saves = 'inside',

    def __init__(self, x_min: float | None, x_max: float | None) -> None:
        self.x_min, self.x_max = x_min, x_max

    def forward(self, x: Array) -> Array:
        low = -np.inf if self.x_min is None else self.x_min
        high = np.inf if self.x_max is None else self.x_max
        self.inside = (x >= low) & (x <= high)
        return np.clip(x, self.x_min, self.x_max)

    def backward(self, gy: Variable) -> Any:
        inside, = self.saved
        return where(inside, gy, 0)


def maximum(x0: Any, x1: Any) -> Variable:
    """Return the larger of x0 and x1, broadcast; of equals, the first gets the gradient."""
    return Maximum()(*operands(x0, x1))


class Maximum(Broadcasting):
    saves = 'first',

    def forward(self, x0: Array, x1: Array) -> Array:
        self.shapes = x0.shape, x1.shape
        y = self.choose(x0, x1)
        self.first = (y == x0) | (x0 != x0)
        return y

    def choose(self, x0: Array, x1: Array) -> Array:
        return np.maximum(x0, x1)

    def backward(self, gy: Variable) -> Any:
        first, = self.saved
        return sum_to(where(first, gy, 0), self.shapes[0]), sum_to(where(first, 0, gy), self.shapes[1])


def minimum(x0: Any, x1: Any) -> Variable:
    """Return the smaller of x0 and x1, broadcast; of equals, the first gets the gradient."""
    return Minimum()(*operands(x0, x1))


class Minimum(Maximum):
    def choose(self, x0: Array, x1: Array) -> Array:
        return np.minimum(x0, x1)


def where(condition: Any, x0: Any, x1: Any) -> Variable:
    """Return x0 where `condition` (an array of bools) holds, else x1, all broadcast against each other."""
    return Where()(condition, *operands(x0, x1))


class Where(Broadcasting):
    saves = 'condition',

    def forward(self, condition: Array, x0: Array, x1: Array) -> Array:
        self.shapes = x0.shape, x1.shape
        return kernels.select(condition, x0, x1)

    def backward(self, gy: Variable) -> Any:
        condition, = self.saved
        return (None,
                sum_to(where(condition, gy, 0), self.shapes[0]) if self.needs(1) else None,
                sum_to(where(condition, 0, gy), self.shapes[1]) if self.needs(2) else None)


def astype(x: Any, dtype: Any) -> Variable:
    """Return x as `dtype`; the gradient comes back in x's own.

    Example:
        >>> astype(np.array([1.5]), 'float32').dtype
        dtype('float32')
    """
    x = as_variable(x)
    return x if x.dtype == np.dtype(dtype) else AsType(dtype)(x)


class AsType(Function):
    saves = ()

    def __init__(self, dtype: Any) -> None:
        self.dtype = np.dtype(dtype)

    def forward(self, x: Array) -> Array:
        self.x_dtype = x.dtype
        return x.astype(self.dtype)

    def backward(self, gy: Variable) -> Any:
        return astype(gy, self.x_dtype)
