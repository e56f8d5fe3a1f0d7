"""npz: NumPy's own files, a zip of arrays, which np.load opens as well.

Files come from strangers. Nothing in them is unpickled, and no array is read before its size was found to be wanted;
what a header or the zip's directory says of sizes is checked, not believed.
"""

from __future__ import annotations

import io
import math
import os
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np

from nailorch.formats.files import broken, check_file, replacing
from nailorch.messages import message
from nailorch.shapes import Array

__all__ = ['load_npz', 'npz_path', 'save_npz']

Shapes: TypeAlias = dict[str, tuple[int, ...]]

HEADER = 1 << 14  # bytes in which an array's header must end; NumPy's own limit is 10,000
TOGETHER, SMALL = 16, 1 << 24  # the same for all entries together, where that is not little
PACKINGS = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED  # NumPy's; others unpack a few bytes to any number at once


def npz_path(path: str | os.PathLike[str]) -> Path:
    """Return the path with '.npz' appended if it is not there, as np.savez does."""
    name = os.fspath(path)
    return Path(name if name.endswith('.npz') else name + '.npz')


def save_npz(path: str | os.PathLike[str], arrays: Mapping[str, Array]) -> Path:
    """Write arrays by name, whole or not at all.

    Returns:
        the path, '.npz' appended.
    Raises:
        OSError: the file cannot be written; an older one is as it was.
    """
    path = npz_path(path)
    try:
        with replacing(path) as file, zipfile.ZipFile(file, 'w') as archive:
            for name, array in arrays.items():
                with archive.open(f'{name}.npy', 'w', force_zip64=True) as entry:
                    np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)
    except OSError as error:
        reason = error.strerror or error
        raise OSError(error.errno, message('weights.write', path=path, reason=reason)) from error
    return path


def load_npz(path: str | os.PathLike[str], choose: Callable[[Shapes], Iterable[str]] = list) -> dict[str, Array]:
    """Read arrays by name.

    Args:
        path: the file; one without '.npz' is tried with it.
        choose: takes the shapes of all arrays by name, before any is read, and returns the names that are wanted.
    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is broken, cut short or hostile; or what `choose` raises.
    """
    found = next((each for each in (Path(path), npz_path(path)) if each.is_file()), Path(path))
    check_file(found, '.npz', '.safetensors')  # which load_weights takes, too
    with open(found, 'rb') as file:
        with broken(found, '.npz'):
            archive = zipfile.ZipFile(file)
            entries = {info.filename.removesuffix('.npy'): info for info in archive.infolist()}
            length = found.stat().st_size
            check_entries(archive.infolist(), len(entries), length)
            shapes = {name: check_header(archive, info, length) for name, info in entries.items()}
        wanted = choose(shapes)
        with broken(found, '.npz'):
            return {name: read_array(archive, entries[name]) for name in wanted}


def check_entries(infos: list[zipfile.ZipInfo], names: int, length: int) -> None:
    """Raise ValueError unless each entry has a name of its own, and all unpack to few times the file's `length`."""
    if names < len(infos):
        raise ValueError(message('broken.twice'))
    if any(info.compress_type not in PACKINGS for info in infos):
        raise ValueError(message('broken.unusual'))
    if (size := sum(info.file_size for info in infos)) > TOGETHER * length + SMALL:
        raise ValueError(message('broken.unpack', length=length, size=size))


def check_header(archive: zipfile.ZipFile, info: zipfile.ZipInfo, length: int) -> tuple[int, ...]:
    """Return the shape in an entry's header, if the entry has that size, and can have it in a file of `length`."""
    with archive.open(info) as entry:
        start = io.BytesIO(entry.read(HEADER))
    version = np.lib.format.read_magic(start)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(start)
    if dtype.kind not in 'biuf':
        raise ValueError(message('broken.numbers', name=info.filename, dtype=dtype))
    size = start.tell() + math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or size != info.file_size:
        raise ValueError(message('broken.array', name=info.filename, shape=shape, dtype=dtype, size=size,
                                 there=info.file_size))
    if info.compress_size > length:
        raise ValueError(message('broken.larger', name=info.filename, size=info.compress_size, length=length))
    return shape


def read_array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Array:
    """Read one array, and make sure that its checksum was reached."""
    with archive.open(info) as entry:
        array = np.lib.format.read_array(entry, allow_pickle=False)
        if entry.read(1):
            raise ValueError(message('broken.goes_on', name=info.filename))
    return array
