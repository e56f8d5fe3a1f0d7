"""Receptive fields: those of the table, and those found by disturbing rows and columns of pixels."""

import numpy as np
import pytest

import nailorch
import nailorch.functions as F
import nailorch.layers as L
from nailorch import Model, models, no_grad, test_mode, using_config
from nailorch.graph import trace
from nailorch.inspection import receptive_field, summary
from nailorch.inspection.replaying import node_of, replay


@pytest.fixture(autouse=True)
def plain():
    with using_config('engine', 'reference'):
        yield


def disturbed(model, x, layer, unit):
    """Return the box of the rows and columns in which a NaN reaches a unit: NaN is passed on by whatever reads it."""
    graph = trace(model, x)
    node = node_of(graph, layer)

    def reaches(rows, columns):
        image = x.copy()
        image[:, :, rows, columns] = np.nan
        with no_grad(), test_mode(), np.errstate(invalid='ignore'):
            y = replay(graph, nailorch.Variable(image), node)[node.outputs[0]].data
        return bool(np.isnan(y[..., unit[0], unit[1]]).any())

    rows = [row for row in range(x.shape[2]) if reaches(row, slice(None))]
    columns = [column for column in range(x.shape[3]) if reaches(slice(None), column)]
    return (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1) if rows else (0, 0, 0, 0)


class Pair(Model):
    def __init__(self):
        super().__init__()
        self.a, self.b = L.Conv2d(2, 3, in_channels=1), L.Conv2d(2, 5, stride=2, in_channels=1)

    def forward(self, x, y):
        return self.a(x) + self.b(y)


def test_of_several_inputs_each_has_its_box():
    net, x, y = Pair(), images(9, 8), images(17, 15)
    first, second = (receptive_field(net, (x, y), 'Add', (1, 2), seen=seen) for seen in (0, 1))
    assert (first.box, second.box) == ((1, 2, 4, 5), (2, 4, 7, 9))
    assert first.heat.shape == (9, 8) and second.heat.shape == (17, 15)
    assert np.argwhere(second.heat).min(axis=0).tolist() == [2, 4]
    assert receptive_field(net, (x, y), 'a', (1, 2), seen=1).box == (0, 0, 0, 0)  # it does not read y
    assert not receptive_field(net, (x, y), 'a', (1, 2), seen=1).heat.any()
    with pytest.raises(ValueError, match='seen=2 is none of the 2 inputs'):
        receptive_field(net, (x, y), 'a', seen=2)


def images(H, W, C=1):
    return np.random.default_rng(3).random((1, C, H, W), np.float32)


def test_vgg16s_fields_are_the_chapters():
    rows = summary(models.VGG16(width=2, hidden=3), (3, 224, 224)).rows
    pools = [row for row in rows if row.type == 'Pooling']
    assert [row.field for row in pools] == [(size, size) for size in (6, 16, 44, 100, 212)]
    assert [row.jump for row in pools] == [(jump, jump) for jump in (2, 4, 8, 16, 32)]
    assert [row.start for row in pools] == [(start, start) for start in (0.5, 1.5, 3.5, 7.5, 15.5)]
    assert [row.whole for row in rows if row.type.startswith('Linear')] == [True] * 3


@pytest.mark.parametrize(('model', 'size', 'layers'), [
    (models.VGG16(width=1, hidden=2), 64, ['conv1_2', 'conv2_2', 'conv3_3']),
    (models.ResNet50(width=2), 96, ['conv1', 'layer1/0', 'layer2/0/downsample', 'layer2/1']),
    (models.MobileNetV2(width=0.1), 64, ['features/0', 'features/3', 'features/6']),
    (models.SqueezeNet1_1(width=0.1), 64, ['features/3', 'features/7']),
], ids=['vgg16', 'resnet50', 'mobilenet_v2', 'squeezenet1_1'])
def test_the_models_boxes_are_those_that_pixels_prove(model, size, layers):
    x = images(size, size + 5, 3)
    fields = {row.layer: row for row in summary(model, x.shape[1:], collapse=False).rows}
    for layer in layers:
        graph = trace(model, x)
        shape = graph.values[node_of(graph, layer).outputs[0]].shape
        for unit in [(0, 0), (shape[2] // 2, shape[3] // 2), (shape[2] - 1, 1)]:
            assert receptive_field(model, x, layer, unit).box == disturbed(model, x, layer, unit)
        row = fields.get(layer) or next(row for name, row in reversed(fields.items()) if name.startswith(f'{layer}/'))
        seen = receptive_field(model, x, layer)
        assert all(box <= field for box, field in zip(seen.size, row.field, strict=True))


def random_network(seed):
    rng = np.random.default_rng(seed)

    def pair(low, high):
        return tuple(int(i) for i in rng.integers(low, high, 2))

    class Net(Model):
        def __init__(self):
            super().__init__()
            self.layers = [self.layer() for _ in range(4)]
            self.side = L.Conv2d(3, 1)

        def layer(self):
            kind = rng.integers(5)
            if kind == 0:
                return L.Conv2d(3, pair(1, 5), pair(1, 3), pair(0, 3), dilation=pair(1, 3))
            if kind == 1:
                kernel = pair(2, 4)
                return lambda x: F.pooling(x, kernel, 2)
            if kind == 2:
                return L.Deconv2d(3, pair(2, 4), 2)
            if kind == 3:
                return lambda x: F.average_pooling(F.pad(x, [(0, 0), (0, 0), (1, 0), (0, 2)]), 2, 1)
            return L.Conv2d(3, 3, 1, ((2, 0), (1, 1)))

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            return x + self.side(x[:, :, ::1, ::1])

    return Net()


@pytest.mark.parametrize('seed', range(10))
def test_random_networks_boxes_are_those_that_pixels_prove(seed):
    net, x = random_network(seed), images(33, 40, 2)
    y = net(x)
    last = trace(net, x).nodes[-1].name
    (field,) = {row.field for row in summary(net, x.shape[1:]).rows[-1:]}
    widest = (0, 0)
    for unit in [(0, 0), (y.shape[2] // 2, y.shape[3] // 2), (y.shape[2] // 2 - 1, y.shape[3] // 2 + 1), (-1, -1)]:
        seen = receptive_field(net, x, last, unit)
        assert seen.box == disturbed(net, x, last, unit)
        widest = tuple(map(max, widest, seen.size))
    assert field is not None
    assert all(box <= size for box, size in zip(widest, field, strict=True))


class Way(Model):
    """A convolution that is wider than high, something done with its images, and another one."""

    def __init__(self, between):
        super().__init__()
        self.between = between
        self.first, self.last = L.Conv2d(3, (1, 3)), L.Conv2d(2, (3, 1))

    def forward(self, x):
        return self.last(self.between(self.first(x)))


def through_a_row(y):
    """Flatten the images, and make images of the row again."""
    return F.reshape(F.reshape(y, (len(y), -1)), y.shape)


def gated(y):
    """Weight the channels by their means over all places: squeeze-and-excitation."""
    return y * F.reshape(F.mean(y, (2, 3)), (*y.shape[:2], 1, 1))


@pytest.mark.parametrize('between', [
    gated, lambda y: y * F.average_pooling(y, y.shape[2:]), lambda y: y * F.mean(y, (2, 3), keepdims=True),
    lambda y: F.mean(y, (2, 3), keepdims=True) * y,
], ids=['by reshape', 'by pooling', 'by a mean', 'the mean first'])
def test_channels_weighted_by_their_means_see_the_whole_image(between):
    model, x = Way(between), images(7, 9)
    assert receptive_field(model, x, 'last', (0, 0)).box == disturbed(model, x, 'last', (0, 0)) == (0, 0, 7, 9)
    assert summary(model, (1, 7, 9)).rows[-1].whole


def test_images_made_of_a_row_again_may_see_all_of_the_image():
    # which pixels a number of the row comes from is not followed: the box holds all that may reach it
    assert receptive_field(Way(through_a_row), images(7, 9), 'last', (0, 0)).box == (0, 0, 7, 9)


def test_a_transposed_images_fields_change_places():
    # first: 1 row and 3 columns; transposed 3 and 1; then 3 rows more
    rows = summary(Way(lambda y: F.transpose(y, (0, 1, 3, 2))), (1, 7, 9)).rows
    assert [row.field for row in rows] == [(1, 3), (3, 1), (5, 1)]
    # as many channels as rows: the shape is the same, the axes are others
    rows = summary(Way(lambda y: F.transpose(y, (0, 2, 1, 3))), (1, 3, 9)).rows
    assert [row.field for row in rows[:2]] == [(1, 3), None]


@pytest.mark.parametrize(('axis', 'row_is_mixed'), [(1, False), (-3, False), (2, True), (-2, True)])
def test_softmax_mixes_the_places_along_its_axis_alone(axis, row_is_mixed):
    model, x = Way(lambda y: F.softmax(y, axis)), images(7, 9)
    assert receptive_field(model, x, 'last', (0, 0)).box == (0, 0, 7 if row_is_mixed else 3, 3)
    assert disturbed(model, x, 'last', (0, 0)) == (0, 0, 7 if row_is_mixed else 3, 3)
    assert summary(model, (1, 7, 9)).rows[-1].field == (None if row_is_mixed else (3, 3))


def test_the_heat_is_the_gradient_and_lies_in_the_box():
    net = models.Sequential(L.Conv2d(2, 3, pad=1), F.relu, L.Conv2d(1, 3, 2))
    x = images(9, 11)
    seen = receptive_field(net, x, 'l2', (0, 1, 2))
    top, left, bottom, right = seen.box
    assert (seen.box, seen.size) == ((1, 3, 6, 8), (5, 5))
    outside = seen.heat.copy()
    outside[top:bottom, left:right] = 0
    assert not outside.any()
    variable = nailorch.Variable(x)
    net(variable)[0, 0, 1, 2].backward()
    np.testing.assert_allclose(seen.heat, np.abs(variable.grad.data[0, 0]), rtol=1e-6)
    assert seen.picture().shape == (9, 11, 3)
    assert '5x5 pixels' in seen._repr_html_()


def test_the_effective_field_is_smaller():
    net = models.Sequential(*(L.Conv2d(1, 3, pad=1, nobias=True) for _ in range(8)))
    net(images(31, 31))
    for parameter in net.params():
        parameter.data[:] = 1 / 9
    seen = receptive_field(net, images(31, 31), 'l7')
    assert seen.size == (17, 17)
    assert 7 <= seen.effective_size[0] <= 11


def test_the_model_is_left_as_it_was():
    net = models.Sequential(L.Conv2d(2, 3), L.BatchNorm(), F.dropout)
    net(images(8, 8))
    before = {name: array.copy() for name, array in net.state_dict().items()}
    receptive_field(net, images(8, 8), 'l1')
    assert all(parameter.grad is None for parameter in net.params())
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize(('layer', 'unit', 'said'), [
    ('con1', None, 'there are conv1'), ('fc1', None, 'no rows and columns'), ('conv1', (30, 0), r'no unit \(30, 0\)'),
    ('conv1', (16, 0, 0), 'no unit'), ('conv1', (1,), 'no unit'), ('conv1', (1.5, 0), 'no unit'),
])
def test_errors_name_what_there_is(layer, unit, said):
    with pytest.raises(ValueError, match=said):
        receptive_field(models.MNISTNet(), images(28, 28), layer, unit)


def test_paths_of_different_fields_are_told():
    class Branching(Model):
        def __init__(self):
            super().__init__()
            self.narrow, self.wide = L.Conv2d(2, 1), L.Conv2d(2, 5, pad=2)

        def forward(self, x):
            return F.concat([self.narrow(x), self.wide(x)])

    found = summary(Branching(), (1, 9, 9))
    assert [(row.field, row.widest) for row in found.rows] == [((1, 1), False), ((5, 5), False), ((5, 5), True)]
    assert '5*' in str(found)
    assert str(found).splitlines()[-2].startswith('* paths')
    assert 'whole' not in str(found)


def test_blocks_that_are_alike_collapse():
    net = models.ResNet18(width=2, num_classes=3)
    short, long = summary(net, (3, 32, 32)), summary(net, (3, 32, 32), collapse=False)
    assert short.rows == long.rows
    assert len(str(short).splitlines()) < len(str(long).splitlines())
    assert 'layer1/0…1/conv1' in str(short)
    assert 'layer1/1/conv1' in str(long)
