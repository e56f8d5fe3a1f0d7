"""What is computed: networks and single layers, each with its size, its multiply-adds and its random numbers.

Every participant draws the same numbers from the same seed, so weights need not travel. `--quick` makes all sizes small
enough to try everything in a minute; such times say nothing about speed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from nailorch.shapes import Array, Window

__all__ = ['JOBS', 'Convolution', 'Dense', 'Layer', 'Network', 'Operation', 'Stack', 'Workload']

JOBS = ('forward', 'data-grad', 'weight-grad')  # of a layer; those of a network are inference and training
Step = tuple[str, int]  # ('conv', channels), ('relu', 0), ('pool', 2), ('flatten', 0), ('dropout', percent), ...
Shape = tuple[int, ...]


def numbers(shape: Shape, seed: int, scale: float = 1.0) -> Array:
    """Return normal float32 numbers that only `shape`, `seed` and `scale` decide."""
    return np.random.default_rng(seed).standard_normal(shape, np.float32) * np.float32(scale)


@dataclass(frozen=True)
class Workload:
    """One piece of work, for one batch."""

    name: str
    job: str
    batch: int
    group: str

    # Relative root mean square. In one layer float32 gives 1e-6, large Winograd tiles 1e-5, bfloat16 4e-3.
    tolerance: ClassVar[float] = 1e-4

    @property
    def flops(self) -> float:
        """Floating-point operations of the direct method; whoever needs fewer shows more of them a second."""
        raise NotImplementedError

    @property
    def bytes(self) -> float:
        """The least that has to be read and written: inputs, weights and results, once each."""
        raise NotImplementedError

    @property
    def shape(self) -> str:
        """The sizes in words."""
        raise NotImplementedError


@dataclass(frozen=True)
class Operation:
    """One operation of a network, for whoever builds the same one.

    Attributes:
        kind: 'conv', 'norm', 'relu', 'relu6', 'add', 'pool' (maxima), 'average' (of all pixels), 'flatten', 'linear',
            'dropout'.
        inputs: the operations whose results it takes, by their places in the list; -1 is the image.
        shape: of one item of its result.
        arrays: a conv's W and perhaps b; a linear's W (IN, OUT) and b; a norm's gamma, beta, mean, var.
        window, groups, eps, ratio: of a conv or pool; a conv; a norm; a dropout.
    """

    kind: str
    inputs: tuple[int, ...]
    shape: Shape
    arrays: tuple[Array, ...] = ()
    window: Window = field(default_factory=lambda: Window(1))
    groups: int = 1
    eps: float = 0.0
    ratio: float = 0.0


@dataclass(frozen=True)
class Network(Workload):
    """A whole network: 'inference', or 'training', one step of forward, backward and update.

    `model` and `options` name ours; `operations` is the same network for everyone else.
    """

    model: str
    options: dict[str, Any]
    image: Shape
    optimizer: str = ''

    @property
    def tolerance(self) -> float:  # type: ignore[override]
        """Errors add up over many layers; gradients go through decisions (ReLU, max) that rounding may flip."""
        return 2e-2 if self.job == 'training' else 1e-3

    def operations(self) -> list[Operation]:
        """Return what the network computes, with its weights, in an order in which it can be computed."""
        raise NotImplementedError

    @property
    def classes(self) -> int:
        """How many scores come out."""
        raise NotImplementedError

    def inputs(self) -> tuple[Array, Array]:
        """Return images and class numbers."""
        return numbers((self.batch, *self.image), 1000), np.arange(self.batch) * 7 % self.classes

    @property
    def shape(self) -> str:
        return f'{self.model} {self.batch}x' + 'x'.join(map(str, self.image))


@dataclass(frozen=True)
class Stack(Network):
    """A network of one layer after the other: 3x3 convolutions of padding 1, max pools, dense layers.

    Training is with dropout on.
    """

    steps: tuple[Step, ...] = ()

    def layers(self) -> Iterator[tuple[str, Shape, Shape]]:
        """Yield every step's kind, with the shapes of one item before and after it."""
        shape = self.image
        for kind, size in self.steps:
            before = shape
            if kind in ('conv', 'linear'):
                shape = (size, *before[1:])
            elif kind == 'pool':
                shape = (before[0], before[1] // size, before[2] // size)
            elif kind == 'flatten':
                shape = (math.prod(before),)
            yield kind, before, shape

    def weights(self) -> list[Array]:
        """Return W, b, W, b ... as ours keeps them: (OC, C, 3, 3) and (IN, OUT)."""
        found = []
        for seed, (kind, before, after) in enumerate(self.layers()):
            if kind in ('conv', 'linear'):
                shape = (after[0], before[0], 3, 3) if kind == 'conv' else (before[0], after[0])
                fan_in = before[0] * (9 if kind == 'conv' else 1)
                found += [numbers(shape, seed, math.sqrt(2 / fan_in)), numbers((after[0],), 100 + seed, 0.1)]
        return found

    def operations(self) -> list[Operation]:
        weights, found = iter(self.weights()), list[Operation]()
        for place, (kind, _, after) in enumerate(self.layers()):
            size = self.steps[place][1]
            arrays = (next(weights), next(weights)) if kind in ('conv', 'linear') else ()
            window = Window(3, 1, 1) if kind == 'conv' else Window(size, size) if kind == 'pool' else Window(1)
            found.append(Operation(kind, (place - 1,), after, arrays, window,
                                   ratio=size / 100 if kind == 'dropout' else 0.0))
        return found

    @property
    def classes(self) -> int:
        return self.steps[-1][1]

    @property
    def flops(self) -> float:
        each = [2.0 * math.prod(after) * before[0] * (9 if kind == 'conv' else 1)
                for kind, before, after in self.layers() if kind in ('conv', 'linear')]
        # Both gradients cost as much as forward; the images themselves need none.
        return self.batch * (3 * sum(each) - each[0] if self.job == 'training' else sum(each))

    @property
    def bytes(self) -> float:
        weights = sum(math.prod(after[:1]) * (before[0] * (9 if kind == 'conv' else 1) + 1)
                      for kind, before, after in self.layers() if kind in ('conv', 'linear'))
        return 4.0 * (weights + self.batch * (math.prod(self.image) + self.classes))


@dataclass(frozen=True)
class Layer(Workload):
    """One layer: 'forward', or the gradient of its data or of its weights alone."""

    def shapes(self) -> tuple[Shape, Shape, Shape]:
        """Return the shapes of x, W and y."""
        raise NotImplementedError

    def arrays(self) -> tuple[Array, Array, Array]:
        """Return x, W, and gy of y's shape."""
        x, W, y = self.shapes()
        return numbers(x, 1), numbers(W, 2), numbers(y, 3)

    @property
    def bytes(self) -> float:
        return 4.0 * sum(map(math.prod, self.shapes()))


@dataclass(frozen=True)
class Convolution(Layer):
    """A convolution without bias."""

    image: Shape  # C, H, W
    channels: int
    kernel: int
    stride: int = 1
    pad: int = 0
    dilation: int = 1
    groups: int = 1

    @property
    def window(self) -> Window:
        return Window(self.kernel, self.stride, self.pad, self.dilation)

    def shapes(self) -> tuple[Shape, Shape, Shape]:
        C, H, W = self.image
        return ((self.batch, C, H, W), (self.channels, C // self.groups, self.kernel, self.kernel),
                (self.batch, self.channels, *self.window.outsize((H, W))))

    @property
    def flops(self) -> float:
        _, W, y = self.shapes()
        return 2.0 * math.prod(y) * math.prod(W[1:])

    @property
    def shape(self) -> str:
        words = f'{self.batch}x' + 'x'.join(map(str, self.image)) + f' -> {self.channels}, {self.kernel}x{self.kernel}'
        for name, value in (('/', self.stride), (' dilation ', self.dilation), (' groups ', self.groups)):
            words += f'{name}{value}' if value != 1 else ''
        return words


@dataclass(frozen=True)
class Dense(Layer):
    """A matrix of weights without bias: with few items, its speed is that of reading the weights."""

    features: int
    outputs: int

    def shapes(self) -> tuple[Shape, Shape, Shape]:
        return (self.batch, self.features), (self.features, self.outputs), (self.batch, self.outputs)

    @property
    def flops(self) -> float:
        return 2.0 * self.batch * self.features * self.outputs

    @property
    def shape(self) -> str:
        return f'{self.batch}x{self.features} -> {self.outputs}'
