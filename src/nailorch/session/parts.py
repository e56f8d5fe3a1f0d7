"""Large batches in parts: so many images at a time that what a layer returns is still at hand for the next one.

In ResNet50 four photographs' results come to 29 MB at once, eight's to 58. A third cache holds the former; of the
latter, a layer fetches from memory what the one before it has just written. So eight take 6 % less time as two times
four, though either part reads the weights anew. With more parts, or large dense layers, that costs more than it saves.
It is weighed by sizes alone, so that a batch is always cut in the same places. And only what looks at one image at a
time is cut: any layer of a network does, but not, say, `x - x.mean(0)`.
"""

from __future__ import annotations

import math
from typing import Any

from nailorch.functions import activation, arithmetic
from nailorch.functions.convolution import Conv2d, Deconv2d
from nailorch.functions.normalization import FixedBatchNorm
from nailorch.functions.pools import AveragePooling, Pooling
from nailorch.functions.reduction import Max, Mean, Sum
from nailorch.functions.shape import Concat, Pad, Reshape, Transpose
from nailorch.graph import Batch, Graph, Value, resolve
from nailorch.session.fusion import Fusion, fixed
from nailorch.session.steps import Call, Step

__all__ = ['Parts']

CACHE = 32 << 20  # bytes of results that lie in memory at once: what third caches hold
LEAST = 2  # images to a part: with a single one, layers of few pixels have little to share among threads
DEARER = 8  # a part's weights, against results: packed they are up to four times as large, and about half is saved
# Functions whose results for an image depend on that image alone, wherever results lie along the batch as images do.
ELEMENTWISE = {
    activation.ReLU, activation.LeakyReLU, activation.PReLU, activation.ELU, activation.ReLU6, activation.Sigmoid,
    activation.Tanh, activation.Softplus, activation.SiLU, activation.HardSwish, activation.GELU,
    arithmetic.Add, arithmetic.Sub, arithmetic.Mul, arithmetic.Div, arithmetic.Neg, arithmetic.Pow, arithmetic.Exp,
    arithmetic.Log, arithmetic.Sqrt, arithmetic.Sin, arithmetic.Cos, arithmetic.Abs, arithmetic.Clip,
    arithmetic.Maximum, arithmetic.Minimum, arithmetic.Where, arithmetic.AsType}
BY_IMAGE = ELEMENTWISE | {AveragePooling, Concat, Conv2d, Deconv2d, FixedBatchNorm, Max, Mean, Pad, Pooling, Reshape,
                          Sum, Transpose}
ALONG_AN_AXIS = {activation.Softmax, activation.LogSoftmax}


class Parts:
    """Where to cut batches of a model.

    Attributes:
        by_image: whether every result depends on one image alone.
        peak: bytes of an image's results that lie in memory at once.
        moved: bytes that all steps read and write for an image, weights apart.
        weights: bytes of those.
    """

    def __init__(self, graph: Graph, fusion: Fusion) -> None:
        self.graph, self.fusion = graph, fusion
        self.by_image = (all(self.has_image(id) for id in (*graph.inputs, *graph.outputs))
                         and all(self.is_by_image(step) for step in fusion.steps))
        self.weights = sum(size(value) for value in graph.values if value.source is not None)
        self.moved, self.peak, alive = 0, 0, dict[int, int]()
        for step, inputs, dead in zip(fusion.steps, fusion.inputs, fusion.dead, strict=True):
            self.moved += sum(size(graph.values[id]) for id in (*inputs, *step.outputs))
            alive |= {id: size(graph.values[id]) for id in step.outputs}
            self.peak = max(self.peak, sum(alive.values()))
            for id in dead:
                alive.pop(id, None)

    def cut(self, n: int) -> list[slice]:
        """Return the parts of a batch of n: itself, or several of nearly as many images."""
        most = CACHE // max(self.peak, 1)
        parts = max(-(-n // most), 1) if self.by_image and most >= LEAST else 1
        if DEARER * (parts - 1) * self.weights > n * self.moved:
            parts = 1
        return [slice(n * part // parts, n * (part + 1) // parts) for part in range(parts)]

    def has_image(self, id: int) -> bool:
        """Return whether an array's first axis, and no other one, is that of the batch."""
        first, *others = self.graph.values[id].shape or (1,)
        return first == Batch() and not any(isinstance(other, Batch) for other in others)

    def is_by_image(self, step: Step) -> bool:
        """Return whether each image's results depend on that image alone."""
        if not all(map(self.has_image, (*step.inputs, *step.outputs))):
            return False
        if not all(node.function is Reshape or fixed(node.attributes) for node in step.nodes):
            return False  # F.clip(x, 0, len(x)), say
        if not isinstance(step, Call):
            return True
        node, = step.nodes
        axes = len(self.graph.values[step.outputs[0]].shape)
        if node.function in ALONG_AN_AXIS:
            return bool(node.attributes['axis'] % axes)
        same_axes = {len(self.graph.values[id].shape) for id in step.inputs} <= {axes}
        repeated = all(self.is_repeated(self.graph.values[id], axes) for id in step.known)
        return node.function in BY_IMAGE and (node.function not in ELEMENTWISE or (same_axes and repeated))

    @staticmethod
    def is_repeated(value: Value, axes: int) -> bool:
        """Return whether numbers that do not follow the batch are the same for all of it."""
        return len(value.shape) < axes or value.shape[0] == 1


def size(value: Value) -> int:
    """Return an array's bytes for a batch of one."""
    shape: tuple[Any, ...] = resolve(value.shape, 1)
    return math.prod(shape) * value.dtype.itemsize
