"""How a picture becomes the array that trained weights expect. There are three conventions; weights know only one.

    caffe              BGR, 0 to 255, the average colour subtracted: VGG16 as its authors published it
    torchvision        RGB, 0 to 1, mean subtracted, divided by the deviation: weights from PyTorch
    efficientnet_lite  RGB, about -1 to 1, the same for all colours: EfficientNet-Lite as its authors published it
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nailorch.formats.images import to_rgb
from nailorch.messages import message
from nailorch.shapes import Array

__all__ = ['caffe', 'efficientnet_lite', 'torchvision']

LONGEST = 16  # times its width that a picture may be long before it is a strip


def caffe(image: Any, size: tuple[int, int] | None = (224, 224), dtype: Any = np.float32) -> Array:
    """Return a picture as VGG's authors fed it to Caffe.

    Args:
        image: a PIL image of any mode.
        size: (width, height) to resize to, in PIL's order; None leaves the size as it is.
        dtype: of the result.
    Returns:
        (3, H, W): blue, green, red, less their averages over ImageNet (103.939, 116.779, 123.68); not divided.

    Source: Simonyan & Zisserman 2014, section 2.1; the published Caffe model's description.
    """
    image = rgb(image)
    if size:
        image = image.resize(size)
    pixels = np.asarray(image, dtype)[:, :, ::-1]
    pixels = pixels - np.array([103.939, 116.779, 123.68], dtype)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def torchvision(image: Any, size: int = 224, resize: int = 256, dtype: Any = np.float32) -> Array:
    """Return a picture as torchvision's models were evaluated.

    Args:
        image: a PIL image of any mode.
        size: pixels of the square cut out of the middle.
        resize: pixels of the shorter side before that (256; 232 for the weights that torchvision calls V2).
        dtype: of the result.
    Returns:
        (3, size, size): red, green, blue from 0 to 1, less (0.485, 0.456, 0.406), over (0.229, 0.224, 0.225).

    Source: pytorch.org/vision, "Models and pre-trained weights".
    """
    from PIL import Image

    image = middle(rgb(image))
    W, H = image.size
    W, H = (resize, resize * H // W) if W <= H else (resize * W // H, resize)
    left, top = round((W - size) / 2), round((H - size) / 2)
    image = image.resize((W, H), Image.Resampling.BILINEAR).crop((left, top, left + size, top + size))
    pixels = np.asarray(image, dtype) / 255
    pixels = (pixels - np.array([0.485, 0.456, 0.406], dtype)) / np.array([0.229, 0.224, 0.225], dtype)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def middle(image: Any) -> Any:
    """Return the middle of a strip, which is all that is seen of it: enlarged, the whole might take any memory."""
    W, H = image.size
    longest = LONGEST * min(W, H)
    left, top = max(W - longest, 0) // 2, max(H - longest, 0) // 2
    return image.crop((left, top, left + min(W, longest), top + min(H, longest))) if left or top else image


def efficientnet_lite(image: Any, size: int = 224, dtype: Any = np.float32) -> Array:
    """Return a picture as EfficientNet-Lite's authors evaluated it.

    The middle square is cut out first, seven eighths of the shorter side, and then resized, bicubic.

    Args:
        image: a PIL image of any mode.
        size: pixels of the result; Lite0 to Lite4 were trained on 224, 240, 260, 280 and 300.
        dtype: of the result.
    Returns:
        (3, size, size): red, green, blue from 0 to 255, less 127, over 128.

    Source: github.com/tensorflow/tpu, models/official/efficientnet/preprocessing.py and lite/.
    """
    from PIL import Image

    image = rgb(image)
    W, H = image.size
    side = max(min(W, H) * 7 // 8, 1)
    left, top = (W - side + 1) // 2, (H - side + 1) // 2
    image = image.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.BICUBIC)
    pixels = (np.asarray(image, dtype) - 127) / 128
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def rgb(image: Any) -> Any:
    """Return a PIL image in red, green and blue; 16-bit grey, which convert() would clip to white, scaled to 8 bits."""
    if not hasattr(image, 'convert'):
        raise TypeError(message('preprocess.image', kind=type(image).__name__))
    return to_rgb(image) if image.mode.startswith(('I', 'F')) else image.convert('RGB')
