"""Photographs from anybody's disk: any Pillow format of pixels in, an upright RGB image or a clear error out."""

from __future__ import annotations

import re
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from nailorch.messages import message

__all__ = ['MAX_PIXELS', 'read_image', 'to_rgb']

# What Pillow has drawn by another program: a picture must not start Ghostscript on a page of PostScript.
PROGRAMS = ('EPS', 'WMF')
MAX_PIXELS = 64_000_000  # a large photograph; 100 megapixels would take 300 MB, and 1.2 GB as float32


def read_image(path: str | PathLike[str], max_pixels: int = MAX_PIXELS) -> Any:
    """Read a picture as a PIL image, RGB, turned the way its camera was held.

    Args:
        path: a file in any format that Pillow reads by itself; EPS and WMF, which are programs that draw, are refused.
        max_pixels: larger images are refused before they are decoded.
    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is too large, not an image, or truncated; the message names the file.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(message('file.missing', path=path))
    try:
        with Image.open(path) as image:
            if image.format in PROGRAMS:
                raise ValueError(message('image.program', kind=image.format))
            pixels = image.width * image.height
            if pixels <= max_pixels:
                return to_rgb(ImageOps.exif_transpose(image))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        pixels = int(re.findall(r'\d+', str(error))[0])  # Pillow's own limit: it says how many, and keeps the size
    except UnidentifiedImageError as error:  # which says no more than that
        raise ValueError(message('image.unknown', path=path)) from error
    except Exception as error:  # a decoder may fail in any way on broken bytes
        raise ValueError(message('image.unreadable', path=path, reason=why(error))) from error
    raise ValueError(message('image.large', path=path, pixels=f'{pixels / 1e6:.1f}', limit=f'{max_pixels / 1e6:g}'))


def why(error: Exception) -> str:
    """Return what a decoder says, in the reader's language where it is the usual: the file is cut short."""
    said = str(error) or type(error).__name__
    return message('image.truncated', said=said) if 'truncated' in said.lower() else said


def to_rgb(image: Any) -> Any:
    """Return a PIL image of any mode as RGB: 16-bit grey scaled to 8, what is transparent shown on white."""
    from PIL import Image

    if image.mode.startswith('I'):  # convert() would clip everything above 255 to white
        grey = np.asarray(image)
        if grey.min() < 0 or grey.max() > 65535:
            raise ValueError(message('image.values', mode=image.mode, low=grey.min(), high=grey.max()))
        image = Image.fromarray((grey // 257).astype(np.uint8))
    elif image.mode == 'F':
        raise ValueError(message('image.floats'))
    if image.has_transparency_data:
        image = image.convert('RGBA')
        white = Image.new('RGBA', image.size, 'white')
        image = Image.alpha_composite(white, image)
    return image.convert('RGB')
