"""Files that are written: onnx accepts them, and onnxruntime answers as the model does."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import nailorch
import nailorch.functions as F
import nailorch.layers as L
from nailorch import Function, Model, Variable, models
from nailorch.config import no_grad, test_mode
from nailorch.graph import trace
from nailorch.graph.tracing import pruned, record
from tests.test_specs import SPECS

onnx = pytest.importorskip('onnx', reason='onnx is not installed: pip install -e ".[test]"')
onnxruntime = pytest.importorskip('onnxruntime', reason='onnxruntime is not installed: pip install -e ".[test]"')

from nailorch.onnx.exporting import model_proto  # noqa: E402


def answers(file, *arrays):
    """Return what onnxruntime computes from a file, its path or its proto."""
    session = onnxruntime.InferenceSession(file if isinstance(file, str) else file.SerializeToString(),
                                           providers=['CPUExecutionProvider'])
    return session.run(None, dict(zip([i.name for i in session.get_inputs()], arrays, strict=True)))


# one function after another

# accuracy is computed outside of functions, and ONNX knows no label smoothing
CALLS = [pytest.param(spec, sample, id=f'{spec}-{sample}') for spec in SPECS for sample in spec.samples
         if spec.name != 'accuracy' and not sample.kwargs.get('label_smoothing')]


def float32(x):
    return np.asarray(x, np.float32) if isinstance(x, np.ndarray | np.floating) and x.dtype == np.float64 else x


@pytest.mark.parametrize(('spec', 'sample'), CALLS)
def test_onnxruntime_computes_what_the_function_does(spec, sample):
    args = [float32(arg) for arg in sample.args]
    places = [place for place, arg in enumerate(args) if isinstance(arg, np.ndarray) and arg.dtype == np.float32]
    arrays = [args[place] for place in places]

    def target(*xs):
        given = list(args)
        for place, x in zip(places, xs, strict=True):
            given[place] = x
        y = spec.op(*given, **sample.kwargs)
        return list(y) if isinstance(y, tuple) else y

    with no_grad(), test_mode():
        expected = target(*map(Variable, arrays))
        graph = pruned(record(target, None, arrays))
    proto = model_proto(graph, 19)  # the oldest with a dilation in AveragePool
    onnx.checker.check_model(proto, full_check=True)
    expected = expected if isinstance(expected, list) else [expected]
    for got, y in zip(answers(proto, *arrays), expected, strict=True):
        assert got.dtype == y.dtype
        assert got.shape == y.shape
        np.testing.assert_allclose(got, y.data, rtol=1e-5, atol=1e-5)


# whole models


class Net(Model):
    """A Model made of one function, which gets the model and its inputs, and of the layers it uses."""

    def __init__(self, forward, **parts):
        self.how = forward
        vars(self).update(parts)

    def forward(self, x, *others):
        return self.how(self, x, *others)


def lively(model, *shapes):
    """Give the model's parameters and averages numbers, and none that would hide an error, as 0 and 1 do."""
    rng = np.random.default_rng(1)
    with no_grad(), test_mode():
        model(*(rng.standard_normal((1, *shape)).astype(np.float32) for shape in shapes))
    for path, p in (*model.named_parameters(), *model.named_buffers()):
        if path.endswith(('gamma', 'avg_var')):
            p.data[...] = rng.uniform(0.5, 1.5, p.shape)
        elif p.data.ndim == 1:
            p.data[...] = rng.standard_normal(p.shape) * 0.1
    return model


def batches(n, *shapes):
    return [np.random.default_rng([n, place]).standard_normal((n, *shape)).astype(np.float32)
            for place, shape in enumerate(shapes)]


def evaluated(model, *arrays):
    """Return the model's results in test mode as a flat list of arrays."""
    for _, layer in model.named_layers():
        if hasattr(layer, 'reset_state'):
            layer.reset_state()
    with no_grad(), test_mode():
        y = model(*arrays)
    ys = y.values() if isinstance(y, dict) else y if isinstance(y, tuple | list) else [y]
    return [each.data for each in ys]


def distance(got, expected):
    """Return the largest difference, beside the largest number."""
    assert [y.shape for y in got] == [y.shape for y in expected]
    return max(np.abs(a - b).max() / np.abs(b).max() for a, b in zip(got, expected, strict=True))


def residual(net, x):
    y = F.relu(net.bn(net.conv(x)))
    return F.relu(y + net.other(y)[:, :, ::-1])


def attention(net, x):
    N, C, H, W = x.shape
    rows = F.transpose(F.reshape(x, (N, C, H * W)), (0, 2, 1))
    q, k, v = F.split(net.qkv(rows), 3, axis=2)
    weights = F.softmax(F.matmul(q, F.transpose(k, (0, 2, 1))) / 4, axis=2)
    return F.mean(F.matmul(weights, v), axis=1)


CONV = {'conv': lambda: L.Conv2d(6, 3, pad=1), 'bn': L.BatchNorm, 'other': lambda: L.Conv2d(6, (3, 1), pad=(1, 0))}
NETS = {
    'mnistnet': (models.MNISTNet, (1, 28, 28)),
    'lenet': (models.LeNet, (1, 28, 28)),
    **{f'vgg{depth}': (partial(getattr(models, f'VGG{depth}'), 5, width=4, hidden=16), (3, 32, 32))
       for depth in (11, 13, 16, 19, '11_BN', '13_BN', '16_BN', '19_BN')},
    **{f'resnet{depth}': (partial(getattr(models, f'ResNet{depth}'), 5, width=4), (3, 40, 32))
       for depth in (18, 34, 50, 101, 152)},
    'squeezenet1_0': (partial(models.SqueezeNet1_0, 5, width=0.25), (3, 64, 60)),
    'squeezenet1_1': (partial(models.SqueezeNet1_1, 5, width=0.25), (3, 64, 60)),
    'mobilenet_v2': (partial(models.MobileNetV2, 5, width=0.25), (3, 48, 40)),
    'efficientnet_lite0': (partial(models.EfficientNetLite0, 5, width=0.25, depth=0.5), (3, 45, 40)),
    'mlp': (partial(models.MLP, (8, 4)), (10,)),
    'sequential': (lambda: models.Sequential(
        L.Conv2d(6, 3, stride=2, pad='same', groups=3), F.leaky_relu, L.BatchNorm(), L.Deconv2d(4, 4, 2, 1), F.gelu,
        L.GroupNorm(2), partial(F.average_pooling, kernel_size=3, stride=2, ceil_mode=True), F.hardswish,
        partial(F.adaptive_average_pooling, outsize=(2, 3)), F.flatten, L.Linear(7), L.LayerNorm(), F.log_softmax,
    ), (3, 15, 16)),
    'residual': (lambda: Net(residual, **{name: make() for name, make in CONV.items()}), (2, 5, 7)),
    'attention': (lambda: Net(attention, qkv=L.Linear(12)), (8, 3, 4)),
    'rnn': (lambda: Net(lambda net, x: net.out(net.rnn(x[:, 0]) + net.rnn(x[:, 1])), rnn=L.RNN(5), out=L.Linear(2)),
            (2, 3)),
    'lstm': (lambda: Net(lambda net, x: F.stack([net.lstm(x[:, 0]), net.lstm(x[:, 1])], axis=1), lstm=L.LSTM(5)),
             (2, 3)),
    'textbook': (lambda: Net(lambda net, x: F.deconv2d_simple(
        F.pooling_simple(F.conv2d_simple(x, net.conv.W, net.conv.b, 1, 1), 2, 2), net.up.W, None, 2),
        conv=L.Conv2d(4, 3, in_channels=2), up=L.Deconv2d(3, 2, in_channels=4)), (2, 6, 8)),
}


@pytest.mark.parametrize('name', NETS)
def test_models_answer_alike_at_any_batch_size(name, tmp_path):
    make, shape = NETS[name]
    model = lively(make(), shape)
    path = str(nailorch.onnx.export(model, tmp_path / 'net.onnx', shape))
    for n in (1, 3):
        x, = batches(n, shape)
        assert distance(answers(path, x), evaluated(model, x)) < 1e-5


@pytest.mark.parametrize('opset', range(13, 24))
def test_every_opset_gives_the_same_answers(opset, tmp_path):
    model = lively(models.Sequential(
        partial(F.average_pooling, kernel_size=3, stride=2, ceil_mode=True), F.hardswish, F.gelu, F.relu6,
        L.Conv2d(4, 3, pad='same'), L.BatchNorm(), F.global_max_pooling, lambda x: F.mean(x, axis=(2, 3)),
        lambda x: F.concat(F.split(x, 2)[::-1]), F.softmax), (2, 8, 9))
    path = str(nailorch.onnx.export(model, tmp_path / 'net.onnx', (2, 8, 9), opset=opset))
    file = onnx.load(path)
    assert [(each.domain, each.version) for each in file.opset_import] == [('', opset)]
    x, = batches(3, (2, 8, 9))
    assert distance(answers(path, x), evaluated(model, x)) < 1e-5


def test_a_file_says_what_it_is(tmp_path):
    model = models.MNISTNet()
    file = onnx.load(nailorch.onnx.export(model, tmp_path / 'net.onnx', (1, 28, 28)))
    assert (file.producer_name, file.producer_version) == ('nailorch', nailorch.__version__)
    assert file.doc_string == 'Graph(MNISTNet: 10 nodes, (N, 1, 28, 28) -> (N, 10))'
    x, y = file.graph.input[0], file.graph.output[0]
    assert [d.dim_param or d.dim_value for d in x.type.tensor_type.shape.dim] == ['N', 1, 28, 28]
    assert [d.dim_param or d.dim_value for d in y.type.tensor_type.shape.dim] == ['N', 10]
    assert (x.name, y.name) == ('x', 'y')
    assert [node.op_type for node in file.graph.node] == [
        *['Conv', 'Relu', 'MaxPool'] * 2, 'Reshape', 'Gemm', 'Relu', 'Gemm']
    weights = {each.name: onnx.numpy_helper.to_array(each) for each in file.graph.initializer}
    for name, p in model.named_parameters():
        np.testing.assert_array_equal(weights[name], p.data)


def test_several_inputs_and_named_results(tmp_path):
    net = Net(lambda net, x, other: {'sum': net.a(x) + other, 'first': x, 'again': x[:, None, ::2]}, a=L.Linear(3))
    x, other = batches(4, (6,), (3,))
    path = str(nailorch.onnx.export(net, tmp_path / 'net.onnx', x, other))
    session = onnxruntime.InferenceSession(path)
    assert [each.name for each in session.get_outputs()] == ['sum', 'first', 'again']
    x, other = batches(2, (6,), (3,))
    assert distance(answers(path, x, other), evaluated(net, x, other)) < 1e-5


def test_ids_go_in_as_they_are_in_the_example(tmp_path):
    net = models.Sequential(L.EmbedID(9, 4), partial(F.mean, axis=1), L.Linear(2))
    ids = np.array([[1, 8, 0], [2, 2, 5]])
    path = str(nailorch.onnx.export(net, tmp_path / 'net.onnx', ids[:1]))
    assert distance(answers(path, ids), evaluated(net, ids)) < 1e-5


@pytest.mark.parametrize('change', [
    lambda x: F.reshape(x, (-1, 2)),
    lambda x: F.reshape(x, (x.shape[0] * 2, -1, 2)),
    lambda x: F.reshape(x, (2, x.shape[0], x.shape[0] * 0 + 4)),
    lambda x: F.transpose(x) * 1.0,
    lambda x: x[: x.shape[0] - 1],
    lambda x: x[-1],
    lambda x: x[::-1, 1:-1, -1],
    lambda x: F.broadcast_to(F.mean(x, axis=0), x.shape),
    lambda x: F.sum_to(x, (1, x.shape[1], 1)),
    lambda x: F.concat([x, np.ones((x.shape[0], 1, 2), np.float32)], axis=1),
    lambda x: F.split(x, [1], axis=0)[1],
    lambda x: x * F.sum(x, axis=(0, 2), keepdims=True),
    lambda x: F.mean_squared_error(x, x * 2),
    lambda x: F.matmul(F.transpose(x, (0, 2, 1)), x),
])
def test_sizes_follow_the_batch(change):
    net = Net(lambda net, x: change(x))
    proto = model_proto(trace(net, np.ones((2, 4, 2), np.float32)))
    onnx.checker.check_model(proto, full_check=True)
    for n in (3, 7):
        x, = batches(n, (4, 2))
        assert distance(answers(proto, x), evaluated(net, x)) < 1e-5


@pytest.mark.parametrize('slices', [
    (slice(None), [0, -1]), (slice(None), 1, [0, -1]), (slice(None), [[1], [0]], slice(None), [2, 0]),
    (slice(None), None, [1, 2], [0, 3]), (..., -2), (slice(None), np.array([True, False, True])), (0,), ([1, 0],),
    (slice(None, None, -2), slice(5, None, -1), ..., 1), (slice(None), 2, slice(1, 3), [0, 1]), (None, 0, None, 1),
])
def test_items_are_taken_as_numpy_takes_them(slices):
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
    graph = record(lambda x: F.get_item(x, slices), None, [x])
    got, = answers(model_proto(graph), x)
    np.testing.assert_array_equal(got, x[slices])


# what cannot be


class Unknown(Function):
    def forward(self, x):
        return x * 2


def test_all_functions_without_a_form_are_named_at_once(tmp_path):
    net = Net(lambda net, x: Unknown()(x) + F.col2im(Unknown()(F.im2col(x, 2)), x.shape, 2))
    expected = r'Unknown: it has no form there \(Unknown, Unknown_2\); Col2im: it needs opset 18 \(Col2im\)'
    with pytest.raises(ValueError, match=expected):
        nailorch.onnx.export(net, tmp_path / 'net.onnx', (1, 4, 4), opset=17)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(('arguments', 'options', 'expected'), [
    ([(4,)], {'opset': 12}, 'opset=12; the installed onnx and nailorch know 13 to'),
    ([(4,)], {'opset': 18.0}, 'opset=18.0'),
    ([], {}, 'what goes into the model'),
    ([np.ones((0, 4), np.float32)], {}, 'example'),
    ([(5,)], {}, 'features'),
])
def test_requests_that_cannot_be_met(tmp_path, arguments, options, expected):
    with pytest.raises(ValueError, match=expected):
        nailorch.onnx.export(L.Linear(3, in_size=4), tmp_path / 'net.onnx', *arguments, **options)
    assert not any(tmp_path.iterdir())


def test_types_that_onnx_refuses_are_said(tmp_path):
    net = Net(lambda net, x: F.pooling(x, 2))
    with pytest.raises(ValueError, match='no such operator for these types'):
        nailorch.onnx.export(net, tmp_path / 'net.onnx', np.ones((1, 1, 4, 4), np.int32))


def test_two_gigabytes_are_too_many(tmp_path):
    huge = np.broadcast_to(np.float32(1), (2**15, 2**14))  # 2 GiB, of which one number is there
    graph = trace(Net(lambda net, x: x + x), np.ones((1, 4), np.float32))
    value = replace(graph.values[0], id=len(graph.values), name='W', kind='parameter', source=huge, shape=huge.shape)
    with pytest.raises(ValueError, match=r'2\.0 GiB; one ONNX file holds less than 2 GiB'):
        model_proto(replace(graph, values=(*graph.values, value)))


def test_an_older_file_stays_if_the_new_one_cannot_be_written(tmp_path):
    (tmp_path / 'net.onnx').write_text('old')
    with pytest.raises(ValueError, match='it has no form'):
        nailorch.onnx.export(Net(lambda net, x: Unknown()(x)), tmp_path / 'net.onnx', (4,))
    assert (tmp_path / 'net.onnx').read_text() == 'old'


# out and in and out again


@pytest.mark.parametrize('name', [name for name in NETS if name != 'textbook'])  # Col2Im is not read
def test_what_is_written_is_read_and_written_again(name, tmp_path):
    make, shape = NETS[name]
    model = lively(make(), shape)
    nailorch.onnx.export(model, tmp_path / 'one.onnx', shape)
    read = nailorch.onnx.load(tmp_path / 'one.onnx')
    nailorch.onnx.export(read, tmp_path / 'two.onnx', shape)
    for n in (1, 3):
        x, = batches(n, shape)
        expected = evaluated(model, x)
        assert distance(evaluated(read, x), expected) < 1e-5
        assert distance(answers(str(tmp_path / 'two.onnx'), x), expected) < 1e-5
    if name != 'sequential':  # its averages over other windows are constants here, parameters there
        assert sum(p.size for p in read.params()) == sum(p.size for p in model.params())
