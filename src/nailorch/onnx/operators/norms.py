"""Normalisation and dropout: what computes otherwise while a network learns."""

from __future__ import annotations

from typing import Any

import numpy as np

import nailorch.functions as F
from nailorch import rng
from nailorch.config import Config, using_config
from nailorch.core import Variable, as_variable
from nailorch.functions.normalization import BatchNorm
from nailorch.functions.reduction import as_axes
from nailorch.onnx.operators.table import discrete, host, like, operator


@operator('BatchNormalization', weights=[1, 2], buffers=[3, 4])
def batch_norm_old(x: Any, scale: Any, shift: Any, mean: Any, var: Any, *, epsilon: float = 1e-5,
                   momentum: float = 0.9, spatial: int = 1) -> Any:
    if not spatial:
        raise ValueError('spatial=0 is not supported: no layer normalises every pixel over the batch')
    return batch_norm(x, scale, shift, mean, var, epsilon=epsilon, momentum=momentum, outputs=1)


@operator('BatchNormalization', since=14, weights=[1, 2], buffers=[3, 4])
def batch_norm(x: Any, scale: Any, shift: Any, mean: Any, var: Any, *, epsilon: float = 1e-5, momentum: float = 0.9,
               training_mode: int = 0, outputs: int = 1) -> Any:
    """By the batch's averages while training, as every batch norm here; else as the file says."""
    x = as_variable(x)
    if not training_mode:
        return F.batch_norm(x, scale, shift, mean, var, momentum, epsilon)
    if Config.train and outputs == 1:
        return F.batch_norm(x, scale, shift, mean, var, momentum, epsilon)
    function = BatchNorm(epsilon)
    y = function(x, scale, shift)
    running = [F.mul(old, momentum) + (1 - momentum) * now.astype(x.dtype)
               for old, now in ((mean, function.mean), (var, function.var))]
    return (y, *running)[:outputs] if outputs > 1 else y


@operator('InstanceNormalization', weights=[1, 2])
def instance_norm(x: Any, scale: Any, shift: Any, *, epsilon: float = 1e-5) -> Any:
    x = as_variable(x)
    return F.group_norm(x, x.shape[1], scale, shift, epsilon)


@operator('GroupNormalization', since=18, weights=[1, 2])
def group_norm_old(x: Any, scale: Any, shift: Any, *, epsilon: float = 1e-5, num_groups: int) -> Any:
    """At first ONNX had one scale for a whole group."""
    each = as_variable(x).shape[1] // num_groups

    def repeated(values: Any) -> Variable:
        return F.reshape(F.broadcast_to(F.reshape(values, (-1, 1)), (num_groups, each)), (-1,))

    return F.group_norm(x, num_groups, repeated(scale), repeated(shift), epsilon)


@operator('GroupNormalization', since=21, weights=[1, 2])
def group_norm(x: Any, scale: Any, shift: Any, *, epsilon: float = 1e-5, num_groups: int, stash_type: int = 1) -> Any:
    return F.group_norm(x, num_groups, scale, shift, epsilon)


@operator('LayerNormalization', weights=[1, 2])
def layer_norm(x: Any, scale: Any, shift: Any = None, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1,
               outputs: int = 1) -> Any:
    x, scale = as_variable(x), as_variable(scale)
    axes = tuple(range(axis % x.ndim, x.ndim))
    if outputs == 1 and scale.shape == x.shape[axes[0]:]:
        return F.layer_norm(x, scale, like(np.zeros(scale.shape), scale) if shift is None else shift, epsilon)
    mean = F.mean(x, axes, True)
    distance = x - mean
    deviation = F.sqrt(F.mean(F.square(distance), axes, True) + epsilon)
    y = distance / deviation * scale
    return (y if shift is None else y + shift, mean, F.div(1, deviation))[:outputs]


@operator('RMSNormalization', weights=[1])
def rms_norm(x: Any, scale: Any, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1) -> Any:
    x = as_variable(x)
    axes = tuple(range(axis % x.ndim, x.ndim))
    return x / F.sqrt(F.mean(F.square(x), axes, True) + epsilon) * scale


@operator('MeanVarianceNormalization')
def mean_variance(x: Any, *, axes: Any = (0, 2, 3)) -> Any:
    x = as_variable(x)
    distance = x - F.mean(x, axes, True)
    return distance / (F.sqrt(F.mean(F.square(distance), axes, True)) + 1e-9)


@operator('LpNormalization')
def lp_norm(x: Any, *, axis: int = -1, p: int = 2) -> Any:
    x = as_variable(x)
    along = as_axes(axis, x.ndim)
    size = F.sum(F.abs(x), along, True) if p == 1 else F.sqrt(F.sum(F.square(x), along, True))
    return x / F.where(discrete('Equal', size, like(0, x)), 1, size)


# dropout


@operator('Dropout')
def dropout_old(x: Any, *, ratio: float = 0.5, seed: int | None = None, outputs: int = 1) -> Any:
    return dropout(x, np.array(ratio), seed=seed, outputs=outputs)


@operator('Dropout', since=12, settings=[1, 2])
def dropout(x: Any, ratio: Any = None, training_mode: Any = None, *, seed: int | None = None, outputs: int = 1) -> Any:
    """In `test_mode()` as the file says, which is nothing as a rule; while training, as every dropout here."""
    x = as_variable(x)
    part = 0.5 if ratio is None else float(host(ratio).item())
    asked = training_mode is not None and bool(host(training_mode).item())
    if not (asked or Config.train) or part == 0:
        return (x, np.ones(x.shape, bool)) if outputs == 2 else x
    if outputs == 1 and seed is None:
        with using_config('train', True):
            return F.dropout(x, part)
    if part == 1:
        kept = np.zeros(x.shape, bool)
    else:
        draws = np.random.RandomState(seed) if seed is not None else rng.generator()
        kept = draws.uniform(0, 1, x.shape) >= part
    y = F.mul(x, like(kept / (1 - part) if part < 1 else kept, x))
    return (y, kept) if outputs == 2 else y


