"""The session itself: weights as they were when it was made, and steps that run on them."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np

from nailorch import kernels
from nailorch.config import Config, no_grad, test_mode, using_config
from nailorch.core import as_array
from nailorch.graph import Graph, resolve, trace
from nailorch.messages import message
from nailorch.session.fusion import Fusion
from nailorch.session.replaying import AFTER, MEMORY, Replays
from nailorch.session.steps import Bottleneck, Convolution, Weights
from nailorch.session.tables import Profile, ProfileRow, plan_table
from nailorch.shapes import Array, at_least

__all__ = ['Session', 'compile']

PLANS = 4  # batch sizes whose plans are kept
Found = dict[int, Array]
Watcher = Callable[[int, Callable[[], tuple[Array, ...]], Found], tuple[Array, ...]]


def compile(model: Any, *examples: Any, memory: int = MEMORY) -> Session:
    """Return a session: the model as it is now, frozen for inference, its steps joined and its weights packed.

    It computes what the model computes in test mode, to rounding, for batches of any size.

    Args:
        model: a model or layer, a method of one, or a function of Variables, as `graph.trace` takes them.
        examples: its inputs, (N, ...): plain arrays or Variables. The session takes such types and shapes, with any N.
        memory: bytes, 256 MB unless told, of all runs that are written down, one for each batch size; a batch for which
            no room is left runs as it always does.
    Raises:
        ValueError: what the model computes cannot be written down; the error says why.
    Example:
        >>> net = nailorch.layers.Linear(4)
        >>> x = np.ones((2, 3), 'float32')
        >>> session = compile(net, x)
        >>> session(x).shape
        (2, 4)
    """
    graph = trace(model, *examples)
    session = Session(graph, memory)
    session(*examples)  # now kernels are compiled, weights are packed, and the plan can be shown
    if session.plans[session.latest].peak <= memory:
        session(*examples)  # and the run is written down
    return session


class Weighted(NamedTuple):
    """A session's numbers: replaced as a whole, so that a call never sees old and new ones together.

    Attributes:
        steps: each step's weights.
        values: constants that no step keeps: those that are repeated along the batch, and results that are constant.
    """

    steps: list[Weights]
    values: Found


class Plan:
    """A session's steps for one batch size: all that need not be worked out at every call.

    Attributes:
        kernels: by which kernels each step was computed when the plan ran first.
        peak: bytes of all results that then lay in memory at once, inputs and weights apart.
        pixels: ids of inputs that only convolutions read, which want the channels of a pixel side by side.
        replays: the run, written down.
    """

    def __init__(self, graph: Graph, fusion: Fusion, n: int) -> None:
        self.n, self.steps = n, fusion.steps
        self.runs = [step.bind(graph, n) for step in fusion.steps]
        self.repeated = {value.id: resolve(value.shape, n) for value in graph.values
                         if value.kind == 'constant' and value.id not in fusion.known}
        self.kernels: list[str] | None = None
        self.peak = 0
        last = {fusion.same.get(id, id): place for place, step in enumerate(fusion.steps)
                for id in (*step.outputs, *step.inputs)}
        readers = [step for step in fusion.steps if not isinstance(step, Convolution | Bottleneck)]
        self.pixels = {*graph.inputs} - {fusion.same.get(id, id) for step in readers for id in step.inputs}
        self.pixels = {id for id in self.pixels - {*graph.outputs}
                       if graph.values[id].dtype == np.float32 and len(graph.values[id].shape) == 4}
        self.replays = Replays()
        for id in graph.outputs:
            last.pop(fusion.same.get(id, id), None)
        self.inputs = [tuple(fusion.same.get(id, id) for id in step.inputs) for step in fusion.steps]
        self.dead = [[id for id, place in last.items() if place == now] for now in range(len(fusion.steps))]

    def run(self, found: Found, weights: Weighted, watcher: Watcher | None = None) -> Found:
        """Compute every step; `found` holds the inputs, and in the end the outputs.

        A result is let go after its last use, and its memory makes room for the next: large ones lie in a pool.
        """
        found.update(weights.values)
        for id, shape in self.repeated.items():
            found[id] = np.broadcast_to(found[id], shape)
        for place, (run, step, sources) in enumerate(zip(self.runs, self.steps, self.inputs, strict=True)):
            kept, arrays = weights.steps[place], [found[id] for id in sources]
            if watcher is None:
                ys = run(kept, *arrays)
            else:
                ys = watcher(place, lambda run=run, kept=kept, arrays=arrays: run(kept, *arrays), found)  # type: ignore[misc]
            found.update(zip(step.outputs, ys, strict=True))
            for id in self.dead[place]:
                del found[id]
        return found


class Session:
    """A model made ready for answers: `nailorch.compile` makes it.

    Called with arrays (or Variables), it returns plain arrays in the form in which the model returns its results:
    one, a tuple, a dict. The arrays are the caller's: no later call writes to them. Several threads may call at once.
    It computes with the engine that was in force when it was made. `repr(session)` shows its steps.
    """

    def __init__(self, graph: Graph, memory: int = MEMORY) -> None:
        self.graph, self.fusion, self.memory = graph, Fusion(graph), memory
        self.engine, self.winograd = Config.engine, Config.winograd
        self.plans, self.latest = dict[int, Plan](), 0
        self.weighted = self.read()

    @contextlib.contextmanager
    def settings(self) -> Iterator[None]:
        with using_config('engine', self.engine), using_config('winograd', self.winograd), test_mode(), no_grad():
            yield

    def __call__(self, *inputs: Any) -> Any:
        """Compute the model's results for a batch of any size."""
        arrays = self.checked(inputs)
        plan = self.plan(len(arrays[0]))
        outputs = [self.fusion.same.get(id, id) for id in self.graph.outputs]
        weights = self.weighted
        found = plan.replays.use(weights, lambda replay: replay(arrays, self.settings))
        if found is None:
            with self.settings():
                found = self.observed(plan, arrays) if plan.kernels is None else self.run(plan, arrays)
                if plan.replays.is_due(weights):
                    room = max(self.memory - sum(kept.replays.bytes for kept in list(self.plans.values())), 0)
                    plan.replays.make(plan, weights, dict(zip(self.graph.inputs, arrays, strict=True)), outputs, room)
        return self.graph.nested([own(found[id], arrays) for id in outputs])

    def run(self, plan: Plan, arrays: Sequence[Array], watcher: Watcher | None = None) -> Found:
        return plan.run(dict(zip(self.graph.inputs, arrays, strict=True)), self.weighted, watcher)

    def observed(self, plan: Plan, arrays: Sequence[Array]) -> Found:
        """Run a plan for the first time, and note which kernels served it and how much memory it took."""
        names = list[str]()
        apart = {id(owner(array)) for array in arrays}

        def watcher(place: int, call: Callable[[], tuple[Array, ...]], found: Found) -> tuple[Array, ...]:
            with kernels.watch() as log:
                ys = call()
            served = list(dict.fromkeys(kernel for _, kernel in log))
            names.append(' + '.join(served) or ('reference' if self.engine == 'reference' else 'numpy'))
            owners = {id(whole): whole.nbytes for whole in map(owner, (*found.values(), *ys)) if whole.flags.writeable}
            plan.peak = max(plan.peak, sum(size for key, size in owners.items() if key not in apart))
            return ys

        found = self.run(plan, arrays, watcher)
        plan.kernels, self.latest = names, plan.n
        return found

    def plan(self, n: int) -> Plan:
        """Return the plan for batches of n: one of the last few that were used, or a new one.

        Two threads may make the same plan, and one is kept: no lock, which a forked child could find locked.
        """
        plan = self.plans.pop(n, None) or Plan(self.graph, self.fusion, n)
        self.plans[n] = plan  # the latest stands last
        for old in list(self.plans)[:-PLANS]:
            self.plans.pop(old, None)
        return plan

    def checked(self, inputs: Sequence[Any]) -> list[Array]:
        """Return the inputs as arrays.

        Raises:
            ValueError: there are more or fewer than the model takes, or one has another type or shape.
        """
        values = [self.graph.values[id] for id in self.graph.inputs]
        if len(inputs) != len(values):
            names = ', '.join(value.name for value in values)
            raise ValueError(message('session.count', model=self.graph.name, expected=len(values), names=names,
                                     got=len(inputs)))
        arrays = [as_array(x) for x in inputs]
        for value, array in zip(values, arrays, strict=True):
            if array.dtype != value.dtype:
                raise ValueError(message('session.dtype', model=self.graph.name, name=value.name, dtype=array.dtype,
                                         expected=value.dtype))
            n = arrays[0].shape[0] if arrays[0].ndim else 0
            if array.shape != resolve(value.shape, n):
                batch = '' if array.shape[:1] == (n,) else message('session.batch', n=n)
                raise ValueError(message('session.shape', model=self.graph.name, name=value.name, shape=array.shape,
                                         expected=value.shape, batch=batch))
        return arrays

    # weights

    def refresh(self) -> Session:
        """Read the model's weights again, as they are now; return the session.

        Raises:
            ValueError: a parameter has another shape or type than when the session was made.
        """
        self.weighted = self.read()
        for plan in list(self.plans.values()):
            plan.replays = Replays()
        return self

    def read(self) -> Weighted:
        """Return the model's present numbers: folded, copied, and declared never to change."""
        known: Found = {}
        for value in self.graph.values:
            if value.source is not None:
                known[value.id] = array = value.array
                if (array.shape, array.dtype) != (value.shape, value.dtype) and value.id in self.fusion.known:
                    raise ValueError(message('session.changed', name=value.name, was=f'{value.dtype} {value.shape}',
                                             now=f'{array.dtype} {array.shape}'))
        with self.settings():
            for node in self.fusion.ahead:
                function = node.function.__new__(node.function)
                vars(function).update(node.attributes)
                ys = function.forward(*(known[id] for id in node.inputs))
                known |= zip(node.outputs, map(as_array, ys if isinstance(ys, tuple) else (ys,)), strict=True)
            models = {id(array) for array in known.values()}
            copies: dict[Any, tuple[Array, Array]] = {}  # of each array one, however many steps use it

            def constant(array: Array, arranged: bool = False) -> Array:
                key = id(array), arranged
                if key not in copies:
                    ours = kernels.arranged(array) if arranged else array
                    copies[key] = array, kernels.constant(ours, fresh=ours is not array or id(array) not in models)
                return copies[key][1]

            steps = [tuple(None if array is None else constant(array, step.arranges and not place)
                           for place, array in enumerate(step.weights(known))) for step in self.fusion.steps]
            needed = {*self.graph.outputs} | {id for id in known if id not in self.fusion.known}
            return Weighted(steps, {id: constant(known[id]) for id in needed if id in known})

    # what it shows

    def profile(self, *inputs: Any, repeats: int = 5) -> Profile:
        """Run the session `repeats` times and return each step's median time, its speed, and the memory it moves.

        Example:
            >>> session = compile(nailorch.layers.Linear(4), np.ones((2, 3), 'float32'))
            >>> profile = session.profile(np.ones((2, 3), 'float32'))
            >>> [row.name for row in profile.rows]
            ['Linear']
        """
        at_least(1, repeats, 'repeats')
        for _ in range(AFTER + 1):  # whatever is done once has been done then
            self(*inputs)
        arrays = self.checked(inputs)
        plan = self.plan(len(arrays[0]))
        times: list[list[float]] = [[] for _ in plan.steps]
        sizes = [0] * len(plan.steps)
        weights = self.sizes()

        def watcher(place: int, call: Callable[[], tuple[Array, ...]], found: Found) -> tuple[Array, ...]:
            start = time.perf_counter()
            ys = call()
            times[place].append(time.perf_counter() - start)
            sizes[place] = sum(y.nbytes for y in ys) + sum(found[id].nbytes for id in plan.inputs[place])
            return ys

        with self.settings():
            for _ in range(repeats):
                self.run(plan, arrays, watcher)
        again = [plan.replays.use(self.weighted, lambda replay: replay.timed(arrays, self.settings))
                 for _ in range(repeats)]
        times = [list(column) for column in zip(*filter(None, again), strict=True)] or times
        return Profile(self.graph.name, plan.n, [
            ProfileRow(step.name, kernel, statistics.median(time), step.operations(self.graph, plan.n), size + weight)
            for step, kernel, time, size, weight in zip(plan.steps, plan.kernels or (), times, sizes, weights,
                                                        strict=True)])

    def sizes(self) -> list[int]:
        """Return the bytes of weights that each step reads: packed where they are."""
        with self.settings():
            return [sum(kernels.packed_bytes(array) or array.nbytes for array in weights if array is not None)
                    for weights in self.weighted.steps]

    @property
    def weight_bytes(self) -> int:
        """All memory that its weights take, packed and as they are; what steps share is counted once."""
        arrays = {id(array): array for weights in self.weighted.steps for array in weights if array is not None}
        arrays |= {id(array): array for array in self.weighted.values.values()}
        with self.settings():
            return sum(array.nbytes + kernels.packed_bytes(array) for array in arrays.values())

    def __repr__(self) -> str:
        plan = self.plans.get(self.latest) or next(iter(self.plans.values()), None)
        shapes = [[self.graph.values[id].shape for id in step.outputs] for step in self.fusion.steps]
        served, peak = (plan.kernels, (plan.n, plan.peak, plan.replays.bytes)) if plan else (None, None)
        return plan_table(self.graph, self.engine, [step.name for step in self.fusion.steps], served, shapes,
                          self.sizes(), self.weight_bytes, peak)

    def __reduce__(self) -> NoReturn:
        raise TypeError('a Session is neither copied nor pickled: its weights are packed for this machine. '
                        'Copy or save the model, and compile that')


def own(y: Array, inputs: Sequence[Array]) -> Array:
    """Return a result as the caller's own: a copy, if it is a constant of the session's, or an input's memory."""
    return y if y.flags.writeable and not any(owner(y) is owner(x) for x in inputs) else y.copy()


def owner(array: Array) -> Array:
    """Return the array whose memory this one shows."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array
