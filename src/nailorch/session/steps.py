"""The steps of a session. Each computes one or several nodes of the Graph in one call.

A step keeps its weights as it wants them, and is bound to a batch size before it runs: windows and shapes are then
known, and a call has nothing left to work out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nailorch import kernels
from nailorch.core import as_array
from nailorch.functions.activation import ReLU, ReLU6
from nailorch.functions.pools import AveragePooling, Pooling
from nailorch.functions.shape import Concat, Reshape, Transpose
from nailorch.graph import Graph, Node, resolve
from nailorch.shapes import Array, Window

__all__ = ['Average', 'Bottleneck', 'Call', 'Convolution', 'Dense', 'ScaleShift', 'Step', 'Weights']

OF_JOBS = {AveragePooling, Concat, Pooling, ReLU, ReLU6, Reshape, Transpose}  # the last two may show the same memory
Weights = tuple[Array | None, ...]
Run = Callable[..., tuple[Array, ...]]  # of the weights, then of the inputs


@dataclass(frozen=True, eq=False)
class Step:
    """One call of a kernel.

    Attributes:
        nodes: what it computes, in order.
        inputs: ids of the Values that it reads when it runs: all but its weights.
    """

    nodes: tuple[Node, ...]
    inputs: tuple[int, ...]

    @property
    def of_jobs(self) -> bool:
        """Whether it is known to compute by kernels alone where they serve it: then it may be recorded."""
        return True

    @property
    def arranges(self) -> bool:
        """Whether the first of its weights is kept as `kernels.arranged` returns it."""
        return False

    @property
    def outputs(self) -> tuple[int, ...]:
        """Ids of the Values that it makes: those of its last node."""
        return self.nodes[-1].outputs

    @property
    def name(self) -> str:
        first, *others = self.nodes
        return ' + '.join([first.name, *(node.op for node in others)])

    def weights(self, known: Mapping[int, Array]) -> Weights:
        """Return the arrays that it keeps, from the model's present ones by the ids of their Values."""
        raise NotImplementedError

    def bind(self, graph: Graph, n: int) -> Run:
        """Return the step's function for batches of n."""
        raise NotImplementedError

    def operations(self, graph: Graph, n: int) -> float:
        """Return how many multiplications and additions the definition of its products takes."""
        return 0


@dataclass(frozen=True, eq=False)
class Fused(Step):
    """A step that begins with a node whose weights are known, and takes in what follows it.

    Attributes:
        norms: the batch norms right behind, which are but another scale and bias.
        activation: 'relu', 'relu6' or ''.
    """

    norms: tuple[Node, ...] = ()
    activation: str = ''

    def scale_and_shift(self, known: Mapping[int, Array], bias: Array | None) -> tuple[Array, Array]:
        """Return what the norms make of numbers with that bias: y = scale * x + shift, in float64."""
        scale, shift = np.float64(1), np.float64(0) if bias is None else bias.astype(np.float64)
        for norm in self.norms:
            gamma, beta, mean, var = (known[id].astype(np.float64) for id in norm.inputs[1:])
            factor = gamma / np.sqrt(var + norm.attributes['eps'])
            scale, shift = scale * factor, (shift - mean) * factor + beta
        return np.asarray(scale), np.asarray(shift)

    def folded(self, known: Mapping[int, Array], axis: int) -> Weights:
        """Return the first node's weight and bias with the norms in them; `axis` of the weight is the output's."""
        weight, *rest = (known[id] for id in self.nodes[0].inputs[1:])
        bias = rest[0] if rest else None
        if not self.norms:
            return weight, bias
        scale, shift = self.scale_and_shift(known, bias)
        along = [1] * weight.ndim
        along[axis] = -1
        return (weight * scale.reshape(along)).astype(weight.dtype), shift.astype(weight.dtype)


@dataclass(frozen=True, eq=False)
class Convolution(Fused):
    """conv2d, batch norms, an array that is added, an activation, 2x2 max pooling: all but the first may be missing.

    Attributes:
        added: the second of `inputs` is added.
        pooled: maxima over 2x2 pixels follow.
    """

    added: bool = False
    pooled: bool = False

    def weights(self, known: Mapping[int, Array]) -> Weights:
        return self.folded(known, axis=0)

    def window(self, graph: Graph, n: int) -> Window:
        node = self.nodes[0]
        size, kernel_size = (graph.values[id].shape[2:] for id in node.inputs[:2])
        a = resolve(node.attributes, n)
        return Window(kernel_size, a['stride'], a['pad'], a['dilation']).on(resolve(size, n))

    def bind(self, graph: Graph, n: int) -> Run:
        window, groups = self.window(graph, n), resolve(self.nodes[0].attributes['groups'], n)
        activation, pooled = self.activation, self.pooled

        def run(weights: Weights, x: Array, added: Array | None = None) -> tuple[Array, ...]:
            weight, bias = weights
            assert weight is not None
            return kernels.fused_conv2d(x, weight, bias, window, groups, activation, added, pooled),

        return run

    def operations(self, graph: Graph, n: int) -> float:
        node = self.nodes[0]
        places = resolve(graph.values[node.outputs[0]].shape, n)
        return 2.0 * math.prod(places) * math.prod(graph.values[node.inputs[1]].shape[1:])


@dataclass(frozen=True, eq=False)
class Bottleneck(Step):
    """An inverted residual: perhaps a 1x1 convolution, a depthwise one, a 1x1 one that may add an array.

    Attributes:
        parts: the two or three convolutions.
    """

    parts: tuple[Convolution, ...] = ()

    def weights(self, known: Mapping[int, Array]) -> Weights:
        return tuple(array for part in self.parts for array in part.weights(known))

    def bind(self, graph: Graph, n: int) -> Run:
        activations = [part.activation for part in self.parts]
        window = self.parts[-2].window(graph, n)

        def run(weights: Weights, x: Array, added: Array | None = None) -> tuple[Array, ...]:
            layers = [*zip(weights[::2], weights[1::2], activations, strict=True)]
            *expand, depthwise, project = layers
            return kernels.fused_bottleneck(x, expand[0] if expand else None, depthwise, project, window, added),  # type: ignore[arg-type]

        return run

    def operations(self, graph: Graph, n: int) -> float:
        return sum(part.operations(graph, n) for part in self.parts)


@dataclass(frozen=True, eq=False)
class Dense(Fused):
    """linear, batch norms, an activation."""

    @property
    def arranges(self) -> bool:
        return True

    def weights(self, known: Mapping[int, Array]) -> Weights:
        weight, bias = self.folded(known, axis=1)
        assert weight is not None
        return weight, np.zeros(weight.shape[1], weight.dtype) if bias is None else bias

    def bind(self, graph: Graph, n: int) -> Run:
        activation = self.activation

        def run(weights: Weights, x: Array) -> tuple[Array, ...]:
            weight, bias = weights
            assert weight is not None
            assert bias is not None
            return kernels.fused_linear(x, weight, bias, activation),

        return run

    def operations(self, graph: Graph, n: int) -> float:
        x, W = (graph.values[id].shape for id in self.nodes[0].inputs[:2])
        return 2.0 * math.prod(resolve(x, n)) * W[1]


@dataclass(frozen=True, eq=False)
class ScaleShift(Fused):
    """Batch norms that no product precedes, and an activation."""

    def weights(self, known: Mapping[int, Array]) -> Weights:
        dtype = known[self.nodes[0].inputs[1]].dtype
        return tuple(values.astype(dtype) for values in self.scale_and_shift(known, None))

    def bind(self, graph: Graph, n: int) -> Run:
        activation = self.activation

        def run(weights: Weights, x: Array) -> tuple[Array, ...]:
            scale, shift = weights
            assert scale is not None
            assert shift is not None
            return kernels.scale_channels(x, np.zeros_like(scale), scale, shift, activation),

        return run


@dataclass(frozen=True, eq=False)
class Average(Step):
    """The mean of each channel's pixels: a pooling with one window."""

    def weights(self, known: Mapping[int, Array]) -> Weights:
        return ()

    def bind(self, graph: Graph, n: int) -> Run:
        size, shape = graph.values[self.inputs[0]].shape[2:], resolve(graph.values[self.outputs[0]].shape, n)
        window, count = Window(size).on(size), np.full((1, 1), math.prod(size))

        def run(weights: Weights, x: Array) -> tuple[Array, ...]:
            return kernels.average_pool(x, window, count).reshape(shape),

        return run


@dataclass(frozen=True, eq=False)
class Call(Step):
    """Any other node: its Function's own forward, as `Graph.run` calls it."""

    known: frozenset[int] = frozenset()

    @property
    def of_jobs(self) -> bool:
        return self.nodes[0].function in OF_JOBS and not self.known

    def weights(self, known: Mapping[int, Array]) -> Weights:
        return tuple(known[id] if id in self.known else None for id in self.nodes[0].inputs)

    def bind(self, graph: Graph, n: int) -> Run:
        node = self.nodes[0]

        def run(weights: Weights, *inputs: Array) -> tuple[Array, ...]:
            function = node.function.__new__(node.function)
            vars(function).update(resolve(node.attributes, n))
            rest = iter(inputs)
            ys: Any = function.forward(*(next(rest) if weight is None else weight for weight in weights))
            return tuple(map(as_array, ys if isinstance(ys, tuple) else (ys,)))

        return run
