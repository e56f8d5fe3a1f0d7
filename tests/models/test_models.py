"""Models: their shapes, names and parameter counts, and that they learn."""

import numpy as np
import pytest

import nailorch
import nailorch.functions as F
import nailorch.layers as L
from nailorch import Model, models
from nailorch.layers import initializers


def normal(*shape, dtype=np.float32):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def count(model):
    return sum(p.size for p in model.params())


@pytest.fixture
def undrawn(monkeypatch):
    """Weights of 0: nothing is drawn, and nothing of the memory is touched."""
    monkeypatch.setattr(initializers.Initializer, '__call__',
                        lambda self, shape, fan_in, fan_out, dtype: np.zeros(shape, dtype))


# small ones


def test_mnistnet_has_the_parameters_of_the_experiment():
    net = models.MNISTNet()
    assert net(normal(2, 1, 28, 28)).shape == (2, 10)
    assert count(net) == 206_922
    assert {name: p.shape for name, p in net.named_parameters()} == {
        'conv1/W': (16, 1, 3, 3), 'conv1/b': (16,), 'conv2/W': (32, 16, 3, 3), 'conv2/b': (32,),
        'fc1/W': (1568, 128), 'fc1/b': (128,), 'fc2/W': (128, 10), 'fc2/b': (10,)}


def test_lenet_has_the_usual_parameters():
    net = models.LeNet()
    assert net(normal(2, 1, 28, 28)).shape == (2, 10)
    assert count(net) == 61_706


@pytest.mark.parametrize('model', [
    lambda: models.MNISTNet(4), lambda: models.LeNet(4), lambda: models.VGG11(4, width=8, hidden=128),
    lambda: models.VGG13_BN(4, width=4, hidden=64), lambda: models.ResNet18(4, width=4),
    lambda: models.ResNet50(4, width=4), lambda: models.SqueezeNet1_0(4, width=.25),
    lambda: models.SqueezeNet1_1(4, width=.25), lambda: models.MobileNetV2(4, width=.25),
    lambda: models.EfficientNetLite0(4, width=.25)])
def test_a_few_steps_learn_a_batch_by_heart(model):
    net = model()
    size = 28 if isinstance(net, models.MNISTNet | models.LeNet) else 32
    x, t = normal(8, 1, size, size), np.arange(8) % 4
    net(x)
    optimizer = nailorch.optimizers.Adam(alpha=0.003).setup(net)
    losses = []
    for _ in range(30):
        loss = F.softmax_cross_entropy(net(x), t)
        losses.append(float(loss.data))
        net.cleargrads()
        loss.backward()
        assert {p.grad.dtype for p in net.params()} == {np.dtype(np.float32)}
        optimizer.update()
    assert np.mean(losses[-5:]) < 0.75 * np.mean(losses[:5])


def test_the_missions_example_trains_a_step():
    class Net(Model):
        def __init__(self):
            super().__init__()
            self.conv1 = L.Conv2d(16, kernel_size=3, stride=1, pad=1)
            self.fc1 = L.Linear(10)

        def forward(self, x):
            x = F.pooling(F.relu(self.conv1(x)), 2, 2)
            x = F.reshape(x, (x.shape[0], -1))
            return self.fc1(F.dropout(x))

    net, x, t = Net(), normal(4, 1, 8, 8), np.arange(4)
    net.eval()
    before = F.softmax_cross_entropy(net(x), t)
    net.train()
    opt = nailorch.optimizers.Adam(alpha=0.001).setup(net)
    loss = F.softmax_cross_entropy(net(x), t)
    net.cleargrads()
    loss.backward()
    opt.update()
    net.eval()
    assert F.softmax_cross_entropy(net(x), t).data < before.data


# base


def test_mlp_names_its_layers_and_keeps_the_last_one_linear():
    mlp = models.MLP((5, 4, 3), activation=F.relu)
    y = mlp(normal(2, 6))
    assert [name for name, _ in mlp.named_parameters()] == ['l0/W', 'l0/b', 'l1/W', 'l1/b', 'l2/W', 'l2/b']
    h = np.maximum(normal(2, 6) @ mlp.l0.W.data, 0)
    h = np.maximum(h @ mlp.l1.W.data, 0)
    np.testing.assert_allclose(y.data, h @ mlp.l2.W.data, rtol=1e-5, atol=1e-6)
    assert mlp.layers == [mlp.l0, mlp.l1, mlp.l2]


def test_mlp_uses_sigmoid_by_default():
    mlp = models.MLP((5, 3))
    y = mlp(normal(2, 6))
    h = 1 / (1 + np.exp(-normal(2, 6) @ mlp.l0.W.data))
    np.testing.assert_allclose(y.data, h @ mlp.l1.W.data, rtol=1e-5, atol=1e-6)


def test_sequential_is_a_list_of_layers_and_functions():
    net = models.Sequential(L.Linear(4), F.relu)
    assert net.append(L.Linear(2)) is net
    assert len(net) == 3
    assert net[1] is F.relu
    assert net[-1] is net.l2
    assert list(net) == net.layers == [net.l0, F.relu, net.l2]
    x = normal(3, 5)
    np.testing.assert_array_equal(net(x).data, net.l2(F.relu(net.l0(x))).data)
    head = net[:2]
    assert isinstance(head, models.Sequential)
    assert head[0] is net[0]
    np.testing.assert_array_equal(head(x).data, F.relu(net.l0(x)).data)


def test_sequential_refuses_what_cannot_be_called():
    with pytest.raises(TypeError, match=r'got list.*Sequential\(\*layers\)'):
        models.Sequential([L.Linear(4)])
    with pytest.raises(TypeError, match=r'ReLU is a class.*ReLU\(\.\.\.\)'):
        models.Sequential(L.Linear(4), L.ReLU)


# VGG

VGGS = {  # parameters at 224x224, convolutions
    models.VGG11: (132_863_336, 8), models.VGG13: (133_047_848, 10), models.VGG16: (138_357_544, 13),
    models.VGG19: (143_667_240, 16), models.VGG11_BN: (132_868_840, 8), models.VGG13_BN: (133_053_736, 10),
    models.VGG16_BN: (138_365_992, 13), models.VGG19_BN: (143_678_248, 16),
}


@pytest.mark.parametrize('kind', VGGS)
def test_vgg_parameters(kind, undrawn):
    """At 32x32 all is as at 224x224, but that fc6 sees 512 * 1 * 1 features, not 512 * 7 * 7."""
    net, (parameters, convolutions) = kind(), VGGS[kind]
    with nailorch.no_grad(), nailorch.test_mode():
        assert net(np.zeros((1, 3, 32, 32), np.float32)).shape == (1, 1000)
    assert count(net) + 512 * 48 * 4096 == parameters
    assert sum(name.startswith('conv') for name, _ in net.named_layers()) == convolutions


def test_vgg16_names_and_shapes_at_224(undrawn):
    net = models.VGG16(width=2, hidden=6)
    with nailorch.no_grad(), nailorch.test_mode():
        net(np.zeros((1, 3, 224, 224), np.float32))
    channels = {1: 2, 2: 4, 3: 8, 4: 16, 5: 16}
    names = [f'{b}_{i}' for b, n in [(1, 2), (2, 2), (3, 3), (4, 3), (5, 3)] for i in range(1, n + 1)]
    shapes = {name: p.shape for name, p in net.named_parameters()}
    layers = [*(f'conv{n}' for n in names), 'fc6', 'fc7', 'fc8']
    assert list(shapes) == [f'{layer}/{p}' for layer in layers for p in 'Wb']
    assert all(shapes[f'conv{n}/W'][0] == channels[int(n[0])] for n in names)
    assert shapes['fc6/W'] == (16 * 7 * 7, 6)
    assert shapes['fc8/W'] == (6, 1000)


def test_vgg_bn_normalises_between_convolution_and_relu(undrawn):
    net = models.VGG11_BN(3, width=1, hidden=2)
    names = [name for name, layer in net.named_layers() if name]
    assert names[:4] == ['conv1_1', 'bn1_1', 'conv2_1', 'bn2_1']
    assert net.bn1_1.eps == 1e-5


def test_vgg16_preprocess_is_caffes():
    image = pytest.importorskip('PIL.Image')
    pixels = np.random.default_rng(0).integers(256, size=(5, 7, 3), dtype=np.uint8)
    picture = image.fromarray(pixels)
    y = models.VGG16.preprocess(picture, size=None)
    assert y.shape == (3, 5, 7)
    assert y.dtype == np.float32
    assert y.flags.c_contiguous
    for channel, (colour, mean) in enumerate([(2, 103.939), (1, 116.779), (0, 123.68)]):
        np.testing.assert_allclose(y[channel], pixels[:, :, colour] - mean, atol=1e-4)
    assert models.VGG16.preprocess(picture).shape == (3, 224, 224)
    assert models.VGG16.preprocess(picture, (20, 10), np.float64).shape == (3, 10, 20)  # PIL's (width, height)
    assert models.VGG16.preprocess(picture, (20, 10), np.float64).dtype == np.float64
    assert models.VGG16.preprocess(image.new('L', (4, 4), 9))[0, 0, 0] == pytest.approx(9 - 103.939, abs=1e-4)


# ResNet

RESNETS = {models.ResNet18: 11_689_512, models.ResNet34: 21_797_672, models.ResNet50: 25_557_032,
           models.ResNet101: 44_549_160, models.ResNet152: 60_192_808}


@pytest.mark.parametrize('kind', RESNETS)
def test_resnet_parameters(kind, undrawn):
    net = kind()
    with nailorch.no_grad(), nailorch.test_mode():
        assert net(np.zeros((1, 3, 32, 32), np.float32)).shape == (1, 1000)
    assert count(net) == RESNETS[kind]


def test_resnet_sizes_at_224(undrawn):
    net, sizes = models.ResNet50(width=2), {}
    for name in ('conv1', 'layer1/0', 'layer1/2', 'layer2/0', 'layer3/5', 'layer4/2'):
        layer = dict(net.named_layers())[name]
        layer.register_forward_hook(lambda _, x, y, name=name: sizes.update({name: (x[0].shape[2], y.shape[2])}))
    with nailorch.no_grad(), nailorch.test_mode():
        net(np.zeros((1, 3, 224, 224), np.float32))
    assert sizes == {'conv1': (224, 112), 'layer1/0': (56, 56), 'layer1/2': (56, 56), 'layer2/0': (56, 28),
                     'layer3/5': (14, 14), 'layer4/2': (7, 7)}


def test_resnet_names_are_torchvisions_with_slashes():
    names = [name for name, _ in models.ResNet18(width=2).named_parameters()]
    assert names[:3] == ['conv1/W', 'bn1/gamma', 'bn1/beta']
    assert 'layer2/0/downsample/0/W' in names
    assert 'layer2/0/downsample/1/gamma' in names
    assert 'layer1/0/downsample/0/W' not in names
    assert 'layer1/0/downsample/0/W' in dict(models.ResNet50(width=2).named_parameters())
    assert names[-2:] == ['fc/W', 'fc/b']
    assert len(names) == 62


def test_a_bottlenecks_stride_stands_on_its_3x3():
    block = models.ResNet50(width=2).layer2[0]
    assert (block.conv1.stride, block.conv2.stride, block.downsample[0].stride) == (1, 2, 2)


@pytest.mark.parametrize('wrong', ['photo.jpg', np.zeros((4, 4, 3), np.uint8), None])
@pytest.mark.parametrize('model', [models.VGG16, models.ResNet50, models.EfficientNetLite0])
def test_preprocess_says_how_to_make_a_picture(model, wrong):
    with pytest.raises(TypeError, match=rf'got {type(wrong).__name__}; use PIL\.Image\.open'):
        model.preprocess(wrong)


def test_resnet_preprocess_is_torchvisions():
    image = pytest.importorskip('PIL.Image')
    y = models.ResNet50.preprocess(image.new('RGB', (300, 512), (255, 0, 51)))
    assert y.shape == (3, 224, 224)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y[:, 0, 0], [(1 - .485) / .229, -.456 / .224, (.2 - .406) / .225], rtol=1e-5)
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8)[:, None], (256, 400))  # 256 stays; rows 16 to 239 are kept
    y = models.ResNet50.preprocess(image.fromarray(np.ascontiguousarray(ramp)))
    np.testing.assert_allclose(y[0, :, 7], (np.arange(16, 240) / 255 - .485) / .229, rtol=1e-4, atol=1e-5)


def test_preprocess_scales_grey_of_16_bits():
    image = pytest.importorskip('PIL.Image')
    grey = image.fromarray(np.full((300, 300), 128 * 257, np.uint16))
    np.testing.assert_allclose(models.MobileNetV2.preprocess(grey)[2], (128 / 255 - .406) / .225, rtol=1e-5)
    np.testing.assert_allclose(models.VGG16.preprocess(grey)[2], 128 - 123.68, rtol=1e-5)


@pytest.mark.parametrize('size', [(1, 1_000_000), (1_000_000, 2)])
def test_long_strips_are_cut_before_they_are_enlarged(size):
    Image = pytest.importorskip('PIL.Image')
    picture = Image.new('RGB', size)
    picture.paste((255, 0, 0), (size[0] // 2 - 20, size[1] // 2 - 20, size[0] // 2 + 20, size[1] // 2 + 20))
    x = models.MobileNetV2.preprocess(picture)
    assert x.shape == (3, 224, 224)
    np.testing.assert_array_equal(x, models.MobileNetV2.preprocess(Image.new('RGB', (9, 9), (255, 0, 0))))


@pytest.mark.parametrize('size', [(300, 451), (451, 300), (225, 640), (224, 224), (97, 61)])
@pytest.mark.parametrize('resize', [256, 232])
def test_torchvisions_preprocess_is_its_transforms(size, resize):
    """Resize(256), CenterCrop(224), ToTensor, Normalize as torchvision does them to PIL images, step by step."""
    pil = pytest.importorskip('PIL.Image')
    pixels = np.random.default_rng(0).integers(256, size=(size[1], size[0], 3), dtype=np.uint8)
    picture = pil.fromarray(pixels)
    W, H = size
    if W < H:
        W, H = resize, int(resize * H / W)
    else:
        W, H = int(resize * W / H), resize
    small = picture.resize((W, H), pil.Resampling.BILINEAR)
    top, left = round((H - 224) / 2), round((W - 224) / 2)
    x = np.asarray(small.crop((left, top, left + 224, top + 224)), np.float64) / 255
    x = ((x - [.485, .456, .406]) / [.229, .224, .225]).transpose(2, 0, 1)
    y = models.MobileNetV2.preprocess(picture, resize=resize)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, x, atol=2e-6)


# SqueezeNet, MobileNetV2, EfficientNet-Lite0

PHONES = {models.SqueezeNet1_0: 1_248_424, models.SqueezeNet1_1: 1_235_496, models.MobileNetV2: 3_504_872,
          models.EfficientNetLite0: 4_652_008}


@pytest.mark.parametrize('kind', PHONES)
def test_small_networks_parameters(kind, undrawn):
    net = kind()
    with nailorch.no_grad(), nailorch.test_mode():
        assert net(np.zeros((1, 3, 64, 64), np.float32)).shape == (1, 1000)
    assert count(net) == PHONES[kind]


def sizes_at(net, size, names):
    """Return what height each of these layers makes of images of `size`."""
    found = {}
    for name in names:
        layer = dict(net.named_layers())[name]
        layer.register_forward_hook(lambda _, x, y, name=name: found.update({name: y.shape[2]}))
    with nailorch.no_grad(), nailorch.test_mode():
        net(np.zeros((1, 3, size, size), np.float32))
    return [found[name] for name in names]


def test_squeezenets_pools_hang_over():
    assert sizes_at(models.SqueezeNet1_0(width=.05), 224, [f'features/{i}' for i in (0, 2, 6, 11)]) == [109, 54, 27, 13]
    assert sizes_at(models.SqueezeNet1_1(width=.05), 224, [f'features/{i}' for i in (0, 2, 5, 8)]) == [111, 55, 27, 13]
    assert sizes_at(models.SqueezeNet1_1(width=.05), 68, ['features/0', 'features/2']) == [33, 16]
    assert sizes_at(models.SqueezeNet1_1(width=.05), 70, ['features/0', 'features/2']) == [34, 17]  # not 16


@pytest.mark.parametrize('kind', [models.MobileNetV2, models.EfficientNetLite0])
def test_inverted_residuals_halve_the_image_five_times(kind):
    net = kind(width=.1)
    names = [f'features/{i}' for i in range(len(net.features))]
    heights = sizes_at(net, 224, names)
    assert heights[0] == 112
    assert sorted(set(heights)) == [7, 14, 28, 56, 112]
    strides = [block.depthwise.conv.stride for block in net.features[1:-1]]
    assert strides.count(2) == 4
    assert sum(block.shortcut for block in kind().features[1:-1]) == (10 if kind is models.MobileNetV2 else 9)


def test_mobilenets_names():
    net = models.MobileNetV2()
    names = [name for name, _ in net.named_parameters()]
    assert names[:3] == ['features/0/conv/W', 'features/0/bn/gamma', 'features/0/bn/beta']
    assert 'features/1/expand/conv/W' not in names
    assert 'features/2/expand/conv/W' in names
    assert names[-2:] == ['classifier/W', 'classifier/b']
    torch = {'features/0/conv': 'features.0.0', 'features/1/depthwise/bn': 'features.1.conv.0.1',
             'features/1/project/conv': 'features.1.conv.1', 'features/2/expand/conv': 'features.2.conv.0.0',
             'features/2/depthwise/bn': 'features.2.conv.1.1', 'features/17/project/bn': 'features.17.conv.3',
             'features/18/bn': 'features.18.1', 'classifier': 'classifier.1'}
    assert {path: net.torch_name(path) for path in torch} == torch


def test_widths_are_multiples_of_8():
    net = models.MobileNetV2(width=1.4)  # table 4 of the paper: 6.9 million parameters
    assert [net.features[i].project.conv.out_channels for i in (1, 2, 4, 7, 11, 14, 17)] == [24, 32, 48, 88, 136, 224,
                                                                                          448]
    assert net.features[-1].conv.out_channels == 1792
    with nailorch.no_grad(), nailorch.test_mode():
        net(np.zeros((1, 3, 32, 32), np.float32))
    assert 6.0e6 < count(net) < 7.0e6


def test_efficientnets_width_and_depth_make_lite4():
    net = models.EfficientNetLite0(width=1.4, depth=1.8)
    with nailorch.no_grad(), nailorch.test_mode():
        net(np.zeros((1, 3, 32, 32), np.float32))
    assert count(net) == 13_006_568
    assert (net.features[0].conv.out_channels, net.features[-1].conv.out_channels) == (32, 1280)


def test_efficientnets_conventions_are_tensorflows():
    net = models.EfficientNetLite0(width=.1)
    norms = [layer for _, layer in net.named_layers() if isinstance(layer, L.BatchNorm)]
    assert {(norm.eps, norm.decay) for norm in norms} == {(1e-3, .99)}
    stem = net.features[0].conv
    x = normal(1, 3, 8, 8)
    y = stem(x).data  # the odd row and column of padding stand at the end: the first window begins in the corner
    expected = (x[0, :, :3, :3] * stem.W.data[1]).sum()
    np.testing.assert_allclose(y[0, 1, 0, 0], expected, rtol=1e-4, atol=1e-5)


def test_efficientnets_preprocess_crops_then_resizes():
    image = pytest.importorskip('PIL.Image')
    pixels = np.random.default_rng(0).integers(256, size=(256, 300, 3), dtype=np.uint8)
    y = models.EfficientNetLite0.preprocess(image.fromarray(pixels))  # seven eighths of 256: nothing to resize
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.transpose(1, 2, 0), (pixels[16:240, 38:262] - 127.) / 128, atol=1e-6)
    assert models.EfficientNetLite0.preprocess(image.new('L', (31, 50)), size=240).shape == (3, 240, 240)
