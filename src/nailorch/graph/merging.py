"""Runs at several batch sizes become one Graph: what differs between them must follow the batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any

import numpy as np

from nailorch.graph.structure import Batch, Graph, Node, Value, substitute
from nailorch.messages import message
from nailorch.shapes import Array, integer

__all__ = ['has_offsets', 'merged']


class Unexplained(Exception):
    """Things that are neither the same in all runs nor a function of N."""


def merged(graphs: Sequence[Graph], sizes: Sequence[int]) -> Graph:
    """Return the one Graph that ran at these batch sizes.

    Raises:
        ValueError: the runs did different things, or something is no function of N.
    """
    for step, nodes in enumerate(zip_longest(*(graph.nodes for graph in graphs))):
        does = [(node.name, node.inputs, node.outputs) if node else ('nothing',) for node in nodes]
        for n, this in zip(sizes, does, strict=True):
            if this != does[0]:
                raise ValueError(message('graph.structure', step=step, n=n, op=this[0], first=sizes[0], op0=does[0][0]))
    all_nodes = zip(*(graph.nodes for graph in graphs), strict=True)
    all_values = zip(*(graph.values for graph in graphs), strict=True)
    return replace(graphs[0], nodes=tuple(merged_node(nodes, sizes) for nodes in all_nodes),
                   values=tuple(merged_value(values, sizes) for values in all_values))


def merged_node(nodes: Sequence[Node], sizes: Sequence[int]) -> Node:
    first, attributes = nodes[0], {}
    for name in first.attributes:
        things = [node.attributes[name] for node in nodes]
        try:
            attributes[name] = fitted(things, sizes)
        except Unexplained:
            raise ValueError(unexplained('graph.attribute', sizes, things, node=first.name, attribute=name)) from None
    return replace(first, attributes=attributes)


def merged_value(values: Sequence[Value], sizes: Sequence[int]) -> Value:
    first, arrays = values[0], [value.source for value in values]
    try:
        shape = fitted([value.shape for value in values], sizes)
        return replace(first, shape=shape, source=repeated(arrays, shape) if first.kind == 'constant' else first.source)
    except Unexplained:
        things = arrays if first.kind == 'constant' else [value.shape for value in values]
        raise ValueError(unexplained(f'graph.{first.kind}', sizes, things, name=first.name)) from None


def unexplained(key: str, sizes: Sequence[int], things: Sequence[Any], **names: str) -> str:
    """Return a message that shows two of the things that differ."""
    first, last = (np.array2string(thing, threshold=8, edgeitems=2).replace('\n', '') if isinstance(thing, np.ndarray)
                   else repr(thing) for thing in (things[0], things[-1]))
    return message(key, n0=sizes[0], first=first, n1=sizes[-1], last=last, **names)


def fitted(things: Sequence[Any], sizes: Sequence[int]) -> Any:
    """Return what is the same at all batch sizes, its ints that are not as Batch.

    Raises:
        Unexplained: they differ, and not along a line.
    """
    first = things[0]
    if all(map(integer, things)):
        return first if len(set(things)) == 1 else line(things, sizes)
    if any(type(thing) is not type(first) for thing in things):
        raise Unexplained
    if isinstance(first, tuple | list) and len(set(map(len, things))) == 1:
        return type(first)([fitted(items, sizes) for items in zip(*things, strict=True)])
    if isinstance(first, dict) and all(thing.keys() == first.keys() for thing in things):
        return {key: fitted([thing[key] for thing in things], sizes) for key in first}
    if isinstance(first, slice):
        return slice(*fitted([(thing.start, thing.stop, thing.step) for thing in things], sizes))
    if all(thing is first or np.array_equal(thing, first) for thing in things):
        return first
    raise Unexplained


def line(values: Sequence[int], sizes: Sequence[int]) -> Batch:
    scale = (values[1] - values[0]) // (sizes[1] - sizes[0])
    batch = Batch(int(scale), int(values[0] - scale * sizes[0]))
    if any(batch.at(n) != value for n, value in zip(sizes, values, strict=True)):
        raise Unexplained
    return batch


def repeated(arrays: Sequence[Array], shape: Sequence[Any]) -> Array:
    """Return a constant's array; along sizes that follow the batch, one row of it, if all rows are the same."""
    row = tuple(slice(1) if isinstance(size, Batch) else slice(None) for size in shape)
    one = arrays[0][row]
    if not all(np.array_equal(array, np.broadcast_to(one, array.shape), equal_nan=True) for array in arrays):
        raise Unexplained
    return one


def has_offsets(graph: Graph) -> bool:
    """Return whether a size is something like N+1: a line fits any two sizes, so a third must be seen."""
    offsets: list[int] = []
    everything = [*(value.shape for value in graph.values), *(node.attributes for node in graph.nodes)]
    substitute(everything, lambda batch: offsets.append(batch.offset))
    return any(offsets)
