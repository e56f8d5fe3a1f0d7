"""A kernel slides over an image: the steps, stride, padding, and the kernel that convolution proper turns round."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

import nailorch.functions as F
from nailorch.drawing import Drawing, above, beside, blank
from nailorch.drawing.parts import label, outlined, symbol
from nailorch.explaining import Cell, Explanation, explain
from nailorch.figures.sheet import SIDE, Panel, by, figure, grid, say, star, under, windowed
from nailorch.shapes import Array, Window

__all__ = ['IMAGE', 'KERNEL', 'bias', 'flip', 'padding', 'slide', 'stride']

IMAGE = np.arange(1.0, 10).reshape(3, 3)
KERNEL = np.arange(4.0).reshape(2, 2)


@figure('slide', ('A kernel slides over an image', '卷积核在图像上滑动'), (
    'Lay the kernel on the image, multiply each pixel with the weight on it, and add: one number of the output. '
    'Then move on by one.',
    '把卷积核盖在图像上，每个像素乘以盖在它上面的权重，再全部相加，就得到输出中的一个数；然后移动一格。'), steps=4)
def slide() -> list[Panel]:
    return list(steps(IMAGE, KERNEL, side=56))


@figure('stride', ('Stride 2', '步幅为 2'), (
    'The kernel moves on by two pixels at a time, to the right and down: the output has half the size.',
    '卷积核每次向右、向下移动两个像素：输出的边长只有一半。'), steps=4)
def stride() -> list[Panel]:
    return list(steps(np.arange(1.0, 17).reshape(4, 4), KERNEL, side=56, stride=2))


def steps(x: Array, W: Array, side: float, **how: Any) -> Iterator[Panel]:
    """Yield one panel for each number of the output."""
    told = explain('conv2d', x, W, **how)
    for place, cell in enumerate(told, 1):
        row, column = corner(cell)
        done = so_far(told, place)
        y = grid(done, 'green', side, fill=lambda r, c, now=done: 'paper' if now[r][c] is None else 'pale green')
        y = outlined(y, cell.index[0], cell.index[1], 1, 1, 'purple', side)
        line = beside(under(windowed(x, W, row, column, side), say('input', '输入'), by(x.shape), 'blue'), star(),
                      under(grid(W, 'orange', side), say('kernel', '卷积核'), by(W.shape), 'orange'), symbol('='),
                      under(y, say('output', '输出'), by(told.output.shape), 'green'), gap=16)
        yield Panel(above(line, label(cell.formula, 24), gap=22),
                    say(f'Step {place} of {len(told)}: {cell.formula}.',
                        f'第 {place} 步，共 {len(told)} 步：{cell.formula}。'),
                    {'x': x, 'W': W, 'y': told.output, 'window': (row, column), 'index': cell.index,
                     'value': cell.value, 'formula': cell.formula})


def corner(cell: Cell) -> tuple[int, int]:
    """Return the row and column at which a cell's window begins."""
    rows, columns = zip(*(read.index[-2:] for read in cell.reads if read.array == 'x'), strict=True)
    return min(rows), min(columns)


def so_far(told: Explanation, count: int) -> list[list[Any]]:
    """Return the output with its first numbers alone; the others are None."""
    flat = [value if place < count else None for place, value in enumerate(told.output.ravel())]
    return [flat[start:start + told.output.shape[1]] for start in range(0, len(flat), told.output.shape[1])]


@figure('bias', ('A bias is added', '加上偏置'), (
    'There is one bias for each channel that comes out. It is added to every number of that channel.',
    '每个输出通道有一个偏置，它加到该通道的每个数上。'))
def bias() -> list[Panel]:
    b, without = np.ones(1), explain('conv2d', IMAGE, KERNEL).output
    told = explain('conv2d', IMAGE, KERNEL, b)
    cell, side = told.cell(0, 0), 56.0
    sums, y = (outlined(grid(values, 'green', side, fill=fill), 0, 0, 1, 1, 'purple', side)
               for values, fill in ((without, 'paper'), (told.output, 'pale green')))
    row = beside(under(sums, say('sums', '各个和'), by(without.shape), 'green'), symbol('+'),
                 under(grid(b[:, None], 'orange', side), say('bias', '偏置'), '', 'orange'), symbol('='),
                 under(y, say('output', '输出'), by(told.output.shape), 'green'), gap=20)
    lines = [label(stage.formula, 20 + 4 * place) for place, stage in enumerate(cell.stages)]
    return [Panel(above(row, above(*lines, gap=10), gap=22), '; '.join(stage.formula for stage in cell.stages) + '.',
                  {'x': IMAGE, 'W': KERNEL, 'b': b, 'without': without, 'y': told.output})]


@figure('padding', ('Four ways to pad', '四种填充方式'), (
    'Zeros around the image, grey here, let the kernel reach its edge, and decide how large the output is.',
    '在图像四周补零（灰色），卷积核就能盖到边缘；补零的多少决定输出的大小。'))
def padding() -> list[Panel]:
    kinds: list[tuple[str, Any, Array]] = [
        (say('valid: no padding', '不填充（valid）'), 0, KERNEL),
        (say('one-sided: below and right', '单侧填充：只补下边和右边'), ((0, 1), (0, 1)), KERNEL),
        (say('same: the size stays', '等大填充（same）：大小不变'), 'same', np.arange(9.0).reshape(3, 3)),
        (say('full: every overlap counts', '完全填充（full）：只要有重叠就算'), 1, KERNEL)]
    rule = say('OH = (H + top + bottom − KH) // SH + 1', 'OH = (H + 上 + 下 − KH) // SH + 1')
    heads = in_columns(*(label(text, 16, colour) for text, colour in (
        (say('image', '图像'), 'blue'), (say('kernel', '卷积核'), 'orange'), (say('output', '输出'), 'green'))))
    rows, said, facts = [heads], [], {}
    for name, pad, W in kinds:
        (sides, y), KH = padded(IMAGE, W, pad), len(W)
        (top, bottom), _ = sides
        size = f'OH = ({len(IMAGE)} + {top} + {bottom} − {KH}) // 1 + 1 = {len(y)}'
        words = beside(label(name, 16), label(size, 16, 'muted'), gap=18)
        rows.append(above(words, row_of(IMAGE, sides, W, y), gap=10, align='start'))
        said.append(f'{name}: {size}.')
        facts[name] = {'W': W, 'pad': sides, 'y': y}
    body = above(label(rule, 19), above(*rows, gap=24, align='start'), gap=20)
    return [Panel(body, ' '.join(said), {'x': IMAGE, 'kinds': facts})]


def padded(x: Array, W: Array, pad: Any) -> tuple[tuple[tuple[int, int], tuple[int, int]], Array]:
    """Return the padding as numbers, and what comes out."""
    sides = Window(W.shape, 1, pad).on(x.shape).pad
    return sides, F.conv2d(x[None, None], W[None, None], pad=pad).data[0, 0]


def row_of(x: Array, sides: Sequence[Sequence[int]], W: Array, y: Array, side: float = 36) -> Drawing:
    """Draw padded image, kernel and output, each in a place of its own, so that rows stand under each other."""
    (top, _), (left, _) = sides
    H, WW = x.shape
    table = np.pad(x, sides)
    image = grid(table, 'blue', side, fill=lambda r, c: 'pale blue' if inside(r - top, c - left, H, WW) else 'shade',
                 ink=lambda r, c: 'ink' if inside(r - top, c - left, H, WW) else 'muted')
    image = outlined(image, top, left, H, WW, 'blue', side, line=2.5)
    return in_columns(image, grid(W, 'orange', side), grid(y, 'green', side), star(), symbol('='))


def in_columns(*drawings: Drawing) -> Drawing:
    """Put an image, a kernel and an output, and the signs between them, where they stand in every row."""
    height = max(drawing.height for drawing in drawings)
    row = blank(536, height)
    for left, drawing in zip((0, 232, 392, 195, 357), drawings, strict=False):
        row = row.at(left, (height - drawing.height) / 2, drawing)
    return row


def inside(row: int, column: int, H: int, W: int) -> bool:
    return 0 <= row < H and 0 <= column < W


@figure('flip', ('Cross-correlation and convolution', '互相关与卷积'), (
    'What networks call convolution lays the kernel on the image as it is; mathematics gives it half a turn first. For '
    'a kernel that is learned this makes no difference, for one made by hand it does.',
    '神经网络所说的“卷积”直接把核盖在图像上，其实是互相关；数学中的卷积要先把核旋转半圈。'
    '核若是学出来的，两者没有差别；核若是手工设计的，就必须分清。'))
def flip() -> list[Panel]:
    turned = KERNEL[::-1, ::-1]
    rows, facts = [], {}
    for name, W, key in ((say('cross-correlation: the kernel as it is', '互相关：核保持原样'), KERNEL, 'correlation'),
                         (say('convolution: the kernel turned by 180°', '卷积：核先旋转 180°'), turned, 'convolution')):
        told = explain('conv2d', IMAGE, W)
        first = told.cell(0, 0)
        y = outlined(grid(told.output, 'green'), 0, 0, 1, 1, 'purple', SIDE)
        line = beside(windowed(IMAGE, W, 0, 0), star(), grid(W, 'orange'), symbol('='), y, gap=16)
        rows.append(above(label(name, 17), line, label(first.formula, 20), gap=12))
        facts[key] = {'W': W, 'y': told.output, 'formula': first.formula}
    said = ' '.join(f'{key}: {fact["formula"]}.' for key, fact in facts.items())
    return [Panel(above(*rows, gap=34), said, {'x': IMAGE, **facts})]
