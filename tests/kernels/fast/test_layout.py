"""Memory orders: a copy holds the same numbers, the channels of a pixel side by side."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('numba')

from nailorch.kernels.fast.layout import channels_last, copied, like


@pytest.mark.parametrize('shape', [(1, 1, 1, 1), (2, 3, 5, 7), (2, 17, 3, 16), (3, 16, 1, 1), (1, 33, 20, 14),
                                   (2, 3, 20, 31)])
@pytest.mark.parametrize('view', ['whole', 'flipped images', 'some rows', 'every second column', 'one pixel repeated'])
def test_copied_has_the_same_numbers_with_channels_side_by_side(shape, view):
    x = np.random.default_rng(7).standard_normal(shape).astype(np.float32)
    x = {'whole': x, 'flipped images': x[::-1], 'some rows': x[:, :, :1], 'every second column': x[..., ::2],
         'one pixel repeated': np.broadcast_to(x[..., :1, :1], shape)}[view]
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
