"""What everyone below may ask: is this training, is a tape kept, which engine computes, which language speaks.

`Config.train = False` sets the default of the whole process. `with using_config('train', False):` overrides it for the
block, in this thread (or asyncio task) alone, and puts it back whatever happens.
"""

from __future__ import annotations

import contextlib
import contextvars
import difflib
import functools
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ParamSpec, TypeVar

import numpy as np

__all__ = ['Config', 'inherit', 'no_grad', 'test_mode', 'thread_count', 'using_config']

P = ParamSpec('P')
R = TypeVar('R')

_overrides: contextvars.ContextVar[Mapping[str, Any]] = contextvars.ContextVar('nailorch_config')
_NOTHING: Mapping[str, Any] = {}
CHOICES = {'engine': ('reference', 'fast'), 'winograd': ('fast', 'accurate', 'off')}


class Configuration:
    """The process's settings; one instance, `Config`, exists.

    Attributes:
        train: True while learning: dropout drops, batch norm measures its batch.
        enable_backprop: True where calls are recorded for `backward()`.
        engine: who computes: 'fast', kernels generated for this CPU, or 'reference', plain NumPy. NAILORCH_ENGINE
            sets the default.
        winograd: how the fast engine convolves 3x3 filters: 'fast', 'accurate' (a third of the error) or 'off'.
        threads: how many threads the fast engine computes with; None asks NAILORCH_NUM_THREADS, then takes every
            processor that this process may use.
        quiet: True: nothing is said on standard error of kernels that are compiled. NAILORCH_QUIET=1 sets the default.
        dtype: the type that new parameters get.
        lang: 'en' or 'zh', the language of messages; None asks NAILORCH_LANG, then the locale.
    """

    train: bool
    enable_backprop: bool
    engine: str
    winograd: str
    threads: int | None
    quiet: bool
    dtype: Any
    lang: str | None

    def __init__(self) -> None:
        defaults = {'train': True, 'enable_backprop': True, 'engine': os.environ.get('NAILORCH_ENGINE') or 'fast',
                    'winograd': 'fast', 'threads': None,
                    'quiet': os.environ.get('NAILORCH_QUIET', '0') not in ('', '0'), 'dtype': np.float32, 'lang': None}
        object.__setattr__(self, '_defaults', defaults)

    def __getattr__(self, name: str) -> Any:
        overrides = _overrides.get(_NOTHING)
        settings = overrides if name in overrides else self._defaults
        if name not in settings:
            self.check(name)
        return settings[name]

    def __setattr__(self, name: str, value: Any) -> None:
        self.check(name)
        check_value(name, value)
        self._defaults[name] = value

    def in_force(self) -> dict[str, Any]:
        """Return all settings as they are here and now."""
        return {**self._defaults, **_overrides.get(_NOTHING)}

    def check(self, name: str) -> None:
        """Raise AttributeError, with the nearest name there is, unless `name` is a setting."""
        if name not in self._defaults:
            near = difflib.get_close_matches(name, self._defaults, 1)
            remedy = f'did you mean {near[0]!r}?' if near else f'there are {", ".join(self._defaults)}'
            raise AttributeError(f'Config has no setting {name!r}: {remedy}')

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._defaults]

    def __repr__(self) -> str:
        return f'Config({", ".join(f"{name}={getattr(self, name)!r}" for name in self._defaults)})'


Config = Configuration()


def check_value(name: str, value: Any) -> None:
    """Raise ValueError where `value` can be seen to be none for this setting."""
    if name in CHOICES and value not in CHOICES[name]:
        raise ValueError(f'{name}: there is no {value!r}; there are {", ".join(CHOICES[name])}')
    if name == 'threads' and value is not None and not (isinstance(value, int | np.integer) and value >= 1):
        raise ValueError(f'threads: a whole number from 1 or None, not {value!r}')
    if name == 'lang' and value not in ('en', 'zh', None):
        raise ValueError(f"lang: 'en', 'zh' or None, not {value!r}")


def thread_count() -> int:
    """Return how many threads are to compute: `Config.threads`, else NAILORCH_NUM_THREADS, else every processor."""
    return Config.threads or default_threads()


@functools.cache
def default_threads() -> int:
    asked = os.environ.get('NAILORCH_NUM_THREADS', '').strip()
    if not asked:
        return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    if not asked.isdecimal() or not int(asked):
        raise ValueError(f'NAILORCH_NUM_THREADS: a whole number from 1, not {asked!r}')
    return int(asked)


@contextlib.contextmanager
def using_config(name: str, value: Any) -> Iterator[None]:
    """Set `Config.name` to `value` inside a `with` block.

    Example:
        >>> with using_config('train', False):
        ...     Config.train
        False
    """
    Config.check(name)
    check_value(name, value)
    token = _overrides.set({**_overrides.get(_NOTHING), name: value})
    try:
        yield
    finally:
        _overrides.reset(token)


def no_grad() -> contextlib.AbstractContextManager[None]:
    """Keep no tape inside the block: less memory and time; `backward()` cannot go through it."""
    return using_config('enable_backprop', False)


def test_mode() -> contextlib.AbstractContextManager[None]:
    """Evaluate inside the block: dropout passes everything, batch norm uses its running averages."""
    return using_config('train', False)


test_mode.__test__ = False  # type: ignore[attr-defined]  # pytest: this is not a test


def inherit(function: Callable[P, R]) -> Callable[P, R]:
    """Return `function` bound to the settings of the present thread, to be run by another one."""
    settings = _overrides.get(_NOTHING)

    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        token = _overrides.set(settings)
        try:
            return function(*args, **kwargs)
        finally:
            _overrides.reset(token)

    return run
