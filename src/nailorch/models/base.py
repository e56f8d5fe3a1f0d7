"""Model: the whole network; Sequential and MLP: networks that need no class of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import nailorch.functions as F
from nailorch.core import Variable
from nailorch.layers import Layer, Linear
from nailorch.messages import message

__all__ = ['MLP', 'Model', 'Sequential']


class Model(Layer):
    """A Layer that is a whole network.

    Example:
        >>> class Net(Model):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.conv1 = nailorch.layers.Conv2d(16, kernel_size=3, pad=1)
        ...         self.fc1 = nailorch.layers.Linear(10)
        ...     def forward(self, x):
        ...         x = nailorch.functions.relu(self.conv1(x))
        ...         return self.fc1(nailorch.functions.flatten(x))
        >>> Net()(np.ones((2, 1, 8, 8), 'float32')).shape
        (2, 10)
    """

    def summary(self, input_shape: int | Sequence[int], batch_size: int = 1) -> Any:
        """Print a table of layers, output shapes and parameters, for items of (C, H, W) or (features,); return it."""
        from nailorch.inspection import summary
        table = summary(self, input_shape, batch_size=batch_size)
        print(table)
        return table


class Sequential(Model):
    """Layers (or functions, such as F.relu) one after another; they become the attributes l0, l1 ...

    Example:
        >>> net = Sequential(nailorch.layers.Linear(8, in_size=4), nailorch.functions.relu, nailorch.layers.Linear(3))
        >>> [name for name, parameter in net.named_parameters()]
        ['l0/W', 'l0/b', 'l2/W', 'l2/b']
        >>> net(np.ones((2, 4), 'float32')).shape, len(net)
        ((2, 3), 3)
    """

    def __init__(self, *layers: Callable[..., Any]) -> None:
        self.length = 0
        for layer in layers:
            self.append(layer)

    def append(self, layer: Callable[..., Any]) -> Sequential:
        """Add one more layer or function at the end."""
        if isinstance(layer, type):
            raise TypeError(message('sequential.type', name=layer.__name__))
        if not callable(layer):
            raise TypeError(message('sequential.layer', kind=type(layer).__name__))
        setattr(self, f'l{self.length}', layer)
        self.length += 1
        return self

    @property
    def layers(self) -> list[Any]:
        """All layers and functions, in order."""
        return [getattr(self, f'l{index}') for index in range(self.length)]

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Any]:
        return iter(self.layers)

    def __getitem__(self, index: int | slice) -> Any:
        """Return one layer, or for a slice a Sequential of the same layers."""
        chosen = self.layers[index]
        return Sequential(*chosen) if isinstance(index, slice) else chosen

    def _children(self) -> Iterator[tuple[str, Any]]:
        return ((f'l{index}', layer) for index, layer in enumerate(self))


class MLP(Model):
    """Dense layers l0, l1 ... with an activation between two: MLP((100, 10)) has one hidden layer of 100.

    Args:
        sizes: features after each layer; how many go in is found at the first call.
        activation: the function between.
    Example:
        >>> MLP((100, 10))(np.ones((2, 784), 'float32')).shape
        (2, 10)
    """

    def __init__(self, sizes: Sequence[int], activation: Callable[[Any], Variable] = F.sigmoid) -> None:
        self.sizes, self.activation = tuple(sizes), activation
        for index, size in enumerate(self.sizes):
            setattr(self, f'l{index}', Linear(size))

    @property
    def layers(self) -> list[Any]:
        """The dense layers, in order."""
        return [getattr(self, f'l{index}') for index in range(len(self.sizes))]

    def forward(self, x: Any) -> Variable:
        *hidden, last = self.layers
        for layer in hidden:
            x = self.activation(layer(x))
        return last(x)
