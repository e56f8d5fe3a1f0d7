"""Where a training stands, kept on disk: the checkpoints to go on from, and the best epoch's weights.

A checkpoint holds all that decides every later bit of a training, and nothing else. Best epoch and patience need no
place of their own: they follow from the history.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nailorch import rng
from nailorch.formats.safetensors import load_metadata, load_safetensors, save_safetensors
from nailorch.messages import message
from nailorch.training.checkpoints import Checkpoint, CheckpointError
from nailorch.training.evaluation import Sums
from nailorch.training.history import check_record
from nailorch.training.progress import Silence
from nailorch.training.runs import Run, writing

if TYPE_CHECKING:
    from nailorch.training.trainer import Trainer

__all__ = ['check_best', 'keep_best', 'restore', 'restore_best', 'resume', 'snapshot']


def snapshot(trainer: Trainer) -> dict[str, Any]:
    """Return the state of a training between two batches."""
    loader = trainer.loader.state_dict()
    return {
        'setup': setup(trainer),
        'model': trainer.model.state_dict(),
        'optimizer': trainer.optimizer.state_dict(),
        'schedule': trainer.schedule and trainer.schedule.state_dict(),
        'rng': rng.get_state(),
        'loader': loader,
        'permutation': permutation(trainer, loader['epoch']),
        'history': trainer.history.epochs,
        'sums': vars(trainer.sums),
        'step': trainer.step,
        'seconds': trainer.seconds,
    }


def restore(trainer: Trainer, checkpoint: Checkpoint) -> None:
    """Put a training where the checkpoint was made.

    Raises:
        CheckpointError: it belongs to another training, or is not what `snapshot` makes.
    """
    state, path = checkpoint.state, checkpoint.path
    try:
        for name, now in setup(trainer).items():
            saved = state['setup'][name]
            if saved != now:
                raise CheckpointError(message('checkpoint.other', path=path, name=name, saved=saved, now=now))
        trainer.loader.load_state_dict(state['loader'])
        trainer.model.load_state_dict(state['model'])
        trainer.optimizer.load_state_dict(state['optimizer'])
        if trainer.schedule:
            trainer.schedule.load_state_dict(state['schedule'])
        rng.set_state(state['rng'])
        trainer.history.epochs = [check_record(record) for record in state['history']]
        sums = state['sums']
        trainer.sums = Sums(float(sums['loss']), int(sums['samples']), int(sums['right']), int(sums['answers']))
        trainer.step, trainer.seconds = int(state['step']), float(state['seconds'])
        if not np.array_equal(state['permutation'], permutation(trainer, state['loader']['epoch'])):
            raise ValueError('the order of the samples, drawn again, is another one (another version of NumPy?)')
    except (KeyError, ValueError, TypeError, AttributeError, IndexError, OverflowError) as error:
        reason = f'{type(error).__name__} {error}' if isinstance(error, KeyError) else error
        raise CheckpointError(message('checkpoint.content', path=path, reason=reason)) from error


def setup(trainer: Trainer) -> dict[str, Any]:
    """Return what must be the same when a training goes on; the loader and the model check their own sizes."""
    return {'model': type(trainer.model).__name__, 'optimizer': type(trainer.optimizer).__name__,
            'schedule': trainer.schedule and type(trainer.schedule).__name__, 'seed': trainer.seed,
            'monitor': trainer.watch.monitor}


def permutation(trainer: Trainer, epoch: int) -> Any:
    """Return the order of the samples in an epoch (from 0)."""
    return np.concatenate(trainer.loader.indices(epoch))


def resume(trainer: Trainer, reporter: Silence) -> None:
    """Go on from the newest whole checkpoint of the run folder, and say from where."""
    if trainer.run is None:
        raise ValueError(message('training.resume'))
    checkpoint = trainer.run.checkpoints.load()
    if checkpoint is None:
        reporter.say(message('training.restart', path=trainer.run.path))
        return
    for reason in checkpoint.skipped:
        reporter.say(message('checkpoint.older', reason=reason, path=checkpoint.path))
    restore(trainer, checkpoint)
    if not trainer.watch.why_stop(trainer.history):
        reporter.say(message('training.resumed', epoch=len(trainer.history) + 1,
                             batch=trainer.loader.state_dict()['batch'], batches=len(trainer.loader)))


def keep_best(trainer: Trainer) -> None:
    """Keep the present weights as the best so far: in the run folder, or without one in memory."""
    weights = trainer.model.state_dict()
    if trainer.run:
        with writing(trainer.run.best_weights):
            save_safetensors(trainer.run.best_weights, weights, {'epoch': str(len(trainer.history))})
    else:
        trainer.best_weights = {name: array.copy() for name, array in weights.items()}


def restore_best(trainer: Trainer) -> None:
    """Give the model the best epoch's weights."""
    weights = load_safetensors(trainer.run.best_weights) if trainer.run else trainer.best_weights
    trainer.model.load_state_dict(weights)


def check_best(trainer: Trainer, reporter: Silence) -> None:
    """Make sure that the best weights are those of the best epoch; what stopped training may have come between."""
    best = trainer.history.best
    if best and best['epoch'] == len(trainer.history) and trainer.loader.state_dict()['batch'] == 0:
        keep_best(trainer)
    elif best and trainer.run and not has_best(trainer.run, best['epoch']):
        reporter.say(message('training.best_lost', path=trainer.run.best_weights, epoch=best['epoch']))
        for record in trainer.history:
            record['best'] = False


def has_best(run: Run, epoch: int) -> bool:
    """Does best.safetensors hold the weights of this epoch?"""
    try:
        return load_metadata(run.best_weights).get('epoch') == str(epoch)
    except (OSError, ValueError):
        return False
