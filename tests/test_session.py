"""Compiled sessions, held to what the model computes in test mode, on both engines."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import threading
from collections import namedtuple

import numpy as np
import pytest

import nailorch
import nailorch.functions as F
import nailorch.layers as L
from nailorch import Function, Model, Variable, as_array, models, no_grad, test_mode, using_config
from nailorch.kernels import ENGINES
from nailorch.session import running
from nailorch.session.steps import Bottleneck, Call

# Batch norms are folded into weights, and Winograd's tiles are the same either way: what differs is rounding, which
# a few dozen layers amplify.
TOLERANCE = 1e-4


@pytest.fixture(params=list(ENGINES), autouse=True)
def _engine(request):
    with using_config('engine', request.param):
        yield request.param


def normal(seed, *shape, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def eager(model, *arrays):
    with test_mode(), no_grad():
        return model(*arrays)


def agree(session, model, *arrays, tolerance=TOLERANCE):
    expected, got = as_array(eager(model, *arrays)), session(*arrays)
    assert type(got) is np.ndarray
    assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())


def lived_in(model):
    """Give batch norms averages as after training."""
    for index, (name, p) in enumerate([*model.named_parameters(), *model.named_buffers()]):
        if name.endswith(('gamma', 'avg_var')):
            p.data[:] = np.random.default_rng(index).uniform(0.5, 1.5, p.shape)
        elif name.endswith(('beta', 'avg_mean')):
            p.data[:] = normal(index, *p.shape) / 2
    return model


class Net(Model):
    """A Model made of one function, which gets the model and its inputs, and of the layers it uses."""

    def __init__(self, forward, **parts):
        self.how = forward
        vars(self).update(parts)

    def forward(self, x, *others):
        return self.how(self, x, *others)


def compiled(model, *examples):
    eager(model, *examples)
    return nailorch.compile(lived_in(model), *examples)


def names(session):
    return [step.name for step in session.fusion.steps]


# whole models


@pytest.mark.parametrize('model', ['VGG11', 'VGG16', 'VGG11_BN'])
def test_vgg_at_any_batch_size(model):
    net = getattr(models, model)(num_classes=7, width=8, hidden=32)
    session = compiled(net, normal(0, 1, 3, 32, 32))
    for n in (1, 3, 17, 1):
        agree(session, net, normal(n, n, 3, 32, 32))
    assert sum('Conv2d + ' in name for name in names(session)) == sum(net.depths)
    assert not any(name.startswith(('ReLU', 'Pooling', 'bn')) for name in names(session))


@pytest.mark.parametrize('model', ['ResNet18', 'ResNet50'])
def test_resnet_folds_every_norm_and_adds_inside_convolutions(model):
    net = getattr(models, model)(num_classes=5, width=8)
    session = compiled(net, normal(0, 2, 3, 40, 40))
    agree(session, net, normal(1, 3, 3, 40, 40))
    assert not [name for name in names(session) if name.split('/')[-1] in ('FixedBatchNorm', 'Add', 'ReLU')]
    assert sum(name.endswith('+ Add + ReLU') for name in names(session)) == sum(net.depths)


def test_mobilenets_blocks_are_one_step_each():
    net = models.MobileNetV2(num_classes=5, width=0.25)
    session = compiled(net, normal(0, 2, 3, 40, 40))
    for n in (1, 9):
        agree(session, net, normal(n, n, 3, 40, 40))
    assert sum(isinstance(step, Bottleneck) for step in session.fusion.steps) == 17
    assert sum(name.endswith('+ Add') for name in names(session)) == 11  # so narrow, the first one adds too
    assert len(names(session)) == 17 + 2 + 3  # the stem and the last convolution; average, reshape, dense


@pytest.mark.parametrize('spoil', ['stride', 'groups', 'second reader', 'added inside'])
def test_what_is_not_quite_a_bottleneck_is_not_taken_for_one(spoil):
    def forward(net, x):
        a = F.relu6(net.first(x))
        b = net.second(a) + a if spoil == 'added inside' else net.second(a)
        y = net.third(F.relu(b))
        return y + F.sum(b) if spoil == 'second reader' else y

    net = Net(forward, first=L.Conv2d(16, 1, stride=2 if spoil == 'stride' else 1), third=L.Conv2d(4, 1),
              second=L.Conv2d(16, 3, pad=1, groups=8 if spoil == 'groups' else 16))
    session = compiled(net, normal(0, 1, 8, 9, 10))
    agree(session, net, normal(1, 2, 8, 9, 10))
    taken = [step for step in session.fusion.steps if isinstance(step, Bottleneck)]
    assert [len(step.parts) for step in taken] == ([2] if spoil == 'stride' else [])


def test_branches_concat_and_two_outputs():
    def forward(net, x):
        x = F.relu(net.stem(x))
        left, right = net.left(x), F.relu6(net.right(x))
        joined = F.concat([left, right], axis=1)
        return {'scores': net.end(F.flatten(joined)), 'maps': [joined, left]}

    net = Net(forward, stem=L.Conv2d(16, 3, pad=1), left=L.Conv2d(8, 1), right=L.Conv2d(24, 3, pad=1), end=L.Linear(5))
    session = compiled(net, normal(0, 1, 3, 9, 10))
    x = normal(1, 4, 3, 9, 10)
    expected, got = eager(net, x), session(x)
    assert list(got) == ['scores', 'maps'] and type(got['maps']) is list
    for theirs, ours in ((expected['scores'], got['scores']), *zip(expected['maps'], got['maps'], strict=True)):
        np.testing.assert_allclose(ours, theirs.data, atol=1e-4)


@pytest.mark.parametrize('make', [tuple, list, lambda items: namedtuple('Pair', 'a b')(*items)])
def test_result_has_the_models_form(make):
    net = Net(lambda net, x: make([x * 2, (x + 1, {'n': x - 1})]))
    x = normal(0, 2, 3)
    a, (b, c) = nailorch.compile(net, x)(x)
    for ours, expected in ((a, x * 2), (b, x + 1), (c['n'], x - 1)):
        np.testing.assert_array_equal(ours, expected)
    assert type(nailorch.compile(net, x)(x)).__name__ == type(eager(net, x)).__name__


def test_shared_layers_share_their_packed_weights():
    conv = L.Conv2d(16, 3, pad=1)
    net = Net(lambda net, x: net.conv(F.relu(net.conv(x))) + x, conv=conv)
    session = compiled(net, normal(0, 1, 16, 8, 8))
    agree(session, net, normal(1, 3, 16, 8, 8))
    first, second = (step for step in session.weighted.steps if step and step[0] is not None)
    assert first[0] is second[0]


def test_recurrent_model_is_run_node_by_node():
    def forward(net, x):
        net.rnn.reset_state()
        for _ in range(3):
            y = net.rnn(x)
        return net.end(y)

    net = Net(forward, rnn=L.LSTM(6), end=L.Linear(2))
    session = nailorch.compile(net, normal(0, 1, 4))
    agree(session, net, normal(1, 3, 4))


# what is folded and joined


CASES = {
    'norm after a convolution': lambda net, x: net.bn(net.conv(x)),
    'norm before a convolution': lambda net, x: net.conv(net.bn(x)),
    'norm, rectified, before a convolution': lambda net, x: net.conv(F.relu(net.bn(x))),
    'two norms': lambda net, x: net.second(net.bn(net.conv(x))),
    'norm of what was rectified': lambda net, x: net.bn(F.relu(net.conv(x))),
    'residual': lambda net, x: F.relu(net.conv(x) + x),
    'residual on the left': lambda net, x: F.relu6(x + net.bn(net.conv(x))),
    'residual of another shape': lambda net, x: net.conv(x) + F.max(x, axis=(2, 3), keepdims=True),
    'residual of two convolutions': lambda net, x: F.relu(net.conv(x) + net.bn(net.other(x))),
    'twice itself': lambda net, x: (lambda y: y + y)(net.conv(x)),
    'wanted twice': lambda net, x: (lambda y: F.relu(y) + y)(net.conv(x)),
    'pooled': lambda net, x: F.pooling(F.relu(net.conv(x)), 2, 2),
    'pooled first': lambda net, x: F.relu(F.pooling(net.conv(x), 2, 2)),
    'pooled otherwise': lambda net, x: F.pooling(F.relu(net.conv(x)), 3, 2, 1),
    'pooled with a last half window': lambda net, x: F.pooling(net.conv(x), 2, 2, 0, 1, True),
    'residual, pooled': lambda net, x: F.pooling(F.relu(net.conv(x) + x), 2, 2),
    'dropout': lambda net, x: F.dropout(net.conv(F.dropout(x))),
    'a reshape to the same': lambda net, x: F.relu(F.reshape(net.conv(x), (x.shape[0], 16, -1, x.shape[3]))),
    'weights computed from weights': lambda net, x: F.conv2d(x, net.conv.W * net.scale.W[0, 0], pad=1),
    'depthwise': lambda net, x: F.relu6(net.deep(x)),
    'strided in groups': lambda net, x: net.grouped(x),
    'constant beside': lambda net, x: net.conv(x) + np.ones((16, 1, 1), np.float32),
    'input itself': lambda net, x: x,
}


@pytest.mark.parametrize('case', CASES)
def test_case_is_the_models(case):
    net = Net(CASES[case], conv=L.Conv2d(16, 3, pad=1), other=L.Conv2d(16, 1), bn=L.BatchNorm(), second=L.BatchNorm(),
              deep=L.Conv2d(16, 3, pad=1, groups=16), grouped=L.Conv2d(32, 3, 2, 1, groups=4), scale=L.Linear(3))
    x = normal(0, 2, 16, 9, 11)
    for layer in (net.conv, net.other, net.deep, net.grouped, net.bn, net.second):
        eager(layer, x)
    eager(net.scale, normal(0, 1, 2))
    session = nailorch.compile(lived_in(net), x)
    for n in (1, 3):
        agree(session, net, normal(n, n, 16, 9, 11))


@pytest.mark.parametrize(('case', 'steps'), [
    ('norm after a convolution', ['conv/Conv2d + FixedBatchNorm']),
    ('norm, rectified, before a convolution', ['bn/FixedBatchNorm + ReLU', 'conv/Conv2d']),
    ('two norms', ['conv/Conv2d + FixedBatchNorm + FixedBatchNorm']),
    ('norm of what was rectified', ['conv/Conv2d + ReLU', 'bn/FixedBatchNorm']),
    ('residual on the left', ['conv/Conv2d + FixedBatchNorm + Add + ReLU6']),
    ('residual of two convolutions', ['other/Conv2d + FixedBatchNorm', 'conv/Conv2d + Add + ReLU']),
    ('wanted twice', ['conv/Conv2d', 'ReLU', 'Add']),
    ('pooled', ['conv/Conv2d + ReLU + Pooling']),
    ('pooled otherwise', ['conv/Conv2d + ReLU', 'Pooling']),
    ('dropout', ['conv/Conv2d']),
    ('a reshape to the same', ['conv/Conv2d', 'ReLU']),
    ('weights computed from weights', ['Conv2d']),
    ('input itself', []),
])
def test_steps_join_what_one_kernel_computes(case, steps):
    net = Net(CASES[case], conv=L.Conv2d(16, 3, pad=1), other=L.Conv2d(16, 1), bn=L.BatchNorm(), second=L.BatchNorm(),
              scale=L.Linear(3, in_size=2))
    x = normal(0, 1, 16, 8, 8)
    if case != 'weights computed from weights':
        assert names(nailorch.compile(net, x)) == steps
    else:
        eager(net.conv, x)
        assert names(nailorch.compile(net, x)) == steps


def test_norm_is_folded_into_a_dense_layer():
    net = Net(lambda net, x: F.relu(net.bn(net.fc(x))), fc=L.Linear(7), bn=L.BatchNorm())
    session = compiled(net, normal(0, 2, 5))
    agree(session, net, normal(1, 3, 5))
    assert names(session) == ['fc/Linear + FixedBatchNorm + ReLU']


def test_norm_is_not_folded_into_a_dense_layer_whose_features_are_not_its_channels():
    net = Net(lambda net, x: net.bn(net.fc(x)), fc=L.Linear(4), bn=L.BatchNorm())
    session = compiled(net, normal(0, 2, 4, 5))
    agree(session, net, normal(1, 3, 4, 5))
    assert names(session) == ['fc/Linear', 'bn/FixedBatchNorm']


def test_users_function_is_called_even_if_it_bears_a_known_name():
    class ReLU(Function):
        def forward(self, x):
            return np.maximum(x, -1)

    net = Net(lambda net, x: ReLU()(net.conv(x)), conv=L.Conv2d(16, 3))
    session = nailorch.compile(net, normal(0, 1, 16, 6, 6))
    agree(session, net, normal(1, 2, 16, 6, 6))
    assert isinstance(session.fusion.steps[-1], Call)


@pytest.mark.parametrize('dtype', [np.float64, np.float16])
def test_other_types_are_computed_in_their_own(dtype):
    with using_config('dtype', dtype):
        net = Net(lambda net, x: net.end(F.flatten(F.relu(net.bn(net.conv(x))))), conv=L.Conv2d(8, 3),
                  bn=L.BatchNorm(), end=L.Linear(3))
        session = compiled(net, normal(0, 1, 3, 7, 7, dtype=dtype))
    agree(session, net, normal(1, 2, 3, 7, 7, dtype=dtype), tolerance=1e-12 if dtype == np.float64 else 2e-2)


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_what_is_not_finite_goes_where_it_goes_in_the_model(bad):
    net = Net(lambda net, x: F.pooling(F.relu(net.conv(x)), 2, 2), conv=L.Conv2d(16, 3, pad=1))
    x = normal(0, 2, 16, 10, 10)
    session = nailorch.compile(net, x)
    x[1, 2, 3, 4] = bad
    with np.errstate(all='ignore'):
        expected, got = eager(net, x).data, session(x)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    np.testing.assert_allclose(got, expected, atol=1e-4)


# memory, threads, weights


def test_results_are_the_callers():
    net = Net(lambda net, x: (net.conv(x), F.relu(x), x, net.conv.b), conv=L.Conv2d(16, 3, pad=1))
    x = normal(0, 1, 16, 128, 64)  # large enough for memory that is used again
    session = nailorch.compile(net, x)
    first = session(x)
    before = [y.copy() for y in first]
    second = session(normal(1, 1, 16, 128, 64))
    for y, was, other in zip(first, before, second, strict=True):
        np.testing.assert_array_equal(y, was)
        assert not np.shares_memory(y, other)
        y[...] = 0
    assert x.any()
    np.testing.assert_array_equal(session(x)[3], before[3])


def test_inputs_are_not_modified():
    net = Net(lambda net, x: F.relu(net.bn(x)), bn=L.BatchNorm())
    x = normal(0, 2, 3, 4, 4)
    x.flags.writeable = False
    before = x.copy()
    compiled(net, x)(x)
    np.testing.assert_array_equal(x, before)


def test_two_threads_get_their_own_answers():
    net = models.VGG11(num_classes=5, width=8, hidden=16)
    x = [normal(n, n, 3, 32, 32) for n in (1, 2)]
    session = compiled(net, x[0])
    expected, wrong = [session(each) for each in x], []

    def work(each, answer):
        for _ in range(10):
            if not np.array_equal(session(each), answer):
                wrong.append(each.shape)

    threads = [threading.Thread(target=work, args=pair) for pair in 2 * list(zip(x, expected, strict=True))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_weights_are_those_of_the_last_refresh(tmp_path):
    net, other = (models.ResNet18(num_classes=4, width=8) for _ in range(2))
    x = normal(0, 2, 3, 32, 32)
    session = compiled(net, x)
    eager(other, x)
    lived_in(other)
    before = session(x)
    net.conv1.W.data[:] *= -1
    net.bn1.avg_mean.data[:] += 1
    np.testing.assert_array_equal(session(x), before)
    assert session.refresh() is session
    assert not np.allclose(session(x), before, atol=1e-3)
    agree(session, net, x)
    other.save_weights(tmp_path / 'other.npz')
    net.load_weights(tmp_path / 'other.npz')
    session.refresh()
    agree(session, other, x)


def test_refresh_refuses_weights_of_another_shape():
    net = L.Linear(3, in_size=4)
    session = nailorch.compile(net, normal(0, 1, 4))
    net.W.data = normal(0, 4, 5)
    with using_config('lang', 'en'), pytest.raises(ValueError, match=r'W was float32 \(4, 3\).* \(4, 5\) now'):
        session.refresh()
    with using_config('lang', 'zh'), pytest.raises(ValueError, match='重新编译'):
        session.refresh()


def test_plans_of_a_few_batch_sizes_are_kept():
    session = nailorch.compile(L.Linear(3), normal(0, 1, 4))
    for n in range(2, 9):
        assert session(normal(n, n, 4)).shape == (n, 3)
    assert list(session.plans) == list(range(9 - running.PLANS, 9))


def test_results_lie_in_as_little_memory_as_their_lifetimes_allow():
    net = Net(lambda net, x: net.a(net.b(net.c(x))), a=L.Conv2d(16, 1), b=L.Conv2d(16, 1), c=L.Conv2d(16, 1))
    x = normal(0, 1, 16, 8, 8)
    session = nailorch.compile(net, x)
    # a result, and the one it is made from, each at the beginning of a cache line
    assert 2 * x.nbytes <= session.plans[1].peak <= 2 * (x.nbytes + 64)


def test_engine_is_that_of_compilation(_engine):
    x = normal(0, 1, 16, 8, 8)
    session = nailorch.compile(L.Conv2d(16, 3), x)
    other = next(name for name in ENGINES if name != _engine)
    with using_config('engine', other):
        session(normal(0, 2, 16, 8, 8))
        assert session.refresh().plans[2].kernels == session.plans[1].kernels
    assert ('reference' in session.plans[1].kernels[0]) == (_engine == 'reference')


# what it takes, and what it says


def test_variables_are_taken_as_arrays_are():
    x = normal(0, 2, 4)
    session = nailorch.compile(L.Linear(3), Variable(x))
    np.testing.assert_array_equal(session(Variable(x)), session(x))


def test_no_items_give_no_results():
    net = Net(lambda net, x: F.relu(net.conv(x)), conv=L.Conv2d(16, 3))
    session = nailorch.compile(net, normal(0, 1, 16, 8, 8))
    assert session(normal(0, 0, 16, 8, 8)).shape == eager(net, normal(0, 0, 16, 8, 8)).shape == (0, 16, 6, 6)


@pytest.mark.parametrize('turn', [lambda x: x[::2, :, ::-1, ::-1], lambda x: np.asfortranarray(x),
                                  lambda x: np.broadcast_to(x[:1], (3, *x.shape[1:]))])
def test_any_memory_order_is_taken(turn):
    net = Net(lambda net, x: net.end(F.relu(net.conv(x))), conv=L.Conv2d(16, 3, pad=1), end=L.Conv2d(16, 1))
    x = turn(normal(0, 4, 16, 8, 9))
    agree(nailorch.compile(net, normal(1, 1, 16, 8, 9)), net, x)


def test_two_inputs():
    net = Net(lambda net, x, y: net.a(x) * y, a=L.Linear(3))
    session = nailorch.compile(net, normal(0, 1, 4), normal(1, 1, 3))
    agree(session, net, normal(2, 5, 4), normal(3, 5, 3))


@pytest.mark.parametrize(('inputs', 'english', 'chinese'), [
    ((), r'1 \(x\), got 0', '0 个'),
    ((np.ones((2, 4), 'f4'),) * 2, r'1 \(x\), got 2', '2 个'),
    ((np.ones((2, 4)),), 'input x is float64, but it was compiled for float32.*astype', '类型是 float64'),
    ((np.ones((2, 5), 'f4'),), r'input x has shape \(2, 5\), but it was compiled for \(N, 4\)', r'\(N, 4\)'),
    ((np.ones(4, 'f4'),), r'input x has shape \(4,\), but it was compiled for \(N, 4\)', r'\(4,\)'),
    ((np.float32(1),), r'input x has shape \(\), but', '形状是'),
])
def test_error_names_what_the_session_was_compiled_for(inputs, english, chinese):
    session = nailorch.compile(L.Linear(3), normal(0, 1, 4))
    for lang, text in (('en', english), ('zh', chinese)):
        with using_config('lang', lang), pytest.raises(ValueError, match=text):
            session(*inputs)


def test_error_names_a_batch_that_differs_from_the_first_inputs():
    session = nailorch.compile(Net(lambda net, x, y: x + y), normal(0, 1, 3), normal(1, 1, 3))
    with using_config('lang', 'en'), pytest.raises(ValueError, match=r'shape \(5, 3\).*\(N, 3\).*here 4'):
        session(normal(0, 4, 3), normal(1, 5, 3))


def test_model_that_cannot_be_traced_gets_the_traces_own_error():
    net = Net(lambda net, x: Variable(x.data * 2))
    with using_config('lang', 'en'), pytest.raises(ValueError, match='does not depend on its input'):
        nailorch.compile(net, normal(0, 1, 3))


@pytest.mark.parametrize('attempt', [copy.deepcopy, copy.copy, pickle.dumps])
def test_session_is_neither_copied_nor_pickled(attempt):
    with pytest.raises(TypeError, match='compile'):
        attempt(nailorch.compile(L.Linear(3), normal(0, 1, 4)))


def test_repr_shows_the_plan(_engine):
    net = models.VGG11_BN(num_classes=7, width=16, hidden=32)
    with using_config('lang', 'en'):
        text = repr(nailorch.compile(net, normal(0, 2, 3, 32, 32)))
    assert 'VGG11_BN: (N, 3, 32, 32) -> (N, 7)' in text and f'{_engine} engine' in text
    row, = (line for line in text.splitlines() if line.startswith('conv1_1/Conv2d + FixedBatchNorm + ReLU + Pooling'))
    assert '(N, 16, 16, 16)' in row
    if _engine == 'fast':
        assert 'winograd4' in next(line for line in text.splitlines() if line.startswith('conv2_1'))
    assert 'for N = 2' in text.splitlines()[-1]
    with using_config('lang', 'zh'):
        assert '会话' in repr(nailorch.compile(net, normal(0, 2, 3, 32, 32)))


def test_profile_measures_every_step():
    net = models.VGG11(num_classes=7, width=16, hidden=32)
    session = nailorch.compile(net, normal(0, 2, 3, 32, 32))
    with using_config('lang', 'en'):
        profile = session.profile(normal(1, 3, 3, 32, 32), repeats=2)
        assert [row.name for row in profile.rows] == names(session)
        assert profile.rows[0].operations == 2 * 3 * 32 * 32 * 16 * 27
        assert profile.n == 3 and profile.seconds == sum(row.seconds for row in profile.rows) > 0
        assert 'GFLOP/s' in repr(profile) and 'all steps' in repr(profile)
        with pytest.raises(ValueError, match='repeats'):
            session.profile(normal(1, 3, 3, 32, 32), repeats=0)


def test_a_result_that_is_but_another_view_of_the_input_is_the_callers_own():
    x = np.arange(24, dtype='f').reshape(2, 3, 4)
    flat = nailorch.compile(lambda x: F.reshape(x, (x.shape[0], -1)), x)(x)
    x[...] = -1  # a buffer that is filled again
    np.testing.assert_array_equal(flat, np.arange(24).reshape(2, 12))


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='no fork here')
def test_a_child_forked_while_another_thread_makes_a_plan_answers():
    code = """
import os, signal, threading
import numpy as np
import nailorch
from nailorch.session import running

session, begun, forked = nailorch.compile(nailorch.layers.Linear(3), np.ones((1, 4), 'f')), [], threading.Event()

class Slow(running.Plan):
    def __init__(self, *args):
        begun.append(args)
        forked.wait(10)
        super().__init__(*args)

plan, running.Plan = running.Plan, Slow
other = threading.Thread(target=lambda: session(np.ones((2, 4), 'f')))
other.start()
while not begun:
    pass
child = os.fork()
if child == 0:
    signal.alarm(20)
    running.Plan = plan
    os._exit(session(np.ones((5, 4), 'f')).shape != (5, 3))
forked.set()
other.join()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), session(np.ones((2, 4), 'f')).shape)
"""
    done = subprocess.run([sys.executable, '-W', 'ignore::DeprecationWarning', '-c', code], capture_output=True,
                          text=True, timeout=120)
    assert (done.stdout, done.stderr) == ('0 (2, 3)\n', '')
