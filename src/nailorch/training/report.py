"""The report of a run: one HTML file that says how good the network is, how it learned, and where it is wrong.

It is complete in itself: pictures stand in it as data, styles too, there is no script, and its content-security policy
forbids every request. Both languages are in it; a switch shows one.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nailorch.drawing.pages import percent, render
from nailorch.drawing.pictures import enlarged, feature_maps, filter_images, heat_map, heat_over, to_picture
from nailorch.drawing.svg import png_address
from nailorch.formats.files import replace_file
from nailorch.inspection.metrics import class_accuracy, confident_mistakes, confusion_matrix
from nailorch.messages import message
from nailorch.training.figures import curves
from nailorch.training.inside import Inside
from nailorch.training.report_words import WORDS
from nailorch.training.runs import Run, writing

__all__ = ['Answers', 'write_predictions', 'write_report']

Array = npt.NDArray[Any]

LARGEST_TABLE = 20  # classes; beyond it, a confusion matrix is a picture
COLUMNS = ('epoch', 'train_loss', 'train_accuracy', 'valid_loss', 'valid_accuracy', 'lr', 'seconds')


@dataclass(frozen=True)
class Answers:
    """What a network answered on images that it did not learn from.

    Attributes:
        labels: the true classes, (N,).
        probabilities: one row an image, one column a class, (N, K).
        classes: the classes' names.
        picture: gives the image of a number, (C, H, W), to be shown.
        files: where the images lie, if they are files.
    """

    labels: Array
    probabilities: Array
    classes: Sequence[str]
    picture: Callable[[int], Array]
    files: Sequence[str] | None = None

    @property
    def predicted(self) -> Array:
        """The most probable class of each image."""
        return self.probabilities.argmax(axis=1)


def write_report(run: Run, answers: Answers, inside: Inside) -> Path:
    """Write report.html into a run's folder and return its path.

    Raises:
        ImportError: Jinja or Matplotlib is not installed; the message says how to.
        RunError: the file cannot be written.
    """
    path = run.path / 'report.html'
    facts = facts_of(run) | judge(answers) | look(answers, inside)
    drawn = {name: facts[name] for name in ('loss_curve', 'accuracy_curve') if facts.get(name)}
    page = render('nailorch.training', 'report.html', WORDS, facts, drawn)
    with writing(path):
        replace_file(path, [page.encode(errors='backslashreplace')])  # a folder's name may be any bytes
    return path


def facts_of(run: Run) -> dict[str, Any]:
    """What the run folder knows: how learning went, with which settings, on which machine."""
    epochs, best, config = list(run.history), run.history.best, run.config
    facts = {
        'name': run.name, 'path': run.path.as_posix(), 'epochs': epochs, 'best': best, 'stopped': run.history.stopped,
        'model': config.get('model', {}).get('name', '-'), 'data': config.get('data', {}).get('name', '-'),
        'settings': list(flat(config)), 'environment': list(flat(run.environment)), 'columns': COLUMNS,
        'rows': [[written(name, record[name]) for name in COLUMNS] for record in epochs],
        'loss_curve': '', 'accuracy_curve': '', 'duration': '', 'rate': 0,
    }
    if not epochs:
        return facts

    def column(name: str) -> list[Any]:
        return [record[name] for record in epochs]

    marked = best['epoch'] if best else None
    seconds = round(sum(column('seconds')))
    facts['duration'] = f'{seconds // 60}:{seconds % 60:02}'
    facts['rate'] = round(float(np.median(column('images_per_second'))))
    try:
        facts['loss_curve'] = curves(column('train_loss'), column('valid_loss'), marked, 'loss')
        if any(value is not None for value in column('train_accuracy') + column('valid_accuracy')):
            facts['accuracy_curve'] = curves(column('train_accuracy'), column('valid_accuracy'), marked, 'accuracy',
                                             percentage=True)
    except ImportError as error:
        raise ImportError(message('report.extra', package='matplotlib')) from error
    return facts


def judge(answers: Answers) -> dict[str, Any]:
    """How good the answers are: as a whole, by class, by pair of classes, and the worst of them."""
    K, count, predicted = len(answers.classes), len(answers.labels), answers.predicted
    matrix = confusion_matrix(predicted, answers.labels, K)
    right = int(np.trace(matrix))
    low, high = interval(right, count)
    facts: dict[str, Any] = {
        'accuracy': right / count, 'right': right, 'count': count, 'low': low, 'high': high, 'top5': None,
        'classes': list(answers.classes), 'pairs': frequent_pairs(matrix), 'matrix': None, 'heat': None,
    }
    if K > LARGEST_TABLE:
        first = np.argsort(-answers.probabilities, axis=1)[:, :5]
        facts['top5'] = float(np.mean((first == answers.labels[:, None]).any(axis=1)))
        facts['heat'] = png_address(heat_map(matrix))
    else:
        shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        facts['matrix'] = [[{'count': int(n), 'share': f'{share:.3f}'} for n, share in zip(*row, strict=True)]
                           for row in zip(matrix, shares, strict=True)]
    by_class: list[dict[str, Any]] = [
        {'name': name, 'accuracy': float(share), 'images': int(images)}
        for name, share, images in zip(answers.classes, class_accuracy(matrix), matrix.sum(axis=1), strict=True)
    ]
    if K > LARGEST_TABLE:  # the weakest first: nobody reads a hundred rows
        by_class.sort(key=lambda entry: (math.isnan(entry['accuracy']), entry['accuracy']))
    facts['by_class'] = by_class
    worst = confident_mistakes(answers.probabilities, answers.labels, 24)
    facts['mistakes'] = [mistake(answers, int(index)) for index in worst]
    return facts


def mistake(answers: Answers, index: int) -> dict[str, Any]:
    """One wrong answer, with its picture."""
    answer, picture = int(answers.predicted[index]), to_picture(answers.picture(index))
    file = answers.files[index] if answers.files else ''
    return {'index': index, 'file': file, 'place': Path(file).name or f'#{index}',
            'true': answers.classes[int(answers.labels[index])], 'answer': answers.classes[answer],
            'probability': float(answers.probabilities[index, answer]), 'picture': png_address(picture),
            'large': picture.shape[0] >= 64}


def look(answers: Answers, inside: Inside) -> dict[str, Any]:
    """The pictures of the network's inside."""
    facts: dict[str, Any] = {'parameters': inside.parameters, 'filters': None, 'maps': [], 'sample': None,
                             'heats': []}
    if inside.filters:
        layer, W = inside.filters
        sheet = filter_images(W)
        facts['filters'] = {'layer': layer, 'shape': ' × '.join(map(str, W.shape)), 'count': len(W),
                            'picture': png_address(sheet), 'width': 2 * sheet.shape[1]}
    for layer, maps in inside.maps:
        sheet = feature_maps(maps)
        facts['maps'].append({'layer': layer, 'picture': png_address(sheet), 'shown': min(16, len(maps)),
                              'count': len(maps), 'height': maps.shape[1], 'width': maps.shape[2]})
    for index, heat in inside.heats.items():
        picture = to_picture(answers.picture(index))
        over = heat_over(picture, enlarged(heat, picture.shape[:2]))
        facts['heats'].append({**mistake(answers, index), 'heat': png_address(over)})
    if inside.maps:
        facts['sample'] = {'label': answers.classes[int(answers.labels[inside.sample])],
                           'picture': png_address(to_picture(answers.picture(inside.sample)))}
    return facts


def interval(right: int, count: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of a share that was measured on `count` samples.

    Source: Wilson 1927, Probable inference, the law of succession, and statistical inference.
    """
    z, p = 1.96, right / count
    middle = (p + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(p * (1 - p) / count + z * z / (4 * count * count))
    return max(0.0, middle - half), min(1.0, middle + half)


def frequent_pairs(matrix: Array, most: int = 10) -> list[tuple[int, int, int]]:
    """Return (true, answer, count) of the mistakes made more than once, the most frequent first."""
    mistakes = matrix - np.diag(np.diagonal(matrix))
    order = np.argsort(-mistakes, axis=None, kind='stable')[:most]
    pairs = [(int(index) // len(matrix), int(index) % len(matrix)) for index in order]
    return [(true, answer, int(matrix[true, answer])) for true, answer in pairs if mistakes[true, answer] > 1]


def flat(tree: Mapping[str, Any], prefix: str = '') -> Iterator[tuple[str, str]]:
    """Yield ('training.lr', '0.001') and so on of everything in nested dictionaries."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flat(value, f'{prefix}{key}.')
        else:
            yield prefix + key, str(value).lower() if isinstance(value, bool) else str(value)


def written(name: str, value: Any) -> str:
    """Return a number of the history as it stands in a table."""
    if value is None:
        return '–'
    if name == 'epoch':
        return str(value)
    return percent(value, 2) if name.endswith('accuracy') else f'{value:.3g}' if name == 'lr' else f'{value:.4g}'


def write_predictions(path: Path, answers: Answers) -> None:
    """Write what was answered to each image as CSV: index, true and predicted class, their names and probabilities.

    Images that are files bear the file's path as well.
    """
    rows = np.arange(len(answers.labels))
    given, true = answers.probabilities[rows, answers.predicted], answers.probabilities[rows, answers.labels]
    with open(path, 'w', newline='', encoding='utf-8', errors='backslashreplace') as file:
        table = csv.writer(file)
        table.writerow(['index', 'true', 'predicted', 'probability', 'probability_of_true', 'true_name',
                        'predicted_name', *(['file'] if answers.files else [])])
        for index, label, answer in zip(rows, answers.labels, answers.predicted, strict=True):
            table.writerow([index, label, answer, f'{given[index]:.6f}', f'{true[index]:.6f}', answers.classes[label],
                            answers.classes[answer], *([answers.files[int(index)]] if answers.files else [])])
