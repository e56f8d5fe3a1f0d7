"""Running a model on an example, and writing down what it does."""

from __future__ import annotations

import contextlib
import inspect
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nailorch import rng
from nailorch.config import no_grad, test_mode
from nailorch.core import Buffer, Function, Parameter, Variable, as_array, watching
from nailorch.graph.merging import has_offsets, merged
from nailorch.graph.structure import Graph, Node, Value, unique
from nailorch.layers.base import Layer, current_layers, unknown
from nailorch.messages import message, whole
from nailorch.shapes import Array

__all__ = ['trace']

SIZES = 2, 4  # N // 2, min(N, 3) and the like are 1, 2 and 2, 3 then: on no line through whole numbers
THIRD = 5

Call = tuple[Function, dict[str, Any], list[Variable], list[Variable], tuple[Layer, ...]]


def trace(target: Any, *examples: Any) -> Graph:
    """Run a model on an example and write down what it computes.

    It runs in test mode and without a tape, on batches of 2 and of 4 made from the first item; sizes and attributes
    that differ between the two become functions of N. The four have the other sign, if the model takes such numbers: so
    a forward that decides by them mostly shows. The model stays as it was, but for parameters whose sizes the
    example tells: they are drawn now. Recurrent layers begin a new sequence, and afterwards remember what they did.
    Forward hooks run, as in any call.

    Args:
        target: a model or layer, a method of one, or a function of Variables. It may return several, in tuples, lists
            or dicts. Of a plain function, the layers it calls are called after their class: 'Linear/W'; what they
            remember is not put back.
        examples: the inputs, each (N, ...), N at least 1. Their numbers matter little; types and other sizes do.
    Raises:
        ValueError: something follows neither from the model nor from N, as where forward decides by numbers, or the
            result does not depend on the inputs.
    Example:
        >>> net = nailorch.layers.Linear(4)
        >>> print(trace(net, np.ones((1, 3), 'float32')))
        Graph(Linear: 1 node, (N, 3) -> (N, 4))
        x       (N, 3)  input
        Linear  (N, 4)  x, W, b
        -> Linear
    """
    if not examples:
        raise ValueError(message('graph.examples'))
    for position, example in enumerate(examples):
        if np.ndim(example) == 0 or len(example) == 0:
            raise ValueError(message('graph.example', position=position, shape=np.shape(example)))
    owner = target if isinstance(target, Layer) else getattr(target, '__self__', None)
    root = owner if isinstance(owner, Layer) else None

    def run(n: int, sign: int = 1) -> Graph:
        """Return what the model does with a batch of n, of numbers with this sign or the other."""
        begin_anew(root)
        try:
            graph = record(target, root, [batch_of(as_array(example), n, sign) for example in examples])
        except ValueError as error:
            for example in examples:
                if isinstance(example, tuple) and all(isinstance(size, int) for size in example):
                    raise ValueError(message('graph.shape', shape=example, whole=(1, *example),
                                             error=whole(error))) from error
            begin_anew(root)
            if works(target, examples):
                error.add_note(message('graph.run', n=n))
            raise
        return pruned(graph)

    def run_below(n: int) -> Graph:
        """Return what it does with numbers of the other sign, or with the same ones if those are not for it."""
        try:
            with np.errstate(all='ignore'):
                return run(n, -1)
        except Exception:
            return run(n)

    building = root is not None and any(map(unknown, root.params()))
    with no_grad(), test_mode(), unchanged(root):
        first = run(SIZES[0]) if building else None  # these draws are the model's own, and stay drawn
        state = rng.get_state()
        try:
            graphs = [first or run(SIZES[0]), run_below(SIZES[1])]
            graph = merged(graphs, SIZES)
            return merged([*graphs, run(THIRD)], (*SIZES, THIRD)) if has_offsets(graph) else graph
        finally:
            rng.set_state(state)


def begin_anew(root: Layer | None) -> None:
    """Let recurrent layers forget the sequence before."""
    for layer in layers_of(root):
        if hasattr(layer, 'reset_state'):
            layer.reset_state()


def works(target: Callable[..., Any], examples: Sequence[Any]) -> bool:
    """Return whether the model takes the examples as they are, so that it is their number that does not fit."""
    try:
        target(*[Variable(example, requires_grad=False) for example in examples])
    except Exception:
        return False
    return True


def layers_of(root: Layer | None) -> list[Layer]:
    return [layer for _, layer in root.named_layers()] if root else []


def batch_of(example: Array, n: int, sign: int = 1) -> Array:
    """Return n items made from the first, all of them different, so that whatever follows from the input shows.

    Their mean is another for another n; fractions have the other sign where `sign` is -1.
    """
    items = []
    for index in range(n):
        item = np.flip(example[0]) if index % 2 else example[0]
        part = (index + 1) / (n + 2) / 4
        items.append((sign * (item * (1 - part) + part / 2)).astype(item.dtype) if item.dtype.kind == 'f' else item)
    return np.stack(items)


@contextlib.contextmanager
def unchanged(root: Layer | None) -> Iterator[None]:
    """Put back, at the end, the numbers in buffers and the Variables that layers remember."""
    memories = [(vars(layer), dict(vars(layer))) for layer in layers_of(root)]
    buffers = [(b, b.data, b.data.copy()) for _, b in root.named_buffers() if not unknown(b)] if root else []
    try:
        yield
    finally:
        for buffer, array, numbers in buffers:
            buffer.data = array
            array[...] = numbers
        for now, before in memories:
            for name in [name for name in now if remembers(now[name]) or remembers(before.get(name))]:
                if name in before:
                    now[name] = before[name]
                else:
                    del now[name]


def remembers(thing: Any) -> bool:
    """Return whether a layer's attribute is what it computed, not what it owns."""
    return isinstance(thing, Variable) and not isinstance(thing, Parameter)


def record(target: Callable[..., Any], root: Layer | None, batches: list[Array]) -> Graph:
    """Run once, and return the Graph of that run: all sizes are those of this batch."""
    calls: list[Call] = []
    inputs = [Variable(batch, requires_grad=False) for batch in batches]
    with watching(lambda *call: calls.append((*call, current_layers()))):
        result = target(*inputs)
    writer = Writer(root, calls)
    for name, variable in zip(input_names(target, len(inputs)), inputs, strict=True):
        writer.add(variable, name, 'input')
    for call in calls:
        writer.write(*call)
    outputs = tuple(writer.id_of(variable, 'result') for variable in flat(result))
    name = type(target).__name__ if isinstance(target, Layer) else getattr(target, '__name__', type(target).__name__)
    return Graph(name, tuple(writer.nodes), tuple(writer.values), tuple(range(len(inputs))), outputs,
                 places(result, itertools.count()))


def input_names(target: Any, count: int) -> list[str]:
    """Return what the model's forward calls its inputs; a model out of a file says so itself, in `input_names`."""
    told = getattr(target, 'input_names', ())
    if len(told) == count:
        return list(told)
    parameters = inspect.signature(target.forward if isinstance(target, Layer) else target).parameters.values()
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return names[:count] + [f'x{index}' for index in range(len(names), count)]


def flat(result: Any) -> list[Variable]:
    """Return the Variables of a model's result, out of tuples, lists and dicts."""
    if isinstance(result, tuple | list | dict):
        items = result.values() if isinstance(result, dict) else result
        return [variable for item in items for variable in flat(item)]
    if not isinstance(result, Variable | np.ndarray):
        raise TypeError(f'trace: the model returned {type(result).__name__}; a Variable is expected')
    return [result if isinstance(result, Variable) else Variable(result, requires_grad=False)]


def places(result: Any, numbers: Iterator[int]) -> Any:
    """Return the result's form: numbers in place of its Variables, in the order of `flat`."""
    if isinstance(result, dict):
        return {key: places(item, numbers) for key, item in result.items()}
    if isinstance(result, tuple | list):
        parts = [places(item, numbers) for item in result]
        return type(result)(*parts) if hasattr(result, '_fields') else type(result)(parts)
    return next(numbers)


class Writer:
    """Gives ids and names to what one run did.

    An array that is met again is the same Value, even as another Variable: `x.detach()` and `Variable(x.data)` compute
    nothing. All arrays stay alive in `calls`, so that no two have one identity.
    """

    def __init__(self, root: Layer | None, calls: list[Call]) -> None:
        self.values: list[Value] = []
        self.nodes: list[Node] = []
        self.names: set[str] = set()
        self.by_variable: dict[int, int] = {}
        self.by_array: dict[int, int] = {}
        self.calls: dict[int, int] = {}  # every call of a layer has a tuple of running layers of its own
        self.paths: dict[int, str] = {}
        self.owned: dict[int, tuple[str, Parameter]] = {}
        outermost = {id(layers[0]): layers[0] for *_, layers in calls if layers}
        for layer in [root] if root else outermost.values():
            prefix = '' if root else unique(self.names, type(layer).__name__) + '/'
            self.paths |= {id(inner): (prefix + path).rstrip('/') for path, inner in layer.named_layers()}
            for path, p in (*layer.named_parameters(), *layer.named_buffers()):
                self.owned[id(p.data)] = prefix + path, p

    def add(self, variable: Variable, name: str, kind: str, source: Any = None) -> int:
        """Write down an array that was not met before."""
        value = Value(len(self.values), name, kind, variable.shape, variable.dtype, source)
        self.values.append(value)
        self.by_variable[id(variable)] = value.id
        self.by_array.setdefault(id(variable.data), value.id)
        return value.id

    def id_of(self, variable: Variable, user: str) -> int:
        """Return which Value a Variable is; one that nothing computed is the model's own, or else a constant."""
        known = self.by_variable.get(id(variable), self.by_array.get(id(variable.data)))
        if known is not None:
            return known
        name, owner = self.owned.get(id(variable.data), (variable.name or 'parameter', variable))
        if isinstance(owner, Parameter):
            kind = 'buffer' if isinstance(owner, Buffer) else 'parameter'
            return self.add(variable, unique(self.names, name), kind, owner)
        return self.add(variable, unique(self.names, f'{user}:constant'), 'constant', variable.data)

    def write(self, function: Function, attributes: dict[str, Any], inputs: list[Variable], outputs: list[Variable],
              layers: tuple[Layer, ...]) -> None:
        """Write down a call; its first output bears its name."""
        layer = next((self.paths[id(layer)] for layer in reversed(layers) if id(layer) in self.paths), '')
        op = type(function).__name__
        name = unique(self.names, f'{layer}/{op}' if layer else op)
        sources = tuple(self.id_of(variable, name) for variable in inputs)
        names = [name, *(f'{name}:{place}' for place in range(1, len(outputs)))]
        results = tuple(self.add(y, each, 'computed') for y, each in zip(outputs, names, strict=True))
        call = self.calls.setdefault(id(layers), len(self.calls))
        self.nodes.append(Node(name, op, attributes, sources, results, layer, call, type(function)))


def pruned(graph: Graph) -> Graph:
    """Return the Graph without what leads to no output, its ids counted anew.

    Raises:
        ValueError: no output depends on an input.
    """
    needed, nodes = set(graph.outputs), list[Node]()
    for node in reversed(graph.nodes):
        if needed & set(node.outputs):
            needed |= {*node.inputs, *node.outputs}
            nodes.insert(0, node)
    if not needed & set(graph.inputs):
        raise ValueError(message('graph.cut', model=graph.name))
    kept = [value for value in graph.values if value.id in needed | set(graph.inputs)]
    new = {value.id: place for place, value in enumerate(kept)}

    def ids(old: Sequence[int]) -> tuple[int, ...]:
        return tuple(new[id] for id in old)

    return replace(graph, inputs=ids(graph.inputs), outputs=ids(graph.outputs),
                   nodes=tuple(replace(node, inputs=ids(node.inputs), outputs=ids(node.outputs)) for node in nodes),
                   values=tuple(replace(value, id=new[value.id]) for value in kept))
