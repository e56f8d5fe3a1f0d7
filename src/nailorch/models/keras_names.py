"""What Keras calls the arrays of a model, in files of all its versions, and how it turns them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from nailorch.layers.base import Layer
from nailorch.messages import message
from nailorch.models.places import Loader, Place, Turn, places
from nailorch.shapes import Array

__all__ = ['keras_loader']


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
