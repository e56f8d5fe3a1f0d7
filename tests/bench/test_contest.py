"""Rounds, judgement and the report, with participants that only pretend; and one contest for real."""

import json
import subprocess
import sys

import numpy as np
import pytest

from nailorch import kernels
from nailorch.bench import machine, peers
from nailorch.bench.campaign import Plan, in_a_process, run
from nailorch.bench.catalogue import catalogue
from nailorch.bench.child import Child, Failure
from nailorch.bench.contest import Contest, Result
from nailorch.bench.peers import Participant
from nailorch.bench.summary import summarise
from nailorch.config import Config

QUICK = catalogue(quick=True)
WORK = QUICK['mnistnet-inference-b100']
OURS, A, B = Participant('nailorch', Config.engine), Participant('pytorch', 'NCHW'), Participant('ncnn', 'float32')
COMPILED = Participant('nailorch', 'compiled')


class Pretender:
    """A child whose result is 1, 2 and whatever it is told, and whose every call takes `seconds`."""

    def __init__(self, participant, diary, result=(1.0, 2.0), seconds=0.5, fails=''):
        self.participant, self.diary, self.result = participant, diary, result
        self.seconds, self.fails = seconds, fails

    def ask(self, **request):
        self.diary.append((request['do'], self.participant))
        if self.fails == request['do']:
            raise Failure('no compiler')
        if request['do'] == 'load':
            np.savez(request['results'], result=np.array(self.result))
            return {'first_s': 9.0}
        return {'times': [self.seconds, self.seconds * 2], 'peak_bytes': 7}

    def close(self):
        self.diary.append(('close', self.participant))


def contest(rounds=2, **how):
    """Return everyone's results and the diary of who did what; `how` gives A's and B's peculiarities by peer."""
    diary = []
    with Contest(1, rounds, 0.1, child=lambda who, threads: Pretender(who, diary, **how.get(who.peer, {}))) as judge:
        return judge.run(WORK, [OURS, A, B]), diary


@pytest.fixture(autouse=True)
def plenty_of_memory(monkeypatch):
    monkeypatch.setattr('nailorch.bench.contest.available_memory', lambda: 1.0)


def test_rounds_alternate_and_begin_with_another_each_time():
    results, diary = contest(rounds=2)
    assert [who for what, who in diary if what == 'load'] == [OURS, A, B]
    assert [who for what, who in diary if what == 'run'] == [OURS, A, B, A, B, OURS]
    assert results[0].times == [0.5, 1.0, 0.5, 1.0]
    assert results[0].spread == (0.5, 0.75, 1.0)
    assert {who for what, who in diary if what == 'close'} == {OURS, A, B}


def test_a_wrong_result_disqualifies_and_is_not_timed():
    results, diary = contest(pytorch={'result': (1.0, 2.1)})
    assert [result.status for result in results] == ['ok', 'disqualified', 'ok']
    assert 'result is 4.5e-02 from ours, more than 1e-03' in results[1].reason
    assert ('run', A) not in diary and results[1].times == []


@pytest.mark.parametrize('result', [(1.0, np.nan), (1.0,), (1.0, 2.0, 3.0)])
def test_a_result_that_does_not_compare_disqualifies(result):
    assert contest(ncnn={'result': result})[0][2].status == 'disqualified'


@pytest.mark.parametrize('when', ['load', 'run'])
def test_who_fails_is_named_with_the_reason(when):
    results, _ = contest(pytorch={'fails': when})
    assert (results[1].status, results[1].reason) == ('failed', 'no compiler')
    assert results[2].status == 'ok'


def test_without_ours_nobody_is_judged():
    results, _ = contest(nailorch={'fails': 'load'}, pytorch={'result': (0.0, 0.0)})
    assert [(result.status, result.error) for result in results] == [('failed', None), ('ok', None), ('ok', None)]
    assert summarise(WORK, results, {})['ratio_pytorch'] is None


def test_ours_itself_must_be_finite():
    assert contest(nailorch={'result': (np.nan, 2.0)})[0][0].status == 'disqualified'


def test_quick_leaves_out_what_compiles_unless_asked(monkeypatch):
    monkeypatch.setattr(peers, 'installed', lambda package: '1')
    modes = [{who.mode for who in Plan([WORK], ['pytorch'], 1, quick=True, modes=asked).participants(WORK)}
             for asked in ([], ['compiled+frozen'])]
    assert modes == [{OURS.mode, 'compiled', 'NCHW', 'channels_last', 'jit-frozen'},
                     {OURS.mode, 'compiled', 'compiled+frozen'}]


def test_who_waits_is_sent_away_while_memory_is_short(monkeypatch):
    monkeypatch.setattr('nailorch.bench.contest.available_memory', lambda: 0.1)
    monkeypatch.setattr(Pretender, 'ask', lambda self, **request: {
        'load': {'first_s': 1.0}, 'run': {'times': [1.0], 'peak_bytes': None}}[request['do']])
    diary = []
    judge = Contest(1, 1, 0.1, child=lambda who, threads: Pretender(who, diary))
    judge.ask(OURS, WORK, None)
    judge.ask(A, WORK, None)
    assert list(judge.children) == [A]


def test_report_names_the_best_and_the_ratios():
    results, _ = contest(pytorch={'seconds': 1.0}, ncnn={'seconds': 0.25})
    found = summarise(WORK, results, {'gflops': 10.0})
    assert (found['best_pytorch'], found['ratio_pytorch']) == ('pytorch NCHW', 2.0)
    assert (found['best_runtime'], found['ratio_runtime']) == ('ncnn float32', 0.5)
    ours = found['results'][0]
    assert ours['median_ms'] == 750.0 and ours['quartiles_ms'] == [500.0, 1000.0]
    assert ours['gflops'] == pytest.approx(WORK.flops / 0.75e9)
    assert ours['of_peak'] == pytest.approx(ours['gflops'] / 10)
    json.dumps(found)


def test_a_compiled_session_meets_all_and_the_eager_model_what_is_eager():
    frozen = Participant('pytorch', 'jit-frozen')
    results = [Result(who, times=[seconds]) for who, seconds in ((OURS, 2.0), (COMPILED, 1.0), (A, 6.0), (frozen, 4.0))]
    found = summarise(WORK, results, {})
    assert (found['ours'], found['best_pytorch'], found['ratio_pytorch']) == ('nailorch compiled', str(frozen), 4.0)
    assert (found['eager'], found['best_eager'], found['ratio_eager']) == (str(OURS), str(A), 3.0)
    assert 'eager' not in summarise(WORK, [results[0], *results[2:]], {})


def test_a_disqualified_rival_gives_no_ratio():
    results, _ = contest(pytorch={'result': (0.0, 0.0)})
    found = summarise(WORK, results, {})
    assert found['best_pytorch'] is found['ratio_pytorch'] is found['results'][1]['median_ms'] is None


def test_a_missing_peer_is_named_with_what_installs_it(monkeypatch):
    monkeypatch.setattr(peers, 'installed', lambda package: None if package in ('onnx', 'ncnn') else '1')
    assert peers.missing(['pytorch', 'ncnn', 'openvino']) == {
        'ncnn': 'pip install ncnn', 'openvino': 'pip install onnx'}
    plan = Plan([WORK], ['ncnn'], 1)
    assert plan.participants(WORK) == [OURS, COMPILED]
    assert plan.participants(QUICK['mnistnet-training-b100']) == [OURS, COMPILED]
    other = next(name for name in kernels.ENGINES if name != Config.engine)
    assert Plan([WORK], [], 1, engines=[other]).participants(WORK) == [Participant('nailorch', other)]


def test_modes_and_engines_narrow_who_takes_part(monkeypatch):
    monkeypatch.setattr(peers, 'installed', lambda package: '1')
    plan = Plan([WORK], ['pytorch', 'mnn'], 1, modes=['channels_last'])
    assert {str(who) for who in plan.participants(WORK)} - {'pytorch channels_last, huge pages'} == {
        str(OURS), 'nailorch compiled', 'pytorch channels_last', 'mnn float32'}
    assert [who.peer for who in plan.participants(QUICK['vgg16-conv1_1-data-grad-b8'])].count('mnn') == 0


def test_environment_fixes_threads_and_drops_what_slows_numpy(monkeypatch):
    monkeypatch.setenv('OPENBLAS_CORETYPE', 'Haswell')
    monkeypatch.setenv('GLIBC_TUNABLES', 'glibc.malloc.hugetlb=2:glibc.malloc.check=0')
    plain = machine.environment_of(A, 3)
    assert 'OPENBLAS_CORETYPE' not in plain
    assert plain['OMP_NUM_THREADS'] == plain['NAILORCH_NUM_THREADS'] == '3'
    assert plain['GLIBC_TUNABLES'] == 'glibc.malloc.check=0'
    huge = machine.environment_of(Participant('pytorch', 'NCHW', 'huge'), 3)
    assert huge['GLIBC_TUNABLES'] == 'glibc.malloc.check=0:glibc.malloc.hugetlb=1'
    assert machine.ignored_settings() == {'OPENBLAS_CORETYPE': 'Haswell'}



@pytest.mark.parametrize('peer', ['none', 'torch'])
def test_a_small_contest_for_real(peer):
    if peer == 'torch':
        pytest.importorskip('torch')
    plan = Plan([WORK], ['pytorch'] if peer == 'torch' else [], 1, modes=['NCHW'], rounds=1, seconds=0.001, quick=True)
    shown = []
    report = run(plan, show=shown.append)
    assert [part.get('name') for part in shown] == [None, WORK.name]
    assert report['schema'] == 2 and report['missing'] == {}
    assert {'cpu', 'cpu_features', 'cores', 'threads', 'platform', 'versions', 'huge_pages'} <= set(report['machine'])
    assert report['settings']['dtype'] == 'float32'
    assert all(report['limits'][name] > 0 for name in ('gflops', 'sgemm_gflops', 'triad_gb_s', 'read_gb_s'))
    for row in report['workloads'][0]['results']:
        assert (row['status'], row['reason']) == ('ok', '')
        assert row['median_ms'] > 0 and row['first_s'] > 0 and row['samples'] >= 1
        assert row['peak_mb'] is None or row['peak_mb'] > 10
    assert (report['workloads'][0]['ratio_pytorch'] is not None) == (peer == 'torch')
    json.dumps(report)


def test_a_participant_that_cannot_is_a_failure_with_its_words():
    child = Child(Participant('nailorch', 'imaginary'), 1)
    try:
        with pytest.raises(Failure, match="ValueError: engine: there is no 'imaginary'"):
            child.ask(do='load', workload=WORK.name, quick=True, results=None)
    finally:
        child.close()


def test_a_participant_that_dies_is_a_failure(monkeypatch):
    real = subprocess.Popen
    monkeypatch.setattr(subprocess, 'Popen', lambda command, **how: real(
        [sys.executable, '-c', 'import sys; sys.exit("out of luck")'], **how))
    child = Child(OURS, 1)
    with pytest.raises(Failure, match='ended with 1: out of luck'):
        child.ask(do='load', workload=WORK.name, quick=True, results=None)
    assert child.process is None


def test_a_program_that_fails_says_why():
    with pytest.raises(RuntimeError, match='no_such_module'):
        in_a_process('nailorch.bench.no_such_module', 1)


def test_a_process_is_heard_while_it_works(tmp_path, monkeypatch):
    (tmp_path / 'speaking.py').write_text('import sys\nfor word in sys.argv[1:]:\n    print(word, file=sys.stderr)\n'
                                          'print("[" + "1, " * 99999 + "2]")\n')
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    heard = []
    assert sum(in_a_process('speaking', 1, 'one', 'two', heard=heard.append)) == 100001
    assert heard == ['one', 'two']
