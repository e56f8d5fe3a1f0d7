"""Weights under other frameworks' names and in their layouts: where each array belongs in a model of ours, and back.

A model says what PyTorch calls its layers (`torch_name`); a layer, what PyTorch calls its arrays (`torch_names`) and
how it turns them (`torch_layout`); Keras likewise. From these, this file makes one table, and both directions read it.
"""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nailorch.core import Parameter
from nailorch.formats.assets import asset
from nailorch.formats.weights import Weights, read_weights
from nailorch.layers.base import Layer, fits, misfits, put, refuse, walk, wanted_shape
from nailorch.messages import message
from nailorch.models.pretrained import PRETRAINED
from nailorch.shapes import Array

__all__ = ['head', 'keras_loader', 'loader_for', 'open_weights', 'plain_names', 'pretrained', 'torch_loader',
           'torch_state_dict']

PREFIXES = 'module.', '_orig_mod.'  # before all names, if DataParallel or torch.compile was around the model

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
             but: str | None = None) -> list[str]:
        """Give the model copies of `arrays`: all fit, or nothing is loaded; without `strict`, those that fit.

        Args:
            arrays: by the framework's names, in its layouts.
            strict: False loads what fits.
            where: what an error begins with.
            but: the path of a layer that is left as it is if its arrays have other shapes.
        Returns:
            what was not loaded, a line each.
        """
        expected = {name: outer_shape(*spot) for name, spot in self.table.items()}
        given = {name: array for name, array in arrays.items() if name not in self.extras}
        wrong = misfits(expected, {name: np.shape(array) for name, array in given.items()})
        spared = [name for name, (place, _) in self.table.items() if place.path == but]
        if all(name in given for name in spared) and any(name in wrong for name in spared):
            lines = [wrong.pop(name) for name in spared if name in wrong]
        else:
            spared, lines = [], []
        if strict:
            refuse(self.layer, wrong, where)
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


# PyTorch

def torch_places(layer: Layer) -> Iterator[tuple[str, Place]]:
    """Yield (PyTorch's name, place) of all parameters and buffers."""
    for place in places(layer):
        key = place.owner.torch_names.get(place.key, place.key.replace('/', '.'))
        yield joined(layer.torch_name(place.path), key) if place.path else key, place


def torch_extras(layer: Layer) -> list[str]:
    """Return PyTorch's names of what it saves beyond that: how many batches a batch norm has seen."""
    paths = {place.path: place.owner for place in places(layer)}
    return [joined(layer.torch_name(path) if path else '', name)
            for path, owner in paths.items() for name in owner.torch_extras]


def joined(path: str, key: str) -> str:
    return f'{path}.{key}' if path else key


def torch_loader(layer: Layer) -> Loader:
    """Return the table for a state dict of PyTorch's."""
    table = {name: (place, turn_of(place, place.owner.torch_layout)) for name, place in torch_places(layer)}
    return Loader(layer, table, frozenset(torch_extras(layer)))


def turn_of(place: Place, method: Callable[[str, Array], Array]) -> Turn:
    return lambda array: method(place.key, array)


def plain_names(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arrays without what wrappers of PyTorch's put before every name."""
    found = dict(arrays)
    for prefix in PREFIXES * 2:
        if found and all(name.startswith(prefix) for name in found):
            found = {name.removeprefix(prefix): array for name, array in found.items()}
    return found


def torch_state_dict(layer: Layer) -> dict[str, Array]:
    """Return copies of all weights under PyTorch's names and in its layouts."""
    layer.state_dict()  # raises where sizes are unknown
    arrays = {name: np.array(place.owner.torch_layout(place.key, place.parameter.data), order='C')
              for name, place in torch_places(layer)}
    return arrays | {name: np.zeros((), np.int64) for name in torch_extras(layer)}


# ours and Chainer's

def own_loader(layer: Layer, arrays: Mapping[str, Any]) -> Loader:
    """Return the table for our own names; dense weights may be Chainer's, (OUT, IN), if only these fit.

    Where both would fit, as of a square matrix, the other dense weights decide; with none, they are ours.
    """
    dense = [place for place in places(layer) if turns(place)]
    given = [(np.shape(arrays[place.name]), wanted_shape(place.parameter)) for place in dense if place.name in arrays]
    chainer = any(not fits(shape, wanted) and fits(shape[::-1], wanted) for shape, wanted in given) and all(
        fits(shape[::-1], wanted) for shape, wanted in given)
    counts = {f'{place.path}/N' for place in places(layer) if place.owner.torch_extras}  # Chainer's of batches seen
    return Loader(layer, {place.name: (place, np.transpose if chainer and turns(place) else np.asarray)
                          for place in places(layer)}, frozenset(counts))


def turns(place: Place) -> bool:
    """Return whether an array is a dense layer's matrix, which others keep transposed."""
    matrix = np.broadcast_to(np.float32(0), (1, 2))
    return place.owner.torch_names.get(place.key) == 'weight' and len(wanted_shape(place.parameter) or ()) == 2 and (
        place.owner.torch_layout(place.key, matrix).shape == (2, 1))


# Keras

def keras_loader(layer: Layer, arrays: Mapping[str, Any],
                 flatten: Mapping[str, int] | None = None) -> tuple[Loader, dict[str, Any]]:
    """Return the table for a file of Keras's, and the file's arrays by the names in it.

    Its files name arrays in several ways; here each is 'layer/kind', such as 'conv1/kernel', whatever is around it.
    Where a file has only numbers for them (Keras 3), or no names of layers but their kinds, their order tells.
    """
    flatten = layer.keras_flatten() if flatten is None else flatten
    table: dict[str, tuple[Place, Turn]] = {}
    order: dict[tuple[str, str], list[str]] = {}
    for place in places(layer):
        path = layer.keras_name(place.path) if place.path else ''
        key = place.owner.keras_array(place.key)
        table[f'{path}/{key}'] = (place, keras_turn(place, flatten.get(place.path)))
        order.setdefault((path, place.owner.keras_kind), []).append(key)
    plain = plain_keras(arrays)
    layers = {name.rpartition('/')[0] for name in plain}
    known = {path: found for path, _ in order if (found := nearest(path, layers))}
    if not known:
        known = by_kind(order, layers)
    given = {}
    for (path, _), keys in order.items():
        for index, key in enumerate(keys):
            for name in (f'{known.get(path)}/{key}', f'{known.get(path)}/{index}'):
                if name in plain:
                    given[f'{path}/{key}'] = plain.pop(name)
    return Loader(layer, table), given | plain


def plain_keras(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Return a file's arrays as 'layer/kind': 'model_weights/fc1/fc1/kernel:0' and 'fc1/fc1_W_1:0' are 'fc1/kernel'."""
    found: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for full, array in arrays.items():
        *path, last = [part for part in full.split('/') if part not in ('vars', 'layers', 'model_weights')]
        if path[:1] in (['optimizer'], ['optimizer_weights'], ['top_level_model_weights']) or not path:
            continue
        last = last.removesuffix(':0').removeprefix(f'{path[-1]}_')
        last = {'W': 'kernel', 'W_1': 'kernel', 'b': 'bias', 'b_1': 'bias'}.get(last, last)
        path = [part for i, part in enumerate(path) if i == 0 or part != path[i - 1]]
        name = '/'.join([*path, last])
        if name in found:
            raise ValueError(message('keras.twice', name=name, first=origin[name], second=full))
        found[name], origin[name] = array, full
    return found


def nearest(path: str, layers: set[str]) -> str | None:
    """Return the layer of the file that is called `path`, alone or in other layers, or None."""
    if path in layers:
        return path
    inside = [name for name in layers if name.endswith(f'/{path}')]
    return inside[0] if len(inside) == 1 else None


def by_kind(order: Iterable[tuple[str, str]], layers: set[str]) -> dict[str, str]:
    """Return our layers -> the file's, where these are called by their kinds: conv2d, conv2d_1, ..., dense, ..."""
    known: dict[str, str] = {}
    for kind in {kind for _, kind in order if kind}:
        ours = [path for path, each in order if each == kind]
        theirs = sorted((name for name in layers if re.fullmatch(rf'{kind}(_\d+)?', name)),
                        key=lambda name: (len(name), name))
        if len(ours) == len(theirs):
            known |= dict(zip(ours, theirs, strict=True))
    return known


def keras_turn(place: Place, channels: int | None) -> Turn:
    """Return how an array is turned from Keras's layout to ours."""
    def turn(array: Array) -> Array:
        array = place.owner.keras_layout(place.key, array)
        if channels is None or place.key != 'W' or array.shape[0] < channels:
            return array
        rows = array.shape[0]
        side = math.isqrt(rows // channels)
        if side * side * channels != rows:
            raise ValueError(message('keras.flatten', name=place.name, rows=rows, channels=channels))
        return array.reshape(side, side, channels, -1).transpose(2, 0, 1, 3).reshape(rows, -1)

    return turn


# any file

def loader_for(layer: Layer, weights: Weights) -> tuple[Loader, Mapping[str, Any]]:
    """Return the table that reads a file's names, and its arrays."""
    arrays = plain_names(weights.arrays)
    theirs, ours = torch_loader(layer), own_loader(layer, weights.arrays)
    if weights.kind == 'keras':
        return keras_loader(layer, weights.arrays)
    if weights.kind != 'torch' and ours.matches(weights.arrays) >= theirs.matches(arrays):
        return ours, weights.arrays
    return theirs, arrays


def open_weights(source: str | os.PathLike[str] | Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """Return the arrays of a file or of a dictionary, and what an error begins with."""
    if isinstance(source, Mapping):
        return source, ''
    return read_weights(source).arrays, f'{os.fspath(source)}: '


def pretrained(kind: Any, name_or_path: str | os.PathLike[str] | None, options: Mapping[str, Any]) -> Any:
    """Return a model of a class, with the weights of a file: `Model.from_pretrained`."""
    path = find_weights(kind.__name__, name_or_path)
    model = kind(**options)
    loader, arrays = loader_for(model, read_weights(path))
    last = head(model) if 'num_classes' in options else None
    if loader.load(arrays, where=f'{path}: ', but=last):
        print(message('pretrained.head', path=path, layer=last), file=sys.stderr)
    return model


def find_weights(model: str, name_or_path: str | os.PathLike[str] | None) -> Path:
    """Return the path of a file, or of the asset that is known by that name for a model; without a name, the usual.

    Raises:
        FileNotFoundError: there is no such file, or the asset cannot be fetched.
        ValueError: no weights are known for this model.
    """
    known = PRETRAINED[model].assets if model in PRETRAINED else ()
    if name_or_path is None and not known:
        raise ValueError(message('pretrained.none', model=model))
    name = known[0] if name_or_path is None else os.fspath(name_or_path)
    if name in known and not Path(name).is_file():
        return asset(name)
    if not Path(name).is_file():
        names = ''.join(f'\n  {each}' for each in known)
        raise FileNotFoundError(message('pretrained.missing', path=name, model=model, names=names))
    return Path(name)
