"""A look into a trained network: what its first layer seeks, and what its layers see in one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nailorch.config import no_grad, test_mode
from nailorch.layers import Conv2d

__all__ = ['Inside', 'look_inside']

Array = npt.NDArray[Any]

MOST_LAYERS = 4


@dataclass(frozen=True)
class Inside:
    """What `look_inside` found.

    Attributes:
        parameters: how many numbers the network learns.
        filters: the name and the weights (OC, C, KH, KW) of the first convolution; None where there is none.
        maps: the name and the output (C, H, W) of some convolutions, in the order in which they compute.
        sample: the number of the image that they computed from.
    """

    parameters: int
    filters: tuple[str, Array] | None = None
    maps: Sequence[tuple[str, Array]] = ()
    sample: int = 0


def look_inside(model: Any, dataset: Any, sample: int = 0) -> Inside:
    """Run `model` on one image of a dataset, and keep what some of its convolutions answer.

    Of many convolutions the first, the last and those evenly between are kept.
    """
    seen: list[tuple[str, Any, Array]] = []

    def watch(name: str) -> Any:
        return lambda layer, inputs, output: seen.append((name, layer, output.data))

    hooks = [layer.register_forward_hook(watch(name)) for name, layer in model.named_layers()
             if isinstance(layer, Conv2d)]
    try:
        with no_grad(), test_mode():
            model(dataset[sample][0][None])
    finally:
        for hook in hooks:
            hook.remove()
    count = sum(parameter.data.size for parameter in model.params())
    if not seen:
        return Inside(count)
    name, first, _ = seen[0]
    chosen = sorted({round(place) for place in np.linspace(0, len(seen) - 1, MOST_LAYERS)})
    return Inside(count, (name, first.W.data), [(seen[place][0], seen[place][2][0]) for place in chosen], sample)
