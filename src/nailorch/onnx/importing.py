"""ONNX in: a file becomes a Network, whose layers are the file's nodes."""

from __future__ import annotations

import inspect
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nailorch.core import Buffer, Parameter
from nailorch.formats.files import check_file
from nailorch.graph import unique
from nailorch.messages import message
from nailorch.onnx.common import onnx_package
from nailorch.onnx.naming import clean, layer_name, role, short_name
from nailorch.onnx.network import Network, Operation, Step, operation
from nailorch.onnx.operators import Operator
from nailorch.onnx.reading import OLDEST, Reader, dtype_of, first_line, shape_of
from nailorch.onnx.tensors import External, attribute
from nailorch.shapes import Array

__all__ = ['load']


def load(source: str | os.PathLike[str] | bytes) -> Network:
    """Return the model in an ONNX file, with its weights.

    It is a model as any: it runs on batches of any size, differentiates, trains, and can be summarised, compiled and
    exported. Floats that the file brings for the nodes to compute with are its parameters, batch norm's averages its
    buffers; single numbers and what says how to compute stay as they are.

    Args:
        source: a path, or the file's content. Arrays beside a model are read from its own folder only.
    Raises:
        FileNotFoundError: there is no such file.
        ImportError: the package `onnx` is missing; the message says how to install it.
        ValueError: the file is no valid ONNX model, or needs an operator that is not known: all such are listed.
    """
    onnx = onnx_package()
    if isinstance(source, bytes | bytearray | memoryview):
        where, data, folder = 'bytes', bytes(source), None
    else:
        path = Path(source)
        check_file(path, '.onnx')
        where, data, folder = str(path), path.read_bytes(), path.parent
    try:
        proto = onnx.load_model_from_string(data)
    except Exception as error:  # each release of protobuf has errors of its own
        raise ValueError(message('onnx.read.invalid', where=where, reason=first_line(error))) from error
    del data
    return Importer(proto, where, External(folder)).network()


class Importer(Reader):
    """One file on its way to a Network.

    Attributes:
        things: the Parameter or Buffer that an array of the file became, by the array's name.
        names: those that are taken, of layers and of their parameters.
    """

    def __init__(self, proto: Any, where: str, external: External) -> None:
        super().__init__(proto, where, external)
        self.things: dict[str, Parameter] = {}
        self.names: set[str] = set()

    def network(self) -> Network:
        """Return the Network."""
        inputs = [value for value in self.graph.input if value.name not in self.constants]
        if not inputs:
            raise self.invalid('no inputs')
        self.follow_batch(inputs)
        self.give_each_norm_its_own()
        self.decide()
        net = Network(self.graph.name, [value.name for value in inputs], [shape_of(value) for value in inputs],
                      [value.name for value in self.graph.output], [dtype_of(value) for value in inputs])
        net.metadata = {entry.key: entry.value for entry in self.proto.metadata_props}
        self.names = set(dir(net))
        steps = [self.step(net, place) for place in range(len(self.calls))]
        steps += [self.given_back(net, name) for name in net.output_names if name in self.constants]
        net.steps = tuple(with_last_uses(steps, {*net.output_names}))
        self.check_order(net)
        return net

    def check_order(self, net: Network) -> None:
        """Raise ValueError if a node reads what is not there yet, as in a circle."""
        made = {*net.input_names}
        for step in net.steps:
            missing = [name for name in step.inputs if name not in made]
            if missing:
                raise self.invalid(f'{step.layer}: {missing[0]}')
            made |= {*step.outputs}
        if missing := [name for name in net.output_names if name not in made]:
            raise self.invalid(missing[0])

    # what learns

    def give_each_norm_its_own(self) -> None:
        """Copy arrays that several batch norms share: equal ones, before training, that the exporter wrote once.

        Norms that share all four, and these are different arrays, are one layer that is called several times.
        """
        uses = defaultdict[str, list[tuple[int, list[str]]]](list)
        for node, _ in self.calls:
            for place, name in enumerate(node.input):
                uses[name].append((place, list(node.input[1:5])))
        for index, (node, form) in enumerate(self.calls):
            four = list(node.input[1:5])
            for place in (1, 2, 3, 4) if form.buffers else ():
                name = four[place - 1]
                if name in self.constants and not all(use == (place, four) for use in uses[name]):
                    own = f'{layer_name(node, [], index)}.{role(form, place)}'
                    self.constants[own] = self.constants[name].copy()
                    node.input[place] = own

    def decide(self) -> None:
        """Make a Parameter of every array that is learned, and a Buffer of every running average."""
        uses = defaultdict[str, list[tuple[Operator, int]]](list)
        for node, form in self.calls:
            for place, name in enumerate(node.input):
                uses[name].append((form, place))
        for name, array in self.constants.items():
            if array.dtype.kind != 'f' or name in self.frozen or not uses[name]:
                continue
            if any(place in form.buffers for form, place in uses[name]):
                self.things[name] = Buffer(array, name)
            elif any(place in form.settings for form, place in uses[name]):
                continue
            elif array.size > 1 or any(place in form.weights for form, place in uses[name]):
                self.things[name] = Parameter(array, name)

    # layers

    def step(self, net: Network, place: int) -> Step:
        """Add a node to the Network as a layer, and return its call."""
        node, form = self.calls[place]
        options = {entry.name: attribute(entry, self.external) for entry in node.attribute}
        outside = [name for name in node.input if name and name not in self.constants]
        sources, own = self.sources(node)
        self.fits(node, form, options, sources)
        layer = operation(form.domain, form.name)
        layer.path = unique(self.names, layer_name(node, [name for name, _ in own], place))
        layer.prepare(self.opsets[form.domain], options, self.owned(layer, form, own, sources), len(node.output))
        setattr(net, layer.path, layer)
        return Step(layer.path, tuple(outside), tuple(node.output), ())

    def sources(self, node: Any) -> tuple[list[Any], list[tuple[str, int]]]:
        """Return where each input comes from, as `Operation.prepare` takes it, and (name, place) of those it owns."""
        sources: list[Any] = []
        own = []
        for place, name in enumerate(node.input):
            if name in self.things:
                own.append((name, place))
            sources.append(self.constants.get(name, ...) if name else None)
        return sources, own

    def owned(self, layer: Operation, form: Operator, own: Sequence[tuple[str, int]], sources: list[Any]) -> list[Any]:
        """Give a layer its parameters, called by the last part of their names; return the sources with these names."""
        for name, place in own:
            short = short_name(name, form, place)
            while hasattr(layer, short) or f'{layer.path}/{short}' in self.names:
                short += '_'
            self.names.add(f'{layer.path}/{short}')
            setattr(layer, short, self.things[name])
            sources[place] = short
        return sources

    def given_back(self, net: Network, name: str) -> Step:
        """Return a step for an output that is a constant."""
        layer = operation('', 'Identity')
        layer.path = unique(self.names, clean(name))
        layer.prepare(self.opsets.get('', OLDEST), {}, [self.constants[name]], 1)
        setattr(net, layer.path, layer)
        return Step(layer.path, (), (name,), ())

    def fits(self, node: Any, form: Operator, options: dict[str, Any], sources: Sequence[Any]) -> None:
        """Raise ValueError unless the operator takes these inputs and attributes."""
        strange = [name for name, value in options.items()
                   if name not in form.keywords or name == 'outputs' or value is None]
        if strange:
            raise ValueError(message('onnx.read.attribute', where=self.where, op=form.name, name=node.name,
                                     attributes=', '.join(strange)))
        asked = {'outputs': 1} if 'outputs' in form.keywords else {}
        try:
            inspect.signature(form.function).bind(*sources, **options, **asked)
        except TypeError as error:
            raise self.invalid(f'{form.name} {node.name}: {error}') from error

    # a batch that the file has fixed

    def follow_batch(self, inputs: Sequence[Any]) -> None:
        """Let shapes that begin with a fixed batch size follow the batch, where the array's own begins with it too."""
        batches = {(shape_of(value) or (None,))[0] for value in inputs}
        fixed = batches.pop() if len(batches) == 1 else None
        places = {'Reshape': 1, 'Resize': 3}  # of the new shape, among the inputs
        nodes = [(node, node.input[places[node.op_type]]) for node, _ in self.calls
                 if len(node.input) > places.get(node.op_type, len(node.input))]
        nodes = [(node, sizes) for node, sizes in nodes if sizes in self.constants
                 and node.input[0] not in self.constants and self.constants[sizes].ravel()[:1].tolist() == [fixed]]
        if fixed is None or not nodes:
            return
        try:
            inferred = onnx_package().shape_inference.infer_shapes(self.proto).graph
        except Exception as error:  # the C++ library's own
            raise self.invalid(first_line(error)) from error
        known = {value.name: shape_of(value) for value in (*inferred.value_info, *inferred.input)}
        for node, sizes in nodes:
            if (known.get(node.input[0]) or (None,))[0] == fixed:
                node.input[places[node.op_type]] = name = f'{sizes}:{node.output[0]}'
                self.constants[name] = self.without_batch(node, self.constants[sizes].ravel())
                self.frozen.add(name)

    def without_batch(self, node: Any, sizes: Array) -> Array:
        """Return the new shape of a reshape or resize with the batch left as it is, and let the node say that."""
        entries = {entry.name: entry for entry in node.attribute}
        if node.op_type == 'Reshape':
            zeros = entries.get('allowzero')
            if zeros is not None and zeros.i:
                if not sizes.all():
                    return sizes
                zeros.i = 0
            return np.concatenate([np.zeros(1, sizes.dtype), sizes[1:]])  # 0 means: as it was
        if 'axes' in entries:
            return sizes
        node.attribute.append(onnx_package().helper.make_attribute('axes', list(range(1, len(sizes)))))
        return sizes[1:]


def with_last_uses(steps: Sequence[Step], outputs: set[str]) -> Iterator[Step]:
    """Yield the steps, each with the names of what nothing needs afterwards."""
    last = {name: place for place, step in enumerate(steps) for name in (*step.outputs, *step.inputs)}
    for place, step in enumerate(steps):
        names = dict.fromkeys((*step.inputs, *step.outputs))
        done = tuple(name for name in names if name and last[name] == place and name not in outputs)
        yield Step(step.layer, step.inputs, step.outputs, done)
