"""A look into a trained network: what its first layer seeks, what its layers see, and where it looked when it erred."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from nailorch.graph import trace
from nailorch.inspection import filters
from nailorch.inspection.heat import cam_of
from nailorch.inspection.maps import chosen_layers, maps_of

__all__ = ['Inside', 'look_inside']

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Inside:
    """What `look_inside` found.

    Attributes:
        parameters: how many numbers the network learns.
        filters: the name and the weights (OC, C, KH, KW) of the first convolution; None where there is none.
        maps: the name and the output (C, H, W) of some convolutions, in the order in which they compute.
        sample: the number of the image that they computed from.
        heats: by an image's number, which places spoke for the answer that it got: Grad-CAM, (h, w).
    """

    parameters: int
    filters: tuple[str, Array] | None = None
    maps: Sequence[tuple[str, Array]] = ()
    sample: int = 0
    heats: Mapping[int, Array] = field(default_factory=dict)


def look_inside(model: Any, dataset: Any, sample: int = 0, answers: Mapping[int, int] | None = None) -> Inside:
    """Run `model` on one image of a dataset, and keep what some of its convolutions answer.

    Of many convolutions the first, the last and those evenly between are kept.

    Args:
        answers: by number, the images and the classes for which it is asked where the model looked.
    """
    x = dataset[sample][0][None]
    graph = trace(model, x)
    count = sum(parameter.data.size for parameter in model.params())
    layers = chosen_layers(graph)
    if not layers:
        return Inside(count)
    heats: dict[int, Array] = {}
    if answers and len(graph.values[graph.outputs[0]].shape) == 2:
        cam = cam_of(graph, np.stack([dataset[index][0] for index in answers]), list(answers.values()))
        heats = dict(zip(answers, cam.values, strict=True))
    return Inside(count, (layers[0], filters(model, layers[0]).values),
                  [(found.layer, found.values[0]) for found in maps_of(graph, x, layers)], sample, heats)
