"""A whole benchmark: the machine, its limits, every workload asked for, as one JSON-able dictionary."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from nailorch.bench.contest import Contest
from nailorch.bench.machine import describe, environment_of, huge_pages
from nailorch.bench.peers import Participant, missing, participants
from nailorch.bench.summary import SCHEMA, summarise
from nailorch.bench.workloads import Workload
from nailorch.config import Config

__all__ = ['Plan', 'climb_ladder', 'in_a_process', 'run']


@dataclass(frozen=True)
class Plan:
    """What is to be measured.

    Attributes:
        peers: those wanted beside ours; the ones that are not installed are named in the report.
        engines: of ours; the first is what peers are compared with. Empty: the one in force.
        modes: those of PyTorch's modes that take part; empty: all, but `quick` leaves out those that compile.
        threads, rounds, seconds, quick: as Contest takes them.
    """

    workloads: Sequence[Workload]
    peers: Sequence[str]
    threads: int
    engines: Sequence[str] = ()
    modes: Sequence[str] = ()
    rounds: int = 5
    seconds: float = 0.5
    quick: bool = False

    def participants(self, workload: Workload) -> list[Participant]:
        """Return everyone who can take part in a workload here, ours first."""
        absent = missing(self.peers)
        present = [peer for peer in self.peers if peer not in absent]
        found = participants(workload, present, self.engines or (Config.engine,), huge=not huge_pages())
        return [who for who in found if who.peer != 'pytorch' or self.takes(who.mode)]

    def takes(self, mode: str) -> bool:
        return mode in self.modes if self.modes else not (self.quick and mode.startswith('compiled'))


def run(plan: Plan, tell: Callable[[str, Participant, int], None] = lambda name, who, number: None,
        show: Callable[[dict[str, Any]], None] = lambda found: None) -> dict[str, Any]:
    """Measure what is planned. `tell` hears what is going on, `show` gets the limits, then each workload's results."""
    limits = in_a_process('nailorch.bench.limits', plan.threads)
    report: dict[str, Any] = {
        'schema': SCHEMA,
        'date': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
        'machine': describe(plan.threads),
        'settings': {'rounds': plan.rounds, 'seconds': plan.seconds, 'quick': plan.quick, 'dtype': 'float32',
                     'engine': (*plan.engines, Config.engine)[0]},
        'missing': missing(plan.peers),
        'limits': limits,
        'workloads': [],
    }
    show(report)
    with Contest(plan.threads, plan.rounds, plan.seconds, plan.quick) as contest:
        for workload in plan.workloads:
            results = contest.run(workload, plan.participants(workload),
                                  lambda who, number, name=workload.name: tell(name, who, number))  # type: ignore[misc]
            found = summarise(workload, results, limits)
            report['workloads'].append(found)
            show(found)
    return report


def climb_ladder(threads: int, rounds: int, heard: Callable[[str], None] | None = None) -> Any:
    """Climb the ladder in a process with the given threads; return what `ladder.main` prints.

    Args:
        heard: is told of each rung, before it is measured.
    """
    return in_a_process('nailorch.bench.ladder', threads, str(rounds), heard=heard)


def in_a_process(module: str, threads: int, *arguments: str, heard: Callable[[str], None] | None = None) -> Any:
    """Run a module as a program with the environment of a participant and return the JSON that it prints.

    Args:
        heard: is told of each line on its standard error, as it comes.
    """
    command, said = [sys.executable, '-m', module, *arguments], ['']
    with (tempfile.TemporaryFile('w+', encoding='utf-8') as answer,
          subprocess.Popen(command, stdout=answer, stderr=subprocess.PIPE, text=True, encoding='utf-8',
                           env=dict(environment_of(None, threads))) as child):
        for line in child.stderr or ():
            said.append(line.strip() or said[-1])
            if heard:
                heard(said[-1])
        if child.wait():
            raise RuntimeError(f'{module}: {said[-1]}')
        answer.seek(0)
        return json.load(answer)
