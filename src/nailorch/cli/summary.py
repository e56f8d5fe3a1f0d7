"""`nailorch summary`: a model's layers, the shapes that come out of them, and how many parameters they learn."""

from __future__ import annotations

import argparse
import re
import sys

from nailorch import inspection, onnx
from nailorch.cli.output import show_json
from nailorch.cli.parser import UsageError, count, did_you_mean
from nailorch.cli.texts import text
from nailorch.models import MODELS, Model
from nailorch.training.recipe import build_model, model_names

__all__ = ['add_arguments', 'made_for', 'run', 'shape_of']


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('model', metavar='MODEL', help=text('summary.model'))
    parser.add_argument('--input', metavar='C,H,W', help=text('summary.input'))
    parser.add_argument('--all', action='store_true', help=text('summary.all'))
    parser.add_argument('--classes', metavar='N', type=count, help=text('summary.classes'))


def run(options: argparse.Namespace) -> int:
    model, shape = in_file(options) if options.model.endswith('.onnx') else by_name(options)
    found = inspection.summary(model, shape_of(options.input) if options.input else shape,
                               collapse=not options.all)
    if options.json:
        show_json(found.to_dict())
    elif options.quiet:
        print(found.parameters)
    elif sys.stdout.isatty():
        from rich.console import Console

        Console(highlight=False).print(found)
    else:
        print(found)
    return 0


def by_name(options: argparse.Namespace) -> tuple[Model, tuple[int, ...]]:
    """Return the model of that name, and the shape of the images that it is made for."""
    if options.model not in model_names():
        raise UsageError(text('usage.model', name=options.model, remedy=did_you_mean(options.model, model_names())))
    classes, shape = made_for(options.model)
    return build_model(options.model, options.classes or classes), shape


def in_file(options: argparse.Namespace) -> tuple[Model, tuple[int, ...]]:
    """Return the model in an ONNX file, and the shape that the file gives for one item."""
    if options.classes:
        raise UsageError(text('summary.onnx_classes', file=options.model))
    model = onnx.load(options.model)
    _, *shape = model.input_shapes[0] or (None, None)
    if None in shape and not options.input:
        raise UsageError(text('summary.onnx_input', file=options.model))
    return model, tuple(size for size in shape if size is not None)


def made_for(name: str) -> tuple[int, tuple[int, ...]]:
    """Return how many classes, and images of which shape, a model is made for: a thousand in photographs, or digits."""
    return (1000, (3, 224, 224)) if hasattr(MODELS.get(name), 'preprocess') else (10, (1, 28, 28))


def shape_of(written: str) -> tuple[int, ...]:
    """Read '3,224,224' (or 3x224x224) as a shape."""
    if not re.fullmatch(r'[1-9]\d{0,4}([,x][1-9]\d{0,4}){2}', written):
        raise UsageError(text('usage.shape', value=written))
    return tuple(map(int, re.split('[,x]', written)))
