"""Layers whose outputs see all inputs."""

from __future__ import annotations

from typing import Any, ClassVar

import nailorch.functions as F
from nailorch.core import Parameter, Variable, as_variable
from nailorch.functions.activation import check_activation
from nailorch.layers.base import Layer, check_nobias, float_dtype, unknown, warn_if_double
from nailorch.layers.initializers import Init, Normal, initial
from nailorch.shapes import Array, at_least

__all__ = ['EmbedID', 'Linear']


class Linear(Layer):
    """A dense layer: every output is a weighted sum of all inputs, plus a bias.

    Args:
        out_size: features that come out.
        nobias: True for no bias.
        dtype: of the parameters; None: `Config.dtype`.
        in_size: features that go in; None: what the first call brings.
        W_init, b_init: an initializer, a number or an array; for W None: LeCunNormal().
        activation: 'relu' or 'relu6', which then follows in one go; '' for none.
    Attributes:
        W: (IN, OUT).
        b: (OUT,), or None.
    Raises:
        ValueError: when called on features of another number.
    Example:
        >>> Linear(10)(np.ones((2, 784), 'float32')).shape
        (2, 10)
    """

    torch_names: ClassVar = {'W': 'weight', 'b': 'bias'}
    keras_names: ClassVar = {'W': 'kernel', 'b': 'bias'}
    keras_kind = 'dense'

    def __init__(self, out_size: int, nobias: bool = False, dtype: Any = None, in_size: int | None = None,
                 W_init: Init = None, b_init: Init = 0, activation: str = '') -> None:
        check_activation('Linear', activation)
        self.activation = activation
        at_least(1, out_size, 'out_size')
        check_nobias(self, nobias, 'Linear(10, in_size=784)')
        self.out_size, self.nobias, self.in_size = out_size, nobias, in_size
        self.dtype, self.W_init = float_dtype(dtype), W_init
        self.W = Parameter(None, 'W', (in_size, out_size))
        self.b = None if nobias else Parameter(initial(b_init, (out_size,), 1, out_size, self.dtype), 'b')
        if in_size is not None:
            self.fill(in_size)

    def fill(self, in_size: int) -> None:
        """Draw W, now that its size is known."""
        at_least(1, in_size, 'in_size')
        self.in_size = in_size
        self.W.data = initial(self.W_init, (in_size, self.out_size), in_size, self.out_size, self.dtype)

    def forward(self, x: Any) -> Variable:
        x = as_variable(x)
        if unknown(self.W):
            self.fill(x.shape[-1] if x.ndim else 0)
        warn_if_double(self, x, self.W)
        return F.linear(x, self.W, self.b, self.activation)

    def torch_layout(self, name: str, array: Array) -> Array:
        """PyTorch's W is (OUT, IN)."""
        return array.T if name == 'W' else array


class EmbedID(Layer):
    """A table of vectors, one for each id.

    Args:
        in_size: how many ids there are.
        out_size: the vectors' length.
        dtype: of the table; None: `Config.dtype`.
        W_init: an initializer, a number or an array; None: Normal(1).
    Attributes:
        W: the table, (in_size, out_size).
    Example:
        >>> EmbedID(1000, 16)([3, 5]).shape
        (2, 16)
    """

    torch_names: ClassVar = {'W': 'weight'}
    keras_names: ClassVar = {'W': 'embeddings'}
    keras_kind = 'embedding'

    def __init__(self, in_size: int, out_size: int, dtype: Any = None, W_init: Init = None) -> None:
        at_least(1, in_size, 'in_size')
        at_least(1, out_size, 'out_size')
        self.in_size, self.out_size, self.dtype = in_size, out_size, float_dtype(dtype)
        W_init = Normal() if W_init is None else W_init
        self.W = Parameter(initial(W_init, (in_size, out_size), in_size, out_size, self.dtype), 'W')

    def forward(self, x: Any) -> Variable:
        return F.embed_id(x, self.W)
