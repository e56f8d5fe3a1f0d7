"""Losses, and the steps of optimisers: graphs that train themselves hold them."""

from __future__ import annotations

from typing import Any

import nailorch.functions as F
from nailorch.core import as_variable
from nailorch.onnx.operators.table import PREVIEW, host, like, operator


@operator('SoftmaxCrossEntropyLoss', settings=[2])
def softmax_cross_entropy(scores: Any, labels: Any, weights: Any = None, *, ignore_index: int | None = None,
                          reduction: str = 'mean', outputs: int = 1) -> Any:
    weight = None if weights is None else host(weights)
    loss = F.softmax_cross_entropy(scores, labels, 0.0, ignore_index, weight, reduction)
    return (loss, F.log_softmax(scores)) if outputs == 2 else loss


@operator('NegativeLogLikelihoodLoss', settings=[2])
def nll_loss(log_p: Any, target: Any, weight: Any = None, *, ignore_index: int | None = None,
             reduction: str = 'mean') -> Any:
    return F.nll_loss(log_p, target, ignore_index, None if weight is None else host(weight), reduction)


# optimisers: learning rate, step, then all parameters, all gradients, all of each state


def shared(things: tuple[Any, ...], kinds: int) -> list[tuple[Any, ...]]:
    """Return (parameter, gradient, state ...) for each parameter, out of a list that has all of each kind together."""
    count = len(things) // kinds
    columns = [[as_variable(x) for x in things[kind * count:(kind + 1) * count]] for kind in range(kinds)]
    return list(zip(*columns, strict=True))


def in_order(results: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    return tuple(x for kind in zip(*results, strict=True) for x in kind)


@operator('Momentum', domain=PREVIEW)
def momentum(rate: Any, step: Any, *things: Any, alpha: float, beta: float, mode: str, norm_coefficient: float) -> Any:
    r, results = as_variable(rate), []
    for x, g, v in shared(things, 3):
        g = g + like(norm_coefficient, x) * x
        v = like(alpha, x) * v + like(beta if host(step).item() > 0 else 1, x) * g
        results.append((x - r * (g + like(alpha, x) * v if mode == 'nesterov' else v), v))
    return in_order(results)


@operator('Adam', domain=PREVIEW)
def adam(rate: Any, step: Any, *things: Any, alpha: float = 0.9, beta: float = 0.999, epsilon: float = 0.0,
         norm_coefficient: float = 0.0, norm_coefficient_post: float = 0.0) -> Any:
    t, r, results = host(step).item(), as_variable(rate), []
    for x, g, v, h in shared(things, 4):
        g = g + like(norm_coefficient, x) * x
        v = like(alpha, x) * v + like(1 - alpha, x) * g
        h = like(beta, x) * h + like(1 - beta, x) * g * g
        adjusted = r * like((1 - beta ** t) ** 0.5 / (1 - alpha ** t), x) if t > 0 else r
        x = x - adjusted * v / (F.sqrt(h) + like(epsilon, x))
        results.append((like(1 - norm_coefficient_post, x) * x, v, h))
    return in_order(results)


@operator('Adagrad', domain=PREVIEW)
def adagrad(rate: Any, step: Any, *things: Any, decay_factor: float = 0.0, epsilon: float = 0.0,
            norm_coefficient: float = 0.0) -> Any:
    r, results = as_variable(rate) / (1 + host(step).item() * decay_factor), []
    for x, g, h in shared(things, 3):
        g = g + like(norm_coefficient, x) * x
        h = h + g * g
        results.append((x - r * g / (F.sqrt(h) + like(epsilon, x)), h))
    return in_order(results)
