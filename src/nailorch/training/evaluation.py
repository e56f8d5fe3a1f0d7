"""How good is a model on a dataset? Always in test mode, and without a tape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import nailorch.functions as F
from nailorch.config import no_grad, test_mode
from nailorch.dataloaders import DataLoader
from nailorch.inspection.metrics import softmax

__all__ = ['Evaluation', 'NonFiniteLoss', 'Sums', 'evaluate']

Array = npt.NDArray[Any]
Loss = Callable[[Any, Any], Any]


class NonFiniteLoss(ArithmeticError):
    """The loss, or a weight, became NaN or infinite; the message says when, and what to try."""


@dataclass
class Sums:
    """The running sums behind a mean loss and an accuracy.

    `answers` stays 0 where the targets are no classes: there is then a loss, and no accuracy.
    """

    loss: float = 0.0
    samples: int = 0
    right: int = 0
    answers: int = 0

    def add(self, loss: float, scores: Array, labels: Array | None) -> None:
        """Add a batch: its mean loss, and the scores (N, K, ...) given to K classes beside the labels (N, ...)."""
        self.loss += loss * len(scores)
        self.samples += len(scores)
        if labels is not None and labels.dtype.kind in 'iu' and labels.shape == scores.shape[:1] + scores.shape[2:]:
            self.right += int((scores.argmax(axis=1) == labels).sum())
            self.answers += labels.size

    @property
    def mean_loss(self) -> float:
        return self.loss / self.samples

    @property
    def accuracy(self) -> float | None:
        return self.right / self.answers if self.answers else None


@dataclass(frozen=True)
class Evaluation:
    """What a model answered.

    Attributes:
        loss: the mean over the samples.
        accuracy: the fraction of right answers; None where the labels are no classes.
        scores: the model's outputs, (N, K, ...).
        labels: the dataset's targets, (N, ...).
    """

    loss: float
    accuracy: float | None
    scores: Array
    labels: Array

    @property
    def predicted(self) -> Array:
        """The class with the highest score, (N, ...)."""
        return self.scores.argmax(axis=1)

    @property
    def probabilities(self) -> Array:
        """Softmax of the scores, (N, K, ...)."""
        return softmax(self.scores)


def evaluate(model: Any, dataset: Any, *, loss: Loss = F.softmax_cross_entropy, batch_size: int = 100,
             workers: int = 0) -> Evaluation:
    """Run `model` over `dataset`, in its order, and compare its answers with the labels.

    Args:
        model: x -> scores.
        dataset: samples (x, t).
        loss: (scores, t) -> the batch's mean loss.
        batch_size, workers: as in DataLoader.
    Raises:
        ValueError: the dataset is empty.
    """
    sums = Sums()
    scores: list[Any] = []
    labels: list[Any] = []
    loader = DataLoader(dataset, batch_size, shuffle=False, seed=0, workers=workers)
    with no_grad(), test_mode():
        for x, t in loader:
            y = model(x)
            sums.add(float(loss(y, t).data), y.data, t)
            scores.append(y.data)
            labels.append(t)
    return Evaluation(sums.mean_loss, sums.accuracy, np.concatenate(scores), np.concatenate(labels))
