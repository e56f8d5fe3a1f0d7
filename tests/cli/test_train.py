"""`nailorch train` and `demo`: settings from everywhere, a whole run folder, and going on after Ctrl-C."""

import csv
import json
import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from nailorch.cli import demo
from nailorch.cli import train as train_command
from nailorch.cli.train import flag
from nailorch.formats.safetensors import load_safetensors
from nailorch.training import history, trainer
from nailorch.training.settings import Settings, all_settings, change, read_settings
from tests.cli.conftest import TRAIN


def test_a_run_folder_holds_everything(trained):
    names = {path.name for path in trained.iterdir()}
    assert names >= {'config.toml', 'env.json', 'metrics.jsonl', 'best.safetensors', 'last.ckpt', 'result.json',
                     'predictions.csv', 'report.html'}
    assert json.loads((trained / 'result.json').read_text())['classes'] == ['day', 'night']
    rows = list(csv.DictReader((trained / 'predictions.csv').read_text(encoding='utf-8').splitlines()))
    assert all(Path(row['file']).parent.name == row['true_name'] for row in rows)


def test_training_ends_with_the_test_accuracy(program, pictures, tmp_path):
    code, out, err = program(*TRAIN, '--data', pictures, '--root', tmp_path)
    lines = out.splitlines()
    assert (code, err) == (0, '')
    assert lines[0].startswith(f'Data {pictures} 24/3 · MNISTNet ')
    assert lines[-2].startswith('Report: ')
    assert lines[-1] == 'test accuracy 1.0000'


def test_quiet_says_only_the_result(program, pictures, tmp_path):
    assert program(*TRAIN, '--data', pictures, '--root', tmp_path, '--quiet') == (0, 'test accuracy 1.0000\n', '')


def test_json_is_one_object(program, pictures, tmp_path):
    code, out, err = program(*TRAIN, '--data', pictures, '--root', tmp_path, '--json')
    told = json.loads(out)
    assert (code, err) == (0, '')
    assert (told['test_accuracy'], told['epochs'], told['status']) == (1.0, 4, 'finished')
    assert told['report'].endswith('report.html')


def test_the_saved_configuration_repeats_the_run(program, trained, tmp_path):
    code, *_ = program('train', '--config', trained / 'config.toml', '--root', tmp_path, '--quiet')
    again = next(tmp_path.iterdir())
    assert code == 0
    assert (again / 'config.toml').read_bytes() == (trained / 'config.toml').read_bytes()
    first, second = (load_safetensors(run / 'best.safetensors') for run in (trained, again))
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_nothing_is_left_open_in_the_saved_configuration(trained):
    settings = read_settings(trained / 'config.toml')
    assert (settings.training.lr, settings.training.weight_decay, settings.data.size) == (0.02, 0.0, 8)
    assert settings.training.batch_size == 4


def test_a_flag_comes_before_set_and_set_before_the_file(monkeypatch, program, tmp_path):
    told = []
    monkeypatch.setattr(train_command, 'train', lambda settings, options: told.append(settings) or 0)
    file = tmp_path / 'a.toml'
    file.write_text('[training]\nepochs = 3\nbatch_size = 7\nclip = 2.0\n')
    program('train', '--config', file, '--set', 'training.batch_size=8', '--set', 'training.clip=3', '--clip', '4')
    training = told[0].training
    assert (training.epochs, training.batch_size, training.clip, training.patience) == (3, 8, 4.0, 0)


@pytest.mark.parametrize(('arguments', 'key', 'value'), [
    (['--model', 'lenet'], 'model.name', 'lenet'),
    (['--flip'], 'augmentation.flip', True),
    (['--flip', '--no-flip'], 'augmentation.flip', False),
    (['--lr', '1e-3'], 'training.lr', 0.001),
    (['--size', '32'], 'data.size', 32),
])
def test_flags_set_what_they_are_named_after(monkeypatch, program, arguments, key, value):
    told = []
    monkeypatch.setattr(train_command, 'train', lambda settings, options: told.append(settings) or 0)
    assert program('train', *arguments)[0] == 0
    section, name = key.split('.')
    assert getattr(getattr(told[0], section), name) == value


def test_every_setting_has_a_flag_of_its_own():
    flags = [flag(key) for key, _, _ in all_settings()]
    assert len(flags) == len(set(flags))
    assert {'--model', '--data', '--batch-size', '--seed'} <= set(flags)


@pytest.mark.parametrize(('arguments', 'code', 'expected'), [
    (['--modle', 'lenet'], 2, "there is no '--modle': did you mean --model?"),
    (['--model', 'lenett'], 2, "model.name: there is no 'lenett': did you mean 'lenet'?"),
    (['--model', 'lenet', '--pretrained'], 2, 'nobody has published weights for lenet; there are some for '),
    (['--data', 'minst'], 2, "and no data set: did you mean 'mnist'?"),
    (['--data', 'no/where'], 1, 'where: there is no such folder'),
    (['--optimizer', 'adm'], 2, "training.optimizer: there is no 'adm': did you mean 'adam'?"),
    (['--schedule', 'cosin'], 2, "training.schedule: there is no 'cosin': did you mean 'cosine'?"),
    (['--epochs', 'ten'], 2, "--epochs: training.epochs must be a whole number, not 'ten'"),
    (['--epochs', '0'], 2, '--epochs: training.epochs=0 is too small: at least 1'),
    (['--set', 'training.epoch=3'], 2, "--set: there is no setting 'training.epoch': did you mean 'training.epochs'?"),
    (['--set', 'training.epochs'], 2, 'write KEY=VALUE'),
    (['--config', 'nowhere.toml'], 1, 'nowhere.toml: there is no such file'),
    (['--resume', 'latest', '--epochs', '3', '--flip'], 2, 'take away --flip, --epochs. More epochs? Edit config.toml'),
    (['--resume', 'nothing'], 1, 'no runs in runs yet'),
])
def test_bad_input_is_one_line_and_leaves_no_run(complaint, monkeypatch, tmp_path, arguments, code, expected):
    monkeypatch.chdir(tmp_path)
    given, line = complaint('train', *arguments)
    assert given == code
    assert expected in line
    assert not (tmp_path / 'runs').exists()


def test_an_unknown_key_in_the_file_is_named(complaint, tmp_path):
    file = tmp_path / 'a.toml'
    file.write_text('[training]\nepoch = 3\n')
    code, line = complaint('train', '--config', file)
    assert code == 2
    assert line.endswith("a.toml: there is no setting 'training.epoch': did you mean 'training.epochs'?\n")


def test_images_too_small_for_the_model_leave_no_run(complaint, pictures, tmp_path):
    code, line = complaint('train', '--data', pictures, '--size', '4', '--model', 'lenet', '--root', tmp_path)
    assert code == 1
    assert 'lenet cannot take images (C, H, W) of (3, 4, 4): ' in line
    assert '(in the layer conv2, ' in line
    assert list(tmp_path.iterdir()) == []


def test_too_few_pictures_are_counted(complaint, pictures, tmp_path):
    for kind in ('day', 'night'):
        (tmp_path / 'few' / kind).mkdir(parents=True)
        shutil.copy(pictures / kind / '00.png', tmp_path / 'few' / kind)
    code, line = complaint('train', '--data', tmp_path / 'few', '--root', tmp_path / 'runs')
    assert code == 1
    assert 'few: of 2 pictures 80% are to learn from, 10% to choose the best epoch by and 10% to test' in line


def test_an_empty_folder_is_one_line(complaint, tmp_path):
    (tmp_path / 'cat').mkdir()
    assert complaint('train', '--data', tmp_path / 'cat', '--root', tmp_path)[0] == 1
    code, line = complaint('train', '--data', tmp_path, '--root', tmp_path)
    assert code == 1
    assert 'no pictures in this class' in line


def test_a_broken_picture_is_named(complaint, pictures, tmp_path):
    for name in ('a', 'b'):
        (tmp_path / 'data' / name).mkdir(parents=True)
        for index in range(15):
            content = (pictures / 'day' / '00.png').read_bytes()
            (tmp_path / 'data' / name / f'{index}.png').write_bytes(content if index else content[:60])
    code, line = complaint(*TRAIN, '--data', tmp_path / 'data', '--root', tmp_path / 'runs', '--quiet')
    assert code == 1
    assert '0.png: not an image, or broken' in line


def test_ctrl_c_saves_and_the_run_goes_on_to_the_same_weights(program, pictures, tmp_path, trained, monkeypatch):
    append = history.append_epoch

    def append_and_interrupt(path, record):
        append(path, record)
        if record['epoch'] == 1:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(trainer, 'append_epoch', append_and_interrupt)
    code, _, err = program(*TRAIN, '--data', pictures, '--root', tmp_path)
    run = next(tmp_path.iterdir())
    assert code == 130
    assert err.count('\n') == 1
    assert err.endswith(f'Go on with: nailorch train --resume {run}\n')  # the path: --root is not asked for again
    assert program('runs', '--root', tmp_path)[1].splitlines()[1].endswith('unfinished')
    code, out, err = program('train', '--resume', run.name, '--root', tmp_path)
    assert (code, err) == (0, '')
    assert out.splitlines()[-1] == 'test accuracy 1.0000'
    whole, parted = (load_safetensors(path / 'best.safetensors') for path in (trained, run))
    assert all(np.array_equal(whole[name], parted[name]) for name in whole)


def test_resuming_a_finished_run_measures_it_again(program, trained):
    before = (trained / 'report.html').read_bytes()
    code, out, err = program('train', '--resume', trained, '--quiet')
    assert (code, out, err) == (0, 'test accuracy 1.0000\n', '')
    assert (trained / 'report.html').read_bytes() == before


def edit(run, was, now):
    config = (run / 'config.toml').read_text()
    assert was in config
    (run / 'config.toml').write_text(config.replace(was, now))


def test_an_edited_config_is_named_when_a_run_goes_on(program, trained, tmp_path):
    copy = shutil.copytree(trained, tmp_path / trained.name)
    edit(copy, 'flip = false', 'flip = true')
    code, out, err = program('train', '--resume', copy, '--quiet')
    assert (code, out) == (0, 'test accuracy 1.0000\n')
    assert err == (f'nailorch: {copy}/config.toml was changed since this training began; from here on '
                   'augmentation.flip: False -> True\n')
    assert program('train', '--resume', copy, '--quiet')[2] == ''  # it is said once


@pytest.mark.parametrize(('was', 'now', 'said'), [
    ('lr = 0.02', 'lr = 0.5', 'training.lr: 0.02 -> 0.5'), ('seed = 0', 'seed = 1', 'seed: 0 -> 1'),
    ('optimizer = "adam"', 'optimizer = "sgd"', 'training.optimizer: adam -> sgd')])
def test_what_no_training_goes_on_with_is_an_error(complaint, trained, tmp_path, was, now, said):
    copy = shutil.copytree(trained, tmp_path / trained.name)
    edit(copy, was, now)
    code, line = complaint('train', '--resume', copy)
    assert code == 1
    assert f'was changed since this training began: {said}. A training cannot go on' in line


@pytest.mark.skipif(sys.platform != 'linux', reason='elsewhere the names of files are text')
def test_a_class_whose_name_is_no_text_is_reported(program, pictures, tmp_path):
    data = tmp_path / 'data'
    shutil.copytree(pictures / 'day', data / 'day')
    shutil.copytree(pictures / 'night', data / os.fsdecode(b'n\xff'))
    code, out, err = program(*TRAIN, '--data', data, '--root', tmp_path / 'runs')
    assert (code, err, out.splitlines()[-1]) == (0, '', 'test accuracy 1.0000')
    run = next((tmp_path / 'runs').iterdir())
    assert r'n\udcff' in (run / 'report.html').read_text() and r'n\udcff' in (run / 'predictions.csv').read_text()


@pytest.mark.parametrize('package', ['jinja2', 'matplotlib'])
def test_without_the_extra_training_ends_well(program, monkeypatch, pictures, tmp_path, package):
    monkeypatch.setitem(sys.modules, package, None)
    code, out, err = program(*TRAIN, '--data', pictures, '--root', tmp_path)
    assert (code, out.splitlines()[-1]) == (0, 'test accuracy 1.0000')
    assert err == f"nailorch: a report needs {package}, which is not installed: pip install 'nailorch[report]'\n"
    assert (next(tmp_path.iterdir()) / 'predictions.csv').exists()


def test_a_loss_that_is_no_number_is_one_line_with_the_step(program, pictures, tmp_path):
    code, _, err = program(*TRAIN, '--data', pictures, '--root', tmp_path, '--optimizer', 'sgd', '--lr', '1e30')
    assert code == 1
    assert err.count('\n') == 1  # and no warning of NumPy's before it
    assert '(step 2)' in err and '--clip 1' in err


def test_the_demo_has_settings_that_exist(monkeypatch, program):
    told = []
    monkeypatch.setattr(demo, 'train', lambda settings, options: told.append(settings) or 0)
    code, out, _ = program('demo', '--seed', '5')
    assert code == 0
    assert told == [change(Settings(), demo.DEMO | {'seed': 5})]
    assert out.startswith('5,000 real handwritten digits')


def test_the_seed_of_the_demo_is_checked(complaint):
    assert complaint('demo', '--seed', 'x') == (2, "nailorch: --seed: seed must be a whole number, not 'x'\n")
