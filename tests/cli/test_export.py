"""`nailorch export`: from a run, from weights, from a name."""

import json

import numpy as np
import pytest

import nailorch
import nailorch.layers as L
from nailorch import models
from nailorch.formats.safetensors import load_safetensors
from nailorch.onnx import checking

pytest.importorskip('onnx', reason='onnx is not installed: pip install -e ".[test]"')
pytest.importorskip('onnxruntime', reason='onnxruntime is not installed: pip install -e ".[test]"')


def test_a_run_is_exported_and_compared(program, root, trained, tmp_path):
    code, out, err = program('export', 'latest', tmp_path / 'net.onnx', '--root', root)
    assert (code, err) == (0, '')
    assert out.startswith(f'{tmp_path}/net.onnx: 0.')
    assert f'MB, {trained.name}, images N×3×8×8; checked by onnx, and onnxruntime' in out
    assert out.count('\n') == 1


def test_an_exported_run_answers_as_the_run_does(program, root, pictures, tmp_path):
    program('export', 'latest', tmp_path / 'net.onnx', '--root', root)
    ours = json.loads(program('predict', 'latest', pictures, '--root', root, '--json', '--top', '2')[1])
    theirs = json.loads(program('classify', pictures, '--model', tmp_path / 'net.onnx', '--json')[1])
    assert len(ours) == len(theirs) == 30
    for one, other in zip(ours, theirs, strict=True):
        assert [each['class'] for each in one['answers']] == [each['class'] for each in other['answers']]
        assert one['answers'][0]['probability'] == pytest.approx(other['answers'][0]['probability'], abs=1e-5)
    out = program('look', tmp_path / 'net.onnx', pictures / 'night' / '00.png', '--out', tmp_path / 'seen')[1]
    assert ': night ' in out


@pytest.mark.parametrize('said', ['[]', '{', '{"mean": [1, 2], "std": [1]}', '{"mean": [0], "std": [0]}',
                                  '{"way": "x"}', '{"mean": ["nan"], "std": [1]}',
                                  '{"mean": [0], "std": [1], "classes": [3]}'])
def test_metadata_that_make_no_sense_are_one_line(complaint, pictures, tmp_path, said):
    net = models.Sequential(L.Conv2d(2, 3), L.GlobalAveragePool2d(), L.Flatten())
    nailorch.onnx.export(net, tmp_path / 'net.onnx', (3, 9, 9), metadata={'nailorch.pictures': said})
    code, line = complaint('classify', pictures, '--model', tmp_path / 'net.onnx')
    assert code == 1 and 'does not say how pictures are prepared' in line


def test_weights_are_exported_with_their_model(program, trained, tmp_path):
    np.savez(tmp_path / 'net.npz', **load_safetensors(trained / 'best.safetensors'))
    net = models.MNISTNet(2)
    net.load_weights(tmp_path / 'net.npz')
    net.save_torch(tmp_path / 'torch.safetensors')
    for weights in (trained / 'best.safetensors', tmp_path / 'net.npz', tmp_path / 'torch.safetensors'):
        code, out, _ = program('export', weights, tmp_path / 'net.onnx', '--model', 'mnistnet', '--classes', '2',
                               '--input', '3,8,8', '--opset', '15', '--json')
        told = json.loads(out)
        assert (code, told['input'], told['model']) == (0, ['N', 3, 8, 8], weights.name)
        assert told['bytes'] == (tmp_path / 'net.onnx').stat().st_size
        assert told['difference'] < 1e-5


def test_a_model_is_exported_untrained(program, tmp_path):
    assert program('export', 'lenet', tmp_path / 'net.onnx', '--quiet') == (0, f'{tmp_path / "net.onnx"}\n', '')
    assert 'lenet, untrained' in program('export', 'lenet', tmp_path / 'net.onnx')[1]
    assert '未经训练' in program('export', 'lenet', tmp_path / 'net.onnx', '--lang', 'zh')[1]


def test_pretrained_weights_are_exported(program, tmp_path, monkeypatch):
    net = models.SqueezeNet1_1(width=0.25)
    monkeypatch.setattr(models.SqueezeNet1_1, 'from_pretrained', lambda: net)
    code, out, _ = program('export', 'squeezenet1_1', tmp_path / 'net.onnx', '--pretrained', '--input', '3,64,64')
    assert code == 0
    assert 'squeezenet1_1, trained by others, images N×3×64×64' in out


def test_without_onnxruntime_nothing_is_compared(program, tmp_path, monkeypatch):
    monkeypatch.setattr('nailorch.cli.export.find_spec', lambda name: None)
    assert 'not compared: pip install onnxruntime' in program('export', 'lenet', tmp_path / 'net.onnx')[1]


@pytest.mark.parametrize('difference', [0.1, float('nan'), float('inf')])
def test_other_answers_are_an_error(complaint, tmp_path, monkeypatch, difference):
    monkeypatch.setattr('nailorch.cli.export.largest_difference', lambda *given: difference)
    code, said = complaint('export', 'lenet', tmp_path / 'net.onnx')
    assert code == 1
    assert "not written: onnxruntime's answers are not the model's" in said
    assert not any(tmp_path.iterdir())


def test_a_file_that_differs_replaces_no_older_one(complaint, tmp_path, monkeypatch):
    (tmp_path / 'net.onnx').write_text('the old one')
    monkeypatch.setattr('nailorch.cli.export.largest_difference', lambda *given: 0.1)
    complaint('export', 'lenet', tmp_path / 'net.onnx')
    assert (tmp_path / 'net.onnx').read_text() == 'the old one'
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(('arguments', 'expected', 'code'), [
    (['lenit', 'net.onnx'], "no model 'lenit': did you mean lenet?", 2),
    (['nothing-like-it', 'net.onnx'], "'nothing-like-it' is no model (mlp, ", 1),
    (['net.npz', 'net.onnx'], 'whose weights are these? Give --model', 2),
    (['net.npz', 'net.onnx', '--model', 'lenit'], 'did you mean lenet?', 2),
    (['net.npz', 'net.onnx', '--model', 'lenet'], 'net.npz', 1),
    (['lenet', 'net.onnx', '--model', 'lenet'], '--model says nothing of lenet', 2),
    (['lenet', 'net.onnx', '--pretrained'], 'no trained weights are known', 1),
    (['mlp', 'net.onnx', '--pretrained'], 'no trained weights are known', 1),
    (['vgg16', 'net.onnx', '--pretrained', '--classes', '9'], '--classes says nothing of vgg16', 2),
    (['latest', 'net.onnx', '--classes', '3'], '--classes says nothing of latest', 2),
    (['lenet', 'nowhere/net.onnx'], 'nowhere: No such file', 1),
    (['lenet', '.'], '.: Is a directory', 1),
    (['lenet', 'net.onnx', '--opset', '12'], 'know 13 to', 1),
    (['lenet', 'net.onnx', '--input', '28'], '--input', 2),
])
def test_what_cannot_be_exported_is_said(complaint, tmp_path, monkeypatch, arguments, expected, code):
    monkeypatch.chdir(tmp_path)
    assert complaint('export', *arguments)[0] == code
    assert expected in complaint('export', *arguments)[1]
    assert not (tmp_path / 'net.onnx').exists()


def test_difference_is_beside_the_largest_number():
    assert checking.distance([np.array([1., 2.])], [np.array([1., 4.])]) == 0.5
    assert checking.distance([np.zeros(2)], [np.zeros(2)]) == 0
    assert checking.distance([np.zeros(2)], [np.zeros(3)]) == np.inf


def test_difference_sees_other_weights(program, tmp_path):
    net = models.LeNet()
    x = np.random.default_rng(0).random((2, 1, 28, 28), np.float32)
    net(x)
    program('export', 'lenet', tmp_path / 'net.onnx', '--quiet')
    net.fc3.W.data[0] += 1
    assert checking.largest_difference(net, tmp_path / 'net.onnx', x) > 1e-3
