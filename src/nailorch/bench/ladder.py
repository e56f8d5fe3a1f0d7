"""One convolution, stride 1 and no padding, rung by rung: from the definition's seven loops to the engines.

Every rung takes images x (N, C, H, W) and filters W (OC, C, KH, KW) and returns (N, OC, OH, OW); all are equal.
"""

from __future__ import annotations

import inspect
import json
import math
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from nailorch import kernels
from nailorch.bench.machine import peak_memory, reset_peak_memory
from nailorch.bench.statistics import apart, spread
from nailorch.bench.workloads import numbers
from nailorch.config import using_config
from nailorch.shapes import Array, Window

__all__ = ['LARGE', 'SMALL', 'Rung', 'Step', 'climb', 'rungs']

Shape = tuple[int, ...]
SMALL: tuple[Shape, Shape] = (1, 8, 30, 30), (8, 8, 3, 3)  # the loops take a quarter of a second
LARGE: tuple[Shape, Shape] = (8, 64, 58, 58), (64, 64, 3, 3)  # they would take ten minutes
TOLERANCE = 1e-5


def seven_loops(x: Array, W: Array) -> Array:
    """The definition: for every place of every result, the sum of what lies under the filter."""
    (N, C, H, W_), (OC, _, KH, KW) = x.shape, W.shape
    OH, OW = H - KH + 1, W_ - KW + 1
    y = np.zeros((N, OC, OH, OW), x.dtype)
    for n in range(N):
        for oc in range(OC):
            for oh in range(OH):
                for ow in range(OW):
                    for c in range(C):
                        for kh in range(KH):
                            for kw in range(KW):
                                y[n, oc, oh, ow] += x[n, c, oh + kh, ow + kw] * W[oc, c, kh, kw]
    return y


def columns(x: Array, W: Array) -> Array:
    """im2col: copy what lies under the filter into a row, for every place, then one matrix product."""
    (N, _, H, W_), (OC, _, KH, KW) = x.shape, W.shape
    column = kernels.reference.im2col_array(x, (KH, KW), 1, 0)  # (N*OH*OW, C*KH*KW)
    y = column @ W.reshape(OC, -1).T
    return y.reshape(N, H - KH + 1, W_ - KW + 1, OC).transpose(0, 3, 1, 2)


def windows(x: Array, W: Array) -> Array:
    """A view in which every pixel appears under every cell, and a sum over three axes at once."""
    view = sliding_window_view(x, W.shape[2:], axis=(2, 3))  # (N, C, OH, OW, KH, KW), no copy yet
    return np.tensordot(view, W, axes=((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2)


def cells(x: Array, W: Array) -> Array:
    """One cell of the filter at a time: a matrix product over the channels, added up. No columns at all."""
    (N, C, H, W_), (OC, _, KH, KW) = x.shape, W.shape
    OH, OW = H - KH + 1, W_ - KW + 1
    y = np.zeros((N, OC, OH * OW), x.dtype)
    for kh in range(KH):
        for kw in range(KW):
            y += W[:, :, kh, kw] @ x[:, :, kh:kh + OH, kw:kw + OW].reshape(N, C, OH * OW)
    return y.reshape(N, OC, OH, OW)


@dataclass(frozen=True)
class Rung:
    """One implementation: its name, the call, and the function whose source is shown."""

    name: str
    call: Callable[[Array, Array], Array]
    shown: Callable[..., object]

    @property
    def source(self) -> str:
        return inspect.getsource(self.shown)


@dataclass(frozen=True)
class Step:
    """What was measured on a rung: quartiles in seconds, bytes beyond those of x and W; None where it was left out."""

    rung: Rung
    seconds: tuple[float, float, float] | None
    bytes: int | None


def rungs() -> list[Rung]:
    """Return every rung, the engines last: all that there are."""
    found = [Rung(function.__name__, function, function) for function in (seven_loops, columns, windows, cells)]
    return found + [Rung(f'engine {name}', engine(name), module.conv2d) for name, module in kernels.ENGINES.items()]


def engine(name: str) -> Callable[[Array, Array], Array]:
    """Return kernels.conv2d as the engine `name` computes it."""
    def conv2d(x: Array, W: Array) -> Array:
        with using_config('engine', name):
            return kernels.conv2d(x, W, None, Window(W.shape[2:]))

    return conv2d


def climb(shapes: tuple[Shape, Shape] = SMALL, rounds: int = 5, most_multiplications: float = 1e7) -> list[Step]:
    """Measure every rung on images and filters of `shapes`, in turn; the loops only where they end in reasonable time.

    Raises:
        ArithmeticError: a rung's result differs from the others'.
    """
    x, W = numbers(shapes[0], 1), numbers(shapes[1], 2)
    N, _, H, W_ = x.shape
    work = N * (H - W.shape[2] + 1) * (W_ - W.shape[3] + 1) * math.prod(W.shape)
    found = rungs()
    taking_part = [rung for rung in found if rung.call is not seven_loops or work <= most_multiplications]
    check(taking_part, x, W)
    memory = {rung.name: peak(lambda rung=rung: rung.call(x, W)) for rung in taking_part}  # type: ignore[misc]
    times: dict[str, list[float]] = {rung.name: [] for rung in taking_part}
    for number in range(rounds):
        for rung in taking_part:
            if rung.call is not seven_loops or number == 0:  # once is enough to see what the loops cost
                began = time.perf_counter()
                rung.call(x, W)
                times[rung.name].append(time.perf_counter() - began)
    return [Step(rung, spread(times[rung.name]) if rung in taking_part else None, memory.get(rung.name))
            for rung in found]


def check(taking_part: Sequence[Rung], x: Array, W: Array) -> None:
    """Compare every rung with the first."""
    expected = taking_part[0].call(x, W)
    for rung in taking_part[1:]:
        if (error := apart(np.ascontiguousarray(rung.call(x, W)), expected)) > TOLERANCE:
            raise ArithmeticError(f'{rung.name} is {error:.1e} from {taking_part[0].name}, more than {TOLERANCE:.0e}')


def peak(call: Callable[[], Array]) -> int:
    """Return the most bytes that a call held at once, result included: NumPy's arrays, or what the system saw."""
    reset_peak_memory()
    before = peak_memory() or 0
    tracemalloc.start()
    call()
    _, traced = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return max(traced, (peak_memory() or 0) - before)


def main() -> None:
    """Climb once for each pair of shapes and print what was measured: rounds as the argument, JSON as the answer."""
    found = [{'images': shapes[0], 'filters': shapes[1],
              'rungs': [{'name': step.rung.name, 'seconds': step.seconds, 'bytes': step.bytes}
                        for step in climb(shapes, int(sys.argv[1]))]} for shapes in (SMALL, LARGE)]
    print(json.dumps(found))


if __name__ == '__main__':
    main()
