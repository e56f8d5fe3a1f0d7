"""What a measurement depends on besides the code: processor, versions, threads, memory, environment."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nailorch.bench.peers import PACKAGES, Participant, installed
from nailorch.training.runs import environment

__all__ = ['available_memory', 'cores', 'describe', 'environment_of', 'huge_pages', 'ignored_settings', 'peak_memory',
           'reset_peak_memory']

# Each library asks a variable of its own; all are given the same number.
THREAD_SETTINGS = ('NAILORCH_NUM_THREADS', 'OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS',
                   'NUMBA_NUM_THREADS', 'VECLIB_MAXIMUM_THREADS')
# A kernel forced upon OpenBLAS would slow NumPy or speed it up, and users have none.
IGNORED_SETTINGS = ('OPENBLAS_CORETYPE', 'OPENBLAS_L2_SIZE')


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def huge_pages() -> str:
    """Return '' where the C library can ask for huge pages, else what stands in the way."""
    state = Path('/sys/kernel/mm/transparent_hugepage/enabled')
    library, number = platform.libc_ver()
    if platform.system() != 'Linux' or library != 'glibc':
        return 'not Linux with glibc'
    if tuple(map(int, number.split('.')[:2])) < (2, 35):
        return f'glibc {number} is older than 2.35'
    if not state.exists() or '[never]' in state.read_text():
        return 'the kernel gives none (transparent_hugepage is never)'
    return ''


def ignored_settings() -> dict[str, str]:
    """Return the settings in the environment that participants do not get."""
    return {name: os.environ[name] for name in IGNORED_SETTINGS if name in os.environ}


def environment_of(participant: Participant | None, threads: int) -> Mapping[str, str]:
    """Return the environment of a participant's process."""
    given = {name: value for name, value in os.environ.items() if name not in IGNORED_SETTINGS}
    given |= dict.fromkeys(THREAD_SETTINGS, str(threads))
    tunables = [part for part in given.pop('GLIBC_TUNABLES', '').split(':') if part and 'malloc.hugetlb' not in part]
    if participant and participant.allocation == 'huge':
        tunables.append('glibc.malloc.hugetlb=1')
    return given | ({'GLIBC_TUNABLES': ':'.join(tunables)} if tunables else {})


def describe(threads: int) -> dict[str, Any]:
    """Return, JSON-able, the machine and the versions of everyone."""
    here = environment()
    found: Any = np.show_config(mode='dicts')
    packages = sorted({package for packages in PACKAGES.values() for package in packages} | {'numba', 'llvmlite'})
    return {
        'cpu': here['cpu'],
        'cpu_features': found['SIMD Extensions'].get('found', []),
        'cores': cores(),
        'threads': threads,
        'platform': here['platform'],
        'load': os.getloadavg()[0] if hasattr(os, 'getloadavg') else None,
        'blas': '{name} {version}'.format(**found['Build Dependencies']['blas']),
        'huge_pages': huge_pages() or 'yes',
        'ignored': ignored_settings(),
        'versions': here['versions'] | {package: installed(package) for package in packages},
    }


def status(field: str, path: str = '/proc/self/status') -> int | None:
    """Return a field of a file of Linux's /proc in bytes."""
    with contextlib.suppress(OSError):
        for line in Path(path).read_text().splitlines():
            if line.startswith(f'{field}:'):
                return int(line.split()[1]) * 1024
    return None


def peak_memory() -> int | None:
    """Return the most memory, in bytes, that this process has had resident since `reset_peak_memory`.

    Linux's ru_maxrss would be that of the process that started this one, where that was larger.
    """
    if (found := status('VmHWM')) is not None:
        return found
    try:
        import resource
    except ImportError:  # Windows
        return None
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return usage if platform.system() == 'Darwin' else usage * 1024


def reset_peak_memory() -> None:
    """Let the peak begin anew from what is resident now; only Linux can."""
    with contextlib.suppress(OSError):
        Path('/proc/self/clear_refs').write_text('5')


def available_memory() -> float:
    """Return the part of the machine's memory that is free to be used, 1 where nobody can tell."""
    free, total = (status(field, '/proc/meminfo') for field in ('MemAvailable', 'MemTotal'))
    return free / total if free and total else 1.0
