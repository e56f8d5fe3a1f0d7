"""How many threads compute, and how they are given work.

`Config.threads` or NAILORCH_NUM_THREADS sets the number, by default that of the processors this process may use.
"""

from __future__ import annotations

import contextlib
import os
import threading
from array import array

import numba
import numpy as np
from numba import config, prange

from nailorch.config import thread_count
from nailorch.kernels.fast.emit import call
from nailorch.kernels.fast.jit import jit, parallel

one_at_a_time = threading.Lock()  # numba's own pool, the one it has everywhere, aborts when two threads enter it
forked = False


def count() -> int:
    """Return the number of threads that the next kernel runs on."""
    if forked or config.DISABLE_JIT:
        return 1
    wish = thread_count()
    return wish if wish == 1 else min(wish, numba.get_num_threads())


def run(worker, job, most=2) -> None:
    """Let every thread run a worker on a job; they share its counter, and so its work, out among themselves.

    Where there is work for one thread at `most`, it stays on this one: to wake the others takes longer.

    A forked child keeps to one: GNU's OpenMP ends a process that enters a pool which a fork left without its threads.
    """
    words = array('q', (0, 0, *job))
    at = words.buffer_info()[0]
    words[0] = at + 8
    if config.DISABLE_JIT:
        worker.body(0, np.frombuffer(words, worker.dtype).view(np.recarray)[0])
    elif most <= 1 or count() == 1:
        alone(worker.address, at)
    else:
        with one_at_a_time if layer() in (None, 'workqueue') else contextlib.nullcontext():
            together(count(), worker.address, at)


@jit
def alone(function, job):
    call(function, 0, job)


@parallel
def together(workers, function, job):
    for worker in prange(workers):
        call(function, worker, job)


def layer() -> str | None:
    """Return the name of numba's pool of threads, None before there is one."""
    try:
        return numba.threading_layer()
    except ValueError:
        return None


def after_fork() -> None:
    global forked
    forked = True


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=after_fork)
