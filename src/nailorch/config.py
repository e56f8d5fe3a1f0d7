"""What everyone below may ask: is this training, is a tape kept, which engine computes, which language speaks.

`Config.train = False` sets the default of the whole process. `with using_config('train', False):` overrides it for the
block, in this thread (or asyncio task) alone, and puts it back whatever happens.
"""

from __future__ import annotations

import contextlib
import contextvars
import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ParamSpec, TypeVar

import numpy as np

__all__ = ['Config', 'inherit', 'no_grad', 'test_mode', 'using_config']

P = ParamSpec('P')
R = TypeVar('R')

_overrides: contextvars.ContextVar[Mapping[str, Any]] = contextvars.ContextVar('nailorch_config')
_NOTHING: Mapping[str, Any] = {}


class Configuration:
    """The process's settings; one instance, `Config`, exists.

    Attributes:
        train: True while learning: dropout drops, batch norm measures its batch.
        enable_backprop: True where calls are recorded for `backward()`.
        engine: the name of the kernels that compute ('reference' is plain NumPy).
        winograd: how the fast engine convolves 3x3 filters: 'fast', 'accurate' (a third of the error) or 'off'.
        dtype: the type that new parameters get.
        lang: 'en' or 'zh', the language of messages; None asks NAILORCH_LANG, then the locale.
    """

    train: bool
    enable_backprop: bool
    engine: str
    winograd: str
    dtype: Any
    lang: str | None

    def __init__(self) -> None:
        defaults = {'train': True, 'enable_backprop': True, 'engine': 'reference', 'winograd': 'fast',
                    'dtype': np.float32, 'lang': None}
        object.__setattr__(self, '_defaults', defaults)

    def __getattr__(self, name: str) -> Any:
        overrides = _overrides.get(_NOTHING)
        if name in overrides:
            return overrides[name]
        self.check(name)
        return self._defaults[name]

    def __setattr__(self, name: str, value: Any) -> None:
        self.check(name)
        self._defaults[name] = value

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


@contextlib.contextmanager
def using_config(name: str, value: Any) -> Iterator[None]:
    """Set `Config.name` to `value` inside a `with` block.

    Example:
        >>> with using_config('train', False):
        ...     Config.train
        False
    """
    Config.check(name)
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
