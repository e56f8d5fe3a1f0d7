"""The weights' gradient of groups of few channels: as grouped.py has it, by the same bands.

    gW[kh, kw, r, o] = sum over n, oh, ow of x[oh*SH + kh*DH - top, ow*SW + kw*DW - left, o ^ r] * gy[oh, ow, o]

A worker keeps the sums of its vectors of channels. Lanes of gy are exchanged, for a pixel serves several cells.
"""

from __future__ import annotations

from math import prod

from nailorch.kernels.fast import threads
from nailorch.kernels.fast.emit import SIZE, kernel, take
from nailorch.kernels.fast.grouped import Bands, Exchange, clear, fill, move, room, route, start
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
    together = TOGETHER.get(depth, 1)

    def gradient(m, rows, source, source_row, offsets, count, gy, gy_row, gy_step, part, sums):
        def row(r, *totals):
            def pixel(i, *totals):
                g, at = m.load_part(gy + r * gy_row + i * gy_step, part), r * source_row + i * SIZE
                if depth == LANES:
                    return [m.fma(m.broadcast(starts[0] + at + 4 * j), g, total) for j, total in enumerate(totals)]
                turns = [m.turned(g, t) if t else g for t in range(depth)]
                xs = [m.load(start + at) for start in starts]
                return [m.fma(xs[k // depth], turns[k % depth], total) for k, total in enumerate(totals)]
            return m.loop(count, pixel, *totals)

        starts = [source + m.word(offsets + 8 * c) for c in range(together)]
        places = [sums + SIZE * k for k in range(together * depth)]
        for place, total in zip(places, m.loop(rows, row, *map(m.load, places)), strict=True):
            m.store(place, total)

    return kernel(gradient)


gradient_2, gradient_4, gradient_8, gradient_16 = (gradient_kernel(min(depth, LANES)) for depth in (2, 4, 8, 16))


@inner
def add_rows(depth, rows, at, row, offsets, cells, count, gy, gy_row, gy_step, part, sums):
    """Add the products of rows to the sums of all cells."""
    together = TOGETHER_2 if depth == 2 else TOGETHER_4 if depth == 4 else TOGETHER_8 if depth == 8 else 1
    for c in range(0, cells, together):
        cell, to = offsets + 8 * c, sums + SIZE * depth * c
        if depth == 2:
            gradient_2(rows, at, row, cell, count, gy, gy_row, gy_step, part, to)
        elif depth == 4:
            gradient_4(rows, at, row, cell, count, gy, gy_row, gy_step, part, to)
        elif depth == 8:
            gradient_8(rows, at, row, cell, count, gy, gy_row, gy_step, part, to)
        else:
            gradient_16(rows, at, row, cell, count, gy, gy_row, gy_step, part, to)


@worker(Bands)
def gradient(_, job):
    """Take parts of the bands, of vectors of channels that lie side by side, and sum up their products."""
    g = opened(job)
    memory, vectors, bands, line = room(g), -(-g.channels // LANES), g.N * g.bands, SIZE * g.step_w * g.phase
    buffer, pieces, size = memory.ctypes.data // SIZE * SIZE + SIZE, -(-vectors // g.each), SIZE * g.cells * g.depth
    while True:
        work = take(g.counter)
        if work >= g.parts * pieces:
            return
        share, first = work // pieces, work % pieces * g.each
        last, sums = min(first + g.each, vectors), g.weight + size * vectors * share
        clear(sums + size * first, g.cells * g.depth * (last - first))
        for band in range(share * bands // g.parts, (share + 1) * bands // g.parts):
            n, oh = band // g.bands, band % g.bands * g.rows
            rows = min(g.rows, g.OH - oh)
            for v in range(first, last):
                part = min(LANES, g.channels - v * LANES)
                fill(g, g.source + n * g.source_n + SIZE * v, oh * g.step_h + g.top, (rows - 1) * g.step_h + g.span,
                     buffer, part, SIZE * (v + 1 < last))
                add_rows(g.depth, rows, buffer, g.step_h * line, g.offsets, g.cells, g.OW,
                         g.out + n * g.out_n + oh * g.out_h + SIZE * v, g.out_h, g.out_w, part, sums + size * v)


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
