"""What `nailorch bench` shows: a table for each workload as it is done, and one of all."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from nailorch.bench.peers import OURS, Participant
from nailorch.bench.statistics import geometric_mean
from nailorch.cli.output import percent, show_table, without_nan
from nailorch.cli.texts import text

__all__ = ['Live', 'Progress', 'as_json', 'show_ladder', 'show_sources', 'show_summary']


COLUMN = 88  # what a line of code is given at least, where sources stand side by side


def as_json(report: dict[str, Any]) -> str:
    return json.dumps(without_nan(report), ensure_ascii=False, indent=1) + '\n'


def number(value: float | None) -> str:
    """Return three significant digits, without an exponent."""
    return '-' if value is None else f'{value:.0f}' if value >= 100 else f'{value:#.3g}'.rstrip('.')


class Progress:
    """One line on a terminal's standard error: who is at work."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.shown = sys.stderr.isatty() and not options.quiet

    def tell(self, name: str, who: Participant, round_number: int) -> None:
        if self.shown:
            doing = text('bench.round', number=round_number) if round_number else text('bench.check')
            self.say(f'{name}: {who}, {doing}')

    def rung(self, name: str) -> None:
        """Tell which rung of the ladder is measured."""
        self.say(text('bench.measuring', name=name))

    def say(self, line: str) -> None:
        """Show a line in place of the one before; an empty one clears it."""
        if self.shown:
            print(f'\r\x1b[K{line}', end='', file=sys.stderr, flush=True)


class Live:
    """The machine and its limits first, then a table for each workload as soon as it is done."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options

    def show(self, found: dict[str, Any]) -> None:
        Progress(self.options).say('')
        if not self.options.quiet and not self.options.json:
            if 'machine' in found:
                show_machine(found)
            else:
                show_workload(found)
            sys.stdout.flush()


def show_machine(report: dict[str, Any]) -> None:
    machine, limits, settings = report['machine'], report['limits'], report['settings']
    versions = ', '.join(f'{name} {number}' for name, number in machine['versions'].items() if number)
    print(text('bench.machine', cpu=machine['cpu'], cores=machine['cores'], threads=machine['threads'],
               dtype=settings['dtype'], engine=settings['engine'], rounds=settings['rounds']))
    print(text('bench.versions', versions=versions))
    print(text('bench.limits', gflops=number(limits['gflops']), by=limits['gflops_by'],
               sgemm=number(limits['sgemm_gflops']), triad=number(limits['triad_gb_s']),
               read=number(limits['read_gb_s'])))
    if settings['quick']:
        print(text('bench.quick_note'))
    if machine['huge_pages'] != 'yes':
        print(text('bench.no_huge', reason=machine['huge_pages']))
    if machine['load'] and machine['load'] > 0.5:
        print(text('bench.busy', load=f'{machine["load"]:.1f}'))
    for name, value in machine['ignored'].items():
        print(text('bench.ignored', name=name, value=value))
    for peer, install in report['missing'].items():
        print(text('bench.missing', peer=peer, install=install))


def show_workload(found: dict[str, Any]) -> None:
    """Print everyone's numbers for one workload."""
    print(f'\n{found["name"]}  ({found["shape"]}, {found["gflop"]:.3g} GFLOP, {found["megabytes"]:.3g} MB)')
    ours = next((row['median_ms'] for row in found['results'] if row['participant'] == found['ours']), None)
    marks = {found['best_pytorch']: text('bench.best_pytorch'), found['best_runtime']: text('bench.best_runtime')}
    rows = []
    for row in found['results']:
        if row['status'] != 'ok':
            said = text(f'bench.{row["status"]}', reason=' '.join(row['reason'].split())[:200])
            rows.append((row['participant'], *['-'] * 8, said))
            continue
        rows.append((row['participant'], number(row['median_ms']), '–'.join(map(number, row['quartiles_ms'])),
                     number(row['median_ms'] / ours if ours else None), number(row['gflops']), percent(row['of_peak']),
                     number(row['gb_s']), number(row['peak_mb']), number(row['first_s']),
                     marks.get(row['participant'], '')))
    columns = (text('bench.who'), 'ms', text('bench.middle'), text('bench.times_ours'), 'GFLOP/s',
               text('bench.of_peak'), 'GB/s', text('bench.peak_mb'), text('bench.first_s'), '')
    show_table(columns, rows, right=range(1, 9))


def show_summary(report: dict[str, Any]) -> None:
    """Print one line a workload: ours, the best of PyTorch, the best of the runtimes, and the ratios.

    Where ours is compiled, a second line has the eager model beside PyTorch's best eager mode.
    """
    rows, ratios = [], []
    for found in report['workloads']:
        by_name = {row['participant']: row for row in found['results']}
        for whose, kinds in (('ours', ('pytorch', 'runtime')), ('eager', ('eager',))):
            ours = by_name.get(found.get(whose))
            if whose == 'eager' and ours is None:
                continue
            cells = [found['name'] + (', eager' if whose == 'eager' else ''), number(ours and ours['median_ms']),
                     percent(ours and ours['of_peak'])]
            for kind in kinds:
                rival = by_name.get(found[f'best_{kind}'])
                name = '' if rival is None else rival['participant'].removeprefix('pytorch ').removesuffix(' float32')
                cells += [number(rival and rival['median_ms']), name, number(found[f'ratio_{kind}'])]
            rows.append(cells + [''] * (9 - len(cells)))
        ratios += [found['ratio_pytorch']] if found['ratio_pytorch'] else []
    print()
    show_table((text('bench.workload'), f'{OURS} ms', text('bench.of_peak'), 'PyTorch ms', text('bench.its_best'),
                text('bench.ratio'), text('bench.runtime_ms'), text('bench.which'), text('bench.ratio')),
               rows, right={1, 2, 3, 5, 6, 8})
    print(text('bench.ratio_note'))
    if len(ratios) > 1:
        print(text('bench.geometric', ratio=number(geometric_mean(ratios)), count=len(ratios)))
    for found in report['workloads']:
        for row in found['results']:
            if row['status'] == 'disqualified':
                print(text('bench.loud', name=found['name'], who=row['participant'], reason=row['reason']))


def show_ladder(found: list[dict[str, Any]], threads: int) -> None:
    for part in found:
        (N, C, H, W), (OC, _, KH, KW) = part['images'], part['filters']
        print(text('bench.ladder', images=f'{N}x{C}x{H}x{W}', filters=f'{OC}x{C}x{KH}x{KW}', threads=threads))
        rows = []
        for rung in part['rungs']:
            if rung['seconds'] is None:
                rows.append((rung['name'], text('bench.too_slow'), '', ''))
            else:
                low, middle, high = (1e3 * value for value in rung['seconds'])
                rows.append((rung['name'], number(middle), f'{number(low)}–{number(high)}',
                             number(rung['bytes'] / 1e6)))
        show_table((text('bench.rung'), 'ms', text('bench.middle'), text('bench.peak_mb')), rows, right={1, 2, 3})
        print()
    print(text('bench.equal'))


def show_sources(found: list[dict[str, Any]]) -> None:
    """Print the sources of all rungs, with their times, as many beside each other as the terminal has room for."""
    from rich.console import Console
    from rich.panel import Panel
    from rich.syntax import Syntax
    from rich.table import Table

    from nailorch.bench.ladder import rungs

    console = Console(highlight=False)
    beside = max(1, console.width // COLUMN)
    panels = [Panel(Syntax(rung.source.rstrip(), 'python', background_color='default', word_wrap=True),
                    title=rung.name, subtitle=cost(rung.name, found)) for rung in rungs()]
    table = Table.grid(padding=(0, 1), expand=True)
    for _ in range(beside):
        table.add_column(ratio=1)
    for place in range(0, len(panels), beside):
        table.add_row(*panels[place:place + beside])
    console.print(table)


def cost(name: str, found: list[dict[str, Any]]) -> str:
    """Return a rung's times and memory in a few words, those of the first images before those of the second."""
    measured = [rung for part in found for rung in part['rungs'] if rung['name'] == name and rung['seconds']]
    return ' · '.join(f'{number(1e3 * rung["seconds"][1])} ms, {number(rung["bytes"] / 1e6)} MB' for rung in measured)
