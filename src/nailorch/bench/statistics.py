"""Medians with spread, and how far two results are apart."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from nailorch.shapes import Array

__all__ = ['Spread', 'apart', 'geometric_mean', 'median', 'quantile', 'spread']

Spread = tuple[float, float, float]


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the sorted values lie, between two of them in proportion.

    Example:
        >>> quantile([1, 2, 4, 8], 0.25), quantile([1, 2, 4, 8], 0.5)
        (1.75, 3.0)
    """
    values = sorted(values)
    place = share * (len(values) - 1)
    low = math.floor(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (place - low) * (values[high] - values[low])


def median(values: Sequence[float]) -> float:
    return quantile(values, 0.5)


def spread(values: Sequence[float]) -> Spread:
    """Return the first quartile, the median and the third quartile: half of the values lie between the outer two."""
    return quantile(values, 0.25), median(values), quantile(values, 0.75)


def geometric_mean(ratios: Sequence[float]) -> float:
    """Return the mean of ratios: twice as fast and half as fast make 1.

    Example:
        >>> geometric_mean([2, 0.5])
        1.0
    """
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def apart(result: Array, expected: Array) -> float:
    """Return the root mean square of the differences over that of what was expected; infinite if they do not compare.

    Example:
        >>> apart(np.array([3., 4.5]), np.array([3., 4.]))
        0.1
    """
    if result.shape != expected.shape or not np.isfinite(result).all() or not np.isfinite(expected).all():
        return math.inf
    difference, size = (float(np.linalg.norm(x.astype(np.float64))) for x in (result - expected, expected))
    return difference / size if size else (math.inf if difference else 0.0)
