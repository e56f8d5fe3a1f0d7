"""The report: right numbers, complete in itself, safe with any name, the same bytes each time, in both languages."""

import csv
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

pytest.importorskip('jinja2')
pytest.importorskip('matplotlib')

from nailorch.config import using_config
from nailorch.drawing.pictures import filter_images, heat_map, tile, to_picture
from nailorch.training.figures import curves
from nailorch.training.history import append_epoch
from nailorch.training.inside import Inside
from nailorch.training.report import Answers, frequent_pairs, interval, mistake, write_predictions, write_report
from nailorch.training.report_words import WORDS
from nailorch.training.runs import Run

VOID = {'meta', 'input', 'img', 'br', 'path', 'use'}


class Page(HTMLParser):
    """A page's tags, after checking that each one closes."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags = [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def make_run(path, epochs=3):
    run = Run.at(path, {'model': {'name': 'net'}, 'data': {'name': 'digits'}})
    run.metrics_file.unlink(missing_ok=True)
    for epoch in range(1, epochs + 1):
        append_epoch(run.metrics_file, {
            'epoch': epoch, 'train_loss': 1 / epoch, 'train_accuracy': 1 - 0.4 / epoch, 'valid_loss': 1.1 / epoch,
            'valid_accuracy': 1 - 0.5 / epoch, 'lr': 0.001, 'seconds': 30.0, 'images_per_second': 1234.0, 'best': True})
    return run


def make_answers(K=3, shape=(1, 4, 5), names=None, count=60, seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.integers(K, size=count)
    probabilities = generator.random((count, K))
    probabilities[np.arange(count), labels] += 0.5
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    images = generator.integers(256, size=(count, *shape), dtype=np.uint8)
    return Answers(labels, probabilities, names or [f'class {k}' for k in range(K)], lambda index: images[index])


def make_inside(C=1):
    generator = np.random.default_rng(1)
    return Inside(206922, ('conv1', generator.normal(size=(6, C, 3, 2))), [('conv1', generator.random((6, 4, 5)))])


def report(tmp_path, **changes):
    given = {'run': make_run(tmp_path / 'run'), 'answers': make_answers(), 'inside': make_inside(), **changes}
    return write_report(**given).read_text(encoding='utf-8')


def test_report_is_well_formed_html_with_its_headline_numbers(tmp_path):
    answers = make_answers()
    text = report(tmp_path, answers=answers)
    Page(text)
    right = int((answers.predicted == answers.labels).sum())
    assert 0 < right < 60
    assert f'{right} of 60 test images right' in text
    assert f'60 张测试图像中答对 {right} 张' in text
    assert '206\u202f922' in text
    assert '1:30' in text


def test_report_asks_nothing_of_the_network(tmp_path):
    page = Page(report(tmp_path))
    policy = next(meta['content'] for meta in page.all('meta') if 'http-equiv' in meta)
    assert policy.startswith("default-src 'none'")
    assert page.all('script') == page.all('link') == page.all('iframe') == []
    for _, attributes in page.tags:
        for name in ('src', 'href', 'srcset', 'action'):
            assert (attributes.get(name) or '#').startswith(('data:image/png', '#'))
    assert 'url(http' not in report(tmp_path)


def test_every_picture_has_an_alternative_text(tmp_path):
    page = Page(report(tmp_path))
    assert len(page.all('img')) >= 3
    assert all(image.get('alt') for image in page.all('img'))
    assert all(svg.get('aria-label') for svg in page.all('svg'))


def test_mistakes_are_shown_with_the_places_that_spoke_for_them(tmp_path):
    answers = make_answers()
    index = int(np.flatnonzero(answers.predicted != answers.labels)[0])
    page = Page(report(tmp_path, inside=Inside(9, heats={index: np.eye(3)})))
    assert sum(f'where it looked in test image {index}' in image['alt'] for image in page.all('img')) == 1


def test_headings_of_tables_say_what_they_head(tmp_path):
    text = report(tmp_path)
    assert all(heading.get('scope') in ('row', 'col') for heading in Page(text).all('th'))
    assert not re.search(r'<th[^>]*></th>', text)


def test_all_of_the_page_is_in_its_main_part(tmp_path):
    text = report(tmp_path)
    assert text.index('<main>') < text.index('<input') < text.index('<footer>') < text.index('</main>')


def test_both_languages_are_in_the_page_and_one_is_chosen(tmp_path):
    for lang, checked in (('en', 'en'), ('zh', 'zh')):
        with using_config('lang', lang):
            text = report(tmp_path)
        assert 'How it learned' in text
        assert '学习过程' in text
        chosen = [box['id'] for box in Page(text).all('input') if 'checked' in box]
        assert chosen == [checked]


def test_names_cannot_become_markup(tmp_path):
    names = ['<script>alert(1)</script>', '"><img src=x>', "{{ 7 * 7 }} & 'quote'"]
    page = Page(report(tmp_path, answers=make_answers(names=names)))
    assert page.all('script') == []
    assert all(image['src'].startswith('data:') for image in page.all('img'))


def test_a_long_name_is_shortened_where_it_would_break_the_page(tmp_path):
    text = report(tmp_path, answers=make_answers(names=['a', 'b' * 200, '语' * 80], count=200))
    assert 'b' * 200 in [heading.get('title') for heading in Page(text).all('th')]
    shown = re.findall(r'>([^<>]*)<', text)
    assert not [words for words in shown if 'b' * 24 in words or '语' * 24 in words]
    assert 'b' * 23 + '…' in shown and '语' * 23 + '…' in shown


def test_the_same_run_gives_the_same_bytes(tmp_path):
    assert report(tmp_path) == report(tmp_path)


def test_ids_are_not_repeated(tmp_path):
    ids = [attributes['id'] for _, attributes in Page(report(tmp_path)).tags if 'id' in attributes]
    assert len(ids) == len(set(ids))


def test_a_confusion_matrix_of_many_classes_is_a_picture(tmp_path):
    page = Page(report(tmp_path, answers=make_answers(K=100, shape=(3, 8, 8), count=400), inside=make_inside(3)))
    assert [image for image in page.all('img') if image.get('class') == 'heat']
    assert len(page.all('td')) < 2000


def test_a_network_without_convolution_says_so(tmp_path):
    text = report(tmp_path, inside=Inside(10))
    assert 'This network has no convolution.' in text
    assert 'What it sees in an image' not in text


def test_no_mistake_at_all_is_said(tmp_path):
    answers = make_answers()
    perfect = Answers(answers.predicted, answers.probabilities, answers.classes, answers.picture)
    assert 'There is none' in report(tmp_path, answers=perfect)


def test_a_class_without_test_images_has_no_accuracy(tmp_path):
    answers = make_answers(K=3)
    probabilities = np.pad(answers.probabilities, [(0, 0), (0, 1)])
    absent = Answers(answers.labels, probabilities, ['a', 'b', 'c', 'd'], answers.picture)
    assert re.search(r'd</th>\s*<td class="bar" aria-hidden="true"></td>\s*<td>–</td><td>0</td>',
                     report(tmp_path, answers=absent))


def test_a_run_without_epochs_or_accuracy_has_a_report(tmp_path):
    assert 'How it learned' not in report(tmp_path, run=make_run(tmp_path / 'empty', epochs=0))


@pytest.mark.parametrize('package', ['jinja2', 'matplotlib'])
def test_what_is_missing_is_named_with_its_remedy(tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    remedy = rf"{package}, .*pip install 'nailorch\[report\]'"
    with using_config('lang', 'en'), pytest.raises(ImportError, match=remedy):
        report(tmp_path)


def test_both_catalogues_have_the_same_placeholders():
    for key, (english, chinese) in WORDS.items():
        assert set(re.findall(r'\{\w+\}', english)) == set(re.findall(r'\{\w+\}', chinese)), key


def test_predictions_are_written_one_row_an_image(tmp_path):
    answers = Answers(np.array([1, 0]), np.array([[0.25, 0.75], [0.4, 0.6]]), ['no, never', 'yes'], lambda index: None)
    write_predictions(tmp_path / 'predictions.csv', answers)
    with open(tmp_path / 'predictions.csv', newline='', encoding='utf-8') as file:
        rows = list(csv.reader(file))
    assert rows[1] == ['0', '1', '1', '0.750000', '0.750000', 'yes', 'yes']
    assert rows[2] == ['1', '0', '1', '0.600000', '0.400000', 'no, never', 'yes']


def test_images_that_are_files_bear_their_names(tmp_path):
    answers = Answers(np.array([1, 0]), np.array([[0.25, 0.75], [0.4, 0.6]]), ['no', 'yes'],
                      lambda index: np.zeros((1, 2, 2), np.uint8), ['pictures/a.png', 'pictures/<b>.png'])
    write_predictions(tmp_path / 'predictions.csv', answers)
    with open(tmp_path / 'predictions.csv', newline='', encoding='utf-8') as file:
        rows = list(csv.DictReader(file))
    assert [row['file'] for row in rows] == answers.files
    told = mistake(answers, 1)
    assert (told['place'], told['file']) == ('<b>.png', 'pictures/<b>.png')
    assert mistake(replace(answers, files=None), 1)['place'] == '#1'


def test_interval_agrees_with_published_values():
    # Newcombe 1998, Two-sided confidence intervals for the single proportion, table I: 81 of 263, method 3.
    low, high = interval(81, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
    assert interval(0, 10)[0] == 0
    assert interval(10, 10)[1] == 1


def test_frequent_pairs_come_most_frequent_first_and_without_single_mistakes():
    assert frequent_pairs(np.array([[9, 2, 0], [4, 9, 1], [2, 0, 9]])) == [(1, 0, 4), (0, 1, 2), (2, 0, 2)]


def test_to_picture_spreads_numbers_and_keeps_bytes():
    assert to_picture(np.array([[[-1.0, 0.0], [1.0, 1.0]]])).tolist() == [[0, 128], [255, 255]]
    assert to_picture(np.full((1, 1, 2), 7, np.uint8)).tolist() == [[7, 7]]
    assert to_picture(np.zeros((3, 4, 5), np.uint8)).shape == (4, 5, 3)
    assert to_picture(np.zeros((2, 4, 5))).shape == (4, 5)


def test_tile_parts_pictures_by_transparent_pixels():
    sheet = tile([np.full((20, 30, 3), 9, np.uint8)] * 3, columns=2)
    assert sheet.shape == (42, 62, 4)
    assert (sheet[20:22, :, 3] == 0).all()
    assert (sheet[:20, 30:32, 3] == 0).all()
    assert (sheet[:20, :30] == [9, 9, 9, 255]).all()
    assert (sheet[22:, 32:, 3] == 0).all()


def test_tile_enlarges_small_pictures():
    picture = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    sheet = tile([picture], columns=8)
    assert sheet.shape == (16, 24, 4)
    assert (sheet[4::8, 4::8, :3] == picture).all()


def test_filters_show_their_sign():
    sheet = filter_images(np.array([[[[-1.0, 0.0, 1.0]]]]))
    negative, zero, positive = sheet[0, 4::8, :3].astype(int)
    assert negative[2] > negative[0]
    assert zero.tolist() == [246, 246, 246]
    assert positive[0] > positive[2]


def test_constant_filters_and_maps_of_nan_can_be_shown():
    assert filter_images(np.zeros((2, 3, 3, 3))).shape == (24, 54, 4)
    assert to_picture(np.full((1, 2, 2), np.nan)).tolist() == [[0, 0], [0, 0]]


def test_heat_map_is_brightest_where_all_of_a_class_goes():
    picture = heat_map(np.array([[4, 0], [1, 3]])).sum(axis=-1)
    assert picture[0, 0] > picture[1, 1] > picture[1, 0] > picture[0, 1]


def test_curves_leave_colours_to_the_page_and_gaps_open():
    svg = curves([1.0, 0.5, 0.25], [None, 0.6, None], 2, 'loss')
    assert 'var(--train)' in svg
    assert 'var(--valid)' in svg
    assert '#0' not in re.sub(r'#[\da-z]{11}', '', svg)
    assert 'nan' not in svg.lower()
