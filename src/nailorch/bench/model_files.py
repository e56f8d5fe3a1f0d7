"""A network of the benchmarks as a file that other runtimes read: ONNX, and ncnn's own format."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from nailorch.bench.workloads import Network, Operation
from nailorch.shapes import Array

__all__ = ['write_ncnn', 'write_onnx']

OPERATORS = {'conv': 'Conv', 'linear': 'Gemm', 'norm': 'BatchNormalization', 'relu': 'Relu', 'relu6': 'Clip',
             'add': 'Add', 'pool': 'MaxPool', 'average': 'GlobalAveragePool', 'flatten': 'Flatten',
             'dropout': 'Identity'}


def write_onnx(workload: Network, path: Path) -> None:
    """Write the network for the workload's batch. Dropout does nothing in inference."""
    onnx: Any = import_module('onnx')
    node, nodes, constants = onnx.helper.make_node, [], []

    def constant(name: str, array: Array) -> str:
        constants.append(onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    operations = workload.operations()
    names = {-1: 'x', len(operations) - 1: 'y'}
    for place, o in enumerate(operations):
        result = names.setdefault(place, f'{o.kind}{place}')
        arrays = [constant(f'{result}_{i}', array) for i, array in enumerate(o.arrays)]
        if o.kind == 'relu6':
            arrays = [constant(f'{result}_{limit}', np.array(limit, np.float32)) for limit in (0, 6)]
        nodes.append(node(OPERATORS[o.kind], [names[place] for place in o.inputs] + arrays, [result], **options(o)))
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [workload.batch, *shape])
            for name, shape in (('x', workload.image), ('y', (workload.classes,)))]
    graph = onnx.helper.make_graph(nodes, 'network', ends[:1], ends[1:], constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid('', 17)], ir_version=8)
    onnx.save(model, str(path))


def options(o: Operation) -> dict[str, Any]:
    """Return an operation's attributes in ONNX."""
    if o.kind == 'norm':
        return {'epsilon': o.eps}
    if o.kind not in ('conv', 'pool'):
        return {}
    (top, bottom), (left, right) = o.window.pad
    found = {'kernel_shape': [*o.window.kernel_size], 'strides': [*o.window.stride], 'pads': [top, left, bottom, right]}
    return found | {'group': o.groups} if o.kind == 'conv' else found


def write_ncnn(workload: Network, folder: Path) -> tuple[Path, Path]:
    """Write `folder`/net.param (text: one layer a line) and net.bin (weights), as its own converter and optimizer do.

    Batch norms are folded into the convolutions before them, and activations are theirs. A line is: type, name, how
    many inputs and outputs, their names, then number=value as ncnn's documentation counts them. Return both paths.
    """
    lines, blocks = ['Input x 0 1 x'], list[Array]()
    operations, same = joined(workload.operations())
    last = max(operations)
    users = Counter(same.get(place, place) for o, _ in operations.values() for place in o.inputs)
    seen, blobs = Counter[int](), len(lines)

    def name(place: int) -> str:
        return 'x' if place < 0 else 'y' if place == last else f'{operations[place][0].kind}{place}'

    def read(place: int) -> str:
        """Return the blob to read a result from: who is read more often gives each reader one."""
        place = same.get(place, place)
        seen[place] += 1
        return name(place) if users[place] == 1 else f'{name(place)}_{seen[place]}'

    for place, (o, activation) in operations.items():
        inputs, result = [read(i) for i in o.inputs], name(place)
        kind, numbers, arrays = ncnn_layer(o, activation)
        lines.append(' '.join([f'{kind} {result} {len(inputs)} 1', *inputs, result, *numbers]))
        blocks += arrays
        blobs += 1
        if users[place] > 1:
            copies = [f'{result}_{i + 1}' for i in range(users[place])]
            lines.append(' '.join([f'Split {result}_split 1 {len(copies)}', result, *copies]))
            blobs += len(copies)
    parameters, data = folder / 'net.param', folder / 'net.bin'
    parameters.write_text('\n'.join(['7767517', f'{len(lines)} {blobs}', *lines]) + '\n', 'utf-8')
    write_blocks(data, blocks)
    return parameters, data


def joined(operations: list[Operation]) -> tuple[dict[int, tuple[Operation, str]], dict[int, int]]:
    """Return operations with their activations, by the place of their results, and which results are which others'."""
    found, same = dict[int, tuple[Operation, str]](), dict[int, int]()
    users = Counter(place for o in operations for place in o.inputs)
    for place, o in enumerate(operations):
        first = same.get(o.inputs[0], o.inputs[0])
        before, activation = found.get(first, (None, ''))
        alone = before is not None and before.kind in ('conv', 'linear') and not activation and users[o.inputs[0]] == 1
        if o.kind in ('flatten', 'dropout'):
            same[place] = first
        elif o.kind in ('norm', 'relu', 'relu6') and alone:
            conv, _ = found.pop(first)
            found[place] = (folded(conv, o), '') if o.kind == 'norm' else (conv, o.kind)
        else:
            found[place] = o, ''
    return found, same


def folded(o: Operation, norm: Operation) -> Operation:
    """Return a convolution with the batch norm behind it in its weights."""
    W, *rest = o.arrays
    gamma, beta, mean, var = norm.arrays
    scale = gamma / np.sqrt(var + norm.eps)
    bias = beta + ((rest[0] if rest else 0) - mean) * scale
    return replace(o, arrays=(W * scale.reshape(-1, 1, 1, 1), bias))


def ncnn_layer(o: Operation, activation: str) -> tuple[str, list[str], list[Array]]:
    """Return a layer's type, its numbers, and the blocks of its weights."""
    (top, bottom), (left, right) = o.window.pad
    (KH, KW), (SH, SW) = o.window.kernel_size, o.window.stride
    assert (top, KH, SH) == (left, KW, SW) and (top, left) == (bottom, right)
    after = {'': [], 'relu': ['9=1'], 'relu6': ['9=3', '-23310=2,0,6']}[activation]
    if o.kind in ('conv', 'linear'):
        W, bias = o.arrays if len(o.arrays) == 2 else (o.arrays[0], np.zeros(len(o.arrays[0]), np.float32))
        W = np.ascontiguousarray(W.T if o.kind == 'linear' else W, np.float32)
        arrays = [np.zeros(1, np.uint32), W, bias.astype(np.float32)]  # 0: what follows is plain float32
        if o.kind == 'linear':
            return 'InnerProduct', [f'0={len(W)}', '1=1', f'2={W.size}', *after], arrays
        numbers = [f'0={len(W)}', f'1={KH}', *([f'3={SH}'] if SH > 1 else []), f'4={top}', '5=1', f'6={W.size}']
        if o.groups == 1:
            return 'Convolution', [*numbers, *after], arrays
        return 'ConvolutionDepthWise', [*numbers, f'7={o.groups}', *after], arrays
    return {
        'pool': ('Pooling', [f'0=0 1={KH} 2={SH} 3={top} 5=1'], []),
        'average': ('Pooling', ['0=1', '4=1'], []),
        'add': ('BinaryOp', ['0=0'], []),
        'relu': ('ReLU', [], []),
        'relu6': ('Clip', ['0=0', '1=6'], []),
    }[o.kind]


def write_blocks(path: Path, blocks: list[Array]) -> None:
    with path.open('wb') as file:
        for block in blocks:
            block.tofile(file)
