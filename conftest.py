"""What tests and doctests share."""

import os

# Before NumPy and PyTorch are imported: one thread each, so that sums come in one order, and messages in English.
os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ['NAILORCH_LANG'] = 'en'
os.environ.setdefault('NAILORCH_QUIET', '1')  # a cold start's notice is the subject of few tests

import importlib.util
from collections.abc import Iterator
from typing import Any

import hypothesis
import numpy as np
import pytest

import nailorch
from nailorch import rng
from nailorch.config import Config

# Doctest imports every file of the package; the generated kernels need a compiler that may not be installed.
collect_ignore_glob = [] if importlib.util.find_spec('numba') else ['src/nailorch/kernels/fast/*']

# A slow laptop is no failure; CI tries the same examples every time.
hypothesis.settings.register_profile('house', deadline=None, derandomize='CI' in os.environ)
hypothesis.settings.load_profile('house')


@pytest.fixture(autouse=True)
def same_start() -> Iterator[None]:
    """Every test starts from seed 0, and the settings it changes are put back."""
    rng.seed(0)
    settings = dict(Config._defaults)
    yield
    Config._defaults.update(settings)


@pytest.fixture(autouse=True)
def names_in_doctests(doctest_namespace: dict[str, Any]) -> None:
    """Examples in docstrings may say np, nailorch, and any public name of nailorch, without importing it."""
    doctest_namespace.update({name: getattr(nailorch, name) for name in getattr(nailorch, '__all__', ())})
    doctest_namespace.update(np=np, nailorch=nailorch)
