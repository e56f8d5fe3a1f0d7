"""Memory orders: a copy holds the same numbers, the channels of a pixel side by side."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('numba')

from nailorch.kernels import fast, reference
from nailorch.kernels.fast.layout import channels_last, copied, like


def pixels(x):
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


@pytest.mark.parametrize('shape', [(1, 1, 1, 1), (2, 3, 5, 7), (2, 17, 3, 16), (3, 16, 1, 1), (1, 33, 20, 14),
                                   (2, 3, 20, 31)])
@pytest.mark.parametrize('view', ['whole', 'flipped images', 'some rows', 'every second column', 'one pixel repeated',
                                  'some channels', 'some channels of every second pixel', 'one channel repeated'])
def test_copied_has_the_same_numbers_with_channels_side_by_side(shape, view):
    x = np.random.default_rng(7).standard_normal(shape).astype(np.float32)
    x = {'whole': x, 'flipped images': x[::-1], 'some rows': x[:, :, :1], 'every second column': x[..., ::2],
         'one pixel repeated': np.broadcast_to(x[..., :1, :1], shape), 'some channels': pixels(x)[:, 1:],
         'some channels of every second pixel': pixels(x)[:, :2, ::2, ::-2],
         'one channel repeated': np.broadcast_to(pixels(x)[:, :1], shape)}[view]
    if not x.size:
        pytest.skip('no channel is left')
    y = copied(x)
    np.testing.assert_array_equal(y, x)
    assert y.transpose(0, 2, 3, 1).flags.c_contiguous


def test_channels_last_is_no_copy_where_none_is_needed():
    x = np.random.default_rng(7).standard_normal((2, 4, 5, 3)).astype(np.float32).transpose(0, 3, 1, 2)
    assert channels_last(x) is x
    assert like(x, x) is x


def test_channels_last_copies_what_is_not_aligned():
    raw = np.zeros(4 * 24 + 1, np.uint8)
    x = raw[1:].view(np.float32).reshape(1, 2, 3, 4)
    x[...] = np.random.default_rng(7).standard_normal(x.shape)
    np.testing.assert_array_equal(channels_last(x), x)


@pytest.mark.parametrize('orders', ['pixels', 'planes', 'parts', 'mixed'])
@pytest.mark.parametrize('channels', [(1,), (3, 16), (17, 1, 5), (64, 64)])
@pytest.mark.parametrize('size', [(1, 1), (5, 7), (20, 19)])
def test_images_are_joined_by_their_channels(orders, channels, size):
    rng, xs = np.random.default_rng(5), []
    for i, C in enumerate(channels):
        x = rng.standard_normal((3, C, *size)).astype(np.float32)
        order = ['pixels', 'planes', 'parts'][i % 3] if orders == 'mixed' else orders
        part = pixels(np.tile(x, (1, 2, 1, 1)))[:, C // 2:C // 2 + C]
        xs.append({'planes': x, 'pixels': pixels(x), 'parts': part}[order])
    before = [x.copy() for x in xs]
    with fast.watch() as log:
        y = fast.concat(xs, 1)
    np.testing.assert_array_equal(y, np.concatenate(xs, 1))
    assert all(map(np.array_equal, before, xs)) and log == [('concat', 'layout')]


@pytest.mark.parametrize('axis', [0, 2, -1])
def test_other_axes_and_types_are_joined_by_numpy(axis):
    x = np.random.default_rng(5).standard_normal((2, 3, 4, 5))
    for xs in ([x, x], [x.astype('f'), x.astype('f')]):
        with fast.watch() as log:
            np.testing.assert_array_equal(fast.concat(xs, axis), reference.concat(xs, axis))
        assert log == [('concat', 'reference')]
    with pytest.raises(ValueError):
        fast.concat([x.astype('f'), x[:1].astype('f')], 1)
