"""From the nodes of a Graph to steps: which of them one kernel computes at once."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import numpy as np

from nailorch.functions.activation import ReLU, ReLU6
from nailorch.functions.arithmetic import Add
from nailorch.functions.convolution import Conv2d
from nailorch.functions.dense import Linear
from nailorch.functions.normalization import FixedBatchNorm
from nailorch.functions.pools import Pooling
from nailorch.functions.reduction import Mean
from nailorch.functions.shape import Reshape
from nailorch.graph import Graph, Node
from nailorch.graph.structure import substitute
from nailorch.session.steps import Average, Bottleneck, Call, Convolution, Dense, ScaleShift, Step
from nailorch.shapes import Window

__all__ = ['Fusion']

ACTIVATIONS: dict[Any, str] = {ReLU: 'relu', ReLU6: 'relu6'}
TYPES = np.float32, np.float64  # float16's weights would lose digits when batch norms are folded in
FEW = 1 << 12  # pixels
HALVING, POINT = Window(2, 2), Window(1)


class Fusion:
    """The reading of a Graph that finds its steps.

    Nodes are joined only where nobody else needs what lies between them, and where a node's class is the library's own:
    a user's Function that is called Conv2d too is called, not replaced.

    Attributes:
        known: ids of the Values that do not depend on the inputs: weights, constants, and what follows from them alone.
        ahead: the nodes that make those of `known` which are computed.
        same: what a node that does nothing returns: {id: id of its input}.
        steps: all others, in an order in which they can run.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph, self.users = graph, defaultdict[int, list[Node]](list)
        for node in graph.nodes:
            for id in node.inputs:
                self.users[id].append(node)
        self.known = {value.id for value in graph.values if value.source is not None and fixed(value.shape)}
        self.ahead, self.same = list[Node](), dict[int, int]()
        for node in graph.nodes:
            if self.depends_on_weights_alone(node):
                self.ahead.append(node)
                self.known |= {*node.outputs}
            elif node.function is Reshape and self.shape(node.inputs[0]) == self.shape(node.outputs[0]):
                self.same[node.outputs[0]] = self.same.get(node.inputs[0], node.inputs[0])
        self.done = {*self.ahead}  # a sum of two convolutions is taken in by the first
        self.steps = self.found()

    def shape(self, id: int) -> tuple[Any, ...]:
        return self.graph.values[id].shape

    def depends_on_weights_alone(self, node: Node) -> bool:
        """Return whether a node can be computed before there is an input; a user's own may differ from call to call."""
        return (bool(node.inputs) and self.known.issuperset(node.inputs) and fixed(node.attributes)
                and node.function.__module__.startswith('nailorch.functions.'))

    def found(self) -> list[Step]:
        steps = list[Step]()
        for node in self.graph.nodes:
            if node not in self.done and node.outputs[0] not in self.same:
                steps.append(self.step(node))
                self.done |= {*steps[-1].nodes}
        # What a step reads was made before its last node, if not before its first.
        order = {node: place for place, node in enumerate(self.graph.nodes)}
        return sorted(steps, key=lambda step: order[step.nodes[-1]])

    def step(self, node: Node) -> Step:
        """Return the step that begins with a node: as many nodes as it can take in."""
        if self.known.issuperset(node.inputs[1:]) and not self.known.issuperset(node.inputs[:1]) and self.uniform(node):
            if node.function is Conv2d:
                return self.bottleneck(node) or self.convolution(node)
            if node.function is Linear:
                norms = self.norms(node) if len(self.shape(node.outputs[0])) == 2 else []
                return Dense(*self.activated([node, *norms], node.inputs[:1], norms))
            if node.function is FixedBatchNorm:
                norms = [node, *self.norms(node)]
                return ScaleShift(*self.activated(norms, node.inputs[:1], norms))
        if self.is_average(node):
            return Average((node,), node.inputs)
        known = frozenset(self.known & {*node.inputs})
        return Call((node,), tuple(id for id in node.inputs if id not in known), known)

    def convolution(self, node: Node) -> Convolution:
        norms = self.norms(node)
        nodes, inputs = [node, *norms], node.inputs[:1]
        end = nodes[-1].outputs[0]
        addition = self.then(end, Add)
        if addition:
            other, = (id for id in addition.inputs if id != end)
            if other not in self.known and self.shape(other) == self.shape(end):
                nodes, inputs = [*nodes, addition], (*inputs, other)
        joined, inputs, of_norms, activation = self.activated(nodes, inputs, norms)
        pool = self.then(joined[-1].outputs[0], Pooling)
        if pool is None or len(inputs) == 2 or not halves(pool):
            return Convolution(joined, inputs, of_norms, activation, added=len(inputs) == 2)
        return Convolution((*joined, pool), inputs, of_norms, activation, pooled=True)

    def bottleneck(self, node: Node) -> Step | None:
        """Return an inverted residual that begins with a node: it is wide only between its own convolutions."""
        parts = [self.convolution(node)]
        if self.is_point(node):
            parts += self.following(parts[-1])
        if self.is_depthwise(parts[-1].nodes[0]):
            parts += self.following(parts[-1])
        before, last = parts[:-1], parts[-1]
        if not before or not self.is_point(last.nodes[0]) or not self.is_depthwise(before[-1].nodes[0]) or last.pooled:
            return None
        return Bottleneck(tuple(node for part in parts for node in part.nodes),
                          (*parts[0].inputs, *last.inputs[1:]), tuple(parts))

    def following(self, part: Convolution) -> list[Convolution]:
        """Return the convolution that alone needs one's result, if there is such a one."""
        node = None if part.added or part.pooled else self.then(part.outputs[0], Conv2d)
        if node is None or not self.known.issuperset(node.inputs[1:]) or node.inputs[0] != part.outputs[0]:
            return []
        return [self.convolution(node)]

    def is_point(self, node: Node) -> bool:
        """Return whether a convolution looks at one pixel at a time, and all of its channels."""
        a = node.attributes
        return (self.shape(node.inputs[1])[2:] == (1, 1) and a['groups'] == 1 and fixed(a)
                and Window(1, a['stride'], a['pad']) == POINT)

    def is_depthwise(self, node: Node) -> bool:
        """Return whether a convolution has one filter for each channel."""
        return 1 < node.attributes['groups'] == self.shape(node.inputs[0])[1] == self.shape(node.outputs[0])[1]

    def is_average(self, node: Node) -> bool:
        """Return whether a node takes the mean of each channel's pixels, not so many that NumPy's sums are better."""
        shape = self.shape(node.inputs[0]) if node.inputs else ()
        return (node.function is Mean and len(shape) == 4 and fixed(shape[2:]) and 0 < math.prod(shape[2:]) <= FEW
                and node.attributes['axis'] in ((2, 3), (-2, -1)) and self.uniform(node))

    def activated(self, nodes: list[Node], inputs: tuple[int, ...],
                  norms: list[Node]) -> tuple[tuple[Node, ...], tuple[int, ...], tuple[Node, ...], str]:
        """Return a fused step's nodes, the activation behind them among them; its inputs, norms, and activation."""
        node = self.then(nodes[-1].outputs[0], *ACTIVATIONS)
        if node is None:
            return tuple(nodes), inputs, tuple(norms), ''
        return (*nodes, node), inputs, tuple(norms), ACTIVATIONS[node.function]

    def norms(self, node: Node) -> list[Node]:
        """Return the batch norms that follow a node, one after another, with known averages."""
        found = list[Node]()
        while norm := self.then((found or [node])[-1].outputs[0], FixedBatchNorm):
            if not self.known.issuperset(norm.inputs[1:]):
                break
            found.append(norm)
        return found

    def then(self, id: int, *kinds: Any) -> Node | None:
        """Return the node that alone needs a Value, if it is one of these kinds, and in no step yet."""
        users = self.users[id]
        if len(users) != 1 or id in self.graph.outputs or users[0] in self.done:
            return None
        return users[0] if users[0].function in kinds and self.uniform(users[0]) else None

    def uniform(self, node: Node) -> bool:
        """Return whether all a node reads and makes is of one type, one that kernels are fused for."""
        types = {self.graph.values[id].dtype for id in (*node.inputs, *node.outputs)}
        return len(types) == 1 and types.pop() in TYPES


def halves(pool: Node) -> bool:
    """Return whether a pooling takes every 2x2 pixels."""
    return fixed(pool.attributes) and Window(**pool.attributes) == HALVING


def fixed(thing: Any) -> bool:
    """Return whether a shape, or attributes, are the same for every batch size."""
    following: list[Any] = []
    substitute(thing, following.append)
    return not following
