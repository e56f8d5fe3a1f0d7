"""The first use: what is compiled, where it is kept, and what is said meanwhile."""

from __future__ import annotations

import errno
import io
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip('numba')

import numba
from numba import types
from numba.core import caching
from numba.core.registry import cpu_target

import nailorch
from nailorch.config import using_config
from nailorch.kernels.fast import jit, target, warming
from nailorch.kernels.fast.notice import ERASE, Notice, announced

pytestmark = pytest.mark.skipif(target.target() is None, reason='this CPU has no fused multiply-add')

SOFTMAX = """
import numpy as np
from nailorch.kernels import fast
x = np.arange(12, dtype='f').reshape(3, 4)
with fast.watch() as log:
    print(*np.round(fast.softmax(x, 1)[2], 3), log[0][1])
"""
ANSWER = '0.032 0.087 0.237 0.644 rows'


def start(code, **variables):
    """Start code in another process, its kernels kept in a folder of its own."""
    return subprocess.Popen([sys.executable, '-c', code], env={**os.environ, 'NAILORCH_NUM_THREADS': '1', **variables},
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def answer(process):
    """Return what a process says, on both streams."""
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out.strip(), err.strip()


def test_a_cold_start_says_one_line_and_a_warm_one_none(tmp_path):
    given = {'NUMBA_CACHE_DIR': str(tmp_path), 'NAILORCH_QUIET': '0'}
    out, err = answer(start(SOFTMAX, **given))
    assert out == ANSWER
    assert err.startswith('nailorch: compiling kernels for this processor') and '\n' not in err
    assert answer(start(SOFTMAX, **given)) == (ANSWER, '')


def test_a_cold_start_can_be_quiet(tmp_path):
    assert answer(start(SOFTMAX, NUMBA_CACHE_DIR=str(tmp_path), NAILORCH_QUIET='1')) == (ANSWER, '')


@pytest.mark.parametrize(('lang', 'counted'), [('en', 'nailorch: compiling kernels, once: 2/7 ...'),
                                               ('zh', 'nailorch：正在编译计算内核（只编译一次）：2/7 ……')])
def test_a_terminal_sees_a_line_that_counts_and_goes(monkeypatch, lang, counted):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal, notice = Terminal(), Notice()
    monkeypatch.setattr(sys, 'stderr', terminal)
    notice.total = 7
    with using_config('quiet', False), using_config('lang', lang):
        for _ in range(2):
            notice.on_start(None)
            notice.on_start(None)  # the next pass of the same function
            notice.close()
    assert terminal.getvalue().split(ERASE)[3:] == [counted, '']


def test_two_processes_may_compile_at_once(tmp_path):
    given = {'NUMBA_CACHE_DIR': str(tmp_path)}
    both = [start(SOFTMAX, **given) for _ in '12']
    assert [answer(process) for process in both] == [(ANSWER, '')] * 2
    kept = {path: path.read_bytes() for path in tmp_path.rglob('*.nb*')}
    assert answer(start(SOFTMAX, **given)) == (ANSWER, '')
    assert {path: path.read_bytes() for path in tmp_path.rglob('*.nb*')} == kept  # whole, and so nothing was compiled


@pytest.mark.parametrize('writable', [True, False])
def test_a_package_whose_folder_cannot_be_written_computes(tmp_path, writable):
    """It keeps kernels in the user's folder; where that cannot be written either, it compiles each time.

    Files stand where folders would have to be made: that stops root as well.
    """
    tree, home = tmp_path / 'tree', tmp_path / 'home'
    shutil.copytree(Path(nailorch.__file__).parent, tree / 'nailorch', ignore=shutil.ignore_patterns('__pycache__'))
    (tree / 'nailorch' / 'kernels' / 'fast' / '__pycache__').touch()
    home.mkdir() if writable else home.touch()
    folders = dict.fromkeys(('HOME', 'XDG_CACHE_HOME', 'LOCALAPPDATA', 'USERPROFILE'), str(home))
    for _ in range(2 if writable else 1):
        process = start(SOFTMAX, PYTHONPATH=str(tree), NUMBA_CACHE_DIR='', **folders)
        assert answer(process) == (ANSWER, '')
    assert bool(list(tmp_path.rglob('*.nbc'))) == writable


def test_a_full_disk_keeps_nothing_and_all_is_computed(monkeypatch, tmp_path):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(jit, 'kept', True)
    monkeypatch.setattr(numba.config, 'CACHE_DIR', str(tmp_path))
    monkeypatch.setattr(caching.IndexDataCacheFile, 'save', full)
    assert jit.jit(lambda number: number + 1)(2) == 3
    assert jit.compiled(lambda number: number + 1, types.int64(types.int64)).address
    assert not list(tmp_path.rglob('*.nb*'))


@pytest.mark.parametrize('suffix', ['nbi', 'nbc'])
@pytest.mark.parametrize('damage', [lambda whole: b'', lambda whole: whole[:100], lambda whole: whole[:-9] + bytes(9),
                                    lambda whole: b'\x80what' + whole])
def test_what_is_damaged_on_disk_is_compiled_again(monkeypatch, tmp_path, suffix, damage):
    monkeypatch.setattr(jit, 'kept', True)
    monkeypatch.setattr(numba.config, 'CACHE_DIR', str(tmp_path))

    def one_more(number):
        return number + 1

    signature, context = types.int64(types.int64), cpu_target.target_context
    jit.compiled(one_more, signature)
    assert jit.Kept(one_more).load_overload(signature, context) is not None
    path, = tmp_path.rglob(f'*.{suffix}')
    path.write_bytes(damage(path.read_bytes()))
    assert jit.Kept(one_more).load_overload(signature, context) is None
    assert jit.compiled(one_more, signature).address
    assert jit.Kept(one_more).load_overload(signature, context) is not None


def test_data_that_an_index_names_wrongly_is_not_loaded(monkeypatch, tmp_path):
    """The index is written first: who has no room for the data then, leaves those that were made of older sources.

    And of two processes that begin at once, for two processors, each may give the same name to what it made.
    """
    older, newer = (jit.Sealed(str(tmp_path), 'kernel', stamp) for stamp in ('older', 'newer'))
    older.save('this processor', 'old code')
    assert (older.load('this processor'), newer.load('this processor')) == ('old code', None)
    with monkeypatch.context() as patch, pytest.raises(OSError):
        patch.setattr(newer, '_save_data', lambda name, data: (_ for _ in ()).throw(OSError))
        newer.save('this processor', 'new code')
    assert newer.load('this processor') is None
    newer.save('this processor', 'new code')
    data, = tmp_path.glob('*.nbc')
    first = data.read_bytes()
    newer.flush()
    newer.save('another processor', 'other code')
    data.write_bytes(first)
    assert newer.load('another processor') is None
    jit.Sealed.__base__(str(tmp_path), 'kernel', 'newer').save('this processor', ('code', 'without a seal'))
    assert newer.load('this processor') is None


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason='nothing is compiled')
def test_what_workers_call_is_compiled_into_them_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(jit, 'kept', True)
    monkeypatch.setattr(numba.config, 'CACHE_DIR', str(tmp_path))

    @jit.inner
    def halved(number):
        if number % 2:
            raise ValueError('odd')
        return number // 2

    @jit.inner
    def quartered(number):
        return halved(halved(number))

    call = jit.jit(lambda number: quartered(number) + halved(number))
    assert call(12) == 9 and quartered(12) == 3
    with pytest.raises(ValueError, match='odd'):
        call(6)
    assert len(list(tmp_path.rglob('*.nbc'))) == 1, 'call, with both in it'


def test_ctrl_c_waits_until_a_kernel_is_compiled():
    done = []
    with pytest.raises(KeyboardInterrupt), announced():
        signal.raise_signal(signal.SIGINT)
        done.append('compiled')
    assert done == ['compiled']
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_second_ctrl_c_waits_no_more():
    done = []
    with pytest.raises(KeyboardInterrupt), announced():
        signal.raise_signal(signal.SIGINT)
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise RuntimeError('what becomes of it in a callback') from None
        done.append('compiled')
    assert not done


def test_warming_compiles_what_is_not_on_disk(monkeypatch):
    asked = []

    class Cold:
        address = property(lambda self: asked.append(self))

    cold, (one, another, *_) = Cold(), warming.workers()
    monkeypatch.setattr(warming, 'workers', lambda: [one, cold, another])
    monkeypatch.setattr(warming, 'on_disk', lambda worker: worker is not cold)
    assert warming.warm() == 1 and asked == [cold]


def test_facts_tell_what_is_kept(monkeypatch):
    facts = warming.facts()
    assert facts['kernels'] == len(jit.WORKERS) >= 20
    assert 0 <= facts['kept'] <= facts['kernels']
    if jit.kept:
        jit.WORKERS[0].address  # noqa: B018 (asking for it compiles)
        assert warming.on_disk(jit.WORKERS[0])
        assert Path(facts['folder']).is_dir()
