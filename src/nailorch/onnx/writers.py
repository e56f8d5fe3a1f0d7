"""How each Function is written in ONNX's operators: one entry of WRITERS for each.

A writer gets a Step, writes nodes with `step.add`, and returns the name of the result, or a list of names.
Source of the operators: https://onnx.ai/onnx/operators.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

import nailorch.functions as F
from nailorch.core import Function, as_array
from nailorch.functions.pools import counts
from nailorch.functions.reduction import as_axes
from nailorch.graph import Batch
from nailorch.kernels.reference import lowest
from nailorch.messages import message
from nailorch.onnx.indexing import write_item
from nailorch.onnx.operators.table import Discrete, find
from nailorch.onnx.steps import Step, Unwritable
from nailorch.shapes import Window

__all__ = ['WRITERS']

Writer: TypeAlias = Callable[[Step], 'str | list[str]']


def same(op: str, **attributes: Any) -> Writer:
    """Return the writer of a Function that one operator equals, inputs in the same order."""
    return lambda step: step.add(op, *step.xs(), **attributes)


# windows


def spread(window: Window) -> dict[str, Any]:
    """Return a window, its padding in pixels, as ONNX's attributes: pads are top, left, bottom, right."""
    (top, bottom), (left, right) = window.pad
    return {'kernel_shape': [*window.kernel_size], 'strides': [*window.stride], 'dilations': [*window.dilation],
            'pads': [top, left, bottom, right]}


def conv2d(step: Step) -> str:
    window = Window(step.inputs[1].shape[2:], step['stride'], step['pad'], step['dilation']).on(step.shape[2:])
    return step.add('Conv', *step.xs(), **spread(window), group=step['groups'])


def deconv2d(step: Step) -> str:
    """Write a transposed convolution; what the result has beyond the smallest size is `output_padding`."""
    size = step.outputs[0].shape[2:]
    window = Window(step.inputs[1].shape[2:], step['stride'], step['pad'], step['dilation']).on(size)
    least = [stride * (n - 1) + k - sum(pad) for n, k, stride, pad
             in zip(step.shape[2:], window.spread, window.stride, window.pad, strict=True)]
    beyond = [have - want for have, want in zip(size, least, strict=True)]
    return step.add('ConvTranspose', *step.xs(), **spread(window), group=step['groups'], output_padding=beyond)


def padded(step: Step, x: str, window: Window, value: float) -> str:
    """Write the window's padding as cells that hold `value`."""
    widths = [0, 0, *(pad[0] for pad in window.pad), 0, 0, *(pad[1] for pad in window.pad)]
    return step.add('Pad', x, step.ints(widths, 'pads'), step.number(value)) if any(widths) else x


def beyond_kernel(window: Window) -> bool:
    """Return whether the padding is as wide as the kernel, which runtimes refuse in pooling."""
    return any(max(pad) >= k for pad, k in zip(window.pad, window.kernel_size, strict=True))


def pooling(step: Step) -> str:
    """Write max pooling. `ceil_mode` becomes padding: versions of ONNX differ in what it means, not in that."""
    window = Window(step['kernel_size'], step['stride'], step['pad'], step['dilation'], step['ceil_mode'])
    window, x = window.on(step.shape[2:]), step.x()
    if beyond_kernel(window):
        x = padded(step, x, window, lowest(step.dtype))
        window = Window(window.kernel_size, window.stride, 0, window.dilation)
    return step.add('MaxPool', x, **spread(window))


def average_pooling(step: Step) -> str:
    """Write average pooling; where ONNX divides by another count than we do, by way of sums."""
    asked = Window(step['kernel_size'], step['stride'], step['pad'], step['dilation'], step['ceil_mode'])
    size, include = step.shape[2:], step['count_include_pad']
    window, count = asked.on(size), counts(asked, size, include)
    form = spread(window)
    if window.dilation != (1, 1):  # ONNX has it since opset 19; a sum over windows is a convolution with ones
        ones = step.number(np.ones((step.shape[1], 1, *window.kernel_size)))
        return step.add('Mul', step.add('Conv', step.x(), ones, **form, group=step.shape[1]), step.number(1 / count))
    del form['dilations']
    if not beyond_kernel(window) and np.array_equal(count, counts(window, size, include)):
        return step.add('AveragePool', step.x(), **form, count_include_pad=int(include))
    x = padded(step, step.x(), window, 0)
    y = step.add('AveragePool', x, **(form | {'pads': [0, 0, 0, 0]}))
    return step.add('Mul', y, step.number(math.prod(window.kernel_size) / count))


def im2col(step: Step) -> str:
    """Write im2col as two gathers, of rows and of columns: (N, C, KH, OH, KW, OW), its axes then in our order."""
    window = Window(step['kernel_size'], step['stride'], step['pad'], step['dilation']).on(step.shape[2:])
    places = window.outsize(step.shape[2:])
    y = padded(step, step.x(), window, 0)
    for axis in (1, 0):  # the last axis first: the other's place stays
        cells = np.arange(window.kernel_size[axis])[:, None] * window.dilation[axis]
        y = step.add('Gather', y, step.indices(cells + np.arange(places[axis]) * window.stride[axis]), axis=2 + axis)
    if not step['to_matrix']:
        return step.add('Transpose', y, perm=[0, 1, 2, 4, 3, 5])
    y = step.add('Transpose', y, perm=[0, 3, 5, 1, 2, 4])
    return step.add('Reshape', y, step.ints([-1, step.outputs[0].shape[1]], 'shape'))


def col2im(step: Step) -> str:
    if step.opset < 18:
        raise Unwritable(message('onnx.needs_opset', opset=18))
    _, C, H, W = step['input_shape']
    window = Window(step['kernel_size'], step['stride'], step['pad'], step['dilation']).on((H, W))
    cells, places = math.prod(window.kernel_size), math.prod(window.outsize((H, W)))
    if step['to_matrix']:
        x = step.add('Reshape', step.x(), step.ints([-1, places, C * cells], 'rows'))
        x = step.add('Transpose', x, perm=[0, 2, 1])
    else:
        x = step.add('Reshape', step.x(), step.ints([-1, C * cells, places], 'rows'))
    form = spread(window)
    del form['kernel_shape']
    return step.add('Col2Im', x, step.ints([H, W], 'size'), step.ints(window.kernel_size, 'kernel'), **form)


# dense layers


def linear(step: Step) -> str:
    if len(step.shape) == 2:
        return step.add('Gemm', *step.xs())
    x, W, *b = step.xs()
    y = step.add('MatMul', x, W)
    return step.add('Add', y, *b) if b else y


def matmul(step: Step) -> str:
    factors = []
    for index, turn in enumerate((step['turn_x'], step['turn_W'])):
        axes = [*range(len(step.inputs[index].shape))]
        perm = [*axes[:-2], axes[-1], axes[-2]]
        factors.append(step.add('Transpose', step.x(index), perm=perm) if turn else step.x(index))
    return step.add('MatMul', *factors)


def embed_id(step: Step) -> str:
    return step.add('Gather', step.x(1), step.x(0, np.int64), axis=0)


def fixed_batch_norm(step: Step) -> str:
    return step.add('BatchNormalization', *step.xs(), epsilon=float(step['eps']))


# shapes


def reshape(step: Step) -> str:
    return reshaped(step, step.x())


def reshaped(step: Step, x: str) -> str:
    """Write x, of the first input's shape, in the result's: 0 is a size that stays, -1 what is left."""
    before, after = step.shape, step.outputs[0].shape
    if 0 in after:
        if step.opset < 14:
            raise Unwritable(message('onnx.needs_opset', opset=14))
        return step.add('Reshape', x, step.ints(after, 'shape'), allowzero=1)
    stays = [isinstance(size, Batch) and before[place:place + 1] == (size,) for place, size in enumerate(after)]
    sizes = [0 if stay else size for stay, size in zip(stays, after, strict=True)]
    moving = [place for place, size in enumerate(sizes) if isinstance(size, Batch)]
    for place in moving[:1]:
        sizes[place] = -1
    return step.add('Reshape', x, step.ints(sizes, 'shape'))


def transpose(step: Step) -> str:
    axes = range(len(step.shape))[::-1] if step['axes'] is None else [axis % len(step.shape) for axis in step['axes']]
    return step.add('Transpose', step.x(), perm=[*axes])


def broadcast_to(step: Step) -> str:
    return step.add('Expand', step.x(), step.ints(step.outputs[0].shape, 'shape'))


def sum_to(step: Step) -> str:
    lead = len(step.shape) - len(step.outputs[0].shape)
    axes = [axis for axis, size in enumerate(step.shape)
            if axis < lead or (step.outputs[0].shape[axis - lead] == 1 and size != 1)]
    return reshaped(step, step.add('ReduceSum', step.x(), step.ints(axes, 'axes')) if axes else step.x())


def pad(step: Step) -> str:
    before, after = zip(*step['widths'], strict=True)
    return step.add('Pad', step.x(), step.ints([*before, *after], 'pads'), step.number(step['value']))


def concat(step: Step) -> str:
    return step.add('Concat', *step.xs(), axis=step['axis'])


def split(step: Step) -> list[str]:
    axis, count = step['axis'], len(step.outputs)
    sizes = step.ints([value.shape[axis] for value in step.outputs], 'sizes')
    names = step.add('Split', step.x(), sizes, axis=axis, results=count)
    return [names] if count == 1 else names


# reductions


def reduce(op: str, over_images: str = '') -> Writer:
    """Return the writer of a reduction; `over_images` is the operator for whole channels of images."""
    def writer(step: Step) -> str:
        axes, keep = as_axes(step['axis'], len(step.shape)), int(step['keepdims'])
        if over_images and keep and axes == (2, 3) and len(step.shape) == 4:
            return step.add(over_images, step.x())
        if not axes:  # to ONNX, none means all
            return step.add('Identity', step.x())
        if step.opset < 18 and op != 'ReduceSum':
            return step.add(op, step.x(), axes=[*axes], keepdims=keep)
        return step.add(op, step.x(), step.ints(axes, 'axes'), keepdims=keep)
    return writer


# element by element


def where(step: Step) -> str:
    return step.add('Where', step.x(0, np.bool_), step.x(1), step.x(2))


def clip(step: Step) -> str:
    limits = [step.number(limit) if limit is not None else '' for limit in (step['x_min'], step['x_max'])]
    return step.add('Clip', step.x(), *limits)


def relu6(step: Step) -> str:
    return step.add('Clip', step.x(), step.number(0), step.number(6))


def as_type(step: Step) -> str:
    return step.cast(step.raw(), step.dtype)


def leaky_relu(step: Step) -> str:
    return step.add('LeakyRelu', step.x(), alpha=float(step['slope']))


def elu(step: Step) -> str:
    return step.add('Elu', step.x(), alpha=float(step['alpha']))


def discrete(step: Step) -> str:
    """Write an operator without a derivative: it bears ONNX's name and attributes already."""
    if step['op'] == 'Wrap':  # ONNX too counts indices below 0 from the end
        return step.raw()
    if not find('', step['op'], step.opset) or step['op'] in ('OneHot', 'TopK', 'ReduceMin'):
        raise Unwritable(message('onnx.no_writer'))
    return step.add(step['op'], *map(step.raw, range(len(step.inputs))), **step['options'])


def silu(step: Step) -> str:
    return step.add('Mul', step.x(), step.add('Sigmoid', step.x()))


def hardswish(step: Step) -> str:
    if step.opset >= 14:
        return step.add('HardSwish', step.x())
    return step.add('Mul', step.x(), step.add('HardSigmoid', step.x(), alpha=1 / 6, beta=0.5))


def normal_cdf(step: Step) -> str:
    """Write (1 + erf(x / sqrt(2))) / 2."""
    inner = step.add('Erf', step.add('Div', step.x(), step.number(math.sqrt(2))))
    return step.add('Mul', step.add('Add', inner, step.number(1)), step.number(0.5))


def gelu(step: Step) -> str:
    if step['approximate'] == 'none':
        return step.add('Mul', step.x(), normal_cdf(step))
    x, half = step.x(), step.number(0.5)
    cube = step.add('Mul', step.add('Mul', x, x), step.add('Mul', x, step.number(0.044715)))
    inner = step.add('Mul', step.add('Add', x, cube), step.number(math.sqrt(2 / math.pi)))
    share = step.add('Mul', step.add('Add', step.add('Tanh', inner), step.number(1)), half)
    return step.add('Mul', x, share)


def softmax(op: str) -> Writer:
    return lambda step: step.add(op, step.x(), axis=step['axis'])


# losses


def mean_squared_error(step: Step) -> str:
    difference = step.add('Sub', *step.xs())
    return reduced(step, step.add('Mul', difference, difference))


def sigmoid_cross_entropy(step: Step) -> str:
    """Write log(1 + exp(x)) - x t."""
    x, t = step.xs()
    return reduced(step, step.add('Sub', step.add('Softplus', x), step.add('Mul', x, t)))


def reduced(step: Step, losses: str) -> str:
    """Write what is made of the losses of all elements: nothing, their sum, or a mean."""
    if step['reduction'] == 'none':
        return losses
    if step['reduction'] == 'mean':
        return step.add('ReduceMean', losses, keepdims=0)
    return divided(step, step.add('ReduceSum', losses, keepdims=0), (*step.shape, 1)[0])


def divided(step: Step, total: str, size: Any) -> str:
    """Write total / size; for the reduction 'sum', the total alone."""
    if step['reduction'] == 'sum':
        return total
    if isinstance(size, Batch):
        axes = step.ints([0], 'axes')
        return step.add('Div', total, step.cast(step.add('Squeeze', step.ints([size], 'N'), axes), step.dtype))
    return step.add('Div', total, step.number(size))


def softmax_cross_entropy(step: Step) -> str:
    if step['label_smoothing']:
        raise Unwritable(message('onnx.smoothing'))
    form = {} if step['ignore_index'] is None else {'ignore_index': step['ignore_index']}
    weight = [] if step['class_weight'] is None else [step.number(as_array(step['class_weight']))]
    how = 'sum' if step['reduction'] == 'batch' else step['reduction']
    y = step.add('SoftmaxCrossEntropyLoss', step.x(0), step.x(1, np.int64), *weight, reduction=how, **form)
    return divided(step, y, step.shape[0]) if step['reduction'] == 'batch' else y


WRITERS: dict[type[Function], Writer] = {
    F.Abs: same('Abs'),
    F.Add: same('Add'),
    F.AsType: as_type,
    Discrete: discrete,
    F.AveragePooling: average_pooling,
    F.BroadcastTo: broadcast_to,
    F.Clip: clip,
    F.Col2im: col2im,
    F.Concat: concat,
    F.Conv2d: conv2d,
    F.Cos: same('Cos'),
    F.Deconv2d: deconv2d,
    F.Div: same('Div'),
    F.ELU: elu,
    F.EmbedID: embed_id,
    F.Exp: same('Exp'),
    F.FixedBatchNorm: fixed_batch_norm,
    F.GELU: gelu,
    F.GetItem: write_item,
    F.HardSwish: hardswish,
    F.Im2col: im2col,
    F.LeakyReLU: leaky_relu,
    F.Linear: linear,
    F.Log: same('Log'),
    F.LogSoftmax: softmax('LogSoftmax'),
    F.MatMul: matmul,
    F.Max: reduce('ReduceMax', 'GlobalMaxPool'),
    F.Maximum: same('Max'),
    F.Mean: reduce('ReduceMean', 'GlobalAveragePool'),
    F.MeanSquaredError: mean_squared_error,
    F.Minimum: same('Min'),
    F.Mul: same('Mul'),
    F.Neg: same('Neg'),
    F.NormalCDF: normal_cdf,
    F.PReLU: same('PRelu'),
    F.Pad: pad,
    F.Pooling: pooling,
    F.Pow: same('Pow'),
    F.ReLU: same('Relu'),
    F.ReLU6: relu6,
    F.Reshape: reshape,
    F.SiLU: silu,
    F.SigmoidCrossEntropy: sigmoid_cross_entropy,
    F.Sigmoid: same('Sigmoid'),
    F.Sin: same('Sin'),
    F.Softmax: softmax('Softmax'),
    F.SoftmaxCrossEntropy: softmax_cross_entropy,
    F.Softplus: same('Softplus'),
    F.Split: split,
    F.Sqrt: same('Sqrt'),
    F.Sub: same('Sub'),
    F.Sum: reduce('ReduceSum'),
    F.SumTo: sum_to,
    F.Tanh: same('Tanh'),
    F.Transpose: transpose,
    F.Where: where,
}
