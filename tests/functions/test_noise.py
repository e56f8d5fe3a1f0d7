"""Dropout: what is random about it, and what is not."""

import numpy as np
import pytest

import nailorch
import nailorch.functions as F
from nailorch import Variable
from nailorch.core import gradients


def test_dropping_all_leaves_zeros_and_zero_gradients():
    x = Variable(np.ones((3, 4), np.float32))
    y = F.dropout(x, 1.0)
    y.backward()
    np.testing.assert_array_equal(y.data, 0)
    np.testing.assert_array_equal(x.grad.data, 0)


def test_nothing_is_dropped_in_test_mode():
    x = Variable(np.ones((3, 4)))
    with nailorch.test_mode():
        np.testing.assert_array_equal(F.dropout(x, 0.9).data, 1)
        np.testing.assert_array_equal(F.dropout(x, 1.0).data, 1)


@pytest.mark.parametrize('ratio', [0.1, 0.5, 0.9])
def test_the_expected_sum_stays(ratio):
    y = F.dropout(np.ones(100_000), ratio).data
    assert abs((y == 0).mean() - ratio) < 0.01
    assert abs(y.mean() - 1) < 0.02


def test_the_gradient_goes_where_the_numbers_went():
    x = Variable(np.full((4, 5), 2.0))
    y = F.dropout(x, 0.5)
    gx, = gradients([y], [x], create_graph=True)
    np.testing.assert_array_equal(gx.data, y.data / 2)


def test_each_call_draws_anew_and_a_seed_repeats_it():
    def draw(dtype=np.float64):
        nailorch.seed(5)
        return [F.dropout(np.ones(50, dtype)).data for _ in range(2)]
    first, second = draw()
    assert (first != second).any()
    np.testing.assert_array_equal(draw(), [first, second])
    np.testing.assert_array_equal(draw(np.float32), [first, second])


def test_a_seed_drops_the_same_elements_in_any_memory_order():
    nailorch.seed(5)
    expected = F.dropout(np.ones((2, 3, 4, 5))).data
    nailorch.seed(5)
    y = F.dropout(np.ones((2, 4, 5, 3)).transpose(0, 3, 1, 2)).data
    np.testing.assert_array_equal(y, expected)
    assert y.transpose(0, 2, 3, 1).flags.c_contiguous
