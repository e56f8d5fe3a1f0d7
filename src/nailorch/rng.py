"""The one source of randomness: initial weights, dropout, shuffling and augmentation all draw from here.

It is apart from `np.random`, so that seeding one never disturbs the other.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

__all__ = ['generator', 'get_state', 'seed', 'set_state', 'using_generator']

_shared = np.random.default_rng()
_local: contextvars.ContextVar[Callable[[], np.random.Generator]] = contextvars.ContextVar('nailorch_rng')


def seed(n: int) -> None:
    """Make everything random that follows the same from run to run."""
    _shared.bit_generator.state = np.random.default_rng(n).bit_generator.state


def generator() -> np.random.Generator:
    """Return the generator in force: the process's own, or that of `using_generator`."""
    return _local.get(lambda: _shared)()


@contextlib.contextmanager
def using_generator(local: np.random.Generator | Callable[[], np.random.Generator]) -> Iterator[None]:
    """Draw from `local` inside the block, in this thread alone; a loader's workers give each sample its own.

    A function in place of a generator makes one at the first draw: many samples are read without any.
    """
    token = _local.set(functools.cache(local) if callable(local) else lambda: local)
    try:
        yield
    finally:
        _local.reset(token)


def get_state() -> dict[str, Any]:
    """Return the generator's state, made of ints and strings alone (JSON keeps it)."""
    return dict(generator().bit_generator.state)


def set_state(state: dict[str, Any]) -> None:
    """Go on from where `get_state` was called."""
    generator().bit_generator.state = state
