"""Each layer does what its function does, and finds its sizes at the first call."""

import numpy as np
import pytest

import nailorch
import nailorch.functions as F
import nailorch.layers as L
from nailorch import Variable


def normal(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


X = normal(2, 4, 6, 5)

SAME = {  # a layer, and the same from its function and its own parameters
    'Linear': (L.Linear(3), lambda x, own: F.linear(x, own.W, own.b)),
    'Linear without bias': (L.Linear(3, nobias=True), lambda x, own: F.linear(x, own.W)),
    'Conv2d': (L.Conv2d(6, (3, 2), (2, 1), (1, 0), dilation=(1, 2), groups=2),
               lambda x, own: F.conv2d(x, own.W, own.b, (2, 1), (1, 0), (1, 2), 2)),
    'Conv2d without bias': (L.Conv2d(6, 3, nobias=True), lambda x, own: F.conv2d(x, own.W)),
    'Deconv2d': (L.Deconv2d(6, (3, 2), (2, 3), (1, 0), dilation=(1, 2), groups=2, output_padding=(1, 0)),
                 lambda x, own: F.deconv2d(x, own.W, own.b, (2, 3), (1, 0), None, (1, 2), 2, (1, 0))),
    'Deconv2d outsize': (L.Deconv2d(2, 3, 2, outsize=(14, 12)),
                         lambda x, own: F.deconv2d(x, own.W, own.b, 2, 0, (14, 12))),
    'MaxPool2d': (L.MaxPool2d((3, 2)), lambda x, own: F.pooling(x, (3, 2), (3, 2))),
    'MaxPool2d all': (L.MaxPool2d(2, 1, 1, 2, True), lambda x, own: F.pooling(x, 2, 1, 1, 2, True)),
    'AveragePool2d': (L.AveragePool2d((3, 2)), lambda x, own: F.average_pooling(x, (3, 2), (3, 2))),
    'AveragePool2d all': (L.AveragePool2d(3, 2, 1, True, False),
                          lambda x, own: F.average_pooling(x, 3, 2, 1, True, False)),
    'GlobalAveragePool2d': (L.GlobalAveragePool2d(), lambda x, own: F.global_average_pooling(x)),
    'GlobalMaxPool2d': (L.GlobalMaxPool2d(), lambda x, own: F.global_max_pooling(x)),
    'AdaptiveAveragePool2d': (L.AdaptiveAveragePool2d((4, 2)), lambda x, own: F.adaptive_average_pooling(x, (4, 2))),
    'AdaptiveMaxPool2d': (L.AdaptiveMaxPool2d((4, 2)), lambda x, own: F.adaptive_max_pooling(x, (4, 2))),
    'LayerNorm': (L.LayerNorm(), lambda x, own: F.layer_norm(x, own.gamma, own.beta, 1e-5)),
    'LayerNorm of axes': (L.LayerNorm((6, 5), eps=0.1), lambda x, own: F.layer_norm(x, own.gamma, own.beta, 0.1)),
    'GroupNorm': (L.GroupNorm(2, eps=0.1), lambda x, own: F.group_norm(x, 2, own.gamma, own.beta, 0.1)),
    'Flatten': (L.Flatten(), lambda x, own: F.flatten(x)),
    'ReLU': (L.ReLU(), lambda x, own: F.relu(x)),
    'LeakyReLU': (L.LeakyReLU(0.1), lambda x, own: F.leaky_relu(x, 0.1)),
    'ReLU6': (L.ReLU6(), lambda x, own: F.relu6(x)),
    'Sigmoid': (L.Sigmoid(), lambda x, own: F.sigmoid(x)),
    'Tanh': (L.Tanh(), lambda x, own: F.tanh(x)),
    'Softplus': (L.Softplus(), lambda x, own: F.softplus(x)),
    'SiLU': (L.SiLU(), lambda x, own: F.silu(x)),
    'HardSwish': (L.HardSwish(), lambda x, own: F.hardswish(x)),
    'GELU': (L.GELU('tanh'), lambda x, own: F.gelu(x, 'tanh')),
    'Softmax': (L.Softmax(2), lambda x, own: F.softmax(x, 2)),
    'LogSoftmax': (L.LogSoftmax(2), lambda x, own: F.log_softmax(x, 2)),
}


@pytest.mark.parametrize('name', SAME)
def test_layer_is_its_function(name):
    layer, function = SAME[name]
    y = layer(X)
    np.testing.assert_array_equal(y.data, function(X, layer).data)
    assert y.dtype == np.float32


def test_every_public_layer_is_tried_here():
    tried = {type(layer) for layer, _ in SAME.values()} | {L.BatchNorm, L.Dropout, L.EmbedID, L.RNN, L.LSTM, L.Layer}
    layers = {value for name in L.__all__ if isinstance(value := getattr(L, name), type) and issubclass(value, L.Layer)}
    assert layers == tried


@pytest.mark.parametrize('layer', [
    L.Linear(3, in_size=5), L.Conv2d(6, 3, in_channels=4), L.Deconv2d(6, 3, in_channels=4), L.BatchNorm(channels=4),
    L.GroupNorm(2, channels=4), L.LayerNorm(5), L.RNN(3, in_size=5), L.LSTM(3, in_size=5)])
def test_sizes_given_at_once_are_those_the_first_call_would_find(layer):
    shapes = {name: p.shape for name, p in layer.named_parameters()}
    layer(X[:, 0, 0] if isinstance(layer, L.RNN | L.LSTM) else X)
    assert shapes == {name: p.shape for name, p in layer.named_parameters()}


# mistakes are told before any weight is drawn, so that the next call can be right


@pytest.mark.parametrize(('layer', 'wrong', 'text', 'right'), [
    (L.Conv2d(2, 3), normal(28, 28), r'x\[None, None\]', normal(1, 1, 28, 28)),
    (L.Conv2d(4, 3, groups=2), normal(1, 3, 8, 8), 'C=3 cannot be shared', normal(1, 4, 8, 8)),
    (L.Deconv2d(2, 3), normal(3, 8, 8), r'x\[None\]', normal(1, 3, 8, 8)),
    (L.Linear(2), np.float32(3), 'in_size', normal(1, 3)),
    (L.BatchNorm(), normal(3), r'x\.shape=\(3,\)', normal(2, 3)),
    (L.GroupNorm(2), normal(2, 3), 'C=3 cannot be shared', normal(2, 4)),
])
def test_a_wrong_first_call_leaves_no_trace(layer, wrong, text, right):
    with pytest.raises(ValueError, match=text):
        layer(wrong)
    layer(right)


@pytest.mark.parametrize(('make', 'text'), [
    (lambda: L.Linear(0), 'out_size: 0'),
    (lambda: L.Conv2d(0, 3), 'out_channels: 0'),
    (lambda: L.Conv2d(4, [3, 3, 3]), 'kernel_size'),
    (lambda: L.Conv2d(4, 3, stride=0), 'stride: 0'),
    (lambda: L.Conv2d(4, 3, pad='some'), 'pad'),
    (lambda: L.Conv2d(4, 3, groups=3), 'OC=4 cannot be shared'),
    (lambda: L.Conv2d(4, 3, in_channels=0), 'in_channels: 0'),
    (lambda: L.Linear(28 / 2), r'out_size: expected a whole number, got 14\.0'),
    (lambda: L.EmbedID(0, 3), 'in_size: 0'),
    (lambda: L.BatchNorm(channels=0), 'channels: 0'),
])
def test_impossible_sizes_are_told_at_once(make, text):
    with pytest.raises(ValueError, match=text):
        make()


@pytest.mark.parametrize(('make', 'text'), [
    (lambda: L.Linear(784, 10), r'got 10\. .*: Linear\(10, in_size=784\)'),
    (lambda: L.Linear(784, 1), r'got 1\. '),
    (lambda: L.Conv2d(3, 16, 3, 1, 1), r'got 1\. .*: Conv2d\(16, kernel_size=3, in_channels=3\)'),
])
def test_sizes_in_another_frameworks_order_are_noticed(make, text):
    with pytest.raises(ValueError, match=text):
        make()


@pytest.mark.parametrize('make', [lambda: L.Linear(3, dtype=int), lambda: L.BatchNorm(dtype=np.uint8),
                                  lambda: L.EmbedID(3, 3, dtype='bool')])
def test_ints_cannot_be_learned(make):
    with pytest.raises(TypeError, match='only floats can be learned'):
        make()


def test_layer_norm_takes_any_int():
    assert L.LayerNorm(np.int64(5)).size == (5,)


def test_another_number_of_channels_is_named():
    layer = L.Conv2d(2, 3)
    layer(X)
    with pytest.raises(ValueError, match='x has 3 channels, W expects 4'):
        layer(normal(1, 3, 8, 8))


def test_one_convolution_serves_two_image_sizes():
    layer = L.Conv2d(2, 3, pad='same')
    assert layer(normal(1, 3, 8, 9)).shape == (1, 2, 8, 9)
    assert layer(normal(2, 3, 5, 4)).shape == (2, 2, 5, 4)


# batch norm, dropout, embedding


def test_batch_norm_follows_the_batches_and_uses_the_averages_in_test_mode():
    layer, mean, var = L.BatchNorm(decay=0.8), np.zeros(4), np.ones(4)
    for seed in range(3):
        x = normal(5, 4, 3, 2, seed=seed) * 3 + 1
        layer(x)
        mean = 0.8 * mean + 0.2 * x.mean(axis=(0, 2, 3))
        var = 0.8 * var + 0.2 * x.var(axis=(0, 2, 3), ddof=1)
    np.testing.assert_allclose(layer.avg_mean.data, mean, rtol=1e-5)
    np.testing.assert_allclose(layer.avg_var.data, var, rtol=1e-5)
    y = layer.eval()(x)
    np.testing.assert_allclose(y.data, (x - mean.reshape(-1, 1, 1)) / np.sqrt(var.reshape(-1, 1, 1) + 2e-5), rtol=1e-4,
                               atol=1e-6)
    np.testing.assert_allclose(layer.avg_mean.data, mean, rtol=1e-5)
    assert [name for name, _ in layer.named_buffers()] == ['avg_mean', 'avg_var']


def test_running_averages_get_no_gradient():
    layer = L.BatchNorm().eval()
    F.sum(layer(Variable(X))).backward()
    assert layer.gamma.grad is not None
    assert layer.avg_mean.grad is None
    assert layer.avg_var.grad is None


def test_dropout_drops_its_share():
    y = L.Dropout(0.25)(np.ones(10_000, np.float32)).data
    assert np.mean(y == 0) == pytest.approx(0.25, abs=0.02)
    np.testing.assert_allclose(y[y != 0], 4 / 3, rtol=1e-6)


def test_embedding_looks_rows_up_and_learns_them():
    layer = L.EmbedID(5, 3)
    y = layer(np.array([[1, 1], [4, 0]]))
    np.testing.assert_array_equal(y.data[1, 0], layer.W.data[4])
    F.sum(y).backward()
    np.testing.assert_array_equal(layer.W.grad.data[:, 0], [1, 2, 0, 0, 1])


# recurrent layers


def test_rnn_equals_a_loop():
    rnn, xs, h = L.RNN(3), normal(4, 2, 5), np.zeros((2, 3), np.float32)
    for x in xs:
        y = rnn(x)
        h = np.tanh(x @ rnn.x2h.W.data + rnn.x2h.b.data + h @ rnn.h2h.W.data)
        np.testing.assert_allclose(y.data, h, rtol=1e-5, atol=1e-6)
    rnn.reset_state()
    np.testing.assert_allclose(rnn(xs[0]).data, np.tanh(xs[0] @ rnn.x2h.W.data), rtol=1e-5, atol=1e-6)


def test_rnn_learns_through_time():
    rnn = L.RNN(3)
    first = Variable(normal(2, 5))
    rnn(first)
    F.sum(rnn(normal(2, 5, seed=1))).backward()
    assert np.abs(first.grad.data).sum() > 0
    assert rnn.h2h.W.grad is not None


@pytest.mark.parametrize('kind', [L.RNN, L.LSTM])
def test_a_state_of_another_batch_is_named(kind):
    layer = kind(3)
    layer(normal(4, 5))
    with pytest.raises(ValueError, match=r'h\.shape=\(4, 3\), x\.shape=\(2, 5\)\. .*reset_state\(\)'):
        layer(normal(2, 5))
    layer.reset_state()
    assert [layer(normal(5)).shape for _ in range(2)] == [(3,), (3,)]


def test_a_state_is_cut_off_between_steps():
    rnn = L.RNN(3)
    for _ in range(3):
        loss = F.sum(rnn(normal(2, 5)))
        loss.backward()
        loss.unchain_backward()
    with pytest.raises(ValueError, match='unchain_backward'):
        for _ in range(2):
            F.sum(rnn(normal(2, 5))).backward()


def test_recurrent_names_are_the_ancestors():
    assert [name for name, _ in L.RNN(3).named_parameters()] == ['x2h/W', 'x2h/b', 'h2h/W']
    names = [name for name, _ in L.LSTM(3).named_parameters()]
    assert names == [f'x2{g}/{p}' for g in 'fiou' for p in 'Wb'] + [f'h2{g}/W' for g in 'fiou']


def test_lstm_equals_pytorch():
    torch = pytest.importorskip('torch', reason='PyTorch is not installed: pip install -e ".[compare]"')
    with nailorch.using_config('dtype', np.float64):
        lstm = L.LSTM(3, in_size=5)
    peer = torch.nn.LSTMCell(5, 3, dtype=torch.float64)
    order = 'ifuo'  # PyTorch's rows: input, forget, cell, output
    with torch.no_grad():
        peer.weight_ih[:] = torch.tensor(np.concatenate([getattr(lstm, f'x2{g}').W.data.T for g in order]))
        peer.weight_hh[:] = torch.tensor(np.concatenate([getattr(lstm, f'h2{g}').W.data.T for g in order]))
        peer.bias_ih[:] = torch.tensor(np.concatenate([getattr(lstm, f'x2{g}').b.data for g in order]))
        peer.bias_hh[:] = 0
    xs, state = normal(4, 2, 5, dtype=np.float64), None
    for x in xs:
        y = lstm(x)
        state = peer(torch.tensor(x), state)
    np.testing.assert_allclose(y.data, state[0].detach().numpy(), rtol=1e-10)
    np.testing.assert_allclose(lstm.c.data, state[1].detach().numpy(), rtol=1e-10)
    F.sum(y * y).backward()
    (state[0] ** 2).sum().backward()
    grads = np.concatenate([getattr(lstm, f'h2{g}').W.grad.data.T for g in order])
    np.testing.assert_allclose(grads, peer.weight_hh.grad.numpy(), rtol=1e-8, atol=1e-12)
    lstm.reset_state()
    np.testing.assert_allclose(lstm(xs[0]).data, peer(torch.tensor(xs[0]))[0].detach().numpy(), rtol=1e-10)


def test_dropout_refuses_a_percentage_when_it_is_made():
    with pytest.raises(ValueError, match='Dropout: dropout_ratio is a part of the whole, from 0 to 1; got 50'):
        L.Dropout(50)
