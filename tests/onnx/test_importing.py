"""Files built by hand: what becomes of them, and what is said of those that are wrong."""

import copy
import pickle

import numpy as np
import pytest

import nailorch
import nailorch.functions as F
from nailorch import Buffer, Parameter, optimizers, test_mode, using_config
from nailorch.models import ResNet18, Sequential

onnx = pytest.importorskip('onnx')
helper, FLOAT, INT64 = onnx.helper, onnx.TensorProto.FLOAT, onnx.TensorProto.INT64


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def file(nodes, arrays=None, shape=('N', 3, 8, 8), outputs=('y',), opset=18, inputs=None):
    """Return a file's bytes: nodes (op, inputs, outputs, attributes), and arrays by name."""
    made = [helper.make_node(op, given, made, f'node{place}', **attributes)
            for place, (op, given, made, attributes) in enumerate(nodes)]
    graph = helper.make_graph(
        made, 'net', inputs or [helper.make_tensor_value_info('x', FLOAT, shape)],
        [helper.make_tensor_value_info(name, FLOAT, ['any']) for name in outputs],
        [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in (arrays or {}).items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', opset)], ir_version=8).SerializeToString()


WEIGHTS = {'conv.weight': normal(4, 3, 3, 3), 'conv.bias': normal(4), 'bn.weight': np.ones(4, np.float32),
           'bn.bias': np.zeros(4, np.float32), 'bn.mean': np.zeros(4, np.float32), 'bn.var': np.ones(4, np.float32),
           'fc.weight': normal(5, 4), 'fc.bias': normal(5)}
NODES = [('Conv', ['x', 'conv.weight', 'conv.bias'], ['c'], {'pads': [1, 1, 1, 1]}),
         ('BatchNormalization', ['c', 'bn.weight', 'bn.bias', 'bn.mean', 'bn.var'], ['n'], {}),
         ('Relu', ['n'], ['r'], {}), ('GlobalAveragePool', ['r'], ['p'], {}), ('Flatten', ['p'], ['f'], {}),
         ('Gemm', ['f', 'fc.weight', 'fc.bias'], ['y'], {'transB': 1})]


@pytest.fixture
def net():
    return nailorch.onnx.load(file(NODES, WEIGHTS))


def test_weights_are_parameters_under_their_own_names(net):
    assert [name for name, _ in net.named_parameters()] == [
        'conv/weight', 'conv/bias', 'bn/weight', 'bn/bias', 'fc/weight', 'fc/bias']
    assert [name for name, _ in net.named_buffers()] == ['bn/mean', 'bn/var']
    np.testing.assert_array_equal(net.conv.weight.data, WEIGHTS['conv.weight'])
    assert (net.input_names, net.output_names, net.input_shapes) == (('x',), ('y',), ((None, 3, 8, 8),))


def test_summary_shows_the_nodes_as_layers(net, capsys):
    table = net.summary((3, 8, 8))
    assert 'conv' in capsys.readouterr().out
    assert [(row.layer, row.type) for row in table.rows][:2] == [('conv', 'Conv'), ('bn', 'BatchNormalization')]
    assert table.parameters == sum(WEIGHTS[name].size for name in WEIGHTS) - 8


def test_training_changes_weights_and_averages(net):
    x, t = normal(8, 3, 8, 8), np.arange(8) % 5
    optimizer = optimizers.SGD(lr=0.1).setup(net)
    losses = []
    for _ in range(5):
        loss = F.softmax_cross_entropy(net(x), t)
        net.cleargrads()
        loss.backward()
        optimizer.update()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert (net.bn.mean.data != 0).all()


def test_a_layer_of_ones_own_takes_a_nodes_place(net):
    net.fc = nailorch.layers.Linear(2)
    assert net(normal(3, 3, 8, 8)).shape == (3, 2)


def test_copies_and_pickles_are_the_same_model(net):
    x = normal(2, 3, 8, 8)
    with test_mode():
        y = net(x).data
        for other in copy.deepcopy(net), pickle.loads(pickle.dumps(net)):
            np.testing.assert_array_equal(other(x).data, y)
            assert type(other.conv) is type(net.conv)


def test_weights_save_and_load(net, tmp_path):
    net.conv.bias.data += 1
    net.save_weights(tmp_path / 'net.npz')
    other = nailorch.onnx.load(file(NODES, WEIGHTS))
    other.load_weights(tmp_path / 'net.npz')
    np.testing.assert_array_equal(other.conv.bias.data, net.conv.bias.data)


def test_what_we_export_comes_back_with_its_names(tmp_path):
    original = ResNet18(num_classes=7)
    x = normal(2, 3, 32, 32)
    with test_mode(), using_config('engine', 'reference'):  # no kernel need be compiled for this
        loaded = nailorch.onnx.load(nailorch.onnx.export(original, tmp_path / 'resnet.onnx', (3, 32, 32)))
        again = nailorch.onnx.load(nailorch.onnx.export(loaded, tmp_path / 'again.onnx', (3, 32, 32)))
        for net in loaded, again:
            np.testing.assert_allclose(net(x).data, original(x).data, rtol=1e-4, atol=1e-4)
            assert {*dict(net.named_parameters())} == {*dict(original.named_parameters())}


def test_graph_calls_inputs_as_the_file_does():
    data = file([('Add', ['photo', 'mask'], ['y'], {})], inputs=[
        helper.make_tensor_value_info(name, FLOAT, ['N', 3]) for name in ('photo', 'mask')])
    graph = nailorch.graph.trace(nailorch.onnx.load(data), normal(1, 3), normal(1, 3))
    assert [graph.values[id].name for id in graph.inputs] == ['photo', 'mask']


def test_compiled_model_answers_alike(net):
    session = nailorch.compile(net, normal(2, 3, 8, 8))
    for n in 1, 3:
        x = normal(n, 3, 8, 8)
        with test_mode():
            np.testing.assert_allclose(session(x), net(x).data, rtol=1e-5, atol=1e-5)


def test_a_fixed_batch_is_followed():
    data = file([('Reshape', ['x', 'shape'], ['f'], {'allowzero': 1}), ('MatMul', ['f', 'W'], ['y'], {})],
                {'shape': np.array([1, 192]), 'W': normal(192, 2)}, shape=(1, 3, 8, 8))
    net = nailorch.onnx.load(data)
    assert net(normal(3, 3, 8, 8)).shape == (3, 2)
    assert nailorch.compile(net, normal(1, 3, 8, 8))(normal(5, 3, 8, 8)).shape == (5, 2)


def test_a_fixed_batch_is_not_resized():
    data = file([('Resize', ['x', '', '', 'sizes'], ['y'], {})], {'sizes': np.array([1, 3, 16, 4])}, shape=(1, 3, 8, 8))
    net = nailorch.onnx.load(data)
    assert net(normal(3, 3, 8, 8)).shape == (3, 3, 16, 4)


def test_softmax_before_opset_13_takes_all_axes_behind():
    x = normal(2, 3, 8, 8)
    y = nailorch.onnx.load(file([('Softmax', ['x'], ['y'], {})], opset=11))(x).data
    np.testing.assert_allclose(y.sum(axis=(1, 2, 3)), 1, rtol=1e-5)
    y = nailorch.onnx.load(file([('Hardmax', ['x'], ['y'], {})], opset=11))(x).data
    assert (y.sum(axis=(1, 2, 3)) == 1).all()


def test_shapes_that_are_computed_follow_the_batch():
    data = file([('Shape', ['x'], ['s'], {}), ('Gather', ['s', 'zero'], ['n'], {}),
                 ('Unsqueeze', ['n', 'zero1'], ['n1'], {}), ('Concat', ['n1', 'rest'], ['shape'], {'axis': 0}),
                 ('Reshape', ['x', 'shape'], ['y'], {})],
                {'zero': np.array(0), 'zero1': np.array([0]), 'rest': np.array([-1])})
    graph = nailorch.graph.trace(nailorch.onnx.load(data), normal(1, 3, 8, 8))
    assert [node.op for node in graph.nodes] == ['Reshape']
    assert str(graph.values[graph.outputs[0]].shape) == '(N, 192)'


def test_dropout_drops_only_while_training():
    net = nailorch.onnx.load(file([('Dropout', ['x', 'ratio'], ['y'], {})], {'ratio': np.float32(0.5)}))
    x = np.ones((2, 3, 8, 8), np.float32)
    assert set(np.unique(net(x).data)) == {0, 2}
    with test_mode():
        assert (net(x).data == 1).all()


def test_single_numbers_and_settings_are_not_learned():
    net = nailorch.onnx.load(file(
        [('Mul', ['x', 'half'], ['h'], {}), ('Clip', ['h', 'low', 'high'], ['c'], {}),
         ('Mul', ['c', 'scale'], ['y'], {})],
        {'half': np.float32(0.5), 'low': np.float32(0), 'high': np.float32(6), 'scale': normal(3, 1, 1)}))
    assert [name for name, _ in net.named_parameters()] == ['node2/b']
    assert nailorch.graph.trace(net, normal(1, 3, 8, 8)).nodes[1].op == 'ReLU6'


def test_shared_weights_stay_shared():
    net = nailorch.onnx.load(file(
        [('Conv', ['x', 'W'], ['a'], {'pads': [1, 1, 1, 1]}), ('Conv', ['a', 'W'], ['y'], {'pads': [1, 1, 1, 1]})],
        {'W': normal(3, 3, 3, 3)}))
    assert len(list(net.params())) == 1
    F.sum(net(normal(1, 3, 8, 8))).backward()
    assert net.node0.W.grad is net.node1.W.grad


def test_norms_whose_equal_arrays_were_written_once_learn_apart():
    arrays = {'ones': np.ones(3, np.float32), 'zeros': np.zeros(3, np.float32)}
    net = nailorch.onnx.load(file(
        [('BatchNormalization', ['x', 'ones', 'zeros', 'zeros', 'ones'], ['a'], {}),
         ('Identity', ['ones'], ['scale'], {}), ('Relu', ['a'], ['b'], {}),
         ('BatchNormalization', ['b', 'scale', 'zeros', 'zeros', 'ones'], ['y'], {})], arrays))
    assert len(list(net.params())) == len(list(net.named_buffers())) == 4
    net(normal(4, 3, 8, 8))
    assert (net.node0.scale.data == 1).all()
    assert (net.node0.mean.data != net.node3.mean.data).any()


def test_a_norm_that_is_called_twice_is_one_layers():
    names = ['bn.weight', 'bn.bias', 'bn.mean', 'bn.var']
    net = nailorch.onnx.load(file([('BatchNormalization', ['x', *names], ['a'], {}),
                                   ('BatchNormalization', ['a', *names], ['y'], {})],
                                  {name: np.ones(3, np.float32) for name in names}))
    assert len(list(net.params())) == len(list(net.named_buffers())) == 2


def test_several_outputs_come_as_a_tuple():
    net = nailorch.onnx.load(file([('Split', ['x', 'sizes'], ['a', 'b'], {'axis': 1})], {'sizes': np.array([1, 2])},
                                  outputs=('a', 'b')))
    assert [y.shape for y in net(normal(2, 3, 8, 8))] == [(2, 1, 8, 8), (2, 2, 8, 8)]


def test_averages_that_nothing_trains_are_buffers(net):
    assert all(isinstance(buffer, Buffer) for _, buffer in net.named_buffers())


# files that are wrong


def test_all_unknown_operators_are_listed_at_once():
    data = file([('NonMaxSuppression', ['x', 'x'], ['a'], {}), ('Einsum', ['a'], ['b'], {'equation': 'i'}),
                 ('Relu', ['b'], ['y'], {})])
    with pytest.raises(ValueError) as caught:
        nailorch.onnx.load(data)
    for part in 'ai.onnx.NonMaxSuppression (opset 18): node0', 'ai.onnx.Einsum (opset 18): node1', '2 nodes':
        assert part in str(caught.value)


def test_operators_of_other_domains_are_named():
    model = onnx.load_model_from_string(file([('Relu', ['x'], ['y'], {})]))
    model.graph.node[0].domain = 'com.microsoft'
    model.opset_import.append(helper.make_opsetid('com.microsoft', 1))
    with pytest.raises(ValueError, match=r'com\.microsoft\.Relu \(opset 1\): node0'):
        nailorch.onnx.load(model.SerializeToString())


CIRCLE = [('Add', ['x', 'b'], ['a'], {}), ('Relu', ['a'], ['b'], {}), ('Relu', ['b'], ['y'], {})]


@pytest.mark.parametrize(('data', 'part'), [
    (b'', 'no valid ONNX model'),
    (b'\x08\x01garbage', 'no valid ONNX model'),
    (file(NODES, WEIGHTS)[:200], 'no valid ONNX model'),
    (file(CIRCLE), 'no valid ONNX model'),
    (file([('Relu', ['z'], ['y'], {})]), 'no valid ONNX model'),
    (file([('Relu', ['x'], ['y'], {})], opset=6), 'opset 6; 7 and later'),
    (file([('Relu', ['x'], ['y'], {'colour': 1})]), 'colour'),
    (file([('Conv', ['x'], ['y'], {})]), 'no valid ONNX model'),
], ids=['empty', 'garbage', 'cut', 'circle', 'undefined', 'old', 'attribute', 'inputs'])
def test_broken_files_are_named(data, part):
    with pytest.raises(ValueError, match=part):
        nailorch.onnx.load(data)


def lying(**fields):
    model = onnx.load_model_from_string(file(NODES, WEIGHTS))
    for name, value in fields.items():
        proto = model.graph.initializer[0]
        if name == 'dims':
            del proto.dims[:]
            proto.dims.extend(value)
        else:
            setattr(proto, name, value)
    return model.SerializeToString()


@pytest.mark.parametrize('fields', [{'dims': [2**40, 2**40]}, {'dims': [-1, 27]}, {'dims': [5, 3, 3, 3]},
                                    {'data_type': 8}, {'data_type': 99}, {'raw_data': b'123'}], ids=str)
def test_tensors_that_lie_are_named(fields):
    with pytest.raises(ValueError, match=r'conv\.weight'):
        nailorch.onnx.load(lying(**fields))


@pytest.mark.parametrize(('nodes', 'arrays'), [
    ([('Expand', ['x', 'shape'], ['y'], {})], {'shape': np.array([2**30, 3, 8, 8])}),
    ([('Tile', ['x', 'shape'], ['y'], {})], {'shape': np.array([2**20, 2**20, 1, 1])}),
    ([('Pad', ['x', 'shape'], ['y'], {})], {'shape': np.array([0, 0, 2**30, 0, 0, 0, 0, 2**30])}),
    ([('Conv', ['x', 'W'], ['y'], {'pads': [2**30, 0, 0, 0]})], {'W': normal(1, 3, 1, 1)}),
    ([('MaxPool', ['x'], ['y'], {'kernel_shape': [2**20, 2**20], 'pads': [2**20] * 4})], {}),
    ([('Resize', ['x', '', 'scales'], ['y'], {})], {'scales': np.array([1, 1, 1e9, 1e9], np.float32)}),
    ([('ConstantOfShape', ['shape'], ['c'], {}), ('Add', ['x', 'c'], ['y'], {})], {'shape': np.array([2**40])}),
], ids=lambda value: value[0][0] if isinstance(value, list) else '')
def test_absurd_sizes_are_an_error_before_there_is_memory_for_them(nodes, arrays):
    net = nailorch.onnx.load(file(nodes, arrays))
    with pytest.raises(ValueError, match='at most'):
        net(normal(1, 3, 8, 8))


def test_errors_while_running_name_the_node(net):
    with pytest.raises(ValueError, match=r'Conv conv: conv2d: x has 2 channels, W expects 3'):
        net(normal(1, 2, 8, 8))


def test_functions_that_call_each_other_without_end_are_an_error():
    inner = [helper.make_node('g', ['a'], ['b'], domain='own')]
    other = [helper.make_node('f', ['a'], ['b'], domain='own')]
    sets = [helper.make_opsetid('', 18), helper.make_opsetid('own', 1)]
    functions = [helper.make_function('own', 'f', ['a'], ['b'], inner, sets),
                 helper.make_function('own', 'g', ['a'], ['b'], other, sets)]
    graph = onnx.load_model_from_string(file([('Relu', ['x'], ['y'], {})])).graph
    graph.node[0].op_type, graph.node[0].domain = 'f', 'own'
    with pytest.raises(ValueError, match='calls itself'):
        nailorch.onnx.load(helper.make_model(graph, opset_imports=sets, functions=functions).SerializeToString())


def test_functions_of_the_file_are_written_out():
    body = [helper.make_node('Relu', ['a'], ['c']), helper.make_node('Neg', ['c'], ['b'])]
    sets = [helper.make_opsetid('', 18), helper.make_opsetid('own', 1)]
    function = helper.make_function('own', 'f', ['a'], ['b'], body, sets)
    graph = onnx.load_model_from_string(file([('Relu', ['x'], ['y'], {})])).graph
    graph.node[0].op_type, graph.node[0].domain = 'f', 'own'
    net = nailorch.onnx.load(
        helper.make_model(graph, opset_imports=sets, functions=[function], ir_version=8).SerializeToString())
    x = normal(2, 3, 8, 8)
    np.testing.assert_array_equal(net(x).data, -np.maximum(x, 0))


# arrays beside the model


def beside(tmp_path, location, **more):
    model = onnx.load_model_from_string(file(NODES, WEIGHTS))
    proto = model.graph.initializer[0]
    (tmp_path / 'inside').mkdir()
    (tmp_path / 'inside' / 'weights.bin').write_bytes(proto.raw_data)
    (tmp_path / 'secret.bin').write_bytes(proto.raw_data)
    proto.ClearField('raw_data')
    proto.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {'location': location, **more}.items():
        proto.external_data.add(key=key, value=str(value))
    (tmp_path / 'inside' / 'net.onnx').write_bytes(model.SerializeToString())
    return tmp_path / 'inside' / 'net.onnx'


def test_arrays_beside_the_model_are_read(tmp_path):
    net = nailorch.onnx.load(beside(tmp_path, 'weights.bin', offset=0, length=432))
    np.testing.assert_array_equal(net.conv.weight.data, WEIGHTS['conv.weight'])


@pytest.mark.parametrize('location', ['../secret.bin', '/etc/passwd', 'missing.bin', '', '.'])
def test_arrays_elsewhere_are_refused(tmp_path, location):
    with pytest.raises(ValueError, match='no file inside'):
        nailorch.onnx.load(beside(tmp_path, location))


def test_links_out_of_the_folder_are_refused(tmp_path):
    path = beside(tmp_path, 'link.bin')
    try:
        (path.parent / 'link.bin').symlink_to(tmp_path / 'secret.bin')
    except OSError:
        pytest.skip('no links here')
    with pytest.raises(ValueError, match='no file inside'):
        nailorch.onnx.load(path)


@pytest.mark.parametrize('more', [{'offset': 400}, {'length': 10**12}, {'offset': -4}, {'offset': 'x'}], ids=str)
def test_places_outside_of_the_file_are_refused(tmp_path, more):
    with pytest.raises(ValueError, match=r'conv\.weight'):
        nailorch.onnx.load(beside(tmp_path, 'weights.bin', **more))


def test_bytes_have_no_folder(tmp_path):
    with pytest.raises(ValueError, match='another file'):
        nailorch.onnx.load(beside(tmp_path, 'weights.bin').read_bytes())


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'none\.onnx'):
        nailorch.onnx.load(tmp_path / 'none.onnx')


def test_a_folder_is_told_from_a_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'this is a folder; a file that ends in \.onnx is expected$'):
        nailorch.onnx.load(tmp_path)
    (tmp_path / 'net.onnx').write_bytes(b'')
    with pytest.raises(FileNotFoundError, match=r'\.onnx is expected; it holds net\.onnx$'):
        nailorch.onnx.load(tmp_path)


def test_mutated_files_load_or_are_named():
    """Bytes flipped, cut out, doubled: an error that is meant, or a model; never anything else."""
    data, rng = file(NODES, WEIGHTS), np.random.default_rng(0)
    loaded = 0
    for _ in range(1000):
        mutant = bytearray(data)
        for _ in range(rng.integers(1, 4)):
            place, kind = int(rng.integers(len(mutant))), rng.integers(4)
            if kind == 0:
                mutant[place] = int(rng.integers(256))
            elif kind == 1:
                del mutant[place:place + int(rng.integers(1, 9))]
            elif kind == 2:
                mutant[place:place] = mutant[max(place - 8, 0):place]
            else:
                mutant[place:place] = b'\xff' * int(rng.integers(1, 9))
        try:
            nailorch.onnx.load(bytes(mutant))
            loaded += 1
        except ValueError as error:
            assert str(error)
    assert 0 < loaded < 1000


def test_names_that_are_no_text_are_an_error():
    with pytest.raises(ValueError, match='no valid ONNX model: UTF-8'):
        nailorch.onnx.load(file([('Relu', ['x'], ['y'], {})]).replace(b'node0', b'no\xffe0'))


def test_sequential_made_here_comes_back(tmp_path):
    net = Sequential(nailorch.layers.Linear(4, in_size=3), F.elu, lambda x: F.prelu(x, np.float32([0.1])))
    loaded = nailorch.onnx.load(nailorch.onnx.export(net, tmp_path / 'net.onnx', 3))
    np.testing.assert_allclose(loaded(normal(5, 3)).data, net(normal(5, 3)).data, rtol=1e-6, atol=1e-6)


def test_a_network_of_columns_comes_back(tmp_path):
    """The textbook's own functions: convolution and pooling by im2col, and the way back."""
    W = Parameter(normal(4, 3, 3, 3))

    def forward(x):
        y = F.pooling_simple(F.conv2d_simple(x, W, None, 2, 1), 2, 1)
        rows = F.im2col(y, (3, 2), 1, ((1, 0), (0, 2)))
        stack = F.im2col(y, 2, 2, 1, to_matrix=False)
        return (F.col2im(rows, y.shape, (3, 2), 1, ((1, 0), (0, 2)))
                + F.col2im(stack, y.shape, 2, 2, 1, to_matrix=False))

    loaded = nailorch.onnx.load(nailorch.onnx.export(Sequential(forward), tmp_path / 'net.onnx', (3, 9, 6)))
    for n in 1, 3:
        np.testing.assert_allclose(loaded(normal(n, 3, 9, 6)).data, forward(normal(n, 3, 9, 6)).data, rtol=1e-5,
                                   atol=1e-5)


def test_a_single_image_is_told_of_the_batch_axis(net):
    with pytest.raises(ValueError, match=r'input x has 4 axes, \(\?, 3, 8, 8\); got 3, \(3, 8, 8\)\. For a single '
                                         r'item, add the batch axis: x\[None\]'):
        net(normal(3, 8, 8))
    with pytest.raises(ValueError, match=r'has 4 axes, .*got 2, \(2, 192\)$'):
        net(normal(2, 192))


def test_shapes_may_be_left_open():
    proto = onnx.load_model_from_string(file(NODES, WEIGHTS))
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.ClearField('shape')
    net = nailorch.onnx.load(proto.SerializeToString())
    assert net.input_shapes == (None,)
    assert net(normal(2, 3, 8, 8)).shape == (2, 5)


def test_a_setting_that_follows_from_the_input_is_not_frozen():
    nodes = [('ReduceMax', ['k', 'axes'], ['most'], {'keepdims': 0}), ('Unsqueeze', ['most', 'axes'], ['many'], {}),
             ('TopK', ['x', 'many'], ['y', 'places'], {'axis': 1})]
    inputs = [helper.make_tensor_value_info('x', FLOAT, ['N', 6]), helper.make_tensor_value_info('k', INT64, ['N'])]
    net = nailorch.onnx.load(file(nodes, {'axes': np.array([0])}, inputs=inputs))
    x = normal(2, 6)
    assert [net(x, np.array([1, k])).shape for k in (2, 5)] == [(2, 2), (2, 5)]
    with pytest.raises(ValueError, match=r'TopK node2: a setting .* is computed from the numbers that go in'):
        nailorch.compile(net, x, np.array([1, 2]))


@pytest.mark.parametrize('mode', ['linear', 'cubic', 'nearest'])
@pytest.mark.parametrize('arrays', [{'': 0, 'sizes': np.array([1, 3, 1, 12])},
                                    {'scales': np.array([1, 1, .2, 1.5], np.float32)}], ids=['sizes', 'scales'])
def test_resizing_to_one_pixel_takes_the_first_as_onnxruntime_does(mode, arrays):
    runtime = pytest.importorskip('onnxruntime')
    data = file([('Resize', ['x', '', *arrays], ['y'], {
        'mode': mode, 'coordinate_transformation_mode': 'pytorch_half_pixel'})],
        {name: array for name, array in arrays.items() if name}, shape=(1, 3, 8, 8))
    x = normal(1, 3, 8, 8)
    expected, = runtime.InferenceSession(data).run(None, {'x': x})
    np.testing.assert_allclose(nailorch.onnx.load(data)(x).data, expected, rtol=1e-5, atol=1e-5)


def test_neighbours_that_are_not_there_take_no_time():
    x = normal(1, 3, 2, 2)
    y = nailorch.onnx.load(file([('LRN', ['x'], ['y'], {'size': 2 ** 31, 'alpha': 2.0 ** 31})], shape=x.shape))(x)
    np.testing.assert_allclose(y.data, x / (1 + (x ** 2).sum(axis=1, keepdims=True)) ** 0.75, rtol=1e-5)


def test_limits_that_are_computed_follow_the_input():
    net = nailorch.onnx.load(file([('ReduceMean', ['x'], ['low'], {'keepdims': 0}), ('Abs', ['low'], ['high'], {}),
                                   ('Clip', ['x', 'low', 'high'], ['y'], {})]))
    x = normal(2, 3, 8, 8, seed=1)
    with using_config('engine', 'reference'), test_mode():
        y = nailorch.compile(net, normal(2, 3, 8, 8))(x)
    np.testing.assert_allclose(y, np.minimum(np.maximum(x, x.mean()), abs(x.mean())), rtol=1e-5, atol=1e-6)


SCALES, AXES = {'scales': np.array([1, 1, 1.5, 2], np.float32)}, {'axes': np.array([-1])}


@pytest.mark.parametrize(('op', 'inputs', 'attributes', 'arrays'), [
    ('ThresholdedRelu', [], {'alpha': 0.3}, {}), ('ArgMax', [], {'axis': 1}, {}), ('LRN', [], {'size': 2}, {}),
    ('Hardmax', [], {'axis': 1}, {}), ('Shrink', [], {'lambd': 0.2}, {}), ('Floor', [], {}, {}),
    ('Erf', [], {}, {}), ('Mish', [], {}, {}), ('LpNormalization', [], {'axis': 1}, {}),
    ('MaxPool', [], {'kernel_shape': [3, 2], 'strides': [2, 3], 'dilations': [2, 1], 'ceil_mode': 1}, {}),
    ('AveragePool', [], {'kernel_shape': [3, 2], 'dilations': [2, 1]}, {}),
    ('LpPool', [], {'kernel_shape': [2, 2], 'p': 2}, {}), ('SpaceToDepth', [], {'blocksize': 2}, {}),
    ('Tile', ['repeats'], {}, {'repeats': np.array([1, 2, 1, 3])}),
    ('Expand', ['shape'], {}, {'shape': np.array([1, 3, 8, 8])}),
    ('CumSum', ['axis'], {}, {'axis': np.array(2)}), ('Gather', ['index'], {'axis': 2}, {'index': np.array([[1, -1]])}),
    ('Resize', ['', 'scales'], {'mode': 'cubic'}, SCALES), ('Resize', ['', 'scales'], {'mode': 'linear'}, SCALES),
    ('Resize', ['', 'scales'], {}, SCALES), ('ReduceLogSumExp', ['axes'], {}, AXES), ('ReduceProd', ['axes'], {}, AXES),
    ('Slice', ['start', 'end', 'axes', 'step'], {},
     {'start': np.array([-1]), 'end': np.array([-(2**63)]), **AXES, 'step': np.array([-2])}),
    ('Pad', ['pads'], {'mode': 'wrap'}, {'pads': np.array([0, 0, 1, -2, 0, 0, 2, 1])}),
    ('ConvTranspose', ['W'], {'strides': [2, 2], 'output_shape': [17, 18]}, {'W': normal(3, 2, 3, 3)}),
], ids=str)
def test_sessions_compute_what_operators_do(op, inputs, attributes, arrays):
    """Nothing of the example's numbers or size stays behind in a Graph."""
    net = nailorch.onnx.load(file([(op, ['x', *inputs], ['y'], attributes)], arrays, opset=19))
    with using_config('engine', 'reference'), test_mode():
        session = nailorch.compile(net, normal(2, 3, 8, 8))
        for n in 1, 3:
            np.testing.assert_allclose(session(normal(n, 3, 8, 8)), net(normal(n, 3, 8, 8)).data, rtol=1e-5, atol=1e-5)


def test_metadata_go_out_and_come_in(tmp_path):
    told = {'author': '作者', 'nailorch': '{"a": 1}'}
    path = nailorch.onnx.export(nailorch.layers.Linear(2), tmp_path / 'a.onnx', 3, metadata=told)
    assert nailorch.onnx.load(path).metadata == told
    assert nailorch.onnx.load(nailorch.onnx.export(nailorch.layers.Linear(2), tmp_path / 'b.onnx', 3)).metadata == {}
