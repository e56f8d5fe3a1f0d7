"""Batches: samples in a seeded order, stacked into arrays, read ahead by threads if asked.

Everything random follows from numbers: the order from (seed, epoch), augmentation from (seed, epoch, sample). So an
epoch is the same however many workers read it, and seed, epoch and batch say where a training stands.
"""

from __future__ import annotations

import functools
import textwrap
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from nailorch.config import inherit
from nailorch.hints import Checked
from nailorch.messages import message
from nailorch.rng import generator, using_generator
from nailorch.shapes import Array

__all__ = ['DataLoader', 'SeqDataLoader']

Batch = tuple[Array, Array | None]


class DataLoader(Checked):
    """Batches (x, t) of a dataset: arrays (N, ...) and (N, ...), or None for t where samples have none.

    Args:
        dataset: anything with `len()` and `[i]` -> (x, t).
        batch_size: samples a batch; the last one may have fewer.
        shuffle: a new order each epoch, or that of the dataset.
        drop_last: leave out a last batch that is not full.
        workers: threads that read batches ahead; 0 reads each when it is asked for. They gain where time goes into
            decoding and resizing pictures, which Pillow does in parallel.
        seed: of the order and of transforms; None draws one from `nailorch.rng`.
        prefetch: batches that each worker is ahead.
        gpu: must be False where there is no GPU.
    Raises:
        ValueError: an empty dataset, a batch_size below 1; when iterating, something that is no (x, t), or
            samples of different shapes.
    Example:
        >>> from nailorch.datasets import Spiral
        >>> loader = DataLoader(Spiral(), batch_size=128)
        >>> [x.shape for x, t in loader]
        [(128, 2), (128, 2), (44, 2)]

    Every `iter(loader)` begins an epoch, also after a `break`. `state_dict()` says where the loader stands; after
    `load_state_dict()` the next `iter()` gives the batches that were left of that epoch.
    """

    def __init__(self, dataset: Any, batch_size: int, shuffle: bool = True, *, drop_last: bool = False,
                 workers: int = 0, seed: int | None = None, prefetch: int = 2, gpu: bool = False) -> None:
        for name, value, least in [('batch_size', batch_size, 1), ('workers', workers, 0), ('prefetch', prefetch, 1)]:
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
                raise ValueError(message('loader.count', name=name, value=value, least=least))
        self.dataset, self.data_size = dataset, len(dataset)
        if not self.data_size:
            raise ValueError(message('loader.empty', dataset=type(dataset).__name__))
        if drop_last and batch_size > self.data_size:
            raise ValueError(message('loader.drop_last', batch_size=batch_size, size=self.data_size))
        self.batch_size, self.shuffle, self.drop_last = int(batch_size), bool(shuffle), bool(drop_last)
        self.workers, self.prefetch = workers, prefetch
        self.seed = int(generator().integers(2**63)) if seed is None else int(seed)
        self.next_epoch = 0
        self.place = (0, 0)  # (epoch, batch) of the batch that comes next
        self.loaded: tuple[int, int] | None = None
        if gpu:
            self.to_gpu()

    def __len__(self) -> int:
        return self.data_size // self.batch_size if self.drop_last else -(-self.data_size // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        epoch, batch = self.loaded or (self.next_epoch, 0)
        self.loaded, self.next_epoch, self.place = None, epoch + 1, (epoch, batch)
        return self.run(epoch, batch)

    def run(self, epoch: int, first: int) -> Iterator[Batch]:
        batches = self.indices(epoch)[first:]
        load = functools.partial(self.load, epoch)
        loaded = read_ahead(load, batches, self.workers, self.prefetch) if self.workers else map(load, batches)
        for number, batch in enumerate(loaded, first + 1):
            if self.place[0] == epoch:  # a newer iterator may have taken over
                self.place = (epoch, number)
            yield batch

    def indices(self, epoch: int) -> list[Array]:
        """Return the sample numbers of each batch of an epoch."""
        order = self.generator(epoch).permutation(self.data_size) if self.shuffle else np.arange(self.data_size)
        return [order[i * self.batch_size:(i + 1) * self.batch_size] for i in range(len(self))]

    def generator(self, *place: int) -> np.random.Generator:
        """Return the generator of an epoch's order, or of one of its samples."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=place))

    def load(self, epoch: int, indices: Sequence[int]) -> Batch:
        """Read the samples `indices` and stack them."""
        xs, ts = zip(*(self.sample(epoch, int(index)) for index in indices), strict=True)
        x, t = stack('x', xs, indices), stack('t', ts, indices)
        assert x is not None
        return x, t

    def sample(self, epoch: int, index: int) -> Any:
        try:
            with using_generator(functools.partial(self.generator, epoch, index)):
                sample = self.dataset[index]
        except Exception as error:
            error.add_note(message('loader.sample', index=index))
            raise
        if not isinstance(sample, tuple | list) or len(sample) != 2 or sample[0] is None:
            remedy = message('loader.arrays') if isinstance(self.dataset, tuple) else ''
            raise ValueError(message('loader.pair', index=index, sample=textwrap.shorten(repr(sample), 60)) + remedy)
        return sample

    def state_dict(self) -> dict[str, Any]:
        """Return where the loader stands, in numbers that JSON keeps; batches read ahead do not count."""
        epoch, batch = self.place if self.place[1] < len(self) else (self.place[0] + 1, 0)
        return {'epoch': epoch, 'batch': batch, 'seed': self.seed, **self.settings()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was called.

        Raises:
            ValueError: the state is of a loader with another number of samples, batch size, or order.
        """
        for name, value in self.settings().items():
            if state[name] != value:
                raise ValueError(message('loader.state', name=name, saved=state[name], value=value))
        self.seed = state['seed']
        self.loaded = self.place = (state['epoch'], state['batch'])

    def settings(self) -> dict[str, Any]:
        """Return what two loaders must share for a place in one to mean the same in the other."""
        return {'samples': self.data_size, 'batch_size': self.batch_size, 'shuffle': self.shuffle,
                'drop_last': self.drop_last}

    def to_cpu(self) -> None:
        """Give NumPy arrays, as it always does."""

    def to_gpu(self) -> None:
        """Raise, since no GPU is usable."""
        raise RuntimeError(message('gpu.none'))


class SeqDataLoader(DataLoader):
    """Batches of a sequence for recurrent networks: row i of each batch goes on where row i of the one before ended.

    The dataset is cut into `batch_size` stretches, and batch k holds the k-th sample of each.

    Example:
        >>> from nailorch.datasets import ArrayDataset
        >>> [x.tolist() for x, t in SeqDataLoader(ArrayDataset(np.arange(6)), batch_size=2)]
        [[0, 3], [1, 4], [2, 5]]
    """

    def __init__(self, dataset: Any, batch_size: int, gpu: bool = False) -> None:
        super().__init__(dataset, batch_size, shuffle=False, seed=0, gpu=gpu)
        if batch_size > self.data_size:
            raise ValueError(message('loader.drop_last', batch_size=batch_size, size=self.data_size))

    def indices(self, epoch: int) -> list[Array]:
        starts = np.arange(self.batch_size) * (self.data_size // self.batch_size)
        return [(starts + k) % self.data_size for k in range(len(self))]


def read_ahead(load: Callable[[Any], Batch], batches: Sequence[Any], workers: int, prefetch: int) -> Iterator[Batch]:
    """Yield load(b) for each of `batches`, in order, while threads work on the next ones.

    They use the settings of the thread that asks. Closing this generator, as `break` does, ends them.
    """
    load = inherit(load)
    pending: deque[Future[Batch]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix='nailorch-loader')
    try:
        for batch in batches:
            pending.append(pool.submit(load, batch))
            if len(pending) > workers * prefetch:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def stack(name: str, values: Sequence[Any], indices: Sequence[int]) -> Array | None:
    """Stack one column of the samples into an array; None where all are None."""
    if all(value is None for value in values):
        return None
    for value, index in zip(values, indices, strict=True):
        if hasattr(value, 'getbands'):
            raise ValueError(message('loader.image', index=index))
        if np.shape(value) != np.shape(values[0]):
            raise ValueError(message('loader.shapes', name=name, first=indices[0], expected=np.shape(values[0]),
                                     index=index, shape=np.shape(value)))
    return np.stack(values)
