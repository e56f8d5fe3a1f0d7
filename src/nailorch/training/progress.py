"""What training shows while it runs: a bar on a terminal, one plain line an epoch elsewhere.

    Epoch 3/10 ━━━━━━╸── 26/40  loss 0.083  acc 97.4%  9 240 img/s  ETA 0:00:03
      3   train 0.081/97.5%   val 0.062/98.1%   9 240 img/s ★best

The bar is drawn again and again and goes when its epoch ends; the line of an epoch stays.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from nailorch.messages import message

__all__ = ['Bar', 'Lines', 'Silence', 'choose', 'compact', 'grouped']

WORDS = 68  # columns that an epoch's line needs beside its bar, with three to spare


class Silence:
    """The interface of all reporters; this one shows nothing."""

    def say(self, text: str) -> None:
        """Show a line of text."""

    def start(self, epoch: int, epochs: int, batches: int, done: int) -> None:
        """An epoch begins, or goes on after `done` of its batches."""

    def batch(self, done: int, samples: int, loss: float, accuracy: float | None) -> None:
        """`done` batches are learnt, the latest of so many samples; loss and accuracy are the epoch's so far."""

    def measuring(self) -> None:
        """The epoch's batches are all learnt; validation begins."""

    def end(self, record: Mapping[str, Any]) -> None:
        """An epoch is over; `record` is its line of the history."""

    def stopping(self) -> None:
        """Training was asked to stop. Called inside a signal handler, perhaps in the middle of a print."""

    def close(self) -> None:
        """Nothing follows. May be called twice."""


class Lines(Silence):
    """One line an epoch, without colours or control characters: for files, pipes, and NO_COLOR."""

    def say(self, text: str) -> None:
        encoding = getattr(sys.stdout, 'encoding', None) or 'utf-8'
        try:
            text.encode(encoding)
        except UnicodeEncodeError:  # a terminal that knows no star
            text = text.replace('★', '*').replace(' · ', ' | ').encode(encoding, 'replace').decode(encoding)
        print(text, flush=True)

    def end(self, record: Mapping[str, Any]) -> None:
        self.say(epoch_line(record))

    def stopping(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            if sys.stderr.isatty():  # past the buffers, which must not be entered twice
                os.write(sys.stderr.fileno(), ('\n' + message('training.stopping') + '\n').encode())


class Bar(Lines):
    """A bar that moves with every batch, on a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
        from rich.table import Column
        from rich.text import Text

        bar = self

        class Words(ProgressColumn):
            """What stands behind the bar, asked for at every drawing."""

            def render(self, task: Task) -> Text:
                return Text(bar.words)

        self.words = ''
        self.asked_to_stop = False
        self.console = Console(highlight=False)
        self.strip = BarColumn()
        columns = TextColumn('{task.description}'), self.strip, Words(table_column=Column(no_wrap=True))
        self.display = Progress(*columns, console=self.console, transient=True)
        self.task = self.display.add_task('', visible=False)

    def say(self, text: str) -> None:
        self.console.print(text, markup=False)

    def start(self, epoch: int, epochs: int, batches: int, done: int) -> None:
        self.batches, self.samples, self.began, self.first = batches, 0, time.perf_counter(), done
        self.words = f'{done}/{batches}'
        # The line stays short of the edge, so that the ^C a terminal writes behind it goes with it.
        self.strip.bar_width = min(max(self.console.width - WORDS, 5), 40)
        self.display.reset(self.task, total=batches, completed=done, visible=True,
                           description=message('progress.epoch', epoch=epoch, epochs=epochs))
        self.display.start()

    def batch(self, done: int, samples: int, loss: float, accuracy: float | None) -> None:
        self.samples += samples
        seconds = time.perf_counter() - self.began
        left = seconds / (done - self.first) * (self.batches - done)
        words = [f'{done}/{self.batches}', message('progress.loss', loss=f'{loss:.3f}')]
        if accuracy is not None:
            words.append(message('progress.accuracy', accuracy=f'{accuracy:.1%}'))
        words.append(message('progress.rate', rate=grouped(self.samples / seconds)))
        words.append(message('progress.left', time=datetime.timedelta(seconds=round(left))))
        if not self.asked_to_stop:
            self.words = '  '.join(words)
        self.display.update(self.task, completed=done)

    def measuring(self) -> None:
        self.words = message('progress.measuring')

    def stopping(self) -> None:
        self.asked_to_stop = True
        self.words = message('training.stopping')  # the next drawing, a tenth of a second away, shows it

    def end(self, record: Mapping[str, Any]) -> None:
        self.display.stop()
        from rich.text import Text

        self.console.print(Text(epoch_line(record), style='bold green' if record['best'] else ''))

    def close(self) -> None:
        self.display.stop()


def choose(name: str) -> Silence:
    """Return the reporter called 'bar', 'lines' or 'none'; 'auto' takes the bar where a terminal shows it.

    NO_COLOR, or a terminal called dumb, asks for lines (https://no-color.org).
    """
    if name == 'auto':
        plain = os.environ.get('NO_COLOR') or os.environ.get('TERM') == 'dumb' or not sys.stdout.isatty()
        name = 'lines' if plain else 'bar'
    reporters = {'bar': Bar, 'lines': Lines, 'none': Silence}
    if name not in reporters:
        raise ValueError(f"progress: expected 'auto', 'bar', 'lines' or 'none', got {name!r}")
    return reporters[name]()


def epoch_line(record: Mapping[str, Any]) -> str:
    """Return the line that stays of an epoch."""
    parts = [f'{record["epoch"]:3}', message('progress.train', values=_values(record, 'train'))]
    if record['valid_loss'] is not None:
        parts.append(message('progress.valid', values=_values(record, 'valid')))
    parts.append(message('progress.rate', rate=grouped(record['images_per_second'])))
    return '   '.join(parts) + (' ' + message('progress.best') if record['best'] else '')


def _values(record: Mapping[str, Any], part: str) -> str:
    loss, accuracy = record[f'{part}_loss'], record[f'{part}_accuracy']
    return f'{loss:.3f}' if accuracy is None else f'{loss:.3f}/{accuracy:.1%}'


def grouped(value: float) -> str:
    """Return 9240.3 as '9 240'."""
    return f'{round(value):,}'.replace(',', ' ')


def compact(count: int) -> str:
    """Return 206922 as '206.9k', 138357544 as '138.4M'."""
    for unit, size in (('G', 10**9), ('M', 10**6), ('k', 10**3)):
        if count >= size:
            return f'{count / size:.1f}{unit}'
    return str(count)
