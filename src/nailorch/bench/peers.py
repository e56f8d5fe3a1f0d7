"""Who can take part: ours and every peer, what to install for it, in which modes and with which memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from nailorch.bench import ours, pytorch, runtimes
from nailorch.bench.ours import Runner
from nailorch.bench.workloads import Workload
from nailorch.config import Config

__all__ = ['OURS', 'PACKAGES', 'PEERS', 'Participant', 'installed', 'missing', 'participants', 'prepare']

OURS = 'nailorch'
# The packages that each needs, as an index knows them.
PACKAGES = {
    'pytorch': ('torch',),
    'ncnn': ('ncnn',),
    'mnn': ('MNN', 'onnx'),
    'openvino': ('openvino', 'onnx'),
    'onnxruntime': ('onnxruntime', 'onnx'),
}
PEERS = tuple(PACKAGES)


@dataclass(frozen=True)
class Participant:
    """Somebody to be measured.

    Attributes:
        peer: 'nailorch', or one of PEERS.
        mode: an engine of ours or 'compiled', a mode of PyTorch's.
        allocation: 'default', or 'huge': the C library asks for huge pages.
    """

    peer: str
    mode: str
    allocation: str = 'default'

    def __str__(self) -> str:
        return f'{self.peer} {self.mode}' + (', huge pages' if self.allocation == 'huge' else '')


def installed(package: str) -> str | None:
    """Return a package's version without importing it."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def missing(peers: Iterable[str]) -> dict[str, str]:
    """Return, for every peer that cannot take part, the line that installs what it needs."""
    lacking = {peer: [package for package in PACKAGES[peer] if not installed(package)] for peer in peers}
    return {peer: f'pip install {" ".join(packages)}' for peer, packages in lacking.items() if packages}


def participants(workload: Workload, peers: Iterable[str], engines: Iterable[str], huge: bool) -> list[Participant]:
    """Return everyone who takes part in a workload, ours first; PyTorch also with huge pages where there are any."""
    wanted = [*engines]
    if Config.engine in wanted and ours.COMPILED in ours.modes(workload):
        wanted.append(ours.COMPILED)
    found = [Participant(OURS, mode) for mode in wanted]
    for peer in peers:
        if peer == 'pytorch':
            found += [Participant(peer, mode, allocation) for mode in pytorch.modes(workload)
                      for allocation in (('default', 'huge') if huge else ('default',))]
        else:
            found += [Participant(peer, mode) for mode in runtimes.modes(workload)]
    return found


def prepare(participant: Participant, workload: Workload, threads: int) -> Runner:
    """Prepare a workload in this process, as the participant does it."""
    if participant.peer == OURS:
        return ours.prepare(workload, participant.mode, threads)
    if participant.peer == 'pytorch':
        return pytorch.prepare(workload, participant.mode, threads)
    return runtimes.prepare(workload, participant.peer, threads)
