"""Scripts written for the ancestors of this API run as they are: the mission's example, and one in the old manner."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest

import nailorch
import nailorch.functions as F
import nailorch.layers as L


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    nailorch.seed(0)


def test_the_fixed_names_can_be_imported():
    from nailorch import (  # noqa: F401
        Config,
        DataLoader,
        Dataset,
        Function,
        Layer,
        Model,
        Parameter,
        Variable,
        as_array,
        as_variable,
        no_grad,
        optimizers,
        test_mode,
        using_config,
    )
    from nailorch.datasets import MNIST  # noqa: F401
    from nailorch.models import MLP, VGG16, ResNet50, Sequential  # noqa: F401


@pytest.mark.parametrize('home', ['functions', 'utils', 'functions_conv'])
def test_the_familys_names_are_in_their_old_homes(home):
    module = __import__(f'nailorch.{home}', fromlist=['*'])
    names = ['pair', 'get_conv_outsize', 'get_deconv_outsize', 'im2col', 'col2im', 'im2col_array', 'col2im_array',
             'conv2d_simple', 'pooling_simple', 'Im2col', 'Col2im', 'conv2d', 'deconv2d', 'pooling', 'average_pooling']
    names += [] if home == 'utils' else ['Pooling', 'Conv2d']
    for name in names:
        assert getattr(module, name) is getattr(F, name)


def test_the_missions_example():
    from nailorch import Model, optimizers

    class Net(Model):
        def __init__(self):
            super().__init__()
            self.conv1 = L.Conv2d(16, kernel_size=3, stride=1, pad=1)
            self.fc1 = L.Linear(10)

        def forward(self, x):
            x = F.pooling(F.relu(self.conv1(x)), 2, 2)
            x = F.reshape(x, (x.shape[0], -1))
            return self.fc1(F.dropout(x))

    net = Net()
    x, t = np.random.default_rng(0).random((8, 1, 28, 28), np.float32), np.arange(8)
    opt = optimizers.Adam(alpha=0.001).setup(net)
    losses = []
    for _ in range(30):
        loss = F.softmax_cross_entropy(net(x), t)
        net.cleargrads()
        loss.backward()
        opt.update()
        losses.append(float(loss.data))
    assert losses[-1] < 0.5 * losses[0]
    with nailorch.no_grad(), nailorch.test_mode():
        y = net(x)
    assert y.creator is None
    assert y.dtype == np.float32
    net.save_weights('net.npz')
    with np.load('net.npz') as file:
        shapes = {key: file[key].shape for key in file}
    assert shapes == {'conv1/W': (16, 1, 3, 3), 'conv1/b': (16,), 'fc1/W': (16 * 14 * 14, 10), 'fc1/b': (10,)}
    twin = Net()
    twin.load_weights('net.npz')
    with nailorch.no_grad(), nailorch.test_mode():
        np.testing.assert_array_equal(twin(x).data, y.data)


def test_a_training_script_in_the_old_manner():
    from nailorch import DataLoader, Model, optimizers
    from nailorch.datasets import get_spiral

    max_epoch, batch_size = 2, 30

    class ConvNet(Model):
        def __init__(self, n_out):
            super().__init__()
            self.conv = L.Conv2d(4, kernel_size=3, stride=1, pad=1)
            self.bn = L.BatchNorm()
            self.l1 = L.Linear(n_out)

        def forward(self, x):
            x = F.relu(self.bn(self.conv(x)))
            x = F.pooling(x, kernel_size=2, stride=2)
            x = F.reshape(x, (x.shape[0], -1))
            return self.l1(F.dropout(x, 0.5))

    x, t = get_spiral(train=True)
    images = np.repeat(np.asarray(x, np.float32), 392, axis=1)  # (300, 784): flat, as the old loader gave them
    train_set = [(image, label) for image, label in zip(images, t, strict=True)]
    train_loader = DataLoader(train_set, batch_size)
    model = ConvNet(3)
    optimizer = optimizers.Adam().setup(model)
    optimizer.add_hook(optimizers.WeightDecay(1e-4))

    if os.path.exists('net.npz'):
        model.load_weights('net.npz')
    if nailorch.cuda.gpu_enable:
        train_loader.to_gpu()
        model.to_gpu()

    for _ in range(max_epoch):
        sum_loss, sum_acc = 0, 0
        for x, t in train_loader:
            x = x.reshape(-1, 1, 28, 28)
            y = model(x)
            loss = F.softmax_cross_entropy(y, t)
            acc = F.accuracy(y, t)
            model.cleargrads()
            loss.backward()
            optimizer.update()
            sum_loss += float(loss.data) * len(t)
            sum_acc += float(acc.data) * len(t)
    assert math.isfinite(sum_loss)
    assert 0 <= sum_acc <= len(train_set)
    model.save_weights('net.npz')
    model.load_weights('net.npz')


def test_old_utilities():
    from nailorch import Variable
    from nailorch.utils import array_allclose, array_equal, gradient_check
    x = np.random.default_rng(0).standard_normal((2, 2, 5, 4))
    W = np.random.default_rng(1).standard_normal((3, 2, 3, 2))
    assert gradient_check(lambda x: F.conv2d(x, W, None, (2, 1), (1, 0)), x)
    assert gradient_check(lambda W: F.conv2d(x, W, None, (2, 1), (1, 0)), W)
    assert not gradient_check(lambda x: F.conv2d(x, W) + x.data.sum(), x)
    assert array_equal(Variable(x), x)
    assert array_allclose(F.conv2d_simple(x, W), F.conv2d(x, W))


def test_old_functions_take_the_old_arguments():
    x = np.random.default_rng(0).standard_normal((1, 3, 5, 5))
    assert F.get_item(x, (0, slice(1))).shape == (1, 5, 5)
    assert F.Pooling(2, 2, 0)(x).shape == (1, 3, 2, 2)
    assert F.Conv2d(1, 1)(x, np.zeros((4, 3, 3, 3))).shape == (1, 4, 5, 5)
    assert F.Im2col(2, 1, 0, True)(x).shape == (16, 12)
    assert F.Col2im((1, 3, 5, 5), 2, 1, 0, True)(np.zeros((16, 12))).shape == (1, 3, 5, 5)
    assert nailorch.Variable(x).to_cpu().shape == x.shape


def test_going_to_a_gpu_is_a_named_error():
    assert nailorch.cuda.gpu_enable is False
    for thing in (nailorch.Variable(np.ones(2)), nailorch.models.MLP((2, 3))):
        with pytest.raises(RuntimeError, match='GPU'):
            thing.to_gpu()
