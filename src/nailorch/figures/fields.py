"""Receptive fields: how much of the image one number deep in a network sees."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import nailorch.functions as F
from nailorch.core import Variable
from nailorch.drawing import Box, Drawing, Line, Polygon, Rect, Text
from nailorch.figures.networks import IMAGES, vgg16_stages
from nailorch.figures.sheet import ROOM, Panel, by, figure, say
from nailorch.shapes import Array

__all__ = ['receptive_field', 'receptive_vgg16']

SIZE, LAYERS = 9, 3


@figure('receptive-field', ('What one number sees', '一个数能看到多大范围'), (
    'Three convolutions of 3 × 3, one after another. Each layer lets a number see one pixel further on every side.',
    '连续三次 3 × 3 卷积。每深一层，一个数就能向四周多看一个像素。'))
def receptive_field() -> list[Panel]:
    seen = [reached(depth) for depth in range(LAYERS + 1)]  # from the last layer down to the image
    sizes = [int(mask.any(axis=1).sum()) for mask in seen]
    wide, high, lean, step = 32.0, 14.0, 13.0, 168.0
    items: list[Polygon | Line | Text] = []
    for depth, mask in enumerate(seen):
        corner = planes(30, 8 + depth * step, wide, high, lean)
        if depth:
            items += sight(seen[depth - 1], planes(30, 8 + (depth - 1) * step, wide, high, lean), mask, corner)
    for depth, mask in enumerate(seen):
        corner = planes(30, 8 + depth * step, wide, high, lean)
        for r, c in np.ndindex(*mask.shape):
            square = corner(r, c), corner(r, c + 1), corner(r + 1, c + 1), corner(r + 1, c)
            colour = 'blue' if depth == LAYERS else 'green'
            items.append(Polygon(square, 'purple' if mask[r, c] else f'pale {colour}', colour))
        name = say('image', '图像') if depth == LAYERS else say(f'layer {LAYERS - depth}', f'第 {LAYERS - depth} 层')
        y = 8 + depth * step
        items += [Text(ROOM - 66, y + 46, name, 17),
                  Text(ROOM - 66, y + 74, by((sizes[depth], sizes[depth])), 20, 'purple')]
    drawing = Drawing(ROOM, 16 + LAYERS * step + SIZE * high, tuple(items))
    return [Panel(drawing, ', '.join(by((size, size)) for size in sizes) + '.', {'sizes': sizes, 'seen': seen})]


def reached(depth: int) -> Array:
    """Return which pixels the middle number sees through so many 3 × 3 convolutions: where its gradient is not 0."""
    x = Variable(np.ones((1, 1, SIZE, SIZE)))
    y: Variable = x * 1.0
    for _ in range(depth):
        y = F.conv2d(y, np.ones((1, 1, 3, 3)), pad=1)
    y[0, 0, SIZE // 2, SIZE // 2].backward()
    assert x.grad is not None
    return x.grad.data[0, 0] != 0


def planes(left: float, top: float, wide: float, high: float, lean: float) -> Callable[[int, int], tuple[float, float]]:
    """Return where the corners of cells lie on a sheet that leans away from the reader."""
    return lambda r, c: (left + c * wide + (SIZE - r) * lean, top + r * high)


def sight(above: Array, upper: Callable[[int, int], tuple[float, float]], below: Array,
          lower: Callable[[int, int], tuple[float, float]]) -> list[Polygon | Line | Text]:
    """Return lines from the corners of what is seen in one layer to those in the layer below."""
    (t0, l0, b0, r0), (t1, l1, b1, r1) = (extent(mask) for mask in (above, below))
    pairs = ((t0, l0), (t1, l1)), ((t0, r0), (t1, r1)), ((b0, l0), (b1, l1)), ((b0, r0), (b1, r1))
    return [Line((upper(*start), lower(*end)), 'purple', 1.2, dash=True) for start, end in pairs]


def extent(mask: Array) -> tuple[int, int, int, int]:
    """Return the first row and column of what is True, and those after the last."""
    rows, columns = np.nonzero(mask)
    return int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1


@figure('receptive-vgg16', ('What VGG16 sees after each block', 'VGG16 每个块之后看到的范围'), (
    'A square is the part of the image, 224 × 224, that one number sees after a pooling. After the fifth it is nearly '
    'the whole image.',
    '图像大小为 224 × 224。每个方框是一次池化之后，一个数所能看到的那部分图像；第五次池化之后，几乎就是整幅图像。'))
def receptive_vgg16() -> list[Panel]:
    pools = [stage for stage in vgg16_stages() if stage.op == 'Pooling']
    side = 430.0
    unit = side / IMAGES[1]
    items: list[Rect | Line | Text] = [Rect(Box(0, 0, side, side), 'pale blue', 'blue', 2)]
    fields = [pool.field for pool in pools if pool.field]
    for field in reversed(fields):
        half = field * unit / 2
        items.append(Rect(Box(side / 2 - half, side / 2 - half, 2 * half, 2 * half), 'paper', 'purple', 2))
    room = 0.0
    for place, field in reversed([*enumerate(fields, 1)]):  # from the largest, whose upper edge is the highest
        half = field * unit / 2
        edge = side / 2 - half
        y = max(edge, room)
        room = y + 30
        items += [Line(((side / 2 + half, edge), (side + 8, y), (side + 18, y)), 'purple', 1.2),
                  Text(side + 26, y, say(f'pool{place}:  ', f'池化 {place}：') + by((field, field)), 16,
                       anchor='start')]
    said = ', '.join(f'pool{place}: {field}' for place, field in enumerate(fields, 1))
    return [Panel(Drawing(ROOM, side, tuple(items)), said + '.', {'fields': fields})]
