"""Scenes: what is measured, what is written, and that both renderers draw the same."""

import io
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from nailorch.drawing import (
    Box,
    Drawing,
    Line,
    Picture,
    Polygon,
    Rect,
    Scene,
    Text,
    above,
    beside,
    blank,
    faults,
    framed,
    over,
    to_gif,
    to_image,
    to_png,
    to_svg,
)
from nailorch.drawing.fonts import covers, measure
from nailorch.drawing.palette import PALETTE, rgb
from nailorch.drawing.parts import arrow, captioned, cells, label, outlined, paragraph, stack, symbol, volume, wrapped

TABLE = np.array([[1, 2.5, -3], [40, 1 / 3, 1e6]])


def scene_of(drawing: Drawing, **words: str) -> Scene:
    return Scene(framed(drawing, 10), **{'title': 'A <title>', 'description': 'b & c', **words})


def everything() -> Scene:
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5
    grid = outlined(cells(TABLE, fill=lambda row, column: 'pale blue' if row else None), 0, 1, 1, 2)
    channels = stack([cells([[text]], fill='pale green') for text in ('1', '', '')])
    row = beside(grid, symbol('*'), arrow(40, 'im2col'), channels, volume(50, 60, 20))
    rects = Rect(Box(4, 4, 50, 30), 'shade', 'ink', 2, 5), Rect(Box(8, 8, 20, 20), None, 'blue', dash=True)
    dashed = Drawing(60, 40, (*rects, Line(((0, 0), (60, 40)), dash=True),
                              Picture(Box(30, 10, 20, 20), pixels)))
    words = paragraph('卷积核在图像上滑动，相乘再相加。', 120)
    return scene_of(above(row, dashed, captioned(words, '步幅 = 2·1'), gap=12))


def test_layout_puts_drawings_side_by_side_and_under_each_other():
    left, right = Drawing(10, 4, (Text(5, 2, 'a'),)), Drawing(20, 8, (Text(10, 4, 'b'),))
    row = beside(left, right, gap=5)
    assert (row.width, row.height) == (35, 8)
    assert [(item.x, item.y) for item in row.items] == [(5, 4), (25, 4)]
    column = above(left, right, gap=5, align='start')
    assert (column.width, column.height) == (20, 17)
    assert [(item.x, item.y) for item in column.items] == [(5, 2), (10, 13)]
    assert [(item.x, item.y) for item in beside(left, right, align='start').items] == [(5, 2), (44, 4)]
    assert over(left, right).width == 20
    assert beside().width == 0 == above().height
    assert framed(blank(1, 2), 3).box == Box(0, 0, 7, 8)


def test_svg_is_valid_says_what_it_shows_and_never_changes():
    scene = everything()
    svg = to_svg(scene)
    assert svg == to_svg(everything())
    root = ET.fromstring(svg)
    space = '{http://www.w3.org/2000/svg}'
    assert root.find(f'{space}title').text == 'A <title>'
    assert root.find(f'{space}desc').text == 'b & c'
    texts = root.findall(f'{space}text')
    assert [''.join(text.itertext()) for text in texts] == scene.texts
    for text, item in zip(texts, (item for item in scene.drawing.items if isinstance(item, Text)), strict=True):
        assert float(text.get('textLength')) == pytest.approx(item.width, abs=0.01)
    assert 'var(' not in svg
    assert 'fill="var(--ink, #1b1f24)"' in to_svg(scene, themed=True)


def test_png_has_the_scenes_size_and_colours():
    scene = scene_of(Drawing(30, 20, (Rect(Box(0, 0, 30, 20), 'blue'),)))
    image = Image.open(io.BytesIO(to_png(scene, scale=3)))
    assert image.size == (150, 120)
    assert image.getpixel((75, 60)) == rgb('blue')
    assert image.getpixel((3, 3)) == (255, 255, 255)
    assert to_png(everything()) == to_png(everything())


def test_what_is_drawn_stands_where_the_scene_says():
    square = Polygon(((10, 10), (30, 10), (30, 30), (10, 30)), 'orange')
    items = square, Line(((0, 50), (40, 50)), 'purple', 4, arrow=True)
    pixels = np.asarray(to_image(Scene(Drawing(60, 60, items), 't', 'd'), scale=2))
    assert tuple(pixels[40, 40]) == rgb('orange')
    assert tuple(pixels[100, 20]) == rgb('purple')
    assert tuple(pixels[10, 10]) == (255, 255, 255)
    rows, columns = np.nonzero((pixels < 250).any(axis=2))
    assert (columns.min(), columns.max()) == (0, 80)
    assert 99 <= rows.max() <= 110


def test_a_text_is_drawn_inside_its_measured_box():
    text = Text(50, 20, '卷积 conv 25', 16)
    pixels = np.asarray(to_image(Scene(Drawing(200, 40, (text,)), 't', 'd'), scale=2)).min(axis=2)
    rows, columns = np.nonzero(pixels < 200)
    assert Box(*(2 * edge for edge in (text.box.left, text.box.top, text.box.width, text.box.height))).holds(
        Box(columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1), slack=2)
    assert np.ptp(columns) > 1.8 * text.width


def test_gif_has_a_frame_a_scene():
    scenes = [scene_of(cells([[number]])) for number in (25, 31, 43)]
    image = Image.open(io.BytesIO(to_gif(scenes, [0.5, 1, 2])))
    assert image.n_frames == 3
    durations = []
    for frame in range(3):
        image.seek(frame)
        durations.append(image.info['duration'])
    assert durations == [500, 1000, 2000]


def test_a_good_scene_has_no_faults():
    assert faults(everything()) == []


@pytest.mark.parametrize(('items', 'fault'), [
    ((Text(5, 50, 'far too long'),), 'leaves the scene'),
    ((Text(100, 50, 'one'), Text(110, 52, 'two')), "'one' meets 'two'"),
    ((Rect(Box(80, 40, 20, 20), 'paper'), Text(90, 50, 'a long text')), 'leaves its box'),
    ((Text(90, 50, 'a long text'), Rect(Box(80, 40, 20, 20), 'paper')), 'half hidden'),
    ((Text(90, 50, 'tiny', 5),), 'too small'),
    ((Text(90, 50, 'க'),), 'the font has no க'),
])
def test_faults_are_found(items, fault):
    found = faults(Scene(Drawing(200, 100, items), 't', 'd'))
    assert len(found) == 1
    assert fault in found[0]


def test_what_is_quite_hidden_is_no_fault():
    items = Text(90, 50, 'behind'), Rect(Box(40, 20, 100, 60), 'paper'), Text(90, 50, 'before')
    assert faults(Scene(Drawing(200, 100, items), 't', 'd')) == []


def test_lines_break_where_they_may():
    assert wrapped('one two three', measure('one two', 14) + 1, 14) == 'one two\nthree'
    chinese = wrapped('卷积核在图像上滑动，相乘相加', measure('卷积核在图像上滑动', 14) + 1, 14)
    assert chinese.replace('\n', '') == '卷积核在图像上滑动，相乘相加'
    assert not any(line.startswith('，') for line in chinese.split('\n'))
    assert label('a\nbc').height > label('abc').height


def test_the_font_has_what_it_says():
    assert covers('25 × 31 卷积 α') == set()
    assert covers('கa') == {'க'}


def test_colours_differ_in_grey():
    def lightness(name: str) -> float:
        red, green, blue = rgb(name)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    for name in ('blue', 'orange', 'green', 'purple'):
        assert lightness(f'pale {name}') - lightness(name) > 90
        assert lightness(f'pale {name}') - lightness('ink') > 120
    assert all(len(colour) == 7 for colour in PALETTE.values())
