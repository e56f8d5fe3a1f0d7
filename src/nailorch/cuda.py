"""Where a GPU would be: the old home of device helpers. nailorch computes on the CPU, and says so plainly."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from nailorch.core import as_array
from nailorch.hints import CUDA, missing
from nailorch.messages import message
from nailorch.shapes import Array

__all__ = ['as_cupy', 'as_numpy', 'get_array_module', 'gpu_enable']

gpu_enable = False

if not TYPE_CHECKING:
    def __getattr__(name: str) -> Any:
        raise missing(sys.modules[__name__], name, CUDA)


def get_array_module(x: Any) -> ModuleType:
    """Return the module whose arrays `x` is made of: NumPy."""
    return np


def as_numpy(x: Any) -> Array:
    """Return `x` as a NumPy array."""
    return as_array(x)


def as_cupy(x: Any) -> NoReturn:
    """Raise: no GPU is usable."""
    raise RuntimeError(message('gpu.none'))
