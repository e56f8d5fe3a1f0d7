"""Convolution and its kind as plain float64 loops over every place, channel and cell: no nailorch, nothing clever."""

from __future__ import annotations

import itertools
import math

import numpy as np


def both(x):
    return (x, x) if isinstance(x, int) else tuple(x)


def sides(pad, size, kernel, stride, dilation):
    """Return ((top, bottom), (left, right)) from any way of saying it."""
    if pad == 'valid':
        return (0, 0), (0, 0)
    if pad == 'same':
        found = []
        for n, k, s, d in zip(size, kernel, stride, dilation, strict=True):
            total = max((math.ceil(n / s) - 1) * s + d * (k - 1) + 1 - n, 0)
            found.append((total // 2, total - total // 2))
        return tuple(found)
    return tuple(both(side) for side in both(pad))


def places(size, kernel, stride, pads, dilation, ceil_mode=False):
    """Return (OH, OW), by trying every place in turn."""
    found = []
    for n, k, s, (before, after), d in zip(size, kernel, stride, pads, dilation, strict=True):
        count = 0
        while count * s + d * (k - 1) < n + before + after or (
                ceil_mode and count * s < n + before and (count - 1) * s + d * (k - 1) + 1 < n + before + after):
            count += 1
        found.append(count)
    return found


def seen(x, n, c, oh, ow, kh, kw, stride, pads, dilation):
    """Return the pixel under one cell of the window, or None where it lies in the padding."""
    h = oh * stride[0] + kh * dilation[0] - pads[0][0]
    w = ow * stride[1] + kw * dilation[1] - pads[1][0]
    return x[n, c, h, w] if 0 <= h < x.shape[2] and 0 <= w < x.shape[3] else None


def conv2d(x, W, b=None, stride=1, pad=0, dilation=1, groups=1):
    x, W = np.asarray(x, float), np.asarray(W, float)
    (N, _, H, W_), (OC, CG, KH, KW) = x.shape, W.shape
    stride, dilation = both(stride), both(dilation)
    pads = sides(pad, (H, W_), (KH, KW), stride, dilation)
    OH, OW = places((H, W_), (KH, KW), stride, pads, dilation)
    y = np.zeros((N, OC, OH, OW))
    for n, oc, oh, ow in np.ndindex(*y.shape):
        first = oc // (OC // groups) * CG
        total = 0.0 if b is None else b[oc]
        for c, kh, kw in np.ndindex(CG, KH, KW):
            pixel = seen(x, n, first + c, oh, ow, kh, kw, stride, pads, dilation)
            total += 0.0 if pixel is None else pixel * W[oc, c, kh, kw]
        y[n, oc, oh, ow] = total
    return y


def deconv2d(x, W, b=None, stride=1, pad=0, outsize=None, dilation=1, groups=1, output_padding=0):
    x, W = np.asarray(x, float), np.asarray(W, float)
    (N, C, H, W_), (_, OCG, KH, KW) = x.shape, W.shape
    stride, dilation, extra = both(stride), both(dilation), both(output_padding)
    if pad == 'same':
        size = both(outsize) if outsize else (H * stride[0], W_ * stride[1])
        pads = sides(pad, size, (KH, KW), stride, dilation)
    else:
        pads = sides(pad, None, None, None, None)
        size = both(outsize) if outsize else tuple(
            s * (n - 1) + d * (k - 1) + 1 - before - after + e for s, n, d, k, (before, after), e
            in zip(stride, (H, W_), dilation, (KH, KW), pads, extra, strict=True))
    y = np.zeros((N, OCG * groups, *size))
    for n, c, h, w in np.ndindex(*x.shape):
        first = c // (C // groups) * OCG
        for oc, kh, kw in np.ndindex(OCG, KH, KW):
            i = h * stride[0] + kh * dilation[0] - pads[0][0]
            j = w * stride[1] + kw * dilation[1] - pads[1][0]
            if 0 <= i < size[0] and 0 <= j < size[1]:
                y[n, first + oc, i, j] += x[n, c, h, w] * W[c, oc, kh, kw]
    return y if b is None else y + np.reshape(b, (1, -1, 1, 1))


def pool(x, kernel_size, stride, pad, dilation, ceil_mode, choose):
    """Apply `choose` to the list of pixels (None for padding) in every window."""
    x = np.asarray(x, float)
    kernel, stride, dilation = both(kernel_size), both(stride), both(dilation)
    pads = sides(pad, x.shape[2:], kernel, stride, dilation)
    y = np.zeros((*x.shape[:2], *places(x.shape[2:], kernel, stride, pads, dilation, ceil_mode)))
    for n, c, oh, ow in np.ndindex(*y.shape):
        cells = itertools.product(range(kernel[0]), range(kernel[1]))
        hang = [oh * stride[0] + kh * dilation[0] >= x.shape[2] + sum(pads[0])
                or ow * stride[1] + kw * dilation[1] >= x.shape[3] + sum(pads[1]) for kh, kw in np.ndindex(*kernel)]
        pixels = [seen(x, n, c, oh, ow, kh, kw, stride, pads, dilation) for kh, kw in cells]
        y[n, c, oh, ow] = choose(pixels, hang)
    return y


def pooling(x, kernel_size, stride=1, pad=0, dilation=1, ceil_mode=False):
    return pool(x, kernel_size, stride, pad, dilation, ceil_mode,
                lambda pixels, hang: max(pixel for pixel in pixels if pixel is not None))


def average_pooling(x, kernel_size, stride=1, pad=0, ceil_mode=False, count_include_pad=True, dilation=1):
    def average(pixels, hang):
        real = [pixel for pixel in pixels if pixel is not None]
        inside = len(pixels) - sum(hang)
        return sum(real) / (inside if count_include_pad else len(real))

    return pool(x, kernel_size, stride, pad, dilation, ceil_mode, average)


def im2col(x, kernel_size, stride=1, pad=0, to_matrix=True, dilation=1):
    x = np.asarray(x, float)
    (KH, KW), stride, dilation = both(kernel_size), both(stride), both(dilation)
    pads = sides(pad, x.shape[2:], (KH, KW), stride, dilation)
    OH, OW = places(x.shape[2:], (KH, KW), stride, pads, dilation)
    col = np.zeros((*x.shape[:2], KH, KW, OH, OW))
    for n, c, kh, kw, oh, ow in np.ndindex(*col.shape):
        pixel = seen(x, n, c, oh, ow, kh, kw, stride, pads, dilation)
        col[n, c, kh, kw, oh, ow] = 0.0 if pixel is None else pixel
    return np.array([col[n, :, :, :, oh, ow].ravel() for n, oh, ow in np.ndindex(len(x), OH, OW)]) if to_matrix else col


def col2im(col, input_shape, kernel_size, stride=1, pad=0, to_matrix=True, dilation=1):
    """Number every pixel, unfold the numbers, and add each column entry to the pixel whose number stands there."""
    numbers = np.arange(1.0, np.prod(input_shape) + 1).reshape(input_shape)
    where = im2col(numbers, kernel_size, stride, pad, to_matrix, dilation)
    image = np.zeros(np.prod(input_shape) + 1)
    for number, value in zip(where.ravel(), np.asarray(col, float).ravel(), strict=True):
        image[int(number)] += value
    return image[1:].reshape(input_shape)


def adaptive(x, outsize, choose):
    x, (OH, OW) = np.asarray(x, float), both(outsize)
    (N, C, H, W) = x.shape
    y = np.zeros((N, C, OH, OW))
    for n, c, i, j in np.ndindex(*y.shape):
        rows = slice(math.floor(i * H / OH), math.ceil((i + 1) * H / OH))
        y[n, c, i, j] = choose(x[n, c, rows, math.floor(j * W / OW):math.ceil((j + 1) * W / OW)])
    return y
