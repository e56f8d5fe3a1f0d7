"""What every model of the family can do: any batch, both engines, sessions, graphs, copies, a step of training."""

import copy

import numpy as np
import pytest

import nailorch
import nailorch.functions as F
from nailorch import as_array, graph, models, no_grad, test_mode, using_config

SMALL = {
    'vgg11': lambda: models.VGG11(5, width=2, hidden=12),
    'vgg16_bn': lambda: models.VGG16_BN(5, width=2, hidden=12),
    'resnet18': lambda: models.ResNet18(5, width=4),
    'resnet50': lambda: models.ResNet50(5, width=4),
    'squeezenet1_0': lambda: models.SqueezeNet1_0(5, width=.125),
    'squeezenet1_1': lambda: models.SqueezeNet1_1(5, width=.125),
    'mobilenet_v2': lambda: models.MobileNetV2(5, width=.25),
    'efficientnet_lite0': lambda: models.EfficientNetLite0(5, width=.25),
}
every = pytest.mark.parametrize('name', SMALL)


def images(n=3, size=(67, 61), dtype=np.float32):
    return np.random.default_rng(n).standard_normal((n, 3, *size)).astype(dtype)


def ready(name):
    """Return a small model whose weights are drawn and whose batch norms have averages as after training."""
    net = SMALL[name]()
    with no_grad(), test_mode():
        net(images(1))
    rng = np.random.default_rng(1)
    for path, p in [*net.named_parameters(), *net.named_buffers()]:
        if path.endswith(('gamma', 'avg_var')):
            p.data[:] = rng.uniform(.5, 1.5, p.shape)
        elif path.endswith(('beta', 'avg_mean')):
            p.data[:] = rng.normal(0, .2, p.shape)
    return net


def scores(net, x):
    with no_grad(), test_mode():
        return as_array(net(x))


def near(y, z, tolerance=1e-4):
    assert y.shape == z.shape
    assert np.abs(y - z).max() < tolerance * np.abs(z).max()


@every
def test_both_engines_agree(name):
    net, x = ready(name), images()
    y = scores(net, x)
    with using_config('engine', 'reference'):
        near(y, scores(net, x))


@every
def test_a_batch_is_its_images_one_by_one(name):
    net, x = ready(name), images(3)
    near(scores(net, x), np.concatenate([scores(net, x[i:i + 1]) for i in range(3)]))


@every
def test_a_session_agrees_at_any_batch_size(name):
    net = ready(name)
    session = nailorch.compile(net, images(2))
    for n in (1, 3):
        near(session(images(n)), scores(net, images(n)))


@every
def test_its_graph_serves_any_batch(name):
    net = ready(name)
    traced = graph.trace(net, images(1))
    near(traced.run(images(3))[0], scores(net, images(3)))
    assert str(traced.values[traced.outputs[0]].shape) == '(N, 5)'


@every
def test_a_copy_is_another_model_with_the_same_scores(name):
    net, x = ready(name), images(1)
    y, twin = scores(net, x), copy.deepcopy(net)
    np.testing.assert_array_equal(scores(twin, x), y)
    for p in net.params():
        p.data[...] = 0
    np.testing.assert_array_equal(scores(twin, x), y)


@every
def test_a_step_of_training_lowers_the_loss(name):
    net, x, t = SMALL[name](), images(4), np.arange(4)
    net(x)

    def loss():
        nailorch.rng.seed(0)  # dropout drops the same features both times
        return F.softmax_cross_entropy(net(x), t)

    optimizer = nailorch.optimizers.SGD(1e-5).setup(net)  # batch norms over four images make steep losses
    before = loss()
    before.backward()
    assert all(np.isfinite(p.grad.data).all() for p in net.params())
    optimizer.update()
    assert loss().data < before.data
