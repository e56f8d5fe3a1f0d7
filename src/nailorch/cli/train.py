"""`nailorch train`: a model, some images, a run folder; also what `demo` does, with settings of its own."""

from __future__ import annotations

import argparse
import contextlib
import sys
from dataclasses import Field
from typing import Any

from nailorch.cli.opening import find_run
from nailorch.cli.output import as_argument, say, show_json
from nailorch.cli.parser import UsageError, add_root
from nailorch.cli.texts import text
from nailorch.inspection.metrics import confusion_matrix, hardest_pair
from nailorch.messages import language
from nailorch.training.features import features_once
from nailorch.training.interrupts import TrainingInterrupted
from nailorch.training.progress import grouped
from nailorch.training.recipe import Recipe, conclude, edited, resolve
from nailorch.training.report import write_report
from nailorch.training.runs import Run
from nailorch.training.settings import (
    Settings,
    all_settings,
    change,
    parse_assignment,
    read_settings,
    settings_from,
    settings_to_dict,
    value_of,
)

__all__ = ['add_arguments', 'run', 'train']


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = text('train.usage')
    parser.add_argument('--config', metavar='FILE', help=text('train.config'))
    parser.add_argument('--resume', metavar='RUN', help=text('train.resume'))
    parser.add_argument('--set', metavar='KEY=VALUE', action='append', default=[], help=text('train.set'))
    add_root(parser)
    group = parser.add_argument_group(text('train.settings'))
    for key, kind, entry in all_settings():
        action: Any = argparse.BooleanOptionalAction if kind is bool else 'store'
        more: dict[str, Any] = {} if kind is bool else {'metavar': 'NAME' if kind is str else 'N'}
        group.add_argument(flag(key), dest=key, default=argparse.SUPPRESS, action=action, help=help_of(entry), **more)


def flag(key: str) -> str:
    """Return the flag of a setting: model.name -> --model, training.batch_size -> --batch-size."""
    section, _, name = key.rpartition('.')
    return '--' + (section if name == 'name' else name).replace('_', '-')


def help_of(entry: Field[Any]) -> str:
    english, chinese = entry.metadata['help']
    about = str(chinese if language() == 'zh' else english)
    if entry.default not in (None, False, ''):
        about += text('train.default', value=entry.default)
    return about.replace('%', '%%')


def run(options: argparse.Namespace) -> int:
    given = {key: vars(options)[key] for key, _, _ in all_settings() if key in vars(options)}
    if options.resume is None:
        return train(gather(options, given), options)
    told = [flag(key) for key in given] + ['--set'] * bool(options.set) + ['--config'] * bool(options.config)
    if told:
        raise UsageError(text('train.resume_alone', flags=', '.join(told)))
    old = find_run(options.resume, options.root)
    return train(settings_from(old.config, str(old.path / 'config.toml')), options, old)


def gather(options: argparse.Namespace, given: dict[str, Any]) -> Settings:
    """Return the settings: a flag before --set, --set before the file of --config, that before the defaults."""
    try:
        settings = Settings() if options.config is None else read_settings(options.config)
        for assignment in options.set:
            settings = change(settings, dict([parse_assignment(assignment)]), '--set')
        for key, value in given.items():
            settings = change(settings, {key: value_of(key, value)}, flag(key))
        return resolve(settings)
    except ValueError as error:
        raise UsageError(str(error)) from error


def train(settings: Settings, options: argparse.Namespace, old: Run | None = None) -> int:
    """Train as `settings` say, in a new run folder or going on in an `old` one; measure, report, say how it went."""
    recipe = Recipe(settings)
    if old and (changes := edited(old, recipe.settings)):
        print('nailorch: ' + text('train.edited', path=old.path / 'config.toml', changes=changes), file=sys.stderr)
    run = old or Run.create(options.root, recipe.settings.model.name, settings_to_dict(recipe.settings))
    trainer = recipe.trainer(run, 'none' if options.quiet or options.json else 'auto')
    if recipe.frozen:
        size = sum(parameter.data.size for parameter in recipe.model.params())
        say(options, text('train.frozen', frozen=grouped(recipe.frozen), size=grouped(size)))
    once = features_once(trainer, lambda images, size: say(options, text(
        'train.once', images=grouped(images), size=f'{size / 1e6:.1f}')))
    try:
        with once if recipe.frozen and not recipe.augmented else contextlib.nullcontext():
            trainer.fit(resume=old is not None)
    except TrainingInterrupted as interruption:
        interruption.args = (f'{interruption} · ' + text('train.continue', run=as_argument(run.path)),)
        raise
    answers, inside = conclude(run, recipe, trainer)
    facts = run.summary() | {'path': str(run.path), 'report': None}
    try:
        facts['report'] = str(write_report(run, answers, inside))
    except ImportError as error:  # the training is done and kept; only its page cannot be made
        print(f'nailorch: {error}', file=sys.stderr)
    if options.json:
        show_json(facts)
        return 0
    pair = hardest_pair(confusion_matrix(answers.predicted, answers.labels, len(answers.classes)))
    if pair:
        true, answer, count = pair
        say(options, text('train.hardest', true=answers.classes[true], answer=answers.classes[answer], count=count))
    say(options, text('train.report', path=facts['report'] or run.path))
    print(f'test accuracy {facts["test_accuracy"]:.4f}')  # the same in every language: programs read it
    return 0
