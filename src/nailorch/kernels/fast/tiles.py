"""Register tiles: the products at the bottom of everything, as many sums at once as registers hold.

A tile is `rows` x `vectors`: each step of the inner loop loads `vectors` vectors of B and multiplies them with `rows`
numbers of A. With 6 x 4 = 24 sums in 32 registers the multipliers never wait: neither for memory (10 loads feed 24
multiply-adds) nor for one another (a sum is touched again 24 instructions later).
"""

from __future__ import annotations

from nailorch.kernels.fast.emit import SIZE, kernel
from nailorch.kernels.fast.target import LANES, REGISTERS
from nailorch.kernels.fast.vectors import load, sweep

WIDE = 4 if REGISTERS == 32 else 2  # vectors in a row of the widest tile
FETCHED = WIDE // 2  # of them, how many a tile asks for ahead of time
HIGH = 8 if REGISTERS == 32 else 4  # rows of a tile of outer products, two vectors wide


def row_tile(rows, vectors):
    """Return the kernel of tiles: out[r] = relu(start[r] + sum over segments s and k of A[s][r][k] * B[s, k]).

    `a`, `start` and `out` are tables of addresses: where A's rows lie is anybody's choice, so a convolution's windows
    need not be copied into columns. The next tile's follow those of this one, in `start` `start_step` bytes further on.
    From one segment to the next, a's table moves on `a_step` bytes, and B, a single panel, by `depth` rows. The
    offsets, in bytes, are added to every address of a table. `part` numbers of the last vector are real. `relu` is 0,
    1, or 2 for ReLU6. If `gated` is 1, out is set to 0 where the number `gate` bytes from it is not positive: ReLU's
    derivative. If `added` is 1, the number `addend` bytes from it is added before relu: a residual. With each row of B,
    its first FETCHED vectors are asked for `ahead` bytes further on, into the second cache; and with A's rows, those
    that stand `onward` bytes further on in the table. A `streamed` result, of whole vectors, goes past the caches.
    Where another one goes is asked for first, and so is what is read along with it.

    If `summed` is 1, three rows of numbers at `sums`, `sums_step` bytes apart, hold for each column a number nearby and
    the sums of the distances from it, and of their squares. Where that begins, in a `fresh` first tile, the number is
    the mean of the column's.
    """

    def several_tiles(m, tiles, a, a_step, a_offset, segments, depth, b, start, start_step, start_offset, out, offset,
                      part, relu, gated, gate, added, addend, ahead, onward, streamed, summed, sums, sums_step, fresh):
        m.loop(tiles, lambda t: tile(
            m, a + t * (8 * rows), a_step, a_offset, segments, depth, b, start + t * start_step, start_offset,
            out + t * (8 * rows), offset, part, relu, gated, gate, added, addend, ahead, onward, streamed, summed, sums,
            sums_step, fresh - t))

    def tile(m, a, a_step, a_offset, segments, depth, b, start, start_offset, out, offset, part, relu, gated, gate,
             added, addend, ahead, onward, streamed, summed, moments, moments_step, fresh):
        def load(address, v):
            return m.load(address + SIZE * v) if v < vectors - 1 else m.load_part(address + SIZE * v, part)

        def segment(s, *sums):
            row, then = ([m.word(table + s * a_step + 8 * r) + a_offset for r in range(rows)]
                         for table in (a, a + onward))
            panel = b + depth * s * (SIZE * vectors)

            def several(steps):
                def body(i, *sums):
                    for r in range(rows if steps > 1 else 0):
                        m.prefetch(then[r] + i * (4 * steps))
                    for k in range(steps):
                        at = panel + i * (SIZE * vectors * steps) + SIZE * vectors * k
                        right = [m.load(at + SIZE * v) for v in range(vectors)]
                        for v in range(min(vectors, FETCHED)):
                            m.prefetch(at + ahead + SIZE * v)
                        for r in range(rows):
                            left = m.broadcast(row[r] + i * (4 * steps) + 4 * k)
                            these = [m.fma(left, right[v], sums[vectors * r + v]) for v in range(vectors)]
                            sums = (*sums[:vectors * r], *these, *sums[vectors * (r + 1):])
                    return sums
                return body

            return rolled(m, depth, several, *sums)

        def ask_for(distance):
            for r, v in cells:
                m.prefetch(outs[r] + distance + SIZE * v)

        cells = [(r, v) for r in range(rows) for v in range(vectors)]
        starts = [m.word(start + 8 * r) + start_offset for r in range(rows)]
        outs = [m.word(out + 8 * r) + offset for r in range(rows)]
        m.when(added, lambda: ask_for(addend))
        m.when(gated, lambda: ask_for(gate))
        m.when(1 - streamed, lambda: ask_for(0))
        sums = m.loop(segments, segment, *(load(starts[r], v) for r, v in cells))
        sums = m.when(added, lambda *sums: [
            x + load(outs[r] + addend, v) for (r, v), x in zip(cells, sums, strict=True)], *sums)
        sums, zero = rectified(m, relu, sums), m.splat(0)

        def shut(*sums):
            return [m.below(zero, load(outs[r] + gate, v), x, zero) for (r, v), x in zip(cells, sums, strict=True)]

        sums = m.when(gated, shut, *sums)

        def write(past):
            for (r, v), x in zip(cells, sums, strict=True):
                if past:
                    m.stream(outs[r] + SIZE * v, x)
                elif v < vectors - 1:
                    m.store(outs[r] + SIZE * v, x)
                else:
                    m.store_part(outs[r] + SIZE * v, x, part)

        m.when(summed, lambda: sum_up(m, vectors, sums, moments, moments_step, fresh))
        m.when(streamed, lambda: write(True))
        m.when(1 - streamed, lambda: write(False))

    return kernel(several_tiles)


def sum_up(m, vectors, numbers, sums, step, fresh):
    """Add a tile's numbers to their columns' sums, as row_tile says."""
    for v in range(vectors):
        column, near, at = numbers[v::vectors], sums + SIZE * v, sums + SIZE * v + step

        def begin(_, column=column, near=near, at=at):
            m.store(near, sum(column[1:], column[0]) * (1 / len(column)))
            m.store(at, m.splat(0))
            m.store(at + step, m.splat(0))

        m.loop(fresh, begin)
        total = squares = m.splat(0)
        for x in column:
            distance = x - m.load(near)
            total, squares = total + distance, m.fma(distance, distance, squares)
        m.store(at, m.load(at) + total)
        m.store(at + step, m.load(at + step) + squares)


@kernel
def take_back(m, row, numbers, times, sums, step):
    """Take a row of numbers, which was added so many times too often, from its columns' sums."""
    def column(i, part):
        near, at = sums + 4 * i, sums + 4 * i + step
        distance = load(m, row + 4 * i, part) - m.load(near)
        m.store(at, m.load(at) - distance)
        m.store(at + step, m.load(at + step) - distance * distance)

    m.loop(times, lambda _: sweep(m, numbers, column))


def plain_tile(rows, vectors):
    """Return the kernel of tiles of a plain product: out[r] = sum over k of A[r, k] * B[k], all of whole vectors.

    Rows of A and out are `a_row` and `out_row` bytes apart, and the next tile's follow those of this one. With each row
    of B, a widest tile asks for what lies at `asked` into the second cache: `share` bytes, up to FETCHED vectors.
    """
    fetched = FETCHED if vectors == WIDE else 0  # narrow ones have no time for it

    def several_tiles(m, tiles, a, a_row, depth, b, out, out_row, asked, share):
        def tile(t):
            def several(steps):
                def body(i, *sums):
                    for k in range(steps):
                        at = b + (i * steps + k) * (SIZE * vectors)
                        right = [m.load(at + SIZE * v) for v in range(vectors)]
                        for v in range(fetched):
                            m.prefetch(asked + (t * depth + i * steps + k) * share + SIZE * v)
                        left = [m.broadcast(row + i * (4 * steps) + 4 * k) for row in lefts]
                        sums = [m.fma(left[r], right[v], sums[vectors * r + v]) for r, v in cells]
                    return sums
                return body

            lefts = [a + (t * rows + r) * a_row for r in range(rows)]
            for (r, v), x in zip(cells, rolled(m, depth, several, *[m.splat(0)] * len(cells)), strict=True):
                m.store(out + (t * rows + r) * out_row + SIZE * v, x)

        m.loop(tiles, tile)

    cells = [(r, v) for r in range(rows) for v in range(vectors)]
    return kernel(several_tiles)


def outer_tile(rows, vectors):
    """Return the kernel of one tile of a sum of outer products: out[r] = start[r] + sum over k of A[k][r] * B[k].

    `a` is a table of addresses, one for every k, `b` a matrix whose rows are `b_step` bytes apart; start and out are
    matrices too (a start of zeros has step 0), of which `numbers` columns are real. This is the weight gradient: k runs
    over pixels. Meanwhile, what every second entry of the tables `next_a` and `next_b` names is asked for, and the next
    tile's start.
    """

    def tile(m, a, a_offset, count, b, b_step, start, start_step, out, out_step, numbers, next_a, next_a_offset, next_b,
             next_b_offset):
        def several(steps):
            def body(i, *sums):
                for k in range(0, steps, 2):
                    m.prefetch(m.word(next_a + i * (8 * steps) + 8 * k) + next_a_offset)
                    m.prefetch(m.word(next_b + i * (8 * steps) + 8 * k) + next_b_offset)
                for k in range(steps):
                    row = m.word(a + i * (8 * steps) + 8 * k) + a_offset
                    at = b + (i * steps + k) * b_step
                    right = [m.load(at + SIZE * v) for v in range(vectors)]
                    column = [m.broadcast(row + 4 * r) for r in range(rows)]
                    sums = [m.fma(column[r], right[v], sums[vectors * r + v]) for r, v in cells]
                return sums
            return body

        cells = [(r, v) for r in range(rows) for v in range(vectors)]
        parts = [numbers - LANES * v for v in range(vectors)]
        for r, v in cells:
            m.prefetch(start + start_step * (rows + r) + SIZE * v)
        sums = [m.load_part(start + start_step * r + SIZE * v, parts[v]) for r, v in cells]
        for (r, v), x in zip(cells, rolled(m, count, several, *sums), strict=True):
            m.store_part(out + out_step * r + SIZE * v, x, parts[v])

    return kernel(tile)


@kernel
def copy_rows(m, source, offset, count, out, out_step, vectors, part):
    """Copy `count` rows from a table's addresses into a matrix: so many vectors each, `part` of the last one real."""
    def row(k):
        at, to = m.word(source + 8 * k) + offset, out + k * out_step
        m.loop(vectors - 1, lambda v: m.store(to + v * SIZE, m.load(at + v * SIZE)))
        last = (vectors - 1) * SIZE
        m.store(to + last, m.load_part(at + last, part))

    m.loop(count, row)


@kernel
def turn(m, source, source_step, columns, out, out_steps, rows, count):
    """Transpose `count` squares of LANES x LANES numbers, or the `rows` x `columns` in their corners.

    `source` and `out` are tables of LANES addresses, the rows of a square; from one square to the next, a row of the
    source moves on `source_step` bytes, and one of out as many as the table `out_steps` says.
    """
    def square(k):
        vectors = [m.load_part(m.word(source + 8 * i) + k * source_step, columns) for i in range(LANES)]
        for i, vector in enumerate(m.transpose(vectors)):
            m.store_part(m.word(out + 8 * i) + k * m.word(out_steps + 8 * i), vector, rows)

    m.loop(count, square)


@kernel
def add_numbers(m, source, out, count):
    """Add so many numbers to others."""
    rest = count % LANES
    m.loop(count // LANES, lambda i: m.store(out + i * SIZE, m.load(out + i * SIZE) + m.load(source + i * SIZE)))
    at, to = source + count // LANES * SIZE, out + count // LANES * SIZE
    m.store_part(to, m.load_part(to, rest) + m.load_part(at, rest), rest)


def rectified(m, relu, values):
    """Return max(values, 0) where relu is 1, min(max(values, 0), 6) where it is 2; NaN stays NaN."""
    zero, six = m.splat(0), m.splat(6)
    values = m.when(relu, lambda *xs: [m.below(x, zero, zero, x) for x in xs], *values)
    return m.when(relu // 2, lambda *xs: [m.below(six, x, six, x) for x in xs], *values)


def rolled(m, count, several, *carried):
    """Run a loop four steps at a time, then the one to three that are left."""
    def rest(i, *values):
        return several(1)(count // 4 * 4 + i, *values)

    return m.loop(count % 4, rest, *m.loop(count // 4, several(4), *carried))
