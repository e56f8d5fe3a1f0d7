"""Numbers as files hold them: rows of bytes, in one order or the other, of types that NumPy has or has not."""

from __future__ import annotations

import zipfile
from typing import Any, Literal, TypeAlias

import numpy as np

from nailorch.messages import message
from nailorch.shapes import Array

__all__ = ['Order', 'read_bytes', 'widened']

Order: TypeAlias = Literal['<', '>']

CHUNK = 1 << 20


def read_bytes(file: Any, size: int) -> Array:
    """Read `size` bytes into memory of their own."""
    buffer = np.empty(size, np.uint8)
    view, at = memoryview(buffer.data), 0
    while at < size:
        count = file.readinto(view[at:at + CHUNK])
        if not count:
            raise EOFError(message('broken.short', size=size, at=at))
        at += count
    if file.read(1) if isinstance(file, zipfile.ZipExtFile) else b'':  # at its end, the checksum is compared
        raise ValueError(message('broken.after'))
    return buffer


def widened(data: Array, code: str, order: Order) -> Array:
    """Return the numbers that `data`, bytes, hold, in this machine's byte order; half precision as float32."""
    if code == 'bfloat16':
        return (data.view(f'{order}u2').astype(np.uint32) << 16).view(np.float32)
    numbers = data.view(np.dtype(code).newbyteorder(order))
    return numbers.astype(np.float32 if code == 'f2' else numbers.dtype.newbyteorder('='), copy=False)
