"""safetensors files, against the `safetensors` package's own reader and writer."""

import contextlib
import importlib
import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from nailorch.formats.safetensors import load_metadata, load_safetensors, save_safetensors

ARRAYS = {
    'conv1/W': np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    'transposed': np.arange(6.0).reshape(2, 3).T,
    'scalar': np.array(7, np.int64),
    'empty': np.zeros((0, 3), np.uint8),
    'half': np.array([1.5, np.nan], np.float16),
    'flags': np.array([True, False]),
    'big-endian': np.arange(3, dtype='>i4'),
    '权重': np.ones(2),
}


def assert_same(left, right):
    assert left.keys() == right.keys()
    for name in left:
        assert left[name].shape == right[name].shape
        assert left[name].dtype == right[name].dtype.newbyteorder('=')
        np.testing.assert_array_equal(left[name], right[name])


def test_save_is_read_by_the_reference_reader(tmp_path):
    save_safetensors(tmp_path / 'a.safetensors', ARRAYS)
    assert_same(load_file(tmp_path / 'a.safetensors'), ARRAYS)


def test_load_reads_what_the_reference_writer_wrote(tmp_path):
    arrays = {name: np.ascontiguousarray(array) for name, array in ARRAYS.items() if name != 'big-endian'}
    save_file(arrays, tmp_path / 'a.safetensors')
    assert_same(load_safetensors(tmp_path / 'a.safetensors'), arrays)


def test_metadata_stands_beside_the_arrays(tmp_path):
    save_safetensors(tmp_path / 'a.safetensors', {'x': np.ones(3)}, {'epoch': '3'})
    assert load_metadata(tmp_path / 'a.safetensors') == {'epoch': '3'}
    save_safetensors(tmp_path / 'a.safetensors', {'x': np.ones(3)})
    assert load_metadata(tmp_path / 'a.safetensors') == {}


@pytest.mark.parametrize('length', [0, 5, 20, 200, -1])
def test_load_names_a_truncated_file(tmp_path, length):
    path = tmp_path / 'a.safetensors'
    save_safetensors(path, ARRAYS)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match=r'a\.safetensors: not a whole safetensors file'):
        load_safetensors(path)
    with pytest.raises(ValueError, match=r'a\.safetensors: not a whole safetensors file'):
        load_metadata(path)


def test_load_refuses_a_header_that_claims_too_much(tmp_path):
    (tmp_path / 'a.safetensors').write_bytes((1 << 62).to_bytes(8, 'little') + b'{}')
    with pytest.raises(ValueError, match='not a whole safetensors file'):
        load_safetensors(tmp_path / 'a.safetensors')


@pytest.mark.parametrize('dtype', ['BF16', 'F8_E4M3'])
def test_load_names_a_file_of_numbers_that_numpy_lacks(tmp_path, dtype):
    with contextlib.suppress(ImportError):
        importlib.import_module('ml_dtypes')  # from then on, safetensors can read them
    size = 2 if dtype == 'BF16' else 1
    header = json.dumps({'x': {'dtype': dtype, 'shape': [2], 'data_offsets': [0, 2 * size]}}).encode()
    (tmp_path / 'a.safetensors').write_bytes(len(header).to_bytes(8, 'little') + header + bytes(2 * size))
    with pytest.raises(ValueError, match=r'a\.safetensors: its numbers are of a type that NumPy lacks .*float'):
        load_safetensors(tmp_path / 'a.safetensors')
