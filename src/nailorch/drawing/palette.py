"""Colours by what they mean, chosen so that they differ for every kind of colour vision and in grey.

The strong ones are of Okabe & Ito's set (2008); each has a pale twin to lie behind dark text. Their lightness differs
too, so that a printed page in grey still tells them apart.
"""

from __future__ import annotations

__all__ = ['PALETTE', 'hexadecimal', 'rgb']

PALETTE = {
    'ink': '#1b1f24',  # text
    'muted': '#57606a',  # text that says less
    'faint': '#c9d1d9',  # lines of grids
    'paper': '#ffffff',
    'shade': '#eef1f4',  # padding, what is not there
    'blue': '#0072b2',  # the input, the window
    'pale blue': '#cfe6f5',
    'orange': '#b85c00',  # the kernel
    'pale orange': '#fde3bf',
    'green': '#00684a',  # the output
    'pale green': '#c6eadb',
    'purple': '#8f3f71',  # what is pointed out
    'pale purple': '#f3d9e8',
}


def hexadecimal(colour: str) -> str:
    """Return '#rrggbb' of a colour of the palette, or of one that is given so."""
    return colour if colour.startswith('#') else PALETTE[colour]


def rgb(colour: str) -> tuple[int, int, int]:
    """Return a colour's red, green and blue, 0 to 255."""
    digits = hexadecimal(colour)[1:]
    return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:], 16)
