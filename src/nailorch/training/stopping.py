"""Which epoch is the best, and when to stop. All of it follows from the history, so nothing more need be saved."""

from __future__ import annotations

from typing import Any

from nailorch.messages import message
from nailorch.schedules import ReduceLROnPlateau
from nailorch.shapes import at_least
from nailorch.training.history import History

__all__ = ['Watch']

BETTER = {'train_loss': -1, 'valid_loss': -1, 'train_accuracy': 1, 'valid_accuracy': 1}  # which way is better


class Watch:
    """Watch one quantity over the epochs.

    Args:
        monitor: its name in the history.
        epochs: how many there may be.
        patience: how many may pass without a better one; None: any number.
    """

    def __init__(self, monitor: str, epochs: int, patience: int | None) -> None:
        if monitor not in BETTER:
            raise ValueError(message('training.monitor', monitor=monitor, names=', '.join(BETTER)))
        at_least(1, epochs, 'epochs')
        if patience is not None:
            at_least(1, patience, 'patience')
        self.monitor, self.epochs, self.patience = monitor, epochs, patience

    def check_schedule(self, schedule: Any) -> None:
        """Raise ValueError if a schedule that is told of the quantity takes worse for better."""
        schedule = getattr(schedule, 'schedule', None) or schedule  # within a warm-up
        mode = 'max' if BETTER[self.monitor] > 0 else 'min'
        if isinstance(schedule, ReduceLROnPlateau) and schedule.mode != mode:
            raise ValueError(message('training.plateau', monitor=self.monitor, mode=schedule.mode, right=mode))

    def is_best(self, history: History, record: dict[str, Any]) -> bool:
        """Is a new epoch better than all in the history?"""
        if record[self.monitor] is None:
            raise ValueError(message('training.unmeasured', monitor=self.monitor))
        best = history.best
        return best is None or BETTER[self.monitor] * (record[self.monitor] - best[self.monitor]) > 0

    def why_stop(self, history: History) -> str:
        """Return the reason to stop, as a sentence, or '' where training goes on."""
        best, done = history.best, len(history)
        if self.patience and best and done - best['epoch'] >= self.patience:
            return message('training.patience', monitor=self.monitor, patience=self.patience, epoch=best['epoch'],
                           value=f'{best[self.monitor]:.4f}')
        if done < self.epochs:
            return ''
        return message('training.done' if done > 1 else 'training.done_one', epochs=done)
