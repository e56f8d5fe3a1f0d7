"""A thousand damaged files of each format: a named error or whole numbers, at once, in little memory."""

import io
import pickle
import struct
import time
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest

from nailorch.formats.files import BrokenFile
from nailorch.formats.safetensors import safetensors_parts
from nailorch.formats.weights import read_weights
from tests.formats.test_pth import archive, dictionary, tensor

COUNT, WATCHED = 1000, 200
ARRAYS = {'conv1/W': np.arange(54, dtype='f').reshape(2, 3, 3, 3), 'conv1/b': np.ones(2, 'f'), 'n': np.array(7)}
MEMORY = 8 << 20  # beyond a small multiple of the file's size
EXTREMES = [0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0xffffffff, 1 << 40, 0x7fffffffffffffff, 0xffffffffffffffff]


def npz(path):
    np.savez(path, **ARRAYS)


def packed(path):
    np.savez_compressed(path, **ARRAYS)


def safetensors(path):
    path.write_bytes(b''.join(safetensors_parts(ARRAYS, {'by': 'us'})))


def keras(path):
    h5py = pytest.importorskip('h5py')
    pytest.importorskip('pyfive')
    with h5py.File(path, 'w') as file:
        for name, array in ARRAYS.items():
            file[name] = array


def keras_new(path):
    h5py = pytest.importorskip('h5py')
    pytest.importorskip('pyfive')
    with h5py.File(path, 'w', libver='latest') as file:
        for name, array in ARRAYS.items():
            file[name] = array


def pth(path):
    archive(path, dictionary(x=tensor(), y=tensor(key=b'1', count=2, shape=(2,), strides=(1,), dtype=b'Double')),
            **{'data/1': bytes(16), 'byteorder': b'little'})


def legacy(path):
    parts = [pickle.dumps(each, 2) for each in (0x1950a86a20f9469cfc6c, 1001, {'little_endian': True})]
    parts += [dictionary(x=tensor()), pickle.dumps(['0'], 2)]
    path.write_bytes(b''.join(parts) + struct.pack('<q', 4) + bytes(16))


def damaged(whole, rng):
    """Return a file with one of these: bits that flipped, a cut, a length spliced in, a part moved or doubled."""
    data = bytearray(whole)
    kind = rng.integers(5)
    if kind == 0:
        for place in rng.integers(len(data), size=rng.integers(1, 4)):
            data[place] ^= 1 << rng.integers(8)
    elif kind == 1:
        for place in rng.integers(len(data), size=rng.integers(1, 4)):
            data[place] = rng.integers(256)
    elif kind == 2:
        del data[rng.integers(len(data)):]
    elif kind == 3:
        place, size = rng.integers(len(data)), 1 << int(rng.integers(4))
        value = EXTREMES[rng.integers(len(EXTREMES))] & (1 << 8 * size) - 1
        data[place:place + size] = value.to_bytes(size, 'big' if rng.integers(2) else 'little')
    else:
        begin, end = sorted(rng.integers(len(data), size=2))
        place = rng.integers(len(data))
        data[place:place] = data[begin:min(end, begin + 512)]
    return bytes(data)


@pytest.mark.parametrize('write', [npz, packed, safetensors, keras, keras_new, pth, legacy], ids=lambda f: f.__name__)
def test_damaged_files_are_a_named_error_or_do_no_harm(write, tmp_path):
    path, rng = tmp_path / 'a.npz', np.random.default_rng(0)
    write(path)
    whole = path.read_bytes()
    assert read_weights(path).arrays
    refused = 0
    tracemalloc.start()  # which makes all slower: memory is watched for the first files only
    try:
        for i in range(COUNT):
            if i == WATCHED:
                tracemalloc.stop()
            data = damaged(whole, rng)
            path = tmp_path / f'{i}.npz'  # writing an old file anew takes some systems ten times as long
            path.write_bytes(data)
            before, start = tracemalloc.get_traced_memory()[0], time.perf_counter()
            if i < WATCHED:
                tracemalloc.reset_peak()
            try:
                with warnings.catch_warnings(action='ignore'):
                    weights = read_weights(path)
            except BrokenFile as error:
                assert path.name in str(error)
                refused += 1
            else:
                assert sum(array.nbytes for array in weights.arrays.values()) <= MEMORY
            assert tracemalloc.get_traced_memory()[1] - before < MEMORY + 16 * len(data)
            assert time.perf_counter() - start < 20
    finally:
        tracemalloc.stop()
    assert refused > COUNT // 20


def test_damaged_pickles_within_whole_zip_files_do_no_harm(tmp_path):
    """The zip's checksum would hide what the pickle's machine does with damaged programs."""
    rng, pickled = np.random.default_rng(1), dictionary(x=tensor(), y=tensor(offset=1, shape=(3,), strides=(1,)))
    for i in range(COUNT):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, 'w') as file:
            file.writestr('a/data.pkl', damaged(pickled, rng))
            file.writestr('a/data/0', bytes(16))
        (tmp_path / str(i)).write_bytes(buffer.getvalue())
        try:
            weights = read_weights(tmp_path / str(i))
        except BrokenFile:
            continue
        assert all(array.nbytes <= 1 << 24 for array in weights.arrays.values())
