"""Settings: defaults, TOML and back, and an error for everything that is not a setting."""

import pytest

from nailorch.config import using_config
from nailorch.training.runs import Run
from nailorch.training.settings import (
    Settings,
    all_settings,
    change,
    parse_assignment,
    read_settings,
    settings_from,
    settings_to_dict,
)


def test_settings_survive_the_file(tmp_path):
    settings = change(Settings(), {'seed': 7, 'model.name': 'mlp', 'data.size': 48, 'training.lr': 0.02})
    run = Run.at(tmp_path / 'run', settings_to_dict(settings))
    assert read_settings(run.path / 'config.toml') == settings


def test_what_a_file_leaves_out_keeps_its_default(tmp_path):
    (tmp_path / 'a.toml').write_text('[training]\nepochs = 3\n')
    settings = read_settings(tmp_path / 'a.toml')
    assert (settings.training.epochs, settings.training.batch_size, settings.model.name) == (3, 100, 'mnistnet')


def test_a_whole_number_is_a_number():
    assert settings_from({'training': {'lr': 1}}).training.lr == 1.0


def test_settings_without_a_value_are_not_written():
    assert 'lr' not in settings_to_dict(Settings())['training']


@pytest.mark.parametrize(('tree', 'expected'), [
    ({'training': {'epoch': 3}}, "no setting 'training.epoch': did you mean 'training.epochs'?"),
    ({'epochs': 3}, "no setting 'epochs': did you mean 'training.epochs'?"),
    ({'trainin': {'lr': 3.0}}, "no setting 'trainin.lr': did you mean 'training.lr'?"),
    ({'model': 'lenet'}, "no setting 'model': did you mean 'model.name'?"),
    ({'zzzz': 1}, "no setting 'zzzz': there are seed, model.name"),
    ({'training': {'epochs': 'ten'}}, "training.epochs must be a whole number, not 'ten'"),
    ({'training': {'epochs': True}}, 'training.epochs must be a whole number, not True'),
    ({'training': {'epochs': 0}}, 'training.epochs=0 is too small: at least 1'),
    ({'training': {'lr': 0.0}}, 'training.lr=0.0 must be above 0'),
    ({'training': {'lr': float('nan')}}, 'training.lr must be a finite number, not nan'),
    ({'data': {'valid': 0.9}}, 'data.valid=0.9 is too large: at most 0.5'),
    ({'augmentation': {'flip': 1}}, 'augmentation.flip must be true or false, not 1'),
    ({'model': {'name': 5}}, 'model.name must be text in quotes, not 5'),
    ({'training': {'lr': 10**400}}, 'training.lr must be a finite number, not inf'),
])
def test_a_wrong_setting_is_named_with_its_remedy(tree, expected):
    with using_config('lang', 'en'), pytest.raises(ValueError) as error:
        settings_from(tree, 'a.toml')
    assert str(error.value).startswith('a.toml: ')
    assert expected in str(error.value)


def test_a_wrong_setting_is_named_in_chinese():
    with using_config('lang', 'zh'), pytest.raises(ValueError, match=r"是不是想写 'training\.epochs'？"):
        settings_from({'training': {'epoch': 3}})


def test_a_missing_file_is_named(tmp_path):
    with using_config('lang', 'en'), pytest.raises(FileNotFoundError, match=r'nowhere\.toml: there is no such file'):
        read_settings(tmp_path / 'nowhere.toml')


def test_broken_toml_names_line_and_column(tmp_path):
    (tmp_path / 'a.toml').write_text('seed = \n')
    with using_config('lang', 'en'), pytest.raises(ValueError, match=r'not TOML: .*line 1, column 8'):
        read_settings(tmp_path / 'a.toml')


def test_toml_that_would_crash_its_reader_is_refused(tmp_path):
    (tmp_path / 'a.toml').write_text('seed = ' + '[' * 100_000)
    with using_config('lang', 'en'), pytest.raises(ValueError, match=r'a\.toml: this is not TOML: nested too deep'):
        read_settings(tmp_path / 'a.toml')
    assert parse_assignment('training.lr=' + '[' * 10_000) == ('training.lr', '[' * 10_000)


def test_a_file_in_another_encoding_is_refused(tmp_path):
    (tmp_path / 'a.toml').write_bytes(b'seed = 1 # \xff\xfe')
    with using_config('lang', 'en'), pytest.raises(ValueError, match='not TOML'):
        read_settings(tmp_path / 'a.toml')


def test_a_huge_file_is_not_read(tmp_path):
    with open(tmp_path / 'a.toml', 'wb') as file:
        file.truncate(1 << 30)
    with using_config('lang', 'en'), pytest.raises(ValueError, match='1073741824 bytes is too much'):
        read_settings(tmp_path / 'a.toml')


@pytest.mark.parametrize(('text', 'expected'), [
    ('training.lr=0.01', ('training.lr', 0.01)),
    ('model.name = lenet', ('model.name', 'lenet')),
    ('augmentation.flip=true', ('augmentation.flip', True)),
    ('data.name="a=b"', ('data.name', 'a=b')),
])
def test_assignments_are_read_as_toml(text, expected):
    assert parse_assignment(text) == expected


@pytest.mark.parametrize('text', ['training.lr', '=3'])
def test_an_assignment_without_key_or_value_is_refused(text):
    with using_config('lang', 'en'), pytest.raises(ValueError, match='write KEY=VALUE'):
        parse_assignment(text)


def test_every_setting_explains_itself_in_both_languages():
    for key, _, entry in all_settings():
        english, chinese = entry.metadata['help']
        assert english.isascii() or '…' in english, key
        assert any('\u4e00' <= letter <= '\u9fff' for letter in chinese), key
