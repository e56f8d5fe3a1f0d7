"""`nailorch evaluate`: how good is a trained model on test images?"""

from __future__ import annotations

import argparse
from pathlib import Path

from nailorch.cli.opening import add_model_arguments, open_model
from nailorch.cli.output import percent, say, show_json, show_table
from nailorch.cli.texts import text
from nailorch.inspection.metrics import class_accuracy, confusion_matrix
from nailorch.training.data import has_parts, load_data
from nailorch.training.evaluation import evaluate
from nailorch.training.report import interval

__all__ = ['add_arguments', 'run']


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_arguments(parser)


def run(options: argparse.Namespace) -> int:
    opened = open_model(options)
    data = load_data(opened.settings, opened.unseen)
    if list(data.classes) != list(opened.classes) or data.shape != opened.shape:
        raise ValueError(text('evaluate.other', name=opened.name, shape=opened.shape, classes=len(opened.classes),
                              data=opened.settings.data.name, data_shape=data.shape, data_classes=len(data.classes)))
    whole = opened.unseen and not has_parts(Path(opened.settings.data.name))
    begin = 'evaluate.whole' if whole else 'evaluate.begin'
    say(options, text(begin, name=opened.name, count=len(data.test), data=opened.settings.data.name))
    found = evaluate(opened.model, data.test, batch_size=opened.settings.training.batch_size,
                     workers=opened.settings.data.workers)
    matrix = confusion_matrix(found.predicted, found.labels, len(opened.classes))
    right, count = int(matrix.trace()), len(found.labels)
    low, high = interval(right, count)
    shares = [float(share) for share in class_accuracy(matrix)]
    if options.json:
        show_json({'name': opened.name, 'data': opened.settings.data.name, 'part': 'all' if whole else 'test',
                   'images': count, 'right': right, 'accuracy': found.accuracy, 'interval': [low, high],
                   'loss': found.loss, 'by_class': dict(zip(opened.classes, shares, strict=True)),
                   'confusion': matrix.tolist()})
        return 0
    if not options.quiet:
        counts = matrix.sum(axis=1)
        rows = [(name, str(n), percent(share)) for name, n, share in zip(opened.classes, counts, shares, strict=True)]
        show_table([text(f'evaluate.{column}') for column in ('class', 'images', 'accuracy')], rows, right=(1, 2))
    say(options, text('evaluate.right', right=right, count=count, low=percent(low), high=percent(high),
                      loss=f'{found.loss:.4f}'))
    print(f'test accuracy {right / count:.4f}')
    return 0
