"""All figures, in the order of the chapter."""

from __future__ import annotations

from nailorch.config import using_config
from nailorch.drawing import Scene
from nailorch.figures import channels, columns, fields, networks, photographs, sliding
from nailorch.messages import language

__all__ = ['FIGURES', 'draw']

FIGURES = {figure.name: figure for figure in (
    networks.pipeline, networks.parameters,
    sliding.slide, sliding.bias, photographs.kernels, sliding.flip, photographs.relief,
    sliding.padding, sliding.stride, fields.receptive_field,
    channels.channels_in, channels.channels_out, channels.batch, channels.shapes,
    columns.pooling, columns.im2col, columns.im2col_product, columns.pooling_im2col,
    networks.vgg16, fields.receptive_vgg16)}


def draw(name: str, lang: str | None = None) -> list[Scene]:
    """Draw a figure: one scene, or one for each of its steps.

    Args:
        name: one of FIGURES.
        lang: 'en' or 'zh'; None: `Config.lang`'s.
    Raises:
        KeyError: there is no such figure.
        FileNotFoundError: it shows a photograph that cannot be had.
    Example:
        >>> [scene.facts['value'] for scene in draw('slide')]
        [25.0, 31.0, 43.0, 49.0]
    """
    # Plain NumPy: the arrays are small, and nobody should wait for a compiler.
    with using_config('lang', lang or language()), using_config('engine', 'reference'):
        return FIGURES[name].scenes()
