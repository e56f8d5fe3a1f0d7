"""A scene as pixels: PNG for slides, GIF where motion helps."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nailorch.drawing.fonts import ASCENT, font
from nailorch.drawing.palette import rgb
from nailorch.drawing.scene import Item, Line, Picture, Point, Polygon, Rect, Scene, Text

__all__ = ['to_gif', 'to_image', 'to_png']

FINER = 2  # everything is drawn so many times larger and then averaged: smooth edges


def to_image(scene: Scene, scale: float = 2) -> Any:
    """Return the scene as a Pillow image of `scale` pixels a unit."""
    from PIL import Image, ImageDraw

    factor = scale * FINER
    size = max(1, round(scene.width * scale)), max(1, round(scene.height * scale))
    image = Image.new('RGB', (size[0] * FINER, size[1] * FINER), rgb('paper'))
    pen = ImageDraw.Draw(image)
    for item in scene.drawing.items:
        paint(image, pen, item, factor)
    return image.resize(size, Image.Resampling.BOX)


def to_png(scene: Scene, scale: float = 2) -> bytes:
    """Return the scene as a PNG file's bytes."""
    file = io.BytesIO()
    to_image(scene, scale).save(file, 'PNG', optimize=True)
    return file.getvalue()


def to_gif(scenes: Sequence[Scene], seconds: Sequence[float], scale: float = 1) -> bytes:
    """Return scenes of one size, one after another for so many seconds each, as an endless GIF's bytes."""
    from PIL import Image

    frames = [to_image(scene, scale) for scene in scenes]
    # One set of colours for all frames: what stands still does not flicker.
    sheet = Image.fromarray(np.concatenate([np.asarray(frame) for frame in frames]))
    colours = sheet.quantize(128, method=Image.Quantize.MEDIANCUT)
    # The paper is as white as the page around it: an average of nearly white pixels is not.
    palette = np.array(colours.getpalette()).reshape(-1, 3)
    palette[(np.abs(palette - rgb('paper')) < 8).all(axis=1)] = rgb('paper')
    colours.putpalette(palette.ravel().tolist())
    frames = [frame.quantize(palette=colours, dither=Image.Dither.NONE) for frame in frames]
    file = io.BytesIO()
    frames[0].save(file, 'GIF', save_all=True, append_images=frames[1:], loop=0, optimize=False,
                   duration=[round(1000 * second) for second in seconds], disposal=1)
    return file.getvalue()


def paint(image: Any, pen: Any, item: Item, factor: float) -> None:
    """Draw one item; `factor` pixels are a unit."""
    def scaled(corners: Sequence[Point]) -> list[Point]:
        return [(x * factor, y * factor) for x, y in corners]

    def thickness(line: float) -> int:
        return max(1, round(line * factor))

    if isinstance(item, Text):
        pen.text((item.box.left * factor, (item.y + ASCENT * item.size) * factor), item.text, rgb(item.fill),
                 font(max(1, round(item.size * factor))), anchor='ls')
    elif isinstance(item, Picture):
        paste(image, item, factor)
    elif isinstance(item, Line):
        for piece in dashes(item.shaft) if item.dash else [item.shaft]:
            pen.line(scaled(piece), rgb(item.stroke), thickness(item.line), joint='curve')
        if item.arrow:
            pen.polygon(scaled(item.head), rgb(item.stroke))
    elif isinstance(item, Polygon):
        if item.fill:
            pen.polygon(scaled(item.points), rgb(item.fill))
        if item.stroke:
            pen.line(scaled((*item.points, item.points[0], item.points[1])), rgb(item.stroke), thickness(item.line),
                     joint='curve')
    else:
        paint_rect(pen, item, factor, thickness(item.line))


def paint_rect(pen: Any, item: Rect, factor: float, thickness: int) -> None:
    box = item.box
    left, top, right, bottom = (edge * factor for edge in (box.left, box.top, box.right, box.bottom))
    if item.fill:
        pen.rounded_rectangle((left, top, right - 1, bottom - 1), item.radius * factor, rgb(item.fill))
    if item.stroke is None:
        return
    half = thickness / 2  # a stroke lies on the edge, half inside and half outside, as in SVG
    if item.dash:
        corners = ((box.left, box.top), (box.right, box.top), (box.right, box.bottom), (box.left, box.bottom))
        for piece in dashes((*corners, corners[0])):
            pen.line([(x * factor, y * factor) for x, y in piece], rgb(item.stroke), thickness)
    else:
        outer = (left - half, top - half, right + half - 1, bottom + half - 1)
        pen.rounded_rectangle(outer, item.radius * factor + (half if item.radius else 0), outline=rgb(item.stroke),
                              width=thickness)


def paste(image: Any, item: Picture, factor: float) -> None:
    from PIL import Image

    box = item.box
    left, top = round(box.left * factor), round(box.top * factor)
    size = max(1, round(box.right * factor) - left), max(1, round(box.bottom * factor) - top)
    method = Image.Resampling.BICUBIC if item.smooth else Image.Resampling.NEAREST
    picture = Image.fromarray(np.ascontiguousarray(item.pixels)).convert('RGBA').resize(size, method)
    image.paste(picture, (left, top), picture)


def dashes(corners: Sequence[Point], on: float = 6, off: float = 4) -> list[tuple[Point, Point]]:
    """Cut a line into pieces of length `on`, `off` apart."""
    pieces = []
    for (x0, y0), (x1, y1) in itertools.pairwise(corners):
        length = math.hypot(x1 - x0, y1 - y0)
        start = 0.0
        while start < length:
            end = min(start + on, length)
            pieces.append(((x0 + (x1 - x0) * start / length, y0 + (y1 - y0) * start / length),
                           (x0 + (x1 - x0) * end / length, y0 + (y1 - y0) * end / length)))
            start += on + off
    return pieces
