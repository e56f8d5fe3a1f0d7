"""What is sent through a model to see what it does: for each of its inputs an array of one item, made from a shape."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np

from nailorch.config import Config
from nailorch.layers import Layer
from nailorch.messages import message
from nailorch.shapes import Array, integer

__all__ = ['Shapes', 'examples', 'shapes_of']

Shapes = int | Sequence[int] | Sequence[Sequence[int]]


def shapes_of(who: str, given: Shapes) -> list[tuple[int, ...]]:
    """Return the shape of an item of each input: one shape is given, or a list of them.

    Raises:
        ValueError: these are no shapes; the error begins with `who` was asked.
    """
    several = not integer(given) and len(given) and not any(map(integer, given))  # type: ignore[arg-type]
    shapes = [(int(each),) if integer(each) else tuple(each)  # type: ignore[arg-type]
              for each in (given if several else [given])]  # type: ignore[union-attr]
    for shape in shapes:
        if not shape or not all(integer(size) and size > 0 for size in shape):
            raise ValueError(message('summary.input', who=who, shape=given))
    return shapes


def examples(who: str, model: Layer, given: Shapes, dtype: Any = None) -> list[Array]:
    """Return a batch of one for each input of a model.

    Args:
        given: as in `shapes_of`.
        dtype: of all inputs, or a list with one for each; None: what a file says of them, else `Config.dtype`.
    Raises:
        ValueError: these are no shapes, or the model takes more or fewer inputs.
    """
    shapes = shapes_of(who, given)
    known = getattr(model, 'input_types', ())  # of a network out of a file
    dtypes = dtype if isinstance(dtype, list | tuple) else known if known and dtype is None else [dtype] * len(shapes)
    arrays = [np.zeros((1, *shape), kind or Config.dtype) for shape, kind in zip(shapes, dtypes, strict=False)]
    taken = inspect.signature(model.forward)
    try:
        taken.bind(*arrays)
    except TypeError as error:
        names = [name for name, each in taken.parameters.items() if each.default is each.empty]
        raise ValueError(message('summary.inputs', who=who, model=type(model).__name__, names=', '.join(names),
                                 taken=len(names), count=len(shapes), shape=given)) from error
    return arrays
