"""Checkpoints survive every crash, and damage is named."""

import json
import os
import shutil

import numpy as np
import pytest

from nailorch.training import checkpoints
from nailorch.training.checkpoints import CheckpointError, Checkpoints


class Crash(BaseException):
    """The program ends here: no handler may see it, as with kill -9."""


def state(n):
    return {'step': n, 'loss': 0.1 * n, 'rng': {'state': 2**127 + n}, 'none': None, 'infinite': float('inf'),
            'history': [{'epoch': 1}], 'permutation': np.arange(5) * n,
            'model': {'conv/W': np.full((3, 4), n, np.float32)}}


def assert_same(left, right):
    assert type(left) is type(right)
    if isinstance(left, dict):
        assert left.keys() == right.keys()
        for name in left:
            assert_same(left[name], right[name])
    elif isinstance(left, np.ndarray):
        np.testing.assert_array_equal(left, right)
        assert left.dtype == right.dtype
    else:
        assert left == right


def assert_is(checkpoint, n):
    assert_same(checkpoint.state, state(n))


@pytest.fixture
def saved(tmp_path):
    """Three checkpoints were saved, of which two are kept."""
    store = Checkpoints(tmp_path / 'last.ckpt')
    for n in (1, 2, 3):
        store.save(state(n))
    return store


def test_load_returns_what_was_saved_to_the_last_bit(saved):
    checkpoint = Checkpoints(saved.folder).load()
    assert_is(checkpoint, 3)
    assert checkpoint.skipped == []


def test_save_keeps_the_last_two(saved):
    assert sorted(os.listdir(saved.folder)) == ['00000002', '00000003']


def test_load_is_none_where_nothing_was_saved(tmp_path):
    assert Checkpoints(tmp_path / 'last.ckpt').load() is None


def test_save_accepts_numpy_scalars(tmp_path):
    Checkpoints(tmp_path).save({'lr': np.float32(0.5)})
    assert Checkpoints(tmp_path).load().state == {'lr': 0.5}


def crash_after(count, monkeypatch):
    """Let `count` more changes of the disk happen, then crash at each further one, before it happens."""
    left = [count]

    def counted(function):
        def run(*args, **kwargs):
            if left[0] == 0:
                raise Crash
            left[0] -= 1
            return function(*args, **kwargs)
        return run

    for owner, name in [(os, 'fsync'), (os, 'rename'), (os, 'replace'), (os, 'mkdir'), (os, 'unlink'), (os, 'rmdir')]:
        monkeypatch.setattr(owner, name, counted(getattr(owner, name)))
    return left


def test_a_crash_at_any_instant_leaves_the_last_good_checkpoint(tmp_path, monkeypatch):
    crashes = 0
    for count in range(1000):
        store = Checkpoints(tmp_path / str(count) / 'last.ckpt')
        store.save(state(1))
        store.save(state(2))
        with monkeypatch.context() as patch:
            left = crash_after(count, patch)
            try:
                store.save(state(3))
            except Crash:
                crashes += 1
        after = Checkpoints(store.folder)
        checkpoint = after.load()
        assert checkpoint.skipped == []
        assert checkpoint.state['step'] in (2, 3)
        assert_is(checkpoint, checkpoint.state['step'])
        after.save(state(4))  # and the remains of the crash are in nobody's way
        assert_is(Checkpoints(store.folder).load(), 4)
        assert len(os.listdir(store.folder)) == 2
        if left[0] > 0:
            break
    assert crashes > 10


@pytest.mark.skipif(not os.path.exists('/proc/self/fd'), reason='asks Linux which file is forced to the disk')
def test_all_is_on_the_disk_before_the_rename_and_the_rename_before_older_ones_go(saved, monkeypatch):
    done = []
    fsync, rename, rmtree = os.fsync, os.rename, shutil.rmtree
    monkeypatch.setattr(os, 'fsync', lambda fd: (done.append(os.path.basename(os.readlink(f'/proc/self/fd/{fd}'))),
                                                 fsync(fd)))
    monkeypatch.setattr(os, 'rename', lambda old, new: (done.append('rename'), rename(old, new)))
    monkeypatch.setattr(shutil, 'rmtree', lambda path, **how: (done.append(f'remove {path.name}'), rmtree(path, **how)))
    saved.save(state(4))
    assert done[-7:] == ['arrays.safetensors', 'state.json', 'manifest.json', 'unfinished', 'rename', 'last.ckpt',
                         'remove 00000002']


def test_save_after_a_fall_back_keeps_the_good_one(saved):
    (saved.folder / '00000003' / 'state.json').write_text('{}')
    store = Checkpoints(saved.folder)
    assert_is(store.load(), 2)
    store.save(state(4))
    assert sorted(os.listdir(saved.folder)) == ['00000002', '00000004']


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize('damage', [truncate, flip, os.unlink])
@pytest.mark.parametrize('name', ['arrays.safetensors', 'state.json', 'manifest.json'])
def test_load_falls_back_and_says_which_file_is_damaged(saved, name, damage):
    damage(saved.folder / '00000003' / name)
    checkpoint = Checkpoints(saved.folder).load()
    assert_is(checkpoint, 2)
    assert len(checkpoint.skipped) == 1
    assert '00000003' in checkpoint.skipped[0]
    assert name in checkpoint.skipped[0]


def test_load_raises_one_named_error_when_all_are_damaged(saved):
    truncate(saved.folder / '00000003' / 'arrays.safetensors')
    shutil.rmtree(saved.folder / '00000002')
    with pytest.raises(CheckpointError, match=r'arrays.safetensors: \d+ bytes long, manifest.json says \d+. No whole'):
        Checkpoints(saved.folder).load()


def write_manifest(folder, **changes):
    manifest = json.loads((folder / 'manifest.json').read_text())
    (folder / 'manifest.json').write_text(json.dumps({**manifest, **changes}))


def hostile_manifest(folder):
    (folder / 'manifest.json').write_text('[' * 60_000)


def huge_manifest(folder):
    (folder / 'manifest.json').write_text(' ' * (1 << 20))


def other_files(folder):
    write_manifest(folder, files={'../../secret': {'bytes': 1, 'sha256': ''}})


def list_of_files(folder):
    write_manifest(folder, files=['state.json'])


def other_format(folder):
    write_manifest(folder, format='something else')


def pipe(folder):
    os.unlink(folder / 'state.json')
    os.mkfifo(folder / 'state.json')


@pytest.mark.parametrize('attack', [hostile_manifest, huge_manifest, other_files, list_of_files, other_format, pipe])
def test_load_survives_hostile_files(saved, attack):
    attack(saved.folder / '00000003')
    checkpoint = Checkpoints(saved.folder).load()
    assert_is(checkpoint, 2)
    assert '00000003' in checkpoint.skipped[0]


def test_load_refuses_more_than_a_checkpoint_can_be(saved, monkeypatch):
    monkeypatch.setitem(checkpoints.LIMITS, 'state.json', 10)
    with pytest.raises(CheckpointError, match='are more than any checkpoint has'):
        Checkpoints(saved.folder).load()


def test_save_to_a_full_disk_is_one_error_and_loses_nothing(saved, monkeypatch):
    def full(descriptor):
        raise OSError(28, 'No space left on device')

    with monkeypatch.context() as patch:
        patch.setattr(os, 'fsync', full)
        with pytest.raises(CheckpointError, match=r'No space left on device. Nothing is lost: .*00000003 is whole'):
            saved.save(state(4))
    assert sorted(os.listdir(saved.folder)) == ['00000002', '00000003']
    assert_is(Checkpoints(saved.folder).load(), 3)


def test_save_where_no_folder_can_be_is_one_error(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(CheckpointError, match=r'cannot be written: Not a directory. No checkpoint was saved yet'):
        Checkpoints(tmp_path / 'file' / 'last.ckpt').save(state(1))
