"""The history of a training: one record an epoch, as in metrics.jsonl."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from nailorch.formats.files import replace_file
from nailorch.messages import message

__all__ = ['History', 'append_epoch', 'read_metrics', 'write_metrics']

LARGEST_FILE = 64 << 20
NUMBERS = ('epoch', 'train_loss', 'train_accuracy', 'valid_loss', 'valid_accuracy', 'lr', 'seconds',
           'images_per_second')

Record = dict[str, Any]


class History(Sequence[Record]):
    """The epochs of a training, oldest first.

    Attributes:
        epochs: one dictionary each: epoch (from 1), train_loss, train_accuracy, valid_loss, valid_accuracy (None where
            there is nothing to measure it on), lr, seconds, images_per_second, best (was it the best so far?).
        stopped: why training ended, as a sentence; '' while it has not.
    """

    def __init__(self, epochs: Sequence[Record] = (), stopped: str = '') -> None:
        self.epochs = list(epochs)
        self.stopped = stopped

    @property
    def best(self) -> Record | None:
        """The epoch whose weights were kept as the best, or None before the first."""
        return next((record for record in reversed(self.epochs) if record['best']), None)

    def column(self, name: str) -> list[Any]:
        """Return one quantity over the epochs, such as 'valid_loss'."""
        return [record[name] for record in self.epochs]

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        return self.epochs[index]

    def __len__(self) -> int:
        return len(self.epochs)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.epochs)

    def __repr__(self) -> str:
        return f'History({len(self)} epochs, best={self.best}, stopped={self.stopped!r})'


def check_record(record: Any) -> Record:
    """Return `record` if it is an epoch's: the numbers of NUMBERS (or None) and `best`."""
    if not isinstance(record, dict) or not isinstance(record.get('best'), bool):
        raise ValueError('not an epoch record')
    for name in NUMBERS:
        if not isinstance(record.get(name), int | float | None) or name not in record:
            raise ValueError(f'{name} is no number: {record.get(name)!r}')
    return record


def append_epoch(path: Path, record: Mapping[str, Any]) -> None:
    """Add one epoch's line to metrics.jsonl."""
    with open(path, 'a', encoding='utf-8') as file:
        file.write(json.dumps(record) + '\n')


def write_metrics(path: Path, epochs: Sequence[Mapping[str, Any]]) -> None:
    """Write metrics.jsonl anew: a resumed training drops the lines that its checkpoint does not know."""
    replace_file(path, [''.join(json.dumps(record) + '\n' for record in epochs).encode()])


def read_metrics(path: Path) -> History:
    """Read metrics.jsonl; a last line without its end, which a crash leaves, is left out.

    Raises:
        ValueError: a line is no epoch's record, or the file is absurdly large.
    """
    if not path.exists():
        return History()
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError(message('run.file', path=path, reason=f'{path.stat().st_size} bytes'))
    lines = path.read_bytes().split(b'\n')[:-1]
    epochs = []
    for number, line in enumerate(lines, 1):
        try:
            epochs.append(check_record(json.loads(line)))
        except (ValueError, RecursionError) as error:
            raise ValueError(message('run.file', path=f'{path}:{number}', reason=error)) from None
    return History(epochs)
