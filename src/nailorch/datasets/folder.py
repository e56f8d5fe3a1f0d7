"""Your own photographs: one sub-folder a class."""

from __future__ import annotations

import operator
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from nailorch.datasets.base import Dataset, Transform
from nailorch.formats.images import MAX_PIXELS, read_image
from nailorch.messages import message
from nailorch.transforms import Compose, Normalize, ToArray

__all__ = ['ImageFolder']

ENDINGS = {'.png', '.jpg', '.jpeg', '.bmp', '.gif', '.webp', '.tif', '.tiff', '.ppm', '.pgm', '.pbm'}
UNIT = Compose([ToArray(), Normalize(0., 255.)])


class ImageFolder(Dataset):
    """Pictures in folders, `root/cat/1.jpg`, `root/dog/a/7.png`: the sub-folders of `root`, sorted, are the classes.

    Args:
        root: the folder of the classes' folders.
        transform: a function of each picture, a PIL image in RGB. Default: an array (3, H, W), float32 from 0 to 1.
            A batch needs pictures of one size: put Resize or a crop first.
        target_transform: a function of each class number.
        max_pixels: larger pictures are refused.
    Attributes:
        classes: the classes' names; data: the pictures' paths; label: their class numbers.
    Raises:
        FileNotFoundError, ValueError: no such folder, no classes in it, or a class without pictures; when a sample is
            read, a picture that is broken or too large. The message names the place.
    """

    def __init__(self, root: str | PathLike[str], transform: Transform | None = UNIT,
                 target_transform: Transform | None = None, max_pixels: int = MAX_PIXELS) -> None:
        self.root, self.max_pixels = Path(root), max_pixels
        super().__init__(True, transform, target_transform)

    def prepare(self) -> None:
        if not self.root.is_dir():
            raise FileNotFoundError(message('folder.missing', path=self.root))
        folders = sorted(path for path in self.root.iterdir() if path.is_dir() and not path.name.startswith('.'))
        if not folders:
            raise ValueError(message('folder.classes', path=self.root))
        self.classes = [folder.name for folder in folders]
        self.data, labels = [], []
        for number, folder in enumerate(folders):
            pictures = [path for path in sorted(folder.rglob('*')) if is_picture(path)]
            if not pictures:
                raise ValueError(message('folder.empty', path=folder, endings=' '.join(sorted(ENDINGS))))
            self.data += pictures
            labels += [number] * len(pictures)
        self.label = np.array(labels)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        index = operator.index(index)
        image = read_image(self.data[index], self.max_pixels)
        return self.transform(image), self.target_transform(self.label[index])


def is_picture(path: Path) -> bool:
    return path.suffix.lower() in ENDINGS and not path.name.startswith('.') and path.is_file()
