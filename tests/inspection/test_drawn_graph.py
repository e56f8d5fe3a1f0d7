"""The drawn computation graph: every layer, every shape; nothing overlaps, and lines pass beside boxes."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest

import nailorch.functions as F
import nailorch.layers as L
from nailorch import models
from nailorch.drawing import Line, Rect, faults, to_svg
from nailorch.inspection import draw_graph
from nailorch.inspection.folding import uncut
from nailorch.inspection.layering import layered

NETS = {
    'vgg16': lambda: models.VGG16(width=2, hidden=4),
    'resnet50': lambda: models.ResNet50(width=4),
    'mobilenet_v2': lambda: models.MobileNetV2(width=.25),
    'squeezenet1_1': lambda: models.SqueezeNet1_1(width=.25),
}


def drawn(name, depth=2):
    return draw_graph(NETS[name](), (3, 64, 64), depth, 'en')


def crossings(scene):
    """Return the boxes that a line passes through; it may end at their edges."""
    boxes = [item.box for item in scene.drawing.items if isinstance(item, Rect)][1:]  # the first is the paper
    found = []
    for line in (item for item in scene.drawing.items if isinstance(item, Line)):
        for (x0, y0), (x1, y1) in pairwise(line.points):
            for share in np.linspace(0, 1, 60):
                x, y = x0 + share * (x1 - x0), y0 + share * (y1 - y0)
                found += [box for box in boxes
                          if box.left + 1 < x < box.right - 1 and box.top + 1 < y < box.bottom - 1]
    return found


@pytest.mark.parametrize('depth', [1, 2, 3])
@pytest.mark.parametrize('name', NETS)
def test_nothing_overlaps_and_lines_pass_beside_boxes(name, depth):
    scene = drawn(name, depth)
    assert faults(scene) == []
    assert crossings(scene) == []
    ElementTree.fromstring(to_svg(scene))


def test_the_same_model_gives_the_same_picture():
    assert to_svg(drawn('resnet50', 3)) == to_svg(drawn('resnet50', 3))


def test_vgg16_shows_its_layers_and_the_shapes_between():
    texts = drawn('vgg16').texts
    assert [text for text in texts if re.match(r'conv\d', text)] == [
        f'conv{block}_{i}' for block, many in ((1, 2), (2, 2), (3, 3), (4, 3), (5, 3)) for i in range(1, many + 1)]
    assert texts.count('Conv2d 3×3 · ReLU') == 13
    assert texts.count('MaxPool 2×2 /2') == 5
    assert '3×64×64' in texts and '16×2×2' in texts


def test_blocks_are_one_box_unless_depth_opens_them():
    assert [text for text in drawn('resnet50').texts if text == 'Bottleneck'] == ['Bottleneck'] * 16
    opened = drawn('resnet50', 3)
    assert 'Bottleneck' not in opened.texts
    assert opened.texts.count('Add · ReLU') == 16
    # a block's arrows: three convolutions in a row, the sum's second input, and the way to the next block
    assert opened.facts['edges'] - opened.facts['boxes'] == 15


def test_texts_are_in_the_language_asked_for():
    net = models.Sequential(L.Linear(3))
    assert draw_graph(net, 4, lang='zh').texts[0] == '输入'
    assert draw_graph(net, 4, lang='en').texts[0] == 'input'


def test_a_layer_that_is_called_twice_has_two_boxes():
    class Twice(models.Model):
        def __init__(self):
            super().__init__()
            self.fc = L.Linear(4, in_size=4)

        def forward(self, x):
            y = F.relu(self.fc(x))
            return self.fc(y) + x

    scene = draw_graph(Twice(), 4, lang='en')
    assert scene.texts.count('fc') == 2
    assert faults(scene) == crossings(scene) == []


@pytest.mark.parametrize(('name', 'depth', 'most'), [
    ('mobilenet_v2', 2, 1000), ('squeezenet1_1', 3, 1400), ('resnet50', 3, 2600)])
def test_a_tall_graph_stands_in_columns(name, depth, most):
    scene = drawn(name, depth)
    assert scene.drawing.height < most
    assert scene.drawing.width < 1700
    boxes = [item.box for item in scene.drawing.items if isinstance(item, Rect)][1:]
    middle = sum(box.bottom < scene.drawing.height / 2 for box in boxes)
    assert middle > len(boxes) / 3  # no column is a mere tail
    heads = [item for item in scene.drawing.items if isinstance(item, Line) and item.points[-1][1] < 100]
    assert len(heads) >= 2  # and each is led to


def test_a_small_graph_is_one_column():
    net = models.Sequential(*(L.Linear(3) for _ in range(6)))
    boxes = [item.box for item in draw_graph(net, 4).drawing.items if isinstance(item, Rect)][1:]
    assert len({round(box.middle[0]) for box in boxes}) == 1


def test_columns_are_cut_where_one_box_is_read():
    assert uncut(layered([100] * 5, [(0, 1), (0, 2), (1, 3), (2, 3), (3, 4)]), 4) == [[0], [1, 2], [3]]
    assert uncut(layered([100] * 5, [(0, 1), (1, 2), (2, 3), (3, 4), (1, 3)]), 5) == [[0], [1], [2, 3], [4]]


def test_every_input_has_a_box():
    class Two(models.Model):
        def __init__(self):
            super().__init__()
            self.a, self.b = L.Linear(4, in_size=3), L.Linear(4, in_size=5)

        def forward(self, x, y):
            return self.a(x) + self.b(y)

    scene = draw_graph(Two(), [(3,), (5,)], lang='en')
    assert scene.texts.count('input') == 2
    assert {'x', 'y', '3', '5'} <= set(scene.texts)
    assert faults(scene) == crossings(scene) == []


def test_an_edge_over_several_rows_has_a_lane_in_each():
    layout = layered([100, 100, 100, 100], [(0, 1), (1, 2), (2, 3), (0, 3)])
    assert layout.rows == [0, 1, 2, 3]
    assert len(layout.lanes[0, 3]) == 2
    for row, lane in zip((1, 2), layout.lanes[0, 3], strict=True):
        assert abs(lane - layout.middles[row]) >= 50


def test_random_graphs_have_boxes_apart_and_lines_beside_them():
    generator = np.random.default_rng(0)
    for _ in range(30):
        count = int(generator.integers(2, 25))
        widths = generator.integers(40, 200, count).tolist()
        edges = sorted({(int(generator.integers(0, b)), b) for b in range(1, count) for _ in range(2)})
        layout = layered(widths, edges, gap=20)
        for row in range(max(layout.rows) + 1):
            taken = [(layout.middles[i] - widths[i] / 2, layout.middles[i] + widths[i] / 2)
                     for i in range(count) if layout.rows[i] == row]
            taken += [(lanes[row - layout.rows[a] - 1],) * 2 for (a, b), lanes in layout.lanes.items()
                      if layout.rows[a] < row < layout.rows[b]]
            for (_, right), (left, _) in pairwise(sorted(taken)):
                assert right + 19 < left
        assert all(layout.rows[a] < layout.rows[b] for a, b in edges)
        assert all(widths[i] / 2 - 1e-6 <= layout.middles[i] <= layout.width - widths[i] / 2 + 1e-6
                   for i in range(count))
