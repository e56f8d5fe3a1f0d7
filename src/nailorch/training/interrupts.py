"""Ctrl-C and SIGTERM, asked politely: the first one is noted, the second one quits."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

__all__ = ['StopRequest', 'TrainingInterrupted']


class TrainingInterrupted(KeyboardInterrupt):
    """Training was asked to stop, and has saved what it had.

    Attributes:
        signal_name: 'SIGINT' (Ctrl-C) or 'SIGTERM'.
        exit_code: what a command should exit with: 128 + the signal's number.
        checkpoint: the folder to resume from; None where training had no run folder.
    """

    def __init__(self, text: str, number: signal.Signals, checkpoint: Path | None) -> None:
        super().__init__(text)
        self.signal_name = number.name
        self.exit_code = 128 + number
        self.checkpoint = checkpoint


class StopRequest:
    """A `with` block in which the first SIGINT or SIGTERM only sets `signal`; the second one raises at once.

    Args:
        notify: called at the first one, inside the handler: it may come in the middle of a print, so it must not print.

    Handlers belong to the main thread: in another one, and for a signal that the process was told to ignore (nohup),
    nothing is changed. On leaving the block the former handlers are back.
    """

    def __init__(self, notify: Callable[[], None]) -> None:
        self.notify = notify
        self.signal: signal.Signals | None = None
        self._former: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._former[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)
        self.signal = signal.Signals(number)
        self.notify()
