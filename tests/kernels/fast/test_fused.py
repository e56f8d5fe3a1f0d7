"""Whole steps in one kernel: what is added, rectified and pooled on the way out, and weights that never change."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from nailorch.config import using_config
from nailorch.kernels import fast, reference
from nailorch.kernels.fast import packs
from nailorch.shapes import Window

SHAPES = {  # C, OC, groups, kernel, stride, pad, H, W
    'winograd': (20, 33, 1, 3, 1, 1, 9, 14),
    'winograd, odd': (16, 16, 1, 3, 1, 0, 7, 9),
    'winograd, panels': (16, 130, 1, 3, 1, 1, 12, 13),
    'pixels': (20, 33, 1, 1, 1, 0, 8, 7),
    'stem': (3, 16, 1, 7, 2, 3, 15, 17),
    'groups': (16, 32, 4, 3, 2, 1, 8, 9),
    'depthwise': (19, 19, 19, 3, 1, 1, 9, 8),
}


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def double(array):
    return None if array is None else array.astype(np.float64)


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('activation', ['', 'relu', 'relu6'])
@pytest.mark.parametrize(('is_added', 'pooled'), [(False, False), (True, False), (False, True), (True, True)])
def test_fused_convolution_is_the_references(shape, activation, is_added, pooled):
    C, OC, groups, kernel, stride, pad, H, W = SHAPES[shape]
    window = Window(kernel, stride, pad).on((H, W))
    x, weight, b = 2 * normal(0, 2, C, H, W), normal(1, OC, C // groups, kernel, kernel), normal(2, OC)
    added = normal(3, 2, OC, *window.outsize((H, W))) if is_added else None
    before = None if added is None else added.copy()
    got = fast.fused_conv2d(x, weight, b, window, groups, activation, added, pooled)
    expected = reference.fused_conv2d(double(x), double(weight), double(b), window, groups, activation, double(added),
                                      pooled)
    scale = np.sqrt(C // groups * kernel**2)
    np.testing.assert_allclose(got, expected, atol=3e-5 * scale)  # Winograd's is relative to the sums it takes
    if added is not None:
        np.testing.assert_array_equal(added, before)


@pytest.mark.parametrize('bad', [np.nan, np.inf])
@pytest.mark.parametrize('pooled', [False, True])
def test_fused_convolution_spreads_what_is_not_finite_as_far_as_the_reference(bad, pooled):
    window, x, weight = Window(3, 1, 1).on((13, 14)), normal(0, 2, 16, 13, 14), normal(1, 32, 16, 3, 3)
    x[1, 3, 6, 7] = bad
    with np.errstate(all='ignore'):
        got = fast.fused_conv2d(x, weight, None, window, 1, 'relu6', None, pooled)
        expected = reference.fused_conv2d(x, weight, None, window, 1, 'relu6', None, pooled)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    np.testing.assert_allclose(got, expected, atol=1e-3)


@pytest.mark.parametrize(('H', 'W'), [(26, 32), (27, 31)])
def test_only_pooled_tiles_that_are_not_finite_are_computed_anew(H, W):
    window, x, weight, b = Window(3, 1, 1).on((H, W)), normal(0, 2, 16, H, W), normal(1, 32, 16, 3, 3), normal(2, 32)
    clean = fast.fused_conv2d(x, weight, b, window, 1, 'relu', None, True)
    x[1, 3, 6, 7] = x[0, 2, H - 1, W - 1] = np.nan
    with fast.watch() as log:
        got = fast.fused_conv2d(x, weight, b, window, 1, 'relu', None, True)
    assert log == [('conv2d', 'winograd4')]
    expected = reference.fused_conv2d(x, weight, b, window, 1, 'relu', None, True)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    np.testing.assert_allclose(got, expected, atol=1e-3)
    assert (got == clean).mean() > 0.9


@pytest.mark.parametrize('activation', ['', 'relu', 'relu6'])
@pytest.mark.parametrize('shape', [(3, 19), (2, 5, 7), (2, 17, 3, 5)])
@pytest.mark.parametrize('adds', [False, True])
def test_mean_scale_and_shift_are_a_channels_own(shape, activation, adds):
    x, *known = 4 * normal(0, *shape), *(normal(seed, shape[1]) for seed in (1, 2, 3))
    x.flat[3] = np.nan
    added = normal(4, *shape) if adds else None
    got = fast.scale_channels(x, *known, activation, added)
    exact = reference.scale_channels(double(x), *map(double, known), activation, double(added) if adds else None)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, exact, rtol=1e-6, atol=1e-5)


def test_dense_layer_is_rectified():
    x, weight, b = normal(0, 3, 20), normal(1, 20, 9), normal(2, 9)
    got = fast.fused_linear(x, fast.arranged(weight), b, 'relu6')
    np.testing.assert_allclose(got, np.clip(x @ weight + b, 0, 6), atol=1e-5)


def test_constant_is_packed_once_and_without_a_checksum(monkeypatch):
    weight = normal(0, 32, 16, 3, 3)
    constant, window, x = fast.constant(weight), Window(3, 1, 1), normal(1, 1, 16, 8, 8)
    monkeypatch.setattr(packs, 'fingerprint', lambda weight: pytest.fail('a checksum of what never changes'))
    y = fast.conv2d(x, constant, None, window)
    assert fast.packed_bytes(constant) == 36 * 32 * 16 * 4
    weight[:] = 0  # the copy is its own
    np.testing.assert_array_equal(fast.conv2d(x, constant, None, window), y)
    with pytest.raises(ValueError, match='read-only'):
        constant[0] = 0


def test_groups_of_a_constant_are_packed_without_a_checksum_too(monkeypatch):
    constant, x = fast.constant(normal(0, 32, 4, 3, 3)), normal(1, 1, 32, 8, 8)
    monkeypatch.setattr(packs, 'fingerprint', lambda weight: pytest.fail('a checksum of what never changes'))
    fast.conv2d(x, constant, None, Window(3, 2, 1), 8)
    assert fast.packed_bytes(constant) == constant.nbytes + 4 * 32  # and a row that tells whether all are finite


def test_constants_are_forgotten_with_their_arrays():
    gc.collect()  # what earlier tests left behind
    before = len(packs.constants), len(packs.kept)
    constant = fast.constant(normal(0, 32, 4, 3, 3))
    fast.conv2d(normal(1, 1, 32, 8, 8), constant, None, Window(3, 2, 1), 8)
    assert len(packs.constants) > before[0]
    del constant
    gc.collect()
    assert (len(packs.constants), len(packs.kept)) == before


BLOCKS = {  # N, C, expansion (0: none), OC, H, W, kernel, stride, pad, dilation
    'deep': (1, 8, 6, 8, 9, 11, 3, 1, 1, 1),
    'halving': (2, 16, 6, 24, 14, 13, 3, 2, 1, 1),
    'many images': (9, 20, 6, 40, 7, 7, 3, 1, 1, 1),
    'panels': (1, 12, 12, 90, 5, 3, 3, 1, 1, 1),
    'wide window': (2, 8, 3, 8, 9, 11, 5, 2, 1, 2),
    'bands': (1, 4, 5, 6, 40, 21, 3, 1, 1, 1),
    'one pixel': (2, 3, 4, 5, 1, 1, 3, 1, 1, 1),
    'asymmetric': (2, 5, 4, 70, 8, 10, 3, 2, ((0, 1), (2, 1)), 1),
    'no expansion': (3, 20, 0, 17, 10, 12, 3, 1, 1, 1),
    'too wide to keep': (1, 8, 60, 8, 6, 300, 3, 1, 1, 1),
}


def block(N, C, expansion, OC, H, W, kernel, stride, pad, dilation, nobias=False):
    """Return an image, three layers, and a window."""
    wide, window = C * (expansion or 1), Window(kernel, stride, pad, dilation).on((H, W))
    b = [None if nobias else normal(seed, size) for seed, size in ((1, wide), (2, wide), (3, OC))]
    expand = (normal(4, wide, C, 1, 1), b[0], 'relu6') if expansion else None
    return (normal(0, N, C, H, W), expand, (normal(5, wide, 1, kernel, kernel), b[1], 'relu'),
            (normal(6, OC, wide, 1, 1), b[2], ''), window)


def in_double(layer):
    return layer and (double(layer[0]), double(layer[1]), layer[2])


@pytest.mark.parametrize('shape', BLOCKS)
@pytest.mark.parametrize('is_added', [False, True])
@pytest.mark.parametrize('threads', [1, 3])
def test_bottleneck_is_the_references(shape, is_added, threads):
    x, *layers, window = block(*BLOCKS[shape], nobias=shape == 'halving')
    added = normal(7, len(x), len(layers[-1][0]), *window.outsize(x.shape[2:])) if is_added else None
    with using_config('threads', threads):
        got = fast.fused_bottleneck(x, *layers, window, added)
    expected = reference.fused_bottleneck(double(x), *map(in_double, layers), window, double(added))
    np.testing.assert_allclose(got, expected, atol=2e-6 * np.abs(expected).max())
    with using_config('threads', threads):
        np.testing.assert_array_equal(fast.fused_bottleneck(x, *layers, window, added), got)


def test_bottleneck_takes_planes_and_one_thread_finds_what_two_do():
    x, *layers, window = block(*BLOCKS['bands'])
    results = []
    for threads, image in ((1, x), (2, np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2))):
        with using_config('threads', threads):
            results.append(fast.fused_bottleneck(image, *layers, window))
    np.testing.assert_array_equal(*results)


def test_bottleneck_keeps_nan_where_the_reference_has_it():
    x, *layers, window = block(*BLOCKS['bands'])
    x[0, 1, 20, 5] = np.nan
    got, expected = (engine.fused_bottleneck(x, *layers, window) for engine in (fast, reference))
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    assert 0 < np.isnan(got).sum() < got.size


def test_bottleneck_of_doubles_is_the_references():
    x, *layers, window = block(*BLOCKS['deep'])
    args = double(x), *map(in_double, layers), window
    with fast.watch() as log:
        got = fast.fused_bottleneck(*args)
    assert got.dtype == np.float64 and log == [('fused_bottleneck', 'reference')]
