"""Arrays by their addresses: what vector code reads and writes; and memory that is used again.

A large array that is new costs the system a zeroed page for every 4 KB that is touched: for a VGG's first activation
longer than its convolution. So blocks that nobody refers to any more are kept, and given out again.
"""

from __future__ import annotations

import threading
from math import prod

import numpy as np

from nailorch.shapes import Array

ALIGN = 64  # bytes: a cache line, and the widest vector
LARGE = 1 << 18  # bytes: smaller blocks are quick to get from the system
KEPT = 1 << 30  # bytes of unused blocks that are kept


def address(array: Array) -> int:
    """Return where an array's first element lies."""
    return array.__array_interface__['data'][0]


class Pool:
    """Blocks of memory that were used before, by size."""

    def __init__(self) -> None:
        self.lock, self.free, self.kept = threading.RLock(), dict[int, list[Array]](), 0

    def take(self, size: int) -> Array:
        with self.lock:
            blocks = self.free.get(size)
            if blocks:
                self.kept -= size
                return blocks.pop()
        return np.empty(size, np.uint8)

    def give_back(self, raw: Array) -> None:
        with self.lock:
            if self.kept + raw.size <= KEPT:
                self.kept += raw.size
                self.free.setdefault(raw.size, []).append(raw)

    def clear(self) -> None:
        with self.lock:
            self.kept = 0
            self.free.clear()


POOL = Pool()


class Block:
    """Memory on loan: an array made of it keeps it, and when the last one is gone, it returns to the pool."""

    def __init__(self, count: int) -> None:
        step = max(ALIGN, 1 << max((4 * count).bit_length() - 3, 0))  # sizes within a quarter of each other are one
        self.raw = POOL.take(-(-4 * count // step) * step + ALIGN)
        start = address(self.raw)
        self.__array_interface__ = {'version': 3, 'shape': (count,), 'typestr': '<f4',
                                    'data': (-(-start // ALIGN) * ALIGN, False)}

    def __del__(self, give_back=POOL.give_back) -> None:
        give_back(self.raw)


def floats(count: int) -> Array:
    """Return `count` float32 numbers, whatever they may be, at the beginning of a cache line."""
    return np.asarray(Block(max(count, 1)))


def new(*shape: int) -> Array:
    """Return an unwritten array; a large one lies in memory that was used before."""
    return floats(prod(shape)).reshape(shape) if 4 * prod(shape) >= LARGE else np.empty(shape, np.float32)


def images(N: int, C: int, H: int, W: int) -> Array:
    """Return unwritten images (N, C, H, W) whose memory is (N, H, W, C)."""
    return floats(N * C * H * W).reshape(N, H, W, C).transpose(0, 3, 1, 2)


def unwritten(model: Array) -> Array:
    """Return unwritten numbers of a gapless array's shape and memory order."""
    steps = [step * 4 // model.itemsize for step in model.strides]
    return np.ndarray(model.shape, np.float32, floats(model.size), strides=steps)


def zeros(count: int) -> Array:
    """Return at least `count` zeros that many share: never write to them."""
    if ZEROS[0].size < count:
        ZEROS[0] = np.zeros(2 * count, np.float32)
    return ZEROS[0]


ZEROS = [np.zeros(1 << 14, np.float32)]


def strides(image: Array) -> tuple[int, int, int]:
    """Return the bytes from image to image, row to row and pixel to pixel."""
    n, _, h, w = image.strides
    return n, h, w
