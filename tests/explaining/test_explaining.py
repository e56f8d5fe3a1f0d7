"""Explanations: each cell ends in the number that nailorch computes, by products that are the chapter's."""

import json

import numpy as np
import pytest

import nailorch
import nailorch.functions as F
from nailorch import explain, using_config
from nailorch.explaining import EXPLAINED

X = np.arange(1, 10).reshape(3, 3)
K = np.array([[0, 1], [2, 3]])

rng = np.random.default_rng(7)


def numbers(*shape):
    return rng.permutation(np.prod(shape)).reshape(shape) - np.prod(shape) // 3.0


CALLS = [
    ('conv2d', [numbers(5, 6), numbers(3, 2)], {'stride': (2, 1), 'pad': ((1, 0), (2, 1))}, 'xW'),
    ('conv2d', [numbers(3, 5, 4), numbers(3, 2, 3)], {'dilation': (2, 1)}, 'xW'),
    ('conv2d', [numbers(2, 4, 5), numbers(3, 2, 2, 2), numbers(3)], {'pad': 'same'}, 'xWb'),
    ('conv2d', [numbers(2, 4, 5, 4), numbers(6, 2, 3, 2), numbers(6)], {'groups': 2, 'pad': 1, 'stride': 2}, 'xWb'),
    ('deconv2d', [numbers(2, 3, 3, 2), numbers(3, 2, 3, 2), numbers(2)], {'stride': 2, 'pad': (1, 0)}, ''),
    ('deconv2d', [numbers(1, 4, 2, 3), numbers(4, 1, 2, 2)], {'groups': 2, 'outsize': (5, 6), 'stride': 2}, ''),
    ('deconv2d', [numbers(2, 3), numbers(4, 3, 2)], {'stride': (1, 2)}, ''),  # one channel gives four
    ('pooling', [numbers(2, 3, 5, 6), (3, 2)], {'stride': (2, 1), 'pad': (1, 0)}, 'x'),
    ('pooling', [numbers(5, 5), 2], {'stride': 2, 'ceil_mode': True}, 'x'),
    ('pooling', [np.array([[2., 2, 1], [2, 2, 1], [0, 0, 0]]), 2], {}, 'x'),  # ties go to the first
    ('average_pooling', [numbers(2, 4, 5), (2, 3)], {'stride': 2, 'pad': 1}, 'x'),
    ('average_pooling', [numbers(1, 2, 5, 5), 3], {'stride': 2, 'pad': 1, 'count_include_pad': False}, 'x'),
    ('average_pooling', [numbers(6, 6), 3], {'stride': 2, 'pad': 1, 'ceil_mode': True}, 'x'),
    ('im2col', [numbers(2, 3, 4, 5), (3, 2)], {'stride': (1, 2), 'pad': 1}, ''),
    ('col2im', [numbers(2 * 6, 3 * 4), (2, 3, 4, 3), 2], {'stride': (1, 1)}, ''),
    ('col2im', [numbers(15, 4), (5, 6), 2], {'stride': (2, 1), 'pad': ((1, 0), (0, 0))}, ''),
    ('linear', [numbers(3, 4), numbers(4, 2), numbers(2)], {}, 'xWb'),
    ('linear', [numbers(4), numbers(4, 3)], {}, 'xW'),
    ('softmax', [numbers(2, 5) / 3], {}, 'x'),
    ('softmax', [numbers(5) / 3], {}, 'x'),
    ('softmax', [numbers(2, 3, 2) / 4], {'axis': 1}, 'x'),
    ('batch_norm', [numbers(4, 3), numbers(3), numbers(3)], {}, ['x', 'gamma', 'beta']),
    ('batch_norm', [numbers(2, 3, 2, 2)], {'eps': 0.1}, ['x', 'gamma', 'beta']),
]


@pytest.mark.parametrize(('op', 'arguments', 'options', 'gradients'), CALLS)
def test_every_cell_ends_in_the_computed_number(op, arguments, options, gradients):
    told = explain(op, *arguments, **options)
    told.verify()
    for of in gradients:
        gy = rng.standard_normal(told.output.shape)
        back = explain(op, *arguments, **options, of=of, gy=gy)
        back.verify()
        position = {'x': 0, 'W': 1, 'gamma': 1, 'b': 2, 'beta': 2}[of]
        if position < len(arguments):
            assert back.output.shape == np.shape(arguments[position])


@pytest.mark.parametrize(('op', 'arguments', 'options', 'gradients'), CALLS)
def test_reads_are_the_arrays_numbers(op, arguments, options, gradients):
    for told in [explain(op, *arguments, **options), *(explain(op, *arguments, **options, of=of) for of in gradients)]:
        for cell in told:
            for read in cell.reads:
                if read.padding:
                    assert read.value == 0
                else:
                    assert told.arrays[read.array][read.index] == pytest.approx(read.value)


def test_every_explained_operator_is_tried():
    assert {call[0] for call in CALLS} == set(EXPLAINED)


def test_the_chapters_convolution():
    told = explain(F.conv2d, X, K)
    assert [str(cell) for cell in told] == [
        '0·1 + 1·2 + 2·4 + 3·5 = 25', '0·2 + 1·3 + 2·5 + 3·6 = 31',
        '0·4 + 1·5 + 2·7 + 3·8 = 43', '0·5 + 1·6 + 2·8 + 3·9 = 49']
    assert 'OH = (H + before + after − KH) // SH + 1 = (3 + 0 + 0 − 2) // 1 + 1 = 2' in str(told)
    assert str(explain('conv2d', X, K, [1]).cell(0, 0)).endswith('25 + 1 = 26')
    strided = explain('conv2d', np.arange(1, 17).reshape(4, 4), K, stride=2)
    assert strided.output.tolist() == [[30, 42], [78, 90]]
    channels, kernels = np.arange(1, 28).reshape(3, 3, 3), np.arange(12).reshape(3, 2, 2)
    told = explain('conv2d', channels, kernels)
    assert told.output.ravel().tolist() == [1101, 1167, 1299, 1365]
    assert str(told.cell(0, 0)).split('\n')[-1] == '25 + 271 + 805 = 1101'


def test_the_chapters_pooling():
    table = [[1, 2, 3, 4], [5, 6, 7, 8], [9, 1, 2, 3], [4, 5, 6, 7]]
    assert explain('pooling', table, 2, 2).output.tolist() == [[6, 8], [9, 7]]
    assert str(explain('pooling', table, 2, 2).cell(0, 0)) == 'max(1, 2, 5, 6) = 6'
    assert str(explain('average_pooling', [[1, 5], [3, 4]], 2).cell(0, 0)) == '(1 + 5 + 3 + 4) / 4 = 3.25'


@pytest.mark.parametrize(('x', 'W', 'y'), [
    ((5, 4), (2, 3), (4, 2)), ((3, 5, 4), (3, 2, 3), (4, 2)), ((3, 5, 4), (6, 3, 2, 3), (6, 4, 2)),
    ((7, 3, 5, 4), (6, 3, 2, 3), (7, 6, 4, 2)), ((7, 3, 5, 4), (3, 2, 3), (7, 4, 2)),
])
def test_the_table_of_shapes(x, W, y):
    assert explain('conv2d', numbers(*x), numbers(*W)).output.shape == y


def test_padding_is_read_outside_the_image():
    told = explain('conv2d', X, K, pad=1)
    reads = [read for read in told.cell(0, 0).reads if read.array == 'x']
    assert [(read.index, read.padding, read.value) for read in reads] == [
        ((-1, -1), True, 0), ((-1, 0), True, 0), ((0, -1), True, 0), ((0, 0), False, 1)]
    assert told.padding == ((1, 1), (1, 1))


def test_who_reads_a_pixel():
    told = explain('conv2d', np.arange(16).reshape(4, 4), K, stride=2)
    assert told.readers('x', 1, 1) == [(0, 0)]
    assert explain('col2im', np.ones((4, 4)), (3, 3), 2).cell(1, 1).value == 4


def test_json_holds_every_cell():
    told = explain('conv2d', X, K, pad=1)
    data = json.loads(json.dumps(told.to_dict()))
    assert data['version'] == 1
    assert [cell['value'] for cell in data['cells']] == told.output.ravel().tolist()
    assert data['cells'][5]['stages'][0]['terms'][0]['reads'][1] == {
        'array': 'x', 'index': [0, 0], 'value': 1, 'padding': False}
    json.loads(json.dumps(explain('pooling', [[np.nan, 1], [2, np.inf]], 2).to_dict(), allow_nan=False))
    with pytest.raises(ValueError, match='too many'):
        explain('conv2d', np.zeros((64, 64)), np.zeros((9, 9))).to_dict()


@pytest.mark.parametrize(('op', 'arguments'), [
    ('conv2d', [[[np.inf, 1], [2, -np.inf]], [[0, 1], [2, 3]]]), ('average_pooling', [[[np.inf, -np.inf], [1, 2]], 2]),
    ('softmax', [[np.inf, 1, 2]]), ('batch_norm', [[[np.inf, 1], [2, 3]]]),
])
def test_infinities_come_out_as_computed_without_warnings(op, arguments):  # warnings are errors
    told = explain(op, *arguments)
    np.testing.assert_array_equal([cell.value for cell in told], told.output.ravel())


def test_both_languages():
    with using_config('lang', 'zh'):
        assert '前补' in str(explain('conv2d', X, K))
    with using_config('lang', 'en'):
        assert 'before' in str(explain('conv2d', X, K))


@pytest.mark.parametrize(('call', 'said'), [
    (lambda: explain('convd', X, K), "did you mean 'conv2d'"),
    (lambda: explain('pooling', X, 2, of='W'), 'gradients of x, not of'),
    (lambda: explain('conv2d', X, K, of='b'), 'gradients of x, W'),
    (lambda: explain('conv2d', np.zeros(3), K), '1 axes'),
    (lambda: explain('conv2d', np.zeros((3, 4, 4)), K), '3 channels'),
    (lambda: explain('conv2d', X, np.zeros((4, 4))), 'kernel'),
    (lambda: explain('conv2d', np.array([['a']]), K), 'no numbers'),
    (lambda: explain('conv2d', X, K, of='x', gy=[1, 2, 3]), 'gy has 3 numbers, the result has 4'),
])
def test_errors(call, said):
    with using_config('lang', 'en'), pytest.raises(ValueError, match=said):
        call()
    with pytest.raises(IndexError, match='there is no cell'):
        explain('conv2d', X, K).cell(2, 0)


@pytest.mark.parametrize('call', [
    lambda: explain('convd', X, K), lambda: explain('pooling', X, 2, of='W'), lambda: explain('conv2d', X, K, of='b'),
    lambda: explain('conv2d', np.zeros(3), K), lambda: explain('conv2d', np.zeros((3, 4, 4)), K),
    lambda: explain('conv2d', np.array([['a']]), K), lambda: explain('conv2d', X, K, of='x', gy=[1, 2, 3]),
    lambda: explain('softmax', X, of='W'), lambda: explain('linear', X, K, of='c')])
def test_errors_are_in_chinese_too(call):
    with using_config('lang', 'zh'), pytest.raises(ValueError, match=r'[\u4e00-\u9fff]'):
        call()


def test_a_pixel_that_no_window_chose_is_told_in_words():
    told = explain('pooling', [[1, 2], [3, 4]], 2, of='x')
    with using_config('lang', 'en'):
        assert str(told.cell(0, 0)) == 'no window chose this pixel: 0'
        assert str(told.cell(1, 1)) == '1 = 1'
        for op in 'average_pooling', 'pooling':
            assert str(explain(op, np.ones((3, 3)), 1, 2, of='x').cell(1, 1)).startswith('no window')
        assert 'no window sees this pixel: 0' in str(explain('conv2d', np.ones((3, 3)), [[1.]], stride=2, of='x'))
        assert str(explain('col2im', np.ones((4, 1)), (3, 3), 1, 2).cell(0, 1)) == 'no window sees this pixel: 0'
    with using_config('lang', 'zh'):
        assert str(told.cell(0, 0)) == '没有窗口选中这个像素: 0'


def test_explain_is_a_function_of_the_package():
    assert nailorch.explain is explain
    assert callable(nailorch.explain)
