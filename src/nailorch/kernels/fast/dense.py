"""Matrix products of dense layers: tiles of products, and where the right matrix is turned, of dot products.

With a whole batch of rows, the right matrix is copied into panels that the tiles read again and again. With a few rows,
it is what takes the time: 400 MB for a VGG's first dense layer, read from memory once. Then it is read where it lies
and in the order in which it lies, a few whole rows at a time: each thread takes a part of the depth, and has a result
of its own.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from nailorch.kernels.fast import normalization, pointwise, threads
from nailorch.kernels.fast.emit import SIZE, kernel, peek
from nailorch.kernels.fast.gemm import tall
from nailorch.kernels.fast.jit import claim, inner, opened, worker
from nailorch.kernels.fast.memory import address, again, apart, new, zeros
from nailorch.kernels.fast.target import LANES
from nailorch.kernels.fast.tiles import WIDE, rolled, turn
from nailorch.kernels.fast.vectors import load, save, store, sweep, total

PANEL = WIDE * LANES  # columns
NARROW = 8  # rows of the tiles for what is left of the columns
HIGH = 60  # rows at a time of a product that is hardly deep
DOTS, ACROSS = 8, 3 if WIDE == 4 else 1  # rows and columns of a tile of dot products
SPARE = 8  # a last tile may be higher than what is left
MANY = 32  # rows from which on panels are worth their copy
DEPTH = 512  # rows of a panel at a time: 128 KB
FEW, STREAM = 32, 4096  # rows of the right matrix at a time, read as they lie or turned
AHEAD, FAR = 1024, 4096  # bytes, before rows of which a part is read, or all of it
BEYOND = 1 << 22  # numbers of a result: more than caches hold until they are wanted again
SMALL = 1 << 18  # multiplications that one thread has done before two would have begun


def product_tile(rows, vectors, ahead=0, streamed=0):
    """Return the kernel of one tile: out[r] = start[r] + sum over k of A[r, k] * B[k].

    `a`, `start` and `out` are tables of addresses; to A's, `a_step` bytes are added with every k, and to B's, `b_step`.
    `part` numbers of the last vector are real. What is `ahead` bytes from there is asked for: memory takes its time.
    A `streamed` result, of whole vectors, goes past the caches.
    """
    def tile(m, a, a_offset, a_step, depth, b, b_step, start, start_offset, out, out_offset, part):
        def several(steps):
            def body(i, *sums):
                for k in range(steps):
                    at, along = b + (i * steps + k) * b_step, (i * steps + k) * a_step
                    right = [m.load(at + SIZE * v) for v in range(vectors - 1)]
                    right.append(m.load_part(at + SIZE * (vectors - 1), part))
                    for v in range(vectors if ahead else 0):
                        m.prefetch(at + SIZE * v + ahead)
                    left = [m.broadcast(row + along) for row in lefts]
                    sums = [m.fma(left[r], right[v], sums[vectors * r + v]) for r, v in cells]
                return sums
            return body

        cells = [(r, v) for r in range(rows) for v in range(vectors)]
        parts = [None] * (vectors - 1) + [part]
        lefts = [m.word(a + 8 * r) + a_offset for r in range(rows)]
        starts = [m.word(start + 8 * r) + start_offset for r in range(rows)]
        sums = rolled(m, depth, several, *(load(m, starts[r] + SIZE * v, parts[v]) for r, v in cells))
        outs = [m.word(out + 8 * r) + out_offset for r in range(rows)]
        for (r, v), x in zip(cells, sums, strict=True):
            if v < vectors - 1 or streamed:
                save(m, outs[r] + SIZE * v, x, None, streamed)
            else:
                m.store_part(outs[r] + SIZE * v, x, part)

    return kernel(tile)


def dot_tile(rows, columns):
    """Return the kernel of one tile: out[r, c] = (0 if fresh, else out[r, c]) + sum over k of A[r, k] * B[c, k].

    `a`, `b` and `out` are tables of rows' addresses; to those of `out`, 4 bytes are added for every c.
    """
    def tile(m, a, a_offset, depth, b, b_offset, out, out_offset, fresh):
        def step(i, part, *sums):
            places = [m.word(b + 8 * c) + b_offset + 4 * i for c in range(columns)]
            right = [load(m, place, part) for place in places]
            for place in places:
                m.prefetch(place + FAR)
            left = [load(m, m.word(a + 8 * r) + a_offset + 4 * i, part) for r in range(rows)]
            return [m.fma(left[r], right[c], s) for (r, c), s in zip(cells, sums, strict=True)]

        cells = [(r, c) for r in range(rows) for c in range(columns)]
        sums = sweep(m, depth, step, *(m.splat(0) for _ in cells))
        outs = [m.word(out + 8 * r) + out_offset for r in range(rows)]
        sums = [total(m, x) for x in sums]
        sums = m.when(1 - fresh, lambda *sums: [
            x + m.broadcast(outs[r] + 4 * c) for (r, c), x in zip(cells, sums, strict=True)], *sums)
        for (r, c), x in zip(cells, sums, strict=True):
            m.put(outs[r] + 4 * c, x)

    return kernel(tile)


wide_6, wide_5, wide_4 = product_tile(6, WIDE), product_tile(5, WIDE), product_tile(4, WIDE)
stream_4, stream_1 = product_tile(4, WIDE, AHEAD), product_tile(1, WIDE, AHEAD)
past_6 = product_tile(6, WIDE, streamed=1)
narrow_1, narrow_2, narrow_3 = product_tile(NARROW, 1), product_tile(NARROW, 2), product_tile(NARROW, 3)
dots_across, dots_1 = dot_tile(DOTS, ACROSS), dot_tile(DOTS, 1)


@kernel
def copy_panel(m, source, source_step, count, out, numbers):
    """Copy so many numbers of `count` rows into a panel."""
    vectors = (numbers + LANES - 1) // LANES
    m.loop(count, lambda k: sweep(m, numbers, lambda i, part: store(
        m, out + k * vectors * SIZE + 4 * i, load(m, source + k * source_step + 4 * i, part), part)))


class Product(NamedTuple):
    """Products of matrices: addresses, and steps in bytes."""

    table: int  # of addresses, three to a product: A, B, out
    products: int
    rows: int
    columns: int
    depth: int
    a_row: int
    a_step: int  # from k to k
    b_step: int
    b_column: int
    out_row: int
    bias: int
    turned: int  # 1 if B's neighbours are those of one column
    panels: int  # 1 if B is copied into panels
    rows_each: int  # to a piece of work, and panels of columns
    panels_each: int
    group: int  # rows of B at a time
    streamed: int  # past the caches
    parts: int  # of the depth, each with a result of its own, so many bytes from the last one's
    out_part: int
    zeros: int


@inner
def tile(rows, vectors, a, a_offset, a_step, depth, b, b_step, start, start_offset, out, out_offset, part):
    """Compute one tile."""
    if vectors == WIDE:
        if rows == 1:
            stream_1(a, a_offset, a_step, depth, b, b_step, start, start_offset, out, out_offset, part)
        elif rows == 4:
            stream_4(a, a_offset, a_step, depth, b, b_step, start, start_offset, out, out_offset, part)
        elif rows == 6:
            wide_6(a, a_offset, a_step, depth, b, b_step, start, start_offset, out, out_offset, part)
        elif rows == 5:
            wide_5(a, a_offset, a_step, depth, b, b_step, start, start_offset, out, out_offset, part)
        else:
            wide_4(a, a_offset, a_step, depth, b, b_step, start, start_offset, out, out_offset, part)
    elif vectors == 1:
        narrow_1(a, a_offset, a_step, depth, b, b_step, start, start_offset, out, out_offset, part)
    elif vectors == 2:
        narrow_2(a, a_offset, a_step, depth, b, b_step, start, start_offset, out, out_offset, part)
    else:
        narrow_3(a, a_offset, a_step, depth, b, b_step, start, start_offset, out, out_offset, part)


@inner
def fill_panel(g, b, k, depth, column, numbers, out, rows, outs, steps):
    """Copy a part of B into a panel, as it lies or turned; return the bytes from one panel row to the next."""
    at, vectors = b + k * g.b_step + column * g.b_column, -(-numbers // LANES)
    width, squares, rest = SIZE * vectors, depth // LANES, depth % LANES
    if not g.turned:
        copy_panel(at, g.b_step, depth, out, numbers)
        return width
    steps[:] = LANES * width
    for v in range(vectors):
        for i in range(LANES):
            rows[i], outs[i] = at + min(v * LANES + i, numbers - 1) * g.b_column, out + SIZE * v + i * width
        turn(rows.ctypes.data, SIZE, LANES, outs.ctypes.data, steps.ctypes.data, LANES, squares)
        if rest:
            rows += SIZE * squares
            outs += LANES * width * squares
            turn(rows.ctypes.data, 0, rest, outs.ctypes.data, steps.ctypes.data, LANES, 1)
    return width


@inner
def tiles(g, k, fresh, depth, b, b_step, column, numbers, count, lefts, starts, outs):
    """Compute a panel's columns for all rows, for a part of the depth."""
    vectors = -(-numbers // LANES)
    part, i = numbers - (vectors - 1) * LANES, 0
    while i < count:
        rows = 1 if count == 1 and vectors == WIDE else tall(count - i, vectors)
        to = outs.ctypes.data + 8 * i
        if g.streamed and rows == 6 and numbers == PANEL:
            past_6(lefts.ctypes.data + 8 * i, k * g.a_step, g.a_step, depth, b, b_step, starts.ctypes.data, 4 * column,
                   to, 4 * column, part)
        else:
            tile(rows, vectors, lefts.ctypes.data + 8 * i, k * g.a_step, g.a_step, depth, b, b_step,
                 starts.ctypes.data if fresh else to, 4 * column, to, 4 * column, part)
        i += rows


@inner
def dots(g, k, fresh, depth, b, column, numbers, count, lefts, rights, outs):
    """Compute a panel's columns for all rows as dot products, for a part of the depth."""
    for c in range(numbers):
        rights[c] = b + (column + c) * g.b_column
    c = 0
    while c < numbers:
        wide = numbers - c >= ACROSS
        for i in range(0, count, DOTS):
            a, right, out = lefts.ctypes.data + 8 * i, rights.ctypes.data + 8 * c, outs.ctypes.data + 8 * i
            if wide:
                dots_across(a, 4 * k, depth, right, 4 * k, out, 4 * (column + c), fresh)
            else:
                dots_1(a, 4 * k, depth, right, 4 * k, out, 4 * (column + c), fresh)
        c += ACROSS if wide else 1


@worker(Product)
def multiply(number, job):
    """Take pieces of work, products by rows by panels, until none is left."""
    g = opened(job)
    blocks, panels = -(-g.rows // g.rows_each), -(-g.columns // PANEL)
    shares = -(-panels // g.panels_each)
    each = g.parts * blocks * shares
    lefts, outs = np.empty(g.rows_each + SPARE, np.int64), np.empty(g.rows_each + SPARE, np.int64)
    starts, rights = np.empty(SPARE, np.int64), np.empty(PANEL, np.int64)
    rows, cells, steps = np.empty(LANES, np.int64), np.empty(LANES, np.int64), np.empty(LANES, np.int64)
    panel_of_b = np.empty(DEPTH * PANEL * g.panels, np.float32)
    while True:
        work = claim(g.counter, number, g.products * each)
        if work >= g.products * each:
            return
        item, part = work // each, work // (blocks * shares) % g.parts
        first, share = work // shares % blocks * g.rows_each, work % shares
        begin, end = part * g.depth // g.parts, (part + 1) * g.depth // g.parts
        count = min(g.rows_each, g.rows - first)
        left, b, out = peek(g.table + 24 * item), peek(g.table + 24 * item + 8), peek(g.table + 24 * item + 16)
        out += part * g.out_part
        starts[:] = g.zeros if part else g.bias
        for i in range(count + SPARE):
            row = first + min(i, count - 1)
            lefts[i], outs[i] = left + row * g.a_row, out + row * g.out_row
        for k in range(begin, end, g.group):
            depth = min(g.group, end - k)
            for panel in range(share * g.panels_each, min(panels, (share + 1) * g.panels_each)):
                column = panel * PANEL
                numbers = min(PANEL, g.columns - column)
                if g.panels:
                    at = panel_of_b.ctypes.data
                    width = fill_panel(g, b, k, depth, column, numbers, at, rows, cells, steps)
                    tiles(g, k, k == begin, depth, at, width, column, numbers, count, lefts, starts, outs)
                elif g.turned:
                    dots(g, k, int(k == begin), depth, b, column, numbers, count, lefts, rights, outs)
                else:
                    at = b + k * g.b_step + 4 * column
                    tiles(g, k, k == begin, depth, at, g.b_step, column, numbers, count, lefts, starts, outs)


def product(a, b, bias=None):
    """Return a @ b + bias for float32 matrices (..., M, K) and (..., K, N) in any memory order."""
    (M, K), N = a.shape[-2:], b.shape[-1]
    if not a.flags.aligned or not b.flags.aligned:
        apart()
        a, b = a.copy(), b.copy()
    if b.strides[-1] != 4 and b.strides[-2] != 4:
        apart()
        b = np.ascontiguousarray(b)
    turned = b.strides[-2] == 4 and (b.strides[-1] != 4 or N == 1)
    copied = M >= MANY and (turned or K >= MANY)
    if turned and not copied and a.strides[-1] != 4:
        apart()
        a = np.ascontiguousarray(a)
    shape = np.broadcast_shapes(a.shape[:-2], b.shape[:-2]) if a.ndim + b.ndim > 4 else ()
    work = M * N * K * math.prod(shape) // SMALL
    wanted = (2 if copied else 4) * threads.count() if work > 1 else 1
    parts = wanted if M < MANY and not turned and FEW * wanted <= K else 1
    out = new(*shape, parts, M, N)
    if shape:
        each = zip(*(places(x, shape) for x in (a, b, out[..., 0, :, :])), strict=True)
        table = np.array([at for row in each for at in row], np.int64)
    else:
        table = np.array([address(a), address(b), address(out)], np.int64)
    products, panels = len(table) // 3, -(-N // PANEL)

    rows_each, panels_each = M, panels
    if copied:
        rows_each, panels_each = min(M, max(MANY, -(-M // -(-wanted // (products * panels))))), 1
    elif M >= MANY:
        rows_each = HIGH
    elif turned or parts == 1:
        panels_each = -(-panels * products // wanted)
    nothing = zeros(N)
    bias = nothing if bias is None else np.ascontiguousarray(bias)
    group = DEPTH if copied else STREAM if turned else FEW if M < MANY else MANY
    streamed = int(M >= MANY > K and not turned and M * N >= BEYOND and N % LANES == 0)
    threads.run(multiply, Product(
        address(table), products, M, N, K, *a.strides[-2:], *b.strides[-2:], out.strides[-2],
        address(bias), int(turned), int(copied), rows_each, panels_each, group, streamed,
        parts, out.strides[-3], address(nothing)), work)
    return again(lambda: out.sum(axis=-3)) if parts > 1 else out[..., 0, :, :]


def linear_grads(x, weight, gy, wanted, y=None, activation=''):
    """Return the gradients of activation(linear)'s x, weight and bias, those that are wanted."""
    of_x, of_weight, of_bias = wanted
    rows, gys, gb = x.reshape(-1, x.shape[-1]), gy.reshape(-1, weight.shape[1]), None
    if activation:
        gys, gb = normalization.passed(y.reshape(gys.shape), gys, activation)
    elif of_bias:
        gb = normalization.sum_over(gys, (0,))
    return (product(gys, weight.T).reshape(x.shape) if of_x else None,
            product(rows.T, gys) if of_weight else None, gb)


def places(x, shape):
    """Return the addresses of all matrices of x, broadcast to `shape`."""
    addresses = [address(x)]
    for n, step in zip(shape, np.broadcast_to(x, (*shape, *x.shape[-2:])).strides if shape else (), strict=False):
        addresses = [at + i * step for at in addresses for i in range(n)]
    return addresses


def matmul(a, b):
    return linear(a, b, None) if b.ndim == 2 else product(a, b)


def linear(x, weight, bias, activation=''):
    if x.ndim > 2:
        apart()  # the rows may be a copy
    rows = x if x.ndim == 2 else x.reshape(-1, x.shape[-1])
    turned = weight.strides[0] == 4
    y = product(rows, weight, None if turned else bias)
    if turned and bias is not None:
        apart()
        y += bias
    if activation:
        pointwise.rectify_in_place(y, activation)
    return y.reshape(*x.shape[:-1], weight.shape[1])
