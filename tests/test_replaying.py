"""Sessions that run again what was written down: the same answers, whoever calls, and whatever changed meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

pytest.importorskip('numba')

import nailorch
import nailorch.functions as F
import nailorch.layers as L
from nailorch import Function, Model, models, no_grad, test_mode, using_config
from nailorch.kernels.fast import memory, recording, target
from nailorch.session import replaying

pytestmark = pytest.mark.skipif(target.target() is None, reason='this CPU has no fused multiply-add')


@pytest.fixture(autouse=True)
def _fast():
    with using_config('engine', 'fast'):
        yield


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


class Net(Model):
    def __init__(self, forward, **parts):
        self.how = forward
        vars(self).update(parts)

    def forward(self, *xs):
        return self.how(self, *xs)


def replay(session, n):
    """Return the recording for batches of n, None if there is none."""
    idle = session.plans[n].replays.idle
    return idle[0] if idle else None


def ordinary(session, *arrays):
    """Return the answer without a recording."""
    replays = session.plans[len(arrays[0])].replays
    kept, replays.idle, replays.runs = replays.idle, [], -100
    try:
        return session(*arrays)
    finally:
        replays.idle = kept


def recorded(model, *arrays):
    """Return a session that runs again what was written down for inputs of this kind."""
    session = nailorch.compile(model, *arrays)
    for _ in range(replaying.AFTER + 1):
        session(*arrays)
    assert replay(session, len(arrays[0])) is not None
    return session


def small_vgg():
    return models.VGG11_BN(num_classes=5, width=16, hidden=32)


@pytest.mark.parametrize(('make', 'size', 'calls'), [
    (small_vgg, 32, 1), (lambda: models.MobileNetV2(num_classes=5, width=0.25), 40, 0),
    (lambda: models.ResNet50(num_classes=5, width=8), 40, 1), (lambda: models.SqueezeNet1_1(num_classes=5), 48, 0)])
@pytest.mark.parametrize('n', [1, 3])
def test_the_answer_is_the_same_bit_for_bit(make, size, calls, n):
    nailorch.seed(0)
    net, x = make(), [normal(seed, n, 3, size, size) for seed in range(4)]
    session = recorded(net, x[0])
    for each in x:
        expected = ordinary(session, each)
        assert expected.std() > 0
        for _ in range(2):
            got = session(each)
            np.testing.assert_array_equal(got, expected)
            assert got.strides == expected.strides
    assert sum(not part.alone for part in replay(session, n).parts) <= calls


def test_results_are_not_written_to_by_later_calls():
    net = Net(lambda net, x: (net.conv(x), F.relu(net.conv(x)), x, net.conv.b), conv=L.Conv2d(16, 3, pad=1))
    session = recorded(net, normal(0, 1, 16, 20, 20))
    first = session(normal(1, 1, 16, 20, 20))
    before = [y.copy() for y in first]
    second = session(normal(2, 1, 16, 20, 20))
    for y, was, other in zip(first, before, second, strict=True):
        np.testing.assert_array_equal(y, was)
        assert not np.shares_memory(y, other) and y.flags.writeable
        y[...] = 0
    np.testing.assert_array_equal(session(normal(1, 1, 16, 20, 20))[0], before[0])


@pytest.mark.parametrize('turn', [lambda x: x[::2, :, ::-1, ::-1], np.asfortranarray,
                                  lambda x: np.broadcast_to(x[:1], (2, *x.shape[1:])),
                                  lambda x: x.transpose(0, 1, 3, 2).copy().transpose(0, 1, 3, 2)],
                         ids=['negative', 'fortran', 'broadcast', 'turned'])
def test_inputs_may_lie_in_any_order(turn):
    session = recorded(small_vgg(), normal(0, 2, 3, 32, 32))
    x = turn(normal(1, 4 if turn(normal(1, 4, 1, 1, 1)).shape[0] == 2 else 2, 3, 32, 32))
    np.testing.assert_array_equal(session(x), ordinary(session, x))
    unaligned = np.frombuffer(b'.' + x.tobytes(), np.uint8)[1:].view(np.float32).reshape(x.shape)
    np.testing.assert_array_equal(session(unaligned), session(np.ascontiguousarray(x)))


@pytest.mark.parametrize('dtype', ['uint8', 'int16', 'float16', 'float64'])
@pytest.mark.parametrize('first', [lambda x: x, lambda x: x.transpose(0, 3, 1, 2)[:, :3]], ids=['planes', 'pixels'])
@pytest.mark.parametrize('then', [lambda x: x[:, :3, :, ::4], lambda x: x[:, :3, ..., ::2], lambda x: x[:, :3].copy(),
                                  lambda x: x.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)[:, :3]],
                         ids=['every fourth', 'every other', 'planes', 'pixels'])
def test_numbers_of_other_sizes_may_lie_in_any_order(dtype, first, then):
    net = Net(lambda net, x: F.relu(net.conv(F.astype(x, 'float32'))), conv=L.Conv2d(8, 3, pad=1, in_channels=3))
    rng = np.random.default_rng(0)
    x = then(rng.integers(0, 200, (2, 4, 20, 48)).astype(dtype))
    begin = rng.integers(0, 200, (2, 3, *x.shape[2:])).astype(dtype)
    if first(np.ones((1, 2, 3, 4))).shape != (1, 2, 3, 4):
        begin = first(rng.integers(0, 200, (2, *x.shape[2:], 4)).astype(dtype))
    session = recorded(net, begin)
    for each in (x, begin):
        np.testing.assert_array_equal(session(each), ordinary(session, np.ascontiguousarray(each)))


@pytest.mark.parametrize('axes', [(0, 3, 2, 1), (2, 0, 3, 1), (3, 2, 1, 0), (1, 0, 2, 3), (0, 2, 3, 1)])
def test_the_first_input_may_lie_in_any_order(axes):
    net = Net(lambda net, x: F.relu(net.conv(F.relu(x))), conv=L.Conv2d(8, 3, pad=1, in_channels=3))
    x, other = normal(0, 2, 3, 6, 7), normal(1, 2, 3, 6, 7)
    session = nailorch.compile(net, x)
    session.plans.clear()
    for _ in range(replaying.AFTER + 1):
        session(np.ascontiguousarray(x.transpose(axes)).transpose(np.argsort(axes)))
    for each in (x, other):
        np.testing.assert_array_equal(session(each), ordinary(session, each))


def test_an_input_may_be_empty():
    net = Net(lambda net, x, y: (F.relu(net.end(x)), F.relu(y)), end=L.Linear(4, in_size=3))
    session = nailorch.compile(net, normal(0, 2, 3), np.zeros((2, 0), 'f'))
    for seed in range(4):
        inputs = normal(seed, 2, 3), np.zeros((2, 0), 'f')
        np.testing.assert_array_equal(session(*inputs)[0], ordinary(session, *inputs)[0])


def test_what_a_users_function_keeps_of_its_inputs_stays():
    seen = []

    class Tap(Function):
        def forward(self, x):
            seen.append(x)
            return x * 1

    net = Net(lambda net, x: F.relu(net.b(Tap()(F.relu(net.a(x))))), a=L.Conv2d(8, 3, pad=1), b=L.Conv2d(8, 3, pad=1))
    session = recorded(net, normal(0, 1, 3, 9, 9))
    seen.clear()
    for seed in range(3):
        session(normal(seed, 1, 3, 9, 9))
    assert not any(np.array_equal(seen[0], x) or np.shares_memory(seen[0], x) for x in seen[1:])


@pytest.mark.parametrize('bad', [np.nan, np.inf, 3e38])
def test_what_is_not_finite_goes_where_it_goes_otherwise(bad):
    net = Net(lambda net, x: F.pooling(F.relu(net.conv(x)), 2, 2), conv=L.Conv2d(16, 3, pad=1))
    session = recorded(net, normal(0, 2, 16, 14, 14))
    x = normal(1, 2, 16, 14, 14)
    x[1, 2, 3, 4] = bad
    with np.errstate(all='ignore'):
        expected, got = ordinary(session, x), session(x)
    np.testing.assert_array_equal(got, expected)
    assert np.isfinite(expected).mean() > 0.5
    clean = normal(2, 2, 16, 14, 14)
    np.testing.assert_array_equal(session(clean), ordinary(session, clean))


def test_a_recording_is_not_made_of_what_is_not_finite():
    net = Net(lambda net, x: F.relu(net.conv(x)), conv=L.Conv2d(16, 3, pad=1))
    x = normal(0, 1, 16, 14, 14)
    session = nailorch.compile(net, x)
    bad = x.copy()
    bad[0, 0, 0, 0] = np.nan
    for _ in range(4):
        session(bad)
    np.testing.assert_array_equal(session(x), ordinary(session, x))


def test_weights_are_those_of_the_last_refresh():
    net, x = small_vgg(), normal(0, 1, 3, 32, 32)
    session = recorded(net, x)
    before = session(x)
    net.conv1_1.W.data[:] *= -1
    np.testing.assert_array_equal(session(x), before)
    session.refresh()
    with test_mode(), no_grad():
        expected = net(x).data
    assert not np.allclose(expected, before)
    for _ in range(replaying.AFTER + 2):
        np.testing.assert_allclose(session(x), expected, atol=1e-4)
    assert replay(session, 1) is not None


def test_another_number_of_threads_is_another_recording():
    session, x = recorded(small_vgg(), normal(0, 2, 3, 32, 32)), normal(1, 2, 3, 32, 32)
    for threads in (1, 3, 2):
        with using_config('threads', threads):
            answers = [session(x) for _ in range(replaying.AFTER + 2)]
            expected = ordinary(session, x)
            for answer in answers:
                np.testing.assert_array_equal(answer, expected)
            assert replay(session, 2).recording.threads == threads


def test_several_threads_get_their_own_answers():
    session, x = recorded(small_vgg(), normal(0, 1, 3, 32, 32)), [normal(seed, 1, 3, 32, 32) for seed in range(4)]
    expected, wrong = [session(each) for each in x], []

    def work(i):
        for _ in range(40):
            if not np.array_equal(session(x[i]), expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == [] and replay(session, 1) is not None


def test_users_functions_are_called_between_the_jobs():
    seen = []

    class Halve(Function):
        def forward(self, x):
            seen.append(x.shape)
            return x / 2

    def forward(net, x):
        return net.end(F.flatten(F.relu(net.b(Halve()(F.relu(net.a(x)))))))

    net = Net(forward, a=L.Conv2d(16, 3, pad=1), b=L.Conv2d(16, 3, pad=1), end=L.Linear(3))
    session, x = recorded(net, normal(0, 1, 3, 12, 12)), normal(1, 1, 3, 12, 12)
    seen.clear()
    got = session(x)
    assert seen == [(1, 16, 12, 12)]
    np.testing.assert_array_equal(got, ordinary(session, x))


def test_a_kernel_that_does_more_than_its_jobs_is_found_out(monkeypatch):
    """NumPy writes into the result, after the job and without a word; the zero it leaves is one for most numbers."""
    from nailorch.kernels.fast import pools
    honest = pools.average_pool

    def dishonest(image, window, count):
        y = honest(image, window, count)
        y -= image[:, :, :1, :1]
        return y

    monkeypatch.setattr(pools, 'average_pool', dishonest)
    net = Net(lambda net, x: net.end(F.flatten(F.mean(net.conv(x), axis=(2, 3)))), conv=L.Conv2d(16, 3),
              end=L.Linear(3))
    x = normal(0, 1, 3, 12, 12)
    session = nailorch.compile(net, x)
    for seed in range(5):
        with test_mode(), no_grad():
            x = normal(seed, 1, 3, 12, 12)
            np.testing.assert_allclose(session(x), net.end(F.mean(net.conv(x), axis=(2, 3))
                                                           - net.conv(x)[:, :, 0, 0]).data, atol=1e-5)
    assert replay(session, 1) is None


def test_a_users_function_may_refuse_the_rehearsals_numbers():
    strict = []

    class Choosy(Function):
        def forward(self, x):
            if strict and x[0, 0, 0, 0] != x.max():
                raise ValueError('not this')
            return x + 1

    net = Net(lambda net, x: F.relu(net.b(F.relu(net.a(Choosy()(x))))), a=L.Conv2d(4, 3), b=L.Conv2d(4, 3))
    x = normal(0, 1, 3, 8, 8)
    x[0, 0, 0, 0] = 9
    session = nailorch.compile(net, x)
    assert replay(session, 1) is not None
    expected = session(x)
    strict.append(True)
    session.refresh()
    for _ in range(4):
        np.testing.assert_array_equal(session(x), expected)
    assert replay(session, 1) is None


def test_a_users_results_may_change_their_shape():
    class Trimmed(Function):
        def forward(self, x):
            return x[:, :1] if (x == 0).all() else x

    net = Net(lambda net, x: Trimmed()(F.relu(net.a(x))), a=L.Conv2d(3, 3))
    session = recorded(net, normal(0, 1, 3, 8, 8))
    for x, channels in ((normal(1, 1, 3, 8, 8), 3), (np.zeros((1, 3, 8, 8), 'f'), 1), (normal(2, 1, 3, 8, 8), 3)):
        got = session(x)
        assert got.shape == (1, channels, 6, 6)
        np.testing.assert_array_equal(got, ordinary(session, x))
    assert replay(session, 1) is not None


def test_numbers_beyond_the_memory_allowed_are_not_recorded():
    x = normal(1, 1, 3, 32, 32)
    session = nailorch.compile(small_vgg(), x, memory=1 << 14)
    answers = [session(x) for _ in range(5)]
    assert replay(session, 1) is None
    for answer in answers:
        np.testing.assert_array_equal(answer, answers[0])


def test_batch_sizes_share_the_memory_allowed():
    x = normal(0, 4, 3, 32, 32)
    one = recorded(small_vgg(), x[:1]).plans[1].replays.bytes
    session = nailorch.compile(small_vgg(), x[:1], memory=4 * one)
    for n in (1, 2, 4):
        answers = [session(x[:n]) for _ in range(replaying.AFTER + 2)]
        np.testing.assert_array_equal(answers, [ordinary(session, x[:n])] * len(answers))
    assert [replay(session, n) is not None for n in (1, 2, 4)] == [True, True, False]
    assert sum(plan.replays.bytes for plan in session.plans.values()) <= 4 * one


def test_an_arena_is_used_again_as_results_die_and_given_back_with_the_session():
    net = Net(lambda net, x: net.a(net.b(net.c(x))), a=L.Conv2d(16, 1), b=L.Conv2d(16, 1), c=L.Conv2d(16, 1))
    x = normal(0, 1, 16, 32, 32)
    session = recorded(net, x)
    assert replay(session, 1).recording.bytes <= 3.2 * x.nbytes  # the input, a result, and what it is made from
    assert f'{replay(session, 1).recording.bytes / 1e6:,.2f} MB' in repr(session)


def test_errors_of_a_worker_reach_the_caller_and_the_next_call_is_right():
    session, x = recorded(small_vgg(), normal(0, 1, 3, 32, 32)), normal(1, 1, 3, 32, 32)
    expected, table = session(x), replay(session, 1).recording.table
    worker = table[3].copy()
    from nailorch.kernels.fast.jit import worker as declared
    from nailorch.kernels.fast.layout import Clearing

    @declared(Clearing)
    def fails(_, job):
        raise ValueError('of a worker')

    from nailorch.kernels.fast import jit
    jit.WORKERS.remove(fails)
    fails.routine = jit.compiled(fails.body, fails.signature, keep=False)
    table[3, 0] = fails.routine.address
    with pytest.raises(ValueError, match='of a worker'):
        session(x)
    table[3] = worker
    np.testing.assert_array_equal(session(x), expected)


def test_an_address_is_heard_of_only_by_who_listens():
    heard = recording.Recording(1 << 16)
    array, other = np.zeros(3), np.zeros(3)
    memory.address(other)
    with heard.listening():
        memory.address(array)
        inside = memory.floats(5)
        memory.address(inside)
    memory.address(other)
    assert [id(kept) for kept in heard.kept] == [id(array)]
    assert heard.pool.holds(memory.address(inside)) and heard.bytes >= 20


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='no fork here')
def test_a_forked_child_answers_even_if_another_thread_was_in_the_middle_of_it():
    code = """
import os, signal, threading
import numpy as np
import nailorch
from nailorch import models
from nailorch.session import replaying

nailorch.seed(0)
x = np.random.default_rng(0).standard_normal((1, 3, 32, 32), np.float32)
session = nailorch.compile(models.VGG11_BN(num_classes=5, width=16, hidden=32), x)
expected = [session(x) for _ in range(4)][-1]
begun, forked, call = threading.Event(), threading.Event(), replaying.Replay.__call__

def slow(self, *args):
    begun.set()
    forked.wait(10)
    return call(self, *args)

replaying.Replay.__call__ = slow
found = []
other = threading.Thread(target=lambda: found.append(session(x)))
other.start()
begun.wait()
child = os.fork()
if child == 0:
    signal.alarm(20)
    replaying.Replay.__call__ = call
    os._exit(not all(np.allclose(session(x), expected, atol=1e-5) for _ in range(6)))
forked.set()
other.join()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), np.array_equal(found[0], expected))
"""
    done = subprocess.run([sys.executable, '-W', 'ignore::DeprecationWarning', '-c', code], capture_output=True,
                          text=True, timeout=120, env={**os.environ, 'NAILORCH_NUM_THREADS': '2'})
    assert (done.stdout, done.stderr) == ('0 True\n', '')
