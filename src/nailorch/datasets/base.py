"""What every dataset is: samples with a number each, and the parts that one is split into."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nailorch.hints import Checked
from nailorch.messages import message
from nailorch.transforms import Compose

__all__ = ['ArrayDataset', 'Dataset', 'Subset', 'split']

Transform = Callable[[Any], Any]


class Dataset(Checked):
    """Samples (x, t) by number. A subclass's `prepare` fills `self.data` and `self.label`.

    Args:
        train: the samples to learn from, or those to test with.
        transform: a function of each x, or None.
        target_transform: a function of each t, or None.
    Example:
        >>> class Squares(Dataset):
        ...     def prepare(self):
        ...         self.data = [0, 1, 2, 3]
        ...         self.label = [0, 1, 4, 9]
        >>> Squares()[3], len(Squares())
        ((3, 9), 4)
    """

    classes: Sequence[str] = ()
    data: Any
    label: Any

    def __init__(self, train: bool = True, transform: Transform | None = None,
                 target_transform: Transform | None = None) -> None:
        self.train = train
        self.transform = Compose() if transform is None else transform
        self.target_transform = Compose() if target_transform is None else target_transform
        self.data = None
        self.label = None
        self.prepare()

    def prepare(self) -> None:
        """Fill `self.data`, and `self.label` if the samples have one."""

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        index = operator.index(index)
        t = None if self.label is None else self.target_transform(self.label[index])
        return self.transform(self.data[index]), t

    def __len__(self) -> int:
        return len(self.data)

    def labels(self) -> dict[int, str]:
        """Return the name of each class by its number."""
        return dict(enumerate(self.classes))


class ArrayDataset(Dataset):
    """Samples from arrays: x[i] and t[i].

    Example:
        >>> ArrayDataset(np.zeros((2, 1, 28, 28), np.float32), np.array([5, 0]))[0][1]
        np.int64(5)
    """

    def __init__(self, x: Any, t: Any = None, transform: Transform | None = None,
                 target_transform: Transform | None = None) -> None:
        if t is not None and len(x) != len(t):
            raise ValueError(message('dataset.lengths', x=len(x), t=len(t)))
        super().__init__(True, transform, target_transform)
        self.data, self.label = x, t


class Subset(Dataset):
    """Some samples of a dataset, in the order of `indices`."""

    def __init__(self, dataset: Dataset, indices: Any) -> None:
        self.dataset, self.indices = dataset, np.asarray(indices, np.intp)
        outside = self.indices[(self.indices < 0) | (self.indices >= len(dataset))]
        if outside.size:
            raise IndexError(f'Subset: there is no sample {outside[0]} in a dataset of {len(dataset)}')
        labels = getattr(dataset, 'label', None)
        self.label = None if labels is None else np.asarray(labels)[self.indices]
        self.classes = getattr(dataset, 'classes', ())

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self.dataset[int(self.indices[operator.index(index)])]

    def __len__(self) -> int:
        return len(self.indices)


def split(dataset: Dataset, sizes: Sequence[float], *, stratified: bool = True, seed: int = 0) -> list[Subset]:
    """Split a dataset into parts that share no sample, the same ones whenever the seed is the same.

    Args:
        sizes: how many samples each part gets, or which fraction; together all of them.
        stratified: give each part every class in the proportion of the whole, as nearly as whole samples allow.
        seed: another seed, another split.
    Raises:
        ValueError: the sizes do not add up, or a part would be empty.
    Example:
        >>> train, valid = split(ArrayDataset(np.zeros(500), np.arange(500) % 10), (0.9, 0.1))
        >>> len(train), np.bincount(valid.label)
        (450, array([5, 5, 5, 5, 5, 5, 5, 5, 5, 5]))

    Parts share their dataset's transform. To augment the training part alone, make the dataset twice, and split both
    with one seed: `split(MNIST(transform=augmented), sizes)[0]` and `split(MNIST(), sizes)[1]`.
    """
    total = len(dataset)
    fractions = any(isinstance(size, float) for size in sizes)
    ends = np.rint(np.cumsum(sizes) * (total if fractions else 1)).astype(int)
    counts = np.diff(ends, prepend=0)
    complete = np.isclose(sum(sizes), 1 if fractions else total, atol=1e-6)
    if not complete or counts.min() < 1:
        raise ValueError(message('split.sizes', sizes=tuple(sizes), total=total, counts=tuple(map(int, counts))))
    order = np.random.default_rng(seed).permutation(total)
    labels = getattr(dataset, 'label', None)
    if stratified and labels is not None:
        order = interleave(order, np.asarray(labels))
    return [Subset(dataset, np.sort(part)) for part in np.split(order, ends[:-1])]


def interleave(order: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Rearrange `order` so that every stretch of it holds each class in the proportion of the whole.

    The k-th of the n samples of a class goes to the place (k + 1/2) / n of the way.
    """
    _, classes, counts = np.unique(labels[order], axis=0, return_inverse=True, return_counts=True)
    classes = classes.reshape(-1)
    k = np.empty(len(order), int)
    k[np.argsort(classes, kind='stable')] = np.concatenate([np.arange(n) for n in counts])
    return order[np.argsort((k + 0.5) / counts[classes], kind='stable')]
