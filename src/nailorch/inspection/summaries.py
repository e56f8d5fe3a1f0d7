"""A model's table: its layers, what comes out of them, what they cost, and how much of the image their units see."""

from __future__ import annotations

import contextlib
import io
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING, Any

from nailorch.config import using_config
from nailorch.core import Parameter
from nailorch.graph import Graph, Node, Value, resolve, trace
from nailorch.inspection.counting import multiply_adds
from nailorch.inspection.examples import Shapes, examples
from nailorch.inspection.fields import UNKNOWN, fields
from nailorch.layers.base import Layer, unknown
from nailorch.messages import message, whole
from nailorch.models import Model
from nailorch.shapes import at_least

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

__all__ = ['Row', 'Summary', 'summary']

Shape = tuple[int, ...]

COLUMNS = ('layer', 'type', 'shape', 'parameters', 'multiply_adds', 'memory', 'field', 'jump', 'start')
ALWAYS = COLUMNS[:6]  # the others need images
WIDTH = 128  # of a printed table
LEFT_OUT = ('start', 'jump', 'memory', 'field', 'multiply_adds')  # where the table is too wide, in this order


@dataclass(frozen=True)
class Row:
    """A line of the table: one call of a layer, or of a function between layers.

    Attributes:
        layer: the layer's path, 'blocks/0/conv'; for a function, that of the layer or model around it.
        type: the layer's class, or the function's; 'BatchNorm + Add + ReLU' where one call is all three.
        shapes: of what comes out, several where a function has several results.
        parameters: how many numbers it brings that no row above has; buffers are not among them.
        shared: whether it uses parameters of a row above.
        multiply_adds: products that are added to sums, of convolutions and matrix products, for the whole batch.
        memory: bytes of what comes out.
        field: height and width of what a unit sees of the image, its border aside; None where there is no such.
        jump: pixels of the image from one unit to the next, vertically and horizontally.
        start: the middle of what the first unit sees, in pixels from the image's first.
        whole: every unit sees the whole image.
        widest: paths with different fields met, and the widest is told.
    """

    layer: str
    type: str
    shapes: tuple[Shape, ...]
    parameters: int
    shared: bool
    multiply_adds: int = 0
    memory: int = 0
    field: tuple[int, int] | None = None
    jump: tuple[float, float] | None = None
    start: tuple[float, float] | None = None
    whole: bool = False
    widest: bool = False


@dataclass(frozen=True)
class Summary:
    """What `summary` found: print it, show it in a notebook, or take its numbers.

    Attributes:
        model: the model's class.
        input_shape: with the batch axis; for several inputs, the shapes of all.
        rows: in the order in which they run.
        learned, frozen: parameters that training changes, and those whose `requires_grad` is False.
        buffers: numbers saved with the weights but not learned, such as batch norm's averages.
        weight_bytes: memory of parameters and buffers.
        input_bytes, output_bytes: memory of the input, and of what comes out of all rows together.
        unused: parameters of the model that the result does not depend on.
        lang: the language of the table; None: `Config.lang`'s.
        collapse: show blocks that follow one another and are alike as one.
    """

    model: str
    input_shape: Shape | tuple[Shape, ...]
    rows: tuple[Row, ...]
    learned: int
    frozen: int
    buffers: int
    weight_bytes: int
    input_bytes: int
    output_bytes: int
    unused: tuple[str, ...]
    lang: str | None = None
    collapse: bool = True

    @property
    def multiply_adds(self) -> int:
        """All multiply-adds, of the whole batch."""
        return sum(row.multiply_adds for row in self.rows)

    @property
    def parameters(self) -> int:
        """All parameters, learned and frozen."""
        return self.learned + self.frozen

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON can write it."""
        told = asdict(self) | {'parameters': self.parameters, 'multiply_adds': self.multiply_adds}
        del told['lang'], told['collapse']
        return told

    @property
    def written_input(self) -> str:
        """The shape, or those of several inputs."""
        several = isinstance(self.input_shape[0], tuple)
        return ', '.join(map(str, self.input_shape)) if several else str(self.input_shape)

    # the table

    def lines(self) -> tuple[str, list[str], list[list[str]], list[str]]:
        """Return title, headings, cells (the last row is the total) and what is said below, in the table's language."""
        with using_config('lang', self.lang) if self.lang else contextlib.nullcontext():
            title = message('summary.title', model=self.model, shape=self.written_input)
            images = any(row.field or row.whole for row in self.rows)
            shown = COLUMNS if images else ALWAYS
            headings = [message(f'summary.{column}') for column in shown]
            cells = [[texts[column] for column in shown] for texts in self.texts()]
            total = {'layer': message('summary.total'), 'parameters': f'{self.parameters:,}',
                     'multiply_adds': f'{self.multiply_adds:,}', 'memory': in_bytes(self.output_bytes)}
            cells.append([total.get(column, '') for column in shown])
            below = [message('summary.counts', learned=f'{self.learned:,}', frozen=f'{self.frozen:,}',
                             buffers=f'{self.buffers:,}'),
                     message('summary.sizes', **{name: f'{getattr(self, f"{name}_bytes") / 1e6:,.2f}'
                                                 for name in ('weight', 'input', 'output')})]
            if any(row.widest for row in self.rows):
                below.append(message('summary.widest'))
            if self.unused:
                below.append(message('summary.unused', names=', '.join(self.unused)))
            if images:
                below.append(message('summary.legend'))
        return title, headings, cells, below

    def texts(self) -> Iterator[dict[str, str]]:
        """Yield the texts of the table's lines: each row, or the rows of the first of several blocks that are alike."""
        for first, *others in repeated(self.rows) if self.collapse else ([[row]] for row in self.rows):
            for place, row in enumerate(first):
                alike = [row, *(block[place] for block in others)]
                times = f'{len(alike)}×' if len(alike) > 1 else ''
                yield {
                    'layer': spanned(row.layer, alike[-1].layer) if times else row.layer, 'type': row.type,
                    'shape': '\n'.join(map(str, row.shapes)),
                    'parameters': f'{times}{row.parameters:,}' if row.parameters else
                                  message('summary.shared') if row.shared else '',
                    'multiply_adds': f'{times}{row.multiply_adds:,}' if row.multiply_adds else '',
                    'memory': times + in_bytes(row.memory),
                    'field': from_to([message('summary.whole') if each.whole else across(each.field) +
                                      ('*' if each.widest else '') for each in alike]),
                    'jump': from_to([across(each.jump) for each in alike]),
                    'start': from_to([across(each.start) for each in alike]),
                }

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Show as many columns as the terminal has room for: numbers that break over lines cannot be read."""
        from rich.table import Table
        from rich.text import Text

        title, headings, cells, below = self.lines()
        cells = [[in_lines(name, max(20, options.max_width // 3 - 2)), *rest] for name, *rest in cells]
        shown = fitting([headings, *cells], options.max_width)
        if len(headings) == len(COLUMNS) and COLUMNS.index('field') not in shown:
            below.pop()  # the legend of columns that are not shown
        table = Table(box=None, pad_edge=False, header_style='bold')
        for place in shown:
            table.add_column(headings[place], justify='left' if place < 3 else 'right', overflow='fold')
        for row in cells:
            table.add_row(*(Text(row[place]) for place in shown), style='bold' if row is cells[-1] else None)
        yield Text(title)
        yield table
        yield from map(Text, below)

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(file=io.StringIO(), width=WIDTH, color_system=None, highlight=False, legacy_windows=False)
        console.print(self)
        return '\n'.join(line.rstrip() for line in console.file.getvalue().splitlines())  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return f'Summary({self.model}: {self.parameters:,} parameters)'

    def _repr_html_(self) -> str:
        title, headings, cells, below = self.lines()

        def line(tag: str, row: list[str]) -> str:
            sides = ['left'] * 3 + ['right'] * (len(row) - 3)
            return '<tr>' + ''.join(f'<{tag} style="text-align: {side}">{escape(cell).replace(chr(10), "<br>")}</{tag}>'
                                    for side, cell in zip(sides, row, strict=True)) + '</tr>'

        return (f'<table><caption>{escape(title)}</caption><thead>{line("th", headings)}</thead>'
                f'<tbody>{"".join(line("td", row) for row in cells[:-1])}</tbody>'
                f'<tfoot>{line("th", cells[-1])}</tfoot></table><p>{"<br>".join(map(escape, below))}</p>')


def summary(model: Layer, input_shape: Shapes, *, batch_size: int = 1, dtype: Any = None,
            lang: str | None = None, collapse: bool = True) -> Summary:
    """Return a table of what happens in a model: layers, output shapes, parameters, multiply-adds, receptive fields.

    The model runs in test mode: dropout, which does nothing then, has no row. Parameters that wait for their sizes are
    drawn; else the model is left as it was.

    Args:
        model: any layer.
        input_shape: of one item, without the batch axis: (C, H, W), or (features,); for several inputs a list of them.
        batch_size: N in the shapes that are shown.
        dtype: of the input, 'int64' for ids, or a list with one for each; None: `Config.dtype`.
        lang: 'en' or 'zh'; None: `Config.lang`'s.
        collapse: show blocks that follow one another and are alike as one; False shows each.
    Raises:
        ValueError: the model does not take such an input, or an argument makes no sense.
    Example:
        >>> print(summary(nailorch.models.MLP((32, 10)), 64))
        MLP, input (1, 64)
        Layer  Type     Output shape  Parameters  Multiply-adds  Memory
        l0     Linear   (1, 32)            2,080          2,048   128 B
               Sigmoid  (1, 32)                                   128 B
        l1     Linear   (1, 10)              330            320    40 B
        Total                              2,410          2,368   296 B
        learned 2,410 · frozen 0 · buffers 0
        weights 0.01 MB · input 0.00 MB · outputs 0.00 MB
    """
    given = examples('summary', model, input_shape, dtype)
    at_least(1, batch_size, 'batch_size')
    if lang not in (None, 'en', 'zh'):
        raise ValueError(f"summary: lang is 'en', 'zh' or None, not {lang!r}")
    try:
        graph = trace(model, *given)
    except ValueError as error:
        shape: Shape = given[0].shape[1:] if len(given) == 1 else ()
        told = whole(error)
        if len(shape) == 4:
            raise ValueError(message('summary.batch', error=told, shape=shape, rest=shape[1:])) from error
        if len(shape) == 2:
            raise ValueError(message('summary.grey', error=told, shape=shape, grey=(1, *shape))) from error
        if len(shape) == 3 and shape[2] in (1, 3) and shape[0] not in (1, 3):
            raise ValueError(message('summary.last', error=told, shape=shape, first=(shape[2], *shape[:2]))) from error
        raise
    layers = dict(model.named_layers())
    parts = parts_of(graph, layers)
    outputs = [graph.values[id] for part in parts for id in part[-1].outputs]
    parameters, buffers = dict(model.named_parameters()), [buffer for _, buffer in model.named_buffers()]
    learned = [p for p in parameters.values() if p.requires_grad]
    frozen = [p for p in parameters.values() if not p.requires_grad]
    used = {id(value.source) for value in graph.values}
    shapes = tuple((batch_size, *each.shape[1:]) for each in given)
    return Summary(type(model).__name__, shapes if len(shapes) > 1 else shapes[0],
                   tuple(rows_of(graph, parts, layers, batch_size)),
                   learned=elements(learned), frozen=elements(frozen), buffers=elements(buffers),
                   weight_bytes=sum(p.data.nbytes for p in (*learned, *frozen, *buffers) if not unknown(p)),
                   input_bytes=sum(memory(graph.values[id], batch_size) for id in graph.inputs),
                   output_bytes=sum(memory(value, batch_size) for value in outputs),
                   unused=tuple(name for name, p in parameters.items() if id(p) not in used),
                   lang=lang, collapse=collapse)


def parts_of(graph: Graph, layers: dict[str, Layer]) -> list[list[Node]]:
    """Return the nodes of each row: one call of a simple layer, or one function between layers."""
    simple = {name for name, layer in layers.items() if is_simple(layer)}
    return [list(nodes) for _, nodes in
            groupby(graph.nodes, lambda node: (node.layer, node.call) if node.layer in simple else node.name)]


def rows_of(graph: Graph, parts: list[list[Node]], layers: dict[str, Layer], n: int) -> Iterator[Row]:
    """Yield the rows; a parameter counts in the first that uses it."""
    known: set[int] = set()
    seen = fields(graph, n)
    for part in parts:
        last = part[-1]
        used = {id for node in part for id in node.inputs if graph.values[id].kind == 'parameter'}
        layer = layers[last.layer]
        field = seen.get(last.outputs[0], UNKNOWN)
        axes = field.axes or ()
        name = type(layer).__name__ if is_simple(layer) else last.op
        also = [node.op for node in part[1:]] if hasattr(layer, 'activation') else []
        yield Row(last.layer, ' + '.join([name, *also]),
                  tuple(resolve(graph.values[id].shape, n) for id in last.outputs),
                  parameters=sum(graph.values[id].array.size for id in used - known), shared=bool(used & known),
                  multiply_adds=sum(multiply_adds(node, graph, n) for node in part),
                  memory=sum(memory(graph.values[id], n) for id in last.outputs),
                  field=both(axis.size for axis in axes), jump=both(float(axis.jump) for axis in axes),
                  start=both(axis.start for axis in axes), whole=field.whole, widest=field.widest)
        known |= used


def both(sizes: Iterable[Any]) -> Any:
    """Return (vertical, horizontal), or None where there is nothing."""
    return tuple(sizes) or None


def is_simple(layer: Layer) -> bool:
    """Return whether a layer has one row: it has no layers in it but itself, and is no model."""
    return len(list(layer.named_layers())) == 1 and not isinstance(layer, Model)


def elements(parameters: Iterable[Parameter]) -> int:
    return sum(p.size for p in parameters if not unknown(p))


def memory(value: Value, n: int) -> int:
    """Return the bytes that a value takes in a batch of n."""
    return math.prod(resolve(value.shape, n)) * value.dtype.itemsize


# how the table writes it


def repeated(rows: Sequence[Row]) -> Iterator[list[list[Row]]]:
    """Yield the rows in order, as lists of blocks that follow one another and are alike."""
    blocks = [list(block) for _, block in groupby(enumerate(rows), lambda item: numbered(item[1].layer) or item[0])]
    alike = groupby(([row for _, row in block] for block in blocks), signature)
    return (list(run) for _, run in alike)


def numbered(layer: str) -> str:
    """Return the part of a path up to its first number, 'layer1/0' of 'layer1/0/conv1'; '' where there is none.

    In names out of files, 'features.3.conv', points part the levels.
    """
    found = re.match(r'(.*?[/.])?\d+(?=[/.]|$)', layer)
    return found[0] if found else ''


def level_of(prefix: str) -> tuple[str, str]:
    """Part such a beginning in what stands before its number, and the number."""
    number = re.search(r'\d+$', prefix)
    assert number
    return prefix[:number.start()], number[0]


def signature(block: list[Row]) -> Any:
    """Return what two blocks have in common that are shown as one; a row outside of blocks is like no other."""
    prefix = numbered(block[0].layer)
    if not prefix:
        return id(block[0])
    return level_of(prefix)[0], tuple((row.layer.removeprefix(prefix), row.type, row.shapes, row.parameters, row.shared)
                                      for row in block)


def fitting(table: Sequence[Sequence[str]], width: int) -> list[int]:
    """Return the places of the columns that are shown side by side in `width`, without those that matter least."""
    from rich.cells import cell_len

    wide = [max(cell_len(line) for row in table for line in row[place].split('\n')) for place in range(len(table[0]))]
    shown = list(range(len(wide)))
    for column in LEFT_OUT:
        if sum(wide[place] + 2 for place in shown) - 2 > width and COLUMNS.index(column) in shown:
            shown.remove(COLUMNS.index(column))
    return shown


def spanned(first: str, last: str) -> str:
    """Write 'layer1/1…3/conv1' for the same layer of several blocks."""
    begin, (_, end) = numbered(first), level_of(numbered(last))
    return f'{begin}…{end}{first.removeprefix(begin)}'


def in_lines(name: str, width: int) -> str:
    """Break a long name after '/', '.' or '_', so that each line fits into a width, those after the first indented."""
    lines = ['']
    for piece in re.findall(r'[^/._]*[/._]|[^/._]+', name):
        if lines[-1].strip() and len(lines[-1] + piece) > width:
            lines.append('  ')
        lines[-1] += piece
    return '\n'.join(lines)


def across(sizes: tuple[float, float] | None) -> str:
    """Write 3 for (3, 3), 3×5 for (3, 5), nothing for None."""
    return '' if sizes is None else '×'.join(dict.fromkeys(f'{size:g}' for size in sizes))


def from_to(texts: Sequence[str]) -> str:
    return texts[0] if texts[0] == texts[-1] else f'{texts[0]}…{texts[-1]}'


def in_bytes(count: int) -> str:
    """Write bytes as people read them: 784 B, 50.2 kB, 12.8 MB."""
    size = float(count)
    for unit in ('B', 'kB', 'MB', 'GB'):
        if size < 999.5 or unit == 'GB':
            break
        size /= 1000
    return f'{size:.3g} {unit}'
