"""What is done to one image on its way into a batch: sizes, augmentation, numbers.

Geometric transforms take PIL images and (C, H, W) arrays; sizes are an int or (height, width). What is random draws
from `nailorch.rng`: a DataLoader gives each sample of each epoch a generator of its own, so an epoch does not depend on
the number of workers. No transform modifies its input.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nailorch.config import Config
from nailorch.hints import TRANSFORMS, missing
from nailorch.messages import message
from nailorch.rng import generator
from nailorch.shapes import Array, Pair, pair

__all__ = [
    'AsType',
    'CenterCrop',
    'ColorJitter',
    'Compose',
    'Convert',
    'Flatten',
    'Normalize',
    'RandomCrop',
    'RandomHorizontalFlip',
    'RandomRotation',
    'Resize',
    'ToArray',
    'ToFloat',
    'ToInt',
    'ToPIL',
]

if not TYPE_CHECKING:
    def __getattr__(name: str) -> Any:
        raise missing(sys.modules[__name__], name, TRANSFORMS)

MODES = 'nearest', 'lanczos', 'bilinear', 'bicubic', 'box', 'hamming'  # in the order of Pillow's numbers for them


class Transform:
    """A function of an image that shows its settings."""

    def __call__(self, image: Any) -> Any:
        raise NotImplementedError

    def __repr__(self) -> str:
        settings = ', '.join(f'{name}={value!r}' for name, value in vars(self).items())
        return f'{type(self).__name__}({settings})'


class Compose(Transform):
    """Apply transforms one after the other.

    Example:
        >>> Compose([Flatten(), ToFloat(), Normalize(0., 255.)])(np.full((1, 2, 2), 51, np.uint8))
        array([0.2, 0.2, 0.2, 0.2], dtype=float32)
    """

    def __init__(self, transforms: Sequence[Callable[[Any], Any]] = ()) -> None:
        self.transforms = list(transforms)

    def __call__(self, image: Any) -> Any:
        for transform in self.transforms:
            image = transform(image)
        return image


# ---- PIL images and (C, H, W) arrays


class Resize(Transform):
    """Scale an image to `size`, an int for a square or (height, width).

    Args:
        mode: 'nearest', 'bilinear', 'bicubic', 'lanczos', 'box', 'hamming', or Pillow's number for one.
        keep_ratio: `size` is an int and becomes the length of the shorter side.
    """

    def __init__(self, size: Pair, mode: str | int = 'bilinear', keep_ratio: bool = False) -> None:
        if keep_ratio and not isinstance(size, int):
            raise ValueError(f'Resize: keep_ratio=True takes one int, the length of the shorter side, got {size!r}')
        self.size, self.mode, self.keep_ratio = size_pair(size), mode_name(mode), keep_ratio

    def __call__(self, image: Any) -> Any:
        OH, OW = self.size
        if self.keep_ratio:
            H, W = size_of(image)
            OH, OW = OH * H // min(H, W), OW * W // min(H, W)
        return through_pil(image, lambda plane: plane.resize((OW, OH), MODES.index(self.mode)))


class CenterCrop(Transform):
    """Cut `size`, an int or (height, width), out of the middle."""

    def __init__(self, size: Pair) -> None:
        self.size = size_pair(size)

    def __call__(self, image: Any) -> Any:
        (H, W), (OH, OW) = size_of(image), self.size
        return crop(image, (H - OH) // 2, (W - OW) // 2, OH, OW)


class RandomCrop(Transform):
    """Cut `size` out of a random place of the image, to which `pad` pixels of `fill` are added on all sides first."""

    def __init__(self, size: Pair, pad: int = 0, fill: int = 0) -> None:
        self.size, self.pad, self.fill = size_pair(size), pad, fill

    def __call__(self, image: Any) -> Any:
        if self.pad:
            image = add_border(image, self.pad, self.fill)
        (H, W), (OH, OW) = size_of(image), self.size
        top, left = (int(generator().integers(max(spare, 0) + 1)) for spare in (H - OH, W - OW))
        return crop(image, top, left, OH, OW)


class RandomHorizontalFlip(Transform):
    """Mirror the image, left to right, with probability p."""

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f'RandomHorizontalFlip: p is a probability, from 0 to 1, got {p}')
        self.p = p

    def __call__(self, image: Any) -> Any:
        size_of(image)  # a flattened one would be mirrored top to bottom as well
        if generator().random() >= self.p:
            return image
        return image[..., ::-1] if isinstance(image, np.ndarray) else image.transpose(0)  # Pillow: FLIP_LEFT_RIGHT = 0


class RandomRotation(Transform):
    """Turn the image about its centre by a random angle; corners that come into view get `fill`.

    Args:
        degrees: the largest angle both ways, or (least, most); positive is counter-clockwise.
        mode: 'nearest', 'bilinear' or 'bicubic'.
    """

    def __init__(self, degrees: float | tuple[float, float], mode: str | int = 'bilinear', fill: float = 0) -> None:
        least, most = (-degrees, degrees) if isinstance(degrees, int | float) else degrees
        self.degrees, self.mode, self.fill = (least, most), mode_name(mode, ('nearest', 'bilinear', 'bicubic')), fill
        if least > most:
            raise ValueError(f'RandomRotation: the least angle, {least}, is above the most, {most}')

    def __call__(self, image: Any) -> Any:
        angle = generator().uniform(*self.degrees)
        mode = MODES.index(self.mode)
        return through_pil(image, lambda plane: plane.rotate(angle, mode, fillcolor=self.colour(plane)))

    def colour(self, plane: Any) -> Any:
        bands = len(plane.getbands())
        return self.fill if plane.mode == 'F' else (int(self.fill),) * bands


# ---- PIL images


class Convert(Transform):
    """Convert a PIL image to a mode: 'RGB', 'L' (grey), 'BGR' …"""

    def __init__(self, mode: str = 'RGB') -> None:
        self.mode = mode

    def __call__(self, image: Any) -> Any:
        if self.mode != 'BGR':
            return image.convert(self.mode)
        from PIL import Image

        return Image.merge('RGB', image.convert('RGB').split()[::-1])


class ColorJitter(Transform):
    """Vary brightness, contrast, saturation and hue of a PIL image at random, in this order.

    Args:
        brightness, contrast, saturation: b multiplies by a random factor of [max(0, 1 - b), 1 + b].
        hue: h, at most 0.5, turns the colour circle by up to h of a full turn.
    """

    def __init__(self, brightness: float = 0, contrast: float = 0, saturation: float = 0, hue: float = 0) -> None:
        self.brightness, self.contrast, self.saturation, self.hue = brightness, contrast, saturation, hue
        if min(brightness, contrast, saturation, hue) < 0 or hue > 0.5:
            raise ValueError(f'{self}: each is at least 0, and hue at most 0.5')

    def __call__(self, image: Any) -> Any:
        from PIL import Image, ImageEnhance

        if isinstance(image, np.ndarray):
            raise TypeError('ColorJitter takes a PIL image, not an array: put it before ToArray()')
        for spread, enhance in [(self.brightness, ImageEnhance.Brightness), (self.contrast, ImageEnhance.Contrast),
                                (self.saturation, ImageEnhance.Color)]:
            if spread:
                image = enhance(image).enhance(generator().uniform(max(0, 1 - spread), 1 + spread))
        if self.hue and image.mode == 'RGB':  # a grey image has none
            turn = round(256 * generator().uniform(-self.hue, self.hue))
            hue, saturation, value = image.convert('HSV').split()
            hue = hue.point([(level + turn) % 256 for level in range(256)])
            image = Image.merge('HSV', (hue, saturation, value)).convert('RGB')
        return image


class ToArray(Transform):
    """Turn a PIL image into an array (C, H, W) of its values, 0 to 255; grey images get C = 1. Arrays are cast."""

    def __init__(self, dtype: Any = np.float32) -> None:
        self.dtype = dtype

    def __call__(self, image: Any) -> Array:
        if not isinstance(image, np.ndarray):
            if image.mode in ('1', 'P'):  # bits and palette numbers are no brightness
                image = image.convert('L' if image.mode == '1' else 'RGB')
            image = np.asarray(image)
            image = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
        return np.ascontiguousarray(image, self.dtype)


class ToPIL(Transform):
    """Turn an array (C, H, W) or (H, W) of values from 0 to 255 into a PIL image: grey, RGB or RGBA by its channels."""

    def __call__(self, array: Array) -> Any:
        from PIL import Image

        array = np.asarray(array)
        array = array[None] if array.ndim == 2 else array
        if array.ndim != 3 or array.shape[0] not in (1, 3, 4):
            raise ValueError(message('image.channels', shape=array.shape))
        array = cast_back(array, np.dtype(np.uint8))
        return Image.fromarray(array[0] if array.shape[0] == 1 else np.ascontiguousarray(array.transpose(1, 2, 0)))


# ---- arrays


class Normalize(Transform):
    """Return (array - mean) / std in the array's dtype; whole numbers become Config.dtype.

    Args:
        mean, std: a number for all, or one for each channel of (C, H, W) or (N, C, H, W).
    """

    def __init__(self, mean: Any = 0, std: Any = 1) -> None:
        if not np.all(std):
            raise ValueError(f'Normalize: std={std} divides by zero')
        self.mean, self.std = mean, std

    def __call__(self, array: Array) -> Array:
        dtype = array.dtype if array.dtype.kind == 'f' else np.dtype(Config.dtype)
        mean, std = (per_channel(value, array.shape, dtype) for value in (self.mean, self.std))
        return (array.astype(dtype, copy=False) - mean) / std


class Flatten(Transform):
    """Lay all values of an array out in one row."""

    def __call__(self, array: Array) -> Array:
        return array.reshape(-1)


class AsType(Transform):
    """Cast an array to a dtype."""

    def __init__(self, dtype: Any = np.float32) -> None:
        self.dtype = dtype

    def __call__(self, array: Array) -> Array:
        return array.astype(self.dtype)


ToFloat = AsType


class ToInt(AsType):
    """Cast an array to whole numbers."""

    def __init__(self, dtype: Any = int) -> None:
        super().__init__(dtype)


# ---- what they share


def size_pair(size: Pair) -> tuple[int, int]:
    H, W = pair(size, 'size')
    if min(H, W) < 1:
        raise ValueError(message('size.least', name='size', value=min(H, W), least=1))
    return H, W


def mode_name(mode: str | int, allowed: Sequence[str] = MODES) -> str:
    name = MODES[mode] if isinstance(mode, int) and 0 <= mode < len(MODES) else mode
    if name not in allowed:
        raise ValueError(f'mode={mode!r}: choose from {", ".join(allowed)}')
    return str(name)


def size_of(image: Any) -> tuple[int, int]:
    """Return (H, W) of an array (..., H, W) or a PIL image."""
    if isinstance(image, np.ndarray):
        if image.ndim < 2:
            raise ValueError(message('image.axes', shape=image.shape))
        return image.shape[-2], image.shape[-1]
    return image.height, image.width


def crop(image: Any, top: int, left: int, OH: int, OW: int) -> Any:
    H, W = size_of(image)
    if OH > H or OW > W:
        raise ValueError(message('crop.size', size=(OH, OW), image=(H, W)))
    if isinstance(image, np.ndarray):
        return image[..., top:top + OH, left:left + OW]
    return image.crop((left, top, left + OW, top + OH))


def add_border(image: Any, pad: int, fill: int) -> Any:
    if isinstance(image, np.ndarray):
        H, W = size_of(image)
        # np.pad takes ten times as long
        wide = np.full((*image.shape[:-2], H + 2 * pad, W + 2 * pad), fill, image.dtype)
        wide[..., pad:-pad, pad:-pad] = image
        return wide
    from PIL import ImageOps

    return ImageOps.expand(image, pad, fill if len(image.getbands()) == 1 else (fill,) * len(image.getbands()))


def through_pil(image: Any, change: Callable[[Any], Any]) -> Any:
    """Apply `change`, which maps a PIL image to another, to a PIL image or to each channel of an array (C, H, W)."""
    if not isinstance(image, np.ndarray):
        return change(image)
    from PIL import Image

    if image.ndim != 3:
        raise ValueError(message('image.axes', shape=image.shape))
    planes = [np.asarray(change(Image.fromarray(plane.astype(np.float32)))) for plane in image]
    return cast_back(np.stack(planes), image.dtype)


def cast_back(array: Array, dtype: np.dtype[Any]) -> Array:
    """Cast to `dtype`; for whole numbers round first, and clip what interpolation threw over the edge."""
    if dtype.kind in 'iu' and array.dtype != dtype:
        array = np.clip(np.rint(array), np.iinfo(dtype).min, np.iinfo(dtype).max)
    return array.astype(dtype, copy=False)


def per_channel(value: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return a number as it is, and numbers for channels in a shape that meets (..., C, H, W)."""
    values = np.asarray(value, dtype)
    if values.size == 1:
        return values.reshape(())
    if len(shape) < 3 or values.shape != (shape[-3],):
        raise ValueError(message('normalize.channels', count=values.size, shape=shape))
    return values[:, None, None]
