"""`nailorch assets`, with one asset that a folder has and one that nobody has."""

import hashlib
import json

import pytest

from nailorch.formats import assets


@pytest.fixture(autouse=True)
def known(monkeypatch, tmp_path):
    monkeypatch.setenv('NAILORCH_CACHE', str(tmp_path / 'cache'))
    monkeypatch.setenv('NAILORCH_ASSETS', str(tmp_path / 'mine'))
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'here.bin').write_bytes(b'1234')
    sha256 = hashlib.sha256(b'1234').hexdigest()
    monkeypatch.setattr(assets, 'ASSETS', {name: assets.Asset(name, 4, sha256, 'MIT', ())
                                           for name in ('here.bin', 'nowhere.bin')})


def test_assets_lists_them(program):
    code, out, err = program('assets')
    assert (code, err) == (0, '')
    assert [line.split() for line in out.splitlines()] == [
        ['name', 'here', 'size', 'licence'], ['here.bin', 'yes', '4', 'bytes', 'MIT'],
        ['nowhere.bin', '4', 'bytes', 'MIT']]
    assert program('assets', 'list', 'nowhere.bin', '--quiet')[1] == 'nowhere.bin\n'


def test_assets_list_json(program, tmp_path):
    here, nowhere = json.loads(program('assets', '--json')[1])
    assert here['path'] == str(tmp_path / 'mine' / 'here.bin') and nowhere['path'] is None
    assert here['bytes'] == 4 and here['exact'] and len(here['sha256']) == 64 and here['sources'] == []


@pytest.mark.parametrize('action', ['fetch', 'path'])
def test_assets_gives_paths_and_says_in_one_line_what_is_missing_and_where_to_put_it(program, tmp_path, action):
    code, out, err = program('assets', action, 'nowhere.bin', 'here.bin')
    assert code == 1
    assert out == f'{tmp_path / "mine" / "here.bin"}\n'
    assert err.count('\n') == 1 and 'nowhere.bin' in err and str(tmp_path / 'mine' / 'nowhere.bin') in err
    told = json.loads(program('assets', action, 'nowhere.bin', 'here.bin', '--json')[1])
    assert [each['path'] for each in told] == [None, str(tmp_path / 'mine' / 'here.bin')]


def test_assets_wants_known_names(complaint):
    code, said = complaint('assets', 'fetch', 'nowhere.bin', 'her.bin')
    assert code == 1 and "did you mean 'here.bin'" in said
    assert complaint('assets', 'fetch')[0] == 2
    assert complaint('assets', 'steal')[0] == 2


def test_the_table_fits_a_terminal(program):
    assert max(map(len, program('assets', 'list')[1].splitlines())) <= 80
