"""Walking the tape backwards, without recursion, freeing as it goes."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import nailorch
from nailorch.config import Config, using_config
from nailorch.core.function import Function, supervisor
from nailorch.core.variable import Node, Variable, as_variable
from nailorch.messages import message

__all__ = ['backward', 'grad', 'gradients', 'unchain']

Gradients = dict[Node, Variable]


def backward(y: Variable, retain_grad: bool, create_graph: bool, retain_graph: bool, seed: Any) -> None:
    """Do what `Variable.backward` says."""
    if not y.node.requires_grad:
        raise ValueError(message('backward.nothing'))
    if seed is None and y.node.creator is not None:
        seed = y.grad  # a gradient put here by hand
    leaves, between = walk([(y, seed)], create_graph, retain_graph, lambda node: retain_grad or node.retains_grad)
    for node, g in between.items():  # first: what is kept here may be shared, so no leaf may take it
        if node is not y.node or y.grad is None:
            keep(node, g)
    for node, g in leaves.items():
        leave(node, g, create_graph)


def gradients(ys: Sequence[Variable], xs: Sequence[Variable], gys: Sequence[Any] | None = None, *,
              create_graph: bool = False, retain_graph: bool | None = None) -> list[Variable | None]:
    """Return the derivatives of the sum of `ys` with respect to each of `xs`; no `grad` is touched.

    Only what lies between the two is walked, and freed.

    Args:
        gys: weights of the sum, each of its y's shape; by default ones.
    Returns:
        one Variable for each x, None where no y depends on it. Its array may be shared, so it is read-only.
    """
    wanted, paths = {x.node for x in xs}, paths_to(xs, ys)
    seeds = zip(ys, [None] * len(ys) if gys is None else gys, strict=True)
    retain = create_graph if retain_graph is None else retain_graph
    leaves, between = walk([(y, gy) for y, gy in seeds if y.node in paths], create_graph, retain, wanted.__contains__,
                           paths)
    found = {**leaves, **between}
    return [shared(found[x.node]) if x.node in found else None for x in xs]


def paths_to(xs: Sequence[Variable], ys: Sequence[Variable]) -> set[Node]:
    """Return the nodes through which the ys depend on the xs, those of the xs among them."""
    functions: set[Function] = set()
    creators = [y.node.creator for y in ys]
    while creators:
        function = creators.pop()
        if function is not None and function not in functions:
            functions.add(function)
            creators.extend(node.creator for node in function.nodes)
    paths = {x.node for x in xs if x.node.requires_grad}
    for function in sorted(functions, key=lambda function: function.generation):
        if not paths.isdisjoint(function.nodes):
            paths.update(node for node in function.made() if node is not None)
    return paths


def grad(f: Callable[..., Any], argnum: int = 0) -> Callable[..., Variable]:
    """Return the function that computes the derivative of `f` with respect to its argument number `argnum`.

    Args:
        f: takes arrays or Variables, returns one Variable; if it has several elements, their sum is differentiated.
    Returns:
        a function of the same arguments. What it returns can be differentiated again, but for under no_grad().
    Example:
        >>> cube = lambda x: x ** 3
        >>> grad(cube)(2.0), grad(grad(cube))(2.0)
        (variable(12.0), variable(12.0))
    """

    def derivative(*args: Any, **kwargs: Any) -> Variable:
        given = args[argnum]
        x = given if isinstance(given, Variable) and given.requires_grad else Variable(np.asarray(given))
        if x.dtype.kind != 'f':
            raise TypeError(f'grad: argument {argnum} has dtype {x.dtype}; only floats have derivatives')
        again = Config.enable_backprop
        with using_config('enable_backprop', True):
            y = as_variable(f(*args[:argnum], x, *args[argnum + 1:], **kwargs))
            gx, = gradients([y], [x], create_graph=again)
        return gx if gx is not None else Variable(np.zeros_like(x.data), requires_grad=False)

    return derivative


def walk(roots: list[tuple[Variable, Any]], create_graph: bool, retain_graph: bool, wanted: Callable[[Node], bool],
         paths: set[Node] | None = None) -> tuple[Gradients, Gradients]:
    """Carry gradients from the roots to the leaves, the youngest Function first; through `paths` alone, if given.

    Returns:
        the gradients of the nodes where it ends, and those of the nodes between that are wanted.
    """
    pending: Gradients = {}
    kept: Gradients = {}
    queue: list[tuple[int, int, Function]] = []
    queued: set[Function] = set()

    def arrive(node: Node, g: Variable) -> None:
        if paths is not None and node not in paths:
            return
        pending[node] = pending[node] + g if node in pending else g
        function = node.creator
        if function is not None and function not in queued and (paths is None or not paths.isdisjoint(function.nodes)):
            queued.add(function)
            heapq.heappush(queue, (-function.generation, len(queued), function))

    with using_config('enable_backprop', create_graph):
        for y, gy in roots:
            arrive(y.node, first_gradient(y, gy))
        while queue:
            function = heapq.heappop(queue)[2]
            gys = []
            for node, (_, shape, dtype) in zip(function.made(), function._outputs, strict=True):
                g = pending.pop(node, None) if node is not None else None
                if g is not None and node is not None and wanted(node):
                    kept[node] = g
                gys.append(g if g is not None else Variable(np.zeros(shape, dtype), requires_grad=False))
            function.pending = None if create_graph else pending
            for node, gx in input_gradients(function, gys):
                arrive(node, gx)
            function.pending = None
            if not retain_graph:
                function.free()
    return pending, kept


def first_gradient(y: Variable, gy: Any) -> Variable:
    """Return the gradient that a root begins with: ones, or a given one of its shape."""
    if gy is None:
        return Variable(np.ones_like(y.data), requires_grad=False)
    gy = as_variable(gy)
    if gy.shape != y.shape:
        raise ValueError(f'backward: grad has shape {gy.shape}, the Variable {y.shape}')
    gy = nailorch.functions.astype(gy, y.dtype)
    return Variable.at(gy.node, gy.data)


def input_gradients(function: Function, gys: list[Variable]) -> list[tuple[Node, Variable]]:
    """Call one backward and check what it returns, for the inputs that want a gradient."""
    function.alive()
    if function.saves is None:  # a stranger's backward may write into what it is given
        gys = [Variable.at(gy.node, read_only(gy.data)) for gy in gys]
    by = supervisor.get()
    gxs = function.backward(*gys) if by is None else by.backward(function, gys)
    gxs = gxs if isinstance(gxs, tuple) else tuple(gxs) if isinstance(gxs, list) else (gxs,)
    if len(gxs) != len(function.nodes):
        check_count(function, len(gxs))
    arrived = []  # an optional input that was not given has no node
    for index, (node, gx, (shape, dtype)) in enumerate(zip(function.nodes, gxs, function._inputs, strict=False)):
        if gx is None or not node.requires_grad:
            continue
        gx = as_variable(gx)
        if gx.shape != shape:
            raise ValueError(message('backward.shape', function=type(function).__name__, index=index, got=gx.shape,
                                     expected=shape))
        arrived.append((node, gx if gx.dtype == dtype else nailorch.functions.astype(gx, dtype)))
    return arrived


def check_count(function: Function, got: int) -> None:
    """Raise ValueError where inputs that want a gradient got none, or where there are more gradients than inputs.

    An optional input may be counted that was not given; ints at the end need not.
    """
    expected = len(function.nodes)
    if any(node.requires_grad for node in function.nodes[got:]):
        raise ValueError(message('backward.count', function=type(function).__name__, got=got, expected=expected))
    if got > max(expected, len(function.parameters)):
        raise ValueError(message('backward.more', function=type(function).__name__, got=got, expected=expected))


def leave(node: Node, g: Variable, create_graph: bool) -> None:
    """Leave a gradient in a leaf, which owns it: nobody else's array, and writable."""
    if node.grad is not None:
        with using_config('enable_backprop', create_graph):
            node.grad = node.grad + g
    elif create_graph:
        node.grad = Variable.at(g.node, g.data.copy(order='K'))
    else:
        node.grad = Variable(g.data if g.owned else g.data.copy(order='K'), requires_grad=False)
        g.owned = False


def keep(node: Node, g: Variable) -> None:
    """Leave a gradient in a Variable between: it may be shared, so it is read-only."""
    g = shared(g)
    node.grad = g if node.grad is None else node.grad + g


def shared(g: Variable) -> Variable:
    """Return a gradient that others may hold, too: from now on, its array is nobody's."""
    g.owned = False
    return Variable.at(g.node, read_only(g.data))


def read_only(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    view = array.view()
    view.flags.writeable = False
    return view


def unchain(y: Variable) -> None:
    """Cut every link behind `y`."""
    nodes = [y.node]
    while nodes:
        node = nodes.pop()
        if node.creator is not None:
            nodes.extend(node.creator.nodes)
            node.creator = None
