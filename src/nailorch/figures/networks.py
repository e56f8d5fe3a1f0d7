"""Networks as a whole: the stages of a small one, VGG16's flow chart, and why not a dense layer."""

from __future__ import annotations

import functools
import math

import numpy as np

import nailorch.layers as L
from nailorch.drawing import Box, Drawing, Rect, Text, above, beside, blank
from nailorch.drawing.parts import label, volume
from nailorch.figures.sheet import ROOM, Panel, by, figure, say
from nailorch.figures.stages import Stage, stages
from nailorch.graph import trace
from nailorch.models import VGG16, MNISTNet

__all__ = ['IMAGES', 'parameters', 'pipeline', 'vgg16', 'vgg16_stages']

IMAGES = 3, 224, 224  # what VGG16 is made for
SHAPES = 400.0  # where the shapes stand


@figure('pipeline', ('From a picture to an answer', '从图像到答案'), (
    'A small network for handwritten digits. Convolution and pooling make the image smaller and give it more '
    'channels; dense layers turn the rest into ten scores.',
    '一个识别手写数字的小网络。卷积和池化让图像越来越小、通道越来越多；最后由全连接层把剩下的特征变成十个分数。'))
def pipeline() -> list[Panel]:
    shape = 1, 28, 28
    found = stages(trace(MNISTNet(), np.zeros((1, *shape), np.float32)), shape)
    drawn = [row(solid(shape, 'blue'), say('input: a grey image', '输入：一幅灰度图像'), by(shape))]
    steps, told = merged(found), []
    for step, (stage, name) in enumerate(steps):
        learned = say(f'{stage.parameters:,} parameters', f'{stage.parameters:,} 个参数') if stage.parameters else ''
        colour = 'green' if step == len(steps) - 1 else 'blue'
        drawn.append(row(solid(stage.shape, colour), name, by(stage.shape), learned))
        told.append(f'{name}: {by(stage.shape)}')
    total = sum(stage.parameters for stage in found)
    words = say(f'{total:,} parameters in all', f'共 {total:,} 个参数')
    return [Panel(above(above(*drawn, gap=6), label(words, 18), gap=20), '; '.join([*told, words]) + '.',
                  {'stages': [(stage.op, stage.shape, stage.parameters) for stage in found], 'total': total})]


def merged(found: list[Stage]) -> list[tuple[Stage, str]]:
    """Return the stages that change the shape, each with its name; ReLU is named with what it follows."""
    told: list[tuple[Stage, str]] = []
    for stage in found:
        if stage.op == 'ReLU':
            told[-1] = told[-1][0], told[-1][1] + ' + ReLU'
        else:
            told.append((stage, named(stage)))
    return told


def named(stage: Stage) -> str:
    if stage.window:
        kernel, stride = stage.window
        if stage.op == 'Conv2d':
            return say(f'convolution {kernel} × {kernel}, {stage.shape[0]} filters',
                       f'卷积 {kernel} × {kernel}，{stage.shape[0]} 个滤波器')
        return say(f'max pooling {kernel} × {kernel}, stride {stride}', f'最大池化 {kernel} × {kernel}，步幅 {stride}')
    return say('flatten', '展平') if stage.op == 'Reshape' else say('dense layer', '全连接层')


def solid(shape: tuple[int, ...], colour: str) -> Drawing:
    """Draw an array as a block: channels go back, a vector is a bar."""
    if len(shape) == 3:
        C, H, W = shape
        return volume(8 + 2.2 * W, 8 + 2.2 * H, 3 + 1.4 * C, f'pale {colour}', colour)
    width = 24 + 5.2 * math.sqrt(shape[0])
    return Drawing(width, 14, (Rect(Box(0, 0, width, 14), f'pale {colour}', colour, radius=2),))


def row(block: Drawing, name: str, size: str, learned: str = '') -> Drawing:
    """Draw one stage: the block, and at its right what made it, its shape and how much it learns."""
    words = [label(name, 16, align='start'), label(size, 18, 'blue', 'start')]
    if learned:
        words[1] = beside(words[1], label(learned, 15, 'muted'), gap=18)
    text = above(*words, gap=4, align='start')
    height = max(block.height, text.height) + 10
    room = blank(ROOM, height).at((250 - block.width) / 2, (height - block.height) / 2, block)
    return room.at(262, (height - text.height) / 2, text)


@functools.cache
def vgg16_stages() -> tuple[Stage, ...]:
    """Return the stages of VGG16 on its own images; traced on small ones, for a dense layer of 25,088 takes a while."""
    graph = trace(VGG16(), np.zeros((1, 3, 32, 32), np.float32))
    return tuple(stages(graph, IMAGES))


@figure('vgg16', ('VGG16', 'VGG16'), (
    'Thirteen convolutions of 3 × 3 in five blocks. Each block ends with a pooling that halves height and width; three '
    'dense layers follow. ReLU comes after each of them but the last. A bar is as wide as its feature map is high, on '
    'a logarithmic scale.',
    '五个块共十三个 3 × 3 卷积。每个块以一次池化结束，高和宽减半；最后是三个全连接层。'
    '除最后一层外，各卷积层和全连接层之后都有 ReLU。横条的宽度按对数表示特征图的边长。'))
def vgg16() -> list[Panel]:
    lines: list[tuple[str, str, tuple[int, ...], int]] = [(say('input', '输入'), 'blue', IMAGES, 0)]
    for stage in vgg16_stages():
        size = by((stage.window[0], stage.window[0])) if stage.window else ''
        name, colour = {'Conv2d': (f'{stage.layer}  {size}', 'orange'),
                        'Pooling': (say('max pooling', '最大池化'), 'purple'),
                        'Linear': (f'{stage.layer}  ' + say('dense', '全连接'), 'green')}.get(stage.op, ('', ''))
        if name:
            lines.append((name, colour, stage.shape, stage.parameters))
    items: list[Rect | Text] = [Text(SHAPES, 10, say('shape', '形状'), 15, 'muted'),
                                Text(ROOM, 10, say('parameters', '参数'), 15, 'muted', 'end')]
    y, high, middle = 28.0, 30.0, 152.0
    for name, colour, shape, count in lines:
        width = bar(shape[-1] if len(shape) == 3 else 7)
        items += [Rect(Box(middle - width / 2, y, width, high), f'pale {colour}', colour, 1.5, radius=4),
                  Text(middle, y + high / 2, name, 15), Text(SHAPES, y + high / 2, by(shape), 16)]
        if count:
            items.append(Text(ROOM, y + high / 2, f'{count:,}', 15, 'muted', 'end'))
        y += high + (16 if colour == 'purple' else 5)
    total = sum(count for *_, count in lines)
    words = say(f'{total:,} parameters in all', f'共 {total:,} 个参数')
    return [Panel(above(Drawing(ROOM, y, tuple(items)), label(words, 18), gap=12),
                  '; '.join(f'{name}: {by(shape)}' for name, _, shape, _ in lines) + f'; {words}.',
                  {'stages': [(name, shape, count) for name, _, shape, count in lines], 'total': total})]


def bar(size: int) -> float:
    """Return how wide a feature map's bar is."""
    return 130 + 34 * math.log2(size / 7)


@figure('parameters', ('Why not a dense layer?', '为什么不用全连接层？'), (
    'A dense layer has a weight for every pixel: it grows with the image, and serves one size of image. A convolution '
    'has the same few weights for all sizes.',
    '全连接层给每个像素都配一个权重：图像越大参数越多，而且只能用于一种大小。卷积层无论图像多大，都用同样的几个权重。'))
def parameters() -> list[Panel]:
    sizes = 28, 56, 112, 224
    conv = L.Conv2d(16, kernel_size=3, pad=1)
    counts = []
    for size in sizes:
        x = np.zeros((1, 3, size, size), np.float32)
        dense = L.Linear(10)
        conv(x)
        dense(x.reshape(1, -1))
        counts.append((size, learned(dense), learned(conv)))
    most, room = max(count for _, count, _ in counts), 300.0
    rows = []
    for size, dense_count, conv_count in counts:
        image = by((3, size, size))
        rows.append(above(
            label(say(f'images of {image}', f'图像 {image}'), 17, 'blue'),
            bar_of(say('dense, 10 outputs', '全连接，10 个输出'), dense_count, room * dense_count / most, 'purple'),
            bar_of(say('convolution, 16 filters', '卷积，16 个滤波器'), conv_count, room * conv_count / most, 'orange'),
            gap=8, align='start'))
    return [Panel(above(*rows, gap=24, align='start'), '; '.join(
        say(f'{size} × {size}: dense {d:,}, convolution {c:,}', f'{size} × {size}：全连接 {d:,}，卷积 {c:,}')
        for size, d, c in counts) + '.', {'counts': counts})]


def learned(layer: L.Layer) -> int:
    return sum(parameter.data.size for parameter in layer.params())


def bar_of(name: str, count: int, width: float, colour: str) -> Drawing:
    """Draw a bar between its name and its number; it is as long as it should be, however short that is."""
    items = (Text(0, 13, name, 15, 'ink', 'start'), Rect(Box(190, 2, max(width, 0.8), 22), colour),
             Text(200 + width, 13, f'{count:,}', 16, 'ink', 'start'))
    return Drawing(ROOM, 26, items)


