"""Keras's files of weights, HDF5: a tree of groups whose leaves are arrays, each in one piece of the file.

The tree is read by the package pyfive, all of Python: damaged bytes can make it wrong, but not crash. What it reads is
counted, so that a tree that bites its tail ends; the arrays' numbers are read here, once their place is known to lie in
the file. Keras packs nothing, so packed arrays, which may unpack to anything, are refused.
Source: https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html
"""

from __future__ import annotations

import io
import math
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from nailorch.formats.files import broken
from nailorch.formats.numbers import read_bytes
from nailorch.messages import message
from nailorch.shapes import Array

__all__ = ['read_keras']

READS = 1 << 18  # pieces that the tree is read in: an array takes about 20
DEPTH = 32  # groups in groups
CONTIGUOUS, COMPACT = 1, 0  # layouts


class Counted(io.RawIOBase):
    """A file that gives its tree away in so many pieces, and asks for no memory for bytes that are not there."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        self.file, self.length, self.reads, self.bytes = file, length, 0, 0

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    def read(self, count: int = -1) -> bytes:
        left = max(self.length - self.file.tell(), 0)
        data = self.file.read(left if count < 0 else min(count, left))
        self.reads += 1
        self.bytes += len(data)
        if self.reads > READS or self.bytes > self.length + (1 << 20):
            raise ValueError('its tree has no end')
        return data


def read_keras(path: str | os.PathLike[str]) -> dict[str, Array]:
    """Read all arrays by their paths in the file, such as 'conv1/conv1/kernel:0', in Keras's layouts.

    Half precision becomes float32.

    Raises:
        BrokenFile: the file is broken, cut short or hostile, or its arrays are packed.
        ImportError: pyfive is not installed; the message says how to install it.
    """
    try:
        import pyfive
    except ImportError:
        raise ImportError(message('keras.install')) from None
    path = Path(path)
    length = path.stat().st_size
    with open(path, 'rb') as file, broken(path, 'Keras'):
        with warnings.catch_warnings(action='ignore'):  # of types that are no numbers
            found = dict(leaves(pyfive.File(Counted(file, length)), '', set()))
        total = sum(check(name, leaf, length) for name, leaf in found.items())
        if total > length:
            raise ValueError(message('broken.bytes', length=length, total=total))
        return {name: numbers(leaf, file) for name, leaf in found.items()}


def leaves(group: Any, path: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Yield (path, description) of all arrays of a group and of the groups in it; each thing may stand in one place."""
    if path.count('/') > DEPTH:
        raise ValueError(message('broken.deep', most=DEPTH))
    for name, target in group._links.items():
        if not isinstance(target, int):
            raise ValueError(message('broken.link', name=f'{path}{name}'))
        if target in seen:
            raise ValueError(message('broken.places', name=f'{path}{name}'))
        seen.add(target)
        inner = group.get_lazy_view(name)
        if hasattr(inner, '_links'):
            yield from leaves(inner, f'{path}{name}/', seen)
        else:
            yield f'{path}{name}', inner.id


def check(name: str, leaf: Any, length: int) -> int:
    """Return how many bytes an array takes; raise ValueError if it is no array of numbers that lies in the file."""
    shape, dtype = leaf.shape, leaf.dtype
    if not isinstance(dtype, np.dtype) or dtype.kind not in 'biuf' or dtype.itemsize > 8:
        raise ValueError(message('broken.numbers', name=name, dtype=dtype))
    size = math.prod(shape) * dtype.itemsize
    if leaf.layout_class not in (CONTIGUOUS, COMPACT) or leaf.filter_pipeline:
        raise ValueError(message('broken.packed', name=name))
    if leaf.layout_class == CONTIGUOUS and size and not 0 <= leaf.data_offset <= length - size:
        raise ValueError(message('broken.beyond', name=name, shape=shape, dtype=dtype))
    return size


def numbers(leaf: Any, file: BinaryIO) -> Array:
    """Return an array's numbers, in this machine's byte order."""
    size = math.prod(leaf.shape) * leaf.dtype.itemsize
    if leaf.layout_class == COMPACT:
        data = np.frombuffer(bytes(leaf._data)[:size], np.uint8)
    else:
        file.seek(leaf.data_offset if size else 0)
        data = read_bytes(file, size)
    array = data.view(leaf.dtype).reshape(leaf.shape)
    half = array.dtype.itemsize == 2 and array.dtype.kind == 'f'
    return array.astype(np.float32 if half else array.dtype.newbyteorder('='), copy=False)
