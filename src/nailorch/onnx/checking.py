"""Is a file what it was made from? Another runtime is asked."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

import numpy as np

from nailorch import core
from nailorch.config import no_grad, test_mode
from nailorch.shapes import Array

__all__ = ['distance', 'largest_difference']


def largest_difference(model: Any, file: bytes | str | os.PathLike[str], *inputs: Array) -> float:
    """Return how far onnxruntime's answers are from the model's, as a part of the largest number.

    Args:
        model: as it was exported.
        file: what was exported: a path, or the file's content.
        inputs: a batch for each of its inputs.

    Raises:
        ImportError: onnxruntime is not installed.
    """
    runtime: Any = import_module('onnxruntime')
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors alone
    content = file if isinstance(file, bytes) else os.fspath(file)
    session = runtime.InferenceSession(content, options, providers=['CPUExecutionProvider'])
    got = session.run(None, dict(zip((each.name for each in session.get_inputs()), inputs, strict=True)))
    with no_grad(), test_mode():
        return distance(got, flat(model(*inputs)))


def flat(result: Any) -> list[Array]:
    """Return the arrays of a model's result, out of tuples, lists and dicts."""
    if isinstance(result, tuple | list | dict):
        items = result.values() if isinstance(result, dict) else result
        return [array for item in items for array in flat(item)]
    return [core.as_array(result)]


def distance(got: list[Array], expected: list[Array]) -> float:
    """Return the largest difference between two lists of arrays, as a part of the largest number of the second."""
    if [each.shape for each in got] != [each.shape for each in expected]:
        return float('inf')
    scale = max(float(np.abs(each).max(initial=0)) for each in expected) or 1.0
    return max(float(np.abs(a.astype(float) - b).max(initial=0)) for a, b in zip(got, expected, strict=True)) / scale
