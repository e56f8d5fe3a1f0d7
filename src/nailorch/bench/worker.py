"""One participant in a process of its own: it reads requests, one JSON a line, and answers each with one.

    {"do": "load", "workload": "vgg16-inference-b1", "quick": false, "results": "ours.npz"}  -> {"first_s"}
    {"do": "run", "seconds": 0.3, "most": 20}                      -> {"times": [...], "peak_bytes"}

What goes wrong is answered as {"error": "..."}. Libraries that print get standard error instead of the answers' pipe.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
import traceback
import warnings
from typing import Any

import numpy as np

from nailorch.bench.catalogue import catalogue
from nailorch.bench.machine import peak_memory, reset_peak_memory
from nailorch.bench.ours import Runner
from nailorch.bench.peers import Participant, prepare

__all__ = ['main']


def main() -> None:
    participant, threads = Participant(*sys.argv[1:4]), int(sys.argv[4])
    answers = os.fdopen(os.dup(1), 'w', encoding='utf-8')
    os.dup2(2, 1)
    warnings.simplefilter('ignore')
    prepared: Runner | None = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request['do'] == 'load':
                prepared = None
                prepared, answer = load(participant, request, threads)
            else:
                assert prepared is not None
                answer = {'times': run(prepared, request['seconds'], request['most']), 'peak_bytes': peak_memory()}
        except Exception as error:  # whatever a participant stumbles over is its own result
            traceback.print_exc()
            answer = {'error': f'{type(error).__name__}: {error}'}
        print(json.dumps(answer), file=answers, flush=True)


def load(participant: Participant, request: dict[str, Any], threads: int) -> tuple[Runner, dict[str, Any]]:
    """Prepare a workload, keep its results in a file if they are wanted, and warm up."""
    gc.collect()
    began = time.perf_counter()
    prepared = prepare(participant, catalogue(request['quick'])[request['workload']], threads)
    results = prepared.check()
    first = time.perf_counter() - began
    if request['results']:
        save: Any = np.savez  # its type takes every name for an option
        save(request['results'], **results)
    del results
    gc.collect()
    reset_peak_memory()  # what preparing took, such as making the weights and a file of them, is not the work's
    for _ in range(2):
        prepared.run()
    return prepared, {'first_s': first}


def run(prepared: Runner, seconds: float, most: int) -> list[float]:
    """Return the seconds of every call, until `seconds` are over or there are `most`; at least one."""
    times: list[float] = []
    while not times or (sum(times) < seconds and len(times) < most):
        began = time.perf_counter()
        prepared.run()
        times.append(time.perf_counter() - began)
    return times


if __name__ == '__main__':
    main()
