"""Linear, softmax and batch norm, explained."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import nailorch.functions as F
from nailorch.config import using_config
from nailorch.core import Variable
from nailorch.explaining.model import Explanation, Index, Read, Stage, Term, Words, added, written
from nailorch.explaining.windows import Lifted, attributes_of, averaged, gradient, lifted, only_x, summed, together
from nailorch.messages import message

__all__ = ['batch_norm', 'linear', 'softmax']


def linear(x: Any, W: Any, b: Any = None, of: str = 'y', gy: Any = None) -> Explanation:
    """Explain F.linear, or its gradient with respect to x, W or b."""
    x, W = lifted('x', x, 1, 2), lifted('W', W, 2, 2)
    given = [x, W] if b is None else [x, W, lifted('b', np.atleast_1d(b), 1, 1)]
    variables = [Variable(each.full) for each in given]
    y = F.linear(variables[0], variables[1], variables[2] if len(variables) > 2 else None)
    arrays = {each.name: each.given for each in given}
    IN, OUT = W.full.shape
    lead = x.given.shape[:-1]

    def stages(index: Index) -> list[Stage]:
        n, o = (0, *index)[-2:]
        products = [Term((x.read((n, i)), W.read((i, o)))) for i in range(IN)]
        return together([summed((f'row of x times column {o} of W', f'x 的行乘以 W 的第 {o} 列'), products)],
                        None if b is None else given[2].read((o,)))

    if of == 'y':
        rule = f'OUT = {OUT}, IN = {IN}: y = x @ W' + ('' if b is None else ' + b')
        return Explanation('linear', 'y', arrays, y.data.reshape(*lead, OUT), {}, ((rule, rule),), stages)
    names = [each.name for each in given]
    if of not in names:
        raise ValueError(message('explain.gradient', op='linear', names=', '.join(names), of=of))
    slopes, computed = gradient(y, variables[names.index(of)], gy)
    up = Lifted('gy', slopes.reshape(*lead, OUT), slopes)

    def of_input(index: Index) -> list[Stage]:
        n, i = (0, *index)[-2:]
        return [summed((f'gy times row {i} of W', f'gy 乘以 W 的第 {i} 行'),
                       [Term((up.read((n, o)), W.read((i, o)))) for o in range(OUT)])]

    def of_weight(index: Index) -> list[Stage]:
        i, o = index
        return [summed(('over the batch', '对批次求和'),
                       [Term((x.read((n, i)), up.read((n, o)))) for n in range(len(x.full))])]

    def of_bias(index: Index) -> list[Stage]:
        return [summed(('over the batch', '对批次求和'), [Term((up.read((n, index[0])),)) for n in range(len(x.full))])]

    rule = {'x': 'gx = gy @ W.T', 'W': 'gW = x.T @ gy', 'b': 'gb = sum of gy'}[of]
    return Explanation('linear', f'g{of}', arrays | {'gy': up.given}, computed.reshape(arrays[of].shape), {},
                       ((rule, rule),), {'x': of_input, 'W': of_weight, 'b': of_bias}[of])


def softmax(x: Any, axis: int = -1, of: str = 'y', gy: Any = None) -> Explanation:
    """Explain F.softmax, or its gradient."""
    x = lifted('x', x, 1, 4) if np.ndim(x) > 0 else lifted('x', x)
    full = x.given.astype(np.float64)
    axis %= full.ndim
    # F.softmax takes (N, C): one row of scores is a batch of one
    variable = Variable(full[None] if full.ndim == 1 else full)
    y = F.softmax(variable, 1 if full.ndim == 1 else axis)
    result = y.data.reshape(full.shape)

    def along(array: np.ndarray, name: str, index: Index) -> list[Read]:
        places = [(*index[:axis], i, *index[axis + 1:]) for i in range(full.shape[axis])]
        return [Read(name, place, float(array[place])) for place in places]

    def stages(index: Index) -> list[Stage]:
        scores = along(full, 'x', index)
        highest = max(read.value for read in scores)
        powers = [math.exp(read.value - highest) for read in scores]
        total = sum(powers)
        here = powers[index[axis]]
        listed = ', '.join(written(read.value) for read in scores)
        return [
            Stage(('the largest score, so that no power overflows', '最大的分数：减去它，指数就不会溢出'),
                  f'max({listed}) = {written(highest)}', highest,
                  tuple(Term((read,), read.value == highest) for read in scores)),
            Stage(('the powers of e, added', 'e 的各次幂相加'),
                  added([f'exp({written(read.value - highest)})' for read in scores], total), total),
            Stage(("this one's share", '它所占的份额'), f'{written(here)} / {written(total)} = {written(here / total)}',
                  here / total, (Term((scores[index[axis]],)),)),
        ]

    if of == 'y':
        rule = 'y = exp(x) / sum of exp(x): positive, and they add up to 1', 'y = exp(x) / Σ exp(x)：都为正，加起来是 1'
        return Explanation('softmax', 'y', {'x': x.given}, result, {'axis': axis}, (rule,), stages)
    only_x(of, 'softmax')
    slopes, computed = gradient(y, variable, gy)
    slopes = slopes.reshape(full.shape)

    def back(index: Index) -> list[Stage]:
        products = [Term(pair) for pair in zip(along(result, 'y', index), along(slopes, 'gy', index), strict=True)]
        mean = summed(('the average of gy, weighted by y', 'gy 以 y 为权的平均'), products)
        share, slope = products[index[axis]].reads
        value = share.value * (slope.value - mean.value)
        formula = f'{written(share.value)}·({written(slope.value)} − {written(mean.value, True)}) = {written(value)}'
        return [mean, Stage(('y times what gy has above it', 'y 乘以 gy 超出平均的部分'), formula, value,
                            (Term((share, slope)),))]

    rule = 'gx = y · (gy − sum of y·gy)', 'gx = y · (gy − Σ y·gy)'
    return Explanation('softmax', 'gx', {'x': x.given, 'y': result, 'gy': slopes}, computed.reshape(full.shape),
                       {'axis': axis}, (rule,), back)


def batch_norm(x: Any, gamma: Any = None, beta: Any = None, eps: float = 2e-5, of: str = 'y',
               gy: Any = None) -> Explanation:
    """Explain F.batch_norm as it trains, or its gradient with respect to x, gamma or beta."""
    x = lifted('x', x, 2, 4) if np.ndim(x) != 3 else lifted('x', x, 4, 4)
    full = x.given.astype(np.float64)
    C = full.shape[1]
    scales = {'gamma': np.ones(C) if gamma is None else np.asarray(gamma, np.float64),
              'beta': np.zeros(C) if beta is None else np.asarray(beta, np.float64)}
    variables = {'x': Variable(full)} | {name: Variable(array) for name, array in scales.items()}
    with using_config('train', True):
        y = F.batch_norm(variables['x'], variables['gamma'], variables['beta'], np.zeros(C), np.ones(C), eps=eps)
    arrays = {'x': x.given, **scales}
    attributes = attributes_of(eps=eps)

    def channel_of(array: np.ndarray, name: str, c: int) -> list[Read]:
        places = [place for place in np.ndindex(*array.shape) if place[1] == c]
        return [Read(name, place, float(array[place])) for place in places]

    def measured(c: int) -> tuple[list[Stage], float, float]:
        """Return the stages up to mean and standard deviation of a channel, and the two."""
        reads = channel_of(full, 'x', c)
        n = len(reads)
        mean = sum(read.value for read in reads) / n
        variance = sum((read.value - mean) ** 2 for read in reads) / n
        squares = [f'{written(read.value - mean, True)}²' for read in reads]
        deviation = math.sqrt(variance + eps)
        return [
            averaged(('the mean of the channel', '该通道的均值'), [Term((read,)) for read in reads]),
            Stage(('its variance', '方差'), added(squares, variance, f'({{}}) / {n}'), variance),
            Stage(('its standard deviation', '标准差'),
                  f'sqrt({written(variance)} + {written(eps)}) = {written(deviation)}', deviation),
        ], mean, deviation

    def stages(index: Index) -> list[Stage]:
        c = index[1]
        found, mean, deviation = measured(c)
        value = float(full[index])
        normal = (value - mean) / deviation
        scale, shift = float(scales['gamma'][c]), float(scales['beta'][c])
        here = Read('x', index, value)
        return [
            *found,
            Stage(('normalised', '标准化'),
                  f'({written(value)} − {written(mean, True)}) / {written(deviation)} = {written(normal)}', normal,
                  (Term((here,)),)),
            Stage(('scaled and shifted', '缩放并平移'),
                  f'{written(scale)}·{written(normal, True)} + {written(shift, True)} = '
                  f'{written(scale * normal + shift)}', scale * normal + shift,
                  (Term((Read('gamma', (c,), scale), )), Term((Read('beta', (c,), shift),)))),
        ]

    if of == 'y':
        rule = 'y = gamma · (x − mean) / sqrt(var + eps) + beta, every channel by its own mean and variance'
        chinese = 'y = gamma · (x − 均值) / sqrt(方差 + eps) + beta，每个通道用自己的均值和方差'
        return Explanation('batch_norm', 'y', arrays, y.data, attributes, ((rule, chinese),), stages)
    if of not in variables:
        raise ValueError(message('explain.gradient', op='batch_norm', names=', '.join(variables), of=of))
    slopes, computed = gradient(y, variables[of], gy)
    normals = np.empty_like(full)
    for c in range(C):
        _, mean, deviation = measured(c)
        normals[:, c] = (full[:, c] - mean) / deviation

    def pairs(c: int) -> list[Term]:
        return [Term(both) for both in zip(channel_of(slopes, 'gy', c), channel_of(normals, 'x̂', c), strict=True)]

    def of_gamma(index: Index) -> list[Stage]:
        title = 'gy times the normalised x, over the channel', 'gy 乘以标准化后的 x，对整个通道求和'
        return [summed(title, pairs(index[0]))]

    def of_beta(index: Index) -> list[Stage]:
        return [summed(('gy over the channel', 'gy 对整个通道求和'),
                       [Term((read,)) for read in channel_of(slopes, 'gy', index[0])])]

    def of_input(index: Index) -> list[Stage]:
        c = index[1]
        *_, deviation = measured(c)
        products = pairs(c)
        mean = averaged(('the mean of gy', 'gy 的均值'), [Term((term.reads[0],)) for term in products])
        tilt = averaged(('the mean of gy times the normalised x', 'gy 乘以标准化后的 x 的均值'), products)
        slope, normal, scale = float(slopes[index]), float(normals[index]), float(scales['gamma'][c])
        value = scale / deviation * (slope - mean.value - normal * tilt.value)
        formula = (f'{written(scale)}/{written(deviation)} · ({written(slope)} − {written(mean.value, True)} − '
                   f'{written(normal, True)}·{written(tilt.value, True)}) = {written(value)}')
        return [mean, tilt, Stage(('what is left of gy', 'gy 剩下的部分'), formula, value,
                                  (Term((Read('gy', index, slope),)),))]

    rules: dict[str, Words] = {
        'x': ('gx = gamma / std · (gy − mean of gy − x̂ · mean of gy·x̂)',
              'gx = gamma / 标准差 · (gy − gy 的均值 − x̂ · (gy·x̂ 的均值))'),
        'gamma': ('ggamma = sum of gy · x̂', 'ggamma = Σ gy · x̂'),
        'beta': ('gbeta = sum of gy', 'gbeta = Σ gy'),
    }
    arrays |= {'x̂': normals, 'gy': slopes}
    return Explanation('batch_norm', f'g{of}', arrays, computed, attributes, (rules[of],),
                       {'x': of_input, 'gamma': of_gamma, 'beta': of_beta}[of])
