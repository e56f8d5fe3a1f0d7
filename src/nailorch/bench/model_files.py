"""A network of the benchmarks as a file that other runtimes read: ONNX, and ncnn's own format."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from nailorch.bench.workloads import Network
from nailorch.shapes import Array

__all__ = ['write_ncnn', 'write_onnx']


def write_onnx(workload: Network, path: Path) -> None:
    """Write the network for the workload's batch. Dropout does nothing in inference and is left out."""
    onnx: Any = import_module('onnx')
    node, nodes, constants = onnx.helper.make_node, [], []
    weights, last = iter(workload.weights()), 'x'
    operators = {'conv': 'Conv', 'linear': 'Gemm', 'relu': 'Relu', 'pool': 'MaxPool', 'flatten': 'Flatten'}
    steps = [step for step in workload.steps if step[0] != 'dropout']
    for index, (kind, size) in enumerate(steps):
        result = 'y' if index == len(steps) - 1 else f'{kind}{index}'
        inputs = [last]
        if kind in ('conv', 'linear'):
            for name, array in zip('Wb', (next(weights), next(weights)), strict=True):
                inputs.append(f'{result}_{name}')
                constants.append(onnx.numpy_helper.from_array(array, inputs[-1]))
        options: dict[str, Any] = {
            'conv': {'kernel_shape': [3, 3], 'pads': [1, 1, 1, 1]},
            'pool': {'kernel_shape': [size, size], 'strides': [size, size]},
        }.get(kind, {})
        nodes.append(node(operators[kind], inputs, [result], **options))
        last = result
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [workload.batch, *shape])
            for name, shape in (('x', workload.image), ('y', (workload.steps[-1][1],)))]
    graph = onnx.helper.make_graph(nodes, 'network', ends[:1], ends[1:], constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid('', 17)], ir_version=8)
    onnx.save(model, str(path))


def write_ncnn(workload: Network, folder: Path) -> tuple[Path, Path]:
    """Write `folder`/net.param (text: one layer a line) and net.bin (weights), ReLU fused, as its own converter does.

    A line is: type, name, how many inputs and outputs, their names, then number=value as ncnn's documentation counts
    them. Return both paths.
    """
    weights, lines, blocks, last = iter(workload.weights()), ['Input x 0 1 x'], [], 'x'
    steps = [(kind, size) for kind, size in workload.steps if kind not in ('dropout', 'flatten')]
    following = [kind for kind, _ in steps[1:]] + ['']
    for index, ((kind, size), then) in enumerate(zip(steps, following, strict=True)):
        result = 'y' if index == len(steps) - 1 else f'{kind}{index}'
        if kind == 'relu':
            continue
        here = f'{result} 1 1 {last} {result}'
        if kind == 'pool':
            lines.append(f'Pooling {here} 0=0 1={size} 2={size}')
        else:
            W, b = next(weights), next(weights)
            fused = int(then == 'relu')
            if kind == 'conv':
                lines.append(f'Convolution {here} 0={size} 1=3 4=1 5=1 6={W.size} 9={fused}')
            else:
                lines.append(f'InnerProduct {here} 0={size} 1=1 2={W.size} 9={fused}')
                W = W.T
            blocks += [np.zeros(1, np.uint32), np.ascontiguousarray(W), b]  # 0: what follows is plain float32
        last = result
    parameters, data = folder / 'net.param', folder / 'net.bin'
    parameters.write_text('\n'.join(['7767517', f'{len(lines)} {len(lines)}', *lines]) + '\n', 'utf-8')
    write_blocks(data, blocks)
    return parameters, data


def write_blocks(path: Path, blocks: list[Array]) -> None:
    with path.open('wb') as file:
        for block in blocks:
            block.tofile(file)
