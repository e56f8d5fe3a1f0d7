"""A run of kernels that was written down, and can be run again in one call.

Between two kernels stands Python: shapes are checked, memory is found, the fifty words of a job are put together. For a
single image that takes about as long as the smaller kernels themselves, and each time it comes to the same: all that
differs is the numbers in the images. So a Recording listens while kernels run, and keeps what they tell the threads:
which worker is to run, and the words of its job. Those are addresses and sizes. Run again, the same workers find other
numbers at the same addresses. (With graphics processors this is called a graph.)

Three things make it right.

- Addresses stay good. While a Recording listens, memory comes from an arena of its own, which nobody else is given. It
  is lent and returned as ever, so one place may serve several results in turn; run again, they come in the same order.
  Arrays that lie elsewhere, weights and tables, are kept: `memory.address` tells of each whose address is asked for.
- Nothing else was done. Where NumPy computes on the way, or Python decides by numbers, `memory.apart` says so; and
  where it is little, as a dropout's draws or a sum of a few numbers, `memory.again` hands over what to call between.
- Winograd's results may be not finite, and are then computed anew, by Python. A job says so in a word, `verdict`.

That all three were seen to everywhere is checked by whoever records, session/replaying.py and session/learning.py:
they run again on other numbers, with nothing but NaN in the arena, and compare.
"""

from __future__ import annotations

import contextlib
import functools
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numba import config

from nailorch.kernels.fast import threads
from nailorch.kernels.fast.layout import copied
from nailorch.kernels.fast.memory import (
    ALIGN,
    POOL,
    STRETCH,
    Pool,
    Stretch,
    address,
    begin_of,
    images,
    octets,
    recorder,
)
from nailorch.kernels.fast.packs import owner_of
from nailorch.shapes import Array


def possible() -> bool:
    """Return whether jobs are compiled: interpreted ones cannot be run by their addresses."""
    return not config.DISABLE_JIT


class Full(MemoryError):
    """A run needs more memory than an arena has."""


class Arena(Pool):
    """One stretch of memory, whose parts are lent down to the smallest. `top` bytes of it were ever used."""

    def __init__(self, size: int) -> None:
        super().__init__(least=0, grain=ALIGN)
        self.whole, self.top = Stretch(size), 0
        self.stretches.append(self.whole)

    def take(self, size: int) -> Array:
        raw = super().take(size)
        self.top = max(self.top, begin_of(raw) + raw.size - self.whole.begin)
        return raw

    def another(self, size: int) -> Stretch:
        raise Full

    def drop_idle(self, since: int | None = None) -> None:
        """Drop nothing: addresses in here are known to jobs."""

    def holds(self, at: int) -> bool:
        return self.whole.begin <= at < self.whole.begin + self.whole.memory.size


class Recording:
    """Jobs that ran once, and run again.

    Attributes:
        threads: how many there were; with more or fewer, work is cut otherwise.
        learns: weights are other ones at each run, so they are packed each time; and `calls` may stand between jobs.
        jobs_alone: False once something else was done than jobs, and those calls.
        first: what NumPy computes before the first job, and the array that it is written to.
        calls: the same of what it computes later, and before which job.
    """

    def __init__(self, limit: int, learns: bool = False) -> None:
        self.threads, self.pool, self.jobs_alone, self.learns = threads.count(), Arena(limit), True, learns
        self.jobs: list[tuple[int, array[int], int]] = []
        self.first: list[tuple[Callable[[], Any], Array | None]] = []
        self.calls: list[tuple[int, Callable[[], Any], Array | None]] = []
        self.places: set[int] = set()  # where calls leave their numbers: ids of arrays that `first` and `calls` keep
        self.given: set[int] = set()  # what is there before the first job: ids of arrays
        self.wanted: dict[int, int] = {}  # by which job first
        self.kept: list[Array] = []
        self.verdicts: list[Array] = []
        self.table = np.empty((0, 3), np.int64)

    @property
    def bytes(self) -> int:
        return self.pool.top

    def fits(self) -> bool:
        return self.threads == threads.count()

    # what happens while it listens

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        token = recorder.set(self)
        try:
            yield
        finally:
            recorder.reset(token)

    def hear(self, known: Array, at: int) -> None:
        if not self.pool.holds(at):
            self.kept.append(known)
            self.wanted.setdefault(id(owner_of(known)), len(self.jobs))

    def note(self, worker: int, words: array[int], workers: int) -> None:
        own = array('q', words)  # its first word is the address of its counter, the next one
        own[0] = own.buffer_info()[0] + 8
        self.jobs.append((worker, own, workers))

    def repeat(self, compute: Callable[[], Any], place: Array | None, reads: Sequence[Array] | None) -> None:
        if not self.learns:
            self.jobs_alone = False
            return
        is_first = reads is not None and all(map(self.is_given, reads))
        if is_first:
            self.first.append((compute, place))
        else:
            self.calls.append((len(self.jobs), compute, place))
        if place is not None:
            self.places.add(id(owner_of(place)))
            if is_first:
                self.given.add(id(owner_of(place)))

    def attempt(self, call: Callable[[], tuple[Array, ...]]) -> tuple[tuple[Array, ...], bool]:
        """Return what a call returns, and whether its jobs alone will make the same of other numbers."""
        before, self.jobs_alone = (len(self.jobs), len(self.kept), len(self.verdicts)), True
        with self.listening():
            ys = call()
        if self.jobs_alone and all(self.pool.holds(address(y)) for y in ys):
            return ys, True
        for noted, count in zip((self.jobs, self.kept, self.verdicts), before, strict=True):
            del noted[count:]
        return ys, False

    # arrays in the arena

    def holds(self, array: Array) -> bool:
        """Return whether an array lies in the arena, or where a call leaves its numbers."""
        return self.pool.holds(array.ctypes.data) or id(owner_of(array)) in self.places

    def is_given(self, array: Array) -> bool:
        """Return whether an array's numbers are there before the first job: no job or later call makes them."""
        return not self.holds(array) or id(owner_of(array)) in self.given

    def own(self, other: Array) -> Array:
        """Return a copy in the arena, in the same memory order."""
        if other.dtype.hasobject:
            raise Full('Python objects are no numbers')
        with self.listening():
            raw = octets(other.nbytes)
        copy = np.ndarray(other.shape, other.dtype, raw, strides=np.empty_like(other).strides)
        np.copyto(copy, other)
        self.given.add(id(owner_of(copy)))
        return copy

    def pixels(self, image: Array) -> Array:
        """Return a copy of images in the arena, the channels of a pixel side by side."""
        with self.listening():
            copy = images(*image.shape)
        return copied(image, copy)

    def window(self, known: Array) -> Array:
        """Return an array of the arena without holding on to its place there; any other as it is."""
        at = address(known)
        if not self.pool.holds(at):
            return known
        whole = self.pool.whole
        return np.ndarray(known.shape, known.dtype, whole.memory, at - whole.begin, known.strides)

    def spoil(self) -> None:
        """Make NaN of all numbers in the arena."""
        self.pool.whole.memory[:self.pool.top] = 0xFF

    def settle(self) -> None:
        """Give back memory that was kept for runs like this one: it has its own now."""
        if self.bytes >= STRETCH // 8:
            POOL.clear()

    # again

    def fill(self, copy: Array, other: Array) -> None:
        """Copy other numbers to where `own` or `pixels` copied some."""
        pixels = copy.dtype == other.dtype == np.float32 and copy.ndim == 4
        if pixels and copy.strides != other.strides and copy.transpose(0, 2, 3, 1).flags.c_contiguous:
            copied(other, copy)
        else:
            np.copyto(copy, other)

    def run_again(self, first: int, last: int) -> None:
        """Run some of the jobs again, all of which have ended when this returns."""
        if len(self.table) != len(self.jobs):
            self.table = np.array([(worker, words.buffer_info()[0], workers) for worker, words, workers in self.jobs])
        if last > first:
            threads.run_again(self.table, first, last)

    @functools.cached_property
    def due(self) -> list[tuple[int, Callable[[], Any], Array | None]]:
        """The calls in order, each as late as its numbers or the next call's are wanted: so jobs stay together."""
        found, due = list[Any](), len(self.jobs)
        for before, compute, place in reversed(self.calls):
            due = min(due, before if place is None else self.wanted.get(id(owner_of(place)), due))
            found.append((due, compute, place))
        return found[::-1]

    def run_all_again(self) -> None:
        """Run all jobs again, and make the calls between them."""
        for compute, place in self.first:
            call(compute, place)
        first = 0
        for before, compute, place in self.due:
            self.run_again(first, before)
            call(compute, place)
            first = before
        self.run_again(first, len(self.jobs))

    def begin(self) -> None:
        for word in self.verdicts:
            word[0] = 1

    def is_good(self) -> bool:
        """Return whether no job since `begin` has found its results not to be used."""
        return all([word[0] for word in self.verdicts])


def call(compute: Callable[[], Any], place: Array | None) -> None:
    """Compute numbers once more, and leave them where they were."""
    y = compute()
    if place is not None:
        np.copyto(place, y)
