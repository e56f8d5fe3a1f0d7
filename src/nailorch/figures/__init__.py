"""The textbook chapter's figures, drawn from what nailorch computes: `nailorch figures`, or `draw('slide', lang='zh')`.

    sheet.py         a figure: its name, its words, and the sheet it is drawn on
    sliding.py       a kernel slides over an image: the four steps, stride, padding, the kernel that is turned round
    channels.py      channels in, channels out, a batch, and the table of shapes
    columns.py       im2col, the matrix product, pooling
    fields.py        what one number deep in a network sees
    networks.py      a network's stages with their sizes, VGG16, and why not a dense layer
    photographs.py   hand-made kernels on a photograph
    chapter.py       all of them, in order
    writing.py       figures as files
"""

from nailorch.figures.chapter import FIGURES, draw
from nailorch.figures.sheet import Figure
from nailorch.figures.writing import FORMATS, write

__all__ = ['FIGURES', 'FORMATS', 'Figure', 'draw', 'write']
