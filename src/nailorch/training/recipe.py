"""From settings to a training: the model, data, optimiser and schedule that they name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import nailorch.functions as F
from nailorch import models, rng
from nailorch.config import no_grad, test_mode
from nailorch.inspection.metrics import confident_mistakes
from nailorch.messages import message, whole
from nailorch.models.pretrained import PRETRAINED
from nailorch.optimizers import SGD, AdaDelta, AdaGrad, Adam, AdamW, ClipGrad, Momentum, RMSprop, WeightDecay
from nailorch.schedules import CosineAnnealingLR, OneCycleLR, ReduceLROnPlateau, StepLR, WarmUpLR
from nailorch.training.data import FOLDER_SIZE, PRETRAINED_SIZE, Data, check_name, is_folder, load_data
from nailorch.training.freezing import freeze
from nailorch.training.inside import Inside, look_inside
from nailorch.training.report import Answers, write_predictions
from nailorch.training.runs import Run, writing
from nailorch.training.settings import Settings, TrainingSettings, change, leaves, nearest, settings_to_dict
from nailorch.training.trainer import Trainer

__all__ = ['OPTIMIZERS', 'SCHEDULES', 'Recipe', 'build_model', 'conclude', 'edited', 'model_names', 'resolve']

# Each optimiser, with the learning rate that is commonly tried first.
OPTIMIZERS: dict[str, tuple[Callable[[], Any], float]] = {
    'sgd': (SGD, 0.1),
    'momentum': (Momentum, 0.05),
    'nesterov': (partial(Momentum, nesterov=True), 0.05),
    'adagrad': (AdaGrad, 0.01),
    'adadelta': (AdaDelta, 1.0),
    'rmsprop': (RMSprop, 0.001),
    'adam': (Adam, 0.001),
    'adamw': (AdamW, 0.001),
}
LOOKED_AT = 7  # of the most confident mistakes
# What may be changed in a run's config.toml before it goes on; all else would make it another training.
CHANGEABLE = ('training.epochs', 'training.patience', 'training.label_smoothing', 'training.clip', 'data.workers',
              'data.name')
SCHEDULES = ('constant', 'step', 'cosine', 'onecycle', 'plateau')


class Recipe:
    """Settings made concrete: `Recipe(settings).trainer(run).fit()`.

    Attributes:
        settings: as given, with nothing left open: `resolve(settings)`.
        data: train, valid and test.
        model: with its weights drawn, by the seed, or pretrained but for the layer that knows the classes.
        frozen: how many of its numbers do not learn.
        augmented: training images are varied at random.
    Raises:
        ValueError, FileNotFoundError: a name that means nothing, data that cannot be read, or images of a size that
            the model cannot take.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = resolve(settings)
        self.data: Data = load_data(self.settings)
        told = self.settings.model
        rng.seed(self.settings.seed)
        self.model = build_model(told.name, len(self.data.classes), told.pretrained)
        rng.seed(self.settings.seed)
        try:
            with no_grad(), test_mode():
                self.model(self.data.valid[0][0][None])  # draws the weights, now that their sizes are known
        except ValueError as error:
            name, shape = self.settings.model.name, self.data.shape
            raise ValueError(message('data.model', model=name, shape=shape, error=whole(error))) from error
        parts = [part.strip() for part in told.freeze.split(',') if part.strip()]
        self.frozen = freeze(self.model, *parts) if parts else 0
        self.augmented = any(vars(self.settings.augmentation).values())

    def trainer(self, run: Run, progress: str = 'auto') -> Trainer:
        """Return the Trainer that does what the settings say, and keeps it in `run`."""
        told = self.settings.training
        batches = -(-len(self.data.train) // told.batch_size)
        run.record(classes=self.data.classes, shape=self.data.shape, settings=settings_to_dict(self.settings))
        return Trainer(
            self.model, build_optimizer(told), self.data.train, self.data.valid,
            loss=partial(F.softmax_cross_entropy, label_smoothing=told.label_smoothing),
            batch_size=told.batch_size, epochs=told.epochs, seed=self.settings.seed,
            schedule=build_schedule(told, batches), patience=told.patience or None, run=run,
            workers=self.settings.data.workers, progress=progress, title=self.settings.data.name, compiled=True,
        )


def resolve(settings: Settings) -> Settings:
    """Check the names in `settings`, and fill in what they leave open: learning rate, weight decay, image size.

    Raises:
        ValueError: a name that means nothing; the nearest one is given.
    """
    told = settings.training
    choose('model.name', settings.model.name, model_names())
    if settings.model.pretrained:
        check_pretrained(settings.model.name)
    choose('training.optimizer', told.optimizer, OPTIMIZERS)
    choose('training.schedule', told.schedule, SCHEDULES)
    check_name(settings.data.name)
    open_ones: dict[str, Any] = {}
    if told.lr is None:
        open_ones['training.lr'] = OPTIMIZERS[told.optimizer][1]
    if told.weight_decay is None:
        open_ones['training.weight_decay'] = 0.01 if told.optimizer == 'adamw' else 0.0
    if is_folder(settings.data.name) and settings.data.size is None:
        open_ones['data.size'] = PRETRAINED_SIZE if settings.model.pretrained else FOLDER_SIZE
    return change(settings, open_ones)


def edited(run: Run, settings: Settings) -> str:
    """Return what was changed in a run's config.toml since its training began, as 'training.epochs: 3 -> 5'; or ''.

    Raises:
        ValueError: among it is what no training can go on with.
    """
    kept = run.result.get('settings')
    was = dict(leaves(kept)) if isinstance(kept, dict) else {}
    now = dict(leaves(settings_to_dict(settings)))
    changes = {key: f'{key}: {was.get(key, "-")} -> {now.get(key, "-")}' for key in {**was, **now}
               if was and was.get(key) != now.get(key)}
    if fixed := [change for key, change in changes.items()
                 if key not in CHANGEABLE and not key.startswith('augmentation.')]:
        raise ValueError(message('resume.fixed', path=run.path / 'config.toml', changes=', '.join(fixed)))
    return ', '.join(changes.values())


def choose(key: str, value: str, known: Iterable[str]) -> None:
    """Raise ValueError, with the nearest name, unless `value` is known."""
    if value not in (known := list(known)):
        raise ValueError(message('settings.choice', name=key, value=value, remedy=nearest(value, known)))


def model_names() -> list[str]:
    """Return the names of all models that need to be told nothing but the number of classes."""
    return list(builders())


def pretrained_names() -> list[str]:
    """Return the names of all models for which there are weights that others trained."""
    return [name for name, kind in models.MODELS.items() if kind.__name__ in PRETRAINED]


def check_pretrained(name: str) -> None:
    """Raise ValueError, with the models that have them, unless there are weights for this one."""
    if name not in (known := pretrained_names()):
        raise ValueError(message('model.pretrained', name=name, names=', '.join(known)))


def build_model(name: str, classes: int, pretrained: bool = False) -> Any:
    """Return a new model of this name, which gives a score to each of so many classes.

    Args:
        pretrained: begin with the weights that others trained; the last layer is new where they know other classes.
    """
    choose('model.name', name, builders())
    if not pretrained:
        return builders()[name](classes)
    check_pretrained(name)
    return models.MODELS[name].from_pretrained(num_classes=classes)


def builders() -> dict[str, Callable[[int], Any]]:
    """Return a function of the number of classes for each model's name."""
    found: dict[str, Callable[[int], Any]] = {
        'mlp': lambda classes: models.Sequential(F.flatten, models.MLP((128, classes), F.relu)),
    }
    return found | models.MODELS


def build_optimizer(told: TrainingSettings) -> Any:
    """Return the optimiser, with its hooks: clip what the loss says, then pull towards zero."""
    kind, usual = OPTIMIZERS[told.optimizer]
    optimizer, decay = kind(), told.weight_decay or 0.0
    optimizer.lr = usual if told.lr is None else told.lr
    if told.clip:
        optimizer.add_hook(ClipGrad(told.clip))
    if told.optimizer == 'adamw':
        optimizer.weight_decay = decay
    elif decay:
        optimizer.add_hook(WeightDecay(decay))
    return optimizer


def build_schedule(told: TrainingSettings, batches: int) -> Any:
    """Return how the learning rate changes over epochs of so many batches; None where it does not.

    'step' divides it by ten after each third of the epochs; 'cosine' ends at zero; 'plateau' divides it by ten when
    two epochs in a row bring nothing.
    """
    total = told.epochs * batches
    if told.schedule == 'onecycle':
        schedule: Any = OneCycleLR(build_optimizer(told).lr, max(total, 2))
    elif told.schedule == 'cosine':
        schedule = CosineAnnealingLR(total, step_on='batch')
    elif told.schedule == 'step':
        schedule = StepLR(-(-told.epochs // 3))
    else:
        schedule = ReduceLROnPlateau(patience=1) if told.schedule == 'plateau' else None
    warm = round(told.warmup * batches)
    return WarmUpLR(warm, schedule) if warm else schedule


def conclude(run: Run, recipe: Recipe, trainer: Trainer) -> tuple[Answers, Inside]:
    """Measure the trained model on the test images, which it never saw; keep the result and all answers in `run`."""
    data = recipe.data
    evaluation = trainer.evaluate(data.test)
    answers = Answers(evaluation.labels, evaluation.probabilities, data.classes, data.picture, data.files)
    run.record(test_accuracy=evaluation.accuracy, test_loss=evaluation.loss)
    path = run.path / 'predictions.csv'
    with writing(path):
        write_predictions(path, answers)
    worst = confident_mistakes(answers.probabilities, answers.labels, LOOKED_AT)
    return answers, look_inside(recipe.model, data.test,
                                answers={int(index): int(answers.predicted[index]) for index in worst})
