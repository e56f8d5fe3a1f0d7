"""Numbers worked out by hand."""

import math

import numpy as np
import pytest

from nailorch.bench.statistics import apart, geometric_mean, median, quantile, spread


def test_quartiles_lie_between_neighbours():
    # sorted 1 2 4 10: places 0.75, 1.5 and 2.25
    assert spread([10, 2, 4, 1]) == (1.75, 3.0, 5.5)


@pytest.mark.parametrize(('values', 'expected'), [([5], 5), ([3, 1], 2), ([9, 1, 2], 2)])
def test_median(values, expected):
    assert median(values) == expected


def test_outer_quantiles_are_the_extremes():
    assert (quantile([3, 1, 2], 0), quantile([3, 1, 2], 1)) == (1, 3)


def test_geometric_mean_of_twice_and_an_eighth():
    assert geometric_mean([2, 0.125]) == pytest.approx(0.5)


def test_apart_is_relative_to_what_was_expected():
    # the difference is (0, 5), of size 5; (6, 8) has size 10
    assert apart(np.array([6.0, 13.0]), np.array([6.0, 8.0])) == pytest.approx(0.5)


@pytest.mark.parametrize(('result', 'expected'), [
    (np.ones(3), np.ones(4)),
    (np.array([1.0, np.nan]), np.ones(2)),
    (np.array([1.0, np.inf]), np.array([1.0, np.inf])),
    (np.ones(2), np.zeros(2)),
])
def test_what_does_not_compare_is_infinitely_far(result, expected):
    assert apart(result, expected) == math.inf
