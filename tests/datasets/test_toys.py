"""Made-up points."""

import numpy as np
import pytest

from nailorch import rng
from nailorch.config import using_config
from nailorch.datasets import SinCurve, Spiral, get_spiral


@pytest.mark.parametrize('train, seed', [(True, 1984), (False, 2020)])
def test_spiral_has_the_textbooks_points(train, seed):
    """The textbook's own loop, a point at a time."""
    random = np.random.RandomState(seed)
    x, t = np.zeros((300, 2), np.float32), np.zeros(300, int)
    for j in range(3):
        for i in range(100):
            theta = j * 4.0 + 4.0 * (i / 100) + random.randn() * 0.2
            x[100 * j + i] = i / 100 * np.sin(theta), i / 100 * np.cos(theta)
            t[100 * j + i] = j
    order = random.permutation(300)
    got = get_spiral(train)
    np.testing.assert_array_equal(got[0], x[order])
    np.testing.assert_array_equal(got[1], t[order])


def test_spiral_is_float32_and_the_same_each_time():
    first = Spiral()
    rng.seed(99)
    assert first.data.dtype == np.float32
    np.testing.assert_array_equal(first.data, Spiral().data)
    assert not np.array_equal(first.data, Spiral(train=False).data)
    with using_config('dtype', np.float64):
        assert Spiral().data.dtype == np.float64


def test_spiral_leaves_numpys_own_generator_alone():
    np.random.seed(5)  # noqa: NPY002
    expected = np.random.RandomState(5).rand()
    Spiral()
    assert np.random.rand() == expected  # noqa: NPY002


def test_sin_curve_labels_are_the_next_values():
    curve = SinCurve()
    assert len(curve) == 999
    assert curve[0][0].shape == (1,) and curve.data.dtype == np.float32
    np.testing.assert_array_equal(curve.data[1:], curve.label[:-1])
    assert 0 < np.abs(curve.data[:, 0] - np.sin(np.linspace(0, 2 * np.pi, 1000)[:-1])).max() <= 0.05


def test_sin_curve_test_part_is_a_clean_cosine():
    angle = np.linspace(0, 2 * np.pi, 1000)[:-1]
    np.testing.assert_allclose(SinCurve(train=False).data[:, 0], np.cos(angle), atol=1e-6)
