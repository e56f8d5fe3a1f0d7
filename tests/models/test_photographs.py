"""Real weights on real photographs: the probabilities that PyTorch gives, and the names that people would."""

import json

import numpy as np
import pytest

import nailorch
import nailorch.functions as F
from nailorch import models
from nailorch.formats.assets import asset
from nailorch.formats.images import read_image

torch = pytest.importorskip('torch', reason='PyTorch is not installed: pip install -e ".[compare]"')
from tests.models import twins  # noqa: E402

PHOTOS = {'coffee.png': 967, 'chelsea.png': 285, 'camera.png': 872, 'motorcycle_left.png': 665, 'china.jpg': 698}
EXPECTED = {967: 'espresso', 285: 'Egyptian', 872: 'tripod', 665: 'moped', 698: 'palace'}


def had(name):
    """Return an asset's path, or skip: no test needs the network."""
    try:
        return asset(name)
    except FileNotFoundError:
        pytest.skip(f'{name} cannot be had here: nailorch assets fetch {name}')


def real(kind, twin, file):
    path = had(file)
    peer = twin().eval()
    peer.load_state_dict(torch.load(path, weights_only=True), strict=True)
    return kind.from_pretrained(path).eval(), peer


@pytest.fixture(scope='module')
def mobilenet():
    return real(models.MobileNetV2, twins.MobileNetV2, 'mobilenet_v2-b0353104.pth')


@pytest.fixture(scope='module')
def efficientnet():
    return real(models.EfficientNetLite0, twins.EfficientNetLite0, 'efficientnet-lite0-57934424.pth')


@pytest.fixture(scope='module')
def pictures():
    pytest.importorskip('PIL.Image')
    return {name: read_image(had(f'photos/{name}')) for name in PHOTOS}


def probabilities(net, peer, x):
    with nailorch.no_grad():
        ours = F.softmax(net(x)).data
    with torch.no_grad():
        theirs = peer(torch.tensor(x)).softmax(1).numpy()
    return ours, theirs


def test_mobilenet_sees_what_pytorch_sees(mobilenet, pictures):
    net, peer = mobilenet
    x = np.stack([net.preprocess(picture) for picture in pictures.values()])
    ours, theirs = probabilities(net, peer, x)
    assert np.abs(ours - theirs).max() < 1e-4
    assert ours.argmax(1).tolist() == list(PHOTOS.values())
    np.testing.assert_allclose(ours.max(1), [.992, .717, .978, .592, .692], atol=2e-3)


def test_mobilenets_session_sees_the_same(mobilenet, pictures):
    net, peer = mobilenet
    x = np.stack([net.preprocess(picture) for picture in pictures.values()])
    scores = nailorch.compile(net, x[:1])(x)
    with torch.no_grad():
        theirs = peer(torch.tensor(x)).numpy()
    assert np.abs(scores - theirs).max() < 1e-3


def test_efficientnet_sees_what_pytorch_sees(efficientnet, pictures):
    net, peer = efficientnet
    x = np.stack([net.preprocess(picture) for picture in pictures.values()])
    ours, theirs = probabilities(net, peer, x)
    assert np.abs(ours - theirs).max() < 1e-4
    assert [int(top in np.argsort(p)[-5:]) for p, top in zip(ours, PHOTOS.values(), strict=True)] == [1, 1, 1, 1, 1]
    assert (ours.argmax(1) == theirs.argmax(1)).all()


def test_class_names_are_those_of_the_photographs():
    names = json.loads(had('imagenet1k_clean_names.json').read_text('utf-8'))
    assert all(word in names[index] for index, word in EXPECTED.items())
