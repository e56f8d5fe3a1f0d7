"""Explaining: every number that an operator computes, with the numbers that it was made of.

    model.py      what an explanation is: cells, their stages, the products in these
    windows.py    convolution and its kind, im2col and col2im, and their gradients
    pools.py      the poolings and their gradients
    others.py     linear, softmax, batch norm, and their gradients
    asking.py     explain(op, x, ...): which of them is meant
    terminal.py   a cell drawn in the terminal, and stepping from cell to cell
    html.py       a page to step through in a browser or a notebook; page/ has its style and script
"""

from nailorch.explaining.asking import EXPLAINED, explain
from nailorch.explaining.model import Cell, Explanation, Read, Stage, Term

__all__ = ['EXPLAINED', 'Cell', 'Explanation', 'Read', 'Stage', 'Term', 'explain']
