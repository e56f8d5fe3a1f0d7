"""Faults that the ancestors of this API had, one test each, in their order. A user who moves here meets none again."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nailorch
import nailorch.functions as F
import nailorch.layers as L
from nailorch import DataLoader, Model, Variable, optimizers
from nailorch.core import gradients
from nailorch.datasets import MNIST, ArrayDataset, split
from nailorch.formats.assets import ASSETS
from nailorch.transforms import RandomHorizontalFlip

SOURCE = Path(nailorch.__file__).parent


def normal(*shape, dtype=np.float64):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


class Net(Model):
    def __init__(self):
        super().__init__()
        self.conv = L.Conv2d(4, 3, pad=1)
        self.bn = L.BatchNorm()
        self.blocks = [L.Linear(6), L.Linear(5)]
        self.heads = {'a': L.Linear(3), 'b': L.Linear(2)}

    def forward(self, x):
        h = F.flatten(F.relu(self.bn(self.conv(x))))
        for block in self.blocks:
            h = F.dropout(F.relu(block(h)), 0.5)
        return self.heads['a'](h)


def built():
    net = Net()
    net(normal(2, 3, 4, 5, dtype=np.float32))
    net.heads['b'](normal(2, 5, dtype=np.float32))
    return net


def test_float32_stays_float32():
    net, x = Net(), normal(2, 3, 4, 5, dtype=np.float32)
    loss = F.softmax_cross_entropy(net(x) * 2.0, np.array([0, 1]))
    loss.backward()
    assert nailorch.as_array(np.float32(1)).dtype == np.float32
    assert loss.dtype == np.float32
    assert {p.dtype for p in net.params() if p.data is not None} == {np.dtype(np.float32)}
    assert {p.grad.dtype for p in net.params() if p.grad is not None} == {np.dtype(np.float32)}


def test_average_pooling_with_a_non_square_kernel():
    y = F.average_pooling(normal(1, 2, 5, 7), (2, 3), (1, 2), (1, 0))
    assert y.shape == (1, 2, 6, 3)


def test_a_max_pool_of_negative_numbers_ignores_its_padding():
    x = Variable(np.full((1, 1, 4, 4), -1.0))
    y = F.pooling(x, 3, 2, 1)
    assert np.all(y.data == -1)
    F.sum(y).backward()
    assert x.grad.data.sum() == y.size


@pytest.mark.parametrize('window', [[1.0, 0, 0, 0], [1.0, 1, 1, 1]])
def test_both_poolings_give_ties_the_same_gradient(window):
    for pool in (F.pooling, F.pooling_simple):
        x = Variable(np.reshape(window, (1, 1, 2, 2)))
        pool(x, 2, 2).backward()
        np.testing.assert_array_equal(x.grad.data.ravel(), [1, 0, 0, 0])


def test_second_derivative_through_the_filters():
    x, W = Variable(normal(1, 2, 4, 5)), Variable(normal(3, 2, 2, 3))
    gW, = gradients([F.sum(F.conv2d(x, W) ** 2)], [W], create_graph=True)
    ggx, ggW = gradients([F.sum(gW ** 2)], [x, W])
    assert np.abs(ggx.data).sum() > 0
    assert np.abs(ggW.data).sum() > 0


def test_batch_norm_differentiates_in_test_mode_and_twice():
    x, bn = Variable(normal(6, 3)), L.BatchNorm(dtype=np.float64)
    bn(x)
    with nailorch.test_mode():
        F.sum(bn(x)).backward()
    np.testing.assert_allclose(x.grad.data, np.broadcast_to(1 / np.sqrt(bn.avg_var.data + bn.eps), x.shape))

    def penalty(x):
        gx, = gradients([F.sum(bn(x) ** 3)], [x], create_graph=True)
        return F.sum(gx ** 2)

    ggx, = gradients([penalty(x)], [x])
    v, h = normal(6, 3)[::-1], 1e-5
    want = (penalty(Variable(x.data + h * v)).item() - penalty(Variable(x.data - h * v)).item()) / (2 * h)
    np.testing.assert_allclose((ggx.data * v).sum(), want, rtol=1e-6)


def test_third_derivative_of_pooling():
    x = Variable(normal(1, 1, 4, 4))
    y = F.pooling(x, 2, 2) ** 3
    for _ in range(3):
        y, = gradients([y], [x], create_graph=True)
    assert set(np.unique(np.round(y.data, 9))) == {0, 6}


def test_weight_decay_reaches_each_parameter_once():
    p, q = nailorch.Parameter(np.ones(3)), nailorch.Parameter(np.full(3, 2.0))
    model = Model()
    model.p, model.q = p, q
    F.sum(p + q).backward()
    optimizer = optimizers.SGD(lr=1.0).setup(model)
    optimizer.add_hook(optimizers.WeightDecay(0.5))
    optimizer.update()
    np.testing.assert_allclose(p.data, 1 - (1 + 0.5 * 1))
    np.testing.assert_allclose(q.data, 2 - (1 + 0.5 * 2))


def test_the_gradient_of_a_sum_can_be_written_to():
    p = Variable(np.ones(3))
    F.sum(p).backward()
    p.grad.data *= 2


def test_load_weights_reports_everything_at_once(tmp_path):
    net = built()
    arrays = net.state_dict()
    wrong = {**arrays, 'conv/W': np.zeros((4, 3, 5, 5), np.float32), 'stranger': np.zeros(1, np.float32)}
    del wrong['heads/a/b']
    np.savez(tmp_path / 'wrong.npz', **wrong)
    before = {name: array.copy() for name, array in arrays.items()}
    with pytest.raises(ValueError) as caught:
        net.load_weights(tmp_path / 'wrong.npz')
    for part in ('conv/W', '(4, 3, 5, 5)', '(4, 3, 3, 3)', 'stranger', 'heads/a/b'):
        assert part in str(caught.value)
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    with pytest.raises(ValueError, match='conv/W'):
        Net().save_weights(tmp_path / 'never.npz')
    assert not (tmp_path / 'never.npz').exists()


def test_losses_are_finite_at_large_logits():
    x = Variable(np.array([50.0, -50.0, 1000.0]))
    loss = F.sigmoid_cross_entropy(x, np.array([0, 1, 0]))
    loss.backward()
    assert np.isfinite(loss.data)
    assert np.isfinite(x.grad.data).all()


def test_dropping_everything_leaves_zeros():
    np.testing.assert_array_equal(F.dropout(np.ones(4), 1.0).data, 0)


def test_negative_axes_of_max_differentiate():
    x = Variable(normal(2, 3))
    F.sum(F.max(x, axis=-1)).backward()
    assert x.grad.data.sum() == 2


def test_an_unused_output_of_split_does_no_harm():
    x = Variable(normal(2, 4))
    F.sum(F.split(x, 2)[1]).backward()
    np.testing.assert_array_equal(x.grad.data, [[0, 0, 1, 1]] * 2)


def test_leaving_a_loader_early_does_not_shorten_the_next_epoch():
    loader = DataLoader([(np.zeros(1), 0)] * 10, 2)
    for _ in loader:
        break
    assert sum(1 for _ in loader) == 5


def test_layers_in_lists_and_dicts_are_trained():
    names = [name for name, _ in built().named_parameters()]
    assert {'blocks/0/W', 'blocks/1/b', 'heads/a/W', 'heads/b/b'} <= set(names)


def test_parameters_come_in_the_order_of_definition():
    assert [name for name, _ in built().named_parameters()] == [
        'conv/W', 'conv/b', 'bn/gamma', 'bn/beta', 'blocks/0/W', 'blocks/0/b', 'blocks/1/W', 'blocks/1/b',
        'heads/a/W', 'heads/a/b', 'heads/b/W', 'heads/b/b']


def test_a_list_is_a_pair():
    assert F.pair([3, 3]) == (3, 3)
    with pytest.raises(ValueError, match='two ints'):
        F.pair([3, 3, 3])


def test_an_impossible_deconvolution_names_the_possible_sizes():
    with pytest.raises(ValueError, match='choose from 9 to 10'):
        F.deconv2d(normal(1, 1, 4, 4), normal(1, 1, 3, 3), stride=2, outsize=(9, 12))


def test_resnets_stem_gives_56_pixels():
    stem = F.pooling(F.conv2d(normal(1, 1, 224, 224), normal(1, 1, 7, 7), stride=2, pad=3), 3, 2, 1)
    assert stem.shape == (1, 1, 56, 56)


def test_nothing_foreign_is_evaluated_or_unpickled():
    """No eval, no exec, no pickle, no allow_pickle: weights, data and checkpoints are arrays and JSON."""
    for path in SOURCE.rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ('eval', 'exec', 'compile', '__import__'), path
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, 'module', None)]
                assert not {'pickle', 'marshal', 'shelve', 'dill', 'yaml'} & set(names), path
            if isinstance(node, ast.keyword) and node.arg == 'allow_pickle':
                assert isinstance(node.value, ast.Constant) and node.value.value is False, path


def test_every_download_has_a_checksum():
    for asset in ASSETS.values():
        if not re.fullmatch('[0-9a-f]{64}', asset.sha256):  # PyTorch publishes the first 8 digits, in the name
            assert re.fullmatch('[0-9a-f]{8}', asset.sha256) and asset.name.endswith(f'-{asset.sha256}.pth'), asset.name
            assert [source.url for source in asset.sources] == [f'https://download.pytorch.org/models/{asset.name}']


def test_importing_needs_no_plots_and_no_pictures():
    code = 'import sys, nailorch; print([m for m in ("matplotlib", "PIL", "numba") if m in sys.modules])'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '[]'


def test_what_is_public_works():
    """No public class or function is an empty body."""
    empty = re.compile(r'^(class|    def|def) (?!_)\w+[^\n]*:\n(\s+""".*?"""\n)?\s+pass\n', re.M | re.S)
    for path in SOURCE.rglob('*.py'):
        assert not empty.search(path.read_text(encoding='utf-8')), path


def test_a_random_flip_flips():
    image = np.arange(6.0).reshape(1, 2, 3)
    np.testing.assert_array_equal(RandomHorizontalFlip(1.0)(image), image[:, :, ::-1])


def test_mnist_has_ten_classes(tmp_path):
    images, labels = np.zeros((20, 28, 28), np.uint8), np.arange(20, dtype=np.uint8) % 10
    for name, array in (('images-idx3', images), ('labels-idx1', labels)):
        header = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, '>u4').tobytes()
        (tmp_path / f'train-{name}-ubyte').write_bytes(header + array.tobytes())
    assert set(MNIST(train=True, root=tmp_path).label.tolist()) == set(range(10))


def test_the_best_epoch_is_chosen_by_samples_set_aside_from_those_trained_on():
    whole = ArrayDataset(np.zeros((50, 1)), np.arange(50) % 5)
    train, valid = split(whole, (0.8, 0.2))
    assert sorted([*train.indices, *valid.indices]) == list(range(50))
    np.testing.assert_array_equal(split(whole, (0.8, 0.2))[1].indices, valid.indices)


def test_a_seed_repeats_a_training():
    def weights():
        nailorch.seed(3)
        net = built()
        optimizer = optimizers.Adam().setup(net)
        for x, t in DataLoader([(normal(3, 4, 5, dtype=np.float32) + i, i % 3) for i in range(8)], 4, shuffle=True):
            loss = F.softmax_cross_entropy(net(x), t)
            net.cleargrads()
            loss.backward()
            optimizer.update()
        return np.concatenate([array.ravel() for array in net.state_dict().values()])

    np.testing.assert_array_equal(weights(), weights())


def test_evaluation_drops_nothing():
    net, x = built(), normal(4, 3, 4, 5, dtype=np.float32)
    with nailorch.test_mode():
        np.testing.assert_array_equal(net(x).data, net(x).data)
    assert not np.array_equal(net(x).data, net(x).data)
    net.eval()
    np.testing.assert_array_equal(net(x).data, net(x).data)


def test_wrong_channels_are_named():
    text = r'conv2d: x has 3 channels, W expects 2; x.shape=\(1, 3, 8, 8\), W.shape=\(4, 2, 3, 3\)'
    with pytest.raises(ValueError, match=text):
        F.conv2d(np.zeros((1, 3, 8, 8)), np.zeros((4, 2, 3, 3)))
