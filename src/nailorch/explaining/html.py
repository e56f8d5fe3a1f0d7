"""An explanation as one HTML page, or in a notebook: arrays side by side, the cells of which one steps through.

The page is complete in itself: its style and script stand in it, and its content-security policy forbids every request.
Python writes all tables, with the first cell's numbers marked, so that a page without scripts is poorer but whole;
page/page.js moves the marks.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np

from nailorch.drawing.parts import shown
from nailorch.explaining.model import LETTERS, Cell, Explanation, Index, Stage, Term, Words, in_words, summed
from nailorch.messages import language
from nailorch.shapes import Array

__all__ = ['notebook', 'page']

MOST_CELLS = 40_000  # of all tables: a browser lays them out in about a second
MOST_IN_NOTEBOOK = 1_000_000  # characters, which are saved with the notebook
WRITTEN_OUT = 64  # cells whose formulas are also listed below each other

TAGS = {'en': 'en', 'zh': 'zh-Hans'}  # the languages' names in HTML
WINDOWED = {'conv2d', 'deconv2d', 'pooling', 'average_pooling', 'im2col', 'col2im'}

# What an array is to the reader: its colour is the figures', and each has another line around what is read.
ROLES = {'x': 'input', 'x̂': 'input', 'col': 'input', 'W': 'kernel', 'b': 'kernel', 'gamma': 'kernel', 'beta': 'kernel',
         'gy': 'slope', 'y': 'input'}
NAMES: dict[str, Words] = {
    'x': ('input', '输入'), 'x̂': ('x, normalised', '标准化后的 x'), 'W': ('kernel', '卷积核'), 'b': ('bias', '偏置'),
    'gamma': ('scale', '缩放'), 'beta': ('shift', '平移'), 'gy': ('gradient that comes back', '传回来的梯度'),
    'y': ('output', '输出'), 'col': ('matrix of windows', '窗口展成的矩阵'),
}
WORDS: dict[str, Words] = {
    'first': ('First cell', '第一格'), 'previous': ('Previous cell', '上一格'), 'next': ('Next cell', '下一格'),
    'last': ('Last cell', '最后一格'), 'play': ('Play', '播放'), 'pause': ('Pause', '暂停'),
    'steps': ('Steps', '步骤'), 'language': ('Language', '语言'), 'dark': ('Dark', '深色'),
    'terms': ('Terms of the sum: left and right arrow', '式子中的各项：用左右方向键选择'),
    'scale': ('Index', '下标'), 'padding': ('padding', '填充'),
    'readers': ('is read by', '被这些格子读取：'), 'nobody': ('is read by no cell', '没有被任何格子读取'),
    'all': ('All cells, written out', '列出所有格子的算式'),
    'more': ('… and {} more: step to them above', '…… 还有 {} 格：请在上面逐格查看'),
    'keys': ('Click a cell of the output, or use the arrow keys, Home and End there. Point at a number of an input, or '
             'at a term of the sum, to see where it is used.',
             '点击输出中的格子，或在其中用方向键、Home、End 移动；指向输入中的数或式子中的一项，就能看到它用在哪里。'),
}


class Catalogue:
    """The page's texts in both languages; elements refer to them by number, so that one click changes all."""

    def __init__(self, lang: str) -> None:
        self.lang = lang
        self.words: list[Words] = []
        self.numbers: dict[Words, int] = {}

    def number(self, words: Words) -> int:
        words = (str(words[0]), str(words[1]))
        if words not in self.numbers:
            self.numbers[words] = len(self.words)
            self.words.append(words)
        return self.numbers[words]

    def text(self, words: Words) -> str:
        return escape(words[self.lang == 'zh'])

    def element(self, tag: str, words: Words, **attributes: str) -> str:
        """Return an element that holds the text."""
        told = ''.join(f' {name}="{escape(value)}"' for name, value in attributes.items())
        return f'<{tag}{told} data-w="{self.number(words)}">{self.text(words)}</{tag}>'

    def named(self, words: Words) -> str:
        """Return the attributes of an element whose name the text is."""
        return f'aria-label="{self.text(words)}" data-l="{self.number(words)}"'


def page(told: Explanation, lang: str | None = None, at: Index | None = None) -> str:
    """Return a whole HTML file.

    Args:
        lang: 'en' or 'zh', which the page shows first; None: `Config.lang`'s.
        at: the cell that is shown first.
    Raises:
        ValueError: the arrays are too large to be looked at, or there is no such language.
    """
    lang = known(lang)
    style, script = asset('page.css'), asset('page.js')
    policy = (f"default-src 'none'; style-src '{digest(style)}'; script-src '{digest(script)}'; "
              "base-uri 'none'; form-action 'none'")
    return '\n'.join([
        '<!DOCTYPE html>', f'<html lang="{TAGS[lang]}">', '<head>', '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="referrer" content="no-referrer">', f'<title>{escape(told.title)}</title>',
        f'<style>{style}</style>', '</head>', '<body class="nx-body">', '<main>', body(told, lang, at, 'h1'), '</main>',
        f'<script>{script}</script>', '</body>', '</html>', ''])


def notebook(told: Explanation) -> str:
    """Return what a notebook shows: the page's inside, which needs no script to be read.

    Where that would be too large it is the first cells' formulas.
    """
    try:
        inside = body(told, language(), None, 'h3', 'nx-notebook')
        if len(inside) > MOST_IN_NOTEBOOK:
            raise ValueError(in_words(('explain: too large to be kept in a notebook; write .to_html() to a file',
                                       'explain：太大，不宜存进 notebook；请把 .to_html() 写成文件')))
    except ValueError as error:
        return f'<pre>{escape(str(told))}</pre><p>{escape(str(error))}</p>'
    return f'<style>{asset("page.css")}</style>{inside}<script>{asset("page.js")}</script>'


def known(lang: str | None) -> str:
    if lang not in (None, *TAGS):
        raise ValueError(f"explain: lang is 'en', 'zh' or None, not {lang!r}")
    return lang or language()


def asset(name: str) -> str:
    return files('nailorch.explaining').joinpath('page', name).read_text(encoding='utf-8')


def digest(text: str) -> str:
    """Return the name by which a content-security policy allows one inline text."""
    return f'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'


def body(told: Explanation, lang: str, at: Index | None, heading: str, more: str = '') -> str:
    """Return the explanation's own element, with the data that its script reads."""
    size = told.output.size + sum(map(np.size, told.arrays.values()))
    if size > MOST_CELLS:
        raise ValueError(in_words((f'explain: arrays of {size} numbers are too large for a page; take smaller ones',
                                   f'explain：数组共有 {size} 个数，放进一个页面太大了；请用小一些的数组')))
    texts, cells = Catalogue(lang), told.all_cells()
    first = told.cell((0,) * told.output.ndim if at is None else at)
    names = [*told.arrays]
    padded = {read.index for cell in cells for read in cell.reads if read.padding}
    figures = [figure(texts, told, name, array, {read.index for read in first.reads if read.array == name}, padded)
               for name, array in told.arrays.items()]
    figures.append(figure(texts, told, '', told.output, {first.index}, padded))
    parts = [
        f'<div class="nx {more}" lang="{TAGS[lang]}" data-lm-suppress-shortcuts="true">',
        f'<div class="nx-head"><{heading} class="nx-title">{escape(told.title)}</{heading}>{switches(texts)}</div>',
        rules(texts, told),
        '<div class="nx-arrays">', *figures, '</div>',
        '<div class="nx-panel">', controls(texts), f'<div class="nx-cell">{told_cell(texts, told.of, first)}</div>',
        '<p class="nx-pointed"></p>', '</div>', '<p class="nx-live" role="status" aria-live="polite"></p>',
        texts.element('p', WORDS['keys'], **{'class': 'nx-keys', 'hidden': ''}), written_out(texts, told, cells),
    ]
    data = {
        'roles': [ROLES.get(name, 'input') for name in names], 'titles': told.op == 'im2col',
        'at': next(place for place, cell in enumerate(cells) if cell.index == first.index),
        'titled': [texts.number(WORDS[key]) for key in ('play', 'pause', 'readers', 'nobody', 'terms', 'padding')],
        'cells': [[stage_data(texts, names, stage) for stage in cell.stages] for cell in cells],
        'words': texts.words,
    }
    return '\n'.join([*parts, f'<script type="application/json" class="nx-data">{in_script(data)}</script>', '</div>'])


def in_script(data: Any) -> str:
    """Return JSON that no HTML parser can take for markup, whatever it holds."""
    text = json.dumps(data, separators=(',', ':'))  # ASCII: line separators too are escaped
    return text.replace('<', '\\u003c').replace('>', '\\u003e').replace('&', '\\u0026')


def rules(texts: Catalogue, told: Explanation) -> str:
    """Return the rules, and what the letters of a size's formula mean."""
    items = [texts.element('li', rule) for rule in told.rules]
    if told.has_sizes:
        items.append(texts.element('li', LETTERS, **{'class': 'nx-letters'}))
    return f'<ul class="nx-rules">{"".join(items)}</ul>'


def switches(texts: Catalogue) -> str:
    """Return the buttons for language and theme, which only a script makes work."""
    return (f'<div class="nx-switches" hidden><span class="nx-group" role="group" {texts.named(WORDS["language"])}>'
            '<button type="button" data-lang="en" lang="en">English</button>'
            '<button type="button" data-lang="zh" lang="zh-Hans">中文</button></span>'
            f'{texts.element("button", WORDS["dark"], type="button", **{"class": "nx-theme"})}</div>')


def controls(texts: Catalogue) -> str:
    def button(key: str, sign: str) -> str:
        return f'<button type="button" class="nx-{key}" {texts.named(WORDS[key])}>{sign}</button>'

    return (f'<div class="nx-bar" role="group" {texts.named(WORDS["steps"])} hidden>'
            f'{button("first", "|←")}{button("previous", "←")}{button("next", "→")}{button("last", "→|")}'
            f'{texts.element("button", WORDS["play"], type="button", **{"class": "nx-play"})}'
            '<span class="nx-count"></span></div>')


# the tables

def figure(texts: Catalogue, told: Explanation, name: str, array: Array, marks: set[Index], padded: set[Index]) -> str:
    """Return an array as tables, one a plane; `marks` are the places that the first cell is about. '' is the output."""
    output, shown_name = not name, name or told.of
    role = 'output' if output else ROLES.get(name, 'input')
    ring = told.padding if name == 'x' and array.ndim >= 2 else None
    planes = [table(texts, shown_name, array, lead, plane_words(told, name, array.ndim, lead), marks, ring, padded,
                    output) for lead in np.ndindex(*array.shape[:-2])]
    title = (f'<b>{escape(shown_name)}</b> {texts.element("span", called(told, name))} '
             f'<span class="nx-shape">{"×".join(map(str, array.shape))}</span>')
    return (f'<figure class="nx-array nx-{role}" data-name="{escape(shown_name)}"><figcaption>{title}</figcaption>'
            f'<div class="nx-planes">{"".join(planes)}</div></figure>')


def called(told: Explanation, name: str) -> Words:
    """Return what an array is called: 'input', 'kernel' ..."""
    if name == 'W' and told.op == 'linear':
        return 'weights', '权重'
    if not name and told.of.startswith('g'):
        return f'gradient of {told.of[1:]}', f'{told.of[1:]} 的梯度'
    if name == 'y':
        return 'what forward gave', '前向的结果'
    return NAMES.get(name or told.of, ('', ''))


def plane_words(told: Explanation, name: str, axes: int, lead: Index) -> Words | None:
    """Return what a plane is of: 'image 0, channel 1'; None if the index says all."""
    name = name or told.of
    origin = name[1:] if name in ('gx', 'gW') else 'y' if name == 'gy' else name
    if not lead or told.op not in WINDOWED | {'batch_norm'}:
        return None
    english, chinese = ['image', 'channel'], ['图像', '通道']
    if origin == 'W':
        english, chinese = ['filter', 'channel'], ['卷积核', '通道']
    elif axes == 3 and origin == 'y' and 'x' in told.arrays and told.arrays['x'].ndim == 4:
        return f'image {lead[0]}', f'图像 {lead[0]}'
    return (', '.join(f'{word} {i}' for word, i in zip(english[-len(lead):], lead, strict=True)),
            '，'.join(f'{word} {i}' for word, i in zip(chinese[-len(lead):], lead, strict=True)))


def table(texts: Catalogue, name: str, array: Array, lead: Index, words: Words | None, marks: set[Index], ring: Any,
          padded: set[Index], output: bool) -> str:
    """Return one plane: its rows and columns bear their index, padding stands around the image."""
    values = array[lead] if array.ndim > 1 else array.reshape(1, -1)
    (top, bottom), (left, right) = ring or ((0, 0), (0, 0))
    rows, columns = range(-top, values.shape[0] + bottom), range(-left, values.shape[1] + right)

    def cell(row: int, column: int) -> str:
        index = (*lead, row, column) if array.ndim > 1 else (column,)
        inside = 0 <= row < values.shape[0] and 0 <= column < values.shape[1]
        text = shown(values[row, column]) if inside else '0' if index in padded else '·'
        label = f'{name}[{", ".join(map(str, index))}] = {text}'
        kinds = ([] if inside else ['pad']) + (['now' if output else 'read'] if index in marks else [])
        kind = f' class="{" ".join(kinds)}"' if kinds else ''
        chosen = f' aria-selected="{"true" if index in marks else "false"}"' if output else ''
        content = f'<b>{text}</b>' if index in marks else text
        return (f'<td{kind} role="gridcell" tabindex="-1" data-k="{",".join(map(str, index))}"{chosen} '
                f'aria-label="{escape(label)}">{content}</td>')

    corner, sides = '', dict.fromkeys(rows, '')
    if array.ndim > 1:
        corner = f'<th scope="col">{texts.element("span", WORDS["scale"], **{"class": "nx-unseen"})}</th>'
        sides = {row: f'<th scope="row">{row}</th>' for row in rows}
    head = ''.join(f'<th scope="col">{column}</th>' for column in columns)
    lines = ''.join(f'<tr role="row">{sides[row]}{"".join(cell(row, column) for column in columns)}</tr>'
                    for row in rows)
    place = f'{name}[{", ".join(map(str, lead))}]' if lead else name
    caption = '' if not lead else (f'<caption>{escape(place)}'
                                   f'{" " + texts.element("span", words) if words else ""}</caption>')
    return (f'<div class="nx-plane"><table role="grid" aria-label="{escape(place)}">{caption}'
            f'<thead><tr role="row">{corner}{head}</tr></thead><tbody>{lines}</tbody></table></div>')


# a cell in words

def told_cell(texts: Catalogue, of: str, cell: Cell) -> str:
    lines = ''.join(f'<li>{texts.element("span", stage.title, **{"class": "nx-what"})} '
                    f'<span class="nx-formula">{escape(stage.formula)}</span></li>' for stage in cell.stages)
    return (f'<p class="nx-where">{escape(of)}[{", ".join(map(str, cell.index))}] = {escape(shown(cell.value))}</p>'
            f'<ol class="nx-stages">{lines}</ol>')


def written_out(texts: Catalogue, told: Explanation, cells: Sequence[Cell]) -> str:
    """Return the formulas of all cells below each other, to be printed or read at one go."""
    lines = ''.join(f'<li>{escape(told.of)}[{", ".join(map(str, cell.index))}]: '
                    f'{"<br>".join(written_stage(texts, stage) for stage in cell.stages)}</li>'
                    for cell in cells[:WRITTEN_OUT])
    rest = len(cells) - WRITTEN_OUT
    more = texts.element('p', (WORDS['more'][0].format(rest), WORDS['more'][1].format(rest))) if rest > 0 else ''
    return f'<details class="nx-all">{texts.element("summary", WORDS["all"])}<ul>{lines}</ul>{more}</details>'


def written_stage(texts: Catalogue, stage: Stage) -> str:
    """Return a stage's formula; before a mere number stands what it is."""
    words = '' if ' = ' in stage.formula else f'{texts.element("span", stage.title)} '
    return words + escape(stage.formula)


def stage_data(texts: Catalogue, names: Sequence[str], stage: Stage) -> list[Any]:
    """Return a stage for the script: its title, what stands before its terms, the terms, what comes after.

    A term is [sign before it, text, chosen, reads, is the text its factors]. Where the formula is not put together
    from terms alone, as in exp(1) / 4, its whole left side is the one term.
    """
    left, _, right = stage.formula.rpartition(' = ')
    for before, after, signs in wordings(stage.terms, left):
        terms = [[sign, text, term.chosen, reads_of(names, term), True]
                 for (sign, text), term in zip(signs, stage.terms, strict=True)]
        return [texts.number(stage.title), before, terms, f'{after} = {right}']
    reads = [read for term in stage.terms for read in reads_of(names, term)]
    terms = [['', left, False, reads, False]] if reads else []
    return [texts.number(stage.title), '' if reads else left, terms, f' = {right}' if left else right]


def wordings(terms: Sequence[Term], left: str) -> Iterator[tuple[str, str, list[tuple[str, str]]]]:
    """Yield what stands before and after the terms, and each term with its sign, if a formula is made of just them."""
    if not terms:
        return
    total, values = summed(terms), [str(term) for term in terms]
    if left == total or left == f'({total}) / {len(terms)}':
        before, after = ('', '') if left == total else ('(', f') / {len(terms)}')
        yield before, after, [signed(place, text) for place, text in enumerate(values)]
    elif left == f'max({", ".join(values)})':
        yield 'max(', ')', [(', ' if place else '', text) for place, text in enumerate(values)]


def signed(place: int, text: str) -> tuple[str, str]:
    """Return a term's sign in a sum, and the term without it."""
    if place and text.startswith('−'):
        return ' − ', text[1:]
    return ' + ' if place else '', text


def reads_of(names: Sequence[str], term: Term) -> list[list[Any]]:
    """Return which array each factor is read from, and where."""
    return [[names.index(read.array), ','.join(map(str, read.index))] for read in term.reads]
