"""npz files from strangers: broken, cut short, or made to do harm."""

import io
import zipfile
import zlib

import numpy as np
import pytest

from nailorch.formats.npz import load_npz, save_npz

ARRAYS = {'conv/W': np.arange(24, dtype=np.float32).reshape(2, 3, 4), 'b': np.array([1.5, -2.0]), 'n': np.array(7)}


def npy(shape, dtype='<f4', data=b'', fortran=False):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {'descr': dtype, 'fortran_order': fortran, 'shape': shape})
    return file.getvalue() + data


def archive(path, compression=zipfile.ZIP_STORED, **entries):
    with zipfile.ZipFile(path, 'w', compression) as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return path


def test_round_trip(tmp_path):
    save_npz(tmp_path / 'a.npz', ARRAYS)
    loaded = load_npz(tmp_path / 'a.npz')
    assert list(loaded) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(loaded[name], array)
        assert loaded[name].dtype == array.dtype


def test_fortran_order_big_endian_and_compressed_files_are_read(tmp_path):
    array = np.asfortranarray(ARRAYS['b'].reshape(1, 2).astype('>f8'))
    np.savez_compressed(tmp_path / 'a.npz', a=array)
    np.testing.assert_array_equal(load_npz(tmp_path / 'a.npz')['a'], array)


def test_nothing_is_read_that_was_not_chosen(tmp_path):
    save_npz(tmp_path / 'a.npz', ARRAYS)
    shapes = {}

    def choose(found):
        shapes.update(found)
        return ['b']

    assert list(load_npz(tmp_path / 'a.npz', choose)) == ['b']
    assert shapes == {'conv/W': (2, 3, 4), 'b': (2,), 'n': ()}


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'none: there is no such file'):
        load_npz(tmp_path / 'none')
    with pytest.raises(FileNotFoundError):
        load_npz(tmp_path)


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'a\.npz cannot be written: No such file'):
        save_npz(tmp_path / 'no' / 'a.npz', ARRAYS)


def test_a_failed_save_leaves_the_old_file(tmp_path):
    save_npz(tmp_path / 'a.npz', ARRAYS)
    with pytest.raises(ValueError, match='Object arrays'):
        save_npz(tmp_path / 'a.npz', {'ok': ARRAYS['b'], 'bad': np.array([object()])})
    assert list(load_npz(tmp_path / 'a.npz')) == list(ARRAYS)
    assert len(list(tmp_path.iterdir())) == 1


HOSTILE = {
    'no zip': lambda path: path.write_bytes(b'PK\3\4 not really'),
    'empty': lambda path: path.write_bytes(b''),
    'no array': lambda path: archive(path, **{'a.npy': b'hello'}),
    'python objects': lambda path: archive(path, **{'a.npy': npy((1,), '|O', b'\x80\x04N.')}),
    'text': lambda path: archive(path, **{'a.npy': npy((1,), '<U1', b'a\0\0\0')}),
    'a header that lies': lambda path: archive(path, **{'a.npy': npy((10 ** 12,), data=b'1234')}),
    'negative sizes': lambda path: archive(path, **{'a.npy': npy((-1, -1), data=b'1234')}),
    'too few bytes': lambda path: archive(path, **{'a.npy': npy((2,), data=b'1234')}),
    'too many bytes': lambda path: archive(path, **{'a.npy': npy((2,), data=b'123456789')}),
    'a bomb': lambda path: archive(path, zipfile.ZIP_DEFLATED, **{'a.npy': npy((1 << 23,), data=bytes(1 << 25))}),
    'a bomb in one chunk': lambda path: archive(path, zipfile.ZIP_LZMA, **{'a.npy': npy((4,), data=bytes(16))}),
    'an endless header': lambda path: archive(path, **{
        'a.npy': b'\x93NUMPY\2\0' + (1 << 24).to_bytes(4, 'little') + b' ' * (1 << 24)}),
}


@pytest.mark.parametrize('kind', HOSTILE)
def test_hostile_files_are_one_named_error(kind, tmp_path):
    HOSTILE[kind](tmp_path / 'bad.npz')
    with pytest.raises(ValueError, match=r'bad\.npz: not a whole \.npz file of weights'):
        load_npz(tmp_path / 'bad.npz')


def test_zeros_may_shrink_by_any_factor(tmp_path):
    np.savez_compressed(tmp_path / 'a.npz', W=np.zeros((1000, 1000), np.float32))
    assert load_npz(tmp_path / 'a.npz')['W'].shape == (1000, 1000)


def test_every_cut_of_a_file_is_one_named_error(tmp_path):
    whole = save_npz(tmp_path / 'a.npz', ARRAYS).read_bytes()
    for length in range(0, len(whole), 7):
        (tmp_path / 'cut.npz').write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r'cut\.npz: not a whole'):
            load_npz(tmp_path / 'cut.npz')


@pytest.mark.filterwarnings('ignore')  # NumPy warns of headers that look like Python 2's
@pytest.mark.parametrize('compression', [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damaged_bytes_are_a_named_error_or_do_no_harm(compression, tmp_path):
    entries = {}
    for name, array in ARRAYS.items():
        file = io.BytesIO()
        np.save(file, array)
        entries[f'{name}.npy'] = file.getvalue()
    whole = np.frombuffer(archive(tmp_path / 'a.npz', compression, **entries).read_bytes(), np.uint8)
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = whole.copy()
        places = rng.integers(len(whole), size=rng.integers(1, 4))
        damaged[places] = rng.integers(256, size=len(places))
        (tmp_path / 'b.npz').write_bytes(damaged.tobytes())
        try:
            loaded = load_npz(tmp_path / 'b.npz')
        except ValueError as error:
            assert 'b.npz: not a whole' in str(error)
        else:  # a name or a date was hit: the numbers are whole
            sums = {zlib.crc32(array.tobytes()) for array in loaded.values()}
            assert sums <= {zlib.crc32(array.tobytes()) for array in ARRAYS.values()}
