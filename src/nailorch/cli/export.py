"""`nailorch export`: a model as an ONNX file, which other programs read."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from nailorch import rng
from nailorch.cli.notes import note_of_run, note_of_trained
from nailorch.cli.opening import WEIGHTS, check_unused, open_named
from nailorch.cli.output import as_argument, show_json
from nailorch.cli.parser import UsageError, add_root, count, did_you_mean
from nailorch.cli.summary import made_for, shape_of
from nailorch.cli.texts import text
from nailorch.formats.files import replace_file
from nailorch.formats.weights import read_weights
from nailorch.models import MODELS, Model
from nailorch.models.loading import loader_for
from nailorch.onnx.checking import largest_difference
from nailorch.onnx.exporting import OPSET, check_place, encode
from nailorch.training.recipe import build_model, model_names

__all__ = ['add_arguments', 'run']

ALIKE = 1e-3  # of the largest number; float32 in another order differs by 1e-6 or so


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('what', metavar='MODEL_OR_RUN', help=text('export.what'))
    parser.add_argument('file', metavar='FILE.onnx', type=Path, help=text('export.file'))
    parser.add_argument('--model', metavar='MODEL', help=text('export.model'))
    parser.add_argument('--pretrained', action='store_true', help=text('export.weights'))
    parser.add_argument('--classes', metavar='N', type=count, help=text('summary.classes'))
    parser.add_argument('--input', metavar='C,H,W', help=text('export.input'))
    parser.add_argument('--opset', metavar='N', type=count, help=text('export.opset'))
    add_root(parser)


def run(options: argparse.Namespace) -> int:
    path = options.file
    check_place(path)
    model, shape, origin, note = find_model(options)
    content = encode(model, shape, opset=options.opset or OPSET, metadata=note)
    difference = compared(model, content, shape)
    if difference is not None and not difference <= ALIKE:  # NaN is no answer either
        raise ValueError(text('export.differs', path=path, difference=f'{difference:.0e}'))
    replace_file(path, [content])
    size = len(content)
    if options.json:
        show_json({'file': str(path), 'bytes': size, 'model': origin, 'input': ['N', *shape], 'difference': difference})
    elif options.quiet:
        print(path)
    else:
        check = text('export.unchecked') if difference is None else text('export.alike', difference=f'{difference:.0e}')
        print(text('export.done', path=as_argument(path), size=f'{size / 1e6:.1f}', origin=origin, check=check,
                   shape='×'.join(map(str, ('N', *shape)))))
    return 0


def find_model(options: argparse.Namespace) -> tuple[Any, tuple[int, ...], str, dict[str, str]]:
    """Return the model that is meant, the shape of its images, in words where its weights come from, and what the file
    is to say of its pictures.
    """
    path, asked = Path(options.what), shape_of(options.input) if options.input else None
    named = options.what in model_names()
    from_file = not named and (path.is_file() or path.suffix in WEIGHTS)
    if not named and not from_file:
        check_unused(options, 'model', 'classes', 'pretrained')
        opened = open_named(options)
        return opened.model, asked or opened.shape, opened.name, note_of_run(opened)
    check_unused(options, 'pretrained' if from_file else 'model', *(['classes'] if options.pretrained else []))
    name = options.model if from_file else options.what
    if name is None:
        raise UsageError(text('export.which_model', path=path))
    if name not in model_names():
        raise UsageError(text('usage.model', name=name, remedy=did_you_mean(name, model_names())))
    classes, shape = made_for(name)
    if options.pretrained:
        kind: Any = MODELS.get(name, Model)
        model = kind.from_pretrained()
        return model, asked or shape, text('export.pretrained', name=name), note_of_trained(model)
    rng.seed(0)
    model = build_model(name, options.classes or classes)
    if not from_file:
        return model, asked or shape, text('export.untrained', name=name), {}
    loader, arrays = loader_for(model, read_weights(path))
    loader.load(arrays, where=f'{path}: ', partly=False)
    return model, asked or shape, path.name, {}


def compared(model: Any, content: bytes, shape: tuple[int, ...]) -> float | None:
    """Return how far onnxruntime is from the model on two images of noise; None if it is not installed."""
    if find_spec('onnxruntime') is None:
        return None
    return largest_difference(model, content, np.random.default_rng(0).random((2, *shape), np.float32))
