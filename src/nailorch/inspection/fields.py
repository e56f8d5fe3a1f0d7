"""How much of the image a unit sees: receptive fields, by the geometry of the Graph.

Along one axis, unit u of an array reads the pixels jump*u + low ... jump*u + high of the input, as far as there are
such. A window of stride s, padding p and spread k over that array makes units that read

    jump*s * u + (low - jump*p)   ...   jump*s * u + (high + jump*(k - 1 - p)).

Where paths meet, in a sum or side by side as channels, the field is that of the widest; where they move at different
paces no such line exists, nor after an operation that mixes all places.

Source: Araujo, Norris & Sim, Computing receptive fields of convolutional neural networks, Distill 2019.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from nailorch.graph import Graph, Node, Value, resolve
from nailorch.shapes import Window

__all__ = ['Axis', 'Field', 'fields', 'window_of_node']


@dataclass(frozen=True)
class Axis:
    """One axis: unit u reads jump*u + low to jump*u + high, in pixels of the input."""

    jump: Fraction = Fraction(1)
    low: Fraction = Fraction(0)
    high: Fraction = Fraction(0)

    @property
    def size(self) -> int:
        """How many pixels a unit sees, the image's border aside."""
        return int(self.high - self.low) + 1

    @property
    def start(self) -> float:
        """The middle of what the first unit sees, in pixels from the first one."""
        return float(self.low + self.high) / 2

    def seen_through(self, spread: int, stride: int, before: int) -> Axis:
        """Return what units see that a window makes of these."""
        return Axis(self.jump * stride, self.low - self.jump * before, self.high + self.jump * (spread - 1 - before))

    def spread_by(self, spread: int, stride: int, before: int) -> Axis:
        """Return what units see that a transposed convolution makes of these; of several phases, the widest."""
        most = (spread - 1) // stride  # windows that meet in a unit, less one
        jump = self.jump / stride
        middle = jump * (2 * before - (spread - 1)) / 2
        half = self.jump * most / 2
        return Axis(jump, self.low + middle - half, self.high + middle + half)


@dataclass(frozen=True)
class Field:
    """What the units of an array see.

    Attributes:
        axes: along the height and the width; None where units see no regular part of the image.
        whole: every unit sees the whole image.
        widest: of paths that met, this one was the widest.
    """

    axes: tuple[Axis, Axis] | None = None
    whole: bool = False
    widest: bool = False


WHOLE = Field(whole=True)
UNKNOWN = Field()


def fields(graph: Graph, n: int = 1) -> dict[int, Field]:
    """Return the field of every array of a Graph that reads images (N, C, H, W), by the array's id.

    Of several inputs, those that are images are seen; a unit that reads two of them sees the wider part.
    """
    found = {image.id: Field((Axis(), Axis())) for image in images(graph)}
    for node in graph.nodes:
        given = [(graph.values[id], found[id]) for id in node.inputs if id in found]
        outputs = [graph.values[id] for id in node.outputs]
        for value in outputs if given else ():
            found[value.id] = field_of(node, given, value, graph, n)
    return found


def images(graph: Graph) -> list[Value]:
    """Return the inputs that are images."""
    return [graph.values[id] for id in graph.inputs if len(graph.values[id].shape) == 4]


def field_of(node: Node, given: list[tuple[Value, Field]], y: Value, graph: Graph, n: int) -> Field:
    """Return the field of one node's result."""
    if len(given) == 1:
        (x, met), = given
    else:
        x = max((value for value, _ in given), key=lambda value: resolve(value.shape, n)[2:])
        met = meeting([repeated(field, value, y, graph, n) for value, field in given])
    if met.whole or (node.op in ('Linear', 'MatMul') and len(x.shape) == 2):
        return WHOLE
    if met.axes is None or len(x.shape) != 4 or node.op in ('Linear', 'MatMul'):
        return UNKNOWN
    if mixed := mixed_axes(node) & {2, 3}:
        return WHOLE if len(mixed) == 2 else UNKNOWN
    if node.op == 'Transpose':
        return turned(node, met)
    if node.op in WINDOWS:
        window = window_of_node(node, graph, n)
        how = Axis.spread_by if node.op == 'Deconv2d' else Axis.seen_through
        vertical, horizontal = (how(axis, *sizes) for axis, *sizes in zip(
            met.axes, window.spread, window.stride, [before for before, _ in window.pad], strict=True))
        return Field((vertical, horizontal), widest=met.widest)
    if node.op in MOVING:
        return MOVING[node.op](node, met, n)
    if len(y.shape) == 4 and resolve(y.shape, n)[2:] == resolve(x.shape, n)[2:]:
        return met  # one place for each: a function of single numbers, a batch norm, a concatenation of channels
    return UNKNOWN  # flattened, transposed, cut: places in the image are no longer along these axes


def repeated(field: Field, value: Value, y: Value, graph: Graph, n: int) -> Field:
    """Return the field of an array as a result sees it: one number for all places sees the same in each."""
    if not field.axes or len(y.shape) != 4 or resolve(value.shape, n)[2:] == resolve(y.shape, n)[2:]:
        return field
    pixels = resolve(images(graph)[0].shape, n)[2:]
    return Field(whole=all(axis.low <= 0 and axis.high >= size - 1 and places == 1
                           for axis, size, places in zip(field.axes, pixels, resolve(value.shape, n)[2:], strict=True)))


def meeting(met: list[Field]) -> Field:
    """Return the field of a unit that reads several arrays."""
    known = [field for field in met if field.axes]
    if len(known) < len(met) or not known:
        return WHOLE if any(field.whole for field in met) else UNKNOWN
    # single numbers that stand for the whole image, as in squeeze-and-excitation, make all see it
    pairs = list(zip(*(field.axes or () for field in known), strict=True))
    if any(len({axis.jump for axis in axes}) > 1 for axes in pairs):
        return UNKNOWN
    joined = [Axis(axes[0].jump, min(axis.low for axis in axes), max(axis.high for axis in axes)) for axes in pairs]
    differ = any(len(set(axes)) > 1 for axes in pairs) or any(field.widest for field in known)
    return Field((joined[0], joined[1]), widest=differ)


def mixed_axes(node: Node) -> set[int]:
    """Return along which axes of images an operation takes all places together: those of a sum, of a softmax."""
    if node.op not in ('Sum', 'Mean', 'Max', 'Softmax', 'LogSoftmax'):
        return set()
    axis = node.attributes['axis']
    axes = range(4) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return {one % 4 for one in axes}


def turned(node: Node, met: Field) -> Field:
    """Return the field after a transposition: rows and columns may change places."""
    assert met.axes
    order = tuple(axis % 4 for axis in node.attributes['axes'] or (3, 2, 1, 0))
    if set(order[2:]) != {2, 3}:
        return UNKNOWN
    vertical, horizontal = (met.axes[axis - 2] for axis in order[2:])
    return Field((vertical, horizontal), widest=met.widest)


WINDOWS = ('Conv2d', 'Deconv2d', 'Pooling', 'AveragePooling')


def window_of_node(node: Node, graph: Graph, n: int = 1) -> Window:
    """Return the window of a convolution or a pooling, its padding in pixels."""
    told = resolve(node.attributes, n)
    x, y = (resolve(graph.values[id].shape, n) for id in (node.inputs[0], node.outputs[0]))
    kernel = told['kernel_size'] if 'kernel_size' in told else graph.values[node.inputs[1]].shape[2:]
    window = Window(kernel, told['stride'], told['pad'], told.get('dilation', 1), told.get('ceil_mode', False))
    return window.on(y[2:] if node.op == 'Deconv2d' else x[2:])


def padded(node: Node, met: Field, n: int) -> Field:
    assert met.axes
    widths = resolve(node.attributes, n)['widths']
    vertical, horizontal = (axis.seen_through(1, 1, before)
                            for axis, (before, _) in zip(met.axes, widths[2:], strict=True))
    return Field((vertical, horizontal), widest=met.widest)


def cut(node: Node, met: Field, n: int) -> Field:
    """Return the field after x[:, :, top:, ::2]: a shift and another pace."""
    assert met.axes
    slices: Any = resolve(node.attributes, n)['slices']
    slices = slices if isinstance(slices, tuple) else (slices,)
    if not all(isinstance(part, slice) for part in slices) or len(slices) > 4:
        return UNKNOWN
    axes = []
    for axis, part in zip(met.axes, (*slices, *(slice(None),) * (4 - len(slices)))[2:], strict=True):
        start, step = part.start or 0, part.step or 1
        if start < 0 or step < 0:
            return UNKNOWN
        axes.append(axis.seen_through(1, step, -start))
    return Field((axes[0], axes[1]), widest=met.widest)


MOVING: dict[str, Callable[[Node, Field, int], Field]] = {'Pad': padded, 'GetItem': cut}
