"""CIFAR: colour photographs of 32 x 32 pixels, from the archive of plain bytes: the other one is pickled."""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from nailorch.datasets.base import Dataset, Transform
from nailorch.formats.assets import asset
from nailorch.messages import message
from nailorch.transforms import Compose, Normalize, ToFloat

__all__ = ['CIFAR10', 'CIFAR100']

UNIT = Compose([ToFloat(), Normalize(0., 255.)])
MAX_RECORDS = 50000
PIXELS = 3 * 32 * 32


class CIFAR10(Dataset):
    """50,000 photographs of ten kinds of things to train with, 10,000 to test.

    Args:
        train, transform, target_transform: as in Dataset. x comes as an array (3, 32, 32) of values from 0 to 255; the
            default transform makes it float32 from 0 to 1.
        root: a folder that holds the archive's .bin files; None: the archive is fetched once (170 MB), then cached.
    Source: Krizhevsky, Learning multiple layers of features from tiny images, 2009.
    """

    classes: Any = ('airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck')
    archive = 'cifar/cifar-10-binary.tar.gz'
    train_files: Sequence[str] = tuple(f'data_batch_{number}.bin' for number in range(1, 6))
    test_files: Sequence[str] = ('test_batch.bin',)
    labels_each, label_column = 1, 0

    def __init__(self, train: bool = True, transform: Transform | None = UNIT,
                 target_transform: Transform | None = None, root: str | PathLike[str] | None = None) -> None:
        self.root = None if root is None else Path(root)
        super().__init__(train, transform, target_transform)

    def prepare(self) -> None:
        names = self.train_files if self.train else self.test_files
        contents = self.from_archive(names) if self.root is None else self.from_folder(self.root, names)
        rows = np.concatenate([self.records(name, contents[name]) for name in names])
        self.data = rows[:, self.labels_each:].reshape(-1, 3, 32, 32)
        self.label = rows[:, self.label_column].astype(np.int64)
        if self.label.max() >= len(self.classes):
            raise ValueError(message('cifar.label', label=self.label.max(), classes=len(self.classes)))

    @property
    def most(self) -> int:
        return MAX_RECORDS * (self.labels_each + PIXELS)

    def from_folder(self, root: Path, names: Sequence[str]) -> dict[str, bytes]:
        contents = {}
        for path in (root / name for name in names):
            if not path.is_file():
                raise FileNotFoundError(message('file.missing', path=path))
            with open(path, 'rb') as file:
                contents[path.name] = file.read(self.most + 1)
        return contents

    def from_archive(self, names: Sequence[str]) -> dict[str, bytes]:
        contents = {}
        path = asset(self.archive)
        with tarfile.open(path) as archive:
            for member in archive:  # in the order of the file: a gzip stream does not go back
                name = Path(member.name).name
                if name in names and (file := archive.extractfile(member)):
                    contents[name] = file.read(self.most + 1)
        for name in names:
            if name not in contents:
                raise ValueError(message('file.broken', path=path, reason=f'{name}?'))
        return contents

    def records(self, name: str, content: bytes) -> np.ndarray[Any, Any]:
        """Return the rows of a .bin file: labels, then 1024 red, 1024 green and 1024 blue values."""
        length = self.labels_each + PIXELS
        if not content or len(content) % length or len(content) > self.most:
            raise ValueError(message('cifar.size', name=name, size=len(content), record=length, most=MAX_RECORDS))
        return np.frombuffer(bytearray(content), np.uint8).reshape(-1, length)


class CIFAR100(CIFAR10):
    """50,000 photographs of a hundred kinds of things to train with, 10,000 to test; otherwise as CIFAR10.

    Args:
        label_type: 'fine' for the hundred kinds, 'coarse' for the twenty groups they make.
    """

    archive = 'cifar/cifar-100-binary.tar.gz'
    train_files, test_files = ('train.bin',), ('test.bin',)
    labels_each = 2

    def __init__(self, train: bool = True, transform: Transform | None = UNIT,
                 target_transform: Transform | None = None, root: str | PathLike[str] | None = None,
                 label_type: str = 'fine') -> None:
        if label_type not in ('fine', 'coarse'):
            raise ValueError(f"CIFAR100: label_type is 'fine' or 'coarse', not {label_type!r}")
        self.label_column = 1 if label_type == 'fine' else 0
        self.classes = (FINE if label_type == 'fine' else COARSE).split()
        super().__init__(train, transform, target_transform, root)


FINE = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
    castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
    elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard
    lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear
    pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark
    shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone
    television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
COARSE = """
    aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices
    household_furniture insects large_carnivores large_man-made_outdoor_things large_natural_outdoor_scenes
    large_omnivores_and_herbivores medium_mammals non-insect_invertebrates people reptiles small_mammals trees
    vehicles_1 vehicles_2
"""
