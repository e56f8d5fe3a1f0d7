"""Kernels made by hand, on a photograph: what blurs, sharpens, finds edges and corners."""

from __future__ import annotations

import functools

import numpy as np

import nailorch.functions as F
from nailorch.drawing import Box, Drawing, Picture, above, beside, blank
from nailorch.drawing.parts import label
from nailorch.figures.sheet import Panel, figure, grid, say
from nailorch.formats.assets import asset
from nailorch.formats.images import read_image
from nailorch.shapes import Array

__all__ = ['KERNELS', 'RELIEF', 'filtered', 'kernels', 'photograph', 'relief']

PHOTO = 'photos/camera.png'
SIDE = 128  # pixels of the photograph as it is shown

KERNELS: dict[str, Array] = {
    'blur': np.ones((3, 3)) / 9,
    'sharpen': np.array([[0.0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
    'upright': np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]),
    'edges': np.array([[-1.0, -1, -1], [-1, 8, -1], [-1, -1, -1]]),
    'corners': np.array([[1.0, -2, 1], [-2, 4, -2], [1, -2, 1]]),
}
RELIEF = np.array([[-2.0, -1, 0], [-1, 1, 1], [0, 1, 2]])


@functools.cache
def photograph() -> Array:
    """Return the photograph in grey, (H, W) from 0 to 255, made smaller so that its pixels can be seen.

    Raises:
        FileNotFoundError: it cannot be had.
    """
    image = np.asarray(read_image(asset(PHOTO)).convert('L'), np.float64)
    factor = min(image.shape) // SIDE
    small = F.average_pooling(image[None, None], factor, factor).data[0, 0]
    return small[:SIDE, :SIDE]


def filtered(W: Array) -> Array:
    """Return the photograph after a kernel, of the same size; its edge is repeated around it."""
    return F.conv2d(np.pad(photograph(), 1, 'edge')[None, None], W[None, None]).data[0, 0]


def pixels(values: Array) -> Array:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def shot(values: Array, name: str, W: Array | None, side: float = 284) -> Drawing:
    """Draw a photograph, its name and the kernel that made it."""
    image = Drawing(side, side, (Picture(Box(0, 0, side, side), pixels(values)),))
    size = 30.0
    made = blank(3 * size, 3 * size) if W is None else grid(W, 'orange', size, show=written)
    words = label(name, 17, align='start')
    foot = blank(side, 3 * size).at(0, (3 * size - words.height) / 2, words).at(side - 3 * size, 0, made)
    return above(image, foot, gap=10)


def written(value: float) -> str:
    """Write a weight; a ninth as a fraction."""
    if 0 < abs(value) < 1:
        return f'1/{round(1 / value)}'
    return f'{value:g}'.replace('-', '−')


@figure('kernels', ('Kernels made by hand', '手工设计的卷积核'), (
    'Nine numbers are enough to blur a photograph, to sharpen it, to find edges and corners. A network learns such '
    'kernels by itself. Where lines are shown, dark means a strong answer of either sign.',
    '九个数就足以让照片变模糊、变清晰，或找出边缘和角点；神经网络会自己学出这样的卷积核。画线条的几幅中，越黑表示响应越强（不分正负）。'),
    needs=PHOTO)
def kernels() -> list[Panel]:
    names = {'blur': say('blur', '模糊'), 'sharpen': say('sharpen', '锐化'),
             'upright': say('vertical edges', '竖直边缘'), 'edges': say('all edges', '各方向边缘'),
             'corners': say('corners and dots', '角点与亮点')}
    shots = [shot(photograph(), say('photograph', '原照片'), None)]
    facts = {}
    for key, W in KERNELS.items():
        y = filtered(W)
        facts[key] = y
        gain = {'upright': 0.6, 'edges': 0.8, 'corners': 0.9}.get(key)
        shots.append(shot(y if gain is None else 255 - gain * np.abs(y), names[key], W))
    rows = [beside(*shots[start:start + 2], gap=24) for start in range(0, len(shots), 2)]
    said = '; '.join(f'{names[key]}: {W.tolist()}' for key, W in KERNELS.items())
    return [Panel(above(*rows, gap=26), said + '.', {'photo': photograph(), 'kernels': KERNELS, 'results': facts})]


@figure('flip-photo', ('The same kernel, as it is and turned round', '同一个卷积核：原样与旋转'), (
    'This kernel lights a photograph from one corner. Turned by 180°, as convolution proper does, the light comes from '
    'the opposite corner: hills become hollows.',
    '这个核像是从一角给照片打光。按数学上的卷积把它旋转 180° 之后，光从对角照来：凸的变成凹的。'), needs=PHOTO)
def relief() -> list[Panel]:
    turned = RELIEF[::-1, ::-1]
    names = say('cross-correlation', '互相关'), say('convolution', '卷积')
    ys = [filtered(W) for W in (RELIEF, turned)]
    shots = [shot(128 + 0.5 * (y - photograph()), name, W)
             for y, name, W in zip(ys, names, (RELIEF, turned), strict=True)]
    said = '; '.join(f'{name}: {W.tolist()}' for name, W in zip(names, (RELIEF, turned), strict=True))
    return [Panel(beside(*shots, gap=24), said + '.', {'photo': photograph(), 'W': RELIEF, 'results': ys})]
