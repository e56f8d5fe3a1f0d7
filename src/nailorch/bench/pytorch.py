"""PyTorch's part in the contest, in each of its ways to be fast on a CPU."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from nailorch.bench.ours import Runner, sample, told
from nailorch.bench.workloads import Convolution, Dense, Network, Operation, Workload
from nailorch.shapes import Array

__all__ = ['modes', 'prepare']


def modes(workload: Workload) -> list[str]:
    """Return the modes for this job: freezing is for inference; a gradient alone is one call, nothing to compile."""
    if workload.job == 'training':
        return ['NCHW', 'channels_last', 'compiled']
    if workload.job in ('inference', 'forward'):
        return ['NCHW', 'channels_last', 'jit-frozen', 'compiled+frozen']
    return ['NCHW', 'channels_last']


def prepare(workload: Workload, mode: str, threads: int) -> Runner:
    """Prepare a workload for one of `modes`. The conversion of weights and inputs to a memory format is not timed."""
    torch: Any = import_module('torch')
    torch.set_num_threads(threads)
    if isinstance(workload, Network):
        model, (x, t) = build(torch, workload), workload.inputs()
        images = in_format(torch, torch.from_numpy(x), mode)
        if workload.job == 'training':
            return training(torch, workload, model, images, torch.from_numpy(t), mode)
        return inference(torch, in_format(torch, model, mode).eval(), images, mode)
    assert isinstance(workload, Convolution | Dense)
    if workload.job == 'forward':
        x, W, _ = map(torch.from_numpy, workload.arrays())
        layer = in_format(torch, build_layer(torch, workload, W), mode).eval()
        return inference(torch, layer, in_format(torch, x, mode), mode)
    assert isinstance(workload, Convolution)
    call = gradient(torch, workload, mode)
    return Runner(lambda: {'result': call().numpy()}, call)


def in_format(torch: Any, value: Any, mode: str) -> Any:
    """Return a tensor of images or a module in the mode's memory format."""
    if mode == 'NCHW' or (isinstance(value, torch.Tensor) and value.dim() != 4):
        return value
    return value.to(memory_format=torch.channels_last)


def build(torch: Any, workload: Network) -> Any:
    """Return the network as a module of torch.nn's, with the workload's weights; its code is that of its graph."""
    operations = workload.operations()
    root, graph = torch.nn.Module(), torch.fx.Graph()
    users = Counter(place for o in operations for place in o.inputs)
    results = {-1: graph.placeholder('x')}
    for place, o in enumerate(operations):
        inputs = tuple(results[place] for place in o.inputs)
        if o.kind == 'add':
            alone = operations[o.inputs[0]].kind == 'norm' and users[o.inputs[0]] == 1  # then torchvision adds in place
            results[place] = graph.call_function(operator.iadd if alone else operator.add, inputs)
        else:
            root.add_module(f'{o.kind}{place}', module(torch, o))
            results[place] = graph.call_module(f'{o.kind}{place}', inputs)
    graph.output(results[len(operations) - 1])
    return torch.fx.GraphModule(root, graph)


def module(torch: Any, o: Operation) -> Any:
    """Return one operation as a module with its weights."""
    nn, w, (before, _) = torch.nn, o.window, o.window.pad[0]
    arrays = [np.ascontiguousarray(array.T if o.kind == 'linear' else array) for array in o.arrays]
    makers: dict[str, Callable[[], Any]] = {
        'conv': lambda: nn.Conv2d(arrays[0].shape[1] * o.groups, len(arrays[0]), w.kernel_size, w.stride, before,
                                  w.dilation, o.groups, bias=len(arrays) > 1),
        'linear': lambda: nn.Linear(arrays[0].shape[1], len(arrays[0])),
        'norm': lambda: nn.BatchNorm2d(len(arrays[0]), o.eps),
        'relu': lambda: nn.ReLU(inplace=True),
        'relu6': lambda: nn.ReLU6(inplace=True),
        'pool': lambda: nn.MaxPool2d(w.kernel_size, w.stride, before),
        'average': lambda: nn.AdaptiveAvgPool2d(1),
        'flatten': lambda: nn.Flatten(),
        'dropout': lambda: nn.Dropout(o.ratio),
    }
    with torch.device('meta'):  # no time is spent on first weights that are replaced at once
        made = makers[o.kind]()
    names = ('weight', 'bias', 'running_mean', 'running_var')
    for name, array in zip(names, arrays, strict=False):
        tensor = torch.from_numpy(array.copy())
        setattr(made, name, tensor if name.startswith('running') else nn.Parameter(tensor))
    if o.kind == 'norm':
        made.num_batches_tracked = torch.zeros((), dtype=torch.long)
    return made


def build_layer(torch: Any, workload: Convolution | Dense, W: Any) -> Any:
    if isinstance(workload, Dense):
        layer = torch.nn.Linear(workload.features, workload.outputs, bias=False)
        W = W.T.contiguous()
    else:
        w = workload
        layer = torch.nn.Conv2d(w.image[0], w.channels, w.kernel, w.stride, w.pad, w.dilation, w.groups, bias=False)
    layer.weight.data = W
    return layer


def inference(torch: Any, model: Any, images: Any, mode: str) -> Runner:
    with torch.no_grad():
        if mode == 'jit-frozen':
            # Freezing tells oneDNN to pack the weights once.
            model = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(model, images)))
        elif mode == 'compiled+frozen':
            inductor: Any = import_module('torch._inductor.config')
            inductor.freezing = True
            torch.compiler.reset()  # else, after eight layers, it would give up and run them eagerly
            model = torch.compile(model)

    def call() -> Any:
        with torch.no_grad():
            return model(images)

    return Runner(lambda: {'result': call().contiguous().numpy()}, call)


def training(torch: Any, workload: Network, model: Any, images: Any, t: Any, mode: str) -> Runner:
    model = in_format(torch, model, mode)
    # fused: one pass over each parameter, PyTorch's fastest.
    rule: Any = (torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9, fused=True)
                 if workload.optimizer == 'momentum' else torch.optim.Adam(model.parameters(), lr=0.001, fused=True))
    loss_of = torch.nn.functional.cross_entropy
    torch.compiler.reset()
    forward = torch.compile(model) if mode == 'compiled' else model

    def step() -> float:
        loss = loss_of(forward(images), t)
        rule.zero_grad()
        loss.backward()
        rule.step()
        return float(loss.detach())

    def switch_dropout(on: bool) -> None:
        for part in model.modules():
            if isinstance(part, torch.nn.Dropout):
                part.train(on)

    def check() -> dict[str, Array]:
        switch_dropout(False)  # it differs from one to the other: it is off while they are compared
        found = {'loss': np.array(step())}
        gradients = [parameter.grad.T if parameter.dim() == 2 else parameter.grad for parameter in model.parameters()]
        found |= told(workload, [sample(gradient.contiguous().numpy()) for gradient in gradients])
        with torch.no_grad():
            found['loss after the update'] = np.array(float(loss_of(model(images), t)))
        switch_dropout(True)
        return found

    model.train()
    return Runner(check, step)


def gradient(torch: Any, workload: Convolution, mode: str) -> Callable[[], Any]:
    """Return a call of the very function that autograd calls, for one of the two gradients."""
    x, W, gy = (in_format(torch, torch.from_numpy(array), mode) for array in workload.arrays())
    w = workload
    how = [w.stride] * 2, [w.pad] * 2, [w.dilation] * 2, False, [0, 0], w.groups
    wanted = [w.job == 'data-grad', w.job == 'weight-grad', False]
    which = wanted.index(True)
    backward = torch.ops.aten.convolution_backward

    def call() -> Any:
        with torch.no_grad():
            return backward(gy, x, W, None, *how, wanted)[which]

    return call
