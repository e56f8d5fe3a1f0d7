"""Layers that remember: each call takes one time step, and its result depends on the calls before."""

from __future__ import annotations

from typing import Any

import numpy as np

import nailorch.functions as F
from nailorch.core import Variable
from nailorch.layers.base import Layer
from nailorch.layers.dense import Linear
from nailorch.messages import message

__all__ = ['LSTM', 'RNN']


class RNN(Layer):
    """A recurrent layer: h = tanh(x2h(x) + h2h(h)).

    Args:
        hidden_size: features of the state h, which is also the output.
        in_size: features that go in; None: what the first call brings.
    Attributes:
        h: the state, (N, hidden_size); None before the first step.
    Example:
        >>> rnn = RNN(4)
        >>> [rnn(np.ones((2, 3), 'float32')).shape for step in range(2)]
        [(2, 4), (2, 4)]

    Source: Elman, Finding structure in time, 1990.
    """

    def __init__(self, hidden_size: int, in_size: int | None = None) -> None:
        self.hidden_size, self.in_size = hidden_size, in_size
        self.x2h = Linear(hidden_size, in_size=in_size)
        self.h2h = Linear(hidden_size, in_size=hidden_size, nobias=True)
        self.reset_state()

    def reset_state(self) -> None:
        """Forget the steps before: the next call begins a sequence."""
        self.h: Variable | None = None

    def forward(self, x: Any) -> Variable:
        check_batch(self, x, self.h)
        y = self.x2h(x)
        self.h = h = F.tanh(y if self.h is None else y + self.h2h(self.h))
        return h


class LSTM(Layer):
    """Long short-term memory: gates decide what the cell c forgets, takes in, and shows as h.

        f, i, o = sigmoid(x2f(x) + h2f(h)), ...      u = tanh(x2u(x) + h2u(h))
        c = f * c + i * u                            h = o * tanh(c)

    Args:
        hidden_size: features of the states h and c; h is also the output.
        in_size: features that go in; None: what the first call brings.
    Attributes:
        h, c: the states, (N, hidden_size); None before the first step.

    Source: Hochreiter & Schmidhuber, Long short-term memory, 1997; its gate f: Gers, Schmidhuber & Cummins,
    Learning to forget, 2000.
    """

    def __init__(self, hidden_size: int, in_size: int | None = None) -> None:
        self.hidden_size, self.in_size = hidden_size, in_size
        for gate in 'fiou':
            setattr(self, f'x2{gate}', Linear(hidden_size, in_size=in_size))
        for gate in 'fiou':
            setattr(self, f'h2{gate}', Linear(hidden_size, in_size=hidden_size, nobias=True))
        self.reset_state()

    def reset_state(self) -> None:
        """Forget the steps before: the next call begins a sequence."""
        self.h: Variable | None = None
        self.c: Variable | None = None

    def gate(self, name: str, x: Any) -> Variable:
        """Return what one gate makes of the input and the state before it."""
        y = getattr(self, f'x2{name}')(x)
        return y if self.h is None else y + getattr(self, f'h2{name}')(self.h)

    def forward(self, x: Any) -> Variable:
        check_batch(self, x, self.h)
        f, i, o = (F.sigmoid(self.gate(name, x)) for name in 'fio')
        u = F.tanh(self.gate('u', x))
        self.c = c = i * u if self.c is None else f * self.c + i * u
        self.h = h = o * F.tanh(c)
        return h


def check_batch(layer: Layer, x: Any, h: Variable | None) -> None:
    """Raise ValueError if the state is that of another batch."""
    if h is not None and h.shape[:-1] != np.shape(x)[:-1]:
        raise ValueError(message('rnn.batch', layer=type(layer).__name__, h=h.shape, x=np.shape(x)))
