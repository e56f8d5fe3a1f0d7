"""The data of a training run, from its settings: three sets that share no image, and what is needed to show them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nailorch.datasets import CIFAR10, CIFAR100, MNIST, Dataset, Digits, FashionMNIST, ImageFolder, Subset, split
from nailorch.messages import message
from nailorch.training.settings import AugmentationSettings, Settings, nearest
from nailorch.transforms import (
    ColorJitter,
    Compose,
    Normalize,
    RandomCrop,
    RandomHorizontalFlip,
    RandomRotation,
    Resize,
    ToArray,
    ToPIL,
)

__all__ = ['DATASETS', 'Data', 'check_name', 'has_parts', 'is_folder', 'load_data', 'to_numbers']

DATASETS: dict[str, tuple[Any, tuple[int, int, int]]] = {
    'digits': (Digits, (1, 28, 28)),
    'mnist': (MNIST, (1, 28, 28)),
    'fashion_mnist': (FashionMNIST, (1, 28, 28)),
    'cifar10': (CIFAR10, (3, 32, 32)),
    'cifar100': (CIFAR100, (3, 32, 32)),
}
FOLDER_SIZE = 64  # pixels a side that the pictures of a folder are brought to, unless the settings say another
PARTS = {'train', 'training', 'val', 'valid', 'validation', 'test', 'testing'}  # of the data: no classes
PRETRAINED_SIZE = 224  # what ImageNet's networks were trained on
# The mean that is subtracted from pixels of 0 to 255, and what they are then divided by.
UNIT = 0.0, 255.0
IMAGENET = tuple(255 * mean for mean in (0.485, 0.456, 0.406)), tuple(255 * std for std in (0.229, 0.224, 0.225))
LITE = 127.0, 128.0
TO_PICTURE = (ToArray(np.uint8),)

Make = Callable[[Sequence[Any]], Sequence[Dataset]]


@dataclass(frozen=True)
class Data:
    """Images to learn from, to choose the best epoch by, and to judge the result with.

    Attributes:
        train, valid, test: samples (x, t), x (C, H, W) as `to_numbers` makes it. Only `train` is augmented.
        picture: gives the test image of a number as bytes (C, H, W), to be shown.
        classes: the classes' names.
        shape: (C, H, W).
        files: where the test images lie, of a folder of pictures.
    """

    train: Dataset
    valid: Dataset
    test: Dataset
    picture: Callable[[int], npt.NDArray[Any]]
    classes: list[str]
    shape: tuple[int, int, int]
    files: list[str] | None = None


def load_data(settings: Settings, whole: bool = False) -> Data:
    """Read the data that `settings.data` names, and split it, the same way whenever the seed is the same.

    Args:
        whole: a folder of pictures that no model has learned from: each of its parts is all of it.
    Raises:
        FileNotFoundError, ValueError: no such data, an empty folder, too few images to split.
    """
    check_name(settings.data.name)
    make, shape = folder_maker(settings, whole) if is_folder(settings.data.name) else dataset_maker(settings)
    C, H, W = shape
    if settings.model.pretrained and C != 3:
        raise ValueError(message('data.grey', model=settings.model.name, data=settings.data.name, channels=C))
    sized = [Resize((H, W)), ToArray(np.uint8)] if settings.data.size or is_folder(settings.data.name) else []
    numbers = to_numbers(settings)
    train, _, _ = make([*sized, *augmentation(settings.augmentation, (H, W)), *numbers])
    _, valid, test = make([*sized, *numbers])
    pictures = make([*sized, *TO_PICTURE])[2]
    return Data(train, valid, test, lambda index: pictures[index][0], list(test.classes), shape, files_of(test))


def files_of(part: Any) -> list[str] | None:
    """Return where the pictures of a folder, or of a part of one, lie; None for other data."""
    whole = part.dataset if isinstance(part, Subset) else part
    if not isinstance(whole, ImageFolder):
        return None
    return [str(whole.data[index]) for index in (part.indices if isinstance(part, Subset) else range(len(part)))]


def to_numbers(settings: Settings) -> list[Any]:
    """Return what makes an image (C, H, W) numbers: from 0 to 1, or as the pretrained weights were trained."""
    if not settings.model.pretrained:
        return [ToArray(), Normalize(*UNIT)]
    return [ToArray(), Normalize(*(LITE if settings.model.name.startswith('efficientnet_lite') else IMAGENET))]


def is_folder(name: str) -> bool:
    """Is a data set's name a path? What has a separator, or exists and is no data set's name."""
    return name not in DATASETS and (Path(name).exists() or any(mark in name for mark in '/\\'))


def check_name(name: str) -> None:
    """Raise ValueError, with the nearest name, unless `name` is a data set's or a folder's."""
    if name not in DATASETS and not is_folder(name):
        raise ValueError(message('data.unknown', name=name, folder=Path.cwd(), remedy=nearest(name, list(DATASETS))))


def dataset_maker(settings: Settings) -> tuple[Make, tuple[int, int, int]]:
    """Return a function that gives a named data set's three parts, transformed as it is told, and the images' shape."""
    kind, (C, H, W) = DATASETS[settings.data.name]
    side, valid, seed = settings.data.size, settings.data.valid, settings.seed

    def make(transforms: Sequence[Any]) -> Sequence[Dataset]:
        learn = kind(train=True, transform=Compose(transforms))
        return [*split(learn, (1.0 - valid, valid), seed=seed), kind(train=False, transform=Compose(transforms))]

    return make, (C, side or H, side or W)


def folder_maker(settings: Settings, whole: bool) -> tuple[Make, tuple[int, int, int]]:
    """Return the same for a folder: one with `train` and `test` inside, or one whose images are split in three."""
    root, side = Path(settings.data.name), settings.data.size or FOLDER_SIZE
    valid, test, seed = settings.data.valid, settings.data.test, settings.seed
    parted = has_parts(root)

    def make(transforms: Sequence[Any]) -> Sequence[Dataset]:
        if not parted:
            pictures = ImageFolder(root, Compose(transforms))
            return [pictures] * 3 if whole else share_out(with_classes(pictures), valid, test, seed)
        learn, judge = (ImageFolder(root / part, Compose(transforms)) for part in ('train', 'test'))
        if learn.classes != judge.classes:
            raise ValueError(message('data.classes', path=root, train=learn.classes, test=judge.classes))
        return [*split(learn, (1.0 - valid, valid), seed=seed), judge]

    return make, (3, side, side)


def has_parts(folder: Path) -> bool:
    """Return whether a folder of pictures has `train` and `test` inside."""
    return (folder / 'train').is_dir() and (folder / 'test').is_dir()


def with_classes(pictures: ImageFolder) -> ImageFolder:
    """Return a folder's pictures, if its sub-folders can be classes: more than one, and no parts of the data."""
    if PARTS.issuperset(map(str.casefold, pictures.classes)):
        raise ValueError(message('data.parts', path=pictures.root, names=', '.join(pictures.classes),
                                 first=next((name for name in pictures.classes if name.casefold() == 'train'),
                                            pictures.classes[0])))
    if len(pictures.classes) == 1:
        raise ValueError(message('data.one', path=pictures.root, name=pictures.classes[0]))
    return pictures


def share_out(pictures: ImageFolder, valid: float, test: float, seed: int) -> list[Subset]:
    """Split a folder's pictures in three; where they are too few, the error says what may be done."""
    learn = 1.0 - valid - test
    try:
        return split(pictures, (learn, valid, test), seed=seed)
    except ValueError as error:
        raise ValueError(message('data.few', path=pictures.root, total=len(pictures), learn=f'{learn:.0%}',
                                 valid=f'{valid:.0%}', test=f'{test:.0%}')) from error


def augmentation(asked: AugmentationSettings, size: tuple[int, int]) -> list[Any]:
    """Return the random transforms that are asked for; they come before images are made numbers."""
    transforms: list[Any] = []
    if asked.jitter:
        transforms += [ToPIL(), ColorJitter(asked.jitter, asked.jitter), ToArray(np.uint8)]
    if asked.rotation:
        transforms.append(RandomRotation(asked.rotation))
    if asked.shift:
        transforms.append(RandomCrop(size, pad=asked.shift))
    if asked.flip:
        transforms.append(RandomHorizontalFlip())
    return transforms
