"""What a model takes for what: the confusion matrix of a dataset, and the mistakes that it is most sure of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, NamedTuple

import numpy as np

from nailorch.config import no_grad, test_mode
from nailorch.dataloaders import DataLoader
from nailorch.drawing import pictures
from nailorch.inspection.maps import figure
from nailorch.inspection.metrics import accuracy, confident_mistakes, confusion_matrix, softmax
from nailorch.layers import Layer
from nailorch.messages import message
from nailorch.shapes import Array

__all__ = ['Confusion', 'Mistake', 'confusion']

LARGEST_TABLE = 20  # classes; beyond it, the matrix is shown as a picture


class Mistake(NamedTuple):
    """A wrong answer.

    Attributes:
        sample: its number in the dataset.
        label, answer: the true class and the one that was answered.
        probability: of the answer.
    """

    sample: int
    label: int
    answer: int
    probability: float


@dataclass(frozen=True, eq=False)
class Confusion:
    """What a model answered to a dataset.

    Attributes:
        labels: the true classes, (N,).
        probabilities: one row a sample, one column a class, (N, K).
        classes: the classes' names.
    """

    labels: Array
    probabilities: Array
    classes: tuple[str, ...]

    @property
    def matrix(self) -> Array:
        """How often each true class (row) was given each answer (column), (K, K)."""
        return confusion_matrix(self.probabilities.argmax(axis=1), self.labels, len(self.classes))

    @property
    def accuracy(self) -> float:
        """The share of right answers."""
        return accuracy(self.probabilities.argmax(axis=1), self.labels)

    def mistakes(self, count: int = 16) -> list[Mistake]:
        """Return the wrong answers, the most confident first."""
        return [Mistake(int(index), int(self.labels[index]), int(row.argmax()), float(row.max())) for index, row in
                ((index, self.probabilities[index]) for index in
                 confident_mistakes(self.probabilities, self.labels, count))]

    def picture(self) -> Array:
        """Return the matrix as a picture (K, K, 3) of bytes, each cell by its share of the row."""
        return pictures.heat_map(self.matrix)

    def _repr_html_(self) -> str:
        if len(self.classes) > LARGEST_TABLE:
            return figure(self.picture(), repr(self))
        heads = ''.join(f'<th scope="col">{escape(name)}</th>' for name in self.classes)
        rows = ''.join(f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{count}</td>" for count in row)}</tr>'
                       for name, row in zip(self.classes, self.matrix, strict=True))
        return f'<table><caption>{escape(repr(self))}</caption><tr><th></th>{heads}</tr>{rows}</table>'

    def __repr__(self) -> str:
        return f'Confusion({len(self.labels)} samples, {len(self.classes)} classes, {self.accuracy:.1%} right)'


def confusion(model: Layer, dataset: Any, classes: Sequence[str] | None = None, batch_size: int = 64) -> Confusion:
    """Ask a model for the class of every sample of a dataset, in evaluation mode.

    Args:
        model: gives scores (N, K).
        dataset: of samples (x, label), labels from 0.
        classes: the classes' names; None: the dataset's own `classes`, else numbers.
    Raises:
        ValueError: the model gives no scores, or a label is no class.
    """
    scores, labels = [], []
    with no_grad(), test_mode():
        for x, t in DataLoader(dataset, batch_size, shuffle=False):
            y = model(x).data
            if y.ndim != 2:
                raise ValueError(message('inspect.scores', who='confusion', model=type(model).__name__, shape=y.shape))
            scores.append(y)
            labels.append(np.asarray(t))
    probabilities = softmax(np.concatenate(scores))
    confusion_matrix(probabilities.argmax(axis=1), np.concatenate(labels), probabilities.shape[1])  # or a label is none
    names = classes if classes is not None else getattr(dataset, 'classes', None) or range(probabilities.shape[1])
    return Confusion(np.concatenate(labels), probabilities, tuple(map(str, names)))
