"""Large batches of a session, computed a few images at a time: cut where it pays, and where it cannot matter."""

from __future__ import annotations

import numpy as np
import pytest

import nailorch
import nailorch.functions as F
import nailorch.layers as L
from nailorch import Function, Model, as_array, no_grad, test_mode
from nailorch.session import parts


class Net(Model):
    """Layers by name, and what to do with them."""

    def __init__(self, compute, **layers):
        super().__init__()
        self.compute = compute
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, *inputs):
        return self.compute(self, *inputs)


class Reverse(Function):
    def forward(self, x):
        return x[::-1].copy()


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype('f')


def in_parts_of(most, session, monkeypatch):
    """Let a session have room for the results of so many images."""
    monkeypatch.setattr(parts, 'CACHE', most * session.parts.peak)
    return session


def convolutions(net, x):
    y = F.relu(net.a(x))
    return net.c(F.relu(y + net.b(y)))


def residual():
    return Net(convolutions, a=L.Conv2d(16, 3, pad=1), b=L.Conv2d(16, 3, pad=1), c=L.Conv2d(8, 1))


NETS = {
    'residual': (residual, [(3, 9, 7)]),
    'pooling, softmax': (lambda: Net(lambda net, x: F.softmax(net.d(F.flatten(F.pooling(F.relu(net.a(x)), 2)))),
                                     a=L.Conv2d(16, 3, pad=1), d=L.Linear(5)), [(4, 8, 6)]),
    'two inputs': (lambda: Net(lambda net, x, y: F.concat([net.a(x) * F.reshape(y, (*y.shape, 1, 1)), x], 1),
                               a=L.Conv2d(8, 3, pad=1)), [(3, 8, 8), (8,)]),
    'two outputs': (lambda: Net(lambda net, x: {'scores': F.mean(net.a(x), (2, 3)), 'image': F.sigmoid(x)},
                                a=L.Conv2d(8, 3)), [(3, 8, 8)]),
    'a constant along the batch': (
        lambda: Net(lambda net, x: net.a(x) + np.ones((x.shape[0], 1, 1, 1), 'f') * 2 - net.p.reshape(8, 1, 1),
                    a=L.Conv2d(8, 3), p=nailorch.Parameter(normal(5, 8))), [(3, 8, 8)]),
    'transposed': (lambda: Net(lambda net, x: F.transpose(net.a(x), (0, 2, 3, 1)), a=L.Deconv2d(4, 3)), [(3, 8, 8)]),
}


@pytest.mark.parametrize('name', NETS)
def test_a_batch_in_parts_gets_the_answers_of_its_parts(name, monkeypatch):
    make, shapes = NETS[name]
    net = make()
    session = in_parts_of(3, nailorch.compile(net, *(normal(0, 2, *shape) for shape in shapes)), monkeypatch)
    monkeypatch.setattr(parts, 'DEARER', 0)
    xs = [normal(i, 8, *shape) for i, shape in enumerate(shapes)]
    assert [(part.start, part.stop) for part in session.parts.cut(8)] == [(0, 2), (2, 5), (5, 8)]
    with test_mode(), no_grad():
        expected = net(*xs)
    for _ in range(4):  # run, run again, written down, run from there
        got = session(*xs)
    assert {*session.plans} == {2, 3}
    for key in expected if isinstance(expected, dict) else [...]:
        part, whole = got if key is ... else got[key], as_array(expected if key is ... else expected[key])
        assert (part.shape, part.dtype) == (whole.shape, whole.dtype) and part.flags.writeable
        np.testing.assert_allclose(part, whole, rtol=1e-4, atol=1e-5)
        for cut in session.parts.cut(8):
            alone = session(*(x[cut] for x in xs))
            np.testing.assert_array_equal(part[cut], alone if key is ... else alone[key])


MIXED = {
    'the mean of the batch': lambda x: x - F.mean(x, 0, keepdims=True),
    'another order': lambda x: x[::-1] * 1,
    'shares of the batch': lambda x: F.softmax(x, 0),
    'images beside one another': lambda x: F.reshape(F.relu(F.reshape(x, (-1, x.shape[0] * 2))), x.shape),
    'features as images': lambda x: F.transpose(F.softmax(F.transpose(x))),
    'products of images': lambda x: F.matmul(F.matmul(x, F.transpose(x)), x),
    "a user's Function": lambda x: Reverse()(x),
    'a result for all': lambda x: (F.relu(x), F.sum(x)),
    'a limit that follows the batch': lambda x: F.clip(x * 5, 0, len(x)),
    'a slope that follows the batch': lambda x: F.leaky_relu(x, len(x)),
    'numbers around that follow the batch': lambda x: F.pad(x, ((0, 0), (1, 1)), len(x)),
}


@pytest.mark.parametrize('name', MIXED)
def test_what_looks_at_several_images_is_not_cut(name, monkeypatch):
    x = normal(0, 8, 6)
    session = in_parts_of(2, nailorch.compile(MIXED[name], x), monkeypatch)
    monkeypatch.setattr(parts, 'DEARER', 0)
    assert len(session.parts.cut(8)) == 1
    np.testing.assert_allclose(*(as_array(y[0] if isinstance(y, tuple) else y) for y in (session(x), MIXED[name](x))),
                               rtol=1e-5, atol=1e-6)


def test_what_is_small_is_not_cut(monkeypatch):
    session = nailorch.compile(residual(), normal(0, 2, 3, 9, 7))
    assert session.parts.cut(8) == [slice(0, 8)] and session.parts.cut(0) == [slice(0, 0)]
    in_parts_of(3, session, monkeypatch)
    assert session.parts.cut(3) == [slice(0, 3)] and session.parts.cut(0) == [slice(0, 0)]
    assert session(normal(0, 0, 3, 9, 7)).shape == (0, 8, 9, 7)


def test_single_images_are_no_parts(monkeypatch):
    session = in_parts_of(1, nailorch.compile(residual(), normal(0, 2, 3, 9, 7)), monkeypatch)
    assert session.parts.cut(8) == [slice(0, 8)]


def test_a_net_of_large_weights_is_not_cut(monkeypatch):
    net = Net(lambda net, x: net.d(F.flatten(F.relu(net.a(x)))), a=L.Conv2d(8, 3, pad=1), d=L.Linear(100))
    session = in_parts_of(2, nailorch.compile(net, normal(0, 2, 3, 9, 7)), monkeypatch)
    assert session.parts.by_image
    assert len(session.parts.cut(8)) == 1 and len(session.parts.cut(1000)) == 1


def test_bytes_are_those_of_what_lives_and_what_moves():
    session = nailorch.compile(residual(), normal(0, 2, 3, 9, 7))
    pixels = 4 * 9 * 7
    assert session.parts.peak == 2 * 16 * pixels  # a, and what is added to it; or that and c
    assert session.parts.moved == (3 + 16 + 2 * 16 + 16 + 16 + 8) * pixels
    assert session.parts.weights == sum(p.data.nbytes for p in session_parameters(session))


def session_parameters(session):
    return [value.source for value in session.graph.values if value.kind == 'parameter']


def test_results_lie_as_those_of_the_whole_batch(monkeypatch):
    x = normal(0, 8, 3, 9, 7)
    session = nailorch.compile(residual(), x)
    whole = session(x)
    part = in_parts_of(4, session, monkeypatch)(x)
    assert part.strides == whole.strides and {4, 8} <= {*session.plans}
    np.testing.assert_allclose(part, whole, rtol=1e-5, atol=1e-5)


def test_a_refresh_is_for_all_parts(monkeypatch):
    x, net = normal(0, 8, 3, 9, 7), residual()
    session = in_parts_of(4, nailorch.compile(net, x), monkeypatch)
    before = session(x)
    net.c.b.data[:] = 1
    np.testing.assert_allclose(session.refresh()(x), before + 1, rtol=1e-5, atol=1e-5)


def test_profile_is_of_the_whole_batch(monkeypatch):
    x = normal(0, 8, 3, 9, 7)
    session = nailorch.compile(residual(), x)
    whole = session.profile(x, repeats=1)
    part = in_parts_of(4, session, monkeypatch).profile(x, repeats=2)
    assert part.n == 8 and all(row.seconds > 0 for row in part.rows)
    assert [row.operations for row in part.rows] == [row.operations for row in whole.rows]
    assert [row.bytes for row in part.rows] == [  # weights are read twice
        row.bytes + size for row, size in zip(whole.rows, session.sizes(), strict=True)]
