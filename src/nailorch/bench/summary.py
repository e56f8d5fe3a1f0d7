"""A contest's results as one JSON-able dictionary: speeds, ratios, fractions of the machine's limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nailorch.bench.contest import Result
from nailorch.bench.ours import COMPILED
from nailorch.bench.peers import OURS
from nailorch.bench.workloads import Workload

__all__ = ['SCHEMA', 'row', 'summarise']

SCHEMA = 2  # of the JSON; it grows when a field changes its meaning

EAGER = ('NCHW', 'channels_last')  # PyTorch's modes that compile nothing


def summarise(workload: Workload, results: Sequence[Result], limits: dict[str, Any]) -> dict[str, Any]:
    """Return a workload's results, with the best of each kind and its ratio to ours (above 1: ours is faster).

    Ours is the compiled network where there is one: others' are compiled too, or frozen. The eager model is set against
    PyTorch's eager ones.
    """
    rows = [row(workload, result, limits) for result in results]
    well = [row for row in rows if row['peer'] == OURS and row['status'] == 'ok']
    eager = next((row for row in well if row['mode'] != COMPILED), None)  # the engine in force
    ours = next((row for row in well if row['mode'] == COMPILED), eager)
    found = {
        'name': workload.name, 'job': workload.job, 'group': workload.group, 'shape': workload.shape,
        'dtype': 'float32', 'gflop': workload.flops / 1e9, 'megabytes': workload.bytes / 1e6,
        'tolerance': workload.tolerance, 'results': rows, 'ours': ours and ours['participant'],
    }
    for kind in ('pytorch', 'runtime'):
        rival = best([row for row in rows if row['peer'] != OURS and (row['peer'] == 'pytorch') == (kind == 'pytorch')])
        found[f'best_{kind}'] = rival and rival['participant']
        found[f'ratio_{kind}'] = rival['median_ms'] / ours['median_ms'] if ours and rival else None
    if eager is not ours:
        rival = best([row for row in rows if row['peer'] == 'pytorch' and row['mode'] in EAGER])
        found |= {'eager': eager and eager['participant'], 'best_eager': rival and rival['participant'],
                  'ratio_eager': rival['median_ms'] / eager['median_ms'] if eager and rival else None}
    return found


def best(rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the row of the smallest median among those that count."""
    return min((row for row in rows if row['status'] == 'ok'), key=lambda row: row['median_ms'], default=None)


def row(workload: Workload, result: Result, limits: dict[str, Any]) -> dict[str, Any]:
    """Return one participant's numbers; the times are None unless it is ok."""
    who = result.participant
    found: dict[str, Any] = {
        'participant': str(who), 'peer': who.peer, 'mode': who.mode, 'allocation': who.allocation,
        'status': result.status, 'reason': result.reason, 'error': result.error, 'first_s': result.first_s,
        'peak_mb': result.peak_bytes and result.peak_bytes / 1e6, 'samples': len(result.times),
        'median_ms': None, 'quartiles_ms': None, 'gflops': None, 'of_peak': None, 'gb_s': None,
    }
    if result.status == 'ok':
        low, middle, high = result.spread
        found |= {'median_ms': middle * 1e3, 'quartiles_ms': [low * 1e3, high * 1e3],
                  'gflops': workload.flops / middle / 1e9, 'gb_s': workload.bytes / middle / 1e9}
        if limits.get('gflops'):
            found['of_peak'] = found['gflops'] / limits['gflops']
    return found
