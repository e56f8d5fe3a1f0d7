"""The scripts in examples/ run, and say what their first lines promise."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

import nailorch.datasets
from nailorch.datasets import ArrayDataset
from nailorch.formats.assets import asset

EXAMPLES = Path(__file__).parent.parent / 'examples'


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run an example in an empty folder and return the lines that it prints."""
    monkeypatch.chdir(tmp_path)

    def run(name, *arguments):
        monkeypatch.setattr(sys, 'argv', [name, *arguments])
        runpy.run_path(str(EXAMPLES / name), run_name='__main__')
        return capsys.readouterr().out.splitlines()

    return run


def test_every_example_is_tried_here():
    tried = Path(__file__).read_text('utf-8')
    assert [path.name for path in EXAMPLES.glob('*.py') if f"run('{path.name}'" not in tried] == []


def test_textbook_net_learns_and_goes_on_from_its_weights(run, monkeypatch):
    random = np.random.default_rng(0)
    labels = np.arange(300) % 10
    images = random.random((300, 28, 28), np.float32) / 4
    images[np.arange(300), 2 * labels + 3] += 1  # a bright row says which class it is
    few = ArrayDataset(images.reshape(300, 784), labels)
    monkeypatch.setattr(nailorch.datasets, 'Digits', lambda train: few)

    lines = run('textbook_net.py', '6')
    assert len(lines) == 7
    assert float(lines[-1].split()[2].rstrip(';')) > 0.9
    assert Path('textbook_net.npz').is_file()
    assert run('textbook_net.py', '1')[0] == 'going on from textbook_net.npz'


def test_spiral_draws_three_arms(run):
    lines = run('spiral.py')
    losses, picture = [float(line.split()[-1]) for line in lines[:5]], lines[5:]
    assert losses[-1] < 0.1 < losses[0]
    assert len(picture) == 21
    assert set(''.join(picture)) == set('.+o')


def test_receptive_fields_are_the_textbooks(run):
    assert [int(line.split()[-2]) for line in run('receptive_field.py')] == [3, 6, 16, 44, 100, 212]


def fetched(*names):
    """Return the paths of assets, or skip: no test needs the network."""
    try:
        return [asset(name) for name in names]
    except FileNotFoundError as error:
        pytest.skip(str(error).partition('\n')[0])


def test_transfer_learns_textures_from_two_pictures_each(run):
    fetched('mobilenet_v2-b0353104.pth', *(f'photos/{name}.png' for name in ('brick', 'grass', 'gravel')))
    lines = run('transfer.py', '--pictures', '2', '--epochs', '3', '--size', '64', '--test', '10')
    assert lines[0] == '2,223,872 numbers are frozen'
    *_, accuracy, of, count, _ = lines[-1].split()
    assert (of, count) == ('of', '30') and float(accuracy.rstrip('%')) > 80
