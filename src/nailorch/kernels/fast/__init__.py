"""The fast engine: kernels generated from Python for the CPU at hand.

float32 convolutions run here; whatever this engine does not cover it hands to `reference`, and `watch` says so. Its
parts import numba, so they are imported at the first call.
"""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from nailorch.kernels import reference
from nailorch.kernels.fast.dispatch import record, watch
from nailorch.kernels.fast.memory import again, apart, recorder
from nailorch.messages import message
from nailorch.shapes import Array, Window

Arrays = Sequence[Array]
Grads = tuple[Array | None, Array | None, Array | None]
Moments = tuple[Array, Array]
Layer = tuple[Array, Array | None, str]
FLOAT = np.dtype(np.float32)

UFUNCS = {np.add, np.subtract, np.multiply}
FEW, SMALL = 1 << 13, 1 << 18  # numbers that NumPy adds up, or sums and products of as many, before we would begin

__all__ = ['again', 'conv2d', 'conv2d_data_grad', 'conv2d_weight_grad', 'watch']


def obstacle() -> str:
    """Return why there are no generated kernels here, so that the reference computes: '' where there are."""
    try:
        from nailorch.kernels.fast import target
    except ImportError as error:
        return message('engine.numba', error=error)
    return '' if target.target() else message('engine.fma')


@functools.cache
def generated(family: str = 'convolution') -> ModuleType | None:
    """Return a module of generated kernels; None without numba, or on a CPU without fused multiply-add."""
    return None if obstacle() else importlib.import_module(f'nailorch.kernels.fast.{family}')


def release_memory() -> None:
    """Give back to the system what memory of earlier results is kept for the next ones."""
    from nailorch.kernels.fast.memory import POOL
    POOL.clear()


def covers(*arrays: Array | None) -> bool:
    """Return whether generated kernels take these arrays: float32 in this CPU's byte order, and not empty."""
    return all([array is None or (array.dtype == FLOAT and array.size) for array in arrays])


def conv2d(image: Array, weight: Array, bias: Array | None, window: Window, groups: int = 1) -> Array:
    kernels = generated()
    if kernels is None or not covers(image, weight, bias):
        record('conv2d', 'reference')
        return reference.conv2d(image, weight, bias, window, groups)
    return kernels.conv2d(image, weight, bias, window, groups)


def conv2d_moments(image: Array, weight: Array, bias: Array | None, window: Window,
                   groups: int = 1) -> tuple[Array, Array, Array]:
    return served('conv2d_moments', 'convolution', covers(image, weight, bias), image, weight, bias, window, groups)


def conv2d_data_grad(gy: Array, weight: Array, size: Sequence[int], window: Window, groups: int = 1) -> Array:
    kernels = generated()
    if kernels is None or not covers(gy, weight) or not all(size):
        record('conv2d_data_grad', 'reference')
        return reference.conv2d_data_grad(gy, weight, size, window, groups)
    return kernels.conv2d_data_grad(gy, weight, size, window, groups)


def conv2d_weight_grad(image: Array, gy: Array, window: Window, groups: int = 1) -> Array:
    kernels = generated()
    if kernels is None or not covers(image, gy):
        record('conv2d_weight_grad', 'reference')
        return reference.conv2d_weight_grad(image, gy, window, groups)
    return kernels.conv2d_weight_grad(image, gy, window, groups)


def pooled_conv2d(image: Array, weight: Array, bias: Array | None, window: Window, groups: int, activation: str,
                  pool: Window) -> tuple[Array, Array]:
    kernels = generated()
    if kernels is None or not covers(image, weight, bias) or math.prod(pool.kernel_size) > 256:
        record('pooled_conv2d', 'reference')
        return reference.pooled_conv2d(image, weight, bias, window, groups, activation, pool)
    record('pooled_conv2d', 'convolution')
    return kernels.pooled_conv2d(image, weight, bias, window, groups, activation, pool)


def conv2d_grads(image: Array, weight: Array, gy: Array, window: Window, groups: int, wanted: Sequence[bool],
                 y: Array | None = None, activation: str = '', index: Array | None = None,
                 pool: Window | None = None, added: Array | None = None) -> Grads:
    kernels = generated()
    covered = covers(image, weight, gy, y, added) and (index is None or index.dtype == np.uint8)
    kernels = reference if kernels is None or not covered else kernels
    record('conv2d_grads', 'reference' if kernels is reference else 'convolution')
    return kernels.conv2d_grads(image, weight, gy, window, groups, wanted, y, activation, index, pool, added)


def served(function: str, family: str, covered: bool, *args: Any) -> Any:
    """Call a generated kernel if there is one that covers the arguments, else the reference; and note which."""
    kernels = generated(family) if covered else None
    if kernels is None:
        apart()
    record(function, 'reference' if kernels is None else family)
    return getattr(reference if kernels is None else kernels, function)(*args)


# pooling: the cells of a window must be numbers that fit in a byte


def max_pool(image: Array, window: Window) -> tuple[Array, Array]:
    return served('max_pool', 'pools', covers(image) and math.prod(window.kernel_size) <= 256, image, window)


def max_pool_scatter(gy: Array, index: Array, size: Sequence[int], window: Window) -> Array:
    covered = covers(gy) and index.dtype == np.uint8
    return served('max_pool_scatter', 'pools', covered, gy, index, size, window)


def max_pool_gather(image: Array, index: Array, window: Window) -> Array:
    return served('max_pool_gather', 'pools', covers(image) and index.dtype == np.uint8, image, index, window)


def average_pool(image: Array, window: Window, count: Array) -> Array:
    return served('average_pool', 'pools', covers(image), image, window, count)


def average_pool_grad(gy: Array, size: Sequence[int], window: Window, count: Array) -> Array:
    return served('average_pool_grad', 'pools', covers(gy), gy, size, window, count)


# dense layers, and element by element


def matmul(a: Array, b: Array) -> Array:
    return served('matmul', 'dense', covers(a, b) and a.ndim > 1 and b.ndim > 1, a, b)


def linear(x: Array, weight: Array, bias: Array | None, activation: str = '') -> Array:
    return served('linear', 'dense', covers(x, weight, bias), x, weight, bias, activation)


def linear_grads(x: Array, weight: Array, gy: Array, wanted: Sequence[bool], y: Array | None = None,
                 activation: str = '') -> Grads:
    return served('linear_grads', 'dense', covers(x, weight, gy, y), x, weight, gy, wanted, y, activation)


def elementwise(ufunc: np.ufunc, a: Array, b: Array) -> Array:
    worth = max(a.size, b.size) >= SMALL or recorder.get() is not None
    covered = ufunc in UFUNCS and worth and covers(a, b) and alike(*(a, b) if a.ndim else (b, a))
    return served('elementwise', 'pointwise', covered, ufunc, a, b)


def relu(x: Array) -> Array:
    return served('relu', 'pointwise', covers(x) and gapless(x), x)


def relu_grad(y: Array, gy: Array) -> Array:
    return served('relu_grad', 'pointwise', covers(y, gy) and gapless(y) and y.shape == gy.shape, y, gy)


def relu6(x: Array) -> Array:
    return served('relu6', 'pointwise', covers(x) and gapless(x), x)


def relu6_grad(y: Array, gy: Array) -> Array:
    return served('relu6_grad', 'pointwise', covers(y, gy) and gapless(y) and y.shape == gy.shape, y, gy)


def select(condition: Array, a: Array, b: Array) -> Array:
    covered = condition.dtype == bool and covers(a, b) and alike(condition, a, b)
    return served('select', 'pointwise', covered, condition, a, b)


def alike(*arrays: Array) -> bool:
    """Return whether all arrays have the shape and memory order of the first, without gaps, or are a single number."""
    first = arrays[0]
    return gapless(first) and all(a.ndim == 0 or (a.shape == first.shape and order(a) == order(first)) for a in arrays)


def order(array: Array) -> list[int]:
    """Return how many numbers lie between neighbours, axis by axis."""
    return [step // array.itemsize for n, step in zip(array.shape, array.strides, strict=True) if n > 1]


def gapless(array: Array) -> bool:
    """Return whether an array's numbers lie side by side, in the order of its axes or with the channels last."""
    return array.flags.c_contiguous or array.flags.f_contiguous or (
        array.ndim == 4 and array.transpose(0, 2, 3, 1).flags.c_contiguous)


def sum_over(x: Array, axes: tuple[int, ...]) -> Array:
    by_channel = 1 < x.ndim < 5 and axes == (0, *range(2, x.ndim))
    return served('sum_over', 'normalization', by_channel and x.size >= FEW and covers(x), x, axes)


def in_c_order(x: Array) -> Array:
    last = covers(x) and x.ndim == 4 and not x.flags.c_contiguous and x.transpose(0, 2, 3, 1).flags.c_contiguous
    return served('in_c_order', 'layout', last and x.flags.aligned, x)


def concat(xs: Arrays, axis: int) -> Array:
    sizes = {(x.ndim, *x.shape[:1], *x.shape[2:]) for x in xs}  # but for the channels
    alike = len(sizes) == 1 and xs[0].ndim == 4
    return served('concat', 'layout', alike and axis in (1, -3) and covers(*xs), xs, axis)


def softmax(x: Array, axis: int) -> Array:
    return served('softmax', 'rows', covers(x), x, axis)


def log_softmax(x: Array, axis: int) -> Array:
    return served('log_softmax', 'rows', covers(x), x, axis)


def are_classes(target: Array, count: int) -> bool:
    """Return whether all targets are numbers of a row of so many: others would lead beyond its memory."""
    def largest() -> int:
        return int(np.asarray(target, np.int64).view(np.uint64).max(initial=0))  # below 0 is far above

    def insist() -> None:
        if largest() >= count:
            raise IndexError(f'a target is no class; there are {count}')

    found = largest() < count
    if found and recorder.get() is not None:
        again(insist, [target])
    return found


def cross_entropy(x: Array, target: Array) -> Array:
    return served('cross_entropy', 'rows', covers(x) and are_classes(target, x.shape[1]), x, target)


def cross_entropy_grad(x: Array, target: Array, scale: Array) -> Array:
    return served('cross_entropy_grad', 'rows', covers(x, scale) and are_classes(target, x.shape[1]), x, target, scale)


def scale_channels(x: Array, mean: Array, scale: Array, shift: Array, activation: str = '',
                   added: Array | None = None) -> Array:
    covered = covers(x, mean, scale, shift, added) and 1 < x.ndim < 5
    return served('scale_channels', 'normalization', covered, x, mean, scale, shift, activation, added)


def batch_norm(x: Array, gamma: Array, beta: Array, eps: float, activation: str = '',
               added: Array | None = None, moments: Moments | None = None) -> tuple[Array, Array, Array]:
    covered = covers(x, gamma, beta, added, *moments or ()) and 1 < x.ndim < 5
    return served('batch_norm', 'normalization', covered, x, gamma, beta, eps, activation, added, moments)


def batch_norm_grad(x: Array, gamma: Array, beta: Array, gy: Array, mean: Array, var: Array, eps: float,
                    activation: str = '') -> tuple[Array, Array, Array]:
    covered = covers(x, gamma, beta, gy, mean, var) and 1 < x.ndim < 5
    return served('batch_norm_grad', 'normalization', covered, x, gamma, beta, gy, mean, var, eps, activation)


# updates: what the generated kernels cannot write to, the reference does


def updated(function: str, arrays: Sequence[Arrays], *settings: Any, each: Sequence[Any] = ()) -> None:
    """Call an update on the rows of params, grads, state ... that generated kernels cover, then on the other rows."""
    rows = list(zip(*arrays, strict=True))
    covered = [covers(p, g, *state) and (all([a.flags.carray for a in (p, *state)]) or writable(p, *state))
               for p, g, *state in rows]
    for kind in (True, False):
        chosen = [i for i, is_covered in enumerate(covered) if is_covered == kind]
        if chosen:
            served(function, 'updates', kind, *([column[i] for i in chosen] for column in (*arrays, *each)), *settings)


def writable(p: Array, *state: Array) -> bool:
    """Return whether all can be written to, and lie without gaps in one memory order."""
    return (gapless(p) and all([a.strides == p.strides or order(a) == order(p) for a in state])
            and all([a.flags.writeable and a.flags.aligned for a in (p, *state)]))


def sgd_update(params: Arrays, grads: Arrays, lr: float) -> None:
    updated('sgd_update', [params, grads], lr)


def momentum_update(params: Arrays, grads: Arrays, velocity: Arrays, lr: float, momentum: float,
                    nesterov: bool) -> None:
    updated('momentum_update', [params, grads, velocity], lr, momentum, nesterov)


def adagrad_update(params: Arrays, grads: Arrays, square: Arrays, lr: float, eps: float) -> None:
    updated('adagrad_update', [params, grads, square], lr, eps)


def adadelta_update(params: Arrays, grads: Arrays, square: Arrays, change: Arrays, lr: float, rho: float,
                    eps: float) -> None:
    updated('adadelta_update', [params, grads, square, change], lr, rho, eps)


def rmsprop_update(params: Arrays, grads: Arrays, square: Arrays, lr: float, rho: float, eps: float) -> None:
    updated('rmsprop_update', [params, grads, square], lr, rho, eps)


def adam_update(params: Arrays, grads: Arrays, mean: Arrays, square: Arrays, steps: Sequence[int], lr: float,
                beta1: float, beta2: float, eps: float, weight_decay: float = 0.0) -> None:
    updated('adam_update', [params, grads, mean, square], lr, beta1, beta2, eps, weight_decay, each=[steps])


# whole steps of a network whose weights stay as they are


def listener(limit: int, learns: bool = False) -> Any:
    parts = generated('recording')
    return parts.Recording(limit, learns) if parts is not None and parts.possible() else None


def computing_threads() -> int:
    threads = generated('threads')
    return 1 if threads is None else threads.count()


def constant(array: Array, fresh: bool = False) -> Array:
    copy = reference.constant(array, fresh)
    packs = generated('packs') if covers(copy) else None
    return copy if packs is None else packs.constant(copy)


def packed_bytes(array: Array) -> int:
    packs = generated('packs') if covers(array) else None
    return 0 if packs is None else packs.packed_bytes(array)


def fused_conv2d(image: Array, weight: Array, bias: Array | None, window: Window, groups: int = 1, activation: str = '',
                 added: Array | None = None, pooled: bool = False) -> Array:
    kernels = generated() if covers(image, weight, bias, added) else None
    if kernels is None:
        record('fused_conv2d', 'reference')
        return reference.fused_conv2d(image, weight, bias, window, groups, activation, added, pooled)
    return kernels.fused_conv2d(image, weight, bias, window, groups, activation, added, pooled)


def fused_bottleneck(image: Array, expand: Layer | None, depthwise: Layer, project: Layer, window: Window,
                     added: Array | None = None) -> Array:
    arrays = [array for layer in (expand, depthwise, project) if layer is not None for array in layer[:2]]
    kernels = generated('bottleneck') if covers(image, added, *arrays) else None
    if kernels is None:
        record('fused_bottleneck', 'reference')
        return reference.fused_bottleneck(image, expand, depthwise, project, window, added)
    return kernels.fused_bottleneck(image, expand, depthwise, project, window, added)


def arranged(weight: Array) -> Array:
    kernels = generated('ready') if covers(weight) else None
    return reference.arranged(weight) if kernels is None else kernels.arranged(weight)


def fused_linear(x: Array, weight: Array, bias: Array, activation: str = '') -> Array:
    if not x.size and bias.size:  # nothing to compute, and weights may be arranged
        return np.zeros((*x.shape[:-1], bias.size), x.dtype)
    return served('fused_linear', 'ready', covers(x, weight, bias), x, weight, bias, activation)
