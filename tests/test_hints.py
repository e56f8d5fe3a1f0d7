"""What those write who come from PyTorch, and other slips: the error or warning names the remedy."""

import copy
import inspect
import pickle
import re
import warnings

import numpy as np
import pytest

import nailorch
import nailorch.functions as F
import nailorch.layers as L
from nailorch import (
    DataLoader,
    Model,
    Variable,
    cuda,
    datasets,
    hints,
    models,
    optimizers,
    schedules,
    transforms,
    using_config,
)
from nailorch.layers import base

X = np.ones((2, 1, 16, 16), 'float32')


@pytest.fixture(autouse=True)
def in_english():
    with using_config('lang', 'en'):
        yield


@pytest.mark.parametrize(('call', 'said'), [
    (lambda: Variable(X).view(2, -1), "Variable has no 'view': PyTorch's view is x.reshape(...) here"),
    (lambda: models.LeNet().parameters(), "LeNet has no 'parameters': PyTorch's parameters is params() here"),
    (lambda: optimizers.SGD().zero_grad(), "SGD has no 'zero_grad': PyTorch's zero_grad is model.cleargrads() here"),
    (lambda: optimizers.SGD().step(), 'update()'),
    (lambda: F.cross_entropy, "nailorch.functions has no 'cross_entropy'"),
    (lambda: L.BatchNorm2d, 'L.BatchNorm'),
    (lambda: nailorch.nn, 'nailorch.layers'),
    (lambda: nailorch.exp, "nailorch has no 'exp': PyTorch's exp is nailorch.functions.exp here"),
    (lambda: nailorch.zeros, 'np.zeros'),
    (lambda: nailorch.device, "PyTorch's device is not needed here, where everything is computed on the CPU"),
    (lambda: models.LeNet().to('cpu'), 'not needed here'),
    (lambda: L.Linear(2, in_size=1).W.view(-1), "Parameter has no 'view'"),
    (lambda: transforms.ToTensor, 'transforms.Compose([transforms.ToArray(), transforms.Normalize(0., 255.)])'),
    (lambda: cuda.is_available, 'nailorch.cuda.gpu_enable'),
    (lambda: schedules.StepLR(3).step(), 'update(optimizer, epoch=epoch)'),
    (lambda: models.vgg16_bn, 'models.VGG16_BN'),
    (lambda: L.Dense, "Keras's Dense is L.Linear here"),
    (lambda: models.LeNet().fit, 'nailorch.training.Trainer'),
])
def test_pytorchs_names_are_answered_with_ours(call, said):
    with pytest.raises(AttributeError) as error:
        call()
    assert said in str(error.value)


@pytest.mark.parametrize(('call', 'said'), [
    (lambda: L.Conv2d(16, 3, padding=1), "Conv2d: there is no argument 'padding': PyTorch's padding is pad here"),
    (lambda: L.Conv2d(16, 3, bias=False), 'nobias (bias=False is nobias=True)'),
    (lambda: L.Linear(in_features=4, out_features=3), 'in_size'),
    (lambda: L.BatchNorm(momentum=.1), 'decay, which is 1 - momentum'),
    (lambda: optimizers.SGD(lr=.1, momentum=.9), 'optimizers.Momentum'),
    (lambda: optimizers.Adam(lr=.1), "Adam: there is no argument 'lr': PyTorch's lr is alpha here"),
    (lambda: L.Conv2d(3, 16, kernel_size=3), 'Conv2d(3, 16, kernel_size=...): kernel_size is given twice'),
    (lambda: DataLoader(datasets.Spiral(), 8, num_workers=2), "PyTorch's num_workers is workers here"),
    (lambda: DataLoader(datasets.Spiral(), 8, pin_memory=True), 'not needed here'),
    (lambda: datasets.MNIST(download=True), 'root=None'),
    (lambda: models.ResNet18(pretrained=True), 'ResNet18.from_pretrained()'),
    (lambda: L.Conv2d(filters=16, kernel_size=3), "Keras's filters is out_channels here"),
    (lambda: L.Conv2d(16, 3, paddding=1), "unexpected keyword argument 'paddding'"),
    (lambda: L.ReLU(5), 'takes no arguments'),
])
def test_pytorchs_arguments_are_answered_with_ours(call, said):
    with pytest.raises(TypeError, match=re.escape(said)):
        call()


def test_what_is_answered_exists_and_what_is_asked_does_not():
    places = {'F': F, 'L': L, 'nailorch': nailorch, 'optimizers': optimizers, 'transforms': transforms}
    for owner, words in ((Variable, hints.VARIABLE), (nailorch.Layer, hints.LAYER), (L, hints.LAYERS),
                         (optimizers.Optimizer, hints.OPTIMIZER), (F, hints.FUNCTIONS), (nailorch, hints.PACKAGE),
                         (cuda, hints.CUDA), (schedules.Schedule, hints.SCHEDULE), (transforms, hints.TRANSFORMS)):
        for name, ours in words.items():
            assert name not in dir(owner)
            if found := re.match(r'(F|L|nailorch|optimizers|transforms)\.([\w.]+)', ours):
                thing = places[found[1]]
                for part in found[2].split('.'):
                    thing = getattr(thing, part)
            elif found := re.match(r'(?:x\.|model\.)?(\w+)\(', ours):
                assert found[1] == 'Variable' or any(hasattr(kind, found[1]) for kind in (
                    Variable, models.Sequential, optimizers.SGD, schedules.StepLR))
    modules = L, optimizers, models, datasets, nailorch.dataloaders
    kinds = [kind for module in modules for kind in vars(module).values() if inspect.isclass(kind)]
    for choices in hints.ARGUMENTS.values():
        for ours, _ in choices:
            assert any(ours in hints.parameters(kind) for kind in kinds)


def test_other_names_keep_pythons_own_words():
    for owner, said in ((Variable(X), "'Variable' object has no attribute 'shap'"),
                        (F, "module 'nailorch.functions' has no attribute 'shap'")):
        with pytest.raises(AttributeError, match=said) as error:
            owner.shap  # noqa: B018
        assert (error.value.name, error.value.obj is owner) == ('shap', True)  # so Python can suggest a near name


def test_layers_and_optimisers_are_copied_and_pickled_as_before():
    net = models.LeNet()
    net(np.ones((1, 1, 28, 28), 'float32'))
    for again in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        np.testing.assert_array_equal(again.fc3.W.data, net.fc3.W.data)
    copy.deepcopy(optimizers.Adam(alpha=.01))


def test_numbers_in_pytorchs_order_are_noticed():
    with pytest.warns(UserWarning, match=r'means out_channels=1, kernel_size=6, stride=5\. .* write Conv2d\(6, 5\)'):
        L.Conv2d(1, 6, 5)(X)
    with pytest.warns(UserWarning, match='PyTorch'):
        L.Conv2d(1, 16, 3)(X)


def test_numbers_in_our_order_are_not():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        for layer in (L.Conv2d(1, 6), L.Conv2d(1, 11, 4), L.Conv2d(8, 16, 16), L.Conv2d(1, 7, 3), L.Conv2d(16, 3, 1)):
            layer(X)


@pytest.mark.parametrize('shape', [(2, 28, 28, 1), (2, 32, 32, 3), (1, 48, 64, 3)])
def test_images_with_their_channels_last_are_noticed(shape):
    with pytest.warns(UserWarning, match=r'If it is \(N, H, W, C\), as in Keras, use x\.transpose\(0, 3, 1, 2\)'):
        L.Conv2d(4, 3, pad=1)(np.zeros(shape, 'float32'))


def test_narrow_images_with_their_channels_first_are_not():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        for shape in ((2, 1, 28, 28), (2, 3, 3, 3), (2, 8, 100, 1), (2, 256, 7, 7), (2, 64, 4, 4), (2, 4, 9, 3)):
            L.Conv2d(4, 1)(np.zeros(shape, 'float32'))


def test_batch_norms_first_number_is_no_number_of_channels():
    with pytest.raises(ValueError, match=r'decay .* got 16\. The channels are found at the first call'):
        L.BatchNorm(16)


def test_bytes_of_images_are_noticed_once(monkeypatch):
    monkeypatch.setattr(base, 'bytes_met', False)
    image = np.full((1, 1, 16, 16), 200, np.uint8)
    with pytest.warns(UserWarning, match=r"x holds uint8, numbers from 0 to 200\. .*x\.astype\('float32'\) / 255"):
        L.Conv2d(2, 3)(image)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        L.Conv2d(2, 3)(image)
        monkeypatch.setattr(base, 'bytes_met', False)
        L.Conv2d(2, 3)(image // 200)  # a mask of zeros and ones


def test_layers_in_a_set_are_refused():
    net = Model()
    with pytest.raises(TypeError, match=r'Model\.parts is a set, which has no order'):
        net.parts = {L.Linear(3), L.Linear(4)}
    net.names = {'a', 'b'}


def test_channels_last_are_noticed_where_a_summary_fails():
    with pytest.warns(UserWarning, match='columns'), \
            pytest.raises(ValueError, match=r'input_shape=\(224, 224, 3\) is \(C, H, W\), .*\(3, 224, 224\)'):
        models.VGG16(width=2, hidden=4).summary((224, 224, 3))
