"""Generated convolutions against the float64 reference, on shapes nobody chose by hand."""

from __future__ import annotations

import re
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip('numba')

from nailorch import using_config
from nailorch.kernels import fast, reference
from nailorch.kernels.fast import (
    blocks,
    convolution,
    depthwise,
    dots,
    few,
    gemm,
    memory,
    outer,
    repair,
    target,
    threads,
    transforms,
    winograd,
    winograd_grad,
)
from nailorch.shapes import Window
from tests.kernels.fast.examples import examples

pytestmark = pytest.mark.skipif(target.target() is None, reason='this CPU has no fused multiply-add')
UNIT = 2.0**-24  # float32's rounding: at most so much of every result


def amplification(points):
    """Return how much larger than a direct sum's terms Winograd's can be: the square of one axis's worst row."""
    BT, G, AT = (np.abs(np.array(matrix, float)) for matrix in transforms.cook_toom(points))
    return np.einsum('p,pj,p->j', AT.max(axis=0), G, BT.sum(axis=1)).max()**2


AMPLIFIED = {'gemm': 1, 'few': 1, 'blocks': 1, 'dots': 1, 'depthwise': 1, 'grouped': 1,
             'winograd4': amplification(['0', '3/4', '-3/4', '3/2', '-3/2']),
             'winograd2': amplification(['0', '1', '-1'])}


def agree(got, expected, terms, kernel, size):
    """Assert that errors are within `terms` roundings of sums whose terms' magnitudes add up to `size`."""
    bound = UNIT * (terms + 20) * AMPLIFIED[kernel] * size
    assert got.shape == expected.shape and got.dtype == np.float32
    assert (np.abs(got - expected) <= bound).all(), np.abs(got - expected).max() / bound.min()


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype('f')


def strided(array, order):
    """Return the array in another memory order, amid NaN: what is read beyond its edges spoils the result."""
    axes = {'C': (0, 1, 2, 3), 'last': (0, 2, 3, 1), 'odd': (3, 1, 0, 2)}[order]
    back = np.argsort(axes)
    wide = np.full([array.shape[a] + 2 for a in axes], np.nan, 'f')
    inside = wide[1:-1, 1:-1, 1:-1, 1:-1]
    inside[...] = array.transpose(axes)
    return inside.transpose(back) if order != 'last' else np.ascontiguousarray(inside).transpose(back)


@st.composite
def cases(draw):
    """Return (N, C, H, W, OC, window, groups)."""
    groups = draw(st.sampled_from([1, 1, 1, 2, 3, 8, 32]))
    if draw(st.booleans()):  # one for Winograd
        pad = tuple((draw(st.integers(0, 3)), draw(st.integers(0, 3))) for _ in '12')
        groups, window = 1, Window(3, 1, pad, draw(st.sampled_from([1, 1, (1, 2), (3, 2)])))
    else:
        kernel, stride, dilation = (draw(st.tuples(st.integers(1, most), st.integers(1, most))) for most in (5, 3, 3))
        pad = tuple((draw(st.integers(0, k)), draw(st.integers(0, k))) for k in kernel)
        window = Window(kernel, stride, pad, dilation)
    H, W = (draw(st.integers(max(k - sum(p), 1), 40)) for k, p in zip(window.spread, window.pad, strict=True))
    C, OC = (groups * draw(st.integers(1, 130 // groups)) for _ in '12')
    if draw(st.integers(0, 3)) == 0 and C > 1:  # depthwise, and with several outputs for each channel
        groups, OC = C, C * draw(st.sampled_from([1, 1, 2]))
    elif draw(st.integers(0, 3)) == 0:  # one for whole groups in a vector
        groups, depth = draw(st.integers(2, 9)), draw(st.sampled_from([2, 4, 8, 16]))
        C = OC = groups * depth
    return draw(st.integers(1, 3)), C, H, W, OC, window, groups


@st.composite
def first_layers(draw):
    """Return (N, C, H, W, OC, window, groups) with few channels."""
    KH, KW = draw(st.one_of(st.sampled_from([(3, 3), (5, 5)]), st.tuples(st.integers(1, 7), st.integers(1, 7))))
    pad = tuple((draw(st.integers(0, k)), draw(st.integers(0, k))) for k in (KH, KW))
    window = Window((KH, KW), draw(st.tuples(st.integers(1, 3), st.integers(1, 3))), pad)
    H, W = (draw(st.integers(max(k - sum(p), 1), 70)) for k, p in zip((KH, KW), window.pad, strict=True))
    return draw(st.integers(1, 20)), draw(st.integers(1, 4)), H, W, draw(st.integers(1, 70)), window, 1


@st.composite
def full_groups(draw):
    """Return (N, C, H, W, OC, window, groups) with a vector to a group, and edges that a window exceeds by little."""
    kernel, stride = ((draw(st.integers(1, most)), draw(st.integers(1, most))) for most in (3, 2))
    window = Window(kernel, stride, draw(st.integers(0, 1)))
    H, W = (draw(st.integers(k, 32)) for k in kernel)
    groups = draw(st.integers(2, 9))
    return draw(st.integers(1, 3)), groups * target.LANES, H, W, groups * target.LANES, window, groups


@examples(200)
@given(cases() | first_layers() | full_groups(), st.sampled_from(['C', 'last', 'odd']),
       st.sampled_from(['fast', 'accurate', 'off']), st.booleans())
def test_convolution_and_its_gradients_agree_with_the_float64_reference(case, order, winograd, biased):
    N, C, H, W, OC, window, groups = case
    x, weight, b = normal(0, N, C, H, W), normal(1, OC, C // groups, *window.kernel_size), normal(2, OC)
    gy = normal(3, N, OC, *window.outsize((H, W)))
    with using_config('winograd', winograd), fast.watch() as log:
        y = fast.conv2d(strided(x, order), strided(weight, order), b if biased else None, window, groups)
        gx = fast.conv2d_data_grad(strided(gy, order), strided(weight, order), (H, W), window, groups)
        gW = fast.conv2d_weight_grad(strided(x, order), strided(gy, order), window, groups)
        again = [fast.conv2d(strided(x, order), strided(weight, order), b if biased else None, window, groups),
                 fast.conv2d_data_grad(strided(gy, order), strided(weight, order), (H, W), window, groups),
                 fast.conv2d_weight_grad(strided(x, order), strided(gy, order), window, groups)]
    (_, forward), (_, data), (_, weights) = log[:3]
    assert 'reference' not in (forward, data, weights)
    for first, second in zip((y, gx, gW), again, strict=True):
        np.testing.assert_array_equal(first, second)
    x, weight, b, gy = (a.astype('d') for a in (x, weight, b, gy))

    each = np.abs(weight).sum(axis=(1, 2, 3)).max() + np.abs(b).max()
    agree(y, reference.conv2d(x, weight, b if biased else None, window, groups), weight[0].size, forward,
          np.abs(x).max() * each + np.abs(b).max())
    seen = np.abs(weight).reshape(groups, OC // groups, -1).sum(axis=(1, 2)).max()
    agree(gx, reference.conv2d_data_grad(gy, weight, (H, W), window, groups), OC // groups * weight[0, 0].size, data,
          np.abs(gy).max() * seen)
    agree(gW, reference.conv2d_weight_grad(x, gy, window, groups), gy[:, 0].size, weights,
          np.abs(x).max() * np.abs(gy).sum(axis=(0, 2, 3)).max())


@st.composite
def depthwise_layers(draw):
    """Return (N, C, H, W, window), with strides longer than the kernel, and more padding than it reaches."""
    KH, KW = draw(st.sampled_from([(3, 3), (3, 3), (5, 5), (1, 3), (3, 1), (2, 4), (1, 1)]))
    stride = draw(st.one_of(st.sampled_from([1, 2]), st.tuples(st.integers(1, 7), st.integers(1, 7))))
    dilation = draw(st.one_of(st.just(1), st.tuples(st.integers(1, 4), st.integers(1, 4))))
    pad = tuple((draw(st.integers(0, 5)), draw(st.integers(0, 5))) for _ in '12')
    window = Window((KH, KW), stride, pad, dilation)
    H, W = (draw(st.integers(max(k - sum(p), 1), 24)) for k, p in zip(window.spread, window.pad, strict=True))
    return draw(st.integers(1, 3)), draw(st.sampled_from([1, 3, 15, 16, 17, 33, 192, 209])), H, W, window


@examples(200)
@given(depthwise_layers(), st.sampled_from(['C', 'last', 'odd']))
def test_depthwise_convolution_and_its_gradients_agree_with_the_float64_reference(case, order):
    N, C, H, W, window = case
    x, weight, b = normal(0, N, C, H, W), normal(1, C, 1, *window.kernel_size), normal(2, C)
    added, gy = (normal(seed, N, C, *window.outsize((H, W))) for seed in (3, 4))
    gate = normal(5, *x.shape)
    y = depthwise.conv2d(strided(x, order), strided(weight, order), b, window, 2, strided(added, order))
    gx = depthwise.conv2d_data_grad(strided(gy, order), strided(weight, order), (H, W), window, strided(gate, order))
    gW = depthwise.conv2d_weight_grad(strided(x, order), strided(gy, order), window)
    x, weight, b, gy = (a.astype('d') for a in (x, weight, b, gy))
    each, cells = np.abs(weight).sum(axis=(1, 2, 3)).max(), weight[0].size
    agree(y, np.clip(reference.conv2d(x, weight, b, window, C) + added, 0, 6), cells, 'depthwise',
          np.abs(x).max() * each + np.abs(b).max() + np.abs(added).max())
    agree(gx, np.where(gate > 0, reference.conv2d_data_grad(gy, weight, (H, W), window, C), 0), cells, 'depthwise',
          np.abs(gy).max() * each)
    agree(gW, reference.conv2d_weight_grad(x, gy, window, C), gy[:, 0].size, 'depthwise',
          np.abs(x).max() * np.abs(gy).sum(axis=(0, 2, 3)).max())


@pytest.mark.parametrize('window', [Window(3, 1, 1), Window(3, 2, 1), Window((6, 2), (1, 3), (2, 1))])
@pytest.mark.parametrize('axis', [1, 2, 3])
def test_mirrored_images_have_zeros_around_them_too(window, axis, monkeypatch):
    """A row of zeros stands for one outside the images, and is walked along as they are: to lower addresses, maybe."""
    amid = np.full(1 << 15, np.nan, 'f')
    amid[1 << 14:] = 0
    monkeypatch.setattr(memory, 'ZEROS', [amid[1 << 14:]])
    x, gy = np.flip(normal(0, 2, 6, 9, 16).transpose(0, 3, 1, 2), axis), normal(1, 2, *window.outsize((6, 9)), 16)
    gy, weight = np.flip(gy.transpose(0, 3, 1, 2), axis), normal(2, 16, 1, *window.kernel_size)
    for name, *args in (('conv2d', x, weight, None), ('conv2d_data_grad', gy, weight, (6, 9)),
                        ('conv2d_weight_grad', x, gy)):
        got, want = (getattr(engine, name)(*args, window, 16) for engine in (fast, reference))
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-4)


@st.composite
def layers_by_pairs(draw):
    """Return (N, C, H, W, window) of 3x3 windows side by side, whose rows often have whole blocks of places."""
    pad, OW = draw(st.integers(0, 2)), draw(st.one_of(st.integers(7, 30), st.sampled_from([7, 14, 21])))
    H, channels = draw(st.integers(max(3 - 2 * pad, 1), 16)), st.sampled_from([1, 16, 17, 40, 209])
    return draw(st.integers(1, 3)), draw(channels), H, OW + 2 - 2 * pad, Window(3, 1, pad)


@examples(80)
@given(layers_by_pairs(), st.booleans())
def test_depthwise_convolution_by_pairs_of_rows_agrees_with_the_float64_reference(case, large):
    N, C, H, W, window = case
    x, weight, b = normal(0, N, C, H, W), normal(1, C, 1, 3, 3), normal(2, C)
    gy, gate = normal(3, N, C, *window.outsize((H, W))), normal(4, N, C, H, W)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(depthwise, 'LARGE', 0 if large else 1 << 30)
        y = depthwise.conv2d(x, weight, b, window, 1, gy)
        gx = depthwise.conv2d_data_grad(gy, weight, (H, W), window, gate)
        gW = depthwise.conv2d_weight_grad(x, gy, window)
    x, weight, b, gy = (a.astype('d') for a in (x, weight, b, gy))
    each = np.abs(weight).sum(axis=(1, 2, 3)).max()
    agree(gW, reference.conv2d_weight_grad(x, gy, window, C), gy[:, 0].size, 'depthwise',
          np.abs(x).max() * np.abs(gy).sum(axis=(0, 2, 3)).max())
    agree(y, np.maximum(reference.conv2d(x, weight, b, window, C) + gy, 0), 9, 'depthwise',
          np.abs(x).max() * each + np.abs(b).max() + np.abs(gy).max())
    agree(gx, np.where(gate > 0, reference.conv2d_data_grad(gy, weight, (H, W), window, C), 0), 9, 'depthwise',
          np.abs(gy).max() * each)


@examples(60)
@given(st.one_of(depthwise_layers(), layers_by_pairs()), st.sampled_from([np.nan, np.inf]), st.integers(0, 2**32 - 1))
def test_what_is_not_finite_reaches_the_windows_of_a_depthwise_convolution_that_see_it(case, bad, place):
    N, C, H, W, window = case
    x, weight = normal(0, N, C, H, W), normal(1, C, 1, *window.kernel_size)
    gy = normal(2, N, C, *window.outsize((H, W)))
    bad_x, bad_gy = x.copy(), gy.copy()
    for array in (bad_x, bad_gy):
        array.reshape(-1)[place % array.size] = bad
    with np.errstate(all='ignore'):
        for got, expected in (
                (depthwise.conv2d(bad_x, weight, None, window), reference.conv2d(bad_x, weight, None, window, C)),
                (depthwise.conv2d_data_grad(bad_gy, weight, (H, W), window),
                 reference.conv2d_data_grad(bad_gy, weight, (H, W), window, C)),
                (depthwise.conv2d_weight_grad(bad_x, gy, window),
                 reference.conv2d_weight_grad(bad_x, gy, window, C))):
            np.testing.assert_array_equal(np.isfinite(got), np.isfinite(expected))
            np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))


def test_a_weight_gradient_of_few_places_is_cut_into_as_many_blocks_of_rows_as_threads_need():
    for depth, channels, cells, fewest in ((128, 128, 9, 4), (512, 256, 1, 4), (64, 64, 9, 2), (21, 64, 7, 1)):
        deep, _ = outer.block(depth, channels, cells, 4, fewest)
        assert -(-depth // deep) >= fewest


@pytest.mark.parametrize(('shape', 'OC', 'window', 'groups'), [
    ((2, 19, 9, 11), 37, Window(3, 1, 1), 1), ((1, 20, 33, 30), 70, Window(3, 1, ((1, 0), (2, 1))), 1),
    ((3, 16, 41, 45), 16, Window(3, 1, 1), 1), ((2, 5, 13, 9), 7, Window((2, 5), (1, 2), 1), 1),
    ((3, 1, 28, 28), 16, Window(3, 1, 1), 1), ((2, 3, 15, 17), 20, Window(3, 2, 1), 1),
    ((2, 12, 13, 9), 18, Window(3, 2, 1, 2), 3), ((2, 24, 10, 14), 24, Window(3, 2, 1), 24),
    ((2, 20, 10, 14), 20, Window(3, 2, 1), 5), ((2, 48, 19, 15), 48, Window((2, 3), 1, 1), 3),
    ((2, 40, 17, 21), 37, Window(3, 1, 2, (2, 3)), 1), ((2, 32, 29, 30), 80, Window(1, (2, 1)), 1),
    ((2, 96, 21, 20), 35, Window(1), 1), ((1, 132, 9, 5), 66, Window(1), 2),
], ids=str)
def test_nothing_is_written_outside_the_blocks_and_nothing_unwritten_is_used(shape, OC, window, groups, monkeypatch):
    guarded, margin, side = [], 4096, convolution.side
    monkeypatch.setattr(convolution, 'side', lambda *args, afar=False: side(*args))  # alike in every direction

    def take(size):
        raw = np.full(size + 2 * margin, 255, np.uint8)  # as numbers: NaN
        guarded.append(raw)
        return raw[margin:-margin]

    monkeypatch.setattr(memory.POOL, 'take', take)
    x, weight = normal(0, *shape), normal(1, OC, shape[1] // groups, *window.kernel_size)
    gy = normal(2, shape[0], OC, *window.outsize(shape[2:]))
    with fast.watch() as log:
        results = [fast.conv2d(x, weight, None, window, groups),
                   fast.conv2d_data_grad(gy, weight, shape[2:], window, groups),
                   fast.conv2d_weight_grad(x, gy, window, groups)]
    # None fell back because it met a NaN.
    assert len({re.sub('few|blocks|dots', 'gemm', kernel) for _, kernel in log}) == 1
    alone = groups == 1 and not dots.serves(shape[1], OC, groups)
    assert (log[1][1] == 'blocks') == (alone and blocks.block(window, shape[1]) is not None)
    assert all(np.isfinite(result).all() for result in results)
    assert len(guarded) >= 6
    assert all((raw[:margin] == 255).all() and (raw[-margin:] == 255).all() for raw in guarded)


@examples(60)
@given(cases() | full_groups(), st.sampled_from(['fast', 'accurate', 'off']),
       st.sampled_from(['image', 'weight', 'gy']), st.sampled_from([np.nan, np.inf, -np.inf]),
       st.integers(0, 2**32 - 1))
def test_what_is_not_finite_anywhere_spreads_as_far_as_in_the_reference(case, winograd, which, bad, place):
    """One number of the images, the gradient or the weights is not finite; the results that meet it are the same.

    A weight meets the zeros of padding too, and NaN times 0 is NaN. Engines differ in whether they multiply those: a
    weight's NaN may so reach more results, at the images' border, than in the reference, but never fewer.
    """
    N, C, H, W, OC, window, groups = case
    arrays = {'image': normal(0, N, C, H, W), 'weight': normal(1, OC, C // groups, *window.kernel_size),
              'gy': normal(2, N, OC, *window.outsize((H, W)))}
    arrays[which].reshape(-1)[place % arrays[which].size] = bad
    image, weight, gy = arrays.values()
    with using_config('winograd', winograd), np.errstate(all='ignore'):
        for name, args in (('conv2d', (image, weight, None, window, groups)),
                           ('conv2d_data_grad', (gy, weight, (H, W), window, groups)),
                           ('conv2d_weight_grad', (image, gy, window, groups))):
            got, expected = getattr(fast, name)(*args), getattr(reference, name)(*args)
            if which == 'weight':
                assert np.isfinite(expected)[np.isfinite(got)].all(), name
            else:
                np.testing.assert_array_equal(np.isnan(got), np.isnan(expected), name)
                np.testing.assert_array_equal(np.isposinf(got), np.isposinf(expected), name)
                np.testing.assert_array_equal(np.isneginf(got), np.isneginf(expected), name)


@pytest.mark.parametrize('bad', [np.nan, np.inf, 3e38])
@pytest.mark.parametrize('kernel', [3, 1])
def test_what_is_not_finite_spreads_as_far_as_in_the_reference(bad, kernel):
    window = Window(kernel, 1, kernel // 2)
    x, weight = normal(0, 2, 16, 13, 14), normal(1, 32, 16, kernel, kernel)
    x[1, 3, 6, 7] = bad
    finite = normal(2, 2, 32, 13, 14)
    gy = finite.copy()
    gy[0, 2, 5, 5] = bad
    with np.errstate(all='ignore'):
        for name, args in (('conv2d', (x, weight, None, window)), ('conv2d_data_grad', (gy, weight, (13, 14), window)),
                           ('conv2d_weight_grad', (x, finite, window))):
            got, expected = getattr(fast, name)(*args), getattr(reference, name)(*args)
            np.testing.assert_array_equal(np.isfinite(got), np.isfinite(expected), name)
            np.testing.assert_array_equal(np.isnan(got), np.isnan(expected), name)


@pytest.mark.parametrize('bad', [np.nan, np.inf, 3e38])
@pytest.mark.parametrize('winograd_side', ['fast', 'accurate'])
@pytest.mark.parametrize('window', [Window(3, 1, 1), Window(3, 1, ((1, 0), (2, 1))), Window(3, 1, 2, (2, 1))], ids=str)
def test_tiles_that_are_not_finite_are_computed_anew_and_no_others(window, winograd_side, bad):
    x, weight, b = normal(0, 3, 20, 26, 31), normal(1, 37, 20, 3, 3), normal(2, 37)
    size = window.outsize((26, 31))
    gy, added, gate = normal(3, 3, 37, *size), normal(4, 3, 37, *size), normal(5, 3, 20, 26, 31)
    bad_x, bad_gy = x.copy(), gy.copy()
    bad_x[1, 3, 6, 7] = bad_x[2, 4, 25, 30] = bad_gy[1, 3, 6, 7] = bad_gy[2, 4, 20, 25] = bad
    with using_config('winograd', winograd_side), np.errstate(all='ignore'), fast.watch() as log:
        for (function, *args), (*_, expected) in (
                ((convolution.conv2d, x, weight, b, window, 1, 1, added),
                 (bad_x, reference.fused_conv2d(bad_x, weight, b, window, 1, 'relu', added))),
                ((convolution.conv2d_data_grad, gy, weight, (26, 31), window, 1, gate),
                 (bad_gy, np.where(gate > 0, reference.conv2d_data_grad(bad_gy, weight, (26, 31), window), 0)))):
            array = bad_x if args[0] is x else bad_gy
            got, clean = function(array, *args[1:]), function(*args)
            np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
            np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-3)
            assert (got == clean).mean() > 0.7  # bit by bit: the tiles that none of them touches
    assert {kernel for _, kernel in log} == {{'fast': 'winograd4', 'accurate': 'winograd2'}[winograd_side]}


@pytest.mark.parametrize('bad', [np.nan, np.inf, 3e38])
def test_only_channels_that_are_not_finite_of_a_weight_gradient_are_computed_anew(bad):
    window, x, gy = Window(3, 1, 1), normal(0, 3, 20, 26, 31), normal(1, 3, 37, 26, 31)
    clean = fast.conv2d_weight_grad(x, gy, window)
    x[1, 3, 0, 7] = gy[1, 30, 6, 0] = bad
    with np.errstate(all='ignore'), fast.watch() as log:
        got, expected = fast.conv2d_weight_grad(x, gy, window), reference.conv2d_weight_grad(x, gy, window)
    assert log == [('conv2d_weight_grad', 'winograd4')]
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-3)
    others = np.ix_(np.arange(37) != 30, np.arange(20) != 3)
    np.testing.assert_array_equal(got[others], clean[others])


def test_sums_that_overflow_in_a_transform_alone_are_finite(monkeypatch):
    spoilt, anew = [], repair.convolve
    monkeypatch.setattr(repair, 'convolve', lambda g, tiles, *args: spoilt.append(len(tiles)) or anew(g, tiles, *args))
    x, weight = normal(0, 2, 16, 20, 20), normal(1, 16, 16, 3, 3)
    x[0, 3, 9, 9] = 2e38
    weight[:, 3] *= 0.1
    got, expected = fast.conv2d(x, weight, None, Window(3, 1, 1)), reference.conv2d(x, weight, None, Window(3, 1, 1))
    assert np.isfinite(expected).all()
    assert spoilt == [1]  # places 8 to 10 see it, and they all lie in one tile
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize('groups', [1, 2, 4, 8, 32])
@pytest.mark.parametrize('kernel', [1, 3, 5])
def test_relu_and_its_gate_are_part_of_the_convolution(kernel, groups):
    window = Window(kernel, 1, kernel // 2)
    OC = 64 if groups in (1, 4) else 32
    x, weight, b = normal(0, 2, 32, 9, 10), normal(1, OC, 32 // groups, kernel, kernel), normal(2, OC)
    plain = convolution.conv2d(x, weight, b, window, groups)
    np.testing.assert_array_equal(convolution.conv2d(x, weight, b, window, groups, relu=True), np.maximum(plain, 0))
    gy, below = normal(3, 2, OC, 9, 10), np.maximum(normal(4, 2, 32, 9, 10), 0)
    plain = convolution.conv2d_data_grad(gy, weight, (9, 10), window, groups)
    gated = convolution.conv2d_data_grad(gy, weight, (9, 10), window, groups, gate=below)
    np.testing.assert_array_equal(gated, np.where(below > 0, plain, 0))


def test_relu_keeps_nan():
    x = normal(0, 1, 16, 8, 8)
    x[0, 0, 4, 4] = np.nan
    y = convolution.conv2d(x, normal(1, 16, 16, 3, 3), None, Window(3, 1, 1), relu=True)
    assert np.isnan(y[:, :, 3:6, 3:6]).all() and np.isfinite(y[:, :, 0]).all()


@pytest.mark.parametrize(('C', 'OC', 'window', 'groups'), [
    (32, 96, Window(1), 1), (48, 16, Window(1, 2), 1), (64, 144, Window(3, 2, 1), 1), (64, 64, Window(2, 3), 2),
    (17, 33, Window(1, (1, 2)), 1),
], ids=str)
def test_results_that_go_past_the_caches_are_those_that_do_not(C, OC, window, groups, monkeypatch):
    x, weight, b = normal(0, 2, C, 15, 22), normal(1, OC, C // groups, *window.kernel_size), normal(2, OC)
    gy, results = normal(3, 2, OC, *window.outsize((15, 22))), []
    for beyond in (gemm.BEYOND, 1):
        monkeypatch.setattr(gemm, 'BEYOND', beyond)
        results.append([convolution.conv2d(x, weight, b, window, groups, 1),
                        convolution.conv2d_data_grad(gy, weight, (15, 22), window, groups),
                        convolution.conv2d_data_grad(gy, weight, (15, 22), window, groups, gate=x)])
    for cached, past in zip(*results, strict=True):
        np.testing.assert_array_equal(cached, past)


@pytest.mark.parametrize(('N', 'C', 'OC', 'side', 'window', 'mean'), [
    (2, 33, 40, 9, Window(1), 0), (3, 64, 64, 7, Window(1), 50), (8, 64, 256, 28, Window(1), 100),
    (2, 16, 100, 11, Window(3, 2, 1), 0), (4, 600, 70, 13, Window(1), 30), (1, 8, 17, 6, Window(5, 1, 2), 0),
    (1, 20, 24, 1, Window(1), 5), (2, 32, 32, 9, Window(3, 1, 1), 20), (2, 3, 16, 15, Window(3, 2, 1), 0),
], ids=str)
@pytest.mark.parametrize('beyond', [gemm.BEYOND, 1])
def test_moments_on_the_way_are_those_of_the_result(N, C, OC, side, window, mean, beyond, monkeypatch):
    monkeypatch.setattr(gemm, 'BEYOND', beyond)
    x, weight = normal(0, N, C, side, side) + np.float32(mean), normal(1, OC, C, *window.kernel_size)
    b = normal(2, OC)
    y, means, variances = fast.conv2d_moments(x, weight, b, window)
    np.testing.assert_array_equal(y, fast.conv2d(x, weight, b, window))
    exact, size = y.astype(float), np.sqrt(np.square(y.astype(float)).mean((0, 2, 3)))
    assert (np.abs(means - exact.mean((0, 2, 3))) <= 4 * UNIT * size).all()
    np.testing.assert_allclose(variances, exact.var((0, 2, 3)), rtol=100 * UNIT, atol=1e-30)


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('place', [0, 40])
def test_moments_of_what_is_not_finite_are_the_references(bad, place):
    x, weight = normal(0, 2, 16, 9, 9), normal(1, 32, 16, 1, 1)
    x[0, 3, place // 9, place % 9] = bad
    weight[5, 3] = 0  # inf * 0
    with np.errstate(all='ignore'):
        got, expected = (engine.conv2d_moments(x, weight, None, Window(1)) for engine in (fast, reference))
    for mine, its in zip(got, expected, strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(('C', 'window', 'groups'), [
    (32, Window(1), 1), (17, Window(1), 1), (32, Window(3, 1, 1), 1), (24, Window(1, 2), 1), (32, Window(3, 2, 1), 32),
    (32, Window(3, 1, 1), 4), (3, Window(3, 2, 1), 1),
], ids=str)
@pytest.mark.parametrize('beyond', [gemm.BEYOND, 1])
def test_a_gradient_from_elsewhere_is_added_and_gated(C, window, groups, beyond, monkeypatch):
    monkeypatch.setattr(gemm, 'BEYOND', beyond)
    OC = C if groups > 1 else 48
    weight, (H, W) = normal(1, OC, C // groups, *window.kernel_size), (9, 10)
    gy, added = normal(3, 2, OC, *window.outsize((H, W))), normal(4, 2, C, H, W)
    plain = convolution.conv2d_data_grad(gy, weight, (H, W), window, groups)
    whole = convolution.conv2d_data_grad(gy, weight, (H, W), window, groups, added=added)
    np.testing.assert_allclose(whole, plain + added, rtol=8 * UNIT, atol=8 * UNIT)
    gated = convolution.conv2d_data_grad(gy, weight, (H, W), window, groups, gate=added, added=added)
    np.testing.assert_array_equal(gated, np.where(added > 0, whole, 0))


def test_results_are_the_same_from_run_to_run():
    x, weight, window = normal(0, 4, 64, 40, 40), normal(1, 64, 64, 3, 3), Window(3, 1, 1)
    for function, args in ((fast.conv2d, (x, weight, None, window)),
                           (fast.conv2d_data_grad, (x, weight, (40, 40), window)),
                           (fast.conv2d_weight_grad, (x, x, window)), (fast.conv2d_weight_grad, (x, x, Window(1)))):
        first = function(*args)
        for _ in range(5):
            np.testing.assert_array_equal(function(*args), first)


@pytest.mark.parametrize('winograd_side', [4, 2])
@pytest.mark.parametrize('dilation', [1, (2, 3)])
def test_a_weight_gradient_of_parts_with_sums_of_their_own_is_that_of_shared_points(winograd_side, dilation,
                                                                                     monkeypatch):
    x, gy, window = normal(0, 5, 17, 43, 30), normal(1, 5, 40, 43, 30), Window(3, 1, dilation, dilation)
    own = []
    for count in (1, 2, 3, 2):  # threads
        with using_config('threads', count):
            own.append(winograd_grad.conv2d_weight_grad(x, gy, window, winograd_side))
    monkeypatch.setattr(winograd_grad, 'OWN_SUMS', 0)
    shared = winograd_grad.conv2d_weight_grad(x, gy, window, winograd_side)
    for gW in own:
        np.testing.assert_array_equal(gW, own[0])
    expected = reference.conv2d_weight_grad(x.astype(np.float64), gy.astype(np.float64), window)
    for gW in (own[0], shared):
        np.testing.assert_allclose(gW, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    assert not np.array_equal(own[0], shared)  # another order of additions: these were two ways


def test_workers_with_memory_of_their_own_are_no_more_than_it_was_made_for(monkeypatch):
    x, window, most, run = normal(0, 5, 16, 40, 40), Window(3, 1, 1), {}, threads.run

    def watched(worker, job, limit=threads.ALL):
        most[worker] = limit
        run(worker, job, limit)

    monkeypatch.setattr(threads, 'run', watched)
    with using_config('threads', 2):
        winograd.conv2d(x, normal(1, 16, 16, 3, 3), None, window)
        winograd_grad.conv2d_weight_grad(x, x, window)
    assert most[winograd.convolve_tiles] == most[winograd_grad.collect_tiles] == 2


def test_memory_of_results_is_channels_last_and_weights_gradients_in_c_order():
    x, weight, window = normal(0, 2, 16, 8, 9), normal(1, 32, 16, 3, 3), Window(3, 1, 1)
    assert fast.conv2d(x, weight, None, window).transpose(0, 2, 3, 1).flags.c_contiguous
    gx = fast.conv2d_data_grad(normal(2, 2, 32, 8, 9), weight, (8, 9), window)
    assert gx.transpose(0, 2, 3, 1).flags.c_contiguous
    assert fast.conv2d_weight_grad(x, normal(2, 2, 32, 8, 9), window).flags.c_contiguous


def test_several_threads_may_convolve_at_once():
    x, window = normal(0, 2, 32, 20, 20), Window(3, 1, 1)
    weights = [normal(seed, 48, 32, 3, 3) for seed in range(4)]
    expected = [fast.conv2d(x, weight, None, window) for weight in weights]
    failures = []

    def convolve(i):
        for _ in range(20):
            if not np.array_equal(fast.conv2d(x, weights[i], None, window), expected[i]):
                failures.append(i)

    workers = [threading.Thread(target=convolve, args=(i,)) for i in range(4)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()
    assert not failures


@pytest.mark.parametrize('kernel', [1, 3])
def test_packed_weights_are_never_stale(kernel):
    x, weight, window = normal(0, 1, 32, 9, 9), normal(1, 48, 32, kernel, kernel), Window(kernel, 1, kernel // 2)

    def check():
        expected = reference.conv2d(x.astype('d'), weight.astype('d'), None, window)
        gx = reference.conv2d_data_grad(expected, weight.astype('d'), (9, 9), window)
        for _ in range(3):  # the third call finds a kept copy
            np.testing.assert_allclose(fast.conv2d(x, weight, None, window), expected, rtol=1e-4, atol=1e-3)
            np.testing.assert_allclose(fast.conv2d_data_grad(expected.astype('f'), weight, (9, 9), window), gx,
                                       rtol=1e-4, atol=1e-1)

    check()
    alias = weight.reshape(-1)
    alias[-1] += 100
    check()
    weight[...] = -weight
    check()
    weight[[0, 1]] = weight[[1, 0]]
    check()
    np.copyto(weight, normal(5, *weight.shape))
    check()


def test_float64_is_served_by_the_reference():
    with fast.watch() as log:
        fast.conv2d(np.ones((1, 1, 4, 4)), np.ones((1, 1, 2, 2)), None, Window(2))
    assert log == [('conv2d', 'reference')]


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_what_is_not_finite_reaches_only_the_pixels_of_a_block_that_were_seen_there(bad):
    window, weight, gy = Window(3, 2, 1), normal(0, 5, 2, 3, 3), normal(1, 2, 5, 6, 7)
    gy[1, 2, 3, 4] = bad
    expected = reference.conv2d_data_grad(gy.astype('d'), weight.astype('d'), (11, 14), window)
    got = fast.conv2d_data_grad(gy, weight, (11, 14), window)
    np.testing.assert_array_equal(np.isfinite(got), np.isfinite(expected))
    assert 0 < (~np.isfinite(got)).sum() <= 2 * 2 * 2 * 4


@pytest.mark.parametrize(('window', 'C', 'sides'), [
    (Window(7, 2, 3), 3, (2, 2)), (Window(3, 1, 1), 3, (2, 2)), (Window(1, 2), 3, None), (Window(3, 2, 1), 64, None)])
def test_blocks_serve_few_channels_of_which_several_pixels_fill_a_vector(window, C, sides):
    if target.LANES == 16:
        assert blocks.block(window, C) == sides


@st.composite
def coloured_layers(draw):
    """Return (N, H, W, OC, window) with three channels, and as many filters as a vector has lanes, or more."""
    KH, KW, SH, SW, DH, DW = (draw(st.integers(1, most)) for most in (7, 7, 3, 3, 3, 2))
    reach = (KH - 1) * DH + 1, (KW - 1) * DW + 1
    pad = tuple((draw(st.integers(0, k)), draw(st.integers(0, k))) for k in reach)
    H, W = (draw(st.integers(max(k - sum(p), 1), 40)) for k, p in zip(reach, pad, strict=True))
    return draw(st.integers(1, 3)), H, W, draw(st.integers(target.LANES, 70)), Window((KH, KW), (SH, SW), pad, (DH, DW))


@examples(100)
@given(coloured_layers(), st.sampled_from(['C', 'last', 'odd']), st.sampled_from([None, np.nan, np.inf]),
       st.integers(0, 2**32 - 1))
def test_the_gradient_of_coloured_images_agrees_with_the_float64_reference(case, order, bad, place):
    N, H, W, OC, window = case
    weight, gy = normal(1, OC, 3, *window.kernel_size), normal(3, N, OC, *window.outsize((H, W)))
    if bad is not None:
        gy.reshape(-1)[place % gy.size] = bad
    gx = dots.conv2d_data_grad(strided(gy, order), strided(weight, order), (H, W), window)
    with np.errstate(all='ignore'):
        expected = reference.conv2d_data_grad(gy.astype('d'), weight.astype('d'), (H, W), window)
    np.testing.assert_array_equal(np.isfinite(gx), np.isfinite(expected))
    good = np.isfinite(expected)
    agree(np.where(good, gx, np.float32(0)), np.where(good, expected, 0), OC * weight[0, 0].size, 'dots',
          np.abs(gy[np.isfinite(gy)]).max(initial=0) * np.abs(weight).sum(axis=(0, 2, 3)).max())


@pytest.mark.parametrize('OC', [16, 32, 48, 64, 96, 100, 128])  # panels of all widths
@pytest.mark.parametrize(('C', 'window'), [(3, Window(3, 1, 1)), (3, Window(7, 2, 3)), (1, Window(3, 1, 1))])
def test_a_first_layer_agrees_for_panels_of_all_widths_past_the_caches_or_not(monkeypatch, OC, C, window):
    x, weight, b = normal(0, 2, C, 20, 31), normal(1, OC, C, *window.kernel_size), normal(2, OC)
    with fast.watch() as log:
        y = fast.conv2d(x, weight, b, window)
    kernel = 'few' if few.serves(C, window, 1) else 'gemm'  # with narrow vectors, seven times three are not few
    assert log == [('conv2d', kernel)]
    agree(y, reference.conv2d(*(array.astype('d') for array in (x, weight, b)), window), weight[0].size, kernel,
          np.abs(x).max() * np.abs(weight).sum(axis=(1, 2, 3)).max())
    monkeypatch.setattr(few, 'BEYOND', 1)
    np.testing.assert_array_equal(fast.conv2d(x, weight, b, window), y)


@pytest.mark.parametrize(('N', 'C', 'size', 'side'), [
    (1, 64, (56, 56), 4), (1, 512, (7, 7), 2), (8, 512, (7, 7), 4), (1, 512, (1, 2), 0)])
def test_few_small_images_of_many_channels_are_for_small_tiles_whose_weights_are_fewer(N, C, size, side):
    assert convolution.side(Window(3, 1, 1), 1, N, C, C, size) == side
    with using_config('winograd', 'accurate'):
        assert convolution.side(Window(3, 1, 1), 1, N, C, C, size) == min(side, 2)
