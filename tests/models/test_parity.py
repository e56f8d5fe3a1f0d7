"""Every model gives PyTorch's logits and gradients, from a state dict that PyTorch made; and PyTorch loads ours."""

from functools import partial

import numpy as np
import pytest

import nailorch
import nailorch.functions as F
from nailorch import Variable, models
from nailorch.layers.base import wanted_shape
from nailorch.models.loading import torch_places

torch = pytest.importorskip('torch', reason='PyTorch is not installed: pip install -e ".[compare]"')
from tests.models import twins  # noqa: E402

WORDS = {'W': 'weight', 'b': 'bias', 'gamma': 'weight', 'beta': 'bias', 'avg_mean': 'running_mean',
         'avg_var': 'running_var'}


def vgg(kind, **options):
    return twins.VGG(kind.depths, kind.batch_norm, **options)


def resnet(kind, **options):
    return twins.ResNet(kind.depths, kind.block is models.Bottleneck, **options)


# ours, PyTorch's, what both are told to be small, and what only PyTorch's must be told
FAMILY = {
    'vgg11': (models.VGG11, vgg, {'width': 2, 'hidden': 12}, {'side': 2}),
    'vgg16': (models.VGG16, vgg, {'width': 2, 'hidden': 12}, {'side': 2}),
    'vgg13_bn': (models.VGG13_BN, vgg, {'width': 2, 'hidden': 12}, {'side': 2}),
    'vgg19_bn': (models.VGG19_BN, vgg, {'width': 2, 'hidden': 12}, {'side': 2}),
    'resnet18': (models.ResNet18, resnet, {'width': 4}, {}),
    'resnet50': (models.ResNet50, resnet, {'width': 4}, {}),
    'squeezenet1_0': (models.SqueezeNet1_0, partial(twins.SqueezeNet, '1_0'), {'width': .125}, {}),
    'squeezenet1_1': (models.SqueezeNet1_1, partial(twins.SqueezeNet, '1_1'), {'width': .125}, {}),
    'mobilenet_v2': (models.MobileNetV2, twins.MobileNetV2, {'width': .25}, {}),
    'efficientnet_lite0': (models.EfficientNetLite0, twins.EfficientNetLite0, {'width': .25}, {}),
}
DROPLESS = ('resnet18', 'resnet50')


def images(name, dtype):
    """Return a batch whose sizes no stride divides; but VGG's pools, as PyTorch's, drop what is left over."""
    H, W = (70, 65) if name.startswith('vgg') else (75, 69)
    return np.random.default_rng(0).standard_normal((4, 3, H, W)).astype(dtype)


def pair(name, dtype):
    """Return a small model of ours with the weights of PyTorch's, and that one."""
    kind, twin, small, told = FAMILY[name]
    drop = () if name in DROPLESS else ('dropout',)
    make = partial(twin, kind) if twin in (vgg, resnet) else twin
    torch.manual_seed(0)
    peer = make(classes=5, **small, **told, **dict.fromkeys(drop, 0.0)).to(getattr(torch, np.dtype(dtype).name))
    stir(peer)
    with nailorch.using_config('dtype', dtype):
        net = kind(5, **small, **dict.fromkeys((f'{each}_ratio' for each in drop), 0.0))
        net.load_torch(twins.state(peer))
    return net, peer


def stir(peer):
    """Draw numbers that would be missed, were they swapped or left out, and weights that let the images through."""
    with torch.no_grad():
        for name, tensor in [*peer.named_parameters(), *peer.named_buffers()]:
            if tensor.ndim > 1:
                torch.nn.init.kaiming_normal_(tensor)
            elif 'running_mean' in name or name.endswith('bias'):
                tensor.uniform_(-.2, .2)
            elif tensor.ndim == 1:
                tensor.uniform_(.5, 1.5)


def torch_names(net):
    """Return our name -> PyTorch's, of every array."""
    return {place.name: name for name, place in torch_places(net)}


def turned(name, array):
    """Dense weights are (IN, OUT) here, (OUT, IN) there."""
    return array.T if name.endswith('/W') and array.ndim == 2 else array


def run(name, dtype, training):
    """Run both, forward and backward; return net, peer, both inputs, both logits."""
    net, peer = pair(name, dtype)
    net.train(training)
    peer.train(training)
    x = images(name, dtype)
    ours, theirs = Variable(x), torch.tensor(x, requires_grad=True)
    y, z = net(ours), peer(theirs)
    t = np.arange(len(x)) % y.shape[1]
    F.softmax_cross_entropy(y, t).backward()
    torch.nn.functional.cross_entropy(z, torch.tensor(t)).backward()
    return net, peer, ours, theirs, y.data, z.detach().numpy()


def close(arrays, tolerance=1e-8):
    """Hold (name, ours, PyTorch's) to a small part of each array's largest number, and of the largest of all."""
    largest = max((np.abs(theirs).max() for _, _, theirs in arrays), default=1)
    assert largest > 1e-3
    for name, ours, theirs in arrays:
        assert ours.shape == theirs.shape, name
        assert np.abs(ours - theirs).max() <= tolerance * (np.abs(theirs).max() + 1e-4 * largest), name


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('name', FAMILY)
def test_in_float64_logits_and_all_gradients_are_pytorchs(name, training):
    net, peer, ours, theirs, y, z = run(name, np.float64, training)
    close([('y', y, z)])
    names, parameters, buffers = torch_names(net), dict(peer.named_parameters()), dict(peer.named_buffers())
    close([('x', ours.grad.data, theirs.grad.numpy()),
           *((each, turned(each, p.grad.data), parameters[names[each]].grad.numpy())
             for each, p in net.named_parameters())])
    close([(each, buffer.data, buffers[names[each]].numpy()) for each, buffer in net.named_buffers()])


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('name', FAMILY)
def test_in_float64_second_derivatives_are_pytorchs(name, training):
    """A penalty on the images' gradients, as adversarial training has it, differentiated for all parameters."""
    net, peer, ours, theirs, *_ = run(name, np.float64, training)
    along = np.random.default_rng(1).standard_normal(ours.shape)

    net.cleargrads()
    ours.cleargrad()
    F.sum(net(ours) ** 2).backward(create_graph=True)
    gx = ours.grad
    net.cleargrads()
    ours.cleargrad()
    F.sum(gx * along).backward()

    gz, = torch.autograd.grad((peer(theirs) ** 2).sum(), theirs, create_graph=True)
    inputs = [theirs, *peer.parameters()]
    second = torch.autograd.grad((gz * torch.tensor(along)).sum(), inputs, allow_unused=True)
    expected = {name: np.zeros(tensor.shape) if gg is None else gg.numpy() for (name, tensor), gg
                in zip([('x', theirs), *peer.named_parameters()], second, strict=True)}
    pairs = [('x', ours.grad.data, expected['x'])]
    names = torch_names(net)
    for ours_is, p in net.named_parameters():
        got = np.zeros(p.shape) if p.grad is None else p.grad.data
        pairs.append((ours_is, turned(ours_is, got), expected[names[ours_is]]))
    close(pairs)


@pytest.mark.parametrize('name', FAMILY)
def test_in_float32_logits_are_pytorchs(name):
    _, _, _, _, y, z = run(name, np.float32, training=False)
    assert y.dtype == np.float32
    assert np.abs(y - z).max() < 1e-4 * np.abs(z).max()


@pytest.mark.parametrize('name', FAMILY)
def test_in_float32_gradients_are_pytorchs(name):
    """By norms, and not too near: a value beside a ReLU's kink may be rounded to either side of it."""
    net, peer, *_ = run(name, np.float32, training=False)
    names, parameters = torch_names(net), dict(peer.named_parameters())
    largest = max(np.linalg.norm(p.grad.numpy()) for p in parameters.values())
    for each, p in net.named_parameters():
        g = parameters[names[each]].grad.numpy()
        apart = np.linalg.norm(turned(each, p.grad.data) - g)
        assert apart < 1e-2 * np.linalg.norm(g) + 1e-6 * largest, each


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('name', FAMILY)
def test_in_float32_each_layer_has_pytorchs_result_and_gradients(name, training):
    """Each layer by itself gets what it gets in PyTorch's model: inputs there, and gradients of its results."""
    net, peer = pair(name, np.float32)
    net.train(training)
    peer.train(training)
    layers = {f'{path}/': layer for path, layer in net.named_layers() if vars(layer).keys() & {'W', 'gamma'}}
    names, modules, seen = torch_names(net), dict(peer.named_modules()), {}

    def watch(module, inputs, output):
        y = seen[module] = [inputs[0].detach().clone(), output.detach().clone(), None]
        output.register_hook(lambda gy: y.__setitem__(2, gy.clone()))

    theirs = {path: modules[names[path + next(iter(vars(layer).keys() & {'W', 'gamma'}))].rpartition('.')[0]]
              for path, layer in layers.items()}
    for module in theirs.values():
        module.register_forward_hook(watch)
    z = peer(torch.tensor(images(name, np.float32)))
    torch.nn.functional.cross_entropy(z, torch.arange(len(z)) % z.shape[1]).backward()

    for path, layer in layers.items():
        module = theirs[path]
        x, y, gy = seen[module]
        here, there = Variable(x.numpy()), x.clone().requires_grad_()
        module.zero_grad()
        module(there).backward(gy)
        if hasattr(layer, 'activation'):
            layer.activation = ''  # it is a module of its own there, and its decisions would hang on rounding
        result = layer(here)
        result.backward(grad=Variable(gy.numpy()))
        arrays = [('y', result.data, y.numpy()), ('x', here.grad.data, there.grad.numpy())]
        arrays += [(each, turned(path + each, p.grad.data), getattr(module, WORDS[each]).grad.numpy())
                   for each, p in layer.named_parameters()]
        for each, ours, expected in arrays:
            # a bias's gradient is a plain sum, and before batch norm the sum is 0: its terms say what rounding may do
            size = np.abs(gy.numpy()).sum() / len(expected) if each in ('b', 'beta') else np.abs(expected).max()
            assert np.abs(ours - expected).max() < 3e-5 * size, path + each


@pytest.mark.parametrize('name', FAMILY)
def test_pytorch_loads_our_weights_back(name):
    net, peer = pair(name, np.float32)
    for p in net.params():
        p.data = p.data * np.float32(0.9) + np.float32(0.01)
    before = peer.eval()(torch.tensor(images(name, np.float32))).detach().numpy()
    state = net.torch_state_dict()
    peer.load_state_dict({key: torch.from_numpy(array) for key, array in state.items()}, strict=True)
    x = images(name, np.float32)
    y, z = net.eval()(x).data, peer.eval()(torch.tensor(x)).detach().numpy()
    assert np.abs(y - z).max() < 1e-4 * np.abs(z).max()
    assert np.abs(before - z).max() > 1e-2 * np.abs(z).max()


WHOLE = {  # tensors of torchvision's state dict, batch norm's counters included; parameters
    'vgg16': (32, 138_357_544), 'vgg16_bn': (97, 138_365_992), 'resnet18': (122, 11_689_512),
    'resnet50': (320, 25_557_032), 'squeezenet1_0': (52, 1_248_424), 'squeezenet1_1': (52, 1_235_496),
    'mobilenet_v2': (314, 3_504_872), 'efficientnet_lite0': (296, 4_652_008),
    'vgg11': (22, 132_863_336), 'vgg13_bn': (76, 133_053_736), 'vgg19_bn': (118, 143_678_248),
    'resnet34': (218, 21_797_672), 'resnet101': (626, 44_549_160), 'resnet152': (932, 60_192_808),
}


@pytest.mark.parametrize('name', WHOLE)
def test_whole_models_have_torchvisions_names_and_sizes(name):
    """On PyTorch's meta device a model is but its shapes."""
    kind = models.MODELS[name]
    twin = (partial(vgg, kind) if issubclass(kind, models.VGG) else partial(resnet, kind)
            if issubclass(kind, models.ResNet) else FAMILY[name][1])
    with torch.device('meta'):
        state = twin().state_dict()
    counters = [key for key in state if key.endswith('num_batches_tracked')]
    running = [key for key in state if 'running' in key]
    assert (len(state), sum(state[key].numel() for key in state if key not in counters + running)) == WHOLE[name]
    net = kind()
    shapes = {theirs: wanted_shape(place.parameter) for theirs, place in torch_places(net)}
    assert sorted(shapes) == sorted(set(state) - set(counters))
    for key, shape in shapes.items():
        theirs = tuple(state[key].shape)
        theirs = theirs[::-1] if len(theirs) == 2 else theirs
        assert len(shape) == len(theirs), key
        assert all(size in (None, known) for size, known in zip(shape, theirs, strict=True)), key
