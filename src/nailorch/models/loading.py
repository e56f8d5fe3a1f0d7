"""Weights under other frameworks' names and in their layouts: where each array belongs in a model of ours, and back.

A model says what PyTorch calls its layers (`torch_name`); a layer, what PyTorch calls its arrays (`torch_names`) and
how it turns them (`torch_layout`); Keras likewise. From these, this file makes one table, and both directions read it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nailorch.formats.assets import asset
from nailorch.formats.files import check_file
from nailorch.formats.weights import ENDINGS, Weights, read_weights
from nailorch.layers.base import LOADERS, Layer, fits, wanted_shape
from nailorch.messages import message
from nailorch.models.keras_names import keras_loader
from nailorch.models.places import Loader, Place, Turn, head, places
from nailorch.models.pretrained import PRETRAINED
from nailorch.shapes import Array

__all__ = ['loader_for', 'open_weights', 'plain_names', 'pretrained', 'torch_loader', 'torch_state_dict']

PREFIXES = 'module.', '_orig_mod.'  # before all names, if DataParallel or torch.compile was around the model


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


def plain_names(arrays: Mapping[str, Any], loader: Loader) -> dict[str, Any]:
    """Return the arrays without what wrappers of PyTorch's put before all names, unless some are known as they are."""
    found = dict(arrays)
    for prefix in PREFIXES * 2:
        if found and all(name.startswith(prefix) for name in found) and not loader.matches(found):
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


# any file

def loader_for(layer: Layer, weights: Weights) -> tuple[Loader, Mapping[str, Any]]:
    """Return the table that reads a file's names, and its arrays."""
    theirs, ours = torch_loader(layer), own_loader(layer, weights.arrays)
    arrays = plain_names(weights.arrays, theirs)
    if weights.kind == 'keras':
        return keras_loader(layer, weights.arrays)
    if weights.kind != 'torch' and ours.matches(weights.arrays) >= theirs.matches(arrays):
        return ours, weights.arrays
    return theirs, arrays


def open_weights(source: str | os.PathLike[str] | Mapping[str, Any],
                 keras: bool = False) -> tuple[Mapping[str, Any], str]:
    """Return the arrays of a file or of a dictionary, and what an error begins with.

    Raises:
        ValueError: the file is Keras's, but `keras` says otherwise, or the other way round.
    """
    if isinstance(source, Mapping):
        return source, ''
    found = read_weights(source)
    if (found.kind == 'keras') != keras:
        raise ValueError(message('weights.other', path=source, kind=found.kind, remedy=LOADERS[found.kind]))
    return found.arrays, f'{os.fspath(source)}: '


def pretrained(kind: Any, name_or_path: str | os.PathLike[str] | None, options: Mapping[str, Any]) -> Any:
    """Return a model of a class, with the weights of a file: `Model.from_pretrained`."""
    path = find_weights(kind.__name__, name_or_path)
    model = kind(**options)
    loader, arrays = loader_for(model, read_weights(path))
    last = head(model) if 'num_classes' in options else None
    if loader.load(arrays, where=f'{path}: ', but=last, partly=False):
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
    if Path(name).is_dir():
        check_file(Path(name), *ENDINGS)
    if not Path(name).is_file():
        names = ''.join(f'\n  {each}' for each in known)
        raise FileNotFoundError(message('pretrained.missing', path=name, model=model, names=names))
    return Path(name)
