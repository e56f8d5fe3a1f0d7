"""The model that a file becomes: its nodes are layers, which own the weights that they learn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from nailorch.config import no_grad
from nailorch.core import Variable, as_variable, watching
from nailorch.layers import Layer
from nailorch.layers.base import fits, shown, warn_if_double
from nailorch.messages import message
from nailorch.models import Model
from nailorch.onnx.operators import Operator, find

__all__ = ['Network', 'Operation', 'Step', 'operation']


class Operation(Layer):
    """A node of the file: an operator with its attributes, and the inputs that are its own.

    Its class bears the operator's name. What is called is given only what other nodes compute, so that any layer can
    take its place: `net.fc = L.Linear(5)`.
    """

    domain: str
    op: str
    opset: int
    path = ''  # its name, for errors

    def prepare(self, opset: int, attributes: Mapping[str, Any], sources: Sequence[Any], outputs: int) -> None:
        """Set what the node is made of.

        Args:
            sources: for each input, the name of an own parameter, a constant array, None where it is missing, or ...
                where it comes from outside.
        """
        self.opset, self.attributes = opset, dict(attributes)
        self.sources, self.outputs = tuple(sources), outputs

    @property
    def operator(self) -> Operator:
        found = find(self.domain, self.op, self.opset)
        assert found is not None, self.op  # the importer has looked
        return found

    def forward(self, *inputs: Any) -> Any:
        rest = iter(inputs)
        xs = [next(rest) if source is ... else vars(self)[source] if isinstance(source, str) else source
              for source in self.sources]
        operator = self.operator
        options = self.attributes | ({'outputs': self.outputs} if 'outputs' in operator.keywords else {})
        try:
            if any(isinstance(x, Variable) for x in xs):
                return operator.function(*xs, **options)
            with no_grad(), watching(lambda *call: None):  # of shapes and constants alone: no part of any Graph
                return plain(operator.function(*xs, **options))
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(message('onnx.read.node', op=self.op, name=self.path, error=error)) from error

    def __reduce__(self) -> Any:
        return operation, (self.domain, self.op), self.__getstate__()


def plain(ys: Any) -> Any:
    """Return results as plain arrays."""
    if isinstance(ys, tuple | list):
        return tuple(map(plain, ys))
    return ys.data if isinstance(ys, Variable) else ys


@lru_cache(None)
def kind(domain: str, op: str) -> type[Operation]:
    return type(op, (Operation,), {'domain': domain, 'op': op, '__module__': __name__,
                                   '__doc__': f'The operator {op} of ONNX.'})


def operation(domain: str, op: str) -> Operation:
    """Return an empty node of that operator, whose class bears its name."""
    return kind(domain, op)()


@dataclass(frozen=True)
class Step:
    """A layer's call: which arrays it takes and makes, by the file's names, and which are not needed afterwards."""

    layer: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    done: tuple[str, ...]


class Network(Model):
    """A model out of an ONNX file: `nailorch.onnx.load` makes it.

    Its nodes are its layers, called after the weights that they own or after the node: `net.conv1.weight`.

    Attributes:
        title: the graph's name in the file.
        input_names, output_names: as in the file.
        input_shapes: as in the file, None for each size that is left open.
        input_types: the dtypes, None where the file gives none that NumPy has.
        steps: the layers' calls, in order.
        metadata: texts that the file bears, by name.
    """

    def __init__(self, title: str, input_names: Sequence[str], input_shapes: Sequence[tuple[int | None, ...] | None],
                 output_names: Sequence[str], input_types: Sequence[Any] = ()) -> None:
        self.title = title
        self.input_names, self.output_names = tuple(input_names), tuple(output_names)
        self.input_shapes = tuple(input_shapes)
        self.input_types = tuple(input_types) or (None,) * len(self.input_names)
        self.steps: tuple[Step, ...] = ()
        self.metadata: dict[str, str] = {}

    def forward(self, *inputs: Any) -> Any:
        if len(inputs) != len(self.input_names):
            raise ValueError(message('onnx.read.count', model=self.title, expected=len(self.input_names),
                                     names=', '.join(self.input_names), got=len(inputs)))
        values: dict[str, Any] = dict(zip(self.input_names, map(as_variable, inputs), strict=True))
        self.check_axes(values)
        first = next(self.params(), None)
        if first is not None:
            warn_if_double(self, values[self.input_names[0]], first)
        for step in self.steps:
            layer: Callable[..., Any] = vars(self)[step.layer]
            ys = layer(*[values[name] for name in step.inputs])
            results = ys if isinstance(ys, tuple | list) else (ys,)
            values.update(zip(step.outputs, results, strict=False))  # the last ones may be left out
            for name in step.done:
                values.pop(name, None)
        results = tuple(as_variable(values[name]) for name in self.output_names)
        return results if len(results) > 1 else results[0]

    def check_axes(self, values: Mapping[str, Any]) -> None:
        """Raise ValueError if an input has more or fewer axes than the file says."""
        for name, wanted in zip(self.input_names, self.input_shapes, strict=True):
            x = values[name]
            if wanted is not None and x.ndim != len(wanted):
                remedy = message('onnx.read.single', name=name) if fits(x.shape, wanted[1:]) else ''
                raise ValueError(message('onnx.read.rank', model=self.title, name=name, expected=len(wanted),
                                         wanted=shown(wanted), ndim=x.ndim, shape=x.shape, remedy=remedy))
