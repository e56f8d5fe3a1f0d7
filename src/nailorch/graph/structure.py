"""The Graph: what a model computes, as plain data."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nailorch.core import Function, as_array
from nailorch.shapes import Array

__all__ = ['Batch', 'Graph', 'Node', 'Value', 'resolve', 'substitute', 'unique']


@dataclass(frozen=True)
class Batch:
    """A size that follows the batch's: scale * N + offset.

    Example:
        >>> Batch(), Batch(2, 1), Batch(2, 1).at(100)
        (N, 2N+1, 201)
    """

    scale: int = 1
    offset: int = 0

    def at(self, n: int) -> int:
        """Return the size in a batch of n."""
        return self.scale * n + self.offset

    def __repr__(self) -> str:
        scale = {1: '', -1: '-'}.get(self.scale, self.scale)
        return f'{scale}N{self.offset:+d}' if self.offset else f'{scale}N'


@dataclass(frozen=True, eq=False)
class Value:
    """An array of the Graph.

    Attributes:
        id: its place in `graph.values`.
        name: unique in the Graph: 'x' as forward calls its input, 'conv1/W' as the model calls its parameter, or the
            node's name.
        kind: 'input', 'parameter', 'buffer', 'constant' or 'computed'.
        shape: ints, and Batch where the size follows the batch.
        source: the model's own Parameter or Buffer, or the constant's array; else None.
    """

    id: int
    name: str
    kind: str
    shape: tuple[Any, ...]
    dtype: np.dtype[Any]
    source: Any = None

    @property
    def array(self) -> Array:
        """The numbers, as they are now. Along sizes that follow the batch, a constant has one row, to be repeated."""
        return as_array(self.source)


@dataclass(frozen=True, eq=False)
class Node:
    """One call of a Function.

    Attributes:
        name: unique in the Graph, 'conv1/Conv2d'.
        op: the Function's name, 'Conv2d'.
        attributes: what the Function was made with, by name; Batch where an int follows the batch.
        inputs, outputs: ids of Values.
        layer: the path of the innermost layer that was running, 'blocks/0/conv'; '' for the model itself.
        call: a number that is the same for all nodes of one call of that layer; a layer used twice has two.
        function: the Function's class.
    """

    name: str
    op: str
    attributes: dict[str, Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    layer: str
    call: int
    function: type[Function]


@dataclass(frozen=True, eq=False)
class Graph:
    """The computation of a model, in test mode, for batches of any size N.

    Attributes:
        name: the model's class.
        nodes: in the order in which they ran; each leads to an output.
        values: every array, by id.
        inputs, outputs: ids of Values; outputs in the order of the model's result, tuples and dicts laid flat.
        form: the model's result, each array's place in `outputs` standing for it: 0, or (0, {'b': 1}).
    """

    name: str
    nodes: tuple[Node, ...]
    values: tuple[Value, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    form: Any = 0

    def nested(self, outputs: Sequence[Any]) -> Any:
        """Return outputs, a flat list, in the form in which the model returned them."""
        return nested(self.form, outputs)

    def run(self, *arrays: Any) -> list[Array]:
        """Compute the outputs, as plain arrays, from inputs of any batch size: what the Graph means."""
        found = {value.id: value.array for value in self.values if value.source is not None}
        found |= {id: as_array(array) for id, array in zip(self.inputs, arrays, strict=True)}
        n = len(found[self.inputs[0]])
        for value in self.values:
            if value.kind == 'constant':
                found[value.id] = np.broadcast_to(found[value.id], resolve(value.shape, n))
        for node in self.nodes:
            function = node.function.__new__(node.function)
            vars(function).update(resolve(node.attributes, n))
            ys = function.forward(*(found[id] for id in node.inputs))
            ys = ys if isinstance(ys, tuple) else (ys,)
            found |= {id: as_array(y) for id, y in zip(node.outputs, ys, strict=True)}
        return [found[id] for id in self.outputs]

    def to_dict(self) -> dict[str, Any]:
        """Return all but the arrays, for JSON: N is {'scale': 1, 'offset': 0}; constants of one element are told."""
        values = [{'id': value.id, 'name': value.name, 'kind': value.kind, 'shape': plain(value.shape),
                   'dtype': str(value.dtype)} for value in self.values]
        for value, told in zip(self.values, values, strict=True):
            if value.kind == 'constant' and value.array.size == 1:
                told['value'] = plain(value.array.item())
        nodes = [{'name': node.name, 'op': node.op, 'attributes': plain(node.attributes), 'inputs': [*node.inputs],
                  'outputs': [*node.outputs], 'layer': node.layer, 'call': node.call} for node in self.nodes]
        return {'version': 1, 'name': self.name, 'inputs': [*self.inputs], 'outputs': [*self.outputs],
                'values': values, 'nodes': nodes}

    def __repr__(self) -> str:
        start, end = (', '.join(str(self.values[id].shape) for id in ids) for ids in (self.inputs, self.outputs))
        count = '1 node' if len(self.nodes) == 1 else f'{len(self.nodes)} nodes'
        return f'Graph({self.name}: {count}, {start} -> {end})'

    def __str__(self) -> str:
        rows = [(self.values[id].name, str(self.values[id].shape), self.values[id].kind, '') for id in self.inputs]
        for node in self.nodes:
            shapes = ', '.join(str(self.values[id].shape) for id in node.outputs)
            sources = ', '.join(self.called(self.values[id], node) for id in node.inputs)
            rows.append((node.name, shapes, sources, ', '.join(f'{k}={v!r}' for k, v in node.attributes.items())))
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = ['  '.join([*(cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True)), row[3]]).rstrip()
                 for row in rows]
        return '\n'.join([repr(self), *lines, '-> ' + ', '.join(self.values[id].name for id in self.outputs)])

    def called(self, value: Value, node: Node) -> str:
        """Return what a node's line calls its input: 'W' if it is the layer's own, and the number if it is but one."""
        if value.kind == 'constant' and value.array.size == 1:
            return str(value.array.item())
        return value.name if value.kind in ('input', 'computed') else value.name.removeprefix(f'{node.layer}/')


def substitute(thing: Any, change: Callable[[Batch], Any]) -> Any:
    """Return `thing` with every Batch in it changed, inside tuples, lists, dicts and slices too."""
    if isinstance(thing, Batch):
        return change(thing)
    if isinstance(thing, tuple | list):
        return type(thing)([substitute(item, change) for item in thing])
    if isinstance(thing, dict):
        return {key: substitute(item, change) for key, item in thing.items()}
    if isinstance(thing, slice):
        return slice(*(substitute(item, change) for item in (thing.start, thing.stop, thing.step)))
    return thing


def resolve(thing: Any, n: int) -> Any:
    """Return `thing`, a shape or attributes, as it is in a batch of n."""
    return substitute(thing, lambda batch: batch.at(n))


def nested(form: Any, items: Sequence[Any]) -> Any:
    """Return `form` with every place, an int, replaced by the item there."""
    if isinstance(form, dict):
        return {key: nested(part, items) for key, part in form.items()}
    if isinstance(form, tuple | list):
        parts = [nested(part, items) for part in form]
        return type(form)(*parts) if hasattr(form, '_fields') else type(form)(parts)  # a named tuple takes them singly
    return items[form]


def unique(taken: set[str], name: str) -> str:
    """Return `name`, with a number behind it if it is taken, and take it."""
    count, free = 1, name
    while free in taken:
        count += 1
        free = f'{name}_{count}'
    taken.add(free)
    return free


def plain(thing: Any) -> Any:
    """Return `thing` as JSON can write it."""
    if thing is None or isinstance(thing, bool | int | str):
        return thing
    if isinstance(thing, float):
        return thing if math.isfinite(thing) else str(thing)
    if isinstance(thing, Batch):
        return {'scale': thing.scale, 'offset': thing.offset}
    if isinstance(thing, dict):
        return {str(key): plain(item) for key, item in thing.items()}
    if isinstance(thing, tuple | list):
        return [plain(item) for item in thing]
    if isinstance(thing, slice):
        return {'start': plain(thing.start), 'stop': plain(thing.stop), 'step': plain(thing.step)}
    return plain(thing.tolist()) if isinstance(thing, np.ndarray | np.generic) else str(thing)
