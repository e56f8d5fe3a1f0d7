"""The training loop."""

import errno
import json
import os
import re

import numpy as np
import pytest

import nailorch
import nailorch.functions as F
import nailorch.layers as L
from nailorch import optimizers, schedules
from nailorch.datasets import ArrayDataset, Spiral
from nailorch.formats.safetensors import load_safetensors
from nailorch.kernels import listener
from nailorch.models import MLP, Sequential
from nailorch.session import learning
from nailorch.training import CheckpointError, NonFiniteLoss, RunError, Trainer
from nailorch.training.progress import Silence
from tests.training import tiny


def quiet(model, data=None, *arguments, alpha=0.01, **settings):
    """A Trainer that shows nothing."""
    data = Spiral() if data is None else data
    return Trainer(model, optimizers.Adam(alpha=alpha), data, *arguments, progress='none', **settings)


def weights(model):
    return {name: array.tobytes() for name, array in model.state_dict().items()}


# learning


def test_three_lines_learn_the_spiral():
    model = MLP((30, 3), activation=F.tanh)
    trainer = quiet(model, Spiral(), 0.1, alpha=0.05, batch_size=30, epochs=60)
    trainer.fit()
    assert trainer.evaluate(Spiral(train=False)).accuracy > 0.9


def test_training_can_be_repeated_to_the_bit():
    ends = []
    for _ in range(2):
        nailorch.seed(int(np.random.default_rng().integers(100)))  # whatever came before
        training = tiny.trainer(epochs=2, progress='none')
        training.fit()
        ends.append(weights(training.model))
    assert ends[0] == ends[1]


def test_a_compiled_training_is_the_same_to_the_bit(monkeypatch):
    ends, again = [], []
    run = learning.Step.run
    monkeypatch.setattr(learning.Step, 'run', lambda *args: again.append(1) or run(*args))
    for compiled in (False, True):
        training = tiny.trainer(epochs=3, progress='none', compiled=compiled)
        history = training.fit()
        ends.append((weights(training.model), history.column('train_loss'), history.column('valid_loss')))
    assert ends[0] == ends[1]
    assert len(again) > 10 or not listener(1)


def test_another_seed_is_another_training():
    ends = []
    for seed in (1, 2):
        training = tiny.trainer(epochs=1, progress='none', seed=seed)
        training.fit()
        ends.append(weights(training.model))
    assert ends[0] != ends[1]


def test_a_step_is_the_step_of_the_book():
    """One epoch of full batches equals the loop that one writes by hand."""
    x, t = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32), np.arange(12) % 3
    model, twin = MLP((5, 3)), MLP((5, 3))
    model(x)
    twin(x)
    twin.load_state_dict(model.state_dict())
    Trainer(model, optimizers.SGD(0.5), ArrayDataset(x, t), batch_size=12, epochs=2, progress='none').fit()
    optimizer = optimizers.SGD(0.5).setup(twin)
    for _ in range(2):
        loss = F.softmax_cross_entropy(twin(x), t)
        twin.cleargrads()
        loss.backward()
        optimizer.update()
    for name, array in twin.state_dict().items():  # the samples of a batch come in another order, so sums differ
        np.testing.assert_allclose(model.state_dict()[name], array, rtol=1e-4, atol=1e-6)


def test_a_model_left_in_eval_is_trained():
    training = tiny.trainer(epochs=1, progress='none')
    training.model.eval()
    training.fit()
    assert training.model.norm.avg_mean.data.any()


def test_fit_trains_inside_test_mode_and_no_grad():
    training = tiny.trainer(epochs=1, progress='none')
    with nailorch.test_mode(), nailorch.no_grad():
        training.fit()
    assert training.step == 8 and training.model.norm.avg_mean.data.any()


def test_evaluation_leaves_no_trace():
    training = tiny.trainer(epochs=1, progress='none')
    training.fit()
    before, state = weights(training.model), nailorch.rng.get_state()
    first, second = training.evaluate(tiny.dataset(20)), training.evaluate(tiny.dataset(20))
    assert weights(training.model) == before and nailorch.rng.get_state() == state
    assert first.loss == second.loss  # no dropout, and the same augmentation


# validation


@pytest.mark.parametrize('valid, expected', [(0.2, 60), (45, 45)])
def test_a_part_of_the_training_set_is_set_aside(valid, expected):
    trainer = quiet(MLP((3,)), Spiral(), valid)
    assert len(trainer.valid) == expected and len(trainer.loader.dataset) == 300 - expected
    assert not set(trainer.valid.indices) & set(trainer.loader.dataset.indices)
    assert np.bincount(trainer.valid.label).tolist() == [expected // 3] * 3


def test_without_validation_the_training_loss_is_watched():
    trainer = quiet(MLP((3,)), epochs=2)
    history = trainer.fit()
    assert trainer.watch.monitor == 'train_loss'
    assert history.column('valid_loss') == history.column('valid_accuracy') == [None, None]


def scripted(trainer, losses):
    """Let validation measure `losses`, one an epoch, whatever the model does."""
    measure, given = trainer.evaluate, iter(losses)

    def evaluate(dataset):
        measured = measure(dataset)
        return type(measured)(next(given), measured.accuracy, measured.scores, measured.labels)

    trainer.evaluate = evaluate
    kept, keep = [], trainer._end_epoch

    def end_epoch(reporter):
        kept.append(weights(trainer.model))
        keep(reporter)

    trainer._end_epoch = end_epoch
    return kept


@pytest.mark.parametrize('folder', [True, False])
def test_early_stopping_restores_the_best_weights_and_says_why(tmp_path, folder, capsys):
    trainer = tiny.trainer(tmp_path / 'run' if folder else None, epochs=20, patience=3)
    kept = scripted(trainer, [5.0, 3.0, 4.0, 2.5, 2.6, 2.7, 2.5])
    history = trainer.fit()
    assert history.column('best') == [True, True, False, True, False, False, False]
    assert history.best['epoch'] == 4
    assert history.stopped == 'valid_loss has not become better than 2.5000 (epoch 4) for 3 epochs: stopped'
    assert weights(trainer.model) == kept[3]
    assert capsys.readouterr().out.endswith(history.stopped + '; the weights are those of epoch 4, the best\n')
    if folder:
        assert {n: a.tobytes() for n, a in load_safetensors(trainer.run.best_weights).items()} == kept[3]
        assert trainer.run.result == {'stopped': history.stopped, 'best_epoch': 4}


def test_all_epochs_end_with_the_best_weights_too():
    trainer = tiny.trainer(epochs=3, progress='none')
    kept = scripted(trainer, [5.0, 3.0, 4.0])
    assert trainer.fit().stopped == 'All 3 epochs are done'
    assert weights(trainer.model) == kept[1] != kept[2]


def test_accuracy_is_better_when_higher():
    trainer = tiny.trainer(epochs=3, monitor='valid_accuracy', progress='none')
    history = trainer.fit()
    assert history.best['valid_accuracy'] == max(history.column('valid_accuracy'))


@pytest.mark.parametrize('monitor, valid, complaint', [
    ('valid_loss', None, 'valid_loss cannot be watched without validation'),
    ('accuracy', 0.1, "there is no 'accuracy'; there are train_loss, valid_loss, train_accuracy, valid_accuracy"),
])
def test_an_impossible_monitor_is_an_error(monitor, valid, complaint):
    with pytest.raises(ValueError, match=complaint):
        quiet(MLP((3,)), Spiral(), valid, monitor=monitor)


def test_a_monitor_that_cannot_be_measured_is_an_error():
    data = ArrayDataset(np.ones((4, 2), np.float32), np.ones((4, 1), np.float32))
    with pytest.raises(ValueError, match='train_accuracy was not measured'):
        quiet(MLP((1,)), data, loss=F.mean_squared_error, monitor='train_accuracy').fit()


def test_regression_has_a_loss_and_no_accuracy():
    x = np.linspace(-1, 1, 50, dtype=np.float32)[:, None]
    history = quiet(MLP((10, 1)), ArrayDataset(x, x**2), 0.2, loss=F.mean_squared_error, epochs=3).fit()
    assert history.column('train_accuracy') == [None] * 3
    assert history[2]['train_loss'] < history[0]['train_loss']


# schedules


def test_a_schedule_that_steps_on_batches_sets_the_rate_before_each_batch():
    rates = []
    training = tiny.trainer(epochs=2, progress='none', schedule=schedules.StepLR(3, gamma=0.5, step_on='batch'))
    update = training.optimizer.update
    training.optimizer.update = lambda: (rates.append(training.optimizer.lr), update())
    history = training.fit()
    assert rates == [0.01 * 0.5 ** (step // 3) for step in range(16)]
    assert history.column('lr') == [rates[7], rates[15]]


def test_a_schedule_that_steps_on_epochs_sets_the_rate_before_each_epoch():
    training = tiny.trainer(epochs=3, progress='none', schedule=schedules.StepLR(1, gamma=0.1))
    np.testing.assert_allclose(training.fit().column('lr'), [0.01, 0.001, 0.0001], rtol=1e-12)


def test_a_plateau_hears_of_each_epoch_once():
    training = tiny.trainer(epochs=5, progress='none', schedule=schedules.ReduceLROnPlateau(patience=0, factor=0.5))
    scripted(training, [3.0, 2.0, 2.0, 1.0, 4.0])
    np.testing.assert_allclose(training.fit().column('lr'), [0.01, 0.01, 0.01, 0.005, 0.005], rtol=1e-12)


# what goes wrong


def test_labels_that_are_missing_are_named():
    with pytest.raises(ValueError, match='the samples have no labels'):
        quiet(MLP((3,)), ArrayDataset(np.zeros((20, 2), np.float32)), batch_size=5).fit()


def test_the_size_of_the_validation_set_may_be_of_numpy():
    training = quiet(MLP((3,)), ArrayDataset(np.zeros((20, 2), np.float32), np.zeros(20, int)), np.int64(4))
    assert len(training.valid) == 4


def test_an_empty_dataset_is_named():
    with pytest.raises(ValueError, match='ArrayDataset'):
        quiet(MLP((3,)), ArrayDataset(np.zeros((0, 2)), np.zeros(0, int)))


@pytest.mark.parametrize('name', ['epochs', 'patience', 'batch_size'])
def test_a_setting_below_one_is_named(name):
    with pytest.raises(ValueError, match=name):
        quiet(MLP((3,)), **{name: 0})


def test_a_loss_that_is_no_number_stops_with_the_step_and_the_last_good_checkpoint(tmp_path):
    training = tiny.trainer(tmp_path / 'run', progress='none')
    loss, calls = training.loss, []

    def breaking(y, t):
        calls.append(0)
        return loss(y * np.float32('nan'), t) if len(calls) == 8 + 3 + 5 else loss(y, t)  # three batches validate

    training.loss = breaking
    place = r'the loss is nan in epoch 2, batch 5 of 8 \(step 13\). Try a smaller learning rate'
    with pytest.raises(NonFiniteLoss, match=place) as caught:
        training.fit()
    checkpoint = training.run.checkpoints.load()
    assert str(checkpoint.path) in str(caught.value) and checkpoint.state['step'] == 8
    assert all(np.isfinite(array).all() for array in training.model.state_dict().values())


def test_data_that_is_no_number_is_named_as_the_cause():
    x = np.ones((20, 2), np.float32)
    x[7] = np.inf
    with pytest.raises(NonFiniteLoss, match='The batch itself holds NaN or infinite values'):
        quiet(MLP((3,)), ArrayDataset(x, np.arange(20) % 3), batch_size=5).fit()


@pytest.mark.parametrize('cadence, batch', [(0.0, 4), (1e9, 8)])
def test_weights_that_are_no_numbers_are_never_saved(tmp_path, cadence, batch):
    training = tiny.trainer(tmp_path / 'run', progress='none', checkpoint_every=cadence)
    update = training.optimizer.update

    def breaking():
        update()
        if training.step == 8 + batch - 1:
            training.model.fc.W.data[0, 0] = np.nan

    training.optimizer.update = breaking
    place = rf'the weight fc/W is not finite in epoch 2, batch {batch} of 8 \(step {8 + batch}\)'
    with pytest.raises(NonFiniteLoss, match=place):
        training.fit()
    assert np.isfinite(training.run.checkpoints.load().state['model']['fc/W']).all()


def test_a_gradient_that_cannot_be_clipped_says_where():
    training = tiny.trainer(progress='none')
    training.optimizer.add_hook(optimizers.ClipGrad(1.0))
    backward = nailorch.Variable.backward

    def breaking(loss):
        backward(loss)
        training.model.fc.b.grad.data[:] = np.inf

    with pytest.MonkeyPatch.context() as patch, pytest.raises(NonFiniteLoss, match=r'in epoch 1, batch 1 of 8'):
        patch.setattr(nailorch.Variable, 'backward', breaking)
        training.fit()


def full(descriptor):
    raise OSError(errno.ENOSPC, 'No space left on device')


def test_a_full_disk_is_one_error_and_training_can_go_on(tmp_path, monkeypatch):
    whole = tiny.trainer(tmp_path / 'whole', progress='none')
    whole.fit()
    training = tiny.trainer(tmp_path / 'run', progress='none')
    update = training.optimizer.update

    def filling():
        update()
        if training.step == 11:
            monkeypatch.setattr(os, 'fsync', full)

    training.optimizer.update = filling
    with pytest.raises(CheckpointError, match=r'No space left on device. Nothing is lost: .*00000001 is whole'):
        training.fit()
    monkeypatch.undo()
    training.optimizer.update = update
    training.fit()  # what was in memory goes on
    assert weights(training.model) == weights(whole.model)
    assert len((tmp_path / 'run' / 'metrics.jsonl').read_text().splitlines()) == 3


def test_a_run_folder_that_cannot_be_made_is_an_error_before_training(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(RunError, match='cannot be written'):
        tiny.trainer(tmp_path / 'file' / 'run')


# what is shown and kept


def test_lines_show_data_model_epochs_and_the_end(capsys):
    tiny.trainer(epochs=2).fit()
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r'Data ArrayDataset 60/20 · Net 159 params · seed 3 · \d+ threads?', lines[0])
    values = r'\d\.\d{3}/\d+\.\d%'
    for epoch, line in enumerate(lines[1:3], 1):
        assert re.fullmatch(rf'  {epoch}   train {values}   val {values}   [\d ]+ img/s( ★best)?', line)
    assert lines[3].startswith('All 2 epochs are done') and len(lines) == 4


def test_every_epoch_is_shown_from_its_first_batch(monkeypatch):
    shown = []

    class Witness(Silence):
        def start(self, epoch, epochs, batches, done):
            shown.append((epoch, done))

    monkeypatch.setattr('nailorch.training.trainer.choose', lambda name: Witness())
    tiny.trainer().fit()
    assert shown == [(1, 0), (2, 0), (3, 0)]


def test_a_run_folder_holds_configuration_environment_metrics_and_weights(tmp_path):
    training = tiny.trainer(tmp_path / 'run', epochs=2, progress='none')
    training.fit()
    run = training.run
    assert sorted(os.listdir(run.path)) == ['best.safetensors', 'config.toml', 'env.json', 'last.ckpt', 'metrics.jsonl',
                                            'result.json']
    assert run.config['training']['optimizer'] == 'Adam' and run.config['model'] == {'name': 'Net'}
    first = json.loads(run.metrics_file.read_text().splitlines()[0])
    assert list(first) == ['epoch', 'train_loss', 'train_accuracy', 'valid_loss', 'valid_accuracy', 'lr', 'seconds',
                           'images_per_second', 'best']
    assert run.history.epochs == training.history.epochs
    assert load_safetensors(run.best_weights).keys() == training.model.state_dict().keys()


def test_checkpoints_come_by_time_inside_an_epoch(tmp_path):
    steps = []
    training = tiny.trainer(tmp_path / 'run', epochs=1, progress='none', checkpoint_every=0.0)
    save = training.run.checkpoints.save
    training.run.checkpoints.save = lambda state: (steps.append(state['step']), save(state))
    training.fit()
    assert steps == [1, 2, 3, 4, 5, 6, 7, 8]


def test_sequential_models_train():
    model = Sequential(L.Linear(10), F.relu, L.Linear(3))
    assert quiet(model, epochs=1).fit()[0]['train_loss'] > 0


def test_an_optimiser_or_a_loss_by_name_is_refused_at_once(tmp_path):
    with pytest.raises(TypeError, match=r"optimizers\.Adam\(alpha=0\.001\); got 'adam'"):
        Trainer(tiny.Net(), 'adam', tiny.dataset(), run=tmp_path / 'run')
    with pytest.raises(TypeError, match=r"F\.softmax_cross_entropy; got 'cross_entropy'"):
        Trainer(tiny.Net(), optimizers.Adam(), tiny.dataset(), loss='cross_entropy', run=tmp_path / 'run')
    assert not (tmp_path / 'run').exists()
