"""Batches: their order, their threads, and where a loader stands."""

import gc
import json
import threading
import time

import numpy as np
import pytest

from nailorch import rng
from nailorch.config import Config, using_config
from nailorch.dataloaders import DataLoader, SeqDataLoader
from nailorch.datasets import ArrayDataset, Spiral


def numbers(n=10, **options):
    return ArrayDataset(np.arange(n, dtype=np.float32), np.arange(n), **options)


def noisy(x):
    return x + rng.generator().random(3)


def order(loader):
    return [int(value) for x, _ in loader for value in x]


def same(batches, others):
    batches, others = list(batches), list(others)
    return len(batches) == len(others) and all(
        np.array_equal(x, y) and np.array_equal(t, u) for (x, t), (y, u) in zip(batches, others, strict=True))


def loader_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith('nailorch-loader')]


# ---- batches


def test_loader_stacks_samples_and_keeps_their_dtype():
    x, t = next(iter(DataLoader(Spiral(), 4, shuffle=False)))
    np.testing.assert_array_equal(x, Spiral().data[:4])
    np.testing.assert_array_equal(t, Spiral().label[:4])
    assert x.dtype == np.float32 and t.dtype == np.int64


@pytest.mark.parametrize('size, drop_last, sizes', [
    (10, False, [4, 4, 2]), (10, True, [4, 4]), (8, False, [4, 4]), (8, True, [4, 4]), (3, False, [3])])
def test_loader_has_as_many_batches_as_its_length(size, drop_last, sizes):
    loader = DataLoader(numbers(size), 4, drop_last=drop_last)
    assert [len(x) for x, _ in loader] == sizes
    assert len(loader) == len(sizes)


def test_loader_takes_any_list_of_pairs():
    x, t = next(iter(DataLoader([(1, 0.5), (2, 1.5)], 2, shuffle=False)))
    assert x.tolist() == [1, 2] and t.tolist() == [0.5, 1.5]


def test_loader_of_samples_without_label_gives_none():
    x, t = next(iter(DataLoader(ArrayDataset(np.arange(3)), 3)))
    assert len(x) == 3 and t is None


def test_loader_gives_arrays_of_its_own():
    dataset = numbers()
    x, _ = next(iter(DataLoader(dataset, 10)))
    x += 100
    assert dataset.data.max() == 9


# ---- order


def test_loader_without_shuffle_keeps_the_datasets_order():
    assert order(DataLoader(numbers(), 3, shuffle=False)) == list(range(10))


def test_loader_shuffles_anew_each_epoch():
    loader = DataLoader(numbers(50), 7)
    first, second = order(loader), order(loader)
    assert first != second
    assert sorted(first) == sorted(second) == list(range(50))


def test_loader_repeats_itself_under_one_seed():
    first, again, other = (DataLoader(numbers(50), 7, seed=seed) for seed in (5, 5, 6))
    assert [order(first), order(first)] == [order(again), order(again)] != [order(other), order(other)]


def test_loader_without_seed_follows_the_process_seed():
    rng.seed(3)
    first, second = order(DataLoader(numbers(50), 7)), order(DataLoader(numbers(50), 7))
    rng.seed(3)
    assert order(DataLoader(numbers(50), 7)) == first != second


@pytest.mark.parametrize('workers', [0, 2])
def test_loader_begins_an_epoch_after_a_break(workers):
    loader = DataLoader(numbers(), 3, shuffle=False, workers=workers)
    for x, _ in loader:
        assert x.tolist() == [0, 1, 2]
        break
    assert order(loader) == list(range(10))  # an ancestor went on from 3


def test_two_iterators_of_one_loader_are_two_epochs():
    loader = DataLoader(numbers(50), 50)
    (first, _), (second, _) = next(zip(loader, loader, strict=True))
    assert sorted(first) == sorted(second) and first.tolist() != second.tolist()


# ---- threads


@pytest.mark.parametrize('workers', [1, 2, 5])
def test_loader_gives_the_same_batches_with_any_number_of_workers(workers):
    alone = DataLoader(numbers(40, transform=noisy), 6, seed=1)
    threads = DataLoader(numbers(40, transform=noisy), 6, seed=1, workers=workers)
    for _ in range(2):
        assert same(alone, threads)


def test_loader_augments_anew_each_epoch():
    loader = DataLoader(numbers(4, transform=noisy), 4, shuffle=False)
    (first, _), = loader
    (second, _), = loader
    assert len(np.unique(first - np.arange(4)[:, None])) == 12  # each sample on its own
    assert not np.isin(first, second).any()


def test_loader_leaves_the_process_generator_alone():
    loader = DataLoader(numbers(4, transform=noisy), 2)
    before = rng.get_state()
    list(loader)
    assert rng.get_state() == before


def test_workers_read_ahead_no_further_than_asked():
    read = []
    loader = DataLoader(numbers(100, transform=lambda x: read.append(x) or x), 1, workers=2, prefetch=3)
    batches = iter(loader)
    next(batches)
    deadline = time.monotonic() + 5
    while len(read) < 7 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert len(read) == 7  # one handed out, 2 * 3 ahead
    batches.close()


def test_workers_see_the_settings_of_who_asks():
    with using_config('train', False):
        (x, _), = DataLoader(numbers(4, transform=lambda x: float(Config.train)), 4, workers=2)
    assert x.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize('workers', [0, 3])
def test_an_error_names_its_sample(workers):
    def fail(x):
        if x == 7:
            raise ZeroDivisionError('seven')
        return x

    with pytest.raises(ZeroDivisionError, match='seven') as error:
        list(DataLoader(numbers(transform=fail), 2, workers=workers))
    assert error.value.__notes__ == ['DataLoader: this happened while sample 7 was read']
    assert loader_threads() == []


def test_an_abandoned_iterator_leaves_no_thread():
    loader = DataLoader(numbers(100), 1, workers=3)
    for _ in loader:
        assert loader_threads()
        break
    gc.collect()  # where names are not counted, only this closes the generator
    assert loader_threads() == []


def test_a_finished_epoch_leaves_no_thread():
    list(DataLoader(numbers(), 2, workers=3))
    assert loader_threads() == []


# ---- going on


@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('done', [0, 1, 5, 6])
def test_a_loader_goes_on_where_another_one_stood(done, workers):
    def make(seed):
        return DataLoader(numbers(40, transform=noisy), 7, seed=seed, workers=workers)

    loader = make(1)
    list(loader)
    batches = iter(loader)
    for _ in range(done):
        next(batches)
    state = json.loads(json.dumps(loader.state_dict()))
    rest = list(batches)
    following = list(loader)

    resumed = make(2)
    resumed.load_state_dict(state)
    if rest:
        assert same(resumed, rest)
    assert same(resumed, following)
    assert resumed.state_dict() == loader.state_dict()


def test_state_survives_being_loaded_and_saved_untouched():
    loader = DataLoader(numbers(), 3, seed=1)
    next(iter(loader))
    resumed = DataLoader(numbers(), 3, seed=9)
    resumed.load_state_dict(loader.state_dict())
    assert resumed.state_dict() == loader.state_dict()


def test_state_of_a_new_loader_is_its_start():
    loader = DataLoader(numbers(), 3, seed=1)
    state = loader.state_dict()
    first = order(loader)
    loader.load_state_dict(state)
    assert order(loader) == first


@pytest.mark.parametrize('options, words', [
    ({'batch_size': 4}, 'batch_size=3, this one has batch_size=4'), ({'shuffle': False}, 'shuffle=True'),
    ({'drop_last': True}, 'drop_last=False')])
def test_state_of_another_kind_of_loader_is_refused(options, words):
    state = DataLoader(numbers(), 3).state_dict()
    with pytest.raises(ValueError, match=words):
        DataLoader(numbers(), **{'batch_size': 3, **options}).load_state_dict(state)


def test_state_of_another_dataset_is_refused():
    with pytest.raises(ValueError, match='samples=10, this one has samples=11'):
        DataLoader(numbers(11), 3).load_state_dict(DataLoader(numbers(), 3).state_dict())


# ---- what does not fit


def test_loader_rejects_an_empty_dataset():
    with pytest.raises(ValueError, match=r'the dataset \(ArrayDataset\) is empty'):
        DataLoader(numbers(0), 1)


@pytest.mark.parametrize('options', [
    {'batch_size': 0}, {'batch_size': -3}, {'batch_size': 2.5}, {'batch_size': True}, {'workers': -1}, {'prefetch': 0}])
def test_loader_rejects_counts_that_are_none(options):
    (name, value), = options.items()
    with pytest.raises(ValueError, match=f'{name} is a whole number of at least [01], got {value}'):
        DataLoader(numbers(), **{'batch_size': 1, **options})


def test_loader_rejects_drop_last_that_leaves_nothing():
    with pytest.raises(ValueError, match='a batch of 11 cannot be filled from 10 samples'):
        DataLoader(numbers(), 11, drop_last=True)


def test_loader_names_samples_of_different_shapes():
    pairs = [(np.zeros((3, 4, 4)), 0), (np.zeros((3, 4, 4)), 0), (np.zeros((3, 5, 4)), 0)]
    with pytest.raises(ValueError, match=r'x of sample 0 has \(3, 4, 4\), of sample 2 \(3, 5, 4\)'):
        list(DataLoader(pairs, 3, shuffle=False))


@pytest.mark.parametrize('samples, words', [
    ([np.zeros(784)], 'sample 0 is array'),
    ([3.5], 'sample 0 is 3.5'),
    ([(1, 2, 3)], r'sample 0 is \(1, 2, 3\)'),
    ([(1, 2), (None, 2)], r'sample 1 is \(None, 2\)'),
])
def test_loader_names_what_is_no_sample(samples, words):
    with pytest.raises(ValueError, match=words):
        list(DataLoader(samples, 2, shuffle=False))


def test_loader_has_no_gpu_to_offer():
    loader = DataLoader(numbers(), 1)
    loader.to_cpu()
    with pytest.raises(RuntimeError, match='no GPU is usable'):
        loader.to_gpu()
    with pytest.raises(RuntimeError, match='no GPU is usable'):
        DataLoader(numbers(), 1, gpu=True)


# ---- sequences


def test_seq_loader_rows_go_on_from_batch_to_batch():
    batches = [x.tolist() for x, _ in SeqDataLoader(numbers(12), 3)]
    assert batches == [[0, 4, 8], [1, 5, 9], [2, 6, 10], [3, 7, 11]]


def test_seq_loader_wraps_round_where_stretches_are_uneven():
    assert [x.tolist() for x, _ in SeqDataLoader(numbers(5), 2)] == [[0, 2], [1, 3], [2, 4]]
    assert [x.tolist() for x, _ in SeqDataLoader(numbers(7), 4)] == [[0, 1, 2, 3], [1, 2, 3, 4]]


def test_seq_loader_begins_again_after_a_break():
    loader = SeqDataLoader(numbers(6), 2)
    next(iter(loader))
    assert next(iter(loader))[0].tolist() == [0, 3]


def test_seq_loader_rejects_more_rows_than_samples():
    with pytest.raises(ValueError, match='a batch of 4 cannot be filled from 3 samples'):
        SeqDataLoader(numbers(3), 4)


def test_two_arrays_are_no_dataset():
    with pytest.raises(ValueError, match=r'nailorch\.datasets\.ArrayDataset\(x, t\)'):
        list(DataLoader((np.zeros((4, 2)), np.zeros(4)), batch_size=2))
