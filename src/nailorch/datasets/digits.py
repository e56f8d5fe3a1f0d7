"""Handwritten digits, and clothes in the same format: 28 x 28 grey pixels, ten classes."""

from __future__ import annotations

import functools
import gzip
import math
import zlib
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from nailorch.datasets.base import ArrayDataset, Dataset, Transform, split
from nailorch.formats.assets import asset
from nailorch.messages import message
from nailorch.shapes import Array
from nailorch.transforms import Compose, Flatten, Normalize, ToFloat

__all__ = ['MNIST', 'Digits', 'FashionMNIST', 'read_idx']

FLAT = Compose([Flatten(), ToFloat(), Normalize(0., 255.)])
MAX_BYTES = 1 << 30


class MNIST(Dataset):
    """60,000 handwritten digits to train with, 10,000 to test.

    Args:
        train, transform, target_transform: as in Dataset. x comes as an array (1, 28, 28) of values from 0 to 255; the
            default transform makes it 784 values from 0 to 1, float32.
        root: a folder that holds the four idx files, as they are or gzipped; None: they are fetched once, then cached.
    Example:
        train_set = MNIST(train=True)
        x, t = train_set[0]                     # (784,), 5
    Source: LeCun, Cortes & Burges, The MNIST database of handwritten digits.
    """

    classes: Any = tuple('0123456789')
    folder = 'mnist'

    def __init__(self, train: bool = True, transform: Transform | None = FLAT,
                 target_transform: Transform | None = None, root: str | PathLike[str] | None = None) -> None:
        self.root = None if root is None else Path(root)
        super().__init__(train, transform, target_transform)

    def prepare(self) -> None:
        part = 'train' if self.train else 't10k'
        images, labels = self.file(f'{part}-images-idx3-ubyte'), self.file(f'{part}-labels-idx1-ubyte')
        self.data, self.label = read_idx(images, 3)[:, None], read_idx(labels, 1).astype(np.int64)
        if len(self.data) != len(self.label):
            raise ValueError(f'{images}, {labels}: ' + message('dataset.lengths', x=len(self.data), t=len(self.label)))

    def file(self, name: str) -> Path:
        if self.root is None:
            return asset(f'{self.folder}/{name}.gz')
        for path in (self.root / name, self.root / f'{name}.gz'):
            if path.is_file():
                return path
        raise FileNotFoundError(message('file.missing', path=f'{self.root / name}[.gz]'))


class FashionMNIST(MNIST):
    """60,000 pictures of clothes to train with, 10,000 to test; otherwise as MNIST, but harder.

    Source: Xiao, Rasul & Vollgraf, Fashion-MNIST, 2017.
    """

    classes = ('T-shirt/top', 'Trouser', 'Pullover', 'Dress', 'Coat', 'Sandal', 'Shirt', 'Sneaker', 'Bag', 'Ankle boot')
    folder = 'fashion_mnist'


class Digits(Dataset):
    """5,000 digits of MNIST, 500 a class: 4,500 to train with, 500 to test. 1.4 MB to fetch, then cached.

    Args:
        train, transform, target_transform: as in MNIST.
    Example:
        train_set, test_set = Digits(train=True), Digits(train=False)
        train_set, valid_set = split(train_set, (4000, 500))
    """

    classes = MNIST.classes

    def __init__(self, train: bool = True, transform: Transform | None = FLAT,
                 target_transform: Transform | None = None) -> None:
        super().__init__(train, transform, target_transform)

    def prepare(self) -> None:
        images, labels = read_digits()
        part = split(ArrayDataset(images, labels), (4500, 500))[0 if self.train else 1]
        self.data, self.label = images[part.indices], labels[part.indices]


@functools.cache
def read_digits() -> tuple[Array, Array]:
    """Return the 5,000 images (5000, 1, 28, 28) and their labels, in the order of the file: by class."""
    with gzip.open(asset('mnist_5k.csv.gz')) as file:
        table = np.loadtxt(file, np.uint8, delimiter=',')
    return table[:, :-1].reshape(-1, 1, 28, 28), table[:, -1].astype(np.int64)


def read_idx(path: Path, ndim: int) -> Array:
    """Read a file of bytes in MNIST's own format, gzipped or not.

    Its header is 0, 0, 8 (for bytes), the number of axes, and each axis's size as four bytes, the highest first.

    Raises:
        ValueError: the header is not this, or the values are fewer or more than it says.
    """
    with open(path, 'rb') as file:
        gzipped = file.read(2) == b'\x1f\x8b'
    try:
        with gzip.open(path) if gzipped else open(path, 'rb') as file:
            header = file.read(4 + 4 * ndim)
            shape = tuple(map(int, np.frombuffer(header[4:], '>u4', len(header[4:]) // 4)))
            expected = math.prod(shape)
            if header[:4] != bytes((0, 0, 8, ndim)) or len(shape) != ndim or expected > MAX_BYTES:
                raise ValueError(message('idx.header', path=path, header=header.hex(' '), ndim=ndim))
            values = file.read(expected + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(message('file.broken', path=path, reason=error)) from error
    if len(values) != expected:
        size = len(values) if len(values) < expected else f'> {expected}'
        raise ValueError(message('idx.size', path=path, shape=shape, expected=expected, size=size))
    return np.frombuffer(bytearray(values), np.uint8).reshape(shape)
