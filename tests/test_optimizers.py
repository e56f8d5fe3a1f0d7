import copy
import json
import math
from typing import ClassVar

import numpy as np
import pytest

from nailorch import kernels, optimizers, using_config
from nailorch.core import Buffer, Parameter, Variable
from nailorch.layers.base import Layer
from nailorch.optimizers import (
    SGD,
    AdaDelta,
    AdaGrad,
    Adam,
    AdamW,
    ClipGrad,
    FreezeParam,
    Momentum,
    RMSprop,
    WeightDecay,
)
from nailorch.training.packing import pack, unpack

ALL = {
    'SGD': (lambda: SGD(0.1), lambda t, ps: t.optim.SGD(ps, 0.1)),
    'Momentum': (lambda: Momentum(0.1, 0.8), lambda t, ps: t.optim.SGD(ps, 0.1, momentum=0.8)),
    'Nesterov': (lambda: Momentum(0.1, nesterov=True), lambda t, ps: t.optim.SGD(ps, 0.1, momentum=0.9, nesterov=True)),
    'AdaGrad': (lambda: AdaGrad(0.1), lambda t, ps: t.optim.Adagrad(ps, 0.1, eps=1e-8)),
    'AdaDelta': (lambda: AdaDelta(), lambda t, ps: t.optim.Adadelta(ps, 1.0, rho=0.95, eps=1e-6)),
    'RMSprop': (lambda: RMSprop(0.1), lambda t, ps: t.optim.RMSprop(ps, 0.1, alpha=0.99, eps=1e-8)),
    'Adam': (lambda: Adam(0.1, 0.8, 0.99), lambda t, ps: t.optim.Adam(ps, 0.1, betas=(0.8, 0.99))),
    'AdamW': (lambda: AdamW(0.1, weight_decay=0.3), lambda t, ps: t.optim.AdamW(ps, 0.1, weight_decay=0.3)),
}
make_each = pytest.mark.parametrize('make', [make for make, _ in ALL.values()], ids=list(ALL))


class Net(Layer):
    def __init__(self, dtype=np.float32):
        rng = np.random.default_rng(1)
        self.W = Parameter(rng.standard_normal((3, 4)).astype(dtype), 'W')
        self.b = Parameter(rng.standard_normal(4).astype(dtype), 'b')


def gradients(net, step):
    rng = np.random.default_rng(step)
    for p in net.params():
        p.grad = Variable(rng.standard_normal(p.shape).astype(p.dtype), requires_grad=False)


def train(net, optimizer, steps):
    for step in steps:
        gradients(net, step)
        optimizer.update()


def weights(net):
    return {name: p.data.copy() for name, p in net.named_parameters()}


def same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


@pytest.mark.parametrize('name', ALL)
def test_optimizer_equals_pytorch(name):
    torch = pytest.importorskip('torch')
    make, make_torch = ALL[name]
    net = Net(np.float64)
    peers = [torch.nn.Parameter(torch.tensor(p.data.copy())) for p in net.params()]
    ours, theirs = make().setup(net), make_torch(torch, peers)
    for step in range(5):
        gradients(net, step)
        for p, peer in zip(net.params(), peers, strict=True):
            peer.grad = torch.tensor(p.grad.data)
        ours.update()
        theirs.step()
    for p, peer in zip(net.params(), peers, strict=True):
        np.testing.assert_allclose(p.data, peer.detach().numpy(), rtol=1e-10, atol=1e-12)


def test_adam_equals_its_paper():
    net = Net(np.float64)
    W, m, v = net.W.data.copy(), 0.0, 0.0
    optimizer = Adam(0.1).setup(net)
    for t in range(1, 6):
        gradients(net, t)
        g = net.W.grad.data
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        W = W - 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        optimizer.update()
    np.testing.assert_allclose(net.W.data, W, rtol=1e-12)


@make_each
@pytest.mark.parametrize('dtype', [np.float16, np.float32, np.float64])
def test_update_keeps_dtype_and_follows_float64(make, dtype):
    net, exact = Net(dtype), Net(np.float64)
    optimizer = make().setup(net)
    for p, q in zip(net.params(), exact.params(), strict=True):
        q.data = p.data.astype(np.float64)
    twin = make().setup(exact)
    for step in range(5):
        gradients(net, step)
        for p, q in zip(net.params(), exact.params(), strict=True):
            q.grad = Variable(p.grad.data.astype(np.float64))
        optimizer.update()
        twin.update()
    for p, q in zip(net.params(), exact.params(), strict=True):
        assert p.dtype == dtype
        np.testing.assert_allclose(p.data, q.data, rtol=20 * np.finfo(dtype).eps, atol=20 * np.finfo(dtype).eps)
    for arrays in optimizer.kept.values():
        assert all(array.dtype == (np.float64 if dtype == np.float64 else np.float32) for array in arrays.values())


class Watched(np.ndarray):
    """An array that notes the dtype of everything computed from it."""

    seen: ClassVar[set[np.dtype]] = set()

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        arrays = [np.asarray(x) if isinstance(x, Watched) else x for x in inputs]
        options |= {'out': tuple(np.asarray(x) for x in out)} if out else {}
        y = getattr(ufunc, method)(*arrays, **options)
        self.seen.add(y.dtype)
        return out[0] if out else y.view(Watched)


@make_each
def test_update_computes_in_float32_throughout(make):
    optimizer = make()
    optimizer.lr = np.float64(0.1)  # a NumPy scalar would widen what it touches
    Watched.seen = set()
    params, grads, *kept = [[np.ones(5, np.float32).view(Watched)] for _ in range(2 + len(optimizer.keeps))]
    with using_config('engine', 'reference'):  # others do not compute with ufuncs
        optimizer.move(params, grads, [1], *kept)
    assert Watched.seen == {np.dtype(np.float32)}
    assert params[0][0] < 1


@make_each
def test_update_writes_in_place_and_reads_gradients_only(make):
    net = Net()
    aliases = [p.data for p in net.params()]
    gradients(net, 0)
    grads = [p.grad for p in net.params()]
    copies = [grad.data.copy() for grad in grads]
    before = weights(net)
    optimizer = make().setup(net)
    for hook in [WeightDecay(0.1), ClipGrad(0.01)]:
        optimizer.add_hook(hook)
    optimizer.update()
    for p, alias, grad, copied, old in zip(net.params(), aliases, grads, copies, before.values(), strict=True):
        assert p.data is alias and p.grad is grad
        np.testing.assert_array_equal(grad.data, copied)
        assert (p.data != old).all()


@make_each
def test_state_goes_on_bit_identically(make):
    net = Net()
    optimizer = make().setup(net)
    train(net, optimizer, range(3))
    optimizer.lr *= 0.5

    arrays, plain = pack(copy.deepcopy(optimizer.state_dict()))
    resumed_net = copy.deepcopy(net)
    resumed = type(optimizer)().setup(resumed_net)
    resumed.load_state_dict(unpack(arrays, json.loads(json.dumps(plain))))

    train(net, optimizer, range(3, 6))
    train(resumed_net, resumed, range(3, 6))
    assert resumed.state_dict()['settings'] == optimizer.state_dict()['settings']
    same(weights(net), weights(resumed_net))


def test_loaded_state_belongs_to_the_optimizer_alone():
    net = Net()
    optimizer = Momentum().setup(net)
    train(net, optimizer, range(1))
    state = copy.deepcopy(optimizer.state_dict())
    expected = state['velocity']['W'].copy()
    optimizer.load_state_dict(state)
    train(net, optimizer, range(1, 3))
    np.testing.assert_array_equal(state['velocity']['W'], expected)


@pytest.mark.parametrize(('change', 'text'), [
    (lambda s: s.update(optimizer='SGD'), 'Momentum.load_state_dict: this is the state of SGD'),
    (lambda s: s.pop('velocity'), 'incomplete'),
    (lambda s: s['velocity'].pop('W'), 'incomplete'),
    (lambda s: s['settings'].pop('nesterov'), 'incomplete'),
    (lambda s: (s['steps'].update(c=1), s['velocity'].update(c=np.ones(1))), 'no parameters called c'),
    (lambda s: s['velocity'].update(W=np.ones((4, 3))),
     r'velocity of W has shape \(4, 3\), the parameter itself \(3, 4\)'),
])
def test_load_state_dict_refuses_what_does_not_fit(change, text):
    net = Net()
    optimizer = Momentum(0.5).setup(net)
    train(net, optimizer, range(1))
    state = copy.deepcopy(optimizer.state_dict())
    change(state)
    state['settings']['lr'] = 0.25
    with pytest.raises(ValueError, match=text):
        optimizer.load_state_dict(state)
    assert optimizer.lr == 0.5


def test_update_skips_what_has_no_gradient_or_no_data():
    net = Net()
    net.lazy, net.average = Parameter(None, 'lazy'), Buffer(np.ones(2))
    optimizer = Adam().setup(net)
    gradients_for = [net.W]
    for p in gradients_for:
        p.grad = Variable(np.ones(p.shape, np.float32))
    before = net.b.data.copy()
    optimizer.update()
    np.testing.assert_array_equal(net.b.data, before)
    np.testing.assert_array_equal(net.average.data, np.ones(2))
    assert optimizer.state_dict()['steps'] == {'W': 1}


def test_parameter_that_joins_late_is_corrected_from_its_own_first_step():
    net = Net()
    optimizer = Adam(0.1).setup(net)
    for _ in range(10):
        net.W.grad = Variable(np.ones((3, 4), np.float32))
        optimizer.update()
    net.b.grad = Variable(np.full(4, 7, np.float32))
    before = net.b.data.copy()
    optimizer.update()
    np.testing.assert_allclose(before - net.b.data, 0.1, rtol=1e-5)  # Adam's first step is alpha, whatever g


def test_frozen_parameters_stay_though_they_have_a_gradient():
    net = Net()
    gradients(net, 0)
    net.W.requires_grad = False
    before = net.W.data.copy()
    SGD().setup(net).update()
    np.testing.assert_array_equal(net.W.data, before)


def test_tied_parameters_are_updated_once():
    net = Net()
    net.tied = net.W
    before = net.W.data.copy()
    gradients(net, 0)
    SGD(1.0).setup(net).update()
    np.testing.assert_allclose(net.W.data, before - net.W.grad.data, rtol=1e-6)


def test_replaced_parameter_of_another_shape_starts_anew():
    net = Net()
    optimizer = Momentum(1.0).setup(net)
    train(net, optimizer, range(2))
    net.W = Parameter(np.zeros(2, np.float32))
    net.W.grad = Variable(np.ones(2, np.float32))
    optimizer.update()
    np.testing.assert_array_equal(net.W.data, [-1, -1])


def test_setup_on_another_model_forgets():
    optimizer = Momentum(1.0)
    train(net := Net(), optimizer.setup(net), range(2))
    assert optimizer.setup(net).steps == {'W': 2, 'b': 2}
    assert optimizer.setup(Net()).steps == {}


def test_optimizer_and_model_copied_together_go_on_alike():
    net = Net()
    optimizer = Adam().setup(net)
    train(net, optimizer, range(2))
    twin = copy.deepcopy(optimizer)
    train(net, optimizer, range(2, 4))
    assert twin.target is not net
    train(twin.target, twin, range(2, 4))
    same(weights(net), weights(twin.target))


@make_each
def test_lr_is_readable_and_settable(make):
    optimizer = make()
    optimizer.lr = 0.25
    assert optimizer.lr == 0.25
    with pytest.raises(ValueError, match=r'lr = -1: expected a number in \[0, inf\)'):
        optimizer.lr = -1


def test_adams_lr_is_alpha():
    optimizer = Adam(alpha=0.5)
    optimizer.alpha /= 2
    assert optimizer.lr == optimizer.alpha == 0.25


def test_momentum_has_the_ancestors_name_and_bounds():
    assert optimizers.MomentumSGD is Momentum
    with pytest.raises(ValueError, match=r'momentum = 1\.5: expected a number in \[0, 1\)'):
        Momentum(momentum=1.5)


def test_setup_of_parameters_says_what_to_call():
    with pytest.raises(TypeError, match=r'SGD\.setup: .* got generator; call setup\(model\)'):
        optimizers.SGD().setup(Layer().params())


def test_update_before_setup_says_what_to_call():
    with pytest.raises(ValueError, match=r'call Adam\(\.\.\.\)\.setup\(model\) first'):
        Adam().update()


def test_gradient_of_another_shape_is_named():
    net = Net()
    net.W.grad = Variable(np.ones(4, np.float32))
    with pytest.raises(ValueError, match=r'SGD: the gradient of W has shape \(4,\), the parameter itself \(3, 4\)'):
        SGD().setup(net).update()


def test_user_optimizer_needs_only_step():
    class Sign(optimizers.Optimizer):
        def move(self, params, grads, steps):
            for p, g in zip(params, grads, strict=True):
                p -= self.lr * np.sign(g)

    net = Net()
    gradients(net, 0)
    expected = net.W.data - np.float32(0.5) * np.sign(net.W.grad.data)
    Sign(0.5).setup(net).update()
    np.testing.assert_array_equal(net.W.data, expected)


# hooks


def test_weight_decay_equals_the_penalised_gradient():
    net = Net(np.float64)
    gradients(net, 0)
    expected = net.W.data - 0.5 * (net.W.grad.data + 0.1 * net.W.data)
    optimizer = SGD(0.5).setup(net)
    optimizer.add_hook(WeightDecay(0.1))
    optimizer.update()
    np.testing.assert_allclose(net.W.data, expected, rtol=1e-14)


def test_weight_decay_leaves_a_shared_gradient_alone():
    net = Net(np.float64)
    net.c = Parameter(net.b.data.copy())
    shared = Variable(np.ones(4))
    net.b.grad = net.c.grad = shared
    optimizer = SGD(1.0).setup(net)
    optimizer.add_hook(WeightDecay(0.5))
    before = net.b.data.copy()
    optimizer.update()
    np.testing.assert_array_equal(shared.data, np.ones(4))
    np.testing.assert_allclose(net.b.data, before - 1 - 0.5 * before)
    np.testing.assert_allclose(net.c.data, net.b.data)


def test_clip_grad_scales_the_global_norm():
    net = Net(np.float64)
    gradients(net, 0)
    before, grads = weights(net), {name: p.grad.data for name, p in net.named_parameters()}
    norm = math.sqrt(sum((g**2).sum() for g in grads.values()))
    optimizer = SGD(1.0).setup(net)
    optimizer.add_hook(ClipGrad(0.5 * norm))
    optimizer.update()
    for name, p in net.named_parameters():
        np.testing.assert_allclose(before[name] - p.data, 0.5 * grads[name], rtol=1e-12)


def test_clip_grad_leaves_short_gradients_alone():
    clipped, free = Net(), Net()
    for net, hooks in [(clipped, [ClipGrad(1e6)]), (free, [])]:
        optimizer = SGD().setup(net)
        for hook in hooks:
            optimizer.add_hook(hook)
        train(net, optimizer, range(1))
    same(weights(clipped), weights(free))


def test_clip_grad_measures_float16_without_overflow():
    net = Net(np.float16)
    net.W.grad = Variable(np.full((3, 4), 1e4, np.float16))  # its square is 65504 many times over
    before = net.W.data.copy()
    optimizer = SGD(1.0).setup(net)
    optimizer.add_hook(ClipGrad(math.sqrt(12)))
    optimizer.update()
    np.testing.assert_allclose(before - net.W.data, 1, atol=2e-3)


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_clip_grad_says_which_gradient_is_not_finite(value):
    net = Net()
    gradients(net, 0)
    net.b.grad.data[2] = value
    before = weights(net)
    optimizer = Adam().setup(net)
    optimizer.add_hook(ClipGrad(1.0))
    with pytest.raises(FloatingPointError, match=rf'norm is {value}, since that of b \(4,\) is not finite'):
        optimizer.update()
    same(weights(net), before)
    assert optimizer.steps == {}


def test_freeze_param_takes_layers_and_parameters():
    net = Net()
    net.part = Net()
    before = weights(net)
    optimizer = SGD().setup(net)
    optimizer.add_hook(FreezeParam(net.part, net.b))
    train(net, optimizer, range(2))
    after = weights(net)
    assert [name for name in after if (after[name] != before[name]).any()] == ['W']
    assert net.b.grad is not None


@pytest.mark.parametrize('rate', [-0.1, math.nan])
def test_hooks_check_their_numbers(rate):
    for hook in WeightDecay, ClipGrad:
        with pytest.raises(ValueError, match='expected a number'):
            hook(rate)


def test_every_update_is_a_kernel():
    names = {name for name in dir(kernels.reference) if name.endswith('_update')}
    assert names == {f'{name}_update' for name in ('sgd', 'momentum', 'adagrad', 'adadelta', 'rmsprop', 'adam')}
    assert all(callable(getattr(kernels, name)) for name in names)


def test_parameters_given_to_the_constructor_are_sent_to_setup():
    with pytest.raises(TypeError, match=r'expected a number, got generator.*\.setup\(model\)'):
        optimizers.Adam(p for p in [Parameter(np.ones(2))])
    assert not hasattr(optimizers.Adam(), 'step')  # PyTorch's name for update()
