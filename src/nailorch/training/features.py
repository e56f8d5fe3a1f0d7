"""The features of a frozen beginning, computed once: training then goes over numbers in place of images.

A network that begins with trained weights spends nearly all its time in layers that stay as they are, and that make the
same features of the same image in every epoch. Only images that are varied at random need them computed anew.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from nailorch.config import no_grad, test_mode
from nailorch.dataloaders import DataLoader
from nailorch.datasets import ArrayDataset
from nailorch.graph import Value, resolve, trace
from nailorch.models import Classifier
from nailorch.training.trainer import Trainer

__all__ = ['features_once']

MOST = 2 ** 30  # bytes of features that are kept in memory


@contextlib.contextmanager
def features_once(trainer: Trainer, said: Callable[[int, int], None] = lambda images, size: None) -> Iterator[None]:
    """Compute the features of a frozen beginning once, for all training within the block.

    Nothing happens where the model is no Classifier, its beginning learns, or its features would take too much memory.

    Args:
        trainer: whose images are the same in every epoch: none is augmented.
        said: is told how many images there are and how many bytes their features take, before they are computed.
    """
    model, loader, sets = trainer.model, trainer.loader, (trainer.loader.dataset, trainer.valid)
    count = sum(len(dataset) for dataset in sets if dataset is not None)
    features = frozen_features(model, loader.load(0, [0])[0])
    size = count * int(np.prod(resolve(features.shape, 1))) * features.dtype.itemsize if features else 0
    if features is None or size > MOST:
        yield
        return
    said(count, size)
    loader.dataset, trainer.valid = (
        dataset if dataset is None else computed(model, dataset, features, loader) for dataset in sets)
    vars(model)['forward'] = model.classify  # what comes in are features already
    try:
        yield
    finally:
        del vars(model)['forward']
        loader.dataset, trainer.valid = sets


def frozen_features(model: Any, x: Any) -> Value | None:
    """Return what a model extracts from images, if nothing in there learns."""
    if not isinstance(model, Classifier):
        return None
    graph = trace(model.extract, x)
    learns = any(value.source.requires_grad for value in graph.values if value.kind == 'parameter')
    return None if learns else graph.values[graph.outputs[0]]


def computed(model: Classifier, dataset: Any, features: Value, loader: DataLoader) -> ArrayDataset:
    """Return a dataset's features with its labels."""
    x = np.empty((len(dataset), *resolve(features.shape, 1)[1:]), features.dtype)
    labels: list[Any] = []
    with no_grad(), test_mode():
        for images, t in DataLoader(dataset, loader.batch_size, shuffle=False, seed=0, workers=loader.workers):
            x[len(labels):len(labels) + len(images)] = model.extract(images).data
            labels += [None] * len(images) if t is None else list(t)
    return ArrayDataset(x, None if labels[0] is None else np.array(labels))
