"""How commands speak: sentences, tables and JSON, in colour only where a terminal reads them."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import Any

__all__ = ['as_argument', 'percent', 'say', 'show_json', 'show_table']


def say(options: argparse.Namespace, sentence: str) -> None:
    """Print a sentence that accompanies the result; --quiet and --json keep it back."""
    if not options.quiet and not options.json:
        print(sentence, flush=True)


def show_json(value: Any) -> None:
    """Print `value` as JSON. A number that is none (NaN) becomes null, which every reader understands."""
    print(json.dumps(without_nan(value), ensure_ascii=False, indent=2))


def without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): without_nan(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]], right: Container[int] = ()) -> None:
    """Print rows under their headings; the columns whose numbers are in `right` are numbers.

    Away from a terminal nothing is cut or wrapped, so that other programs can read it.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style='bold')
    for index, column in enumerate(columns):
        table.add_column(column, justify='right' if index in right else 'left', overflow='fold')
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(width=None if sys.stdout.isatty() else 10_000, highlight=False).print(table)


def as_argument(path: Path) -> str:
    """Return a path as it is typed in a command."""
    return f'"{path}"' if ' ' in str(path) else str(path)


def percent(share: float | None, digits: int = 1) -> str:
    """Return 0.9712 as '97.1%', and nothing as '-'."""
    return '-' if share is None or math.isnan(share) else f'{share:.{digits}%}'
