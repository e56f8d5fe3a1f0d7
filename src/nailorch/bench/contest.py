"""Rounds: everyone computes the workload once and is compared with ours; those who agree are then measured in turn.

In each round every participant runs for a while, in an order that moves on by one from round to round, so a machine
that becomes slower for a minute slows all of them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nailorch.bench.child import Child, Failure
from nailorch.bench.machine import available_memory
from nailorch.bench.peers import Participant
from nailorch.bench.statistics import apart, spread
from nailorch.bench.workloads import Workload
from nailorch.shapes import Array

__all__ = ['Contest', 'Result']

ENOUGH_MEMORY = 0.4  # with less of it free, a process does not wait for its next round but starts again
MOST = 50  # calls a round


@dataclass
class Result:
    """What came out for one participant.

    Attributes:
        status: 'ok', 'disqualified' (its result differs from ours) or 'failed'.
        reason: why it is not ok.
        error: how far its result is from ours, relative root mean square.
        times: seconds of every call measured.
        first_s: seconds until the first result: loading, compiling and the first call.
        peak_bytes: the most memory its process had resident while it ran (only Linux can tell; elsewhere, ever).
    """

    participant: Participant
    status: str = 'ok'
    reason: str = ''
    error: float | None = None
    times: list[float] = field(default_factory=list)
    first_s: float | None = None
    peak_bytes: int | None = None

    @property
    def spread(self) -> tuple[float, float, float]:
        """First quartile, median and third quartile of the times, in seconds."""
        return spread(self.times)


class Contest:
    """Run workloads with several participants.

    Args:
        threads: of every participant.
        rounds: how often each is measured.
        seconds: how long in each round; at least one call.
        quick: small sizes.
        child: what starts a participant.
    """

    def __init__(self, threads: int, rounds: int, seconds: float, quick: bool = False,
                 child: Callable[[Participant, int], Any] = Child) -> None:
        self.threads, self.rounds, self.seconds, self.quick, self.child = threads, rounds, seconds, quick, child
        self.children: dict[Participant, Any] = {}

    def __enter__(self) -> Contest:
        return self

    def __exit__(self, *_: object) -> None:
        self.dismiss(self.children)

    def dismiss(self, participants: Iterable[Participant]) -> None:
        for participant in list(participants):
            self.children.pop(participant).close()

    def run(self, workload: Workload, participants: Sequence[Participant],
            tell: Callable[[Participant, int], None] = lambda participant, number: None) -> list[Result]:
        """Return one result a participant, the first of whom is what the others are compared with.

        `tell` hears who is at work in which round, 0 being the comparison.
        """
        if workload.group == 'models' and not self.quick:
            self.dismiss(self.children)  # so that their memory is that of this workload alone
        results = [Result(participant) for participant in participants]
        expected: dict[str, Array] = {}
        for result in results:
            tell(result.participant, 0)
            found = self.compute(workload, result)
            if result is results[0]:
                expected = found
            if result.status == 'ok' and expected:
                self.judge(workload, result, found, expected)
        for number in range(self.rounds):
            first = number % len(results)
            for result in results[first:] + results[:first]:
                if result.status == 'ok':
                    tell(result.participant, number + 1)
                    self.measure(workload, result)
        return results

    def compute(self, workload: Workload, result: Result) -> dict[str, Array]:
        """Let a participant compute once and return its results, none if it failed."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / 'results.npz'
            try:
                result.first_s = self.ask(result.participant, workload, file)['first_s']
            except Failure as failure:
                result.status, result.reason = 'failed', str(failure)
                return {}
            with np.load(file) as archive:
                return dict(archive)

    def judge(self, workload: Workload, result: Result, found: dict[str, Array], expected: dict[str, Array]) -> None:
        """Disqualify a participant whose results are not those expected; a result that is not finite never is."""
        errors = {name: apart(found.get(name, np.zeros(0)), array) for name, array in expected.items()}
        worst = max(errors, key=errors.__getitem__)
        result.error = errors[worst]
        if not result.error <= workload.tolerance:
            result.status = 'disqualified'
            result.reason = f'{worst} is {result.error:.1e} from ours, more than {workload.tolerance:.0e}'
            self.dismiss([result.participant])

    def measure(self, workload: Workload, result: Result) -> None:
        try:
            if result.participant not in self.children:
                self.ask(result.participant, workload, None)
            answer = self.children[result.participant].ask(do='run', seconds=self.seconds, most=MOST)
        except Failure as failure:
            result.status, result.reason = 'failed', str(failure)
            return
        result.times += answer['times']
        if answer['peak_bytes'] is not None:
            result.peak_bytes = max(result.peak_bytes or 0, answer['peak_bytes'])
        self.make_room(result.participant)

    def ask(self, participant: Participant, workload: Workload, file: Path | None) -> dict[str, Any]:
        """Let a participant load a workload, in its process or a new one."""
        child = self.children.setdefault(participant, self.child(participant, self.threads))
        answer: dict[str, Any] = child.ask(do='load', workload=workload.name, quick=self.quick,
                                           results=str(file) if file else None)
        self.make_room(participant)
        return answer

    def make_room(self, participant: Participant) -> None:
        """End the other processes, which only wait, while memory is short."""
        for other in [other for other in self.children if other != participant]:
            if available_memory() >= ENOUGH_MEMORY:
                return
            self.dismiss([other])
