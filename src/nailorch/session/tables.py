"""What a session shows of itself: its steps, and where its time goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nailorch.graph import Graph
from nailorch.messages import message

__all__ = ['Profile', 'ProfileRow', 'plan_table']


def columns(heading: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> list[str]:
    """Return lines of a table, its first `left` columns flush left, the others flush right."""
    table = [heading, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(heading))]
    return ['  '.join(cell.ljust(width) if place < left else cell.rjust(width)
                      for place, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip() for row in table]


def plan_table(graph: Graph, engine: str, names: Sequence[str], served: Sequence[str] | None,
               shapes: Sequence[Sequence[Any]], sizes: Sequence[int], total: int,
               peak: tuple[int, int, int] | None) -> str:
    """Return a session as text: a row a step, then what its weights and its results take.

    `peak` is a batch size, the bytes of results that lie in memory at once, and those that a recording keeps.
    """
    start, end = (', '.join(str(graph.values[id].shape) for id in ids) for ids in (graph.inputs, graph.outputs))
    rows = [(name, kernel, ', '.join(map(str, shape)), f'{size / 1e6:,.2f}')
            for name, kernel, shape, size in zip(names, served or ['?'] * len(names), shapes, sizes, strict=True)]
    heading = [message(f'session.{column}') for column in ('step', 'kernel', 'result', 'weights')]
    lines = [message('session.title', model=graph.name, start=start, end=end, steps=len(names), nodes=len(graph.nodes),
                     engine=engine), *columns(heading, rows, 3)]
    lines.append(message('session.total', weights=f'{total / 1e6:,.2f}'))
    if peak:
        lines[-1] += message('session.peak', n=peak[0], peak=f'{peak[1] / 1e6:,.2f}')
    if peak and peak[2]:
        lines[-1] += message('session.arena', arena=f'{peak[2] / 1e6:,.2f}')
    return '\n'.join(lines)


@dataclass(frozen=True)
class ProfileRow:
    """A step's median time.

    Attributes:
        seconds: of one run.
        operations: multiplications and additions by the definition; a method that needs fewer shows more a second.
        bytes: its inputs, its weights as it reads them, and its results.
    """

    name: str
    kernel: str
    seconds: float
    operations: float
    bytes: int


@dataclass(frozen=True)
class Profile:
    """Where a session's time goes, step by step, for batches of n."""

    model: str
    n: int
    rows: list[ProfileRow]

    @property
    def seconds(self) -> float:
        """All steps' times together."""
        return sum(row.seconds for row in self.rows)

    def __repr__(self) -> str:
        whole = self.seconds or 1.0
        rows = [(row.name, row.kernel, f'{row.seconds * 1e3:.3f}', f'{row.seconds / whole:.0%}',
                 f'{row.operations / row.seconds / 1e9:,.0f}' if row.operations else '',
                 f'{row.bytes / row.seconds / 1e9:,.1f}') for row in self.rows]
        rows.append((message('session.all'), '', f'{self.seconds * 1e3:.3f}', '', '', ''))
        heading = [message('session.step'), message('session.kernel'), 'ms', '%', 'GFLOP/s', 'GB/s']
        return '\n'.join([f'{self.model}, N = {self.n}', *columns(heading, rows, 2)])
