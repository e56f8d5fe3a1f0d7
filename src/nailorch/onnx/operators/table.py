"""The table of operators: each ONNX name, and the function that computes it with nailorch's own.

An operator's function takes its inputs in ONNX's order, then its attributes by ONNX's names. What differs between
versions of ONNX is another function, valid `since` a later opset. One that may have several results is told how many
are asked for, as `outputs`.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from nailorch.core import Function, Parameter, Variable, as_array, as_variable, watched
from nailorch.messages import message
from nailorch.shapes import Array

__all__ = ['OPERATORS', 'Discrete', 'Operator', 'bounded', 'discrete', 'find', 'host', 'ints', 'like', 'operator']

PREVIEW = 'ai.onnx.preview.training'
LARGEST = 2 ** 28  # elements of an array that a few numbers in a file ask for


@dataclass(frozen=True, eq=False)
class Operator:
    """One operator, in the form that it has since an opset.

    Attributes:
        weights: places of inputs that are learned, however small; others are where they have several elements.
        settings: places of inputs that say how to compute, and are never learned.
        buffers: places of averages that training follows.
    """

    name: str
    domain: str
    since: int
    function: Callable[..., Any]
    weights: tuple[int, ...] = ()
    settings: tuple[int, ...] = ()
    buffers: tuple[int, ...] = ()

    @cached_property
    def keywords(self) -> dict[str, Any]:
        """Its attributes, and `outputs` if it asks for that: their default values by name."""
        parameters = inspect.signature(self.function).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


OPERATORS: dict[tuple[str, str], list[Operator]] = {}


def operator(*names: str, since: int = 1, domain: str = '', weights: Sequence[int] = (), settings: Sequence[int] = (),
             buffers: Sequence[int] = ()) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function as the operator of these names."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            entry = Operator(name, domain, since, function, tuple(weights), tuple(settings), tuple(buffers))
            OPERATORS.setdefault((domain, name), []).append(entry)
        return function

    return register


def find(domain: str, name: str, opset: int) -> Operator | None:
    """Return an operator as it is in that opset, or None."""
    forms = [form for form in OPERATORS.get((domain, name), ()) if form.since <= opset]
    return max(forms, key=lambda form: form.since, default=None)


# what has no derivative


class Discrete(Function):
    """An operator that NumPy computes and that has no derivative: a comparison, a rounding, the place of a maximum.

    `op` and `options` are ONNX's: the operator's name and its attributes.
    """

    saves = ()

    def __init__(self, op: str, options: dict[str, Any]) -> None:
        self.op, self.options = op, options

    def forward(self, *xs: Array) -> Any:
        return DISCRETE[self.op](*xs, **self.options)

    def backward(self, *gys: Variable) -> Any:
        return (None,) * len(self.nodes)


DISCRETE: dict[str, Callable[..., Any]] = {}


def discrete(op: str, *xs: Any, **options: Any) -> Any:
    """Return what NumPy makes of the inputs by the operator of that name in DISCRETE."""
    return Discrete(op, options)(*xs)


# inputs that say how to compute


def host(x: Any) -> Array:
    """Return an input that is a setting, such as a shape, as a plain array.

    Raises:
        ValueError: it is computed from the model's inputs, and a Graph is being made, which would keep this one value.
    """
    if isinstance(x, Variable) and not isinstance(x, Parameter) and watched():
        raise ValueError(message('onnx.read.setting'))
    return as_array(x)


def ints(x: Any) -> tuple[int, ...]:
    """Return an input or attribute that is a list of ints."""
    return tuple(int(item) for item in np.atleast_1d(host(x)).ravel())


def bounded(shape: Sequence[int]) -> tuple[int, ...]:
    """Return a shape that was computed from numbers in a file, if such an array is not absurd.

    Raises:
        ValueError: it has too many elements, or a size below 0.
    """
    shape = tuple(int(size) for size in shape)
    if min(shape, default=0) < 0 or math.prod(shape) > LARGEST or len(shape) > 32:
        raise ValueError(message('onnx.read.large', shape=shape, most=LARGEST))
    return shape


def like(values: Any, x: Any) -> Array:
    """Return numbers as an array of x's dtype."""
    return np.asarray(values, as_variable(x).dtype)
