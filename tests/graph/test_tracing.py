"""What trace writes down, held to what the model computes."""

import json

import numpy as np
import pytest

import nailorch.functions as F
import nailorch.layers as L
from nailorch import Config, Function, Model, Parameter, Variable, models, no_grad, optimizers, rng, test_mode
from nailorch.graph import Batch, trace


def images(n, *shape):
    return np.random.default_rng(n).standard_normal((n, *shape)).astype(np.float32)


def evaluated(model, *arrays):
    with test_mode(), no_grad():
        return model(*arrays)


def ops(graph):
    return [node.op for node in graph.nodes]


class Net(Model):
    """A Model made of one function, which gets the model and its inputs, and of the layers it uses."""

    def __init__(self, forward, **parts):
        self.how = forward
        vars(self).update(parts)

    def forward(self, x, *others):
        return self.how(self, x, *others)


# what is written down


def test_graph_of_mnistnet():
    net = models.MNISTNet()
    graph = trace(net, images(1, 1, 28, 28))
    assert ops(graph) == [*['Conv2d', 'ReLU', 'Pooling'] * 2, 'Reshape', 'Linear', 'ReLU', 'Linear']
    assert [node.layer for node in graph.nodes] == [*['conv1'] * 3, *['conv2'] * 3, '', 'fc1', 'fc1', 'fc2']
    N, conv, reshape = Batch(), graph.nodes[0], graph.nodes[6]
    assert [graph.values[node.outputs[0]].shape for node in graph.nodes] == [
        (N, 16, 28, 28), (N, 16, 28, 28), (N, 16, 14, 14), (N, 32, 14, 14), (N, 32, 14, 14), (N, 32, 7, 7), (N, 1568),
        (N, 128), (N, 128), (N, 10)]
    assert conv.attributes == {'stride': 1, 'pad': 1, 'dilation': 1, 'groups': 1}
    assert reshape.attributes == {'shape': (N, -1)}
    assert [(graph.values[i].name, graph.values[i].kind) for i in conv.inputs] == [
        ('x', 'input'), ('conv1/W', 'parameter'), ('conv1/b', 'parameter')]
    assert graph.values[conv.inputs[1]].array is net.conv1.W.data
    assert {value.dtype for value in graph.values} == {np.dtype(np.float32)}
    assert graph.outputs == graph.nodes[-1].outputs


def test_ids_are_places_and_names_are_unique():
    graph = trace(models.ResNet18(num_classes=5), images(1, 3, 32, 32))
    assert [value.id for value in graph.values] == list(range(len(graph.values)))
    assert len({value.name for value in graph.values}) == len(graph.values)
    assert len({node.name for node in graph.nodes}) == len(graph.nodes)
    made = set(graph.inputs) | {value.id for value in graph.values if value.source is not None}
    for node in graph.nodes:
        assert made.issuperset(node.inputs)
        made |= set(node.outputs)
    assert made == set(range(len(graph.values)))


def pair(net, x):
    left, right = F.split(x, 2, axis=1)
    return {'sum': left + right, 'parts': (right, [F.relu(left)])}


MODELS = {
    'mlp': (lambda: models.MLP((5, 3)), (4,)),
    'lenet': (lambda: models.LeNet(), (1, 28, 28)),
    'sequential': (lambda: models.Sequential(L.Conv2d(3, 3), F.relu, L.Flatten(), L.Linear(2)), (2, 6, 5)),
    'vgg with batch norm': (lambda: models.VGG11_BN(num_classes=3, width=2, hidden=8), (3, 32, 32)),
    'resnet': (lambda: models.ResNet18(num_classes=3), (3, 32, 32)),
    'group norm': (lambda: models.Sequential(L.Conv2d(4, 1), L.GroupNorm(2)), (2, 3, 3)),
    'adaptive pools': (lambda: models.Sequential(L.AdaptiveAveragePool2d((2, 3)), L.AdaptiveMaxPool2d(2)), (2, 7, 5)),
    'recurrent': (lambda: Net(lambda net, x: [net.rnn(x[:, t]) for t in range(3)][-1], rnn=L.LSTM(4)), (3, 2)),
    'many results': (lambda: Net(pair), (4, 3)),
    'items': (lambda: Net(lambda net, x: x[:, ::2, [0, 2, 2]] * x[:, None, 0:1, -1]), (3, 3)),
    'two rows more': (lambda: Net(lambda net, x: F.concat([x, x, np.ones((1, 3), np.float32)], axis=0)), (3,)),
    'last item first': (lambda: Net(lambda net, x: F.concat([x[len(x) - 1:], x[:len(x) - 1]], axis=0)), (3,)),
    'given zeros': (lambda: Net(lambda net, x: F.concat([x, np.zeros((len(x), 2), np.float32)])), (3,)),
    'deconvolution': (lambda: models.Sequential(L.Deconv2d(2, 4, 2, 1), F.tanh), (3, 4, 5)),
}


@pytest.mark.parametrize('name', MODELS)
def test_graph_computes_what_the_model_does_for_any_batch(name):
    make, shape = MODELS[name]
    net = make()
    graph = trace(net, images(1, *shape))
    for n in 1, 4:
        x = images(n, *shape)
        for layer in (layer for _, layer in net.named_layers() if hasattr(layer, 'reset_state')):
            layer.reset_state()
        result = evaluated(net, x)
        expected = [result['sum'], result['parts'][0], result['parts'][1][0]] if name == 'many results' else [result]
        for y, want, id in zip(graph.run(x), expected, graph.outputs, strict=True):
            np.testing.assert_array_equal(y, want.data)
            assert y.shape == tuple(size.at(n) if isinstance(size, Batch) else size for size in graph.values[id].shape)


def test_sizes_become_functions_of_the_batch():
    graph = trace(MODELS['two rows more'][0](), images(1, 3))
    assert repr(graph.values[graph.outputs[0]].shape) == '(2N+1, 3)'
    graph = trace(MODELS['last item first'][0](), images(1, 3))
    assert repr(graph.nodes[0].attributes) == "{'slices': slice(N-1, None, None)}"


def test_constant_that_follows_the_batch_keeps_one_row():
    graph = trace(MODELS['given zeros'][0](), images(1, 3))
    zeros, = (value for value in graph.values if value.kind == 'constant')
    assert (zeros.shape, zeros.array.shape) == ((Batch(), 2), (1, 2))


def test_every_result_of_a_split_is_a_value():
    graph = trace(Net(pair), images(1, 4, 3))
    split = graph.nodes[0]
    assert (split.op, len(split.outputs)) == ('Split', 2)
    assert [graph.values[id].name for id in graph.outputs] == ['Add', 'Split:1', 'ReLU']


def test_layer_used_twice_has_two_calls_and_one_parameter():
    net = Net(lambda net, x: net.fc(F.relu(net.fc(x))), fc=L.Linear(3))
    graph = trace(net, images(1, 3))
    first, _, second = graph.nodes
    assert first.layer == second.layer == 'fc'
    assert first.call != second.call
    assert first.inputs[1:] == second.inputs[1:]
    assert sum(value.kind == 'parameter' for value in graph.values) == 2


def test_nodes_of_one_call_belong_together():
    graph = trace(models.Sequential(L.LayerNorm(), L.LayerNorm()), images(1, 3))
    calls = [node.call for node in graph.nodes]
    assert calls == sorted(calls)
    assert len(set(calls)) == 2


def test_buffers_are_told_from_parameters():
    graph = trace(models.Sequential(L.BatchNorm()), images(1, 2))
    assert [(value.name, value.kind) for value in graph.values[1:5]] == [
        ('l0/gamma', 'parameter'), ('l0/beta', 'parameter'), ('l0/avg_mean', 'buffer'), ('l0/avg_var', 'buffer')]


def test_residual_graph_reads_a_value_twice():
    graph = trace(Net(lambda net, x: x + F.relu(net.fc(x)), fc=L.Linear(3)), images(1, 3))
    assert ops(graph) == ['Linear', 'ReLU', 'Add']
    assert graph.nodes[2].inputs[0] == graph.nodes[0].inputs[0] == graph.inputs[0]


def test_what_leads_nowhere_is_left_out():
    def forward(net, x):
        net.spare(x) ** 2
        return net.fc(x)

    graph = trace(Net(forward, fc=L.Linear(3), spare=L.Linear(5)), images(1, 4))
    assert ops(graph) == ['Linear']
    assert [value.name for value in graph.values] == ['x', 'fc/W', 'fc/b', 'fc/Linear']


def test_inputs_are_called_as_forward_calls_them():
    class Two(Model):
        def forward(self, image, mask):
            return image * mask

    graph = trace(Two(), images(1, 3), images(1, 3))
    assert [graph.values[id].name for id in graph.inputs] == ['image', 'mask']
    x, y = images(2, 3), images(3, 3)[:2]
    np.testing.assert_array_equal(graph.run(x, y)[0], x * y)


def test_unused_input_stays_an_input():
    graph = trace(Net(lambda net, x, t: F.relu(x)), images(1, 3), images(1, 3))
    assert [graph.values[id].kind for id in graph.inputs] == ['input', 'input']


def test_loss_is_traced_like_a_model():
    net, t = models.MLP((3,)), np.array([2, 0, 1, 1])
    graph = trace(lambda x, t: F.softmax_cross_entropy(net(x), t), images(1, 4), t)
    x = images(4, 4)
    np.testing.assert_array_equal(graph.run(x, t)[0], evaluated(F.softmax_cross_entropy, net(x), t).data)


def test_integers_stay_valid_ids():
    graph = trace(models.Sequential(L.EmbedID(7, 2)), np.array([[0, 6, 3]]))
    assert repr(graph.values[graph.outputs[0]].shape) == '(N, 3, 2)'


def test_users_function_keeps_its_class_and_attributes():
    class Power(Function):
        def __init__(self, c):
            self.c = c

        def forward(self, x):
            return x ** self.c

    graph = trace(Net(lambda net, x: Power(3)(x)), images(1, 3))
    assert (graph.nodes[0].function, graph.nodes[0].attributes) == (Power, {'c': 3})
    np.testing.assert_array_equal(graph.run(images(2, 3))[0], images(2, 3) ** 3)


@pytest.mark.parametrize('rewrap', [lambda x: Variable(x.data), lambda x: x.detach(), lambda x: F.relu(x.data)])
def test_same_array_is_the_same_value(rewrap):
    graph = trace(Net(lambda net, x: F.tanh(rewrap(F.sin(x)))), images(1, 3))
    assert ops(graph)[0] == 'Sin'
    assert all(value.kind != 'constant' for value in graph.values)


# other targets than models


def test_function_names_layers_after_their_class():
    one, two = L.Linear(3), L.Linear(2)
    graph = trace(lambda x: two(F.relu(one(x))), images(1, 4))
    assert [node.layer for node in graph.nodes] == ['Linear', '', 'Linear_2']
    assert [value.name for value in graph.values if value.kind == 'parameter'] == [
        'Linear/W', 'Linear/b', 'Linear_2/W', 'Linear_2/b']


def test_method_names_layers_as_its_model_does():
    class Features(Model):
        def __init__(self):
            self.conv = L.Conv2d(2, 3)

        def features(self, x):
            return F.relu(self.conv(x))

    graph = trace(Features().features, images(1, 1, 5, 5))
    assert [node.layer for node in graph.nodes] == ['conv', '']
    assert graph.name == 'features'


def test_free_parameter_is_a_parameter():
    W = Parameter(np.ones((3, 2), np.float32), 'W')
    graph = trace(lambda x: F.matmul(x, W), images(1, 3))
    assert [(value.name, value.kind) for value in graph.values[:2]] == [('x', 'input'), ('W', 'parameter')]


# the model is left as it was


def test_trace_builds_lazy_parameters_as_the_first_call_would():
    def drawn(how):
        rng.seed(3)
        net = models.MLP((4, 2))
        how(net)
        return [*(p.data for p in net.params()), rng.generator().random(3)]

    for a, b in zip(drawn(lambda net: trace(net, images(1, 5))), drawn(lambda net: net(images(1, 5))), strict=True):
        np.testing.assert_array_equal(a, b)


def test_trace_leaves_the_generator_alone():
    net = Net(lambda net, x: x * (rng.generator().random() < 2))
    before = rng.get_state()
    trace(net, images(1, 3))
    assert rng.get_state() == before


def test_trace_leaves_buffers_alone():
    class Counting(L.Layer):
        def __init__(self):
            from nailorch import Buffer
            self.calls = Buffer(np.zeros(1))

        def forward(self, x):
            self.calls.data += 1
            return F.relu(x)

    net = Counting()
    array = net.calls.data
    trace(net, images(1, 3))
    assert net.calls.data is array
    np.testing.assert_array_equal(array, [0])


def test_trace_leaves_mode_and_settings_alone():
    net = models.MNISTNet()
    net.fc1.eval()
    settings = repr(Config)
    trace(net, images(1, 1, 28, 28))
    assert repr(Config) == settings
    assert [layer.training for layer in (net, net.conv1, net.fc1)] == [True, True, False]


def test_trace_is_in_test_mode_without_a_tape():
    seen = []
    trace(Net(lambda net, x: seen.append((Config.train, Config.enable_backprop)) or F.relu(x)), images(1, 3))
    assert set(seen) == {(False, False)}


def test_recurrent_layer_begins_anew_and_remembers_afterwards():
    net = models.Sequential(L.RNN(3), F.relu)
    net(images(8, 2))
    h = net.l0.h
    graph = trace(net, images(1, 2))
    assert net.l0.h is h
    assert ops(graph) == ['Linear', 'Tanh', 'ReLU']


def test_layer_forgets_what_only_the_trace_gave_it():
    def forward(net, x):
        net.seen = F.relu(x)
        return net.seen

    net = Net(forward)
    trace(net, images(1, 3))
    assert not hasattr(net, 'seen')


def test_state_is_put_back_after_an_error():
    net = models.Sequential(L.RNN(3), lambda x: F.reshape(x, (100, 3)))
    with pytest.raises(ValueError, match='reshape') as caught:
        trace(net, images(100, 2))
    assert net.l0.h is None
    assert 'with 2' in caught.value.__notes__[0]


def test_hooks_run():
    seen = []
    net = models.MLP((2,))
    net.register_forward_hook(lambda layer, xs, y: seen.append(y.shape))
    trace(net, images(1, 3))
    assert seen == [(2, 2), (4, 2)]


def test_graph_follows_the_models_parameters():
    net = models.MLP((4, 2))
    graph, x = trace(net, images(1, 3)), images(5, 3)
    optimizer = optimizers.SGD(0.1).setup(net)
    F.sum(net(x)).backward()
    optimizer.update()
    np.testing.assert_array_equal(graph.run(x)[0], evaluated(net, x).data)
    net.load_state_dict({name: array + 1 for name, array in net.state_dict().items()})
    np.testing.assert_array_equal(graph.run(x)[0], evaluated(net, x).data)


# what cannot be written down


ERRORS = {
    'N squared': (lambda net, x: F.reshape(F.matmul(x, F.transpose(x)), (-1,)),
                  r'^Reshape: its shape is \(4,\) in a batch of 2, but \(25,\) in one of 5'),
    'size N squared': (lambda net, x: F.broadcast_to(F.sum(x), (len(x) ** 2,)),
                       r'^BroadcastTo: shape is \(4,\) in a batch of 2, but \(25,\) in one of 5'),
    'half the batch': (lambda net, x: x[:len(x) // 2],
                       r'^GetItem: slices is slice\(None, 1, None\) in a batch of 2, but slice\(None, 2, None\)'),
    'at most three': (lambda net, x: x[:3], r'^GetItem: its shape is \(2, 6\) in a batch of 2, but \(3, 6\)'),
    'float': (lambda net, x: F.leaky_relu(x, 1 / len(x)), r'^LeakyReLU: slope is 0\.5 in a batch of 2, but 0\.25'),
    'over the batch': (lambda net, x: F.sum(x, axis=0) / len(x),
                       r'^Div:constant: .* is 2\. in a batch of 2, but 4\. in one of 4'),
    'data read': (lambda net, x: x + Variable(x.data * 2), r'^Add:constant: an array that is no constant'),
    'data reduced': (lambda net, x: x - np.float32(x.data.max()), r'^Sub:constant: an array that is no constant'),
    'rows of data': (lambda net, x: x - x.data.max(axis=1, keepdims=True), r'^Sub:constant: an array that is no'),
    'cut': (lambda net, x: F.relu(np.maximum(x.data, 0)), '^trace: the result of Net does not depend on its input'),
    'another path': (lambda net, x: F.relu(x) if len(x) == 2 else F.tanh(x),
                     'step 0 is Tanh for 4 items, but ReLU for 2'),
    'another length': (lambda net, x: F.relu(F.tanh(x)) if len(x) == 2 else F.tanh(x),
                       'step 1 is nothing for 4 items, but ReLU for 2'),
}


@pytest.mark.parametrize('name', ERRORS)
def test_what_does_not_follow_the_batch_is_named(name):
    forward, text = ERRORS[name]
    with pytest.raises(ValueError, match=text):
        trace(Net(forward), images(1, 6))


@pytest.mark.parametrize('forward', [
    lambda net, x: F.relu(x) if x.data.sum() > 0 else F.tanh(x),
    lambda net, x: x * 2 if x.data.mean() > 0.5 else F.relu(x) * 3,
    lambda net, x: F.where(np.broadcast_to(x.data.sum() > 0, x.shape), x, -x),
])
def test_a_forward_that_decides_by_numbers_is_found_out(forward):
    with pytest.raises(ValueError, match=r'of other numbers|no constant'):
        trace(Net(forward), np.ones((1, 6), np.float32))


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('forward', [lambda net, x: F.log(x), lambda net, x: F.sqrt(positive(x)) * 2])
def test_a_model_for_positive_numbers_is_traced_too(forward):
    x = np.linspace(0.5, 2, 6, dtype=np.float32).reshape(1, 6)
    graph = trace(Net(forward), x)
    np.testing.assert_array_equal(graph.run(x)[0], forward(None, Variable(x)).data)


def positive(x):
    if x.data.min() < 0:
        raise ValueError('below 0')
    return x


def test_zeros_as_example_show_it_too():
    with pytest.raises(ValueError, match='an array that is no constant'):
        trace(Net(lambda net, x: x - np.float32(x.data.max())), np.zeros((1, 3), np.float32))


@pytest.mark.parametrize('example', [np.float32(3), np.zeros((0, 3), np.float32)])
def test_example_without_items_is_refused(example):
    with pytest.raises(ValueError, match=r'trace: example 0 has shape \((0, 3)?\)'):
        trace(models.MLP((2,)), example)


def test_result_that_is_no_variable_is_refused():
    with pytest.raises(TypeError, match='the model returned float'):
        trace(Net(lambda net, x: 3.0), images(1, 3))


# prints


def test_batch_reads_as_a_formula():
    assert [repr(Batch(*sizes)) for sizes in [(), (2,), (2, 1), (1, -1), (-1, 5)]] == ['N', '2N', '2N+1', 'N-1', '-N+5']


def test_graph_prints_a_line_a_node():
    net = models.Sequential(L.Linear(2), lambda x: F.relu(x) * 0.5)
    graph = trace(net, images(1, 3))
    assert repr(graph) == 'Graph(Sequential: 3 nodes, (N, 3) -> (N, 2))'
    assert str(graph).splitlines()[1:] == [
        'x          (N, 3)  input',
        'l0/Linear  (N, 2)  x, W, b',
        'ReLU       (N, 2)  l0/Linear',
        'Mul        (N, 2)  ReLU, 0.5',
        '-> Mul']


def test_graph_is_told_in_json():
    def forward(net, x):
        return F.reshape(F.pad(net.conv(x)[:, 1:], ((0, 0), (0, 0), (1, 1), (0, 0)), -np.inf) * 2, (len(x), -1))

    graph = trace(Net(forward, conv=L.Conv2d(3, (1, 2))), images(1, 1, 2, 3))
    told = json.loads(json.dumps(graph.to_dict(), allow_nan=False))
    assert told['version'] == 1
    assert [node['op'] for node in told['nodes']] == ['Conv2d', 'GetItem', 'Pad', 'Mul', 'Reshape']
    assert told['nodes'][1]['attributes']['slices'][1] == {'start': 1, 'stop': None, 'step': None}
    assert told['nodes'][2]['attributes']['value'] == '-inf'
    assert told['nodes'][4]['attributes'] == {'shape': [{'scale': 1, 'offset': 0}, -1]}
    assert told['values'][0] == {'id': 0, 'name': 'x', 'kind': 'input', 'dtype': 'float32',
                                 'shape': [{'scale': 1, 'offset': 0}, 1, 2, 3]}
    assert [value['value'] for value in told['values'] if value['kind'] == 'constant'] == [2.0]
    assert told['nodes'][0]['layer'] == 'conv' and told['outputs'] == told['nodes'][-1]['outputs']


def test_a_mean_that_is_baked_in_is_an_error():
    def forward(x):
        return F.clip(x, float(F.mean(x).data), None)

    with pytest.raises(ValueError, match=r'x_min is .* in a batch of 2, but'):
        trace(forward, np.arange(12, dtype='f').reshape(2, 6))


def test_examples_that_are_missing_or_shapes_are_named():
    net = models.Sequential(L.Conv2d(3, 3))
    with pytest.raises(ValueError, match=r"no input was given; .* np\.zeros\(\(1, 3, 224, 224\), 'float32'\)"):
        trace(net)
    with pytest.raises(ValueError, match=r"If it is a shape, give np\.zeros\(\(1, 3, 8, 8\), 'float32'\); conv2d: "):
        trace(net, (3, 8, 8))
    with pytest.raises(ValueError, match=r'in the layer l0, Conv2d\(3, 3\), which was given \(2,\)'):
        trace(net, (3, 8, 8))


def test_size_that_fits_no_batch_is_told_with_its_layer_alone():
    net = models.Sequential(L.Conv2d(4, 3), F.flatten, L.Linear(2, in_size=5))
    with pytest.raises(ValueError, match='linear: x has 16 features, W expects 5') as caught:
        trace(net, images(1, 3, 4, 4))
    assert caught.value.__notes__ == ['in the layer l2, Linear(2, in_size=5), which was given (2, 16)']
