"""Convolution in groups of few channels: as many results as channels in each, and whole groups in a vector.

A matrix product of so few channels would leave most of a vector empty. But channels lie side by side, so a vector of x
holds every channel that a vector of results sees; they only stand in other lanes. With `depth` channels to a group,

    y[oh, ow, o] = sum over kh, kw, r < depth of x[oh*SH + kh*DH - top, ow*SW + kw*DW - left, o ^ r] * W[kh, kw, r, o]

where o ^ r runs through the channels of o's group: exchanging lanes brings each to its place, and every multiplication
is a useful one (a product with zeros between the groups made 4 times as many for groups of 4: it took 4 times as long).
Where a group fills the vector, a broadcast of its rth channel stands for x[o ^ r].

A worker takes a band of rows of one vector of channels, and first copies what these see of the images into a buffer of
its own, zeros around it. There a pixel follows the other, and those that a step jumps over have rows of their own: so
places side by side lie side by side, whatever stride and edges are. Only the buffer's rows are read KH times. Of a
pixel, the vector after is asked for meanwhile, for it comes next; and before a block is computed, where it goes.

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
from nailorch.kernels.fast.tiles import rectified, rolled

BUFFER = 48 << 10  # bytes: it stays in the second cache, whose next line is fetched ahead
SIDE_BY_SIDE = 4  # vectors of channels that one thread takes: of each pixel, all that comes with the first one
PIECES = 4  # of work to a thread, at least
ENOUGH = 1 << 19  # multiplications that are worth a thread
BLOCKS = (14, 7, 1) if REGISTERS == 32 else (7, 4, 1)  # places at a time: a weight is loaded once for them


@kernel
def copy_line(m, source, step, before, count, after, out, part, ahead):
    """Copy `count` vectors, `step` bytes apart, next to each other, zeros before and after.

    `part` numbers of each are real, the others 0. What lies `ahead` bytes further on is asked for.
    """
    def vector(i):
        m.prefetch(source + i * step + ahead)
        m.store(first + i * SIZE, m.load_part(source + i * step, part))

    first, zero = out + before * SIZE, m.splat(0)
    last = first + count * SIZE
    m.loop(before, lambda i: m.store(out + i * SIZE, zero))
    m.loop(count, vector)
    m.loop(after, lambda i: m.store(last + i * SIZE, zero))


@inlined
def move(m, source, out):
    """Copy a number."""
    m.move(source, out)


def row_kernel(depth):
    """Return the kernel of rows of places, in as many blocks of each size as `large`, `middle` and `single` say.

    The first block begins at place 0, the last one at `last`, `between` blocks later; they may overlap.
    """
    def several(m, rows, source, source_row, offsets, cells, weight, large, middle, single, last, between, out, out_row,
                out_step, part, bias, relu, gated, gate, added):
        whole = part // LANES

        def block(together, r, b):
            at, first = source + r * source_row, b * last // between
            to = out + r * out_row + first * out_step

            for i in range(together):
                m.prefetch(to + i * out_step)

            def cell(c, *sums):
                pixel, w = at + m.word(offsets + c * 8) + first * SIZE, weight + c * (SIZE * depth)
                if depth == LANES:
                    def lanes(steps):
                        def several(k, *sums):
                            for j in range(steps):
                                at, one = pixel + k * (4 * steps) + 4 * j, m.load(w + k * (SIZE * steps) + SIZE * j)
                                sums = [m.fma(m.broadcast(at + SIZE * i), one, s) for i, s in enumerate(sums)]
                            return sums
                        return several

                    return rolled(m, LANES, lanes, *sums)
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

            sums = m.loop(cells, cell, *[m.load_part(bias, part)] * together)
            sums = m.when(added, lambda *s: [x + beside(i) for i, x in enumerate(s)], *sums)
            sums, zero = rectified(m, relu, sums), m.splat(0)
            sums = m.when(gated, lambda *s: [m.below(zero, beside(i), x, zero) for i, x in enumerate(s)], *sums)
            m.when(whole, lambda: write(m.store, sums))
            m.when(1 - whole, lambda: write(lambda to, x: m.store_part(to, x, part), sums))

        def row(r):
            for count, together in zip((large, middle, single), BLOCKS, strict=True):
                m.loop(count, functools.partial(block, together, r))

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
    weight: int  # (vectors, cells, depth, LANES); or the sums, (parts, vectors, cells, depth, LANES)
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
    rows: int  # of places (of every kind) to a band
    bands: int
    each: int  # vectors of channels to a piece of work
    parts: int


@inner
def compute_rows(g, rows, at, row, first, cells, weight, count, out, out_row, out_step, part, bias):
    """Compute rows of places, in the largest blocks that do not exceed one."""
    size = BLOCKS[0] if count >= BLOCKS[0] else BLOCKS[1] if count >= BLOCKS[1] else 1
    blocks, last = -(-count // size), count - size
    large, middle, single = blocks * (size == BLOCKS[0]), blocks * (size == BLOCKS[1]), blocks * (size == 1)
    between, offsets = max(blocks - 1, 1), g.offsets + 8 * first
    if g.depth == 2:
        row_2(rows, at, row, offsets, cells, weight, large, middle, single, last, between, out, out_row, out_step, part,
              bias, g.relu, g.gated, g.gate, g.added)
    elif g.depth == 4:
        row_4(rows, at, row, offsets, cells, weight, large, middle, single, last, between, out, out_row, out_step, part,
              bias, g.relu, g.gated, g.gate, g.added)
    elif g.depth == 8:
        row_8(rows, at, row, offsets, cells, weight, large, middle, single, last, between, out, out_row, out_step, part,
              bias, g.relu, g.gated, g.gate, g.added)
    else:
        row_16(rows, at, row, offsets, cells, weight, large, middle, single, last, between, out, out_row, out_step,
               part, bias, g.relu, g.gated, g.gate, g.added)


@inner
def fill(g, source, first, rows, buffer, part, ahead):
    """Copy rows of a vector of channels into the buffer, from row `first` of the image on, zeros around them."""
    for i in range(rows):
        y = first + i
        for p in range(g.step_w):
            to, x = buffer + SIZE * (i * g.step_w + p) * g.phase, g.left + p
            before = min(max(-(x // g.step_w), 0), g.phase)  # places whose pixel lies before the image
            after = max(min((g.W - 1 - x) // g.step_w + 1, g.phase), before)
            if y < 0 or y >= g.H:
                before, after = g.phase, g.phase
            copy_line(source + y * g.source_h + (x + before * g.step_w) * g.source_w, g.step_w * g.source_w, before,
                      after - before, g.phase - after, to, part, ahead)


@inner
def room(g):
    """Return memory for the buffer."""
    return np.empty((((g.rows - 1) * g.step_h + g.span) * g.step_w * g.phase + 1) * LANES, np.float32)


@worker(Bands)
def forward(_, job):
    """Take bands of vectors of channels that lie side by side."""
    g = opened(job)
    memory, vectors, line = room(g), -(-g.channels // LANES), SIZE * g.step_w * g.phase
    buffer, pieces, places = memory.ctypes.data // SIZE * SIZE + SIZE, -(-vectors // g.each), -(-g.OH // g.turns_h)
    while True:
        work = take(g.counter)
        if work >= g.N * g.bands * pieces:
            return
        n, q, first = work // (g.bands * pieces), work // pieces % g.bands * g.rows, work % pieces * g.each
        last, rows = min(first + g.each, vectors), min(g.rows, places - q)
        for v in range(first, last):
            part, weight = min(LANES, g.channels - v * LANES), g.weight + SIZE * g.cells * g.depth * v
            bias = g.bias + SIZE * v * (g.bias != g.zeros)
            fill(g, g.source + n * g.source_n + SIZE * v, q * g.step_h + g.top, (rows - 1) * g.step_h + g.span,
                 buffer, part, SIZE * (v + 1 < last))
            for kind in range(g.turns_h * g.turns_w):
                oh, ow, cell = q * g.turns_h + kind // g.turns_w, kind % g.turns_w, peek(g.kinds + 8 * kind)
                if oh < g.OH and ow < g.OW:
                    compute_rows(g, min(rows, (g.OH - oh - 1) // g.turns_h + 1), buffer, g.step_h * line, cell,
                                 peek(g.kinds + 8 * kind + 8) - cell, weight + SIZE * g.depth * cell,
                                 (g.OW - ow - 1) // g.turns_w + 1,
                                 g.out + n * g.out_n + oh * g.out_h + ow * g.out_w + SIZE * v, g.turns_h * g.out_h,
                                 g.turns_w * g.out_w, part, bias)


# Weights: (vectors, cells, depth, LANES)


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
        for c in range(g.cells):
            cell = peek(g.cell + 8 * c)
            for r in range(g.depth):
                for channel in range(v * LANES, min((v + 1) * LANES, g.channels)):
                    to, seen = partner(g, channel, r), channel
                    if g.back == 0:
                        to, seen = seen, to
                    move(g.weight + 4 * ((to * g.depth + seen % g.depth) * g.used + cell),
                         g.packed + 4 * (((v * g.cells + c) * g.depth + r) * LANES + channel % LANES))


class Route(NamedTuple):
    """How a convolution walks: the fields of Bands that its window decides, and its cells in order."""

    step: tuple[int, int]
    turns: tuple[int, int]
    first: tuple[int, int]
    span: int
    phase: int
    cell: np.ndarray
    kinds: np.ndarray
    offsets: np.ndarray


@functools.lru_cache(256)
def route(window, back, OW, several=1):
    """Return the route of a convolution with OW places in a row; pad the cells to a multiple of `several`."""
    (KH, KW), (DH, DW), ((top, _), (left, _)) = window.kernel_size, window.dilation, window.pad
    step, turns = ((1, 1), window.stride) if back else (window.stride, (1, 1))
    down = list(kinds(window, 0)) if back else [(0, range(KH), [h * DH - top for h in range(KH)])]
    across = list(kinds(window, 1)) if back else [(0, range(KW), [w * DW - left for w in range(KW)])]
    ys, xs = ([int(d) for _, _, distances in axis for d in distances] for axis in (down, across))
    phase = -(-OW // turns[1]) + (max(xs) - min(xs)) // step[1]
    cell, offsets, first = [], [], [0]
    for _, kh, dy in down:
        for _, kw, dx in across:
            cell += [int(h) * KW + int(w) for h in kh for w in kw]
            for y in dy:
                for x in dx:
                    away, jumped = divmod(int(x) - min(xs), step[1])
                    offsets.append(SIZE * (((int(y) - min(ys)) * step[1] + jumped) * phase + away))
            first.append(len(cell))
    offsets += offsets[:1] * (-len(cell) % several)
    return Route(step, turns, (min(ys), min(xs)), max(ys) - min(ys) + 1, phase,
                 *(np.array(table, np.int64) for table in (cell, first, offsets)))


def start(worker, way, out, source, depth, weight, bias=None, relu=0, gate=None, added=None, parts=0):
    """Cut a convolution into bands, and let the threads take them."""
    (N, C, OH, OW), places = out.shape, -(-out.shape[2] // way.turns[0])
    high = BUFFER // (SIZE * way.step[1] * way.phase)  # rows that the buffer holds
    bands = -(-places // max((high - way.span) // way.step[0] + 1, 1))
    each = (parts or N * bands) * -(-C // LANES) // (PIECES * threads.count())
    each = max(min(SIDE_BY_SIDE, each), 1)
    nothing = zeros(max(C, LANES))
    bias = nothing if bias is None else np.ascontiguousarray(bias)
    threads.run(worker, Bands(
        address(out), *strides(out), N, OH, OW, address(source), *strides(source), *source.shape[2:], C, depth,
        address(weight), address(bias), relu, int(gate is not None),
        beside(gate if added is None else added, out), int(added is not None), address(nothing), *way.step, *way.turns,
        *way.first, way.span, way.phase, len(way.offsets), address(way.kinds), address(way.offsets),
        -(-places // bands), bands, each, parts),
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
    vectors = floats(-(-C // LANES) * cells * depth * LANES)
    if C % LANES:
        from_weights(lambda: vectors.fill(0))
    threads.run(pack, Exchange(address(weight), address(vectors), C, depth, cells, cells, address(cell), int(back)),
                vectors.size >> 15)
    return vectors


def conv2d(image, weight, bias, window, relu=0, added=None):
    """Convolve images in groups of few channels, as many as of results."""
    x, y = channels_last(image), images(*image.shape[:2], *window.outsize(image.shape[2:]))
    way = route(window, False, y.shape[3])
    start(forward, way, y, x, weight.shape[1], packed(weight, way, False), bias, int(relu),
          added=None if added is None else like(added, y))
    return y


def conv2d_data_grad(gy, weight, size, window, gate=None):
    """Return the gradient of the images."""
    gx, gy, way = images(*gy.shape[:2], *size), channels_last(gy), route(window, True, size[1])
    start(forward, way, gx, gy, weight.shape[1], packed(weight, way, True),
          gate=None if gate is None else like(gate, gx))
    return gx
