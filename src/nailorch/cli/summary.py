"""`nailorch summary`: a model's layers, the shapes that come out of them, and how many parameters they learn."""

from __future__ import annotations

import argparse
import re
import sys
from typing import Any

from nailorch import inspection, onnx
from nailorch.cli.opening import open_named
from nailorch.cli.output import show_json
from nailorch.cli.parser import UsageError, add_root, count
from nailorch.cli.texts import text
from nailorch.models import MODELS, Model
from nailorch.training.recipe import build_model, model_names

__all__ = ['add_arguments', 'add_subject', 'made_for', 'run', 'shape_of', 'subject']


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_subject(parser)
    parser.add_argument('--all', action='store_true', help=text('summary.all'))


def add_subject(parser: argparse.ArgumentParser) -> None:
    """Add what says which model is meant, and what goes into it."""
    parser.add_argument('what', metavar='MODEL_OR_RUN', help=text('summary.model'))
    parser.add_argument('--input', metavar='C,H,W', action='append', help=text('summary.input'))
    parser.add_argument('--classes', metavar='N', type=count, help=text('summary.classes'))
    add_root(parser)


def run(options: argparse.Namespace) -> int:
    model, shapes = subject(options)
    found = inspection.summary(model, shapes, collapse=not options.all)
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


def subject(options: argparse.Namespace) -> tuple[Any, list[tuple[int, ...]]]:
    """Return the model that is meant: in an ONNX file, by its name, or a run's; and the shapes of its inputs' items."""
    if options.what.endswith('.onnx'):
        return in_file(options)
    asked = [shape_of(each) for each in options.input or ()]
    for C, H, W in asked:
        if W in (1, 3) and C not in (1, 3):
            raise UsageError(text('summary.last', given=f'{C},{H},{W}', first=f'{W},{C},{H}'))
    if options.what in model_names():
        classes, shape = made_for(options.what)
        return build_model(options.what, options.classes or classes), asked or [shape]
    opened = open_named(options)
    if options.classes:
        raise UsageError(text('summary.own_classes', name=opened.name))
    return opened.model, asked or [opened.shape]


def in_file(options: argparse.Namespace) -> tuple[Model, list[tuple[int, ...]]]:
    """Return the model in an ONNX file, and the shapes that the file gives for one item of each input."""
    if options.classes:
        raise UsageError(text('summary.own_classes', name=options.what))
    model = onnx.load(options.what)
    if options.input:
        return model, [shape_of(each, axes=(1, 4)) for each in options.input]
    shapes = [(shape or (None, None))[1:] for shape in model.input_shapes]
    if any(None in shape for shape in shapes):
        raise UsageError(text('summary.onnx_input', file=options.what))
    return model, [tuple(size for size in shape if size is not None) for shape in shapes]


def made_for(name: str) -> tuple[int, tuple[int, ...]]:
    """Return how many classes, and images of which shape, a model is made for: a thousand in photographs, or digits."""
    return (1000, (3, 224, 224)) if hasattr(MODELS.get(name), 'preprocess') else (10, (1, 28, 28))


def shape_of(written: str, axes: tuple[int, int] = (3, 3)) -> tuple[int, ...]:
    """Read '3,224,224' (or 3x224x224) as a shape with so many axes, at least and at most."""
    sizes = re.split('[,x]', written)
    if not axes[0] <= len(sizes) <= axes[1] or not all(re.fullmatch(r'[1-9]\d{0,4}', size) for size in sizes):
        raise UsageError(text('usage.shape', value=written))
    return tuple(map(int, sizes))
