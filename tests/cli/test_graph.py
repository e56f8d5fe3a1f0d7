"""`nailorch graph`: a picture of what a model computes."""

import json
from xml.etree import ElementTree

import pytest
from PIL import Image


def test_graph_writes_an_svg(program, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert program('graph', 'lenet') == (0, 'lenet.svg: 10 boxes, 9 arrows\n', '')
    ElementTree.parse(tmp_path / 'lenet.svg')


def test_graph_writes_a_png_and_tells_it_in_words(program, tmp_path):
    code, out, err = program('graph', 'mnistnet', '--out', tmp_path / 'new' / 'a.png', '--input', '1,32,28', '--json')
    assert (code, err) == (0, '')
    assert '1×32×28' in json.loads(out)['description']
    with Image.open(tmp_path / 'new' / 'a.png') as picture:
        assert picture.width > 200


def test_graph_of_a_run(program, root, tmp_path):
    code, out, err = program('graph', 'latest', '--root', root, '--out', tmp_path / 'a.svg', '--json')
    assert (code, err) == (0, '')
    assert '3×8×8' in json.loads(out)['description']


@pytest.mark.parametrize(('arguments', 'code', 'expected'), [
    (['lenet', '--out', 'a.jpg'], 2, 'ends with .svg or .png'),
    (['lenett'], 2, 'did you mean lenet?'),
    (['lenet', '--depth', '0'], 2, 'at least 1'),
])
def test_errors_are_one_line(complaint, arguments, code, expected):
    found, line = complaint('graph', *arguments)
    assert found == code
    assert expected in line
