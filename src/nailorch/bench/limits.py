"""What this machine could do at best: multiply-adds a second from registers alone, bytes a second from memory.

The multiply-adds run in a loop of LLVM code that touches no memory; without llvmlite, the float32 matrix product of
NumPy's BLAS stands for them, and the report says so. Run as a program, it prints both as JSON.
"""

from __future__ import annotations

import ctypes
import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

import numpy as np

__all__ = ['measure']

CHAINS = 12  # independent sums: enough to cover the 4 to 5 cycles that each addition takes, on two units
TURNS = 4_000_000
PIECE = 1 << 15  # float32 numbers that stay in a core's cache between two calls of NumPy


def measure(threads: int) -> dict[str, Any]:
    """Return {'gflops', 'gflops_by', 'sgemm_gflops', 'triad_gb_s', 'read_gb_s'} for `threads` threads."""
    blas = sgemm()
    with ThreadPoolExecutor(threads) as pool:
        fma = multiply_adds(pool, threads)
        found = {'gflops': fma or blas, 'gflops_by': 'fma loop' if fma else 'NumPy sgemm', 'sgemm_gflops': blas}
        return found | memory(pool, threads)


def best(run: Callable[[], Any], times: int = 10) -> float:
    """Return the shortest of several times: a limit is what is reached when nobody disturbs."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        run()
        found.append(time.perf_counter() - began)
    return min(found)


def sgemm(size: int = 1536) -> float:
    a = np.ones((size, size), np.float32)
    return 2e-9 * size ** 3 / best(lambda: a @ a)


def multiply_adds(pool: ThreadPoolExecutor, threads: int) -> float | None:
    """Return GFLOP/s of s * 0.5 + 1 on the processor's widest vectors in all threads; None without llvmlite or FMA."""
    try:
        llvm: Any = import_module('llvmlite.binding')
    except ImportError:
        return None
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features()
    arm = llvm.get_process_triple().startswith(('aarch64', 'arm64'))
    width = 16 if features.get('avx512f') else 8 if features.get('fma') else 4 if arm else 0
    if not width:
        return None
    features['prefer-256-bit'] = False  # else LLVM halves the vectors on some Intel processors
    target = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features.flatten(), opt=3)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(fma_loop(width)), target)
    engine.finalize_object()
    loop = ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_long)(engine.get_function_address('loop'))  # leaves Python's lock
    seconds = best(lambda: list(pool.map(loop, [TURNS] * threads)))
    return 2e-9 * width * CHAINS * TURNS * threads / seconds


def fma_loop(width: int) -> str:
    """Return LLVM code: float loop(long turns), CHAINS independent vectors s = s * 0.5 + 1 in each turn."""
    vector, each = f'<{width} x float>', range(CHAINS)
    half, one = (f'<{", ".join([f"float {number}"] * width)}>' for number in ('0.5', '1.0'))
    phis = [f'  %s{i} = phi {vector} [zeroinitializer, %entry], [%t{i}, %body]' for i in each]
    work = [f'  %t{i} = call {vector} @llvm.fma.v{width}f32({vector} %s{i}, {vector} {half}, {vector} {one})'
            for i in each]
    sums = [f'  %u{i} = fadd {vector} %t{i}, %{"u" if i > 1 else "t"}{i - 1}' for i in each[1:]]
    return '\n'.join([
        f'declare {vector} @llvm.fma.v{width}f32({vector}, {vector}, {vector})',
        'define float @loop(i64 %turns) {', 'entry:', '  br label %body', 'body:',
        '  %i = phi i64 [0, %entry], [%next, %body]', *phis, *work,
        '  %next = add i64 %i, 1', '  %more = icmp slt i64 %next, %turns', '  br i1 %more, label %body, label %end',
        'end:', *sums, f'  %r = extractelement {vector} %u{CHAINS - 1}, i32 0', '  ret float %r', '}',
    ])


def memory(pool: ThreadPoolExecutor, threads: int) -> dict[str, float]:
    """Return GB/s of STREAM's triad, a = b + 3 c (12 bytes: two numbers read, one written), and of reading.

    NumPy needs two calls for a triad. It goes in pieces, so that the second call finds its numbers in the cache.
    """
    size = threads << 23
    a, b, c = (np.ones(size, np.float32) for _ in range(3))
    shares = [range(share, share + (1 << 23), PIECE) for share in range(0, size, 1 << 23)]

    def triad(share: range) -> None:
        for begin in share:
            piece = slice(begin, begin + PIECE)
            np.multiply(c[piece], 3, out=a[piece])
            np.add(a[piece], b[piece], out=a[piece])

    def read(share: range) -> None:
        for begin in share:
            b[begin:begin + PIECE].max()

    return {'triad_gb_s': 12e-9 * size / best(lambda: list(pool.map(triad, shares))),
            'read_gb_s': 4e-9 * size / best(lambda: list(pool.map(read, shares)))}


if __name__ == '__main__':
    print(json.dumps(measure(int(os.environ['NAILORCH_NUM_THREADS']))))
