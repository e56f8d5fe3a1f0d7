"""Random calls of every kernel for as long as one likes: results right, no memory touched that is not theirs.

    scripts/soak 10            for ten minutes, from a seed that is printed
    scripts/soak 0.1 --seed 3  for six seconds, from this one

Inputs end right before a page that may not be read, or begin right behind one, so that a kernel that reads beyond them
ends the process. Every other call's results lie between poisoned margins, which are looked at afterwards.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import faulthandler
import mmap
import time
from collections import Counter
from pathlib import Path
from unittest import mock

import numpy as np

from nailorch.config import using_config
from nailorch.kernels import fast, reference
from nailorch.kernels.fast import memory
from nailorch.shapes import Window

PAGE, MARGIN, POISON = mmap.PAGESIZE, 4096, 255  # poison read as a number is NaN
CLOSE = 3e-5  # of the result's size if nothing cancelled: 1200 terms' roundings as a random walk, and Winograd's factor


def guarded(array, at_end):
    """Return a copy in memory of its own that ends at a forbidden page, or begins behind one."""
    size = -(-max(array.nbytes, 1) // PAGE) * PAGE
    room = mmap.mmap(-1, size + 2 * PAGE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(room))
    for page in (start, start + PAGE + size):
        assert ctypes.CDLL(None, use_errno=True).mprotect(ctypes.c_void_p(page), PAGE, 0) == 0
    steps = np.argsort(array.strides)[::-1]  # the same memory order, without gaps
    inside = np.frombuffer(room, array.dtype, array.size, PAGE + (size - array.nbytes if at_end else 0))
    copy = inside.reshape([array.shape[i] for i in steps]).transpose(np.argsort(steps))
    copy[...] = array
    return copy


@contextlib.contextmanager
def margins():
    """Put poison around every block that kernels write to, and see that it is still there afterwards."""
    blocks = []

    def take(size):
        raw = np.full(size + 2 * MARGIN, POISON, np.uint8)
        blocks.append(raw)
        return raw[MARGIN:-MARGIN]

    with mock.patch.object(memory.POOL, 'take', take), mock.patch.object(memory.POOL, 'least', 0), \
            mock.patch.object(memory, 'LARGE', 0):
        yield
    for raw in blocks:
        assert (raw[:MARGIN] == POISON).all() and (raw[-MARGIN:] == POISON).all(), 'written outside'


class Soak:
    """One random call after the other."""

    def __init__(self, seed):
        self.rng, self.calls = np.random.default_rng(seed), Counter()

    def number(self, least, most):
        """Return a number in between, the small ones more often."""
        return int(least + (most - least) * self.rng.random()**2)

    def images(self, *shape):
        """Return random images, their memory in C order or channels last."""
        x = self.rng.standard_normal(shape).astype('f')
        if len(shape) == 4 and self.rng.random() < 0.6:
            x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        return x

    def window(self, most=5):
        kernel = [self.number(1, most) for _ in '12']
        if self.rng.random() < 0.4:
            return Window(3, 1, self.number(0, 2))
        return Window(tuple(kernel), tuple(self.number(1, 3) for _ in '12'), tuple(self.number(0, k) for k in kernel),
                      tuple(self.number(1, 3) for _ in '12'))

    def convolution(self):
        window = self.window()
        H, W = (self.number(max(k - sum(p), 1), 40) for k, p in zip(window.spread, window.pad, strict=True))
        groups = int(self.rng.choice([1, 1, 1, 2, 5]))
        C, OC = (groups * self.number(1, 130 // groups) for _ in '12')
        if self.rng.random() < 0.2:
            groups = OC = C
        N = self.number(1, 5)
        x, weight = self.images(N, C, H, W), self.images(OC, C // groups, *window.kernel_size)
        gy = self.images(N, OC, *window.outsize((H, W)))
        bias = self.images(OC) if self.rng.random() < 0.5 else None
        return [('conv2d', [x, weight, bias, window, groups]),
                ('conv2d_data_grad', [gy, weight, (H, W), window, groups]),
                ('conv2d_weight_grad', [x, gy, window, groups]),
                ('fused_conv2d', [x, weight, bias, window, groups, self.rng.choice(['', 'relu', 'relu6'])])]

    def pooling(self):
        kernel = tuple(self.number(1, 5) for _ in '12')
        size = tuple(self.number(k, 40) for k in kernel)
        pad = tuple(self.number(0, k - 1) for k in kernel)
        window = Window(kernel, tuple(self.number(1, 4) for _ in '12'), pad).on(size)
        places = window.outsize(size)
        x = self.images(self.number(1, 4), self.number(1, 70), *size)
        y, index = reference.max_pool(x, window)
        gy = self.images(*y.shape)
        return [('max_pool', [x, window]), ('max_pool_gather', [x, index, window]),
                ('max_pool_scatter', [gy, index, size, window]), ('average_pool', [x, window, np.full(places, 3)]),
                ('average_pool_grad', [gy, size, window, np.full(places, 3)])]

    def dense(self):
        M, K, N = self.number(1, 150), self.number(1, 1500), self.number(1, 300)
        x, weight = self.images(M, K), self.images(K, N)
        return [('matmul', [x, weight]), ('linear', [x, weight, self.images(N)]),
                ('matmul', [x, self.images(N, K).T]), ('softmax', [x, 1]), ('log_softmax', [x, 1])]

    def others(self):
        x = self.images(self.number(1, 6), self.number(1, 130), self.number(2, 40), self.number(1, 40))
        gy, C = self.images(*x.shape), x.shape[1]
        mean, var = reference.batch_norm(x, np.ones(C, 'f'), np.ones(C, 'f'), 1e-3)[1:]
        gamma, beta, either = self.images(C), self.images(C), np.empty_like(x)
        either[...] = gy
        return [('batch_norm', [x, gamma, beta, 1e-3]), ('batch_norm_grad', [x, gamma, beta, gy, mean, var, 1e-3]),
                ('relu', [x]), ('relu_grad', [x, gy]), ('select', [either > 0, x, either]),
                ('elementwise', [np.add, x, either]), ('scale_channels', [x, mean, gamma, beta, 'relu', gy])]

    def updates(self):
        sizes = [self.number(1, 3000) for _ in range(self.number(1, 6))]
        p, g, m, s = ([np.abs(self.images(size)) for size in sizes] for _ in '1234')
        return [('sgd_update', [p, g, 0.1]), ('momentum_update', [p, g, m, 0.1, 0.9, True]),
                ('adam_update', [p, g, m, s, [3] * len(p), 0.01, 0.9, 0.999, 1e-8, 0.1])]

    def turn(self):
        """Make one random group of calls."""
        kinds = [self.convolution, self.convolution, self.pooling, self.dense, self.others, self.updates]
        make = kinds[self.rng.integers(len(kinds))]
        mode, threads = self.rng.choice(['fast', 'accurate', 'off']), int(self.rng.choice([1, 2, 3]))
        with using_config('winograd', mode), using_config('threads', threads):
            for name, args in make():
                with margins() if self.rng.random() < 0.5 else contextlib.nullcontext():
                    self.check(name, args)
                self.calls[name] += 1

    def check(self, name, args):
        """Call a kernel on guarded copies; its results are the reference's, and what it only reads is left alone."""
        at_end = self.rng.random() < 0.7

        def each(change):
            return [[change(a) for a in arg] if isinstance(arg, list) and isinstance(arg[0], np.ndarray) else
                    change(arg) if isinstance(arg, np.ndarray) else arg for arg in args]

        mine = each(lambda a: guarded(a, at_end))
        exact = each(lambda a: a.astype('d') if a.dtype == np.float32 else a.copy())
        size = each(lambda a: np.abs(a.astype('d')) if a.dtype == np.float32 else a.copy())
        got = getattr(fast, name)(*mine)
        if name.endswith('update'):
            getattr(reference, name)(*exact)
            pairs = [(a, b, 1 + np.abs(b).max()) for of, to in zip(mine, exact, strict=True) if isinstance(of, list)
                     for a, b in zip(of, to, strict=True) if isinstance(a, np.ndarray)]
        else:
            want, most = getattr(reference, name)(*exact), getattr(reference, name)(*size)
            if name == 'fused_conv2d':
                most = reference.conv2d(*size[:5])  # before an activation clips it
            pairs = [(a, b, max(1, np.abs(b).max(), np.abs(c).max() if name.startswith(('conv', 'fused', 'mat', 'lin'))
                                else np.abs(b).max() * 10))
                     for a, b, c in zip(*(r if isinstance(r, tuple) else (r,) for r in (got, want, most)), strict=True)]
            for before, after in zip(args, mine, strict=True):
                assert not isinstance(before, np.ndarray) or np.array_equal(before, after), 'an input was changed'
        for a, b, scale in pairs:
            assert a.shape == b.shape
            error = np.abs(a - b).max(initial=0)
            assert error <= CLOSE * scale, f'{name}: off by {error} where {scale} is usual'


def resident():
    """Return the megabytes of memory that this process holds."""
    return int(Path('/proc/self/statm').read_text().split()[1]) * PAGE / 1e6


def main():
    parser = argparse.ArgumentParser(description='random calls of every kernel')
    parser.add_argument('minutes', type=float)
    parser.add_argument('--seed', type=int, default=None)
    options = parser.parse_args()
    faulthandler.enable()
    seed = int(time.time()) if options.seed is None else options.seed
    print('seed', seed, flush=True)
    soak, end, held = Soak(seed), time.monotonic() + 60 * options.minutes, []
    while time.monotonic() < end or not held:
        soak.turn()
        held.append(resident())
    third = len(held) // 3 + 1
    early, late = max(held[third:2 * third], default=held[-1]), max(held[2 * third:], default=held[-1])
    print(f'{sum(soak.calls.values())} calls of {len(soak.calls)} kernels, all right; '
          f'{early:.0f} MB at most in the second third, {late:.0f} MB in the last')
    assert late < 1.2 * early + 32, 'memory grows'


if __name__ == '__main__':
    main()
