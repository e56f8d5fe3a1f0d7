"""Function: one operation on arrays, which writes itself on the tape."""

from __future__ import annotations

import contextlib
import contextvars
import inspect
import weakref
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Protocol

import numpy as np

from nailorch.config import Config
from nailorch.core.variable import Node, Variable, as_array, as_variable
from nailorch.messages import message
from nailorch.shapes import Array

__all__ = ['Function', 'supervised', 'supervisor', 'watched', 'watching']

Watcher = Callable[['Function', dict[str, Any], list[Variable], list[Variable]], None]
_watcher: contextvars.ContextVar[Watcher | None] = contextvars.ContextVar('nailorch_watcher', default=None)


@contextlib.contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Call `watcher(function, attributes, inputs, outputs)` after every Function that runs inside the block."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def watched() -> bool:
    """Return whether somebody writes down what is computed now."""
    return _watcher.get() is not None


class Supervisor(Protocol):
    """Calls a Function's two halves, on arrays and on Variables."""

    def forward(self, function: Function, xs: list[Array]) -> Any: ...

    def backward(self, function: Function, gys: list[Variable]) -> Any: ...


supervisor: contextvars.ContextVar[Supervisor | None] = contextvars.ContextVar('nailorch_supervisor', default=None)


@contextlib.contextmanager
def supervised(by: Supervisor) -> Iterator[None]:
    """Have the forward and backward of every Function inside the block called `by` somebody."""
    token = supervisor.set(by)
    try:
        yield
    finally:
        supervisor.reset(token)


class Function:
    """An operation. Write `forward` on arrays and `backward` on Variables, in Functions, so that it differentiates too.

    `saves` names what backward needs, in the order in which `self.saved` gives it back: parameters of `forward`, 'y'
    for the (first) output, or attributes that forward sets. All else is freed. Without `saves`, every input and output
    is kept, for `self.inputs[0].data` and `self.outputs[0]()`.

    Example:
        >>> class Square(Function):
        ...     saves = 'x',
        ...     def forward(self, x):
        ...         return x * x
        ...     def backward(self, gy):
        ...         x, = self.saved
        ...         return 2 * x * gy
        >>> x = nailorch.Variable(np.array(3.0))
        >>> Square()(x).backward()
        >>> x.grad
        variable(6.0)
    """

    saves: ClassVar[tuple[str, ...] | None] = None
    parameters: ClassVar[tuple[str, ...]] = ()  # of forward
    places: ClassVar[tuple[int | None, ...]] = ()  # of saved inputs 0, 1 ..., of outputs -1, -2 ..., None of attributes
    attributes: ClassVar[tuple[str, ...]] = ()  # those that are saved

    nodes: tuple[Node, ...] = ()  # the inputs' places on the tape
    _arrays: dict[int, Array] | None = None  # what backward needs, by place
    _inputs: tuple[tuple[tuple[int, ...], np.dtype[Any]], ...] = ()
    _outputs: tuple[tuple[weakref.ref[Node], tuple[int, ...], np.dtype[Any]], ...] = ()
    _made: dict[str, Any] | None = None  # the attributes as the constructor left them
    generation = 0
    pending: dict[Node, Variable] | None = None  # while backward runs: the gradients that have arrived so far

    def __init_subclass__(cls) -> None:
        if isinstance(cls.saves, str):
            raise TypeError(f'{cls.__name__}.saves is a tuple of names; a comma makes it one: saves = {cls.saves!r},')
        cls.parameters = tuple(inspect.signature(cls.forward).parameters)[1:]
        known = {name: place for place, name in enumerate(cls.parameters)} | {'y': -1}
        cls.places = tuple(known.get(name) for name in cls.saves or ())
        cls.attributes = tuple(name for name in cls.saves or () if name not in known)

    def forward(self, *xs: Array) -> Any:
        """Compute the output (or a tuple of them) from the inputs, which must not be modified."""
        raise NotImplementedError(f'{type(self).__name__}.forward')

    def backward(self, *gys: Variable) -> Any:
        """Return the gradient of every input (or None) from the gradients of the outputs."""
        raise NotImplementedError(f'{type(self).__name__}.backward: this function has no derivative')

    def misfit(self, shapes: list[tuple[int, ...]]) -> str:
        """Return what does not fit among inputs of these shapes, which NumPy has refused; nothing if all does."""
        return ''

    def __call__(self, *inputs: Any) -> Any:
        if self._made is not None:  # called before: one entry on the tape for each call
            return self.again()(*inputs)
        self._made = dict(vars(self))
        variables = [x if isinstance(x, Variable) else as_variable(x) for x in inputs]
        arrays = [variable._array for variable in variables]
        watcher = _watcher.get()

        by = supervisor.get()
        try:
            ys = self.forward(*arrays) if by is None else by.forward(self, arrays)
        except ValueError:
            if told := self.misfit([array.shape for array in arrays]):
                raise ValueError(told) from None
            raise
        recorded = any([variable.node.requires_grad for variable in variables]) and Config.enable_backprop
        results = [as_array(y) for y in (ys if isinstance(ys, tuple) else (ys,))]
        outputs = [Variable.at(Node(recorded and y.dtype.kind == 'f'), y) for y in results]
        if recorded:
            self.record(variables, arrays, outputs)
        elif self.saves is not None:
            for output in outputs:
                output.owned = fresh(output.data, arrays)
        if watcher:
            watcher(self, self._made, variables, outputs)
        return outputs if isinstance(ys, tuple) else outputs[0]

    def again(self) -> Function:
        """Return this function as its constructor left it."""
        other = type(self).__new__(type(self))
        vars(other).update(self._made or {})
        return other

    # the tape

    def record(self, inputs: list[Variable], arrays: list[Array], outputs: list[Variable]) -> None:
        """Write this call on the tape: who came in, who came out, and the arrays that backward needs."""
        self.nodes = tuple([variable.node for variable in inputs])
        self.generation = max([node.generation for node in self.nodes])
        self._inputs = tuple([(array.shape, array.dtype) for array in arrays])
        self._outputs = tuple([(weakref.ref(out.node), out.data.shape, out.data.dtype) for out in outputs])
        for output in outputs:
            if output.node.requires_grad:
                output.node.creator = self
                output.node.generation = self.generation + 1
        places = range(-len(outputs), len(arrays)) if self.saves is None else self.places
        self._arrays = {place: outputs[~place].data if place < 0 else arrays[place] for place in places
                        if place is not None and place < len(arrays)}

    def made(self) -> list[Node | None]:
        """Return the outputs' nodes, None for those that were dropped or unchained."""
        nodes = [reference() for reference, _, _ in self._outputs]
        return [node if node is not None and node.creator is self else None for node in nodes]

    def variable(self, place: int) -> Variable:
        """Return an input or output as a Variable linked to the tape; one that was not saved has no data."""
        array = self.alive().get(place)
        node = self.nodes[place] if place >= 0 else self.output_node(~place)
        return Variable.at(node, array)  # type: ignore[arg-type]

    def output_node(self, index: int) -> Node:
        """Return an output's node; if the user dropped or unchained that output, its place is taken again."""
        node = self.made()[index]
        if node is None:
            node = Node(True)
            node.creator, node.generation = self, self.generation + 1
            outputs = list(self._outputs)
            outputs[index] = (weakref.ref(node), *outputs[index][1:])
            self._outputs = tuple(outputs)
        return node

    def alive(self) -> dict[int, Array]:
        if self._arrays is None:
            raise ValueError(message('backward.twice', function=type(self).__name__))
        return self._arrays

    @property
    def saved(self) -> tuple[Any, ...]:
        """What `saves` names: inputs and output as Variables, attributes as they are."""
        arrays = self.alive()
        return tuple([getattr(self, name) if place is None else self.variable(place) if place in arrays else None
                      for name, place in zip(self.saves or (), self.places, strict=True)])

    @property
    def inputs(self) -> tuple[Variable, ...]:
        """The inputs; those that `saves` does not name have no data."""
        return tuple(self.variable(place) for place in range(len(self.nodes)))

    @property
    def outputs(self) -> tuple[Callable[[], Variable], ...]:
        """Calls that return the outputs: `y = self.outputs[0]()`."""
        return tuple((lambda place=~index: self.variable(place)) for index in range(len(self._outputs)))

    def __getstate__(self) -> dict[str, Any]:
        """Return what copies and pickles keep: the function as its constructor left it, without the tape."""
        return vars(self) if self._made is None else self._made

    def needs(self, index: int) -> bool:
        """Return whether input `index` was given and wants a gradient; ask before costly work."""
        return index < len(self.nodes) and self.nodes[index].requires_grad

    @property
    def wanted(self) -> tuple[bool, ...]:
        """Which parameters of forward were given and want a gradient."""
        return tuple([self.needs(index) for index in range(len(self.parameters))])

    def earlier(self, index: int) -> Variable | None:
        """Take what other Functions have sent to an input's gradient so far; it must be part of what is returned."""
        return None if self.pending is None or not self.needs(index) else self.pending.pop(self.nodes[index], None)

    def free(self) -> None:
        """Let go of every saved array; the links stay."""
        self._arrays = None
        for name in self.attributes:
            vars(self).pop(name, None)


def fresh(y: Array, arrays: list[Array]) -> bool:
    """Return whether `y` is nobody else's memory."""
    if y.base is None:
        return not any([y is array for array in arrays])
    return not any([np.may_share_memory(y, array) for array in arrays])
