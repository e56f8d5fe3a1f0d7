"""`nailorch look`: what a network sees in pictures, where it looks, and what its layers compute."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from nailorch import inspection
from nailorch.cli.classify import load
from nailorch.cli.notes import open_onnx
from nailorch.cli.opening import WEIGHTS, check_unused, open_model
from nailorch.cli.output import as_argument, percent, say, show_json
from nailorch.cli.parser import UsageError, add_root, count, did_you_mean
from nailorch.cli.predict import as_input, gather
from nailorch.cli.texts import text
from nailorch.datasets.folder import ENDINGS, is_picture
from nailorch.formats.files import replace_file
from nailorch.formats.images import read_image
from nailorch.graph import resolve, trace
from nailorch.inspection.classifying import class_names
from nailorch.inspection.look_page import Look, as_seen, look_at, look_page
from nailorch.messages import message
from nailorch.models import MODELS

__all__ = ['add_arguments', 'run']

USUAL = 'mobilenet_v2'
FEW = 20  # names in an error


@dataclass(frozen=True)
class Subject:
    """The network that is looked into.

    Attributes:
        prepare: makes a PIL image the network's input, (C, H, W).
        classes: their names; None: ImageNet's, or numbers.
    """

    name: str
    model: Any
    prepare: Callable[[Any], Any]
    classes: Sequence[str] | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = text('look.usage')
    parser.add_argument('what', metavar='MODEL IMAGE', nargs='+', help=text('look.what'))
    parser.add_argument('--out', metavar='FOLDER', help=text('look.out'))
    parser.add_argument('--target', metavar='CLASS', help=text('look.target'))
    parser.add_argument('--layer', metavar='LAYER', action='append', default=[], help=text('look.layer'))
    parser.add_argument('--cam-layer', metavar='LAYER', help=text('look.cam_layer'))
    parser.add_argument('--top', type=count, metavar='K', default=5, help=text('classify.top'))
    parser.add_argument('--weights', metavar='FILE', help=text('classify.weights'))
    parser.add_argument('--model', metavar='MODEL', help=text('opening.model'))
    parser.add_argument('--data', metavar='DATA', help=text('opening.data'))
    parser.add_argument('--size', metavar='N', type=count, help=text('opening.size'))
    add_root(parser)
    parser.set_defaults(pretrained=False)


def run(options: argparse.Namespace) -> int:
    """Write the pictures and the page; a line on standard error, and the code 1, for images that cannot be read."""
    given = options.what
    if (Path(given[0]).is_dir() and len(given) == 1) or is_picture(Path(given[0])):
        given = [USUAL, *given]
    if len(given) == 1 and Path(given[0]).suffix.lower() in ENDINGS:
        raise FileNotFoundError(message('file.missing', path=given[0]))
    if len(given) == 1:
        raise UsageError(text('look.images', model=given[0]))
    options.what, *images = given
    subject = open_subject(options)
    paths, told = gather(images)
    out = Path(options.out or Path('look') / Path(subject.name).stem)
    looks: list[Look] = []
    for path in paths:
        try:
            image = read_image(path)
        except (OSError, ValueError) as error:
            told.append({'file': str(path), 'error': str(error)})
            print(f'nailorch: {error}', file=sys.stderr)
            continue
        look = look_into(subject, image, path, options)
        looks.append(look)
        files = write_pictures(out, look, [one.file for one in looks[:-1]].count(look.file))
        told.append({'file': str(path), 'answers': [answer._asdict() for answer in look.answers],
                     'target': look.target._asdict(), 'box': look.box, 'layers': look.told, 'pictures': files})
        say(options, f'{path}: ' + ', '.join(f'{each.name} {percent(each.probability)}' for each in look.answers))
    if not looks:
        return 1
    filters = first_filters(subject.model)
    if filters:
        write_png(out / 'filters.png', filters.picture())
    page = out / 'index.html'
    replace_file(page, [look_page(subject.name, looks, filters).encode(errors='backslashreplace')])
    if options.json:
        show_json({'model': subject.name, 'page': str(page), 'images': told})
    else:
        print(page if options.quiet else text('look.page', path=as_argument(page)))
    return int(len(looks) < len(told))


def open_subject(options: argparse.Namespace) -> Subject:
    """Return the network that is meant: an ONNX file, a file of weights, a built-in one with trained weights, a run."""
    path = Path(options.what)
    if path.suffix == '.onnx':
        check_unused(options, 'model', 'weights', 'data', 'size')
        return Subject(path.name, *open_onnx(path))
    name, weights = options.what, options.weights
    if path.suffix in WEIGHTS and options.model and not options.data:
        name, weights = options.model, options.what
    known = [each for each, kind in MODELS.items() if hasattr(kind, 'preprocess')]
    if name in known:
        check_unused(options, *(['model'] if name == options.what else ['weights']), 'data', 'size')
        return Subject(name, *load(name, weights))
    if name != options.what and path.suffix not in WEIGHTS:
        raise UsageError(text('usage.model', name=name, remedy=did_you_mean(name, known)))
    if path.suffix not in WEIGHTS and not path.exists() and difflib.get_close_matches(name, known, 1, 0.8):
        raise UsageError(text('usage.model', name=name, remedy=did_you_mean(name, known)))
    check_unused(options, 'weights')
    opened = open_model(options)
    return Subject(opened.name, opened.model, partial(as_input, opened=opened, invert=False), opened.classes)


def look_into(subject: Subject, image: Any, path: Path, options: argparse.Namespace) -> Look:
    """Look at one image, a bar of progress on the terminal meanwhile."""
    from rich.console import Console
    from rich.progress import Progress

    x = subject.prepare(image)
    graph = trace(subject.model, x[None])
    classes = resolve(graph.values[graph.outputs[0]].shape, 1)[-1]
    named = subject.classes if subject.classes and len(subject.classes) == classes else None
    names = named or class_names(classes)
    target = None if options.target is None else number_of(options.target, names)
    console = Console(stderr=True)
    silent = options.quiet or options.json or not console.is_terminal
    with Progress(console=console, transient=True, disable=silent) as progress:
        task = progress.add_task(text('look.hiding', name=path.name))
        return look_at(graph, x, as_seen(subject.prepare, x), path.name, names, target, options.cam_layer,
                       options.layer, options.top,
                       lambda done, many: progress.update(task, completed=done, total=many))


def first_filters(model: Any) -> inspection.Filters | None:
    try:
        return inspection.filters(model)
    except ValueError:  # a network of dense layers alone
        return None


def number_of(wanted: str, names: Sequence[str]) -> int:
    """Return the class that is meant by its number or its name."""
    if wanted in names:
        return list(names).index(wanted)
    folded = [name.casefold() for name in names]
    if wanted.casefold() in folded:
        return folded.index(wanted.casefold())
    if wanted.isdecimal() and int(wanted) < len(names):
        return int(wanted)
    alike = [name for name in names if wanted.casefold() in name.casefold().split()]
    if len(names) > FEW and not alike and (near := difflib.get_close_matches(wanted, names, 1)):
        remedy = text('usage.meant', near=near[0])
    else:
        known = names if len(names) <= FEW else alike or names
        remedy = text('usage.known', names=', '.join([*known[:FEW], *(['…'] if len(known) > FEW else [])]))
    raise UsageError(text('look.no_class', name=wanted, last=len(names) - 1, remedy=remedy))


def write_pictures(out: Path, look: Look, again: int) -> dict[str, str]:
    """Write an image's pictures, and return their paths by name."""
    stem = Path(look.file).stem + (f'-{again + 1}' if again else '')
    files = {name: out / f'{stem}-{name.replace(" ", "-")}.png' for name in look.pictures}
    for name, path in files.items():
        write_png(path, look.pictures[name])
    return {name: str(path) for name, path in files.items()}


def write_png(path: Path, picture: Any) -> None:
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, 'PNG', optimize=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, [file.getvalue()])
