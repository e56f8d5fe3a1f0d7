"""Schedules: how the learning rate changes while a model learns.

    schedule = CosineAnnealingLR(T_max=epochs)
    for epoch in range(epochs):
        schedule.update(optimizer, epoch=epoch)
        ...

Names and arguments are PyTorch's; WarmUpLR, which has no class of its own there, is named in their manner. What
differs: a schedule does not count calls. It is told how far training is, and the rate follows from that alone, so that
training resumed anywhere goes on exactly. Only ReduceLROnPlateau remembers: what it was told of the metric.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from nailorch.hints import SCHEDULE, missing
from nailorch.messages import message
from nailorch.shapes import at_least

__all__ = ['CosineAnnealingLR', 'MultiStepLR', 'OneCycleLR', 'ReduceLROnPlateau', 'Schedule', 'StepLR', 'WarmUpLR']


class Schedule:
    """What all schedules share. One of your own writes `at`.

    Args:
        step_on: what is counted, 'epoch' or 'batch': when `update` must be called again, and the unit of all times.

    Example:
        >>> class Halving(Schedule):
        ...     def at(self, lr, time):
        ...         return lr / 2**time
        >>> optimizer = nailorch.optimizers.SGD(0.8)
        >>> schedule = Halving()
        >>> [schedule.update(optimizer, epoch=epoch) for epoch in range(3)]
        [0.8, 0.4, 0.2]
    """

    remembers: ClassVar[tuple[str, ...]] = 'base_lr',  # the attributes that are saved

    if not TYPE_CHECKING:
        def __getattr__(self, name: str) -> Any:
            raise missing(self, name, SCHEDULE)

    def __init__(self, step_on: str = 'epoch') -> None:
        self.step_on = one_of('step_on', step_on, ('epoch', 'batch'))
        self.base_lr: float | None = None  # the optimiser's own rate, found at the first update

    def at(self, lr: float, time: int) -> float:
        """Return the rate after `time` epochs (or batches), where `lr` is what the optimiser was made with."""
        raise NotImplementedError(f'{type(self).__name__}.at')

    def update(self, optimizer: Any, *, step: int | None = None, epoch: int | None = None,
               metric: float | None = None) -> float:
        """Set the optimiser's learning rate for what comes next, and return it.

        Args:
            step: how many batches are done, all epochs together; needed where `step_on` is 'batch'.
            epoch: how many epochs are done; needed where `step_on` is 'epoch'.
            metric: what was measured since the last update, for ReduceLROnPlateau.
        """
        if self.base_lr is None:
            self.base_lr = optimizer.lr
        optimizer.lr = self.rate(self.base_lr, step, epoch, metric)
        return float(optimizer.lr)

    def rate(self, lr: float, step: int | None, epoch: int | None, metric: float | None) -> float:
        """Return the rate for what comes next."""
        time = epoch if self.step_on == 'epoch' else step
        if time is None:
            name = 'epoch' if self.step_on == 'epoch' else 'step'
            raise TypeError(f'{type(self).__name__}.update: it changes every {self.step_on}; give {name}=…')
        return self.at(lr, time)

    def state_dict(self) -> dict[str, Any]:
        """Return what the next update depends on, in plain numbers."""
        return {'schedule': type(self).__name__, **{name: getattr(self, name) for name in self.remembers}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state_dict()` was called.

        Raises:
            ValueError: the state is another schedule's.
        """
        if state.get('schedule') != type(self).__name__ or state.keys() != {'schedule', *self.remembers}:
            raise ValueError(message('schedule.other', schedule=type(self).__name__, other=state.get('schedule')))
        for name in self.remembers:
            setattr(self, name, state[name])


def one_of(name: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ValueError(message('schedule.choice', name=name, value=value, choices=', '.join(map(repr, choices))))
    return value


def between(name: str, value: float) -> float:
    if not 0 < value < 1:
        raise ValueError(message('optimizer.range', name=name, value=value, interval='(0, 1)'))
    return value


class StepLR(Schedule):
    """Multiply the rate by `gamma` every `step_size` epochs: lr * gamma ** (time // step_size)."""

    def __init__(self, step_size: int, gamma: float = 0.1, step_on: str = 'epoch') -> None:
        super().__init__(step_on)
        at_least(1, step_size, 'step_size')
        self.step_size, self.gamma = step_size, gamma

    def at(self, lr: float, time: int) -> float:
        return lr * self.gamma ** (time // self.step_size)


class MultiStepLR(Schedule):
    """Multiply the rate by `gamma` at each of the `milestones`: lr * gamma ** (how many are reached)."""

    def __init__(self, milestones: Sequence[int], gamma: float = 0.1, step_on: str = 'epoch') -> None:
        super().__init__(step_on)
        self.milestones, self.gamma = sorted(milestones), gamma

    def at(self, lr: float, time: int) -> float:
        return lr * self.gamma ** bisect_right(self.milestones, time)


class CosineAnnealingLR(Schedule):
    """Lower the rate along half a cosine, from lr to `eta_min` after `T_max` epochs, and keep it there.

    eta_min + (lr - eta_min) * (1 + cos(pi * time / T_max)) / 2

    Source: Loshchilov & Hutter, SGDR: stochastic gradient descent with warm restarts, 2017; without the restarts.
    """

    def __init__(self, T_max: int, eta_min: float = 0.0, step_on: str = 'epoch') -> None:
        super().__init__(step_on)
        at_least(1, T_max, 'T_max')
        self.T_max, self.eta_min = T_max, eta_min

    def at(self, lr: float, time: int) -> float:
        return along_cosine(lr, self.eta_min, time / self.T_max)


def along_cosine(start: float, end: float, part: float) -> float:
    """Return the rate when `part` of the way from `start` to `end` is gone, slowly at both ends."""
    return end + (start - end) * (1 + math.cos(math.pi * min(part, 1))) / 2


class OneCycleLR(Schedule):
    """Raise the rate from max_lr / div_factor to `max_lr`, then lower it far below where it began; cosines both ways.

    The optimiser's own rate plays no part, and its momentum is left alone.

    Args:
        total_steps: batches of the whole training; the rate is lowest in the last of them, and stays there.
        pct_start: the part of them in which the rate rises.
        div_factor: max_lr over the first rate.
        final_div_factor: the first rate over the last.

    Source: Smith & Topin, Super-convergence: very fast training of neural networks using large learning rates, 2018.
    """

    def __init__(self, max_lr: float, total_steps: int, pct_start: float = 0.3, div_factor: float = 25.0,
                 final_div_factor: float = 1e4, step_on: str = 'batch') -> None:
        super().__init__(step_on)
        at_least(2, total_steps, 'total_steps')
        self.max_lr, self.total_steps, self.pct_start = max_lr, total_steps, between('pct_start', pct_start)
        self.div_factor, self.final_div_factor = div_factor, final_div_factor

    def at(self, lr: float, time: int) -> float:
        first = self.max_lr / self.div_factor
        rising = max(self.pct_start * self.total_steps - 1, 0)
        if time < rising:
            return along_cosine(first, self.max_lr, time / rising)
        falling = self.total_steps - 1 - rising
        return along_cosine(self.max_lr, first / self.final_div_factor, (time - rising) / falling)


class WarmUpLR(Schedule):
    """Begin gently: multiply the rate by what rises from `start_factor` to 1 within `total_iters` batches.

    Args:
        schedule: what sets the rate that is multiplied; None leaves it constant. Its times count from the very start,
            warm-up included, and `update` is given what it needs beside `step`.

    Source: Goyal et al., Accurate, large minibatch SGD: training ImageNet in 1 hour, 2017, section 2.2.
    """

    def __init__(self, total_iters: int, schedule: Schedule | None = None, start_factor: float = 0.1,
                 step_on: str = 'batch') -> None:
        super().__init__(step_on)
        at_least(1, total_iters, 'total_iters')
        self.total_iters, self.schedule = total_iters, schedule
        self.start_factor = between('start_factor', start_factor)

    def at(self, lr: float, time: int) -> float:
        return lr * (self.start_factor + (1 - self.start_factor) * min(time / self.total_iters, 1))

    def rate(self, lr: float, step: int | None, epoch: int | None, metric: float | None) -> float:
        if self.schedule:
            lr = self.schedule.rate(lr, step, epoch, metric)
        return super().rate(lr, step, epoch, metric)

    def state_dict(self) -> dict[str, Any]:
        inner = {'inner': self.schedule.state_dict()} if self.schedule else {}
        return super().state_dict() | inner

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if self.schedule:
            self.schedule.load_state_dict(state.get('inner', {}))
        super().load_state_dict({name: value for name, value in state.items() if name != 'inner'})


class ReduceLROnPlateau(Schedule):
    """Multiply the rate by `factor` when the metric has not become better for more than `patience` epochs.

    Args:
        mode: 'min' if less is better (a loss), 'max' if more is (an accuracy).
        threshold: better means by more than this part of the best so far; NaN is never better.
        cooldown: epochs after a reduction in which nothing is held against the metric.
        min_lr: the rate is never reduced below it.
    """

    remembers = 'base_lr', 'best', 'bad', 'cooling', 'reductions'

    def __init__(self, mode: str = 'min', factor: float = 0.1, patience: int = 10, threshold: float = 1e-4,
                 cooldown: int = 0, min_lr: float = 0.0, step_on: str = 'epoch') -> None:
        super().__init__(step_on)
        at_least(0, patience, 'patience')
        self.mode, self.factor = one_of('mode', mode, ('min', 'max')), between('factor', factor)
        self.patience, self.threshold, self.cooldown, self.min_lr = patience, threshold, cooldown, min_lr
        self.best: float | None = None
        self.bad = self.cooling = self.reductions = 0

    def rate(self, lr: float, step: int | None, epoch: int | None, metric: float | None) -> float:
        if metric is not None:
            self.measure(float(metric))
        return max(lr * self.factor**self.reductions, self.min_lr)

    def measure(self, metric: float) -> None:
        """Remember whether this was better, and reduce when it has been worse too often."""
        sign = 1 if self.mode == 'max' else -1
        if sign * metric > sign * (-sign * math.inf if self.best is None else self.best * (1 + sign * self.threshold)):
            self.best, self.bad = metric, 0
        else:
            self.bad += 1
        if self.cooling:
            self.cooling, self.bad = self.cooling - 1, 0
        if self.bad > self.patience:
            self.reductions, self.cooling, self.bad = self.reductions + 1, self.cooldown, 0
