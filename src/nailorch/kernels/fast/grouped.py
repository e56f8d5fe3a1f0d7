"""Convolution in groups of few channels: as many results as channels in each, and whole groups in a vector.

A matrix product of so few channels would leave most of a vector empty. But channels lie side by side, so a vector of x
holds every channel that a vector of results sees; they only stand in other lanes. With `depth` channels to a group,

    y[oh, ow, o] = sum over kh, kw, r < depth of x[oh*SH + kh*DH - top, ow*SW + kw*DW - left, o ^ r] * W[kh, kw, r, o]

where o ^ r runs through the channels of o's group: exchanging lanes brings each to its place, and every multiplication
is a useful one (a product with zeros between the groups made 4 times as many for groups of 4: it took 4 times as long).
Where a group fills the vector, a broadcast of its rth channel stands for x[o ^ r].

A worker takes a band of rows of one vector of channels. Where a group fills it, pixels are read where they lie, and
products with the zeros around an image are left out: a tenth of all for 14x14 pixels. Otherwise it first copies what
these rows see of the images into a buffer of its own, zeros around it. There a pixel follows the other, and those that
a step jumps over have rows of their own: so places side by side lie side by side, whatever stride and edges are. Of a
pixel, the vector after is asked for meanwhile, for it comes next; and before a block is computed, where it goes.

Nothing may be left out for a weight that is not finite: it makes NaN of these zeros.

The data gradient is the same with gy in place of x. As in gemm.py, there are SH * SW kinds of pixels, each with cells
of its own; they take turns. The weight gradient is in grouped_grad.py.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from nailorch.kernels.fast import packs, threads
from nailorch.kernels.fast.emit import SIZE, inlined, kernel, peek, take
from nailorch.kernels.fast.gemm import beside, kinds
from nailorch.kernels.fast.jit import inner, opened, worker
from nailorch.kernels.fast.layout import channels_last, like
from nailorch.kernels.fast.memory import address, floats, from_weights, images, strides, zeros
from nailorch.kernels.fast.target import LANES, REGISTERS
from nailorch.kernels.fast.tiles import rectified

BUFFER = 48 << 10  # bytes: it stays in the second cache, whose next line is fetched ahead
SIDE_BY_SIDE = 4  # vectors of channels that one thread takes: of each pixel, all that comes with the first one
PIECES = 4  # of work to a thread, at least
ENOUGH = 1 << 19  # multiplications that are worth a thread
BLOCKS = (14, 7, 1) if REGISTERS == 32 else (7, 4, 1)  # places at a time: a weight is loaded once for them


@kernel
def clear(m, out, count):
    """Write zeros into so many vectors."""
    m.loop(count, lambda i: m.store(out + i * SIZE, m.splat(0)))


@kernel
def copy_lines(m, lines, source, source_line, step, count, out, out_line, part, ahead):
    """Copy lines of `count` vectors, `step` bytes apart, next to each other.

    `part` numbers of each are real, the others 0. What lies `ahead` bytes further on is asked for.
    """
    def vector(r, i):
        at = source + r * source_line + i * step
        m.prefetch(at + ahead)
        m.store(out + r * out_line + i * SIZE, m.load_part(at, part))

    m.loop(lines, lambda r: m.loop(count, functools.partial(vector, r)))


@kernel
def judge(m, numbers, count, out):
    """Write 1 if so many vectors hold nothing but finite numbers, else 0."""
    total, = m.loop(count, lambda i, total: [m.fma(m.load(numbers + i * SIZE), 0, total)], m.splat(0))
    m.poke(out, m.finite(total))


@inlined
def move(m, source, out):
    """Copy a number."""
    m.move(source, out)


def row_kernel(depth):
    """Return the kernel of rows of places, in as many blocks of each size as `large`, `middle` and `single` say.

    The first block begins at place 0, the last one at `last`, `between` blocks later; they may overlap. Where a group
    fills the vector, pixels are `step` bytes apart, and `edges` says of each cell whether it does without the first
    place of a row, and without the last: their pixels lie beside the image.
    """
    def several(m, rows, source, source_row, step, offsets, edges, cells, weight, large, middle, single, last, between,
                out, out_row, out_step, part, bias, relu, gated, gate, added):
        whole = part // LANES

        def block(together, blocks, r, b):
            at, first = source + r * source_row, b * last // between
            to = out + r * out_row + first * out_step
            begins, ends = 1 - (b + blocks - 1) // blocks, (b + 1) // blocks  # is it the first one? the last?

            for i in range(together):
                m.prefetch(to + i * out_step)

            def filled(c, *sums):
                pixel, w = at + m.word(offsets + c * 8) + first * step, weight + c * (SIZE * depth)

                def products(places):
                    def four(k, *sums):
                        totals = list(sums)
                        for j in range(4):
                            one = m.load(w + k * (4 * SIZE) + SIZE * j)
                            for i in places:
                                totals[i] = m.fma(m.broadcast(pixel + i * step + k * 16 + 4 * j), one, totals[i])
                        return totals
                    return lambda *sums: m.loop(LANES // 4, four, *sums)

                left, right = m.word(edges + 16 * c) * begins, m.word(edges + 16 * c + 8) * ends
                sums = m.when(1 - left - right, products(range(together)), *sums)
                sums = m.when(left, products(range(1, together)), *sums)
                return m.when(right, products(range(together - 1)), *sums)

            def exchanged(c, *sums):
                pixel, w = at + m.word(offsets + c * 8) + first * SIZE, weight + c * (SIZE * depth)
                ws, results = [m.load(w + SIZE * r) for r in range(depth)], []
                for i, total in enumerate(sums):
                    x = m.load(pixel + SIZE * i)
                    for r in range(depth):
                        total = m.fma(m.turned(x, r) if r else x, ws[r], total)
                    results.append(total)
                return results

            def beside(i):
                return m.load_part(to + i * out_step + gate, part)

            def write(store, sums):
                for i, x in enumerate(sums):
                    store(to + i * out_step, x)

            sums = m.loop(cells, filled if depth == LANES else exchanged, *[m.load_part(bias, part)] * together)
            sums = m.when(added, lambda *s: [x + beside(i) for i, x in enumerate(s)], *sums)
            sums, zero = rectified(m, relu, sums), m.splat(0)
            sums = m.when(gated, lambda *s: [m.below(zero, beside(i), x, zero) for i, x in enumerate(s)], *sums)
            m.when(whole, lambda: write(m.store, sums))
            m.when(1 - whole, lambda: write(lambda to, x: m.store_part(to, x, part), sums))

        def row(r):
            for count, together in zip((large, middle, single), BLOCKS, strict=True):
                m.loop(count, functools.partial(block, together, count, r))

        m.loop(rows, row)

    return kernel(several)


row_2, row_4, row_8, row_16 = (row_kernel(min(depth, LANES)) for depth in (2, 4, 8, 16))


class Bands(NamedTuple):
    """A convolution by bands: addresses, and steps in bytes."""

    out: int
    out_n: int
    out_h: int
    out_w: int
    N: int
    OH: int
    OW: int
    source: int
    source_n: int
    source_h: int
    source_w: int
    H: int
    W: int
    channels: int
    depth: int  # channels of a group
    weight: int  # (vectors, weights and verdict, LANES); or the sums, (parts, vectors, cells, depth, LANES)
    bias: int
    relu: int
    gated: int
    gate: int
    added: int
    zeros: int
    step_h: int  # pixels of the source from one row of places to the next
    step_w: int
    turns_h: int  # kinds of pixels, down and across
    turns_w: int
    top: int  # the first pixels that the first place sees
    left: int
    span: int  # rows that a row of places sees
    phase: int  # vectors of the buffer for the pixels that one in step_w places begins with
    cells: int
    kinds: int  # table: the first cell of each kind of pixels
    offsets: int  # table: how far each cell's pixel lies from its place in the buffer
    dy: int  # and in the image, in pixels: tables
    dx: int
    edges: int  # table: whether a cell does without the first place of a row, and without the last
    in_place: int  # 1: pixels are read where they lie, if weights are finite
    rows: int  # of places (of every kind) to a band
    bands: int
    each: int  # vectors of channels to a piece of work
    parts: int


@inner
def compute_rows(g, rows, at, row, step, offsets, edges, cells, weight, count, out, out_row, out_step, part, bias):
    """Compute rows of places, in the largest blocks that do not exceed one."""
    size = BLOCKS[0] if count >= BLOCKS[0] else BLOCKS[1] if count >= BLOCKS[1] else 1
    blocks, last = -(-count // size), count - size
    large, middle, single = blocks * (size == BLOCKS[0]), blocks * (size == BLOCKS[1]), blocks * (size == 1)
    between = max(blocks - 1, 1)
    if g.depth == 2:
        row_2(rows, at, row, step, offsets, edges, cells, weight, large, middle, single, last, between, out, out_row,
              out_step, part, bias, g.relu, g.gated, g.gate, g.added)
    elif g.depth == 4:
        row_4(rows, at, row, step, offsets, edges, cells, weight, large, middle, single, last, between, out, out_row,
              out_step, part, bias, g.relu, g.gated, g.gate, g.added)
    elif g.depth == 8:
        row_8(rows, at, row, step, offsets, edges, cells, weight, large, middle, single, last, between, out, out_row,
              out_step, part, bias, g.relu, g.gated, g.gate, g.added)
    else:
        row_16(rows, at, row, step, offsets, edges, cells, weight, large, middle, single, last, between, out, out_row,
               out_step, part, bias, g.relu, g.gated, g.gate, g.added)


@inner
def inside(distance, step, size, places):
    """Return the first of so many places, `step` pixels apart, whose pixel so far off is in the image; and the end."""
    first = min(max(-(distance // step), 0), places)
    return first, max(min((size - 1 - distance) // step + 1, places), first)


@inner
def fill(g, source, first, rows, buffer, part, ahead):
    """Copy rows of a vector of channels into the buffer, from row `first` of the image on; beside them it is 0."""
    line = SIZE * g.step_w * g.phase
    top, bottom = inside(first, 1, g.H, rows)
    clear(buffer, top * g.step_w * g.phase)
    clear(buffer + bottom * line, (rows - bottom) * g.step_w * g.phase)
    for p in range(g.step_w):
        x = g.left + p
        left, right = inside(x, g.step_w, g.W, g.phase)
        copy_lines(bottom - top, source + (first + top) * g.source_h + (x + left * g.step_w) * g.source_w, g.source_h,
                   g.step_w * g.source_w, right - left, buffer + top * line + SIZE * (p * g.phase + left), line, part,
                   ahead)


@inner
def room(g):
    """Return memory for the buffer, of zeros; see `aligned`."""
    return np.zeros((((g.rows - 1) * g.step_h + g.span) * g.step_w * g.phase + 1) * LANES, np.float32)


@inner
def aligned(memory):
    """Return where a buffer begins in its memory. Ask again in each round: numba frees an array that nobody names."""
    return memory.ctypes.data // SIZE * SIZE + SIZE


@inner
def cells_inside(g, y, first, last):
    """Return those of the cells that lie in the image's rows, where a row of places begins at the image's row `y`."""
    low, high = -y, g.H - y
    while first < last and (peek(g.dy + 8 * first) < low or peek(g.dy + 8 * first) >= high):
        first += 1
    while first < last and (peek(g.dy + 8 * last - 8) < low or peek(g.dy + 8 * last - 8) >= high):
        last -= 1
    return first, last


@inner
def compute_kind(g, n, q, rows, v, kind, at, row, step, offsets, edges, weight, finite):
    """Compute one kind of pixels of a band: rows that see the same cells together, for the first and last see fewer."""
    oh, ow, i = q * g.turns_h + kind // g.turns_w, kind % g.turns_w, 0
    if ow >= g.OW:
        return
    out, count = g.out + n * g.out_n + ow * g.out_w + SIZE * v, min(rows, (g.OH - oh - 1) // g.turns_h + 1)
    first, last, bias = peek(g.kinds + 8 * kind), peek(g.kinds + 8 * kind + 8), g.bias + SIZE * v * (g.bias != g.zeros)
    while i < count:
        (begin, end), alike = (first, last), count - i
        if finite:
            (begin, end), alike = cells_inside(g, (q + i) * g.step_h, first, last), 1
            while i + alike < count and cells_inside(g, (q + i + alike) * g.step_h, first, last) == (begin, end):
                alike += 1
        compute_rows(g, alike, at + i * row, row, step, offsets + 8 * begin, edges + 16 * begin, end - begin,
                     weight + SIZE * g.depth * begin, (g.OW - ow - 1) // g.turns_w + 1,
                     out + (oh + i * g.turns_h) * g.out_h, g.turns_h * g.out_h, g.turns_w * g.out_w,
                     min(LANES, g.channels - v * LANES), bias)
        i += alike


@worker(Bands)
def forward(_, job):
    """Take bands of vectors of channels that lie side by side."""
    g = opened(job)
    memory, vectors, line = room(g), -(-g.channels // LANES), SIZE * g.step_w * g.phase
    pieces, places = -(-vectors // g.each), -(-g.OH // g.turns_h)
    there = np.empty(g.cells, np.int64)  # how far each cell's pixel lies from its place in the image
    for c in range(g.cells):
        there[c] = peek(g.dy + 8 * c) * g.source_h + peek(g.dx + 8 * c) * g.source_w
    while True:
        work = take(g.counter)
        if work >= g.N * g.bands * pieces:
            return
        n, q, first = work // (g.bands * pieces), work // pieces % g.bands * g.rows, work % pieces * g.each
        last, rows, buffer = min(first + g.each, vectors), min(g.rows, places - q), aligned(memory)
        for v in range(first, last):
            at, weight = g.source + n * g.source_n + SIZE * v, g.weight + SIZE * (g.cells * g.depth + 1) * v
            finite = peek(weight + SIZE * g.cells * g.depth)
            if g.in_place and finite:
                row, step, offsets, edges = g.step_h * g.source_h, g.step_w * g.source_w, there.ctypes.data, g.edges
                at += q * row
            else:
                row, step, offsets, edges = g.step_h * line, SIZE, g.offsets, g.zeros
                fill(g, at, q * g.step_h + g.top, (rows - 1) * g.step_h + g.span, buffer,
                     min(LANES, g.channels - v * LANES), SIZE * (v + 1 < last))
                at = buffer
            for kind in range(g.turns_h * g.turns_w):
                compute_kind(g, n, q, rows, v, kind, at, row, step, offsets, edges, weight, finite)


# Weights: (vectors, cells * depth + 1, LANES); the last row begins with a word, 1 if the others are finite


class Exchange(NamedTuple):
    """Weights on their way into vectors, or sums into weights."""

    weight: int  # (channels, depth, used), C order
    packed: int
    channels: int
    depth: int
    cells: int
    used: int  # cells of the kernel; others in a packed vector mean nothing
    cell: int  # table: which of the kernel's cells each one is
    back: int
    parts: int = 1


@inner
def partner(g, channel, r):
    """Return the channel that meets `channel` in the rth product."""
    return channel // LANES * LANES + r if g.depth == LANES else channel ^ r


@worker(Exchange)
def pack(_, job):
    """Take vectors of channels, and bring their weights together."""
    g = opened(job)
    while True:
        v = take(g.counter)
        if v >= -(-g.channels // LANES):
            return
        packed = g.packed + SIZE * (g.cells * g.depth + 1) * v
        for c in range(g.cells):
            cell = peek(g.cell + 8 * c)
            for r in range(g.depth):
                for channel in range(v * LANES, min((v + 1) * LANES, g.channels)):
                    to, seen = partner(g, channel, r), channel
                    if g.back == 0:
                        to, seen = seen, to
                    move(g.weight + 4 * ((to * g.depth + seen % g.depth) * g.used + cell),
                         packed + 4 * ((c * g.depth + r) * LANES + channel % LANES))
        judge(packed, g.cells * g.depth, packed + SIZE * g.cells * g.depth)


class Route(NamedTuple):
    """How a convolution walks: the fields of Bands that its window decides, and its cells in order."""

    step: tuple[int, int]
    turns: tuple[int, int]
    first: tuple[int, int]
    span: int
    phase: int
    few: bool  # of a row's places, a cell does without one at most
    cell: np.ndarray
    kinds: np.ndarray
    offsets: np.ndarray
    dy: np.ndarray
    dx: np.ndarray
    edges: np.ndarray


@functools.lru_cache(256)
def route(window, back, OW, W, several=1):
    """Return the route of a convolution from rows of W pixels to OW; pad the cells to a multiple of `several`."""
    (KH, KW), (DH, DW), ((top, _), (left, _)) = window.kernel_size, window.dilation, window.pad
    step, turns = ((1, 1), window.stride) if back else (window.stride, (1, 1))
    down = list(kinds(window, 0)) if back else [(0, range(KH), [h * DH - top for h in range(KH)])]
    across = list(kinds(window, 1)) if back else [(0, range(KW), [w * DW - left for w in range(KW)])]
    ys, xs = ([int(d) for _, _, distances in axis for d in distances] for axis in (down, across))
    phase = -(-OW // turns[1]) + (max(xs) - min(xs)) // step[1]
    cell, offsets, dys, dxs, edges, first = [], [], [], [], [], [0]
    for _, kh, dy in down:
        for begin, kw, dx in across:
            places = -(-(OW - begin) // turns[1])
            cell += [int(h) * KW + int(w) for h in kh for w in kw]
            for y in dy:
                for x in dx:
                    away, jumped = divmod(int(x) - min(xs), step[1])
                    offsets.append(SIZE * (((int(y) - min(ys)) * step[1] + jumped) * phase + away))
                    dys.append(int(y))
                    dxs.append(int(x))
                    left, right = inside(int(x), step[1], W, places)
                    edges.append((left, places - right))
            first.append(len(cell))
    offsets += offsets[:1] * (-len(cell) % several)
    few = all(sum(edge) <= 1 for edge in edges)
    return Route(step, turns, (min(ys), min(xs)), max(ys) - min(ys) + 1, phase, few,
                 *(np.array(table, np.int64) for table in (cell, first, offsets, dys, dxs, edges)))


def start(worker, way, out, source, depth, weight, bias=None, relu=0, gate=None, added=None, parts=0):
    """Cut a convolution into bands, and let the threads take them."""
    (N, C, OH, OW), places = out.shape, -(-out.shape[2] // way.turns[0])
    high = BUFFER // (SIZE * way.step[1] * way.phase)  # rows that the buffer holds
    bands = -(-places // max((high - way.span) // way.step[0] + 1, 1))
    each = (parts or N * bands) * -(-C // LANES) // (PIECES * threads.count())
    each = max(min(SIDE_BY_SIDE, each), 1)
    nothing = zeros(max(C, LANES, 4 * len(way.offsets)))
    bias = nothing if bias is None else np.ascontiguousarray(bias)
    threads.run(worker, Bands(
        address(out), *strides(out), N, OH, OW, address(source), *strides(source), *source.shape[2:], C, depth,
        address(weight), address(bias), relu, int(gate is not None),
        beside(gate if added is None else added, out), int(added is not None), address(nothing), *way.step, *way.turns,
        *way.first, way.span, way.phase, len(way.offsets), address(way.kinds), address(way.offsets), address(way.dy),
        address(way.dx), address(way.edges), int(way.few and depth == LANES), -(-places // bands), bands, each, parts),
        out.size * depth * len(way.offsets) // ENOUGH)


def serves(groups, C, OC):
    """Return whether a vector holds whole groups, of as many channels as results."""
    depth = C // groups
    return groups > 1 and C == OC and 1 < depth <= LANES and LANES % depth == 0


def packed(weight, way, back):
    """Return the weights in vectors."""
    kind = 'grouped', back, way.cell.tobytes()
    return packs.packed(kind, weight, lambda: in_vectors(np.ascontiguousarray(weight), way.cell, back))


def in_vectors(weight, cell, back):
    (C, depth), cells = weight.shape[:2], len(cell)
    vectors = floats(-(-C // LANES) * (cells * depth + 1) * LANES)
    if C % LANES:
        from_weights(lambda: vectors.fill(0))
    threads.run(pack, Exchange(address(weight), address(vectors), C, depth, cells, cells, address(cell), int(back)),
                vectors.size >> 15)
    return vectors


def conv2d(image, weight, bias, window, relu=0, added=None):
    """Convolve images in groups of few channels, as many as of results."""
    x, y = channels_last(image), images(*image.shape[:2], *window.outsize(image.shape[2:]))
    way = route(window, False, y.shape[3], x.shape[3])
    start(forward, way, y, x, weight.shape[1], packed(weight, way, False), bias, int(relu),
          added=None if added is None else like(added, y))
    return y


def conv2d_data_grad(gy, weight, size, window, gate=None):
    """Return the gradient of the images."""
    gx, gy, way = images(*gy.shape[:2], *size), channels_last(gy), route(window, True, size[1], gy.shape[3])
    start(forward, way, gx, gy, weight.shape[1], packed(weight, way, True),
          gate=None if gate is None else like(gate, gx))
    return gx
