"""What our ONNX files say of their pictures, so that whoever opens one sees what the model saw.

It is one entry of the file's metadata, JSON. Of a run: pixels from 0 to 255 become (pixels - mean) / std, and the
classes have names.

    nailorch.pictures    {"classes": ["cat", "dog"], "mean": [0.0], "std": [255.0]}
    nailorch.pictures    {"way": "efficientnet_lite"}      of trained networks: a function of models.preprocessing
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nailorch import onnx
from nailorch.cli.opening import Opened
from nailorch.cli.texts import text
from nailorch.inspection import preprocessing
from nailorch.models.preprocessing import caffe, efficientnet_lite, torchvision
from nailorch.training.data import to_numbers
from nailorch.transforms import Compose, Convert, Normalize, Resize, ToArray

__all__ = ['note_of_run', 'note_of_trained', 'open_onnx']

KEY = 'nailorch.pictures'
WAYS: dict[str, Callable[..., Any]] = {'caffe': caffe, 'efficientnet_lite': efficientnet_lite,
                                       'torchvision': torchvision}


def open_onnx(path: Path) -> tuple[Any, Callable[[Any], Any], list[str] | None]:
    """Return the network in an ONNX file, what makes a PIL image its input, (C, H, W), and its classes' names.

    Of a file that does not say how, pictures are prepared as PyTorch's are where it takes squares of three channels, of
    64 pixels a side or more; else pixels become numbers from 0 to 1.
    """
    model = onnx.load(path)
    _, *shape = model.input_shapes[0] or (None,) * 4
    if len(shape) != 3:
        raise ValueError(text('opening.no_images', file=path, shape=model.input_shapes[0]))
    C, H, W = (given or default for given, default in zip(shape, (3, 224, 224), strict=True))
    usual = {'way': 'torchvision'} if C == 3 and H == W and H >= 64 else {'mean': [0.0], 'std': [255.0]}
    try:
        told = json.loads(model.metadata[KEY]) if KEY in model.metadata else usual
        return model, prepared(told, C, H, W), names(told)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise ValueError(text('notes.broken', file=path, entry=KEY)) from error


def note_of_run(opened: Opened) -> dict[str, str]:
    """Return the entry for a model that was trained here."""
    _, normalize = to_numbers(opened.settings)
    return written(classes=list(opened.classes), mean=np.atleast_1d(normalize.mean).tolist(),
                   std=np.atleast_1d(normalize.std).tolist())


def note_of_trained(model: Any) -> dict[str, str]:
    """Return the entry for a network with the weights that others trained."""
    return written(way=preprocessing(model).__name__)


def written(**told: Any) -> dict[str, str]:
    return {KEY: json.dumps(told)}


def prepared(told: dict[str, Any], C: int, H: int, W: int) -> Callable[[Any], Any]:
    """Return what makes a PIL image an input, as an entry says."""
    if 'way' in told:
        if (C, H) != (3, W):
            raise ValueError('these take squares in colour')
        size: Any = (H, W) if told['way'] == 'caffe' else H
        more = {'resize': H * 256 // 224} if told['way'] == 'torchvision' else {}
        return partial(WAYS[told['way']], size=size, **more)
    mean, std = (tuple(map(float, told[name])) for name in ('mean', 'std'))
    if not all(map(math.isfinite, (*mean, *std))) or {len(mean), len(std)} - {1, C} or not all(std):
        raise ValueError('no numbers to subtract and divide by')
    return Compose([Convert('L' if C == 1 else 'RGB'), Resize((H, W)), ToArray(), Normalize(mean, std)])


def names(told: dict[str, Any]) -> list[str] | None:
    found = told.get('classes')
    if found is not None and not (isinstance(found, list) and all(isinstance(name, str) for name in found)):
        raise ValueError('no names')
    return found
