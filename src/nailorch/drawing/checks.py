"""What is wrong with a scene, found by measuring: a figure's test asks this, and so may whoever draws one."""

from __future__ import annotations

from nailorch.drawing.fonts import covers
from nailorch.drawing.scene import Box, Picture, Polygon, Rect, Scene, Text

__all__ = ['faults']

SMALLEST = 9.0  # a text's size, in a scene that is 800 wide: smaller cannot be read on a slide


def faults(scene: Scene) -> list[str]:
    """Return a line for each text that leaves the scene or its box, meets another, is half hidden or tiny."""
    items = scene.drawing.items
    texts = [(place, item) for place, item in enumerate(items) if isinstance(item, Text)]
    found = []
    smallest = SMALLEST * max(1.0, scene.width / 1200)
    for place, text in texts:
        if not scene.drawing.box.holds(text.box):
            found.append(f'{text.text!r} leaves the scene')
        if text.size < smallest:
            found.append(f'{text.text!r} is too small: {text.size:.1f}, at least {smallest:.1f}')
        if missing := covers(text.text):
            found.append(f'{text.text!r}: the font has no {"".join(sorted(missing))}')
        around = [item.box for item in reversed(items[:place]) if isinstance(item, Rect) and inside(item.box, text)]
        if around and not min(around, key=lambda box: box.width * box.height).holds(text.box):
            found.append(f'{text.text!r} leaves its box')
        covering = [item.box for item in items[place + 1:] if opaque(item)]
        if any(box.meets(text.box) and not box.holds(text.box) for box in covering):
            found.append(f'{text.text!r} is half hidden')
    seen = [text for place, text in texts
            if not any(opaque(item) and item.box.holds(text.box) for item in items[place + 1:])]
    for index, text in enumerate(seen):
        found += [f'{text.text!r} meets {other.text!r}' for other in seen[index + 1:] if text.box.meets(other.box)]
    return found


def inside(box: Box, text: Text) -> bool:
    x, y = text.box.middle
    return box.left < x < box.right and box.top < y < box.bottom


def opaque(item: object) -> bool:
    return isinstance(item, Picture) or (isinstance(item, Rect | Polygon) and item.fill is not None)
