"""The machine's twin, which does at once what it is asked for, in NumPy: for tiny shapes, without a compiler."""

from __future__ import annotations

import ctypes

import numpy as np

from nailorch.kernels.fast.machine import ODD, SIZE, WHOLE
from nailorch.kernels.fast.target import LANES


class Interpreter:
    """Performs at once what a Machine would write down: the twin of every kernel, for tiny shapes."""

    def memory(self, address, count, kind=ctypes.c_float):
        return np.ctypeslib.as_array((kind * count).from_address(address))

    def splat(self, value):
        return np.full(LANES, value, np.float32)

    def word(self, address):
        return int(self.memory(address, 1, ctypes.c_int64)[0])

    def load(self, address):
        return self.memory(address, LANES).copy()

    def store(self, address, vector):
        self.memory(address, LANES)[:] = vector

    stream = store

    def load_part(self, address, count):
        vector, count = self.splat(0), max(0, min(count, LANES))
        vector[:count] = self.memory(address, count)
        return vector

    def store_part(self, address, vector, count):
        count = max(0, min(count, LANES))
        self.memory(address, count)[:] = vector[:count]

    def broadcast(self, address):
        return self.splat(self.memory(address, 1)[0])

    def move(self, source, out):
        self.memory(out, 1)[0] = self.memory(source, 1)[0]

    def put(self, address, vector):
        self.memory(address, 1)[0] = vector[0]

    def words(self, value):
        return np.full(LANES // 2, value, np.uint64)

    def prefetch(self, address):
        """Fetch nothing ahead: it would change no number."""

    def load_words(self, address):
        return self.memory(address, LANES // 2, ctypes.c_uint64).copy()

    def store_words(self, address, words):
        self.memory(address, SIZE, ctypes.c_uint8)[:] = words.view(np.uint8)

    def mix(self, a, b):
        both = a ^ b
        return (both << np.uint64(29) | both >> np.uint64(35)) * np.uint64(ODD)

    def poke(self, address, value):
        self.memory(address, 1, ctypes.c_int64)[0] = value

    def add(self, address, number):
        word = self.memory(address, 1, ctypes.c_int64)
        word[0] += number
        return int(word[0]) - number

    def take(self, counter):
        return self.add(counter, 1)

    def fma(self, a, b, c):
        return (np.multiply(a, b, dtype=np.float64) + c).astype(np.float32)

    def below(self, a, b, then, other):
        return np.where(a < b, then, other)

    def transpose(self, rows):
        return list(np.array(rows).T)

    def shuffle(self, a, b, order):
        return np.concatenate([a, b])[order]

    def finite(self, a):
        return int(np.isfinite(a).all())

    def beats(self, a, b):
        return ~(a <= b) & (b == b)

    def choose(self, mask, a, b):
        return np.where(mask, a, b)

    def first(self, count):
        return np.arange(LANES) < count

    def ints(self, number):
        return np.full(LANES, number, np.int32)

    def equal(self, a, b):
        return a == b

    def load_bytes(self, address, count=LANES):
        ints = self.ints(0)
        ints[:count] = self.memory(address, count, ctypes.c_uint8)
        return ints

    def store_bytes(self, address, ints, count=LANES):
        self.memory(address, count, ctypes.c_uint8)[:] = ints[:count]

    def sqrt(self, a):
        return np.sqrt(a)

    def turned(self, a, step):
        return a[np.arange(LANES) ^ step]

    def two_to(self, a):
        return np.ldexp(np.float32(1), np.nan_to_num(a - np.float32(WHOLE)).astype(np.int32))

    def parted(self, a):
        f, e = np.frexp(a)
        return (e - 1).astype(np.float32), 2 * f

    def double(self, a):
        return a.astype(np.float64)

    def single(self, a):
        return a.astype(np.float32)

    def load_doubles(self, address):
        return self.memory(address, LANES, ctypes.c_double).copy()

    def store_doubles(self, address, doubles):
        self.memory(address, LANES, ctypes.c_double)[:] = doubles

    def when(self, flag, body, *carried):
        return list(body(*carried) or ()) if flag else list(carried)

    def loop(self, count, body, *carried):
        for i in range(count):
            carried = body(i, *carried) or ()
        return list(carried)
