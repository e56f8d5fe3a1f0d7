"""The weights' gradient of groups of few channels: as grouped.py has it, by the same bands.

    gW[kh, kw, r, o] = sum over n, oh, ow of x[oh*SH + kh*DH - top, ow*SW + kw*DW - left, o ^ r] * gy[oh, ow, o]

A worker keeps the sums of its vectors of channels. Lanes of gy are exchanged, for a pixel serves several cells. Where a
group fills the vector, pixels are read where they lie, and products with the zeros around images are left out.
"""

from __future__ import annotations

from math import prod

import numpy as np

from nailorch.kernels.fast import threads
from nailorch.kernels.fast.emit import SIZE, kernel, peek, take
from nailorch.kernels.fast.grouped import Bands, Exchange, aligned, clear, fill, inside, judge, move, room, route, start
from nailorch.kernels.fast.jit import inner, opened, worker
from nailorch.kernels.fast.layout import channels_last
from nailorch.kernels.fast.memory import address, floats
from nailorch.kernels.fast.outer import Delivery, deliver
from nailorch.kernels.fast.target import LANES, REGISTERS
from nailorch.kernels.fast.tiles import add_numbers

TOGETHER = {2: 9, 4: 3, 8: 3} if REGISTERS == 32 else {2: 5, 4: 2}  # cells whose gradients grow at a time
TOGETHER = {depth: cells for depth, cells in TOGETHER.items() if depth < LANES}  # one where a group fills a vector
TOGETHER_2, TOGETHER_4, TOGETHER_8 = (TOGETHER.get(depth, 1) for depth in (2, 4, 8))


def gradient_kernel(depth):
    """Return the kernel that adds the products of rows to the sums of some cells, (cells, depth, LANES)."""
    together = TOGETHER[depth]

    def gradient(m, rows, source, source_row, offsets, count, gy, gy_row, gy_step, part, sums):
        def row(r, *totals):
            def pixel(i, *totals):
                g, at = m.load_part(gy + r * gy_row + i * gy_step, part), r * source_row + i * SIZE
                turns = [m.turned(g, t) if t else g for t in range(depth)]
                xs = [m.load(start + at) for start in starts]
                return [m.fma(xs[k // depth], turns[k % depth], total) for k, total in enumerate(totals)]
            return m.loop(count, pixel, *totals)

        starts = [source + m.word(offsets + 8 * c) for c in range(together)]
        places = [sums + SIZE * k for k in range(together * depth)]
        for place, total in zip(places, m.loop(rows, row, *map(m.load, places)), strict=True):
            m.store(place, total)

    return kernel(gradient)


gradient_2, gradient_4, gradient_8 = (gradient_kernel(min(depth, max(TOGETHER))) for depth in (2, 4, 8))


@kernel
def gradient_full(m, rows, source, source_row, source_step, count, gy, gy_row, gy_step, sums, ahead):
    """Add the products of rows to the sums of one cell, (LANES, LANES), where a group fills the vector.

    What lies `ahead` bytes further on is asked for.
    """
    def row(r, *totals):
        def pixel(i, *totals):
            x, at = source + r * source_row + i * source_step, gy + r * gy_row + i * gy_step
            m.prefetch(x + ahead)
            m.prefetch(at + ahead)
            g = m.load(at)
            return [m.fma(m.broadcast(x + 4 * k), g, total) for k, total in enumerate(totals)]
        return m.loop(count, pixel, *totals)

    places = [sums + SIZE * k for k in range(LANES)]
    for place, total in zip(places, m.loop(rows, row, *map(m.load, places)), strict=True):
        m.store(place, total)


@inner
def add_inside(g, first, rows, source, gy, sums, ahead, witness):
    """Add the products of rows of places, from the `first` on, to the sums of all cells: of pixels inside the image.

    With those of the witness, which sees one from every place, the next vector's numbers are asked for.
    """
    for c in range(g.cells):
        dy, dx = peek(g.dy + 8 * c) + first * g.step_h, peek(g.dx + 8 * c)
        (top, bottom), (left, right) = inside(dy, g.step_h, g.H, rows), inside(dx, g.step_w, g.W, g.OW)
        at = source + (dy + top * g.step_h) * g.source_h + (dx + left * g.step_w) * g.source_w
        gradient_full(bottom - top, at, g.step_h * g.source_h, g.step_w * g.source_w, right - left,
                      gy + top * g.out_h + left * g.out_w, g.out_h, g.out_w, sums + SIZE * LANES * c,
                      ahead * (c == witness))


@inner
def add_rows(g, rows, at, row, gy, part, sums):
    """Add the products of rows of the buffer to the sums of all cells."""
    together = TOGETHER_2 if g.depth == 2 else TOGETHER_4 if g.depth == 4 else TOGETHER_8 if g.depth == 8 else 1
    for c in range(0, g.cells, together):
        cell, to = g.offsets + 8 * c, sums + SIZE * g.depth * c
        if g.depth == LANES:
            gradient_full(rows, at + peek(cell), row, SIZE, g.OW, gy, g.out_h, g.out_w, to, 0)
        elif g.depth == 2:
            gradient_2(rows, at, row, cell, g.OW, gy, g.out_h, g.out_w, part, to)
        elif g.depth == 4:
            gradient_4(rows, at, row, cell, g.OW, gy, g.out_h, g.out_w, part, to)
        else:
            gradient_8(rows, at, row, cell, g.OW, gy, g.out_h, g.out_w, part, to)


@inner
def add_band(g, band, v, ahead, buffer, sums, witness):
    """Add a band's products to the sums of a vector of channels; without a witness, those with zeros too."""
    n, oh, line = band // g.bands, band % g.bands * g.rows, SIZE * g.step_w * g.phase
    rows, part = min(g.rows, g.OH - oh), min(LANES, g.channels - v * LANES)
    source, gy = g.source + n * g.source_n + SIZE * v, g.out + n * g.out_n + oh * g.out_h + SIZE * v
    if witness >= 0:
        add_inside(g, oh, rows, source, gy, sums, ahead, witness)
    else:
        fill(g, source, oh * g.step_h + g.top, (rows - 1) * g.step_h + g.span, buffer, part, ahead)
        add_rows(g, rows, buffer, g.step_h * line, gy, part, sums)


@inner
def witness_of(g):
    """Return a cell that sees a pixel inside the image from every place, where a group fills the vector; else -1."""
    for c in range(g.cells * (g.depth == LANES)):
        if inside(peek(g.dy + 8 * c), g.step_h, g.H, g.OH) == (0, g.OH) and (
                inside(peek(g.dx + 8 * c), g.step_w, g.W, g.OW) == (0, g.OW)):
            return c
    return -1


@worker(Bands)
def gradient(_, job):
    """Take parts of the bands, of vectors of channels that lie side by side, and sum up their products."""
    g = opened(job)
    memory, vectors, bands, verdict = room(g), -(-g.channels // LANES), g.N * g.bands, np.empty(1, np.int64)
    pieces, size = -(-vectors // g.each), SIZE * g.cells * g.depth
    witness = witness_of(g)
    while True:
        work = take(g.counter)
        if work >= g.parts * pieces:
            return
        share, first = work // pieces, work % pieces * g.each
        last, sums, buffer = min(first + g.each, vectors), g.weight + size * vectors * share, aligned(memory)
        begin, end = share * bands // g.parts, (share + 1) * bands // g.parts
        clear(sums + size * first, g.cells * g.depth * (last - first))
        for band in range(begin, end):
            for v in range(first, last):
                add_band(g, band, v, SIZE * (v + 1 < last), buffer, sums + size * v, witness)
        for v in range(first, last if witness >= 0 else first):
            judge(sums + size * v + SIZE * LANES * witness, LANES, verdict.ctypes.data)
            if verdict[0] == 0:  # then gy is not finite, maybe, and makes NaN of the zeros around images
                clear(sums + size * v, g.cells * g.depth)
                for band in range(begin, end):
                    add_band(g, band, v, 0, buffer, sums + size * v, -1)


@worker(Exchange)
def unpack(_, job):
    """Take vectors of channels, add up their parts, and write the weights' gradient."""
    g = opened(job)
    vectors = -(-g.channels // LANES)
    while True:
        v = take(g.counter)
        if v >= vectors:
            return
        size = g.cells * g.depth * LANES
        sums = g.packed + 4 * size * v
        for share in range(1, g.parts):
            add_numbers(sums + 4 * size * vectors * share, sums, size)
        for c in range(g.used):
            for r in range(g.depth):
                for channel in range(v * LANES, min((v + 1) * LANES, g.channels)):
                    move(sums + 4 * ((c * g.depth + r) * LANES + channel % LANES),
                         g.weight + 4 * (((channel ^ r) * g.depth + channel % g.depth) * g.used + c))


def conv2d_weight_grad(image, gy, window, groups):
    """Return the gradient of the weights, (C, C // groups, KH, KW)."""
    x, gy, C, depth = channels_last(image), channels_last(gy), image.shape[1], image.shape[1] // groups
    way, vectors = route(window, False, gy.shape[3], x.shape[3], TOGETHER.get(depth, 1)), -(-C // LANES)
    cells, gW = len(way.offsets), floats(C * depth * prod(window.kernel_size)).reshape(C, depth, *window.kernel_size)
    parts = max(min(8 * threads.count() // vectors, len(gy)), 1)
    sums = floats(parts * vectors * cells * depth * LANES)
    start(gradient, way, gy, x, depth, sums, parts=parts)
    if depth == LANES:  # a vector holds the results of one group
        threads.run(deliver, Delivery(address(sums), parts, cells, depth, depth, groups, address(gW)), gW.size >> 15)
    else:
        threads.run(unpack, Exchange(address(gW), address(sums), C, depth, cells, len(way.cell), 0, 0, parts),
                    gW.size >> 15)
    return gW
