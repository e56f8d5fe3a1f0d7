"""The poolings explained: which pixels a window compares or averages, and what each pixel gets back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

import nailorch.functions as F
from nailorch.core import Variable
from nailorch.explaining.model import Explanation, Index, Read, Stage, Term, Words, added, written
from nailorch.explaining.windows import (
    Lifted,
    attributes_of,
    averaged,
    gradient,
    lifted,
    only_x,
    seen,
    seers,
    shrunk,
    size_rules,
    summed,
)
from nailorch.shapes import Pair, Window

__all__ = ['average_pooling', 'pooling']

Shares: TypeAlias = list[tuple[Index, Read]]  # windows by their place (n, c, oh, ow), and the gy of each


def pooling(x: Any, kernel_size: Pair, stride: Pair = 1, pad: Any = 0, dilation: Pair = 1, ceil_mode: bool = False,
            of: str = 'y', gy: Any = None) -> Explanation:
    """Explain F.pooling, the maximum of every window, or its gradient."""
    x = lifted('x', x)
    variable = Variable(x.full)
    y = F.pooling(variable, kernel_size, stride, pad, dilation, ceil_mode)
    window = Window(kernel_size, stride, pad, dilation, ceil_mode).on(x.full.shape[2:])

    def reads(n: int, c: int, *place: int) -> list[Read]:
        """What a window sees; padding never wins, so it is left out."""
        return [x.read((n, c, h, w)) for _, _, h, w, inside in seen(window, place, x.full.shape[2:]) if inside]

    def winner(found: list[Read]) -> int:
        return int(np.argmax([read.value for read in found]))  # the first of equals, and NaN before all

    def stage(*place: int) -> Stage:
        found = reads(*place)
        best = winner(found)
        formula = f'max({", ".join(written(read.value) for read in found)}) = {written(found[best].value)}'
        return Stage(('the largest in the window', '窗口里最大的'), formula, found[best].value,
                     tuple(Term((read,), place == best) for place, read in enumerate(found)))

    def back(pixel: Index, shares: Shares) -> Stage:
        this = x.read(pixel).index
        won = [Term((share,), chosen=True) for place, share in shares
               if (found := reads(*place))[winner(found)].index == this]
        return summed(('the windows that it won', '它胜出的窗口'), won, none=(
            'no window chose this pixel', '没有窗口选中这个像素'))

    return Pooled('pooling', x, variable, y, window, attributes_of(
        kernel_size=kernel_size, stride=stride, pad=pad, dilation=dilation, ceil_mode=ceil_mode)).explained(
            of, gy, stage, back,
            ('every cell: the largest number in its window', '每个输出：窗口里最大的数'),
            ('a pixel of gx: gy of every window in which it was the largest',
             'gx 的一个像素：凡它最大的窗口，其 gy 都归它'))


def average_pooling(x: Any, kernel_size: Pair, stride: Pair = 1, pad: Any = 0, ceil_mode: bool = False,
                    count_include_pad: bool = True, of: str = 'y', gy: Any = None) -> Explanation:
    """Explain F.average_pooling, or its gradient."""
    x = lifted('x', x)
    variable = Variable(x.full)
    y = F.average_pooling(variable, kernel_size, stride, pad, ceil_mode, count_include_pad)
    plain, size = Window(kernel_size, stride, pad, 1, ceil_mode), x.full.shape[2:]
    window, asked = plain.on(size), plain.pads(size)

    def counted(h: int, w: int, inside: bool) -> bool:
        """Is a cell of a window divided by? Pixels are; padding as the caller wants; what hangs over never is."""
        return inside or (count_include_pad and all(
            i < n + after for i, n, (_, after) in zip((h, w), size, asked, strict=True)))

    def cells(*place: int) -> list[tuple[int, int, bool]]:
        return [(h, w, inside) for _, _, h, w, inside in seen(window, place, size) if counted(h, w, inside)]

    def stage(n: int, c: int, *place: int) -> Stage:
        terms = [Term((x.read((n, c, h, w), inside),)) for h, w, inside in cells(*place)]
        return averaged(('the average of the window', '窗口的平均值'), terms)

    def back(pixel: Index, shares: Shares) -> Stage:
        if not shares:
            return summed(('', ''), [])
        counts = [len(cells(*place[2:])) for place, _ in shares]
        value = float(sum(share.value / count for (_, share), count in zip(shares, counts, strict=True)))
        formula = added([f'{written(share.value)}/{count}' for (_, share), count in zip(shares, counts, strict=True)],
                        value)
        return Stage(('its share of every window', '每个窗口分给它的一份'), formula, value,
                     tuple(Term((share,)) for _, share in shares))

    return Pooled('average_pooling', x, variable, y, window, attributes_of(
        kernel_size=kernel_size, stride=stride, pad=pad, ceil_mode=ceil_mode,
        count_include_pad=count_include_pad)).explained(
            of, gy, stage, back,
            ('every cell: the average of the numbers in its window', '每个输出：窗口里各数的平均值'),
            ('a pixel of gx: its share of the gy of every window that saw it',
             'gx 的一个像素：每个盖住过它的窗口把 gy 平分给它'))


@dataclass(frozen=True)
class Pooled:
    """What both poolings have in common: an image, windows over it, and one number for each."""

    op: str
    x: Lifted
    variable: Variable
    y: Variable
    window: Window
    attributes: dict[str, Any]

    def explained(self, of: str, gy: Any, stage: Callable[..., Stage], back: Callable[[Index, Shares], Stage],
                  rule: Words, rule_back: Words) -> Explanation:
        """Return the explanation.

        Args:
            stage: what a window makes of its pixels, by its place (n, c, oh, ow).
            back: what a pixel gets, by its place, from the windows that see it: the place of each, and its gy.
        """
        x, window, out, places = self.x, self.window, shrunk(self.x), self.y.shape[2:]
        if of == 'y':
            return Explanation(self.op, 'y', {'x': x.given}, out.shape(self.y.data), self.attributes,
                               (rule, *size_rules(window, x.full.shape[2:], places)),
                               lambda index: [stage(*out.full(index))], window.pad)
        only_x(of, self.op)
        given, computed = gradient(self.y, self.variable, gy)

        def stages(index: Index) -> list[Stage]:
            n, c, *pixel = (0,) * (4 - len(index)) + index
            windows = [(n, c, oh, ow) for _, _, oh, ow in seers(window, pixel, places)]
            return [back((n, c, *pixel), [(place, out.read('gy', given, place)) for place in windows])]

        return Explanation(self.op, 'gx', {'x': x.given, 'gy': out.shape(given)}, computed.reshape(x.given.shape),
                           self.attributes, (rule_back,), stages, window.pad)
