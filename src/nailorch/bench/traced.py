"""Networks with branches: ours, and as a list of operations, from which everyone else builds the same network.

What our model computes is traced, and told in the words of `Operation`; the random weights go with it.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from nailorch import models
from nailorch.bench.workloads import Network, Operation, numbers
from nailorch.functions.activation import ReLU, ReLU6
from nailorch.functions.arithmetic import Add
from nailorch.functions.convolution import Conv2d
from nailorch.functions.dense import Linear
from nailorch.functions.normalization import FixedBatchNorm
from nailorch.functions.pools import Pooling
from nailorch.functions.reduction import Mean
from nailorch.functions.shape import Reshape
from nailorch.graph import Graph, Node, trace
from nailorch.shapes import Array, Window

__all__ = ['Traced']

KINDS: dict[Any, str] = {Conv2d: 'conv', FixedBatchNorm: 'norm', ReLU: 'relu', ReLU6: 'relu6', Add: 'add',
                         Pooling: 'pool', Mean: 'average', Reshape: 'flatten', Linear: 'linear'}


@dataclass(frozen=True)
class Traced(Network):
    """A network of ours with branches and batch norms; training is without dropout."""

    @property
    def tolerance(self) -> float:  # type: ignore[override]
        """Batch norms carry what one decision flips in one image to all the others."""
        return 5e-2 if self.job == 'training' else 1e-3

    def network(self) -> Any:
        """Return our model with the weights that everyone has."""
        net = getattr(models, self.model)(**self.options)
        with_sizes(net, self.image)
        state = net.state_dict()
        net.load_state_dict({name: weight(name, array.shape, seed) for seed, (name, array) in enumerate(state.items())})
        return net

    def operations(self) -> list[Operation]:
        """Return what the network computes, in an order in which it can be computed."""
        graph = trace(self.network(), self.inputs()[0])
        places = {graph.inputs[0]: -1} | {node.outputs[0]: place for place, node in enumerate(graph.nodes)}
        return [operation(graph, node, places) for node in graph.nodes]

    @property
    def classes(self) -> int:
        return int(self.options['num_classes'])

    @property
    def flops(self) -> float:
        each = sizes(self.model, tuple(self.options.items()), self.image)[0]
        # Both gradients cost as much as forward; the images themselves need none.
        return self.batch * (3 * sum(each) - each[0] if self.job == 'training' else sum(each))

    @property
    def bytes(self) -> float:
        weights = sizes(self.model, tuple(self.options.items()), self.image)[1]
        return 4.0 * (weights + self.batch * (math.prod(self.image) + self.classes))


def with_sizes(net: Any, image: tuple[int, ...]) -> None:
    """Let a new network find out its channels, from a picture as small as it takes."""
    trace(net, np.zeros((1, image[0], 32, 32), np.float32))


def weight(name: str, shape: tuple[int, ...], seed: int) -> Array:
    """Return random numbers for a parameter or buffer, so that signals neither grow nor fade."""
    kind = name.rpartition('/')[2]
    if kind == 'W':
        return numbers(shape, seed, math.sqrt(2 / math.prod(shape[1:] if len(shape) == 4 else shape[:1])))
    spread = numbers(shape, seed, 0.1)
    return spread + np.float32(0.8) if kind == 'gamma' else abs(spread) + 1 if kind == 'avg_var' else spread


def operation(graph: Graph, node: Node, places: dict[int, int]) -> Operation:
    """Return a node of the Graph as an Operation."""
    kind, attributes = KINDS[node.function], node.attributes
    arrays = tuple(graph.values[id].array for id in node.inputs if id not in places)
    inputs = tuple(places[id] for id in node.inputs if id in places)
    shape = graph.values[node.outputs[0]].shape[1:]
    if kind == 'conv':
        window = Window(arrays[0].shape[2:], attributes['stride'], attributes['pad'], attributes['dilation'])
        return Operation(kind, inputs, shape, arrays, window.on(graph.values[node.inputs[0]].shape[2:]),
                         attributes['groups'])
    if kind == 'pool':
        return Operation(kind, inputs, shape, (), Window(**attributes).on(graph.values[node.inputs[0]].shape[2:]))
    return Operation(kind, inputs, shape, arrays, eps=attributes.get('eps', 0.0))


@functools.cache
def sizes(model: str, options: tuple[tuple[str, Any], ...], image: tuple[int, ...]) -> tuple[list[float], int]:
    """Return the floating-point operations of each product for one image, and how many weights there are."""
    found = Traced(model, 'inference', 1, 'models', model, dict(options), image).operations()
    each = [2.0 * math.prod(o.shape) * math.prod(o.arrays[0].shape[1:] if o.kind == 'conv' else o.arrays[0].shape[:1])
            for o in found if o.kind in ('conv', 'linear')]
    return each, sum(array.size for o in found for array in o.arrays)
