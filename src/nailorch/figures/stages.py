"""A model's stages and their sizes, for images of any size, found without computing on such images."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nailorch.graph import Graph
from nailorch.inspection.fields import fields, window_of_node

__all__ = ['Stage', 'stages']


@dataclass(frozen=True)
class Stage:
    """One step of a network.

    Attributes:
        op: the Function's name, 'Conv2d'.
        layer: the layer's path, 'conv1'; '' for a function.
        window: kernel size and stride, or None.
        shape: of what comes out for one image: (C, H, W) or (features,).
        parameters: how many numbers it learns.
        field: how many pixels of the image, from top to bottom, one number of the result sees; None: all of it.
    """

    op: str
    layer: str
    window: tuple[int, int] | None
    shape: tuple[int, ...]
    parameters: int
    field: int | None


def stages(graph: Graph, shape: tuple[int, ...]) -> list[Stage]:
    """Return the stages of a network without branches on images of a shape (C, H, W).

    The graph may come from smaller images: convolutions and pools tell their sizes by the one rule for windows, and a
    dense layer has a row of weights for each feature that reaches it.

    Raises:
        ValueError: the network has a stage of another kind.
    """
    found, seen = [], fields(graph)
    for node in graph.nodes:
        window, axes = None, seen[node.outputs[0]].axes
        weights = [graph.values[id].shape for id in node.inputs if graph.values[id].kind == 'parameter']
        parameters = sum(math.prod(size) for size in weights)
        if node.op in ('Conv2d', 'Pooling'):
            looking = window_of_node(node, graph)
            window = looking.kernel_size[0], looking.stride[0]
            shape = (weights[0][0] if weights else shape[0], *looking.outsize(shape[1:]))
        elif node.op == 'Linear':
            features = math.prod(shape)
            shape = weights[0][1],
            parameters = features * shape[0] + weights[1][0]
        elif node.op == 'Reshape':
            shape = math.prod(shape),
        elif node.op != 'ReLU':
            raise ValueError(f'stages: no rule for {node.op}')
        found.append(Stage(node.op, node.layer, window, shape, parameters, axes[0].size if axes else None))
    return found
