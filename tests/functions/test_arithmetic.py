"""Arithmetic where a formula alone would go wrong: powers of 0, and NaN among maxima."""

import numpy as np
import pytest

import nailorch.functions as F
from nailorch import Variable
from nailorch.core import gradients


@pytest.mark.parametrize('c', [0, 1, 2, 3])
def test_whole_powers_of_zero_differentiate_to_any_order(c):
    """x**c, c x**(c-1), c (c-1) x**(c-2) ...: at 0 all are 0 but for the c-th, which is c!."""
    x = Variable(np.zeros(2))
    y, factor = x ** c, 1.0
    for order in range(5):
        np.testing.assert_array_equal(y.data, factor if order == c else 0)
        factor *= order + 1
        y, = gradients([y], [x], create_graph=True)


def test_zero_to_a_power_does_not_change_with_the_power():
    c = Variable(np.array([1.0, 2.0]))
    np.testing.assert_array_equal(gradients([np.zeros(2) ** c], [c])[0].data, 0)


@pytest.mark.parametrize('op', [F.maximum, F.minimum])
@pytest.mark.parametrize(('x0', 'x1', 'winner'), [(np.nan, 1, 0), (1, np.nan, 1), (np.nan, np.nan, 0)])
def test_nan_wins_and_gets_the_gradient(op, x0, x1, winner):
    xs = [Variable(np.array([float(x)])) for x in (x0, x1)]
    y = op(*xs)
    assert np.isnan(y.data)
    assert [g.item() for g in gradients([y], xs)] == [1 - winner, winner]


def test_of_equals_the_first_gets_the_gradient():
    xs = [Variable(np.ones(2)), Variable(np.ones(2))]
    gx0, gx1 = gradients([F.maximum(*xs)], xs)
    np.testing.assert_array_equal([gx0.data, gx1.data], [[1, 1], [0, 0]])


def test_what_is_clipped_at_its_very_limit_still_moves():
    x = Variable(np.array([-1.0, 0.0, 1.0, 2.0]))
    np.testing.assert_array_equal(gradients([F.clip(x, 0, 1)], [x])[0].data, [0, 1, 1, 0])
