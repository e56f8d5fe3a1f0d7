"""The pictures of a report: curves as SVG, filters and feature maps as PNG, each a string to be put into HTML.

Curves take their colours from the page (`var(--train)` …), so that they follow its light or dark theme.
"""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ['curves', 'data_uri', 'feature_maps', 'filter_images', 'heat_map', 'tile', 'to_picture']

Array = npt.NDArray[Any]

# What Matplotlib is told to draw with, and what the page puts in its place.
PAGE_COLOURS = {'#010101': 'var(--ink)', '#020202': 'var(--line)', '#030303': 'var(--train)', '#040404': 'var(--valid)',
                '#050505': 'var(--best)'}
INK, LINE, TRAIN, VALID, BEST = PAGE_COLOURS

SMALL = 24  # pixels

# From the smallest value to the largest: dark blue, teal, yellow; and blue, white, orange for what has a sign.
SEQUENTIAL = np.array([[13, 16, 45], [35, 67, 120], [38, 128, 142], [94, 190, 120], [253, 231, 76]])
DIVERGING = np.array([[22, 74, 148], [116, 169, 214], [246, 246, 246], [240, 163, 94], [176, 72, 10]])


def curves(train: Sequence[float | None], valid: Sequence[float | None], best: int | None, label: str,
           percentage: bool = False) -> str:
    """Draw one quantity over the epochs, for training and validation, as an inline SVG.

    Args:
        train, valid: one number an epoch; None where it was not measured.
        best: the epoch (from 1) that is marked, or None.
        label: what a screen reader says.
        percentage: the numbers are shares of 1.
    Raises:
        ImportError: Matplotlib is not installed.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    settings: Any = {'svg.fonttype': 'none', 'svg.hashsalt': label, 'font.size': 11, 'axes.spines.top': False,
                'axes.spines.right': False, 'axes.edgecolor': LINE, 'xtick.color': LINE, 'ytick.color': LINE,
                'xtick.labelcolor': INK, 'ytick.labelcolor': INK, 'axes.facecolor': 'none', 'figure.facecolor': 'none'}
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(4.8, 2.6), layout='constrained')
        axes = figure.add_subplot()
        for values, colour in ((train, TRAIN), (valid, VALID)):
            heights = [math.nan if value is None else value for value in values]
            axes.plot(range(1, len(heights) + 1), heights, color=colour, linewidth=2, markersize=3.5,
                      marker='o' if len(heights) < 40 else None)
        height = None if best is None else train[best - 1] if valid[best - 1] is None else valid[best - 1]
        if best is not None and height is not None:
            axes.plot([best], [height], 'o', markersize=9, markerfacecolor='none', markeredgecolor=BEST,
                      markeredgewidth=2)
        axes.grid(axis='y', color=LINE, linewidth=0.6, alpha=0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if percentage:
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
        file = io.StringIO()
        figure.savefig(file, format='svg', metadata={'Date': None})
    return inline_svg(file.getvalue(), label)


def inline_svg(svg: str, label: str) -> str:
    """Keep of Matplotlib's file what a page needs, with the page's colours and font and without repeated ids."""
    svg = svg[svg.index('<svg'):]
    svg = re.sub(r'<metadata>.*?</metadata>\s*', '', svg, flags=re.DOTALL)
    svg = re.sub(r' id="(?:figure|axes|patch|matplotlib\.axis|[xy]tick|text|line2d)_\d+"', '', svg)
    svg = re.sub(r'font: [^;"]*?([\d.]+)px [^;"]*', r'font-size: \1px', svg)
    svg = re.sub(r'^<svg [^>]*?viewBox="([^"]*)"[^>]*>', rf'<svg viewBox="\1" role="img" aria-label="{label}">', svg)
    svg = svg.replace('xlink:href', 'href')
    for drawn, wanted in PAGE_COLOURS.items():
        svg = svg.replace(drawn, wanted)
    return svg


def data_uri(picture: Array) -> str:
    """Return a picture of bytes, (H, W), (H, W, 3) or (H, W, 4), as a PNG in a data: address."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(file, 'PNG', optimize=True)
    return 'data:image/png;base64,' + base64.b64encode(file.getvalue()).decode()


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
