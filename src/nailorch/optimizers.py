"""Optimisers: how a step along the gradients changes the parameters.

    optimizer = Adam().setup(net)
    loss.backward()
    optimizer.update()

One update goes over all parameters at once, in place: whoever holds `p.data` sees the new numbers. Parameters without
a gradient are left alone. What an optimiser keeps beside a parameter (a velocity, running averages) is at least
float32, so that float16 parameters learn too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from nailorch import kernels
from nailorch.core import Parameter, Variable
from nailorch.hints import OPTIMIZER, Checked, missing
from nailorch.messages import message
from nailorch.shapes import Array

__all__ = ['SGD', 'AdaDelta', 'AdaGrad', 'Adam', 'AdamW', 'ClipGrad', 'FreezeParam', 'Momentum', 'MomentumSGD',
           'Optimizer', 'RMSprop', 'WeightDecay']

FLOAT = np.dtype(np.float32)
Hook = Callable[[list[Parameter]], None]
Self = TypeVar('Self', bound='Optimizer')


class Optimizer(Checked):
    """What all optimisers share. One of your own names what it keeps and its settings, and writes `move`.

    Example:
        >>> class Sign(Optimizer):
        ...     def move(self, params, grads, steps):
        ...         for p, g in zip(params, grads):
        ...             p -= self.lr * np.sign(g)
    """

    keeps: ClassVar[tuple[str, ...]] = ()  # the arrays kept beside each parameter: move's last arguments
    settings: ClassVar[tuple[str, ...]] = ('lr',)  # the attributes that are saved with them

    if not TYPE_CHECKING:
        def __getattr__(self, name: str) -> Any:
            raise missing(self, name, OPTIMIZER)

    def __init__(self, lr: float = 0.01) -> None:
        self.lr = lr
        self.target: Any = None
        self.hooks: list[Hook] = []
        self.steps: dict[str, int] = {}  # how often each parameter was updated, by its name
        self.kept: dict[str, dict[str, Array]] = {kind: {} for kind in self.keeps}

    @property
    def lr(self) -> float:
        """The learning rate, which may be set at any time."""
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        self._lr = checked('lr', value)

    def setup(self: Self, target: Any) -> Self:
        """Take charge of the parameters of `target`, a layer or model; return self.

        Raises:
            TypeError: it owns no parameters by name; a list of parameters does not.
        """
        if not hasattr(target, 'named_parameters'):
            raise TypeError(message('optimizer.target', optimizer=type(self).__name__, kind=type(target).__name__))
        if target is not self.target:
            self.steps, self.kept = {}, {kind: {} for kind in self.keeps}
        self.target = target
        return self

    def add_hook(self, hook: Hook) -> None:
        """Call `hook(params)` before each update, with the parameters that have a gradient.

        A hook may replace `p.grad`, or set it to None so that this update skips p. That holds for the update alone:
        afterwards `p.grad` is again what `backward()` left.
        """
        self.hooks.append(hook)

    def update(self) -> None:
        """Change every parameter that has a gradient; tied ones once."""
        named = {name: p for name, p in self.parameters().items() if p.data is not None and p.requires_grad}
        given = [(p, p.grad) for p in named.values() if p.grad is not None]
        try:
            for hook in self.hooks:
                hook([p for p, _ in given])
            arrays = {name: (p.data, p.grad.data) for name, p in named.items() if p.grad is not None}
            for name, (data, gradient) in arrays.items():
                self.prepare(name, data, gradient)
            kept = [[self.kept[kind][name] for name in arrays] for kind in self.keeps]
            self.move([data for data, _ in arrays.values()], [gradient for _, gradient in arrays.values()],
                      [self.steps[name] for name in arrays], *kept)
        finally:
            for p, grad in given:
                p.grad = grad

    def move(self, params: list[Array], grads: list[Array], steps: list[int], *kept: list[Array]) -> None:
        """Write `params` and `kept` in place; all are lists in one order, `steps` counts the updates from 1."""
        raise NotImplementedError(f'{type(self).__name__}.move')

    def parameters(self) -> dict[str, Parameter]:
        """Return the target's parameters by name; tied ones have one name."""
        if self.target is None:
            raise ValueError(message('optimizer.setup', optimizer=type(self).__name__))
        return dict(self.target.named_parameters())

    def prepare(self, name: str, p: Array, grad: Array) -> None:
        """Count the update of p, and make what is kept beside it if it is new, or another array than before."""
        shape = p.shape
        if grad.shape != shape:
            raise ValueError(message('optimizer.gradient', optimizer=type(self).__name__, name=name, got=grad.shape,
                                     expected=shape))
        dtype = p.dtype if p.itemsize >= 4 else FLOAT
        known = [self.kept[kind].get(name) for kind in self.keeps]
        if any([array is None or array.shape != shape or array.dtype != dtype for array in known]):
            self.steps[name] = 0
            for kind in self.keeps:
                self.kept[kind][name] = np.zeros(shape, dtype)
        self.steps[name] = self.steps.get(name, 0) + 1

    # saving

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next update depends on; the arrays are the optimiser's own, so copy what you keep."""
        return {
            'optimizer': type(self).__name__,
            'settings': {name: getattr(self, name) for name in self.settings},
            'steps': dict(self.steps),
            **{kind: dict(arrays) for kind, arrays in self.kept.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state_dict()` was called, settings included. If anything does not fit, nothing is changed.

        Raises:
            ValueError: the state is another optimiser's or another model's.
        """
        params, this = self.parameters(), type(self).__name__
        if state.get('optimizer') != this:
            raise ValueError(message('optimizer.other', optimizer=this, other=state.get('optimizer')))
        if state.keys() != {'optimizer', 'settings', 'steps', *self.keeps} or \
                set(state['settings']) != set(self.settings) or \
                any(state[kind].keys() != state['steps'].keys() for kind in self.keeps):
            raise ValueError(message('optimizer.damaged', optimizer=this))
        if unknown := sorted(state['steps'].keys() - params.keys()):
            raise ValueError(message('optimizer.unknown', optimizer=this, names=', '.join(unknown)))
        for kind in self.keeps:
            for name, array in state[kind].items():
                if params[name].data is not None and array.shape != params[name].shape:
                    raise ValueError(message('optimizer.shape', optimizer=this, kind=kind, name=name, got=array.shape,
                                             expected=params[name].shape))
        for name in self.settings:
            setattr(self, name, state['settings'][name])
        self.steps = {name: int(count) for name, count in state['steps'].items()}
        self.kept = {kind: {name: np.array(array) for name, array in state[kind].items()} for kind in self.keeps}


def checked(name: str, value: float, below: float = math.inf) -> float:
    """Return a setting as a plain float, which no float32 array is widened by; it lies from 0 to `below`, exclusive."""
    if not isinstance(value, int | float | np.number):  # Adam(net.params()), as elsewhere
        raise TypeError(message('optimizer.number', name=name, kind=type(value).__name__))
    if not 0 <= value < below:
        raise ValueError(message('optimizer.range', name=name, value=value, interval=f'[0, {below})'))
    return float(value)


class SGD(Optimizer):
    """Go down the gradient: p -= lr * g."""

    def move(self, params: list[Array], grads: list[Array], steps: list[int], *kept: list[Array]) -> None:
        kernels.sgd_update(params, grads, self.lr)


class Momentum(Optimizer):
    """Roll down the gradient: v = momentum * v + g; p -= lr * v.

    Args:
        nesterov: look ahead, to where the velocity leads: p -= lr * (g + momentum * v).

    Source: Sutskever et al., On the importance of initialization and momentum in deep learning, 2013.
    """

    keeps = 'velocity',
    settings = 'lr', 'momentum', 'nesterov'

    def __init__(self, lr: float = 0.01, momentum: float = 0.9, nesterov: bool = False) -> None:
        super().__init__(lr)
        self.momentum, self.nesterov = checked('momentum', momentum, 1), nesterov

    def move(self, params: list[Array], grads: list[Array], steps: list[int], *kept: list[Array]) -> None:
        velocity, = kept
        kernels.momentum_update(params, grads, velocity, self.lr, self.momentum, self.nesterov)


MomentumSGD = Momentum


class AdaGrad(Optimizer):
    """Slow down where the ground was steep: s += g**2; p -= lr * g / (sqrt(s) + eps).

    Source: Duchi, Hazan & Singer, Adaptive subgradient methods, 2011.
    """

    keeps = 'square',
    settings = 'lr', 'eps'

    def __init__(self, lr: float = 0.001, eps: float = 1e-8) -> None:
        super().__init__(lr)
        self.eps = checked('eps', eps)

    def move(self, params: list[Array], grads: list[Array], steps: list[int], *kept: list[Array]) -> None:
        square, = kept
        kernels.adagrad_update(params, grads, square, self.lr, self.eps)


class AdaDelta(Optimizer):
    """Step as far as recent steps went, over how steep recent gradients were; there is no learning rate to choose.

    d = sqrt((c + eps) / (s + eps)) * g; p -= lr * d, with s and c the running averages of g**2 and d**2, and lr = 1 for
    schedules to vary.

    Source: Zeiler, ADADELTA: an adaptive learning rate method, 2012.
    """

    keeps = 'square', 'change'
    settings = 'lr', 'rho', 'eps'

    def __init__(self, rho: float = 0.95, eps: float = 1e-6, lr: float = 1.0) -> None:
        super().__init__(lr)
        self.rho, self.eps = checked('rho', rho, 1), checked('eps', eps)

    def move(self, params: list[Array], grads: list[Array], steps: list[int], *kept: list[Array]) -> None:
        square, change = kept
        kernels.adadelta_update(params, grads, square, change, self.lr, self.rho, self.eps)


class RMSprop(Optimizer):
    """Slow down where the ground has lately been steep: p -= lr * g / (sqrt(s) + eps), s the running average of g**2.

    Source: Tieleman & Hinton, lecture 6.5 of Neural networks for machine learning, 2012.
    """

    keeps = 'square',
    settings = 'lr', 'rho', 'eps'

    def __init__(self, lr: float = 0.01, rho: float = 0.99, eps: float = 1e-8) -> None:
        super().__init__(lr)
        self.rho, self.eps = checked('rho', rho, 1), checked('eps', eps)

    def move(self, params: list[Array], grads: list[Array], steps: list[int], *kept: list[Array]) -> None:
        square, = kept
        kernels.rmsprop_update(params, grads, square, self.lr, self.rho, self.eps)


class Adam(Optimizer):
    """Roll, and slow down where it has lately been steep: p -= alpha * m / (sqrt(s) + eps).

    m and s are the running averages of g and g**2. Both begin at 0; dividing by 1 - beta**t takes that out again.

    Args:
        alpha: the learning rate, called `lr` too.

    Source: Kingma & Ba, Adam: a method for stochastic optimization, 2015, algorithm 1.
    """

    keeps = 'mean', 'square'
    settings: ClassVar[tuple[str, ...]] = 'lr', 'beta1', 'beta2', 'eps'
    weight_decay = 0.0

    def __init__(self, alpha: float = 0.001, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8) -> None:
        super().__init__(alpha)
        self.beta1, self.beta2, self.eps = checked('beta1', beta1, 1), checked('beta2', beta2, 1), checked('eps', eps)

    @property
    def alpha(self) -> float:
        """The learning rate."""
        return self.lr

    @alpha.setter
    def alpha(self, value: float) -> None:
        self.lr = value

    def move(self, params: list[Array], grads: list[Array], steps: list[int], *kept: list[Array]) -> None:
        mean, square = kept
        kernels.adam_update(params, grads, mean, square, steps, self.lr, self.beta1, self.beta2, self.eps,
                            self.weight_decay)


class AdamW(Adam):
    """Adam, and beside it p -= alpha * weight_decay * p: the decay is no part of the gradient, so nothing scales it.

    Source: Loshchilov & Hutter, Decoupled weight decay regularization, 2019.
    """

    settings = *Adam.settings, 'weight_decay'

    def __init__(self, alpha: float = 0.001, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8,
                 weight_decay: float = 0.01) -> None:
        super().__init__(alpha, beta1, beta2, eps)
        self.weight_decay = checked('weight_decay', weight_decay)


# hooks: `optimizer.add_hook(WeightDecay(1e-4))`


class WeightDecay:
    """Pull every parameter towards 0: its gradient becomes g + rate * p, that of the loss + rate / 2 * sum(p**2)."""

    def __init__(self, rate: float) -> None:
        self.rate = checked('rate', rate)

    def __call__(self, params: list[Parameter]) -> None:
        for p in params:
            if p.grad is not None:
                p.grad = Variable(p.grad.data + self.rate * p.data, requires_grad=False)


class ClipGrad:
    """Scale all gradients alike, where together they are longer than `max_norm`.

    Raises:
        FloatingPointError: a gradient is NaN or infinite: no scale helps. No parameter was changed.
    """

    def __init__(self, max_norm: float) -> None:
        self.max_norm = checked('max_norm', max_norm)

    def __call__(self, params: list[Parameter]) -> None:
        with_grad = [(p, p.grad.data) for p in params if p.grad is not None]
        squares = [float(np.einsum('i,i->', g.ravel(), g.ravel(), dtype=np.float64)) for _, g in with_grad]
        norm = math.sqrt(sum(squares))
        if not math.isfinite(norm):
            p = next(p for (p, _), square in zip(with_grad, squares, strict=True) if not math.isfinite(square))
            raise FloatingPointError(message('clip.norm', norm=norm, name=p.name or 'Parameter', shape=p.shape))
        if norm > self.max_norm:
            for p, g in with_grad:
                p.grad = Variable(g * (self.max_norm / norm), requires_grad=False)


class FreezeParam:
    """Leave the parameters of some layers as they are; add it before hooks that look at all gradients together.

    Args:
        layers: layers, models and single Parameters.
    """

    def __init__(self, *layers: Any) -> None:
        self.layers = layers

    def __call__(self, params: list[Parameter]) -> None:
        for layer in self.layers:
            for p in [layer] if isinstance(layer, Parameter) else layer.params():
                p.grad = None
