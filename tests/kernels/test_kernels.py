"""Laws that every engine's kernels keep, on shapes nobody chose by hand."""

from __future__ import annotations

import inspect
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nailorch import kernels, using_config
from nailorch.kernels import ENGINES, reference
from nailorch.shapes import Window, window_of

laws = settings(max_examples=60, deadline=None)


@st.composite
def cases(draw):
    """Return (window, H, W) that fit together, no window of padding alone among them."""
    kernel, stride, dilation = (draw(st.tuples(st.integers(1, 3), st.integers(1, 3))) for _ in range(3))
    pad = tuple((draw(st.integers(0, k - 1)), draw(st.integers(0, k - 1))) for k in kernel)
    window = Window(kernel, stride, pad, dilation, draw(st.booleans()))
    H, W = (draw(st.integers(max(k - sum(p), 1), 9)) for k, p in zip(window.spread, pad, strict=True))
    return window.on((H, W)), H, W


def draw(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.fixture(params=list(ENGINES), autouse=True)
def _engine(request):
    with using_config('engine', request.param):
        yield


def public(module):
    return {name for name, value in vars(module).items()
            if inspect.isfunction(value) and value.__module__ == module.__name__ and name != 'engine'}


@pytest.mark.parametrize('module', ENGINES.values(), ids=ENGINES.keys())
def test_engines_have_the_interfaces_names_and_signatures(module):
    for name in public(kernels):
        ours, theirs = inspect.signature(getattr(kernels, name)), inspect.signature(getattr(module, name))
        assert list(ours.parameters) == list(theirs.parameters), name
        assert [p.default for p in ours.parameters.values()] == [p.default for p in theirs.parameters.values()], name


@laws
@given(cases())
def test_unfold_and_fold_are_adjoint(case):
    window, H, W = case
    x = draw(0, 2, 3, H, W)
    column = reference.unfold(x, window)
    c = draw(1, *column.shape)
    np.testing.assert_allclose((column * c).sum(), (x * reference.fold(c, (H, W), window)).sum(), atol=1e-9)


@laws
@given(cases(), st.sampled_from([1, 2]))
def test_convolutions_gradients_are_its_adjoints(case, groups):
    window, H, W = case
    x, weight = draw(0, 2, 4, H, W), draw(1, 6, 4 // groups, *window.kernel_size)
    y = kernels.conv2d(x, weight, None, window, groups)
    gy = draw(2, *y.shape)
    inner = (y * gy).sum()
    gx = kernels.conv2d_data_grad(gy, weight, (H, W), window, groups)
    gW = kernels.conv2d_weight_grad(x, gy, window, groups)
    np.testing.assert_allclose([(x * gx).sum(), (weight * gW).sum()], inner, atol=1e-8)


@pytest.mark.parametrize('groups', [1, 2])
def test_the_weights_gradient_of_many_small_images_needs_no_copy_for_each(groups):
    x, gy = draw(0, 200, 16, 2, 2), draw(1, 200, 32, 2, 2)
    window = Window(3, 1, 1, 1).on((2, 2))
    expected = sum(kernels.conv2d_weight_grad(x[n:n + 1], gy[n:n + 1], window, groups) for n in range(200))
    tracemalloc.start()
    try:
        gW = kernels.conv2d_weight_grad(x, gy, window, groups)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_allclose(gW, expected, rtol=1e-9, atol=1e-9)
    columns = 9 * x.size * x.itemsize
    assert peak < 3 * columns < 200 * gW.nbytes


@laws
@given(cases())
def test_pooling_gathers_what_it_chose_and_scatters_back(case):
    window, H, W = case
    x = draw(0, 2, 3, H, W)
    y, index = kernels.max_pool(x, window)
    np.testing.assert_array_equal(kernels.max_pool_gather(x, index, window)[np.isfinite(y)], y[np.isfinite(y)])
    gy = draw(1, *y.shape)
    z = draw(2, *x.shape)
    gathered = kernels.max_pool_gather(z, index, window)
    np.testing.assert_allclose((kernels.max_pool_scatter(gy, index, (H, W), window) * z).sum(), (gathered * gy).sum(),
                               atol=1e-9)


@laws
@given(cases())
def test_average_pooling_is_adjoint_to_its_gradient(case):
    window, H, W = case
    x, count = draw(0, 2, 3, H, W), np.full(window.outsize((H, W)), 4)
    gy = draw(1, 2, 3, *count.shape)
    np.testing.assert_allclose((kernels.average_pool(x, window, count) * gy).sum(),
                               (kernels.average_pool_grad(gy, (H, W), window, count) * x).sum(), atol=1e-9)


@pytest.mark.parametrize('shape', [(6, 3), (4, 3, 5), (2, 3, 4, 5)])
def test_batch_norm_normalises_each_channel(shape):
    x = 1e4 + 3 * draw(0, *shape)
    gamma, beta = draw(1, 3), draw(2, 3)
    y, mean, var = kernels.batch_norm(x, gamma, beta, 0.0)
    axes = (0, *range(2, len(shape)))
    np.testing.assert_allclose(mean, x.mean(axis=axes))
    np.testing.assert_allclose(var, x.var(axis=axes))
    np.testing.assert_allclose(y.mean(axis=axes), beta, atol=1e-9)
    np.testing.assert_allclose(y.std(axis=axes), np.abs(gamma))


@pytest.mark.parametrize('dtype', [np.float16, np.float32, np.float64, np.int64, np.longdouble])
@pytest.mark.parametrize(('condition', 'a', 'b'), [
    ((3, 4), (3, 4), (3, 4)), ((3, 4), (3, 4), ()), ((4,), (3, 1), (2, 1, 1)), ((2, 3, 4), (3, 1), (1, 4)),
    ((), (), ())])
def test_select_is_where_for_any_shapes_and_dtypes(dtype, condition, a, b):
    condition, a, b = draw(0, *condition) > 0, (8 * draw(1, *a)).astype(dtype), (8 * draw(2, *b)).astype(dtype)
    y = kernels.select(condition, a, b)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, np.where(condition, a, b), strict=np.ndim(y) > 0)


def test_select_takes_any_numbers_and_strides():
    odd = np.array([[np.nan, -0.0, np.inf, 1.0], [-np.inf, 0.0, np.nan, 2.0]])
    condition = np.array([[True, True, False, False], [True, False, True, True]])
    expected = np.where(condition, odd, odd[::-1])
    assert kernels.select(condition, odd, odd[::-1]).tobytes() == expected.tobytes()
    turned = kernels.select(condition.T[::-1], odd.T[::-1], odd[::-1].T[::-1].astype(np.float32))
    np.testing.assert_array_equal(turned, expected.T[::-1], strict=True)
    np.testing.assert_array_equal(kernels.select(np.array([0, 2]), odd[:, 3], odd[:, 1]), [-0.0, 2.0])


@pytest.mark.parametrize('dtype', [np.uint8, np.float16, np.float32, np.float64, np.int64])
def test_relu_is_a_maximum_in_any_dtype(dtype):
    x = (8 * draw(0, 3, 5)).astype(dtype) if dtype != np.uint8 else np.arange(15, dtype=np.uint8).reshape(3, 5)
    y = kernels.relu(x)
    np.testing.assert_array_equal(y, np.maximum(x, 0), strict=True)
    np.testing.assert_array_equal(kernels.relu_grad(y, x + 1), np.where(y > 0, x + 1, 0).astype(dtype), strict=True)
    assert kernels.relu(np.array([], dtype)).shape == (0,)


def test_windows_made_before_are_those_that_were_asked_for():
    assert window_of((3, 2), 2, ((1, 0), (0, 1))) == Window((3, 2), 2, ((1, 0), (0, 1)))
    assert window_of([3, 2], [1, 2], [1, 0]) == Window((3, 2), (1, 2), (1, 0))
    assert window_of(2, 2, ceil_mode=True).on((5, 5)).outsize((5, 5)) == (3, 3)
    assert window_of(2, 2).outsize((5, 5)) == (2, 2)
    assert window_of(1) == Window(1)
    with pytest.raises(ValueError, match='True'):
        window_of(True)
