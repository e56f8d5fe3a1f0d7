"""Where the arrays of a file belong in a model: a table of names, and what is said of those that do not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nailorch.core import Parameter
from nailorch.layers.base import Layer, classes_remedy, misfits, put, refuse, walk, wanted_shape
from nailorch.shapes import Array

__all__ = ['Loader', 'Place', 'Turn', 'head', 'places']

Turn = Callable[[Array], Array]


@dataclass(frozen=True)
class Place:
    """Where an array belongs: a parameter, the layer that holds it and its name there."""

    parameter: Parameter
    owner: Layer
    path: str
    key: str

    @property
    def name(self) -> str:
        """Its name in the model."""
        return f'{self.path}/{self.key}' if self.path else self.key


def places(layer: Layer) -> Iterator[Place]:
    """Yield where all parameters and buffers of a layer stand, in order."""
    paths: dict[int, str] = {}
    for name, thing, owner in walk(layer):
        if isinstance(thing, Layer):
            paths[id(thing)] = name
        else:
            path = paths[id(owner)]
            yield Place(thing, owner, path, name.removeprefix(f'{path}/' if path else ''))


def head(layer: Layer) -> str:
    """Return the path of the last layer that has parameters: the one that knows how many classes there are."""
    return list(places(layer))[-1].path


@dataclass
class Loader:
    """A table for one model and one framework: its name -> (our place, how its array is turned to ours).

    `extras` are names that a file may have beyond these.
    """

    layer: Layer
    table: dict[str, tuple[Place, Turn]]
    extras: frozenset[str] = frozenset()

    def load(self, arrays: Mapping[str, Any], strict: bool = True, where: str = '',
             but: str | None = None, partly: bool = True) -> list[str]:
        """Give the model copies of `arrays`: all fit, or nothing is loaded; without `strict`, those that fit.

        Args:
            arrays: by the framework's names, in its layouts.
            strict: False loads what fits.
            where: what an error begins with.
            but: the path of a layer that is left as it is if its arrays have other shapes.
            partly: whether who asks could say strict=False; else the error does not tell of it.
        Returns:
            what was not loaded, a line each.
        """
        expected = {name: outer_shape(*spot) for name, spot in self.table.items()}
        given = {name: array for name, array in arrays.items() if name not in self.extras}
        shapes = {name: np.shape(array) for name, array in given.items()}
        wrong = misfits(expected, shapes)
        spared = [name for name, (place, _) in self.table.items() if place.path == but]
        if all(name in given for name in spared) and any(name in wrong for name in spared):
            lines = [wrong.pop(name) for name in spared if name in wrong]
        else:
            spared, lines = [], []
        if strict:
            refuse(self.layer, wrong, where, classes_remedy(self.layer, expected, shapes, wrong), partly)
        fitting = [name for name in self.table if name not in wrong and name not in spared]
        put(self.layer, {self.table[name][0].name: self.table[name][1](np.asarray(given[name])) for name in fitting})
        return [*wrong.values(), *lines]

    def matches(self, arrays: Mapping[str, Any]) -> int:
        """Return how many of the names are in the table."""
        return sum(name in self.table for name in arrays)


def outer_shape(place: Place, turn: Turn) -> Sequence[int | None] | None:
    """Return the shape that a framework's array must have, as far as it is known."""
    shape = wanted_shape(place.parameter)
    if shape is None:
        return None
    # an array whose sizes are the numbers of its axes shows where each of them goes
    axes = turn(np.broadcast_to(np.float32(0), tuple(range(1, len(shape) + 1)))).shape
    return tuple(shape[axes.index(axis)] for axis in range(1, len(shape) + 1))
