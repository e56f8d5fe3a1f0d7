"""How good are the answers? Plain NumPy over predictions and labels.

Predictions come first and labels second everywhere, as in `functions.accuracy`. A confusion matrix has the true
class down the rows and the predicted one along the columns, so row k tells where the samples of class k went.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from nailorch.messages import message

__all__ = ['accuracy', 'class_accuracy', 'confident_mistakes', 'confusion_matrix', 'hardest_pair', 'softmax']

Array = npt.NDArray[Any]


def accuracy(predicted: Array, labels: Array) -> float:
    """Return the fraction of predictions that equal their label.

    Args:
        predicted, labels: class numbers, any equal shape, not empty.
    Example:
        >>> accuracy(np.array([1, 2, 3, 4]), np.array([1, 2, 3, 9]))
        0.75
    """
    predicted, labels = _pairs(predicted, labels)
    if labels.size == 0:
        raise ValueError('accuracy: no predictions were given; the accuracy of nothing is not a number')
    return float(np.mean(predicted == labels))


def confusion_matrix(predicted: Array, labels: Array, classes: int | None = None) -> Array:
    """Count how often each true class (row) was given each answer (column).

    Args:
        predicted, labels: class numbers from 0, (N,).
        classes: how many classes there are; by default as many as appear.
    Returns:
        (K, K) integers; they add up to N, the diagonal holds the right answers.
    Example:
        >>> confusion_matrix(np.array([0, 1, 1]), np.array([0, 0, 1]))
        array([[1, 1],
               [0, 1]])
    """
    predicted, labels = _pairs(predicted, labels)
    largest = int(max(predicted.max(), labels.max())) if labels.size else -1
    K = largest + 1 if classes is None else classes
    if labels.size and (min(predicted.min(), labels.min()) < 0 or largest >= K):
        low = int(min(predicted.min(), labels.min()))
        raise ValueError(message('metrics.classes', last=K - 1, low=low, high=largest))
    return np.bincount(labels * K + predicted, minlength=K * K).reshape(K, K)


def class_accuracy(matrix: Array) -> Array:
    """Return each class's fraction of right answers, NaN for a class without samples.

    Args:
        matrix: a confusion matrix, (K, K).
    Example:
        >>> class_accuracy(np.array([[3, 1], [0, 2]]))
        array([0.75, 1.  ])
    """
    samples = matrix.sum(axis=1)
    return np.where(samples == 0, np.nan, np.diagonal(matrix) / np.maximum(samples, 1))


def hardest_pair(matrix: Array) -> tuple[int, int, int] | None:
    """Return (true, predicted, count) of the most frequent mistake, or None where there is no mistake.

    The first one in row-major order wins a tie.

    Example:
        >>> hardest_pair(np.array([[3, 1], [2, 5]]))
        (1, 0, 2)
    """
    mistakes = matrix - np.diag(np.diagonal(matrix))
    if not mistakes.any():
        return None
    true, predicted = np.unravel_index(np.argmax(mistakes), mistakes.shape)
    return int(true), int(predicted), int(mistakes[true, predicted])


def confident_mistakes(probabilities: Array, labels: Array, count: int = 16) -> Array:
    """Return the indices of the wrong answers, the most confident first.

    These are the samples to look at: a wrong label, a rare shape, or something the model misunderstood.

    Args:
        probabilities: one row a sample, one column a class, (N, K).
        labels: the true classes, (N,).
        count: how many indices at most.
    Example:
        >>> confident_mistakes(np.array([[.9, .1], [.2, .8], [.6, .4]]), np.array([1, 1, 1]))
        array([0, 2])
    """
    predicted = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    confidence = probabilities[wrong, predicted[wrong]]
    return wrong[np.argsort(-confidence, kind='stable')][:count]


def softmax(scores: Array) -> Array:
    """Turn scores into probabilities along axis 1; the largest score is subtracted first, so exp cannot overflow."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities: Array = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def _pairs(predicted: Array, labels: Array) -> tuple[Array, Array]:
    predicted, labels = np.asarray(predicted), np.asarray(labels)
    if predicted.shape != labels.shape:
        raise ValueError(message('metrics.shapes', predicted=predicted.shape, labels=labels.shape))
    return predicted, labels
