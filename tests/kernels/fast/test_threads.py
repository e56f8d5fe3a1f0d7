"""Threads: as many as were asked for, whoever asks, in a forked child, beside other libraries' threads."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip('numba')

from nailorch.config import thread_count, using_config
from nailorch.dataloaders import DataLoader
from nailorch.datasets import ArrayDataset
from nailorch.kernels import fast
from nailorch.kernels.fast import target, threads
from nailorch.shapes import Window

pytestmark = pytest.mark.skipif(target.target() is None, reason='this CPU has no fused multiply-add')

WORK = """
import os, sys, threading, time
import numpy as np
import nailorch
from nailorch.kernels import fast
from nailorch.shapes import Window

def draw(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype('f')

x, weight, window = draw(0, 4, 32, 40, 40), draw(1, 48, 32, 3, 3), Window(3, 1, 1)

def compute(x=x):
    y = fast.conv2d(x, weight, None, window)
    gW = fast.conv2d_weight_grad(x, y, window)
    m = fast.matmul(gW.reshape(48, -1), gW.reshape(48, -1).T)
    return [y, gW, m, fast.batch_norm(y, m[0], m[1], 1e-5)[0], fast.max_pool(y, Window(2, 2).on((40, 40)))[0]]

def same(a, b):
    return all(np.array_equal(p, q) for p, q in zip(a, b, strict=True))

def helpers():
    return sum(thread.name.startswith('nailorch-') for thread in threading.enumerate())

"""


def python(code, **variables):
    """Run WORK and code in another process, and return what it prints."""
    environment = {**os.environ, 'NAILORCH_NUM_THREADS': '2', **variables}
    done = subprocess.run([sys.executable, '-W', 'ignore::DeprecationWarning', '-c', WORK + code], env=environment,
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return ' '.join(done.stdout.split())


@pytest.mark.parametrize('asked', [1, 2, 5])
def test_so_many_threads_compute_as_the_setting_says(asked):
    assert python(f"""
with nailorch.using_config('threads', {asked}):
    compute()
print(helpers())
""") == str(asked - 1)


def test_helpers_beyond_the_processors_leave_once_fewer_are_asked_for():
    assert python("""
from nailorch.kernels.fast import threads
threads.PROCESSORS = 4
numbers = []
for asked in 9, 3, 4, 2:
    with nailorch.using_config('threads', asked):
        first = compute()
        numbers.append(helpers())
        assert all(same(first, compute()) for _ in range(20))
print(*numbers)
""") == '8 2 3 3'


def test_helpers_who_come_and_go_leave_nothing_behind():
    assert python("""
import tracemalloc
from nailorch.kernels.fast import threads
threads.PROCESSORS = 2
held = []
tracemalloc.start()
for _ in range(30):
    for asked in 4, 2:
        with nailorch.using_config('threads', asked):
            compute()
    held.append(tracemalloc.get_traced_memory()[0])
print(held[-1] - held[9] < 1 << 20, helpers())
""") == 'True 1'


def test_so_many_threads_compute_as_the_environment_says():
    assert python('compute(); print(helpers())', NAILORCH_NUM_THREADS='3') == '2'
    assert python('compute(); print(helpers())', NAILORCH_NUM_THREADS='1') == '0'


def test_a_loaders_threads_inherit_the_number():
    seen = []
    data = ArrayDataset(np.zeros((8, 2), 'f'), np.zeros(8, int), lambda x: seen.append(thread_count()) or x)
    with using_config('threads', 7):
        list(DataLoader(data, 2, workers=2))
    assert seen == [7] * 8


def draw(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype('f')


@pytest.mark.parametrize('number', [1, 2, 3, 8])
def test_results_hardly_depend_on_the_number_of_threads_and_never_on_chance(number):
    """Work may be cut, and sums so rounded, by the number of threads; who takes which piece makes no difference."""
    x, weight, window = draw(0, 3, 35, 21, 22), draw(1, 37, 35, 3, 3), Window(3, 1, 1)
    gy, a, b = draw(2, 3, 37, 21, 22), draw(3, 70, 1500), draw(4, 1500, 90)

    def compute():
        return [fast.conv2d(x, weight, None, window), fast.conv2d_data_grad(gy, weight, (21, 22), window),
                fast.conv2d_weight_grad(x, gy, window), fast.matmul(a, b), fast.softmax(b, 1),
                *fast.batch_norm(x, x[0, :, 0, 0], x[0, :, 0, 1], 1e-5)]

    with using_config('threads', 1):
        alone = compute()
    with using_config('threads', number):
        assert threads.count() == number
        first = compute()
        for _ in range(3):
            for y, again in zip(first, compute(), strict=True):
                np.testing.assert_array_equal(y, again)
    for y, expected in zip(first, alone, strict=True):
        np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_several_threads_compute_at_once_and_each_as_if_alone():
    assert python("""
inputs = [draw(seed, 4, 32, 40, 40) for seed in range(4)]
expected = [compute(x) for x in inputs]
wrong = []

def work(i):
    for _ in range(8):
        if not same(compute(inputs[i]), expected[i]):
            wrong.append(i)

workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
for worker in workers: worker.start()
for worker in workers: worker.join()
print(wrong)
""") == '[]'


def test_the_first_calls_may_come_from_several_threads_at_once():
    """Kernels are compiled, or read from the cache, and the helpers called, while others want the same."""
    assert python("""
found, ready = [None] * 4, threading.Barrier(4)

def work(i):
    ready.wait()
    found[i] = compute()

workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
for worker in workers: worker.start()
for worker in workers: worker.join()
print(all(same(y, compute()) for y in found), helpers())
""") == 'True 1'


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='no fork here')
def test_forked_children_compute_and_the_parent_goes_on():
    assert python("""
import multiprocessing
expected = compute()

def work(queue):
    close = [np.abs(y - want).max() < 1e-5 * np.abs(want).max() for y, want in zip(compute(), expected, strict=True)]
    queue.put((all(close), helpers()))

context = multiprocessing.get_context('fork')
queue = context.Queue()
children = [context.Process(target=work, args=(queue,)) for _ in range(3)]
for child in children: child.start()
goes_on = same(compute(), expected)
print(*sorted(queue.get(timeout=60) for _ in children), goes_on)
for child in children: child.join()
print([child.exitcode for child in children])
""") == '(True, 0) (True, 0) (True, 0) True [0, 0, 0]'


@pytest.mark.parametrize('first', ['torch', 'nailorch'])
def test_pytorch_computes_in_the_same_process(first):
    """Its threads and ours, in turn and at once: both right."""
    pytest.importorskip('torch')
    assert python(f"""
if '{first}' == 'nailorch':
    compute()
import torch
torch.set_num_threads(2)
tx, tw = torch.tensor(x), torch.tensor(weight)
theirs = torch.nn.functional.conv2d(tx, tw, padding=1).numpy()
ours = compute()
print(np.allclose(ours[0], theirs, rtol=1e-4, atol=1e-3))
right = []

def torch_works():
    for _ in range(20):
        y = torch.nn.functional.conv2d(tx, tw, padding=1).numpy()
        right.append(np.allclose(y, theirs, atol=1e-4))

other = threading.Thread(target=torch_works)
other.start()
for _ in range(20):
    right.append(same(compute(), ours))
other.join()
print(all(right), len(right))
""", OMP_NUM_THREADS='2') == 'True True 40'


def test_a_job_runs_on_no_more_threads_than_it_has_room_for(monkeypatch):
    seen = []
    helpers = SimpleNamespace(lead=lambda function, job, workers, asked: seen.append((workers, asked)) or 0)
    monkeypatch.setattr(threads, 'helpers', lambda: helpers)
    with using_config('threads', 3):
        for most in (2, 3, 100):
            threads.run(SimpleNamespace(address=0), (), most)
    assert seen == [(2, 3), (3, 3), (3, 3)]


@pytest.mark.skipif(not hasattr(os, 'sched_setaffinity'), reason='this system does not tell where threads may run')
@pytest.mark.parametrize('number', [2, 4])
def test_helpers_are_woken_elsewhere_and_may_run_where_they_might_before(number):
    """Each sleeps now and then; one has been told by the user where to run."""
    assert python("""
expected = compute()
helpers = [thread.native_id for thread in threading.enumerate() if thread.name.startswith('nailorch-')]
everywhere, one = os.sched_getaffinity(0), {max(os.sched_getaffinity(0))}
os.sched_setaffinity(helpers[0], one)
right = []
for _ in range(50):
    time.sleep(0.002)
    right.append(same(compute(), expected))
print(all(right), [os.sched_getaffinity(helper) for helper in helpers] == [one] + [everywhere] * (len(helpers) - 1),
      os.sched_getaffinity(0) == everywhere, len(helpers))
""", NAILORCH_NUM_THREADS=f'{number}') == f'True True True {number - 1}'


@pytest.mark.skipif(not hasattr(os, 'sched_setaffinity'), reason='this system does not tell where threads may run')
def test_helpers_that_may_run_nowhere_else_stay_where_their_leader_is():
    """At every job they are found there, and sent elsewhere in vain."""
    assert python("""
expected, one = compute(), {max(os.sched_getaffinity(0))}
helpers = [thread.native_id for thread in threading.enumerate() if thread.name.startswith('nailorch-')]
for thread in (0, *helpers):
    os.sched_setaffinity(thread, one)
right = [same(compute(), expected) for _ in range(100)]
print(all(right), [os.sched_getaffinity(thread) for thread in (0, *helpers)] == [one] * 3)
""", NAILORCH_NUM_THREADS='3') == 'True True'


@pytest.mark.parametrize('number', [1, 2, 4])
def test_what_a_worker_raises_reaches_the_caller_and_the_next_job_is_done(number):
    assert python("""
from types import SimpleNamespace
from numba import types
from nailorch.kernels.fast import jit, threads
from nailorch.kernels.fast.emit import peek, take
from nailorch.kernels.fast.memory import address

def work(number, job):
    while True:
        piece = take(job + 8)
        if piece >= 1000:
            return
        if piece == peek(job + 16):
            np.empty(1 << 60, np.uint8)
        if piece == peek(job + 24):
            raise ValueError('no such piece')

routine, expected = jit.compiled(work, types.void(types.int64, types.int64), keep=False), compute()
errors = []
for bad in range(0, 1000, 20):
    for places in ((bad, -1), (-1, bad), (-1, -1)):
        try:
            threads.run(routine, places)
        except (MemoryError, ValueError) as error:
            errors.append(type(error).__name__ + ': ' + str(error))
print(len(errors), *sorted(set(errors)), '/', same(compute(), expected), helpers())
""", NAILORCH_NUM_THREADS=f'{number}') == (
        f'100 MemoryError: Allocation failed (probably too large). ValueError: no such piece / True {number - 1}')


def test_ctrl_c_between_any_two_instructions_leaves_helpers_that_help():
    """The whole of a call is interrupted before each of its instructions, where helpers come, stay and go home."""
    assert python("""
from nailorch.kernels.fast import threads
threads.PROCESSORS = 2
expected, interrupted, engaged = compute(), 0, []

def interrupt_at(place):
    seen = 0
    def trace(frame, event, argument):
        nonlocal seen
        if frame.f_code.co_filename != threads.__file__:
            return None
        frame.f_trace_opcodes = True
        if event == 'opcode':
            seen += 1
            if seen == place:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace
    return trace

def small(number):
    with nailorch.using_config('threads', number):
        return fast.relu(x)

for number in (2, 3, 2):  # stay; come; go home
    for place in range(1, 10000):
        small({2: 3, 3: 2}[number] if place % 2 else number)
        sys.settrace(interrupt_at(place))
        try:
            small(number)
            break
        except KeyboardInterrupt:
            interrupted += 1
        finally:
            sys.settrace(None)
        with nailorch.using_config('threads', number):
            helper = threads.helpers()
            assert np.array_equal(fast.relu(x), np.maximum(x, 0))
        assert threads.word_at(helper.board.at + threads.BUSY) == 0
        assert not helper.leaving and len(helper.threads) == number - 1
print(interrupted > 100, same(compute(), expected))
""") == 'True True'
