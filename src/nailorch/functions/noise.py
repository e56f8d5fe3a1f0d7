"""Noise that a network learns to live with."""

from __future__ import annotations

from typing import Any

import numpy as np

from nailorch import kernels, rng
from nailorch.config import Config
from nailorch.core import Function, Variable, as_variable, own
from nailorch.kernels.reference import float_type
from nailorch.messages import message
from nailorch.shapes import Array

__all__ = ['Dropout', 'dropout']


def dropout(x: Any, dropout_ratio: float = 0.5) -> Variable:
    """Set elements to 0 at random while training, and scale up the others, so that the expected sum stays.

    In test mode (`Config.train` is False) x comes back as it is. The same seed drops the same elements.

    Args:
        dropout_ratio: the part that is dropped, from 0 to 1.
    Returns:
        x / (1 - dropout_ratio) or 0, of x's shape.
    Raises:
        ValueError: the ratio is not between 0 and 1.
    Example:
        >>> sorted(set(dropout(np.ones(100), 0.75).data.tolist()))
        [0.0, 4.0]
        >>> with test_mode():
        ...     dropout(np.ones(3))
        variable([1. 1. 1.])

    Source: Srivastava et al., Dropout: a simple way to prevent neural networks from overfitting, 2014.
    """
    if not 0 <= dropout_ratio <= 1:
        raise ValueError(message('ratio.range', op='dropout', name='dropout_ratio', value=dropout_ratio))
    if not Config.train or dropout_ratio == 0:
        return as_variable(x)
    return Dropout(dropout_ratio)(x)


class Dropout(Function):
    saves = 'mask',

    def __init__(self, dropout_ratio: float = 0.5) -> None:
        self.dropout_ratio = dropout_ratio

    def forward(self, x: Array) -> Array:
        model = np.empty_like(x, float_type(x.dtype))  # in x's memory order: the product then keeps it

        def draw() -> Array:
            mask = np.empty_like(model)
            np.greater_equal(rng.generator().random(mask.shape, np.float32), self.dropout_ratio, out=mask)
            mask *= 1 / (1 - self.dropout_ratio) if self.dropout_ratio < 1 else 0
            return mask

        self.mask = kernels.again(draw, [])
        return kernels.elementwise(np.multiply, x, self.mask)

    def backward(self, gy: Variable) -> Any:
        mask, = self.saved
        if not Config.enable_backprop:  # nobody will differentiate this again
            return own(kernels.elementwise(np.multiply, gy.data, mask))
        return gy * mask
