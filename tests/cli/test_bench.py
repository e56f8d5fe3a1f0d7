"""`nailorch bench`: what it shows, keeps and refuses."""

import argparse
import json

import pytest

from nailorch.bench import peers
from nailorch.cli import bench_tables
from nailorch.config import Config

FAST = ['--quick', '--rounds', '1', '--seconds', '0.001', '--threads', '1', '--peers', 'none']


@pytest.fixture
def no_limits(monkeypatch):
    """Limits that take no time to measure."""
    found = {'gflops': 100.0, 'gflops_by': 'fma loop', 'sgemm_gflops': 80.0, 'triad_gb_s': 20.0, 'read_gb_s': 30.0}
    monkeypatch.setattr('nailorch.bench.campaign.in_a_process', lambda *_, **__: found)


def test_bench_shows_a_table_and_saves_json(program, tmp_path, no_limits):
    file = tmp_path / 'found.json'
    code, out, _ = program('bench', 'stem7x7-forward-b1', *FAST, '--save', file)
    assert code == 0
    assert 'Limits: 100 GFLOP/s (fma loop; NumPy sgemm 80.0), 20.0 GB/s triad, 30.0 GB/s reading' in out
    assert 'stem7x7-forward-b1  (1x3x28x28 -> 8, 7x7/2' in out
    assert f'nailorch {Config.engine}' in out
    found = json.loads(file.read_text('utf-8'))
    assert [work['name'] for work in found['workloads']] == ['stem7x7-forward-b1']


def test_a_benchmark_that_breaks_off_keeps_what_was_measured(program, tmp_path, no_limits, monkeypatch):
    from nailorch.bench.contest import Contest
    file, first = tmp_path / 'found.json', Contest.run

    def run(self, workload, *rest):
        if workload.name.endswith('b8'):
            assert file.exists()
            raise KeyboardInterrupt
        return first(self, workload, *rest)

    monkeypatch.setattr(Contest, 'run', run)
    names = ['stem7x7-forward-b1', 'stem7x7-forward-b8']
    file.write_text('what was measured before')
    for words, kept in ((names[::-1], None), (names, names[:1])):
        program('bench', *words, *FAST, '--save', file)
        text = file.read_text('utf-8')
        assert text == 'what was measured before' if kept is None else [
            work['name'] for work in json.loads(text)['workloads']] == kept


def test_bench_answers_in_json(program, no_limits):
    code, out, _ = program('bench', 'vgg16-fc8', *FAST, '--json')
    assert code == 0
    assert [work['group'] for work in json.loads(out)['workloads']] == ['dense-layers'] * 2


def test_a_missing_peer_is_named(program, no_limits, monkeypatch):
    monkeypatch.setattr(peers, 'installed', lambda package: None)
    code, out, _ = program('bench', 'stem7x7-forward-b1', *FAST[:-1], 'ncnn,onnxruntime')
    assert code == 0
    assert 'ncnn is missing: pip install ncnn' in out
    assert 'onnxruntime is missing: pip install onnxruntime onnx' in out


def test_a_disqualified_participant_is_loud_and_fails_the_command(program, no_limits, monkeypatch):
    from nailorch.bench.contest import Contest, Result
    from nailorch.bench.peers import Participant
    results = [Result(Participant('nailorch', 'reference'), times=[1.0]),
               Result(Participant('ncnn', 'float32'), 'disqualified', 'result is 5.0e-01 from ours')]
    monkeypatch.setattr(Contest, 'run', lambda *_: results)
    code, out, _ = program('bench', 'stem7x7-forward-b1', *FAST, '--quiet')
    assert code == 1
    assert 'stem7x7-forward-b1: ncnn float32 is DISQUALIFIED, result is 5.0e-01 from ours' in out


def test_bench_lists_workloads(program):
    code, out, _ = program('bench', '--list')
    assert code == 0
    assert 'depthwise-stride2-weight-grad-b8  other-layers  8x96x112x112 -> 96, 3x3/2 groups 96' in out


@pytest.mark.parametrize(('arguments', 'expected'), [
    (['bench', 'vgg16-infrence-b1'], 'there is no vgg16-infrence-b1: did you mean vgg16-inference-b1?'),
    (['bench', 'qqq'], 'there is no qqq: nailorch bench --list'),
    (['bench', '--peers', 'torch'], 'there is no --peers torch: did you mean pytorch?'),
    (['bench', '--engines', 'imaginary'], 'there is no --engines imaginary: there are reference'),
    (['bench', '--threads', '0'], '--threads: a number above 0, not 0'),
    (['bench', '--seconds', '0'], '--seconds: a number above 0, not 0.0'),
])
def test_what_is_misspelt_ends_with_2(complaint, arguments, expected):
    code, line = complaint(*arguments)
    assert code == 2
    assert expected in line


def test_the_ladder_is_shown_with_its_sources(program, monkeypatch):
    part = {'images': [1, 8, 30, 30], 'filters': [8, 8, 3, 3],
            'rungs': [{'name': 'seven_loops', 'seconds': [0.5, 0.5, 0.75], 'bytes': 25088},
                      {'name': 'cells', 'seconds': None, 'bytes': None}]}
    monkeypatch.setattr('nailorch.bench.campaign.in_a_process', lambda *_, **__: [part])
    code, out, _ = program('bench', 'ladder', '--sources', '--threads', '1')
    assert code == 0
    assert 'Images 1x8x30x30, filters 8x8x3x3; threads: 1' in out
    assert 'seven_loops' in out and '500–750' in out and '0.0251' in out and 'left out' in out
    assert 'sliding_window_view' in out
    assert '500 ms, 0.0251 MB' in out


@pytest.mark.parametrize(('width', 'beside'), [(80, 1), (180, 2)])
def test_sources_stand_beside_each_other_where_there_is_room(capsys, monkeypatch, width, beside):
    monkeypatch.setenv('COLUMNS', str(width))
    bench_tables.show_sources([])
    lines = capsys.readouterr().out.splitlines()
    assert ('seven_loops' in lines[0], 'columns' in lines[0]) == (True, beside == 2)
    assert all(len(line) <= width for line in lines)


def test_each_rung_is_told_on_a_terminal_while_it_is_measured(capsys, monkeypatch):
    monkeypatch.setattr('sys.stderr.isatty', lambda: True)
    progress = bench_tables.Progress(argparse.Namespace(quiet=False))
    progress.rung('winograd')
    progress.say('')
    assert capsys.readouterr().err == '\r\x1b[Kmeasuring winograd …\r\x1b[K'
