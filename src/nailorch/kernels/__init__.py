"""Arrays in, arrays out: the few operations worth an engine of their own.

Each function here is one line over the engine in force (`Config.engine`); `reference` holds them all in plain NumPy,
with the same names and signatures. Images are (N, C, H, W), weights (OC, C // groups, KH, KW); a window comes with its
padding in pixels (`Window.on`). No function modifies what it is given, but for the optimisers'
updates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from nailorch.config import Config
from nailorch.kernels import fast, reference
from nailorch.kernels.fast.dispatch import watch as watch
from nailorch.shapes import Array, Window

Arrays = Sequence[Array]
Grads = tuple[Array | None, Array | None, Array | None]
Moments = tuple[Array, Array]
Layer = tuple[Array, Array | None, str]

ENGINES: dict[str, ModuleType] = {'reference': reference, 'fast': fast}


def engine() -> ModuleType:
    """Return the module that computes, as `Config.engine` names it."""
    try:
        return ENGINES[Config.engine]
    except KeyError:  # all but the environment's was looked at when it was set
        raise ValueError(f'NAILORCH_ENGINE: there is no {Config.engine!r}; there are {", ".join(ENGINES)}') from None


def conv2d(image: Array, weight: Array, bias: Array | None, window: Window, groups: int = 1) -> Array:
    """Slide the weights over the images: (N, OC, OH, OW)."""
    return engine().conv2d(image, weight, bias, window, groups)


def conv2d_moments(image: Array, weight: Array, bias: Array | None, window: Window,
                   groups: int = 1) -> tuple[Array, Array, Array]:
    """Return conv2d's result, and the mean and variance of each of its channels, for the batch norm that follows."""
    return engine().conv2d_moments(image, weight, bias, window, groups)


def conv2d_data_grad(gy: Array, weight: Array, size: Sequence[int], window: Window, groups: int = 1) -> Array:
    """Return the gradient of conv2d's images, (N, C, *size): each gy, times the weights, added where it came from."""
    return engine().conv2d_data_grad(gy, weight, size, window, groups)


def conv2d_weight_grad(image: Array, gy: Array, window: Window, groups: int = 1) -> Array:
    """Return the gradient of conv2d's weights: each gy times the window it saw, summed over images and places."""
    return engine().conv2d_weight_grad(image, gy, window, groups)


def pooled_conv2d(image: Array, weight: Array, bias: Array | None, window: Window, groups: int, activation: str,
                  pool: Window) -> tuple[Array, Array]:
    """Return the maxima of activation(conv2d) over the windows of `pool`, and the cells they stood in, as max_pool."""
    return engine().pooled_conv2d(image, weight, bias, window, groups, activation, pool)


def conv2d_grads(image: Array, weight: Array, gy: Array, window: Window, groups: int, wanted: Sequence[bool],
                 y: Array | None = None, activation: str = '', index: Array | None = None,
                 pool: Window | None = None, added: Array | None = None) -> Grads:
    """Return the gradients of conv2d's image, weight and bias, None for those that are not `wanted`.

    With an activation and its result y, they are those of activation(conv2d); with the index too, of its maxima y.
    To the image's, `added` is added: what has come to it from elsewhere.
    """
    return engine().conv2d_grads(image, weight, gy, window, groups, wanted, y, activation, index, pool, added)


def max_pool(image: Array, window: Window) -> tuple[Array, Array]:
    """Return every window's maximum and the cell it stood in (row-major, the first of equals), both (N, C, OH, OW)."""
    return engine().max_pool(image, window)


def max_pool_scatter(gy: Array, index: Array, size: Sequence[int], window: Window) -> Array:
    """Add every gy into the pixel that `index` names: (N, C, *size)."""
    return engine().max_pool_scatter(gy, index, size, window)


def max_pool_gather(image: Array, index: Array, window: Window) -> Array:
    """Take from every window the pixel that `index` names: (N, C, OH, OW)."""
    return engine().max_pool_gather(image, index, window)


def average_pool(image: Array, window: Window, count: Array) -> Array:
    """Return every window's sum over its `count`, (OH, OW), of cells."""
    return engine().average_pool(image, window, count)


def average_pool_grad(gy: Array, size: Sequence[int], window: Window, count: Array) -> Array:
    """Share every gy out evenly among its window's `count` cells: (N, C, *size)."""
    return engine().average_pool_grad(gy, size, window, count)


def matmul(a: Array, b: Array) -> Array:
    """Return the matrix product of the last two axes."""
    return engine().matmul(a, b)


def linear(x: Array, weight: Array, bias: Array | None, activation: str = '') -> Array:
    """Return activation(x @ weight + bias): (N, IN), (IN, OUT), (OUT,) -> (N, OUT); activation is a name or ''."""
    return engine().linear(x, weight, bias, activation)


def linear_grads(x: Array, weight: Array, gy: Array, wanted: Sequence[bool], y: Array | None = None,
                 activation: str = '') -> Grads:
    """Return the gradients of linear's x, weight and bias, of any number of axes, as conv2d_grads does."""
    return engine().linear_grads(x, weight, gy, wanted, y, activation)


def elementwise(ufunc: np.ufunc, a: Array, b: Array) -> Array:
    """Return ufunc(a, b): a sum, difference or product of large arrays takes as long as its memory does."""
    return engine().elementwise(ufunc, a, b)


def relu(x: Array) -> Array:
    """Return x where it is positive or NaN, else 0."""
    return engine().relu(x)


def relu_grad(y: Array, gy: Array) -> Array:
    """Return gy where relu's result y is positive, else 0."""
    return engine().relu_grad(y, gy)


def relu6(x: Array) -> Array:
    """Return x held between 0 and 6; NaN stays."""
    return engine().relu6(x)


def relu6_grad(y: Array, gy: Array) -> Array:
    """Return gy where relu6's result y lies between 0 and 6, else 0."""
    return engine().relu6_grad(y, gy)


def select(condition: Array, a: Array, b: Array) -> Array:
    """Return a where the condition holds, else b, broadcast against each other."""
    return engine().select(condition, a, b)


def in_c_order(x: Array) -> Array:
    """Return x with its numbers in the order of its axes: itself, or a copy."""
    return engine().in_c_order(x)


def concat(xs: Arrays, axis: int) -> Array:
    """Return arrays joined along an axis."""
    return engine().concat(xs, axis)


def sum_over(x: Array, axes: tuple[int, ...]) -> Array:
    """Return x summed over some axes."""
    return engine().sum_over(x, axes)


def softmax(x: Array, axis: int) -> Array:
    """Return exp(x) over its sum along `axis`."""
    return engine().softmax(x, axis)


def log_softmax(x: Array, axis: int) -> Array:
    """Return the logarithm of softmax, without taking one of a number near 0."""
    return engine().log_softmax(x, axis)


def cross_entropy(x: Array, target: Array) -> Array:
    """Return -log softmax(x)[target], one number for each of the N rows of (N, C)."""
    return engine().cross_entropy(x, target)


def cross_entropy_grad(x: Array, target: Array, scale: Array) -> Array:
    """Return the gradient of x, (N, C): softmax(x), less 1 at the target, times each row's scale, (N,)."""
    return engine().cross_entropy_grad(x, target, scale)


def scale_channels(x: Array, mean: Array, scale: Array, shift: Array, activation: str = '',
                   added: Array | None = None) -> Array:
    """Return activation((x - mean) * scale + shift + added), each of the three a number for every channel (axis 1)."""
    return engine().scale_channels(x, mean, scale, shift, activation, added)


def batch_norm(x: Array, gamma: Array, beta: Array, eps: float, activation: str = '',
               added: Array | None = None, moments: Moments | None = None) -> tuple[Array, Array, Array]:
    """Normalise each channel (axis 1) by its own mean and variance; return activation(y + added), mean, var.

    These two are its `moments`, where they are known.
    """
    return engine().batch_norm(x, gamma, beta, eps, activation, added, moments)


def batch_norm_grad(x: Array, gamma: Array, beta: Array, gy: Array, mean: Array, var: Array, eps: float,
                    activation: str = '') -> tuple[Array, Array, Array]:
    """Return the gradients of batch_norm's x, gamma and beta."""
    return engine().batch_norm_grad(x, gamma, beta, gy, mean, var, eps, activation)


# Updates: one pass over lists of arrays. The parameters and their state are written in place, gradients only read.


def sgd_update(params: Arrays, grads: Arrays, lr: float) -> None:
    """p -= lr * g."""
    engine().sgd_update(params, grads, lr)


def momentum_update(params: Arrays, grads: Arrays, velocity: Arrays, lr: float, momentum: float,
                    nesterov: bool) -> None:
    """v = momentum * v + g; p -= lr * v, or with Nesterov's look ahead lr * (g + momentum * v)."""
    engine().momentum_update(params, grads, velocity, lr, momentum, nesterov)


def adagrad_update(params: Arrays, grads: Arrays, square: Arrays, lr: float, eps: float) -> None:
    """s += g**2; p -= lr * g / (sqrt(s) + eps)."""
    engine().adagrad_update(params, grads, square, lr, eps)


def adadelta_update(params: Arrays, grads: Arrays, square: Arrays, change: Arrays, lr: float, rho: float,
                    eps: float) -> None:
    """d = sqrt((c + eps) / (s + eps)) * g, with s and c the running averages of g**2 and d**2; p -= lr * d."""
    engine().adadelta_update(params, grads, square, change, lr, rho, eps)


def rmsprop_update(params: Arrays, grads: Arrays, square: Arrays, lr: float, rho: float, eps: float) -> None:
    """p -= lr * g / (sqrt(s) + eps), with s the running average of g**2."""
    engine().rmsprop_update(params, grads, square, lr, rho, eps)


def adam_update(params: Arrays, grads: Arrays, mean: Arrays, square: Arrays, steps: Sequence[int], lr: float,
                beta1: float, beta2: float, eps: float, weight_decay: float = 0.0) -> None:
    """p -= lr * m / (sqrt(s) + eps), with m and s the running averages of g and g**2, each over 1 - beta**step.

    Before that, p -= lr * weight_decay * p. `steps` counts each parameter's updates, this one included.
    """
    engine().adam_update(params, grads, mean, square, steps, lr, beta1, beta2, eps, weight_decay)


# What runs again: see fast/recording.py


def again(compute: Callable[[], Any], reads: Sequence[Array] | None = None) -> Any:
    """Return compute(): a few numbers that NumPy makes between kernels, or nothing; each new run computes it anew.

    The array that it returns is new, and the place of all that it returns later. Where `reads` are all the arrays that
    it is made of, and no kernel writes one of them, it is computed before the first one: so kernels stay together.
    """
    return engine().again(compute, reads)


def listener(limit: int, learns: bool = False) -> Any:
    """Return what notes down kernels' jobs, in up to `limit` bytes, and runs them again: None where there are none.

    One that `learns` takes weights for what they are at each run, and what is called `again` for a part of it.
    """
    return engine().listener(limit, learns)


def computing_threads() -> int:
    """Return the number of threads that the next kernel runs on."""
    return engine().computing_threads()


# Whole steps of a network whose weights stay as they are: what compiled sessions are made of


def constant(array: Array, fresh: bool = False) -> Array:
    """Return a read-only copy that never changes: kernels keep what they make of it without looking at it again.

    An array that is `fresh`, nobody else's, need not be copied.
    """
    return engine().constant(array, fresh)


def packed_bytes(array: Array) -> int:
    """Return how much memory kernels keep for a constant, besides its own."""
    return engine().packed_bytes(array)


def fused_conv2d(image: Array, weight: Array, bias: Array | None, window: Window, groups: int = 1, activation: str = '',
                 added: Array | None = None, pooled: bool = False) -> Array:
    """Return activation(conv2d + added), and if `pooled`, its maxima over 2x2 pixels; activation is a name or ''."""
    return engine().fused_conv2d(image, weight, bias, window, groups, activation, added, pooled)


def fused_bottleneck(image: Array, expand: Layer | None, depthwise: Layer, project: Layer, window: Window,
                     added: Array | None = None) -> Array:
    """Convolve by 1x1, each channel alone by `window`, by 1x1, and add; a layer is (weight, bias, activation)."""
    return engine().fused_bottleneck(image, expand, depthwise, project, window, added)


def arranged(weight: Array) -> Array:
    """Return a dense layer's weights (in, out) in the order in which `fused_linear` reads them."""
    return engine().arranged(weight)


def fused_linear(x: Array, weight: Array, bias: Array, activation: str = '') -> Array:
    """Return activation(x @ weight + bias)."""
    return engine().fused_linear(x, weight, bias, activation)
