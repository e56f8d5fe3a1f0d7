"""Every public function, in float32 on the generated kernels, against itself in float64 on the reference."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('numba')

import nailorch
from nailorch import Variable, using_config
from nailorch.core import gradients
from nailorch.kernels import fast
from nailorch.kernels.fast import target
from tests.test_specs import CALLS, call, floats_of

pytestmark = pytest.mark.skipif(target.target() is None, reason='this CPU has no fused multiply-add')

# What the reference serves in float32 too: choices between arrays of different shapes or memory orders, and what NumPy
# has done at once.
DECLARED = {('select', 'reference'), ('elementwise', 'reference')}


def results(engine, spec, sample, dtype):
    """Return the outputs, and where there are derivatives, those of a weighted sum of them."""
    nailorch.seed(0)
    with using_config('engine', engine), using_config('dtype', dtype):
        xs = [Variable(x) for x in floats_of(sample, dtype)]
        ys = call(spec, sample, xs)
        values = [y.data for y in ys]
        if spec.order and xs and ys[0].requires_grad:
            weights = [np.random.default_rng(3).standard_normal(y.shape).astype(dtype) for y in ys]
            values += [0 if g is None else g.data for g in gradients(ys, xs, weights)]
    return values


@pytest.mark.parametrize(('spec', 'sample'), [c for c in CALLS if floats_of(c.values[1])])
def test_float32_on_generated_kernels_equals_float64_on_the_reference(spec, sample):
    if np.float32 not in spec.low:
        pytest.skip('no float32')
    with fast.watch() as log:
        got = results('fast', spec, sample, np.float32)
    for y, want in zip(got, results('reference', spec, sample, np.float64), strict=True):
        scale = np.abs(want).max(initial=1, where=np.isfinite(want))
        np.testing.assert_allclose(y, want, rtol=1e-4, atol=2e-5 * scale)
    assert {(name, kernel) for name, kernel in log if kernel == 'reference'} <= DECLARED
