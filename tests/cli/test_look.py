"""`nailorch look`: pictures, and a page that is complete in itself, for runs, files and trained networks."""

import json
import re

import numpy as np
import pytest
from PIL import Image

pytest.importorskip('jinja2')

import nailorch
from nailorch.cli.look import number_of
from nailorch.cli.parser import UsageError
from nailorch.inspection.look_page import as_seen
from nailorch.inspection.look_words import WORDS
from nailorch.models import MODELS
from nailorch.models.preprocessing import caffe, efficientnet_lite, torchvision
from tests.training.test_report import Page


class Small(nailorch.Model):
    """A network with the preprocessing of trained ones."""

    def __init__(self, num_classes=4):
        super().__init__()
        self.conv1 = nailorch.layers.Conv2d(6, 3, stride=2, in_channels=3)
        self.conv2 = nailorch.layers.Conv2d(8, 3, stride=2, in_channels=6)
        self.fc = nailorch.layers.Linear(num_classes)

    @staticmethod
    def preprocess(image):
        return torchvision(image, size=32, resize=36)

    @classmethod
    def from_pretrained(cls, path=None):
        nailorch.seed(0)
        return cls()

    def forward(self, x):
        x = nailorch.functions.relu(self.conv2(nailorch.functions.relu(self.conv1(x))))
        return self.fc(nailorch.functions.mean(x, axis=(2, 3)))


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setitem(MODELS, 'small', Small)


@pytest.fixture
def photo(pictures):
    return pictures / 'day' / '00.png'


def test_look_writes_a_page_and_pictures(program, photo, tmp_path):
    code, out, err = program('look', 'small', photo, '--out', tmp_path / 'seen', '--json')
    assert (code, err) == (0, '')
    told = json.loads(out)
    assert told['page'] == str(tmp_path / 'seen' / 'index.html')
    one, = told['images']
    assert len(one['answers']) == 4
    assert one['target']['name'] == one['answers'][0]['name']
    assert one['target']['probability'] == pytest.approx(one['answers'][0]['probability'])
    assert sum(answer['probability'] for answer in one['answers']) == pytest.approx(1)
    assert set(one['pictures']) == {'input', 'grad_cam', 'field', 'saliency', 'occlusion', 'maps 1', 'maps 2'}
    for name in ('input', 'grad_cam', 'field', 'saliency', 'occlusion'):
        with Image.open(one['pictures'][name]) as picture:
            assert picture.size == (32, 32)
    assert (tmp_path / 'seen' / 'filters.png').is_file()


def test_images_that_cannot_be_read_are_said_and_the_others_looked_at(program, photo, tmp_path):
    (tmp_path / 'broken.png').write_bytes(b'no picture')
    code, out, err = program('look', 'small', tmp_path / 'broken.png', photo, '--out', tmp_path, '--json')
    assert code == 1
    assert err.startswith('nailorch: ') and 'broken.png' in err
    assert [sorted(image)[:2] for image in json.loads(out)['images']] == [['error', 'file'], ['answers', 'box']]


def test_the_page_asks_nothing_of_the_network_and_tells_every_picture(program, photo, tmp_path):
    program('look', 'small', photo, photo, '--out', tmp_path)
    text = (tmp_path / 'index.html').read_text('utf-8')
    page = Page(text)
    assert page.all('script') == page.all('link') == page.all('iframe') == []
    for _, attributes in page.tags:
        for name in ('src', 'href', 'srcset', 'action'):
            assert (attributes.get(name) or '#').startswith(('data:image/png', '#'))
    assert 'url(http' not in text
    assert len(page.all('img')) == 2 * 7 + 1
    assert all(image.get('alt') for image in page.all('img'))
    assert all(heading.get('scope') in ('row', 'col') for heading in page.all('th'))
    assert not re.search(r'<th[^>]*></th>', text)
    assert text.index('<main>') < text.index('<input') < text.index('<footer>') < text.index('</main>')
    assert 'Where it looks' in text and '它在看哪里' in text
    assert len(list(tmp_path.glob('00*-input.png'))) == 2


@pytest.mark.parametrize(('lang', 'checked'), [('en', 'en'), ('zh', 'zh')])
def test_the_page_opens_in_the_language_asked_for(program, photo, tmp_path, lang, checked):
    program('look', 'small', photo, '--out', tmp_path, '--lang', lang)
    page = Page((tmp_path / 'index.html').read_text('utf-8'))
    assert [box['id'] for box in page.all('input') if 'checked' in box] == [checked]


def test_look_into_a_run_explains_the_class_that_is_named(program, photo, root, tmp_path):
    code, out, err = program('look', 'latest', photo, '--root', root, '--target', 'night', '--out', tmp_path, '--json')
    assert (code, err) == (0, '')
    one, = json.loads(out)['images']
    assert one['target']['name'] == 'night'
    assert one['answers'][0]['name'] == 'day'
    assert one['layers']['maps 1']['layer'] == 'conv1'


def test_look_shows_the_layers_that_are_asked_for(program, photo, tmp_path):
    arguments = 'look', 'small', photo, '--out', tmp_path, '--layer', 'conv2', '--cam-layer', 'conv1', '--json'
    one, = json.loads(program(*arguments)[1])['images']
    assert [key for key in one['layers'] if key.startswith('maps')] == ['maps 1']
    assert one['layers']['maps 1']['layer'] == 'conv2'
    assert one['layers']['grad_cam']['layer'] == 'conv1'


@pytest.mark.parametrize(('arguments', 'code', 'expected'), [
    (['small'], 2, 'look into small at which pictures'),
    (['small', 'PHOTO', '--target', '9'], 2, "there is no class '9' among 0 to 3"),
    (['small', 'PHOTO', '--layer', 'conv9'], 1, "no layer 'conv9' computes here; there are conv2, conv1"),
    (['small', 'missing.png'], 1, 'missing.png'),
    (['missing.JPG'], 1, 'missing.JPG: there is no such file'),
    (['smal', 'PHOTO'], 2, 'did you mean small?'),
    (['nothing', 'PHOTO'], 1, 'nothing'),
    (['weights.pth', 'PHOTO'], 2, '--model'),
])
def test_errors_are_one_line(complaint, photo, tmp_path, arguments, code, expected):
    given = [photo if word == 'PHOTO' else word for word in arguments]
    found, line = complaint('look', *given, '--out', tmp_path, '--root', tmp_path)
    assert found == code
    assert expected in line


@pytest.mark.parametrize(('wanted', 'said'), [
    ('tabbby cat', 'did you mean tabby cat?'),
    ('CAT', 'there are tabby cat, tiger cat'),
    ('99', 'there are class 0, class 1,'),
])
def test_a_class_that_is_none_of_many_is_told_what_may_be_meant(wanted, said):
    names = [*(f'class {k}' for k in range(30)), 'tabby cat', 'tiger cat']
    with pytest.raises(UsageError, match=f'no class {wanted!r} among 0 to 31: {re.escape(said)}'):
        number_of(wanted, names)


def test_look_into_an_onnx_file(program, photo, tmp_path):
    pytest.importorskip('onnx', reason='onnx is not installed: pip install -e ".[test]"')
    nailorch.seed(0)
    net = nailorch.models.Sequential(nailorch.layers.Conv2d(4, 3, in_channels=1), nailorch.functions.relu,
                                     nailorch.functions.flatten, nailorch.layers.Linear(3))
    nailorch.onnx.export(net, tmp_path / 'net.onnx', (1, 12, 12))
    code, _, err = program('look', tmp_path / 'net.onnx', photo, '--out', tmp_path / 'seen')
    assert (code, err) == (0, '')
    assert len(list((tmp_path / 'seen').glob('*.png'))) == 7


def test_an_onnx_file_that_takes_no_images_says_so(complaint, photo, tmp_path):
    pytest.importorskip('onnx', reason='onnx is not installed: pip install -e ".[test]"')
    nailorch.onnx.export(nailorch.layers.Linear(3, in_size=4), tmp_path / 'net.onnx', 4)
    code, line = complaint('look', tmp_path / 'net.onnx', photo, '--out', tmp_path)
    assert code == 1
    assert 'takes no images (N, C, H, W)' in line


@pytest.mark.parametrize('prepare', [caffe, torchvision, efficientnet_lite])
def test_what_the_network_is_given_is_shown_in_its_colours(prepare):
    pixels = np.random.default_rng(0).integers(256, size=(4, 4, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).resize((256, 256))
    x = prepare(image)
    seen = as_seen(prepare, x)
    assert seen.shape == (224, 224, 3)
    again = prepare(Image.fromarray(seen).resize((256, 256), Image.Resampling.NEAREST))
    assert np.abs(again.mean(axis=(1, 2)) - x.mean(axis=(1, 2))).max() < 0.05 * np.ptp(x)


def test_both_catalogues_have_the_same_placeholders():
    for key, (english, chinese) in WORDS.items():
        assert set(re.findall(r'\{\w+\}', english)) == set(re.findall(r'\{\w+\}', chinese)), key


def test_a_layer_that_is_not_there_is_said_before_squares_are_hidden(program, photo, monkeypatch):
    monkeypatch.setattr('nailorch.inspection.look_page.occlusion_of', None)
    for flag in ('--layer', '--cam-layer'):
        code, _, err = program('look', 'small', photo, flag, 'conv9')
        assert code == 1 and "no layer 'conv9' computes here" in err


@pytest.mark.parametrize(('what', 'flags'), [
    ('small', ['--model', 'small']), ('small', ['--size', '9']), ('small', ['--data', 'digits']),
    ('net.onnx', ['--weights', 'a.npz']), ('net.onnx', ['--size', '9']), ('a.pth', ['--model', 'small', '--size', '9']),
    ('latest', ['--weights', 'a.npz'])])
def test_flags_that_say_nothing_of_the_network_are_refused(complaint, photo, what, flags):
    code, line = complaint('look', what, photo, *flags)
    assert code == 2 and f'{flags[-2]} says nothing of {what}' in line
