"""The font of all drawings, and how wide a text is in it.

`data/nailorch-sans.otf` has, of Noto Sans CJK SC (SIL Open Font License 1.1, beside it), the glyphs that the package's
English and Chinese texts use; `scripts/font` makes it anew. A picture is drawn with it. An SVG names it, and gives each
text's width, so that a reader without the font sees the same layout.
"""

from __future__ import annotations

import io
from functools import lru_cache
from importlib.resources import files
from typing import Any

__all__ = ['ASCENT', 'FAMILY', 'HEIGHT', 'covers', 'font', 'measure']

FAMILY = "'Noto Sans CJK SC', 'Noto Sans SC', 'Source Han Sans SC', 'PingFang SC', 'Microsoft YaHei', sans-serif"

# Of a line of text, as parts of its size: from the top of its tallest letter to the bottom of its lowest.
HEIGHT = 1.16
ASCENT = 0.35  # the baseline lies this much below a line's middle

UNIT = 200  # pixels at which widths are measured: they grow in proportion


@lru_cache(maxsize=64)
def font(pixels: int) -> Any:
    """Return the font at a size, as Pillow draws it."""
    from PIL import ImageFont

    data = files('nailorch.drawing').joinpath('data/nailorch-sans.otf').read_bytes()
    return ImageFont.truetype(io.BytesIO(data), pixels, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=4096)
def measure(text: str, size: float) -> float:
    """Return how wide a line of text is, in the scene's units.

    Example:
        >>> measure('25', 20) == 2 * measure('3', 20)
        True
    """
    return float(font(UNIT).getlength(text)) * size / UNIT


def covers(text: str) -> set[str]:
    """Return the characters of a text that the font does not have: empty where all is well."""
    from PIL import Image

    def drawn(character: str) -> bytes:
        mask = font(24).getmask(character)
        return Image.Image()._new(mask).tobytes()

    nothing = drawn('\uffff')
    return {character for character in set(text) if not character.isspace() and drawn(character) == nothing}
