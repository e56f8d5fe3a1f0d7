"""What follows a convolution or dense layer in one go, an activation and max pooling: the same as one by one."""

from __future__ import annotations

import numpy as np
import pytest

import nailorch.functions as F
import nailorch.layers as L
from nailorch import Function, Variable, kernels, no_grad, using_config
from nailorch.core import gradients, watching
from nailorch.shapes import Window

HOW = [{'activation': 'relu'}, {'activation': 'relu6'}, {'pool': 2}, {'activation': 'relu', 'pool': 2},
       {'activation': 'relu6', 'pool': (2, 3)}]


def one_after_the_other(x, W, b, activation='', pool=1):
    y = F.conv2d(x, W, b, 1, 1)
    y = getattr(F, activation)(y) if activation else y
    return y if pool == 1 else F.pooling(y, pool, pool)


def gradients_of(f, dtype):
    """Return f's result and gradients, and those of the sum of the squared gradients, for images with ties."""
    rng = np.random.default_rng(0)
    xs = [Variable(rng.integers(-2, 3, shape).astype(dtype)) for shape in ((2, 3, 6, 8), (4, 3, 3, 3), (4,))]
    y = f(*xs)
    (y * y).sum().backward(create_graph=True)
    first = [x.grad for x in xs]
    for x in xs:
        x.cleargrad()
    F.sum(sum((g * g).sum() for g in first)).backward()
    return [y.data, *(g.data for g in first), *(x.grad.data for x in xs)]


@pytest.mark.parametrize('how', HOW)
@pytest.mark.parametrize('engine', kernels.ENGINES)
def test_derivatives_are_those_of_one_after_the_other(how, engine):
    with using_config('engine', engine):
        got = gradients_of(lambda x, W, b: F.conv2d(x, W, b, 1, 1, **how), np.float64)
        for a, b in zip(got, gradients_of(lambda *xs: one_after_the_other(*xs, **how), np.float64), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize('how', HOW)
@pytest.mark.parametrize('shape', [(2, 1, 6, 8), (3, 1, 28, 28), (1, 3, 7, 9), (2, 16, 14, 14), (2, 5, 4, 3)])
def test_float32_gradients_agree_with_float64(how, shape):
    """One channel is a network's first layer, whose images want no gradient: it has kernels of its own."""
    rng = np.random.default_rng(1)
    x, W = rng.standard_normal(shape, np.float32), rng.standard_normal((20, shape[1], 3, 3), np.float32)
    b, gy, found = rng.standard_normal(20, np.float32), None, []
    for dtype in np.float32, np.float64:
        params = [Variable(W.astype(dtype)), Variable(b.astype(dtype))]
        y = F.conv2d(x.astype(dtype), *params, 1, 1, **how)
        gy = rng.standard_normal(y.shape, np.float32) if gy is None else gy
        y.backward(grad=gy.astype(dtype))
        found.append([y.data, *(p.grad.data for p in params)])
    for got, want in zip(*found, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5 * np.abs(want).max())


def test_nothing_passes_where_a_result_is_not_a_number():
    x = np.zeros((1, 1, 4, 4), np.float32)
    x[0, 0, 0, 0], W, b = np.nan, np.ones((17, 1, 1, 1), np.float32), Variable(np.ones(17, np.float32))
    for how in {'activation': 'relu'}, {'activation': 'relu', 'pool': 2}:
        b.cleargrad()
        y = F.conv2d(x, W, b, **how)
        assert np.isnan(y.data[0, :, 0, 0]).all() and np.isfinite(y.data[0, :, 1:]).all()
        F.sum(y).backward()
        assert (b.grad.data == y.data[0, 0].size - 1).all()


def test_without_a_tape_the_maxima_are_the_same():
    x, W = (np.random.default_rng(2).standard_normal(s, np.float32) for s in ((2, 16, 12, 12), (32, 16, 3, 3)))
    for images, filters in (x, W), (x[:, :1], W[:, :1]):
        y = F.conv2d(images, Variable(filters), pad=1, activation='relu', pool=2)
        with no_grad():
            assert np.array_equal(F.conv2d(images, filters, pad=1, activation='relu', pool=2).data, y.data)


def test_whoever_watches_sees_each_operation():
    seen = []
    with watching(lambda function, *rest: seen.append(type(function).__name__)):
        x = L.Conv2d(4, 3, activation='relu', pool=2)(np.ones((1, 2, 6, 6), np.float32))
        L.Linear(3, activation='relu6')(F.reshape(x, (1, -1)))
    assert seen == ['Conv2d', 'ReLU', 'Pooling', 'Reshape', 'Linear', 'ReLU6']


def test_a_gradient_kept_between_is_that_of_the_whole():
    """What the user asked to keep is nobody else's to write to, nor to be given away."""
    x, conv = np.ones((2, 1, 4, 4), np.float32), L.Conv2d(3, 3, pad=1, activation='relu', in_channels=1)
    y = conv(x)
    y.retain_grad()
    gy = np.ones(y.shape, np.float32)
    y.backward(grad=gy)
    assert np.array_equal(y.grad.data, gy) and not np.shares_memory(conv.b.grad.data, gy)
    assert conv.W.grad.data.flags.writeable


def test_layers_name_their_mistakes():
    with pytest.raises(ValueError, match="Conv2d: activation is 'tanh'; there are '', 'relu', 'relu6'"):
        L.Conv2d(4, 3, activation='tanh')
    with pytest.raises(ValueError, match="Linear: activation is 'tanh'"):
        L.Linear(4, activation='tanh')
    with pytest.raises(ValueError, match='pool: 0 is too small'):
        L.Conv2d(4, 3, pool=0)


def test_reference_keeps_what_it_is_given():
    rng = np.random.default_rng(3)
    image, weight, gy = (rng.standard_normal(s) for s in ((1, 2, 4, 4), (3, 2, 1, 1), (1, 3, 4, 4)))
    y, before = np.abs(gy), gy.copy()
    gx, gW, gb = kernels.reference.conv2d_grads(image, weight, gy, Window(1), 1, (True, False, True), y, 'relu')
    assert gW is None and gx.shape == image.shape and np.allclose(gb, gy.sum(axis=(0, 2, 3)))
    assert np.array_equal(gy, before)


@pytest.mark.parametrize('activation', ['', 'relu'])
@pytest.mark.parametrize('stride', [1, 2])
def test_a_convolution_adds_its_gradient_to_what_has_arrived(stride, activation, monkeypatch):
    rng = np.random.default_rng(0)
    x, W = (Variable(rng.standard_normal(shape).astype('f4')) for shape in ((2, 16, 9, 9), (24, 16, 3, 3)))

    def run(head, **options):
        x.cleargrad(), W.cleargrad()
        middle = x * 2
        y = F.sum(F.conv2d(middle, W, stride=stride, pad=1, activation=activation)**2) + head(middle)
        y.backward(**options)
        return middle, x.grad.data, W.grad.data

    def also(middle):  # the product is younger than the convolution: its gradient comes first
        one = Variable(np.ones(1, 'f4'))
        return F.sum(F.sin(middle * (one * one * one * one)))

    _, alone, gW = run(lambda middle: np.zeros((), 'f4'))
    other, = gradients([also(x * 2)], [x])
    seen, anew = [], kernels.conv2d_grads
    monkeypatch.setattr(kernels, 'conv2d_grads', lambda *args: seen.append(args[-1]) or anew(*args))
    middle, both, again = run(also, retain_grad=True)
    assert seen[0].shape == middle.shape
    np.testing.assert_allclose(both, alone + other.data, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(2 * middle.grad.data, both)
    np.testing.assert_array_equal(again, gW)
    np.testing.assert_allclose(run(also, create_graph=True)[1], both, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('activation', ['', 'relu', 'relu6'])
@pytest.mark.parametrize('pool', [(2, 2), (3, 2, 1), (2, 1)])
def test_a_convolution_takes_what_a_pooling_sends_back_before_it_is_spread(pool, activation, monkeypatch):
    rng = np.random.default_rng(0)
    x, W, b = (Variable(rng.standard_normal(shape).astype('f4')) for shape in ((2, 16, 9, 10), (24, 16, 3, 3), (24,)))
    spread, scatter = [], kernels.max_pool_scatter
    monkeypatch.setattr(kernels, 'max_pool_scatter', lambda *args: spread.append(1) or scatter(*args))

    def run(head, **options):
        y = F.conv2d(x, W, b, pad=1, activation=activation)
        loss = F.sum(F.pooling(y, *pool)**2) + head(y)
        for p in x, W, b:
            p.cleargrad()
        spread.clear()
        loss.backward(**options)
        return len(spread), y, [p.grad.data for p in (x, W, b)]

    times, _, found = run(lambda y: np.zeros((), 'f4'))
    assert times == 0
    times, y, seen = run(lambda y: np.zeros((), 'f4'), retain_grad=True)
    assert times == 1
    times, _, both = run(lambda y: F.sum(y * 0))
    assert times == 1
    graph = run(lambda y: np.zeros((), 'f4'), create_graph=True)[2]
    for one, two, three, four in zip(found, seen, both, graph, strict=True):
        np.testing.assert_array_equal(two, one)
        np.testing.assert_allclose(three, one, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(four, one, rtol=1e-4, atol=1e-4)
    gy, = gradients([F.sum(F.pooling(y, *pool)**2)], [y])
    np.testing.assert_array_equal(y.grad.data, gy.data)


@pytest.mark.parametrize('stride', [(2, 1), (1, 2), (2, 2), (3, 2)])
@pytest.mark.parametrize('C', [1, 3])
def test_a_first_layer_with_strides_and_pooling_has_the_gradients_of_float64(C, stride):
    rng = np.random.default_rng(0)
    x, W, b = (rng.standard_normal(shape, np.float32) for shape in ((2, C, 12, 16), (20, C, 3, 3), (20,)))
    found = []
    for dtype in np.float32, np.float64:
        params = [Variable(W.astype(dtype)), Variable(b.astype(dtype))]
        y = F.pooling(F.conv2d(x.astype(dtype), *params, stride, 'same', activation='relu'), 2, 2)
        y.backward(grad=np.random.default_rng(1).standard_normal(y.shape).astype(dtype))
        found.append([p.grad.data for p in params])
    for got, want in zip(*found, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5 * np.abs(want).max())


@pytest.mark.parametrize('activation', ['relu', 'relu6'])
@pytest.mark.parametrize('between', [lambda y, other: y + other, lambda y, other: other + y, lambda y, _: y - 3])
@pytest.mark.parametrize('engine', kernels.ENGINES)
def test_maxima_of_a_sum_do_not_tell_what_an_activation_before_it_let_pass(engine, between, activation):
    rng = np.random.default_rng(0)
    x, W, b, other = (Variable(rng.standard_normal(shape).astype('f4'))
                      for shape in ((2, 16, 8, 6), (24, 16, 3, 3), (24,), (2, 24, 8, 6)))

    def gradients_with(y):
        return [g.data for g in gradients([F.sum(F.pooling(between(y, other * 5), 2, 2)**2)], [x, W, b])]

    with using_config('engine', engine):
        found = gradients_with(F.conv2d(x, W, b, pad=1, activation=activation))
        expected = gradients_with(one_after_the_other(x, W, b, activation))
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5 * np.abs(want).max())


class Halved(Function):
    """A stranger's Function, whose backward does not leave what it is given as it was."""

    saves = ()

    def forward(self, x):
        return x * 1

    def backward(self, gy):
        gy.data = gy.data / 2
        return gy


def test_a_convolution_takes_what_a_stranger_made_of_a_poolings_gradient():
    rng = np.random.default_rng(0)
    x, W = (Variable(rng.standard_normal(shape).astype('f4')) for shape in ((2, 16, 8, 6), (24, 16, 3, 3)))

    def gradients_through(between):
        return [g.data for g in gradients([F.sum(F.pooling(between(F.conv2d(x, W, pad=1)), 2, 2))], [x, W])]

    for got, whole in zip(gradients_through(Halved()), gradients_through(lambda y: y), strict=True):
        np.testing.assert_allclose(got, whole / 2, rtol=1e-4, atol=1e-5)
