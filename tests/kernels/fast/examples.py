"""How many shapes the property tests of the generated kernels try: NAILORCH_EXAMPLES=20 for twenty times as many."""

from __future__ import annotations

import os

from hypothesis import settings

TIMES = int(os.environ.get('NAILORCH_EXAMPLES', 1))


def examples(count: int) -> settings:
    """Try `count` shapes, or a multiple of it where the environment asks for more; compiling may take its time."""
    return settings(max_examples=count * TIMES, deadline=None)
