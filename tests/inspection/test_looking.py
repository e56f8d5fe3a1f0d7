"""Looking into models: equal to PyTorch and to plain loops, always in evaluation mode, and the model left as it was."""

import numpy as np
import pytest

import nailorch
import nailorch.functions as F
import nailorch.layers as L
from nailorch import inspection as I
from nailorch.drawing.pictures import enlarged, heat_over
from nailorch.inspection.heat import softmax


class Net(nailorch.Model):
    """Convolution, batch norm, dropout: what differs between training and evaluation."""

    def __init__(self, closing=False):
        super().__init__()
        self.conv1 = L.Conv2d(4, 3, pad=1, in_channels=2)
        self.bn = L.BatchNorm()
        self.conv2 = L.Conv2d(5, 3, stride=2, in_channels=4)
        self.fc = L.Linear(3)
        self.closing = closing

    def forward(self, x):
        x = F.relu(self.bn(self.conv1(x)))
        x = F.relu(self.conv2(F.dropout(x)))
        y = self.fc(F.flatten(x))
        return F.softmax(y) if self.closing else y


@pytest.fixture
def net():
    nailorch.seed(3)
    net = Net()
    net(np.random.default_rng(0).normal(size=(8, 2, 9, 11)).astype('float32'))  # in training: averages move
    return net


@pytest.fixture
def x():
    return np.random.default_rng(1).normal(size=(2, 2, 9, 11)).astype('float32')


def looks(net, x):
    return [I.saliency(net, x).values, I.grad_cam(net, x).values, I.occlusion(net, x, size=3).values,
            I.feature_maps(net, x, 'conv2').values]


def test_the_model_is_evaluated_twice_alike_and_left_as_it_was(net, x):
    net.cleargrads()
    before = {name: array.copy() for name, array in net.state_dict().items()}
    images = x.copy()
    with nailorch.using_config('train', True):
        first, second = looks(net, x), looks(net, x)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert all(parameter.grad is None for parameter in net.params())
    np.testing.assert_array_equal(x, images)


def test_looking_works_where_no_tape_is_kept(net, x):
    expected = I.saliency(net, x).values
    with nailorch.no_grad():
        np.testing.assert_array_equal(I.saliency(net, x).values, expected)


def test_saliency_is_the_slope_of_the_score(net, x):
    net = net_in_double(net)
    x = x[:1].astype('float64')
    found = I.saliency(net, x, target=1).values[0]
    with nailorch.test_mode(), nailorch.no_grad():
        for row, column in [(0, 0), (4, 5), (8, 10)]:
            slopes = []
            for channel in range(2):
                step = np.zeros_like(x)
                step[0, channel, row, column] = 1e-6
                slopes.append((net(x + step).data[0, 1] - net(x - step).data[0, 1]) / 2e-6)
            np.testing.assert_allclose(found[row, column], np.abs(slopes).max(), rtol=1e-6, atol=1e-9)


def net_in_double(net):
    with nailorch.using_config('dtype', 'float64'):
        other = Net()
        other(np.zeros((2, 2, 9, 11)))
    other.load_state_dict({name: array.astype('float64') for name, array in net.state_dict().items()})
    return other


def test_occlusion_equals_a_plain_loop(net, x):
    found = I.occlusion(net, x, target=[2, 0], size=4, stride=3, value=0.5, batch_size=5)
    rows, columns = [0, 3, 5], [0, 3, 6, 7]
    assert found.values.shape == (2, 3, 4)
    full, count = np.zeros((2, 9, 11)), np.zeros((9, 11))
    with nailorch.test_mode(), nailorch.no_grad():
        whole = softmax(net(x).data)
        for n, target in enumerate((2, 0)):
            for i, row in enumerate(rows):
                for j, column in enumerate(columns):
                    hidden = x[n:n + 1].copy()
                    hidden[:, :, row:row + 4, column:column + 4] = 0.5
                    fall = whole[n, target] - softmax(net(hidden).data)[0, target]
                    np.testing.assert_allclose(found.values[n, i, j], fall, atol=1e-6)
                    full[n, row:row + 4, column:column + 4] += fall
                    count[row:row + 4, column:column + 4] += n == 0
    np.testing.assert_allclose(found.full, full / count, atol=1e-6)


def test_occlusion_tells_how_far_it_is(net, x):
    told = []
    I.occlusion(net, x, size=4, stride=3, batch_size=7, progress=lambda done, many: told.append((done, many)))
    assert told == [(7, 24), (12, 24), (19, 24), (24, 24)]


def test_a_softmax_at_the_end_is_looked_through(net, x):
    closed = Net(closing=True)
    closed(x)
    closed.load_state_dict(net.state_dict())
    for look in (I.saliency, I.grad_cam, I.occlusion):
        np.testing.assert_allclose(look(closed, x, 1).values, look(net, x, 1).values, atol=1e-6)


def test_without_a_target_the_most_probable_class_is_explained(net, x):
    with nailorch.test_mode():
        best = tuple(net(x).data.argmax(axis=1))
    assert I.saliency(net, x).targets == I.grad_cam(net, x).targets == I.occlusion(net, x).targets == best


def test_grad_cam_takes_the_last_convolution_after_its_activation(net, x):
    assert I.grad_cam(net, x).layer == 'ReLU_2'
    np.testing.assert_array_equal(I.grad_cam(net, x).values, I.grad_cam(net, x, layer='ReLU_2').values)
    assert I.grad_cam(net, x, layer='conv1').values.shape == (2, 9, 11)


def test_feature_maps_are_what_the_layer_answers(net, x):
    with nailorch.test_mode():
        expected = net.bn(net.conv1(x)).data
    maps = I.feature_maps(net, x, 'bn')
    np.testing.assert_allclose(maps.values, expected, rtol=1e-6)
    assert maps.picture().shape[2] == 4
    assert I.feature_maps(net, x[0], 'bn').values.shape == (1, 4, 9, 11)


def test_filters_are_the_first_convolutions_unless_another_is_named(net):
    assert I.filters(net).values is net.conv1.W.data
    assert I.filters(net, 'conv2').values is net.conv2.W.data


@pytest.mark.parametrize(('call', 'expected'), [
    (lambda net, x: I.filters(net, 'conv9'), "no convolution 'conv9'; there are conv1, conv2"),
    (lambda net, x: I.filters(L.Linear(3, in_size=2)), 'there are no convolutions'),
    (lambda net, x: I.feature_maps(net, x, 'convv2'),
     r"no layer 'convv2' computes here; there are conv2, conv1, .*bn, fc, ReLU, ReLU_2, Reshape$"),
    (lambda net, x: I.feature_maps(net, x, 'nolayer'), r"no layer 'nolayer' computes here; there are conv1, bn, conv"),
    (lambda net, x: I.feature_maps(net, x, 'fc'), r'fc gives \(2, 3\), which has no rows and columns'),
    (lambda net, x: I.grad_cam(net, x, layer='fc'), 'which has no rows and columns'),
    (lambda net, x: I.grad_cam(net, x, 3), 'grad_cam: classes go from 0 to 2; target=3'),
    (lambda net, x: I.saliency(net, x, -1), 'saliency: classes go from 0 to 2'),
    (lambda net, x: I.occlusion(net, x, size=10), 'a square of 10 pixels does not fit into an image of 9x11'),
    (lambda net, x: I.occlusion(net, x, stride=0), 'stride'),
    (lambda net, x: I.saliency(net, x[0, 0]), r'saliency: images are floats with the axes'),
    (lambda net, x: I.saliency(net.conv1, x), r'scores have the axes \(N, K\)'),
])
def test_errors_name_what_is_wrong(net, x, call, expected):
    with pytest.raises(ValueError, match=expected):
        call(net, x)


def test_of_many_layers_the_nearest_and_the_first_are_told():
    net = nailorch.models.Sequential(*(L.Conv2d(2, 1) for _ in range(20)), nailorch.models.Sequential(L.Conv2d(2, 1)))
    with pytest.raises(ValueError, match=r"no layer 'l20/l5' .*; there are l20/l0, l0, l1, l2, .*, l10 \.\.\.$"):
        I.feature_maps(net, np.ones((1, 2, 3, 3), 'f'), 'l20/l5')


def test_a_model_without_convolution_says_so():
    with pytest.raises(ValueError, match='has no convolution'):
        I.grad_cam(nailorch.models.Sequential(F.flatten, L.Linear(3)), np.ones((1, 1, 4, 4), 'float32'))


def test_inspect_is_another_name_of_inspection():
    assert nailorch.inspect is nailorch.inspection


def test_heat_maps_become_pictures_of_the_images_size(net, x):
    for found in (I.saliency(net, x), I.grad_cam(net, x), I.occlusion(net, x)):
        assert found.picture(1).shape == (9, 11, 3)
        assert found.picture(1).dtype == np.uint8
        assert found._repr_html_().count('<img') == 2
    assert 'data:image/png' in I.feature_maps(net, x, 'conv1')._repr_html_()
    assert 'data:image/png' in I.filters(net)._repr_html_()


def test_enlarged_agrees_with_pytorch():
    torch = pytest.importorskip('torch', reason='PyTorch is not installed: pip install -e ".[compare]"')
    values = np.random.default_rng(0).normal(size=(3, 4))
    for shape in ((7, 9), (3, 4), (2, 8), (224, 224)):
        expected = torch.nn.functional.interpolate(torch.tensor(values)[None, None], shape, mode='bilinear')[0, 0]
        np.testing.assert_allclose(enlarged(values, shape), expected.numpy(), atol=1e-12)
    assert enlarged(np.ones((1, 1)), (3, 2)).tolist() == [[1, 1]] * 3


def test_heat_is_brightest_where_it_is_most():
    picture = heat_over(np.full((2, 2, 3), 100, np.uint8), np.array([[-5., 0.], [1., 2.]])).sum(axis=-1, dtype=int)
    assert picture[0, 0] == picture[0, 1] < picture[1, 0] < picture[1, 1]


@pytest.mark.parametrize(('dtype', 'tolerance'), [(np.float32, 1e-5), (np.float64, 1e-12)])
@pytest.mark.parametrize('name', ['resnet18', 'mobilenet_v2', 'squeezenet1_1', 'vgg11'])
def test_saliency_and_grad_cam_equal_pytorchs(name, dtype, tolerance):
    torch = pytest.importorskip('torch', reason='PyTorch is not installed: pip install -e ".[compare]"')
    from tests.models.test_parity import images, pair

    net, peer = pair(name, dtype)
    peer.eval()
    x = images(name, dtype)[:2]
    inner = {'resnet18': 'layer4', 'mobilenet_v2': 'features', 'squeezenet1_1': 'classifier', 'vgg11': 'features'}[name]
    module = dict(peer.named_modules())[inner]
    module = {'squeezenet1_1': lambda: module[2], 'vgg11': lambda: module[-2]}.get(name, lambda: module)()
    seen = []

    def keep(module, inputs, output):
        output.retain_grad()
        seen.append(output)

    module.register_forward_hook(keep)
    image = torch.tensor(x, requires_grad=True)
    scores = peer(image)
    targets = scores.argmax(dim=1)
    scores[torch.arange(2), targets].sum().backward()
    saliency = image.grad.abs().amax(dim=1).numpy()
    maps, slopes = seen[0].detach(), seen[0].grad
    cam = (slopes.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1).relu().numpy()

    found = I.saliency(net, x)
    assert found.targets == tuple(targets.tolist())
    assert np.abs(found.values - saliency).max() < tolerance * max(1, saliency.max())
    found = I.grad_cam(net, x)
    assert found.values.shape == cam.shape
    assert cam.max() > 0
    assert np.abs(found.values - cam).max() < tolerance * max(1, cam.max())


class Samples(nailorch.Dataset):
    classes = ('a', 'b', 'c')

    def __init__(self, x, t):
        self.x, self.t = x, t

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        return self.x[index], self.t[index]


def test_confusion_names_a_label_that_is_no_class(net):
    x = np.zeros((2, 2, 9, 11), 'float32')
    with pytest.raises(ValueError, match='from 0 to 2'):
        I.confusion(net, Samples(x, np.array([0, 3])))


def test_confusion_counts_every_sample_in_evaluation_mode(net):
    x = np.random.default_rng(5).normal(size=(10, 2, 9, 11)).astype('float32')
    t = np.random.default_rng(6).integers(3, size=10)
    with nailorch.test_mode():
        probabilities = softmax(net(x).data)
    predicted = probabilities.argmax(axis=1)
    with nailorch.using_config('train', True):
        found = I.confusion(net, Samples(x, t), batch_size=4)
    expected = np.zeros((3, 3), int)
    for label, answer in zip(t, predicted, strict=True):
        expected[label, answer] += 1
    np.testing.assert_array_equal(found.matrix, expected)
    assert found.classes == ('a', 'b', 'c')
    assert found.accuracy == np.trace(expected) / 10
    wrong = [(index, t[index], predicted[index]) for index in np.flatnonzero(predicted != t)]
    assert sorted(mistake[:3] for mistake in found.mistakes()) == wrong
    sure = [mistake.probability for mistake in found.mistakes()]
    assert sure == sorted(sure, reverse=True) and len(sure) > 1
    assert found._repr_html_().count('<td>') == 9
    assert found.picture().shape == (3, 3, 3)
