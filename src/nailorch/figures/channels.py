"""Many channels in, many out, many images: and the shapes that follow."""

from __future__ import annotations

from typing import Any

import numpy as np

import nailorch.functions as F
from nailorch.drawing import Box, Drawing, Line, Rect, Text, above, beside, blank
from nailorch.drawing.parts import arrow, label, outlined, stack, symbol
from nailorch.explaining import explain
from nailorch.figures.sheet import Panel, by, figure, grid, say, star, under
from nailorch.shapes import Array

__all__ = ['FILTERS', 'IMAGES', 'batch', 'channels_in', 'channels_out', 'shapes']

IMAGES = np.arange(1.0, 28).reshape(3, 3, 3)
FILTERS = np.arange(24.0).reshape(2, 3, 2, 2)


@figure('channels-in', ('Three channels in, one out', '三个输入通道，一个输出'), (
    'Each channel of the input has a kernel of its own. The three results are added, place by place.',
    '输入的每个通道各用一个卷积核；三个结果在相同位置上相加。'))
def channels_in() -> list[Panel]:
    W, side = FILTERS[0], 40.0
    told = explain('conv2d', IMAGES, W)
    cell = told.cell(0, 0)
    parts = [explain('conv2d', IMAGES[c], W[c]).output for c in range(3)]
    rows = []
    for c in range(3):
        image = outlined(grid(IMAGES[c], 'blue', side), 0, 0, 2, 2, 'orange', side)
        part = outlined(grid(parts[c], 'green', side, fill='paper'), 0, 0, 1, 1, 'purple', side)
        rows.append(beside(label(say(f'channel {c}', f'通道 {c}'), 16), image, star(), grid(W[c], 'orange', side),
                           symbol('='), part, gap=11))
    total = outlined(grid(told.output, 'green', 50), 0, 0, 1, 1, 'purple', 50)
    body = beside(above(*rows, gap=18, align='end'), bracket(3 * 120 + 36), symbol('+', 24),
                  under(total, say('output', '输出'), by(told.output.shape), 'green'), gap=8)
    lines = [label(stage.formula, 18 if place < 3 else 22, 'ink' if place < 3 else 'purple')
             for place, stage in enumerate(cell.stages)]
    return [Panel(above(body, above(*lines, gap=8), gap=24), ' '.join(f'{stage.formula}.' for stage in cell.stages),
                  {'x': IMAGES, 'W': W, 'parts': np.array(parts), 'y': told.output})]


def bracket(height: float) -> Drawing:
    """Draw a brace that takes what stands before it together."""
    return Drawing(8, height, (Line(((0, 0), (8, 0), (8, height), (0, height)), 'muted', 2),))


def pile(values: Array, colour: str, side: float, step: float = 12) -> Drawing:
    """Draw channels behind each other; the numbers of the first one, in front, can be read."""
    behind = [np.full(channel.shape, None) for channel in values[1:]]
    return stack([grid(channel, colour, side) for channel in (values[0], *behind)], step, step)


@figure('channels-out', ('One filter for each channel that comes out', '每个输出通道用一个滤波器'), (
    'A filter has as many channels as the input. It makes one channel of the output; two filters make two. '
    'Of channels that lie behind each other, the first one shows its numbers.',
    '一个滤波器的通道数与输入相同，产生输出的一个通道；两个滤波器就产生两个通道。前后重叠的通道只写出最前面一个的数。'))
def channels_out() -> list[Panel]:
    y = F.conv2d(IMAGES[None], FILTERS).data[0]
    side, rows = 44.0, []
    for o in range(len(FILTERS)):
        rows.append(beside(under(pile(IMAGES, 'blue', side), say('input', '输入'), by(IMAGES.shape), 'blue'), star(),
                           under(pile(FILTERS[o], 'orange', side), say(f'filter {o}', f'滤波器 {o}'),
                                 by(FILTERS[o].shape), 'orange'), symbol('='),
                           under(grid(y[o], 'green', 54), say(f'channel {o} out', f'输出通道 {o}'), by(y[o].shape),
                                 'green'), gap=16))
    both = say('output: both channels', '输出：两个通道合在一起')
    together = under(pile(y, 'green', 54, 20), both, by(y.shape), 'green')
    shapes = label(f'x {IMAGES.shape}   W {FILTERS.shape}   →   y {y.shape}', 18)
    return [Panel(above(*rows, beside(shapes, together, gap=36), gap=26, align='end'),
                  f'x {IMAGES.shape}, W {FILTERS.shape}, y {y.shape}: {listed(y)}.',
                  {'x': IMAGES, 'W': FILTERS, 'y': y})]


def listed(values: Array) -> str:
    return ', '.join(f'{value:g}' for value in values.ravel())


@figure('batch', ('A mini-batch', '小批量'), (
    'Every image of a batch meets the same filters. The images do not mix: the batch is one more axis, in front.',
    '批量中的每幅图像都与同一组滤波器做卷积，图像之间互不影响：批量只是最前面多出的一个轴。'))
def batch() -> list[Panel]:
    W = FILTERS
    x = np.stack([IMAGES, np.roll(IMAGES, 1, axis=2), IMAGES[:, ::-1], IMAGES.transpose(0, 2, 1)])
    y = F.conv2d(x, W).data
    arrows = arrow(44)
    rows = [beside(label(say(f'image {n}', f'图像 {n}'), 16), pile(x[n], 'blue', 36, 10), arrows, blank(130), arrows,
                   pile(y[n], 'green', 46, 12), gap=12) for n in range(len(x))]
    body = above(*rows, gap=26, align='end')
    words = under(above(*(pile(w, 'orange', 40, 12) for w in W), gap=24), say('the same filters', '同一组滤波器'),
                  by(W.shape), 'orange')
    box = Drawing(130, body.height, (Rect(Box(0, 0, 130, body.height), 'paper', 'orange', 2, 8),))
    box = box.at((130 - words.width) / 2, (box.height - words.height) / 2, words)
    right = 12 + arrows.width + 12 + pile(y[0], 'green', 46, 12).width
    body = body.at(body.width - right - 130, 0, box)
    shapes = label(f'x {x.shape}   W {W.shape}   →   y {y.shape}', 18)
    return [Panel(above(body, shapes, gap=24), f'x {x.shape}, W {W.shape}, y {y.shape}: {listed(y)}.',
                  {'x': x, 'W': W, 'y': y})]


@figure('shapes', ('Shapes, from one image to a batch', '形状：从一幅图像到一个批量'), (
    'Each row adds an axis. A bias, where there is one, has the shape (OC,): a number for each channel that comes out.',
    '每一行多一个轴。若有偏置，它的形状是 (OC,)：每个输出通道一个数。'))
def shapes() -> list[Panel]:
    rows: list[tuple[str, tuple[str, str, str], Any, Any]] = [
        (say('one grey image', '一幅灰度图像'), ('(H, W)', '(KH, KW)', '(OH, OW)'), IMAGES[0], FILTERS[0, 0]),
        (say('channels in', '多个输入通道'), ('(C, H, W)', '(C, KH, KW)', '(OH, OW)'), IMAGES, FILTERS[0]),
        (say('channels out', '多个输出通道'), ('(C, H, W)', '(OC, C, KH, KW)', '(OC, OH, OW)'), IMAGES, FILTERS),
        (say('a batch', '一个批量'), ('(N, C, H, W)', '(OC, C, KH, KW)', '(N, OC, OH, OW)'),
         np.stack([IMAGES] * 5), FILTERS)]
    heads = ('', say('input x', '输入 x'), say('kernel W', '卷积核 W'), say('output y', '输出 y'))
    colours, widths, high = ('ink', 'blue', 'orange', 'green'), (132.0, 140.0, 158.0, 162.0), 76.0
    lefts = [sum(widths[:c]) for c in range(4)]
    table = Drawing(sum(widths), 40 + high * len(rows), tuple(
        Text(lefts[c] + widths[c] / 2, 20, heads[c], 16, colours[c]) for c in (1, 2, 3)))
    found: list[tuple[Any, ...]] = []
    for r, (name, symbols, x, W) in enumerate(rows):
        found.append((x.shape, W.shape, explain('conv2d', x, W).output.shape))
        top = 40 + high * r
        table = table.plus(Text(4, top + high / 2, name, 16, 'ink', 'start'))
        for c in (1, 2, 3):
            box = Box(lefts[c] + 2, top + 2, widths[c] - 4, high - 4)
            middle = lefts[c] + widths[c] / 2
            table = table.plus(Rect(box, f'pale {colours[c]}', radius=6), Text(middle, top + 24, symbols[c - 1], 15),
                               Text(middle, top + 52, str(found[r][c - 1]), 17, colours[c]))
    said = '; '.join(f'{row[0]}: x {x}, W {W}, y {y}' for row, (x, W, y) in zip(rows, found, strict=True))
    return [Panel(table, said + '.', {'shapes': found})]
