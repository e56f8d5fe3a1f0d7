"""Losses at extreme scores, with nothing to learn from, and in what they accept."""

import math

import numpy as np
import pytest

import nailorch.functions as F
from nailorch import Variable
from nailorch.core import gradients

DTYPES = [np.float16, np.float32, np.float64]


@pytest.mark.parametrize('dtype', DTYPES)
def test_sigmoid_cross_entropy_of_extreme_scores(dtype):
    x = Variable(np.array([50, -50, 1000, -1000, 50, -1000], dtype))
    t = np.array([1, 0, 1, 0, 0, 1])
    y = F.sigmoid_cross_entropy(x, t, reduction='none')
    gx, = gradients([y], [x], create_graph=True)
    ggx, = gradients([gx], [x])
    tiny = math.exp(-50)
    np.testing.assert_allclose(y.data, np.array([tiny, tiny, 0, 0, 50, 1000], dtype), rtol=1e-7)
    np.testing.assert_allclose(gx.data, [0, 0, 0, 0, 1, -1], atol=1e-7)
    np.testing.assert_allclose(ggx.data, 0, atol=1e-7)


@pytest.mark.parametrize('dtype', DTYPES)
def test_softmax_cross_entropy_of_extreme_scores(dtype):
    x = Variable(np.array([[1000, -1000, 0], [-30000, 30000, 0], [0, 0, 0]], dtype))
    y = F.softmax_cross_entropy(x, np.array([1, 1, 2]), reduction='none')
    gx, = gradients([y], [x], create_graph=True)
    ggx, = gradients([gx], [x])
    np.testing.assert_allclose(y.data, [2000, 0, math.log(3)], rtol=1e-3)
    np.testing.assert_allclose(gx.data, [[1, -1, 0], [0, 0, 0], [1 / 3, 1 / 3, -2 / 3]], atol=1e-3)
    assert np.isfinite(ggx.data).all()


@pytest.mark.parametrize('dtype', DTYPES)
def test_binary_cross_entropy_of_certainty(dtype):
    p = Variable(np.array([0, 0, 1, 1, 0.5], dtype))
    y = F.binary_cross_entropy(p, np.array([0, 1, 0, 1, 1]), reduction='none')
    np.testing.assert_allclose(y.data, [0, 100, 100, 0, math.log(2)], rtol=1e-3)
    gp, = gradients([y], [p], create_graph=True)
    ggp, = gradients([gp], [p])
    assert np.isfinite(gp.data).all() and np.isfinite(ggp.data).all()


@pytest.mark.parametrize('loss', [F.softmax_cross_entropy, F.nll_loss])
def test_a_class_masked_by_infinity_costs_nothing(loss):
    x = Variable(np.array([[-1.0, -np.inf, -2.0]]))
    y = loss(x, np.array([0]))
    y.backward()
    assert np.isfinite(y.data) and np.isfinite(x.grad.data).all()
    assert x.grad.data[0, 1] == 0


@pytest.mark.parametrize('loss', [F.softmax_cross_entropy, F.nll_loss])
@pytest.mark.parametrize('reduction', ['mean', 'sum', 'batch'])
def test_the_loss_of_nothing_is_zero(loss, reduction):
    x = Variable(np.ones((2, 3)))
    y = loss(x, np.array([9, 9]), ignore_index=9, reduction=reduction)
    y.backward()
    assert y.item() == 0
    np.testing.assert_array_equal(x.grad.data, 0)


def test_the_accuracy_of_nothing_is_no_number():
    assert np.isnan(F.accuracy(np.ones((2, 3)), np.array([9, 9]), ignore_index=9).item())


def test_accuracy_has_no_derivative_and_holds_a_float():
    y = F.accuracy(Variable(np.array([[1, 0], [0, 1], [0, 1]], np.float32)), np.array([0, 1, 0]))
    assert not y.requires_grad and y.shape == ()
    assert float(y.data) == pytest.approx(2 / 3)


@pytest.mark.parametrize('wrap', [np.asarray, list, Variable, np.uint8, np.uint64])
def test_targets_come_in_many_ways(wrap):
    x, t = np.eye(3), np.array([0, 2, 1])
    expected = F.softmax_cross_entropy(x, t).item()
    assert F.softmax_cross_entropy(x, wrap(t)).item() == expected
    assert F.softmax_cross_entropy_simple(x, wrap(t)).item() == pytest.approx(expected)
    assert F.accuracy(x, wrap(t)).item() == pytest.approx(1 / 3)


def test_float32_scores_with_int64_targets_stay_float32():
    x = Variable(np.ones((4, 1), np.float32))
    t = np.array([0, 1, 1, 0])
    p = F.sigmoid(x)
    losses = F.sigmoid_cross_entropy(x, t), F.sigmoid_cross_entropy(x, t * 0.5), F.binary_cross_entropy(p, t)
    assert {y.dtype for y in losses} == {np.dtype(np.float32)}


@pytest.mark.parametrize(('loss', 'x', 't'), [
    (F.mean_squared_error, [[1.0, 2.0], [3.0, 4.0]], [[0.0, 0.0], [0.0, 0.0]]),
    (F.sigmoid_cross_entropy, [[1.0, 2.0], [3.0, 4.0]], [[0, 1], [1, 0]]),
])
def test_batch_is_the_ancestors_division(loss, x, t):
    """These losses were always divided by the batch's size, not by the number of elements."""
    x, t = np.array(x), np.array(t)
    assert loss(x, t).item() == pytest.approx(loss(x, t, reduction='sum').item() / 2)
    assert loss(x, t, reduction='mean').item() == pytest.approx(loss(x, t, reduction='sum').item() / 4)


def test_messages_in_chinese(monkeypatch):
    monkeypatch.setenv('NAILORCH_LANG', 'zh')
    with pytest.raises(ValueError, match='类别编号'):
        F.softmax_cross_entropy(np.ones((2, 3)), np.eye(3)[:2])
