"""The chapter's figures: each number that is drawn is computed again here, by loops, and looked for where it stands."""

import io
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import nailorch.functions as F
from nailorch import Model
from nailorch.drawing import Line, Picture, Polygon, Rect, Text, faults, to_png, to_svg
from nailorch.drawing.parts import shown
from nailorch.figures import FIGURES, draw, photographs, write
from nailorch.figures.sheet import WIDTH
from nailorch.figures.stages import stages
from nailorch.graph import trace
from tests.loops import conv2d, im2col, pooling

IMAGE = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
KERNEL = np.array([[0, 1], [2, 3]])
TABLE = np.array([[1, 2, 3, 4], [5, 6, 7, 8], [9, 1, 2, 3], [4, 5, 6, 7]])
IMAGES = np.arange(1, 28).reshape(3, 3, 3)
FILTERS = np.arange(24).reshape(2, 3, 2, 2)
PAGES = Path(__file__).parents[2] / 'docs' / 'images' / 'figures'
STEPS = {'slide', 'stride', 'im2col'}


@pytest.fixture(autouse=True)
def photo(monkeypatch):
    """A photograph for everybody: a bright square on dark ground."""
    pixels = np.full((128, 128), 40.0)
    pixels[40:90, 30:100] = 200
    monkeypatch.setattr(photographs, 'photograph', lambda: pixels)
    return pixels


@pytest.fixture(scope='module')
def drawn():
    """Draw each figure once in each language."""
    kept = {}

    def scenes(name, lang='en'):
        if (name, lang) not in kept:
            kept[name, lang] = draw(name, lang)
        return kept[name, lang]
    return scenes


def written(values):
    """Return numbers as cells show them, in the order in which a grid writes them."""
    return [shown(value) for value in np.ravel(values)]


def grids(scene):
    """Return every matrix that is drawn: the numbers that stand in the squares drawn just before them."""
    found, squares, fresh = [], [], False
    for item in scene.drawing.items:
        if isinstance(item, Rect) and item.fill and item.box.width == item.box.height and not item.radius:
            squares, fresh = squares if fresh else [], True
            squares.append(item.box)
        elif isinstance(item, Text) and any(box.holds(item.box) for box in squares):
            if fresh:
                found.append([])
            found[-1].append(item.text)
            fresh = False
        else:
            squares, fresh = [], False
    return found


@pytest.mark.parametrize('lang', ['en', 'zh'])
@pytest.mark.parametrize('name', FIGURES)
def test_texts_fit_and_every_drawing_is_told_in_words(name, lang, drawn):
    scenes = drawn(name, lang)
    assert len(scenes) == FIGURES[name].steps == (4 if name in STEPS else 1)
    for scene in scenes:
        assert faults(scene) == []
        assert (scene.width, scene.height) == (scenes[0].width, scenes[0].height)
        assert scene.width <= WIDTH + 10
        assert scene.lang == lang
        assert bool(re.search('[\u4e00-\u9fff]', ''.join(scene.texts))) == (lang == 'zh')
        assert re.search(r'\d', scene.description)
        assert min(item.size for item in scene.drawing.items if isinstance(item, Text)) >= 10


@pytest.mark.parametrize('name', FIGURES)
def test_svg_is_valid_and_never_changes(name, drawn):
    for first, second in zip(drawn(name), draw(name, 'en'), strict=True):
        svg = to_svg(first)
        assert svg == to_svg(second)
        assert ET.fromstring(svg).get('lang') == 'en'


@pytest.mark.parametrize(('name', 'x', 'stride', 'expected'), [
    ('slide', IMAGE, 1, [[25, 31], [43, 49]]),
    ('stride', np.arange(1, 17).reshape(4, 4), 2, [[30, 42], [78, 90]]),
])
def test_steps_show_each_window_and_its_sum(name, x, stride, expected, drawn):
    y = conv2d(x[None, None], KERNEL[None, None], stride=stride)[0, 0]
    np.testing.assert_array_equal(y, expected)
    for step, (row, column) in enumerate(np.ndindex(2, 2)):
        scene = drawn(name)[step]
        window = x[row * stride:row * stride + 2, column * stride:column * stride + 2]
        formula = ' + '.join(f'{w}·{pixel}' for w, pixel in zip(KERNEL.ravel(), window.ravel(), strict=True))
        assert f'{formula} = {expected[row][column]}' in scene.texts
        assert scene.facts['window'] == (row * stride, column * stride)
        found = grids(scene)
        assert written(x) in found and written(KERNEL) in found
        assert written(np.ravel(expected)[:step + 1]) in found
        frames = [item.box for item in scene.drawing.items if isinstance(item, Rect) and item.fill is None]
        inside = {item.text for item in scene.drawing.items
                  if isinstance(item, Text) and item.size > 16 and frames[0].holds(item.box)}
        assert inside == set(written(window))


def test_the_bias_is_added_to_every_sum(drawn):
    (scene,) = drawn('bias')
    y = conv2d(IMAGE[None, None], KERNEL[None, None], np.ones(1))[0, 0]
    assert written(y) == ['26', '32', '44', '50']
    assert [written(y - 1), ['1'], written(y)] == grids(scene)
    assert scene.texts[-2:] == ['0·1 + 1·2 + 2·4 + 3·5 = 25', '25 + 1 = 26']


def test_padding_shows_every_kind_with_its_size(drawn):
    same_kernel = np.arange(9).reshape(3, 3)
    for W, pad in ((KERNEL, ((0, 0), (0, 0))), (KERNEL, ((0, 1), (0, 1))), (same_kernel, ((1, 1), (1, 1))),
                   (KERNEL, ((1, 1), (1, 1)))):
        y = conv2d(IMAGE[None, None], W[None, None], pad=pad)[0, 0]
        assert written(y) in grids(drawn('padding')[0])
        assert written(np.pad(IMAGE, pad)) in grids(drawn('padding')[0])
        (top, bottom), _ = pad
        assert f'OH = (3 + {top} + {bottom} − {len(W)}) // 1 + 1 = {len(y)}' in drawn('padding')[0].texts


def test_flip_shows_the_kernel_as_it_is_and_turned_round(drawn):
    (scene,) = drawn('flip')
    turned = KERNEL[::-1, ::-1]
    for W in (KERNEL, turned):
        assert written(conv2d(IMAGE[None, None], W[None, None])) in grids(scene)
    assert '0·1 + 1·2 + 2·4 + 3·5 = 25' in scene.texts
    assert '3·1 + 2·2 + 1·4 + 0·5 = 11' in scene.texts


def test_three_channels_are_added(drawn):
    (scene,) = drawn('channels-in')
    parts = [conv2d(IMAGES[None, c:c + 1], FILTERS[:1, c:c + 1])[0, 0] for c in range(3)]
    assert [part[0, 0] for part in parts] == [25, 271, 805]
    for c, part in enumerate(parts):
        for values in (IMAGES[c], FILTERS[0, c], part):
            assert written(values) in grids(scene)
    assert written(sum(parts)) == ['1101', '1167', '1299', '1365']
    assert written(sum(parts)) in grids(scene)
    assert scene.texts[-4:] == ['0·1 + 1·2 + 2·4 + 3·5 = 25', '4·10 + 5·11 + 6·13 + 7·14 = 271',
                                '8·19 + 9·20 + 10·22 + 11·23 = 805', '25 + 271 + 805 = 1101']


def test_each_filter_makes_a_channel(drawn):
    (scene,) = drawn('channels-out')
    y = conv2d(IMAGES[None], FILTERS)[0]
    for o in range(2):
        assert written(y[o]) in grids(scene)
    assert 'x (3, 3, 3)   W (2, 3, 2, 2)   →   y (2, 2, 2)' in scene.texts
    np.testing.assert_array_equal(scene.facts['y'], y)


def test_a_batch_meets_the_same_filters(drawn):
    (scene,) = drawn('batch')
    x = np.stack([IMAGES, np.roll(IMAGES, 1, axis=2), IMAGES[:, ::-1], IMAGES.transpose(0, 2, 1)])
    y = conv2d(x, FILTERS)
    found = grids(scene)
    for n in range(4):
        assert written(x[n, 0]) in found and written(y[n, 0]) in found
    for o in range(2):
        assert written(FILTERS[o, 0]) in found
    np.testing.assert_array_equal(scene.facts['y'], y)
    assert 'x (4, 3, 3, 3)   W (2, 3, 2, 2)   →   y (4, 2, 2, 2)' in scene.texts


def test_the_table_of_shapes_is_that_of_the_sizes_it_names(drawn):
    (scene,) = drawn('shapes')
    expected = ['(3, 3)', '(2, 2)', '(2, 2)', '(3, 3, 3)', '(3, 2, 2)', '(2, 2)',
                '(3, 3, 3)', '(2, 3, 2, 2)', '(2, 2, 2)', '(5, 3, 3, 3)', '(2, 3, 2, 2)', '(5, 2, 2, 2)']
    assert [text for text in scene.texts if re.fullmatch(r'\([\d, ]+\)', text)] == expected
    sizes = dict(N=5, C=3, H=3, W=3, KH=2, KW=2, OC=2, OH=3 - 2 + 1, OW=3 - 2 + 1)
    named = [text for text in scene.texts if re.fullmatch(r'\([A-Z, ]+\)', text)]
    assert [str(tuple(sizes[size] for size in text.strip('()').split(', '))) for text in named] == expected


@pytest.mark.parametrize(('name', 'arrays'), [
    ('slide', [IMAGE, KERNEL, conv2d(IMAGE[None, None], KERNEL[None, None])[0, 0]]),
    ('stride', [TABLE, KERNEL, conv2d(TABLE[None, None], KERNEL[None, None], stride=2)[0, 0]]),
    ('channels-in', [conv2d(IMAGES[None], FILTERS[:1])[0, 0]]),
    ('channels-out', [*2 * [IMAGES, FILTERS[0], np.zeros((2, 2))], conv2d(IMAGES[None], FILTERS)[0]]),
    ('batch', [FILTERS]),
    ('pooling', [TABLE, pooling(TABLE[None, None], 2, 2)[0, 0]]),
    ('im2col', [IMAGE, im2col(IMAGE[None, None], 2)]),
    ('im2col-product', [IMAGE, im2col(IMAGE[None, None], 2), KERNEL, KERNEL.reshape(4, 1), np.zeros((4, 1)), KERNEL]),
])
def test_every_array_is_labelled_with_its_shape(name, arrays, drawn):
    written_there = [text for text in drawn(name)[0].texts if re.fullmatch(r'\d+( × \d+)+', text)]
    assert written_there == [' × '.join(map(str, array.shape)) for array in arrays]


def test_the_weights_on_the_pixels_are_the_kernels(drawn):
    for name in ('slide', 'stride', 'flip'):
        for scene in drawn(name):
            tags = [item.text for item in scene.drawing.items if isinstance(item, Text) and item.fill == 'paper']
            turned = written(KERNEL[::-1, ::-1]) if name == 'flip' else []
            assert tags == written(KERNEL) + turned


def test_windows_become_rows(drawn):
    expected = im2col(IMAGE[None, None], 2)
    for step, scene in enumerate(drawn('im2col')):
        assert written(expected[:step + 1]) in grids(scene)
        line = ', '.join(f'{value:g}' for value in expected[step])
        top, left = divmod(step, 2)
        assert f'window at ({top}, {left})  →  row {step}:  [{line}]' in scene.texts


def test_the_product_of_rows_and_kernel_is_the_output(drawn):
    (scene,) = drawn('im2col-product')
    found, rows = grids(scene), im2col(IMAGE[None, None], 2)
    product = [sum(a * b for a, b in zip(row, KERNEL.ravel(), strict=True)) for row in rows]
    assert product == [25, 31, 43, 49]
    assert written(rows) in found
    assert found.count(written(KERNEL)) == 2 and found.count(written(product)) == 2
    assert '0·2 + 1·3 + 2·5 + 3·6 = 31' in scene.texts


def test_arrows_lead_from_an_array_to_what_becomes_of_it(drawn):
    (scene,) = drawn('im2col-product')
    middles = {item.text: item.x for item in scene.drawing.items if isinstance(item, Text)}
    down = [item.points[0][0] for item in scene.drawing.items
            if isinstance(item, Line) and item.arrow and item.points[0][0] == item.points[-1][0]]
    assert down == pytest.approx([middles['image'], middles['kernel']])
    assert down == pytest.approx([middles['one row a window'], middles['column']])


def test_pooling_takes_the_largest_and_the_average(drawn):
    (scene,) = drawn('pooling')
    found = grids(scene)
    assert written(pooling(TABLE[None, None], 2, 2)[0, 0]) == ['6', '8', '9', '7']
    assert ['6', '8', '9', '7'] in found
    for row, column in np.ndindex(2, 2):
        assert written(TABLE[2 * row:2 * row + 2, 2 * column:2 * column + 2]) in found
    chosen = [item.box for item in scene.drawing.items if isinstance(item, Rect) and item.fill == 'purple']
    winners = [item.text for item in scene.drawing.items
               if isinstance(item, Text) and any(box.holds(item.box) for box in chosen)]
    assert winners == ['6', '8', '9', '7']
    assert ['5'] in found and ['3.25'] in found
    assert 'max(1, 5, 3, 4) = 5' in scene.texts
    assert '(1 + 5 + 3 + 4) / 4 = 3.25' in scene.texts


def test_pooling_by_im2col_takes_places_first_then_channels(drawn):
    (scene,) = drawn('pooling-im2col')
    x = np.stack([TABLE, TABLE.T, TABLE[::-1]])
    rows = [x[c, 2 * row:2 * row + 2, 2 * column:2 * column + 2].ravel()
            for row in range(2) for column in range(2) for c in range(3)]
    best = [max(row) for row in rows]
    found = grids(scene)
    for start in range(0, 12, 3):  # a place
        assert written(rows[start:start + 3]) in found and written(best[start:start + 3]) in found
    order = [text for text in scene.texts if re.fullmatch(r'ch \d', text)]
    assert order == ['ch 0', 'ch 1', 'ch 2'] * 4
    for c in range(3):
        assert written(x[c]) in found
        assert written(pooling(x[None], 2, 2)[0, c]) in found
    assert {'12 × 4  →  12', '3 × 4 × 4', '3 × 2 × 2'} <= set(scene.texts)


def test_the_pipelines_shapes_and_parameters(drawn):
    (scene,) = drawn('pipeline')
    shapes = ['1 × 28 × 28', '16 × 28 × 28', '16 × 14 × 14', '32 × 14 × 14', '32 × 7 × 7', '1568', '128', '10']
    assert [text for text in scene.texts if re.fullmatch(r'\d+( × \d+ × \d+)?', text)] == shapes
    counts = [16 * 1 * 9 + 16, 32 * 16 * 9 + 32, 32 * 7 * 7 * 128 + 128, 128 * 10 + 10]
    learned = [text for text in scene.texts if text.endswith(' parameters')]
    assert learned == [f'{count:,} parameters' for count in counts]
    assert sum(counts) == 206_922
    assert '206,922 parameters in all' in scene.texts


def vgg16_by_hand():
    size, channels, field, jump = 224, 3, 1, 1
    for width, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(depth):
            field += 2 * jump
            yield f'{width} × {size} × {size}', width * channels * 9 + width, field
            channels = width
        size, field, jump = size // 2, field + jump, 2 * jump
        yield f'{width} × {size} × {size}', 0, field
    features = channels * size * size
    for width in (4096, 4096, 1000):
        yield str(width), features * width + width, None
        features = width


def test_vgg16_has_its_shapes_and_parameters(drawn):
    (scene,) = drawn('vgg16')
    expected = list(vgg16_by_hand())
    shapes = [text for text in scene.texts if re.fullmatch(r'\d+( × \d+ × \d+)?', text)]
    assert shapes == ['3 × 224 × 224', *(shape for shape, _, _ in expected)]
    assert [text for text in scene.texts if re.fullmatch(r'[\d,]{5,}', text)] == [
        f'{count:,}' for _, count, _ in expected if count]
    assert sum(count for _, count, _ in expected) == 138_357_544
    assert '138,357,544 parameters in all' in scene.texts
    for shape, count, _ in expected:  # on one line
        if count:
            levels = [{item.y for item in scene.drawing.items if isinstance(item, Text) and item.text == text}
                      for text in (shape, f'{count:,}')]
            assert levels[0] & levels[1]


def test_stages_of_another_kind_are_an_error():
    class Branched(Model):
        def forward(self, x):
            return x * F.sigmoid(x)

    with pytest.raises(ValueError, match='stages: no rule for Sigmoid'):
        stages(trace(Branched(), np.zeros((1, 1, 4, 4))), (1, 4, 4))


def test_what_vgg16_sees(drawn):
    (scene,) = drawn('receptive-vgg16')
    fields = [field for shape, count, field in vgg16_by_hand() if not count]
    assert fields == [6, 16, 44, 100, 212]
    for place, field in enumerate(fields, 1):
        assert f'pool{place}:  {field} × {field}' in scene.texts
    image, *squares = (item.box.width for item in scene.drawing.items[1:] if isinstance(item, Rect))
    assert [224 * side / image for side in squares] == pytest.approx(fields[::-1])


def test_what_one_number_sees_grows_by_two(drawn):
    (scene,) = drawn('receptive-field')
    assert [text for text in scene.texts if re.fullmatch(r'\d × \d', text)] == ['1 × 1', '3 × 3', '5 × 5', '7 × 7']
    marked = [item for item in scene.drawing.items if isinstance(item, Polygon) and item.fill == 'purple']
    assert len(marked) == 1 + 9 + 25 + 49


def test_a_dense_layer_grows_with_the_image_and_a_convolution_does_not(drawn):
    (scene,) = drawn('parameters')
    sizes = 28, 56, 112, 224
    numbers = [text for text in scene.texts if re.fullmatch(r'[\d,]+', text)]
    assert numbers == [f'{count:,}' for size in sizes for count in (3 * size * size * 10 + 10, 16 * 27 + 16)]
    bars = {item.fill: [] for item in scene.drawing.items if isinstance(item, Rect)}
    for item in scene.drawing.items[1:]:
        if isinstance(item, Rect):
            bars[item.fill].append(item.box.width)
    lengths = np.array(bars['purple']) / bars['purple'][-1]
    np.testing.assert_allclose(lengths, [(30 * size * size + 10) / (30 * 224 ** 2 + 10) for size in sizes])


def test_hand_made_kernels_do_to_a_photograph_what_loops_do(drawn, photo):
    for (scene,) in (drawn('kernels'), drawn('flip-photo')):
        pictures = [item for item in scene.drawing.items if isinstance(item, Picture)]
        assert all(picture.pixels.shape == (128, 128) for picture in pictures)
    around = np.pad(photo, 1, 'edge')[30:60, 20:50]  # a corner of the square
    for key, W in photographs.KERNELS.items():
        expected = conv2d(around[None, None], W[None, None])[0, 0]
        np.testing.assert_allclose(drawn('kernels')[0].facts['results'][key][30:58, 20:48], expected, atol=1e-9)
        assert (['1/9'] * 9 if key == 'blur' else written(W)) in grids(drawn('kernels')[0])
    upright, turned = drawn('flip-photo')[0].facts['results']
    W = photographs.RELIEF
    np.testing.assert_allclose(upright[30:58, 20:48], conv2d(around[None, None], W[None, None])[0, 0], atol=1e-9)
    W = W[::-1, ::-1]
    np.testing.assert_allclose(turned[30:58, 20:48], conv2d(around[None, None], W[None, None])[0, 0], atol=1e-9)


def test_blur_keeps_what_is_even_and_edges_find_nothing_there(photo):
    results = {key: photographs.filtered(W) for key, W in photographs.KERNELS.items()}
    assert results['blur'][10, 10] == pytest.approx(photo[10, 10])
    assert results['sharpen'][10, 10] == photo[10, 10]
    assert results['edges'][10, 10] == results['corners'][10, 10] == 0
    assert results['edges'][40, 60] > 0 == results['corners'][40, 60]
    assert results['corners'][40, 30] > 0
    assert abs(results['upright'][60, 30]) > 0 == results['upright'][40, 60]


def test_files_of_a_still_and_of_steps(tmp_path):
    scenes, paths = write('pooling', tmp_path / 'new' / 'folder')
    assert [path.name for path in paths] == ['pooling.svg', 'pooling.png']
    with Image.open(paths[1]) as image:
        assert image.size == (round(2 * scenes[0].width), round(2 * scenes[0].height))
    scenes, paths = write('slide', tmp_path, 'zh', ('gif', 'svg'))
    assert [path.name for path in paths] == [*(f'slide-{step}.svg' for step in range(1, 5)), 'slide.gif']
    with Image.open(paths[-1]) as film:
        assert film.n_frames == 4
        assert film.size == (round(scenes[0].width), round(scenes[0].height))
        assert film.convert('RGB').getpixel((2, 2)) == (255, 255, 255)  # as white as the page around it
    assert '卷积核在图像上滑动' in paths[0].read_text('utf-8')


def test_meaning_survives_in_grey_and_without_green(drawn):
    """Frames, and what is filled, differ in lightness for every eye, as do texts from what lies behind them."""
    image = np.asarray(Image.open(io.BytesIO(to_png(drawn('slide')[1], 1))).convert('RGB')) / 255
    deuteranopia = np.array([[0.625, 0.375, 0], [0.7, 0.3, 0], [0, 0.3, 0.7]])
    lightness = np.array([0.2126, 0.7152, 0.0722])
    for seen in (image @ lightness, image @ deuteranopia.T @ lightness):
        frame = next(item.box for item in drawn('slide')[1].drawing.items
                     if isinstance(item, Rect) and item.stroke == 'orange' and item.fill is None)
        row = round(frame.top + 12)
        left = round(frame.left)
        assert seen[row, left + 6] - seen[row, left - 2:left + 3].min() > 0.2


@pytest.mark.parametrize(('name', 'step'), [('slide', 2), ('channels-in', 0), ('im2col-product', 0)])
@pytest.mark.parametrize('lang', ['en', 'zh'])
def test_the_pages_show_the_figures_as_they_are_drawn_now(name, step, lang, drawn):
    path = PAGES / f'{name}{".zh" if lang == "zh" else ""}.svg'
    shown_there = ET.fromstring(path.read_text('utf-8'))
    texts = [''.join(element.itertext()) for element in shown_there
             if element.tag.endswith(('}title', '}desc', '}text'))]
    scene = drawn(name, lang)[step]
    assert texts == [scene.title, scene.description, *scene.texts]
