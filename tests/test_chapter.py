"""The textbook chapter's own numbers, each worked by hand there."""

from __future__ import annotations

import numpy as np
import pytest

import nailorch.functions as F
from nailorch import Variable
from nailorch.shapes import Window, get_conv_outsize, get_deconv_outsize, pair

X = np.arange(1.0, 10).reshape(1, 1, 3, 3)
K = np.arange(4.0).reshape(1, 1, 2, 2)
CHANNELS = np.arange(1.0, 28).reshape(1, 3, 3, 3)
KERNELS = np.arange(12.0).reshape(1, 3, 2, 2)
CONVOLUTIONS = [F.conv2d, F.conv2d_simple]


@pytest.mark.parametrize('conv', CONVOLUTIONS)
def test_cross_correlation(conv):
    np.testing.assert_array_equal(conv(X, K).data[0, 0], [[25, 31], [43, 49]])


@pytest.mark.parametrize('conv', CONVOLUTIONS)
def test_bias(conv):
    np.testing.assert_array_equal(conv(X, K, np.array([1.0])).data[0, 0], [[26, 32], [44, 50]])


@pytest.mark.parametrize('conv', CONVOLUTIONS)
def test_stride_two(conv):
    x = np.arange(1.0, 17).reshape(1, 1, 4, 4)
    np.testing.assert_array_equal(conv(x, K, stride=2).data[0, 0], [[30, 42], [78, 90]])


@pytest.mark.parametrize('conv', CONVOLUTIONS)
def test_three_input_channels(conv):
    each = [float(conv(CHANNELS[:, c:c + 1], KERNELS[:, c:c + 1]).data[0, 0, 0, 0]) for c in range(3)]
    assert each == [25, 271, 805]
    np.testing.assert_array_equal(conv(CHANNELS, KERNELS).data[0, 0], [[1101, 1167], [1299, 1365]])


@pytest.mark.parametrize('conv', CONVOLUTIONS)
def test_two_output_channels_and_a_batch(conv):
    assert conv(CHANNELS, np.zeros((2, 3, 2, 2))).shape == (1, 2, 2, 2)
    assert conv(np.repeat(CHANNELS, 5, axis=0), np.zeros((2, 3, 2, 2))).shape == (5, 2, 2, 2)


def test_output_size_with_asymmetric_padding():
    assert get_conv_outsize(5, 3, 2, (1, 2)) == (5 + 1 + 2 - 3) // 2 + 1 == 3
    y = F.conv2d(np.zeros((1, 1, 5, 7)), np.zeros((1, 1, 3, 3)), pad=((1, 2), (0, 3)), stride=2)
    assert y.shape == (1, 1, 3, 4)


@pytest.mark.parametrize(('kernel', 'pad'), [(3, 1), (5, 2), (7, 3)])
def test_same_padding_of_odd_kernels(kernel, pad):
    assert Window(kernel, pad='same').pads((9, 11)) == ((pad, pad), (pad, pad))
    assert F.conv2d(np.zeros((1, 1, 9, 11)), np.zeros((1, 1, kernel, kernel)), pad='same').shape == (1, 1, 9, 11)


@pytest.mark.parametrize('pool', [F.pooling, F.pooling_simple])
def test_max_pooling(pool):
    x = np.array([[1.0, 2, 3, 4], [5, 6, 7, 8], [9, 1, 2, 3], [4, 5, 6, 7]]).reshape(1, 1, 4, 4)
    np.testing.assert_array_equal(pool(x, 2, 2).data[0, 0], [[6, 8], [9, 7]])


def test_maximum_and_average_of_one_window():
    x = np.array([[[[1.0, 5.0], [3.0, 4.0]]]])
    assert F.pooling(x, 2).item() == 5
    assert F.average_pooling(x, 2).item() == 3.25


def test_pooling_by_im2col_step_by_step():
    """(3, 4, 4) -> rows of 4, 12 of them -> 12 maxima -> (3, 2, 2); rows position-major, then channel."""
    x = np.random.default_rng(0).standard_normal((1, 3, 4, 4))
    rows = F.im2col(x, 2, 2).data.reshape(-1, 4)
    assert rows.shape == (12, 4)
    np.testing.assert_array_equal(rows[1], x[0, 1, :2, :2].ravel())  # the second channel of the first place
    np.testing.assert_array_equal(rows[3], x[0, 0, :2, 2:].ravel())  # the first channel of the second place
    y = rows.max(axis=1).reshape(1, 2, 2, 3).transpose(0, 3, 1, 2)
    assert y.shape == (1, 3, 2, 2)
    np.testing.assert_array_equal(y, F.pooling(x, 2, 2).data)


def test_one_convolution_sees_three_by_three_pixels():
    x = Variable(np.zeros((1, 1, 9, 9)))
    F.conv2d(x, np.ones((1, 1, 3, 3)))[0, 0, 3, 4].backward()
    rows, columns = np.nonzero(x.grad.data[0, 0])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (3, 5, 4, 6)


def test_true_convolution_flips_the_kernel():
    """Cross-correlation with the flipped kernel is convolution as mathematics has it: 0*9... = 16 24 / 28 36 padded."""
    flipped = K[:, :, ::-1, ::-1]
    expected = [[sum(X[0, 0, i + a, j + b] * K[0, 0, 1 - a, 1 - b] for a in (0, 1) for b in (0, 1)) for j in (0, 1)]
                for i in (0, 1)]
    np.testing.assert_array_equal(F.conv2d(X, flipped).data[0, 0], expected)
    assert expected[0][0] == 1 * 3 + 2 * 2 + 4 * 1 + 5 * 0 == 11


def test_a_shared_kernel_sees_a_pattern_wherever_it_moves():
    x = np.zeros((1, 1, 8, 9))
    x[0, 0, 1:3, 2:4] = K[0, 0]
    y = F.conv2d(x, K).data
    moved = F.conv2d(np.roll(x, (3, 4), axis=(2, 3)), K).data
    np.testing.assert_array_equal(np.roll(y, (3, 4), axis=(2, 3))[..., 3:, 4:], moved[..., 3:, 4:])


def test_im2col_shapes():
    x = np.zeros((2, 3, 5, 6))
    assert F.im2col(x, (3, 2), (2, 1), (1, 2)).shape == (2 * 3 * 9, 3 * 3 * 2)
    assert F.im2col(x, (3, 2), (2, 1), (1, 2), to_matrix=False).shape == (2, 3, 3, 2, 3, 9)


def test_pair_takes_any_two_sequence():
    assert pair(3) == pair([3, 3]) == pair(np.array([3, 3])) == pair((np.int64(3), 3)) == pair(np.array(3)) == (3, 3)
    for wrong in ([3, 3, 3], 'ab', 1.5, None, True, [1.0, 2.0], np.eye(2, dtype=int), [1, [2]]):
        with pytest.raises(ValueError, match='expected an int or two ints'):
            pair(wrong)


def test_sizes_below_one_are_errors():
    with pytest.raises(ValueError, match='does not fit'):
        get_conv_outsize(2, 3, 1, 0)
    with pytest.raises(ValueError, match='would make 0 pixels'):
        get_deconv_outsize(1, 2, 1, 1)
    with pytest.raises(ValueError, match='stride: 0 is too small'):
        get_deconv_outsize(3, 3, 0, 0)


def test_a_quotient_is_no_size():
    with pytest.raises(ValueError, match=r'input_size: expected a whole number, got 14\.0; .* // '):
        get_conv_outsize(28 / 2, 3, 1, 0)


def test_deconv_outsize_undoes_conv_outsize():
    for size, k, s, p in ((7, 3, 2, 1), (9, 2, 3, 0), (5, 5, 1, 2)):
        places = get_conv_outsize(size, k, s, p)
        back = get_deconv_outsize(places, k, s, p)
        assert back <= size < back + s


def test_messages_speak_chinese(monkeypatch):
    from nailorch import using_config
    with using_config('lang', 'zh'), pytest.raises(ValueError, match='x 有 3 个通道，W 需要 2 个'):
        F.conv2d(np.zeros((1, 3, 8, 8)), np.zeros((4, 2, 3, 3)))
    monkeypatch.setenv('NAILORCH_LANG', 'zh')
    with pytest.raises(ValueError, match='卷积核'):
        F.conv2d(np.zeros((1, 3, 2, 2)), np.zeros((4, 3, 3, 3)))
