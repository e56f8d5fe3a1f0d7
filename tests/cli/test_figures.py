"""`nailorch figures`: files, lists and JSON, both languages, and a photograph that cannot be had."""

import json

import pytest

from nailorch.figures import FIGURES, photographs


def test_figures_are_written_and_counted(program, tmp_path):
    code, out, err = program('figures', 'slide', 'flip', '--format', 'svg,gif', '--out', tmp_path)
    assert (code, out, err) == (0, 'slide  A kernel slides over an image\nflip   Cross-correlation and convolution\n'
                                   f'2 figures, 6 files in {tmp_path}\n', '')
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        'flip.svg', 'slide-1.svg', 'slide-2.svg', 'slide-3.svg', 'slide-4.svg', 'slide.gif']


def test_both_languages_have_a_folder_each(program, tmp_path):
    code, out, _ = program('figures', 'flip', '--format', 'svg', '--lang', 'all', '--out', tmp_path, '--json')
    assert code == 0
    english, chinese = json.loads(out)['figures']
    assert english['files'] == [str(tmp_path / 'en' / 'flip.svg')]
    assert (chinese['lang'], chinese['title']) == ('zh', '互相关与卷积')
    assert '0·1 + 1·2 + 2·4 + 3·5 = 25' in chinese['descriptions'][0]
    assert '互相关' in (tmp_path / 'zh' / 'flip.svg').read_text('utf-8')
    _, out, _ = program('figures', 'flip', '--quiet', '--format', 'svg', '--out', tmp_path)
    assert out == f'{tmp_path / "flip.svg"}\n'


def test_the_list_names_every_figure(program):
    code, out, _ = program('figures', '--list')
    assert code == 0 and all(f'\n{name} ' in out for name in FIGURES)
    told = json.loads(program('figures', '--list', '--json', '--lang', 'zh')[1])
    assert [figure['name'] for figure in told] == list(FIGURES)
    assert told[0]['title'] == '从图像到答案'
    assert program('figures', 'slide', '--list', '--quiet')[1] == 'slide\n'


@pytest.mark.parametrize(('arguments', 'expected'), [
    (['figures', 'slid'], "there is no figure 'slid': did you mean slide?"),
    (['figures', '--format', 'jpg'], "--format 'jpg': svg, png or gif"),
    (['doctor', '--lang', 'all'], "--lang: 'en' or 'zh', not 'all'"),
])
def test_what_is_not_understood_ends_with_2(complaint, arguments, expected):
    code, line = complaint(*arguments)
    assert code == 2 and expected in line


def test_without_its_photograph_a_figure_is_left_out(program, monkeypatch, tmp_path):
    def missing():
        raise FileNotFoundError('photos/camera.png could not be had')

    monkeypatch.setattr(photographs, 'photograph', missing)
    some = {name: FIGURES[name] for name in ('flip', 'kernels', 'pooling')}
    monkeypatch.setattr('nailorch.cli.figures.FIGURES', some)
    code, out, err = program('figures', '--format', 'svg', '--out', tmp_path)
    assert (code, out.splitlines()[-1]) == (0, f'2 figures, 2 files in {tmp_path}')
    assert err == ("nailorch: left out: 'kernels' shows photos/camera.png, which cannot be had; "
                   'nailorch assets says more\n')
    code, out, _ = program('figures', 'kernels', 'flip', '--format', 'svg', '--out', tmp_path, '--json')
    assert code == 1 and json.loads(out)['missing'] == ['kernels']


def test_a_still_has_no_gif_and_says_so(program, tmp_path):
    code, out, _ = program('figures', 'flip', '--format', 'gif', '--out', tmp_path)
    assert (code, out.splitlines()[-2:]) == (0, ['flip: one step, so no GIF', f'0 figures, 0 files in {tmp_path}'])


def test_a_folder_that_cannot_be_made_is_named(complaint, tmp_path):
    (tmp_path / 'file').write_text('')
    code, line = complaint('figures', 'flip', '--format', 'svg', '--out', tmp_path / 'file' / 'folder')
    assert code == 1 and str(tmp_path / 'file') in line
