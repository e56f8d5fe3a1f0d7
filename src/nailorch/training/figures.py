"""The curves of a report, as SVG to be put into HTML.

They take their colours from the page (`var(--train)` …), so that they follow its light or dark theme.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from typing import Any

__all__ = ['curves']

# What Matplotlib is told to draw with, and what the page puts in its place.
PAGE_COLOURS = {'#010101': 'var(--ink)', '#020202': 'var(--line)', '#030303': 'var(--train)', '#040404': 'var(--valid)',
                '#050505': 'var(--best)'}
INK, LINE, TRAIN, VALID, BEST = PAGE_COLOURS


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
