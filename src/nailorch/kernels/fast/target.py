"""What the CPU offers: how many numbers a vector holds, how many vectors there are, and the tiles that follow from it.

Tiles are chosen from features, never from a CPU's name: NUMBA_CPU_NAME and NUMBA_CPU_FEATURES are obeyed.
"""

from __future__ import annotations

from typing import NamedTuple

from numba.core.registry import cpu_target


class Target(NamedTuple):
    lanes: int  # float32 numbers in a vector
    registers: int  # vector registers


def target() -> Target | None:
    """Return what this CPU's vectors are like; None where there is no fused multiply-add to build on."""
    triple, _, features = cpu_target.target_context.codegen().magic_tuple()
    has = set(features.split(','))
    if {'+avx512f', '+avx512dq', '+avx512vl'} <= has:
        return Target(16, 32)
    if {'+avx2', '+fma'} <= has:
        return Target(8, 16)
    if triple.startswith(('aarch64', 'arm64')):
        return Target(4, 32)
    return None


LANES, REGISTERS = target() or Target(4, 16)
