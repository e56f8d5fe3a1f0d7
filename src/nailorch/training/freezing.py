"""Freezing: parts of a network that stay as they are while the rest learns."""

from __future__ import annotations

from typing import Any

from nailorch.messages import message

__all__ = ['freeze', 'frozen', 'train_again']


def freeze(model: Any, *parts: str) -> int:
    """Keep parts of a model as they are: no gradient is computed for them, and none flows through a frozen beginning.

    Their layers compute as in test mode from now on: batch norm normalises by its averages and does not move them, and
    dropout passes everything. `model.train()` would let them move again, a Trainer does not; their parameters stay
    frozen.

    Args:
        model: whose sizes are known: it was called, or has loaded weights.
        parts: names of layers or parameters as in the weights file, 'features' or 'features/0/conv'.
    Returns:
        how many numbers are frozen.
    Raises:
        ValueError: the model has no such part, its sizes are unknown, or nothing is left to learn.
    """
    names = [name for name, _ in model.named_parameters()]
    for part in parts:
        if not any(belongs(name, part) for name in names):
            tops = list(dict.fromkeys(name.partition('/')[0] for name in names))
            raise ValueError(message('freeze.unknown', part=part, model=type(model).__name__, names=', '.join(tops)))
    if all(any(belongs(name, part) for part in parts) for name in names):
        raise ValueError(message('freeze.all', model=type(model).__name__))
    chosen = {name: parameter for name, parameter in model.named_parameters()
              if any(belongs(name, part) for part in parts)}
    if unknown := [name for name, parameter in chosen.items() if parameter.data is None]:
        raise ValueError(message('freeze.sizes', model=type(model).__name__, names=', '.join(unknown)))
    for parameter in chosen.values():
        parameter.requires_grad = False
    for name, layer in model.named_layers():
        if any(belongs(name, part) for part in parts):
            layer.training = False
    return frozen(model)


def frozen(model: Any) -> int:
    """Return how many numbers of a model do not learn."""
    return sum(parameter.data.size for parameter in model.params() if not parameter.requires_grad)


def train_again(model: Any) -> None:
    """Let a model learn again after `model.eval()`, as `model.train()` does, but not what is frozen whole."""
    model.train()
    for _, layer in model.named_layers():
        learned = [parameter.requires_grad for parameter in layer.params()]
        if learned and not any(learned):
            layer.eval()


def belongs(name: str, part: str) -> bool:
    return name == part or name.startswith(part + '/')
