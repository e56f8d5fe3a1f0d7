"""Every rung computes the same; a wrong one is noticed; the sources that are shown are those that run."""

import numpy as np
import pytest

from nailorch import kernels
from nailorch.bench import ladder
from tests import loops

TINY = (2, 3, 6, 7), (4, 3, 3, 2)


@pytest.mark.parametrize('rung', ladder.rungs(), ids=lambda rung: rung.name)
def test_rung_is_the_convolution(rung):
    random = np.random.default_rng(0)
    x, W = (random.standard_normal(shape).astype(np.float32) for shape in TINY)
    np.testing.assert_allclose(rung.call(x, W), loops.conv2d(x, W), rtol=1e-4, atol=1e-5)


def test_every_engine_is_a_rung(monkeypatch):
    monkeypatch.setitem(kernels.ENGINES, 'newest', kernels.reference)
    assert [rung.name for rung in ladder.rungs()] == [
        'seven_loops', 'columns', 'windows', 'cells', *(f'engine {name}' for name in kernels.ENGINES)]


def test_climbing_measures_every_rung_but_loops_that_would_not_end():
    steps = ladder.climb(TINY, rounds=2)
    result = 2 * 4 * 4 * 6 * 4
    assert all(step.seconds is not None and step.seconds[1] > 0 for step in steps)
    assert all(step.bytes is not None and step.bytes >= result for step in steps)
    first, *others = ladder.climb(TINY, rounds=1, most_multiplications=10)
    assert (first.rung.name, first.seconds, first.bytes) == ('seven_loops', None, None)
    assert all(step.seconds is not None for step in others)


def test_a_rung_that_differs_is_an_error(monkeypatch):
    monkeypatch.setattr(kernels.reference, 'conv2d', lambda *arguments: np.zeros((2, 4, 4, 6), np.float32))
    with pytest.raises(ArithmeticError, match=r'engine reference is 1\.0e\+00 from seven_loops'):
        ladder.climb(TINY)


def test_sources_are_shown_whole():
    assert ladder.rungs()[0].source.count('for ') == 7 + 1  # and one in its docstring
    assert 'im2col_array' in ladder.rungs()[1].source
