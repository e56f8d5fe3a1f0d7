"""Model: the whole network; Sequential and MLP: networks that need no class of their own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self

import nailorch.functions as F
from nailorch.core import Variable
from nailorch.layers import Layer, Linear
from nailorch.layers.base import write_weights
from nailorch.messages import message
from nailorch.models import loading
from nailorch.models.keras_names import keras_loader
from nailorch.shapes import Array

__all__ = ['MLP', 'Classifier', 'Model', 'Sequential']


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

    # weights of other frameworks

    def load_torch(self, weights: str | os.PathLike[str] | Mapping[str, Any], strict: bool = True) -> list[str]:
        """Take PyTorch's weights; PyTorch need not be installed.

        A model that was never called learns its sizes from them. All of them fit, or nothing is loaded.

        Args:
            weights: a state dict's file, .pth or .safetensors, or such a dictionary of arrays.
            strict: False loads what fits.
        Returns:
            what was not loaded, a line each; with `strict`, nothing.
        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is broken; or names are missing or unknown, or shapes wrong: all such are listed.
        """
        arrays, where = loading.open_weights(weights)
        loader = loading.torch_loader(self)
        return loader.load(loading.plain_names(arrays, loader), strict, where)

    def load_keras(self, path: str | os.PathLike[str], strict: bool = True,
                   flatten: Mapping[str, int] | None = None) -> list[str]:
        """Take Keras's weights, of a file of weights or a whole model, .h5; Keras need not be installed.

        Layers belong together that have one name, or if none has, by kind and order. Batch norm's eps is 1e-3 in Keras:
        make yours as `BatchNorm(eps=1e-3)`. What is padded 'same' with a stride of 2 is padded otherwise there.

        Args:
            path: the file.
            strict: False loads what fits.
            flatten: the path of each dense layer that reads flattened, square images -> their channels: Keras keeps
                channels last, so its rows are in another order. {'fc1': 32}; None: what the model knows, as VGG does.
        Returns:
            what was not loaded, a line each; with `strict`, nothing.
        Raises:
            FileNotFoundError: there is no such file.
            ImportError: pyfive is not installed.
            ValueError: the file is broken; or names are missing or unknown, or shapes wrong: all such are listed.
        """
        arrays, where = loading.open_weights(path, keras=True)
        loader, given = keras_loader(self, arrays, flatten)
        return loader.load(given, strict, where)

    def torch_state_dict(self) -> dict[str, Array]:
        """Return copies of all weights under PyTorch's names and in its layouts.

        Example:
            >>> Sequential(Linear(8, in_size=4)).torch_state_dict()['0.weight'].shape
            (8, 4)

        In PyTorch: `module.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})`.

        Raises:
            ValueError: sizes are still unknown, since the model was never called.
        """
        return loading.torch_state_dict(self)

    def save_torch(self, path: str | os.PathLike[str]) -> None:
        """Write all weights for PyTorch: `module.load_state_dict(safetensors.torch.load_file(path))`.

        Args:
            path: ends in '.safetensors'; else it is an .npz file, and '.npz' is appended.
        Raises:
            ValueError: sizes are still unknown, since the model was never called; or the path ends in '.pth', '.pt' or
                '.h5', which are only read.
            OSError: the file cannot be written; an older one is as it was.
        """
        write_weights(path, self.torch_state_dict())

    @classmethod
    def from_pretrained(cls, name_or_path: str | os.PathLike[str] | None = None, **options: Any) -> Self:
        """Return a model with weights that others trained.

        The file may be of any kind and name its arrays as nailorch, PyTorch, Chainer or Keras do. All of them must fit,
        with one exception, for transfer learning: where `num_classes` is asked for and the file's last layer knows
        another number of classes, that layer keeps its new, random weights, and a line on the standard error says so.

        Args:
            name_or_path: a file; or the name of one that nailorch knows for this model, which is fetched if need be;
                None: the usual one.
            options: for the model, such as num_classes=5.
        Raises:
            FileNotFoundError: there is no such file, or it cannot be fetched.
            ValueError: no such name is known for this model; the file is broken; or it does not fit: all is listed.
        """
        return loading.pretrained(cls, name_or_path, options)

    # prints

    def summary(self, input_shape: int | Sequence[int] | Sequence[Sequence[int]], batch_size: int = 1) -> Any:
        """Print a table of layers, output shapes and parameters, for items of (C, H, W) or (features,); return it.

        A model of several inputs is given a list with the shape of each.
        """
        from nailorch.inspection import summary
        table = summary(self, input_shape, batch_size=batch_size)
        print(table)
        return table


class Classifier(Model):
    """A network of two parts: what it sees in images, and which classes that speaks for.

    Where the first part is frozen, its features can be computed once and used in every epoch.
    """

    def forward(self, x: Any) -> Variable:
        return self.classify(self.extract(x))

    def extract(self, x: Any) -> Variable:
        """Return the features of images (N, C, H, W)."""
        raise NotImplementedError

    def classify(self, x: Any) -> Variable:
        """Return the scores (N, K) of features."""
        raise NotImplementedError


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

    def torch_name(self, path: str) -> str:
        """Return what PyTorch's nn.Sequential calls the layer at `path`: 'l2' is its '2'."""
        first, _, rest = path.partition('/')
        inner = getattr(self, first)
        return '.'.join([first[1:], *([inner.torch_name(rest)] if rest else [])])

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
