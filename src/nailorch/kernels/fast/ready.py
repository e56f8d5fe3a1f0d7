"""Dense layers whose weights stay as they are: arranged once, in the order in which tiles read them.

A matrix (in, out) is cut into panels of some vectors of outputs, as a convolution's weights are (gemm.py), for a dense
layer is a convolution of pixels that stand in a row. With a single item, reading the weights is all the work there is;
each panel lies in one piece, and is read from its beginning to its end by one thread.
"""

from __future__ import annotations

import numpy as np

from nailorch.kernels.fast import gemm, panels
from nailorch.kernels.fast.convolution import RELU
from nailorch.kernels.fast.memory import address, apart, floats, images

HERE = np.zeros(1, np.int64)  # the one cell of a window of one pixel, and how far it is from its place


def arranged(weight):
    """Return weights (in, out) in panels: (panels, in, outputs of the panel)."""
    if not weight.flags.aligned or min(weight.strides) < 0:
        weight = np.ascontiguousarray(weight)
    depth, channels = weight.shape
    packed = floats(panels.panels_size(1, depth, channels, 1))
    panels.fill_panels(packed, np.array([address(weight)]), depth, weight.strides[0], channels, weight.strides[1], 1, 0)
    return packed


def fused_linear(x, weight, bias, activation):
    """Return activation(x @ weight + bias) of arranged weights."""
    if not (x.flags.c_contiguous and x.flags.aligned):
        apart()
        x = np.ascontiguousarray(x)
    rows, channels = x.size // x.shape[-1], len(bias)
    y = images(1, channels, 1, rows)
    gemm.start(1, y, x.reshape(1, 1, rows, x.shape[-1]).transpose(0, 3, 1, 2), (1, 1), HERE, HERE, x.shape[-1], weight,
               channels, 1, bias, RELU[activation], by_panels=rows < gemm.PLACES)
    return y.transpose(0, 2, 3, 1).reshape(*x.shape[:-1], channels)
