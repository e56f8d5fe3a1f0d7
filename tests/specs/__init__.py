"""One OpSpec a public function: what it computes, said independently, and the inputs that try it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Sample:
    """One call: its arguments (float arrays among them are differentiated) and keywords."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        shown = [str(a.shape) if isinstance(a, np.ndarray) else repr(a)[:40] for a in self.args]
        return '-'.join([*shown, *(f'{k}={v}' for k, v in self.kwargs.items())]).replace(' ', '')


def sample(*args: Any, **kwargs: Any) -> Sample:
    return Sample(args, kwargs)


@dataclass(frozen=True)
class OpSpec:
    """What test_specs.py holds a public function to.

    Args:
        name: its name in nailorch.functions.
        op: the function.
        reference: the same from float64 loops or NumPy, without nailorch: arrays in, an array (or several) out.
        samples: calls with float64 arrays, away from kinks and ties unless those are the subject.
        errors: (call, exception, part of its text).
        torch: the same with tensors, where PyTorch has it; its gradients are compared too.
        order: to which order its derivatives are checked; 0: it has none.
        low: dtypes besides float64 that must come out as they went in.
    """

    name: str
    op: Callable[..., Any]
    reference: Callable[..., Any]
    samples: list[Sample]
    errors: list[tuple[Callable[[], Any], type[Exception], str]] = field(default_factory=list)
    torch: Callable[..., Any] | None = None
    order: int = 2
    low: tuple[Any, ...] = (np.float32, np.float16)

    def __str__(self) -> str:
        return self.name


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """Return a fresh float64 array for a sample, the same in every run."""
    return np.asarray(np.random.default_rng([seed, *shape]).standard_normal(shape))


def positive(*shape: int, seed: int = 0) -> np.ndarray:
    return np.abs(normal(*shape, seed=seed)) + 0.5


def distinct(*shape: int, seed: int = 0) -> np.ndarray:
    """Return numbers at least 0.1 apart, in random order: no ties for a maximum to break."""
    n = int(np.prod(shape))
    return (np.random.default_rng([seed, *shape]).permutation(n) - n / 2).reshape(shape) / 10 + 0.05
