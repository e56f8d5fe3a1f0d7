"""state_dict, load_state_dict, save_weights, load_weights: all fits or nothing is loaded."""

import numpy as np
import pytest

import nailorch
import nailorch.layers as L
from nailorch import Model


def normal(*shape, dtype=np.float32):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


class Net(Model):
    def __init__(self):
        super().__init__()
        self.conv1 = L.Conv2d(4, 3, pad=1)
        self.bn1 = L.BatchNorm()
        self.fc1 = L.Linear(5)

    def forward(self, x):
        return self.fc1(self.bn1(self.conv1(x)).reshape(len(x), -1))


def called(seed=0):
    nailorch.seed(seed)
    net = Net()
    net(normal(2, 3, 4, 6))
    return net


SHAPES = {'conv1/W': (4, 3, 3, 3), 'conv1/b': (4,), 'bn1/gamma': (4,), 'bn1/beta': (4,), 'bn1/avg_mean': (4,),
          'bn1/avg_var': (4,), 'fc1/W': (96, 5), 'fc1/b': (5,)}


def assert_same(net, other):
    ours, theirs = net.state_dict(), other.state_dict()
    assert list(ours) == list(theirs)
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name])
        assert ours[name].dtype == theirs[name].dtype


def test_state_dict_holds_parameters_and_buffers_in_order():
    assert {name: array.shape for name, array in called().state_dict().items()} == SHAPES
    assert list(called().state_dict()) == list(SHAPES)


def test_state_dict_round_trip_copies():
    net, other = called(0), called(1)
    state = net.state_dict()
    assert other.load_state_dict(state) == []
    assert_same(net, other)
    state['fc1/b'][:] = 7
    assert (other.fc1.b.data == 0).all()


def test_loading_leaves_old_arrays_as_they_were():
    net = called(0)
    old = net.fc1.W.data
    kept = old.copy()
    net.load_state_dict(called(1).state_dict())
    np.testing.assert_array_equal(old, kept)


def test_weights_round_trip_through_a_file_numpy_can_read(tmp_path):
    net, other = called(0), called(1)
    net.save_weights(tmp_path / 'net.npz')
    assert other.load_weights(tmp_path / 'net.npz') == []
    assert_same(net, other)
    with np.load(tmp_path / 'net.npz', allow_pickle=False) as file:
        assert {name: file[name].shape for name in file.files} == SHAPES


def test_weights_saved_by_numpy_load(tmp_path):
    net, other = called(0), called(1)
    np.savez_compressed(tmp_path / 'net.npz', **net.state_dict())
    other.load_weights(tmp_path / 'net.npz')
    assert_same(net, other)


def test_a_path_without_suffix_gets_one_as_in_numpy(tmp_path):
    net, other = called(0), called(1)
    net.save_weights(str(tmp_path / 'net.v1'))
    assert [path.name for path in tmp_path.iterdir()] == ['net.v1.npz']
    other.load_weights(tmp_path / 'net.v1')
    assert_same(net, other)


def test_a_model_never_called_learns_its_sizes_from_the_file(tmp_path):
    net, fresh = called(0), Net()
    net.save_weights(tmp_path / 'net.npz')
    fresh.load_weights(tmp_path / 'net.npz')
    assert_same(net, fresh)
    with nailorch.test_mode():
        np.testing.assert_array_equal(fresh(normal(1, 3, 4, 6)).data, net(normal(1, 3, 4, 6)).data)


def test_what_is_known_of_a_lazy_shape_is_checked():
    state = called().state_dict()
    with pytest.raises(ValueError, match=r'conv1/W: wrong shape \(5, 3, 3, 3\); \(4, \?, 3, 3\) is expected'):
        Net().load_state_dict({**state, 'conv1/W': normal(5, 3, 3, 3)})


def test_saving_a_model_never_called_says_to_call_it(tmp_path):
    with pytest.raises(ValueError, match=r'conv1/W, bn1/gamma.*Call the model once'):
        Net().save_weights(tmp_path / 'net.npz')
    assert list(tmp_path.iterdir()) == []


def spoiled():
    state = dict(called(1).state_dict())
    del state['conv1/b'], state['bn1/avg_var']
    return {**state, 'fc1/W': normal(100, 5), 'fc9/W': normal(2, 2)}


def test_all_that_does_not_fit_is_one_error_and_nothing_is_loaded(tmp_path):
    net, before = called(0), called(0)
    np.savez(tmp_path / 'bad.npz', **spoiled())
    for load in (lambda: net.load_state_dict(spoiled()), lambda: net.load_weights(tmp_path / 'bad.npz')):
        with pytest.raises(ValueError) as caught:
            load()
        text = str(caught.value)
        for line in ('conv1/b: missing; (4,)', 'bn1/avg_var: missing', 'fc1/W: wrong shape (100, 5); (96, 5)',
                     'fc9/W: unexpected', 'nothing was loaded'):
            assert line in text
        assert_same(net, before)
    assert str(tmp_path / 'bad.npz') in text


def test_strict_false_loads_what_fits_and_tells_the_rest(tmp_path):
    source = called(1)
    np.savez(tmp_path / 'bad.npz', **spoiled())
    for load in (lambda net: net.load_state_dict(spoiled(), strict=False),
                 lambda net: net.load_weights(tmp_path / 'bad.npz', strict=False)):
        net = called(0)
        skipped = load(net)
        assert [line.split(':')[0] for line in skipped] == ['conv1/b', 'bn1/avg_var', 'fc1/W', 'fc9/W']
        np.testing.assert_array_equal(net.conv1.W.data, source.conv1.W.data)
        np.testing.assert_array_equal(net.fc1.W.data, called(0).fc1.W.data)


def test_loading_keeps_the_models_dtype():
    net = called()
    net.load_state_dict({name: array.astype(np.float64) for name, array in net.state_dict().items()})
    assert {array.dtype for array in net.state_dict().values()} == {np.dtype(np.float32)}
    lazy = L.Linear(2, dtype=np.float64)
    lazy.load_state_dict({'W': normal(3, 2), 'b': normal(2)})
    assert {array.dtype for array in lazy.state_dict().values()} == {np.dtype(np.float64)}


def test_loading_makes_contiguous_writable_arrays():
    layer = L.Linear(2)
    layer.load_state_dict({'W': normal(2, 3).T, 'b': np.broadcast_to(np.float32(1), (2,))})
    assert layer.W.data.flags.c_contiguous
    assert layer.b.data.flags.writeable


def test_strings_are_no_weights():
    with pytest.raises(TypeError, match='expected numbers'):
        L.Linear(2, in_size=1).load_state_dict({'W': np.array([['a', 'b']]), 'b': np.zeros(2)})


def test_tied_parameters_are_saved_once(tmp_path):
    net = Model()
    net.a, net.b = L.Linear(2, in_size=2), L.Linear(2, in_size=2)
    net.b.W = net.a.W
    net.save_weights(tmp_path / 'tied.npz')
    net.load_weights(tmp_path / 'tied.npz')
    assert list(net.state_dict()) == ['a/W', 'a/b', 'b/b']
    assert net.b.W is net.a.W


@pytest.mark.parametrize('name', ['file', 'self', 'args'])
def test_any_name_can_be_saved(name, tmp_path):
    net = Model()
    setattr(net, name, nailorch.Parameter(np.ones(2)))
    net.save_weights(tmp_path / 'a.npz')
    net.load_weights(tmp_path / 'a.npz')


def test_errors_come_in_chinese_too():
    with nailorch.using_config('lang', 'zh'), pytest.raises(ValueError, match='缺少'):
        called().load_state_dict({})
