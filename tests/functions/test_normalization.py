"""Normalisation: the running averages, large means, and derivatives of every order in both modes."""

import copy

import numpy as np
import pytest

import nailorch
import nailorch.functions as F
import nailorch.layers as L
from nailorch import Variable
from nailorch.core import Buffer, gradients


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def test_running_averages_equal_pytorchs():
    torch = pytest.importorskip('torch', reason='PyTorch is not installed: pip install -e ".[compare]"')
    peer = torch.nn.BatchNorm2d(3, eps=2e-5, momentum=0.1).double()
    mean, var = np.zeros(3), np.ones(3)
    for seed in range(3):
        x = 2 * normal(2, 3, 4, 5, seed=seed) + 1
        peer(torch.tensor(x))
        F.batch_norm(x, np.ones(3), np.zeros(3), mean, var)
    np.testing.assert_allclose(mean, peer.running_mean.numpy(), rtol=1e-12)
    np.testing.assert_allclose(var, peer.running_var.numpy(), rtol=1e-12)
    with nailorch.test_mode():
        y = F.batch_norm(x, np.ones(3), np.zeros(3), mean, var)
    np.testing.assert_allclose(y.data, peer.eval()(torch.tensor(x)).detach().numpy(), rtol=1e-9, atol=1e-12)


def test_running_averages_change_in_place_and_in_training_alone():
    mean, var = Buffer(np.zeros(2, np.float32)), Buffer(np.ones(2, np.float32))
    arrays = mean.data, var.data
    x = np.array([[1, 10], [3, 30]], np.float32)
    with nailorch.test_mode():
        F.batch_norm(x, np.ones(2), np.zeros(2), mean, var)
    np.testing.assert_array_equal(arrays, [[0, 0], [1, 1]])
    F.batch_norm(x, np.ones(2), np.zeros(2), mean, var, decay=0.5)
    assert mean.data is arrays[0] and var.data is arrays[1]
    np.testing.assert_allclose(mean.data, [1, 10])
    np.testing.assert_allclose(var.data, [0.5 + 0.5 * 2, 0.5 + 0.5 * 200])  # unbiased: divided by m - 1
    assert mean.dtype == np.float32


@pytest.mark.parametrize('train', [True, False])
def test_running_averages_in_float64_leave_the_result_float32(train):
    x, one = np.ones((2, 3, 4, 4), np.float32), np.ones(3, np.float32)
    with nailorch.using_config('train', train):
        assert F.batch_norm(x, one, one, np.zeros(3), np.ones(3)).dtype == np.float32


def test_one_image_of_several_pixels_can_be_trained_on():
    y = F.batch_norm(normal(1, 3, 2, 2), np.ones(3), np.zeros(3), np.zeros(3), np.ones(3))
    np.testing.assert_allclose(y.data.mean(axis=(0, 2, 3)), 0, atol=1e-12)


@pytest.mark.parametrize('channels_last', [False, True])
@pytest.mark.parametrize(('offset', 'atol'), [(0, 2e-6), (1e4, 3e-3), (-12345.6, 3e-3)])
@pytest.mark.parametrize('name', ['batch_norm', 'batch_norm in test mode', 'layer_norm', 'group_norm'])
def test_large_means_in_float32(name, offset, atol, channels_last):
    """Against the same numbers in float64; float32 counts in steps of 0.001 there, and PyTorch is wrong by 0.002."""
    def run(dtype):
        x = (normal(60, 4, 14, 15) + offset).astype(np.float32).astype(dtype)
        if channels_last:
            x = x.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)
        one, zero = np.ones(4, dtype), np.zeros(4, dtype)
        if name == 'layer_norm':
            return F.layer_norm(x, np.ones((14, 15), dtype), np.zeros((14, 15), dtype)).data
        if name == 'group_norm':
            return F.group_norm(x, 2, one, zero).data
        with nailorch.using_config('train', name == 'batch_norm'):
            return F.batch_norm(x, one, zero, zero + np.array(offset, dtype), one.copy()).data
    y = run(np.float32)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, run(np.float64), atol=atol)


@pytest.mark.parametrize('name', ['batch_norm', 'layer_norm', 'group_norm'])
def test_a_constant_channel_becomes_beta(name):
    x = Variable(np.full((4, 2, 3, 3), 7, np.float32))
    gamma, beta = Variable(np.ones(2, np.float32)), Variable(np.array([5, 6], np.float32))
    y = {'batch_norm': lambda: F.batch_norm(x, gamma, beta, np.zeros(2), np.ones(2)),
         'layer_norm': lambda: F.layer_norm(F.transpose(x, (0, 2, 3, 1)), gamma, beta),
         'group_norm': lambda: F.group_norm(x, 2, gamma, beta)}[name]()
    y.backward()
    np.testing.assert_array_equal(y.data if name == 'layer_norm' else y.data.transpose(0, 2, 3, 1),
                                  np.broadcast_to(beta.data, (4, 3, 3, 2)))
    assert np.isfinite(x.grad.data).all()


def directional(f, x, v, h=1e-5):
    return (f(x + h * v) - f(x - h * v)) / (2 * h)


@pytest.mark.parametrize('train', [True, False])
def test_third_derivative_of_batch_norm(train):
    """A function of x whose third derivative along a direction is known from differences of the second."""
    x0, v, gamma = normal(3, 2, 2, 3), normal(3, 2, 2, 3, seed=1), np.array([1.5, -0.5])
    mean, var = normal(2, seed=4), np.array([0.7, 1.3])

    def nth(a, n):
        x = Variable(a)
        with nailorch.using_config('train', train):
            y = F.sum(F.batch_norm(x, gamma, gamma, mean.copy(), var.copy()) ** 3)
        for _ in range(n):
            gx, = gradients([y], [x], create_graph=True)
            y = F.sum(gx * v)
        return y.item()
    for n in range(3):
        np.testing.assert_allclose(nth(x0, n + 1), directional(lambda a, n=n: nth(a, n), x0, v), rtol=1e-6, atol=1e-6)


def test_both_backwards_of_batch_norm_agree():
    """The kernel's gradient, and the one in elementary functions that is used when it is differentiated again."""
    xs = [Variable(a) for a in (normal(2, 3, 4, 5), normal(3), normal(3, seed=1))]
    y = F.batch_norm(*xs, np.zeros(3), np.ones(3))
    gy = normal(*y.shape, seed=2)
    elementary = gradients([y], xs, [gy], create_graph=True)
    kernel = gradients([y], xs, [gy])
    for a, b in zip(elementary, kernel, strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-10, atol=1e-12)


def test_batch_norm_in_test_mode_is_one_function():
    """Readers of the tape find all that the node needs: five inputs, and eps."""
    x = Variable(normal(2, 3, 4, 5))
    with nailorch.test_mode():
        y = F.batch_norm(x, np.ones(3), np.zeros(3), np.zeros(3), np.ones(3), eps=0.1)
    assert isinstance(y.creator, F.FixedBatchNorm)
    assert len(y.creator.inputs) == 5
    assert y.creator.eps == 0.1
    assert y.creator.inputs[0].node is x.node


@pytest.mark.parametrize('engine', ['reference', 'fast'])
@pytest.mark.parametrize('dtype', ['f2', 'f4', 'f8'])
@pytest.mark.parametrize(('activation', 'adds'), [('relu', False), ('', True), ('relu', True), ('relu6', True)])
def test_in_test_mode_what_follows_a_norm_is_done_in_one_go(activation, adds, dtype, engine):
    """And gives the very numbers, and the gradients, that norm, sum and activation give one after the other."""
    x, added = (Variable((5 * normal(2, 3, 4, 5, seed=seed)).astype(dtype)) for seed in (0, 1))
    known = [Variable(a.astype(dtype)) for a in (normal(3), normal(3, seed=1), normal(3, seed=2), 1 + normal(3)**2)]
    gy, rest = Variable(normal(2, 3, 4, 5, seed=5).astype(dtype)), [added] if adds else []

    def derivatives(y):
        first = gradients([y], [x, *known, *rest], [gy], create_graph=True)
        return [g.data for g in (*first, *gradients([F.sum(g * g) for g in first[:2]], [x, known[0], gy]))]

    with nailorch.using_config('engine', engine), nailorch.test_mode():
        y = F.batch_norm(x, *known, activation=activation, added=added if adds else None)
        plain = F.batch_norm(x, *known)
        expected = {'': lambda v: v, 'relu': F.relu, 'relu6': F.relu6}[activation](plain + added if adds else plain)
        assert type(y.creator).__name__ == 'FixedBatchNormAdd'
        assert y.dtype == expected.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(y.data, expected.data)
        for mine, its in zip(derivatives(y), derivatives(expected), strict=True):
            np.testing.assert_allclose(mine, its, rtol=8 * np.finfo(dtype).eps)  # sums, perhaps in another order


def test_groups_of_one_channel_and_one_group():
    """Instance norm and layer norm over (C, H, W) are group norm's two ends."""
    x = normal(2, 4, 3, 5)
    one, zero = np.ones(4), np.zeros(4)
    whole = F.layer_norm(x, np.ones((4, 3, 5)), np.zeros((4, 3, 5)))
    np.testing.assert_allclose(F.group_norm(x, 1, one, zero).data, whole.data, rtol=1e-10)
    each = F.layer_norm(x, np.ones((3, 5)), np.zeros((3, 5)))
    np.testing.assert_allclose(F.group_norm(x, 4, one, zero).data, each.data, rtol=1e-10)


def test_moments_of_a_convolution_serve_its_batch_norm_until_its_result_changes():
    rng = np.random.default_rng(0)
    x, W = rng.standard_normal((4, 8, 5, 5)).astype('f4'), rng.standard_normal((16, 8, 1, 1)).astype('f4')

    def normalised(y):
        mean, var = np.zeros(16, 'f4'), np.ones(16, 'f4')
        return F.batch_norm(y, np.ones(16, 'f4'), np.zeros(16, 'f4'), mean, var).data, mean, var

    plain, known = F.conv2d(x, W), F.conv2d(x, W, moments=True)
    assert plain.moments is None
    np.testing.assert_allclose(known.moments, [f(plain.data, (0, 2, 3)) for f in (np.mean, np.var)], 1e-4, 1e-5)
    for mine, its in zip(normalised(known), normalised(plain), strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-5, atol=1e-5)
    known.data = 2 * known.data
    assert known.moments is None
    assert copy.deepcopy(F.conv2d(x, W, moments=True)).moments is None
    with nailorch.test_mode():
        assert F.conv2d(x, W, moments=True).moments is None


def test_a_hook_may_write_into_a_convolution_before_its_batch_norm():
    x = np.random.default_rng(0).standard_normal((4, 8, 5, 5)).astype('f4')
    conv, norm = L.Conv2d(16, 1, nobias=True, moments=True), L.BatchNorm()
    conv.register_forward_hook(lambda layer, inputs, y: np.multiply(y.data, 3, y.data))
    y = norm(conv(x)).data
    np.testing.assert_allclose(y.std((0, 2, 3)), 1, atol=1e-4)
