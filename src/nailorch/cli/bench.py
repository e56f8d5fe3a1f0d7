"""`nailorch bench`: nailorch beside other frameworks, measured now, on this machine."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from nailorch import kernels
from nailorch.bench import campaign, catalogue, peers
from nailorch.bench.machine import cores
from nailorch.cli import bench_tables
from nailorch.cli.output import show_json, show_table
from nailorch.cli.parser import UsageError, did_you_mean
from nailorch.cli.texts import text
from nailorch.formats.files import replace_file

__all__ = ['add_arguments', 'run']

TORCH_MODES = ('NCHW', 'channels_last', 'jit-frozen', 'compiled', 'compiled+frozen')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('workloads', metavar='WORKLOAD', nargs='*', help=text('bench.workloads'))
    parser.add_argument('--list', action='store_true', help=text('bench.list'))
    parser.add_argument('--peers', metavar='A,B', default='all', help=text('bench.peers', peers=', '.join(peers.PEERS)))
    parser.add_argument('--engines', metavar='A,B', default='', help=text('bench.engines'))
    parser.add_argument('--modes', metavar='A,B', default='', help=text('bench.modes', modes=', '.join(TORCH_MODES)))
    parser.add_argument('--rounds', metavar='N', type=int, help=text('bench.rounds'))
    parser.add_argument('--seconds', metavar='S', type=float, help=text('bench.seconds'))
    parser.add_argument('--threads', metavar='N', type=int, help=text('bench.threads'))
    parser.add_argument('--quick', action='store_true', help=text('bench.quick'))
    parser.add_argument('--save', metavar='FILE', help=text('bench.save'))
    parser.add_argument('--sources', action='store_true', help=text('bench.sources'))


def run(options: argparse.Namespace) -> int:
    options.rounds = options.rounds if options.rounds is not None else 2 if options.quick else 5
    options.seconds = options.seconds if options.seconds is not None else 0.05 if options.quick else 0.5
    threads = threads_asked(options)
    if options.list:
        return list_workloads(options)
    if options.workloads == ['ladder']:
        return climb(options, threads)
    plan = planned(options, threads)
    report = campaign.run(plan, bench_tables.Progress(options).tell, keeping(options, bench_tables.Live(options).show))
    if options.json:
        show_json(report)
    else:
        bench_tables.show_summary(report)
    wrong = [row for found in report['workloads'] for row in found['results']
             if row['status'] == 'disqualified' or (row['status'] == 'failed' and row['peer'] == peers.OURS)]
    return 1 if wrong else 0


def keeping(options: argparse.Namespace, show: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    """Return a `show` that also saves all that is measured so far, so that a run that breaks off loses little."""
    shown: list[dict[str, Any]] = []  # the report, which grows, and then each of its workloads

    def show_and_save(found: dict[str, Any]) -> None:
        show(found)
        shown.append(found)
        if options.save and shown[1:]:
            replace_file(Path(options.save), [bench_tables.as_json(shown[0]).encode()])

    return show_and_save


def threads_asked(options: argparse.Namespace) -> int:
    """Return --threads, else NAILORCH_NUM_THREADS, else the cores there are."""
    asked = options.threads if options.threads is not None else os.environ.get('NAILORCH_NUM_THREADS', cores())
    for name, value in (('--threads', asked), ('--rounds', options.rounds)):
        if not str(value).isdecimal() or int(value) < 1:
            raise UsageError(text('bench.least', name=name, value=value))
    if not options.seconds > 0:
        raise UsageError(text('bench.least', name='--seconds', value=options.seconds))
    return int(asked)


def planned(options: argparse.Namespace, threads: int) -> campaign.Plan:
    """Return what the options ask for; whatever they misspell is a usage error."""
    known = catalogue.catalogue(options.quick)
    try:
        workloads = catalogue.chosen(options.workloads, known)
    except LookupError as error:
        words = [*catalogue.GROUPS, *known, 'all', 'ladder']
        raise UsageError(text('bench.unknown', word=error.args[0], remedy=nearest(error.args[0], words))) from None
    return campaign.Plan(
        workloads, names('--peers', options.peers, peers.PEERS), threads, rounds=options.rounds,
        seconds=options.seconds, quick=options.quick, engines=names('--engines', options.engines, kernels.ENGINES),
        modes=names('--modes', options.modes, TORCH_MODES))


def names(flag: str, written: str, known: Iterable[str]) -> list[str]:
    """Read 'a,b', 'all' or 'none'."""
    if written == 'all':
        return list(known)
    found = [word for word in written.split(',') if word and word != 'none']
    for word in found:
        if word not in known:
            raise UsageError(text('bench.unknown', word=f'{flag} {word}', remedy=did_you_mean(word, known)))
    return found


def nearest(word: str, known: Iterable[str]) -> str:
    """Return 'did you mean …?', or, since all names would fill a page, where they are listed."""
    remedy = did_you_mean(word, known)
    return remedy if len(remedy) < 100 else 'nailorch bench --list'


def list_workloads(options: argparse.Namespace) -> int:
    known = catalogue.catalogue(options.quick)
    if options.json:
        show_json([{'name': name, 'group': work.group, 'shape': work.shape, 'gflop': work.flops / 1e9}
                   for name, work in known.items()])
    else:
        rows = [(name, work.group, work.shape, f'{work.flops / 1e9:.3g}') for name, work in known.items()]
        show_table((text('bench.workload'), text('bench.group'), text('bench.shape'), 'GFLOP'), rows, right={3})
    return 0


def climb(options: argparse.Namespace, threads: int) -> int:
    progress = bench_tables.Progress(options)
    found = campaign.climb_ladder(threads, options.rounds, progress.rung)
    progress.say('')
    if options.json:
        show_json(found)
    else:
        bench_tables.show_ladder(found, threads)
        if options.sources:
            bench_tables.show_sources(found)
    return 0
