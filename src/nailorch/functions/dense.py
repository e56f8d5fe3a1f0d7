"""Matrix products, and what a dense layer and an embedding make of them."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from nailorch import kernels
from nailorch.config import Config
from nailorch.core import Function, Variable, as_variable, own, watched
from nailorch.functions.activation import ACTIVATIONS, GATES, check_activation
from nailorch.functions.indexing import GetItemGrad
from nailorch.functions.reduction import sum
from nailorch.functions.shape import reshape, sum_to
from nailorch.messages import message
from nailorch.shapes import Array

__all__ = ['ActivatedLinear', 'EmbedID', 'Linear', 'MatMul', 'embed_id', 'linear', 'linear_simple', 'matmul']


def matmul(x: Any, W: Any) -> Variable:
    """Return the matrix product of the last two axes; those before are broadcast, as NumPy's matmul does.

    Args:
        x: (..., M, K), or (K,).
        W: (..., K, N), or (K,).
    Returns:
        (..., M, N), without M or N where x or W was a vector.
    Raises:
        ValueError: the inner sizes differ.
    Example:
        >>> matmul(np.ones((2, 3)), np.ones((3, 4))).shape
        (2, 4)
    """
    x, W = as_variable(x), as_variable(W)
    if x.ndim == 0 or W.ndim == 0 or x.shape[-1] != W.shape[-2 if W.ndim > 1 else 0]:
        raise ValueError(message('matmul.inner', x=x.shape, W=W.shape))
    a = reshape(x, (1, -1)) if x.ndim == 1 else x
    b = reshape(W, (-1, 1)) if W.ndim == 1 else W
    y = MatMul()(a, b)
    shape = y.shape[:-2] + y.shape[-2:][x.ndim == 1:1 + (W.ndim > 1)]
    return reshape(y, shape)


class MatMul(Function):
    """The product of x and W, or of their transposes, of which the derivatives are made:

    y = A B      gA = gy B^T      gB = A^T gy      and the transpose of each: gA^T = B gy^T      gB^T = gy^T A
    """

    saves = 'x', 'W'

    def __init__(self, turn_x: bool = False, turn_W: bool = False) -> None:
        self.turn_x, self.turn_W = turn_x, turn_W

    def forward(self, x: Array, W: Array) -> Array:
        return kernels.matmul(x.swapaxes(-1, -2) if self.turn_x else x, W.swapaxes(-1, -2) if self.turn_W else W)

    def backward(self, gy: Variable) -> Any:
        x, W = self.saved
        gx = gW = None
        if self.needs(0):
            gx = MatMul(self.turn_W, True)(W, gy) if self.turn_x else MatMul(False, not self.turn_W)(gy, W)
        if self.needs(1):
            gW = MatMul(True, self.turn_x)(gy, x) if self.turn_W else MatMul(not self.turn_x, False)(x, gy)
        return gx if gx is None else sum_to(gx, x.shape), gW if gW is None else sum_to(gW, W.shape)


def linear(x: Any, W: Any, b: Any = None, activation: str = '') -> Variable:
    """Return x @ W + b: every output is a weighted sum of all inputs.

    Args:
        x: a batch of features, (N, IN); more axes in front are kept.
        W: weights, (IN, OUT).
        b: bias, (OUT,), or None.
        activation: 'relu' or 'relu6' follows in one go.
    Returns:
        (N, OUT).
    Raises:
        ValueError: x has not as many features as W expects.
    Example:
        >>> linear(np.ones((2, 3)), np.ones((3, 1)), np.ones(1))
        variable([[4.]
                  [4.]])
    """
    check_activation('linear', activation)
    if activation and watched():
        return ACTIVATIONS[activation](linear(x, W, b))
    function = ActivatedLinear(activation) if activation else Linear()
    return function(x, W) if b is None else function(x, W, b)


class Linear(Function):
    saves: ClassVar[tuple[str, ...]] = 'x', 'W'

    def forward(self, x: Array, W: Array, b: Array | None = None) -> Array:
        self.check(x, W, b)
        return kernels.linear(x, W, b)

    def check(self, x: Array, W: Array, b: Array | None) -> None:
        """Raise ValueError unless all fit together."""
        if W.ndim != 2 or x.ndim == 0:
            raise ValueError(message('linear.axes', x=x.shape, W=W.shape))
        if x.shape[-1] != W.shape[0]:
            raise ValueError(message('linear.features', got=x.shape[-1], expected=W.shape[0], x=x.shape, W=W.shape,
                                     remedy=remedy(x, W)))
        if b is not None and b.shape != W.shape[1:]:
            raise ValueError(message('linear.bias', b=b.shape, W=W.shape, expected=W.shape[1:]))

    def backward(self, gy: Variable) -> Any:
        x, W = self.saved
        if not Config.enable_backprop:  # nobody will differentiate this again
            return tuple(map(own, kernels.linear_grads(x.data, W.data, gy.data, self.wanted)))
        return self.gradients(x, W, gy)

    def gradients(self, x: Variable, W: Variable, gy: Variable) -> Any:
        N = math.prod(x.shape[:-1])
        rows = reshape(gy, (N, W.shape[1]))
        return (reshape(MatMul(False, True)(rows, W), x.shape) if self.needs(0) else None,
                MatMul(True, False)(reshape(x, (N, W.shape[0])), rows) if self.needs(1) else None,
                sum(rows, axis=0) if self.needs(2) else None)


class ActivatedLinear(Linear):
    """A dense layer, and an activation whose result tells where the gradient passes."""

    saves = 'x', 'W', 'y'

    def __init__(self, activation: str) -> None:
        self.activation = activation

    def forward(self, x: Array, W: Array, b: Array | None = None) -> Array:
        self.check(x, W, b)
        return kernels.linear(x, W, b, self.activation)

    def backward(self, gy: Variable) -> Any:
        x, W, y = self.saved
        if not Config.enable_backprop:
            gs = kernels.linear_grads(x.data, W.data, gy.data, self.wanted, y.data, self.activation)
            return tuple(map(own, gs))
        return self.gradients(x, W, GATES[self.activation]()(y.data, gy))


def remedy(x: Array, W: Array) -> str:
    """Return what most often lies behind features that do not fit."""
    if x.ndim == 4 and math.prod(x.shape[1:]) == W.shape[0]:
        return message('linear.flatten')
    features, expected = x.shape[-1], W.shape[0]
    if x.ndim == 2 and features and expected == 4 * features:
        return message('linear.pooled', got=features, expected=expected)
    if x.ndim == 2 and expected and features == 4 * expected:
        return message('linear.unpooled', got=features, expected=expected)
    return ''


def linear_simple(x: Any, W: Any, b: Any = None) -> Variable:
    """Return x @ W + b from two functions: the readable twin of linear."""
    y = matmul(x, W)
    return y if b is None else y + b


def embed_id(x: Any, W: Any) -> Variable:
    """Return row x[i] of W for every id: a linear layer on one-hot vectors, without the zeros.

    Args:
        x: ids, ints of any shape.
        W: the table, (VOCABULARY, OUT).
    Returns:
        x's shape + (OUT,).
    Raises:
        ValueError: an id is not in the table.
    Example:
        >>> embed_id([0, 2], np.eye(3))
        variable([[1. 0. 0.]
                  [0. 0. 1.]])
    """
    x, W = as_variable(x), as_variable(W)
    ids = x.data
    if ids.dtype.kind not in 'iu' or (ids.size and not 0 <= ids.min() <= ids.max() < len(W)):
        raise ValueError(message('embed.ids', dtype=ids.dtype, last=len(W) - 1,
                                 low=ids.min() if ids.size else None, high=ids.max() if ids.size else None))
    return EmbedID()(x, W)


class EmbedID(Function):
    saves = 'x',

    def forward(self, x: Array, W: Array) -> Array:
        self.W_shape = W.shape
        return W[x]

    def backward(self, gy: Variable) -> Any:
        x, = self.saved
        return None, GetItemGrad(x.data, self.W_shape)(gy)
