"""Taking elements out, and adding their gradients back where they came from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nailorch.core import Function, Variable
from nailorch.shapes import Array

__all__ = ['GetItem', 'GetItemGrad', 'get_item']


def get_item(x: Any, slices: Any) -> Variable:
    """Return x[slices], for all that NumPy takes: ints, slices, ..., None, arrays of ints or bools.

    An element taken twice gets both gradients.

    Example:
        >>> get_item(np.array([1., 2., 3.]), [0, 0, 2])
        variable([1. 1. 3.])
    """
    return GetItem(arrays_only(slices))(x)


def arrays_only(slices: Any) -> Any:
    """Return `slices` with its Variables as arrays."""
    if isinstance(slices, tuple):
        return tuple(map(arrays_only, slices))
    return slices.data if isinstance(slices, Variable) else slices


class GetItem(Function):
    saves = ()

    def __init__(self, slices: Any) -> None:
        self.slices = slices

    def forward(self, x: Array) -> Array:
        self.x_shape = x.shape
        return x[self.slices]

    def backward(self, gy: Variable) -> Any:
        return GetItemGrad(self.slices, self.x_shape)(gy)


class GetItemGrad(Function):
    saves = ()

    def __init__(self, slices: Any, x_shape: Sequence[int]) -> None:
        self.slices, self.x_shape = slices, x_shape

    def forward(self, gy: Array) -> Array:
        gx = np.zeros(self.x_shape, gy.dtype)
        items = self.slices if isinstance(self.slices, tuple) else (self.slices,)
        if all(isinstance(item, int | np.integer | slice | None | type(...)) for item in items):
            gx[self.slices] = gy  # nothing is taken twice
        else:
            np.add.at(gx, self.slices, gy)
        return gx

    def backward(self, ggx: Variable) -> Any:
        return get_item(ggx, self.slices)
