"""Figures as files: SVG that scales, PNG for slides, GIF where steps follow each other."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from nailorch.drawing import Scene, to_gif, to_png, to_svg
from nailorch.figures.chapter import FIGURES, draw

__all__ = ['FORMATS', 'write']

FORMATS = 'svg', 'png', 'gif'


def write(name: str, folder: str | PathLike[str], lang: str | None = None,
          formats: Sequence[str] = FORMATS) -> tuple[list[Scene], list[Path]]:
    """Draw a figure and write it: 'pooling.svg', or 'slide-1.svg', 'slide-2.svg' ... and one 'slide.gif'.

    Args:
        name: one of FIGURES.
        folder: where the files are put; it is made.
        lang: 'en' or 'zh'; None: `Config.lang`'s.
        formats: of FORMATS; a figure of one step has no GIF.
    Returns:
        the scenes, whose `description` is the text for those who cannot see them, and the files.
    """
    scenes, folder, paths = draw(name, lang), Path(folder), []
    folder.mkdir(parents=True, exist_ok=True)

    def put(path: Path, content: bytes) -> None:
        path.write_bytes(content)
        paths.append(path)

    for step, scene in enumerate(scenes, 1):
        stem = f'{name}-{step}' if len(scenes) > 1 else name
        if 'svg' in formats:
            put(folder / f'{stem}.svg', to_svg(scene).encode())
        if 'png' in formats:
            put(folder / f'{stem}.png', to_png(scene))
    if 'gif' in formats and len(scenes) > 1:
        put(folder / f'{name}.gif', to_gif(scenes, [FIGURES[name].seconds] * len(scenes)))
    return scenes, paths
