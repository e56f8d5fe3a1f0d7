"""The old home of small helpers; sizes live in `nailorch.shapes`, functions in `nailorch.functions`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nailorch.core import Variable, as_array, as_variable, gradients
from nailorch.functions import sum_to
from nailorch.functions_conv import (
    Col2im,
    Im2col,
    average_pooling,
    col2im,
    col2im_array,
    conv2d,
    conv2d_simple,
    deconv2d,
    get_conv_outsize,
    get_deconv_outsize,
    im2col,
    im2col_array,
    pair,
    pooling,
    pooling_simple,
)

__all__ = ['Col2im', 'Im2col', 'array_allclose', 'array_equal', 'average_pooling', 'col2im', 'col2im_array', 'conv2d',
           'conv2d_simple', 'deconv2d', 'get_conv_outsize', 'get_deconv_outsize', 'gradient_check', 'im2col',
           'im2col_array', 'numerical_grad', 'pair', 'pooling', 'pooling_simple', 'sum_to']


def array_equal(a: Any, b: Any) -> bool:
    """Return whether two arrays or Variables are equal, element by element."""
    return np.array_equal(as_array(a), as_array(b))


def array_allclose(a: Any, b: Any, rtol: float = 1e-4, atol: float = 1e-5) -> bool:
    """Return whether two arrays or Variables are equal but for rounding."""
    return np.allclose(as_array(a), as_array(b), atol=atol, rtol=rtol)


def gradient_check(f: Callable[..., Variable], x: Any, *args: Any, rtol: float = 1e-4, atol: float = 1e-5,
                   **kwargs: Any) -> bool:
    """Return whether backward() through `f` at `x` agrees with central differences; say where it does not.

    Args:
        f: takes x (a float array or Variable), then `args` and `kwargs`; returns a Variable.
    """
    x = Variable(as_array(x).astype(np.float64))
    expected = numerical_grad(f, x, *args, **kwargs)
    gx, = gradients([f(x, *args, **kwargs)], [x])
    got = gx.data if gx is not None else np.zeros_like(expected)
    agrees = array_allclose(got, expected, rtol, atol)
    if not agrees:
        print(f'gradient_check failed: expected {expected.ravel()[:10]} ..., got {got.ravel()[:10]} ...')
    return agrees


def numerical_grad(f: Callable[..., Variable], x: Any, *args: Any, **kwargs: Any) -> np.ndarray[Any, Any]:
    """Return the derivative of sum(f(x)) by central differences, element by element, in x's shape."""
    eps = 1e-4
    x = as_variable(x).data.astype(np.float64)
    grad = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        ends = []
        for step in (eps, -eps):
            moved = x.copy()
            moved[index] += step
            ends.append(as_array(f(Variable(moved), *args, **kwargs)).sum(dtype=np.float64))
        grad[index] = (ends[0] - ends[1]) / (2 * eps)
    return grad
