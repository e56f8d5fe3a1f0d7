"""The engine around the kernels: its cache, its threads, its twin without a compiler."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('numba')

import nailorch
from nailorch.kernels.fast import memory, packs, target, transforms

pytestmark = pytest.mark.skipif(target.target() is None, reason='this CPU has no fused multiply-add')

DEPTHWISE = """
import numpy as np
from nailorch.kernels import fast
from nailorch.shapes import Window
x, weight = np.arange(64, dtype='f').reshape(1, 4, 4, 4), np.ones((4, 1, 1, 1), 'f')
print(fast.conv2d(x, weight, None, Window(1), 4).sum())
"""


def python(code, src=None, **variables):
    """Run code in another process, against another copy of the package if one is given; return what it prints."""
    path = {'PYTHONPATH': str(src)} if src else {}
    done = subprocess.run([sys.executable, '-c', code], env={**os.environ, **path, **variables}, capture_output=True,
                          text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_editing_any_source_leaves_no_stale_kernel(tmp_path):
    package = tmp_path / 'nailorch'
    shutil.copytree(Path(nailorch.__file__).parent, package, ignore=shutil.ignore_patterns('__pycache__'))
    cache = {'src': tmp_path, 'NUMBA_CACHE_DIR': str(tmp_path / 'cache')}
    assert python(DEPTHWISE, **cache) == '2016.0'
    kept = set((tmp_path / 'cache').rglob('*.nbc'))
    assert kept and python(DEPTHWISE, **cache) == '2016.0'
    assert set((tmp_path / 'cache').rglob('*.nbc')) == kept  # the second run compiled nothing
    source = package / 'kernels' / 'fast' / 'machine.py'
    before = source.read_text()
    source.write_text(before.replace('self.constant(b, VECTOR), c.ir)', 'self.constant(b, VECTOR), a.ir)'))  # a*b + a
    assert source.read_text() != before
    assert python(DEPTHWISE, **cache) == '4032.0'


def test_kernels_have_a_twin_that_needs_no_compiler():
    code = """
import numpy as np
from nailorch.kernels import fast, reference
from nailorch.shapes import Window
draw = lambda *shape: np.random.default_rng(0).standard_normal(shape).astype('f')
shapes = ((18, 33, 3, 1, 1), (3, 5, 3, 2, 1), (3, 17, 3, 2, 1), (17, 5, 3, 2, 1),
          (4, 4, 3, 2, 4), (4, 4, 3, 1, 4), (8, 8, 3, 2, 2))
for C, OC, kernel, stride, groups in shapes:
    window, size = Window(kernel, stride, 1), (12, 12) if C == 18 else (5, 8)
    x, weight = draw(1, C, *size), draw(OC, C // groups, kernel, kernel)
    gy = draw(1, OC, *window.outsize(size))
    for name, args in (('conv2d', (x, weight, draw(OC), window, groups)),
                       ('conv2d_data_grad', (gy, weight, size, window, groups)),
                       ('conv2d_weight_grad', (x, gy, window, groups))):
        with fast.watch() as log:
            np.testing.assert_allclose(getattr(fast, name)(*args), getattr(reference, name)(*args), atol=1e-4)
        print(log[0][1])
    for added, pooled in ((gy, False), (None, True)):
        args = x, weight, draw(OC), window, groups, 'relu6', added, pooled
        np.testing.assert_allclose(fast.fused_conv2d(*args), reference.fused_conv2d(*args), atol=1e-4)
layers = [(draw(*shape), draw(shape[0]), 'relu6') for shape in ((9, 2, 1, 1), (9, 1, 3, 3), (5, 9, 1, 1))]
block = draw(1, 2, 5, 4), *layers, Window(3, 1, 1)
np.testing.assert_allclose(fast.fused_bottleneck(*block), reference.fused_bottleneck(*block), atol=1e-5)
line = x, x[0, :, 2, 0], x[0, :, 0, 0], x[0, :, 1, 0], 'relu', x
np.testing.assert_allclose(fast.scale_channels(*line), reference.scale_channels(*line), atol=1e-6)
"""
    served = python(code, NUMBA_DISABLE_JIT='1').split()
    sums = 'few' if target.REGISTERS == 32 else 'gemm'
    first = ['few', 'blocks' if target.LANES == 16 else 'gemm', sums]
    coloured = ['few', 'dots', sums]
    assert served == ['winograd4'] * 3 + first + coloured + ['gemm'] * 3 + ['depthwise'] * 6 + ['grouped'] * 3


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='no fork here')
def test_a_forked_child_computes_too():
    assert python(DEPTHWISE + """
import os
child = os.fork()
if child == 0:
    os._exit(0 if fast.conv2d(x, weight, None, Window(1), 4).sum() == 2016 else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
""", NAILORCH_NUM_THREADS='2').split() == ['2016.0', '0']


def test_importing_the_package_does_not_import_numba():
    assert python("import sys, nailorch; print('numba' in sys.modules)") == 'False'


def test_cook_toom_computes_short_convolutions_exactly():
    BT, G, AT = (np.array(matrix) for matrix in transforms.cook_toom(['0', '3/4', '-3/4', '3/2', '-3/2']))
    d, g = np.array([Fraction(n) for n in (3, 1, 4, 1, 5, 9)]), np.array([Fraction(n) for n in (2, 6, 5)])
    np.testing.assert_array_equal(AT @ ((G @ g) * (BT @ d)), [(d[i:i + 3] * g).sum() for i in range(4)])


def test_one_point_less_makes_tiles_one_smaller_with_the_same_filters():
    points = ['0', '3/4', '-3/4', '3/2', '-3/2']
    G, (BT, AT) = np.array(transforms.cook_toom(points)[1]), map(np.array, transforms.without_0(points))
    d, g = np.array([Fraction(n) for n in (3, 1, 4, 1, 5)]), np.array([Fraction(n) for n in (2, 6, 5)])
    np.testing.assert_array_equal(AT @ ((G @ g)[1:] * (BT @ d)), [(d[i:i + 3] * g).sum() for i in range(3)])


def test_matrices_of_tiles_are_exact_in_float32():
    points = ['0', '3/4', '-3/4', '3/2', '-3/2']
    (BT, _, AT), smaller = transforms.cook_toom(points), transforms.without_0(points)
    assert all(Fraction(float(np.float32(float(c)))) == c
               for matrix in (BT, AT, *smaller) for row in matrix for c in row)


def test_a_block_returns_to_the_pool_when_its_last_view_is_gone():
    count = 1 << 20
    first = memory.floats(count)
    place, view = memory.address(first), first[5:]
    del first
    other = memory.floats(count)
    assert memory.address(other) != place
    del view
    assert memory.address(memory.floats(count)) == place


def test_neighbours_that_are_free_serve_for_one_larger_block(monkeypatch):
    monkeypatch.setattr(memory, 'STRETCH', 1 << 22)
    pool, part = memory.Pool(), 1 << 20
    blocks = [pool.take(part) for _ in range(4)]
    places = [memory.address(block) for block in blocks]
    assert places == [places[0] + i * part for i in range(4)]
    for i in (0, 2, 1):  # the last joins what is free on both sides
        pool.give_back(blocks[i])
    larger = pool.take(3 * part)
    assert memory.address(larger) == places[0] and len(pool.stretches) == 1
    assert memory.address(pool.take(part)) not in places and len(pool.stretches) == 2
    pool.give_back(larger)
    pool.give_back(blocks[3])
    pool.clear()
    assert len(pool.stretches) == 1  # one is still in use
    assert pool.take(2 << 22).size == 2 << 22  # more than a stretch


def test_results_that_grow_from_call_to_call_do_not_pile_up_in_the_pool(monkeypatch):
    monkeypatch.setattr(memory, 'STRETCH', 1 << 20)
    pool = memory.Pool()
    for size in range(2 << 20, 7 << 20, 1 << 20):
        pool.give_back(pool.take(size))
    assert [stretch.memory.size for stretch in pool.stretches] == [6 << 20]


def test_memory_that_thousands_of_blocks_did_without_goes_back_to_the_system(monkeypatch):
    monkeypatch.setattr(memory, 'IDLE', 30)
    monkeypatch.setattr(memory, 'STRETCH', 4 * memory.LARGE)
    pool = memory.Pool()

    def use(count):
        taken = [pool.take(memory.LARGE) for _ in range(count)]
        for raw in taken:
            pool.give_back(raw)

    for _ in range(10):
        use(12)
        use(5)
        assert len(pool.stretches) == 3  # a peak that comes back keeps its memory
    for _ in range(60):
        use(1)
    assert len(pool.stretches) == 1


def test_where_memory_is_lacking_that_is_the_only_error(monkeypatch):
    others = []
    monkeypatch.setattr(sys, 'unraisablehook', others.append)
    with pytest.raises(MemoryError):
        memory.floats(1 << 45)
    assert not others


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='no fork here')
def test_a_child_forked_while_another_thread_takes_memory_gets_its_own():
    assert python("""
import os, signal
from nailorch.kernels.fast import memory
with memory.POOL.lock:
    child = os.fork()
    if not child:
        signal.alarm(20)
        os._exit(memory.floats(1 << 20).size == 1 << 20)
print(os.waitpid(child, 0)[1] >> 8)
""") == '1'


def test_blocks_of_several_threads_never_overlap():
    def work(seed):
        rng, held = np.random.default_rng(seed), []
        for _ in range(300):
            array = memory.floats(int(rng.integers(1 << 16, 1 << 19)))
            array[[0, -1]] = seed
            held.append(array)
            if len(held) > 8:
                lost = held.pop(int(rng.integers(8)))
                assert lost[0] == lost[-1] == seed
        return sum(array[0] == array[-1] == seed for array in held)

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(work, range(1, 5))) == [8] * 4


def test_a_fingerprint_sees_every_bit_and_every_exchange():
    weight = np.random.default_rng(0).standard_normal((37, 5, 3, 3)).astype('f')
    before, flat = packs.fingerprint(weight), weight.reshape(-1)
    bits = flat.view(np.uint32)
    for i in range(0, flat.size, 13):
        for bit in (0, 15, 31):
            bits[i] ^= np.uint32(1 << bit)
            assert packs.fingerprint(weight) != before
            bits[i] ^= np.uint32(1 << bit)
    weight *= -1
    assert packs.fingerprint(weight) != before
    weight *= -1
    assert packs.fingerprint(weight) == before
    flat[[100, 612]] = flat[[612, 100]]
    assert packs.fingerprint(weight) != before


def test_helpers_share_the_work_and_wake_for_it():
    assert python("""
import time
from types import SimpleNamespace
import numpy as np
from numba import types
from nailorch.kernels.fast import threads
from nailorch.kernels.fast.emit import peek, poke, take
from nailorch.kernels.fast.jit import compiled
from nailorch.kernels.fast.memory import address

def sign(number, job):
    while True:
        piece = take(job + 8)
        if piece >= peek(job + 24):
            return
        for i in range(2000):
            poke(peek(job + 16) + 8 * piece, number + 1)

sign = compiled(sign, types.void(types.int64, types.int64), keep=False)
who, seen = np.zeros(5000, np.int64), set()
for pause in (0, 0.05):  # the helper is awake, and asleep
    time.sleep(pause)
    here = set()
    for _ in range(200):
        who[:] = 0
        threads.run(SimpleNamespace(address=sign.address), (address(who), len(who)))
        assert who.all()
        here |= set(who.tolist())
    seen |= {(pause, *sorted(here))}
print(sorted(seen))
""", NAILORCH_NUM_THREADS='2') == '[(0, 1, 2), (0.05, 1, 2)]'


def test_who_finds_the_helpers_busy_works_alone():
    assert python("""
from nailorch.kernels.fast import threads
import numpy as np
from nailorch.kernels import fast
x = np.ones((256, 256), 'f')
expected = fast.matmul(x, x)
threads.poke_word(threads.helpers().board.at + threads.BUSY, 1)
print((fast.matmul(x, x) == expected).all(), threads.helpers().lead(0, 0, 2, 2) == threads.ENGAGED)
""", NAILORCH_NUM_THREADS='2') == 'True True'


def test_a_packed_copy_is_kept_from_the_third_time_on_until_the_weights_change():
    weight, made = np.ones((16, 16), 'f'), []

    def times(n):
        made.clear()
        for _ in range(n):
            packs.packed('test', weight, lambda: made.append(1) or weight.copy())
        return len(made), packs.packed_bytes(weight)

    assert times(2) == (2, 0)
    assert times(3) == (1, weight.nbytes)
    weight[3, 4] = 2
    assert times(1) == (1, 0)
    assert times(5) == (2, weight.nbytes)


def test_all_other_kernels_have_such_a_twin():
    code = """
import numpy as np
from nailorch.kernels import fast, reference
from nailorch.shapes import Window
draw = lambda *shape: np.random.default_rng(0).standard_normal(shape).astype('f')
x, gy, ones, window = draw(2, 3, 5, 6), draw(2, 3, 2, 3), np.ones(3, 'f'), Window(2, 2).on((5, 6))
index, count = reference.max_pool(x, window)[1], np.full((2, 3), 4)
mean, var = reference.batch_norm(x, ones, ones, 1e-5)[1:]
calls = {'max_pool': (x, window), 'max_pool_scatter': (gy, index, (5, 6), window),
         'max_pool_gather': (x, index, window), 'average_pool': (x, window, count),
         'average_pool_grad': (gy, (5, 6), window, count), 'matmul': (draw(7, 19), draw(19, 18)),
         'linear': (draw(2, 19), draw(19, 5), draw(5)), 'softmax': (draw(3, 19), 1), 'log_softmax': (draw(3, 19), 1),
         'select': (x > 0, x, x), 'relu': (x,), 'relu_grad': (x, x), 'batch_norm': (x, ones, ones, 1e-5),
         'batch_norm_grad': (x, ones, ones, x, mean, var, 1e-5)}
for name, args in calls.items():
    with fast.watch() as log:
        got = getattr(fast, name)(*args)
    assert [kernel for _, kernel in log if kernel != 'reference'], name
    expected = getattr(reference, name)(*args)
    for y, want in zip(*((r if isinstance(r, tuple) else (r,)) for r in (got, expected)), strict=True):
        np.testing.assert_allclose(y, want, rtol=1e-4, atol=1e-5, err_msg=name)
p, q, g = draw(5, 4), draw(5, 4), draw(5, 4)
fast.sgd_update([p], [g], 0.1)
np.testing.assert_allclose(p, q - np.float32(0.1) * g, rtol=1e-5)
print('all')
"""
    assert python(code, NUMBA_DISABLE_JIT='1') == 'all'


def test_what_lies_between_the_convolutions_needs_no_compiler_either():
    code = """
import numpy as np
from nailorch.kernels import fast, reference
from nailorch.shapes import Window
draw = lambda *shape: np.random.default_rng(0).standard_normal(shape).astype('f')
fast.SMALL = fast.FEW = 0
window, x, rows, target = Window(2, 2).on((4, 6)), draw(2, 17, 4, 6), draw(5, 19), np.array([0, 18, 7, 3, 3])
x[0, 0, 0, 1] = np.nan
y, index = reference.max_pool(x, window)
for name, args in (('relu', (x,)), ('relu_grad', (draw(3, 20), draw(3, 20))), ('elementwise', (np.add, x, x)),
                   ('sum_over', (draw(2, 3, 5, 4), (0, 2, 3))), ('scale_channels', (x, *draw(3, 17))),
                   ('max_pool', (x, window)), ('max_pool_scatter', (y, index, (4, 6), window)),
                   ('cross_entropy', (rows, target)), ('cross_entropy_grad', (rows, target, draw(5)))):
    with fast.watch() as log:
        got, want = getattr(fast, name)(*args), getattr(reference, name)(*args)
    for a, b in zip(*([v] if isinstance(v, np.ndarray) else v for v in (got, want)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    print(log[0][1])
"""
    assert python(code, NUMBA_DISABLE_JIT='1').split() == \
        ['pointwise'] * 3 + ['normalization'] * 2 + ['pools'] * 2 + ['rows'] * 2
