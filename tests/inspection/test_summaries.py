import io
import json
import re

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

import nailorch.functions as F
import nailorch.layers as L
from nailorch import Model, Parameter, Variable, kernels, models
from nailorch.inspection import summary

TABLE = """\
MNISTNet, input (1, 1, 28, 28)
Layer  Type                     Output shape     Parameters  Multiply-adds   Memory  Field  Jump  Start
conv1  Conv2d + ReLU + Pooling  (1, 16, 14, 14)         160        112,896  12.5 kB      4     2    0.5
conv2  Conv2d + ReLU + Pooling  (1, 32, 7, 7)         4,640        903,168  6.27 kB     10     4    1.5
       Reshape                  (1, 1568)                                   6.27 kB
fc1    Linear + ReLU            (1, 128)            200,832        200,704    512 B    all
fc2    Linear                   (1, 10)               1,290          1,280     40 B    all
Total                                               206,922      1,218,048  25.6 kB
learned 206,922 · frozen 0 · buffers 0
weights 0.83 MB · input 0.00 MB · outputs 0.03 MB
Field: pixels of the image a unit sees · Jump: pixels from unit to unit · Start: middle of what the first sees"""


def lines(model, shape, **options):
    return [(row.layer, row.type, row.shapes[0], row.parameters) for row in summary(model, shape, **options).rows]


def test_mnistnet_has_its_206_922_parameters():
    assert str(summary(models.MNISTNet(), (1, 28, 28))) == TABLE


@pytest.fixture
def hollow(monkeypatch):
    """Let big models be counted without being computed."""
    def zeros(init, shape, fan_in, fan_out, dtype):
        return np.zeros(shape, dtype)

    def conv2d(image, weight, bias, window, groups=1):
        shape = len(image), len(weight), *window.outsize(image.shape[2:])
        return np.broadcast_to(np.float32(1), shape)

    def linear(x, weight, bias):
        return np.ones((len(x), weight.shape[1]), np.float32)

    for layers in L.convolution, L.dense:
        monkeypatch.setattr(layers, 'initial', zeros)
    monkeypatch.setattr(kernels.reference, 'conv2d', conv2d)
    monkeypatch.setattr(kernels.reference, 'linear', linear)


def test_vgg16_has_its_138_357_544_parameters(hollow):
    found = summary(models.VGG16(), (3, 224, 224))
    assert re.search(r'^Total +138,357,544 +15,470,264,320 ', str(found), re.M)
    assert found.weight_bytes == 4 * 138_357_544
    assert (found.rows[0].layer, found.rows[-1].shapes) == ('conv1_1', ((1, 1000),))
    pools = [row.shapes[0][1:] for row in found.rows if row.type == 'Pooling']
    assert pools == [(64, 112, 112), (128, 56, 56), (256, 28, 28), (512, 14, 14), (512, 7, 7)]


# Multiply-adds and parameters of PyTorch's models at 224x224, as fvcore 0.1.5 counts their convolutions and products.
COUNTED = {
    'vgg11': (7609090048, 132863336), 'vgg11_bn': (7609090048, 132868840),
    'vgg13': (11308466176, 133047848), 'vgg13_bn': (11308466176, 133053736),
    'vgg16': (15470264320, 138357544), 'vgg16_bn': (15470264320, 138365992),
    'vgg19': (19632062464, 143667240), 'vgg19_bn': (19632062464, 143678248),
    'resnet18': (1814073344, 11689512), 'resnet34': (3663761408, 21797672), 'resnet50': (4089184256, 25557032),
    'resnet101': (7801405440, 44549160), 'resnet152': (11513626624, 60192808),
    'mobilenet_v2': (300774272, 3504872), 'efficientnet_lite0': (385187552, 4652008),
    'squeezenet1_0': (818924576, 1248424), 'squeezenet1_1': (349151936, 1235496),
}


@pytest.mark.parametrize('name', sorted(models.MODELS.keys() - {'mnistnet', 'lenet'}))
def test_multiply_adds_and_parameters_are_those_that_a_peer_counts(hollow, name):
    found = summary(models.MODELS[name](), (3, 224, 224))
    assert (found.multiply_adds, found.parameters) == COUNTED[name]


def test_a_batch_counts_every_item():
    one, ten = (summary(models.MNISTNet(), (1, 28, 28), batch_size=n) for n in (1, 10))
    assert ten.multiply_adds == 10 * one.multiply_adds == 10 * (784 * 16 * 9 + 196 * 32 * 16 * 9 + 1568 * 128 + 1280)


def test_transposed_convolutions_and_groups_are_counted():
    net = models.Sequential(L.Conv2d(6, 3, groups=2), L.Deconv2d(4, (2, 3), stride=2))
    rows = summary(net, (4, 8, 7)).rows
    assert [row.multiply_adds for row in rows] == [6 * 6 * 5 * 2 * 9, 6 * 6 * 5 * 4 * 6]


def test_batch_norms_averages_are_buffers_not_parameters():
    found = summary(models.Sequential(L.Conv2d(4, 3, nobias=True), L.BatchNorm()), (2, 5, 5))
    assert [row.parameters for row in found.rows] == [4 * 2 * 9, 4 + 4]
    assert (found.parameters, found.learned, found.frozen, found.buffers) == (80, 80, 0, 8)
    assert found.weight_bytes == 4 * 88


def test_frozen_parameters_are_told_apart():
    net = models.MLP((4, 2))
    net(np.ones((1, 3), 'float32'))
    net.l0.W.requires_grad = False
    found = summary(net, 3)
    assert (found.parameters, found.learned, found.frozen) == (26, 14, 12)


def test_rows_are_layers_and_the_functions_between_them():
    net = models.Sequential(L.LayerNorm(), F.relu, L.Linear(2))
    assert lines(net, 3) == [('l0', 'LayerNorm', (1, 3), 6), ('', 'ReLU', (1, 3), 0), ('l2', 'Linear', (1, 2), 8)]


def test_what_a_norm_does_besides_is_told():
    net = models.ResNet18(num_classes=2)
    rows = [(row.layer, row.type) for row in summary(net, (3, 32, 32)).rows]
    assert rows[:7] == [('conv1', 'Conv2d'), ('bn1', 'BatchNorm + ReLU'), ('', 'Pooling'),
                        ('layer1/0/conv1', 'Conv2d'), ('layer1/0/bn1', 'BatchNorm + ReLU'),
                        ('layer1/0/conv2', 'Conv2d'), ('layer1/0/bn2', 'BatchNorm + Add + ReLU')]


def test_functions_of_a_block_bear_its_name():
    class Block(L.Layer):
        def __init__(self):
            self.l = L.Linear(3)

        def forward(self, x):
            return F.tanh(self.l(x))

    assert lines(models.Sequential(Block()), 3) == [('l0/l', 'Linear', (1, 3), 12), ('l0', 'Tanh', (1, 3), 0)]


def test_single_layer_is_a_model_too():
    assert lines(L.Linear(4), (3,)) == [('', 'Linear', (1, 4), 16)]


class Twice(Model):
    def __init__(self):
        self.fc, self.spare = L.Linear(3, in_size=3), L.Linear(5, in_size=2)

    def forward(self, x):
        return self.fc(self.fc(x))


def test_shared_layer_counts_once():
    found = summary(Twice(), 3)
    assert [(row.layer, row.parameters, row.shared) for row in found.rows] == [('fc', 12, False), ('fc', 0, True)]
    assert re.search(r'^fc +Linear +\(1, 3\) +shared +9 ', str(found), re.M)


def test_parameters_that_nothing_uses_are_named():
    found = summary(Twice(), 3)
    assert found.unused == ('spare/W', 'spare/b')
    assert found.parameters == 12 + 15
    assert str(found).endswith('not used: spare/W, spare/b')


def test_parameter_of_a_block_itself_is_counted():
    class Scaled(Model):
        def __init__(self):
            self.factor, self.fc = Parameter(np.ones(2, np.float32)), L.Linear(2)

        def forward(self, x):
            return self.fc(x) * self.factor

    assert lines(Scaled(), 3)[-1] == ('', 'Mul', (1, 2), 2)


def test_function_with_several_results_shows_them_all():
    net = models.Sequential(lambda x: F.split(x, [1]), lambda parts: F.concat([parts[1], parts[0]]))
    found = summary(net, 3)
    assert found.rows[0].shapes == ((1, 1), (1, 2))
    assert '(1, 1)' in str(found) and '(1, 2)' in str(found)


def test_batch_size_is_shown_and_weighed():
    one, ten = (summary(models.MLP((4, 2)), 3, batch_size=n) for n in (1, 10))
    assert [row.shapes[0] for row in ten.rows] == [(10, 4), (10, 4), (10, 2)]
    assert (one.input_bytes, ten.input_bytes) == (4 * 3, 4 * 30)
    assert (one.output_bytes, ten.output_bytes) == (4 * 10, 4 * 100)
    assert one.weight_bytes == ten.weight_bytes


class Two(models.Model):
    """An image and a few numbers: the second input scales the channels of the first."""

    def __init__(self):
        super().__init__()
        self.conv, self.scale = L.Conv2d(4, 3, pad=1, in_channels=1), L.Linear(4, in_size=5)

    def forward(self, x, v):
        return F.relu(self.conv(x)) * F.reshape(self.scale(v), (len(v), 4, 1, 1))


def test_several_inputs_have_a_shape_each():
    found = summary(Two(), [(1, 8, 6), (5,)], batch_size=2)
    assert found.input_shape == ((2, 1, 8, 6), (2, 5))
    assert str(found).startswith('Two, input (2, 1, 8, 6), (2, 5)\n')
    assert found.input_bytes == 4 * (2 * 48 + 2 * 5)
    assert [row.field for row in found.rows if row.type == 'Conv2d'] == [(3, 3)]
    assert [row.field for row in found.rows if row.type == 'Linear'] == [None]
    assert found.rows[-1].field == (3, 3)
    json.dumps(found.to_dict())


def test_a_unit_that_reads_two_images_sees_the_wider_part():
    class Pair(models.Model):
        def __init__(self):
            super().__init__()
            self.a, self.b = L.Conv2d(2, 3, pad=1, in_channels=1), L.Conv2d(2, 5, pad=2, in_channels=1)

        def forward(self, x, y):
            return self.a(x) + self.b(y)

    last = summary(Pair(), [(1, 8, 8), (1, 8, 8)]).rows[-1]
    assert (last.field, last.widest) == ((5, 5), True)


def test_too_few_shapes_name_the_inputs():
    with pytest.raises(ValueError, match=r'summary: Two takes 2 inputs \(x, v\), and 1 shapes were given'):
        summary(Two(), (1, 8, 6))


def test_ids_go_in_as_integers():
    net = models.Sequential(L.EmbedID(10, 4), lambda x: F.sum(x, axis=1))
    assert lines(net, 7, dtype='int64')[-1] == ('', 'Sum', (1, 4), 0)


# asking in a wrong way


def test_batch_axis_given_by_mistake_gets_a_remedy():
    with pytest.raises(ValueError, match=r'(?s)conv2d: images have four axes.*leave it out: input_shape=\(1, 28, 28\)'):
        summary(models.MNISTNet(), (100, 1, 28, 28))


def test_grey_image_without_channel_gets_a_remedy():
    with pytest.raises(ValueError, match=r'add the channel axis: input_shape=\(1, 28, 28\)'):
        summary(models.MNISTNet(), (28, 28))


def test_errors_with_a_remedy_name_the_layer_too():
    with pytest.raises(ValueError, match=r'in the layer conv1, Conv2d\(.*, which was given \(2, 28, 28\).*\nsummary: '):
        summary(models.MNISTNet(), (28, 28))


def test_other_errors_stay_the_models_own():
    with pytest.raises(ValueError, match=r'^conv2d: x has 3 channels, W expects 1; x\.shape=\(2, 3, 28, 28\)'):
        net = models.MNISTNet()
        net(np.ones((1, 1, 28, 28), 'float32'))
        summary(net, (3, 28, 28))


@pytest.mark.parametrize('shape', [(), (0,), (3, -1, 4), ('3',), 0])
def test_shape_that_is_none_is_refused(shape):
    with pytest.raises(ValueError, match='is no shape of one item'):
        summary(models.MLP((2,)), shape)


# how it is shown


def test_table_speaks_chinese():
    found = summary(models.MLP((2,)), 3, lang='zh')
    assert str(found).splitlines() == [
        'MLP，输入 (1, 3)',
        '层    类型    输出形状  参数量  乘加次数  内存',
        'l0    Linear  (1, 2)         8         6   8 B',
        '合计                         8         6   8 B',
        '学习的 8 · 冻结的 0 · 缓冲区 0',
        '权重 0.00 MB · 输入 0.00 MB · 各层输出 0.00 MB']


def test_printed_table_has_an_end():
    class Deep(Model):
        def __init__(self):
            self.parts = {'a long name that goes on and on': [models.Sequential(L.GroupNorm(1, channels=4096))]}

        def forward(self, x):
            return self.parts['a long name that goes on and on'][0](x)

    text = str(summary(Deep(), (4096, 1, 1), batch_size=1_000_000_000))
    assert max(cell_len(line) for line in text.splitlines()) <= 128
    assert '(1000000000, 4096, 1, 1)' in text and '8,192' in text


def place_of_total(lines):
    place, = (place for place, line in enumerate(lines) if line.startswith('Total'))
    return place


def shown_in(width, found):
    console = Console(width=width, file=io.StringIO())
    console.print(found)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_a_line_says_what_field_jump_and_start_are_where_they_are_shown(hollow):
    legend = 'Field: pixels of the image a unit sees'
    found = summary(models.VGG16(), (3, 224, 224))
    assert legend in str(found) and legend in found._repr_html_()
    assert legend not in '\n'.join(shown_in(60, found))
    assert legend not in str(summary(models.MLP((2,)), 3))


def test_a_narrow_terminal_leaves_columns_out_rather_than_break_numbers(hollow):
    found = summary(models.ResNet50(), (3, 224, 224))
    ends = []
    for width in (140, 117, 110, 100, 90, 80, 70):
        _, head, *lines = shown_in(width, found)
        ends.append(head.split()[-1])
        assert max(map(cell_len, lines)) <= width
        assert sum('16,384' in line for line in lines) == str(found).count('16,384')
        assert place_of_total(lines) == place_of_total(str(found).splitlines()) - 2 or width == 70
    assert ends[0] == 'Start'
    assert ends[-1] == 'Parameters'
    assert len(set(ends)) >= 4


def test_names_are_not_read_as_markup():
    net = Twice()
    net.parts = {'[red]': L.Linear(2)}
    net.forward = lambda x: net.parts['[red]'](x)
    found = summary(net, 3)
    assert 'parts/[red]' in str(found)
    console = Console(record=True, width=80, file=io.StringIO())
    console.print(found)
    assert 'parts/[red]' in console.export_text()


def test_html_escapes_names():
    class Odd(Model):
        def __init__(self):
            self.parts = {'<b>': L.Linear(2)}

        def forward(self, x):
            return self.parts['<b>'](x)

    html = summary(Odd(), 3)._repr_html_()
    assert 'parts/&lt;b&gt;' in html and '<b>' not in html
    assert html.count('<tr>') == 3 and '>8</th>' in html


def test_to_dict_is_json():
    told = json.loads(json.dumps(summary(models.MLP((2,)), 3, batch_size=5).to_dict()))
    assert told == {
        'model': 'MLP', 'input_shape': [5, 3], 'parameters': 8, 'learned': 8, 'frozen': 0, 'buffers': 0,
        'weight_bytes': 32, 'input_bytes': 60, 'output_bytes': 40, 'unused': [],
        'multiply_adds': 30,
        'rows': [{'layer': 'l0', 'type': 'Linear', 'shapes': [[5, 2]], 'parameters': 8, 'shared': False,
                  'multiply_adds': 30, 'memory': 40, 'field': None, 'jump': None, 'start': None, 'whole': False,
                  'widest': False}]}


def test_repr_is_short():
    assert repr(summary(models.MLP((2,)), 3)) == 'Summary(MLP: 8 parameters)'


def test_model_prints_and_returns_its_summary(capsys):
    found = models.MNISTNet().summary((1, 28, 28))
    assert capsys.readouterr().out.rstrip() == TABLE == str(found)


def test_summary_leaves_the_model_as_it_was():
    net = models.Sequential(L.RNN(3), F.relu)
    net(Variable(np.ones((2, 4), np.float32)))
    h, weights = net.l0.h, {name: array.copy() for name, array in net.state_dict().items()}
    summary(net, 4)
    assert net.l0.h is h
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, weights[name])


@pytest.mark.parametrize('given', [{'batch_size': 0}, {'batch_size': -1}, {'lang': 'fr'}])
def test_an_argument_that_makes_no_sense_is_named(given):
    (name, _), = given.items()
    with pytest.raises(ValueError, match=name):
        summary(models.MLP((2,)), 3, **given)


class Named(Model):
    """A model whose layers are called as an ONNX file calls them."""

    def __init__(self, *names):
        super().__init__()
        for name in names:
            vars(self)[name] = L.Linear(4, in_size=4)

    def forward(self, x):
        for _, layer in self.named_layers():
            x = x if layer is self else layer(x)
        return x


def test_long_names_are_broken_where_they_have_parts():
    name = 'features.denseblock1.denselayer2.conv1_with_a_long_name.MatMul_to_the_end'
    table = str(summary(Named(name), 4))
    assert table.splitlines()[2].startswith('features.denseblock1.denselayer2.conv1_  Linear')
    assert table.splitlines()[3] == '  with_a_long_name.MatMul_to_the_end'
    assert 'Multiply-adds' in table  # and no column is left out for it


def test_blocks_out_of_a_file_are_shown_as_one_too():
    table = str(summary(Named('blocks.0.fc', 'blocks.1.fc', 'blocks.2.fc', 'last'), 4))
    assert 'blocks.0…2.fc' in table and '3×20' in table
