"""ONNX out: a Graph becomes a file, its weights included, that other runtimes read.

Every node is written by the entry for its Function in `writers.WRITERS`; this file keeps names, constants and types.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import nailorch
from nailorch.config import Config
from nailorch.formats.files import replace_file
from nailorch.graph import Batch, Graph, Value, trace, unique
from nailorch.messages import message
from nailorch.onnx.common import onnx_package
from nailorch.onnx.steps import Step, Unwritable
from nailorch.onnx.writers import WRITERS
from nailorch.shapes import Array, integer

__all__ = ['OLDEST_OPSET', 'OPSET', 'check_place', 'encode', 'export', 'model_proto']

OPSET = 18  # what PyTorch writes unless told otherwise: who reads its files reads these
OLDEST_OPSET = 13  # before it, axes and sizes stood elsewhere
LIMIT = 2**31 - 2**20  # a protobuf message ends at 2 GiB; names and shapes need some of it


def export(model: Any, path: str | os.PathLike[str], *examples: Any, opset: int = OPSET,
           metadata: Mapping[str, str] | None = None) -> Path:
    """Write what a model computes in test mode, weights included, to an ONNX file for batches of any size.

    Args:
        model: a Model or Layer, or whatever else `graph.trace` takes.
        path: the file, by custom *.onnx; an older one is replaced, whole or not at all.
        examples: for each input its shape without the batch axis, (C, H, W) or (features,), for numbers of
            `Config.dtype`; or an array (N, ...), whose type and sizes but the first are taken.
        opset: the version of ONNX's operators, 13 or newer.
        metadata: texts that the file is to bear, by name; `load` gives them back as `net.metadata`.
    Returns:
        the path.
    Raises:
        ImportError: the package `onnx` is not installed.
        OSError: the file cannot be written.
        ValueError: functions that ONNX has no form for, all of them named; weights of 2 GiB or more; an opset that the
            installed `onnx` does not know; or what `graph.trace` says of the model.
    Example:
        >>> import tempfile
        >>> net = nailorch.models.Sequential(nailorch.layers.Linear(10), nailorch.functions.relu)
        >>> export(net, tempfile.mkdtemp() + '/net.onnx', (784,)).name
        'net.onnx'

    Source: https://onnx.ai/onnx/operators.
    """
    path = Path(path)
    check_place(path)
    replace_file(path, [encode(model, *examples, opset=opset, metadata=metadata)])
    return path


def check_place(path: Path) -> None:
    """Raise OSError if no file can stand at `path`: before anything is computed that would be lost."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))


def encode(model: Any, *examples: Any, opset: int = OPSET, metadata: Mapping[str, str] | None = None) -> bytes:
    """Return what `export` writes."""
    onnx = onnx_package()
    if not examples:
        raise ValueError(message('onnx.example'))
    proto = model_proto(trace(model, *map(as_example, examples)), opset)
    onnx.helper.set_model_props(proto, dict(metadata or {}))
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ValueError(message('onnx.refused', error=' '.join(str(error).split()))) from error
    content: bytes = proto.SerializeToString()
    return content


def as_example(given: Any) -> Array:
    """Return an array as it is, and for a shape a batch of one: numbers from 0 to 1, all different."""
    if integer(given) or (isinstance(given, tuple | list) and given and all(map(integer, given))):
        shape = (given,) if integer(given) else tuple(given)
        return np.linspace(0, 1, int(np.prod(shape)), dtype=Config.dtype).reshape(1, *shape)
    return np.asarray(getattr(given, 'data', given))


def model_proto(graph: Graph, opset: int = OPSET) -> Any:
    """Return a Graph as an `onnx.ModelProto`.

    Raises:
        ValueError: as `export` says.
    """
    helper, newest = onnx_package().helper, onnx_package().defs.onnx_opset_version()
    if not integer(opset) or not OLDEST_OPSET <= opset <= newest:
        raise ValueError(message('onnx.opset', opset=opset, oldest=OLDEST_OPSET, newest=newest))
    size = sum(value.array.nbytes for value in graph.values if value.source is not None)
    if size > LIMIT:
        raise ValueError(message('onnx.large', model=graph.name, size=size / 2**30))
    opsets = [helper.make_opsetid('', opset)]
    return helper.make_model(
        File(graph, opset).proto(), opset_imports=opsets, ir_version=helper.find_min_ir_version_for(opsets),
        producer_name='nailorch', producer_version=nailorch.__version__, doc_string=repr(graph),
    )


class File:
    """A Graph on its way into a file.

    Attributes:
        nodes, constants: what is written so far, as `onnx` objects.
        names: of the Values, by id. A parameter is called as the model calls it, 'conv1/W'; what a node computes, as
            the node; the result 'y', or as the key of the dict that the model returns.
    """

    def __init__(self, graph: Graph, opset: int) -> None:
        self.graph, self.opset = graph, opset
        self.onnx = onnx_package()
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.taken: set[str] = set()
        self.names = {id: self.unique(graph.values[id].name) for id in graph.inputs}
        self.results = [self.unique(name) for name in result_names(graph)]
        for id, name in zip(graph.outputs, self.results, strict=True):
            if graph.values[id].kind == 'computed':
                self.names.setdefault(id, name)
        self.batch = ''

    def proto(self) -> Any:
        """Return the `onnx.GraphProto`.

        Raises:
            ValueError: some nodes cannot be written; the message names all of them.
        """
        graph, unwritable = self.graph, dict[str, list[str]]()
        for value in graph.values:
            if value.id not in self.names:
                self.names[value.id] = self.unique(value.name)
            if value.source is not None:
                self.write_numbers(value)
        for node in graph.nodes:
            values = graph.values
            step = Step(self, node, [values[id] for id in node.inputs], [values[id] for id in node.outputs])
            try:
                self.write_step(step, WRITERS.get(node.function))
            except Unwritable as error:
                unwritable.setdefault(f'{node.op}: {error}', []).append(node.name)
        if unwritable:
            lines = [f'{reason} ({", ".join(nodes[:3])}{", ..." if nodes[3:] else ""})'
                     for reason, nodes in unwritable.items()]
            raise ValueError(message('onnx.unwritable', model=graph.name, lines='; '.join(lines)))
        for id, name in zip(graph.outputs, self.results, strict=True):
            if self.names[id] != name:  # an input or a parameter, or what was returned before
                self.add('Identity', [self.names[id]], name)
        inner = [value for value in graph.values if value.kind == 'computed' and value.id not in graph.outputs]
        return self.onnx.helper.make_graph(
            self.nodes, graph.name, [self.described(graph.values[id], self.names[id]) for id in graph.inputs],
            [self.described(graph.values[id], name) for id, name in zip(graph.outputs, self.results, strict=True)],
            self.constants, value_info=[self.described(value, self.names[value.id]) for value in inner],
        )

    def write_step(self, step: Step, writer: Callable[[Step], Any] | None) -> None:
        if writer is None:
            raise Unwritable(message('onnx.no_writer'))
        before = len(self.nodes)
        written = writer(step)
        for name, value in zip([written] if isinstance(written, str) else written, step.outputs, strict=True):
            if not self.renamed(before, name, self.names[value.id]):
                self.add('Identity', [name], self.names[value.id])

    def renamed(self, before: int, name: str, final: str) -> bool:
        """Call what a node after the first `before` computes `final` in place of `name`, if there is such a node."""
        found = False
        for node in self.nodes[before:]:
            for names in node.input, node.output:
                for place, each in enumerate(names):
                    if each == name and (found or names is node.output):
                        names[place], found = final, True
        return found

    def write_numbers(self, value: Value) -> None:
        """Write a parameter or constant; one whose sizes follow the batch is one row, repeated."""
        name = self.names[value.id]
        if not any(isinstance(size, Batch) for size in value.shape):
            self.constants.append(self.onnx.numpy_helper.from_array(value.array, name))
            return
        row = self.constant(f'{name}/row', value.array)
        self.add('Expand', [row, self.sizes(f'{name}/shape', value.shape)], name)

    # names, nodes, constants

    def unique(self, name: str) -> str:
        """Return `name`, with a number behind it if the file has it already."""
        return unique(self.taken, name)

    def add(self, op: str, inputs: Sequence[str], *outputs: str, **attributes: Any) -> None:
        self.nodes.append(self.onnx.helper.make_node(op, inputs, outputs, outputs[0], **attributes))

    def constant(self, name: str, array: Any) -> str:
        """Write an array under `name`, and return what it is called."""
        name = self.unique(name)
        self.constants.append(self.onnx.numpy_helper.from_array(np.asarray(array), name))
        return name

    def sizes(self, name: str, shape: Sequence[Any]) -> str:
        """Write ints as a vector, computed from the input where they follow the batch, and return what it is called."""
        if not any(isinstance(size, Batch) for size in shape):
            return self.constant(name, np.array(shape, np.int64))
        parts = [self.multiple(f'{name}/{place}', size) if isinstance(size, Batch)
                 else self.constant(f'{name}/{place}', np.array([size], np.int64)) for place, size in enumerate(shape)]
        name = self.unique(name)
        self.add('Concat', parts, name, axis=0)
        return name

    def multiple(self, name: str, size: Batch) -> str:
        """Write a size that follows the batch, as a vector of one."""
        found = self.batch = self.batch or self.batch_size()
        for op, number, neutral in (('Mul', size.scale, 1), ('Add', size.offset, 0)):
            if number != neutral:
                result = self.unique(f'{name}/{op}')
                self.add(op, [found, self.constant(f'{result}/by', np.array([number], np.int64))], result)
                found = result
        return found

    def batch_size(self) -> str:
        """Write N, as a vector of one."""
        shape, N = self.unique('shape'), self.unique('N')
        self.add('Shape', [self.names[self.graph.inputs[0]]], shape)
        self.add('Gather', [shape, self.constant('first', np.array([0], np.int64))], N, axis=0)
        return N

    def code(self, dtype: Any) -> int:
        """Return ONNX's number for a dtype."""
        return int(self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def described(self, value: Value, name: str) -> Any:
        """Return name, type and shape; sizes that follow the batch are 'N', '2N'."""
        shape = [str(size) if isinstance(size, Batch) else size for size in value.shape]
        return self.onnx.helper.make_tensor_value_info(name, self.code(value.dtype), shape)


def result_names(graph: Graph) -> list[str]:
    """Return what the outputs are called: the keys of a dict; else 'y', or 'y0', 'y1'..."""
    if isinstance(graph.form, dict) and list(graph.form.values()) == list(range(len(graph.outputs))):
        return [str(key) for key in graph.form]
    return ['y'] if len(graph.outputs) == 1 else [f'y{place}' for place in range(len(graph.outputs))]
