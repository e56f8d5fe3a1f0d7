"""Layers that keep the numbers and change their shape."""

from __future__ import annotations

from typing import Any

import nailorch.functions as F
from nailorch.core import Variable
from nailorch.layers.base import Layer

__all__ = ['Flatten']


class Flatten(Layer):
    """F.flatten: (N, C, H, W) becomes (N, C*H*W), as a dense layer wants it."""

    def forward(self, x: Any) -> Variable:
        return F.flatten(x)
