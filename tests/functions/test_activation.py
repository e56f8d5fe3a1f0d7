"""Activations where numbers are extreme, and what they keep."""

import math
import weakref

import numpy as np
import pytest

import nailorch.functions as F
from nailorch import Variable
from nailorch.core import gradients
from nailorch.functions import activation

SMOOTH = ['sigmoid', 'sigmoid_simple', 'tanh', 'softplus', 'silu', 'gelu', 'hardswish', 'relu', 'leaky_relu', 'relu6']
LARGEST = {np.float16: 65504.0, np.float32: 3e38, np.float64: 1e308}


@pytest.mark.parametrize('dtype', LARGEST)
@pytest.mark.parametrize('name', [*SMOOTH, 'gelu tanh'])
def test_extremes_are_finite_with_finite_derivatives(name, dtype):
    """No overflow either: in these tests a warning is an error."""
    name, *how = name.split()
    limit = LARGEST[dtype]
    x = Variable(np.array([-limit, -1000, -50, 50, 1000, limit], dtype))
    y = getattr(F, name)(x, *how)
    gx, = gradients([y], [x], create_graph=True)
    ggx, = gradients([gx], [x])
    for result in y, gx, *([ggx] if ggx is not None else []):
        assert result.dtype == dtype
        assert np.isfinite(result.data).all()


@pytest.mark.parametrize('name', SMOOTH)
def test_nan_comes_out_as_nan(name):
    assert np.isnan(getattr(F, name)(np.array([np.nan, 1.0])).data).tolist() == [True, False]


@pytest.mark.parametrize('name', ['relu', 'leaky_relu', 'relu6'])
def test_derivative_at_the_kink(name):
    x = Variable(np.zeros(3))
    getattr(F, name)(x).backward()
    np.testing.assert_array_equal(x.grad.data, 0.2 if name == 'leaky_relu' else 0)


def test_relu_lets_its_input_go():
    """In conv - relu - conv, relu's output is kept by the next convolution: the input is not kept beside it."""
    hidden = Variable(np.ones(3)) + 1
    kept = weakref.ref(hidden.data)
    y = F.relu(hidden)
    del hidden
    assert kept() is None
    y.backward()


@pytest.mark.parametrize('name', ['relu', 'leaky_relu', 'sigmoid', 'gelu', 'silu', 'hardswish', 'softplus', 'softmax',
                                  'log_softmax'])
def test_memory_order_is_kept(name):
    """An activation of an image that lies in memory as N, H, W, C lies there so too, and so does its gradient."""
    x = Variable(np.ones((2, 4, 5, 3)).transpose(0, 3, 1, 2))
    y = getattr(F, name)(x)
    gx, = gradients([y], [x], [y.detach()])
    for result in y, gx:
        assert result.data.transpose(0, 2, 3, 1).flags.c_contiguous


def test_sigmoid_keeps_its_digits_far_from_zero():
    x = np.array([-700.0, -100.0, -30.0])
    np.testing.assert_allclose(F.sigmoid(x).data, [1 / (1 + math.exp(-v)) for v in x], rtol=1e-14)


@pytest.mark.parametrize(('dtype', 'rtol', 'atol'), [(np.float64, 2e-14, 3e-16), (np.float32, 5e-6, 2e-7)])
def test_gelu_keeps_its_digits(dtype, rtol, atol):
    """Against Python's own erfc: nearly all digits in the tail, and all of the sum's."""
    x = np.linspace(-8, 8, 4001).astype(dtype)
    expected = np.array([math.erfc(-v / math.sqrt(2)) / 2 for v in x.tolist()])
    got = F.NormalCDF()(x).data
    np.testing.assert_allclose(got, expected, rtol=rtol)
    np.testing.assert_allclose(got, expected, rtol=0, atol=atol)


def test_gelu_of_ints_is_a_float():
    np.testing.assert_allclose(F.gelu(np.array([1])).data, 0.8413447460685429)


@pytest.mark.parametrize('dtype', [np.float16, np.float32, np.float64])
@pytest.mark.parametrize('op', [F.softmax, F.softmax_simple, F.log_softmax])
def test_softmax_of_extreme_scores(op, dtype):
    largest = 30000 if op is F.softmax_simple else 60000  # in float16 the twin's difference would overflow
    x = Variable(np.array([[1000, -1000, 1000], [-largest, largest, 0], [-largest] * 3], dtype))
    y = op(x)
    p = np.exp(y.data) if op is F.log_softmax else y.data
    np.testing.assert_allclose(p, [[0.5, 0, 0.5], [0, 1, 0], [1 / 3] * 3], rtol=1e-3)
    gx, = gradients([y], [x], [np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype)])
    assert np.isfinite(gx.data).all()


def test_softmax_takes_masked_scores():
    """Scores of -inf, as masks have them, are probabilities of 0."""
    x = Variable(np.array([[0.0, -np.inf, 0.0]]))
    np.testing.assert_array_equal(F.softmax(x).data, [[0.5, 0, 0.5]])
    y = F.log_softmax(x)
    np.testing.assert_allclose(y.data, [[-math.log(2), -np.inf, -math.log(2)]])
    gx, = gradients([y], [x], [np.array([[1.0, 0, 0]])])
    np.testing.assert_allclose(gx.data, [[0.5, 0, -0.5]])


def test_gelu_of_large_images_keeps_their_memory_order_and_every_digit(monkeypatch):
    monkeypatch.setattr(activation, 'BLOCK', 7)
    x = np.random.default_rng(0).standard_normal((2, 4, 5, 3)).transpose(0, 3, 1, 2)
    y = F.gelu(x).data
    assert y.strides == x.strides
    expected = [value * math.erfc(-value / math.sqrt(2)) / 2 for value in x.ravel().tolist()]
    np.testing.assert_allclose(y.ravel(), expected, rtol=1e-14)
    np.testing.assert_array_equal(F.gelu(x[:, ::2, 1:]).data, y[:, ::2, 1:])
