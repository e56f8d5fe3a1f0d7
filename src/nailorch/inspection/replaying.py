"""A Graph run again on Variables: what every layer computes, with its tape, and the model itself left alone.

The Graph was traced in test mode, so batch norm uses its averages and dropout passes everything, whatever the model's
own mode is; parameters and averages enter as plain numbers, so no gradient and no average of the model's own changes.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nailorch.core import Variable, as_array, as_variable
from nailorch.graph import Graph, Node, resolve
from nailorch.messages import message
from nailorch.shapes import Array

__all__ = ['consumers', 'convolutions', 'images_of', 'node_of', 'replay']

MOST = 12  # names in an error


def replay(graph: Graph, x: Variable | Sequence[Variable], last: Node | None = None,
           change: Callable[[int, Variable], Variable] | None = None) -> dict[int, Variable]:
    """Return every array that a Graph computes from x, by id, up to a node.

    Args:
        x: its input, or a list of its inputs.
        change: may give another Variable for one that was computed, whom it is told by its id.
    """
    inputs = [x] if isinstance(x, Variable) else x
    n = len(inputs[0])
    found: dict[int, Variable] = dict(zip(graph.inputs, inputs, strict=True))
    for value in graph.values:
        if value.source is not None:
            array = value.array if value.kind != 'constant' else np.broadcast_to(value.array, resolve(value.shape, n))
            found[value.id] = Variable(np.asarray(array), requires_grad=False)
    for node in graph.nodes[:None if last is None else graph.nodes.index(last) + 1]:
        function: Any = node.function.__new__(node.function)
        vars(function).update(resolve(node.attributes, n))
        ys = function(*(found[id] for id in node.inputs))
        for id, y in zip(node.outputs, ys if isinstance(ys, tuple) else (ys,), strict=True):
            found[id] = y if change is None else change(id, y)
    return found


def images_of(who: str, x: Any) -> Array:
    """Return x as images (N, C, H, W); one image (C, H, W) is a batch of one."""
    images = as_array(as_variable(x))
    images = images[None] if images.ndim == 3 else images
    if images.ndim != 4 or images.dtype.kind != 'f':
        raise ValueError(message('inspect.images', who=who, shape=np.shape(x), dtype=images.dtype))
    return images


def node_of(graph: Graph, layer: str, who: str = 'receptive_field') -> Node:
    """Return the node whose output is a layer's: the last of its nodes; or the node of that name.

    Raises:
        ValueError: there is none; the error, of the function `who`, gives the nearest names, then the others.
    """
    inside = [node for node in graph.nodes if node.layer == layer or node.layer.startswith(f'{layer}/')]
    named = [node for node in graph.nodes if node.name == layer]
    if found := named or inside:
        return found[-1]
    layers = [node.layer for node in graph.nodes if node.layer]
    names = list(dict.fromkeys([*layers, *(node.name for node in graph.nodes)]))
    whole = [name for name in names if name.rpartition('/')[0] not in layers]  # no operation inside a layer
    told = list(dict.fromkeys([*difflib.get_close_matches(layer, names, 3), *whole]))
    more = ' ...' if len(told) > MOST else ''
    raise ValueError(message('inspect.layer', who=who, layer=layer, names=', '.join(told[:MOST]) + more))


def consumers(graph: Graph, id: int) -> list[Node]:
    """Return the nodes that read an array."""
    return [node for node in graph.nodes if id in node.inputs]


def convolutions(graph: Graph) -> list[Node]:
    """Return the convolutions, in the order in which they compute."""
    return [node for node in graph.nodes if node.op == 'Conv2d']
