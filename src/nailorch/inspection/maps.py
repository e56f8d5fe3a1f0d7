"""What a convolution seeks, and what layers answer to an image: filters and feature maps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from nailorch.config import no_grad
from nailorch.core import Variable
from nailorch.drawing import pictures
from nailorch.graph import Graph, resolve, trace
from nailorch.inspection.replaying import convolutions, images_of, node_of, replay
from nailorch.layers import Layer
from nailorch.messages import message
from nailorch.shapes import Array

__all__ = ['FeatureMaps', 'Filters', 'chosen_layers', 'feature_maps', 'filters', 'maps_of']


@dataclass(frozen=True, eq=False)
class FeatureMaps:
    """What a layer answers to images.

    Attributes:
        layer: its path, or a node's name.
        values: (N, C, H, W).
    """

    layer: str
    values: Array

    def picture(self, n: int = 0, most: int = 16) -> Array:
        """Return the first channels of image n side by side, each from its smallest to its largest value: (h, w, 4)."""
        return pictures.feature_maps(self.values[n], most)

    def _repr_html_(self) -> str:
        return figure(self.picture(), repr(self))

    def __repr__(self) -> str:
        return f'FeatureMaps({self.layer}: {self.values.shape})'


@dataclass(frozen=True, eq=False)
class Filters:
    """The filters of a convolution.

    Attributes:
        layer: the convolution's path.
        values: (OC, C, KH, KW); the model's own, not a copy.
    """

    layer: str
    values: Array

    def picture(self, most: int = 64) -> Array:
        """Return the first filters side by side: (h, w, 4); those on three channels in colour."""
        return pictures.filter_images(self.values, most)

    def _repr_html_(self) -> str:
        return figure(self.picture(), repr(self))

    def __repr__(self) -> str:
        return f'Filters({self.layer}: {self.values.shape})'


def feature_maps(model: Layer, x: Any, layer: str) -> FeatureMaps:
    """Return what a layer answers to images, in evaluation mode.

    Args:
        model: any model on images, one out of an ONNX file too; it is left as it was.
        x: images, (N, C, H, W) or (C, H, W).
        layer: the layer's path, 'conv3_1' or 'layer2/0'; or a node's name in `nailorch.graph.trace(model, x)`.
    Raises:
        ValueError: there is no such layer, or it gives no maps (N, C, H, W).
    Example:
        >>> net = nailorch.models.Sequential(nailorch.layers.Conv2d(4, 3), nailorch.functions.relu)
        >>> feature_maps(net, np.ones((1, 1, 9, 9), 'float32'), 'l0')
        FeatureMaps(l0: (1, 4, 7, 7))
    """
    images = images_of('feature_maps', x)
    return maps_of(trace(model, images[:1]), images, [layer])[0]


def maps_of(graph: Graph, images: Array, layers: Iterable[str]) -> list[FeatureMaps]:
    """Return what several layers of a traced model answer, in one run."""
    nodes = [(layer, node_of(graph, layer, 'feature_maps')) for layer in layers]
    for layer, node in nodes:
        shape = resolve(graph.values[node.outputs[0]].shape, len(images))
        if len(shape) != 4:
            raise ValueError(message('inspect.rows', who='feature_maps', layer=layer, shape=shape))
    if not nodes:
        return []
    with no_grad():
        found = replay(graph, Variable(images), max((node for _, node in nodes), key=graph.nodes.index))
    return [FeatureMaps(layer, found[node.outputs[0]].data) for layer, node in nodes]


def chosen_layers(graph: Graph, most: int = 4) -> list[str]:
    """Return the first convolution, the last and those evenly between, by path."""
    there = list(dict.fromkeys(node.layer or node.name for node in convolutions(graph)))
    return [there[place] for place in sorted({round(place) for place in np.linspace(0, len(there) - 1, most)})
            ] if there else []


def filters(model: Layer, layer: str | None = None) -> Filters:
    """Return the filters of a convolution.

    Args:
        layer: its path, 'conv1_1'; None: the first convolution's.
    Raises:
        ValueError: there is no such convolution, or its sizes are not yet known, since the model was never called.
    Example:
        >>> filters(nailorch.models.Sequential(nailorch.layers.Conv2d(4, 3, in_channels=1)))
        Filters(l0: (4, 1, 3, 3))
    """
    kernels: dict[str, Array] = {}
    for name, parameter in model.named_parameters():
        if parameter.data is not None and parameter.data.ndim == 4:
            kernels.setdefault(name.rpartition('/')[0] or name, parameter.data)
    chosen = next(iter(kernels), None) if layer is None else layer
    if chosen is None or chosen not in kernels:
        names = ', '.join(list(kernels)[:8])
        raise ValueError(message('inspect.filters', layer=repr(layer), names=names) if names else
                         message('inspect.no_filters'))
    return Filters(chosen, kernels[chosen])


def figure(picture: Array, caption: str, smooth: bool = False) -> str:
    """Return a picture as HTML, for a notebook."""
    from nailorch.drawing.svg import png_address

    style = 'width: 20em' + ('' if smooth else '; image-rendering: pixelated')
    return (f'<figure><img src="{png_address(picture)}" alt="{escape(caption)}" style="{style}">'
            f'<figcaption>{escape(caption)}</figcaption></figure>')
