"""What commands begin with: a trained model, from a run or from a file of weights."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nailorch.cli.output import as_argument
from nailorch.cli.parser import UsageError, add_root, count
from nailorch.cli.texts import text
from nailorch.formats.safetensors import load_safetensors
from nailorch.formats.weights import read_weights
from nailorch.messages import message
from nailorch.models.loading import loader_for
from nailorch.training.data import DATASETS, is_folder, load_data
from nailorch.training.recipe import build_model, model_names, resolve
from nailorch.training.runs import Run, RunError, list_runs
from nailorch.training.settings import Settings, change, settings_from

__all__ = ['WEIGHTS', 'Opened', 'add_model_arguments', 'check_unused', 'find_run', 'open_model', 'open_named',
           'open_run']

WEIGHTS = ('.npz', '.safetensors', '.pth', '.pt', '.h5')


@dataclass(frozen=True)
class Opened:
    """A trained model, and what it was trained on.

    Attributes:
        name: the run's, or the weights file's.
        settings: those of the run, also for its best.safetensors; for other files the defaults, with model and data.
        classes, shape: the classes' names, and (C, H, W) of an image.
        unseen: its data is a folder, and no run of this model learned from it: all of it may test the model.
    """

    name: str
    model: Any
    settings: Settings
    classes: Sequence[str]
    shape: tuple[int, int, int]
    unseen: bool = False


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what says which model: RUN_OR_WEIGHTS, and for weights --model and --data."""
    parser.add_argument('what', metavar='RUN_OR_WEIGHTS', help=text('run_or_weights'))
    parser.add_argument('--model', metavar='MODEL', help=text('opening.model'))
    parser.add_argument('--data', metavar='DATA', help=text('opening.data'))
    parser.add_argument('--pretrained', action='store_true', help=text('opening.pretrained'))
    parser.add_argument('--size', metavar='N', type=count, help=text('opening.size'))
    add_root(parser)


def open_model(options: argparse.Namespace) -> Opened:
    """Return the model that the arguments mean, with its weights.

    Raises:
        UsageError: weights without --model, or a name that means nothing.
        OSError, ValueError: no such run or file, weights that are broken or another model's.
    """
    path = Path(options.what)
    if path.suffix == '.onnx':
        raise UsageError(text('opening.onnx', path=as_argument(path)))
    return open_weights(path, options) if path.suffix in WEIGHTS else open_run(options)


class Misspelt(RunError):
    """There is no such run, but one of a name that is near."""


def find_run(name: str, root: str) -> Run:
    """Return the run of this name, as `Run.find`; where there is none, the error gives the nearest name."""
    try:
        return Run.find(name, root)
    except RunError as error:
        runs = [run.name for run in list_runs(root)]
        if not runs:
            raise RunError(text('opening.no_runs', name=name, root=root)) from error
        near = difflib.get_close_matches(name, ['latest', *runs], 1, 0.4)
        if not near:
            raise
        raise Misspelt(text('opening.unknown', name=name, root=root, near=near[0])) from error


def open_run(options: argparse.Namespace) -> Opened:
    run = find_run(options.what, options.root)
    settings = settings_from(run.config, str(run.path / 'config.toml'))
    if options.model is not None or options.pretrained or options.size:
        raise UsageError(text('opening.own_model', run=run.name, name=settings.model.name))
    if not run.best_weights.is_file():
        raise FileNotFoundError(text('opening.untrained', run=as_argument(run.path)))
    classes, shape = run.result.get('classes'), run.result.get('shape')
    if not isinstance(classes, list) or not isinstance(shape, list) or len(shape) != 3:
        raise ValueError(text('opening.damaged', path=run.path / 'result.json'))
    model = build_model(settings.model.name, len(classes))
    model.load_state_dict(load_safetensors(run.best_weights))
    learned_from = settings.data.name
    if options.data is not None:
        settings = named(settings, {'data.name': options.data})
    return Opened(run.name, model, settings, [str(name) for name in classes], (shape[0], shape[1], shape[2]),
                  unseen(settings, learned_from))


def open_named(options: argparse.Namespace) -> Opened:
    """Return the run of this name, where a model's could stand as well; an error tells of both."""
    try:
        return open_run(argparse.Namespace(what=options.what, root=options.root, model=None, pretrained=False,
                                           size=None, data=None))
    except RunError as error:
        names = model_names()
        if near := difflib.get_close_matches(options.what, names, 1):
            remedy = text('usage.meant', near=near[0])
            raise UsageError(text('usage.model', name=options.what, remedy=remedy)) from error
        if isinstance(error, Misspelt):
            raise
        raise RunError(text('opening.neither', name=options.what, error=error, names=', '.join(names))) from error


def open_weights(path: Path, options: argparse.Namespace) -> Opened:
    if options.model is None:
        raise UsageError(text('opening.which_model', path=path))
    run = run_around(path)
    told = settings_from(run.config, str(run.path / 'config.toml')) if run else Settings()
    asked = {'model.name': options.model, 'model.pretrained': options.pretrained or told.model.pretrained,
             'data.name': options.data or 'digits'}
    settings = named(told, asked | ({'data.size': options.size} if options.size else {}))
    if not path.is_file():
        raise FileNotFoundError(message('file.missing', path=path))
    whole = unseen(settings, told.data.name if run else None)
    if is_folder(settings.data.name):
        data = load_data(settings, whole)
        classes, shape = data.classes, data.shape
    else:
        kind, (C, H, W) = DATASETS[settings.data.name]
        shape = C, settings.data.size or H, settings.data.size or W
        classes = list(kind.classes) or load_data(settings).classes
    model = build_model(settings.model.name, len(classes))
    loader, arrays = loader_for(model, read_weights(path))
    loader.load(arrays, where=f'{path}: ', partly=False)
    return Opened(path.name, model, settings, classes, shape, whole)


def check_unused(options: argparse.Namespace, *flags: str) -> None:
    """Raise UsageError if one of the flags is given, that say nothing of such a model."""
    for flag in flags:
        if getattr(options, flag):
            raise UsageError(text('opening.unused', flag=f'--{flag}', what=options.what))


def run_around(path: Path) -> Run | None:
    """Return the run whose weights a file is, if it lies in the run's folder."""
    try:
        run = Run.open(path.parent)
    except RunError:
        return None
    return run if path.name == run.best_weights.name else None


def unseen(settings: Settings, learned_from: str | None) -> bool:
    """Return whether the data is a folder, and another one than was learned from, as far as that is known."""
    name = settings.data.name
    return is_folder(name) and (learned_from is None or Path(name).resolve() != Path(learned_from).resolve())


def named(settings: Settings, names: dict[str, Any]) -> Settings:
    """Return `settings` with other names, each of which must mean something."""
    try:
        return resolve(change(settings, names))
    except ValueError as error:
        raise UsageError(str(error)) from error
