"""Winograd's matrices from their points, and the code that applies them.

A filter g of r cells slid over m places needs m * r products; but it is also a product of two polynomials, and a
polynomial of degree n - 1 is known by its values at n = m + r - 1 points. So: take the values of both (G g and, since
we want the transposed problem, B^T d), multiply them point by point, and come back (A^T):

    y = A^T [(G g) * (B^T d)]          along one axis: n products in place of m * r
    Y = A^T [(G g G^T) * (B^T d B)] A  along two: 36 in place of 144 for F(4x4, 3x3)

The points 0, 1, -1, 2, -2 are everybody's choice; 0, 3/4, -3/4, 3/2, -3/2 give half the rounding error (relative rms
0.8e-6 in place of 1.7e-6), a sixth of the largest, and still numbers that float32 holds exactly in A and B.

Source: Lavin & Gray, Fast algorithms for convolutional neural networks, 2015; Barabasz et al., Error analysis and
improving the accuracy of Winograd convolution, 2018.
"""

from __future__ import annotations

from fractions import Fraction
from math import prod

from nailorch.kernels.fast.emit import SIZE, kernel
from nailorch.kernels.fast.target import LANES, REGISTERS
from nailorch.kernels.fast.tiles import rectified


def cook_toom(points, r=3):
    """Return (B^T, G, A^T) of F(m, r) for m + r - 2 points and infinity, as lists of rows.

    Example:
        >>> BT, G, AT = cook_toom([0, 1, -1])
        >>> [list(map(int, row)) for row in AT]
        [[1, 1, 1, 0], [0, 1, -1, 1]]
    """
    points = [Fraction(p) for p in points]
    m = len(points) + 2 - r
    others = [[q for q in points if q != p] for p in points]
    BT = [[*expand(rest), Fraction(0)] for rest in others] + [expand(points)]
    G = [[p**j / prod(p - q for q in rest) for j in range(r)] for p, rest in zip(points, others, strict=True)]
    AT = [[*(p**i for p in points), Fraction(int(i == m - 1))] for i in range(m)]
    return BT, [*G, [Fraction(int(j == r - 1)) for j in range(r)]], AT


def without_0(points):
    """Return (B^T, A^T) for all points but 0, as if their filters came from G of all.

    In G, a point's row is divided by its distances to the others. So B^T makes up for that to 0.
    """
    points = [Fraction(p) for p in points]
    others = [p for p in points if p]
    BT, _, AT = cook_toom(others)
    return [*([p * number for number in row] for p, row in zip(others, BT[:-1], strict=True)), BT[-1]], AT


def expand(roots):
    """Return the coefficients, lowest first, of the product of all (x - root)."""
    coefficients = [Fraction(1)]
    for root in roots:
        up = [Fraction(0), *coefficients]
        coefficients = [u - root * c for u, c in zip(up, [*coefficients, Fraction(0)], strict=True)]
    return coefficients


def transposed(matrix):
    return [list(column) for column in zip(*matrix, strict=True)]


def apply(m, matrix, x):
    """Return matrix @ x for a list x of vectors.

    Points come in pairs p, -p, whose rows differ in the sign of every other number: the sums over the even and over the
    odd columns serve both. (In the transposed matrix columns come in pairs: their sum and difference serve all rows.)
    """
    rows = {}
    for i, row in enumerate(matrix):
        if i not in rows:
            partner = next((k for k in range(i + 1, len(matrix)) if opposite(row, matrix[k])), None)
            if partner is None:
                rows[i] = dot(m, row, x)
            else:
                sign = opposite(row, matrix[partner])
                even, odd = dot(m, row[::2], x[::2]), dot(m, row[1::2], x[1::2])
                rows[i], rows[partner] = even + odd, even - odd if sign > 0 else odd - even
    return [rows[i] for i in range(len(matrix))]


def apply_paired(m, matrix, x):
    """Return matrix @ x where columns, not rows, come in pairs."""
    columns, pairs, singles = transposed(matrix), [], []
    left = list(range(len(columns)))
    while left:
        j = left.pop(0)
        partner = next((k for k in left if opposite(columns[j], columns[k]) > 0), None)
        if partner is None:
            singles.append(j)
        else:
            left.remove(partner)
            pairs.append((j, x[j] + x[partner], x[j] - x[partner]))
    return [dot(m, [row[j] for j in singles] + [row[j] for j, *_ in pairs],
                [x[j] for j in singles] + [both[i % 2] for _, *both in pairs]) for i, row in enumerate(matrix)]


def opposite(row, other):
    """Return 1 or -1 if other[j] is that times (-1)**j row[j] for all j, and neither is mostly zeros; else 0."""
    if sum(map(bool, row)) > 1:
        for sign in (1, -1):
            if all(b == sign * (-1)**j * a for j, (a, b) in enumerate(zip(row, other, strict=True))):
                return sign
    return 0


def dot(m, numbers, x):
    """Return the sum of numbers[j] * x[j], in as few instructions as that takes."""
    terms = sorted(((c, v) for c, v in zip(numbers, x, strict=True) if c), key=lambda term: term[0] != 1)
    (c, total), *rest = terms
    total = total if c == 1 else total * float(c)
    for c, v in rest:
        total = total + v if c == 1 else total - v if c == -1 else m.fma(v, float(c), total)
    return total


def larger(m, a, b):
    return m.below(a, b, b, a)


def halves(matrix):
    """Return which rows come in pairs, and which do not."""
    pairs = [i for i, row in enumerate(matrix) if any(opposite(row, other) for other in matrix)]
    return pairs, [i for i in range(len(matrix)) if i not in pairs]


def transform(matrix, across=None, points=None, from_table=False, to_table=False, paired=False, check=False,
              pooled=False):
    """Return the kernel of matrix @ tile @ across^T for a tile of pixels, vector by vector of their channels.

    A tile lies in planes, `step` bytes from one to the next, or wherever a table of addresses says; there an offset is
    added. `channels` numbers of each are transformed. A tile that goes to a table is a result: `bias`, one number a
    channel, is added to it, relu, gate and added are applied as in tiles.py; `gate`, which is for both, is a table too.
    `pooled`, the result is every 2x2 pixels' maximum: that of finite numbers, since others are computed anew. Asked to
    check, the kernel returns 1 if all results are finite, else 0.

    `across` is the same matrix, unless said otherwise. Of `points` x `points` planes, smaller matrices have the last.
    """
    across, multiply = across or matrix, apply_paired if paired else apply
    high, wide = len(matrix[0]), len(across[0])
    groups = halves(matrix) if len(matrix) * wide > REGISTERS else [range(len(matrix))]

    def plane(i, j, high, wide):
        side = points or high
        return side * (side - high + i) + side - wide + j

    def body(m, source, source_step, offset, out, out_step, out_offset, channels, bias, relu, gated, added,
             gate):
        def tile(at, load, store):
            def read(i, j):
                return load((m.word(source + 8 * (wide * i + j)) + offset if from_table
                             else source + plane(i, j, high, wide) * source_step) + at)

            if from_table:  # one group of rows after the other: registers do not hold what all of them make of a tile
                for group in groups:
                    part = [matrix[i] for i in group]
                    columns = [multiply(m, part, [read(i, j) for i in range(high)]) for j in range(wide)]
                    for i, *row in zip(group, *columns, strict=True):
                        for j, value in enumerate(multiply(m, across, row)):
                            store(out + plane(i, j, len(matrix), len(across)) * out_step + at, value)
                return 1
            columns = [multiply(m, matrix, [read(i, j) for i in range(high)]) for j in range(wide)]
            rows = [multiply(m, across, [column[i] for column in columns]) for i in range(len(matrix))]
            values = [v for row in rows for v in row]
            good = m.finite(sum(values[1:], values[0])) if check else 1
            if pooled:
                values = [larger(m, larger(m, up[j], up[j + 1]), larger(m, down[j], down[j + 1]))
                          for up, down in zip(rows[::2], rows[1::2], strict=True) for j in range(0, len(rows), 2)]
            if to_table:
                places = [m.word(out + 8 * i) + out_offset + at for i in range(len(values))]
                b, zero = load(bias + at), m.splat(0)
                values = [v + b for v in values]
                beside = [lambda i=i: load(m.word(gate + 8 * i) + out_offset + at) for i in range(len(values))]
                values = m.when(added, lambda *vs: [v + other() for other, v in zip(beside, vs, strict=True)],
                                *values)
                values = rectified(m, relu, values)
                values = m.when(gated, lambda *vs: [m.below(zero, there(), v, zero)
                                                       for there, v in zip(beside, vs, strict=True)], *values)
            else:
                places = [out + i * out_step + at for i in range(len(values))]
            for place, value in zip(places, values, strict=True):
                store(place, value)
            return good

        count, rest = channels // LANES, channels % LANES
        good = m.loop(count, lambda i, good: [good * tile(i * SIZE, m.load, m.store)], channels * 0 + 1)
        return m.when(rest, lambda good: [good * tile(
            count * SIZE, lambda at: m.load_part(at, rest), lambda at, v: m.store_part(at, v, rest))], *good)[0]

    return kernel(body)
