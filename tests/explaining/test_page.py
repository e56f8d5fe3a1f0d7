"""The page of an explanation: whole without scripts, stepped through by keys and mouse, silent towards the network."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files

import numpy as np
import pytest

from nailorch import explain, using_config
from nailorch.cli import main
from nailorch.drawing.palette import PALETTE
from nailorch.explaining import html, model
from nailorch.explaining.model import LETTERS, Read, Stage, Term
from tests.browser import browser

X = np.arange(1, 10).reshape(3, 3)
K = np.array([[0, 1], [2, 3]])
X3, K3 = np.arange(1, 28).reshape(3, 3, 3), np.arange(12).reshape(3, 2, 2)
EXPLAINED = {
    'conv': explain('conv2d', X, K),
    'channels': explain('conv2d', X3, K3),
    'padded': explain('conv2d', np.arange(12).reshape(2, 2, 3) - 5, np.arange(16).reshape(2, 2, 2, 2) - 6, [1, -2],
                      pad=((1, 0), (0, 2)), stride=(1, 2)),
    'batch': explain('conv2d', np.arange(32).reshape(2, 1, 4, 4), K.reshape(1, 2, 2), stride=2, dilation=2),
    'groups': explain('conv2d', np.arange(18).reshape(2, 3, 3), np.arange(8).reshape(2, 1, 2, 2), groups=2),
    'deconv': explain('deconv2d', [[25, 31], [43, 49]], K, stride=2),
    'im2col': explain('im2col', X, 2, pad=1),
    'col2im': explain('col2im', np.arange(16).reshape(4, 4), (3, 3), 2),
    'pooling': explain('pooling', [[1, 2, 3, 4], [5, 6, 7, 8], [9, 1, 2, 3], [4, 5, 6, 7]], 2, 2, pad=1),
    'average': explain('average_pooling', [[1, 5], [3, 4]], 2),
    'linear': explain('linear', [1, 2, 3], [[1, 0], [0, 1], [2, 2]], [1, -1]),
    'softmax': explain('softmax', [1, 2, 3]),
    'norm': explain('batch_norm', [[1, 2], [3, 4], [5, 9]]),
    'gW': explain('conv2d', X, K, of='W', pad=1),
    'gsoftmax': explain('softmax', [1, 2, 3], of='x', gy=[1, 0, -1]),
    'gnorm': explain('batch_norm', np.arange(24).reshape(2, 3, 2, 2) % 7, of='x', gy=np.arange(24).reshape(2, 3, 2, 2)),
}


class Reader(HTMLParser):
    """Reads a page: its tables' cells by array, its texts, its data, and whether its elements nest."""

    def __init__(self, text):
        super().__init__()
        self.cells, self.open, self.text, self.tags, self.attributes, self.inside = [], [], [], [], [], {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attributes]
        if tag not in ('meta', 'br'):
            self.open.append(tag)
        if tag == 'td':
            self.cells.append(dict(attributes))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if self.open and self.open[-1] in ('script', 'style'):
            self.inside.setdefault(self.open[-1], []).append(text)
        else:
            self.text.append(text)


@pytest.mark.parametrize('name', EXPLAINED)
@pytest.mark.parametrize('lang', ['en', 'zh'])
def test_page_holds_every_number_by_its_index(name, lang):
    told = EXPLAINED[name]
    read = Reader(told.to_html(lang))
    labels = [cell['aria-label'] for cell in read.cells]
    assert len(labels) == len(set(labels))
    for array, values in [*told.arrays.items(), (told.of, told.output)]:
        for index, value in np.ndenumerate(values):
            assert f'{array}[{", ".join(map(str, index))}] = {html.shown(value)}' in labels
    assert sum(cell['tabindex'] == '-1' for cell in read.cells) == len(labels)
    assert told.title in ' '.join(read.text)
    for rule in told.rules:
        assert rule[lang == 'zh'] in read.text
    assert (LETTERS[lang == 'zh'] in read.text) == any('OH =' in rule for rule in read.text)
    for stage in told.cell((0,) * told.output.ndim).stages:
        assert stage.formula in read.text


@pytest.mark.parametrize('name', EXPLAINED)
def test_data_of_the_script_says_what_the_cells_say(name):
    """Put together again, the terms give each formula, and they are read where the explanation reads them."""
    told = EXPLAINED[name]
    data = json.loads(Reader(told.to_html('en')).inside['script'][0])
    arrays = [*told.arrays]
    for cell, stages in zip(told, data['cells'], strict=True):
        for stage, (title, before, terms, after) in zip(cell.stages, stages, strict=True):
            assert tuple(data['words'][title]) == stage.title
            whole = before + ''.join(sign + text for sign, text, *_ in terms) + after
            assert whole == stage.formula or '…' in stage.formula
            reads = [(arrays[array], tuple(map(int, key.split(',')))) for term in terms for array, key in term[3]]
            assert reads == [(read.array, read.index) for term in stage.terms for read in term.reads]


def test_a_cell_without_terms_is_told_in_words():
    told = explain('pooling', [[1, 2], [3, 4]], 2, of='x')
    for lang, words in ('en', 'no window chose this pixel'), ('zh', '没有窗口选中这个像素'):
        page = told.to_html(lang)
        assert page.count(words) >= 3
        assert '0 = 0' not in page


def test_long_sum_is_written_with_all_its_terms():
    told = explain('conv2d', np.ones((5, 5)), np.arange(25).reshape(5, 5) - 12)
    ((_, before, terms, after),) = json.loads(Reader(told.to_html()).inside['script'][0])['cells'][0]
    assert (before, len(terms), after) == ('', 25, ' = 0') and '…' in told.cell(0, 0).formula
    assert [text for _, text, *_ in terms][11:14] == ['1·1', '0·1', '1·1']


def test_window_of_the_first_cell_is_marked_without_a_script():
    read = Reader(EXPLAINED['conv'].to_html('en', at=(1, 0)))
    assert [cell['data-k'] for cell in read.cells if cell.get('class') == 'read'] == [
        '1,0', '1,1', '2,0', '2,1', '0,0', '0,1', '1,0', '1,1']
    assert [cell['aria-label'] for cell in read.cells if cell.get('aria-selected') == 'true'] == ['y[1, 0] = 43']
    assert '0·4 + 1·5 + 2·7 + 3·8 = 43' in read.text


def test_padding_stands_around_the_image():
    read = Reader(EXPLAINED['padded'].to_html('en'))
    padding = [cell['data-k'] for cell in read.cells if cell.get('class', '').startswith('pad')]
    assert len(padding) == 2 * (3 * 5 - 2 * 3) and '1,-1,4' in padding
    assert 'x[1, -1, 3] = 0' in [cell['aria-label'] for cell in read.cells]
    unread = Reader(EXPLAINED['pooling'].to_html('en'))  # a maximum never takes it
    assert 'x[-1, -1] = ·' in [cell['aria-label'] for cell in unread.cells]


def test_planes_say_what_they_are():
    text = ' '.join(Reader(EXPLAINED['padded'].to_html('en')).text)
    assert 'channel 1' in text and 'filter 1, channel 0' in text
    assert '图像 1' in ' '.join(Reader(EXPLAINED['batch'].to_html('zh')).text)


def test_language_is_checked_and_follows_the_configuration():
    with using_config('lang', 'zh'):
        assert '<html lang="zh-Hans">' in EXPLAINED['conv'].to_html()
        assert '每个输出' in EXPLAINED['conv']._repr_html_()
    with pytest.raises(ValueError, match="lang is 'en', 'zh' or None, not 'de'"):
        EXPLAINED['conv'].to_html('de')
    assert all(english and chinese for english, chinese in html.WORDS.values())


def test_page_asks_for_nothing():
    page = EXPLAINED['channels'].to_html()
    read = Reader(page)
    policy = next(value for tag, name, value in read.attributes if name == 'content' and 'default-src' in value)
    assert policy.startswith("default-src 'none'; style-src 'sha256-") and 'unsafe' not in policy
    assert not {'img', 'link', 'iframe', 'object', 'base', 'form'} & set(read.tags)
    assert not [name for _, name, _ in read.attributes if name in ('src', 'href', 'style') or name.startswith('on')]
    assert not re.search(r'https?:|url\(|@import|fetch\(|innerHTML|eval', page)


def test_hostile_names_stay_text():
    bad = '</script><img src=x onerror=alert(1)>"\'&\u2028'
    told = replace(EXPLAINED['conv'], arrays={bad: np.eye(2)}, of=bad, attributes={bad: bad}, rules=((bad, bad),),
                   stages=lambda index: [Stage((bad, bad), f'{bad} = 1', 1.0, (Term((Read(bad, (0, 0), 1.0),)),))])
    for page in (told.to_html('en'), told._repr_html_()):
        read = Reader(page)
        assert 'img' not in read.tags and page.count('<script') == 2 and '\u2028' not in page[page.index('nx-data'):]
        data = json.loads(next(text for text in read.inside['script'] if text.startswith('{')))
        assert [bad, bad] in data['words']


@pytest.mark.parametrize(('module', 'limit', 'words'), [
    (model, 'MOST_TERMS', '4 cells of 8 numbers are too many'),
    (html, 'MOST_CELLS', 'arrays of 17 numbers are too large')])
def test_too_much_is_an_error_and_a_few_lines_in_a_notebook(module, limit, words, monkeypatch):
    told = EXPLAINED['conv']
    monkeypatch.setattr(module, limit, 16)
    with using_config('lang', 'en'):
        with pytest.raises(ValueError, match=words):
            told.to_html()
        shown = told._repr_html_()
    assert shown.startswith('<pre>conv2d(x, W)') and words in shown and '0·1 + 1·2 + 2·4 + 3·5 = 25' in shown


def test_notebook_keeps_no_large_page(monkeypatch):
    monkeypatch.setattr(html, 'MOST_IN_NOTEBOOK', 5000)
    assert 'to_html()' in EXPLAINED['conv']._repr_html_()
    assert EXPLAINED['conv'].to_html()


def test_nan_and_infinity_are_shown():
    read = Reader(explain('conv2d', [[np.nan, 1.], [2., np.inf]], [[1.]]).to_html('en'))
    assert {'x[0, 0] = nan', 'y[1, 1] = inf'} <= {cell['aria-label'] for cell in read.cells}


def test_colours_are_the_figures_and_can_be_read():
    style = files('nailorch.explaining').joinpath('page/page.css').read_text('utf-8')
    themes = [dict(re.findall(r'--([\w-]+): (#\w{6})', rule)) for rule in re.findall(r'\{[^{}]*--ink:[^{}]*\}', style)]
    light, dark, chosen = themes
    assert dark == chosen and light.keys() == dark.keys()
    assert light == {name: PALETTE[name.replace('-', ' ')] for name in light}
    for theme in (light, dark):
        for colour in ('ink', 'muted', 'blue', 'orange', 'green', 'purple'):
            assert contrast(theme[colour], theme['paper']) >= 4.5, colour
        for pale in ('pale-blue', 'pale-orange', 'pale-green', 'pale-purple', 'shade'):
            assert contrast(theme['ink'], theme[pale]) >= 4.5, pale
        assert contrast(theme['muted'], theme['shade']) >= 4.5


def contrast(one, other):
    """The contrast of two colours as WCAG 2 defines it."""
    def luminance(colour):
        parts = np.array([int(colour[i:i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_command_writes_the_page(tmp_path, capsys):
    path = tmp_path / '卷积.html'
    assert main(['explain', 'conv', '--of', 'W', '--cell', '1,1', '--html', str(path), '--lang', 'zh']) == 0
    assert capsys.readouterr().out == f'{path}\n'
    page = path.read_text('utf-8')
    assert page == explain('conv2d', X, K, of='W').to_html('zh', at=(1, 1)) and 'gW[1, 1] = 28' in page
    assert main(['explain', 'softmax', '--html', str(path), '--json']) == 0
    assert json.loads(capsys.readouterr().out) == {'path': str(path)}


@pytest.mark.parametrize('where', ['no folder/a.html', '.'])
def test_command_says_where_it_cannot_write(where, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(['explain', 'conv', '--html', where]) != 0
    assert where.split('/')[0] in capsys.readouterr().err and list(tmp_path.iterdir()) == []


# in a browser

@pytest.fixture(scope='module')
def window():
    with browser() as found:
        yield found


@pytest.fixture
def opened(window, tmp_path):
    """Open an explanation; in the end, nothing was asked for and no error came up."""
    def open_page(name, lang='en'):
        path = tmp_path / f'{name}.html'
        path.write_text(EXPLAINED[name].to_html(lang), 'utf-8')
        window.open(path)
        return window

    window.media()
    window.resize(1200)
    yield open_page
    assert window.requests == [] and window.errors == []


def focus(window):
    return window.run('document.activeElement.getAttribute("aria-label")')


def labels(window, selector):
    return window.run(f'[...document.querySelectorAll("{selector}")].map(item => item.getAttribute("aria-label"))')


@pytest.mark.parametrize('name', ['padded', 'norm', 'gsoftmax'])
def test_arrow_keys_reach_every_cell(opened, name):
    """From one to the next, in every table; the output's cells show what the explanation says of them."""
    window, told = opened(name), EXPLAINED[name]
    grids = window.run('[...document.querySelectorAll(".nx-array")].map(array => array.querySelectorAll("td").length)')
    assert grids[-1] == told.output.size
    for number, size in enumerate(grids):
        window.run(f'document.querySelectorAll(".nx-array")[{number}].querySelector("td[tabindex=\'0\']").focus()')
        window.press('Home')
        seen = [focus(window)]
        for _ in range(size - 1):
            window.press('ArrowRight')
            seen.append(focus(window))
        assert len(set(seen)) == size
        window.press('ArrowRight')
        assert focus(window) == seen[-1]
        window.press('Home')
        assert focus(window) == seen[0]
    window.run('document.querySelector(".nx-output td[tabindex=\'0\']").focus()')
    for cell in told:
        index = ', '.join(map(str, cell.index))
        assert focus(window) == f'{told.of}[{index}] = {html.shown(cell.value)}'
        assert labels(window, '.now') == [focus(window)]
        assert len(labels(window, '.read')) == len({(read.array, read.index) for read in cell.reads})
        said = window.run('document.querySelector(".nx-live").textContent')
        assert said.startswith(f'{told.of}[{index}]') and all(stage.formula in said for stage in cell.stages)
        window.press('ArrowRight')


def test_up_and_down_move_by_a_row(opened):
    window = opened('channels')
    window.run('document.querySelector(".nx-output td[tabindex=\'0\']").focus()')
    for key, there in [('ArrowDown', 'y[1, 0] = 1299'), ('ArrowRight', 'y[1, 1] = 1365'), ('ArrowUp', 'y[0, 1] = 1167'),
                       ('ArrowUp', 'y[0, 1] = 1167'), ('End', 'y[1, 1] = 1365'), ('Home', 'y[0, 0] = 1101')]:
        window.press(key)
        assert focus(window) == there


def test_mouse_selects_and_points(opened):
    window = opened('conv')
    window.click('.nx-output [data-k="1,0"]')
    assert window.run('document.querySelector(".nx-formula").textContent') == '0·4 + 1·5 + 2·7 + 3·8 = 43'
    window.hover('.nx-term:nth-of-type(3)')
    assert labels(window, 'td.point') == ['x[2, 0] = 7', 'W[1, 0] = 2']
    window.hover('.nx-input [data-k="1,1"]')
    assert labels(window, '.nx-output .point') == ['y[0, 0] = 25', 'y[0, 1] = 31', 'y[1, 0] = 43', 'y[1, 1] = 49']
    assert window.run('document.querySelector(".nx-pointed").textContent') == (
        'x[1, 1] = 5 is read by y[0, 0], y[0, 1], y[1, 0], y[1, 1]')


def test_keys_reach_what_the_mouse_points_at(opened):
    window = opened('conv', 'zh')
    window.run('document.querySelector(".nx-term").focus()')
    window.press('ArrowRight')
    assert focus(window) == '1·2: W[0, 1] · x[0, 1]'
    assert labels(window, 'td.point') == ['x[0, 1] = 2', 'W[0, 1] = 1']
    window.run('document.querySelector(".nx-input td").focus()')
    assert window.run('document.querySelector(".nx-live").textContent') == 'x[0, 0] = 1 被这些格子读取： y[0, 0]'


def test_buttons_step_play_and_switch(opened):
    window = opened('conv')
    count = 'document.querySelector(".nx-count").textContent'
    for button, there in [('next', '2 / 4'), ('last', '4 / 4'), ('next', '4 / 4'), ('previous', '3 / 4'),
                          ('first', '1 / 4')]:
        window.click(f'.nx-{button}')
        assert window.run(count) == there
    window.click('.nx-play')
    assert window.run('document.querySelector(".nx-play").textContent') == 'Pause'
    window.run(f"""new Promise((done) => {{
        const look = setInterval(() => {{ if ({count} === '2 / 4') done(clearInterval(look)); }}, 50);
    }})""")
    window.click('.nx-play')
    window.click('[data-lang=zh]')
    assert window.run('document.documentElement.lang') == 'zh-Hans'
    assert '每个输出' in window.run('document.querySelector(".nx-rules").textContent')
    assert window.run('document.querySelector(".nx-play").textContent') == '播放'
    paper = 'getComputedStyle(document.body).backgroundColor'
    light = window.run(paper)
    window.click('.nx-theme')
    assert window.run(paper) != light
    assert window.run('document.querySelector(".nx-play").checkVisibility()')
    window.media(prefers_color_scheme='dark', prefers_reduced_motion='reduce')
    opened('conv')
    assert window.run(paper) != light
    assert not window.run('document.querySelector(".nx-play").checkVisibility()')


def test_screen_reader_is_told_every_value(opened):
    window, told = opened('padded'), EXPLAINED['padded']
    names = window.names('gridcell')
    for array, values in [*told.arrays.items(), ('y', told.output)]:
        for index, value in np.ndenumerate(values):
            assert f'{array}[{", ".join(map(str, index))}] = {html.shown(value)}' in names
    assert 'padding x[0, -1, 0] = 0' in names
    assert len(window.names('grid')) == 2 + 4 + 1 + 2


@pytest.mark.parametrize('name', EXPLAINED)
def test_no_page_is_wider_than_a_phone(opened, name):
    window = opened(name)
    window.resize(390, 800)
    assert window.run('document.documentElement.scrollWidth') <= 390


def test_tab_passes_through_all_parts(opened):
    window = opened('conv')
    window.press('Home')  # the page, not a cell
    stops = []
    for _ in range(11):
        window.press('Tab')
        stops.append(focus(window) or window.run('document.activeElement.textContent'))
    assert stops == ['English', '中文', 'Dark', 'x[0, 0] = 1', 'W[0, 0] = 0', 'y[0, 0] = 25', 'First cell',
                     'Previous cell', 'Next cell', 'Last cell', 'Play']
    window.press('Tab')
    assert focus(window) == '0·1: W[0, 0] · x[0, 0]'


def test_page_that_a_browser_saved_starts_again(opened, tmp_path):
    window = opened('conv')
    window.click('.nx-next')
    saved = tmp_path / 'saved.html'
    saved.write_text(window.run('document.documentElement.outerHTML'), 'utf-8')
    window.open(saved)
    window.click('.nx-last')
    assert labels(window, '.now') == ['y[1, 1] = 49'] and len(labels(window, '.read')) == 8


def test_several_live_in_one_notebook(window, tmp_path):
    path = tmp_path / 'notebook.html'
    shown = ''.join(EXPLAINED[name]._repr_html_() for name in ('conv', 'conv', 'pooling'))
    path.write_text(f'<!DOCTYPE html><meta charset="utf-8"><body>{shown}', 'utf-8')
    window.open(path)
    assert window.run('document.querySelectorAll(".nx[data-live]").length') == 3
    window.run('document.querySelectorAll(".nx-next")[1].click()')
    assert window.run('[...document.querySelectorAll(".nx-where")].map(item => item.textContent)') == [
        'y[0, 0] = 25', 'y[0, 1] = 31', 'y[0, 0] = 1']
    assert window.run('new Set([...document.querySelectorAll("[id]")].map(item => item.id)).size') == 0
    assert window.requests == [] and window.errors == []
