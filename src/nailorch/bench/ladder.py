"""One convolution, 3x3, stride 1 and no padding, rung by rung: from the definition's seven loops to the engines.

Every rung takes images x (N, C, H, W) and filters W (OC, C, 3, 3) and returns (N, OC, OH, OW); all are equal.
"""

from __future__ import annotations

import inspect
import json
import math
import sys
import time
import tracemalloc
from collections.abc import Callable
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
ENOUGH = 0.2  # seconds


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


def winograd(x: Array, W: Array) -> Array:
    """Fewer products: 16 for a tile of 2x2 results, where their definition has 36. Winograd's F(2x2, 3x3)."""
    BT = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], x.dtype)
    G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], x.dtype)
    AT = np.array([[1, 1, 1, 0], [0, 1, -1, -1]], x.dtype)
    (N, C, H, W_), OC = x.shape, len(W)
    TH, TW = -(-(H - 2) // 2), -(-(W_ - 2) // 2)
    x = np.pad(x, [(0, 0), (0, 0), (0, 2 * TH + 2 - H), (0, 2 * TW + 2 - W_)])
    tiles = sliding_window_view(x, (4, 4), axis=(2, 3))[:, :, ::2, ::2]  # (N, C, TH, TW, 4, 4): they overlap by 2

    V = both_axes(BT, tiles.transpose(4, 5, 0, 2, 3, 1)).reshape(4, 4, N * TH * TW, C)
    U = both_axes(G, W.transpose(2, 3, 1, 0))  # (4, 4, C, OC)
    Y = both_axes(AT, V @ U)  # 16 matrix products, then (2, 2, N*TH*TW, OC)
    y = Y.reshape(2, 2, N, TH, TW, OC).transpose(2, 5, 3, 0, 4, 1).reshape(N, OC, 2 * TH, 2 * TW)
    return y[:, :, :H - 2, :W_ - 2]


def both_axes(matrix: Array, x: Array) -> Array:
    """Return matrix @ x @ matrix.T, where the matrices x are its first two axes."""
    return np.tensordot(matrix, np.tensordot(matrix, x, (1, 1)), (1, 1))


def as_it_is(x: Array) -> Array:
    return x


def channels_last(x: Array) -> Array:
    """Return the images with the channels of a pixel side by side in memory."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


@dataclass(frozen=True)
class Rung:
    """One implementation: its name, the call, the function whose source is shown, and how images are laid out for it.

    The layout is what a layer before would have left in memory; it is no part of the measured call.
    """

    name: str
    call: Callable[[Array, Array], Array]
    shown: Callable[..., object]
    layout: Callable[[Array], Array] = as_it_is

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
    """Return every rung, the engines last; the fast one by each of its ways."""
    found = [Rung(function.__name__, function, function)
             for function in (seven_loops, columns, windows, cells, winograd)]
    found.append(Rung('engine reference', engine('reference'), kernels.reference.conv2d))
    if kernels.fast.generated() is None:
        return found
    from nailorch.kernels.fast import gemm, tiles
    from nailorch.kernels.fast import winograd as minimal

    return [*found,
            Rung('engine fast, winograd off', engine('fast', 'off'), gemm.walk_piece.py_func),
            Rung('engine fast, winograd accurate', engine('fast', 'accurate'), minimal.multiply.py_func),
            Rung('engine fast', engine('fast'), minimal.from_points.py_func),
            Rung('engine fast, channels last', engine('fast'), tiles.row_tile, channels_last)]


def engine(name: str, mode: str = 'fast') -> Callable[[Array, Array], Array]:
    """Return kernels.conv2d as an engine computes it, in one of Winograd's modes."""
    def conv2d(x: Array, W: Array) -> Array:
        with using_config('engine', name), using_config('winograd', mode):
            return kernels.conv2d(x, W, None, Window(W.shape[2:]))

    return conv2d


def climb(shapes: tuple[Shape, Shape] = SMALL, rounds: int = 5, most_multiplications: float = 1e7,
          begin: Callable[[Rung], None] = lambda rung: None) -> list[Step]:
    """Measure every rung on images and filters of `shapes`; the loops only where they end in reasonable time.

    Each has at least `rounds` calls and a fifth of a second, but the loops, which have one. They follow one another and
    do not take turns: the threads of two libraries would take each other's time. `begin` is told of each.

    Raises:
        ArithmeticError: a rung's result differs from the others'.
    """
    x, W = numbers(shapes[0], 1), numbers(shapes[1], 2)
    N, _, H, W_ = x.shape
    work = N * (H - W.shape[2] + 1) * (W_ - W.shape[3] + 1) * math.prod(W.shape)
    steps, expected = list[Step](), None
    for rung in rungs():
        if rung.call is seven_loops and work > most_multiplications:
            steps.append(Step(rung, None, None))
            continue
        begin(rung)
        images = rung.layout(x)
        y = rung.call(images, W)
        expected = y if expected is None else expected
        if (error := apart(np.ascontiguousarray(y), expected)) > TOLERANCE:
            raise ArithmeticError(f'{rung.name} is {error:.1e} from the first rung, more than {TOLERANCE:.0e}')
        memory = peak(lambda: rung.call(images, W))  # noqa: B023  # called at once
        times = [seconds(rung, images, W)]
        while rung.call is not seven_loops and (len(times) < rounds or sum(times) < ENOUGH):
            times.append(seconds(rung, images, W))
        steps.append(Step(rung, spread(times), memory))
    return steps


def seconds(rung: Rung, x: Array, W: Array) -> float:
    began = time.perf_counter()
    rung.call(x, W)
    return time.perf_counter() - began


def peak(call: Callable[[], Array]) -> int:
    """Return the most bytes that a call held at once, result included: NumPy's arrays, or what the system saw."""
    kernels.fast.release_memory()
    reset_peak_memory()
    before = peak_memory() or 0
    tracemalloc.start()
    call()
    _, traced = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return max(traced, (peak_memory() or 0) - before)


def main() -> None:
    """Climb once for each pair of shapes and print what was measured: rounds as the argument, JSON as the answer.

    What is measured next stands on the standard error.
    """
    def begin(rung: Rung) -> None:
        print(rung.name, file=sys.stderr, flush=True)

    found = [{'images': shapes[0], 'filters': shapes[1],
              'rungs': [{'name': step.rung.name, 'seconds': step.seconds, 'bytes': step.bytes}
                        for step in climb(shapes, int(sys.argv[1]), begin=begin)]} for shapes in (SMALL, LARGE)]
    print(json.dumps(found))


if __name__ == '__main__':
    main()
