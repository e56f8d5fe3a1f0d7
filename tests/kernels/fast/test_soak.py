"""A few seconds of the soak, from a seed that is always the same; scripts/soak goes on for longer."""

from __future__ import annotations

import os
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

GROUPS = """
import numpy as np
from nailorch.kernels import fast, reference
from nailorch.shapes import Window
rng, window = np.random.default_rng(0), Window(3, 1, 1)
for depth in 1, 2, 4, 8, 16, 48:
    x, gy, weight = (rng.standard_normal(n).astype('f') for n in ((2, 48, 9, 7), (2, 48, 9, 7), (48, depth, 3, 3)))
    for name, *args in (('conv2d', x, weight, None), ('conv2d_data_grad', gy, weight, (9, 7)),
                        ('conv2d_weight_grad', x, gy)):
        got, want = (getattr(engine, name)(*args, window, 48 // depth) for engine in (fast, reference))
        print(depth, name, np.allclose(got, want, rtol=0, atol=1e-3))
"""


def python(*arguments, **variables):
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300,
                          env={**os.environ, **variables})


def test_random_calls_touch_nothing_that_is_not_theirs():
    done = python('-m', 'tests.kernels.fast.soak', '0.05', '--seed', '1')
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'all right' in done.stdout


@pytest.mark.parametrize(('at_end', 'step'), [(True, 60), (False, -4)])
def test_a_guard_ends_the_process_that_reads_beyond(at_end, step):
    done = python('-c', READ_BEYOND.format(at_end=at_end, step=step))
    assert (done.returncode, done.stdout) == (-11, '1.0\n')


def test_no_worker_uses_memory_that_it_gave_back():
    """The C library writes NaN over it: numba frees an array at the last line that names it, used or not."""
    done = python('-c', GROUPS, MALLOC_PERTURB_='255')
    assert done.returncode == 0, done.stderr
    assert 'False' not in done.stdout and done.stdout.count('True') == 18, done.stdout
