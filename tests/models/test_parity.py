"""Small VGGs and ResNets give PyTorch's logits and gradients, in float64, with the same weights."""

import numpy as np
import pytest

import nailorch
import nailorch.functions as F
from nailorch import Variable, models

torch = pytest.importorskip('torch', reason='PyTorch is not installed: pip install -e ".[compare]"')
nn = torch.nn
TORCH_NAMES = {'W': 'weight', 'b': 'bias', 'gamma': 'weight', 'beta': 'bias', 'avg_mean': 'running_mean',
               'avg_var': 'running_var'}


def torch_vgg(depths, width, hidden, classes, batch_norm):
    """torchvision's layout: one Sequential of features, one of dense layers (without its dropout)."""
    layers, channels = [], 3
    for block, depth in enumerate(depths):
        for _ in range(depth):
            out = width * min(2 ** block, 8)
            layers += [nn.Conv2d(channels, out, 3, padding=1)]
            layers += [nn.BatchNorm2d(out)] if batch_norm else []
            layers += [nn.ReLU()]
            channels = out
        layers.append(nn.MaxPool2d(2))
    dense = [nn.Flatten(), nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(),
             nn.Linear(hidden, classes)]
    return nn.Sequential(*layers, *dense).double()


class TorchBlock(nn.Module):
    def __init__(self, inside, channels, stride, bottleneck):
        super().__init__()
        out = channels * (4 if bottleneck else 1)
        shapes = ([(inside, channels, 1, 1), (channels, channels, 3, stride), (channels, out, 1, 1)] if bottleneck
                  else [(inside, channels, 3, stride), (channels, channels, 3, 1)])
        self.depth = len(shapes)
        for i, (c, oc, k, s) in enumerate(shapes, 1):
            setattr(self, f'conv{i}', nn.Conv2d(c, oc, k, s, k // 2, bias=False))
            setattr(self, f'bn{i}', nn.BatchNorm2d(oc))
        self.downsample = None
        if stride != 1 or inside != out:
            self.downsample = nn.Sequential(nn.Conv2d(inside, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        y = x
        for i in range(1, self.depth + 1):
            y = getattr(self, f'bn{i}')(getattr(self, f'conv{i}')(y))
            y = y.relu() if i < self.depth else y
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


class TorchResNet(nn.Module):
    def __init__(self, depths, width, classes, bottleneck):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width)
        inside = width
        for stage, depth in enumerate(depths):
            blocks = []
            for i in range(depth):
                blocks.append(TorchBlock(inside, width * 2 ** stage, 2 if stage and not i else 1, bottleneck))
                inside = width * 2 ** stage * (4 if bottleneck else 1)
            setattr(self, f'layer{stage + 1}', nn.Sequential(*blocks))
        self.fc = nn.Linear(inside, classes)

    def forward(self, x):
        x = nn.functional.max_pool2d(self.bn1(self.conv1(x)).relu(), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


def turned(name, array):
    """Dense weights are (IN, OUT) here, (OUT, IN) there."""
    return array.T if name.endswith('/W') and array.ndim == 2 else array


def compare(net, peer, names, x):
    """Copy net's weights into peer, run both on x, and compare all there is."""
    tensors = {**dict(peer.named_parameters()), **dict(peer.named_buffers())}
    with torch.no_grad():
        for name, array in net.state_dict().items():
            tensors[names[name]].copy_(torch.tensor(turned(name, array)))
    ours, theirs = Variable(x), torch.tensor(x, requires_grad=True)
    y, z = net(ours), peer(theirs)
    np.testing.assert_allclose(y.data, z.detach().numpy(), rtol=1e-8, atol=1e-8)

    t = np.arange(len(x)) % y.shape[1]
    loss = F.softmax_cross_entropy(y, t)
    loss.backward()
    nn.functional.cross_entropy(z, torch.tensor(t)).backward()
    np.testing.assert_allclose(ours.grad.data, theirs.grad.numpy(), rtol=1e-8, atol=1e-8)
    for name, p in net.named_parameters():
        np.testing.assert_allclose(turned(name, p.grad.data), tensors[names[name]].grad.numpy(), rtol=1e-8, atol=1e-8,
                                   err_msg=name)
    for name, buffer in net.named_buffers():
        np.testing.assert_allclose(buffer.data, tensors[names[name]].numpy(), rtol=1e-8, atol=1e-8, err_msg=name)
    assert max(np.abs(p.grad.data).max() for p in net.params()) > 1e-3


def in_order(net, peer):
    """Pair names by order: both define their parameters front to back, running averages apart."""
    ours = [name for name, _ in net.named_parameters()]
    pairs = dict(zip(ours, dict(peer.named_parameters()), strict=True))
    running = [name for name, _ in peer.named_buffers() if 'running' in name]
    return {**pairs, **dict(zip((name for name, _ in net.named_buffers()), running, strict=True))}


def by_name(net):
    return {name: name.rpartition('/')[0].replace('/', '.') + '.' + TORCH_NAMES[name.rpartition('/')[2]]
            for name in net.state_dict()}


def fresh(kind, x, **options):
    with nailorch.using_config('dtype', np.float64):
        net = kind(5, **options)
        with nailorch.no_grad(), nailorch.test_mode():
            net(x)
    return net


X = np.random.default_rng(0).standard_normal((4, 3, 64, 64))


@pytest.mark.parametrize('kind', [models.VGG11, models.VGG16, models.VGG13_BN, models.VGG19_BN])
def test_vgg_equals_pytorch(kind):
    x = X[:, :, :32, :32]
    net = fresh(kind, x, width=2, hidden=12).eval()  # dropout draws other numbers there
    peer = torch_vgg(kind.depths, 2, 12, 5, kind.batch_norm).eval()
    compare(net, peer, in_order(net, peer), x)


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('kind', [models.ResNet18, models.ResNet50])
def test_resnet_equals_pytorch(kind, training):
    net = fresh(kind, X, width=4)
    peer = TorchResNet(kind.depths, 4, 5, kind is models.ResNet50).double()
    compare(net.train(training), peer.train(training), by_name(net), X)
