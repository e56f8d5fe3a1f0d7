"""A model's table: its layers, the shapes that come out of them, and how many parameters they learn."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from nailorch.config import Config, using_config
from nailorch.core import Parameter
from nailorch.graph import Graph, Node, Value, resolve, trace
from nailorch.layers.base import Layer, unknown
from nailorch.messages import message
from nailorch.models import Model
from nailorch.shapes import at_least, integer

if TYPE_CHECKING:
    from rich.console import Group

__all__ = ['Row', 'Summary', 'summary']

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Row:
    """A line of the table: one call of a layer, or of a function between layers.

    Attributes:
        layer: the layer's path, 'blocks/0/conv'; for a function, that of the layer or model around it.
        type: the layer's class, or the function's.
        shapes: of what comes out, several where a function has several results.
        parameters: how many numbers it brings that no row above has; buffers are not among them.
        shared: whether it uses parameters of a row above.
    """

    layer: str
    type: str
    shapes: tuple[Shape, ...]
    parameters: int
    shared: bool


@dataclass(frozen=True)
class Summary:
    """What `summary` found: print it, show it in a notebook, or take its numbers.

    Attributes:
        model: the model's class.
        input_shape: with the batch axis.
        rows: in the order in which they run.
        learned, frozen: parameters that training changes, and those whose `requires_grad` is False.
        buffers: numbers saved with the weights but not learned, such as batch norm's averages.
        weight_bytes: memory of parameters and buffers.
        input_bytes, output_bytes: memory of the input, and of what comes out of all rows together.
        unused: parameters of the model that the result does not depend on.
        lang: the language of the table; None: `Config.lang`'s.
    """

    model: str
    input_shape: Shape
    rows: tuple[Row, ...]
    learned: int
    frozen: int
    buffers: int
    weight_bytes: int
    input_bytes: int
    output_bytes: int
    unused: tuple[str, ...]
    lang: str | None = None

    @property
    def parameters(self) -> int:
        """All parameters, learned and frozen."""
        return self.learned + self.frozen

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON can write it."""
        told = asdict(self) | {'parameters': self.parameters}
        del told['lang']
        return told

    # the table

    def lines(self) -> tuple[str, list[str], list[list[str]], list[str]]:
        """Return title, headings, cells (the last row is the total) and what is said below, in the table's language."""
        with using_config('lang', self.lang) if self.lang else contextlib.nullcontext():
            title = message('summary.title', model=self.model, shape=self.input_shape)
            headings = [message(f'summary.{name}') for name in ('layer', 'type', 'shape', 'parameters')]
            shared = message('summary.shared')
            cells = [[row.layer, row.type, '\n'.join(map(str, row.shapes)),
                      f'{row.parameters:,}' if row.parameters else shared if row.shared else ''] for row in self.rows]
            total = [message('summary.total'), '', '', f'{self.parameters:,}']
            below = [message('summary.counts', learned=f'{self.learned:,}', frozen=f'{self.frozen:,}',
                             buffers=f'{self.buffers:,}'),
                     message('summary.sizes', **{name: f'{getattr(self, f"{name}_bytes") / 1e6:,.2f}'
                                                 for name in ('weight', 'input', 'output')})]
            if self.unused:
                below.append(message('summary.unused', names=', '.join(self.unused)))
        return title, headings, [*cells, total], below

    def __rich__(self) -> Group:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        title, headings, cells, below = self.lines()
        table = Table(box=None, pad_edge=False, header_style='bold')
        for heading in headings:
            table.add_column(heading, justify='right' if heading == headings[-1] else 'left', overflow='fold')
        for row in cells:
            table.add_row(*map(Text, row), style='bold' if row is cells[-1] else None)
        return Group(Text(title), table, *map(Text, below))

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(file=io.StringIO(), width=80, color_system=None, highlight=False, legacy_windows=False)
        console.print(self)
        return '\n'.join(line.rstrip() for line in console.file.getvalue().splitlines())  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return f'Summary({self.model}: {self.parameters:,} parameters)'

    def _repr_html_(self) -> str:
        title, headings, cells, below = self.lines()

        def line(tag: str, row: list[str]) -> str:
            sides = ['left'] * 3 + ['right']
            return '<tr>' + ''.join(f'<{tag} style="text-align: {side}">{escape(cell).replace(chr(10), "<br>")}</{tag}>'
                                    for side, cell in zip(sides, row, strict=True)) + '</tr>'

        return (f'<table><caption>{escape(title)}</caption><thead>{line("th", headings)}</thead>'
                f'<tbody>{"".join(line("td", row) for row in cells[:-1])}</tbody>'
                f'<tfoot>{line("th", cells[-1])}</tfoot></table><p>{"<br>".join(map(escape, below))}</p>')


def summary(model: Layer, input_shape: int | Sequence[int], *, batch_size: int = 1, dtype: Any = None,
            lang: str | None = None) -> Summary:
    """Return a table of what happens in a model: layers, output shapes, parameters.

    The model runs in test mode: dropout, which does nothing then, has no row. Parameters that wait for their sizes are
    drawn; else the model is left as it was.

    Args:
        model: any layer.
        input_shape: of one item, without the batch axis: (C, H, W), or (features,).
        batch_size: N in the shapes that are shown.
        dtype: of the input, 'int64' for ids; None: `Config.dtype`.
        lang: 'en' or 'zh'; None: `Config.lang`'s.
    Raises:
        ValueError: the model does not take such an input, or an argument makes no sense.
    Example:
        >>> print(summary(nailorch.models.MLP((32, 10)), 64))
        MLP, input (1, 64)
        Layer  Type     Output shape  Parameters
        l0     Linear   (1, 32)            2,080
               Sigmoid  (1, 32)
        l1     Linear   (1, 10)              330
        Total                              2,410
        learned 2,410 · frozen 0 · buffers 0
        weights 0.01 MB · input 0.00 MB · outputs 0.00 MB
    """
    shape = (int(input_shape),) if integer(input_shape) else tuple(input_shape)  # type: ignore[arg-type]
    if not shape or not all(integer(size) and size > 0 for size in shape):
        raise ValueError(message('summary.input', shape=input_shape))
    at_least(1, batch_size, 'batch_size')
    if lang not in (None, 'en', 'zh'):
        raise ValueError(f"summary: lang is 'en', 'zh' or None, not {lang!r}")
    try:
        graph = trace(model, np.zeros((1, *shape), dtype or Config.dtype))
    except ValueError as error:
        if len(shape) == 4:
            raise ValueError(message('summary.batch', error=error, shape=shape, rest=shape[1:])) from error
        if len(shape) == 2:
            raise ValueError(message('summary.grey', error=error, shape=shape, grey=(1, *shape))) from error
        raise
    layers = dict(model.named_layers())
    parts = parts_of(graph, layers)
    outputs = [graph.values[id] for part in parts for id in part[-1].outputs]
    parameters, buffers = dict(model.named_parameters()), [buffer for _, buffer in model.named_buffers()]
    learned = [p for p in parameters.values() if p.requires_grad]
    frozen = [p for p in parameters.values() if not p.requires_grad]
    used = {id(value.source) for value in graph.values}
    return Summary(type(model).__name__, (batch_size, *shape), tuple(rows_of(graph, parts, layers, batch_size)),
                   learned=elements(learned), frozen=elements(frozen), buffers=elements(buffers),
                   weight_bytes=sum(p.data.nbytes for p in (*learned, *frozen, *buffers) if not unknown(p)),
                   input_bytes=memory(graph.values[0], batch_size),
                   output_bytes=sum(memory(value, batch_size) for value in outputs),
                   unused=tuple(name for name, p in parameters.items() if id(p) not in used), lang=lang)


def parts_of(graph: Graph, layers: dict[str, Layer]) -> list[list[Node]]:
    """Return the nodes of each row: one call of a simple layer, or one function between layers."""
    simple = {name for name, layer in layers.items() if is_simple(layer)}
    return [list(nodes) for _, nodes in
            groupby(graph.nodes, lambda node: (node.layer, node.call) if node.layer in simple else node.name)]


def rows_of(graph: Graph, parts: list[list[Node]], layers: dict[str, Layer], n: int) -> Iterator[Row]:
    """Yield the rows; a parameter counts in the first that uses it."""
    known: set[int] = set()
    for part in parts:
        last = part[-1]
        used = {id for node in part for id in node.inputs if graph.values[id].kind == 'parameter'}
        layer = layers[last.layer]
        yield Row(last.layer, type(layer).__name__ if is_simple(layer) else last.op,
                  tuple(resolve(graph.values[id].shape, n) for id in last.outputs),
                  parameters=sum(graph.values[id].array.size for id in used - known), shared=bool(used & known))
        known |= used


def is_simple(layer: Layer) -> bool:
    """Return whether a layer has one row: it has no layers in it but itself, and is no model."""
    return len(list(layer.named_layers())) == 1 and not isinstance(layer, Model)


def elements(parameters: Iterable[Parameter]) -> int:
    return sum(p.size for p in parameters if not unknown(p))


def memory(value: Value, n: int) -> int:
    """Return the bytes that a value takes in a batch of n."""
    return math.prod(resolve(value.shape, n)) * value.dtype.itemsize
