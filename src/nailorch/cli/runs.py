"""`nailorch runs`: past runs in a list; `nailorch runs RUN`: one of them."""

from __future__ import annotations

import argparse
import re
from typing import Any

from nailorch.cli.opening import find_run
from nailorch.cli.output import percent, say, show_json, show_table
from nailorch.cli.parser import UsageError, add_root
from nailorch.cli.texts import text
from nailorch.training.runs import Run, RunError, list_runs

__all__ = ['add_arguments', 'run']


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('action', metavar='list | show | RUN', nargs='?', default='list', help=text('runs.action'))
    parser.add_argument('run', metavar='RUN', nargs='?', help=text('runs.which'))
    add_root(parser)


def run(options: argparse.Namespace) -> int:
    if options.action != 'show' and options.run:
        raise UsageError(text('usage.many', word=options.run, command='runs'))
    if options.action != 'list':
        name = (options.run or 'latest') if options.action == 'show' else options.action
        show(find_run(name, options.root), options)
        return 0
    rows = [row(one) for one in list_runs(options.root)]
    if options.json:
        show_json(rows)
    elif rows:
        show_table([text(f'runs.{column}') for column in LIST],
                   [[cell(column, one.get(column)) for column in LIST] for one in rows], right=(2, 3, 4, 5))
    else:
        say(options, text('runs.none', root=options.root))
    return 0


# 'run' is what follows the date in a run's name: enough for every command to find it by, and it fits 80 columns.
LIST = ('run', 'date', 'epochs', 'best_epoch', 'valid_accuracy', 'test_accuracy', 'status')
ONE = ('date', 'model', *LIST[2:])
EPOCH = ('epoch', 'train_loss', 'train_accuracy', 'valid_loss', 'valid_accuracy', 'lr')


def row(one: Run) -> dict[str, Any]:
    """Return what the list says of a run; a damaged one does not hide the others."""
    stamp = re.match(r'(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)\d\d-', one.name)
    date = '{}-{}-{} {}:{}'.format(*stamp.groups()) if stamp else None
    facts: dict[str, Any] = {'name': one.name, 'run': one.name[stamp.end():] if stamp else one.name, 'date': date}
    try:
        told = one.summary()
        if not isinstance(told['test_accuracy'], float | None):
            raise ValueError(f'test_accuracy: {told["test_accuracy"]!r}')
        return facts | {'model': one.config.get('model', {}).get('name')} | told
    except (RunError, ValueError, AttributeError) as error:
        return facts | {'status': 'damaged', 'error': str(error)}


def cell(column: str, value: Any) -> str:
    if value is None:
        return '-'
    if column.endswith('accuracy'):
        return percent(value)
    return text(f'runs.{value}') if column == 'status' else str(value)


def show(one: Run, options: argparse.Namespace) -> None:
    """Show one run: how it ended, epoch by epoch, and its files."""
    facts, epochs = row(one), one.history.epochs
    files = sorted(path.name for path in one.path.iterdir() if path.is_file())
    if options.json:
        show_json(facts | {'path': str(one.path), 'stopped': one.history.stopped, 'files': files, 'config': one.config,
                           'environment': one.environment, 'result': one.result, 'history': epochs})
        return
    show_table((one.name, ''), [(text(f'runs.{column}'), cell(column, facts.get(column))) for column in ONE])
    print()
    show_table([text(f'runs.{column}') for column in EPOCH],
               [[number(column, record[column]) for column in EPOCH] for record in epochs], right=range(len(EPOCH)))
    print(f'\n{one.history.stopped}'.rstrip())
    print(f'{one.path}: {", ".join(files)}')


def number(column: str, value: Any) -> str:
    if value is None:
        return '-'
    return percent(value) if column.endswith('accuracy') else f'{value:.4g}'
