"""TOML from anybody: where tomllib would crash, or work for an hour, an error."""

from __future__ import annotations

import tomllib
from typing import Any

__all__ = ['parse_toml']

MOST_DOTS = 100


def parse_toml(text: str) -> dict[str, Any]:
    """Return what a TOML text says.

    Raises:
        ValueError: it is not TOML, or nests its tables or arrays absurdly deep.
    """
    for number, line in enumerate(text.splitlines(), 1):
        if line.count('.') > MOST_DOTS:  # tomllib's time and memory grow with the square of a key's parts
            raise ValueError(f'more than {MOST_DOTS} dots (at line {number})')
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError('nested too deep') from None
