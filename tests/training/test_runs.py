"""Run folders and the history in them."""

import datetime
import json
import os
import re

import pytest

from nailorch.training.history import History, append_epoch, read_metrics, write_metrics
from nailorch.training.runs import Run, RunError, list_runs


def record(epoch, best=False, **changes):
    return {'epoch': epoch, 'train_loss': 1 / epoch, 'train_accuracy': 0.5, 'valid_loss': 2 / epoch,
            'valid_accuracy': None, 'lr': 0.001, 'seconds': 1.5, 'images_per_second': 100.0, 'best': best, **changes}


RECORDS = [record(1, best=True), record(2, best=True), record(3)]


def test_history_best_is_the_last_epoch_that_was_best():
    assert History(RECORDS).best['epoch'] == 2
    assert History().best is None


def test_history_gives_columns_and_records():
    history = History(RECORDS)
    assert history.column('valid_loss') == [2.0, 1.0, 2 / 3]
    assert len(history) == 3 and history[-1]['epoch'] == 3 and list(history) == RECORDS


def test_metrics_come_back_exactly(tmp_path):
    write_metrics(tmp_path / 'metrics.jsonl', RECORDS[:2])
    append_epoch(tmp_path / 'metrics.jsonl', RECORDS[2])
    assert (tmp_path / 'metrics.jsonl').read_text().count('\n') == 3
    assert read_metrics(tmp_path / 'metrics.jsonl').epochs == RECORDS


def test_metrics_leave_out_a_last_line_that_a_crash_cut(tmp_path):
    write_metrics(tmp_path / 'metrics.jsonl', RECORDS)
    with open(tmp_path / 'metrics.jsonl', 'a') as file:
        file.write('{"epoch": 4, "train_')
    assert read_metrics(tmp_path / 'metrics.jsonl').epochs == RECORDS


@pytest.mark.parametrize('line', ['nonsense', '{}', '[1]', json.dumps(record(1, lr='x')), '[' * 100_000])
def test_metrics_name_the_line_that_is_damaged(tmp_path, line):
    (tmp_path / 'metrics.jsonl').write_text(json.dumps(record(1)) + '\n' + line + '\n')
    with pytest.raises(ValueError, match=r'metrics.jsonl:2 cannot be used'):
        read_metrics(tmp_path / 'metrics.jsonl')


def test_create_names_the_folder_after_date_time_model_and_an_id(tmp_path):
    run = Run.create(tmp_path / 'runs', model='My Net/2', config={'model': {'name': 'My Net/2'}})
    assert re.fullmatch(r'\d{8}-\d{6}-my-net-2-[0-9a-f]{4}', run.name)
    assert run.config == {'model': {'name': 'My Net/2'}}
    assert {'python', 'numpy', 'nailorch'} <= run.environment['versions'].keys()
    assert run.environment['threads'] >= 1 and run.environment['cpu']


def test_at_makes_a_run_folder_once(tmp_path):
    run = Run.at(tmp_path / 'mine', {'seed': 1})
    assert Run.at(tmp_path / 'mine', {'seed': 2}).config == run.config == {'seed': 1}


def test_create_in_a_folder_that_cannot_be_is_one_error(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(RunError, match=r'run folder: .*file.* cannot be written: Not a directory'):
        Run.create(tmp_path / 'file', 'net')


def test_open_names_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(RunError, match=r'has no config.toml'):
        Run.open(tmp_path)
    assert Run.open(Run.at(tmp_path / 'run').path).name == 'run'


@pytest.fixture
def root(tmp_path):
    for name in ['20250101-000000-lenet-aaaa', '20250102-000000-vgg-bbbb', '20250102-000000-vgg-cccc']:
        Run.at(tmp_path / 'runs' / name)
    (tmp_path / 'runs' / 'notes').mkdir()
    (tmp_path / 'runs' / 'file').write_text('')
    return tmp_path / 'runs'


def test_list_runs_is_newest_first_and_passes_over_the_rest(root):
    assert [run.name[-4:] for run in list_runs(root)] == ['cccc', 'bbbb', 'aaaa']
    assert list_runs(root / 'nowhere') == []


def test_a_run_without_a_date_in_its_name_is_as_old_as_its_settings(root):
    for name, year in (('zebra', 2020), ('antelope', 2030)):
        seconds = datetime.datetime(year, 1, 1).timestamp()
        os.utime(Run.at(root / name).path / 'config.toml', (seconds, seconds))
    assert [run.name[-4:] for run in list_runs(root)] == ['lope', 'cccc', 'bbbb', 'aaaa', 'ebra']
    assert Run.find('latest', root).name == 'antelope'


def test_find_takes_a_part_of_a_name_a_path_or_latest(root):
    assert Run.find('20250101', root).name.endswith('aaaa')
    assert Run.find('bbbb', root).name.endswith('bbbb')
    assert Run.find('lenet', root).name.endswith('aaaa')
    assert Run.find('latest', root).name.endswith('cccc')
    assert Run.find(str(root / '20250101-000000-lenet-aaaa')).name.endswith('aaaa')
    Run.at(root / 'bbbb')
    assert Run.find('bbbb', root).name == 'bbbb'


def test_find_lists_what_there_is(root):
    with pytest.raises(RunError, match=r"called 'dddd'; there are .*cccc, .*bbbb, .*aaaa"):
        Run.find('dddd', root)
    with pytest.raises(RunError, match=r"'20250102' fits several .*cccc, .*bbbb"):
        Run.find('20250102', root)
    with pytest.raises(RunError, match='there are -'):
        Run.find('latest', root / 'nowhere')


def test_summary_is_one_row(tmp_path):
    run = Run.at(tmp_path / 'run')
    assert run.summary()['status'] == 'unfinished'
    write_metrics(run.metrics_file, RECORDS)
    run.record(stopped='all epochs are done')
    run.record(test_accuracy=0.98)
    assert run.history.stopped == 'all epochs are done'
    assert run.summary() == {'name': 'run', 'epochs': 3, 'best_epoch': 2, 'valid_loss': 1.0, 'valid_accuracy': None,
                             'test_accuracy': 0.98, 'status': 'finished'}
    assert json.loads(json.dumps(run.summary())) == run.summary()


@pytest.mark.parametrize('content', [b'\xff\xfe', b'[1, 2]', b'[' * 100_000, b' ' * (2 << 20)])
def test_a_damaged_file_is_one_named_error(tmp_path, content):
    run = Run.at(tmp_path / 'run')
    (run.path / 'env.json').write_bytes(content)
    with pytest.raises(RunError, match=r'env.json cannot be used'):
        run.environment  # noqa: B018


def test_writing_a_run_leaves_no_other_files(tmp_path):
    run = Run.at(tmp_path / 'run')
    run.record(a=1)
    assert sorted(os.listdir(run.path)) == ['config.toml', 'env.json', 'result.json']
