"""The training loop: epochs of batches, measured, shown, and saved so that training can stop and go on at any batch."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import nailorch.functions as F
from nailorch import rng
from nailorch.config import no_grad, test_mode, using_config
from nailorch.dataloaders import DataLoader
from nailorch.datasets import split
from nailorch.messages import message
from nailorch.optimizers import Optimizer
from nailorch.session import Gradients
from nailorch.training import saving
from nailorch.training.evaluation import Evaluation, Loss, NonFiniteLoss, Sums, evaluate
from nailorch.training.freezing import train_again
from nailorch.training.history import History, append_epoch, write_metrics
from nailorch.training.interrupts import StopRequest, TrainingInterrupted
from nailorch.training.progress import Silence, choose, compact, grouped
from nailorch.training.runs import Run, RunError, threads, writing
from nailorch.training.saving import check_best, keep_best, restore_best, snapshot
from nailorch.training.stopping import Watch

__all__ = ['Trainer']


class Trainer:
    """Train a model: `Trainer(model, optimizer, train_set, 0.1).fit()`.

    Args:
        model: a Model; x -> scores.
        optimizer: one of `nailorch.optimizers`; it is set up on `model` if it is not yet.
        train: the dataset to learn from.
        valid: what to measure each epoch on: a dataset, or how many samples of `train` (500) or which fraction (0.1) to
            set aside, stratified and seeded. Never the test set: what helped to choose a model cannot judge it. A part
            of `train` shares its transform; where that is random, give a dataset of its own.
        loss: (scores, t) -> the batch's mean loss.
        batch_size: samples a step.
        epochs: passes over `train`, at most.
        seed: of the order, augmentation, dropout, the split, and of weights that are not drawn yet. None: go on from
            the generator as it stands.
        schedule: one of `nailorch.schedules`, told of `monitor` after each epoch; None leaves the learning rate alone.
        patience: stop after so many epochs without a better `monitor`; None: never.
        monitor: what "best" means: 'valid_loss', 'valid_accuracy', 'train_loss' or 'train_accuracy'. By default the
            loss, on `valid` if there is one.
        run: a run folder, for checkpoints, metrics and the best weights: a Run, or a path (made if missing). None
            writes no file.
        workers: threads that prepare batches.
        checkpoint_every: seconds between checkpoints inside an epoch; there is always one at its end.
        progress: 'bar', 'lines', 'none'; 'auto' takes the bar on a terminal.
        title: what the first line calls the data.
        compiled: True writes steps of small batches down, and runs what was written (`nailorch.compile_gradients`): for
            models whose forward depends on x and their attributes alone.
    Raises:
        TypeError: `optimizer` or `loss` is something else, such as its name.
        ValueError: an empty dataset, an unknown monitor, epochs or patience below 1; a ReduceLROnPlateau whose mode is
            not the monitor's.
    """

    def __init__(self, model: Any, optimizer: Any, train: Any, valid: Any = None, *,
                 loss: Loss = F.softmax_cross_entropy, batch_size: int = 100, epochs: int = 10, seed: int | None = 0,
                 schedule: Any = None, patience: int | None = None, monitor: str | None = None,
                 run: Run | str | Path | None = None, workers: int = 0, checkpoint_every: float = 30.0,
                 progress: str = 'auto', title: str = '', compiled: bool = False) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(message('training.optimizer', given=repr(optimizer)))
        if not callable(loss):
            raise TypeError(message('training.loss_function', given=repr(loss)))
        self.watch = Watch(monitor or ('train_loss' if valid is None else 'valid_loss'), epochs, patience)
        self.watch.check_schedule(schedule)
        if valid is None and self.watch.monitor.startswith('valid'):
            raise ValueError(message('training.no_valid', monitor=monitor))
        if isinstance(valid, np.number):
            valid = valid.item()
        if isinstance(valid, int | float):
            whole = 1.0 if isinstance(valid, float) else len(train)
            train, valid = split(train, (whole - valid, valid), seed=seed or 0)
        self.model, self.optimizer, self.schedule, self.loss = model, optimizer, schedule, loss
        self.valid, self.loader = valid, DataLoader(train, batch_size, workers=workers, seed=seed)
        self.seed, self.checkpoint_every, self.progress, self.compiled = seed, checkpoint_every, progress, compiled
        while hasattr(train, 'dataset'):  # a part is called after the whole
            train = train.dataset
        self.title = title or type(train).__name__
        self.run = run if isinstance(run, Run) or run is None else Run.at(run, self.describe())
        self.best_weights: dict[str, npt.NDArray[Any]] = {}  # where there is no run folder to keep them
        # Where training stands. With the states of model, optimiser, schedule, loader and generator, this is all.
        self.history, self.sums, self.step, self.seconds = History(), Sums(), 0, 0.0

    def describe(self) -> dict[str, Any]:
        """Return what config.toml says of a training that was set up in Python."""
        settings = {'epochs': self.watch.epochs, 'batch_size': self.loader.batch_size, 'seed': self.seed,
                    'patience': self.watch.patience, 'monitor': self.watch.monitor, 'workers': self.loader.workers,
                    'optimizer': type(self.optimizer).__name__, 'lr': float(self.optimizer.lr),
                    'schedule': self.schedule and type(self.schedule).__name__}
        return {'model': {'name': type(self.model).__name__}, 'data': {'name': self.title},
                'training': {name: value for name, value in settings.items() if value is not None}}

    # training

    def fit(self, resume: bool = False) -> History:
        """Train until all epochs are done or patience ends; the model then holds the weights of the best epoch.

        Args:
            resume: go on from the run folder's newest whole checkpoint, in the middle of an epoch if it was made there;
                from the start where there is none.
        Raises:
            TrainingInterrupted: Ctrl-C or SIGTERM; the batch was finished and saved. `fit()` once more goes on.
            NonFiniteLoss: the loss or a weight became NaN or infinite. The last checkpoint is from before.
            CheckpointError: a checkpoint cannot be written (full disk) or read, or is another training's.
            RunError: the run folder already holds a training that is not to be resumed, or one is at work in it, or it
                cannot be written.
        """
        with using_config('train', True), using_config('enable_backprop', True), \
                self.run.training() if self.run else contextlib.nullcontext(), \
                np.errstate(over='ignore', invalid='ignore', divide='ignore'), \
                contextlib.closing(choose(self.progress)) as reporter, StopRequest(reporter.stopping) as stop:
            self._begin(resume, reporter)
            while not (reason := self.watch.why_stop(self.history)):
                self._epoch(stop, reporter)
            self._end(reason, reporter)
        return self.history

    def evaluate(self, dataset: Any) -> Evaluation:
        """Measure the model on a dataset, in test mode and without a tape."""
        return evaluate(self.model, dataset, loss=self.loss, batch_size=self.loader.batch_size,
                        workers=self.loader.workers)

    def _begin(self, resume: bool, reporter: Silence) -> None:
        if self.run and self.step == 0 and not resume and self.run.checkpoints.numbered():
            raise RunError(message('run.used', path=self.run.path))
        if self.step == 0 and self.seed is not None:
            rng.seed(self.seed)
        if any(parameter.data is None for parameter in self.model.params()):  # sizes are found at the first call
            with no_grad(), test_mode():
                self.model(self.loader.load(0, [0])[0])
        if self.optimizer.target is not self.model:
            self.optimizer.setup(self.model)
        if not self.model.training:  # somebody called eval() on the whole
            train_again(self.model)
        samples = '/'.join(grouped(len(part)) for part in (self.loader.dataset, self.valid) if part is not None)
        count = sum(parameter.data.size for parameter in self.model.params())
        at_work = message('training.thread' if threads() == 1 else 'training.threads', threads=threads())
        reporter.say(message('training.header', data=self.title, samples=samples, model=type(self.model).__name__,
                             count=compact(count), seed=self.seed, threads=at_work))
        if resume:
            saving.resume(self, reporter)
        check_best(self, reporter)
        gradients = Gradients(self.model, self.loss)
        self.gradients = gradients if self.compiled else gradients.as_written
        self.loader.load_state_dict(self.loader.state_dict())  # iter() now goes on from here
        self._saved = time.monotonic()
        if self.run:
            with writing(self.run.metrics_file):
                write_metrics(self.run.metrics_file, self.history.epochs)
            self.run.record(stopped='')  # not yet, or not any longer

    def _epoch(self, stop: StopRequest, reporter: Silence) -> None:
        epoch, batches = len(self.history) + 1, len(self.loader)
        reporter.start(epoch, self.watch.epochs, batches, self.loader.state_dict()['batch'])
        began = time.perf_counter()
        for x, t in self.loader:
            self._batch(x, t)
            done = self.loader.place[1]
            self.seconds += time.perf_counter() - began
            reporter.batch(done, len(x), self.sums.mean_loss, self.sums.accuracy)
            if done < batches and (stop.signal or time.monotonic() - self._saved >= self.checkpoint_every):
                self._check_weights()
                self._save()
                self._heed(stop)
            began = time.perf_counter()
        self._check_weights()
        self._end_epoch(reporter)
        if not self.watch.why_stop(self.history):
            self._heed(stop)

    def _batch(self, x: Any, t: Any) -> None:
        if self.schedule:
            self.schedule.update(self.optimizer, step=self.step, epoch=len(self.history))
        try:
            loss, y = self.gradients(x, t)
        except TypeError as error:
            if t is None:
                raise ValueError(message('training.labels', error=error)) from error
            raise
        value = float(loss.data)
        if not np.isfinite(value):
            raise self._non_finite(message('training.loss', value=value), x)
        try:
            self.optimizer.update()
        except FloatingPointError as error:  # a hook met a gradient that is no number
            raise self._non_finite(str(error), x) from error
        self.step += 1
        self.sums.add(value, y.data, t)

    def _end_epoch(self, reporter: Silence) -> None:
        began = time.perf_counter()
        reporter.measuring()
        measured = self.evaluate(self.valid) if self.valid is not None else None
        if measured and not np.isfinite(measured.loss):
            raise self._non_finite(message('training.valid', value=measured.loss))
        record = {
            'epoch': len(self.history) + 1,
            'train_loss': self.sums.mean_loss,
            'train_accuracy': self.sums.accuracy,
            'valid_loss': measured and measured.loss,
            'valid_accuracy': measured and measured.accuracy,
            'lr': float(self.optimizer.lr),
            'seconds': round(self.seconds + time.perf_counter() - began, 3),
            'images_per_second': round(self.sums.samples / self.seconds, 1),
        }
        record['best'] = self.watch.is_best(self.history, record)
        self.history.epochs.append(record)
        if self.schedule:  # one that watches a metric hears of it once
            metric = record[self.watch.monitor]
            self.schedule.update(self.optimizer, step=self.step, epoch=len(self.history), metric=metric)
        self.sums, self.seconds = Sums(), 0.0
        self._save()
        if record['best']:
            keep_best(self)
        if self.run:
            with writing(self.run.metrics_file):
                append_epoch(self.run.metrics_file, record)
        reporter.end(record)

    def _end(self, reason: str, reporter: Silence) -> None:
        self.history.stopped = reason
        best = self.history.best
        if best and (best['epoch'] < len(self.history) or self.sums.samples):  # the latter: amid an epoch, resumed
            restore_best(self)
            reason += message('training.restored', epoch=best['epoch'])
        if self.run:
            self.run.record(stopped=self.history.stopped, best_epoch=best and best['epoch'])
        reporter.say(reason)

    # saving

    def _check_weights(self) -> None:
        """Raise where a weight is no number: such weights never replace a good checkpoint."""
        for name, array in self.model.state_dict().items():
            if not np.isfinite(array).all():
                raise self._non_finite(message('training.weight', name=name))

    def _save(self) -> None:
        if self.run:
            self.run.checkpoints.save(snapshot(self))
        self._saved = time.monotonic()

    def _heed(self, stop: StopRequest) -> None:
        """Raise if there was a request to stop; call it when all is saved."""
        if stop.signal:
            path = self.run.checkpoints.good if self.run else None
            text = message('training.interrupted' if path else 'training.interrupted_unsaved', signal=stop.signal.name,
                           epoch=len(self.history) + 1, batch=self.loader.state_dict()['batch'],
                           batches=len(self.loader), path=path)
            raise TrainingInterrupted(text, stop.signal, path)

    def _non_finite(self, what: str, x: Any = None) -> NonFiniteLoss:
        """Return the error that says where training stands, and what to try."""
        clean = x is None or np.isfinite(x).all()
        path = self.run.checkpoints.good if self.run else None
        batch = self.loader.place[1]
        step = len(self.history) * len(self.loader) + batch
        remedy = message('training.slower' if clean else 'training.data', lr=self.optimizer.lr)
        return NonFiniteLoss(message('training.non_finite', what=what, epoch=len(self.history) + 1, batch=batch,
                                     batches=len(self.loader), step=step, remedy=remedy,
                                     kept=message('training.kept', path=path) if path else ''))
