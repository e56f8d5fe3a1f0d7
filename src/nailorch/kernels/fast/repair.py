"""What one number that is not finite has spoilt, computed anew by the definition.

Winograd's transforms mix the pixels of a tile: NaN in one of them makes NaN of all 16 results, where only those whose
window sees it should be. The same happens where sums on the way exceed what float32 holds, though the result does not.
Such tiles are noted, their pixels gathered as if each tile were an image of its own, and convolved directly.
"""

from __future__ import annotations

import numpy as np

from nailorch.kernels.fast import gemm, outer, pools
from nailorch.shapes import Window

DIRECT, SQUARES = Window(3), Window(2, 2)


def convolve(g, corners, y, image, weight, bias, gate, added):
    """Compute some tiles of a convolution that Winograd's way has spoilt: write them into y.

    `g` is the Tiling, `corners` what winograd.corner returns for each tile; `gate` and `added` are arrays like y, or
    None.
    """
    n, top, left, low, narrow = corners.T
    seen = pixels(top - g.top, g.m + 2, g.DH, g.H), pixels(left - g.left, g.m + 2, g.DW, g.W)
    side = g.m // 2 if g.pooled else g.m
    if g.pooled:
        top, left = top // 2, left // 2
    made = (pixels(top, side, g.DH, np.minimum(top + (side - low) * g.DH, g.OH)),
            pixels(left, side, g.DW, np.minimum(left + (side - narrow) * g.DW, g.OW)))
    beside = None if added is None else gather(added, n, *made)
    values = gemm.conv2d(gather(image, n, *seen), weight, 1, bias, DIRECT, g.relu, beside)
    if g.pooled:
        values, _ = pools.max_pool(values, SQUARES.on(values.shape[2:]))
    if gate is not None:
        values = np.where(gather(gate, n, *made) > 0, values, np.float32(0))
    (rows, there), (columns, here) = made
    inside = there[:, :, None] & here[:, None, :]
    tile, i, j = np.nonzero(inside)
    y[n[tile], :, rows[tile, i], columns[tile, j]] = values[tile, :, i, j]


def pixels(first, size, dilation, end):
    """Return where along an axis each tile's pixels lie, (tiles, size), and which are before `end`, and exist."""
    at = first[:, None] + dilation * np.arange(size)
    return at, (at >= 0) & (at < np.reshape(end, (-1, 1)))


def gather(array, n, rows, columns):
    """Return the tiles' pixels of an array as images, 0 where there is none."""
    (at, there), (across, here) = rows, columns
    inside = there[:, :, None] & here[:, None, :]
    taken = array[n[:, None, None], :, np.where(there, at, 0)[:, :, None], np.where(here, across, 0)[:, None, :]]
    taken[~inside] = 0
    return taken.transpose(0, 3, 1, 2)


def weight_grad(gW, image, gy, window):
    """Compute a weight gradient's sums that are not finite anew; return False where too many are, and nothing is done.

    NaN in an input channel has spoilt a column of the matrix (output channels, input channels), in gy a row.
    """
    spoilt = ~np.isfinite(gW).all(axis=(2, 3))
    columns = spoilt.all(axis=0)
    inputs, outputs = np.flatnonzero(columns), np.flatnonzero(spoilt[:, ~columns].any(axis=1))
    if 2 * (inputs.size * gW.shape[0] + outputs.size * gW.shape[1]) > spoilt.size:
        return False
    if inputs.size:
        gW[:, inputs] = outer.conv2d_weight_grad(image[:, inputs], gy, window)
    if outputs.size:
        gW[outputs] = outer.conv2d_weight_grad(image, gy[:, outputs], window)
    return True
