"""A plan's run, written down: Python between the kernels takes a good part of the time.

With one image, a third of it. But with eight of them it still takes 6 % of ResNet50's: when a kernel has gone through
some megabytes, nothing of Python's is left in the caches, and each step takes 0.3 ms instead of 0.07.

When a plan has run twice with the same weights and as many threads, it runs once more in memory of its own, and what it
tells the kernels is noted (kernels/fast/recording.py says how that can be right). From then on a call copies
its inputs there, has all jobs run again, and copies the results out. Steps that are more than jobs, a user's Function
for one, are called between them as ever, and what they return is copied to where it lay when it was noted.

A wrong answer is worth nothing. So only steps are tried that are known to be jobs and nothing else, kernels say where
they are not, and a rehearsal on other numbers compares each step with what it returns when it is called. Where one
differs, where a batch is large, or while another thread uses the recording, the plan runs as it always did.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from nailorch import kernels
from nailorch.shapes import Array

if TYPE_CHECKING:
    from nailorch.session.running import Found, Plan, Weighted

__all__ = ['Replay', 'Replays']

Result = TypeVar('Result')
Settings = Callable[[], AbstractContextManager[None]]
MEMORY = 256 << 20  # bytes of results and scratch; with more of them to compute, Python's share is small
AFTER = 2  # runs, before one is written down
FEW = 1 << 20  # numbers, or bytes, that are quick to mix and to keep


class Part(NamedTuple):
    """A step of the recording: jobs from `first` to before `last`, or a call.

    Attributes:
        alone: the jobs make all of it.
        call: the step as it is called, on the inputs as they lie in the recording.
        outputs: where its results lie there.
    """

    first: int
    last: int
    alone: bool
    call: Callable[[], tuple[Array, ...]]
    outputs: list[Array]


class Replay:
    """A plan's run on certain weights, that can be run again: by one thread at a time.

    Raises:
        MemoryError: it takes more than the recording has.
    """

    def __init__(self, recording: Any, plan: Plan, weights: Weighted, inputs: Found, outputs: Sequence[int]) -> None:
        self.recording, self.weights = recording, weights
        self.parts = list[Part]()
        self.inputs = {id: self.recording.pixels(x) if id in plan.pixels else self.recording.own(x)
                       for id, x in inputs.items()}
        found = plan.run(dict(self.inputs), weights, lambda *step: self.note(plan, *step))
        self.outputs = {id: self.recording.window(found[id]) for id in outputs}
        self.stretches = joined(self.parts)

    def note(self, plan: Plan, place: int, call: Callable[[], tuple[Array, ...]], found: Found) -> tuple[Array, ...]:
        recording, run, kept = self.recording, plan.runs[place], self.weights.steps[place]
        inputs, first = [recording.window(found[id]) for id in plan.inputs[place]], len(recording.jobs)
        ys, alone = recording.attempt(call) if plan.steps[place].of_jobs else (call(), False)
        if not alone:
            ys = tuple(map(recording.own, ys))
        def again() -> tuple[Array, ...]:  # what a user's Function keeps of its inputs must stay as it is
            return run(kept, *(inputs if alone else [x.copy(order='K') for x in inputs]))

        self.parts.append(Part(first, len(recording.jobs), alone, again, [recording.window(y) for y in ys]))
        return ys

    def is_right(self) -> bool:
        """Rehearse on other numbers: return whether each step's jobs make of them what it returns when called."""
        others = [other_numbers(x) for x in self.inputs.values()]
        self.recording.spoil()
        self.fill(others)
        if any(x.tobytes() != copy.tobytes() for x, copy in zip(others, self.inputs.values(), strict=True)):
            return False
        try:
            with np.errstate(all='ignore'):
                return self.agrees()
        except Exception:  # a user's Function, which does not take these numbers
            return False

    def agrees(self) -> bool:
        for part in self.parts:
            expected = part.call()
            if not part.alone:
                if not copy_all(expected, part.outputs):
                    return False
                continue
            self.recording.run_again(part.first, part.last)
            if any(bits(y) != bits(out) for y, out in zip(expected, part.outputs, strict=True)):
                return False
        return self.recording.is_good()

    def fill(self, arrays: Sequence[Array]) -> None:
        for copy, array in zip(self.inputs.values(), arrays, strict=True):
            self.recording.fill(copy, array)
        self.recording.begin()

    def __call__(self, arrays: Sequence[Array], settings: Settings) -> Found | None:
        """Return the outputs for other inputs, as arrays of their own; None where kernels alone do not find them.

        The session's settings are in force where steps are called.
        """
        self.fill(arrays)
        for part in self.stretches:
            if not self.run(part, settings):
                return None
        return {id: y.copy(order='K') for id, y in self.outputs.items()}

    def run(self, part: Part, settings: Settings) -> bool:
        """Run a part again; return whether all results so far are to be used."""
        self.recording.run_again(part.first, part.last)
        if not self.recording.is_good():
            return False
        if part.alone:
            return True
        with settings():
            return copy_all(part.call(), part.outputs)

    def timed(self, arrays: Sequence[Array], settings: Settings) -> list[float]:
        """Return how many seconds each step takes."""
        self.fill(arrays)
        seconds = list[float]()
        for part in self.parts:
            start = time.perf_counter()
            self.run(part, settings)
            seconds.append(time.perf_counter() - start)
        return seconds


class Replays:
    """The recording of a plan, if it has one, and whose turn it is to make one.

    No lock guards it, which a forked child could find locked: whoever takes the recording from the list has it.
    """

    def __init__(self) -> None:
        self.idle = list[Replay]()
        self.state: Any = None
        self.runs = 0

    @property
    def bytes(self) -> int:
        return sum(replay.recording.bytes for replay in list(self.idle))

    def use(self, weights: Weighted, run: Callable[[Replay], Result]) -> Result | None:
        """Return what is made of the recording; None where there is none for these weights, or somebody has it."""
        try:
            replay = self.idle.pop()
        except IndexError:
            return None
        if replay.weights is not weights or not replay.recording.fits():
            return None
        try:
            return run(replay)
        finally:
            self.idle.append(replay)

    def is_due(self, weights: Weighted) -> bool:
        """Return whether this plan has now run often enough to be written down: once for the same circumstances."""
        state = id(weights), kernels.computing_threads()
        self.runs = self.runs + 1 if state == self.state else 1
        self.state = state
        return self.runs == AFTER

    def make(self, plan: Plan, weights: Weighted, inputs: Found, outputs: Sequence[int], memory: int) -> None:
        """Write the plan down, if it is worth it and can be in so many bytes."""
        if not plan.n or 2 * sum(step.of_jobs for step in plan.steps) < len(plan.steps):
            return
        recording = kernels.listener(memory)
        if recording is None:
            return
        try:
            replay = Replay(recording, plan, weights, inputs, outputs)
        except MemoryError:
            return
        if recording.jobs and replay.is_right():
            self.idle.append(replay)
            recording.settle()


def joined(parts: Sequence[Part]) -> list[Part]:
    """Return the parts, those made of jobs alone joined with what comes before the next call."""
    first, stretches = 0, list[Part]()
    for part in parts:
        if not part.alone:
            stretches.append(part._replace(first=first))
            first = part.last
    if parts and parts[-1].alone:
        stretches.append(parts[-1]._replace(first=first))
    return stretches


def copy_all(arrays: Sequence[Array], places: Sequence[Array]) -> bool:
    """Copy results to where they are looked for, if they have the same shapes and types as then."""
    if [(y.shape, y.dtype) for y in arrays] != [(place.shape, place.dtype) for place in places]:
        return False
    for array, place in zip(arrays, places, strict=True):
        np.copyto(place, array)
    return True


def bits(array: Array) -> bytes:
    """Return bytes that are others for other bits: the numbers themselves, or of many a digest, which takes no room."""
    if array.nbytes <= FEW or array.dtype.hasobject:
        return array.tobytes()
    return hashlib.sha256(np.ascontiguousarray(array).view(np.uint8).data).digest()


def other_numbers(x: Array) -> Array:
    """Return x's finite numbers in another order, of a single one some below it: most of what follows takes them."""
    rng, flat = np.random.default_rng(0), x.ravel()
    # A permutation of millions takes seconds: those change places with others far off.
    mixed = rng.permutation(flat) if x.size <= FEW else np.roll(flat[::-1], x.size // 3)
    mixed = mixed.reshape(x.shape)
    if x.dtype.kind != 'f':
        return mixed
    mixed = np.nan_to_num(mixed, copy=False, posinf=1, neginf=-1)
    if not mixed.size or mixed.min() < mixed.max():
        return mixed
    return (np.where(mixed, mixed, 1) * rng.uniform(0.5, 1, x.shape)).astype(x.dtype)
