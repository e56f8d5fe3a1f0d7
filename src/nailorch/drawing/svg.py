"""A scene as SVG: text that any browser draws, that scales, and that is the same from run to run."""

from __future__ import annotations

import base64
import io
from html import escape

import numpy as np

from nailorch.drawing.fonts import ASCENT, FAMILY
from nailorch.drawing.palette import PALETTE, hexadecimal
from nailorch.drawing.scene import Item, Line, Picture, Point, Polygon, Rect, Scene, Text

__all__ = ['png_address', 'to_svg']

# Chinese fonts give the dot of a product as much room as a Chinese character; the package's own does not.
DOT = '<tspan font-family="Arial, Helvetica, sans-serif">·</tspan>'


def to_svg(scene: Scene, themed: bool = False) -> str:
    """Return the scene as an SVG document.

    Args:
        themed: for an SVG that stands in a page: colours are then `var(--ink, #1b1f24)`, which the page may set.
    """
    def colour(name: str | None) -> str:
        if name is None:
            return 'none'
        if themed and name in PALETTE:
            return f'var(--{name.replace(" ", "-")}, {PALETTE[name]})'
        return hexadecimal(name)

    lang = {'zh': 'zh-Hans'}.get(scene.lang, scene.lang)
    size = f'{number(scene.width)} {number(scene.height)}'
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" width="{number(scene.width)}" '
            f'height="{number(scene.height)}" role="img" aria-label="{escape(scene.title)}" lang="{lang}" '
            f'font-family="{FAMILY}">')
    lines = [head, f'<title>{escape(scene.title)}</title>', f'<desc>{escape(scene.description)}</desc>']
    lines += [element(item, colour) for item in scene.drawing.items]
    return '\n'.join([*lines, '</svg>']) + '\n'


def element(item: Item, colour: object) -> str:
    """Return one item as an element."""
    assert callable(colour)
    if isinstance(item, Text):
        anchor = '' if item.anchor == 'start' else f' text-anchor="{item.anchor}"'
        y = item.y + ASCENT * item.size
        # Its width is part of the drawing: another font is squeezed or stretched into it.
        return (f'<text x="{number(item.x)}" y="{number(y)}" font-size="{number(item.size)}" '
                f'fill="{colour(item.fill)}"{anchor} textLength="{number(item.width)}" '
                f'lengthAdjust="spacingAndGlyphs" xml:space="preserve">{escape(item.text).replace("·", DOT)}</text>')
    if isinstance(item, Picture):
        box, style = item.box, '' if item.smooth else ' style="image-rendering:pixelated"'
        return (f'<image x="{number(box.left)}" y="{number(box.top)}" width="{number(box.width)}" '
                f'height="{number(box.height)}" preserveAspectRatio="none"{style} href="{png_address(item.pixels)}"/>')
    if isinstance(item, Line):
        dash = ' stroke-dasharray="6 4"' if item.dash else ''
        line = (f'<polyline points="{points(item.shaft)}" fill="none" stroke="{colour(item.stroke)}" '
                f'stroke-width="{number(item.line)}"{dash}/>')
        return line + (f'<polygon points="{points(item.head)}" fill="{colour(item.stroke)}"/>' if item.arrow else '')
    stroke = '' if item.stroke is None else f' stroke="{colour(item.stroke)}" stroke-width="{number(item.line)}"'
    if isinstance(item, Polygon):
        return f'<polygon points="{points(item.points)}" fill="{colour(item.fill)}"{stroke} stroke-linejoin="round"/>'
    assert isinstance(item, Rect)
    box = item.box
    radius = f' rx="{number(item.radius)}"' if item.radius else ''
    dash = ' stroke-dasharray="6 4"' if item.dash else ''
    return (f'<rect x="{number(box.left)}" y="{number(box.top)}" width="{number(box.width)}" '
            f'height="{number(box.height)}" fill="{colour(item.fill)}"{stroke}{radius}{dash}/>')


def number(value: float) -> str:
    """Write a coordinate with at most two places after the point."""
    return f'{round(value, 2) + 0.0:.2f}'.rstrip('0').rstrip('.')


def points(corners: tuple[Point, ...]) -> str:
    return ' '.join(f'{number(x)},{number(y)}' for x, y in corners)


def png_address(pixels: np.ndarray) -> str:
    """Return a picture of bytes, (H, W), (H, W, 3) or (H, W, 4), as a PNG in a data: address."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, 'PNG', optimize=True)
    return 'data:image/png;base64,' + base64.b64encode(file.getvalue()).decode()
