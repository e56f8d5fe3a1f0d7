"""Everything generated but convolution, against the float64 reference, on shapes nobody chose by hand."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip('numba')

from nailorch.kernels import fast, reference
from nailorch.kernels.fast import memory, target
from nailorch.shapes import Window
from tests.kernels.fast.examples import examples

pytestmark = pytest.mark.skipif(target.target() is None, reason='this CPU has no fused multiply-add')
UNIT = 2.0**-24  # float32's rounding
sizes = st.integers(1, 40)


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype('f')


def amid_nan(array, axes):
    """Return the array with its axes in another memory order, NaN around it: reading beyond it spoils results."""
    wide = np.full([array.shape[a] + 2 for a in axes], np.nan, 'f')
    inside = wide[(slice(1, -1),) * array.ndim]
    inside[...] = array.transpose(axes)
    return inside.transpose(np.argsort(axes))


ODD = [np.nan, np.inf, -np.inf, -0.0, 0.0, 1e-42, 3e38]
LAYOUTS = [np.ascontiguousarray, np.asfortranarray,
           lambda a: np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1),
           lambda a: amid_nan(a, range(a.ndim)), lambda a: np.repeat(a, 2, -1)[..., ::2]]


def odd(seed, *shape):
    """Return random numbers, odd ones among them."""
    x = normal(seed, *shape)
    x.flat[:len(ODD)] = ODD[:x.size]
    return np.random.default_rng(seed).permuted(x)


def same_twice(function, *args):
    """Return function(*args), the same to the bit when called again, and served by a generated kernel."""
    with fast.watch() as log:
        first, second = function(*args), function(*args)
    assert all(kernel != 'reference' for _, kernel in log)
    for a, b in zip(*(y if isinstance(y, tuple) else (y,) for y in (first, second)), strict=True):
        np.testing.assert_array_equal(a, b)
    return first


@st.composite
def windows(draw):
    """Return (window, (H, W)) that fit together."""
    kernel, stride, dilation = (draw(st.tuples(st.integers(1, most), st.integers(1, most))) for most in (5, 4, 3))
    pad = tuple((draw(st.integers(0, k - 1)), draw(st.integers(0, k - 1))) for k in kernel)
    window = Window(kernel, stride, pad, dilation, draw(st.booleans()))
    size = tuple(draw(st.integers(max(k - sum(p), 1), 24)) for k, p in zip(window.spread, pad, strict=True))
    return window.on(size), size


@examples(80)
@given(windows(), st.integers(1, 3), st.integers(1, 70), st.permutations(range(4)), st.booleans())
def test_pooling_agrees_with_the_reference(case, N, C, axes, tied):
    window, size = case
    places = window.outsize(size)
    x, gy, count = normal(0, N, C, *size), normal(1, N, C, *places), 1 + np.arange(np.prod(places)).reshape(places)
    x = np.round(x) if tied else x
    x_there, gy_there = amid_nan(x, axes), amid_nan(gy, axes)

    y, index = same_twice(fast.max_pool, x_there, window)
    expected, where = reference.max_pool(x, window)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(index, where, strict=True)
    np.testing.assert_array_equal(same_twice(fast.max_pool_gather, x_there, where, window),
                                  reference.max_pool_gather(x, where, window))
    cells = window.kernel_size[0] * window.kernel_size[1]
    bound = UNIT * (cells + 2) * cells * np.abs(gy).max()
    np.testing.assert_allclose(same_twice(fast.max_pool_scatter, gy_there, where, size, window),
                               reference.max_pool_scatter(gy.astype('d'), where, size, window), rtol=0, atol=bound)
    np.testing.assert_allclose(same_twice(fast.average_pool_grad, gy_there, size, window, count),
                               reference.average_pool_grad(gy.astype('d'), size, window, count), rtol=0, atol=bound)
    np.testing.assert_allclose(same_twice(fast.average_pool, x_there, window, count),
                               reference.average_pool(x.astype('d'), window, count), rtol=0,
                               atol=UNIT * (cells + 2) * cells * np.abs(x).max())


@pytest.mark.parametrize('beyond', [0, 1 << 60])
@pytest.mark.parametrize('axes', [(0, 1, 2, 3), (0, 2, 3, 1), (3, 1, 0, 2)])
@pytest.mark.parametrize('shape', [(1, 1, 2, 2), (3, 16, 4, 6), (2, 17, 8, 2), (2, 64, 20, 24), (1, 131, 6, 10)])
def test_pooling_squares_agrees_with_the_reference(shape, axes, beyond, monkeypatch):
    from nailorch.kernels.fast import pools
    monkeypatch.setattr(pools, 'BEYOND', beyond)
    window = Window(2, 2).on(shape[2:])
    x, gy = np.round(odd(0, *shape)), odd(1, *shape[:2], shape[2] // 2, shape[3] // 2)  # rounded: there are ties
    y, index = same_twice(fast.max_pool, amid_nan(x, axes), window)
    expected, where = reference.max_pool(x, window)
    np.testing.assert_array_equal(y, expected, strict=True)
    np.testing.assert_array_equal(index, where, strict=True)
    for i in (index, where):
        gx = same_twice(fast.max_pool_scatter, amid_nan(gy, axes), i, shape[2:], window)
        np.testing.assert_array_equal(gx, reference.max_pool_scatter(gy, where, shape[2:], window), strict=True)


def test_pooling_keeps_nan_and_infinities_and_the_memory_order():
    window = Window(2, 2).on((6, 6))
    x = normal(0, 2, 19, 6, 6)
    x[0, 0, 0, 1], x[0, 1, 1, 1], x[0, 2, :2, :2] = np.nan, np.inf, -np.inf
    x[1, 0, 0, :2] = np.nan
    y, index = fast.max_pool(x, window)
    expected, where = reference.max_pool(x, window)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(index, where)
    assert all(a.transpose(0, 2, 3, 1).flags.c_contiguous for a in (y, index))


@examples(120)
@given(st.integers(1, 150), st.integers(1, 1200), st.integers(1, 150), st.booleans(), st.booleans(), st.booleans())
def test_linear_agrees_with_the_reference(M, K, N, x_turned, weight_turned, biased):
    x, weight, b = normal(0, M, K), normal(1, K, N), normal(2, N) if biased else None
    y = same_twice(fast.linear, amid_nan(x, (1, 0) if x_turned else (0, 1)),
                   amid_nan(weight, (1, 0) if weight_turned else (0, 1)), b)
    x, weight = x.astype('d'), weight.astype('d')
    bound = UNIT * (K + 20) * (np.abs(x) @ np.abs(weight) + 4)
    assert (np.abs(y - reference.linear(x, weight, b)) <= bound).all()


@examples(60)
@given(sizes, st.integers(1, 300), st.integers(1, 130), st.sampled_from(['x', 'weight', 'bias']),
       st.sampled_from([np.nan, np.inf, -np.inf]), st.integers(0, 2**32 - 1))
def test_linear_spreads_what_is_not_finite_as_far_as_the_reference(M, K, N, which, bad, place):
    arrays = {'x': normal(0, M, K), 'weight': normal(1, K, N), 'bias': normal(2, N)}
    arrays[which].reshape(-1)[place % arrays[which].size] = bad
    with np.errstate(all='ignore'):
        got, expected = fast.linear(*arrays.values()), reference.linear(*arrays.values())
    np.testing.assert_array_equal(np.where(np.isfinite(got), 0, got), np.where(np.isfinite(expected), 0, expected))


@examples(60)
@given(windows(), st.integers(1, 3), st.integers(1, 40), st.permutations(range(4)),
       st.lists(st.tuples(st.sampled_from([np.nan, np.inf, -np.inf]), st.integers(0, 2**32 - 1)), min_size=1))
def test_pooling_takes_what_is_not_finite_as_the_reference_does(case, N, C, axes, odd):
    window, size = case
    x, count = normal(0, N, C, *size), np.full(window.outsize(size), 4)
    for bad, place in odd:
        x.reshape(-1)[place % x.size] = bad
    x_there = amid_nan(x, axes)
    with np.errstate(all='ignore'):
        for got, expected in zip(fast.max_pool(x_there, window), reference.max_pool(x, window), strict=True):
            np.testing.assert_array_equal(got, expected)
        got, expected = fast.average_pool(x_there, window, count), reference.average_pool(x, window, count)
    np.testing.assert_array_equal(np.where(np.isfinite(got), 0, got), np.where(np.isfinite(expected), 0, expected))


@pytest.mark.parametrize(('a', 'b'), [((2, 3, 4, 5), (5, 6)), ((2, 1, 4, 5), (3, 5, 6)), ((40, 50), (2, 50, 70)),
                                      ((3, 1, 7), (3, 7, 1)), ((8, 5000), (5000, 70)), ((1, 9000), (9000, 200))])
def test_matmul_broadcasts(a, b):
    a, b = normal(0, *a), normal(1, *b)
    expected = np.matmul(a.astype('d'), b)
    turned = b.swapaxes(-1, -2).copy().swapaxes(-1, -2)
    for x, weight in ((a, b), (a, turned), (np.repeat(a, 2, -1)[..., ::2], b[..., ::-1])):
        want = expected if weight.strides[-1] >= 0 else expected[..., ::-1]
        np.testing.assert_allclose(same_twice(fast.matmul, x, weight), want, rtol=0, atol=1e-6 * a.shape[-1])


@pytest.mark.parametrize('depth', [1, 8, 31])
@pytest.mark.parametrize(('rows', 'columns'), [(125, 128), (60, 208), (47, 64)])
def test_a_product_that_goes_past_the_caches_is_the_same(rows, depth, columns, monkeypatch):
    from nailorch.kernels.fast import dense
    a, b, bias = normal(0, depth, rows).T, normal(1, depth, columns), normal(2, columns)
    usual = fast.linear(a, b, bias)
    monkeypatch.setattr(dense, 'BEYOND', 0)
    monkeypatch.setattr(memory, 'LARGE', 0)
    monkeypatch.setattr(memory.POOL, 'least', 0)  # what is streamed begins at a cache line
    np.testing.assert_array_equal(same_twice(fast.linear, a, b, bias), usual)
    np.testing.assert_allclose(usual, a.astype('d') @ b + bias, rtol=0, atol=1e-5)


@pytest.mark.parametrize('axis', [0, 1, -1])
@pytest.mark.parametrize('shape', [(100, 10), (3, 1), (2, 17, 3, 4), (5, 1000)])
def test_softmax_agrees_with_the_reference(shape, axis):
    x = 20 * normal(0, *shape)
    for name in ('softmax', 'log_softmax'):
        y, expected = same_twice(getattr(fast, name), x, axis), getattr(reference, name)(x.astype('d'), axis)
        np.testing.assert_allclose(y, expected, rtol=2e-6 + UNIT * 200, atol=1e-38 if name == 'softmax' else 2e-5)


def test_softmax_of_what_is_not_finite_is_the_references():
    x = normal(0, 5, 37)
    x[0, 3], x[1, 4], x[2, 5], x[3], x[4, 0] = np.nan, np.inf, -np.inf, -np.inf, 3e38
    for name in ('softmax', 'log_softmax'):
        with np.errstate(all='ignore'):
            expected = getattr(reference, name)(x, 1)
        np.testing.assert_allclose(getattr(fast, name)(x, 1), expected, rtol=1e-5, atol=1e-30)


@examples(60)
@given(st.integers(1, 5), st.integers(1, 130), st.integers(2, 30), sizes, st.permutations(range(4)),
       st.sampled_from([(0, 1), (1e4, 3), (-5, 0.1)]), st.sampled_from(['', 'relu', 'relu6']), st.booleans())
def test_batch_norm_agrees_with_the_reference(N, C, H, W, axes, place, activation, joins):
    mean, deviation = place
    x = (mean + deviation * normal(0, N, C, H, W)).astype('f')
    gamma, beta, gy = normal(1, C), normal(2, C), normal(3, N, C, H, W)
    y, m, v = same_twice(fast.batch_norm, amid_nan(x, axes), 4 * gamma, beta, 1e-3, activation)
    for got, want, mine in zip((y, m, v), reference.batch_norm(x.astype('d'), 4 * gamma, beta, 1e-3, activation),
                               reference.batch_norm(x, 4 * gamma, beta, 1e-3, activation), strict=True):
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=2 * np.abs(mine - want).max() + 1e-5)
    # The activation's decisions must not hang on rounding: y itself says what it let pass.
    passed = gy * ((y > 0) & (y < (6 if activation == 'relu6' else np.inf))) if activation else gy
    if joins:
        added = amid_nan(normal(4, N, C, H, W), axes)
        y, *_ = same_twice(fast.batch_norm, amid_nan(x, axes), 4 * gamma, beta, 1e-3, activation, added)
        want, *_ = reference.batch_norm(x.astype('d'), 4 * gamma, beta, 1e-3, activation, added)
        mine, *_ = reference.batch_norm(x, 4 * gamma, beta, 1e-3, activation, added)
        np.testing.assert_allclose(y, want, rtol=1e-5, atol=2 * np.abs(mine - want).max() + 1e-5)
    gradients = same_twice(fast.batch_norm_grad, amid_nan(x, axes), 4 * gamma, beta, amid_nan(gy, axes), m, v, 1e-3,
                           activation)
    arguments = [(4 * gamma, beta, passed.astype(kind), m.astype(kind), v, 1e-3) for kind in 'df']
    for got, want, mine in zip(gradients, reference.batch_norm_grad(x.astype('d'), *arguments[0]),
                               reference.batch_norm_grad(x, *arguments[1]), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=2 * np.abs(mine - want).max() + 1e-3)


@pytest.mark.parametrize('layout', [0, 1, 2])
@pytest.mark.parametrize('shape', [(90, 100), (100, 1), (9000, 3), (7, 5, 301), (3, 1, 61, 53), (2, 17, 31, 16),
                                   (2, 64, 40, 40), (1, 200, 7, 7), (1, 130, 65, 1)])
def test_sums_and_lines_of_channels_agree_with_the_reference(shape, layout, monkeypatch):
    from nailorch.kernels.fast import normalization
    monkeypatch.setattr(fast, 'FEW', 0)
    axes, C = (0, *range(2, len(shape))), shape[1]
    x, known = normal(0, *shape), [normal(seed, C) for seed in (1, 2, 3)]
    there = [lambda: x, lambda: np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1),
             lambda: amid_nan(x, range(x.ndim))][layout]()
    expected, count = reference.sum_over(x.astype('d'), axes), x.size // C
    got = same_twice(fast.sum_over, there, axes)
    assert got.shape == (C,) and got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=0, atol=UNIT * (normalization.BLOCK + 2) * count)
    for beyond in (0, 1 << 60):
        monkeypatch.setattr(normalization, 'BEYOND', beyond)
        y = same_twice(fast.scale_channels, there, *known)
        np.testing.assert_allclose(y, reference.scale_channels(x.astype('d'), *known), rtol=1e-6, atol=3e-6)


def test_a_sum_over_many_pixels_is_as_exact_as_its_result():
    x = memory.images(8, 3, 224, 224)
    x[...] = 0.1  # a running sum in float32 would be 3 % off
    np.testing.assert_allclose(fast.sum_over(x, (0, 2, 3)), x[0, 0, 0, 0] * 8.0 * 224 * 224, rtol=3e-7)
    x[3, 1, 100, 100], x[4, 2, 1, 2], x[5, 2, 3, 4] = np.nan, np.inf, -np.inf
    with np.errstate(invalid='ignore'):
        assert np.isfinite(fast.sum_over(x, (0, 2, 3))).tolist() == [True, False, False]


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('place', [(0, 1, 0, 0), (1, 1, 2, 2)])
def test_batch_norm_of_what_is_not_finite_is_the_references(bad, place):
    x, ones = normal(0, 2, 3, 4, 5), np.ones(3, 'f')
    x[place] = bad
    with np.errstate(all='ignore'):
        both = fast.batch_norm(x, ones, ones, 1e-5), reference.batch_norm(x, ones, ones, 1e-5)
        for got, want in zip(*both, strict=True):
            np.testing.assert_allclose(got, want, atol=1e-5)


def test_a_constant_channel_has_no_variance():
    x = np.full((2, 3, 4, 5), 12345.678, 'f')
    y, _, var = fast.batch_norm(x, np.ones(3, 'f'), np.zeros(3, 'f'), 1e-5)
    assert not var.any() and np.abs(y).max() < 1


@pytest.mark.parametrize('shape', [(), (1,), (1000,), (3, 17, 5, 7), (70000,)])
@pytest.mark.parametrize('single', ['', 'a', 'b', 'ab'])
def test_select_chooses_bit_by_bit(shape, single):
    condition = normal(0, *shape) > 0
    a, b = (normal(seed, *(() if name in single else shape)) for seed, name in enumerate('ab', 1))
    if a.size > 2:
        a.flat[:2] = np.nan, -0.0
    y = same_twice(fast.select, condition, a, b)
    np.testing.assert_array_equal(np.asarray(y).view(np.int32), np.where(condition, a, b).astype('f').view(np.int32))


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('shape', [(1, 1), (33, 1), (5, 17, 3, 2), (2, 64, 9, 40), (3, 70000)])
def test_relu_and_its_gradient_take_any_numbers_and_strides(shape, layout):
    x, gy = odd(0, *shape), odd(1, *shape)
    there = layout(x)
    for most, relu, gradient in ((np.inf, fast.relu, fast.relu_grad), (6, fast.relu6, fast.relu6_grad)):
        y = relu(there)
        np.testing.assert_array_equal(y, np.minimum(np.maximum(x, 0), np.float32(most)), strict=True)
        assert fast.order(y) == fast.order(there) or not fast.gapless(there)
        for upstream in (there, layout(gy), gy, np.broadcast_to(gy[:1, :1], gy.shape)):
            passes = (y > 0) & (y < 6) if most == 6 else y > 0
            np.testing.assert_array_equal(gradient(y, upstream), np.where(passes, upstream, 0), strict=True)


@pytest.mark.parametrize('kind', [np.add, np.subtract, np.multiply])
@pytest.mark.parametrize('streamed', [False, True])
def test_elementwise_is_the_ufunc_bit_by_bit(kind, streamed, monkeypatch):
    from nailorch.kernels.fast import pointwise
    monkeypatch.setattr(fast, 'SMALL', 0)
    monkeypatch.setattr(pointwise, 'BEYOND', 0 if streamed else 1 << 60)
    for shape in ((1,), (100, 7), (2, 19, 31, 33)):
        a, b = odd(0, *shape), odd(1, *shape)
        for layout in LAYOUTS[:1] if len(shape) == 1 else LAYOUTS[:3]:
            for x, y in ((a, b), (a, b.reshape(-1)[-1:].reshape(())), (a.reshape(-1)[:1].reshape(()), b)):
                x, y = (v if v.ndim == 0 else layout(v) for v in (x, y))
                with np.errstate(all='ignore'):
                    expected, got = kind(x, y), same_twice(fast.elementwise, kind, x, y)
                np.testing.assert_array_equal(got, expected, strict=True)
                assert fast.order(got) == fast.order(expected)


def test_elementwise_leaves_other_arrays_to_numpy(monkeypatch):
    monkeypatch.setattr(fast, 'SMALL', 0)
    a, row = normal(0, 20, 30), normal(1, 30)
    for x, y in ((a, row), (a[::2], a[::2]), (a, a.astype('d')), (a, np.asfortranarray(a)), (a[:0], a[:0])):
        with fast.watch() as log:
            np.testing.assert_array_equal(fast.elementwise(np.multiply, x, y), x * y, strict=True)
        assert log == [('elementwise', 'reference')]


UPDATES = [('sgd_update', 0, (0.1,)), ('momentum_update', 1, (0.1, 0.9, False)),
           ('momentum_update', 1, (0.1, 0.9, True)),
           ('adagrad_update', 1, (0.1, 1e-8)), ('adadelta_update', 2, (1.0, 0.95, 1e-6)),
           ('rmsprop_update', 1, (0.1, 0.99, 1e-8)), ('adam_update', 2, ([1, 7, 3, 2], 0.001, 0.9, 0.999, 1e-8, 0.1))]


@pytest.mark.parametrize(('name', 'kept', 'arguments'), UPDATES)
def test_updates_change_all_parameters_and_nothing_else(name, kept, arguments):
    shapes = [(40000,), (17, 3), (1,), (4, 5, 3, 3)]
    rooms = [[np.full(np.prod(shape) + 32, np.nan, 'f') for shape in shapes] for _ in range(1 + kept)]
    params, *state = ([room[16:-16].reshape(shape) for room, shape in zip(of, shapes, strict=True)] for of in rooms)
    for k, arrays in enumerate((params, *state)):
        for i, array in enumerate(arrays):
            array[...] = normal(i, *array.shape) if k == 0 else np.abs(normal(9 * k + i, *array.shape))
    grads = [normal(20 + i, *shape) for i, shape in enumerate(shapes)]
    grads[1] = np.asfortranarray(grads[1])  # in another memory order than its parameter
    exact = [[array.astype('d') for array in arrays] for arrays in (params, *state)]
    with fast.watch() as log:
        getattr(fast, name)(params, grads, *state, *arguments)
    assert log == [(name, 'updates')]
    getattr(reference, name)(exact[0], [g.astype('d') for g in grads], *exact[1:], *arguments)
    for got, want in zip((params, *state), exact, strict=True):
        for a, b in zip(got, want, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-6, atol=2e-6)
    assert all(np.isnan(room[:16]).all() and np.isnan(room[-16:]).all() for of in rooms for room in of)


def test_updates_of_what_is_not_covered_are_the_references():
    params = [np.ones(3, 'f'), np.ones(3), np.ones(6, 'f')[::2]]
    with fast.watch() as log:
        fast.sgd_update(params, [np.ones(3, 'f'), np.ones(3), np.ones(3, 'f')], 0.5)
    assert log == [('sgd_update', 'updates'), ('sgd_update', 'reference')]
    assert all((p == 0.5).all() for p in params)
    locked = np.ones(3, 'f')
    locked.flags.writeable = False
    with pytest.raises(ValueError, match='read-only'):
        fast.sgd_update([locked], [np.ones(3, 'f')], 0.5)


def test_nothing_is_written_outside_the_blocks_and_nothing_unwritten_is_used(monkeypatch):
    guarded, margin = [], 4096

    def take(size):
        raw = np.full(size + 2 * margin, 255, np.uint8)  # as numbers: NaN
        guarded.append(raw)
        return raw[margin:-margin]

    monkeypatch.setattr(memory.POOL, 'take', take)
    monkeypatch.setattr(memory.POOL, 'least', 0)
    monkeypatch.setattr(memory, 'LARGE', 0)
    x, window, ones = normal(0, 2, 19, 9, 11), Window(3, 2, 1).on((9, 11)), np.ones(19, 'f')
    y, index = fast.max_pool(x, window)
    count = np.full(y.shape[2:], 9)
    results = [y, fast.max_pool_scatter(y, index, (9, 11), window), fast.average_pool(x, window, count),
               fast.average_pool_grad(y, (9, 11), window, count), *fast.batch_norm(x, ones, ones, 1e-5),
               fast.batch_norm_grad(x, ones, ones, x, ones, ones, 1e-5)[0], fast.softmax(x, 1),
               fast.select(x > 0, x, ones[0]), fast.relu(x), fast.relu_grad(x, x),
               fast.sum_over(x, (0, 2, 3)), fast.scale_channels(x, ones, ones, ones)]
    for M, K, N in ((1, 1000, 130), (8, 1500, 65), (37, 530, 70), (100, 20, 10)):
        results += [fast.matmul(normal(1, M, K), normal(2, K, N)), fast.matmul(normal(1, M, K), normal(2, N, K).T)]
    assert all(np.isfinite(result).all() for result in results)
    assert len(guarded) >= 16
    assert all((raw[:margin] == 255).all() and (raw[-margin:] == 255).all() for raw in guarded)


@pytest.mark.parametrize('name', ['max_pool', 'average_pool', 'linear', 'select', 'softmax', 'batch_norm', 'relu',
                                  'relu_grad', 'elementwise', 'sum_over', 'scale_channels',
                                  'cross_entropy', 'cross_entropy_grad'])
def test_float64_is_served_by_the_reference(name):
    x, window = np.ones((2, 3, 4, 4)), Window(2).on((4, 4))
    arguments = {'max_pool': (x, window), 'average_pool': (x, window, np.ones((3, 3))),
                 'linear': (x[0, 0], x[0, 0], None), 'select': (x > 0, x, x), 'softmax': (x, 1),
                 'batch_norm': (x, np.ones(3), np.ones(3), 1e-5), 'relu': (x,), 'relu_grad': (x, x),
                 'elementwise': (np.add, x, x), 'sum_over': (x, (0, 2, 3)),
                 'scale_channels': (x, *np.ones((3, 3))), 'cross_entropy': (x[0, 0], np.arange(4)),
                 'cross_entropy_grad': (x[0, 0], np.arange(4), np.ones(4))}[name]
    with fast.watch() as log:
        getattr(fast, name)(*arguments)
    assert log == [(name, 'reference')]


@pytest.mark.parametrize('target', [[0, 3], [1 << 40, 1], [-1, 2]])
def test_a_target_that_is_no_class_never_leads_beyond_its_row(target):
    x, target = normal(0, 2, 3), np.array(target)
    for name, *scale in (['cross_entropy'], ['cross_entropy_grad', np.ones(2, 'f')]):
        with fast.watch() as log, contextlib.suppress(IndexError):
            getattr(fast, name)(x, target, *scale)
        assert log == [(name, 'reference')]
