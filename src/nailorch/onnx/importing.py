"""Reading an ONNX file: what stands in it is checked, and becomes a Network."""

from __future__ import annotations

import inspect
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from nailorch.core import Buffer, Parameter
from nailorch.messages import message
from nailorch.onnx.common import onnx_package
from nailorch.onnx.network import Network, Operation, Step, operation
from nailorch.onnx.operators import Operator, find
from nailorch.onnx.operators.table import OPTIONS
from nailorch.onnx.tensors import External, attribute, tensor
from nailorch.shapes import Array

__all__ = ['load']

OLDEST = 7  # before, attributes of the same names meant other things
MOST_NODES = 100_000  # of functions written out


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
        if not path.is_file():
            raise FileNotFoundError(message('file.missing', path=path))
        where, data, folder = str(path), path.read_bytes(), path.parent
    try:
        proto = onnx.load_model_from_string(data)
    except Exception as error:  # each release of protobuf has errors of its own
        raise ValueError(message('onnx.read.invalid', where=where, reason=first_line(error))) from error
    del data
    return Importer(proto, where, External(folder)).network()


def first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


class Importer:
    """One file on its way to a Network.

    Attributes:
        constants: every array that the file brings, by name.
        frozen: names of those that are never learned.
        things: the Parameter or Buffer that such an array became.
    """

    def __init__(self, proto: Any, where: str, external: External) -> None:
        self.where, self.external = where, external
        self.opsets = self.versions(proto)
        self.proto = self.without_functions(proto)
        self.graph = self.proto.graph
        self.check_names()
        self.nodes = self.needed()
        self.operators = self.known()
        self.constants: dict[str, Array] = {}
        self.frozen: set[str] = set()
        self.things: dict[str, Parameter] = {}
        self.names: set[str] = set()

    def invalid(self, reason: Any) -> ValueError:
        return ValueError(message('onnx.read.invalid', where=self.where, reason=reason))

    def versions(self, proto: Any) -> dict[str, int]:
        """Return the version of each domain's operators that the file was written for."""
        found = {domain_of(entry.domain): entry.version for entry in proto.opset_import}
        if not proto.graph.node or not found:
            raise self.invalid('no nodes, no opset')
        if found.get('', OLDEST) < OLDEST:
            raise ValueError(message('onnx.read.opset', where=self.where, opset=found[''], oldest=OLDEST))
        return found

    def check_names(self) -> None:
        """Raise ValueError if a name is no text: protobuf gives broken UTF-8 as bytes."""
        nodes = self.graph.node
        names = [name for node in nodes for name in (node.name, node.op_type, node.domain, *node.input, *node.output,
                                                     *(entry.name for entry in node.attribute))]
        things = *self.graph.initializer, *self.graph.input, *self.graph.output
        names += [self.graph.name, *self.opsets, *(thing.name for thing in things)]
        if not all(isinstance(name, str) for name in names):
            raise self.invalid('UTF-8')

    # what is to be computed

    def without_functions(self, proto: Any) -> Any:
        """Return the model with its own functions written out where they are called."""
        if not proto.functions:
            return proto
        calls = {(f.domain, f.name): [(domain_of(n.domain), n.op_type) for n in f.node] for f in proto.functions}
        sizes: dict[tuple[str, str], int] = {}

        def size(key: tuple[str, str], inside: tuple[tuple[str, str], ...] = ()) -> int:
            """Return how many nodes a call becomes; functions that call each other without end are an error."""
            if key not in calls:
                return 1
            if key in inside or len(inside) > 50:
                raise self.invalid(f'function {key[1]} calls itself')
            if key not in sizes:
                sizes[key] = 1 + sum(size(called, (*inside, key)) for called in calls[key])
            return sizes[key]

        if sum(size((domain_of(node.domain), node.op_type)) for node in proto.graph.node) > MOST_NODES:
            raise self.invalid(f'more than {MOST_NODES} nodes')
        from onnx import inliner
        try:
            flat = inliner.inline_local_functions(proto)
        except Exception as error:  # the inliner's own errors have no common class
            raise self.invalid(first_line(error)) from error
        self.opsets |= self.versions(flat)
        return flat

    def needed(self) -> list[Any]:
        """Return the nodes that lead to an output, in order."""
        wanted, nodes = {output.name for output in self.graph.output}, []
        for node in reversed(self.graph.node):
            if wanted.intersection(node.output):
                wanted.update(node.input)
                nodes.append(node)
        return nodes[::-1]

    def known(self) -> list[Operator | None]:
        """Return the nodes' operators; None for constants.

        Raises:
            ValueError: some are not known; the message lists them all.
        """
        found, unknown = list[Operator | None](), list[str]()
        for place, node in enumerate(self.nodes):
            domain = domain_of(node.domain)
            opset = self.opsets.get(domain, 0)
            if (domain, node.op_type) == ('', 'Constant'):
                found.append(None)
                continue
            form = find(domain, node.op_type, opset)
            found.append(form)
            if form is None:
                unknown.append(f'{domain or "ai.onnx"}.{node.op_type} (opset {opset}): {node.name or f"node {place}"}')
        if unknown:
            raise ValueError(message('onnx.read.unknown', where=self.where, count=len(unknown),
                                     lines='\n  '.join(unknown)))
        return found

    def check(self) -> None:
        """Let the package onnx check the model: order, names, types, attributes."""
        try:
            onnx_package().checker.check_model(self.proto)
        except Exception as error:  # ValidationError, or protobuf's
            raise self.invalid(first_line(error)) from error

    # what is brought

    def read_constants(self) -> None:
        """Read all arrays; those outside of the file are taken out of it, as the checker would look for them."""
        onnx = onnx_package()
        beside = [init for init in self.graph.initializer if init.data_location == onnx.TensorProto.EXTERNAL]
        for init in self.graph.initializer:
            self.constants[init.name] = tensor(init, self.external)
        if self.graph.sparse_initializer:
            raise self.invalid('sparse initializers')
        declared = {value.name for value in self.graph.input}
        for init in beside:
            if init.name not in declared:
                self.graph.input.append(onnx.helper.make_tensor_value_info(init.name, init.data_type, init.dims))
            self.graph.initializer.remove(init)

    def read_constant_nodes(self) -> None:
        """Read the constants among the nodes, and let go what only renames one."""
        outputs = {output.name for output in self.graph.output}
        kept = []
        for node, form in zip(self.nodes, self.operators, strict=True):
            if form is None:
                self.constants[node.output[0]] = self.constant(node)
                self.frozen.add(node.output[0])
            elif form.name == 'Identity' and node.input[0] in self.constants and node.output[0] not in outputs:
                alias = node.input[0]
                for other in self.nodes:
                    for place, name in enumerate(other.input):
                        if name == node.output[0]:
                            other.input[place] = alias
            else:
                kept.append((node, form))
        self.nodes, self.operators = [node for node, _ in kept], [form for _, form in kept]

    def constant(self, node: Any) -> Array:
        values = [attribute(entry, self.external) for entry in node.attribute]
        if len(values) != 1 or values[0] is None:
            raise self.invalid(f'Constant {node.output[0]}')
        value = np.asarray(values[0])
        value = value.astype(np.float32) if value.dtype == np.float64 and node.attribute[0].name != 'value' else value
        if value.dtype.kind not in 'biuf':
            raise self.invalid(f'Constant {node.output[0]}: {value.dtype}')
        return value

    def decide(self) -> None:
        """Make a Parameter of every array that is learned, and a Buffer of every running average."""
        uses = defaultdict[str, list[tuple[Operator, int]]](list)
        for node, form in zip(self.nodes, self.operators, strict=True):
            assert form is not None
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

    # what comes out

    def network(self) -> Network:
        """Return the Network."""
        self.read_constants()
        self.check()
        self.read_constant_nodes()
        inputs = [value for value in self.graph.input if value.name not in self.constants]
        if not inputs:
            raise self.invalid('no inputs')
        self.follow_batch(inputs)
        self.decide()
        net = Network(self.graph.name, [value.name for value in inputs], [shape_of(value) for value in inputs],
                      [value.name for value in self.graph.output])
        self.names = set(dir(net))
        steps = [self.step(net, place) for place in range(len(self.nodes))]
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

    def step(self, net: Network, place: int) -> Step:
        """Add a node to the Network as a layer, and return its call."""
        node, form = self.nodes[place], self.operators[place]
        assert form is not None
        options = {entry.name: attribute(entry, self.external) for entry in node.attribute}
        outside = [name for name in node.input if name and name not in self.constants]
        sources, own = self.sources(node)
        self.fits(node, form, options, sources)
        layer = operation(form.domain, form.name)
        layer.path = self.unique(layer_name(node, [name for name, _ in own], place))
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
            short = clean(re.split(r'[./]', name)[-1]) if re.search(r'[./]', name) else role(form, place)
            while hasattr(layer, short) or f'{layer.path}/{short}' in self.names:
                short += '_'
            self.names.add(f'{layer.path}/{short}')
            setattr(layer, short, self.things[name])
            sources[place] = short
        return sources

    def given_back(self, net: Network, name: str) -> Step:
        """Return a step for an output that is a constant."""
        layer = operation('', 'Identity')
        layer.path = self.unique(clean(name))
        layer.prepare(self.opsets.get('', OLDEST), {}, [self.constants[name]], 1)
        setattr(net, layer.path, layer)
        return Step(layer.path, (), (name,), ())

    def unique(self, name: str) -> str:
        count, free = 1, name
        while free in self.names:
            count += 1
            free = f'{name}_{count}'
        self.names.add(free)
        return free

    def fits(self, node: Any, form: Operator, options: dict[str, Any], sources: Sequence[Any]) -> None:
        """Raise ValueError unless the operator takes these inputs and attributes."""
        strange = [name for name, value in options.items() if name not in form.keywords or name in OPTIONS or
                   value is None]
        if strange:
            raise ValueError(message('onnx.read.attribute', where=self.where, op=form.name, name=node.name,
                                     attributes=', '.join(strange)))
        asked = {name: 1 for name in OPTIONS if name in form.keywords}
        try:
            inspect.signature(form.function).bind(*sources, **options, **asked)
        except TypeError as error:
            raise self.invalid(f'{form.name} {node.name}: {error}') from error

    # a batch that the file has fixed

    def follow_batch(self, inputs: Sequence[Any]) -> None:
        """Let reshapes to a fixed batch size follow the batch: where x and its new shape begin with it, 0 means x's."""
        batches = {(shape_of(value) or (None,))[0] for value in inputs}
        fixed = batches.pop() if len(batches) == 1 else None
        reshapes = [node for node in self.nodes if node.op_type == 'Reshape' and node.input[1] in self.constants]
        if fixed is None or not reshapes:
            return
        try:
            inferred = onnx_package().shape_inference.infer_shapes(self.proto).graph
        except Exception as error:  # the C++ library's own
            raise self.invalid(first_line(error)) from error
        known = {value.name: shape_of(value) for value in (*inferred.value_info, *inferred.input)}
        for node in reshapes:
            before, after = known.get(node.input[0]) or (None,), self.constants[node.input[1]].ravel()
            if before[0] != fixed or not after.size or after[0] != fixed or node.input[0] in self.constants:
                continue
            literal = [entry for entry in node.attribute if entry.name == 'allowzero' and entry.i]
            if not literal or after.all():
                for entry in literal:
                    entry.i = 0
                name = f'{node.input[1]}:{node.output[0]}'
                self.constants[name] = np.concatenate([np.zeros(1, after.dtype), after[1:]])
                self.frozen.add(name)
                node.input[1] = name


def domain_of(domain: str) -> str:
    return '' if domain == 'ai.onnx' else domain


def shape_of(value: Any) -> tuple[int | None, ...] | None:
    """Return the shape that the file gives for a value, None for each open size; None if it gives none."""
    kind = value.type.tensor_type
    if not kind.HasField('shape'):
        return None
    return tuple(dim.dim_value if dim.HasField('dim_value') and dim.dim_value > 0 else None for dim in kind.shape.dim)


def clean(name: str) -> str:
    """Return a name without strange characters, and not too long."""
    return re.sub(r'[^\w.:/-]', '_', name).strip('/')[:120] or '_'


def layer_name(node: Any, own: Sequence[str], place: int) -> str:
    """Return what a node's layer is called: what its weights' names begin with, else the node's own name."""
    fronts = {re.sub(r'[./][^./]*$', '', name) for name in own if re.search(r'.[./]', name)}
    if len(fronts) == 1 and (front := clean(fronts.pop())) != '_':
        return front
    parts = [part for part in clean(node.name).split('/') if part != '_']
    kept = [part for part, after in zip_longest(parts, parts[1:], fillvalue='') if not after.startswith(f'{part}.')]
    if len(kept) > 1 and kept[-1] == node.op_type:
        kept.pop()  # '/layer1/layer1.0/conv1/Conv' is layer1.0.conv1
    return '.'.join(kept) or f'{node.op_type}_{place}'


def role(form: Operator, place: int) -> str:
    """Return what an operator calls its input at `place`: 'W', 'slope'."""
    names = [p.name for p in inspect.signature(form.function).parameters.values()
             if p.kind is p.POSITIONAL_OR_KEYWORD]
    return names[place] if place < len(names) else f'input{place}'


def with_last_uses(steps: Sequence[Step], outputs: set[str]) -> Iterator[Step]:
    """Yield the steps, each with the names of what nothing needs afterwards."""
    last = {name: place for place, step in enumerate(steps) for name in (*step.outputs, *step.inputs)}
    for place, step in enumerate(steps):
        names = dict.fromkeys((*step.inputs, *step.outputs))
        done = tuple(name for name in names if name and last[name] == place and name not in outputs)
        yield Step(step.layer, step.inputs, step.outputs, done)
