"""Files that survive a crash."""

import os

import pytest

from nailorch.formats import files


def test_replace_file_writes_all_parts(tmp_path):
    files.replace_file(tmp_path / 'a', [b'one ', b'two'])
    assert (tmp_path / 'a').read_bytes() == b'one two'
    assert os.listdir(tmp_path) == ['a']


def test_replace_file_keeps_the_old_one_when_writing_fails(tmp_path):
    (tmp_path / 'a').write_bytes(b'old')

    def parts():
        yield b'new'
        raise OSError('disk full')

    with pytest.raises(OSError, match='disk full'):
        files.replace_file(tmp_path / 'a', parts())
    assert (tmp_path / 'a').read_bytes() == b'old'
    assert os.listdir(tmp_path) == ['a']


def test_write_file_returns_length_and_digest(tmp_path):
    length, sha256 = files.write_file(tmp_path / 'a', [b'ab', b'c'])
    assert length == 3
    assert sha256 == 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'  # FIPS 180-2, of 'abc'
    assert files.digest(tmp_path / 'a') == sha256


def test_locked_keeps_others_out_until_the_block_ends(tmp_path):
    (tmp_path / 'a').write_bytes(b'old')
    with files.locked(tmp_path / 'a'):
        assert (tmp_path / 'a').read_bytes() == b'old'
        with pytest.raises(BlockingIOError, match='a'), files.locked(tmp_path / 'a'):
            raise AssertionError
    with files.locked(tmp_path / 'a'):
        pass
