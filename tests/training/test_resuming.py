"""A training that is stopped and goes on ends in the same bits as one that was not."""

import json
import os
import signal

import numpy as np
import pytest

import nailorch
from nailorch.formats.safetensors import load_safetensors
from nailorch.training import CheckpointError, RunError, TrainingInterrupted
from tests.training import tiny

TIMES = ('seconds', 'images_per_second')
BATCHES = 8


def ends_in(training):
    """Everything that must be equal: weights to the byte, history apart from times, optimiser, generator."""
    weights = {name: array.tobytes() for name, array in training.model.state_dict().items()}
    lines = (training.run.path / 'metrics.jsonl').read_text().splitlines()
    metrics = [{name: value for name, value in json.loads(line).items() if name not in TIMES} for line in lines]
    return weights, metrics, training.step, nailorch.rng.get_state(), training.history.stopped


@pytest.fixture(scope='module')
def uninterrupted(tmp_path_factory):
    training = tiny.trainer(tmp_path_factory.mktemp('whole') / 'run')
    training.fit()
    return ends_in(training)


def interrupt_after(training, step, number=signal.SIGINT):
    """Send a signal from inside the update of a batch."""
    update = training.optimizer.update

    def interrupting():
        update()
        if training.step == step - 1:
            os.kill(os.getpid(), number)

    training.optimizer.update = interrupting
    with pytest.raises(TrainingInterrupted) as caught:
        training.fit(resume=training.run is not None)
    training.optimizer.update = update
    return caught.value


@pytest.mark.parametrize('step', [1, 5, BATCHES - 1, BATCHES, BATCHES + 1, 2 * BATCHES + 3])
def test_resumed_training_ends_in_the_same_bits(tmp_path, uninterrupted, step):
    first = tiny.trainer(tmp_path / 'run')
    error = interrupt_after(first, step)
    assert first.step == step
    assert error.checkpoint.is_dir() and error.exit_code == 130
    nailorch.seed(99)  # a new process would begin elsewhere
    second = tiny.trainer(tmp_path / 'run')
    second.fit(resume=True)
    assert ends_in(second) == uninterrupted


def test_training_interrupted_many_times_ends_in_the_same_bits(tmp_path, uninterrupted):
    for step in (2, 3, 8, 12, 17, 20):
        interrupt_after(tiny.trainer(tmp_path / 'run'), step, signal.SIGTERM)
    last = tiny.trainer(tmp_path / 'run')
    last.fit(resume=True)
    assert ends_in(last) == uninterrupted


def test_fit_goes_on_in_the_same_process(tmp_path, uninterrupted):
    training = tiny.trainer(tmp_path / 'run')
    interrupt_after(training, 11)
    training.fit()
    assert ends_in(training) == uninterrupted


def test_training_that_ends_amid_an_epoch_gives_the_best_weights(tmp_path):
    interrupt_after(tiny.trainer(tmp_path / 'run', epochs=4), BATCHES + 3)
    shorter = tiny.trainer(tmp_path / 'run', epochs=1)
    shorter.fit(resume=True)
    best = load_safetensors(shorter.run.best_weights)
    for name, array in shorter.model.state_dict().items():
        np.testing.assert_array_equal(array, best[name], name)


def test_workers_do_not_change_the_bits(tmp_path, uninterrupted):
    interrupt_after(tiny.trainer(tmp_path / 'run', workers=2), 5)
    training = tiny.trainer(tmp_path / 'run', workers=2)
    training.fit(resume=True)
    assert ends_in(training) == uninterrupted


def test_without_a_run_folder_an_interrupted_training_goes_on_in_memory():
    training = tiny.trainer()
    error = interrupt_after(training, 5)
    assert error.checkpoint is None and 'fit() goes on from here' in str(error)
    training.fit()
    assert training.step == 3 * BATCHES


def test_early_stopping_goes_on_counting(tmp_path):
    def made():
        return tiny.trainer(tmp_path / 'run', epochs=50, patience=2)

    whole = tiny.trainer(tmp_path / 'whole', epochs=50, patience=2)
    whole.fit()
    assert 'has not become better' in whole.history.stopped
    stopped_after = len(whole.history)
    interrupt_after(made(), (stopped_after - 1) * BATCHES + 3)
    training = made()
    training.fit(resume=True)
    assert ends_in(training) == ends_in(whole)


def test_resuming_a_finished_training_changes_nothing(tmp_path, uninterrupted, capsys):
    tiny.trainer(tmp_path / 'run').fit()
    training = tiny.trainer(tmp_path / 'run')
    training.fit(resume=True)
    assert ends_in(training) == uninterrupted
    assert 'All 3 epochs are done' in capsys.readouterr().out


def test_resuming_with_more_epochs_trains_longer(tmp_path):
    tiny.trainer(tmp_path / 'run', epochs=2).fit()
    training = tiny.trainer(tmp_path / 'run', epochs=4)
    interrupt_after(training, 20)
    assert training.run.summary()['status'] == 'unfinished'
    assert [record['epoch'] for record in training.fit()] == [1, 2, 3, 4]
    assert training.run.summary()['status'] == 'finished'


def test_resuming_without_a_checkpoint_starts_and_says_so(tmp_path, uninterrupted, capsys):
    training = tiny.trainer(tmp_path / 'run')
    training.fit(resume=True)
    assert ends_in(training) == uninterrupted
    assert 'starting from the beginning' in capsys.readouterr().out


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, uninterrupted, capsys):
    first = tiny.trainer(tmp_path / 'run', checkpoint_every=0.0)
    interrupt_after(first, 11)
    newest = first.run.checkpoints.numbered()[-1]
    (newest / 'arrays.safetensors').write_bytes(b'rubbish')
    training = tiny.trainer(tmp_path / 'run')
    training.fit(resume=True)
    assert ends_in(training) == uninterrupted
    said = capsys.readouterr().out
    assert f'Damaged: {newest / "arrays.safetensors"}: 7 bytes long' in said
    assert 'Resuming in epoch 2, after batch 2 of 8' in said


def test_a_finished_training_is_not_said_to_go_on(tmp_path, capsys):
    tiny.trainer(tmp_path / 'run', epochs=1).fit()
    capsys.readouterr()
    tiny.trainer(tmp_path / 'run', epochs=1).fit(resume=True)
    said = capsys.readouterr().out
    assert 'Resuming' not in said and 'The one epoch is done' in said


def test_lost_best_weights_are_sought_anew(tmp_path, capsys):
    first = tiny.trainer(tmp_path / 'run')
    interrupt_after(first, BATCHES + 1)
    first.run.best_weights.write_bytes(b'rubbish')
    training = tiny.trainer(tmp_path / 'run')
    training.fit(resume=True)
    assert 'does not hold the weights of epoch 1' in capsys.readouterr().out
    assert training.history[0]['best'] is False and training.history[1]['best'] is True


def test_a_used_run_folder_is_not_overwritten(tmp_path):
    tiny.trainer(tmp_path / 'run', epochs=1).fit()
    before = (tmp_path / 'run' / 'metrics.jsonl').read_text()
    with pytest.raises(RunError, match='already holds a training; resume it'):
        tiny.trainer(tmp_path / 'run').fit()
    assert (tmp_path / 'run' / 'metrics.jsonl').read_text() == before


@pytest.mark.parametrize('changes, complaint', [
    ({'seed': 4}, 'seed was 3, now it is 4'),
    ({'monitor': 'train_loss'}, 'monitor was valid_loss, now it is train_loss'),
    ({'batch_size': 9}, 'batch_size'),
])
def test_another_training_is_not_resumed(tmp_path, changes, complaint):
    tiny.trainer(tmp_path / 'run', epochs=1).fit()
    with pytest.raises(CheckpointError, match=complaint):
        tiny.trainer(tmp_path / 'run', **changes).fit(resume=True)


@pytest.mark.parametrize('name, value', [
    ('model', {}), ('rng', {'bit_generator': 'PCG64'}), ('sums', None), ('history', [{'epoch': 'x'}]),
    ('loader', {'epoch': 0}), ('step', 'many'), ('permutation', np.arange(3)), ('optimizer', {}),
])
def test_hostile_state_is_one_named_error(tmp_path, name, value):
    first = tiny.trainer(tmp_path / 'run', epochs=1)
    first.fit()
    state = first.run.checkpoints.load().state
    first.run.checkpoints.save({**state, name: value})
    with pytest.raises(CheckpointError, match='does not hold what this training needs'):
        tiny.trainer(tmp_path / 'run').fit(resume=True)


def test_resume_needs_a_run_folder():
    with pytest.raises(ValueError, match='no run folder to resume from'):
        tiny.trainer().fit(resume=True)


def test_a_run_folder_is_one_training_at_a_time(tmp_path):
    """`train --resume latest` in another window, while the run is at work, would write over its checkpoints."""
    first, second = tiny.trainer(tmp_path / 'run'), tiny.trainer(tmp_path / 'run')
    update = first.optimizer.update

    def meanwhile():
        if first.step == BATCHES + 3:
            with pytest.raises(RunError, match='a training is at work in'):
                second.fit(resume=True)
        update()

    first.optimizer.update = meanwhile
    first.fit()
    assert second.step == 0
    second.fit(resume=True)
    assert second.step == first.step == 3 * BATCHES
