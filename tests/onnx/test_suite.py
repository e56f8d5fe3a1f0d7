"""ONNX's own cases, one operator each with its inputs and results, as `onnx` builds them."""

import warnings

import numpy as np
import pytest

import nailorch.onnx
from nailorch import test_mode

onnx = pytest.importorskip('onnx')

# The operators that a CNN needs: 237 cases.
CNN = ['Adagrad', 'Adam', 'Add', 'AveragePool', 'BatchNormalization', 'Clip', 'Concat', 'Conv', 'ConvTranspose',
       'Dropout', 'Flatten', 'Gemm', 'GlobalAveragePool', 'GlobalMaxPool', 'LeakyRelu', 'LogSoftmax', 'MatMul',
       'MaxPool', 'Momentum', 'Mul', 'NegativeLogLikelihoodLoss', 'Pad', 'Relu', 'Reshape', 'Softmax',
       'SoftmaxCrossEntropyLoss']
VOLUMES = {'test_convtranspose_3d'}  # three axes of an image; pooling is one axis after another, so it does them all

# Of operators that are known here, the cases that fail, and why.
ELSEWHERE = VOLUMES | {
    'test_col2im_5d',  # a volume
    'test_constant',  # a file without an input computes nothing
    'test_mod_float_edge_cases_fmod_0_float16', 'test_mod_float_edge_cases_fmod_0_float32',
    'test_mod_float_edge_cases_fmod_0_float64',  # NaN for infinite divisors
    'test_not_2d', 'test_not_3d', 'test_not_4d',  # written for opset 1
}


@pytest.fixture(scope='module')
def cases():
    from onnx.backend.test.case.node import collect_testcases
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # what the cases divide by 0 is theirs
        return collect_testcases(None)


def operator(case):
    """Return the operator that a case is about; None for one that is written out in others."""
    kinds = {node.op_type for node in case.model.graph.node}
    return kinds.pop() if len(kinds) == 1 and '_expanded' not in case.name else None


def is_numpy(case):
    """Return whether all arrays are of NumPy's own types."""
    arrays = [array for inputs, outputs in case.data_sets for array in (*inputs, *outputs)]
    return all(isinstance(array, np.ndarray | np.generic) and array.dtype.kind in 'biuf' for array in arrays)


def check(case):
    net = nailorch.onnx.load(case.model.SerializeToString())
    for inputs, expected in case.data_sets:
        with test_mode(), np.errstate(all='ignore'):
            found = net(*inputs)
        found = found if isinstance(found, tuple) else (found,)
        assert len(found) == len(expected)
        for y, want in zip(found, map(np.asarray, expected), strict=True):
            assert (y.shape, y.dtype) == (want.shape, want.dtype)
            np.testing.assert_allclose(y.data, want, rtol=max(case.rtol, 1e-3), atol=case.atol)


@pytest.mark.parametrize('name', CNN)
def test_operator_of_a_cnn_does_what_onnx_says(name, cases):
    about = [case for case in cases if operator(case) == name and case.name not in VOLUMES]
    assert about
    for case in about:
        check(case)


def test_cases_of_a_cnn_are_all_there(cases):
    names = [case.name for case in cases if operator(case) in CNN]
    assert len(names) == 237
    assert len(VOLUMES.intersection(names)) == len(VOLUMES) <= 14


def test_volumes_have_an_error_of_their_own(cases):
    for case in cases:
        if case.name in VOLUMES:
            with pytest.raises(ValueError, match='volumes are not known here'):
                check(case)


def test_all_other_cases_work_or_name_their_operator(cases, capsys):
    """What is not known must be named; what is known must be right."""
    right = unknown = strange = 0
    for case in cases:
        if operator(case) in CNN:
            continue
        if not is_numpy(case):
            strange += 1
            continue
        try:
            check(case)
        except ValueError as error:
            if case.name in ELSEWHERE:
                continue
            assert 'operators that are not known here' in str(error), case.name
            unknown += 1
        except AssertionError:
            assert case.name in ELSEWHERE, case.name
        else:
            assert case.name not in ELSEWHERE, case.name
            right += 1
    with capsys.disabled():
        print(f"\nONNX's other cases: {right} right, {unknown} of unknown operators, {strange} of types NumPy lacks.")
    assert right > 990
