"""Networks that PyTorch's own exporters wrote: they load, agree, learn, and compile."""

import contextlib
import io
import logging
import warnings

import numpy as np
import pytest

import nailorch.functions as F
import nailorch.onnx
from nailorch import Variable, optimizers, test_mode

torch = pytest.importorskip('torch')
pytest.importorskip('onnx')
nn, TF = torch.nn, torch.nn.functional
logging.getLogger('torch.onnx').setLevel(logging.ERROR)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 8, 3, padding=1, groups=4), nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(x + self.bn2(self.conv2(x)))
        return self.fc(TF.adaptive_avg_pool2d(x, 1).flatten(1))


class Net(nn.Module):
    """Modules, and what is done with them."""

    def __init__(self, compute, *parts):
        super().__init__()
        self.compute, self.part = compute, nn.ModuleList(parts)

    def forward(self, x):
        return self.compute(self.part, x)


class View(nn.Module):
    def forward(self, x):
        return x.view(x.size(0), -1)


def shuffled(part, x):
    y = part[0](x)
    return y.view(y.size(0), 2, 4, y.size(2), y.size(3)).transpose(1, 2).reshape(y.size(0), 8, y.size(2), y.size(3))


NETS = {
    'residual': lambda: Residual(),
    'depthwise': lambda: nn.Sequential(nn.Conv2d(3, 6, 1), nn.ReLU6(), nn.Conv2d(6, 6, 3, 2, 1, groups=6),
                                       nn.Hardswish(), nn.Conv2d(6, 4, 1)),
    'transposed': lambda: nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1),
                                        nn.ConvTranspose2d(6, 4, 3, 2, 1, output_padding=1), nn.Sigmoid()),
    'asymmetric': lambda: Net(lambda part, x: part[0](TF.pad(x, (0, 1, 2, 1))), nn.Conv2d(3, 4, 3, 2)),
    'reflected': lambda: Net(lambda part, x: part[0](TF.pad(x, (1, 2, 2, 1), mode='reflect')), nn.Conv2d(3, 4, 3)),
    'ceil': lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(3, 2, ceil_mode=True),
                                  nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False)),
    'concat': lambda: Net(lambda part, x: torch.cat([part[0](x), part[1](x)], 1), nn.Conv2d(3, 4, 1),
                          nn.Conv2d(3, 4, 3, padding=1)),
    'upsample': lambda: Net(lambda part, x: TF.interpolate(part[0](x), scale_factor=2, mode='nearest')
                            + TF.interpolate(part[0](x), scale_factor=2, mode='bilinear', align_corners=False),
                            nn.Conv2d(3, 4, 1)),
    'prelu': lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.PReLU(4), nn.Conv2d(4, 4, 1), nn.PReLU(),
                                   nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3), nn.LogSoftmax(1)),
    'view': lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), View(), nn.Linear(4 * 7 * 7, 8), nn.Dropout(),
                                  nn.ReLU(), nn.Linear(8, 4)),
    'shuffled': lambda: Net(shuffled, nn.Conv2d(3, 8, 1)),
    'norms': lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.GELU(), nn.InstanceNorm2d(8, affine=True),
                                   nn.ELU(), nn.Mish()),
    'squeeze-excite': lambda: Net(
        lambda part, x: part[0](x) * torch.sigmoid(part[2](torch.relu(part[1](x.mean((2, 3), keepdim=True))))),
        nn.Conv2d(3, 8, 3), nn.Conv2d(3, 2, 1), nn.Conv2d(2, 8, 1)),
    'signal': lambda: Net(lambda part, x: part[1](TF.max_pool1d(part[0](x.flatten(2)), 2)).mean(-1),
                          nn.Conv1d(3, 4, 5, stride=2, padding=2), nn.ConvTranspose1d(4, 3, 3)),
}


def exported(net, dynamo, dynamic=True, **options):
    """Return the file that PyTorch's older exporter, or its newer one (`dynamo`), writes."""
    x, file = torch.randn(2, 3, 16, 16), io.BytesIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter('ignore')
        if dynamo:
            pytest.importorskip('onnxscript')
            sizes = ({0: torch.export.Dim('N')},) if dynamic else None
            program = torch.onnx.export(net, (x,), dynamo=True, dynamic_shapes=sizes, verbose=False, **options)
            return program.model_proto.SerializeToString()
        axes = {'x': {0: 'N'}} if dynamic else None
        torch.onnx.export(net, (x,), file, dynamo=False, dynamic_axes=axes, input_names=['x'], **options)
    return file.getvalue()


def made(name):
    torch.manual_seed(0)
    net = NETS[name]()
    for name, array in net.state_dict().items():
        if array.dtype.is_floating_point and array.ndim == 1:  # equal arrays would become one in the file
            nn.init.uniform_(array, 0.5, 1.5) if name.endswith(('var', 'weight')) else nn.init.normal_(array)
    return net.eval()


def close(a, b, tolerance=1e-5):
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * max(1, np.abs(b).max()))


def check(theirs, ours):
    """Compare results for two batch sizes, gradients and the compiled session; return how many weights were."""
    compared = set()
    for n in 3, 1:
        x = torch.randn(n, 3, 16, 16, requires_grad=True)
        theirs.zero_grad()
        y = theirs(x)
        weight = torch.randn_like(y)
        (y * weight).sum().backward()
        mine = Variable(x.detach().numpy())
        ours.cleargrads()
        with test_mode():
            result = ours(mine)
        F.sum(result * weight.numpy()).backward()
        close(result.data, y.detach().numpy())
        close(mine.grad.data, x.grad.numpy())
        same = dict(theirs.named_parameters())
        for parameter in ours.params():
            original = same.get(parameter.name)
            if original is not None and np.array_equal(parameter.data, original.detach().numpy()):
                close(parameter.grad.data, original.grad.numpy())  # where the exporter did not fold anything into it
                compared.add(parameter.name)
    session = nailorch.compile(ours, x.detach().numpy())
    for n in 1, 3:
        x = torch.randn(n, 3, 16, 16)
        close(session(x.numpy()), theirs(x).detach().numpy())
    return len(compared)


@pytest.mark.parametrize('name', NETS)
def test_older_exporter(name):
    theirs = made(name)
    data = exported(theirs, dynamo=False, training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False)
    assert check(theirs, nailorch.onnx.load(data)) > 0


@pytest.mark.parametrize('name', ['residual', 'transposed', 'asymmetric', 'ceil', 'upsample', 'view', 'norms'])
def test_newer_exporter(name):
    theirs = made(name)
    check(theirs, nailorch.onnx.load(exported(theirs, dynamo=True)))


@pytest.mark.parametrize(('name', 'dynamo'), [('residual', False), ('shuffled', False), ('view', True)])
def test_file_of_a_fixed_batch_serves_any(name, dynamo):
    theirs = made(name)
    check(theirs, nailorch.onnx.load(exported(theirs, dynamo, dynamic=False)))


@pytest.mark.parametrize('opset', [9, 11, 13])
def test_older_opsets(opset):
    theirs = made('residual')
    check(theirs, nailorch.onnx.load(exported(theirs, dynamo=False, opset_version=opset)))


def test_step_of_training_is_pytorchs():
    """Batch norms learn, with the batch's own averages, and remember them."""
    theirs = made('residual')
    ours = nailorch.onnx.load(exported(theirs, dynamo=False, training=torch.onnx.TrainingMode.PRESERVE,
                                       do_constant_folding=False))
    theirs.train()
    x, t = torch.randn(6, 3, 16, 16), torch.arange(6) % 5
    sgd = torch.optim.SGD(theirs.parameters(), lr=0.1)
    TF.cross_entropy(theirs(x), t).backward()
    sgd.step()
    optimizer = optimizers.SGD(lr=0.1).setup(ours)
    F.softmax_cross_entropy(ours(x.numpy()), t.numpy()).backward()
    optimizer.update()
    state = {name: array.numpy() for name, array in theirs.state_dict().items()}
    things = [*ours.named_parameters(), *ours.named_buffers()]
    assert len(things) == len(state) - 2  # PyTorch counts batches too
    for _, thing in things:
        close(thing.data, state[thing.name])


@pytest.mark.parametrize('name', NETS)
def test_every_loaded_model_can_be_exported(name, tmp_path):
    theirs = made(name)
    first = nailorch.onnx.load(exported(theirs, dynamo=False))
    again = nailorch.onnx.load(nailorch.onnx.export(first, tmp_path / 'again.onnx', (3, 16, 16)))
    x = torch.randn(3, 3, 16, 16)
    with test_mode():
        close(again(x.numpy()).data, theirs(x).detach().numpy())
