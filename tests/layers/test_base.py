"""What a layer owns, how it is called, copied and shown."""

import copy
import pickle
import threading
import warnings

import numpy as np
import pytest

import nailorch
import nailorch.functions as F
import nailorch.layers as L
from nailorch import Layer, Model, Parameter, Variable
from nailorch.core import Buffer
from nailorch.layers import base, current_layers
from nailorch.models import Sequential


def normal(*shape, dtype=np.float32):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


class Tower(Layer):
    """Parameters in every place where one can stand."""

    def __init__(self):
        self.first = Parameter(np.zeros(1))
        self.blocks = [L.Linear(2, in_size=3), (L.Linear(2, in_size=2), Parameter(np.zeros(2)))]
        self.heads = {'a': L.Linear(1, in_size=2), 7: Buffer(np.zeros(3))}
        self.number, self.text, self.array, self.variable = 3, 'x', np.zeros(4), Variable(np.zeros(4))
        self.last = Parameter(np.zeros(5))


NAMES = ['first', 'blocks/0/W', 'blocks/0/b', 'blocks/1/0/W', 'blocks/1/0/b', 'blocks/1/1', 'heads/a/W', 'heads/a/b',
         'last']


def test_parameters_are_found_in_lists_tuples_and_dicts_in_definition_order():
    tower = Tower()
    assert [name for name, _ in tower.named_parameters()] == NAMES
    assert [name for name, _ in tower.named_buffers()] == ['heads/7']
    assert [name for name, _ in tower.named_layers()] == ['', 'blocks/0', 'blocks/1/0', 'heads/a']
    assert [id(p) for p in tower.params()] == [id(p) for _, p in tower.named_parameters()]


def test_what_is_added_later_is_found():
    tower = Tower()
    tower.blocks.append(L.Linear(2, in_size=2, nobias=True))
    assert 'blocks/2/W' in dict(tower.named_parameters())


def test_tied_parameters_and_shared_layers_appear_once_by_their_first_name():
    net = Model()
    net.encoder = L.Linear(3, in_size=3)
    net.decoder = L.Linear(3, in_size=3)
    net.decoder.W = net.encoder.W
    net.again = net.encoder
    assert [name for name, _ in net.named_parameters()] == ['encoder/W', 'encoder/b', 'decoder/b']
    assert [name for name, _ in net.named_layers()] == ['', 'encoder', 'decoder']


def test_cycles_are_walked_once():
    parent, child = Model(), Model()
    parent.child, child.parent = child, parent
    child.W = Parameter(np.zeros(1))
    child.items = [child.W]
    child.items.append(child.items)
    assert [name for name, _ in parent.named_parameters()] == ['child/W']
    assert repr(parent) == 'Model(\n  child: Model(\n    parent: ...\n  )\n)'


def test_two_things_of_one_name_are_refused():
    net = Model()
    net.heads = {1: Parameter(np.zeros(1)), '1': Parameter(np.zeros(1))}
    with pytest.raises(ValueError, match="'heads/1'"):
        list(net.params())


def test_attributes_may_have_any_name_that_is_not_documented():
    net = Model()
    net.children = net.slots = net.hooks = net.arguments = net.choose = [L.Linear(2, in_size=2)]
    net.load_state_dict(net.state_dict())
    assert list(net.state_dict()) == ['children/0/W', 'children/0/b']
    assert 'children/0: Linear' in repr(net)


def test_cleargrads_forgets_all_gradients():
    layer = L.Linear(2)
    F.sum(layer(normal(3, 4))).backward()
    assert all(p.grad is not None for p in layer.params())
    layer.cleargrads()
    assert all(p.grad is None for p in layer.params())


# calling


def test_eval_makes_forward_obey_test_mode_and_train_takes_it_back():
    net = L.Dropout(0.5)
    outer = Model()
    outer.parts = [net]
    x = np.ones(100, np.float32)
    assert outer.eval() is outer
    np.testing.assert_array_equal(net(x).data, x)
    assert nailorch.Config.train
    assert outer.train() is outer
    assert (net(x).data == 0).any()


def test_test_mode_wins_over_train():
    net = L.Dropout(0.5).train()
    with nailorch.test_mode():
        np.testing.assert_array_equal(net(np.ones(9)).data, np.ones(9))


def test_eval_of_one_layer_freezes_it_alone():
    net = nailorch.models.Sequential(L.BatchNorm(channels=2), L.BatchNorm(channels=2))
    net[0].eval()
    net(normal(5, 2) + 3)
    np.testing.assert_array_equal(net[0].avg_mean.data, 0)
    assert (net[1].avg_mean.data != 0).all()


def test_hooks_see_inputs_and_outputs_until_removed():
    layer, seen = L.ReLU(), []
    hook = layer.register_forward_hook(lambda *what: seen.append(what))
    other = layer.register_forward_hook(lambda *what: 'ignored')
    y = layer(normal(2))
    (owner, (x,), outputs), = seen
    assert owner is layer
    assert outputs is y
    np.testing.assert_array_equal(x, normal(2))
    hook.remove()
    hook.remove()
    layer(normal(2))
    assert len(seen) == 1
    assert layer._hooks == (other,)
    assert L.ReLU()._hooks == ()


def test_a_hook_may_remove_itself_while_it_runs():
    layer, count = L.ReLU(), []
    hooks = [layer.register_forward_hook(lambda *_: (count.append(1), hooks[0].remove())),
             layer.register_forward_hook(lambda *_: count.append(2))]
    layer(normal(2))
    layer(normal(2))
    assert count == [1, 2, 2]


def test_current_layers_names_the_running_ones_outermost_first():
    class Watch(Layer):
        def forward(self, x):
            self.seen = current_layers()
            return x

    inner = Watch()
    outer = nailorch.models.Sequential(inner)
    outer(normal(1))
    assert inner.seen == (outer, inner)
    assert current_layers() == ()


def test_current_layers_is_empty_after_an_error_and_in_other_threads():
    class Fails(Layer):
        def forward(self, x):
            seen = []
            thread = threading.Thread(target=lambda: seen.append(current_layers()))
            thread.start()
            thread.join()
            self.other = seen[0]
            raise KeyError

    layer = Fails()
    with pytest.raises(KeyError):
        layer(1)
    assert layer.other == ()
    assert current_layers() == ()


def test_a_layer_without_forward_says_so():
    with pytest.raises(NotImplementedError, match=r'Model\.forward'):
        Model()(1)


def test_keywords_reach_forward():
    class Scale(Layer):
        def forward(self, x, by=1):
            return x * by

    assert Scale()(2, by=3) == 6


def test_to_gpu_says_that_there_is_none():
    assert isinstance(L.Linear(1).to_cpu(), L.Linear)
    with pytest.raises(RuntimeError, match='no GPU'):
        L.Linear(1).to_gpu()


# float64 data


@pytest.mark.parametrize('layer', [lambda: L.Linear(2), lambda: L.Conv2d(2, 3), lambda: L.Deconv2d(2, 3)])
def test_float64_data_warns_once_and_is_computed_in_float64(layer, monkeypatch):
    monkeypatch.setattr(base, 'doubles_met', False)
    layer = layer()
    with pytest.warns(UserWarning, match=r"astype\('float32'\)") as caught:
        y = layer(normal(2, 3, 4, 4, dtype=np.float64))
    assert caught[0].filename == __file__
    assert y.dtype == np.float64
    assert {p.dtype for p in layer.params()} == {np.dtype(np.float32)}
    layer(normal(2, 3, 4, 4, dtype=np.float64))  # a second warning would be an error


def test_float64_data_and_float64_parameters_are_nobodys_mistake(monkeypatch):
    monkeypatch.setattr(base, 'doubles_met', False)
    with warnings.catch_warnings(), nailorch.using_config('dtype', np.float64):
        warnings.simplefilter('error')
        assert L.Linear(2)(normal(2, 3, dtype=np.float64)).dtype == np.float64


# copies


def trained():
    net = nailorch.models.Sequential(L.Linear(3, in_size=3), L.BatchNorm(), L.Linear(3, in_size=3))
    net.l2.W = net.l0.W
    F.sum(net(normal(4, 3))).backward()
    return net


@pytest.mark.parametrize('clone', [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_keep_weights_and_ties_and_nothing_else(clone):
    net = trained()
    net.register_forward_hook(lambda *_: None)
    other = clone(net)
    assert [name for name, _ in other.named_parameters()] == [name for name, _ in net.named_parameters()]
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[name], array)
        assert not np.shares_memory(other.state_dict()[name], array)
    assert other.l2.W is other.l0.W
    assert all(p.grad is None for p in other.params())
    assert all(p.grad is not None for p in net.params())
    assert not other.l1.avg_mean.requires_grad
    assert other._hooks == ()
    assert len(net._hooks) == 1
    np.testing.assert_array_equal(other(normal(2, 3)).data, net(normal(2, 3)).data)


def test_a_copy_of_a_recurrent_layer_drops_the_tape():
    rnn = L.RNN(2)
    rnn(normal(1, 3))
    other = copy.deepcopy(rnn)
    assert other.h.creator is None
    np.testing.assert_array_equal(other.h.data, rnn.h.data)


# prints


def test_repr_shows_the_nest_and_what_is_not_the_default():
    inner = nailorch.models.Sequential(L.Linear(2, nobias=True))
    net = nailorch.models.Sequential(L.Conv2d(4, 3, pad=1), F.relu, inner)
    assert repr(net) == ('Sequential(\n  l0: Conv2d(4, 3, pad=1)\n  l1: relu\n  l2: Sequential(\n'
                         '    l0: Linear(2, nobias=True)\n  )\n)')
    assert repr(L.LeakyReLU(0.1)) == 'LeakyReLU(slope=0.1)'
    assert repr(L.Linear(2)) == 'Linear(2)'


def test_repr_shows_sizes_once_they_are_known():
    layer = L.Conv2d(4, (3, 1))
    layer(normal(1, 2, 5, 5))
    assert repr(layer) == 'Conv2d(4, (3, 1), in_channels=2)'


def test_repr_of_layers_in_lists_names_their_places():
    assert '\n  blocks/1/0: Linear(2, in_size=2)' in repr(Tower())


def test_a_parameter_is_not_replaced_by_an_array():
    layer = L.Linear(2, in_size=3)
    for value in (np.zeros((3, 2)), layer.W * 2):
        with pytest.raises(TypeError, match=r'Linear.W is a Parameter.*layer.W.data = array'):
            layer.W = value
    layer.W.data = np.zeros((3, 2), np.float32)
    layer.W = Parameter(np.ones((3, 2)))
    layer.b = None
    assert [name for name, _ in layer.named_parameters()] == ['W']


def test_an_error_tells_in_which_layer_it_arose():
    net = Sequential(L.Conv2d(4, 3), Sequential(L.MaxPool2d(2), L.Flatten()), L.Linear(3, in_size=7))
    with pytest.raises(ValueError) as caught:
        net(np.zeros((2, 1, 6, 6), 'float32'))
    assert caught.value.__notes__ == ['in the layer l2, Linear(3, in_size=7), which was given (2, 16)']
    with pytest.raises(ValueError) as caught:
        net(np.zeros((2, 1, 3, 3), 'float32'))
    assert caught.value.__notes__ == ['in the layer l1/l0, MaxPool2d(2), which was given (2, 4, 1, 1)']
    with pytest.raises(ValueError) as caught:
        L.Linear(3, in_size=7)(np.zeros((2, 3), 'float32'))
    assert not hasattr(caught.value, '__notes__')
