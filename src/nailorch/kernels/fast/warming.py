"""All kernels at once: which are kept on disk, and compiling those that are not."""

from __future__ import annotations

import importlib

from numba.core.registry import cpu_target

from nailorch.config import using_config
from nailorch.kernels.fast import jit, target, threads
from nailorch.kernels.fast.notice import NOTICE

VECTORS = {16: 'AVX-512', 8: 'AVX2', 4: 'NEON'}


def workers() -> list[jit.Worker]:
    """Return every worker of every file of this package."""
    for path in sorted(jit.HERE.glob('*.py')):
        importlib.import_module(f'nailorch.kernels.fast.{path.stem}')
    return jit.WORKERS


def on_disk(worker: jit.Worker) -> bool:
    """Return whether a worker was compiled before, for this processor and from these sources."""
    if not jit.kept:
        return False
    cache = jit.Kept(worker.body)
    return cache.load_overload(worker.signature, cpu_target.target_context) is not None


def facts() -> dict[str, str | int | None]:
    """Return, JSON-able, what the kernels are made for and where they are kept."""
    everyone = workers()
    return {
        'vectors': f'{VECTORS[target.LANES]}, {target.REGISTERS} x {target.LANES} float32',
        'threads': threads.count(),
        'kept': sum(map(on_disk, everyone)),
        'kernels': len(everyone),
        'folder': jit.Kept(everyone[0].body).cache_path if jit.kept else None,
    }


def warm() -> int:
    """Compile what is not on disk yet; return how many kernels there were to compile."""
    cold = [worker for worker in workers() if not on_disk(worker)]
    NOTICE.count, NOTICE.total = 0, len(cold)
    try:
        for worker in cold:
            worker.address  # noqa: B018 (asking for it compiles)
    finally:
        NOTICE.total = 0
    with using_config('threads', 2):
        threads.helpers()
    return len(cold)
