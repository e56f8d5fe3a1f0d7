"""A language for vector code: bodies written in Python, once, become LLVM instructions inside a jitted function.

    @kernel
    def add_row(m, x, y, count):                       # m is the machine; the rest are integers: addresses and counts
        def step(i):
            m.store(y + 64 * i, m.load(x + 64 * i) + m.load(y + 64 * i))
        m.loop(count, step)

`add_row(x, y, count)` can then be called by any @njit function. The body runs when that is compiled, on a `Machine`:
each operation it asks for is appended to LLVM's instructions. Under NUMBA_DISABLE_JIT=1 the same body runs on an
`Interpreter`, which performs the operations at once, in NumPy; this is the only file that knows the difference.
"""

from __future__ import annotations

import ctypes
import inspect

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

from nailorch.kernels.fast.target import LANES

FLOAT, WORD, BIT = ir.FloatType(), ir.IntType(64), ir.IntType(1)
LONGS = ir.VectorType(WORD, LANES // 2)  # as wide as a vector of numbers
INTS, BYTES = ir.VectorType(ir.IntType(32), LANES), ir.VectorType(ir.IntType(8), LANES)  # one a lane
DOUBLES = ir.VectorType(ir.DoubleType(), LANES)  # twice as wide
VECTOR, MASK, WORDS = ir.VectorType(FLOAT, LANES), ir.VectorType(BIT, LANES), ir.VectorType(WORD, LANES)
SIZE = 4 * LANES  # bytes of a vector
ODD = 0x9E3779B185EBCA87  # any odd number whose bits look random
WHOLE = 1.5 * 2**23  # x + WHOLE is WHOLE plus the integer nearest to x, which stands in its last bits


class Value:
    """An integer or a vector that will exist when the code runs: + - * append instructions."""

    def __init__(self, machine, value):
        self.machine, self.ir = machine, value

    def binary(self, other, integer, vector, swap=False):
        a, b = self.ir, self.machine.constant(other, self.ir.type)
        name = integer if a.type == WORD else vector
        return Value(self.machine, getattr(self.machine.builder, name)(*((b, a) if swap else (a, b))))

    def __add__(self, other):
        return self.binary(other, 'add', 'fadd')

    def __sub__(self, other):
        return self.binary(other, 'sub', 'fsub')

    def __mul__(self, other):
        return self.binary(other, 'mul', 'fmul')

    def __rsub__(self, other):
        return self.binary(other, 'sub', 'fsub', swap=True)

    def __truediv__(self, other):
        return self.binary(other, None, 'fdiv')

    def __floordiv__(self, other):
        return self.binary(other, 'udiv', None)

    def __mod__(self, other):
        return self.binary(other, 'urem', None)

    __radd__, __rmul__ = __add__, __mul__


class Machine:
    """Appends instructions where an LLVM builder stands."""

    def __init__(self, builder):
        self.builder = builder

    def constant(self, value, kind=WORD):
        if isinstance(value, Value):
            return value.ir
        return ir.Constant(kind, value if kind == WORD else [float(value)] * LANES)

    def splat(self, value):
        return Value(self, self.constant(value, VECTOR))

    def pointer(self, address, kind):
        return self.builder.inttoptr(address.ir, kind.as_pointer())

    def word(self, address):
        return Value(self, self.builder.load(self.pointer(address, WORD)))

    def load(self, address):
        return Value(self, self.builder.load(self.pointer(address, VECTOR), align=4))

    def store(self, address, vector):
        self.builder.store(vector.ir, self.pointer(address, VECTOR), align=4)

    def stream(self, address, vector):
        """Store past the caches; the address is a multiple of a vector's size."""
        stored = self.builder.store(vector.ir, self.pointer(address, VECTOR), align=SIZE)
        stored.set_metadata('nontemporal', self.builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)]))

    def lanes(self, count):
        """Return the mask of the first `count` lanes."""
        every = self.spread(self.constant(count), WORDS)
        return self.builder.icmp_signed('<', ir.Constant(WORDS, list(range(LANES))), every)

    def spread(self, scalar, kind):
        one = self.builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return self.builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), zeros)

    def call(self, name, result, *args):
        function = self.builder.module.globals.get(name)
        if function is None:
            kind = ir.FunctionType(result, [a.type for a in args])
            function = ir.Function(self.builder.module, kind, name)
        return self.builder.call(function, args)

    def load_part(self, address, count):
        """Load the first `count` lanes (below 0: none); the others are 0, and their memory is not touched."""
        at, align = self.pointer(address, VECTOR), ir.Constant(ir.IntType(32), 4)
        name = f'llvm.masked.load.v{LANES}f32.p0'
        return Value(self, self.call(name, VECTOR, at, align, self.lanes(count), self.constant(0, VECTOR)))

    def store_part(self, address, vector, count):
        at, align = self.pointer(address, VECTOR), ir.Constant(ir.IntType(32), 4)
        self.call(f'llvm.masked.store.v{LANES}f32.p0', ir.VoidType(), vector.ir, at, align, self.lanes(count))

    def broadcast(self, address):
        return Value(self, self.spread(self.builder.load(self.pointer(address, FLOAT)), VECTOR))

    def move(self, source, out):
        self.builder.store(self.builder.load(self.pointer(source, FLOAT)), self.pointer(out, FLOAT))

    def put(self, address, vector):
        """Store a vector's first number."""
        first = self.builder.extract_element(vector.ir, ir.Constant(ir.IntType(32), 0))
        self.builder.store(first, self.pointer(address, FLOAT))

    def poke(self, address, value):
        self.builder.store(value.ir, self.pointer(address, WORD))

    def add(self, address, number, order='seq_cst'):
        """Add to a word, undisturbed by other threads; return what it was. They see all that was written before."""
        old = self.builder.atomic_rmw('add', self.pointer(address, WORD), self.constant(number), order)
        return Value(self, old)

    def take(self, counter):
        return self.add(counter, 1, 'monotonic')

    def watch(self, address):
        """Return a word that another thread may write at this moment, and with it see all that it wrote before."""
        return Value(self, self.builder.load_atomic(self.pointer(address, WORD), 'acquire', 8))

    def rest(self):
        """Wait for some cycles, as whoever looks at a word again and again should."""
        triple = self.builder.module.triple
        if triple.startswith('x86'):
            self.call('llvm.x86.sse2.pause', ir.VoidType())
        elif triple.startswith(('aarch64', 'arm64')):
            self.call('llvm.aarch64.hint', ir.VoidType(), ir.Constant(ir.IntType(32), 1))

    def words(self, value):
        """Return a vector of words, half as many as numbers."""
        return Value(self, ir.Constant(LONGS, [value] * (LANES // 2)))

    def prefetch(self, address):
        """Ask for a cache line that will soon be read, into the second cache: the first has few places for each."""
        wishes = (ir.Constant(ir.IntType(32), n) for n in (0, 2, 1))  # to read; the second cache; data
        self.call('llvm.prefetch.p0', ir.VoidType(), self.pointer(address, FLOAT), *wishes)

    def load_words(self, address):
        return Value(self, self.builder.load(self.pointer(address, LONGS), align=4))

    def store_words(self, address, words):
        self.builder.store(words.ir, self.pointer(address, LONGS), align=1)

    def mix(self, a, b):
        """Return words that depend on every bit of both: (a ^ b), rotated, times an odd number."""
        def number(value):
            return ir.Constant(LONGS, [value] * (LANES // 2))

        both = self.builder.xor(a.ir, b.ir)
        turned = self.builder.or_(self.builder.shl(both, number(29)), self.builder.lshr(both, number(35)))
        return Value(self, self.builder.mul(turned, number(ODD)))

    def call_compiled(self, function, *args):
        """Call a function that numba compiled, the way numba does; return the address of its exception, or 0."""
        result, failure = (self.builder.alloca(WORD) for _ in '12')
        kind = ir.FunctionType(ir.IntType(32), [WORD.as_pointer()] * 2 + [WORD] * len(args)).as_pointer()
        status = self.builder.call(self.builder.inttoptr(function.ir, kind), [result, failure, *(a.ir for a in args)])
        failed = self.builder.icmp_signed('>', status, ir.Constant(ir.IntType(32), 0))
        return Value(self, self.builder.select(failed, self.builder.load(failure), ir.Constant(WORD, 0)))

    def call_address(self, function, *args):
        kind = ir.FunctionType(ir.VoidType(), [WORD] * len(args)).as_pointer()
        self.builder.call(self.builder.inttoptr(function.ir, kind), [a.ir for a in args])

    def fma(self, a, b, c):
        return Value(self, self.call(f'llvm.fma.v{LANES}f32', VECTOR, a.ir, self.constant(b, VECTOR), c.ir))

    def below(self, a, b, then, other):
        """Return `then` where a < b, `other` elsewhere (and where either is NaN)."""
        return Value(self, self.builder.select(self.builder.fcmp_ordered('<', a.ir, b.ir), then.ir, other.ir))

    def transpose(self, rows):
        """Return the columns of LANES vectors, as vectors.

        An element's place is log2(LANES) bits of row and as many of lane. One round of interleaving, the first half of
        the rows with the second, moves the highest bit of the row to the lowest of the lane: all bits turn by one.
        """
        for _ in range(LANES.bit_length() - 1):
            half = LANES // 2
            low = [lane // 2 + LANES * (lane % 2) for lane in range(LANES)]
            rows = [self.shuffle(rows[i // 2], rows[i // 2 + half], [lane + half * (i % 2) for lane in low])
                    for i in range(LANES)]
        return rows

    def shuffle(self, a, b, order):
        mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), order)
        return Value(self, self.builder.shuffle_vector(a.ir, b.ir, mask))

    def finite(self, a):
        """Return 1 if every lane of a is a finite number, else 0."""
        bad = self.builder.fcmp_unordered('uno', self.builder.fsub(a.ir, a.ir), self.constant(0, VECTOR))
        none = self.builder.icmp_unsigned('==', self.builder.bitcast(bad, ir.IntType(LANES)),
                                          ir.Constant(ir.IntType(LANES), 0))
        return Value(self, self.builder.zext(none, WORD))

    # by lane: a mask says which

    def beats(self, a, b):
        """Return the mask of a > b as a maximum sees it: NaN beats every number, and nothing beats NaN."""
        b_is_number = self.builder.fcmp_ordered('ord', b.ir, b.ir)
        return Value(self, self.builder.and_(self.builder.fcmp_unordered('>', a.ir, b.ir), b_is_number))

    def choose(self, mask, a, b):
        return Value(self, self.builder.select(mask.ir, a.ir, b.ir))

    def first(self, count):
        return Value(self, self.lanes(count))

    def ints(self, number):
        """Return an integer in every lane."""
        return Value(self, self.spread(self.builder.trunc(self.constant(number), ir.IntType(32)), INTS))

    def equal(self, a, b):
        return Value(self, self.builder.icmp_signed('==', a.ir, b.ir))

    def load_bytes(self, address, count=None):
        """Load a byte for each lane (or for the first `count`) as an integer."""
        at = self.pointer(address, BYTES)
        if count is None:
            loaded = self.builder.load(at, align=1)
        else:
            loaded = self.call(f'llvm.masked.load.v{LANES}i8.p0', BYTES, at, ir.Constant(ir.IntType(32), 1),
                               self.lanes(count), ir.Constant(BYTES, [0] * LANES))
        return Value(self, self.builder.zext(loaded, INTS))

    def store_bytes(self, address, ints, count=None):
        at, values = self.pointer(address, BYTES), self.builder.trunc(ints.ir, BYTES)
        if count is None:
            self.builder.store(values, at, align=1)
        else:
            self.call(f'llvm.masked.store.v{LANES}i8.p0', ir.VoidType(), values, at, ir.Constant(ir.IntType(32), 1),
                      self.lanes(count))

    # functions of a vector

    def sqrt(self, a):
        return Value(self, self.call(f'llvm.sqrt.v{LANES}f32', VECTOR, a.ir))

    def turned(self, a, step):
        """Return a with lane i where lane i ^ step was."""
        places = ir.Constant(INTS, [i ^ step for i in range(LANES)])
        return Value(self, self.builder.shuffle_vector(a.ir, a.ir, places))

    def two_to(self, a):
        """Return 2**k for a = WHOLE + k."""
        power = self.builder.add(self.builder.bitcast(a.ir, INTS), ir.Constant(INTS, [127 - 0x4B400000] * LANES))
        return Value(self, self.builder.bitcast(self.builder.shl(power, ir.Constant(INTS, [23] * LANES)), VECTOR))

    def parted(self, a):
        """Return (e, f) with a = 2**e * f and 1 <= f < 2, for a >= 1."""
        def every(number):
            return ir.Constant(INTS, [number] * LANES)

        b, bits = self.builder, self.builder.bitcast(a.ir, INTS)
        exponent = b.sitofp(b.sub(b.lshr(bits, every(23)), every(127)), VECTOR)
        fraction = b.or_(b.and_(bits, every(0x7FFFFF)), every(127 << 23))
        return Value(self, exponent), Value(self, b.bitcast(fraction, VECTOR))

    def double(self, a):
        return Value(self, self.builder.fpext(a.ir, DOUBLES))

    def single(self, a):
        return Value(self, self.builder.fptrunc(a.ir, VECTOR))

    def load_doubles(self, address):
        return Value(self, self.builder.load(self.pointer(address, DOUBLES), align=8))

    def store_doubles(self, address, doubles):
        self.builder.store(doubles.ir, self.pointer(address, DOUBLES), align=8)

    def when(self, flag, body, *carried):
        """Return body(*carried) if flag is not 0, else `carried`.

        A loop of one round or none would do the same; but LLVM unrolls it, and moves loads out of it to keep them.
        """
        b, start = self.builder, self.builder.block
        inside, after = (b.append_basic_block(name) for name in ('when', 'after'))
        b.cbranch(b.icmp_signed('!=', self.constant(flag), ir.Constant(WORD, 0)), inside, after)
        b.position_at_end(inside)
        values = body(*carried) or ()
        end = b.block
        b.branch(after)
        b.position_at_end(after)
        phis = [b.phi(value.ir.type) for value in carried]
        for phi, without, then in zip(phis, carried, values, strict=True):
            phi.add_incoming(without.ir, start)
            phi.add_incoming(then.ir, end)
        return [Value(self, phi) for phi in phis]

    def loop(self, count, body, *carried):
        """Run values = body(i, *values) for i = 0 ... count - 1, from `carried`; return the last values."""
        b, start = self.builder, self.builder.block
        test, inside, after = (b.append_basic_block(name) for name in ('loop', 'body', 'done'))
        b.branch(test)
        b.position_at_end(test)
        index = b.phi(WORD)
        phis = [b.phi(value.ir.type) for value in carried]
        b.cbranch(b.icmp_signed('<', index, self.constant(count)), inside, after)
        b.position_at_end(inside)
        values = body(Value(self, index), *(Value(self, phi) for phi in phis)) or ()
        following = b.add(index, ir.Constant(WORD, 1))
        for phi, first, then in zip([index, *phis], [ir.Constant(WORD, 0), *(v.ir for v in carried)],
                                    [following, *(v.ir for v in values)], strict=True):
            phi.add_incoming(first, start)
            phi.add_incoming(then, b.block)
        b.branch(test)
        b.position_at_end(after)
        return [Value(self, phi) for phi in phis]


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


def kernel(body, *attributes):
    """Make body(m, *integers) callable from jitted code; it returns an integer, 0 unless the body says otherwise."""
    if config.DISABLE_JIT:
        def twin(*args):
            with np.errstate(all='ignore'):
                return body(Interpreter(), *map(int, args)) or 0
        return twin

    names = list(inspect.signature(body).parameters)[1:]
    kind = ir.FunctionType(WORD, [WORD] * len(names))

    def codegen(context, builder, signature, args):
        name = f'nailorch.{body.__qualname__}.{id(body)}'
        function = builder.module.globals.get(name)
        if function is None:
            function = define(builder.module, kind, name, body, attributes or ('noinline',))
        return builder.call(function, args)

    def typed(typingctx, *args):
        return types.int64(*[types.int64] * len(names)), codegen

    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in ('typingctx', *names)]
    typed.__signature__ = inspect.Signature(parameters)
    typed.__name__ = typed.__qualname__ = body.__name__
    return intrinsic(typed)


def inlined(body):
    """Make a few instructions callable, to stand where they are called."""
    return kernel(body, 'alwaysinline')


def define(module, kind, name, body, attributes):
    """Append a function to an LLVM module, its code written by body."""
    function = ir.Function(module, kind, name)
    function.linkage = 'internal'
    function.attributes = Attributes(attributes)
    builder = ir.IRBuilder(function.append_basic_block())
    machine = Machine(builder)
    result = body(machine, *(Value(machine, a) for a in function.args))
    builder.ret(machine.constant(result or 0))
    return function


class Attributes(ir.values.FunctionAttributes):
    """A function's attributes, and the wish for whole vectors: tuned for some CPUs, LLVM would halve wide ones."""

    def _to_list(self, ret_type):
        return [*super()._to_list(ret_type), f'"min-legal-vector-width"="{32 * LANES}"']


@inlined
def call(m, function, worker, job):
    """Call a worker by its address; return the address of what it raised, or 0."""
    return m.call_compiled(function, worker, job)


@inlined
def ask(m, function, a, b, c):
    """Call a function of the system by its address."""
    m.call_address(function, a, b, c)


@inlined
def peek(m, address):
    """Return the word at an address."""
    return m.word(address)


@inlined
def poke(m, address, value):
    """Write a word."""
    m.poke(address, value)


@inlined
def take(m, counter):
    """Return the counter and add 1, undisturbed by other threads: each piece of work goes to one of them."""
    return m.take(counter)


@inlined
def add(m, address, number):
    """Add to a word; return what it was."""
    return m.add(address, number)


@inlined
def watch(m, address):
    """Return a word that other threads write."""
    return m.watch(address)


@inlined
def rest(m):
    """Wait a moment."""
    m.rest()
