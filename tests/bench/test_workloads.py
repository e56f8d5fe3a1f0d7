"""Sizes against numbers from elsewhere; names find what they say; everyone can do it."""

import numpy as np
import pytest

from nailorch.bench import ours
from nailorch.bench.catalogue import GROUPS, catalogue, chosen
from nailorch.bench.statistics import apart
from nailorch.bench.workloads import Convolution
from nailorch.config import using_config

FULL, QUICK = catalogue(), catalogue(quick=True)


def test_vgg16_has_the_multiply_adds_of_the_literature():
    assert FULL['vgg16-inference-b1'].flops / 2 == pytest.approx(15.47e9, rel=1e-3)  # 15.5 G multiply-adds
    assert FULL['vgg16-inference-b1'].bytes == pytest.approx(4 * 138_357_544, rel=2e-3)


@pytest.mark.parametrize(('name', 'multiplications', 'weights'), [
    ('resnet50', 4.09e9, 25_557_032 + 2 * 26_560), ('mobilenet_v2', 0.3008e9, 3_504_872 + 2 * 17_056)])
def test_networks_with_branches_have_the_sizes_of_the_literature(name, multiplications, weights):
    work = FULL[f'{name}-inference-b1']  # weights: the parameters, and two averages for each of the norms' channels
    assert work.flops / 2 == pytest.approx(multiplications, rel=2e-3)
    assert work.bytes == 4 * (weights + 3 * 224 * 224 + 1000)


def test_training_counts_both_gradients_but_none_of_the_images():
    # MNISTNet: 28*28*16*9 + 14*14*32*16*9 + 1568*128 + 128*10 multiply-adds an image, thrice, less the first gradient
    first, others = 28 * 28 * 16 * 9, 14 * 14 * 32 * 16 * 9 + 1568 * 128 + 128 * 10
    assert FULL['mnistnet-training-b100'].flops == 200 * (2 * first + 3 * others)


def test_a_convolution_counts_its_groups():
    work = Convolution('x', 'forward', 2, 'other-layers', (4, 5, 5), 6, 3, 2, 1, 1, 2)
    assert work.shapes() == ((2, 4, 5, 5), (6, 2, 3, 3), (2, 6, 3, 3))
    assert work.flops == 2 * (2 * 6 * 3 * 3) * (2 * 3 * 3)
    assert work.bytes == 4 * (200 + 108 + 108)


def test_quick_has_the_same_names_and_less_work():
    assert list(QUICK) == list(FULL)
    assert all(QUICK[name].flops < FULL[name].flops for name in FULL)
    assert {work.group for work in FULL.values()} == set(GROUPS)


@pytest.mark.parametrize(('word', 'count'), [
    ('vgg16-inference', 2), ('models', 11), ('mnistnet-training-b100', 1), ('vgg16-conv1_1', 6),
    ('*-weight-grad-b1', 25), ('all', len(FULL)),
])
def test_words_choose_workloads(word, count):
    assert len(chosen([word], FULL)) == count


def test_a_word_that_names_nothing_is_an_error():
    with pytest.raises(LookupError, match='vgg17'):
        chosen(['models', 'vgg17'], FULL)


LAYERS = [name for name, work in QUICK.items() if isinstance(work, Convolution) and name.endswith('b8')]


@pytest.mark.parametrize('name', LAYERS)
def test_layers_agree_with_pytorch(name):
    pytest.importorskip('torch')
    from nailorch.bench import pytorch
    found, expected = (part.prepare(QUICK[name], mode, 1).check()['result']
                       for part, mode in ((ours, 'reference'), (pytorch, 'channels_last')))
    assert apart(found, expected) < 1e-5


NETWORKS = ['resnet50-inference-b8', 'resnet50-training-b16', 'mobilenet_v2-inference-b8', 'mobilenet_v2-training-b16',
            'vgg16-inference-b8', 'vgg16-training-b8', 'mnistnet-training-b100', 'vgg16-fc6-forward-b8']


@pytest.mark.parametrize('name', ['vgg16', 'resnet50', 'mobilenet_v2'])
def test_compiled_network_agrees_with_the_model(name):
    work = QUICK[f'{name}-inference-b8']
    found, expected = (ours.prepare(work, mode, 1).check()['result'] for mode in ('compiled', 'reference'))
    assert apart(found, expected) < 1e-4


@pytest.mark.parametrize('name', NETWORKS)
def test_networks_agree_with_pytorch(name):
    pytest.importorskip('torch')
    from nailorch.bench import pytorch
    runners = [part.prepare(QUICK[name], mode, 1) for part, mode in ((ours, 'reference'), (pytorch, 'NCHW'))]
    found, expected = (runner.check() for runner in runners)
    assert found.keys() == expected.keys()
    training = name in ('resnet50-training-b16', 'mobilenet_v2-training-b16')  # small maps: a flipped decision is seen
    assert max(apart(found[key], expected[key]) for key in found) < (0.1 if training else 1e-4)
    assert not training or apart(found['loss'], expected['loss']) < 1e-4
    for runner in runners:
        runner.run()


@pytest.mark.parametrize('name', ['mnistnet-training-b100', 'mobilenet_v2-training-b16', 'vgg16-training-b8'])
def test_compiled_training_is_the_eager_one(name):
    with using_config('engine', 'fast'):
        runners = [ours.prepare(QUICK[name], mode, 1) for mode in ('compiled', 'fast')]
        found, expected = (runner.check() for runner in runners)
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            np.testing.assert_array_equal(found[key], value)
        assert np.isfinite(runners[0].run())


def test_training_learns_with_dropout_on():
    runner = ours.prepare(QUICK['mnistnet-training-b100'], 'reference', 1)
    found = runner.check()
    assert found['loss after the update'] < found['loss']
    losses = [runner.run() for _ in range(2)]
    assert np.isfinite(losses).all() and losses[0] != float(found['loss after the update'])
