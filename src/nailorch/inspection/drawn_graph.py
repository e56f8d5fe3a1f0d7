"""The computation graph as a picture: boxes for layers or whole blocks, arrows with the shapes that flow along them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from nailorch.drawing import Box, Drawing, Item, Line, Rect, Scene, Text, framed
from nailorch.drawing.fonts import measure
from nailorch.graph import Graph, Node, resolve, trace
from nailorch.inspection.examples import Shapes, examples
from nailorch.inspection.folding import fold
from nailorch.inspection.layering import Layout, layered
from nailorch.layers import Layer
from nailorch.messages import language
from nailorch.shapes import at_least

__all__ = ['draw_graph', 'scene_of']

# Operations on one array that keep its shape: they stand in the box of what they follow.
SMALL_CHANGES = ('FixedBatchNorm', 'BatchNorm', 'ReLU', 'ReLU6', 'LeakyReLU', 'Sigmoid', 'Tanh', 'Clip', 'HardSwish',
                 'SiLU', 'ELU', 'PReLU')
NAMES = {'FixedBatchNorm': 'BatchNorm', 'Pooling': 'MaxPool', 'AveragePooling': 'AveragePool'}
COLOURS = {'Conv2d': 'pale blue', 'Deconv2d': 'pale blue', 'Linear': 'pale blue', 'MatMul': 'pale blue',
           'Pooling': 'pale green', 'AveragePooling': 'pale green', 'Mean': 'pale green', 'Max': 'pale green',
           'Add': 'pale purple', 'Concat': 'pale purple', 'Mul': 'pale purple'}
WORDS = {'input': ('input', '输入'), 'output': ('output', '输出')}

TITLE, DETAIL, SHAPE = 15.0, 12.5, 12.5  # sizes of text
PADDING = 14.0  # around a box's text
STUB, TURN, HEAD = 22.0, 24.0, 12.0  # below a row: shapes, lines that turn, arrows


@dataclass
class Part:
    """A box of the picture: a layer with what follows it, a block, an operation, or what comes in or goes out."""

    title: str
    detail: str
    fill: str
    nodes: list[Node] = field(default_factory=list)
    module: bool = False
    shape: str = ''  # of what leaves it

    def add(self, node: Node) -> None:
        """Take in an operation that follows."""
        self.nodes.append(node)
        name = f' · {NAMES.get(node.op, node.op)}'
        self.title, self.detail = (self.title, self.detail + name) if self.detail else (self.title + name, '')

    @property
    def width(self) -> float:
        text = max(measure(self.title, TITLE), measure(self.detail, DETAIL)) + 2 * PADDING
        return max(text, 2 * measure(self.shape, SHAPE) + 2 * PADDING, 90)

    @property
    def height(self) -> float:
        return 52.0 if self.detail else 34.0


def draw_graph(model: Layer, input_shape: Shapes, depth: int | None = 2, lang: str | None = None,
               dtype: Any = None) -> Scene:
    """Draw what a model computes, from top to bottom.

    Args:
        input_shape: of one item, without the batch axis: (C, H, W), or (features,); for several inputs a list of them.
        depth: layers within layers are shown down to this level, 'layer1/0' being of level 2, and as one box below it;
            None: every operation.
        lang: of the few words in it, 'en' or 'zh'; None: `Config.lang`'s.
        dtype: of the input, or a list with one for each; None: `Config.dtype`.
    Returns:
        a Scene: `nailorch.drawing.to_svg(scene)` and `to_png(scene)` write it.
    Raises:
        ValueError: the model does not take such an input.
    """
    if depth is not None:
        at_least(1, depth, 'depth')
    graph = trace(model, *examples('draw_graph', model, input_shape, dtype))
    return scene_of(graph, dict(model.named_layers()), depth, lang)


def scene_of(graph: Graph, layers: dict[str, Layer], depth: int | None = 2, lang: str | None = None) -> Scene:
    """Draw a traced model; `layers` are its layers by path."""
    lang = lang or language()
    parts = parts_of(graph, layers, depth)
    place = {node.name: index for index, part in enumerate(parts, len(graph.inputs)) for node in part.nodes}
    source = {id: place[node.name] for node in graph.nodes for id in node.outputs}
    source |= {id: index for index, id in enumerate(graph.inputs)}
    word = {name: texts[lang == 'zh'] for name, texts in WORDS.items()}
    several = len(graph.inputs) > 1
    first = [Part(word['input'], graph.values[id].name if several else '', 'shade', shape=written(graph, id))
             for id in graph.inputs]
    parts = [*first, *parts, Part(word['output'], '', 'shade')]
    edges: dict[tuple[int, int], int] = {}
    for node in graph.nodes:
        for id in node.inputs:
            if id in source and source[id] != place[node.name]:
                edges.setdefault((source[id], place[node.name]), id)
    for id in graph.outputs:
        edges.setdefault((source[id], len(parts) - 1), id)
    for (a, _), id in edges.items():
        parts[a].shape = parts[a].shape or written(graph, id)
    layout = layered([part.width for part in parts], list(edges))
    drawing = framed(draw(parts, layout), 20)
    told = '; '.join(part.title + (f' ({part.detail})' if part.detail else '')
                     + (f': {part.shape}' if part.shape else '') for part in parts)
    return Scene(drawing, graph.name, told, lang, {'boxes': len(parts), 'edges': len(edges)})


def parts_of(graph: Graph, layers: dict[str, Layer], depth: int | None) -> list[Part]:
    """Return the boxes in the order in which they compute: a run of nodes within one block is one box."""
    def block(node: Node) -> str:
        levels = node.layer.split('/') if node.layer else []
        if depth is None or len(levels) < depth:
            return ''
        path = '/'.join(levels[:depth])
        return path if path in layers and len(list(layers[path].named_layers())) > 1 else block_above(levels, depth)

    def block_above(levels: list[str], depth: int) -> str:
        """Return the path for levels that are no layer of their own, such as a list of them; '' for a layer."""
        path = '/'.join(levels[:depth])
        return '' if path in layers else path

    parts: list[Part] = []
    for _, run in groupby(enumerate(graph.nodes), lambda pair: block(pair[1]) or pair[0]):
        nodes = [node for _, node in run]
        path = block(nodes[0])
        if path:
            kind = type(layers[path]).__name__ if path in layers else ''
            parts.append(Part(path, kind, 'pale orange', nodes, module=True))
        elif parts and follows(graph, nodes[0], parts[-1]):
            parts[-1].add(nodes[0])
        else:
            parts.append(single(graph, nodes[0], layers))
    return parts


def single(graph: Graph, node: Node, layers: dict[str, Layer]) -> Part:
    """Return the box of one operation, called after its layer where that is all the layer does."""
    op = NAMES.get(node.op, node.op)
    attributes = resolve(node.attributes, 1)
    kernel = attributes.get('kernel_size')
    if node.op in ('Conv2d', 'Deconv2d'):
        kernel = graph.values[node.inputs[1]].shape[2:]
    detail = op
    if kernel is not None:
        detail += ' ' + '×'.join(map(str, (kernel, kernel) if isinstance(kernel, int) else tuple(kernel)))
    stride = attributes.get('stride', 1)
    stride = stride if isinstance(stride, int) else stride[0] if len(set(stride)) == 1 else '×'.join(map(str, stride))
    detail += f' /{stride}' if stride != 1 else ''
    groups = attributes.get('groups', 1)
    detail += f', {groups} groups' if groups > 1 else ''
    own = node.layer in layers and node.layer and len(list(layers[node.layer].named_layers())) == 1
    own = own and node.op != 'Add'  # where ways meet, which a batch norm may see to
    fill = COLOURS.get(node.op, 'paper')
    return Part(node.layer, detail, fill, [node]) if own and node.layer != detail else Part(detail, '', fill, [node])


def follows(graph: Graph, node: Node, part: Part) -> bool:
    """Does this small change belong into the box before it, whose result nobody else reads?"""
    if part.module or node.op not in SMALL_CHANGES:
        return False
    before = part.nodes[-1].outputs[0]
    readers = [each for each in graph.nodes if before in each.inputs]
    return before in node.inputs and readers == [node] and before not in graph.outputs


def written(graph: Graph, id: int) -> str:
    """Return a value's shape without the batch axis, '64×56×56'."""
    return '×'.join(str(size) for size in graph.values[id].shape[1:]) or '1'


def draw(parts: Sequence[Part], layout: Layout) -> Drawing:
    """Return boxes and lines where the layout has them, a tall picture in columns."""
    heights = [max(part.height for part, row in zip(parts, layout.rows, strict=True) if row == level)
               for level in range(max(layout.rows) + 1)]
    columns = fold(layout, [part.width for part in parts], heights, STUB + TURN + HEAD)
    tops, shifts = columns.top, columns.shift
    boxes: list[Box] = []
    for part, row, middle in zip(parts, layout.rows, layout.middles, strict=True):
        top = tops[row] + (heights[row] - part.height) / 2
        boxes.append(Box(middle - part.width / 2 + shifts[row], top, part.width, part.height))
    arriving: dict[int, list[tuple[int, int]]] = {}
    for edge in layout.lanes:
        arriving.setdefault(edge[1], []).append(edge)
    lines: list[Item] = []
    for b, edges in arriving.items():
        edges.sort(key=lambda edge: (layout.lanes[edge] or [layout.middles[edge[0]]])[-1])
        for index, (a, _) in enumerate(edges):
            end = boxes[b].middle[0] + 18 * (index - (len(edges) - 1) / 2)
            x, points = boxes[a].middle[0], [(boxes[a].middle[0], boxes[a].bottom)]
            lanes = [lane + shifts[row] for row, lane in enumerate(layout.lanes[a, b], layout.rows[a] + 1)]
            for row, lane in zip(range(layout.rows[a], layout.rows[b]), [*lanes, end], strict=True):
                bottom, gutter = tops[row] + heights[row] + STUB, columns.gutter(row + 1)
                if gutter:  # from the foot of a column to the head of the next
                    head = tops[row + 1] - TURN
                    points += [(x, bottom), (gutter, bottom), (gutter, head), (lane, head)]
                elif abs(lane - x) > 0.01:
                    points += [(x, bottom), (lane, bottom + TURN)]
                x = lane
            points.append((end, boxes[b].top))
            lines.append(Line(tuple(points), 'muted', 1.5, arrow=True))
    items: list[Item] = [*lines]
    for part, box in zip(parts, boxes, strict=True):
        items.append(Rect(box, part.fill, 'muted', 1.2, radius=7 if part.fill != 'shade' else box.height / 2))
        x, y = box.middle
        items.append(Text(x, y - (10 if part.detail else 0), part.title, TITLE, 'ink', 'middle'))
        if part.detail:
            items.append(Text(x, y + 11, part.detail, DETAIL, 'muted', 'middle'))
        if part.shape:
            items.append(Text(x + 7, box.bottom + STUB / 2 + 1, part.shape, SHAPE, 'muted', 'start'))
    return Drawing(columns.width, columns.height, tuple(items))
