"""`nailorch predict`: what is in these images?"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nailorch.cli.opening import Opened, add_model_arguments, open_model
from nailorch.cli.output import percent, show_json, show_table
from nailorch.cli.parser import count
from nailorch.cli.texts import text
from nailorch.config import no_grad, test_mode
from nailorch.datasets.folder import is_picture
from nailorch.formats.images import read_image
from nailorch.inspection.metrics import softmax
from nailorch.messages import message
from nailorch.training.data import to_numbers
from nailorch.transforms import Compose, Convert, Resize, ToArray

__all__ = ['add_arguments', 'as_input', 'gather', 'run']

BATCH = 64
LIGHT_ON_DARK = ('digits', 'mnist', 'fashion_mnist')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_arguments(parser)
    parser.add_argument('images', metavar='IMAGE', nargs='+', help=text('predict.images'))
    parser.add_argument('--format', choices=('table', 'csv', 'json'), default='table', help=text('predict.format'))
    parser.add_argument('--top', type=count, metavar='N', default=3, help=text('predict.top'))
    parser.add_argument('--invert', action='store_true', help=text('predict.invert'))


def run(options: argparse.Namespace) -> int:
    """Answer for every image that can be read; a line on standard error, and the code 1, for those that cannot."""
    opened = open_model(options)
    paths, missing = gather(options.images)
    answers, failed, inverted = [], len(missing), options.invert
    for start in range(0, len(paths), BATCH):
        read: list[tuple[Path, npt.NDArray[Any]]] = []
        for path in paths[start:start + BATCH]:
            try:
                read.append((path, to_input(path, opened, options.invert)))
            except (OSError, ValueError) as error:
                failed += 1
                print(f'nailorch: {error}', file=sys.stderr)
        if not inverted and any(looks_inverted(x, opened) for _, x in read):
            inverted = True  # said once, not for each batch
            print(f'nailorch: {text("predict.inverted")}', file=sys.stderr)
        answers += list(answer(opened, read, options.top))
    show(answers, 'json' if options.json else options.format)
    return 1 if failed else 0


def gather(given: list[str]) -> tuple[list[Path], list[dict[str, Any]]]:
    """Return the images that are meant, and for JSON those that are missing, which is said at once."""
    paths: list[Path] = []
    missing: list[dict[str, Any]] = []
    for name in given:
        try:
            paths += find_images([name])
        except (OSError, ValueError) as error:
            missing.append({'file': name, 'error': str(error)})
            print(f'nailorch: {error}', file=sys.stderr)
    return paths, missing


def find_images(given: list[str]) -> list[Path]:
    """Return the files that are given, and those in folders that are given, in order.

    Raises:
        FileNotFoundError, ValueError: no such file; no picture in a folder.
    """
    paths = []
    for path in map(Path, given):
        if path.is_dir():
            inside = [each for each in sorted(path.rglob('*')) if is_picture(each)]
            if not inside:
                raise ValueError(text('predict.empty', path=path))
            paths += inside
        elif path.exists():
            paths.append(path)
        else:
            raise FileNotFoundError(message('file.missing', path=path))
    return paths


def to_input(path: Path, opened: Opened, invert: bool) -> npt.NDArray[Any]:
    """Read an image as the model saw those that it learned from: (C, H, W), float32."""
    return as_input(read_image(path), opened, invert)


def as_input(image: Any, opened: Opened, invert: bool) -> npt.NDArray[Any]:
    """Return a PIL image as the model saw those that it learned from: (C, H, W), float32."""
    C, H, W = opened.shape
    pixels = ToArray()(Resize((H, W))(Convert('L' if C == 1 else 'RGB')(image)))
    x: npt.NDArray[Any] = Compose(to_numbers(opened.settings))(255 - pixels if invert else pixels)
    return x


def looks_inverted(x: npt.NDArray[Any], opened: Opened) -> bool:
    """Is this a dark digit on light paper, where the model knows light ones on dark?"""
    border = np.concatenate([x[:, 0], x[:, -1], x[:, :, 0], x[:, :, -1]], axis=1)
    return opened.settings.data.name in LIGHT_ON_DARK and float(np.median(border)) > 0.5


def answer(opened: Opened, read: list[tuple[Path, npt.NDArray[Any]]], top: int) -> Iterator[dict[str, Any]]:
    """Yield for each image its file and the `top` most probable classes."""
    if not read:
        return
    with no_grad(), test_mode():
        probabilities = softmax(opened.model(np.stack([x for _, x in read])).data)
    for (path, _), row in zip(read, probabilities, strict=True):
        best = np.argsort(-row, kind='stable')[:top]
        yield {'file': str(path), 'answers': [{'class': opened.classes[k], 'probability': float(row[k])} for k in best]}


def show(answers: list[dict[str, Any]], form: str) -> None:
    if form == 'json':
        show_json(answers)
    elif form == 'csv':
        table = csv.writer(sys.stdout, lineterminator='\n')
        table.writerow(['file', 'rank', 'class', 'probability'])
        for one in answers:
            for rank, each in enumerate(one['answers'], 1):
                table.writerow([one['file'], rank, each['class'], f'{each["probability"]:.6f}'])
    elif answers:
        rows = [(one['file'], *(f'{each["class"]} {percent(each["probability"])}' for each in one['answers']))
                for one in answers]
        show_table([text('predict.file'), text('predict.answer'), *[''] * (len(rows[0]) - 2)], rows)
