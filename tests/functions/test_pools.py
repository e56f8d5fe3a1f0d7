"""Maxima at borders and among equals, to which gradients are owed."""

from __future__ import annotations

import numpy as np
import pytest

import nailorch
import nailorch.functions as F
from nailorch import Variable
from nailorch.core import gradients, watching
from nailorch.kernels import fast
from nailorch.kernels.fast.target import target

POOLS = [F.pooling, F.pooling_simple]


@pytest.mark.parametrize('pool', POOLS)
def test_padding_never_wins_a_maximum(pool):
    x = Variable(np.full((1, 1, 4, 5), -1.0))
    y = pool(x, 3, 2, 1)
    np.testing.assert_array_equal(y.data, -1)
    F.sum(y).backward()
    assert x.grad.data.sum() == y.size


@pytest.mark.parametrize('pool', POOLS)
@pytest.mark.parametrize('window', [[1.0, 0, 0, 0], [1.0, 1, 1, 1], [0.0, 1, 1, 0], [0.0, 0, 0, 0]])
def test_the_first_of_equals_gets_the_gradient(pool, window):
    x = Variable(np.array(window).reshape(1, 1, 2, 2))
    pool(x, 2, 2).backward()
    expected = np.zeros(4)
    expected[int(np.argmax(window))] = 1
    np.testing.assert_array_equal(x.grad.data.ravel(), expected)


def test_f_max_has_the_same_rule():
    x = Variable(np.array([[1.0, 1, 0], [2, 3, 3]]))
    F.sum(F.max(x, axis=1)).backward()
    np.testing.assert_array_equal(x.grad.data, [[1, 0, 0], [0, 1, 0]])
    x.cleargrad()
    F.max(x).backward()
    np.testing.assert_array_equal(x.grad.data, [[0, 0, 0], [0, 1, 0]])


def test_negative_axes_of_max_differentiate():
    x = Variable(np.arange(6.0).reshape(2, 3))
    F.sum(F.max(x, axis=-1)).backward()
    np.testing.assert_array_equal(x.grad.data, [[0, 0, 1], [0, 0, 1]])


@pytest.mark.parametrize('pool', POOLS)
def test_equal_twins_agree_on_ties_everywhere(pool):
    x = Variable(np.random.default_rng(0).integers(0, 3, (2, 3, 6, 7)).astype(float))
    other = Variable(x.data.copy())
    w = np.random.default_rng(1).standard_normal(pool(x, 3, 2, 1).shape)
    pool(x, 3, 2, 1).backward(grad=w)
    F.pooling(other, 3, 2, 1).backward(grad=w)
    np.testing.assert_allclose(x.grad.data, other.grad.data)


def test_infinities_and_nan_are_pixels_like_others():
    x = Variable(np.full((1, 1, 2, 2), -np.inf))
    y = F.pooling(x, 2, 1, 1)
    assert np.all(y.data == -np.inf)
    F.sum(y).backward()
    assert x.grad.data.sum() == 9  # nine windows, none loses its gradient to the padding
    x = np.array([[[[1.0, np.nan, 2.0], [np.nan, 0.0, 5.0]]]])
    np.testing.assert_array_equal(F.pooling(x, (2, 2)).data.ravel(), [np.nan, np.nan])
    np.testing.assert_array_equal(F.pooling(x, (1, 2)).data.ravel(), [np.nan, np.nan, np.nan, 5.0])


def test_integer_images_pool():
    x = np.arange(16, dtype=np.uint8).reshape(1, 1, 4, 4)
    y = F.pooling(x, 2, 2, 1)
    assert y.dtype == np.uint8
    np.testing.assert_array_equal(y.data[0, 0], [[0, 2, 3], [8, 10, 11], [12, 14, 15]])


def test_average_pooling_with_a_flat_window():
    x = np.arange(12.0).reshape(1, 1, 3, 4)
    np.testing.assert_array_equal(F.average_pooling(x, (2, 3), 1).data[0, 0], [[3, 4], [7, 8]])


def test_resnets_stem_pool_is_56_pixels_wide():
    assert F.pooling(np.zeros((1, 1, 112, 112)), 3, 2, 1).shape[2:] == (56, 56)
    assert F.pooling(np.zeros((1, 1, 112, 112)), 3, 2, 0).shape[2:] == (55, 55)
    assert F.pooling(np.zeros((1, 1, 112, 112)), 3, 2, 0, ceil_mode=True).shape[2:] == (56, 56)


@pytest.mark.parametrize('engine', ['reference', 'fast'])
@pytest.mark.parametrize('dtype', ['f4', 'f8'])
@pytest.mark.parametrize('size', [(1, 1), (5, 7), (9, 20), (3, 300)])
def test_global_pooling_is_the_mean_and_the_maximum_over_all_pixels(size, dtype, engine):
    """And so are its gradients, of equal pixels the first's, and what NaN and the tape's readers see."""
    x = Variable(np.random.default_rng(0).integers(0, 9, (2, 19, *size)).astype(dtype))
    x.data[0, 3, -1, -1] = np.nan
    gy = Variable(np.arange(38, dtype=dtype).reshape(2, 19, 1, 1))

    def derivatives(y):
        gx, = gradients([y], [x], [gy], create_graph=True)
        return y.data, gx.data, gradients([gx], [gy], [x * x])[0].data

    with nailorch.using_config('engine', engine):
        for pool, reduce in ((F.global_average_pooling, F.mean), (F.global_max_pooling, F.max)):
            with fast.watch() as log:
                got = derivatives(pool(x))
            if engine == 'fast' and dtype == 'f4' and max(size) <= 256 and target() is not None:
                assert {kernel for function, kernel in log if 'pool' in function} == {'pools'}
            for mine, its in zip(got, derivatives(reduce(x, (2, 3), keepdims=True)), strict=True):
                np.testing.assert_allclose(mine, its, rtol=1e-5, atol=1e-5)
    with watching(lambda function, *_: seen.append(type(function))):
        seen = []
        F.global_max_pooling(x)
    assert seen == [F.Max]


def test_global_pooling_of_no_pixels_says_so():
    with pytest.raises(ValueError):
        F.global_max_pooling(np.zeros((2, 3, 0, 4)))
