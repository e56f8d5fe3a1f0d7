"""One node on its way into an ONNX file: what a writer may ask, and what it writes with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nailorch.graph import Node, Value

if TYPE_CHECKING:
    from nailorch.onnx.exporting import File

__all__ = ['Step', 'Unwritable']


class Unwritable(Exception):
    """A node that ONNX, or this version of it, has no form for; the text says why."""


class Step:
    """A node being written.

    Attributes:
        inputs, outputs: its Values: names, shapes, types.
        opset: the version of ONNX's operators that is written.
    """

    def __init__(self, file: File, node: Node, inputs: Sequence[Value], outputs: Sequence[Value]) -> None:
        self.file, self.node, self.inputs, self.outputs, self.opset = file, node, inputs, outputs, file.opset

    def __getitem__(self, name: str) -> Any:
        """Return what the Function was made with: step['stride']."""
        return self.node.attributes[name]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The result's type."""
        return self.outputs[0].dtype

    @property
    def shape(self) -> tuple[Any, ...]:
        """The first input's shape."""
        return self.inputs[0].shape

    def raw(self, index: int = 0) -> str:
        """Return the name of an input as it is."""
        return self.file.names[self.inputs[index].id]

    def x(self, index: int = 0, dtype: Any = None) -> str:
        """Return the name of an input in the result's type, or `dtype`: NumPy mixes types, ONNX does not."""
        wanted = np.dtype(dtype or self.dtype)
        return self.raw(index) if self.inputs[index].dtype == wanted else self.cast(self.raw(index), wanted)

    def xs(self) -> list[str]:
        """Return the names of all inputs, in the result's type."""
        return [self.x(index) for index in range(len(self.inputs))]

    def cast(self, name: str, dtype: Any) -> str:
        return self.add('Cast', name, to=self.file.code(dtype))

    def add(self, op: str, *inputs: str, results: int = 1, **attributes: Any) -> Any:
        """Write one ONNX node, and return the name of its result, or a list of names."""
        names = [self.file.unique(f'{self.node.name}/{op}') for _ in range(results)]
        self.file.add(op, inputs, *names, **attributes)
        return names[0] if results == 1 else names

    def number(self, value: Any) -> str:
        """Return the name of a constant of the result's type."""
        return self.file.constant(f'{self.node.name}/number', np.asarray(value, self.dtype))

    def ints(self, values: Sequence[Any], name: str = 'ints') -> str:
        """Return the name of a vector of whole numbers, some of which may follow the batch."""
        return self.file.sizes(f'{self.node.name}/{name}', list(values))

    def indices(self, array: Any) -> str:
        """Return the name of an array of places."""
        return self.file.constant(f'{self.node.name}/indices', np.asarray(array, np.int64))
