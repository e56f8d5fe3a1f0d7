"""Every public function, in float32 on the generated kernels, against itself in float64 on the reference.

What serves each call is written down as well: generated kernels, but for the exceptions that DECLARED explains.
"""

from __future__ import annotations

import inspect

import numpy as np
import pytest

pytest.importorskip('numba')

import nailorch
import nailorch.functions as F
from nailorch import Variable, kernels, models, optimizers, using_config
from nailorch.core import gradients
from nailorch.kernels import fast
from nailorch.kernels.fast import target
from tests.test_specs import CALLS, call, floats_of

pytestmark = pytest.mark.skipif(target.target() is None, reason='this CPU has no fused multiply-add')

# What the reference serves in float32 too, and why.
DECLARED = {
    'select': 'a choice between arrays of different shapes or memory orders gains nothing over np.where',
    'sum_over': 'NumPy sums over other axes than all but the channels, and few numbers',
    'in_c_order': 'only images whose channels lie side by side are turned; other orders are left to NumPy',
    'concat': 'images joined by their channels are written in one go; other axes and shapes are left to NumPy',
    'elementwise': 'the sum or product of small arrays is done before a call of ours would have begun',
}
# Kernels that no function calls with these samples, nor an optimiser: those of compiled models (test_fused.py), and of
# convolutions before a batch norm (test_normalization.py).
ELSEWHERE = {'conv2d_moments', 'fused_conv2d', 'fused_bottleneck', 'fused_linear', 'constant',
             'packed_bytes', 'again', 'arranged', 'listener', 'computing_threads'}


def results(engine, spec, sample, dtype, order):
    """Return the derivatives of weighted sums of outputs, once and (with order 2) twice; with order 0 the outputs."""
    def draw(ys):
        return [Variable(np.random.default_rng(3).standard_normal(y.shape).astype(dtype)) for y in ys]

    nailorch.seed(0)
    with using_config('engine', engine), using_config('dtype', dtype):
        xs = [Variable(x) for x in floats_of(sample, dtype)]
        found = call(spec, sample, xs)
        if order:
            weights = draw(found)
            found = gradients(found, xs, weights, create_graph=order > 1)
        if order > 1:
            roots = [g for g in found if g is not None and g.requires_grad]
            found = gradients(roots, xs + weights, draw(roots)) if roots else []
        return [np.zeros(()) if y is None else y.data for y in found]


def agree(spec, sample):
    """Assert that both engines' results and derivatives agree; return who served whom."""
    with fast.watch() as log:
        for order in range(spec.order + 1):
            for got, want in zip(results('fast', spec, sample, np.float32, order),
                                 results('reference', spec, sample, np.float64, order), strict=True):
                scale = np.abs(want).max(initial=1, where=np.isfinite(want))
                np.testing.assert_allclose(got, want, rtol=1e-4, atol=2e-5 * scale)
    return log


@pytest.mark.parametrize(('spec', 'sample'), [c for c in CALLS if floats_of(c.values[1])])
def test_float32_on_generated_kernels_equals_float64_on_the_reference(spec, sample):
    if np.float32 not in spec.low:
        pytest.skip('no float32')
    assert {name for name, kernel in agree(spec, sample) if kernel == 'reference'} <= set(DECLARED)


def learn(model, optimizer, *images):
    """Take two steps of training on random images; return who served whom."""
    nailorch.seed(0)
    x, t = np.random.default_rng(0).standard_normal((2, *images)).astype(np.float32), np.array([1, 0])
    optimizer.setup(model)
    with fast.watch() as log:
        for _ in range(2):
            loss = F.softmax_cross_entropy(model(x), t)
            model.cleargrads()
            loss.backward()
            optimizer.update()
    return log


@pytest.mark.parametrize('make', [models.MNISTNet, lambda: models.ResNet18(num_classes=3),
                                  lambda: models.VGG11_BN(3, width=8, hidden=16)])
def test_generated_kernels_alone_serve_the_training_of_a_model(make):
    model = make()
    size = (1, 28, 28) if isinstance(model, models.MNISTNet) else (3, 32, 32)
    assert {name for name, kernel in learn(model, optimizers.Adam(), *size) if kernel == 'reference'} <= set(DECLARED)


def test_specs_and_optimisers_meet_every_kernel():
    """A kernel that none of them calls, or that tells nobody who served it, would be missing from the tests above."""
    expected = {name for name, value in vars(kernels).items()
                if inspect.isfunction(value) and value.__module__ == kernels.__name__} - {'engine'} - ELSEWHERE
    met = {name for make in (optimizers.SGD, optimizers.Momentum, optimizers.AdaGrad, optimizers.AdaDelta,
                             optimizers.RMSprop, optimizers.Adam)
           for name, _ in learn(models.MLP((3, 2)), make(), 4)}
    for spec, sample in (c.values for c in CALLS if np.float32 in c.values[0].low and floats_of(c.values[1])):
        if expected <= met:
            break
        met |= {name for name, _ in agree(spec, sample)}
    assert met == expected
