"""A few seconds of the soak, from a seed that is always the same; scripts/soak goes on for longer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip('numba')

from nailorch.kernels.fast import target

pytestmark = [pytest.mark.skipif(target.target() is None, reason='this CPU has no fused multiply-add'),
              pytest.mark.skipif(sys.platform != 'linux', reason='guard pages are asked of Linux')]
ROOT = Path(__file__).parents[3]

READ_BEYOND = """
import ctypes, faulthandler, sys
import numpy as np
from tests.kernels.fast.soak import guarded
from nailorch.kernels.fast.memory import address
array = guarded(np.ones((3, 5), 'f'), {at_end})
at = address(array)
print(ctypes.c_float.from_address(at).value, flush=True)
ctypes.c_float.from_address(at + {step}).value
"""


def python(*arguments):
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_random_calls_touch_nothing_that_is_not_theirs():
    done = python('-m', 'tests.kernels.fast.soak', '0.05', '--seed', '1')
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'all right' in done.stdout


@pytest.mark.parametrize(('at_end', 'step'), [(True, 60), (False, -4)])
def test_a_guard_ends_the_process_that_reads_beyond(at_end, step):
    done = python('-c', READ_BEYOND.format(at_end=at_end, step=step))
    assert (done.returncode, done.stdout) == (-11, '1.0\n')
