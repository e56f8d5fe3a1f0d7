"""How many multiply-adds a node takes: products, each added to a sum, as the definition has them."""

from __future__ import annotations

import math

from nailorch.graph import Graph, Node, resolve

__all__ = ['multiply_adds']


def multiply_adds(node: Node, graph: Graph, n: int) -> int:
    """Return the multiply-adds of one node in a batch of n; 0 for what multiplies no weights.

    A convolution takes C/groups * KH * KW for each number of its result, a transposed one OC/groups * KH * KW for each
    of its input, a matrix product its inner size for each of its result. A bias is an addition, not counted.
    """
    x, y = (resolve(graph.values[id].shape, n) for id in (node.inputs[0], node.outputs[0]))
    if node.op == 'Conv2d':
        return math.prod(y) * math.prod(weights(node, graph)[1:])
    if node.op == 'Deconv2d':
        return math.prod(x) * math.prod(weights(node, graph)[1:])
    if node.op in ('Linear', 'MatMul'):
        return math.prod(y) * x[-1]
    return 0


def weights(node: Node, graph: Graph) -> tuple[int, ...]:
    return tuple(graph.values[node.inputs[1]].shape)
