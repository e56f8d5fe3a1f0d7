"""What vector code is often made of: sweeps over numbers in a row, sums over lanes, exponentials."""

from __future__ import annotations

from math import factorial, log

from nailorch.kernels.fast.emit import WHOLE, kernel
from nailorch.kernels.fast.target import LANES

LN2_HIGH, LN2_LOW = 0.693359375, -2.12194440e-4  # their sum is log(2); any small integer times the first is exact


def sweep(m, count, body, *carried):
    """Run values = body(i, part, *values) for i = 0, LANES, ... below count; part is None but for a short last one."""
    whole, rest = count // LANES, count % LANES
    carried = m.loop(whole, lambda k, *values: body(k * LANES, None, *values), *carried)
    return m.when(rest, lambda *values: body(whole * LANES, rest, *values), *carried)


def sweep_wide(m, count, wide, body):
    """Run body(i, parts) over the numbers below count, `wide` vectors at a time; a part is None for a whole vector."""
    groups, rest = count // (wide * LANES), count % LANES
    done, left = groups * (wide * LANES), count % (wide * LANES) // LANES
    m.loop(groups, lambda k: body(k * (wide * LANES), [None] * wide))
    m.loop(left, lambda k: body(done + k * LANES, [None]))
    m.when(rest, lambda: body(done + left * LANES, [rest]))


def load(m, address, part):
    """Load a vector, or its first `part` lanes and zeros."""
    return m.load(address) if part is None else m.load_part(address, part)


def store(m, address, vector, part):
    """Store a vector, or its first `part` lanes."""
    if part is None:
        m.store(address, vector)
    else:
        m.store_part(address, vector, part)


def save(m, address, vector, part, streamed):
    """Store a vector, or its first `part` lanes; `streamed` past the caches."""
    if streamed and part is None:
        m.stream(address, vector)
    else:
        store(m, address, vector, part)


@kernel
def copy_pieces(m, source, source_step, out, out_step, count, numbers):
    """Copy so many pieces of memory, of so many numbers each."""
    def piece(k):
        at, to = source + k * source_step, out + k * out_step
        sweep(m, numbers, lambda i, part: store(m, to + 4 * i, load(m, at + 4 * i, part), part))

    m.loop(count, piece)


def across(m, vector, operation):
    """Return, in every lane, operation over all lanes."""
    step = LANES // 2
    while step:
        vector = operation(vector, m.turned(vector, step))
        step //= 2
    return vector


def total(m, vector):
    return across(m, vector, lambda a, b: a + b)


def totals(m, vectors):
    """Return the vector whose lane i is the sum over all lanes of vectors[i], of LANES vectors at most.

    Two vectors become one, again and again: its lanes take turns, by ones, twos, fours, to hold what was the first's
    and the second's, each added to its neighbour.
    """
    vectors, step = [*vectors, *[m.splat(0)] * (LANES - len(vectors))], 1
    while len(vectors) > 1:
        own = [lane // step % 2 == 0 for lane in range(LANES)]
        here = [lane if first else LANES + lane - step for lane, first in enumerate(own)]
        there = [lane + step if first else LANES + lane for lane, first in enumerate(own)]
        vectors = [m.shuffle(a, b, here) + m.shuffle(a, b, there)
                   for a, b in zip(vectors[::2], vectors[1::2], strict=True)]
        step *= 2
    return vectors[0]


def exp(m, x):
    """Return e**x for x <= 0: x is n * log(2) + r, so e**x is 2**n times a short series in r."""
    lowest = m.splat(-104)  # from here on it is 0
    x = m.below(x, lowest, lowest, x)
    n = m.fma(x, 1 / log(2), m.splat(WHOLE)) - WHOLE
    r = m.fma(n, -LN2_LOW, m.fma(n, -LN2_HIGH, x))
    y = m.splat(1 / factorial(7))
    for k in reversed(range(7)):
        y = m.fma(y, r, m.splat(1 / factorial(k)))
    half = m.fma(n, 0.5, m.splat(WHOLE))  # 2**n itself may be too small for a factor
    return y * m.two_to(half) * m.two_to(n - (half - WHOLE) + WHOLE)


def ln(m, x):
    """Return log(x) for x >= 1 or NaN: x is 2**e * f, and log(f) = 2 atanh(z) with z = (f - 1) / (f + 1)."""
    e, f = m.parted(x)
    root = m.splat(2**0.5)
    e, f = m.below(root, f, e + 1, e), m.below(root, f, f * 0.5, f)
    z = (f - 1) / (f + 1)
    square, series = z * z, m.splat(2 / 11)
    for k in (9, 7, 5, 3, 1):
        series = m.fma(series, square, m.splat(2 / k))
    return m.fma(e, LN2_HIGH, m.fma(e, LN2_LOW, series * z)) + (x - x)
