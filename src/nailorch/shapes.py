"""Sizes: where a window stands on an image, how many places it has, and what is said when it does not fit.

    OH = (H + top + bottom - KH) // SH + 1, and the same for the width.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np

from nailorch.messages import message

__all__ = ['Array', 'Pair', 'Window', 'broadcast_misfit', 'get_conv_outsize', 'get_deconv_outsize', 'pair']

Array: TypeAlias = np.ndarray[Any, Any]
Pair: TypeAlias = int | Sequence[int]
Pads: TypeAlias = tuple[tuple[int, int], tuple[int, int]]


def integer(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def pair(x: Any, name: str = 'pair') -> tuple[int, int]:
    """Return (x, x) for an int, and any two-sequence of ints as a tuple.

    Example:
        >>> pair(3), pair([3, 5])
        ((3, 3), (3, 5))
    """
    items = x.tolist() if isinstance(x, np.ndarray) else x
    items = (items, items) if integer(items) else items
    if not isinstance(items, Sequence) or len(items) != 2 or not all(map(integer, items)):
        raise ValueError(message('size.pair', name=name, value=x))
    return int(items[0]), int(items[1])


def at_least(least: int, value: int, name: str) -> None:
    if not integer(value):
        raise ValueError(message('size.whole', name=name, value=value))
    if value < least:
        raise ValueError(message('size.least', name=name, value=value, least=least))


def get_conv_outsize(input_size: int, kernel_size: int, stride: int, pad: Pair, dilation: int = 1) -> int:
    """Return how many places a window of `kernel_size` has along one axis.

    Args:
        input_size: pixels of the image, H or W.
        kernel_size: pixels of the window along this axis.
        stride: pixels from one place to the next.
        pad: pixels added on both sides, or (before, after).
        dilation: pixels from one cell of the kernel to the next.
    Returns:
        (input_size + before + after - spread) // stride + 1, with spread = dilation * (kernel_size - 1) + 1.
    Raises:
        ValueError: the window does not fit even once.
    Example:
        >>> get_conv_outsize(4, 3, 1, 1), get_conv_outsize(4, 3, 1, (0, 1))
        (4, 3)

    Source: Dumoulin & Visin, A guide to convolution arithmetic for deep learning, 2016, section 2.
    """
    before, after = pair(pad, 'pad')
    at_least(0, input_size, 'input_size')
    for name, value in {'kernel_size': kernel_size, 'stride': stride, 'dilation': dilation}.items():
        at_least(1, value, name)
    spread = dilation * (kernel_size - 1) + 1
    if input_size + before + after < spread:
        dilated = message('size.dilated', spread=spread) if dilation > 1 else ''
        padding = str(before + after)
        raise ValueError(message('size.kernel', kernel=kernel_size, dilated=dilated, size=input_size, pad=padding))
    return (input_size + before + after - spread) // stride + 1


def get_deconv_outsize(size: int, k: int, s: int, p: Pair, dilation: int = 1) -> int:
    """Return the smallest image that a window k, stride s, pad p turns into `size` places.

    Example:
        >>> get_deconv_outsize(3, 3, 2, 1)
        5

    Source: Dumoulin & Visin 2016, section 4.
    """
    before, after = pair(p, 'pad')
    for name, value in {'size': size, 'kernel_size': k, 'stride': s, 'dilation': dilation}.items():
        at_least(1, value, name)
    outsize = s * (size - 1) + dilation * (k - 1) + 1 - before - after
    if outsize < 1:
        raise ValueError(message('deconv.small', size=size, kernel=k, stride=s, pad=(before, after), outsize=outsize))
    return outsize


def normal_pad(pad: Any) -> Pads | str:
    """Return `pad` as ((top, bottom), (left, right)), or as 'same', which only an image's size can resolve."""
    if isinstance(pad, str):
        if pad not in ('same', 'valid'):
            raise ValueError(message('size.pad', value=pad))
        return 'same' if pad == 'same' else ((0, 0), (0, 0))
    try:
        items = (pad, pad) if integer(pad) else tuple(pad)
        vertical, horizontal = (pair(side, 'pad') for side in items)
    except (TypeError, ValueError):
        raise ValueError(message('size.pad', value=pad)) from None
    for side in (*vertical, *horizontal):
        at_least(0, side, 'pad')
    return vertical, horizontal


@dataclass(frozen=True)
class Window:
    """A kernel's size and how it moves over an image.

    Args:
        kernel_size: (KH, KW), or one int for both.
        stride: (SH, SW) pixels from one place to the next.
        pad: an int, (vertical, horizontal), ((top, bottom), (left, right)), 'valid' (none), or 'same': as much as makes
            OH = ceil(H / SH), the odd pixel at the bottom and right.
        dilation: (DH, DW) pixels from one cell of the kernel to the next.
        ceil_mode: let a last window hang over the end, if it begins inside the image or the padding before it.
    """

    kernel_size: Any
    stride: Any = 1
    pad: Any = 0
    dilation: Any = 1
    ceil_mode: bool = False
    hash: ClassVar[int]

    def __post_init__(self) -> None:
        for name in ('kernel_size', 'stride', 'dilation'):
            sizes = pair(getattr(self, name), name)
            at_least(1, min(sizes), name)
            object.__setattr__(self, name, sizes)
        object.__setattr__(self, 'pad', normal_pad(self.pad))
        fields = self.kernel_size, self.stride, self.pad, self.dilation, self.ceil_mode
        object.__setattr__(self, 'hash', hash(fields))

    def __hash__(self) -> int:
        return self.hash  # computed once: every layer looks its window's places up at every call

    @property
    def spread(self) -> tuple[int, int]:
        """The pixels that the kernel spans, its dilation included."""
        (KH, KW), (DH, DW) = self.kernel_size, self.dilation
        return DH * (KH - 1) + 1, DW * (KW - 1) + 1

    def on(self, size: Sequence[int]) -> Window:
        """Return this window with its padding in pixels for images of `size` (H, W).

        'same' and `ceil_mode` become plain padding: then OH = (H + top + bottom - spread) // SH + 1 holds for all.
        """
        if self.pad != 'same' and not self.ceil_mode:
            return self
        sides = zip(size, self.spread, self.stride, self.pads(size), strict=True)
        pad = tuple((p[0], p[1] + (overhang(n, k, s, p) if self.ceil_mode else 0)) for n, k, s, p in sides)
        return Window(self.kernel_size, self.stride, pad, self.dilation)

    def pads(self, size: Sequence[int]) -> Pads:
        """Return the padding asked for, ((top, bottom), (left, right)), before `ceil_mode` adds to it."""
        if self.pad != 'same':
            return self.pad
        missing = [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(size, self.spread, self.stride, strict=True)]
        top, left = (total // 2 for total in missing)
        return (top, missing[0] - top), (left, missing[1] - left)

    def outsize(self, size: Sequence[int]) -> tuple[int, int]:
        """Return (OH, OW), the window's places on images of `size` (H, W)."""
        return places(self, tuple(size))

    def insize(self, outsize: Sequence[int], chosen: Pair | None = None) -> tuple[int, int]:
        """Return (H, W) of the smallest images with `outsize` (OH, OW) places, or check `chosen`, if given.

        A stride loses up to SH - 1 pixels, so several sizes fit. For 'same' the largest is the usual choice: SH * OH.
        """
        if chosen is None and self.pad == 'same':
            H, W = (n * s for n, s in zip(outsize, self.stride, strict=True))
        elif chosen is None:
            H, W = map(get_deconv_outsize, outsize, self.kernel_size, self.stride, self.pad, self.dilation)
        else:
            H, W = pair(chosen, 'outsize')
            for axis, (want, n, stride) in enumerate(zip((H, W), outsize, self.stride, strict=True)):
                within = 1 if self.pad == 'same' else self.spread[axis] - sum(self.pad[axis])
                least, most = max(stride * (n - 1) + within, 1), stride * n + within - 1
                if not least <= want <= most:
                    raise ValueError(message('size.output', outsize=want, size=n, kernel=self.kernel_size[axis],
                                             stride=stride, pad=self.pad, least=least, most=most))
        return H, W


@functools.lru_cache(1024)  # a network asks for the same few again and again
def places(window: Window, size: tuple[int, int]) -> tuple[int, int]:
    """Return what `Window.outsize` does."""
    here = window.on(size)
    OH, OW = map(get_conv_outsize, size, here.kernel_size, here.stride, here.pad, here.dilation)
    return OH, OW


known = functools.lru_cache(1024, typed=True)(Window)


def window_of(kernel_size: Any, stride: Any = 1, pad: Any = 0, dilation: Any = 1, ceil_mode: bool = False) -> Window:
    """Return Window(...), one that was made before if the sizes are numbers or tuples of numbers."""
    try:
        return known(kernel_size, stride, pad, dilation, ceil_mode)
    except TypeError:  # lists have no hash
        return Window(kernel_size, stride, pad, dilation, ceil_mode)


def check_images(op: str, x: Array) -> None:
    """Raise ValueError, naming the missing axis, unless x is (N, C, H, W)."""
    if x.ndim != 4:
        grey = x.ndim == 2 and x.shape[1] <= 64
        remedy = 'axes.batch' if x.ndim == 3 else 'axes.channel' if grey else 'axes.flat'
        raise ValueError(message('axes.images', op=op, ndim=x.ndim, shape=x.shape, remedy=message(remedy)))


def overhang(size: int, spread: int, stride: int, pad: Sequence[int]) -> int:
    """Return the pixels by which the last window of `ceil_mode` hangs over the padded end."""
    before, after = pad
    rest = (size + before + after - spread) % stride
    beyond = stride - rest if rest else 0
    start = size + before + after + beyond - spread
    return beyond if start < size + before else 0


def broadcast_misfit(op: str, shapes: dict[str, tuple[int, ...]]) -> str:
    """Return which of these inputs do not broadcast against each other, and what may have been meant; '' if all do."""
    for (name0, x0), (name1, x1) in itertools.combinations(shapes.items(), 2):
        for axis in range(-min(len(x0), len(x1)), 0):
            if x0[axis] != x1[axis] and 1 not in (x0[axis], x1[axis]):
                return message('broadcast.axis', op=op, axis=axis if len(x0) != len(x1) else axis + len(x0),
                               size0=x0[axis], name0=name0, size1=x1[axis], name1=name1,
                               shapes=', '.join(f'{name}.shape={shape}' for name, shape in shapes.items()),
                               remedy=broadcast_remedy(name0, x0, name1, x1) or broadcast_remedy(name1, x1, name0, x0))
    return ''


def broadcast_remedy(name: str, shape: tuple[int, ...], other: str, larger: tuple[int, ...]) -> str:
    """Return how a shape can be made to fit whose axes stand further in front in the larger one, in one place alone."""
    starts = [start for start in range(len(larger) - len(shape)) if larger[start:start + len(shape)] == shape]
    if len(starts) != 1:
        return ''
    padded = shape + (1,) * (len(larger) - len(shape) - starts[0])
    return message('broadcast.front', name=name, other=other, axis=starts[0], shape=padded)
