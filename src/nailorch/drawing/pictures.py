"""Arrays as pictures: images, feature maps, filters, heat maps; bytes in, bytes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ['DIVERGING', 'SEQUENTIAL', 'boxed', 'colours', 'enlarged', 'feature_maps', 'filter_images', 'heat_map',
           'heat_over', 'spread', 'tile', 'to_picture']

Array = npt.NDArray[Any]

SMALL = 24  # pixels

# From the smallest value to the largest: dark blue, teal, yellow; and blue, white, orange for what has a sign.
SEQUENTIAL = np.array([[13, 16, 45], [35, 67, 120], [38, 128, 142], [94, 190, 120], [253, 231, 76]])
DIVERGING = np.array([[22, 74, 148], [116, 169, 214], [246, 246, 246], [240, 163, 94], [176, 72, 10]])


def to_picture(image: Array) -> Array:
    """Turn an image (C, H, W) into bytes, (H, W) or (H, W, 3); numbers that are no bytes are spread over 0 to 255."""
    image = image[:3] if image.shape[0] >= 3 else image[:1]
    if image.dtype != np.uint8:
        image = np.rint(255 * spread(image)).astype(np.uint8)
    return image[0] if image.shape[0] == 1 else image.transpose(1, 2, 0)


def spread(values: Array) -> Array:
    """Map the smallest value to 0 and the largest to 1; equal values all become 0."""
    values = np.nan_to_num(values.astype(np.float64))
    values = values - values.min()
    return values / (values.max() or 1.0)


def colours(shares: Array, ramp: Array) -> Array:
    """Turn shares from 0 to 1 into the colours of a ramp, as bytes (..., 3)."""
    steps = np.linspace(0, 1, len(ramp))
    return np.stack([np.rint(np.interp(shares, steps, ramp[:, k])) for k in range(3)], axis=-1).astype(np.uint8)


def tile(pictures: Sequence[Array], columns: int, gap: int = 2) -> Array:
    """Lay pictures of one size, (H, W, 3), out in rows, `gap` transparent pixels apart, as (H, W, 4).

    Pixels of small pictures are repeated until they make at least SMALL, so that gaps stay narrow beside them.
    """
    scale = -(-SMALL // max(pictures[0].shape[:2]))
    H, W = (scale * size for size in pictures[0].shape[:2])
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    sheet = np.zeros((rows * (H + gap) - gap, columns * (W + gap) - gap, 4), np.uint8)
    for index, picture in enumerate(pictures):
        top, left = (H + gap) * (index // columns), (W + gap) * (index % columns)
        cell = sheet[top:top + H, left:left + W]
        cell[..., :3], cell[..., 3] = picture.repeat(scale, axis=0).repeat(scale, axis=1), 255
    return sheet


def filter_images(W: Array, most: int = 64) -> Array:
    """Show the filters (OC, C, KH, KW) of a first layer side by side.

    Filters on three channels are shown in colour; of others the first channel, blue below zero and orange above.
    """
    W = W[:most]
    if W.shape[1] == 3:
        pictures = [np.rint(255 * spread(w)).astype(np.uint8).transpose(1, 2, 0) for w in W]
    else:
        pictures = [colours(0.5 + w[0] / (2 * np.abs(w[0]).max() or 1.0), DIVERGING) for w in W]
    return tile(pictures, 8 if len(W) <= 16 else 16, gap=6)


def feature_maps(maps: Array, most: int = 16) -> Array:
    """Show the channels of one image's feature maps (C, H, W) side by side, each from its smallest to its largest."""
    return tile([colours(spread(channel), SEQUENTIAL) for channel in maps[:most]], 8)


def heat_map(matrix: Array) -> Array:
    """Show a confusion matrix of many classes, one pixel a cell: its mistakes and hits by their share of the row."""
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    return colours(np.sqrt(shares), SEQUENTIAL)


def enlarged(values: Array, shape: Sequence[int]) -> Array:
    """Return values (h, w) at another size (H, W), between their places along straight lines, the edges repeated."""
    for axis, size in enumerate(shape):
        given = values.shape[axis]
        places = np.clip((np.arange(size) + 0.5) * given / size - 0.5, 0, given - 1)
        low = np.minimum(places.astype(int), max(given - 2, 0))
        share = np.expand_dims(places - low, 1 - axis).astype(values.dtype)
        values = values.take(low, axis) * (1 - share) + values.take(np.minimum(low + 1, given - 1), axis) * share
    return values


def heat_over(photo: Array, heat: Array) -> Array:
    """Lay heat (H, W) over a photograph of bytes, (H, W) or (H, W, 3): dark where it is cold, bright yellow at most.

    What is below zero is cold. The photograph is seen through it in grey, so that all colour is heat's.
    """
    grey = photo if photo.ndim == 2 else photo @ np.array([0.299, 0.587, 0.114])
    share = np.maximum(np.nan_to_num(heat.astype(np.float64)), 0)
    share = share / (share.max() or 1.0)
    coloured = colours(0.1 + 0.9 * share, SEQUENTIAL)
    weight = (0.25 + 0.4 * share)[..., None]
    return np.rint((1 - weight) * grey[..., None] + weight * coloured).astype(np.uint8)


def boxed(picture: Array, box: tuple[int, int, int, int], line: int = 2) -> Array:
    """Outline a box (top, left, bottom, right), its last two excluded, in orange on a picture of bytes (H, W, 3)."""
    top, left, bottom, right = box
    picture, edge = picture.copy(), np.zeros(picture.shape[:2], bool)
    edge[top:bottom, left:right] = True
    edge[top + line:bottom - line, left + line:right - line] = False
    picture[edge] = 240, 120, 20
    return picture
