"""A folder of small pictures, and a run that was trained on it, for all tests of the commands."""

import contextlib
import io

import numpy as np
import pytest
from PIL import Image

from nailorch.cli import main

TRAIN = ['train', '--model', 'mnistnet', '--size', '8', '--epochs', '4', '--batch-size', '4', '--lr', '0.02']


@pytest.fixture(autouse=True)
def in_english(monkeypatch):
    monkeypatch.setenv('NAILORCH_LANG', 'en')


@pytest.fixture
def program(capsys):
    """Run the program: it gives its exit code, what it printed and what it complained of."""
    def run(*arguments):
        code = main(list(map(str, arguments)))
        return code, *capsys.readouterr()
    return run


@pytest.fixture
def complaint(program):
    """Run the program, expecting one line on standard error and nothing else; it gives the code and the line."""
    def run(*arguments):
        code, out, err = program(*arguments)
        assert out == ''
        assert err.startswith('nailorch: ')
        assert err.count('\n') == 1
        return code, err
    return run


@pytest.fixture(scope='session')
def pictures(tmp_path_factory):
    """Bright pictures called day, dark ones called night: 15 each."""
    root = tmp_path_factory.mktemp('pictures')
    generator = np.random.default_rng(0)
    for name, level in (('day', 180), ('night', 20)):
        (root / name).mkdir()
        for index in range(15):
            pixels = generator.integers(level, level + 60, (9, 11, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f'{index:02}.png')
    return root


@pytest.fixture(scope='session')
def root(tmp_path_factory, pictures):
    """The folder of all runs, with one run in it."""
    folder = tmp_path_factory.mktemp('runs')
    with contextlib.redirect_stdout(io.StringIO()):
        assert main([*TRAIN, '--data', str(pictures), '--root', str(folder), '--quiet']) == 0
    return folder


@pytest.fixture
def trained(root):
    """The folder of that run."""
    return next(root.iterdir())
