"""A training step's gradients, written down: for small networks, where Python takes a good part of the time.

    gradients = nailorch.compile_gradients(net)
    loss, scores = gradients(x, t)      forward, loss, cleargrads, backward
    optimizer.update()

The first steps run as they are written. Then one is noted while it runs (kernels/fast/recording.py says how that can be
right), and from then on its jobs run again: on the numbers in x, t and the weights, which are read where they lie. What
NumPy computes between two jobs, a dropout's draws or batch norm's averages, is called there again.

A wrong gradient is worth less than a slow one. So a step is noted only if all its Functions are known to be jobs and
such calls, and make their results in the recording's own memory, of nothing but its inputs and the model's arrays. Then
it is rehearsed: on other images, labels and weights, amid NaN, all that it leaves must be what an ordinary step leaves,
bit for bit. A number that Python puts in may be another one in the next step: a step with such is not noted. And it
runs again only while everything is as it was then: settings, threads, shapes, each attribute of the model. Where
anything differs, the step runs as it is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import is_
from typing import Any

import numpy as np

import nailorch.functions as F
from nailorch import kernels, rng
from nailorch.config import Config
from nailorch.core import Function, Node, Parameter, Variable, supervised, watched
from nailorch.functions.activation import ReLU, ReLU6, ReLU6Grad, ReLUGrad, Sigmoid, Tanh
from nailorch.functions.arithmetic import Add, Div, Exp, Mul, Neg, Sub
from nailorch.functions.convolution import ActivatedConv2d, Conv2d, PooledConv2d
from nailorch.functions.dense import ActivatedLinear, Linear, MatMul
from nailorch.functions.loss import SoftmaxCrossEntropy
from nailorch.functions.noise import Dropout
from nailorch.functions.normalization import BatchNorm, BatchNormAdd
from nailorch.functions.pools import AveragePooling, AveragePoolingGrad, MaxScatter, Pooling, Unspread
from nailorch.functions.reduction import Mean, Sum
from nailorch.functions.shape import BroadcastTo, Concat, Reshape, Split, SumTo, Transpose
from nailorch.layers.base import Layer, walk
from nailorch.session.replaying import AFTER, bits, other_numbers
from nailorch.session.running import owner
from nailorch.shapes import Array, Window

__all__ = ['Gradients', 'compile_gradients']

Loss = Callable[[Any, Any], Variable]
# Functions that are jobs where kernels serve them, and what NumPy computes `again` between; or show the same memory.
OF_JOBS = {ActivatedConv2d, ActivatedLinear, Add, AveragePooling, AveragePoolingGrad, BatchNorm, BatchNormAdd,
           BroadcastTo, Concat, Conv2d, Dropout, Linear, MatMul, MaxScatter, Mul, PooledConv2d, Pooling, ReLU, ReLU6,
           ReLU6Grad, ReLUGrad, Reshape, SoftmaxCrossEntropy, Split, Sub, Sum, SumTo, Transpose}
CALLED = {Div, Exp, Mean, Neg, Sigmoid, Tanh}  # NumPy's, new arrays made of nothing but their inputs
# What attributes may be: if these change, it is seen.
SEEN = (int, float, complex, str, bytes, type(None), slice, np.generic, np.dtype, np.ndarray, dict, list, tuple,
        frozenset, Node, Parameter, Layer, Window)
MEMORY = 64 << 20  # bytes of what is written down: a large network's step takes gigabytes, for some 5 % of the time
KINDS = 64  # of batches that are counted, beside those whose step is written down


def compile_gradients(model: Any, loss: Loss = F.softmax_cross_entropy, memory: int = MEMORY) -> Gradients:
    """Return what computes a model's gradients for batch after batch, without Python between the kernels if it can.

    Args:
        model: a model or layer, x -> scores. Once its step is written down, its `forward` is called no more, while
            nothing about it changes: so let forward depend on x, on its own attributes and on `Config` alone, not
            decide by numbers, and do nothing but compute.
        loss: (scores, t) -> the batch's loss; of it the same is asked.
        memory: bytes, 64 MB unless told, of all that is written down, a step for each shape of batch; a step for which
            the rest is too little runs as it is written. Large networks need some GB, and gain some 5 %.
    Example:
        >>> net = nailorch.layers.Linear(3, in_size=4)
        >>> gradients = compile_gradients(net)
        >>> loss, scores = gradients(np.ones((2, 4), 'float32'), np.array([0, 2]))
        >>> scores.shape, net.W.grad.shape
        ((2, 3), (4, 3))
    """
    return Gradients(model, loss, memory)


class Gradients:
    """A model's gradients for batch after batch: `nailorch.compile_gradients` makes it.

    `gradients(x, t)` does what these lines do, to the last bit:

        y = model(x); loss = ...(y, t); model.cleargrads(); loss.backward()

    and returns (loss, y), without their tape. Each `p.grad` then holds this step's gradient. Its array may be the next
    step's too: copy what you keep for longer.
    """

    def __init__(self, model: Any, loss: Loss = F.softmax_cross_entropy, memory: int = MEMORY) -> None:
        self.model, self.loss, self.memory = model, loss, memory
        self.circumstances: Circumstances | None = None
        self.courses: dict[Any, Course] = {}

    def __call__(self, x: Any, t: Any) -> tuple[Variable, Any]:
        """Compute the loss, and leave the gradients in the parameters."""
        if not (isinstance(x, np.ndarray) and isinstance(t, np.ndarray)) or watched():
            return self.as_written(x, t)
        if self.circumstances is None or not self.circumstances.hold(self.model, self.loss):
            self.circumstances, self.courses = Circumstances(self.model, self.loss), {}
        course = self.course(x, t)
        step = course.take()
        if step is not None:
            try:
                found = step(x, t)
            finally:
                course.idle.append(step)
            return self.as_written(x, t) if found is None else found
        return self.recorded(course, x, t) if course.is_due() else self.as_written(x, t)

    def __repr__(self) -> str:
        """Say how much memory the steps take that are written down."""
        count = sum(len(course.idle) for course in self.courses.values())
        return f'Gradients({type(self.model).__name__}: {count} written down, {self.bytes / 1e6:,.2f} MB)'

    @property
    def bytes(self) -> int:
        return sum(step.recording.bytes for course in [*self.courses.values()] for step in course.idle)

    def __reduce__(self) -> Any:
        """Copy and pickle what it was made of: what is written down is written at places in memory."""
        return Gradients, (self.model, self.loss, self.memory)

    def as_written(self, x: Any, t: Any) -> tuple[Variable, Any]:
        """Compute them as the lines above say."""
        y = self.model(x)
        loss = self.loss(y, t)
        self.model.cleargrads()
        loss.backward()
        return loss.detach(), y.detach() if isinstance(y, Variable) else y

    def course(self, x: Array, t: Array) -> Course:
        """Return what is known of steps on such batches."""
        kind = x.shape, x.dtype, x.strides, t.shape, t.dtype, t.strides
        course = self.courses.get(kind)
        if course is None:
            written = {kind: course for kind, course in self.courses.items() if course.idle}
            if len(self.courses) - len(written) >= KINDS:
                self.courses = written
            course = self.courses[kind] = Course()
        return course

    def recorded(self, course: Course, x: Array, t: Array) -> tuple[Variable, Any]:
        """Compute this step while it is noted, and keep what was noted if it can be used again."""
        circumstances = self.circumstances
        recording = kernels.listener(max(self.memory - self.bytes, 0), learns=True)
        if recording is None or circumstances is None or circumstances.hooked:
            return self.as_written(x, t)
        state = State([array for array in circumstances.arrays if array.flags.writeable])
        try:
            step = Step(recording, self, circumstances, x, t, state)
        except MemoryError:  # more than there may be: begin once more
            state.restore()
            return self.as_written(x, t)
        except Exception:  # such as a wrong label: the next one is to be noted
            course.runs -= 1
            raise
        if step.first is not None:
            return step.first
        result = step.result()
        found = {p: None if p.grad is None else p.grad.data.copy(order='K') for p in circumstances.parameters}
        try:
            if step.is_right(self, state) and circumstances.hold(self.model, self.loss):
                course.idle.append(step)
        finally:
            leave(found)
        if course.idle:
            recording.settle()
        return result


class Course:
    """Steps on batches of one kind: how many there were, and the recording, if nobody is using it.

    No lock guards it, which a forked child could find locked: whoever takes the recording from the list has it.
    """

    def __init__(self) -> None:
        self.idle, self.runs = list[Step](), 0

    def take(self) -> Step | None:
        try:
            step = self.idle.pop()
        except IndexError:
            return None
        return step if step.recording.fits() else None

    def is_due(self) -> bool:
        """Return whether this step is to be noted: once."""
        self.runs += 1
        return self.runs == AFTER + 1


class Step:
    """A step's way from images and labels to gradients, that can be run again: by one thread at a time.

    It supervises the Functions of its first run, and takes note where one of them is not known to be jobs alone.

    Attributes:
        first: the loss and scores of that run, if it cannot be run again.
    Raises:
        MemoryError: it takes more than the recording has.
    """

    is_going_back = False

    def __init__(self, recording: Any, gradients: Gradients, circumstances: Circumstances, x: Array, t: Array,
                 state: State) -> None:
        self.recording, self.circumstances = recording, circumstances
        self.x, self.t = recording.own(x), recording.own(t)
        with recording.listening(), supervised(self):
            loss, y = gradients.as_written(self.x, self.t)
        self.changing = state.changed()
        self.grads = {p: None if p.grad is None else p.grad.data for p in circumstances.parameters}
        arrays = [loss.data, *(grad for grad in self.grads.values() if grad is not None)]
        self.first = None if isinstance(y, Variable) and recording.jobs and recording.jobs_alone and all(
            map(recording.holds, [y.data, *arrays])) else tuple(map(apart, (loss, y)))
        if self.first is None:  # the places alone are kept: what is let go of, the rehearsal may write to
            self.loss, self.y = recording.window(loss.data), recording.window(y.data)
            self.grads = {p: None if grad is None else recording.window(grad) for p, grad in self.grads.items()}

    # its first run

    def is_ours(self, array: Array) -> bool:
        """Return whether an array is made anew by each run, or the model's own; another may be of this batch alone.

        So may a single number, which Python perhaps made of others; but those in the known backwards are constants.
        """
        return (self.recording.holds(array) or self.circumstances.owns(array)
                or (array.ndim == 0 and self.is_going_back))

    def forward(self, function: Function, xs: list[Array]) -> Any:
        kind = type(function)
        if not all(map(self.is_ours, xs)):
            self.recording.jobs_alone = False
        if kind in CALLED:
            return kernels.again(lambda: function.forward(*xs))
        ys = function.forward(*xs)
        if kind not in OF_JOBS or not all(map(self.is_ours, map(np.asarray, ys if isinstance(ys, tuple) else (ys,)))):
            self.recording.jobs_alone = False
        return ys

    def backward(self, function: Function, gys: list[Variable]) -> Any:
        self.is_going_back = type(function) in OF_JOBS | CALLED
        gxs = function.backward(*gys)
        self.is_going_back = False
        for gx in gxs if isinstance(gxs, tuple | list) else (gxs,):
            passed = any(gx is gy for gy in gys)  # as it came: the first one is the constant 1
            if gx is not None and not passed and not (isinstance(gx, Variable) and all(map(self.is_ours, sources(gx)))):
                self.recording.jobs_alone = False
        return gxs

    # its rehearsal

    def is_right(self, gradients: Gradients, state: State) -> bool:
        """Return whether a run leaves, of other numbers everywhere, what a step that is not noted leaves of them.

        `state` is that before the first run; large networks' weights are copied no more than this once.
        """
        state.renew(self.changing[0])
        try:
            with np.errstate(all='ignore'):
                return self.agrees(gradients, state)
        except Exception:  # the model or the loss does not take these numbers
            return False
        finally:
            state.restore()

    def agrees(self, gradients: Gradients, real: State) -> bool:
        x, t = np.empty_like(self.x), np.empty_like(self.t)
        np.copyto(x, others(self.x))
        np.copyto(t, others(self.t))
        for array, numbers in real.copies:
            np.copyto(array, others(numbers))
        begin = Marks(real)
        loss, y = gradients.as_written(x, t)
        expected = [bits(loss.data), bits(y.data), *(p.grad is not None and bits(p.grad.data) for p in self.grads)]
        after, changing = Marks(real), begin.changed()
        known = {id(array): array for array in self.changing[0] + changing[0]}
        self.changing = [*known.values()], self.changing[1] or changing[1]
        for array, numbers in real.copies:
            if any(array is other for other in changing[0]):
                np.copyto(array, others(numbers))
        rng.set_state(begin.generator)
        self.recording.spoil()
        self.run(x, t)
        found = [bits(self.loss), bits(self.y), *(grad is not None and bits(grad) for grad in self.grads.values())]
        return self.recording.is_good() and found == expected and not any(after.changed())

    # again

    def run(self, x: Array, t: Array) -> None:
        self.recording.fill(self.x, x)
        self.recording.fill(self.t, t)
        self.recording.begin()
        self.recording.run_all_again()

    def __call__(self, x: Array, t: Array) -> tuple[Variable, Variable] | None:
        """Return the loss and the scores, and leave the gradients; None where kernels alone do not find them."""
        before = State(*self.changing)
        for p in self.grads:
            p.node.grad = None  # should anything go wrong now, nobody reads half a gradient
        self.run(x, t)
        if not self.recording.is_good():
            before.restore()
            return None
        leave(self.grads)
        return self.result()

    def result(self) -> tuple[Variable, Variable]:
        loss, y = (Variable.at(Node(False), array.copy(order='K')) for array in (self.loss, self.y))
        return loss, y


def apart(y: Any) -> Any:
    """Return a Variable in memory of its own, not in an arena that would stay as long as it does."""
    return Variable.at(Node(False), y.data.copy(order='K')) if isinstance(y, Variable) else y


def sources(gx: Variable) -> list[Array]:
    """Return what a gradient is, or is to be made of."""
    return [gx.gy, gx.index] if isinstance(gx, Unspread) else [gx.data]


def others(array: Array) -> Array:
    """Return numbers that differ in their sum, extremes and counts too; integers are from among those there are."""
    mixed = other_numbers(array)
    if array.dtype.kind == 'f':
        mixed *= array.dtype.type(1.25)
        return mixed
    return np.random.default_rng(1).choice(mixed.ravel(), mixed.shape) if mixed.size else mixed


def leave(grads: dict[Parameter, Array | None]) -> None:
    for p, grad in grads.items():
        p.node.grad = None if grad is None else Variable.at(Node(False), grad)


class State:
    """Numbers that a step may change on its way, as they were: some arrays, and the generator if it is asked for."""

    def __init__(self, arrays: Sequence[Array], draws: bool = True) -> None:
        self.copies = [(array, array.copy()) for array in arrays]
        self.generator = rng.get_state() if draws else None

    def restore(self) -> None:
        """Make everything what it was, whatever interrupts: halves of old and new numbers would be no weights."""
        interruption: KeyboardInterrupt | None = None
        while True:
            try:
                for array, copy in self.copies:
                    np.copyto(array, copy)
                if self.generator is not None:
                    rng.set_state(self.generator)
                break
            except KeyboardInterrupt as error:
                interruption = error
        if interruption is not None:
            raise interruption

    def renew(self, arrays: Sequence[Array]) -> None:
        """Take note of what some of the arrays have become, and the generator."""
        for array, copy in self.copies:
            if any(array is other for other in arrays):
                np.copyto(copy, array)
        self.generator = rng.get_state()

    def changed(self) -> tuple[list[Array], bool]:
        """Return the arrays that have changed, and whether there were draws."""
        return ([array for array, copy in self.copies if bits(array) != bits(copy)],
                str(rng.get_state()) != str(self.generator))


class Marks:
    """The same, where nothing is to be restored: what tells a State's arrays as they are now from any other numbers."""

    def __init__(self, state: State) -> None:
        self.bits = [(array, bits(array)) for array, _ in state.copies]
        self.generator = rng.get_state()

    def changed(self) -> tuple[list[Array], bool]:
        return ([array for array, known in self.bits if bits(array) != known],
                str(rng.get_state()) != str(self.generator))


class Circumstances:
    """What a step depends on beside numbers, as far as it can be seen, and as it is now.

    Attributes:
        parameters: the model's, buffers apart.
        arrays: of its parameters and buffers.
        hooked: somebody wants to be told of a layer's results; or a layer holds things that may change unseen.
    """

    def __init__(self, model: Any, loss: Any) -> None:
        self.model, self.loss, self.settings = model, loss, settings()
        things = [thing for part in (model, loss) if isinstance(part, Layer) for _, thing, _ in walk(part)]
        slots = [thing for thing in things if isinstance(thing, Parameter)]
        self.parameters = [p for p in slots if p.learned]
        self.flags = [(p.node, p.requires_grad) for p in slots]
        self.contents = [(items, [*items]) for thing in things for items in holders(vars(thing).values())]
        values = [value for _, held in self.contents for value in held]
        self.arrays = [*{id(value): value for value in values if isinstance(value, np.ndarray)}.values()]
        self.known = {id(owner(array)) for array in self.arrays}
        self.hooked = any(isinstance(thing, Layer) and thing._hooks for thing in things) or not all(
            isinstance(value, SEEN) or callable(value) for value in values)

    def owns(self, array: Array) -> bool:
        """Return whether an array is one of the model's."""
        return id(owner(array)) in self.known

    def hold(self, model: Any, loss: Any) -> bool:
        """Return whether all is as it was: the same objects in every attribute, list and dict of every layer."""
        return (self.model is model and self.loss is loss and self.settings == settings()
                and all([node.requires_grad is flag for node, flag in self.flags])
                and all([len(items) == len(held) and all(map(is_, items, held)) for items, held in self.contents]))


def settings() -> tuple[dict[str, Any], int]:
    return Config.in_force(), kernels.computing_threads()


def holders(items: Any, around: tuple[int, ...] = ()) -> Iterator[Any]:
    """Yield what a dict (its values, as they will be), list or tuple holds, and those in it do."""
    yield items
    for item in items:
        if isinstance(item, dict | list | tuple) and id(item) not in around:
            yield from holders(item.values() if isinstance(item, dict) else item, (*around, id(item)))
