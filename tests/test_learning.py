"""Steps of training that run again what was written down: the same to the last bit, whatever changed meanwhile."""

from __future__ import annotations

import copy
import gc
import os
import subprocess
import sys
import threading
import weakref
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip('numba')

import nailorch
import nailorch.functions as F
import nailorch.layers as L
from nailorch import Function, Model, models, optimizers, rng, using_config
from nailorch.functions.loss import SoftmaxCrossEntropy
from nailorch.kernels.fast import target
from nailorch.session import learning
from nailorch.session.learning import Gradients

pytestmark = pytest.mark.skipif(target.target() is None, reason='this CPU has no fused multiply-add')


@pytest.fixture(autouse=True)
def _fast():
    with using_config('engine', 'fast'):
        yield


class Net(Model):
    """A layer of most kinds."""

    def __init__(self):
        self.conv = L.Conv2d(16, 3, pad=1, nobias=True)
        self.norm = L.BatchNorm(activation='relu')
        self.more = L.Conv2d(16, 3, pad=1, activation='relu', pool=2)
        self.fc = L.Linear(12, activation='relu')
        self.end = L.Linear(5)
        self.ratio = 0.5

    def forward(self, x):
        return self.usual(x)

    def usual(self, x):
        x = self.more(self.norm(self.conv(x)))
        return self.end(F.dropout(self.fc(F.flatten(x)), self.ratio))


class Small(Model):
    """A dense layer before another, and whatever stands between."""

    def __init__(self, between):
        self.first, self.last, self.between = L.Linear(8, in_size=6, activation='relu'), L.Linear(4, in_size=8), between

    def forward(self, x):
        return self.last(self.between(self.first(x)))


def images(seed, n=8, shape=(3, 10, 10), classes=5):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, *shape), np.float32), rng.integers(0, classes, n)


def rows(seed, n=9):
    return images(seed, n, (6,), 4)


def as_written(model, optimizer, x, t, loss=F.softmax_cross_entropy):
    y = model(x)
    found = loss(y, t)
    model.cleargrads()
    found.backward()
    if optimizer:
        optimizer.update()
    return float(found.data), y.data


def compiled(gradients, optimizer, x, t):
    loss, y = gradients(x, t)
    if optimizer:
        optimizer.update()
    return float(loss.data), y.data


def left(model, optimizer=None):
    """Return all that a step leaves, copied."""
    kept = optimizer.state_dict() if optimizer else {}
    arrays = {f'{kind}/{name}': array for kind, found in kept.items() if isinstance(found, dict)
              for name, array in found.items()}
    return {**{name: array.copy() for name, array in model.state_dict().items()},
            **{f'grad/{name}': None if p.grad is None else p.grad.data.copy() for name, p in model.named_parameters()},
            **{name: np.array(array) for name, array in arrays.items()}, 'generator': str(rng.get_state())}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def steps(gradients):
    """Return the steps that are written down."""
    return [step for course in gradients.courses.values() for step in course.idle]


def written(model, x, t, optimizer=None, loss=F.softmax_cross_entropy):
    """Return gradients that run what was written down of steps on such batches."""
    gradients = nailorch.compile_gradients(model, loss)
    for _ in range(learning.AFTER + 3):  # sizes are found at the first call
        compiled(gradients, optimizer, x, t)
    assert steps(gradients)
    return gradients


def both(make, batches, optimizer=None, **settings):
    """Return losses, scores and all that is left by steps as they are written and by compiled ones, and the latter."""
    found, gradients = [], None
    for kind in (False, True):
        nailorch.seed(0)
        model = make()
        with nailorch.test_mode():
            model(batches[0][0])
        rule = optimizer().setup(model) if optimizer else None
        gradients = nailorch.compile_gradients(model, **settings)
        run = partial(compiled, gradients) if kind else partial(as_written, model)
        each = [(run(rule, x, t), left(model, rule)) for x, t in batches]
        found.append(each)
    return *found, gradients


def hooked():
    optimizer = optimizers.AdamW(alpha=0.01)
    optimizer.add_hook(optimizers.ClipGrad(1.0))
    optimizer.add_hook(optimizers.WeightDecay(0.01))
    return optimizer


@pytest.mark.parametrize(('make', 'shape'), [
    (Net, (3, 10, 10)), (models.MNISTNet, (1, 28, 28)), (models.LeNet, (1, 28, 28)),
    (lambda: models.Sequential(F.flatten, models.MLP((12, 7, 5), F.relu)), (1, 5, 5)),
    (lambda: models.VGG11_BN(num_classes=5, width=16, hidden=32), (3, 32, 32)),
    (lambda: models.VGG11(num_classes=5, width=16, hidden=32), (3, 32, 32)),
    (lambda: models.ResNet18(num_classes=5, width=16), (3, 40, 40)),
    (lambda: models.MobileNetV2(num_classes=5, width=0.25), (3, 40, 40)),
    (lambda: models.SqueezeNet1_1(num_classes=5), (3, 48, 48))],
    ids=['net', 'mnist', 'lenet', 'mlp', 'vgg-norm', 'vgg', 'resnet', 'mobilenet', 'squeezenet'])
@pytest.mark.parametrize('optimizer', [lambda: optimizers.Momentum(0.01), hooked], ids=['momentum', 'hooks'])
@pytest.mark.parametrize('threads', [1, 2])
def test_each_step_leaves_the_same_bit_for_bit(make, shape, optimizer, threads):
    with using_config('threads', threads):
        expected, found, gradients = both(make, [images(seed, 6, shape) for seed in range(7)], optimizer)
    assert steps(gradients)
    for ((loss, y), state), ((other, scores), there) in zip(expected, found, strict=True):
        assert loss == other
        np.testing.assert_array_equal(scores, y)
        assert_same(there, state)


def test_what_was_returned_is_the_callers():
    (x, t), (other, s) = images(0), images(1)
    gradients = written(Net(), x, t)
    loss, y = gradients(x, t)
    before = loss.data.copy(), y.data.copy()
    gradients(other, s)
    np.testing.assert_array_equal(loss.data, before[0])
    np.testing.assert_array_equal(y.data, before[1])
    assert not loss.requires_grad and not y.requires_grad and y.data.flags.writeable


def test_gradients_may_be_written_to_and_read_between_steps():
    x, t = images(0)
    model = Net()
    optimizer = optimizers.SGD(0.1).setup(model)
    gradients = written(model, x, t, optimizer)
    gradients(x, t)
    gradient, weight = model.end.b.grad.data, model.end.b.data.copy()
    gradient[...] = 1
    optimizer.update()
    np.testing.assert_array_equal(model.end.b.data, weight - np.float32(0.1))
    model.cleargrads()
    assert model.end.b.grad is None
    gradients(x, t)
    assert model.end.b.grad is not None and not (model.end.b.grad.data == 1).any()


def test_weights_may_be_written_to_in_place():
    x, t = images(0)
    model = Net()
    model.ratio = 0.0
    gradients = written(model, x, t)
    for p in model.params():
        p.data *= np.float32(0.9)
    expected = as_written(model, None, x, t)[0], left(model)
    found = compiled(gradients, None, x, t)[0], left(model)
    assert steps(gradients) and found[0] == expected[0]
    for name in (name for name in expected[1] if 'avg' not in name):  # the averages have followed twice
        np.testing.assert_array_equal(found[1][name], expected[1][name])


def change_ratio(model):
    model.ratio = 0.0


def load(model):
    model.load_state_dict({name: array * 0.5 for name, array in model.state_dict().items()})


def replace_data(model):
    model.fc.b.data = model.fc.b.data + 1


def freeze(model):
    model.conv.W.requires_grad = False


def evaluate(model):
    model.norm.eval()


def replace_layer(model):
    model.end = L.Linear(5, in_size=12)


@pytest.mark.parametrize('change', [change_ratio, load, replace_data, freeze, evaluate, replace_layer])
def test_what_changes_in_the_model_is_seen(change):
    (x, t), model = images(0), Net()
    gradients = written(model, x, t)
    change(model)
    state, buffers = rng.get_state(), {name: b.data.copy() for name, b in model.named_buffers()}
    expected = as_written(model, None, x, t)[0], left(model)
    rng.set_state(state)
    for name, b in model.named_buffers():
        b.data[...] = buffers[name]
    found = compiled(gradients, None, x, t)[0], left(model)
    assert found[0] == expected[0]
    assert_same(found[1], expected[1])
    for _ in range(learning.AFTER):
        gradients(x, t)
    assert steps(gradients) or change is evaluate  # and now these circumstances are the usual ones


@pytest.mark.parametrize(('name', 'value'), [('engine', 'reference'), ('winograd', 'off'), ('threads', 3),
                                             ('train', False)])
def test_other_settings_are_other_steps(name, value):
    (x, t), model = images(0), Net()
    gradients = written(model, x, t)
    with using_config(name, value):
        state, buffers = rng.get_state(), {name: b.data.copy() for name, b in model.named_buffers()}
        expected = as_written(model, None, x, t)[0], left(model)
        rng.set_state(state)
        for key, b in model.named_buffers():
            b.data[...] = buffers[key]
        assert compiled(gradients, None, x, t)[0] == expected[0]
        assert_same(left(model), expected[1])


def test_without_a_tape_there_are_no_gradients():
    x, t = images(0)
    gradients = written(Net(), x, t)
    with nailorch.no_grad(), pytest.raises(ValueError, match='backward'):
        gradients(x, t)


def test_batches_of_other_sizes_and_orders_are_other_steps():
    model = Net()
    gradients = written(model, *images(0))
    for x, t in (images(1, 5), images(2, 8), (images(3, 8)[0].transpose(0, 1, 3, 2), images(3, 8)[1]),
                 (np.asfortranarray(images(4)[0]), images(4)[1]), (images(5)[0][::-1], images(5)[1][::-1]),
                 (images(6)[0], images(6)[1].astype(np.uint8))):
        for _ in range(learning.AFTER + 2):
            state, before = rng.get_state(), left(model)
            expected = as_written(model, None, x, t)[0], left(model)
            rng.set_state(state)
            model.norm.avg_mean.data[...], model.norm.avg_var.data[...] = (
                before['norm/avg_mean'], before['norm/avg_var'])
            assert compiled(gradients, None, x, t)[0] == expected[0]
            assert_same(left(model), expected[1])
    assert len(gradients.courses) <= learning.KINDS


def test_a_hook_of_a_layer_hears_of_every_step():
    (x, t), model, heard = images(0), Net(), []
    gradients = written(model, x, t)
    hook = model.fc.register_forward_hook(lambda layer, xs, y: heard.append(y.data.copy()))
    for _ in range(5):
        gradients(x, t)
    assert len(heard) == 5
    hook.remove()
    for _ in range(learning.AFTER + 2):
        gradients(x, t)
    assert len(heard) == 5 and steps(gradients)


def test_a_model_that_counts_its_calls_is_always_called():
    class Counting(Net):
        calls = 0

        def forward(self, x):
            self.calls += 1
            return self.usual(x)

    (x, t), model = images(0), Counting()
    gradients = nailorch.compile_gradients(model)
    for _ in range(6):
        gradients(x, t)
    assert model.calls == 6 and not steps(gradients)


class Halve(Function):
    saves = ()

    def forward(self, x):
        return x / 2

    def backward(self, gy):
        return gy / 2


class Doubled(L.Linear):
    def forward(self, x):
        y = super().forward(x)
        return y * float(np.abs(y.data).max())


@pytest.mark.parametrize('between', [
    lambda x: Halve()(x), lambda x: x * (x.data > 0.3), lambda x: x * np.tanh(x.data),
    lambda x: x * float(x.data.mean()), lambda x: F.where(x.data > 0.5, x, 0), lambda x: F.clip(x, 0, 0.4),
    lambda x: F.maximum(x, 0.1), lambda x: x * float(x.data.max() + rng.generator().random()), Doubled(8, in_size=8),
    lambda x: x * 0.5],
    ids=['function', 'mask', 'numpy', 'number', 'where', 'clip', 'maximum', 'random', 'layer', 'half'])
def test_what_is_not_known_to_be_jobs_runs_as_it_is_written(between):
    batches = [rows(seed) for seed in range(8)]
    expected, found, gradients = both(lambda: Small(copy.deepcopy(between)), batches, lambda: optimizers.SGD(0.1))
    assert not steps(gradients)
    for ((loss, y), state), ((other, scores), there) in zip(expected, found, strict=True):
        assert loss == other
        np.testing.assert_array_equal(scores, y)
        assert_same(there, state)


@pytest.mark.parametrize('between', [F.tanh, F.sigmoid, lambda x: x + x, lambda x: x - x * x, lambda x: x / F.exp(x),
                                     lambda x: F.dropout(x, 0.3), lambda x: F.dropout(F.dropout(x, 0.3), 0.5),
                                     lambda x: F.exp(-x)])
def test_functions_between_kernels_are_called_again(between):
    batches = [rows(seed) for seed in range(8)]
    expected, found, gradients = both(lambda: Small(between), batches, hooked)
    assert steps(gradients)
    for ((loss, _), state), ((other, _), there) in zip(expected, found, strict=True):
        assert loss == other
        assert_same(there, state)


def test_what_no_kernel_feeds_is_computed_before_the_first():
    recording = steps(written(Small(partial(F.dropout, dropout_ratio=0.3)), *rows(0)))[0].recording
    assert recording.first and {before for before, *_ in recording.due} == {len(recording.jobs)}


def test_many_shapes_of_batches_are_written_down_while_there_is_room():
    model = Small(F.relu)
    gradients = nailorch.compile_gradients(model)
    batches = [rows(n, n) for n in range(2, 10)]
    for _ in range(learning.AFTER + 2):
        for x, t in batches:
            gradients(x, t)
    assert len(steps(gradients)) == len(batches)
    gradients.memory = gradients.bytes
    for _ in range(learning.AFTER + 2):
        gradients(*rows(0, 20))
    assert len(steps(gradients)) == len(batches)
    expected = as_written(model, None, *rows(0, 20))[0], left(model)
    assert compiled(gradients, None, *rows(0, 20))[0] == expected[0]
    assert_same(left(model), expected[1])


def test_rare_shapes_do_not_put_an_end_to_what_is_written_down(monkeypatch):
    monkeypatch.setattr(learning, 'KINDS', 3)
    (x, t), model = rows(0), Small(F.relu)
    gradients = written(model, x, t)
    for n in range(10, 20):
        gradients(*rows(n, n))
    assert len(steps(gradients)) == 1 and len(gradients.courses) <= 4


def test_many_shapes_that_are_written_down_leave_others_their_turn(monkeypatch):
    monkeypatch.setattr(learning, 'KINDS', 2)
    gradients = nailorch.compile_gradients(Small(F.relu))
    for sizes in (2, 3), (4, 5):
        for _ in range(learning.AFTER + 1):
            for n in sizes:
                gradients(*rows(n, n))
    assert len(steps(gradients)) == 4


def test_the_loss_may_be_ones_own():
    def smoothed(y, t):
        return F.softmax_cross_entropy(y, t) + F.softmax_cross_entropy(y + y, t)

    (x, t), model = rows(0), Small(F.relu)
    gradients = written(model, x, t, loss=smoothed)
    for seed in range(3):
        x, t = rows(seed)
        expected = as_written(model, None, x, t, smoothed)[0], left(model)
        assert compiled(gradients, None, x, t)[0] == expected[0]
        assert_same(left(model), expected[1])


def test_a_model_may_return_several_results():
    class Two(Small):
        def forward(self, x):
            x = self.first(x)
            return self.last(x), x

    def loss(ys, t):
        return F.softmax_cross_entropy(ys[0], t)

    (x, t), model = rows(0), Two(None)
    gradients = nailorch.compile_gradients(model, loss)
    for _ in range(6):
        found, (scores, features) = gradients(x, t)
        assert float(found.data) == float(loss(model(x), t).data)
        assert scores.shape == (9, 4) and features.shape == (9, 8)
    assert not steps(gradients)


def test_a_label_that_does_not_exist_is_an_error_as_ever():
    (x, t), model = rows(0), Small(F.relu)
    gradients = written(model, x, t)
    for wrong in (4, -1):
        bad = t.copy()
        bad[3] = wrong
        with pytest.raises(ValueError, match=str(wrong)):
            gradients(x, bad)
    expected = as_written(model, None, x, t)[0], left(model)
    assert compiled(gradients, None, x, t)[0] == expected[0] and steps(gradients)
    assert_same(left(model), expected[1])


@pytest.mark.parametrize('bad', [np.nan, np.inf, 3e38])
def test_what_is_not_finite_goes_where_it_goes_as_written(bad):
    batches = [images(seed) for seed in range(8)]
    batches[5][0][2, 1, 4, 4] = bad

    class Plain(Net):
        def usual(self, x):
            x = self.more(F.relu(self.conv(x)))
            return self.end(F.dropout(self.fc(F.flatten(x)), self.ratio))

    def make():
        net = Plain()
        net.conv = L.Conv2d(16, 3, pad=1, nobias=True, in_channels=3)
        net.norm = None
        return net

    with np.errstate(all='ignore'):
        expected, found, gradients = both(make, batches)
    assert steps(gradients)
    for ((loss, y), state), ((other, scores), there) in zip(expected, found, strict=True):
        np.testing.assert_array_equal(other, loss)
        np.testing.assert_array_equal(scores, y)
        assert_same(there, state)


def test_winograds_verdict_comes_before_anything_is_left(monkeypatch):
    (x, t), model = images(0, 8, (16, 14, 14)), Net()
    optimizer = optimizers.Adam().setup(model)
    gradients = written(model, x, t, optimizer)
    assert steps(gradients)[0].recording.verdicts
    written_runs, original = [], Gradients.as_written
    monkeypatch.setattr(Gradients, 'as_written', lambda *args: written_runs.append(1) or original(*args))
    bad = x.copy()
    bad[0, 0, 0, 0] = np.nan
    state, before = rng.get_state(), left(model)
    with np.errstate(all='ignore'):
        found = compiled(gradients, None, bad, t)[0], left(model)
    assert written_runs
    rng.set_state(state)
    for name, b in model.named_buffers():
        b.data[...] = before[name]
    with np.errstate(all='ignore'):
        expected = as_written(model, None, bad, t)[0], left(model)
    np.testing.assert_array_equal(found[0], expected[0])
    assert_same(found[1], expected[1])


def test_a_kernel_that_does_more_than_its_jobs_is_found_out(monkeypatch):
    """NumPy writes into the result, after the job and without a word."""
    from nailorch.kernels.fast import pools
    honest = pools.run_squares

    def dishonest(backward, source, index, out):
        honest(backward, source, index, out)
        if not backward:
            out *= np.float32(1 + (source[0, 0, 0, 0] > 0))

    monkeypatch.setattr(pools, 'run_squares', dishonest)

    def make():
        return models.Sequential(L.Conv2d(16, 3, pad=1), lambda x: F.pooling(x, 2, 2), F.flatten, L.Linear(5))

    batches = [images(seed) for seed in range(7)]
    expected, found, gradients = both(make, batches)
    assert not steps(gradients)
    for ((loss, _), state), ((other, _), there) in zip(expected, found, strict=True):
        assert loss == other
        assert_same(there, state)


def test_the_rehearsal_leaves_no_trace():
    (x, t), model = images(0), Net()
    with nailorch.test_mode():
        model(x)
    gradients = nailorch.compile_gradients(model)
    for _ in range(learning.AFTER):
        gradients(x, t)
    state, before = rng.get_state(), left(model)
    gradients(x, t)
    assert steps(gradients)
    found = left(model)
    rng.set_state(state)
    for name, b in model.named_buffers():
        b.data[...] = before[name]
    as_written(model, None, x, t)
    assert_same(found, left(model))


@pytest.mark.parametrize('where', ['as_written', 'run'])
def test_an_interrupted_rehearsal_leaves_the_weights(monkeypatch, where):
    (x, t), model, calls = images(0), Net(), []
    gradients = nailorch.compile_gradients(model)
    for _ in range(learning.AFTER + 1):
        gradients(x, t)
    before = {name: p.data.copy() for name, p in model.named_parameters()}
    kind = Gradients if where == 'as_written' else learning.Step
    original = getattr(kind, where)

    def interrupted(*args):
        found = original(*args)
        calls.append(1)
        if where == 'run' or len(calls) == 2:  # the step itself is the first call
            raise KeyboardInterrupt
        return found

    monkeypatch.setattr(kind, where, interrupted)
    with pytest.raises(KeyboardInterrupt):
        gradients(x, t)
    monkeypatch.undo()
    for name, p in model.named_parameters():
        np.testing.assert_array_equal(p.data, before[name])
    for _ in range(3):
        expected = as_written(model, None, x, t)
        assert np.isfinite(expected[0]) and np.isfinite(compiled(gradients, None, x, t)[0])


def test_an_interrupted_step_leaves_no_gradients_and_the_next_is_right(monkeypatch):
    (x, t), model = images(0), Net()
    model.ratio = 0.0
    optimizer = optimizers.SGD(0.1).setup(model)
    gradients = written(model, x, t)
    before = {name: p.data.copy() for name, p in model.named_parameters()}
    run = learning.Step.run

    def interrupted(self, *args):
        run(self, *args)
        raise KeyboardInterrupt

    monkeypatch.setattr(learning.Step, 'run', interrupted)
    with pytest.raises(KeyboardInterrupt):
        gradients(x, t)
    optimizer.update()
    for name, p in model.named_parameters():
        assert p.grad is None
        np.testing.assert_array_equal(p.data, before[name])
    monkeypatch.undo()
    expected = as_written(model, None, x, t)[0]
    assert compiled(gradients, None, x, t)[0] == expected and steps(gradients)


def test_restoring_goes_on_where_it_is_interrupted(monkeypatch):
    arrays = [np.arange(3.0), np.arange(4.0)]
    state = learning.State(arrays)
    for array in arrays:
        array[...] = -1
    copyto, interruptions = np.copyto, [True]

    def interrupted(*args):
        copyto(*args)
        if interruptions:
            interruptions.pop()
            raise KeyboardInterrupt

    monkeypatch.setattr(np, 'copyto', interrupted)
    with pytest.raises(KeyboardInterrupt):
        state.restore()
    assert arrays[0].tolist() == [0, 1, 2] and arrays[1].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize('memory', [1 << 14, 1 << 26])
def test_numbers_beyond_the_memory_allowed_are_not_written_down(memory):
    batches = [images(seed) for seed in range(5)]
    expected, found, gradients = both(Net, batches, memory=memory)
    assert bool(steps(gradients)) == (memory > 1 << 14)
    for ((loss, _), state), ((other, _), there) in zip(expected, found, strict=True):
        assert loss == other
        assert_same(there, state)


def test_what_one_thread_uses_another_runs_as_written():
    (x, t), model = images(0), Net()
    model.ratio = 0.0
    gradients = written(model, x, t)
    step, = steps(gradients)
    found = []
    call = type(step).__call__

    def meanwhile(self, *args):
        other = threading.Thread(target=lambda: found.append(float(gradients(x, t)[0].data)))
        other.start()
        other.join()
        return call(self, *args)

    learning.Step.__call__ = meanwhile
    try:
        loss = float(gradients(x, t)[0].data)
    finally:
        learning.Step.__call__ = call
    assert found == [loss] and steps(gradients) == [step]


def test_a_copy_begins_anew():
    x, t = images(0)
    gradients = written(Net(), x, t)
    assert '1 written down' in repr(gradients)
    copied = copy.deepcopy(gradients)
    assert '0 written down' in repr(copied)
    assert copied.model is not gradients.model and np.isfinite(float(copied(x, t)[0].data))


def test_inputs_that_want_gradients_get_them():
    (x, t), model = images(0), Net()
    gradients = written(model, x, t)
    wanted = nailorch.Variable(x)
    gradients(wanted, t)
    assert wanted.grad is not None and wanted.grad.shape == x.shape


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='no fork here')
def test_a_forked_child_learns_even_if_another_thread_was_in_the_middle_of_a_step():
    code = """
import os, signal, threading
import numpy as np
import nailorch
from nailorch import models, optimizers
from nailorch.session import learning

nailorch.seed(0)
rng = np.random.default_rng(0)
x, t = rng.standard_normal((6, 1, 28, 28), np.float32), rng.integers(0, 10, 6)
net = models.MNISTNet(dropout_ratio=0.0)
gradients = nailorch.compile_gradients(net)
expected = [float(gradients(x, t)[0].data) for _ in range(5)][-1]
begun, forked, run = threading.Event(), threading.Event(), learning.Step.run

def slow(self, *args):
    begun.set()
    forked.wait(10)
    return run(self, *args)

learning.Step.run = slow
found = []
other = threading.Thread(target=lambda: found.append(float(gradients(x, t)[0].data)))
other.start()
begun.wait()
child = os.fork()
if child == 0:
    signal.alarm(20)
    learning.Step.run = run
    os._exit(not all(np.isclose(float(gradients(x, t)[0].data), expected) for _ in range(6)))
forked.set()
other.join()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), found == [expected])
"""
    done = subprocess.run([sys.executable, '-W', 'ignore::DeprecationWarning', '-c', code], capture_output=True,
                          text=True, timeout=120, env={**os.environ, 'NAILORCH_NUM_THREADS': '2'})
    assert (done.stdout, done.stderr) == ('0 True\n', '')


# what Python makes of numbers on the way


class Odd(Small):
    """Two dense layers, with something of one's own at the end."""

    def __init__(self, finish, **held):
        super().__init__(lambda h: h)
        self.finish = finish
        for name, value in held.items():
            setattr(self, name, value)

    def forward(self, x):
        return self.finish(self, super().forward(x))


def per_label(y, t):
    return F.softmax_cross_entropy(y, t, reduction='sum') * (1 / max(int((t != 0).sum()), 1))


def mixed(shares):
    return lambda y, t: F.softmax_cross_entropy(y, t) * shares[0] + F.softmax_cross_entropy(y, (t + 1) % 4) * shares[1]


def followed(net, y):
    net.centre *= np.float32(0.9)
    net.centre += np.float32(0.1) * y.data.mean(0)
    return y - net.centre


def clipped(net, y):
    np.clip(net.last.W.data, -0.6, 0.6, out=net.last.W.data)
    return y


ODD = {
    'a count of labels': (lambda: (Odd(lambda net, y: y), per_label), None),
    'the largest weight': (lambda: (Odd(lambda net, y: y * (1 / float(np.abs(net.last.W.data).max()))), None), None),
    'the largest score': (lambda: (Odd(lambda net, y: y * (1 / float(np.abs(y.data).max()))), None), None),
    'an array of one number': (lambda: (Odd(lambda net, y: y * net.s, s=np.array(0.5, 'f')), None),
                               lambda net, i: net.s.fill(1 / (i + 1))),
    'one number of an array': (lambda: (Odd(lambda net, y: y * net.s[0], s=np.array([0.5, 1], 'f')), None),
                               lambda net, i: net.s.fill(1 / (i + 1))),
    'a number in an object': (lambda: (Odd(lambda net, y: F.dropout(y, net.s.r), s=SimpleNamespace(r=0.5)), None),
                              lambda net, i: setattr(net.s, 'r', 0.1 * i)),
    'a layer in an object': (lambda: (Odd(lambda net, y: net.s.drop(y), s=SimpleNamespace(drop=L.Dropout(0.5))), None),
                             lambda net, i: net.s.drop.eval() if i == 4 else None),
    'a generator': (lambda: (Odd(lambda net, y: y if net.s.random() < 0.5 else F.relu(y), s=np.random.default_rng(3)),
                             None), None),
    'an average that NumPy keeps': (lambda: (Odd(followed, centre=np.zeros(4, 'f')), None), None),
    'weights that NumPy clips': (lambda: (Odd(clipped), None), None),
    'an average in arrays': (lambda: (Odd(
        lambda net, y: F.batch_norm(y, net.gamma, net.beta, net.mean, net.var), gamma=np.ones(4, 'f'),
        beta=np.zeros(4, 'f'), mean=np.zeros(4, 'f'), var=np.ones(4, 'f')), None), None),
}


@pytest.mark.parametrize('case', ODD)
def test_what_python_makes_of_numbers_is_made_in_each_step(case):
    make, change = ODD[case]
    found = []
    for kind in (False, True):
        nailorch.seed(0)
        net, loss = make()
        loss = loss or F.softmax_cross_entropy
        rule, gradients = optimizers.SGD(0.5).setup(net), nailorch.compile_gradients(net, loss)
        each = []
        for i in range(9):
            if change:
                change(net, i)
            x, t = rows(i)
            told = compiled(gradients, rule, x, t)[0] if kind else as_written(net, rule, x, t, loss)[0]
            each.append((told, left(net, rule), [v.copy() for v in vars(net).values() if isinstance(v, np.ndarray)]))
        found.append(each)
    for (loss, state, arrays), (other, there, others) in zip(*found, strict=True):
        assert loss == other
        assert_same(there, state)
        assert all(map(np.array_equal, arrays, others))


def test_shares_of_a_loss_may_change():
    shares, found = [0.5, 0.5], []
    for kind in (False, True):
        nailorch.seed(0)
        net, loss = Small(lambda h: h), mixed(shares)
        gradients = nailorch.compile_gradients(net, loss)
        for i in range(7):
            shares[:] = i / 7, 1 - i / 7
            found.append((compiled(gradients, None, *rows(i)) if kind else as_written(net, None, *rows(i), loss))[0])
    assert found[:7] == found[7:]


def test_a_weight_of_the_loss_learns_too():
    s, net = nailorch.Parameter(np.array(0.5, 'f')), Small(lambda h: h)
    gradients = nailorch.compile_gradients(net, lambda y, t: F.softmax_cross_entropy(y, t) * F.exp(-s) + s)
    for i in range(6):
        s.cleargrad()
        gradients(*rows(i))
        assert s.grad is not None


def test_another_loss_is_another_step():
    net = Small(lambda h: h)
    gradients = written(net, *rows(0))
    gradients.loss = lambda y, t: 2 * F.softmax_cross_entropy(y, t)
    assert float(gradients(*rows(0))[0].data) == 2 * as_written(net, None, *rows(0))[0]


def test_labels_that_are_no_class_are_refused_in_a_step_that_runs_again():
    net, (x, t) = Small(lambda h: h), rows(0)
    gradients = written(net, x, t, loss=lambda y, t: SoftmaxCrossEntropy()(y, t))
    for bad in (4, -1, 10**12):
        with pytest.raises(IndexError):
            gradients(x, np.where(np.arange(9) == 3, bad, t))
    assert float(gradients(x, t)[0].data) == as_written(net, None, x, t)[0]


def test_a_step_that_fails_while_it_is_noted_is_noted_the_next_time():
    net, gradients = Small(lambda h: h), None
    gradients = nailorch.compile_gradients(net)
    for i in range(learning.AFTER + 3):
        x, t = rows(i)
        if i == learning.AFTER:
            with pytest.raises(ValueError):
                gradients(x, t + 9)
        else:
            gradients(x, t)
    assert steps(gradients)


def test_results_of_a_step_that_cannot_run_again_keep_no_arena():
    net = Odd(lambda net, y: y * (1 / float(np.abs(y.data).max())))
    gradients = nailorch.compile_gradients(net)
    for i in range(learning.AFTER + 2):
        loss, y = gradients(*rows(i))
        assert y.data.base is None and loss.data.base is None


def test_steps_go_with_their_gradients():
    gradients = written(Small(lambda h: h), *rows(0))
    known = weakref.ref(steps(gradients)[0])
    gc.disable()
    try:
        del gradients
        assert known() is None
    finally:
        gc.enable()
