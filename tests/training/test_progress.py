"""What training shows."""

import io
import sys

import pytest

from nailorch.config import using_config
from nailorch.training import progress

RECORD = {'epoch': 3, 'train_loss': 0.0812, 'train_accuracy': 0.975, 'valid_loss': 0.0618, 'valid_accuracy': 0.981,
          'images_per_second': 9240.3, 'best': True}


def test_epoch_line_shows_losses_accuracies_speed_and_the_star():
    assert progress.epoch_line(RECORD) == '  3   train 0.081/97.5%   val 0.062/98.1%   9 240 img/s ★best'


def test_epoch_line_leaves_out_what_was_not_measured():
    record = {**RECORD, 'train_accuracy': None, 'valid_loss': None, 'valid_accuracy': None, 'best': False}
    assert progress.epoch_line(record) == '  3   train 0.081   9 240 img/s'


def test_epoch_line_speaks_chinese():
    with using_config('lang', 'zh'):
        assert progress.epoch_line(RECORD) == '  3   训练 0.081/97.5%   验证 0.062/98.1%   9 240 张/秒 ★最佳'


@pytest.mark.parametrize('count, text', [(999, '999'), (206_922, '206.9k'), (138_357_544, '138.4M')])
def test_compact_counts(count, text):
    assert progress.compact(count) == text


def run_an_epoch(reporter):
    reporter.say('Data 40 · Net')
    reporter.start(3, 10, 2, 0)
    reporter.batch(1, 20, 0.5, 0.5)
    reporter.batch(2, 20, 0.4, None)
    reporter.measuring()
    reporter.end(RECORD)
    reporter.close()


def test_lines_are_one_an_epoch_without_control_characters(capsys):
    run_an_epoch(progress.choose('lines'))
    assert capsys.readouterr().out == 'Data 40 · Net\n' + progress.epoch_line(RECORD) + '\n'


def test_lines_do_without_a_star_where_it_cannot_be_shown(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding='cp1252')
    monkeypatch.setattr(sys, 'stdout', stream)
    progress.choose('lines').end(RECORD)
    assert stream.buffer.getvalue().endswith(b'9 240 img/s *best\n')


def test_silence_is_silent(capsys):
    run_an_epoch(progress.choose('none'))
    assert capsys.readouterr() == ('', '')


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_bar_leaves_only_the_line_of_the_epoch(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, 'stdout', screen)
    monkeypatch.setenv('TERM', 'xterm')
    monkeypatch.setenv('COLUMNS', '80')
    run_an_epoch(progress.choose('bar'))
    drawn, _, last = screen.getvalue().rpartition('\x1b[2K')  # the escape sequence that clears a line
    assert 'Data 40 · Net\n' in drawn and '0/2' in drawn and 'validating' in drawn
    assert 'Epoch' not in last and progress.epoch_line(RECORD) in last


def test_bar_says_that_it_was_asked_to_stop(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, 'stdout', screen)
    monkeypatch.setenv('TERM', 'xterm')
    monkeypatch.setenv('COLUMNS', '80')
    bar = progress.choose('bar')
    bar.start(3, 10, 2, 0)
    bar.stopping()
    bar.batch(1, 20, 0.5, 0.5)
    bar.close()
    assert 'saving after this batch; once more quits' in screen.getvalue() and 'loss' not in screen.getvalue()


def test_auto_takes_lines_when_not_on_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, 'stdout', io.StringIO())
    assert type(progress.choose('auto')) is progress.Lines


def test_auto_takes_the_bar_on_a_terminal_unless_asked_for_no_colour(monkeypatch):
    monkeypatch.setattr(sys, 'stdout', Terminal())
    monkeypatch.setenv('TERM', 'xterm')
    monkeypatch.delenv('NO_COLOR', raising=False)
    assert type(progress.choose('auto')) is progress.Bar
    monkeypatch.setenv('NO_COLOR', '1')
    assert type(progress.choose('auto')) is progress.Lines
    monkeypatch.delenv('NO_COLOR')
    monkeypatch.setenv('TERM', 'dumb')
    assert type(progress.choose('auto')) is progress.Lines


def test_choose_names_what_there_is():
    with pytest.raises(ValueError, match="expected 'auto', 'bar', 'lines' or 'none', got 'fancy'"):
        progress.choose('fancy')
