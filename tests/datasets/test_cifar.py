"""CIFAR's binary files."""

import hashlib
import io
import tarfile

import numpy as np
import pytest

from nailorch.datasets import CIFAR10, CIFAR100
from nailorch.formats import assets


def records(labels, seed=0):
    """Return rows of label bytes and 3072 pixels each."""
    labels = np.atleast_2d(np.asarray(labels, np.uint8).T).T
    pixels = np.random.default_rng(seed).integers(0, 256, (len(labels), 3072), np.uint8)
    return np.hstack([labels, pixels])


@pytest.fixture
def cifar10(tmp_path):
    for number in range(1, 6):
        (tmp_path / f'data_batch_{number}.bin').write_bytes(records([number, 9], number).tobytes())
    (tmp_path / 'test_batch.bin').write_bytes(records([0, 1, 2], 6).tobytes())
    return tmp_path


def test_cifar10_reads_five_batches_in_order(cifar10):
    dataset = CIFAR10(root=cifar10)
    assert dataset.label.tolist() == [1, 9, 2, 9, 3, 9, 4, 9, 5, 9]
    assert dataset.labels()[9] == 'truck'


def test_cifar10_pixels_are_planes_of_red_green_and_blue(cifar10):
    row = records([0, 1, 2], 6)[1]
    x, t = CIFAR10(train=False, transform=None, root=cifar10)[1]
    assert t == 1 and x.shape == (3, 32, 32)
    assert x[2, 4, 5] == row[1 + 2 * 1024 + 4 * 32 + 5]


def test_cifar10_gives_values_up_to_one(cifar10):
    x, _ = CIFAR10(root=cifar10)[0]
    assert x.dtype == np.float32 and 0.9 < x.max() <= 1


@pytest.mark.parametrize('label_type, labels, name', [('fine', [99, 0], 'worm'), ('coarse', [19, 4], 'vehicles_2')])
def test_cifar100_has_two_labels(tmp_path, label_type, labels, name):
    (tmp_path / 'train.bin').write_bytes(records([[19, 99], [4, 0]]).tobytes())
    dataset = CIFAR100(root=tmp_path, label_type=label_type)
    assert dataset.label.tolist() == labels
    assert dataset.labels()[labels[0]] == name
    np.testing.assert_array_equal(dataset.data[1].reshape(-1), records([[19, 99], [4, 0]])[1, 2:])


def test_cifar100_classes_are_complete_and_sorted():
    for label_type, count in [('fine', 100), ('coarse', 20)]:
        dataset = CIFAR100.__new__(CIFAR100)
        with pytest.raises(FileNotFoundError):
            dataset.__init__(root='nowhere', label_type=label_type)
        assert len(dataset.classes) == count and list(dataset.classes) == sorted(dataset.classes)


def test_cifar100_rejects_other_labels(tmp_path):
    with pytest.raises(ValueError, match="'fine' or 'coarse', not 'medium'"):
        CIFAR100(root=tmp_path, label_type='medium')


@pytest.mark.parametrize('content', [b'', bytes(3072), bytes(3074), bytes(3073 * 50001)])
def test_cifar_rejects_files_that_are_no_records(cifar10, content):
    (cifar10 / 'test_batch.bin').write_bytes(content)
    with pytest.raises(ValueError, match=r'test_batch\.bin: .* not a whole number of records of 3073'):
        CIFAR10(train=False, root=cifar10)


def test_cifar_rejects_a_label_that_is_no_class(cifar10):
    (cifar10 / 'test_batch.bin').write_bytes(records([10]).tobytes())
    with pytest.raises(ValueError, match='a label of 10 among 10 classes'):
        CIFAR10(train=False, root=cifar10)


def test_cifar_names_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'data_batch_1\.bin: there is no such file'):
        CIFAR10(root=tmp_path)


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """Put an archive of two files where CIFAR10 looks for the real one."""
    def make(**members):
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode='w:gz') as tar:
            for name, content in members.items():
                info = tarfile.TarInfo(f'cifar-10-batches-bin/{name}.bin')
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        content = data.getvalue()
        name = 'cifar/cifar-10-binary.tar.gz'
        fake = assets.Asset(name, len(content), hashlib.sha256(content).hexdigest(), 'none', ())
        monkeypatch.setitem(assets.ASSETS, name, fake)
        monkeypatch.setenv('NAILORCH_CACHE', str(tmp_path))
        (tmp_path / 'cifar').mkdir()
        (tmp_path / name).write_bytes(content)
        return tmp_path / name
    return make


def test_cifar_reads_the_archive_as_it_is(archive):
    rows = records([7, 8])
    archive(readme=b'hello', test_batch=rows.tobytes())
    dataset = CIFAR10(train=False)
    assert dataset.label.tolist() == [7, 8]
    np.testing.assert_array_equal(dataset.data.reshape(2, -1), rows[:, 1:])


def test_cifar_says_what_an_archive_lacks(archive):
    archive(test_batch=records([7]).tobytes())
    with pytest.raises(ValueError, match=r'data_batch_1.bin\?'):
        CIFAR10(train=True)
