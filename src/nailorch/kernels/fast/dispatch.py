"""Which kernel served which call: a log for whoever asks."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator

Log = list[tuple[str, str]]
_log: contextvars.ContextVar[Log | None] = contextvars.ContextVar('nailorch_dispatch', default=None)


def record(function: str, kernel: str) -> None:
    """Note that `kernel` serves a call of `function`."""
    log = _log.get()
    if log is not None:
        log.append((function, kernel))


@contextlib.contextmanager
def watch() -> Iterator[Log]:
    """Return a list that fills with (function, kernel) as calls are served inside the block.

    Example:
        >>> from nailorch.kernels import fast
        >>> from nailorch.shapes import Window
        >>> with fast.watch() as log:
        ...     y = fast.conv2d(np.ones((1, 1, 4, 4)), np.ones((1, 1, 2, 2)), None, Window(2))
        >>> log
        [('conv2d', 'reference')]
    """
    log: Log = []
    token = _log.set(log)
    try:
        yield log
    finally:
        _log.reset(token)
