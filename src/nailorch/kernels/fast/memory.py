"""Arrays by their addresses: what vector code reads and writes; and memory that is used again.

A large array that is new costs the system a zeroed page for every 4 KB that is touched: for a VGG's first activation
longer than its convolution. So blocks that nobody refers to any more are kept, and given out again; neighbours that
are free grow together, and serve for larger ones. What thousands of blocks did without goes back to the system.
"""

from __future__ import annotations

import bisect
import contextvars
import ctypes
import functools
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from nailorch.shapes import Array

ALIGN = 64  # bytes: a cache line, and the widest vector
LARGE = 1 << 18  # bytes: smaller blocks are quick to get from the system
STRETCH = 1 << 30  # bytes asked of the system at a time
PAGE = 1 << 12
IDLE = 1 << 12  # blocks taken elsewhere, after which a stretch is given back: a training step takes some hundreds
HEAD = object.__basicsize__  # bytes at the beginning of every object; in an array, its address comes next
word = ctypes.c_size_t.from_address
recorder: contextvars.ContextVar[Any] = contextvars.ContextVar('nailorch_recorder', default=None)  # see recording.py


def begin_of(array: Array) -> int:
    """Return where an array's first element lies; array.__array_interface__ says so too, in six times the time."""
    return int(word(id(array) + HEAD).value)


def address(array: Array) -> int:
    """Return where an array begins, for a job: where a run is recorded, the array is kept."""
    at = word(id(array) + HEAD).value
    listener = recorder.get()
    if listener is not None:
        listener.hear(array, at)
    return at


def apart() -> None:
    """Say that NumPy computes here, or Python decides, by numbers that the next call may see changed."""
    listener = recorder.get()
    if listener is not None:
        listener.jobs_alone = False


def again(compute: Callable[[], Any], reads: Sequence[Array] | None = None) -> Any:
    """Return compute(): a few numbers that NumPy makes on the way, or nothing; what is recorded computes it once more.

    The array that it returns is new, and the place of all that it returns later. Where `reads` are all the arrays that
    it is made of, and no job writes one of them, it is computed before the first job.
    """
    y, listener = compute(), recorder.get()
    if listener is not None:
        y = None if y is None else np.asarray(y)
        listener.repeat(compute, y, reads)
    return y


def from_weights(compute: Callable[[], Any]) -> Any:
    """Return compute(), which depends on nothing but a layer's weights: it is called `again` only where they learn."""
    listener = recorder.get()
    return again(compute) if listener is not None and listener.learns else compute()


def verdict() -> Array:
    """Return a word that is 1; a job makes it 0 where its results are not to be used."""
    word, listener = np.ones(1, np.int64), recorder.get()
    if listener is not None:
        listener.verdicts.append(word)
    return word


def is_finite(y: Array) -> bool:
    """Return whether no number is NaN or infinite; a recording is told if one is."""
    good = verdict()

    def look() -> None:
        with np.errstate(all='ignore'):
            good[0] = np.isfinite(y.sum())

    again(look)
    if not good[0]:
        apart()
    return bool(good[0])


class Stretch:
    """A long piece of memory, given out in parts: those that are free, (begin, end), in order and never touching."""

    def __init__(self, size: int) -> None:
        self.memory = np.empty(size, np.uint8)  # the system lends no page of it before the first number is written
        self.begin, self.free, self.used = begin_of(self.memory), [(0, size)], 0

    def take(self, size: int) -> Array | None:
        """Return the first part that is large enough."""
        for i, (begin, end) in enumerate(self.free):
            if end - begin >= size:
                self.free[i:i + 1] = [(begin + size, end)] if end - begin > size else []
                return self.memory[begin:begin + size]
        return None

    def give_back(self, begin: int, end: int) -> None:
        """Free a part, and join it with what is free beside it."""
        i = bisect.bisect(self.free, (begin, end))
        before, after = self.free[i - 1:i], self.free[i:i + 1]
        first, last = i, i
        if before and before[0][1] == begin:
            begin, first = before[0][0], i - 1
        if after and after[0][0] == end:
            end, last = after[0][1], i + 1
        self.free[first:last] = [(begin, end)]

    def is_free(self) -> bool:
        return self.free == [(0, self.memory.size)]


class Pool:
    """Memory that is given out again, always the lowest that is free, so that little is ever touched.

    Attributes:
        least: bytes of the smallest block that is worth it.
        grain: bytes that every block's size is a multiple of.
    """

    def __init__(self, least: int = LARGE, grain: int = PAGE) -> None:
        self.least, self.grain = least, grain
        self.lock, self.taken = threading.Lock(), 0
        self.stretches: list[Stretch] = []
        self.loans: dict[int, Stretch] = {}
        self.returned: deque[tuple[int, int]] = deque()

    def take(self, size: int) -> Array:
        if size < self.least:
            return np.empty(size, np.uint8)
        size = -(-size // self.grain) * self.grain
        with self.lock:
            self.collect()
            for stretch in self.stretches:
                raw = stretch.take(size)
                if raw is not None:
                    break
            else:
                stretch = self.another(size)
                raw = stretch.take(size)
                assert raw is not None
            self.loans[begin_of(raw)] = stretch
            self.taken += 1
            stretch.used = self.taken
            if self.taken % IDLE == 0:
                self.drop_idle(self.taken - IDLE)
            return raw

    def another(self, size: int) -> Stretch:
        self.drop_idle()  # too small, all of them: kept, they would pile up under results that grow from call to call
        try:
            stretch = Stretch(max(size, STRETCH))
        except MemoryError:  # where address space is counted
            stretch = Stretch(size)
        self.stretches.append(stretch)
        return stretch

    def give_back(self, raw: Array) -> None:
        """Note that a part is free; the garbage collector may call this at any moment, even inside `take`."""
        if raw.size >= self.least:
            self.returned.append((begin_of(raw), raw.size))

    def collect(self) -> None:
        while self.returned:
            begin, size = self.returned.popleft()
            stretch = self.loans.pop(begin, None)
            if stretch is not None:
                stretch.give_back(begin - stretch.begin, begin - stretch.begin + size)

    def clear(self) -> None:
        """Give stretches of which nothing is in use back to the system."""
        with self.lock:
            self.collect()
            self.drop_idle()

    def drop_idle(self, since: int | None = None) -> None:
        """Drop stretches of which nothing is in use; or only those of which nothing was taken since then."""
        self.stretches = [stretch for stretch in self.stretches
                          if not stretch.is_free() or (since is not None and stretch.used > since)]

    def unlock(self) -> None:
        """Take no notice of a thread that held the lock when this process was forked: it is not here."""
        self.lock = threading.Lock()


POOL = Pool()
if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=POOL.unlock)


def returned(block: Any) -> None:
    block.give_back(block.raw)


@functools.lru_cache(1024)
def block_of(count: int) -> Any:
    """Return the type of memory on loan, so many numbers.

    An array made over such a block keeps it, and when the last one is gone, its `raw` memory returns to the pool.
    """
    return type('Block', (ctypes.c_float * count,), {'__del__': returned})


def unfilled(shape: tuple[int, ...], strides: Sequence[int] | None = None, pool: Pool | None = None) -> Array:
    """Return float32 numbers, whatever they may be, that begin at a cache line.

    Where a run is recorded they are for jobs to write; what NumPy writes, weights in another order, goes to POOL.
    """
    count, listener = prod(shape), recorder.get()
    pool = pool or (POOL if listener is None else listener.pool)
    raw = pool.take(max(4 * count, 4) + ALIGN)
    begin = begin_of(raw)
    start = -begin % ALIGN
    if raw.size < pool.least:
        return np.ndarray(shape, np.float32, raw, start, strides)
    block = block_of(count).from_address(begin + start)
    block.raw, block.give_back = raw, pool.give_back
    return np.ndarray(shape, np.float32, block, 0, strides)


def floats(count: int) -> Array:
    """Return `count` unwritten numbers."""
    return unfilled((count,))


def octets(count: int) -> Array:
    """Return `count` unwritten bytes."""
    return floats(-(-count // 4)).view(np.uint8)[:count]


def new(*shape: int) -> Array:
    """Return an unwritten array; a large one lies in memory that was used before."""
    if 4 * prod(shape) < LARGE and recorder.get() is None:
        return np.empty(shape, np.float32)
    return unfilled(shape)


def images(N: int, C: int, H: int, W: int) -> Array:
    """Return unwritten images (N, C, H, W) whose memory is (N, H, W, C)."""
    return unfilled((N, C, H, W), (4 * H * W * C, 4, 4 * W * C, 4 * C))


def unwritten(model: Array) -> Array:
    """Return unwritten numbers of a gapless array's shape and memory order."""
    return unfilled(model.shape, [step * 4 // model.itemsize for step in model.strides])


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
