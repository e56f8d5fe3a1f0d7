"""`nailorch classify`: what is in these photographs? By a model that others have trained on a million of them."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import nailorch.functions as F
from nailorch.cli.notes import open_onnx
from nailorch.cli.output import as_argument, percent, show_json
from nailorch.cli.parser import UsageError, count, did_you_mean
from nailorch.cli.predict import gather
from nailorch.cli.texts import text
from nailorch.config import no_grad, test_mode
from nailorch.formats.images import read_image
from nailorch.graph import trace
from nailorch.inspection import Answer, best_answers, class_names, preprocessing
from nailorch.inspection.heat import scores_of
from nailorch.models import MODELS
from nailorch.training.recipe import model_names

__all__ = ['add_arguments', 'run']

BATCH = 16
# A session takes 0.3 s to make, and saves 12 ms of every photograph (MobileNetV2, two cores).
SESSION_FROM = 32
WIDTH = 30  # of a bar
FEW = 3
Found = tuple[Path, list[Answer] | Exception]
Prepare = Callable[[Any], Any]  # of a PIL image an input (C, H, W)
SMALLEST = 1e-30  # probability


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('images', metavar='PHOTO', nargs='+', help=text('classify.images'))
    parser.add_argument('--model', metavar='MODEL', default='mobilenet_v2', help=text('classify.model'))
    parser.add_argument('--weights', metavar='FILE', help=text('classify.weights'))
    parser.add_argument('--top', type=count, metavar='K', default=5, help=text('classify.top'))


def run(options: argparse.Namespace) -> int:
    """Answer for every photograph that can be read; a line on standard error, and the code 1, for those that cannot."""
    known = [name for name, kind in MODELS.items() if hasattr(kind, 'preprocess')]
    in_file = options.model.endswith('.onnx')
    if in_file and options.weights:
        raise UsageError(text('opening.unused', flag='--weights', what=options.model))
    if options.model in model_names() and options.model not in known:
        raise UsageError(text('classify.small', name=options.model, names=', '.join(known)))
    if options.model not in known and not in_file and (options.model == 'latest' or Path(options.model).is_dir()):
        raise UsageError(text('classify.run', name=as_argument(Path(options.model)),
                              photo=as_argument(Path(options.images[0]))))
    if options.model not in known and not in_file:
        raise UsageError(text('usage.model', name=options.model, remedy=did_you_mean(options.model, known)))
    paths, told = gather(options.images)
    if paths:  # else there is nothing to fetch weights for
        model, prepare, classes = load(options.model, options.weights)
        told += see(scoring(model, prepare) if in_file else model, prepare, classes, paths, options)
    if options.json:
        show_json(told)
    return 1 if any('error' in each for each in told) else 0


def see(model: Any, prepare: Prepare, classes: list[str] | None, paths: list[Path],
        options: argparse.Namespace) -> list[dict[str, Any]]:
    """Show the answers for all photographs, as they come, and return them for JSON."""
    told: list[dict[str, Any]] = []
    with Screen(options, len(paths)) as screen:
        for path, found in answers(model, partial(read, prepare), classes, paths, options.top):
            if isinstance(found, Exception):
                screen.complain(str(found))
                told.append({'file': str(path), 'error': str(found)})
            else:
                screen.show(path, found)
                told.append({'file': str(path), 'answers': [
                    {'class': each.name, 'number': each.number, 'probability': each.probability} for each in found]})
    return told


def load(name: str, weights: str | None) -> tuple[Any, Prepare, list[str] | None]:
    """Return the network with its weights, or that in an ONNX file, what makes a picture its input, and its classes.

    Of weights that do not fit, the error names a few arrays, not all.
    """
    if name.endswith('.onnx'):
        return open_onnx(Path(name))
    kind: Any = MODELS[name]
    try:
        model = kind.from_pretrained(weights)
        return model, preprocessing(model, weights), None
    except ValueError as error:
        first, *others = str(error).splitlines() or ['']
        raise ValueError(' '.join([first, *others[:FEW], *(['…'] if len(others) > FEW else [])])) from error


def scoring(model: Any, prepare: Prepare) -> Callable[[Any], Any]:
    """Return what gives the scores (N, K) of a network out of a file; its softmax, if it ends with one, is undone."""
    from PIL import Image

    graph = trace(model, prepare(Image.new('RGB', (64, 64)))[None])
    ends_with_softmax = scores_of(graph, 'classify') != graph.outputs[0]

    def scores(x: Any) -> Any:
        ys = model(x)
        y = ys[0] if isinstance(ys, tuple) else ys
        return F.log(F.clip(y, SMALLEST, 1)) if ends_with_softmax else y

    return scores


def answers(model: Any, prepare: Callable[[Path], Any], classes: list[str] | None, paths: list[Path],
            top: int) -> Iterator[Found]:
    """Yield for each photograph its answers, or what is wrong; while one batch is computed, the next is read."""
    compute: Callable[[Any], Any] | None = None
    names = classes or []
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for batch in ahead(pool, prepare,
                           [paths[start:start + BATCH] for start in range(0, len(paths), BATCH)]):
            images = [image for _, image in batch if not isinstance(image, Exception)]
            rows: Iterator[list[Answer]] = iter(())
            if images:
                x = np.stack(images)
                compute = compute or maker(model, x, len(paths))
                scores = compute(x)
                names = names if len(names) == scores.shape[1] else class_names(scores.shape[1])
                rows = iter(best_answers(scores, names, top))
            for path, image in batch:
                yield path, image if isinstance(image, Exception) else next(rows)


def ahead(pool: ThreadPoolExecutor, function: Callable[[Any], Any], batches: list[Any]) -> Iterator[list[Any]]:
    """Yield the results for each batch, with the batch that follows under way."""
    coming = [pool.submit(function, each) for each in batches[0]]
    for following in [*batches[1:], []]:
        present, coming = coming, [pool.submit(function, each) for each in following]
        yield [future.result() for future in present]


def read(preprocess: Callable[[Any], Any], path: Path) -> tuple[Path, Any]:
    """Return a photograph as the model takes it, or the exception that says why there is none."""
    try:
        return path, preprocess(read_image(path))
    except (OSError, ValueError) as error:
        return path, error


def maker(model: Any, x: Any, many: int) -> Callable[[Any], Any]:
    """Return what computes the scores: a session where there are many photographs, else the model as it is."""
    if many >= SESSION_FROM:
        import nailorch

        return nailorch.compile(model, x)

    def scores(x: Any) -> Any:
        with no_grad(), test_mode():
            return model(x).data

    return scores


class Screen:
    """What a person sees: bars on a terminal, one line a photograph elsewhere, and how far many photographs are."""

    def __init__(self, options: argparse.Namespace, many: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.silent, self.best_only, terminal = options.json, options.quiet, sys.stdout.isatty()
        self.bars = terminal and options.top > 1 and not options.quiet
        # Lines are printed above the bar of progress only where one console draws both.
        self.console = Console(highlight=False, soft_wrap=True, stderr=not terminal)
        self.progress = Progress(TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(),
                                 TimeRemainingColumn(), console=self.console, transient=True,
                                 disable=many <= BATCH or options.quiet or not self.console.is_terminal)
        self.task = self.progress.add_task(text('classify.progress'), total=many)

    def __enter__(self) -> Screen:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def show(self, path: Path, found: list[Answer]) -> None:
        """Print the answers for one photograph."""
        if self.silent:
            pass
        elif not self.bars:
            told = [f'{each.name} {percent(each.probability)}' for each in found]
            print(f'{path}: {told[0] if self.best_only else ", ".join(told)}', flush=True)
        else:
            self.draw(path, found)
        self.progress.advance(self.task)

    def draw(self, path: Path, found: list[Answer]) -> None:
        """Print the answers as bars."""
        from rich.cells import cell_len
        from rich.text import Text

        self.console.print(Text(str(path), 'bold'))
        wide = max(cell_len(each.name) for each in found)  # in columns: a Chinese character takes two
        for rank, (name, probability, _) in enumerate(found):
            filled = round(WIDTH * probability)
            self.console.print(Text.assemble(
                f'  {name}{" " * (wide - cell_len(name))}  ', ('━' * filled, 'green' if rank == 0 else 'cyan'),
                ('─' * (WIDTH - filled), 'bright_black'), f' {percent(probability):>6}'), no_wrap=True)

    def complain(self, said: str) -> None:
        """Print what is wrong with a photograph, on standard error."""
        if self.progress.disable:
            print(f'nailorch: {said}', file=sys.stderr, flush=True)
        else:
            self.progress.console.print(f'nailorch: {said}', style='red', markup=False)
        self.progress.advance(self.task)
