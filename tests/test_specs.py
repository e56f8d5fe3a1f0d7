"""Every public function, held to its OpSpec in every way there is."""

from __future__ import annotations

import importlib
import pkgutil

import numpy as np
import pytest

import nailorch
import nailorch.functions as F
from nailorch import Variable
from nailorch.core import gradients
from tests import specs
from tests.specs import OpSpec, Sample

SPECS: list[OpSpec] = [spec for module in pkgutil.iter_modules(specs.__path__)
                       for spec in importlib.import_module(f'tests.specs.{module.name}').SPECS]
CALLS = [pytest.param(spec, sample, id=f'{spec}-{sample}') for spec in SPECS for sample in spec.samples]
DIFFERENTIABLE = [pytest.param(spec, sample, id=f'{spec}-{sample}') for spec in SPECS if spec.order > 0
                  for sample in spec.samples]

# names that are another function's, or that compute nothing
ALIASES = {'absolute': 'abs', 'average': 'mean', 'concatenate': 'concat', 'max_pooling': 'pooling'}
NOT_OPERATIONS = {'pair', 'get_conv_outsize', 'get_deconv_outsize', 'im2col_array', 'col2im_array'}


def is_float(x):
    return isinstance(x, np.ndarray) and x.dtype.kind == 'f'


def outputs_of(y):
    return list(y) if isinstance(y, tuple | list) else [y]


def call(spec: OpSpec, sample: Sample, floats=None):
    """Run the op with its float arrays replaced, in order, by `floats`."""
    floats = iter(floats if floats is not None else [a for a in sample.args if is_float(a)])
    return outputs_of(spec.op(*(next(floats) if is_float(a) else a for a in sample.args), **sample.kwargs))


def floats_of(sample: Sample, dtype=np.float64):
    return [a.astype(dtype) for a in sample.args if is_float(a)]


@pytest.mark.parametrize(('spec', 'sample'), CALLS)
def test_equals_its_reference(spec, sample):
    expected = outputs_of(spec.reference(*sample.args, **sample.kwargs))
    got = call(spec, sample)
    assert len(got) == len(expected)
    for y, want in zip(got, expected, strict=True):
        assert isinstance(y, Variable)
        np.testing.assert_allclose(y.data, want, rtol=1e-9, atol=1e-12, strict=False)
        assert y.shape == np.shape(want)


@pytest.mark.parametrize(('spec', 'sample'), CALLS)
def test_keeps_dtype(spec, sample):
    for dtype in spec.low:
        xs = [Variable(x) for x in floats_of(sample, dtype)]
        if not xs:
            continue
        ys = call(spec, sample, xs)
        assert {y.dtype for y in ys} == {np.dtype(dtype)}
        if spec.order and any(y.requires_grad for y in ys):
            F.sum(ys[0]).backward()
            assert {x.grad.dtype for x in xs if x.grad is not None} <= {np.dtype(dtype)}


@pytest.mark.parametrize(('spec', 'sample'), CALLS)
def test_takes_any_strides_and_modifies_nothing(spec, sample):
    """Arrays that are every other element of a reversed-order one give the same values and are left as they were."""
    originals = floats_of(sample)
    strided = []
    for x in originals:
        room = np.full([2 * n for n in reversed(x.shape)], np.nan)
        view = room.transpose()[(..., *(slice(None, None, 2) for _ in x.shape))]
        view[...] = x
        strided.append(view)
    xs = [Variable(x) for x in strided]
    plain = call(spec, sample, [x.copy() for x in originals])
    ys = call(spec, sample, xs)
    for y, want in zip(ys, plain, strict=True):
        np.testing.assert_allclose(y.data, want.data, rtol=1e-12, atol=1e-12)
    if spec.order and ys[0].requires_grad:
        F.sum(ys[0]).backward()
    for x, original in zip(strided, originals, strict=True):
        np.testing.assert_array_equal(x, original)


def directional(f, xs, vs, h=1e-5):
    """Return the central difference of the scalar f along vs."""
    up = f([x + h * v for x, v in zip(xs, vs, strict=True)])
    down = f([x - h * v for x, v in zip(xs, vs, strict=True)])
    return (up - down) / (2 * h)


def weighted(ys, ws):
    return sum(float((y.data * w).sum()) for y, w in zip(ys, ws, strict=True))


@pytest.mark.parametrize(('spec', 'sample'), DIFFERENTIABLE)
def test_derivatives_to_second_order(spec, sample):
    """First and second derivatives, for all inputs at once, equal central differences along random directions."""
    rng = np.random.default_rng(7)
    xs = floats_of(sample)
    ws = [rng.standard_normal(y.shape) for y in call(spec, sample, xs)]
    vs = [rng.standard_normal(x.shape) for x in xs]
    us = [rng.standard_normal(x.shape) for x in xs]

    def first(arrays, graph=False):
        nailorch.seed(0)
        variables = [Variable(a) for a in arrays[:len(xs)]]
        weights = [Variable(w) for w in arrays[len(xs):]]
        ys = call(spec, sample, variables)
        gxs = gradients(ys, variables, weights, create_graph=graph)
        gxs = [g if g is not None else Variable(np.zeros_like(x.data)) for g, x in zip(gxs, variables, strict=True)]
        return variables + weights, gxs

    def value(arrays):
        nailorch.seed(0)
        return weighted(call(spec, sample, arrays), ws)

    _, gxs = first(xs + ws)
    np.testing.assert_allclose(weighted(gxs, vs), directional(value, xs, vs), rtol=2e-6, atol=2e-7)

    if spec.order > 1:
        inputs, gxs = first(xs + ws, graph=True)
        ggs = gradients([g for g in gxs if g.requires_grad], inputs,
                        [u for u, g in zip(us, gxs, strict=True) if g.requires_grad])
        along = vs + [rng.standard_normal(w.shape) for w in ws]
        got = sum(float((g.data * v).sum()) for g, v in zip(ggs, along, strict=True) if g is not None)
        want = directional(lambda arrays: weighted(first(arrays)[1], us), xs + ws, along)
        np.testing.assert_allclose(got, want, rtol=2e-6, atol=2e-7)


@pytest.mark.parametrize(('spec', 'sample'), [c for c in CALLS if c.values[0].torch is not None])
def test_equals_pytorch(spec, sample):
    torch = pytest.importorskip('torch', reason='PyTorch is not installed: pip install -e ".[compare]"')
    arrays = [torch.tensor(a, requires_grad=is_float(a) and spec.order > 0) if isinstance(a, np.ndarray) else a
              for a in sample.args]
    expected = outputs_of(spec.torch(*arrays, **sample.kwargs))
    xs = [Variable(x) for x in floats_of(sample)]
    ys = call(spec, sample, xs)
    for y, want in zip(ys, expected, strict=True):
        np.testing.assert_allclose(y.data, want.detach().numpy(), rtol=1e-7, atol=1e-9)
    if spec.order:
        ws = [np.random.default_rng(3).standard_normal(y.shape) for y in ys]
        got = gradients(ys, xs, ws)
        leaves = [a for a in arrays if isinstance(a, torch.Tensor) and a.requires_grad]
        want = torch.autograd.grad(expected, leaves, [torch.tensor(w) for w in ws], allow_unused=True)
        for g, w in zip(got, want, strict=True):
            np.testing.assert_allclose(0 if g is None else g.data, 0 if w is None else w.numpy(), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(('make', 'error', 'text'),
                         [pytest.param(*e, id=f'{s}-{e[2]}') for s in SPECS for e in s.errors])
def test_errors_say_what_disagrees(make, error, text):
    with pytest.raises(error) as caught:
        make()
    assert text in str(caught.value)


def test_every_public_function_has_a_spec():
    functions = {name for name in F.__all__ if callable(getattr(F, name)) and not isinstance(getattr(F, name), type)}
    specified = {spec.name for spec in SPECS}
    assert not functions - NOT_OPERATIONS - set(ALIASES) - specified, 'public functions without an OpSpec'
    assert not specified - functions, 'specs of functions that do not exist'
    assert all(getattr(F, alias) is getattr(F, name) for alias, name in ALIASES.items())
