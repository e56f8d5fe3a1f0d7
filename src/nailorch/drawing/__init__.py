"""Drawing: a scene of boxes, lines and texts, made by code from numbers; written as SVG, PNG and GIF.

    scene.py      what can be drawn, and how drawings are put together
    parts.py      what figures are made of: grids of numbers, stacks of channels, arrows, volumes
    fonts.py      how wide a text is, in the font that ships with the package
    svg.py, raster.py      the scene as text, and as pixels
    pictures.py   arrays as pictures: feature maps, filters, heat maps
    checks.py     what is wrong with a scene: texts that overlap or leave their box
"""

from nailorch.drawing.checks import faults
from nailorch.drawing.raster import to_gif, to_image, to_png
from nailorch.drawing.scene import (
    Box,
    Drawing,
    Item,
    Line,
    Picture,
    Polygon,
    Rect,
    Scene,
    Text,
    above,
    beside,
    blank,
    framed,
    over,
)
from nailorch.drawing.svg import to_svg

__all__ = ['Box', 'Drawing', 'Item', 'Line', 'Picture', 'Polygon', 'Rect', 'Scene', 'Text', 'above', 'beside', 'blank',
           'faults', 'framed', 'over', 'to_gif', 'to_image', 'to_png', 'to_svg']
