"""The spread of initial weights, their dtype, and what a layer makes of W_init."""

import math

import numpy as np
import pytest

import nailorch
import nailorch.layers as L
from nailorch.layers import initializers

VARIANCES = {
    L.LeCunNormal: 1 / 300, L.LeCunUniform: 1 / 300, L.HeNormal: 2 / 300, L.HeUniform: 2 / 300,
    L.XavierNormal: 2 / 500, L.XavierUniform: 2 / 500,
}


@pytest.mark.parametrize('kind', VARIANCES)
def test_variance(kind):
    W = kind()((300, 200), 300, 200, np.float64)
    assert W.var() == pytest.approx(VARIANCES[kind], rel=0.03)
    assert abs(W.mean()) < 5 * math.sqrt(VARIANCES[kind] / W.size)
    if 'Uniform' in kind.__name__:
        assert np.abs(W).max() == pytest.approx(math.sqrt(3 * VARIANCES[kind]), rel=1e-3)
    else:
        assert np.mean(np.abs(W) > 2 * W.std()) == pytest.approx(0.0455, abs=0.005)


def test_a_convolutions_fan_in_counts_the_channels_of_one_group():
    W = L.Conv2d(512, (3, 5), in_channels=64, groups=4).W.data
    assert W.shape == (512, 16, 3, 5)
    assert W.var() == pytest.approx(1 / (16 * 3 * 5), rel=0.03)
    W = L.Conv2d(512, (3, 5), in_channels=64, groups=4, W_init=L.XavierNormal()).W.data
    assert W.var() == pytest.approx(2 / (16 * 15 + 128 * 15), rel=0.03)


def test_a_deconvolutions_fan_in_counts_its_own_inputs():
    W = L.Deconv2d(64, 3, in_channels=256, groups=2).W.data
    assert W.shape == (256, 32, 3, 3)
    assert W.var() == pytest.approx(1 / (128 * 9), rel=0.03)


def test_an_embedding_is_drawn_with_variance_1():
    assert L.EmbedID(300, 200).W.data.std() == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize('dtype', [np.float16, np.float32, np.float64])
def test_parameters_have_the_dtype_asked_for(dtype):
    for layer in (L.Linear(3, dtype=dtype), L.Conv2d(3, 1, dtype=dtype), L.BatchNorm(dtype=dtype)):
        layer(np.ones((2, 3, 4, 4), dtype))
        assert {array.dtype for array in layer.state_dict().values()} == {np.dtype(dtype)}


def test_dtype_none_is_the_configured_one():
    with nailorch.using_config('dtype', np.float64):
        layer = L.Linear(3)
    assert layer(np.ones((1, 2))).dtype == np.float64


def test_the_seed_decides_and_the_dtype_only_rounds():
    def draw(dtype):
        nailorch.seed(5)
        return L.Linear(3, in_size=4, dtype=dtype).W.data

    np.testing.assert_array_equal(draw(np.float32), draw(np.float64).astype(np.float32))
    np.testing.assert_array_equal(draw(np.float32), draw(np.float32))


def test_drawing_by_blocks_changes_no_number(monkeypatch):
    nailorch.seed(1)
    whole = L.LeCunNormal()((7, 5), 7, 5, np.float64)
    monkeypatch.setattr(initializers, 'BLOCK', 8)
    nailorch.seed(1)
    np.testing.assert_array_equal(L.LeCunNormal()((7, 5), 7, 5, np.float64), whole)
    nailorch.seed(1)
    expected = np.random.default_rng(1).standard_normal((7, 5)) * math.sqrt(1 / 7)
    np.testing.assert_array_equal(whole, expected)


def test_w_init_takes_arrays_numbers_initializers_and_functions():
    W = np.arange(6.0).reshape(3, 2)
    layer = L.Linear(2, in_size=3, W_init=W, b_init=0.5)
    np.testing.assert_array_equal(layer.W.data, W)
    np.testing.assert_array_equal(layer.b.data, [0.5, 0.5])
    W[0, 0] = 9
    assert layer.W.data[0, 0] == 0
    assert (L.Conv2d(2, 3, in_channels=1, W_init=L.Constant(0.25)).W.data == 0.25).all()
    eye = L.Linear(3, in_size=3, W_init=lambda shape, fan_in, fan_out, dtype: np.eye(*shape))
    np.testing.assert_array_equal(eye.W.data, np.eye(3))
    assert eye.W.dtype == np.float32


def test_an_array_of_another_shape_is_refused():
    layer = L.Linear(2, W_init=np.zeros((3, 2)))
    with pytest.raises(ValueError, match=r'shape \(3, 2\), the parameter \(4, 2\)'):
        layer(np.ones((1, 4), np.float32))
