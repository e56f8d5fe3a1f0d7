"""Variable: an array, and the node that says where it stands on the tape.

The two are apart so that the tape can be kept without the arrays: a Function remembers its inputs' *nodes*, and only
those arrays that its backward needs. What nobody needs is freed as soon as the user lets go of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

import nailorch
from nailorch.hints import VARIABLE, missing
from nailorch.messages import message
from nailorch.shapes import Array

if TYPE_CHECKING:
    from nailorch.core.function import Function

__all__ = ['Buffer', 'Node', 'Parameter', 'Variable', 'as_array', 'as_variable', 'operands', 'own', 'scalar_like']


class Node:
    """A place on the tape: which Function made it (None for a leaf), how deep, and the gradient that arrived."""

    __slots__ = ('__weakref__', 'creator', 'generation', 'grad', 'requires_grad', 'retains_grad')

    def __init__(self, requires_grad: bool) -> None:
        self.creator: Function | None = None
        self.generation = 0
        self.grad: Variable | None = None
        self.requires_grad = requires_grad
        self.retains_grad = False


class Variable:
    """An array that remembers how it was computed, so that it can be differentiated.

    Args:
        data: an array, or what NumPy makes one of.
        name: for people who read prints and graphs.
        requires_grad: False for data that nothing is learned about; integers never require a gradient.
    """

    moments: tuple[Array, Array] | None = None  # each channel's mean and variance, if the convolution took them

    __array_priority__ = 200  # array * variable is the Variable's business
    __array_ufunc__ = None  # np.exp(variable) would lose the tape; it is a TypeError instead

    def __init__(self, data: Any, name: str | None = None, requires_grad: bool = True) -> None:
        self._array: Any = None if data is None else as_array(data)
        self.name = name
        self.node = Node(requires_grad and (data is None or self.data.dtype.kind == 'f'))
        self.owned = False  # True while this array belongs to no other Variable: a leaf's gradient may take it

    @classmethod
    def at(cls, node: Node, data: Array) -> Variable:
        """Return a Variable that stands at a `node` already on the tape."""
        self = Variable.__new__(Variable)
        self._array, self.name, self.node, self.owned = data, None, node, False
        return self

    @property
    def data(self) -> Array:
        """The array, which may be replaced: what is no array becomes one, and a Variable leaves its tape behind."""
        return self._array

    @data.setter
    def data(self, value: Any) -> None:
        self._array = value if value is None or isinstance(value, np.ndarray) else as_array(value)
        vars(self).pop('moments', None)  # they were the other array's

    # the tape

    @property
    def grad(self) -> Variable | None:
        """The derivative that `backward()` left here, or None."""
        return self.node.grad

    @grad.setter
    def grad(self, value: Any) -> None:
        self.node.grad = None if value is None else as_variable(value)

    @property
    def creator(self) -> Function | None:
        """The Function that made this Variable; None for a leaf."""
        return self.node.creator

    @property
    def generation(self) -> int:
        """How many Functions lie between this Variable and the farthest leaf."""
        return self.node.generation

    @property
    def requires_grad(self) -> bool:
        """Whether `backward()` computes a derivative with respect to this Variable."""
        return self.node.requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if self.node.creator is not None:
            raise ValueError('requires_grad: this Variable was computed; set it on a leaf, or detach() first')
        if value and self.data is not None and self.data.dtype.kind != 'f':
            raise ValueError(f'requires_grad: only floats have derivatives, this Variable holds {self.data.dtype}')
        self.node.requires_grad = bool(value)

    if not TYPE_CHECKING:
        def __getattr__(self, name: str) -> Any:
            raise missing(self, name, VARIABLE)

    def backward(self, retain_grad: bool = False, create_graph: bool = False, retain_graph: bool | None = None, *,
                 grad: Any = None) -> None:
        """Leave in every leaf's `grad` the derivative of this Variable with respect to it, added to what is there.

        The arrays that it needs were kept, not copied: what is written into one in the meantime, as by an optimiser's
        update, is what it differentiates at.

        Args:
            retain_grad: also leave gradients in the Variables between.
            create_graph: record the derivative itself, so that it can be differentiated again.
            retain_graph: keep what a second backward() needs; by default as `create_graph`.
            grad: the derivative of the final result with respect to this Variable; by default what was put in `grad`,
                else ones.
        Raises:
            ValueError: nothing differentiable led here, or the arrays it needs were freed by an earlier backward().
        Example:
            >>> x = Variable(np.array(3.0))
            >>> y = x ** 2
            >>> y.backward()
            >>> x.grad
            variable(6.0)
        """
        from nailorch.core import tape
        tape.backward(self, retain_grad, create_graph, create_graph if retain_graph is None else retain_graph, grad)

    def cleargrad(self) -> None:
        """Forget the gradient."""
        self.node.grad = None

    def retain_grad(self) -> None:
        """Ask the next backward() to leave its gradient here too, though this is no leaf."""
        self.node.retains_grad = True

    def detach(self) -> Variable:
        """Return a Variable over the same array that no gradient passes."""
        return Variable(self.data, self.name, requires_grad=False)

    def unchain(self) -> None:
        """Cut the tape behind this Variable: it becomes a leaf."""
        self.node.creator = None

    def unchain_backward(self) -> None:
        """Cut the tape behind every Variable that led here, as truncated backpropagation through time does."""
        from nailorch.core import tape
        tape.unchain(self)

    # the array

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def ndim(self) -> int:
        return self.data.ndim

    @property
    def size(self) -> int:
        return self.data.size

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.data.dtype

    @property
    def T(self) -> Variable:
        return self.transpose()

    def numpy(self) -> Array:
        """Return the array itself, not a copy."""
        return self.data

    def item(self) -> Any:
        """Return the only element as a Python number."""
        return self.data.item()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.data, dtype=dtype, copy=copy)

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[Variable]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        return 'variable(' + str(self.data).replace('\n', '\n' + ' ' * 9) + ')'

    def __format__(self, spec: str) -> str:
        return format(self.item() if self.data is not None and self.data.ndim == 0 else repr(self), spec)

    def __bool__(self) -> bool:
        return bool(self.data)

    def __float__(self) -> float:
        return float(self.data.item())

    def __int__(self) -> int:
        return int(self.data.item())

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in vars(self).items() if name not in ('node', 'owned', 'moments')}
        return {**state, 'requires_grad': self.requires_grad}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.node, self.owned = Node(state.pop('requires_grad')), False
        vars(self).update(state)

    def to_cpu(self) -> Variable:
        """Return this Variable: it is on the CPU."""
        return self

    def to_gpu(self) -> NoReturn:
        """Raise, since no GPU is usable."""
        nailorch.cuda.as_cupy(self.data)

    # operators are functions; nailorch.functions is looked up when one is used

    def __add__(self, other: Any) -> Variable:
        return nailorch.functions.add(self, other)

    def __radd__(self, other: Any) -> Variable:
        return nailorch.functions.add(other, self)

    def __sub__(self, other: Any) -> Variable:
        return nailorch.functions.sub(self, other)

    def __rsub__(self, other: Any) -> Variable:
        return nailorch.functions.sub(other, self)

    def __mul__(self, other: Any) -> Variable:
        return nailorch.functions.mul(self, other)

    def __rmul__(self, other: Any) -> Variable:
        return nailorch.functions.mul(other, self)

    def __truediv__(self, other: Any) -> Variable:
        return nailorch.functions.div(self, other)

    def __rtruediv__(self, other: Any) -> Variable:
        return nailorch.functions.div(other, self)

    def __pow__(self, exponent: Any) -> Variable:
        return nailorch.functions.pow(self, exponent)

    def __rpow__(self, base: Any) -> Variable:
        return nailorch.functions.pow(base, self)

    def __matmul__(self, other: Any) -> Variable:
        return nailorch.functions.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Variable:
        return nailorch.functions.matmul(other, self)

    def __neg__(self) -> Variable:
        return nailorch.functions.neg(self)

    def __abs__(self) -> Variable:
        return nailorch.functions.abs(self)

    def __getitem__(self, slices: Any) -> Variable:
        return nailorch.functions.get_item(self, slices)

    def reshape(self, *shape: Any) -> Variable:
        return nailorch.functions.reshape(self, shape[0] if len(shape) == 1 and not np.isscalar(shape[0]) else shape)

    def transpose(self, *axes: Any) -> Variable:
        order = axes[0] if len(axes) == 1 and not np.isscalar(axes[0]) else axes
        return nailorch.functions.transpose(self, order or None)

    def flatten(self) -> Variable:
        """Return the numbers along one axis, as NumPy's flatten does; `F.flatten` keeps the batch's."""
        return nailorch.functions.reshape(self, (-1,))

    def astype(self, dtype: Any) -> Variable:
        return nailorch.functions.astype(self, dtype)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Variable:
        return nailorch.functions.sum(self, axis, keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> Variable:
        return nailorch.functions.mean(self, axis, keepdims)

    def var(self, axis: Any = None, keepdims: bool = False) -> Variable:
        return nailorch.functions.var(self, axis, keepdims)

    def max(self, axis: Any = None, keepdims: bool = False) -> Variable:
        return nailorch.functions.max(self, axis, keepdims)

    def min(self, axis: Any = None, keepdims: bool = False) -> Variable:
        return nailorch.functions.min(self, axis, keepdims)

    # comparisons are not differentiable: they return plain arrays of bools

    def __eq__(self, other: Any) -> Array:  # type: ignore[override]
        return self.data == plain(other)

    def __ne__(self, other: Any) -> Array:  # type: ignore[override]
        return self.data != plain(other)

    def __lt__(self, other: Any) -> Array:
        return self.data < plain(other)

    def __le__(self, other: Any) -> Array:
        return self.data <= plain(other)

    def __gt__(self, other: Any) -> Array:
        return self.data > plain(other)

    def __ge__(self, other: Any) -> Array:
        return self.data >= plain(other)

    __hash__ = object.__hash__


class Parameter(Variable):
    """A Variable that a layer learns.

    Args:
        data: the array, or None while its size is unknown: a layer fills it at the first call.
        name: for people.
        shape: what is known of the shape before the first call, None for each unknown size: (16, None, 3, 3).
    """

    learned = True

    def __init__(self, data: Any, name: str | None = None, shape: Sequence[int | None] | None = None) -> None:
        super().__init__(data, name, requires_grad=self.learned)
        if self.learned and not self.requires_grad:
            raise TypeError(f'Parameter: only floats can be learned, not {self.dtype}; what is not learned is a Buffer')
        self.known_shape = tuple(shape) if shape is not None else None if data is None else self.data.shape

    def __getattr__(self, name: str) -> NoReturn:
        if vars(self).get('_array', self) is None:  # there is no array to ask for its shape, dtype ...
            raise AttributeError(message('parameter.unknown', name=self.name or 'Parameter', shape=self.known_shape))
        raise missing(self, name, VARIABLE)


class Buffer(Parameter):
    """State that is saved with a layer's parameters but not learned, such as batch norm's running averages."""

    learned = False


def as_array(x: Any) -> Array:
    """Return `x` as an array of numbers; NumPy's scalars keep their type as 0-d arrays."""
    if x is None:
        raise TypeError(message('array.none'))
    array = x.data if isinstance(x, Variable) else np.asarray(x)
    if array.dtype.kind not in 'biuf':
        raise TypeError(f'expected numbers, got {type(x).__name__} of dtype {array.dtype}')
    return array


def as_variable(x: Any) -> Variable:
    """Return `x` itself if it is a Variable, else a Variable over it that needs no gradient."""
    return x if isinstance(x, Variable) else Variable(as_array(x), requires_grad=False)


def own(array: Array | None) -> Variable | None:
    """Return a new array, which nobody else holds, as a Variable that may hand it on to a leaf's gradient."""
    if array is None:
        return None
    variable = Variable.at(Node(False), as_array(array))
    variable.owned = True
    return variable


def plain(x: Any) -> Any:
    return x.data if isinstance(x, Variable) else x


def scalar_like(x: Any, other: Any) -> Any:
    """Return `x` in the dtype of `other`, if `x` is a plain scalar; anything else comes back as it is.

    Python scalars, NumPy scalars and 0-d plain arrays have no type of their own beside an array: float32 * 2.0 is
    float32. Beside integers, a float makes floats, as in NumPy. A 0-d Variable is an array like any other.
    """
    if isinstance(x, Variable) or (x := as_array(x)).ndim:
        return x
    value = x.item()
    return np.asarray(value, np.result_type(as_array(other).dtype, value))


def operands(x0: Any, x1: Any) -> tuple[Any, Any]:
    """Return the two sides of an operator, a plain scalar in the dtype of the other side."""
    x0 = scalar_like(x0, x1)
    return x0, scalar_like(x1, x0)
