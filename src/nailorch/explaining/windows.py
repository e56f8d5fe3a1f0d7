"""Convolution and its kind, explained: what each cell's window sees, and what becomes of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import nailorch.functions as F
from nailorch.core import Variable
from nailorch.explaining.model import Explanation, Index, Read, Stage, Term, Words, added, written
from nailorch.messages import message
from nailorch.shapes import Array, Pair, Window

__all__ = ['col2im', 'conv2d', 'deconv2d', 'im2col']


@dataclass(frozen=True)
class Lifted:
    """An array with the axes that were left out: a grey image (H, W) is a batch of one with one channel.

    Attributes:
        name: as the explanation calls it.
        given: the array as it came.
        full: with all axes, in float64.
    """

    name: str
    given: Array
    full: Array

    def read(self, index: Sequence[int], inside: bool = True) -> Read:
        """Return the number at a place of `full`, told by its place in `given`."""
        place = tuple(int(i) for i in index[self.full.ndim - self.given.ndim:])
        return Read(self.name, place, float(self.full[tuple(index)]) if inside else 0.0, padding=not inside)


def lifted(name: str, array: Any, least: int = 2, most: int = 4) -> Lifted:
    given = np.asarray(array.data if isinstance(array, Variable) else array)
    if not least <= given.ndim <= most:
        raise ValueError(message('explain.axes', name=name, ndim=given.ndim, least=least, most=most, shape=given.shape))
    if given.dtype.kind not in 'iufb':
        raise ValueError(message('explain.numbers', name=name, dtype=given.dtype))
    return Lifted(name, given, given.astype(np.float64).reshape((1,) * (most - given.ndim) + given.shape))


@dataclass(frozen=True)
class Shrunk:
    """A result (N, C, H, W) without the axes that the arguments left out."""

    axes: tuple[int, ...]  # those that went

    def shape(self, array: Array) -> Array:
        return array.squeeze(self.axes)

    def full(self, index: Index) -> Index:
        """Return a place of the result with all axes."""
        rest = iter(index)
        return tuple(0 if axis in self.axes else next(rest) for axis in range(4))

    def read(self, name: str, array: Array, index: Index) -> Read:
        """Return the number at a place of an array with all axes, told by its place without them."""
        return Read(name, tuple(i for axis, i in enumerate(index) if axis not in self.axes), float(array[index]))


def shrunk(x: Lifted, W: Lifted | None = None, filters: int = 4) -> Shrunk:
    """Return which axes y lacks: the batch if x has none, the channels if W is one filter, or x has no channels.

    W has fewer axes than `filters` if it is one: (KH, KW) or, of a convolution, (C, KH, KW). That of a transposed
    convolution says by its second axis of four, its first of three, how many channels y has.
    """
    channels = W.given.ndim < filters if W else x.given.ndim < 3
    return Shrunk((*((0,) if x.given.ndim < 4 else ()), *((1,) if channels else ())))


def seen(window: Window, place: Sequence[int], size: Sequence[int]) -> Iterator[tuple[int, int, int, int, bool]]:
    """Yield kh, kw, the pixel h, w under it, and whether that is inside, for a window (with `.on` done) at a place."""
    (top, _), (left, _) = window.pad
    for kh, kw in np.ndindex(*window.kernel_size):
        h = place[0] * window.stride[0] - top + kh * window.dilation[0]
        w = place[1] * window.stride[1] - left + kw * window.dilation[1]
        yield kh, kw, h, w, 0 <= h < size[0] and 0 <= w < size[1]


def seers(window: Window, pixel: Sequence[int], places: Sequence[int]) -> Iterator[tuple[int, int, int, int]]:
    """Yield kh, kw and the place oh, ow for every window that sees a pixel: `seen`, the other way round."""
    for kh, kw in np.ndindex(*window.kernel_size):
        far = [pixel[axis] + window.pad[axis][0] - (kh, kw)[axis] * window.dilation[axis] for axis in (0, 1)]
        if all(f % s == 0 and 0 <= f // s < n for f, s, n in zip(far, window.stride, places, strict=True)):
            yield kh, kw, far[0] // window.stride[0], far[1] // window.stride[1]


UNSEEN = 'no window sees this pixel', '没有窗口盖住这个像素'


def summed(title: Words, terms: Sequence[Term], none: Words = UNSEEN) -> Stage:
    """Return the stage that adds terms; where there are none, `none` says why."""
    if not terms:
        return Stage(none, '0', 0.0)
    value = float(sum(term.value for term in terms))
    return Stage(title, added(terms, value), value, tuple(terms))


def averaged(title: Words, terms: Sequence[Term]) -> Stage:
    """Return the stage that takes the average of terms."""
    value = float(sum(term.value for term in terms)) / len(terms)
    return Stage(title, added(terms, value, f'({{}}) / {len(terms)}'), value, tuple(terms))


def together(stages: list[Stage], bias: Read | None = None) -> list[Stage]:
    """Add the stage that adds what the others found, and the bias; one stage alone needs none."""
    total = float(sum(stage.value for stage in stages))
    if len(stages) != 1:
        stages = [*stages, Stage(('add them', '相加'), added([written(stage.value) for stage in stages], total), total)]
    if bias is not None:
        parts = [written(total), written(bias.value)]
        stages = [*stages, Stage(('add the bias', '加上偏置'), added(parts, total + bias.value), total + bias.value,
                                 (Term((bias,)),))]
    return stages


def channel(c: int) -> Words:
    return f'channel {c}', f'通道 {c}'


SLIDE = ('every cell: multiply the kernel with the pixels under it, and add',
         '每个输出：卷积核与它盖住的像素逐个相乘，再相加')


def size_rules(window: Window, size: Sequence[int], outsize: Sequence[int]) -> list[Words]:
    """Return the output's size for both axes, with the numbers filled in."""
    found = []
    for name, kernel, n, out, axis in (('H', 'KH', size[0], outsize[0], 0), ('W', 'KW', size[1], outsize[1], 1)):
        (before, after), spread, stride = window.pad[axis], window.spread[axis], window.stride[axis]
        dilated = window.dilation[axis] > 1
        what = f'O{name} = ({name} + before + after − {"spread" if dilated else kernel}) // S{name} + 1'
        numbers = f'({n} + {before} + {after} − {spread}) // {stride} + 1 = {out}'
        chinese = what.replace('before', '前补').replace('after', '后补').replace('spread', '核的跨度')
        found.append((f'{what} = {numbers}', f'{chinese} = {numbers}'))
    return found


def attributes_of(**given: Any) -> dict[str, Any]:
    """Return those attributes that are not what they are by default."""
    defaults = {'stride': 1, 'pad': 0, 'dilation': 1, 'groups': 1, 'outsize': None, 'ceil_mode': False,
                'count_include_pad': True, 'to_matrix': True}
    return {name: value for name, value in given.items() if name not in defaults or value != defaults[name]}


def gradient(y: Variable, wanted: Variable, gy: Any) -> tuple[Array, Array]:
    """Return gy, ones if it is None, and what nailorch's backward gives for `wanted`."""
    given = np.ones(y.shape) if gy is None else np.asarray(gy, np.float64)
    if given.size != y.size:
        raise ValueError(message('explain.gy', got=given.size, expected=y.size, gy=given.shape, y=y.shape))
    given = given.reshape(y.shape)
    y.backward(grad=Variable(given))
    assert wanted.grad is not None
    return given, wanted.grad.data


def only_x(of: str, op: str) -> None:
    """Raise ValueError unless the gradient that is asked for is that of x."""
    if of != 'x':
        raise ValueError(message('explain.gradient', op=op, names='x', of=of))


def conv2d(x: Any, W: Any, b: Any = None, stride: Pair = 1, pad: Any = 0, dilation: Pair = 1, groups: int = 1,
           of: str = 'y', gy: Any = None) -> Explanation:
    """Explain F.conv2d, or its gradient with respect to x, W or b."""
    x, W = lifted('x', x), lifted('W', W)
    if x.given.ndim == 3 and W.given.ndim == 2 and x.given.shape[0] > 1:
        raise ValueError(message('explain.channels', channels=x.given.shape[0], x=x.given.shape, W=W.given.shape))
    arrays = {'x': x.given, 'W': W.given}
    bias = None
    if b is not None:
        bias = lifted('b', np.atleast_1d(b), 1, 1)
        arrays['b'] = bias.given
    variables = [Variable(each.full) for each in (x, W, bias) if each is not None]
    y = F.Conv2d(stride, pad, dilation, groups)(*variables)
    window = Window(W.full.shape[2:], stride, pad, dilation).on(x.full.shape[2:])
    size, places = x.full.shape[2:], y.shape[2:]
    out, per_group = shrunk(x, W), W.full.shape[0] // groups
    attributes = attributes_of(stride=stride, pad=pad, dilation=dilation, groups=groups)

    def stages(index: Index) -> list[Stage]:
        n, oc, oh, ow = out.full(index)
        first = oc // per_group * W.full.shape[1]
        found = []
        for c in range(W.full.shape[1]):
            terms = [Term((W.read((oc, c, kh, kw)), x.read((n, first + c, h, w), inside)))
                     for kh, kw, h, w, inside in seen(window, (oh, ow), size)]
            found.append(summed(channel(first + c), terms))
        return together(found, None if bias is None else bias.read((oc,)))

    if of == 'y':
        return Explanation('conv2d', 'y', arrays, out.shape(y.data), attributes,
                           (SLIDE, *size_rules(window, size, places)), stages, window.pad)

    names = ['x', 'W', 'b'][:len(variables)]
    if of not in names:
        raise ValueError(message('explain.gradient', op='conv2d', names=', '.join(names), of=of))
    given, computed = gradient(y, variables[names.index(of)], gy)
    up = Lifted('gy', out.shape(given), given)

    def read_up(*place: int) -> Read:
        return out.read('gy', given, place)

    def of_x(index: Index) -> list[Stage]:
        n, c, h, w = (0,) * (4 - len(index)) + index
        group, inner = divmod(c, W.full.shape[1])
        return together([summed((f'filter {oc}', f'卷积核 {oc}'), [
            Term((W.read((oc, inner, kh, kw)), read_up(n, oc, oh, ow)))
            for kh, kw, oh, ow in seers(window, (h, w), places)])
            for oc in range(group * per_group, (group + 1) * per_group)])

    def of_W(index: Index) -> list[Stage]:
        oc, inner, kh, kw = (0,) * (4 - len(index)) + index
        c = oc // per_group * W.full.shape[1] + inner
        found = []
        for n in range(len(x.full)):
            terms = []
            for oh, ow in np.ndindex(*places):
                _, _, h, w, inside = list(seen(window, (oh, ow), size))[kh * W.full.shape[3] + kw]
                terms.append(Term((x.read((n, c, h, w), inside), read_up(n, oc, oh, ow))))
            found.append(summed((f'image {n}', f'图像 {n}'), terms))
        return together(found)

    def of_b(index: Index) -> list[Stage]:
        return [summed(('add all of gy', '把 gy 全部相加'), [
            Term((read_up(n, *index, oh, ow),)) for n in range(len(x.full)) for oh, ow in np.ndindex(*places)])]

    rules: dict[str, Words] = {
        'x': ('a pixel of gx: every window that saw the pixel gives gy times its kernel cell',
              'gx 的一个像素：凡是盖住过它的窗口，都贡献 gy 乘以对应的核元素'),
        'W': ('a cell of gW: every place of the window gives gy times the pixel under the cell',
              'gW 的一个元素：窗口在每个位置都贡献 gy 乘以该元素盖住的像素'),
        'b': ('gb: the bias is added to every cell, so all of gy add up',
              'gb：偏置加到了每个输出上，所以把 gy 全部相加'),
    }
    shape = {'x': x.given.shape, 'W': W.given.shape, 'b': (W.full.shape[0],)}[of]
    return Explanation('conv2d', f'g{of}', arrays | {'gy': up.given}, computed.reshape(shape), attributes, (rules[of],),
                       {'x': of_x, 'W': of_W, 'b': of_b}[of], window.pad)


def deconv2d(x: Any, W: Any, b: Any = None, stride: Pair = 1, pad: Any = 0, outsize: Pair | None = None,
             dilation: Pair = 1, groups: int = 1) -> Explanation:
    """Explain F.deconv2d, the transposed convolution."""
    x, W = lifted('x', x), lifted('W', W)
    bias = None if b is None else lifted('b', np.atleast_1d(b), 1, 1)
    y = F.deconv2d(x.full, W.full, None if bias is None else bias.full, stride, pad, outsize, dilation, groups)
    window = Window(W.full.shape[2:], stride, pad, dilation).on(y.shape[2:])
    places, out = x.full.shape[2:], shrunk(x, W, filters=3)
    per_group = x.full.shape[1] // groups

    def stages(index: Index) -> list[Stage]:
        n, oc, h, w = out.full(index)
        group, inner = divmod(oc, W.full.shape[1])
        found = [summed(channel(c), [Term((W.read((c, inner, kh, kw)), x.read((n, c, oh, ow))))
                                     for kh, kw, oh, ow in seers(window, (h, w), places)])
                 for c in range(group * per_group, (group + 1) * per_group)]
        return together(found, None if bias is None else bias.read((oc,)))

    rule = ('every pixel of x lays its multiple of the kernel down; where these overlap, they add',
            'x 的每个像素都把卷积核乘以自己铺下去；重叠的地方相加')
    arrays = {each.name: each.given for each in (x, W, bias) if each is not None}
    attributes = attributes_of(stride=stride, pad=pad, outsize=outsize, dilation=dilation, groups=groups)
    return Explanation('deconv2d', 'y', arrays, out.shape(y.data), attributes, (rule,), stages)


def im2col(x: Any, kernel_size: Pair, stride: Pair = 1, pad: Any = 0, dilation: Pair = 1) -> Explanation:
    """Explain F.im2col: where each number of the matrix comes from."""
    x = lifted('x', x)
    window = Window(kernel_size, stride, pad, dilation).on(x.full.shape[2:])
    size, places = x.full.shape[2:], window.outsize(x.full.shape[2:])
    matrix = F.im2col(x.full, kernel_size, stride, pad, dilation=dilation).data
    (N, C), (OH, OW), (KH, KW) = x.full.shape[:2], places, window.kernel_size

    def stages(index: Index) -> list[Stage]:
        n, oh, ow = (int(i) for i in np.unravel_index(index[0], (N, OH, OW)))
        c, kh, kw = (int(i) for i in np.unravel_index(index[1], (C, KH, KW)))
        _, _, h, w, inside = list(seen(window, (oh, ow), size))[kh * KW + kw]
        read = x.read((n, c, h, w), inside)
        at = f'x[{", ".join(map(str, read.index))}]' if inside else 'pad'
        title = (f'row {index[0]}: the window at ({oh}, {ow}); column {index[1]}: its channel {c}, cell ({kh}, {kw})',
                 f'第 {index[0]} 行：窗口位置 ({oh}, {ow})；第 {index[1]} 列：通道 {c}、窗口内 ({kh}, {kw})')
        return [Stage(title, f'{at} = {written(read.value)}', read.value, (Term((read,)),))]

    rule = (f'one row a window: N·OH·OW = {N}·{OH}·{OW} = {N * OH * OW}; one column a cell of it: '
            f'C·KH·KW = {C}·{KH}·{KW} = {C * KH * KW}',
            f'每个窗口一行：N·OH·OW = {N}·{OH}·{OW} = {N * OH * OW}；窗口的每个格子一列：'
            f'C·KH·KW = {C}·{KH}·{KW} = {C * KH * KW}')
    return Explanation('im2col', 'col', {'x': x.given}, matrix,
                       attributes_of(kernel_size=kernel_size, stride=stride, pad=pad, dilation=dilation),
                       (rule, *size_rules(window, size, places)), stages, window.pad)


def col2im(x: Any, input_shape: Sequence[int], kernel_size: Pair, stride: Pair = 1, pad: Any = 0,
           dilation: Pair = 1) -> Explanation:
    """Explain F.col2im: which windows add into a pixel."""
    col = lifted('col', x, 2, 2)
    shape = (1,) * (4 - len(input_shape)) + tuple(input_shape)
    image = F.col2im(col.full, shape, kernel_size, stride, pad, dilation=dilation).data
    window = Window(kernel_size, stride, pad, dilation).on(shape[2:])
    places, KW = window.outsize(shape[2:]), window.kernel_size[1]

    def stages(index: Index) -> list[Stage]:
        n, c, h, w = (0,) * (4 - len(index)) + index
        terms = []
        for kh, kw, oh, ow in sorted(seers(window, (h, w), places), key=lambda found: found[2:]):
            row = (n * places[0] + oh) * places[1] + ow
            terms.append(Term((col.read((row, (c * window.kernel_size[0] + kh) * KW + kw)),)))
        return [summed((f'the {len(terms)} windows that see the pixel', f'盖住该像素的 {len(terms)} 个窗口'), terms)]

    rule = ('every pixel: the windows that see it add what they have for it',
            '每个像素：凡盖住它的窗口，把各自的值加进来')
    return Explanation('col2im', 'y', {'col': col.given}, image.reshape(tuple(input_shape)),
                       attributes_of(input_shape=tuple(input_shape), kernel_size=kernel_size, stride=stride, pad=pad,
                                     dilation=dilation), (rule,), stages)
