"""Which epoch is the best, and when to stop."""

import pytest

from nailorch.schedules import ReduceLROnPlateau, StepLR, WarmUpLR
from nailorch.training.history import History
from nailorch.training.stopping import Watch


def followed(watch, values):
    """Return the history of a quantity, and after how many epochs its watch said stop, and why."""
    history = History()
    for value in values:
        record = {'epoch': len(history) + 1, watch.monitor: value}
        record['best'] = watch.is_best(history, record)
        history.epochs.append(record)
        if reason := watch.why_stop(history):
            return history, reason
    return history, ''


def test_less_loss_is_better_and_equal_is_not():
    history, _ = followed(Watch('valid_loss', 9, None), [3.0, 2.0, 2.0, 1.0])
    assert history.column('best') == [True, True, False, True]


def test_more_accuracy_is_better():
    history, _ = followed(Watch('valid_accuracy', 9, None), [0.3, 0.2, 0.5])
    assert history.column('best') == [True, False, True]


def test_patience_counts_epochs_since_the_best():
    history, reason = followed(Watch('valid_loss', 9, 2), [3.0, 2.0, 2.5, 1.0, 1.5, 1.0, 0.5])
    assert len(history) == 6
    assert reason == 'valid_loss has not become better than 1.0000 (epoch 4) for 2 epochs: stopped'


def test_epochs_end_it_anyway():
    assert followed(Watch('valid_loss', 3, 2), [3.0, 2.0, 1.0])[1] == 'All 3 epochs are done'
    assert followed(Watch('valid_loss', 3, None), [1.0, 2.0])[1] == ''


@pytest.mark.parametrize('epochs, patience', [(0, None), (3, 0)])
def test_counts_below_one_are_named(epochs, patience):
    with pytest.raises(ValueError, match='patience: 0' if epochs else 'epochs: 0'):
        Watch('valid_loss', epochs, patience)


@pytest.mark.parametrize(('monitor', 'mode'), [('valid_accuracy', 'min'), ('valid_loss', 'max')])
def test_a_plateau_that_takes_worse_for_better_is_refused(monitor, mode):
    watch = Watch(monitor, 3, None)
    for schedule in (ReduceLROnPlateau(mode), WarmUpLR(5, ReduceLROnPlateau(mode))):
        with pytest.raises(ValueError, match='takes worse for better'):
            watch.check_schedule(schedule)
    right = 'max' if mode == 'min' else 'min'
    for schedule in (None, StepLR(3), WarmUpLR(5), ReduceLROnPlateau(right), WarmUpLR(5, ReduceLROnPlateau(right))):
        watch.check_schedule(schedule)
