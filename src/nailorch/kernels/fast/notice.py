"""What is said while kernels are compiled: the first use of a program takes seconds longer than all that follow.

A person in front of a terminal sees a line that counts and goes away. Elsewhere (a notebook, a log file) there is one
plain line a process: it goes to standard error, where it spoils no output, and it comes only where something is
compiled indeed, for silence would look like a hang. `Config.quiet` or NAILORCH_QUIET=1 keeps it back.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

from numba.core import event

from nailorch.config import Config
from nailorch.messages import message

ERASE = '\r\x1b[K'


class Notice(event.Listener):
    """Speaks at the first pass of a compilation; what is read from the disk has none."""

    def __init__(self) -> None:
        self.count, self.told, self.total, self.open = 0, False, 0, False

    def on_start(self, event) -> None:
        if self.open or Config.quiet or sys.stderr is None:
            return
        self.open = True
        self.count += 1
        if sys.stderr.isatty():
            done = f'{self.count}/{self.total}' if self.total else str(self.count)
            sys.stderr.write(ERASE + message('engine.compiling', done=done))
        elif not self.told:
            sys.stderr.write(message('engine.first') + '\n')
        self.told = True
        sys.stderr.flush()

    def on_end(self, event) -> None:
        """One of many passes ended: nothing to say."""

    def close(self) -> None:
        if self.open and sys.stderr is not None and sys.stderr.isatty():
            sys.stderr.write(ERASE)
            sys.stderr.flush()
        self.open = False


NOTICE = Notice()
one_at_a_time = threading.RLock()


@contextlib.contextmanager
def finished() -> Iterator[None]:
    """Let Ctrl-C wait for the end of the block, which is seconds at most; the second one waits no more.

    LLVM calls Python back. An interrupt that falls there is lost, and so is the function that was to be kept.
    """
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield  # no interrupt comes here, or somebody has other plans for it
        return
    interrupts = []

    def later(number: int, frame: FrameType | None) -> None:
        interrupts.append(number)
        if len(interrupts) > 1:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, later)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if interrupts:
            raise KeyboardInterrupt


@contextlib.contextmanager
def announced() -> Iterator[None]:
    """Say so if something is compiled inside the block, and let nothing cut it short."""
    with one_at_a_time, finished(), event.install_listener('numba:run_pass', NOTICE):
        try:
            yield
        finally:
            NOTICE.close()
