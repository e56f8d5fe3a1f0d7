"""Where a model looks: saliency, Grad-CAM, and what happens when parts of the image are hidden."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nailorch.config import no_grad, test_mode, using_config
from nailorch.core import Variable
from nailorch.core.tape import gradients
from nailorch.drawing import pictures
from nailorch.graph import Graph, Node, resolve, trace
from nailorch.inspection.maps import figure
from nailorch.inspection.replaying import consumers, convolutions, images_of, node_of, replay
from nailorch.layers import Layer
from nailorch.messages import message
from nailorch.session import Session
from nailorch.shapes import Array, at_least

__all__ = ['HeatMap', 'cam_of', 'grad_cam', 'occlusion', 'occlusion_of', 'saliency', 'saliency_of']

Targets = int | Sequence[int] | None


@dataclass(frozen=True, eq=False)
class HeatMap:
    """How much each place of images matters to an answer.

    Attributes:
        kind: 'saliency', 'grad_cam' or 'occlusion'.
        images: what the model was given, (N, C, H, W).
        values: (N, h, w); of Grad-CAM and occlusion coarser than the images.
        targets: for each image, the class whose score is explained.
        layer: of Grad-CAM, where it was computed.
        full: of occlusion, the mean over all patches that cover a pixel, (N, H, W).
    """

    kind: str
    images: Array
    values: Array
    targets: tuple[int, ...]
    layer: str | None = None
    full: Array | None = None

    def enlarged(self, n: int = 0) -> Array:
        """Return the values of image n at its size, (H, W); between them along straight lines."""
        return pictures.enlarged(self.values[n], self.images.shape[2:]) if self.full is None else self.full[n]

    @property
    def peaks(self) -> list[tuple[int, int]]:
        """The (row, column) of each image's largest value, in `values`."""
        return [(int(place) // values.shape[1], int(place) % values.shape[1])
                for values, place in ((values, values.argmax()) for values in self.values)]

    def picture(self, n: int = 0, photo: Array | None = None) -> Array:
        """Return the map as a picture (H, W, 3) of bytes.

        Args:
            photo: the image to lay it over, (H, W, 3) of bytes; None: the one that the model was given.
        """
        if self.kind == 'saliency':
            # few pixels have very large gradients: beside them all others would be dark
            most = np.quantile(self.values[n], 0.99) or 1.0
            return pictures.colours(np.minimum(self.values[n] / most, 1), pictures.SEQUENTIAL)
        photo = pictures.to_picture(self.images[n]) if photo is None else photo
        return pictures.heat_over(photo, self.enlarged(n))

    def _repr_html_(self) -> str:
        return ''.join(figure(self.picture(n), f'{self.kind}, class {target}', smooth=True)
                       for n, target in enumerate(self.targets))

    def __repr__(self) -> str:
        where = f' at {self.layer}' if self.layer else ''
        return f'HeatMap({self.kind}{where}: {self.values.shape}, class {", ".join(map(str, self.targets))})'


def saliency(model: Layer, x: Any, target: Targets = None) -> HeatMap:
    """Return how strongly a small change of each pixel moves a class's score.

    It is the score's gradient at the image: of the channels' absolute values, the largest.

    Args:
        model: any model that gives images scores (N, K); it runs in evaluation mode and is left as it was. Where it
            ends with a softmax, the scores before it are explained.
        x: images, (N, C, H, W) or (C, H, W).
        target: the class, or one for each image; None: the most probable.
    Raises:
        ValueError: there is no such class, or the model gives no scores.

    Source: Simonyan, Vedaldi & Zisserman 2013, section 3.
    """
    images = images_of('saliency', x)
    return saliency_of(trace(model, images[:1]), images, target)


def saliency_of(graph: Graph, images: Array, target: Targets = None) -> HeatMap:
    """Return the saliency of a traced model."""
    with using_config('train', False), using_config('enable_backprop', True):
        x = Variable(images.copy())
        scores = replay(graph, x)[scores_of(graph, 'saliency')]
        targets = targets_of('saliency', scores.data, target)
        gx, = gradients([scores[np.arange(len(images)), np.array(targets)]], [x])
    values = np.zeros(images[:, 0].shape, images.dtype) if gx is None else np.abs(gx.data).max(axis=1)
    return HeatMap('saliency', images, values, targets)


def grad_cam(model: Layer, x: Any, target: Targets = None, layer: str | None = None) -> HeatMap:
    """Return which places of a layer speak for a class: Grad-CAM.

    Each feature map is weighted by the mean gradient of the class's score in it; the sum's negative part is cut off.

    Args:
        model, x, target: as in `saliency`.
        layer: a layer's path, or a node's name; None: the last convolution, after its batch norm, sum and activation.
    Raises:
        ValueError: there is no such layer or class, or the model has no convolution.

    Source: Selvaraju et al. 2017, section 3.
    """
    images = images_of('grad_cam', x)
    return cam_of(trace(model, images[:1]), images, target, layer)


def cam_of(graph: Graph, images: Array, target: Targets = None, layer: str | None = None) -> HeatMap:
    """Return Grad-CAM of a traced model."""
    node = last_maps(graph) if layer is None else node_of(graph, layer, 'grad_cam')
    place = node.outputs[0]
    shape = resolve(graph.values[place].shape, len(images))
    if len(shape) != 4:
        raise ValueError(message('inspect.rows', who='grad_cam', layer=layer, shape=shape))
    kept: list[Variable] = []

    def watched(id: int, y: Variable) -> Variable:
        if id != place:
            return y
        kept.append(Variable(y.data))  # what lies before it needs no gradient: the tape begins here
        return kept[0]

    with using_config('train', False), using_config('enable_backprop', True):
        scores = replay(graph, Variable(images, requires_grad=False), change=watched)[scores_of(graph, 'grad_cam')]
        targets = targets_of('grad_cam', scores.data, target)
        maps = kept[0]
        slopes, = gradients([scores[np.arange(len(images)), np.array(targets)]], [maps])
    weights = np.zeros_like(maps.data) if slopes is None else slopes.data
    values = np.maximum(np.einsum('nc,nchw->nhw', weights.mean(axis=(2, 3)), maps.data), 0)
    return HeatMap('grad_cam', images, values, targets, node.name if layer is None else layer)


def occlusion(model: Layer, x: Any, target: Targets = None, size: int | None = None, stride: int | None = None,
              value: float = 0.0, batch_size: int = 16, progress: Callable[[int, int], None] | None = None) -> HeatMap:
    """Return how much a class's probability falls where a square of the image is hidden.

    Args:
        model, x, target: as in `saliency`.
        size: the square's side in pixels; None: a seventh of the image's shorter one.
        stride: pixels from one place to the next; None: half the size. The last square ends at the edge.
        value: what the square is filled with: 0, which after most preprocessing is the average colour.
        progress: is told how many of how many squares are done.
    Returns:
        a HeatMap whose values (N, rows, columns) are the probability without the square less that with it.
    Raises:
        ValueError: there is no such class, or the square is larger than the image.

    Source: Zeiler & Fergus 2014, section 4.2.
    """
    images = images_of('occlusion', x)
    return occlusion_of(trace(model, images[:1]), images, target, size, stride, value, batch_size, progress)


def occlusion_of(graph: Graph, images: Array, target: Targets = None, size: int | None = None,
                 stride: int | None = None, value: float = 0.0, batch_size: int = 16,
                 progress: Callable[[int, int], None] | None = None) -> HeatMap:
    """Return the occlusion maps of a traced model."""
    H, W = images.shape[2:]
    size = max(1, min(H, W) // 7) if size is None else size
    stride = max(1, size // 2) if stride is None else stride
    for name, given in (('size', size), ('stride', stride), ('batch_size', batch_size)):
        at_least(1, given, name)
    if size > min(H, W):
        raise ValueError(message('inspect.square', size=size, H=H, W=W))
    rows, columns = ([*range(0, extent - size, stride), extent - size] for extent in (H, W))
    places = [(row, column) for row in rows for column in columns]
    score = scores_of(graph, 'occlusion')
    session = Session(graph)

    def chances(x: Array) -> Array:
        y: Array = session(x)
        return y if score != graph.outputs[0] else softmax(y)

    with no_grad(), test_mode():
        whole = chances(images)
        targets = targets_of('occlusion', whole, target)
        values = np.empty((len(images), len(rows), len(columns)), images.dtype)
        done = 0
        for n, image in enumerate(images):
            falls = []
            for start in range(0, len(places), batch_size):
                hidden = np.stack([image] * len(places[start:start + batch_size]))
                for one, (row, column) in zip(hidden, places[start:start + batch_size], strict=True):
                    one[:, row:row + size, column:column + size] = value
                falls += list(whole[n, targets[n]] - chances(hidden)[:, targets[n]])
                done += len(hidden)
                if progress:
                    progress(done, len(images) * len(places))
            values[n] = np.reshape(falls, values.shape[1:])
    return HeatMap('occlusion', images, values, targets, full=spread_out(values, rows, columns, size, (H, W)))


def spread_out(values: Array, rows: Sequence[int], columns: Sequence[int], size: int, shape: tuple[int, int]) -> Array:
    """Return for each pixel the mean of all squares that cover it; 0 where none does."""
    total, count = np.zeros((len(values), *shape)), np.zeros(shape)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            total[:, row:row + size, column:column + size] += values[:, i, j, None, None]
            count[row:row + size, column:column + size] += 1
    return (total / np.maximum(count, 1)).astype(values.dtype)


def last_maps(graph: Graph) -> Node:
    """Return the last convolution on more than one place, or what only bends or adds to its maps after it."""
    def sizes(id: int) -> tuple[int, ...]:
        return tuple(resolve(graph.values[id].shape, 1))

    found = [node for node in convolutions(graph) if sizes(node.outputs[0])[2:] != (1, 1)]
    if not found:
        raise ValueError(message('inspect.no_convolution', who='grad_cam', model=graph.name))
    node = found[-1]
    while True:
        after = consumers(graph, node.outputs[0])
        if len(after) != 1 or sizes(after[0].outputs[0]) != sizes(node.outputs[0]) or after[0].op == 'Softmax':
            return node
        node = after[0]


def scores_of(graph: Graph, who: str) -> int:
    """Return the id of the scores (N, K): the output, or what goes into a softmax that ends the model."""
    id = graph.outputs[0]
    if len(graph.values[id].shape) != 2:
        raise ValueError(message('inspect.scores', who=who, model=graph.name, shape=graph.values[id].shape))
    last = next((node for node in graph.nodes if id in node.outputs), None)
    return last.inputs[0] if last is not None and last.op == 'Softmax' else id


def targets_of(who: str, scores: Array, target: Targets) -> tuple[int, ...]:
    """Return a class for each row of scores (N, K)."""
    N, K = scores.shape
    wanted = scores.argmax(axis=1) if target is None else np.broadcast_to(np.asarray(target), (N,))
    if wanted.dtype.kind not in 'iu' or wanted.min() < 0 or wanted.max() >= K:
        raise ValueError(message('inspect.target', who=who, last=K - 1, target=target))
    return tuple(map(int, wanted))


def softmax(scores: Array) -> Array:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    chances: Array = powers / powers.sum(axis=1, keepdims=True)
    return chances
