"""Every rung computes the same; a wrong one is noticed; the sources that are shown are those that run."""

import numpy as np
import pytest

from nailorch import kernels
from nailorch.bench import ladder
from tests import loops

TINY = (2, 3, 6, 7), (4, 3, 3, 3)


@pytest.mark.parametrize('rung', ladder.rungs(), ids=lambda rung: rung.name)
def test_rung_is_the_convolution(rung):
    random = np.random.default_rng(0)
    x, W = (random.standard_normal(shape).astype(np.float32) for shape in TINY)
    np.testing.assert_allclose(rung.call(rung.layout(x), W), loops.conv2d(x, W), rtol=1e-4, atol=1e-5)


def test_winograd_takes_odd_sizes_that_no_tiles_fill():
    random = np.random.default_rng(1)
    x, W = (random.standard_normal(shape).astype(np.float32) for shape in ((2, 3, 5, 8), (4, 3, 3, 3)))
    np.testing.assert_allclose(ladder.winograd(x, W), loops.conv2d(x, W), rtol=1e-4, atol=1e-5)


def test_the_ladder_leads_from_loops_to_the_engines():
    names = [rung.name for rung in ladder.rungs()]
    assert names[:6] == ['seven_loops', 'columns', 'windows', 'cells', 'winograd', 'engine reference']
    assert names[6:] == ([] if kernels.fast.generated() is None else [
        'engine fast, winograd off', 'engine fast, winograd accurate', 'engine fast', 'engine fast, channels last'])


def test_climbing_measures_every_rung_but_loops_that_would_not_end():
    begun = []
    steps = ladder.climb(TINY, rounds=2, begin=lambda rung: begun.append(rung))
    assert begun == [step.rung for step in steps]
    result = 4 * 2 * 4 * 4 * 5
    assert all(step.seconds is not None and step.seconds[1] > 0 for step in steps)
    assert all(step.bytes is not None and step.bytes >= result for step in steps)
    first, *others = ladder.climb(TINY, rounds=1, most_multiplications=10)
    assert (first.rung.name, first.seconds, first.bytes) == ('seven_loops', None, None)
    assert all(step.seconds is not None for step in others)


def test_a_rung_that_differs_is_an_error(monkeypatch):
    monkeypatch.setattr(kernels.reference, 'conv2d', lambda *arguments: np.zeros((2, 4, 4, 5), np.float32))
    with pytest.raises(ArithmeticError, match=r'engine reference is 1\.0e\+00 from the first rung'):
        ladder.climb(TINY)


def test_sources_are_shown_whole():
    assert ladder.rungs()[0].source.count('for ') == 7 + 1  # and one in its docstring
    assert 'im2col_array' in ladder.rungs()[1].source
