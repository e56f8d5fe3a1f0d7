"""A figure: its name, its words in both languages, and the sheet that it is drawn on.

One colour has one role in all of them: the input is blue, the kernel orange, the output green, what is pointed out
purple. Names and shapes stand at every array, and frames are thick, so that nothing hangs on colour alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from nailorch.drawing import Box, Drawing, Line, Rect, Scene, Text, above, blank, framed
from nailorch.drawing.parts import cells, label, outlined, paragraph
from nailorch.explaining.model import Words, in_words
from nailorch.messages import language

__all__ = ['ROOM', 'SIDE', 'Figure', 'Panel', 'by', 'figure', 'grid', 'say', 'star', 'under', 'windowed']

Draw: TypeAlias = Callable[[], Sequence['Panel']]

WIDTH, MARGIN = 640.0, 24.0  # of the sheet; a phone shows it at 0.6 of that
ROOM = WIDTH - 2 * MARGIN
SIDE = 48.0  # of a cell


@dataclass(frozen=True)
class Panel:
    """What a figure's function returns: a drawing, what it shows in words, and the numbers that it was drawn from."""

    drawing: Drawing
    description: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Figure:
    """A figure of the chapter.

    Attributes:
        name: as it is asked for, and as its files are called.
        title, caption: in English and Chinese.
        panels: draws it in the language in force; several panels are the steps of one figure, of equal size.
        steps: how many panels there are.
        seconds: how long an animation shows each step.
        needs: the photograph without which it cannot be drawn.
    """

    name: str
    title: Words
    caption: Words
    panels: Draw
    steps: int = 1
    seconds: float = 1.6
    needs: str | None = None


    def scenes(self) -> list[Scene]:
        """Draw it, in the language in force: one scene, or one for each of its steps."""
        title, caption = in_words(self.title), in_words(self.caption)
        return [Scene(laid_out(panel.drawing, title, caption), title, f'{caption} {panel.description}',
                      lang=language(), facts=panel.facts) for panel in self.panels()]


def figure(name: str, title: Words, caption: Words, **options: Any) -> Callable[[Draw], Figure]:
    """Make a figure of a function that returns its panels."""
    return lambda panels: Figure(name, title, caption, panels, **options)


def laid_out(drawing: Drawing, title: str, caption: str) -> Drawing:
    """Put a drawing in the middle of a sheet, under its title and caption."""
    words = above(label(title, 22, 'ink', 'start'), paragraph(caption, ROOM, 16), gap=8, align='start')
    room = max(ROOM, drawing.width)
    body = blank(room, drawing.height).at((room - drawing.width) / 2, 0, drawing)
    return framed(above(words, body, gap=26, align='start'), MARGIN)


def say(english: str, chinese: str) -> str:
    """Return the text in the language in force."""
    return in_words((english, chinese))


def by(shape: Sequence[int]) -> str:
    """Write a shape as sizes: '3 × 3'."""
    return ' × '.join(map(str, shape))


def star(size: float = 22) -> Drawing:
    """Draw the sign of convolution, level with the middle of what stands beside it."""
    half, middle = size / 2, size / 2
    spokes = [(half * np.cos(angle), half * np.sin(angle)) for angle in np.pi * np.array([1 / 6, 1 / 2, 5 / 6])]
    return Drawing(size, size, tuple(Line(((middle - dx, middle - dy), (middle + dx, middle + dy)), 'ink', 2.4)
                                     for dx, dy in spokes))


def under(drawing: Drawing, name: str, note: str = '', colour: str = 'ink', size: float = 15) -> Drawing:
    """Put a drawing between its name and a note; both take the same room, so that drawings in a row stay level."""
    line = blank(0, label('0', size).height)
    over = label(name, size, colour) if name else line
    return above(over, drawing, label(note, size, 'muted') if note else line, gap=8)


def grid(values: Any, colour: str, side: float = SIDE, **options: Any) -> Drawing:
    """Draw a matrix in the colour of its role."""
    options.setdefault('fill', f'pale {colour}')
    return cells(values, side, stroke=colour, **options)


def windowed(x: Any, W: Any, row: int, column: int, side: float = SIDE, **options: Any) -> Drawing:
    """Draw an image with the kernel lying on it: a frame, and each weight, small, in the corner of its pixel."""
    KH, KW = W.shape
    drawing = outlined(grid(x, 'blue', side, **options), row, column, KH, KW, 'orange', side)
    for kh, kw in np.ndindex(KH, KW):
        right, bottom = (column + kw + 1) * side, (row + kh + 1) * side
        weight = f'{W[kh, kw]:g}'.replace('-', '−')
        tag = Box(right - 14, bottom - 18, 12, 16)
        drawing = drawing.plus(Rect(tag, 'orange', radius=3), Text(*tag.middle, weight, 12, 'paper'))
    return drawing
