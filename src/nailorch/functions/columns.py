"""im2col lays every window of an image out as a row; col2im adds the rows back. Each is the other's derivative."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nailorch.core import Function, Variable
from nailorch.kernels.reference import col2im_array, im2col_array
from nailorch.shapes import Array, Pair

__all__ = ['Col2im', 'Im2col', 'col2im', 'col2im_array', 'im2col', 'im2col_array']


def im2col(x: Any, kernel_size: Pair, stride: Pair = 1, pad: Any = 0, to_matrix: bool = True,
           dilation: Pair = 1) -> Variable:
    """Lay every window of the images out as a row of a matrix.

    Args:
        x: images, (N, C, H, W).
        kernel_size, stride, pad, dilation: as conv2d takes them.
        to_matrix: False keeps the axes apart.
    Returns:
        (N*OH*OW, C*KH*KW), or (N, C, KH, KW, OH, OW) without `to_matrix`.
    Raises:
        ValueError: an axis is missing, or the kernel exceeds the padded image.
    Example:
        >>> im2col(np.arange(1., 10).reshape(1, 1, 3, 3), 2)
        variable([[1. 2. 4. 5.]
                  [2. 3. 5. 6.]
                  [4. 5. 7. 8.]
                  [5. 6. 8. 9.]])

    Source: Chellapilla, Puri & Simard, High performance convolutional neural networks, 2006.
    """
    return Im2col(kernel_size, stride, pad, to_matrix, dilation)(x)


class Im2col(Function):
    saves = ()

    def __init__(self, kernel_size: Pair, stride: Pair = 1, pad: Any = 0, to_matrix: bool = True,
                 dilation: Pair = 1) -> None:
        self.kernel_size, self.stride, self.pad = kernel_size, stride, pad
        self.to_matrix, self.dilation = to_matrix, dilation

    def forward(self, x: Array) -> Array:
        self.x_shape = x.shape
        return im2col_array(x, self.kernel_size, self.stride, self.pad, self.to_matrix, self.dilation)

    def backward(self, gy: Variable) -> Any:
        return col2im(gy, self.x_shape, self.kernel_size, self.stride, self.pad, self.to_matrix, self.dilation)


def col2im(x: Any, input_shape: Sequence[int], kernel_size: Pair, stride: Pair = 1, pad: Any = 0,
           to_matrix: bool = True, dilation: Pair = 1) -> Variable:
    """Add the rows of an im2col matrix back into images: where windows overlap, they add.

    Args:
        x: (N*OH*OW, C*KH*KW), or (N, C, KH, KW, OH, OW) without `to_matrix`.
        input_shape: (N, C, H, W) of the images.
        kernel_size, stride, pad, dilation: those of the im2col that made x.
    Returns:
        images, (N, C, H, W).
    Raises:
        ValueError: x is not what im2col makes of such images.
    Example:
        >>> col2im(np.ones((4, 4)), (1, 1, 3, 3), 2).data[0, 0]  # how many windows see each pixel
        array([[1., 2., 1.],
               [2., 4., 2.],
               [1., 2., 1.]])
    """
    return Col2im(input_shape, kernel_size, stride, pad, to_matrix, dilation)(x)


class Col2im(Function):
    saves = ()

    def __init__(self, input_shape: Sequence[int], kernel_size: Pair, stride: Pair = 1, pad: Any = 0,
                 to_matrix: bool = True, dilation: Pair = 1) -> None:
        self.input_shape, self.kernel_size, self.stride, self.pad = tuple(input_shape), kernel_size, stride, pad
        self.to_matrix, self.dilation = to_matrix, dilation

    def forward(self, x: Array) -> Array:
        return col2im_array(x, self.input_shape, self.kernel_size, self.stride, self.pad, self.to_matrix, self.dilation)

    def backward(self, gy: Variable) -> Any:
        return im2col(gy, self.kernel_size, self.stride, self.pad, self.to_matrix, self.dilation)
