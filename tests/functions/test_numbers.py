"""Numbers that are not the usual float32 and float64: bytes, bools, ints, float16; and batches of nothing."""

import numpy as np
import pytest

import nailorch.functions as F
from nailorch import Variable
from nailorch.core import gradients

BYTES = np.array([[[[200, 100], [250, 50]]]], np.uint8)  # their sum, 600, is no byte
SCORES = np.array([[0, 3, 1], [200, 2, 2]])

SAME = {  # what ints must give: what the same numbers give as float64
    'sum': lambda x: F.sum(x),
    'mean': lambda x: F.mean(x, axis=(2, 3)),
    'var': lambda x: F.var(x),
    'logsumexp': lambda x: F.logsumexp(x),
    'softmax': lambda x: F.softmax(x, axis=3),
    'log_softmax': lambda x: F.log_softmax(x, axis=3),
    'average_pooling': lambda x: F.average_pooling(x, 2, 1, 1),
    'global_average_pooling': F.global_average_pooling,
    'adaptive_average_pooling': lambda x: F.adaptive_average_pooling(x, 1),
    'group_norm': lambda x: F.group_norm(x, 1, np.ones(1), np.zeros(1)),
    'mean_squared_error': lambda x: F.mean_squared_error(x, x[..., ::-1]),
}


@pytest.mark.parametrize('dtype', [np.uint8, np.int64])
@pytest.mark.parametrize('name', SAME)
def test_ints_are_not_cut_off(name, dtype):
    y = SAME[name](BYTES.astype(dtype))
    np.testing.assert_allclose(y.data, SAME[name](BYTES.astype(float)).data, rtol=1e-3)


@pytest.mark.parametrize('loss', [
    lambda x, t: F.softmax_cross_entropy(x, t), lambda x, t: F.softmax_cross_entropy(x, t, 0.1, class_weight=[1, 2, 3]),
    lambda x, t: F.nll_loss(x, t), lambda x, t: F.sigmoid_cross_entropy(x[:, 0], t * 0.25)])
def test_scores_may_be_ints(loss):
    t = np.array([1, 0])
    np.testing.assert_allclose(loss(SCORES, t).data, loss(SCORES.astype(float), t).data)


def test_bools_are_counted():
    right = np.array([True, True, False, True])
    assert F.sum(right).item() == 3
    assert F.mean(right).item() == 0.75


@pytest.mark.parametrize('pool', [F.pooling, F.pooling_simple])
def test_bools_and_ints_have_a_maximum(pool):
    spot = np.zeros((1, 1, 4, 4), bool)
    spot[0, 0, 3, 0] = True
    assert pool(spot, 2, 2).data[0, 0].tolist() == [[False, False], [True, False]]
    np.testing.assert_array_equal(pool(np.full((1, 1, 3, 3), -7), 3, 2, 1).data, -7)


def test_dropout_scales_ints_by_no_whole_number():
    y = F.dropout(np.ones(100, int), 0.2)
    np.testing.assert_allclose(np.unique(y.data), [0, 1.25])


def test_int_targets_leave_a_float32_loss_float32():
    x = Variable(np.array([[1.5], [2.0]], np.float32))
    loss = F.mean_squared_error(x, np.array([[1], [4]]))
    assert loss.dtype == np.float32
    assert loss.item() == pytest.approx((0.25 + 4) / 2)


HALVES = {  # in float16, whose largest number is 65504, what is right; the sums on the way there are larger
    'mean': (lambda: F.mean(np.full((300, 300), 2, np.float16)), 2),
    'var': (lambda: F.var(np.tile(np.array([1, 3], np.float16), 50_000)), 1),
    'var of a few': (lambda: F.var(np.repeat(np.array([0, 1000], np.float16), [99, 1])), 9900),
    'mean_squared_error': (lambda: F.mean_squared_error(np.full((100, 1), [[600]] + [[0]] * 99, np.float16),
                                                        np.zeros((100, 1), np.float16)), 3600),
    'global_average_pooling': (lambda: F.global_average_pooling(np.full((1, 1, 300, 300), 2, np.float16)), 2),
    'average_pooling': (lambda: F.average_pooling(np.full((1, 1, 4, 4), 60000, np.float16), 4), 60000),
    'logsumexp': (lambda: F.logsumexp(np.array([60000, -60000], np.float16)), 60000),
    'layer_norm': (lambda: F.layer_norm(np.array([[-600, 600]], np.float16), *np.array([[1, 1], [0, 0]], np.float16)),
                   [[-1, 1]]),
    'group_norm': (lambda: F.group_norm(np.full((1, 2, 200, 200), [[[-2]], [[2]]], np.float16), 1,
                                        *np.array([[1, 1], [0, 0]], np.float16))[:, :, 0, 0], [[-1, 1]]),
}


@pytest.mark.parametrize('name', HALVES)
def test_sums_on_the_way_do_not_overflow_float16(name):
    make, expected = HALVES[name]
    y = make()
    assert y.dtype == np.float16
    np.testing.assert_allclose(y.data, expected, rtol=1e-3)


@pytest.mark.parametrize(('dtype', 'x0', 'x1'), [(np.float16, 100, 300), (np.float32, 1e30, 1e20)])
def test_a_quotient_differentiates_where_the_divisors_square_is_too_large(dtype, x0, x1):
    x1 = Variable(np.array(x1, dtype))
    g, = gradients([Variable(np.array(x0, dtype)) / x1], [x1])
    assert g.item() == pytest.approx(-x0 / x1.item() / x1.item(), rel=2e-3)


def test_logsumexp_of_nothing_but_minus_infinity():
    assert F.logsumexp(np.full(3, -np.inf)).item() == -np.inf


IMAGES, W = (0, 3, 5, 4), np.ones((4, 3, 3, 2))
EMPTY = {
    'conv2d': (lambda x: F.conv2d(x, W, np.zeros(4)), (0, 4, 3, 3)),
    'conv2d groups': (lambda x: F.conv2d(x, W[:3, :1], groups=3), (0, 3, 3, 3)),
    'conv2d_simple': (lambda x: F.conv2d_simple(x, W), (0, 4, 3, 3)),
    'deconv2d': (lambda x: F.deconv2d(x, W.transpose(1, 0, 2, 3)), (0, 4, 7, 5)),
    'pooling': (lambda x: F.pooling(x, 2, 2), (0, 3, 2, 2)),
    'pooling_simple': (lambda x: F.pooling_simple(x, 2, 2), (0, 3, 2, 2)),
    'average_pooling': (lambda x: F.average_pooling(x, 2, 2), (0, 3, 2, 2)),
    'global_max_pooling': (F.global_max_pooling, (0, 3, 1, 1)),
    'adaptive_max_pooling': (lambda x: F.adaptive_max_pooling(x, 2), (0, 3, 2, 2)),
    'max': (lambda x: F.max(x, axis=1), (0, 5, 4)),
    'flatten': (F.flatten, (0, 60)),
}


@pytest.mark.parametrize('name', EMPTY)
def test_a_batch_of_nothing_gives_nothing(name):
    f, shape = EMPTY[name]
    x = Variable(np.zeros(IMAGES))
    y = f(x)
    assert y.shape == shape
    assert gradients([y], [x], create_graph=True)[0].shape == IMAGES


def test_a_batch_of_nothing_moves_no_filter():
    filters = Variable(W)
    F.conv2d(np.zeros(IMAGES), filters).backward()
    np.testing.assert_array_equal(filters.grad.data, np.zeros(W.shape))
