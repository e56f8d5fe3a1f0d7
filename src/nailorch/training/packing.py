"""Nested state, parted into what safetensors holds (arrays) and what JSON holds (all else), and put together again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ['pack', 'unpack']

Array = npt.NDArray[Any]
MARK = '__array__'


def pack(state: Any, path: str = '') -> tuple[dict[str, Array], Any]:
    """Return (arrays, plain): each array of `state` by its path, and `state` with marks in their places.

    Example:
        >>> arrays, plain = pack({'model': {'W': np.ones(2)}, 'step': 3})
        >>> plain
        {'model': {'W': {'__array__': 'model/W'}}, 'step': 3}
        >>> arrays
        {'model/W': array([1., 1.])}
    """
    if isinstance(state, np.ndarray):
        return {path: state}, {MARK: path}
    if isinstance(state, Mapping):
        arrays: dict[str, Array] = {}
        plain = {}
        for name, value in state.items():
            inside, plain[name] = pack(value, f'{path}/{name}' if path else name)
            assert not arrays.keys() & inside.keys(), f'two arrays are called {inside.keys()}'
            arrays.update(inside)
        return arrays, plain
    return {}, state


def unpack(arrays: Mapping[str, Array], plain: Any) -> Any:
    """Put together what `pack` parted.

    Raises:
        ValueError: an array that is marked is missing.
    """
    if not isinstance(plain, dict):
        return plain
    if plain.keys() == {MARK}:
        if not isinstance(plain[MARK], str) or plain[MARK] not in arrays:
            raise ValueError(f'there is no array {plain[MARK]!r}')
        return arrays[plain[MARK]]
    return {name: unpack(arrays, value) for name, value in plain.items()}
