"""Small made-up data to watch a network learn on."""

from __future__ import annotations

import numpy as np

from nailorch.config import Config
from nailorch.datasets.base import Dataset
from nailorch.shapes import Array

__all__ = ['SinCurve', 'Spiral', 'get_spiral']


def get_spiral(train: bool = True) -> tuple[Array, Array]:
    """Return points (300, 2) on three arms of a spiral, and the arm (300,) of each, shuffled.

    Source: the textbook's own points; they come from NumPy's old generator with the seeds 1984 and 2020.
    """
    random = np.random.RandomState(1984 if train else 2020)
    points, classes = 100, 3
    t = np.repeat(np.arange(classes), points)
    radius = np.tile(np.arange(points) / points, classes)
    angle = 4.0 * t + 4.0 * radius + 0.2 * random.randn(classes * points)
    x = np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1).astype(Config.dtype)
    order = random.permutation(len(t))
    return x[order], t[order]


class Spiral(Dataset):
    """Three arms of a spiral, 100 points each: no straight line parts them."""

    classes = '0', '1', '2'

    def prepare(self) -> None:
        self.data, self.label = get_spiral(self.train)


class SinCurve(Dataset):
    """A noisy sine (train) or a cosine (test) of 1,000 points: x is a value, (1,), and t the one that follows it."""

    def prepare(self) -> None:
        angle = np.linspace(0, 2 * np.pi, 1000)
        noise = np.random.default_rng(0).uniform(-0.05, 0.05, len(angle))
        curve = (np.sin(angle) + noise if self.train else np.cos(angle)).astype(Config.dtype)
        self.data, self.label = curve[:-1, None], curve[1:, None]
