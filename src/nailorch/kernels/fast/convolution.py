"""Which of the generated kernels convolves: Winograd's, depthwise, groups', or the product without columns."""

from __future__ import annotations

from functools import lru_cache
from math import prod

import numpy as np

from nailorch.config import Config
from nailorch.kernels.fast import (
    blocks,
    depthwise,
    dots,
    few,
    gemm,
    grouped,
    grouped_grad,
    normalization,
    outer,
    packs,
    pointwise,
    pools,
    winograd,
    winograd_grad,
)
from nailorch.kernels.fast.dispatch import record
from nailorch.kernels.fast.layout import in_order
from nailorch.kernels.fast.memory import again, from_weights, is_finite
from nailorch.kernels.fast.target import LANES
from nailorch.shapes import Window

SIDES = {'fast': (4, 2), 'accurate': (2,), 'off': ()}


def side(window, groups, N, C, OC, size, afar=False):
    """Return the side of Winograd's tiles for N results of a size, 4 or 2; 0 where none serves, or none pays.

    All ways are counted in multiply-adds. A vector of the tiles' transforms takes as long as 13 of them a point (26
    where a weight gradient reads from `afar` what was transformed), and to fetch a weight from memory as long as 8; to
    write a gradient that fits into no second cache, and read it again, as 24. So few small images of many channels are
    for tiles of side 2, which have fewer points, and weights.
    """
    if window.kernel_size != (3, 3) or window.stride != (1, 1) or groups > 1 or min(C, OC) < LANES:
        return 0
    return cheapest((0, *SIDES[Config.winograd]), N, C, OC, tuple(size), window.dilation, afar)


@lru_cache(1024)
def cheapest(sides, N, C, OC, size, dilation, afar):
    memory = 24 if afar and not winograd_grad.own_sums(C, OC, 4) else 8

    def cost(m):
        if not m:
            return 9 * (N * prod(size) + memory) * C * OC
        transform = 26 if afar and not winograd_grad.own_sums(C, OC, m) else 13
        points = N * prod(winograd.points_along(n, d, m) for n, d in zip(size, dilation, strict=True))
        return points * (C * OC + transform * (C + OC)) + (m + 2)**2 * memory * C * OC

    return min(sides, key=cost)


def one_each(groups, C, OC):
    """Return whether each channel has a filter of its own, and nothing else."""
    return groups > 1 and groups == C == OC


def together(groups, depth, channels):
    """Return how many groups of few channels are best taken as one, whose weights between them are 0.

    A vector is filled, and all of a tile's overhead shared, at no more multiplications than a group alone would cost.
    """
    few = 1
    while groups % (2 * few) == 0 and 2 * few * max(depth, channels) <= LANES:
        few *= 2
    return few


def merged(weight, groups, few):
    """Return weights of groups // few groups: those of `few` groups on the diagonal, zeros elsewhere."""
    OC, depth = weight.shape[:2]
    wide = np.zeros((groups // few, few, OC // groups, few, depth, *weight.shape[2:]), weight.dtype)
    for i in range(few):
        wide[:, i, :, i] = weight.reshape(groups // few, few, OC // groups, depth, *weight.shape[2:])[:, i]
    return wide.reshape(OC, few * depth, *weight.shape[2:])


def merge(weight, groups):
    """Return weights and groups, small groups merged."""
    few = together(groups, weight.shape[1], weight.shape[0] // groups)
    if few == 1:
        return weight, groups
    wide = packs.packed(('merged', few), weight, lambda: from_weights(lambda: merged(weight, groups, few)))
    return wide, groups // few


def by_groups(convolve, weight, groups):
    """Return convolve(weight, groups), small groups merged unless something is not finite.

    For NaN or infinity times the zeros between two groups is NaN, which would reach from one into the other.
    """
    wide, fewer = merge(weight, groups)
    y = convolve(wide, fewer)
    if fewer == groups:
        return y
    return y if is_finite(y) else convolve(weight, groups)


def diagonal(wide, groups, few):
    """Return what `merged` put on the diagonal."""
    OC, depth = wide.shape[0], wide.shape[1] // few
    wide = wide.reshape(groups // few, few, OC // groups, few, depth, *wide.shape[2:])
    return np.stack([wide[:, i, :, i] for i in range(few)], axis=1).reshape(OC, depth, *wide.shape[5:])


def conv2d(image, weight, bias, window, groups=1, relu=0, added=None):
    """Convolve; add an array of the result's shape; with relu=1, set what is below 0 to 0, with 2 also above 6 to 6."""
    if one_each(groups, image.shape[1], weight.shape[0]):
        record('conv2d', 'depthwise')
        return depthwise.conv2d(image, weight, bias, window, relu, added)
    if grouped.serves(groups, image.shape[1], weight.shape[0]):
        record('conv2d', 'grouped')
        return grouped.conv2d(image, weight, bias, window, relu, added)
    if added is None and few.serves(image.shape[1], window, groups):
        record('conv2d', 'few')
        return few.conv2d(image, weight, bias, window, relu)
    m = side(window, groups, len(image), image.shape[1], weight.shape[0], window.outsize(image.shape[2:]))
    y = winograd.conv2d(image, weight, bias, window, m, relu, added) if m else None
    record('conv2d', 'gemm' if y is None else f'winograd{m}')
    if y is not None:
        return y
    return by_groups(lambda *wide: gemm.conv2d(image, *wide, bias, window, relu, added), weight, groups)


RELU = {'': 0, 'relu': 1, 'relu6': 2}
POOL = Window(2, 2)


def fused_conv2d(image, weight, bias, window, groups, activation, added, pooled):
    """Convolve, add, rectify, and take maxima over 2x2 pixels: by Winograd's tiles in one go."""
    size = window.outsize(image.shape[2:])
    if pooled and added is None and few.serves(image.shape[1], window, groups):
        return pooled_conv2d(image, weight, bias, window, groups, activation, POOL)[0]
    m = side(window, groups, len(image), image.shape[1], weight.shape[0], size)
    if pooled and m and added is None and window.dilation == (1, 1) and min(size) > 1:
        y = winograd.conv2d(image, weight, bias, window, m, RELU[activation], pooled=True)
        if y is not None:
            record('conv2d', f'winograd{m}')
            return y
    y = conv2d(image, weight, bias, window, groups, RELU[activation], added)
    if pooled:
        record('max_pool', 'pools')
        y, _ = pools.max_pool(y, POOL.on(y.shape[2:]))
    return y


def by_product(window, groups, N, C, OC, size):
    """Return whether a convolution, or its data gradient, is a product of a single group."""
    return groups == 1 and not side(window, groups, N, C, OC, size)


def conv2d_moments(image, weight, bias, window, groups):
    """Return the convolution, and each channel's mean and variance: by the product, at no cost."""
    OC, C = weight.shape[:2]
    if not few.serves(image.shape[1], window, groups) and by_product(
            window, groups, len(image), C, OC, window.outsize(image.shape[2:])):
        record('conv2d', 'gemm')
        y, places, sums = gemm.conv2d_sums(image, weight, bias, window)
        mean, var = normalization.moments_of_pieces(sums, places, y)
        if is_finite(mean):
            return y, mean, var
    else:
        y = conv2d(image, weight, bias, window, groups)
    return y, *normalization.moments_of(y)


def conv2d_data_grad(gy, weight, size, window, groups=1, gate=None, added=None):
    """Return the images' gradient, another one `added` to it; 0 where the activation `gate` is not positive."""
    if added is not None and not (
            window.stride == (1, 1) and by_product(window, groups, len(gy), *weight.shape[1::-1], size)):
        gx = conv2d_data_grad(gy, weight, size, window, groups)
        gx = pointwise.elementwise(np.add, gx, in_order(added, gx))
        return gx if gate is None else pointwise.relu_grad(in_order(gate, gx), gx)
    if one_each(groups, weight.shape[1] * groups, gy.shape[1]):
        record('conv2d_data_grad', 'depthwise')
        return depthwise.conv2d_data_grad(gy, weight, size, window, gate)
    if grouped.serves(groups, weight.shape[1] * groups, gy.shape[1]):
        record('conv2d_data_grad', 'grouped')
        return grouped.conv2d_data_grad(gy, weight, size, window, gate)
    alone = groups == 1 and gate is None and added is None
    if alone and dots.serves(weight.shape[1], gy.shape[1], groups):
        record('conv2d_data_grad', 'dots')
        return dots.conv2d_data_grad(gy, weight, size, window)
    sides = blocks.block(window, weight.shape[1]) if alone and gy.size else None
    gx = blocks.conv2d_data_grad(gy, weight, size, window, sides) if sides else None
    if gx is not None:
        record('conv2d_data_grad', 'blocks')
        return gx
    m = side(window, groups, len(gy), weight.shape[1], weight.shape[0], size)
    gx = winograd.conv2d_data_grad(gy, weight, size, window, m, gate) if m else None
    record('conv2d_data_grad', 'gemm' if gx is None else f'winograd{m}')
    if gx is not None:
        return gx
    return by_groups(lambda *wide: gemm.conv2d_data_grad(gy, *wide, size, window, gate, added), weight, groups)


def pooled_conv2d(image, weight, bias, window, groups, activation, pool):
    """Return the maxima of activation(conv2d) over windows, and the cells they stood in."""
    size = window.outsize(image.shape[2:])
    if pools.in_squares(pool, size, pool.outsize(size)) and few.serves(image.shape[1], window, groups):
        record('conv2d', 'few')
        return few.conv2d(image, weight, bias, window, RELU[activation], pooled=True)
    y = conv2d(image, weight, bias, window, groups, RELU[activation])
    record('max_pool', 'pools')
    return pools.max_pool(y, pool)


def conv2d_grads(image, weight, gy, window, groups, wanted, y=None, activation='', index=None, pool=None, added=None):
    """Return the gradients of activation(conv2d)'s image, weight and bias, those that are wanted.

    With an index, y and gy are those of its maxima over windows. To the image's, another one is `added`.
    """
    (of_image, of_weight, of_bias), size = wanted, window.outsize(image.shape[2:])
    whole = index is None or (activation and pools.in_squares(pool, size, gy.shape[2:]))
    if whole and not of_image and few.serves_weight_grad(image.shape[1], gy.shape[1], window, groups):  # a first layer
        record('conv2d_weight_grad', 'few')
        return None, *few.conv2d_weight_grad(image, gy, window, y, activation, index)
    gb = None
    if activation:
        gy, gb = normalization.passed(y, gy, activation)
    elif of_bias:
        gb = normalization.sum_over(gy, (0, 2, 3))
    if index is not None:
        record('max_pool_scatter', 'pools')
        gy = pools.max_pool_scatter(gy, index, size, pool)
    return (conv2d_data_grad(gy, weight, image.shape[2:], window, groups, added=added) if of_image else None,
            conv2d_weight_grad(image, gy, window, groups) if of_weight else None, gb)


def conv2d_weight_grad(image, gy, window, groups=1):
    """Return the weights' gradient."""
    C, OC = image.shape[1], gy.shape[1]
    if one_each(groups, C, OC):
        record('conv2d_weight_grad', 'depthwise')
        return depthwise.conv2d_weight_grad(image, gy, window)
    if grouped.serves(groups, C, OC):
        record('conv2d_weight_grad', 'grouped')
        return grouped_grad.conv2d_weight_grad(image, gy, window, groups)
    if few.serves_weight_grad(C, OC, window, groups):
        record('conv2d_weight_grad', 'few')
        return few.conv2d_weight_grad(image, gy, window)[0]
    m = side(window, groups, len(image), C, OC, gy.shape[2:], afar=True)
    gW = winograd_grad.conv2d_weight_grad(image, gy, window, m) if m else None
    record('conv2d_weight_grad', 'gemm' if gW is None else f'winograd{m}')
    if gW is not None:
        return gW
    merged = together(groups, C // groups, OC // groups)
    gW = outer.conv2d_weight_grad(image, gy, window, groups // merged)
    return gW if merged == 1 else again(lambda: diagonal(gW, groups, merged))
