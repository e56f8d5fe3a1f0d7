"""`nailorch classify`, by a small model that tells bright pictures from dark ones; and by the real one."""

import json
import re

import numpy as np
import pytest
from PIL import Image
from rich.cells import cell_len

import nailorch
from nailorch.cli import classify
from nailorch.formats.assets import asset
from nailorch.formats.safetensors import save_safetensors
from nailorch.inspection import best_answers, class_names, preprocessing
from nailorch.models import MODELS, VGG16, MobileNetV2
from nailorch.models.preprocessing import torchvision


class Lamp(nailorch.Model):
    """Class 0 is light, class 1 is dark."""

    @staticmethod
    def preprocess(image):
        return np.asarray(image.resize((4, 4)), np.float32).transpose(2, 0, 1) / 255

    @classmethod
    def from_pretrained(cls, path=None):
        assert path is None or path.endswith('lamp.pth')
        return cls()

    def forward(self, x):
        light = nailorch.functions.sum(x - .5, axis=(1, 2, 3), keepdims=True)
        light = nailorch.functions.reshape(light, (x.shape[0], 1))
        return nailorch.functions.concat([light, -light], axis=1)


@pytest.fixture(autouse=True)
def lamp(monkeypatch):
    monkeypatch.setitem(MODELS, 'lamp', Lamp)
    monkeypatch.setattr(classify, 'class_names', lambda count: ['light', 'dark'])


def test_classify_prints_one_line_a_photograph_away_from_a_terminal(program, pictures):
    day, night = pictures / 'day' / '00.png', pictures / 'night' / '00.png'
    code, out, err = program('classify', day, night, '--model', 'lamp', '--top', '2')
    assert (code, err) == (0, '')
    assert out == f'{day}: light 100.0%, dark 0.0%\n{night}: dark 100.0%, light 0.0%\n'


def test_classify_quiet_gives_the_best_answer_alone(program, pictures):
    day = pictures / 'day' / '00.png'
    assert program('classify', day, '--model', 'lamp', '--quiet')[1] == f'{day}: light 100.0%\n'


def test_classify_json(program, pictures):
    code, out, _ = program('classify', pictures / 'day' / '00.png', '--model', 'lamp', '--json', '--top', '1')
    assert code == 0
    assert json.loads(out) == [{'file': str(pictures / 'day' / '00.png'), 'answers': [
        {'class': 'light', 'number': 0, 'probability': pytest.approx(1)}]}]


def test_classify_goes_on_after_what_cannot_be_read(program, pictures, tmp_path):
    broken, missing = tmp_path / 'broken.png', tmp_path / 'missing.png'
    broken.write_bytes(b'hello')
    code, out, err = program('classify', missing, broken, pictures / 'day' / '00.png', '--model', 'lamp')
    assert code == 1
    assert out.count('\n') == 1 and 'light' in out
    first, second = err.splitlines()
    assert first == f'nailorch: {missing}: there is no such file'
    assert second.startswith(f'nailorch: {broken}: not an image, or broken')
    told = json.loads(program('classify', broken, pictures / 'day' / '00.png', missing, '--model', 'lamp', '--json')[1])
    assert [sorted(each) for each in told] == [['error', 'file'], ['error', 'file'], ['answers', 'file']]
    assert told[0]['file'] == str(missing)


def test_classify_nothing_but_missing_files_needs_no_model(complaint, tmp_path, monkeypatch):
    monkeypatch.delattr(Lamp, 'from_pretrained')
    assert complaint('classify', tmp_path / 'no.png', '--model', 'lamp')[0] == 1


def test_classify_a_folder_of_many_by_a_session(program, pictures, monkeypatch):
    """30 pictures, two batches; and the same answers from a session as from the model."""
    code, by_model, _ = program('classify', pictures, '--model', 'lamp')
    assert code == 0 and by_model.count('\n') == 30
    assert by_model.count('day') == by_model.count(': light 100.0%') == 15
    monkeypatch.setattr(classify, 'SESSION_FROM', 1)
    assert program('classify', pictures, '--model', 'lamp')[1] == by_model


def test_classify_draws_bars_on_a_terminal(program, pictures, monkeypatch):
    monkeypatch.setattr('sys.stdout.isatty', lambda: True)
    monkeypatch.setenv('NO_COLOR', '1')
    code, out, _ = program('classify', pictures / 'day' / '00.png', '--model', 'lamp')
    assert code == 0
    assert [line.split() for line in out.splitlines()[1:]] == [
        ['light', '━' * 30, '100.0%'], ['dark', '─' * 30, '0.0%']]
    assert program('classify', pictures / 'day' / '00.png', '--model', 'lamp', '--top', '1')[1].count('\n') == 1


def test_bars_stand_below_each_other_behind_chinese_names(program, pictures, monkeypatch):
    monkeypatch.setattr('sys.stdout.isatty', lambda: True)
    monkeypatch.setattr(classify, 'class_names', lambda count: ['明亮的', 'dark'])
    monkeypatch.setenv('NO_COLOR', '1')
    _, out, _ = program('classify', pictures / 'day' / '00.png', '--model', 'lamp')
    bars = [cell_len(re.split('[━─]', line)[0]) for line in out.splitlines()[1:]]
    assert len(bars) == 2 and len(set(bars)) == 1


def test_classify_names_the_nearest_model(complaint, pictures):
    code, said = complaint('classify', pictures, '--model', 'mobilenet')
    assert code == 2 and 'did you mean mobilenet_v2?' in said
    code, said = complaint('classify', pictures, '--model', 'lenet')
    assert code == 2 and 'lenet has learned no photographs; these have: ' in said


def test_classify_leads_to_predict_for_a_run(complaint, tmp_path):
    for name in ('latest', tmp_path):
        code, said = complaint('classify', 'photo.jpg', '--model', name)
        assert code == 2 and said.endswith(f'nailorch predict {name} photo.jpg\n')


def test_classify_says_in_short_that_weights_are_another_models(complaint, pictures, tmp_path):
    np.savez(tmp_path / 'other.npz', a=np.ones(1))
    code, said = complaint('classify', pictures, '--model', 'squeezenet1_1', '--weights', tmp_path / 'other.npz')
    assert code == 1 and 'do not fit SqueezeNet1_1' in said and said.endswith('…\n') and len(said) < 600


def test_best_answers_are_ordered_and_sum_to_one():
    found = best_answers(np.array([[1, 3, 2], [800, 0, 800]], np.float32), 'abc', 3)
    assert [each.name for each in found[0]] == ['b', 'c', 'a']
    assert sum(each.probability for each in found[0]) == pytest.approx(1)
    assert [each[:2] for each in found[1]] == [('a', .5), ('c', .5), ('b', 0)]


def test_class_names_are_numbers_where_there_are_no_thousand():
    assert class_names(3) == ['0', '1', '2']


def test_preprocessing_is_what_the_weights_were_trained_with(tmp_path):
    np.savez(tmp_path / 'vgg.npz', a=np.ones(1))
    save_safetensors(tmp_path / 'vgg.safetensors', {'a': np.ones(1)})
    vgg, picture = VGG16(), Image.new('RGB', (300, 260), (255, 0, 0))
    assert preprocessing(vgg) is preprocessing(vgg, tmp_path / 'vgg.safetensors') is torchvision
    assert preprocessing(vgg, tmp_path / 'vgg.npz') is VGG16.preprocess
    v1, v2 = preprocessing(MobileNetV2()), preprocessing(MobileNetV2(), 'mobilenet_v2-7ebf99e0.pth')
    assert v1 is MobileNetV2.preprocess and v2.keywords == {'resize': 232}
    assert v2(picture).shape == (3, 224, 224)


def test_classify_by_weights_of_pytorch_gives_its_probabilities(program, monkeypatch, tmp_path):
    """VGG16 in small, with random weights in PyTorch's file; prepared as PyTorch does, not as VGG's authors did."""
    torch = pytest.importorskip('torch', reason='PyTorch is not installed: pip install -e ".[compare]"')
    from tests.models import twins

    class Small(VGG16):
        def __init__(self):
            super().__init__(num_classes=20, width=2, hidden=12)

    torch.manual_seed(0)
    twin = twins.VGG((2, 2, 3, 3, 3), False, classes=20, width=2, hidden=12).eval()
    with torch.no_grad():
        for tensor in twin.parameters():
            tensor.uniform_(-.5, .5)
    torch.save(twin.state_dict(), tmp_path / 'vgg16.pth')
    picture = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
    Image.fromarray(picture).resize((300, 260)).save(tmp_path / 'photo.png')
    monkeypatch.setitem(MODELS, 'vgg16', Small)
    monkeypatch.setattr(classify, 'class_names', class_names)

    code, out, _ = program('classify', tmp_path / 'photo.png', '--model', 'vgg16', '--weights',
                           tmp_path / 'vgg16.pth', '--top', '20', '--json')
    assert code == 0
    x = torchvision(Image.open(tmp_path / 'photo.png'))[None]
    with torch.no_grad():
        expected = twin(torch.from_numpy(x)).softmax(1)[0].numpy()
    found = {each['number']: each['probability'] for each in json.loads(out)[0]['answers']}
    np.testing.assert_allclose([found[k] for k in range(20)], expected, atol=1e-5)
    assert expected.max() > 2 * expected.min()


@pytest.mark.parametrize('last', [[], [nailorch.layers.Softmax()]], ids=['scores', 'probabilities'])
def test_classify_by_an_onnx_file(program, pictures, tmp_path, monkeypatch, last):
    pytest.importorskip('onnx', reason='onnx is not installed: pip install -e ".[test]"')
    monkeypatch.setattr(classify, 'class_names', class_names)
    nailorch.seed(0)
    net = nailorch.models.Sequential(nailorch.layers.Conv2d(4, 3), nailorch.layers.GlobalAveragePool2d(),
                                     nailorch.layers.Flatten(), nailorch.layers.Linear(3))
    inside = nailorch.models.Sequential(*net, *last)
    nailorch.onnx.export(inside, tmp_path / 'net.onnx', (3, 12, 12))
    code, out, err = program('classify', pictures / 'day', '--model', tmp_path / 'net.onnx', '--json')
    assert (code, err) == (0, '')
    for one in json.loads(out):
        x = np.asarray(Image.open(one['file']).convert('RGB').resize((12, 12), Image.Resampling.BILINEAR), np.float32)
        with nailorch.test_mode():
            expected = nailorch.functions.softmax(net(x.transpose(2, 0, 1)[None] / 255)).data[0]
        found = {each['number']: each['probability'] for each in one['answers']}
        np.testing.assert_allclose([found[k] for k in range(3)], expected, atol=1e-5)


def test_classify_takes_no_weights_beside_an_onnx_file(complaint, pictures):
    code, said = complaint('classify', pictures, '--model', 'net.onnx', '--weights', 'net.npz')
    assert code == 2 and '--weights says nothing' in said
    code, said = complaint('classify', pictures, '--model', 'net.onnx')
    assert code == 1 and 'net.onnx: there is no such file' in said


# ---- the real one


def fetched(*names):
    try:
        return [asset(name) for name in names]
    except FileNotFoundError:
        pytest.skip('weights, class names and photographs cannot be had here')


@pytest.mark.parametrize('name, answer, probability', [
    ('coffee.png', 'espresso', .9921), ('chelsea.png', 'Egyptian Mau', .7166), ('camera.png', 'tripod', .9780),
    ('motorcycle_left.png', 'moped', .5923), ('china.jpg', 'palace', .6922)])
def test_classify_real_photographs(name, answer, probability):
    """The probabilities are those that PyTorch computes from the same weights and the same preprocessing."""
    photo, *_ = fetched(f'photos/{name}', 'mobilenet_v2-b0353104.pth', 'imagenet1k_clean_names.json')
    best = nailorch.inspection.classify(network(), photo)[0]
    assert best.name == answer
    assert best.probability == pytest.approx(probability, abs=1e-3)


def network(loaded=[]):  # noqa: B006 (read once for all photographs)
    if not loaded:
        loaded.append(MobileNetV2.from_pretrained())
    return loaded[0]
