"""Settings: where their defaults come from, and what they refuse."""

import os
import platform
import re
import subprocess
import sys

import numpy as np
import pytest

import nailorch
from nailorch import kernels
from nailorch.config import CHOICES, Config, thread_count, using_config


def python(code, **variables):
    """Run code in a process with these variables; return what it prints, or its last line of error."""
    known = {name: value for name, value in os.environ.items() if not name.startswith('NAILORCH_')}
    done = subprocess.run([sys.executable, '-c', code], env={**known, **variables}, capture_output=True, text=True)
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def test_the_environment_chooses_the_engine():
    code = 'import nailorch; print(nailorch.Config.engine)'
    assert python(code) == 'fast'
    assert python(code, NAILORCH_ENGINE='reference') == 'reference'
    assert python(code, NAILORCH_ENGINE='') == 'fast'


def test_an_engine_that_is_not_there_is_named():
    code = 'import numpy as np, nailorch.functions as F; F.matmul(np.eye(2), np.eye(2))'
    said = python(code, NAILORCH_ENGINE='steam')
    assert said == "ValueError: NAILORCH_ENGINE: there is no 'steam'; there are reference, fast"


@pytest.mark.parametrize(('name', 'value', 'names'), [('engine', 'cuda', 'reference, fast'),
                                                      ('winograd', 'quick', 'fast, accurate, off'),
                                                      ('engine', None, 'reference, fast')])
def test_a_choice_that_is_none_is_refused_when_it_is_made(name, value, names):
    before = getattr(Config, name)
    with pytest.raises(ValueError, match=f'^{name}: there is no {value!r}; there are {names}$'):
        setattr(Config, name, value)
    with pytest.raises(ValueError, match=f'there are {names}$'), using_config(name, value):
        pass
    assert getattr(Config, name) == before


def test_engines_that_can_be_chosen_are_those_there_are():
    assert CHOICES['engine'] == tuple(kernels.ENGINES)


def test_threads_are_those_of_the_setting_then_of_the_environment_then_all():
    code = 'from nailorch.config import *; print(thread_count()); Config.threads = 2; print(thread_count())'
    everything = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    assert python(code).split() == [str(everything), '2']
    assert python(code, NAILORCH_NUM_THREADS='3').split() == ['3', '2']


@pytest.mark.parametrize('asked', ['four', '0', '-1', '1.5'])
def test_a_number_of_threads_that_is_none_is_named(asked):
    code = 'from nailorch.config import thread_count; thread_count()'
    said = python(code, NAILORCH_NUM_THREADS=asked)
    assert said == f'ValueError: NAILORCH_NUM_THREADS: a whole number from 1, not {asked!r}'


@pytest.mark.parametrize('asked', ['four', 0, -1, 1.5, '2'])
def test_a_setting_of_threads_that_is_none_is_named_and_changes_nothing(asked):
    with pytest.raises(ValueError, match='threads: a whole number from 1 or None, not'), using_config('threads', asked):
        pass
    with pytest.raises(ValueError, match='threads: a whole number from 1 or None, not'):
        Config.threads = asked
    assert Config.threads is None


def test_threads_may_be_any_integer():
    with using_config('threads', np.int64(3)):
        assert thread_count() == 3
    assert nailorch.Config.threads is None


COMPUTE = """
import numpy as np, nailorch.functions as F
from nailorch.kernels import fast
with fast.watch() as log:
    y = F.conv2d(np.ones((1, 1, 4, 4), 'f'), np.ones((1, 1, 3, 3), 'f'))
print(y.data.sum(), *log)
from nailorch.cli import main
main(['doctor'])
"""


def test_without_numba_the_reference_computes_and_doctor_says_so():
    said = python('import sys; sys.modules["numba"] = None\n' + COMPUTE, NAILORCH_LANG='en')
    assert said.startswith("36.0 ('conv2d', 'reference')")
    assert 'pip install numba' in said
    assert re.search(r'^engine +reference', said, re.M)


def test_without_fused_multiply_add_the_reference_computes_and_doctor_says_so():
    pytest.importorskip('numba')
    if platform.machine().lower() not in ('x86_64', 'amd64'):
        pytest.skip('no x86 processor')
    said = python(COMPUTE, NUMBA_CPU_NAME='x86-64', NUMBA_CPU_FEATURES='', NAILORCH_LANG='en')
    assert said.startswith("36.0 ('conv2d', 'reference')")
    assert 'no vectors with fused multiply-add' in said


def test_a_language_that_is_not_spoken_is_refused():
    with pytest.raises(ValueError, match="lang: 'en', 'zh' or None, not 'fr'"):
        Config.lang = 'fr'
    with pytest.raises(ValueError, match="not 'fr'"), using_config('lang', 'fr'):
        pass
