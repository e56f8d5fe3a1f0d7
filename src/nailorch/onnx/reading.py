"""Reading what stands in an ONNX file, and checking it: nodes with their operators, and arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from nailorch.messages import message
from nailorch.onnx.common import onnx_package
from nailorch.onnx.operators import Operator, find
from nailorch.onnx.tensors import External, attribute, tensor
from nailorch.shapes import Array

__all__ = ['OLDEST', 'Reader', 'dtype_of', 'first_line', 'shape_of']

OLDEST = 7  # before, attributes of the same names meant other things
MOST_NODES = 100_000  # of functions written out


class Reader:
    """One file, checked.

    Attributes:
        opsets: the version of each domain's operators.
        calls: the nodes that lead to an output, in order, each with its operator; constants are none of them.
        constants: every array that the file brings, by name.
        frozen: names of those that are never learned.
    """

    def __init__(self, proto: Any, where: str, external: External) -> None:
        self.where, self.external = where, external
        self.opsets = self.versions(proto)
        self.proto = self.without_functions(proto)
        self.graph = self.proto.graph
        self.check_names()
        nodes = self.needed()
        forms = self.known(nodes)
        self.constants: dict[str, Array] = {}
        self.frozen: set[str] = set()
        self.read_constants()
        self.check()
        self.calls = self.without_constants(nodes, forms)

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

    def known(self, nodes: list[Any]) -> list[Operator | None]:
        """Return the nodes' operators; None for constants.

        Raises:
            ValueError: some are not known; the message lists them all.
        """
        found, unknown = list[Operator | None](), list[str]()
        for place, node in enumerate(nodes):
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
        """Let the package onnx check the model: order, names, types, attributes.

        It wants a shape for every input and result; runtimes do not, and many a file leaves some open.
        """
        values = *self.graph.input, *self.graph.output
        kinds = [value.type.tensor_type for value in values if value.type.HasField('tensor_type')]
        shapeless = [kind for kind in kinds if not kind.HasField('shape')]
        for kind in shapeless:
            kind.shape.SetInParent()
        try:
            onnx_package().checker.check_model(self.proto)
        except Exception as error:  # ValidationError, or protobuf's
            raise self.invalid(first_line(error)) from error
        for kind in shapeless:
            kind.ClearField('shape')

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

    def without_constants(self, nodes: list[Any], forms: list[Operator | None]) -> list[tuple[Any, Operator]]:
        """Return the nodes that compute, after reading the constants among them.

        What only gives an array another name is a second array: exporters write equal ones once.
        """
        outputs = {output.name for output in self.graph.output}
        kept = []
        for node, form in zip(nodes, forms, strict=True):
            if form is None:
                self.constants[node.output[0]] = self.constant(node)
                self.frozen.add(node.output[0])
            elif form.name == 'Identity' and node.input[0] in self.constants and node.output[0] not in outputs:
                self.constants[node.output[0]] = self.constants[node.input[0]].copy()
                self.frozen |= {node.output[0]} if node.input[0] in self.frozen else set()
            else:
                kept.append((node, form))
        return kept

    def constant(self, node: Any) -> Array:
        values = [attribute(entry, self.external) for entry in node.attribute]
        if len(values) != 1 or values[0] is None:
            raise self.invalid(f'Constant {node.output[0]}')
        value = np.asarray(values[0])
        value = value.astype(np.float32) if value.dtype == np.float64 and node.attribute[0].name != 'value' else value
        if value.dtype.kind not in 'biuf':
            raise self.invalid(f'Constant {node.output[0]}: {value.dtype}')
        return value


def first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def domain_of(domain: str) -> str:
    return '' if domain == 'ai.onnx' else domain


def shape_of(value: Any) -> tuple[int | None, ...] | None:
    """Return the shape that the file gives for a value, None for each open size; None if it gives none."""
    kind = value.type.tensor_type
    if not kind.HasField('shape'):
        return None
    return tuple(dim.dim_value if dim.HasField('dim_value') and dim.dim_value > 0 else None for dim in kind.shape.dim)


def dtype_of(value: Any) -> Any:
    """Return the dtype that the file gives for a value; None if it gives none that NumPy has."""
    try:
        return onnx_package().helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    except (KeyError, ValueError):
        return None
