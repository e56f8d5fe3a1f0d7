"""Layer: a function that owns its parameters.

Nothing is registered. What a layer owns is what stands in its attributes: Parameters, Buffers and other layers, in the
order in which they were assigned, also inside lists, tuples and dicts. A thing's name is the path to it: 'conv1/W',
'blocks/0/b'.
"""

from __future__ import annotations

import contextvars
import inspect
import os
import reprlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self, TypeAlias

import numpy as np

from nailorch.config import Config, test_mode
from nailorch.core import Buffer, Parameter, Variable, as_array
from nailorch.hints import LAYER, Checked, missing
from nailorch.messages import message
from nailorch.shapes import Array

__all__ = ['Hook', 'Layer', 'check_nobias', 'current_layers', 'float_dtype', 'unknown', 'warn_if_double']

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]

_running: contextvars.ContextVar[tuple[Layer, ...]] = contextvars.ContextVar('nailorch_layers', default=())


def current_layers() -> tuple[Layer, ...]:
    """Return the layers whose forward is running now, the outermost first."""
    return _running.get()


class Layer(Checked):
    """A part of a network: assign parameters and other layers to attributes, and write `forward`.

    Example:
        >>> class Scale(Layer):
        ...     def __init__(self):
        ...         self.factor = Parameter(np.ones(1))
        ...     def forward(self, x):
        ...         return x * self.factor
        >>> scale = Scale()
        >>> scale(np.array([2., 3.]))
        variable([2. 3.])
        >>> [name for name, parameter in scale.named_parameters()]
        ['factor']
    """

    training = True
    _hooks: tuple[Hook, ...] = ()
    # What PyTorch and Keras call this layer's own arrays; see `torch_name` for the layers in it.
    torch_names: ClassVar[Mapping[str, str]] = {}
    keras_names: ClassVar[Mapping[str, str]] = {}
    keras_kind: Any = ''  # what Keras calls such a layer that has no name
    torch_extras: ClassVar[tuple[str, ...]] = ()  # arrays that are saved there and have no counterpart here

    if not TYPE_CHECKING:
        def __getattr__(self, name: str) -> Any:
            raise missing(self, name, LAYER)

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, set | frozenset) and any(isinstance(each, Layer | Variable) for each in value):
            raise TypeError(message('layer.set', layer=type(self).__name__, name=name))
        array = isinstance(value, np.ndarray | Variable) and not isinstance(value, Parameter)
        if array and isinstance(vars(self).get(name), Parameter):
            raise TypeError(message('layer.parameter', layer=type(self).__name__, name=name))
        super().__setattr__(name, value)

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        token = _running.set((*_running.get(), self))
        try:
            if self.training or not Config.train:
                outputs = self.forward(*inputs, **options)
            else:
                with test_mode():
                    outputs = self.forward(*inputs, **options)
        except ValueError as error:
            if not hasattr(error, '__notes__'):
                note_where(error, _running.get(), inputs)
            raise
        finally:
            _running.reset(token)
        for hook in self._hooks:
            hook.function(self, inputs, outputs)
        return outputs

    def forward(self, *inputs: Any) -> Any:
        """Compute the outputs from the inputs, by Functions and other layers."""
        raise NotImplementedError(f'{type(self).__name__}.forward is not written')

    # what a layer owns

    def named_layers(self) -> Iterator[tuple[str, Layer]]:
        """Yield (name, layer) for every layer in here, this one first, as ''; one found twice, by its first name."""
        return ((name, thing) for name, thing, _ in walk(self) if isinstance(thing, Layer))

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield (name, parameter) for all that is learned, in definition order; tied ones once, by their first name."""
        return ((name, thing) for name, thing, _ in walk(self)
                if isinstance(thing, Parameter) and not isinstance(thing, Buffer))

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        """Yield (name, buffer) for all that is saved with the parameters, but not learned."""
        return ((name, thing) for name, thing, _ in walk(self) if isinstance(thing, Buffer))

    def params(self) -> Iterator[Parameter]:
        """Yield every parameter once, in definition order."""
        return (parameter for _, parameter in self.named_parameters())

    def cleargrads(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.params():
            parameter.cleargrad()

    # training and evaluating

    def train(self, mode: bool = True) -> Self:
        """Let this layer and all in it learn again, after `eval()`."""
        for _, layer in self.named_layers():
            layer.training = mode
        return self

    def eval(self) -> Self:
        """Compute from now on as in `test_mode()`: dropout passes everything, batch norm uses its averages."""
        return self.train(False)

    def register_forward_hook(self, function: Callable[[Layer, tuple[Any, ...], Any], Any]) -> Hook:
        """Call `function(layer, inputs, outputs)` after every forward, until `remove()` of the returned hook.

        Hooks watch: what they return is ignored. They stay behind when a layer is copied or pickled.
        """
        hook = Hook(self, function)
        self._hooks = *self._hooks, hook
        return hook

    # weights

    def state_dict(self) -> dict[str, Array]:
        """Return name -> array of all parameters and buffers: the arrays themselves, so copy what you keep.

        Raises:
            ValueError: sizes are still unknown, since the layer was never called.
        """
        owned = slots(self)
        names = [name for name, (slot, _) in owned.items() if unknown(slot)]
        if names:
            raise ValueError(message('weights.unknown', layer=type(self).__name__, names=', '.join(names)))
        return {name: slot.data for name, (slot, _) in owned.items()}

    def load_state_dict(self, arrays: Mapping[str, Any], strict: bool = True) -> list[str]:
        """Give the parameters and buffers of the same names copies of `arrays`; all must fit, or nothing is loaded.

        Arrays that they held before are left as they were.

        Args:
            arrays: as `state_dict` returns them.
            strict: False loads what fits.
        Returns:
            what was not loaded, a line each; with `strict`, nothing.
        Raises:
            ValueError: a name is missing or unknown, or a shape is wrong; all such names are listed.
        """
        chosen, skipped = choose(self, {name: np.shape(array) for name, array in arrays.items()}, strict)
        put(self, {name: arrays[name] for name in chosen})
        return skipped

    def save_weights(self, path: str | os.PathLike[str]) -> None:
        """Write all parameters and buffers to a file, whole or not at all.

        Args:
            path: '.safetensors' chooses that format; else it is an .npz file, and as np.savez does, '.npz' is appended.
        Raises:
            ValueError: sizes are still unknown, since the layer was never called; or the path ends as other kinds of
                weights do, '.pth', '.pt' or '.h5', which are only read.
            OSError: the file cannot be written; an older one is as it was.
        """
        write_weights(path, self.state_dict())

    def load_weights(self, path: str | os.PathLike[str], strict: bool = True) -> list[str]:
        """Read what `save_weights` wrote; a layer that was never called learns its sizes from the file.

        Args:
            path: what `save_weights` was given.
            strict: False loads what fits, and returns what did not, a line each.
        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is broken; or a name is missing or unknown, or a shape is wrong: all such are listed.
                Nothing is loaded then.
        """
        from nailorch.formats.npz import load_npz
        from nailorch.formats.weights import kind_of, read_weights

        if Path(path).is_file() and kind_of(Path(path)) != 'npz':
            found = read_weights(path)
            arrays = found.arrays
            if not arrays.keys() & slots(self).keys() and LOADERS[found.kind] != 'load_weights':
                raise ValueError(message('weights.other', path=path, kind=found.kind, remedy=LOADERS[found.kind]))
            chosen, skipped = choose(self, {name: array.shape for name, array in arrays.items()}, strict,
                                     f'{os.fspath(path)}: ')
            put(self, {name: arrays[name] for name in chosen})
            return skipped
        skipped = []

        def wanted(shapes: Shapes) -> list[str]:
            chosen, skipped[:] = choose(self, shapes, strict, f'{os.fspath(path)}: ')
            return chosen

        put(self, load_npz(path, wanted), copy=None)
        return skipped

    # other frameworks

    def torch_name(self, path: str) -> str:
        """Return what PyTorch calls the layer at `path` in this one: 'blocks/0/conv' is its 'blocks.0.conv'.

        A layer whose parts have other names there overrides this. What a layer's own arrays are called, `torch_names`
        tells.
        """
        return outer_name(self, path, 'torch_name', '.')

    def keras_name(self, path: str) -> str:
        """Return what Keras calls the layer at `path` in this one: by default the same."""
        return outer_name(self, path, 'keras_name', '/')

    def keras_array(self, name: str) -> str:
        """Return what Keras calls this layer's own array `name`."""
        return self.keras_names.get(name, name)

    def keras_flatten(self) -> dict[str, int]:
        """Return the path of each dense layer that reads flattened images -> their channels.

        Keras flattens (H, W, C), not (C, H, W), so the rows of W stand in another order there.
        """
        return {}

    def torch_layout(self, name: str, array: Array) -> Array:
        """Return one of this layer's own arrays, called `name` here, turned from PyTorch's layout, or back into it."""
        return array

    def keras_layout(self, name: str, array: Array) -> Array:
        """Return one of this layer's own arrays, called `name` here, turned from Keras's layout."""
        return array

    # devices and copies

    def to_cpu(self) -> Self:
        """Return this layer: it is on the CPU."""
        return self

    def to_gpu(self) -> NoReturn:
        """Raise, since no GPU is usable."""
        raise RuntimeError(message('gpu.none'))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != '_hooks'}

    # prints

    @reprlib.recursive_repr()
    def __repr__(self) -> str:
        parts = [f'{name}: {getattr(part, "__name__", part)}' for name, part in self._children()]
        inside = ''.join('\n  ' + part.replace('\n', '\n  ') for part in parts)
        return f'{type(self).__name__}({", ".join(arguments(self))}{inside}' + ('\n)' if parts else ')')

    def _children(self) -> Iterator[tuple[str, Any]]:
        """Yield (name, layer) for the layers directly in this one, as `repr` shows them."""
        return ((name, thing) for name, thing in held(vars(self)) if isinstance(thing, Layer))


def note_where(error: ValueError, running: tuple[Layer, ...], inputs: tuple[Any, ...]) -> None:
    """Add to an error in which of the outermost layer's parts it arose: the traceback ends with it."""
    outer, inner = running[0], running[-1]
    path = next((name for name, layer in outer.named_layers() if layer is inner), '')
    if path:
        layer = type(inner).__name__ if '\n' in repr(inner) else repr(inner)
        given = ', '.join(str(getattr(each, 'shape', type(each).__name__)) for each in inputs)
        error.add_note(message('layer.where', path=path, layer=layer, given=given))


class Hook:
    """A function that watches a layer until it is removed."""

    def __init__(self, layer: Layer, function: Callable[[Layer, tuple[Any, ...], Any], Any]) -> None:
        self.layer, self.function = layer, function

    def remove(self) -> None:
        """Watch no longer; once is enough, twice does no harm."""
        self.layer._hooks = tuple(hook for hook in self.layer._hooks if hook is not self)


Thing: TypeAlias = Layer | Parameter
THINGS = Layer, Parameter
LOADERS = {'torch': 'load_torch', 'keras': 'load_keras', 'npz': 'load_weights', 'safetensors': 'load_weights'}
LINES = 40  # of an error that lists what does not fit
CONTAINERS = dict, list, tuple
OTHERS = '.pth', '.pt', '.h5'  # weights of others' kinds, which are read but not written
PLAIN = {int, float, bool, str, type(None)}  # what most attributes are


def walk(layer: Layer) -> list[tuple[str, Thing, Layer]]:
    """Return (name, layer or parameter, the layer that holds it), depth first, `layer` itself as ''; each thing once.

    Raises:
        ValueError: two things have one name.
    """
    found: list[tuple[str, Thing, Layer]] = [('', layer, layer)]
    seen, names = {id(layer)}, set()

    def visit(layer: Layer, path: str) -> None:
        for key, thing in held(vars(layer)):
            if id(thing) in seen:
                continue
            seen.add(id(thing))
            name = path + key
            if name in names:
                raise ValueError(f'two parts of the model are called {name!r}; rename a key of a dict')
            names.add(name)
            found.append((name, thing, layer))
            if isinstance(thing, Layer):
                visit(thing, f'{name}/')

    visit(layer, '')
    return found


def held(items: dict[Any, Any] | Sequence[Any], path: str = '',
         around: tuple[int, ...] = ()) -> Iterator[tuple[str, Thing]]:
    """Yield the layers and parameters among `items`, and in the lists, tuples and dicts among them."""
    for key, item in items.items() if isinstance(items, dict) else enumerate(items):
        if type(item) in PLAIN:
            continue
        name = f'{path}{key}'
        if isinstance(item, THINGS):
            yield name, item
        elif isinstance(item, CONTAINERS) and id(item) not in around:
            yield from held(item, f'{name}/', (*around, id(item)))


def write_weights(path: str | os.PathLike[str], arrays: Mapping[str, Array]) -> None:
    """Write arrays by name to a .safetensors file, if `path` ends so, or an .npz file."""
    from nailorch.formats.npz import save_npz
    from nailorch.formats.safetensors import save_safetensors

    if (suffix := Path(path).suffix) in OTHERS:  # rather than net.pth.npz, which nobody will look for
        raise ValueError(message('weights.suffix', path=path, suffix=suffix, stem=Path(path).with_suffix('')))
    if os.fspath(path).endswith('.safetensors'):
        save_safetensors(Path(path), arrays)
    else:
        save_npz(path, arrays)


def outer_name(layer: Layer, path: str, method: str, dot: str) -> str:
    """Return another framework's name of what stands at `path`, which the layers on the way may have a word in."""
    for key, inner in held(vars(layer)):
        if isinstance(inner, Layer) and path.startswith(f'{key}/'):
            rest = path.removeprefix(f'{key}/')
            return f'{getattr(layer, method)(key)}{dot}{getattr(inner, method)(rest)}'
    return path.replace('/', dot)


def unknown(parameter: Any) -> bool:
    """Return whether a parameter's array is still to be made, once the first call has told its size."""
    return parameter.data is None


def slots(layer: Layer) -> dict[str, tuple[Parameter, Any]]:
    """Return name -> (parameter or buffer, the dtype that it has or will have), for all that is saved."""
    return {name: (thing, getattr(owner, 'dtype', Config.dtype) if unknown(thing) else thing.dtype)
            for name, thing, owner in walk(layer) if isinstance(thing, Parameter)}


def choose(layer: Layer, shapes: Shapes, strict: bool, where: str = '') -> tuple[list[str], list[str]]:
    """Return the names that fit the slots, and a line for each name that does not; if `strict`, raise these."""
    expected = {name: wanted_shape(slot) for name, (slot, _) in slots(layer).items()}
    wrong = misfits(expected, shapes)
    for name in wrong:
        if fits(shapes.get(name, ())[::-1], expected.get(name, ())) and len(shapes.get(name, ())) == 2:
            wrong[name] = message('weights.turned', name=name, shape=shapes[name], expected=shown(expected[name]))
    if strict:
        refuse(layer, wrong, where, classes_remedy(layer, expected, shapes, wrong))
    return [name for name in expected if name not in wrong], list(wrong.values())


def wanted_shape(slot: Parameter) -> tuple[int | None, ...] | None:
    """Return the shape that a parameter's array has or will have, as far as it is known."""
    return slot.known_shape if unknown(slot) else slot.shape


def misfits(expected: Mapping[str, Any], shapes: Shapes) -> dict[str, str]:
    """Return a line for each name that is missing, unexpected or of another shape than is expected."""
    wrong = {}
    for name, shape in expected.items():
        if name not in shapes:
            wrong[name] = message('weights.missing', name=name, expected=shown(shape))
        elif not fits(shapes[name], shape):
            wrong[name] = message('weights.shape', name=name, shape=shapes[name], expected=shown(shape))
    for name in shapes:
        if name not in expected:
            wrong[name] = message('weights.unexpected', name=name, shape=shapes[name])
    return wrong


def classes_remedy(layer: Layer, expected: Mapping[str, Any], shapes: Shapes, wrong: Mapping[str, str]) -> str:
    """Return what to do where a model and its weights differ in the number of classes alone, else nothing."""
    if not all(name in shapes and name in expected for name in wrong):
        return ''
    sizes = {(want, size) for name in wrong for want, size in zip(expected[name] or (), shapes[name], strict=False)
             if want not in (None, size)}
    if len(sizes) != 1:
        return ''
    (asked, found), = sizes
    if asked != getattr(layer, 'num_classes', None):
        return ''
    return '\n' + message('weights.classes', model=type(layer).__name__, asked=asked, found=found)


def refuse(layer: Layer, wrong: Mapping[str, str], where: str, remedy: str = '', partly: bool = True) -> None:
    """Raise one ValueError with what is wrong, if anything is; of a long list, `LINES` lines.

    It tells of strict=False where who asked could load the weights `partly`.
    """
    if wrong:
        lines = list(wrong.values())
        if len(lines) > LINES:  # the first are missing or wrong, the last unexpected
            lines[LINES // 2:-LINES // 2] = [message('weights.more', count=len(lines) - LINES)]
        raise ValueError(message('weights.fit', where=where, layer=type(layer).__name__,
                                 partly=message('weights.partly') if partly else '', lines='\n  '.join(lines)) + remedy)


def put(layer: Layer, arrays: Mapping[str, Any], copy: bool | None = True) -> None:
    """Give parameters and buffers `arrays` that fit; `copy` None takes those of the right type as they are."""
    owned = slots(layer)
    ready = {name: np.array(as_array(array), owned[name][1], order='C', copy=copy)
             for name, array in arrays.items()}
    for name, array in ready.items():
        owned[name][0].data = array


def fits(shape: Sequence[int], expected: Sequence[int | None] | None) -> bool:
    """Return whether `shape` is as expected; None stands for any size."""
    return expected is None or (len(shape) == len(expected)
                                and all(want in (None, size) for size, want in zip(shape, expected, strict=True)))


def shown(shape: Sequence[int | None] | None) -> str:
    """Return an expected shape for a message, unknown sizes as '?'."""
    return '(?)' if shape is None else str(tuple(shape)).replace('None', '?')


def arguments(layer: Layer) -> Iterator[str]:
    """Yield the constructor's arguments that are not the default ones, as far as attributes of their names tell."""
    for name, parameter in inspect.signature(type(layer).__init__).parameters.items():
        value = getattr(layer, name, parameter.default)
        if not isinstance(value, bool | int | float | str | tuple):
            continue
        if parameter.default is parameter.empty:
            yield repr(value)
        elif value != parameter.default:
            yield f'{name}={value!r}'


def float_dtype(dtype: Any) -> np.dtype[Any]:
    """Return the type that a layer's parameters get: the one asked for, or `Config.dtype`."""
    dtype = np.dtype(dtype or Config.dtype)
    if dtype.kind != 'f':
        raise TypeError(f'dtype: only floats can be learned, not {dtype}')
    return dtype


def check_nobias(layer: Layer, nobias: Any, example: str) -> None:
    """Raise ValueError unless `nobias` is a bool: Linear(784, 10) is another framework's order."""
    if not isinstance(nobias, bool | np.bool_):
        raise ValueError(message('layer.nobias', layer=type(layer).__name__, value=nobias, example=example))


doubles_met = bytes_met = False  # said once: the same line a thousand times a second helps nobody


def warn_if_double(layer: Layer, x: Any, W: Variable) -> None:
    """Warn, once, where float64 data would make a float32 layer compute in float64, and where bytes of images come."""
    global doubles_met, bytes_met
    if x.dtype == W.dtype:
        return
    if not doubles_met and x.dtype == np.float64 and W.dtype == np.float32:
        doubles_met = True
        text = message('layer.double', layer=type(layer).__name__)
        warnings.warn(text, stacklevel=4)  # the line that calls the layer
    elif not bytes_met and x.dtype == np.uint8 and (most := x.data.max(initial=0)) > 1:
        bytes_met = True
        warnings.warn(message('layer.bytes', layer=type(layer).__name__, most=most), stacklevel=4)
