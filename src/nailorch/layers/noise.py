"""Noise that keeps a network from learning its samples by heart."""

from __future__ import annotations

from typing import Any

import nailorch.functions as F
from nailorch.core import Variable
from nailorch.layers.base import Layer
from nailorch.messages import message

__all__ = ['Dropout']


class Dropout(Layer):
    """F.dropout: while training, a share `dropout_ratio` of the features is dropped; in test mode none is."""

    def __init__(self, dropout_ratio: float = 0.5) -> None:
        if not 0 <= dropout_ratio <= 1:
            raise ValueError(message('ratio.range', op='Dropout', name='dropout_ratio', value=dropout_ratio))
        self.dropout_ratio = dropout_ratio

    def forward(self, x: Any) -> Variable:
        return F.dropout(x, self.dropout_ratio)
