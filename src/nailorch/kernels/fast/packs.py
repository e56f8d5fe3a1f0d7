"""Packed weights, kept while the weights stay what they are.

Whoever owns an array may write into it at any time, through any alias. So a packed copy is kept together with a
checksum of all that it was made from, and used only as long as the weights still have it: reading them is far cheaper
than packing. In training, weights differ from step to step, as their first numbers tell, and nothing is kept: a copy
is, when the same weights come the third time. Of an array that is `constant`, by its owner's word, everything is kept
at once and without a checksum.
"""

from __future__ import annotations

import ctypes
import weakref
from typing import Any, NamedTuple

import numpy as np

from nailorch.kernels.fast import threads
from nailorch.kernels.fast.emit import SIZE, kernel, take
from nailorch.kernels.fast.jit import opened, worker
from nailorch.kernels.fast.memory import address, recorder

CHUNK = 1 << 16  # bytes, whose checksum is one vector
FEW = 1 << 15  # bytes that are copied as they are: a checksum would take longer
STEP = 4 * SIZE  # bytes that are read at a time
FIRST = 256  # bytes
OFTEN = 3  # times: an evaluation between two steps sees what the next step will see

constants: set[int] = set()  # arrays that nobody writes to, and what was packed from them
# By the array that owns the memory: {kind and place of the weights: (first bytes, checksum, how often, copy or None)}.
# Two threads may pack the same weights, and one copy is kept: no lock, which a forked child could find locked.
kept: dict[int, dict[Any, Any]] = {}


@kernel
def checksum(m, at, steps, out):
    """Mix so many steps of memory into one vector, order and every bit of it."""
    def step(i, *sums):
        return [m.mix(s, m.load_words(at + i * STEP + k * SIZE)) for k, s in enumerate(sums)]

    first, *rest = m.loop(steps, step, *(m.words(k) for k in range(4)))
    for other in rest:
        first = m.mix(first, other)
    m.store_words(out, first)


class Reading(NamedTuple):
    """Memory to be summed up."""

    source: int
    steps: int
    out: int


@worker(Reading)
def read(_, job):
    g = opened(job)
    each = CHUNK // STEP
    while True:
        begin = take(g.counter) * each
        if begin >= g.steps:
            return
        checksum(g.source + begin * STEP, min(each, g.steps - begin), g.out + begin // each * SIZE)


def extent(weight):
    """Return how far before the first element memory begins, in bytes below 0, and over how many it extends."""
    reach = [(n - 1) * s for n, s in zip(weight.shape, weight.strides, strict=True)]
    low = sum([min(r, 0) for r in reach])
    return low, sum([max(r, 0) for r in reach]) - low + weight.itemsize


def beginning(weight):
    """Return the first bytes in memory: where they differ from what they were, a checksum need not be taken."""
    low, size = extent(weight)
    return ctypes.string_at(address(weight) + low, min(FIRST, size)) if weight.size else b''


def fingerprint(weight):
    """Return bytes that differ whenever the weights do, or None for an array with holes in it."""
    if weight.nbytes <= FEW and weight.flags.c_contiguous:
        return weight.tobytes()
    low, size = extent(weight)
    if size != weight.nbytes:
        return None
    steps, rest = divmod(weight.nbytes, STEP)
    sums = np.empty(-(-steps * STEP // CHUNK) * SIZE + rest, np.uint8)
    start = address(weight) + low
    if steps:
        threads.run(read, Reading(start, steps, address(sums)))
    if rest:
        flat = np.lib.stride_tricks.as_strided(weight, (weight.size,), (weight.itemsize,)) if low == 0 else None
        if flat is None:
            return None
        sums[len(sums) - rest:] = flat[-(rest // 4):].view(np.uint8)
    return sums.tobytes()


def owner_of(array):
    """Return the array whose memory this one shows."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def constant(array):
    """Return the array, of which the caller says that nobody will write to it: its packed copies need no checksum."""
    owner = owner_of(array)
    if id(owner) not in constants:
        constants.add(id(owner))
        weakref.finalize(owner, constants.discard, id(owner))
    return array


def packed_bytes(array):
    """Return how many bytes are kept of what was packed from an array, and from that."""
    copies = [copy for *_, copy in list(kept.get(id(owner_of(array)), {}).values()) if copy is not None]
    return sum(copy.nbytes + packed_bytes(copy) for copy in copies)


def packed(kind, weight, make):
    """Return make(), a packed copy of the weights for some kind of use, or the one that was kept."""
    owner = owner_of(weight)
    fixed = id(owner) in constants
    listener = recorder.get()
    if not fixed and listener is not None:
        if listener.learns:  # at every step there are other weights
            return make()
        listener.jobs_alone = False
    key = id(owner)
    place = kind, address(weight), weight.shape, weight.strides
    if key not in kept:
        weakref.finalize(owner, kept.pop, key, None)
    entries = kept.setdefault(key, {})
    begun, before, seen, copy = entries.get(place, (None, None, 0, None))
    first = b'' if fixed else beginning(weight)
    if not fixed and first != begun:
        entries[place] = first, None, 1, None
        return make()
    now = 'constant' if fixed else fingerprint(weight)
    if now is None:
        return make()
    if before == now and copy is not None:
        return copy
    copy, seen = constant(make()) if fixed else make(), seen + 1 if before in (now, None) else 1
    entries[place] = first, now, seen, copy if fixed or seen >= OFTEN else None
    return copy
