"""A scene: what is drawn, as plain data, before anyone has decided whether it becomes text or pixels.

Items lie in a plane, x to the right and y down, in units that are pixels at scale 1. A Drawing is items with a size;
`beside`, `above` and `framed` put drawings together, so that a figure reads like the sentence that describes it. A
Scene is a finished drawing that says in words what it shows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from nailorch.drawing.fonts import HEIGHT, measure

__all__ = ['Box', 'Drawing', 'Item', 'Line', 'Picture', 'Polygon', 'Rect', 'Scene', 'Text', 'above', 'beside', 'blank',
           'framed', 'over']

Point: TypeAlias = tuple[float, float]
Align: TypeAlias = Literal['start', 'middle', 'end']

HEAD = 9.0  # length of an arrow's head


@dataclass(frozen=True)
class Box:
    """A rectangle of the plane."""

    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def bottom(self) -> float:
        return self.top + self.height

    @property
    def middle(self) -> Point:
        return self.left + self.width / 2, self.top + self.height / 2

    def moved(self, dx: float, dy: float) -> Box:
        return replace(self, left=self.left + dx, top=self.top + dy)

    def holds(self, other: Box, slack: float = 0.5) -> bool:
        """Does the other box lie inside this one?"""
        return (self.left - slack <= other.left and other.right <= self.right + slack
                and self.top - slack <= other.top and other.bottom <= self.bottom + slack)

    def meets(self, other: Box, slack: float = 0.5) -> bool:
        """Do the two boxes share more than an edge?"""
        return (self.left + slack < other.right and other.left + slack < self.right
                and self.top + slack < other.bottom and other.top + slack < self.bottom)


def around(points: Sequence[Point]) -> Box:
    xs, ys = zip(*points, strict=True)
    return Box(min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))


@dataclass(frozen=True)
class Rect:
    """A rectangle. Colours are names of the palette or '#rrggbb'; None draws nothing."""

    box: Box
    fill: str | None = None
    stroke: str | None = None
    line: float = 1.0
    radius: float = 0.0
    dash: bool = False

    def moved(self, dx: float, dy: float) -> Rect:
        return replace(self, box=self.box.moved(dx, dy))


@dataclass(frozen=True)
class Polygon:
    """A closed shape."""

    points: tuple[Point, ...]
    fill: str | None = None
    stroke: str | None = None
    line: float = 1.0

    @property
    def box(self) -> Box:
        return around(self.points)

    def moved(self, dx: float, dy: float) -> Polygon:
        return replace(self, points=tuple((x + dx, y + dy) for x, y in self.points))


@dataclass(frozen=True)
class Line:
    """A line through points, with a head at its end if it is an arrow."""

    points: tuple[Point, ...]
    stroke: str = 'ink'
    line: float = 1.5
    arrow: bool = False
    dash: bool = False

    @property
    def box(self) -> Box:
        return around(self.points)

    @property
    def head(self) -> tuple[Point, ...]:
        """The three corners of the arrow's head."""
        (x0, y0), (x1, y1) = self.points[-2:]
        length = math.hypot(x1 - x0, y1 - y0) or 1.0
        dx, dy = HEAD * (x1 - x0) / length, HEAD * (y1 - y0) / length
        return (x1, y1), (x1 - dx - dy / 2, y1 - dy + dx / 2), (x1 - dx + dy / 2, y1 - dy - dx / 2)

    @property
    def shaft(self) -> tuple[Point, ...]:
        """The line itself: an arrow's ends inside its head."""
        if not self.arrow:
            return self.points
        _, (ax, ay), (bx, by) = self.head
        return *self.points[:-1], ((ax + bx) / 2, (ay + by) / 2)

    def moved(self, dx: float, dy: float) -> Line:
        return replace(self, points=tuple((x + dx, y + dy) for x, y in self.points))


@dataclass(frozen=True)
class Text:
    """A line of text. `x` is its start, middle or end, as `anchor` says; `y` is its middle."""

    x: float
    y: float
    text: str
    size: float = 16.0
    fill: str = 'ink'
    anchor: Align = 'middle'

    @property
    def width(self) -> float:
        return measure(self.text, self.size)

    @property
    def box(self) -> Box:
        shift = {'start': 0.0, 'middle': 0.5, 'end': 1.0}[self.anchor]
        height = HEIGHT * self.size
        return Box(self.x - shift * self.width, self.y - height / 2, self.width, height)

    def moved(self, dx: float, dy: float) -> Text:
        return replace(self, x=self.x + dx, y=self.y + dy)


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels (H, W), (H, W, 3) or (H, W, 4), as bytes, spread over a box.

    Attributes:
        smooth: a photograph; otherwise each pixel stays a sharp square.
    """

    box: Box
    pixels: npt.NDArray[np.uint8]
    smooth: bool = False

    def moved(self, dx: float, dy: float) -> Picture:
        return replace(self, box=self.box.moved(dx, dy))


Item: TypeAlias = Rect | Polygon | Line | Text | Picture


@dataclass(frozen=True)
class Drawing:
    """Items in a frame from (0, 0) to (width, height); later ones lie over earlier ones."""

    width: float
    height: float
    items: tuple[Item, ...] = ()

    @property
    def box(self) -> Box:
        return Box(0, 0, self.width, self.height)

    def moved(self, dx: float, dy: float) -> tuple[Item, ...]:
        """Return the items at another place."""
        return tuple(item.moved(dx, dy) for item in self.items)

    def plus(self, *items: Item) -> Drawing:
        """Return this drawing with more items over it."""
        return replace(self, items=(*self.items, *items))

    def at(self, x: float, y: float, other: Drawing) -> Drawing:
        """Return this drawing with another one over it, whose corner is (x, y)."""
        return self.plus(*other.moved(x, y))


@dataclass(frozen=True)
class Scene:
    """A finished drawing.

    Attributes:
        drawing: what is seen.
        title: a few words.
        description: what somebody is told who cannot see it, numbers included.
        lang: 'en' or 'zh', the language of its texts.
    """

    drawing: Drawing
    title: str
    description: str
    lang: str = 'en'
    facts: dict[str, Any] = field(default_factory=dict)  # the numbers it was drawn from, by name

    @property
    def width(self) -> float:
        return self.drawing.width

    @property
    def height(self) -> float:
        return self.drawing.height

    @property
    def texts(self) -> list[str]:
        """Every text that is seen, in the order in which it is drawn."""
        return [item.text for item in self.drawing.items if isinstance(item, Text)]


def blank(width: float = 0, height: float = 0) -> Drawing:
    """Return a drawing of nothing: a gap."""
    return Drawing(width, height)


def place(extent: float, room: float, align: Align) -> float:
    return {'start': 0.0, 'middle': 0.5, 'end': 1.0}[align] * (room - extent)


def beside(*drawings: Drawing, gap: float = 24, align: Align = 'middle') -> Drawing:
    """Put drawings in a row, `gap` apart; `align` says where the lower ones stand: at the top, middle or bottom.

    Example:
        >>> row = beside(blank(10, 4), blank(20, 8), gap=5)
        >>> row.width, row.height
        (35, 8)
    """
    height = max((drawing.height for drawing in drawings), default=0)
    items: list[Item] = []
    x = 0.0
    for drawing in drawings:
        items += drawing.moved(x, place(drawing.height, height, align))
        x += drawing.width + gap
    return Drawing(sum(drawing.width for drawing in drawings) + gap * max(len(drawings) - 1, 0), height, tuple(items))


def above(*drawings: Drawing, gap: float = 16, align: Align = 'middle') -> Drawing:
    """Put drawings in a column, `gap` apart; `align` says where narrow ones stand: at the left, middle or right."""
    width = max((drawing.width for drawing in drawings), default=0)
    items: list[Item] = []
    y = 0.0
    for drawing in drawings:
        items += drawing.moved(place(drawing.width, width, align), y)
        y += drawing.height + gap
    return Drawing(width, sum(drawing.height for drawing in drawings) + gap * max(len(drawings) - 1, 0), tuple(items))


def over(*drawings: Drawing) -> Drawing:
    """Put drawings over each other, the last on top, corner on corner."""
    items = tuple(item for drawing in drawings for item in drawing.items)
    return Drawing(max(drawing.width for drawing in drawings), max(drawing.height for drawing in drawings), items)


def framed(drawing: Drawing, padding: float = 24, fill: str | None = 'paper', stroke: str | None = None,
           radius: float = 0) -> Drawing:
    """Put a drawing on a sheet of paper that is `padding` larger on each side."""
    width, height = drawing.width + 2 * padding, drawing.height + 2 * padding
    sheet = Rect(Box(0, 0, width, height), fill, stroke, radius=radius)
    return Drawing(width, height, (sheet, *drawing.moved(padding, padding)))
