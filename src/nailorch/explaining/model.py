"""What an explanation is, as plain data; renderers show it, and none of them computes.

    Explanation   an operator on arrays: what comes out, and the rules with the sizes filled in
    Cell          one number of the output
    Stage         a step on the way to it, a sum as a rule: '0·1 + 1·2 + 2·4 + 3·5 = 25'
    Term          a product in that sum
    Read          a factor of it: which number of which array
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from nailorch.messages import language, message
from nailorch.shapes import Array

__all__ = ['Cell', 'Explanation', 'Index', 'Read', 'Stage', 'Term', 'Words', 'added', 'in_words', 'summed', 'written']

Index: TypeAlias = tuple[int, ...]
Words: TypeAlias = tuple[str, str]  # English, Chinese

VERSION = 1  # of what to_dict returns
MOST_TERMS = 200_000  # that to_dict lays out: a page with more would be slow to open
LETTERS = ('H, W: height and width of the input; KH, KW: of the window; SH, SW: the stride, how far it moves; '
           'before, after: padding; //: divide and drop the remainder',
           'H、W：输入的高和宽；KH、KW：窗口的高和宽；SH、SW：步幅，即每次移动几格；前补、后补：填充；//：相除取整')
SHOWN_TERMS = 16  # of a formula; the others become an ellipsis


@dataclass(frozen=True)
class Read:
    """A number that a cell is made of.

    Attributes:
        array: its name, 'x'.
        index: where it stands there; outside the array for padding.
        value: the number, 0 for padding.
        padding: it stands in no array.
    """

    array: str
    index: Index
    value: float
    padding: bool = False


@dataclass(frozen=True)
class Term:
    """Numbers that are multiplied: one of a sum's products, or one number that a maximum is taken of."""

    reads: tuple[Read, ...]
    chosen: bool = False  # the one that wins a maximum

    @property
    def value(self) -> float:
        return math.prod(read.value for read in self.reads)

    def __str__(self) -> str:
        return '·'.join(written(read.value, place > 0) for place, read in enumerate(self.reads))


@dataclass(frozen=True)
class Stage:
    """A step on the way to a cell's value.

    Attributes:
        title: what it does, in both languages.
        formula: the step with its numbers.
        value: what comes of it.
        terms: the products that it adds, or the numbers that it compares; none where the title says why there are none.
    """

    title: Words
    formula: str
    value: float
    terms: tuple[Term, ...] = ()

    def __str__(self) -> str:
        return self.formula if ' = ' in self.formula else f'{in_words(self.title)}: {self.formula}'


@dataclass(frozen=True)
class Cell:
    """One number of the output, and how it comes about.

    Attributes:
        index: where it stands in the output.
        stages: in the order in which they are computed; the last one's value is the cell's.
    """

    index: Index
    stages: tuple[Stage, ...]

    @property
    def value(self) -> float:
        return self.stages[-1].value

    @property
    def reads(self) -> list[Read]:
        """Every number that the cell is made of, in the order in which it is read."""
        return [read for stage in self.stages for term in stage.terms for read in term.reads]

    @property
    def formula(self) -> str:
        """The stages' formulas, one a line."""
        return '\n'.join(map(str, self.stages))

    def __str__(self) -> str:
        return self.formula


@dataclass(frozen=True)
class Explanation:
    """What an operator does with arrays, cell by cell.

    Attributes:
        op: the function's name, 'conv2d'.
        of: what is explained: 'y', or 'gx', 'gW' ... for a gradient.
        arrays: what goes in, by name, as it was given.
        output: what nailorch's own function computes from it.
        attributes: stride, pad ..., by name.
        rules: sentences with the numbers filled in, in both languages: the formula, the output's size.
        padding: ((top, bottom), (left, right)) around the image x, or None.
        stages: gives a cell's stages.
    """

    op: str
    of: str
    arrays: Mapping[str, Array]
    output: Array
    attributes: Mapping[str, Any]
    rules: tuple[Words, ...]
    stages: Callable[[Index], Sequence[Stage]] = field(repr=False)
    padding: tuple[tuple[int, int], tuple[int, int]] | None = None

    def cell(self, *index: Any) -> Cell:
        """Return one cell of the output: `cell(0, 1)`, or `cell((0, 1))`.

        Raises:
            IndexError: the output has no such cell.
        """
        chosen: Any = index[0] if len(index) == 1 and isinstance(index[0], tuple | list) else index
        shape = self.output.shape
        if len(chosen) != len(shape) or not all(-n <= i < n for i, n in zip(chosen, shape, strict=True)):
            raise IndexError(message('explain.cell', of=self.of, shape=shape, cell=tuple(chosen)))
        place = tuple(int(i) % n for i, n in zip(chosen, shape, strict=True))
        return Cell(place, tuple(self.stages(place)))

    def __iter__(self) -> Iterator[Cell]:
        """Yield all cells, row by row."""
        return (self.cell(index) for index in np.ndindex(*self.output.shape))

    def __len__(self) -> int:
        return self.output.size

    def readers(self, array: str, *index: int) -> list[Index]:
        """Return the cells of the output that read a number: which windows see this pixel."""
        return [cell.index for cell in self
                if any(read.array == array and read.index == index and not read.padding for read in cell.reads)]

    def verify(self) -> None:
        """Compare every cell with what nailorch computed.

        Raises:
            AssertionError: an explanation does not end in the number that it explains.
        """
        explained = np.array([cell.value for cell in self]).reshape(self.output.shape)
        np.testing.assert_allclose(explained, self.output, rtol=1e-9, atol=1e-9 * (1 + np.abs(self.output).max()))

    @property
    def title(self) -> str:
        """The call, as one would write it: 'conv2d(x, W, stride=2)'."""
        given = [*self.arrays, *(f'{name}={value}' for name, value in self.attributes.items())]
        call = f'{self.op}({", ".join(given)})'
        return call if self.of in ('y', 'col') else f'{self.of} · {call}'

    @property
    def has_sizes(self) -> bool:
        """Whether the rules tell the output's size, in the letters that LETTERS names."""
        return any(english.startswith('OH =') for english, _ in self.rules)

    def all_cells(self) -> list[Cell]:
        """Return all cells, if they can be looked at.

        Raises:
            ValueError: they are made of too many numbers.
        """
        cells: list[Cell] = []
        count = 0
        for cell in self:
            count += len(cell.reads)
            if count > MOST_TERMS:
                raise ValueError(in_words((
                    f'explain: {self.output.size} cells of {len(cell.reads)} numbers are too many to be shown at once; '
                    'take a smaller image, or fewer channels',
                    f'explain：{self.output.size} 个输出、每个由 {len(cell.reads)} 个数算出，太多了，无法一次展示；'
                    '请用小一些的图像或更少的通道')))
            cells.append(cell)
        return cells

    def to_dict(self) -> dict[str, Any]:
        """Return everything, all cells included, as JSON can write it.

        Raises:
            ValueError: that is too much to be looked at.
        """
        cells = [{'index': cell.index, 'value': finite(cell.value), 'stages': [
            {'title': stage.title, 'formula': stage.formula, 'value': finite(stage.value), 'terms': [
                {'chosen': term.chosen, 'value': finite(term.value), 'reads': [
                    {'array': read.array, 'index': read.index, 'value': finite(read.value), 'padding': read.padding}
                    for read in term.reads]} for term in stage.terms]} for stage in cell.stages]}
            for cell in self.all_cells()]
        return {'version': VERSION, 'op': self.op, 'of': self.of, 'title': self.title,
                'attributes': {name: str(value) for name, value in self.attributes.items()},
                'arrays': {name: listed(array) for name, array in self.arrays.items()}, 'output': listed(self.output),
                'rules': self.rules, 'padding': self.padding, 'cells': cells}

    def to_html(self, lang: str | None = None, at: Index | None = None) -> str:
        """Return one HTML page that steps through all cells; it needs no network and no other file.

        Args:
            lang: 'en' or 'zh', which the page shows first; None: `Config.lang`'s. A switch changes it.
            at: the cell that is shown first.
        Raises:
            ValueError: there is too much to be looked at, or no such language.
        Example:
            >>> from nailorch import explain
            >>> page = explain('softmax', [1, 2, 3]).to_html('en')
            >>> page[:15], 'http://' in page or 'https://' in page
            ('<!DOCTYPE html>', False)
        """
        from nailorch.explaining.html import page

        return page(self, lang, at)

    def _repr_html_(self) -> str:
        from nailorch.explaining.html import notebook

        return notebook(self)

    def __str__(self) -> str:
        lines = [self.title, *map(in_words, self.rules)]
        for cell in itertools.islice(self, 16):
            lines.append(f'{self.of}[{", ".join(map(str, cell.index))}]:  ' + '\n    '.join(cell.formula.split('\n')))
        if self.output.size > 16:
            more = self.output.size - 16
            lines.append(in_words((f'... and {more} more: .cell(index)', f'…… 还有 {more} 个：用 .cell(下标) 查看')))
        return '\n'.join(lines)


def in_words(words: Words) -> str:
    """Return the text in the language in force."""
    return words[language() == 'zh']


def listed(array: Array) -> dict[str, Any]:
    return {'shape': array.shape, 'values': [finite(value) for value in array.ravel().tolist()]}


def finite(value: float) -> float | str:
    """Return a number as JSON knows it: those that it lacks become words."""
    return float(value) if np.isfinite(value) else str(float(value))


def written(value: float, factor: bool = False) -> str:
    """Write a number in a formula; a negative factor stands in brackets.

    Example:
        >>> written(25.0), written(3.25), written(-1.0), written(-1.0, factor=True), written(1 / 3)
        ('25', '3.25', '−1', '(−1)', '0.333333')
    """
    text = f'{abs(value):.6g}'
    if value < 0:
        return f'(−{text})' if factor else f'−{text}'
    return text


def added(parts: Sequence[str | Term], value: float, wrap: str = '{}') -> str:
    """Write a sum: '1·2 + 3·4 = 14'; `wrap` may put it into a function, 'max({})'.

    Example:
        >>> added(['1', '−2'], -1)
        '1 − 2 = −1'
    """
    return f'{wrap.format(summed(parts))} = {written(value)}'


def summed(parts: Sequence[str | Term]) -> str:
    """Write the left side of a sum; of many parts the first and last."""
    texts = [str(part) for part in parts]
    if len(texts) > SHOWN_TERMS:
        texts = [*texts[:SHOWN_TERMS // 2], '…', *texts[-SHOWN_TERMS // 4:]]
    return ''.join(joined(place, text) for place, text in enumerate(texts)) or '0'


def joined(place: int, text: str) -> str:
    """Put a sum's sign before a part of it; one that is negative is subtracted."""
    if place == 0:
        return text
    return f' − {text[1:]}' if text.startswith('−') else f' + {text}'
