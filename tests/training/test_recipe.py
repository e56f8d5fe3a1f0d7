"""From settings to a training: names, optimisers, schedules; and the look inside."""

import numpy as np
import pytest

import nailorch.functions as F
import nailorch.layers as L
from nailorch import optimizers, rng
from nailorch.config import using_config
from nailorch.datasets import ArrayDataset
from nailorch.inspection import grad_cam
from nailorch.models import MLP, LeNet, Sequential
from nailorch.training.inside import look_inside
from nailorch.training.recipe import (
    OPTIMIZERS,
    SCHEDULES,
    build_model,
    build_optimizer,
    build_schedule,
    model_names,
    resolve,
)
from nailorch.training.settings import Settings, change


def told(**values):
    return change(Settings(), {f'training.{name}': value for name, value in values.items()}).training


def rates(times, **values):
    """The learning rate before each of some batches, 10 an epoch."""
    training = told(**values)
    optimizer, schedule = build_optimizer(training), build_schedule(training, batches=10)
    return [schedule.update(optimizer, step=step, epoch=step // 10) if schedule else optimizer.lr for step in times]


def test_every_model_gives_a_score_to_each_class():
    for name in ('mlp', 'lenet', 'mnistnet'):
        assert build_model(name, 7)(np.zeros((2, 1, 28, 28), np.float32)).shape == (2, 7)


def test_all_models_of_the_mission_have_a_name():
    wanted = {'mlp', 'lenet', 'mnistnet', 'vgg11', 'vgg13', 'vgg16', 'vgg19', 'resnet18', 'resnet34', 'resnet50',
              'resnet101', 'resnet152'}
    assert wanted <= set(model_names())
    assert not {'model', 'sequential', 'vgg', 'resnet'} & set(model_names())


def test_what_is_left_open_is_filled_in():
    resolved = resolve(Settings())
    assert (resolved.training.lr, resolved.training.weight_decay, resolved.data.size) == (0.001, 0.0, None)
    assert resolve(change(Settings(), {'training.optimizer': 'adamw'})).training.weight_decay == 0.01
    assert resolve(change(Settings(), {'data.name': 'a/folder'})).data.size == 64
    assert resolve(resolved) == resolved


def test_what_is_given_is_kept():
    given = change(Settings(), {'training.lr': 0.5, 'training.weight_decay': 0.1, 'data.size': 20})
    assert resolve(given) == given


@pytest.mark.parametrize(('key', 'value', 'near'), [
    ('model.name', 'resnet-18', 'resnet18'),
    ('data.name', 'fashionmnist', 'fashion_mnist'),
    ('training.optimizer', 'Adam', 'adam'),
    ('training.schedule', 'cosin', 'cosine'),
])
def test_a_name_that_means_nothing_is_answered_with_the_nearest(key, value, near):
    answer = rf"{key}: .*'{value}'.*: did you mean '{near}'"
    with using_config('lang', 'en'), pytest.raises(ValueError, match=answer):
        resolve(change(Settings(), {key: value}))


@pytest.mark.parametrize('name', OPTIMIZERS)
def test_every_optimiser_takes_its_usual_rate_or_the_one_given(name):
    assert build_optimizer(told(optimizer=name)).lr == OPTIMIZERS[name][1]
    assert build_optimizer(told(optimizer=name, lr=0.125)).lr == 0.125


def test_nesterov_looks_ahead():
    assert build_optimizer(told(optimizer='nesterov')).nesterov
    assert not build_optimizer(told(optimizer='momentum')).nesterov


def test_decay_and_clipping_become_hooks():
    kinds = [type(hook) for hook in build_optimizer(told(clip=1.0, weight_decay=0.1)).hooks]
    assert kinds == [optimizers.ClipGrad, optimizers.WeightDecay]
    assert build_optimizer(told()).hooks == []


def test_adamw_decays_by_itself():
    optimizer = build_optimizer(told(optimizer='adamw', weight_decay=0.2))
    assert (optimizer.hooks, optimizer.weight_decay) == ([], 0.2)


def test_a_constant_rate_is_no_schedule():
    assert build_schedule(told(schedule='constant'), 10) is None


def test_cosine_ends_at_zero_after_all_epochs():
    assert rates((0, 20, 40), epochs=4, lr=0.5) == pytest.approx([0.5, 0.25, 0.0])


def test_step_divides_by_ten_after_each_third():
    assert rates((0, 29, 30, 60), epochs=9, lr=1.0, schedule='step') == pytest.approx([1.0, 1.0, 0.1, 0.01])


def test_onecycle_reaches_its_rate_and_falls():
    first, *_, last = cycle = rates(range(100), epochs=10, lr=1.0, schedule='onecycle')
    assert max(cycle) == pytest.approx(1.0)
    assert (first, last) == (pytest.approx(0.04), pytest.approx(0.04e-4))


def test_plateau_hears_the_metric():
    training = told(schedule='plateau', lr=1.0)
    optimizer, schedule = build_optimizer(training), build_schedule(training, 10)
    found = [schedule.update(optimizer, step=0, epoch=epoch, metric=1.0) for epoch in range(4)]
    assert found == pytest.approx([1.0, 1.0, 0.1, 0.1])


@pytest.mark.parametrize('schedule', [name for name in SCHEDULES if name != 'onecycle'])
def test_warm_up_multiplies_any_schedule(schedule):
    cold = rates((0, 5, 10, 19), epochs=4, lr=1.0, schedule=schedule)
    warm = rates((0, 5, 10, 19), epochs=4, lr=1.0, schedule=schedule, warmup=1.0)
    assert warm == pytest.approx([0.1 * cold[0], 0.55 * cold[1], cold[2], cold[3]])


def dataset(shape=(1, 28, 28)):
    return ArrayDataset(np.random.default_rng(0).random((3, *shape), np.float32), np.arange(3))


def test_look_inside_finds_first_filters_and_maps():
    rng.seed(0)
    model = LeNet()
    inside = look_inside(model, dataset(), 2)
    assert inside.parameters == 61706
    assert (inside.filters[0], inside.filters[1].shape) == ('conv1', (6, 1, 5, 5))
    assert [(name, maps.shape) for name, maps in inside.maps] == [('conv1', (6, 28, 28)), ('conv2', (16, 10, 10))]
    assert np.array_equal(inside.maps[0][1], model.conv1(dataset()[2][0][None]).data[0])
    assert inside.sample == 2


def test_look_inside_leaves_no_trace():
    model = LeNet()
    look_inside(model, dataset(), answers={1: 3})
    assert all(parameter.grad is None for parameter in model.params())


def test_look_inside_says_where_the_model_looked():
    model = LeNet()
    inside = look_inside(model, dataset(), answers={2: 7, 0: 1})
    assert list(inside.heats) == [2, 0]
    assert np.array_equal(inside.heats[2], grad_cam(model, dataset()[2][0], 7).values[0])


def test_of_many_convolutions_four_are_shown():
    model = Sequential(*[L.Conv2d(2, 3, pad=1) for _ in range(9)])
    inside = look_inside(model, dataset((1, 5, 5)))
    assert [name for name, _ in inside.maps] == ['l0', 'l3', 'l5', 'l8']


def test_a_network_without_convolution_has_no_pictures():
    inside = look_inside(Sequential(F.flatten, MLP((4, 2))), dataset())
    assert (inside.filters, list(inside.maps), inside.parameters) == (None, [], 28 * 28 * 4 + 4 + 4 * 2 + 2)
