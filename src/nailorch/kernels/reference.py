"""Every kernel in plain NumPy: the textbook's own code, and the twin that faster engines are measured against.

Windows slide by turning the picture inside out: instead of visiting every place of the window and looking at its cells,
visit every *cell* of the kernel and look at all the places at once. Cell (kh, kw) meets, over all places, one strided
slice of the image (`cells`); everything below is a walk over those few slices.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from nailorch.messages import message
from nailorch.shapes import Array, Pair, Window, check_images

Arrays = Sequence[Array]
Grads = tuple[Array | None, Array | None, Array | None]
Moments = tuple[Array, Array]
Layer = tuple[Array, Array | None, str]


def cells(window: Window, outsize: Sequence[int]) -> Iterator[tuple[int, int, slice, slice]]:
    """Yield kh, kw, and the rows and columns of the padded image that cell meets over all places."""
    (KH, KW), (SH, SW), (DH, DW) = window.kernel_size, window.stride, window.dilation
    OH, OW = outsize
    for kh in range(KH):
        for kw in range(KW):
            yield kh, kw, slice(kh * DH, kh * DH + SH * OH, SH), slice(kw * DW, kw * DW + SW * OW, SW)


def padded(image: Array, window: Window, value: Any = 0) -> Array:
    """Return the images with the window's padding around them."""
    if not any(map(any, window.pad)):
        return image
    return np.pad(image, ((0, 0), (0, 0), *window.pad), constant_values=value)


def cropped(image: Array, size: Sequence[int], window: Window) -> Array:
    """Return the images without their padding, (N, C, *size)."""
    (top, _), (left, _) = window.pad
    return image[:, :, top:top + size[0], left:left + size[1]]


def padded_zeros(shape: Sequence[int], size: Sequence[int], window: Window, dtype: Any) -> Array:
    """Return zeros for images of `shape` (N, C, ...) and `size` (H, W) with room for the padding."""
    H, W = (n + before + after for n, (before, after) in zip(size, window.pad, strict=True))
    return np.zeros((*shape[:2], H, W), dtype)


# columns


def unfold(image: Array, window: Window) -> Array:
    """Copy every window of the images into columns, (N, C, KH, KW, OH, OW)."""
    outsize = window.outsize(image.shape[2:])
    image_padded = padded(image, window)
    column = np.empty((*image.shape[:2], *window.kernel_size, *outsize), image.dtype)
    for kh, kw, rows, cols in cells(window, outsize):
        column[:, :, kh, kw] = image_padded[:, :, rows, cols]
    return column


def fold(column: Array, size: Sequence[int], window: Window) -> Array:
    """Add columns, (N, C, KH, KW, OH, OW), back into images (N, C, *size): where windows overlap, they add."""
    image = padded_zeros(column.shape, size, window, column.dtype)
    for kh, kw, rows, cols in cells(window, column.shape[4:]):
        image[:, :, rows, cols] += column[:, :, kh, kw]
    return cropped(image, size, window)


def im2col_array(img: Array, kernel_size: Pair, stride: Pair, pad: Any, to_matrix: bool = True,
                 dilation: Pair = 1) -> Array:
    """Lay every window of the images out as a row of a matrix.

    Args:
        img: images, (N, C, H, W).
        kernel_size, stride, pad, dilation: as `Window` takes them.
        to_matrix: False keeps the axes apart.
    Returns:
        (N*OH*OW, C*KH*KW), or (N, C, KH, KW, OH, OW).
    Source: the textbook's im2col; Chellapilla, Puri & Simard 2006.
    """
    check_images('im2col', img)
    column = unfold(img, Window(kernel_size, stride, pad, dilation).on(img.shape[2:]))
    return to_rows(column) if to_matrix else column


def col2im_array(col: Array, img_shape: Sequence[int], kernel_size: Pair, stride: Pair, pad: Any,
                 to_matrix: bool = True, dilation: Pair = 1) -> Array:
    """Add the rows of an im2col matrix back into images of `img_shape` (N, C, H, W); the transpose of im2col.

    Raises:
        ValueError: the column's size is not what im2col makes of such images.
    """
    if len(img_shape) != 4:
        raise ValueError(message('col.images', shape=tuple(img_shape), ndim=len(img_shape)))
    N, C, H, W = img_shape
    window = Window(kernel_size, stride, pad, dilation).on((H, W))
    shape = (N, C, *window.kernel_size, *window.outsize((H, W)))
    if col.size != np.prod(shape):
        raise ValueError(message('col.shape', got=col.size, shape=tuple(img_shape), expected=int(np.prod(shape))))
    return fold(from_rows(col, shape) if to_matrix else col.reshape(shape), (H, W), window)


def to_rows(column: Array) -> Array:
    """Turn (N, C, KH, KW, OH, OW) into (N*OH*OW, C*KH*KW): one window a row."""
    N, C, KH, KW, OH, OW = column.shape
    return column.transpose(0, 4, 5, 1, 2, 3).reshape(N * OH * OW, C * KH * KW)


def from_rows(matrix: Array, shape: Sequence[int]) -> Array:
    """Turn (N*OH*OW, C*KH*KW) into `shape`, (N, C, KH, KW, OH, OW)."""
    N, C, KH, KW, OH, OW = shape
    return matrix.reshape(N, OH, OW, C, KH, KW).transpose(0, 3, 4, 5, 1, 2)


# convolution: columns, then one matrix product an image and group


def conv2d(image: Array, weight: Array, bias: Array | None, window: Window, groups: int = 1) -> Array:
    N, OC, (OH, OW), cells = len(image), len(weight), window.outsize(image.shape[2:]), math.prod(weight.shape[1:])
    column = unfold(image, window).reshape(N, groups, cells, OH * OW)
    y = np.matmul(weight.reshape(groups, OC // groups, cells), column).reshape(N, OC, OH, OW)
    return y if bias is None else y + bias.reshape(-1, 1, 1)


def conv2d_moments(image: Array, weight: Array, bias: Array | None, window: Window,
                   groups: int = 1) -> tuple[Array, Array, Array]:
    y = conv2d(image, weight, bias, window, groups)
    return y, *moments_of(y)


def conv2d_data_grad(gy: Array, weight: Array, size: Sequence[int], window: Window, groups: int = 1) -> Array:
    (N, OC, OH, OW), C = gy.shape, groups * weight.shape[1]
    rows = weight.reshape(groups, OC // groups, math.prod(weight.shape[1:])).swapaxes(1, 2)
    column = np.matmul(rows, gy.reshape(N, groups, OC // groups, OH * OW))
    return fold(column.reshape(N, C, *window.kernel_size, OH, OW), size, window)


def conv2d_weight_grad(image: Array, gy: Array, window: Window, groups: int = 1) -> Array:
    (N, OC, OH, OW), C = gy.shape, image.shape[1] // groups
    cells = C * math.prod(window.kernel_size)
    column = unfold(image, window).reshape(N, groups, cells, OH * OW)
    gy = gy.reshape(N, groups, OC // groups, OH * OW)
    if OC // groups > OH * OW:  # a gradient for every image would be larger than all columns: one product adds them up
        column = column.transpose(1, 2, 0, 3).reshape(1, groups, cells, N * OH * OW)
        gy = gy.transpose(1, 2, 0, 3).reshape(1, groups, OC // groups, N * OH * OW)
    return np.matmul(gy, column.swapaxes(2, 3)).sum(axis=0).reshape(OC, C, *window.kernel_size)


def pooled_conv2d(image: Array, weight: Array, bias: Array | None, window: Window, groups: int, activation: str,
                  pool: Window) -> tuple[Array, Array]:
    return max_pool(fused_conv2d(image, weight, bias, window, groups, activation), pool)


def conv2d_grads(image: Array, weight: Array, gy: Array, window: Window, groups: int, wanted: Sequence[bool],
                 y: Array | None = None, activation: str = '', index: Array | None = None,
                 pool: Window | None = None, added: Array | None = None) -> Grads:
    gy = gated(y, gy, activation)
    if index is not None and pool is not None:
        gy = max_pool_scatter(gy, index, window.outsize(image.shape[2:]), pool)
    gx = conv2d_data_grad(gy, weight, image.shape[2:], window, groups) if wanted[0] else None
    return (gx if gx is None or added is None else gx + added,
            conv2d_weight_grad(image, gy, window, groups) if wanted[1] else None,
            gy.sum(axis=(0, 2, 3)) if wanted[2] else None)


# pooling


def lowest(dtype: np.dtype[Any]) -> Any:
    """Return what no pixel is below: padding made of it never wins a maximum."""
    if dtype.kind == 'f':
        return dtype.type(-np.inf)
    return False if dtype.kind == 'b' else np.iinfo(dtype).min


def first_cells(window: Window, outsize: Sequence[int]) -> Array:
    """Return, (OH, OW), the first cell of every window that is not padding: where a maximum begins its search."""
    kh, kw = (
        -(-np.maximum(before - np.arange(n) * stride, 0) // dilation) for n, stride, dilation, (before, _) in
        zip(outsize, window.stride, window.dilation, window.pad, strict=True)
    )
    KH, KW = window.kernel_size
    return np.minimum(kh, KH - 1)[:, None] * KW + np.minimum(kw, KW - 1)


def max_pool(image: Array, window: Window) -> tuple[Array, Array]:
    outsize, KW = window.outsize(image.shape[2:]), window.kernel_size[1]
    image_padded = padded(image, window, lowest(image.dtype))
    y = np.full((*image.shape[:2], *outsize), lowest(image.dtype), image.dtype)
    index = np.empty(y.shape, np.min_scalar_type(math.prod(window.kernel_size) - 1))
    index[:] = first_cells(window, outsize)
    for kh, kw, rows, cols in cells(window, outsize):
        part = image_padded[:, :, rows, cols]
        better = ~(part <= y) & (y == y)  # NaN wins, and stays, as in any maximum
        np.copyto(y, part, where=better)
        np.copyto(index, kh * KW + kw, where=better, casting='unsafe')
    return y, index


def max_pool_scatter(gy: Array, index: Array, size: Sequence[int], window: Window) -> Array:
    image, zero = padded_zeros(gy.shape, size, window, gy.dtype), np.zeros((), gy.dtype)
    for kh, kw, rows, cols in cells(window, gy.shape[2:]):
        image[:, :, rows, cols] += select(index == kh * window.kernel_size[1] + kw, gy, zero)
    return cropped(image, size, window)


def max_pool_gather(image: Array, index: Array, window: Window) -> Array:
    image_padded = padded(image, window)
    y = np.zeros(index.shape, image.dtype)
    for kh, kw, rows, cols in cells(window, index.shape[2:]):
        np.copyto(y, image_padded[:, :, rows, cols], where=index == kh * window.kernel_size[1] + kw)
    return y


def average_pool(image: Array, window: Window, count: Array) -> Array:
    outsize = window.outsize(image.shape[2:])
    image_padded = padded(image, window)
    dtype = float_type(image.dtype)
    wide = np.result_type(dtype, np.float32)  # in float16, a sum can be too much where its average is not
    total = np.zeros((*image.shape[:2], *outsize), wide)
    for _, _, rows, cols in cells(window, outsize):
        total += image_padded[:, :, rows, cols]
    return (total / count.astype(wide)).astype(dtype, copy=False)


def average_pool_grad(gy: Array, size: Sequence[int], window: Window, count: Array) -> Array:
    share = gy / count.astype(gy.dtype)
    image = padded_zeros(gy.shape, size, window, gy.dtype)
    for _, _, rows, cols in cells(window, gy.shape[2:]):
        image[:, :, rows, cols] += share
    return cropped(image, size, window)


# element by element


def float_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type in which such numbers are computed: for floats their own, for bools and ints float64."""
    return dtype if dtype.kind == 'f' else np.dtype(np.float64)


BITS = {np.dtype(np.float16): np.int16, np.dtype(np.float32): np.int32, np.dtype(np.float64): np.int64}


def select(condition: Array, a: Array, b: Array) -> Array:
    # np.where takes a branch an element; on the signs of activations, which nothing can predict, that is 10 ns each.
    # Masked bits, b ^ (a ^ b) or b ^ 0, take 1.
    dtype = np.result_type(a, b)
    if dtype not in BITS:
        return np.where(condition, a, b)
    bits_a, bits_b = (x.astype(dtype, copy=False).view(BITS[dtype]) for x in (a, b))
    mask = -condition.astype(bool).astype(BITS[dtype])  # all ones, or all zeros
    return (bits_b ^ (bits_a ^ bits_b) & mask).view(dtype)


def elementwise(ufunc: np.ufunc, a: Array, b: Array) -> Array:
    y: Array = ufunc(a, b)
    return y


def relu(x: Array) -> Array:
    y: Array = np.maximum(x, 0)
    return y


def relu_grad(y: Array, gy: Array) -> Array:
    return select(y > 0, gy, np.zeros((), gy.dtype))


def relu6(x: Array) -> Array:
    return np.clip(x, 0, 6)


def relu6_grad(y: Array, gy: Array) -> Array:
    return select((y > 0) & (y < 6), gy, np.zeros((), gy.dtype))


def gated(y: Array | None, gy: Array, activation: str) -> Array:
    """Return the gradient that an activation with the result y lets pass."""
    return gy if not activation or y is None else relu_grad(y, gy) if activation == 'relu' else relu6_grad(y, gy)


# dense layers and normalisation


def matmul(a: Array, b: Array) -> Array:
    return np.matmul(a, b)


def linear(x: Array, weight: Array, bias: Array | None, activation: str = '') -> Array:
    y = np.matmul(x, weight)
    return ACTIVATIONS[activation](y if bias is None else y + bias)


def linear_grads(x: Array, weight: Array, gy: Array, wanted: Sequence[bool], y: Array | None = None,
                 activation: str = '') -> Grads:
    rows, gys = x.reshape(-1, x.shape[-1]), gated(y, gy, activation).reshape(-1, weight.shape[1])
    return (np.matmul(gys, weight.T).reshape(x.shape) if wanted[0] else None,
            np.matmul(rows.T, gys) if wanted[1] else None,
            gys.sum(axis=0) if wanted[2] else None)


def in_c_order(x: Array) -> Array:
    return np.ascontiguousarray(x)


def concat(xs: Arrays, axis: int) -> Array:
    return np.concatenate(xs, axis)


def sum_over(x: Array, axes: tuple[int, ...]) -> Array:
    y: Array = x.sum(axis=axes)
    return y


def lowered(x: Array, axis: int) -> Array:
    """Return x less its maximum along `axis`: exp of it cannot overflow."""
    x = x.astype(float_type(x.dtype), copy=False)  # bytes have no numbers below 0
    with np.errstate(over='ignore'):  # float16's -60000 - 60000 is -inf, and exp(-inf) rightly 0
        return x - x.max(axis=axis, keepdims=True)


def softmax(x: Array, axis: int) -> Array:
    power = np.exp(lowered(x, axis))
    return power / power.sum(axis=axis, keepdims=True)


def log_softmax(x: Array, axis: int) -> Array:
    low = lowered(x, axis)
    return low - np.log(np.exp(low).sum(axis=axis, keepdims=True))


def cross_entropy(x: Array, target: Array) -> Array:
    return -log_softmax(x, 1)[np.arange(len(x)), target]


def cross_entropy_grad(x: Array, target: Array, scale: Array) -> Array:
    y = softmax(x, 1)
    y[np.arange(len(x)), target] -= 1
    return y * scale[:, None]


def by_channel(values: Array, ndim: int) -> Array:
    """Return (C,) as (1, C, 1, ...), to stand beside arrays of `ndim` axes."""
    return values.reshape(1, -1, *(1,) * (ndim - 2))


def channel_sum(x: Array) -> Array:
    """Return each channel's sum, added up in float64: in float32, the mean of 100 NHWC images can be 5 off at 10000."""
    return x.sum(axis=(0, *range(2, x.ndim)), dtype=np.float64).astype(np.result_type(x, np.float32))


def scale_channels(x: Array, mean: Array, scale: Array, shift: Array, activation: str = '',
                   added: Array | None = None) -> Array:
    dtype, (mean, scale, shift) = np.result_type(x, shift), (by_channel(a, x.ndim) for a in (mean, scale, shift))
    y = ((x - mean) * scale + shift).astype(dtype, copy=False)
    return ACTIVATIONS[activation](y if added is None else y + added)


def moments_of(x: Array) -> Moments:
    m = x.size // x.shape[1]
    mean = channel_sum(x) / m
    return mean, channel_sum(np.square(x - by_channel(mean, x.ndim))) / m


def batch_norm(x: Array, gamma: Array, beta: Array, eps: float, activation: str = '',
               added: Array | None = None, moments: Moments | None = None) -> tuple[Array, Array, Array]:
    dtype, (mean, var) = np.result_type(x, gamma), moments_of(x) if moments is None else moments
    y = (x - by_channel(mean, x.ndim)) * by_channel(gamma / np.sqrt(var + eps), x.ndim)
    y += by_channel(beta, x.ndim)
    y = y.astype(dtype, copy=False)
    return ACTIVATIONS[activation](y if added is None else y + added), mean, var


def batch_norm_grad(x: Array, gamma: Array, beta: Array, gy: Array, mean: Array, var: Array, eps: float,
                    activation: str = '') -> tuple[Array, Array, Array]:
    m = x.size // x.shape[1]
    inv_std = 1 / np.sqrt(var + eps)
    xhat = (x - by_channel(mean, x.ndim)) * by_channel(inv_std, x.ndim)
    if activation:
        y = xhat * by_channel(gamma, x.ndim) + by_channel(beta, x.ndim)
        gy = relu_grad(y, gy) if activation == 'relu' else relu6_grad(y, gy)
    gbeta, ggamma = channel_sum(gy), channel_sum(gy * xhat)
    gx = gy - by_channel(gbeta / m, x.ndim) - xhat * by_channel(ggamma / m, x.ndim)
    return gx * by_channel(gamma * inv_std, x.ndim), ggamma, gbeta


# what an optimiser does to parameters: p and its state are written in place, g is only read. `steps` counts from 1.


def sgd_update(params: Arrays, grads: Arrays, lr: float) -> None:
    for p, g in zip(params, grads, strict=True):
        p -= lr * g


def momentum_update(params: Arrays, grads: Arrays, velocity: Arrays, lr: float, momentum: float,
                    nesterov: bool) -> None:
    for p, g, v in zip(params, grads, velocity, strict=True):
        v *= momentum
        v += g
        p -= lr * (g + momentum * v if nesterov else v)


def adagrad_update(params: Arrays, grads: Arrays, square: Arrays, lr: float, eps: float) -> None:
    for p, g, s in zip(params, grads, square, strict=True):
        s += np.square(g, dtype=s.dtype)
        p -= lr * g / (np.sqrt(s) + eps)


def adadelta_update(params: Arrays, grads: Arrays, square: Arrays, change: Arrays, lr: float, rho: float,
                    eps: float) -> None:
    for p, g, s, c in zip(params, grads, square, change, strict=True):
        s += (1 - rho) * (np.square(g, dtype=s.dtype) - s)
        delta = np.sqrt((c + eps) / (s + eps)) * g
        c += (1 - rho) * (np.square(delta) - c)
        p -= lr * delta


def rmsprop_update(params: Arrays, grads: Arrays, square: Arrays, lr: float, rho: float, eps: float) -> None:
    for p, g, s in zip(params, grads, square, strict=True):
        s += (1 - rho) * (np.square(g, dtype=s.dtype) - s)
        p -= lr * g / (np.sqrt(s) + eps)


def adam_update(params: Arrays, grads: Arrays, mean: Arrays, square: Arrays, steps: Sequence[int], lr: float,
                beta1: float, beta2: float, eps: float, weight_decay: float = 0.0) -> None:
    for p, g, m, s, t in zip(params, grads, mean, square, steps, strict=True):
        m += (1 - beta1) * (g - m)
        s += (1 - beta2) * (np.square(g, dtype=s.dtype) - s)
        if weight_decay:
            p *= 1 - lr * weight_decay
        p -= lr / (1 - beta1**t) * m / (np.sqrt(s / (1 - beta2**t)) + eps)


# whole steps of a network whose weights stay as they are


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    '': lambda y: y,
    'relu': lambda y: np.maximum(y, 0, out=y),
    'relu6': lambda y: np.clip(y, 0, 6, out=y),
}  # each writes into its argument


def again(compute: Callable[[], Any], reads: Sequence[Array] | None = None) -> Any:
    return compute()


def listener(limit: int, learns: bool = False) -> Any:
    return None


def computing_threads() -> int:
    return 1


def constant(array: Array, fresh: bool = False) -> Array:
    constant = np.ascontiguousarray(array) if fresh else np.array(array, order='C')
    constant.flags.writeable = False
    return constant


def packed_bytes(array: Array) -> int:
    return 0


def fused_conv2d(image: Array, weight: Array, bias: Array | None, window: Window, groups: int = 1, activation: str = '',
                 added: Array | None = None, pooled: bool = False) -> Array:
    y = conv2d(image, weight, bias, window, groups)
    if added is not None:
        y += added
    y = ACTIVATIONS[activation](y)
    return max_pool(y, Window(2, 2).on(y.shape[2:]))[0] if pooled else y


def fused_bottleneck(image: Array, expand: Layer | None, depthwise: Layer, project: Layer, window: Window,
                     added: Array | None = None) -> Array:
    (weight, bias, activation), point = depthwise, Window(1)
    if expand is not None:
        image = fused_conv2d(image, *expand[:2], point, 1, expand[2])
    image = fused_conv2d(image, weight, bias, window, len(weight), activation)
    return fused_conv2d(image, *project[:2], point, 1, project[2], added)


def arranged(weight: Array) -> Array:
    return weight


def fused_linear(x: Array, weight: Array, bias: Array, activation: str = '') -> Array:
    return ACTIVATIONS[activation](linear(x, weight, bias))
