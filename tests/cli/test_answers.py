"""`nailorch evaluate`, `predict`, `summary` and `runs`, on a run that was trained on two kinds of pictures."""

import csv
import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

import nailorch
import nailorch.functions as F
import nailorch.layers as L
from nailorch import Model, onnx
from nailorch.cli import predict
from nailorch.cli.opening import Opened
from nailorch.datasets import ImageFolder
from nailorch.formats.safetensors import load_safetensors
from nailorch.training.data import DATASETS
from nailorch.training.runs import Run
from nailorch.training.settings import Settings
from nailorch.transforms import Compose, Resize


class TwoInputs(Model):
    def __init__(self):
        super().__init__()
        self.conv, self.scale = L.Conv2d(4, 3, pad=1, in_channels=3), L.Linear(4, in_size=5)

    def forward(self, x, v):
        return self.conv(x) * F.reshape(self.scale(v), (len(v), 4, 1, 1))


@pytest.fixture
def copy(trained, tmp_path):
    """A copy of the run, to be damaged."""
    return shutil.copytree(trained, tmp_path / 'copy' / trained.name)


# evaluate


def test_evaluate_repeats_the_accuracy_of_the_run(program, root, trained):
    code, out, err = program('evaluate', 'latest', '--root', root)
    assert (code, err) == (0, '')
    assert out.splitlines()[-1] == 'test accuracy 1.0000'
    code, out, _ = program('evaluate', trained, '--json')
    told = json.loads(out)
    assert (told['images'], told['right'], told['accuracy']) == (3, 3, 1.0)
    assert np.trace(told['confusion']) == 3
    assert told['by_class'].keys() == {'day', 'night'}


def test_evaluate_tests_with_all_of_another_folder(program, trained, pictures, tmp_path):
    other = shutil.copytree(pictures, tmp_path / 'other')
    for path in other.glob('*/0[3-9].png'):
        path.unlink()  # 8 of each class are left
    told = json.loads(program('evaluate', trained, '--data', other, '--json')[1])
    assert told['images'] == 16
    told = json.loads(program('evaluate', trained, '--data', f'{pictures}/../{pictures.name}', '--json')[1])
    assert told['images'] == 3


@pytest.fixture
def weights(trained, tmp_path):
    np.savez(tmp_path / 'net.npz', **load_safetensors(trained / 'best.safetensors'))
    return tmp_path / 'net.npz', '--model', 'mnistnet', '--size', '8'


def test_weights_are_tested_with_all_of_a_folder(program, weights, pictures):
    code, out, _ = program('evaluate', *weights, '--data', pictures)
    assert (code, out.splitlines()[0]) == (0, f'net.npz on all 30 images of {pictures}')
    told = json.loads(program('evaluate', *weights, '--data', pictures, '--json')[1])
    assert (told['images'], told['part']) == (30, 'all')


def test_weights_are_tested_with_the_folders_own_test_part(program, weights, pictures, tmp_path):
    shutil.copytree(pictures, tmp_path / 'two' / 'train')
    shutil.copytree(pictures, tmp_path / 'two' / 'test')
    next((tmp_path / 'two' / 'test' / 'day').iterdir()).unlink()
    told = json.loads(program('evaluate', *weights, '--data', tmp_path / 'two', '--json')[1])
    assert (told['images'], told['part']) == (29, 'test')


def test_weights_under_pytorchs_names_are_tested_too(program, weights, pictures, tmp_path):
    net = nailorch.models.MNISTNet(2)
    net.load_weights(weights[0])
    net.save_torch(tmp_path / 'torch.safetensors')
    told, same = (json.loads(program('evaluate', file, *weights[1:], '--data', pictures, '--json')[1])
                  for file in (weights[0], tmp_path / 'torch.safetensors'))
    assert (told['loss'], told['images']) == (same['loss'], 30)


def test_an_onnx_file_is_sent_to_classify(complaint):
    code, line = complaint('predict', 'net.onnx', 'photo.jpg')
    assert code == 2 and 'nailorch classify PHOTO --model net.onnx' in line


def test_a_few_pictures_are_enough_to_test_weights(program, weights, pictures, tmp_path):
    for name in 'day', 'night':
        (tmp_path / 'few' / name).mkdir(parents=True)
        shutil.copy(pictures / name / '00.png', tmp_path / 'few' / name)
    assert json.loads(program('evaluate', *weights, '--data', tmp_path / 'few', '--json')[1])['images'] == 2


def test_a_runs_weights_are_not_tested_with_what_it_learned_from(program, trained, pictures):
    code, out, _ = program('evaluate', trained / 'best.safetensors', '--model', 'mnistnet', '--data', pictures)
    assert (code, out.splitlines()[0]) == (0, f'best.safetensors on 3 test images of {pictures}')


def test_evaluate_quiet_says_one_line(program, root):
    assert program('evaluate', 'latest', '--root', root, '--quiet')[1] == 'test accuracy 1.0000\n'


def test_evaluate_reads_weights_of_both_formats(program, monkeypatch, trained, pictures, tmp_path):
    class Tiny(ImageFolder):
        classes = ('day', 'night')

        def __init__(self, train, transform):
            super().__init__(pictures, Compose([Resize(8), transform]))

    monkeypatch.setitem(DATASETS, 'tiny', (Tiny, (3, 8, 8)))
    np.savez(tmp_path / 'net.npz', **load_safetensors(trained / 'best.safetensors'))
    shutil.copy(trained / 'best.safetensors', tmp_path / 'net.safetensors')
    for name in ('net.npz', 'net.safetensors'):
        code, out, err = program('evaluate', tmp_path / name, '--model', 'mnistnet', '--data', 'tiny', '--quiet')
        assert (code, out, err) == (0, 'test accuracy 1.0000\n', '')


@pytest.mark.parametrize(('arguments', 'code', 'expected'), [
    (['x.npz'], 2, 'x.npz is a weights file: say which model'),
    (['x.npz', '--model', 'lenett'], 2, "did you mean 'lenet'?"),
    (['x.npz', '--model', 'lenet'], 1, 'x.npz: '),
    (['x.safetensors', '--model', 'lenet'], 1, 'x.safetensors: '),
    (['nothing'], 1, 'no runs in runs yet; nailorch demo makes one'),
])
def test_evaluate_names_what_is_missing(complaint, monkeypatch, tmp_path, arguments, code, expected):
    monkeypatch.chdir(tmp_path)
    given, line = complaint('evaluate', *arguments)
    assert given == code
    assert expected in line


def test_what_is_no_run_at_all_names_the_runs(complaint, root, trained):
    code, line = complaint('evaluate', '????', '--root', root)
    assert code == 1
    assert f"nothing in {root} is called '????'; there are {trained.name}" in line


def test_the_nearest_run_is_suggested(complaint, root, trained):
    code, line = complaint('evaluate', trained.name[:-1] + '?', '--root', root)
    assert code == 1
    assert f'did you mean {trained.name}?' in line


def test_a_model_is_not_given_twice(complaint, trained):
    code, line = complaint('evaluate', trained, '--model', 'lenet')
    assert code == 2
    assert 'is of mnistnet' in line


@pytest.mark.parametrize('keep', [0, 5, 100, -1])
def test_broken_weights_are_one_line(complaint, copy, keep):
    content = (copy / 'best.safetensors').read_bytes()
    (copy / 'best.safetensors').write_bytes(content[:keep])
    code, line = complaint('evaluate', copy)
    assert code == 1
    assert 'best.safetensors' in line


def test_weights_of_another_model_are_named(complaint, copy):
    config = (copy / 'config.toml').read_text().replace('mnistnet', 'lenet')
    (copy / 'config.toml').write_text(config)
    code, line = complaint('evaluate', copy)
    assert code == 1
    assert 'conv1/W' in line


def test_a_run_without_weights_says_how_to_go_on(complaint, copy):
    (copy / 'best.safetensors').unlink()
    code, line = complaint('evaluate', copy)
    assert code == 1
    assert f'nailorch train --resume {copy}' in line


@pytest.mark.parametrize('content', ['{}', '{"classes": 3, "shape": [1, 2, 3]}', '{"classes": ["a"], "shape": 5}', '['])
def test_a_damaged_result_is_named(complaint, copy, content):
    (copy / 'result.json').write_text(content)
    code, line = complaint('evaluate', copy)
    assert code == 1
    assert 'result.json' in line


def test_other_data_with_other_classes_is_refused(complaint, trained, pictures, tmp_path):
    other = shutil.copytree(pictures, tmp_path / 'other')
    (other / 'day').rename(other / 'noon')
    code, line = complaint('evaluate', trained, '--data', other)
    assert code == 1
    assert 'or other names' in line


# predict


def test_predict_answers_for_files_and_folders_in_order(program, trained, pictures):
    code, out, err = program('predict', trained, pictures / 'night' / '03.png', pictures / 'day', '--json')
    answers = json.loads(out)
    assert (code, err) == (0, '')
    assert [one['file'] for one in answers] == [str(pictures / 'night' / '03.png')] + \
        [str(pictures / 'day' / f'{index:02}.png') for index in range(15)]
    assert [one['answers'][0]['class'] for one in answers] == ['night'] + ['day'] * 15
    assert all(abs(sum(each['probability'] for each in one['answers']) - 1) < 1e-5 for one in answers)


def test_predict_writes_csv(program, trained, pictures):
    _, out, _ = program('predict', trained, pictures / 'day' / '00.png', '--format', 'csv')
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row['rank'] for row in rows] == ['1', '2']
    assert rows[0]['class'] == 'day'
    assert float(rows[0]['probability']) > 0.5


def test_predict_shows_a_table_of_the_best_answers(program, trained, pictures):
    _, out, _ = program('predict', trained, pictures / 'day' / '00.png', '--top', '1')
    heading, row = out.splitlines()
    assert heading.split() == ['file', 'answer']
    assert row.split()[:2] == [str(pictures / 'day' / '00.png'), 'day']


def test_predict_gives_at_least_one_answer(complaint, trained, pictures):
    code, line = complaint('predict', trained, pictures, '--top', '0')
    assert code == 2
    assert "argument --top: '0' is no whole number of at least 1" in line


def test_invert_swaps_dark_and_light(program, trained, pictures):
    picture = pictures / 'day' / '00.png'
    _, out, _ = program('predict', trained, picture, '--invert', '--json')
    assert json.loads(out)[0]['answers'][0]['class'] == 'night'


def test_one_broken_picture_does_not_lose_the_others(program, trained, pictures, tmp_path):
    content = (pictures / 'day' / '00.png').read_bytes()
    (tmp_path / 'broken.png').write_bytes(content[:60])
    (tmp_path / 'text.png').write_text('no picture')
    files = tmp_path / 'broken.png', pictures / 'day' / '00.png', tmp_path / 'text.png'
    code, out, err = program('predict', trained, *files, '--format', 'csv')
    assert code == 1
    assert out.count('00.png') == 2
    assert [line.split(':')[0] for line in err.splitlines()] == ['nailorch', 'nailorch']
    assert 'broken.png: not an image, or broken' in err
    assert 'text.png: not an image, or broken\n' in err  # and not in Pillow's English once more


def test_a_picture_of_a_hundred_megapixels_is_refused_before_it_is_decoded(complaint, trained, tmp_path):
    Image.new('1', (10_000, 10_001)).save(tmp_path / 'huge.png')
    code, line = complaint('predict', trained, tmp_path / 'huge.png', '--quiet', '--format', 'table')
    assert code == 1
    assert 'huge.png: 100.0 megapixels; images of up to 64 are read' in line


def test_an_empty_folder_and_a_missing_file_are_named(complaint, trained, tmp_path):
    assert complaint('predict', trained, tmp_path) == (1, f'nailorch: {tmp_path}: no pictures in this folder\n')
    assert 'no.png: there is no such file' in complaint('predict', trained, tmp_path / 'no.png')[1]


def test_predict_answers_for_the_others_where_a_file_is_missing(program, trained, pictures, tmp_path):
    files = tmp_path / 'no.png', pictures / 'day' / '00.png'
    code, out, err = program('predict', trained, *files, '--json')
    assert code == 1 and err == f'nailorch: {files[0]}: there is no such file\n'
    assert [each['file'] for each in json.loads(out)] == [str(files[1])]


def test_dark_digits_on_light_paper_are_noticed():
    digits = Opened('', None, Settings(), '0123456789', (1, 28, 28))
    paper = np.ones((1, 28, 28), np.float32)
    paper[:, 10:20, 10:20] = 0
    assert predict.looks_inverted(paper, digits)
    assert not predict.looks_inverted(1 - paper, digits)


def test_dark_digits_on_light_paper_are_told_of_once(program, monkeypatch, trained, pictures):
    monkeypatch.setattr(predict, 'BATCH', 1)
    monkeypatch.setattr(predict, 'looks_inverted', lambda x, opened: True)
    assert program('predict', trained, pictures / 'day')[2].count('--invert') == 1
    assert program('predict', trained, pictures / 'day', '--invert')[2] == ''


# runs


def test_the_list_of_runs_takes_no_run(complaint):
    assert complaint('runs', 'list', 'latest') == (2, "nailorch: runs takes no 'latest'\n")


def test_runs_lists_each_run_with_its_results(program, root, trained):
    code, out, _ = program('runs', '--root', root)
    heading, row = out.splitlines()
    assert code == 0
    assert heading.split() == ['run', 'date', 'epochs', 'best', 'val', 'test', 'status']
    assert trained.name.endswith(f'-{row.split()[0]}')
    assert program('runs', 'show', row.split()[0], '--root', root)[1].startswith(trained.name)
    assert row.split()[-2:] == ['100.0%', 'finished']


def test_runs_in_json(program, root, trained):
    (one,) = json.loads(program('runs', '--root', root, '--json')[1])
    assert (one['name'], one['model'], one['epochs']) == (trained.name, 'mnistnet', 4)


def test_no_runs_at_all_is_said(program, tmp_path):
    code, out, _ = program('runs', '--root', tmp_path)
    assert (code, out) == (0, f'no runs in {tmp_path} yet; nailorch demo makes one\n')


def test_a_damaged_run_does_not_hide_the_others(program, copy, trained):
    shutil.copytree(trained, copy.parent / '20200101-000000-mlp-0000')
    (copy / 'config.toml').write_text('model = [')
    code, out, _ = program('runs', '--root', copy.parent)
    assert code == 0
    assert sorted(line.split()[-1] for line in out.splitlines()[1:]) == ['damaged', 'finished']


def test_a_run_whose_accuracy_is_no_number_is_damaged(program, copy):
    Run(copy).record(test_accuracy=['x'])
    assert program('runs', '--root', copy.parent)[1].splitlines()[1].endswith('damaged')


def test_show_tells_epochs_and_files(program, root):
    assert program('runs', 'latest', '--root', root) == program('runs', 'show', '--root', root)
    code, out, _ = program('runs', 'show', '--root', root)
    assert code == 0
    assert 'train loss' in out
    assert 'All 4 epochs are done' in out
    assert 'report.html' in out


def test_show_in_json_holds_everything(program, trained):
    told = json.loads(program('runs', 'show', trained, '--json')[1])
    assert len(told['history']) == 4
    assert told['config']['data']['size'] == 8
    assert told['environment']['threads'] >= 1


# summary


def test_summary_tells_layers_shapes_and_parameters(program):
    code, out, err = program('summary', 'mnistnet')
    assert (code, err) == (0, '')
    assert '(1, 16, 14, 14)' in out
    assert '206,922' in out
    assert program('summary', 'mnistnet', '--quiet') == (0, '206922\n', '')


def test_summary_of_other_images_and_classes_in_json(program):
    told = json.loads(program('summary', 'lenet', '--input', '3,32,48', '--classes', '7', '--json')[1])
    assert told['input_shape'] == [1, 3, 32, 48]
    assert told['rows'][-1]['shapes'] == [[1, 7]]
    # after pad 2, a kernel of 5 and pooling: 16x24; after another kernel of 5 and pooling: 6x10, of 16 channels
    assert told['parameters'] == 456 + 2416 + (960 * 120 + 120) + (120 * 84 + 84) + (84 * 7 + 7)


def test_summary_of_a_run(program, complaint, root, trained):
    code, out, err = program('summary', 'latest', '--root', root)
    assert (code, err) == (0, '')
    assert out.startswith('MNISTNet, input (1, 3, 8, 8)\n')
    assert '(1, 2)' in out
    assert '--classes' in complaint('summary', trained, '--classes', '3')[1]


def test_what_is_no_run_and_no_model_names_both(complaint, root):
    code, line = complaint('summary', 'qqqq', '--root', root)
    assert code == 1
    assert "'qqqq' is no model (mlp, mnistnet, " in line and 'nothing in' in line


def test_summary_of_an_onnx_file_with_two_inputs(program, tmp_path):
    pytest.importorskip('onnx')
    path = onnx.export(TwoInputs(), tmp_path / 'two.onnx', (3, 8, 8), (5,))
    code, out, _ = program('summary', path)
    assert (code, out.splitlines()[0]) == (0, 'Network, input (1, 3, 8, 8), (1, 5)')
    assert program('summary', path, '--input', '3,8,8', '--input', '5')[1] == out


def test_summary_of_an_onnx_file(program, complaint, tmp_path):
    pytest.importorskip('onnx')
    path = tmp_path / 'net.onnx'
    assert program('export', 'mnistnet', str(path))[0] == 0
    code, out, _ = program('summary', str(path))
    assert (code, '206,922' in out, 'conv1' in out) == (0, True, True)
    assert '--classes' in complaint('summary', str(path), '--classes', '3')[1]
    assert complaint('summary', str(tmp_path / 'none.onnx'))[0] == 1


@pytest.mark.parametrize(('arguments', 'code', 'expected'), [
    (['lent'], 2, "there is no model 'lent': did you mean lenet?"),
    (['lenet', '--input', '28'], 2, "--input '28': write C,H,W"),
    (['lenet', '--input', '0,28,28'], 2, 'write C,H,W'),
    (['resnet18', '--input', '64,64,3'], 2, 'should it be --input 3,64,64?'),
    (['lenet', '--input', '1,4,4'], 1, '(in the layer conv2, Conv2d(16, 5, in_channels=6), which was given '),
    (['lenet', '--classes', 'x'], 2, "argument --classes: 'x' is no whole number of at least 1"),
    (['lenet', '--classes', '-1'], 2, "'-1'"),
    (['lenet', '--classes', '0'], 2, "'0'"),
])
def test_summary_answers_bad_input_in_one_line(complaint, arguments, code, expected):
    given, line = complaint('summary', *arguments)
    assert given == code
    assert expected in line
