"""Samples by number, and the parts a dataset is split into."""

import numpy as np
import pytest

from nailorch.datasets import ArrayDataset, Dataset, Subset, split
from nailorch.transforms import Normalize


def ten_classes(n=500):
    return ArrayDataset(np.arange(n), np.arange(n) % 10)


def test_dataset_applies_its_transforms():
    dataset = ArrayDataset(np.array([[2., 4.]]), np.array([3]), Normalize(0, 2), lambda t: t + 1)
    x, t = dataset[0]
    np.testing.assert_array_equal(x, [1, 2])
    assert t == 4


def test_dataset_without_labels_gives_none():
    assert ArrayDataset([7])[0] == (7, None)


def test_dataset_takes_the_negative_numbers_of_python():
    assert ArrayDataset([1, 2, 3])[-1][0] == 3


def test_dataset_rejects_a_slice():
    with pytest.raises(TypeError):
        ArrayDataset(np.arange(3))[0:2]


def test_dataset_can_be_looped_over():
    assert [x for x, _ in ArrayDataset([1, 2, 3])] == [1, 2, 3]


def test_array_dataset_rejects_arrays_of_different_lengths():
    with pytest.raises(ValueError, match='3 samples x, but 2 labels t'):
        ArrayDataset(np.zeros(3), np.zeros(2))


def test_prepare_of_a_subclass_sees_train():
    class Parity(Dataset):
        classes = 'even', 'odd'

        def prepare(self):
            self.data = np.arange(4) if self.train else np.arange(4, 6)
            self.label = self.data % 2

    assert len(Parity()) == 4
    assert len(Parity(train=False)) == 2
    assert Parity(train=False)[1] == (5, 1)
    assert Parity().labels() == {0: 'even', 1: 'odd'}


def test_subset_keeps_its_order_and_labels():
    subset = Subset(ten_classes(), [13, 7, 7])
    assert [subset[i] for i in range(3)] == [(13, 3), (7, 7), (7, 7)]
    assert subset.label.tolist() == [3, 7, 7]


@pytest.mark.parametrize('index', [-1, 500])
def test_subset_rejects_numbers_outside_the_dataset(index):
    with pytest.raises(IndexError, match=f'no sample {index} in a dataset of 500'):
        Subset(ten_classes(), [0, index])


def test_split_parts_share_nothing_and_leave_nothing_out():
    parts = split(ten_classes(), (400, 50, 50))
    assert [len(part) for part in parts] == [400, 50, 50]
    assert sorted(np.concatenate([part.indices for part in parts])) == list(range(500))


def test_split_gives_each_part_every_class_alike():
    for part, each in zip(split(ten_classes(), (0.8, 0.1, 0.1)), (40, 5, 5), strict=True):
        assert np.bincount(part.label).tolist() == [each] * 10


def test_split_keeps_proportions_of_unequal_classes():
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    train, valid = split(ArrayDataset(labels, labels), (0.75, 0.25))
    assert np.bincount(train.label).tolist() == [450, 225, 75]
    assert np.bincount(valid.label).tolist() == [150, 75, 25]


def test_split_differs_from_seed_to_seed_only():
    first, same, other = (split(ten_classes(), (400, 100), seed=seed)[1].indices for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, same)
    assert set(first) != set(other)


def test_split_without_strata_is_a_plain_draw():
    labels = np.repeat([0, 1], [990, 10])
    counts = {np.bincount(split(ArrayDataset(labels, labels), (0.5, 0.5), stratified=False, seed=seed)[0].label)[1]
              for seed in range(20)}
    assert len(counts) > 1  # stratified, all would be 5


def test_split_of_many_different_labels_is_quick():
    values = np.random.default_rng(0).random(60000)
    train, valid = split(ArrayDataset(values, values), (0.9, 0.1))
    assert (len(train), len(valid)) == (54000, 6000)


def test_split_of_a_dataset_without_labels():
    assert [len(part) for part in split(ArrayDataset(np.zeros(10)), (7, 3))] == [7, 3]


@pytest.mark.parametrize('sizes', [
    (400, 50), (400, 200), (500, 0), (600, -100), (), (0.9, 0.2), (0.5, 0.498), (1 - 1e-4, 1e-4)])
def test_split_rejects_sizes_that_are_not_all(sizes):
    with pytest.raises(ValueError, match='of 500 samples makes parts of'):
        split(ten_classes(), sizes)
