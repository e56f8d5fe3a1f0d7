"""What one unit sees: the exact box of pixels that can reach it, and how strongly each does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nailorch.config import using_config
from nailorch.core import Variable, as_array, as_variable
from nailorch.drawing.pictures import SEQUENTIAL, colours, spread
from nailorch.graph import Graph, Node, Value, resolve, trace
from nailorch.inspection.fields import WINDOWS, mixed_axes, window_of_node
from nailorch.inspection.replaying import node_of, replay
from nailorch.layers import Layer
from nailorch.messages import message
from nailorch.shapes import Array, integer

__all__ = ['ReceptiveField', 'receptive_field']


@dataclass(frozen=True, eq=False)
class ReceptiveField:
    """What a unit of a layer sees.

    Attributes:
        layer, unit: which; the unit as (channel, row, column), the channel None for all of them.
        box: (top, left, bottom, right): the smallest one, bottom and right excluded, with all pixels that can reach the
            unit.
        heat: how strongly a change of each pixel moves the unit, (H, W): the gradient's absolute values, added over
            channels and averaged over images.
    """

    layer: str
    unit: tuple[int | None, int, int]
    box: tuple[int, int, int, int]
    heat: Array

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the box."""
        top, left, bottom, right = self.box
        return bottom - top, right - left

    @property
    def effective_size(self) -> tuple[int, int]:
        """Height and width of the smallest centred part of the box with 95 % of the gradient along that axis."""
        top, left, bottom, right = self.box
        return central(self.heat.sum(axis=1)[top:bottom]), central(self.heat.sum(axis=0)[left:right])

    def picture(self) -> Array:
        """Return the heat as a picture (H, W, 3) of bytes, the box outlined in orange."""
        image = colours(np.sqrt(spread(self.heat)), SEQUENTIAL)
        top, left, bottom, right = self.box
        for rows, columns in ((top, slice(left, right)), (bottom - 1, slice(left, right)),
                              (slice(top, bottom), left), (slice(top, bottom), right - 1)):
            image[rows, columns] = 230, 120, 20
        return image

    def _repr_html_(self) -> str:
        from nailorch.drawing.svg import png_address

        return (f'<figure><img src="{png_address(self.picture())}" alt="{self}" '
                f'style="image-rendering: pixelated; width: 20em"><figcaption>{self}</figcaption></figure>')

    def __repr__(self) -> str:
        return f'ReceptiveField({self.layer} {self.unit}: {self.size[0]}x{self.size[1]} pixels, box {self.box})'


def receptive_field(model: Layer, x: Any, layer: str, unit: tuple[int, ...] | None = None, *,
                    seen: int = 0) -> ReceptiveField:
    """Return what a unit inside a model sees of the images x.

    Args:
        model: any layer on images; it runs in test mode and is left as it was.
        x: images, (N, C, H, W) or (C, H, W): the gradient depends on them, the box on their size alone. For a model of
            several inputs a tuple of batches, one for each.
        layer: the layer's path, 'conv3_1' or 'layer2/0'; or a node's name in nailorch.graph.trace(model, x), 'Pooling'.
        unit: (row, column) in the layer's output, or (channel, row, column); None: the one in the middle.
        seen: of several inputs, the number of the one whose pixels are asked for.
    Raises:
        ValueError: there is no such layer, it gives no images, or has no such unit.
    Example:
        >>> net = nailorch.models.Sequential(nailorch.layers.Conv2d(4, 3), nailorch.layers.Conv2d(4, 3))
        >>> seen = receptive_field(net, np.ones((1, 1, 9, 9), 'float32'), 'l1', (0, 0))
        >>> seen.box, seen.size
        ((0, 0, 5, 5), (5, 5))
    """
    inputs = [as_array(as_variable(each)) for each in (x if isinstance(x, tuple | list) else (x,))]
    if not 0 <= seen < len(inputs):
        raise ValueError(message('inspect.seen', who='receptive_field', seen=seen, count=len(inputs)))
    if len(inputs) == 1 and inputs[0].ndim == 3:
        inputs[0] = inputs[0][None]
    if inputs[seen].ndim != 4:
        raise ValueError(message('inspect.images', who='receptive_field', shape=inputs[seen].shape,
                                 dtype=inputs[seen].dtype))
    graph = trace(model, *(each[:1] for each in inputs))
    node = node_of(graph, layer)
    shape = resolve(graph.values[node.outputs[0]].shape, 1)
    if len(shape) != 4:
        raise ValueError(message('inspect.rows', who='receptive_field', layer=layer, shape=shape))
    channel, row, column = unit_of(layer, unit, shape)
    box = box_of(graph, node, (row, column), graph.inputs[seen])
    heat = heat_of(graph, node, inputs, (channel, row, column), seen)
    return ReceptiveField(layer, (channel, row, column), box, heat)


def unit_of(layer: str, unit: tuple[int, ...] | None, shape: tuple[int, ...]) -> tuple[int | None, int, int]:
    chosen = (shape[2] // 2, shape[3] // 2) if unit is None else tuple(unit)
    sizes = shape[4 - len(chosen):]
    if len(chosen) not in (2, 3) or not all(integer(i) and -n <= i < n for i, n in zip(chosen, sizes, strict=True)):
        raise ValueError(message('inspect.unit', who='receptive_field', layer=layer, shape=shape[1:], unit=chosen))
    *channel, row, column = (i % n for i, n in zip(chosen, sizes, strict=True))
    return channel[0] if channel else None, row, column


# the box: which rows and which columns reach the unit, walking the Graph backwards


def box_of(graph: Graph, last: Node, unit: tuple[int, int], image: int) -> tuple[int, int, int, int]:
    """Return the box of a unit of a node's output in an input, which is given by its id."""
    sizes = places(graph.values[last.outputs[0]])
    reached: dict[int, list[Array]] = {
        last.outputs[0]: [np.arange(size) == place for size, place in zip(sizes, unit, strict=True)]}
    for node in reversed(graph.nodes[:graph.nodes.index(last) + 1]):
        here = [reached[id] for id in node.outputs if id in reached]
        if not here:
            continue
        masks = [np.logical_or.reduce([masks[axis] for masks in here]) for axis in (0, 1)]
        for id in node.inputs:
            value = graph.values[id]
            if value.kind not in ('input', 'computed'):
                continue
            seen = [reaching(node, graph, axis, masks[axis], size) for axis, size in enumerate(places(value))]
            if id in reached:
                seen = [one | other for one, other in zip(seen, reached[id], strict=True)]
            reached[id] = seen
    rows, columns = map(np.flatnonzero, reached.get(image, ((), ())))
    if not len(rows) or not len(columns):  # a unit that sees nothing but padding
        return 0, 0, 0, 0
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def places(value: Value) -> tuple[int, int]:
    """Return how many rows and columns an array has; one that has no such axes, as a flattened one, is one place."""
    shape = resolve(value.shape, 1)
    return (shape[2], shape[3]) if len(shape) == 4 else (1, 1)


def reaching(node: Node, graph: Graph, axis: int, mask: Array, size: int) -> Array:
    """Return which of a node's input rows (or columns) reach those of its output that `mask` marks."""
    found = np.zeros(size, bool)
    units = np.flatnonzero(mask)
    if node.op in WINDOWS:
        window = window_of_node(node, graph)
        stride, before = window.stride[axis], window.pad[axis][0]
        cells = window.dilation[axis] * np.arange(window.kernel_size[axis])
        if node.op == 'Deconv2d':
            over = units[:, None] + before - cells
            read = over[over % stride == 0] // stride
        else:
            read = (units[:, None] * stride - before + cells).ravel()
        found[read[(read >= 0) & (read < size)]] = True
    elif node.op == 'Pad':
        read = units - resolve(node.attributes, 1)['widths'][2 + axis][0]
        found[read[(read >= 0) & (read < size)]] = True
    elif node.op == 'GetItem' and (read := sliced(node, axis, size)) is not None and len(read) == len(mask):
        found[read[mask]] = True
    elif size == len(mask) and node.op not in ACROSS and 2 + axis not in mixed_axes(node):
        found |= mask  # place by place
    else:
        found[:] = mask.any()  # flattened, summed, transposed: every place may reach it
    return found


ACROSS = ('Linear', 'MatMul', 'Transpose', 'Reshape')


def sliced(node: Node, axis: int, size: int) -> Array | None:
    """Return the rows (or columns) that x[...] takes, in order; None where that is no slice of images."""
    slices = resolve(node.attributes, 1)['slices']
    slices = slices if isinstance(slices, tuple) else (slices,)
    if not all(isinstance(part, slice) for part in slices) or len(slices) > 4:
        return None
    return np.arange(size)[(*slices, *(slice(None),) * (4 - len(slices)))[2 + axis]]


# the heat: the gradient of the unit


def heat_of(graph: Graph, last: Node, inputs: Sequence[Array], unit: tuple[int | None, int, int], seen: int) -> Array:
    """Run the Graph up to a node, and return a unit's mean absolute gradient along one of the inputs, (H, W)."""
    channel, row, column = unit
    xs = [Variable(each.copy(), requires_grad=place == seen) for place, each in enumerate(inputs)]
    with using_config('train', False), using_config('enable_backprop', True):
        y = replay(graph, xs, last)[last.outputs[0]]
        chosen = y[:, :, row, column] if channel is None else y[:, channel, row, column]
        if chosen.requires_grad:  # else the unit sees nothing of it
            chosen.backward(grad=Variable(np.ones_like(chosen.data)))
    gradient = xs[seen].grad
    if gradient is None:
        return np.zeros(inputs[seen].shape[2:], inputs[seen].dtype)
    return np.abs(gradient.data).sum(axis=1).mean(axis=0)


def central(profile: Array) -> int:
    """Return the length of the smallest part around the middle of a profile that holds 95 % of it."""
    total, middle = profile.sum(), (len(profile) - 1) / 2
    for half in np.arange(0.5 if len(profile) % 2 == 0 else 0, len(profile) / 2 + 1):
        low, high = int(np.ceil(middle - half)), int(np.floor(middle + half))
        if profile[max(low, 0):high + 1].sum() >= 0.95 * total:
            return min(high, len(profile) - 1) - max(low, 0) + 1
    return len(profile)
