"""The machine that a kernel speaks to: what it is asked for becomes LLVM instructions, one after the other."""

from __future__ import annotations

from llvmlite import ir

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
