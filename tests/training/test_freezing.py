"""What is frozen stays as it is, to the bit, and costs no gradient; and trainings that begin with trained weights."""

import json

import numpy as np
import pytest
from PIL import Image

import nailorch
from nailorch import models
from nailorch.cli import main
from nailorch.models import MODELS
from nailorch.training import TrainingInterrupted, features, features_once, freeze
from nailorch.training.data import IMAGENET, LITE, UNIT, to_numbers
from nailorch.training.recipe import Recipe, resolve
from nailorch.training.runs import Run
from nailorch.training.settings import Settings, change
from tests.training import tiny
from tests.training.test_resuming import ends_in, interrupt_after


def net():
    model = tiny.Net()
    with nailorch.no_grad(), nailorch.test_mode():
        model(np.zeros((1, 1, 6, 6), np.float32))
    return model


def test_what_has_no_size_yet_cannot_be_frozen():
    model = models.Sequential(nailorch.layers.Linear(3), nailorch.layers.Linear(2))
    with pytest.raises(ValueError, match='l0/W are unknown: call the model once'):
        freeze(model, 'l0')
    assert all(parameter.requires_grad for parameter in model.params())


@pytest.mark.parametrize('looked_at', [False, True])
def test_frozen_parts_stay_as_they_are_and_the_others_learn(looked_at):
    training = tiny.trainer()
    training.model = net()
    count = freeze(training.model, 'conv', 'norm')
    assert count == 4 * 9 + 4 + 4 + 4
    if looked_at:
        training.model.eval()  # as one does to see what it answers before it learns
    before = {name: array.copy() for name, array in training.model.state_dict().items()}
    training.fit()
    for name, array in training.model.state_dict().items():
        same = np.array_equal(array, before[name])
        assert same == name.startswith(('conv/', 'norm/')), name  # norm/avg_mean and norm/avg_var among them


def test_no_gradient_flows_through_a_frozen_beginning():
    model, seen = net(), []
    freeze(model, 'conv', 'norm')
    model.norm.register_forward_hook(lambda layer, inputs, output: seen.append(output))
    loss = nailorch.functions.sum(model(np.ones((2, 1, 6, 6), np.float32)))
    assert seen[0].creator is None  # nothing was recorded
    loss.backward()
    assert model.conv.W.grad is None and model.fc.W.grad is not None


def test_gradients_reach_what_stands_before_a_frozen_part():
    model = net()
    freeze(model, 'norm', 'fc')
    nailorch.functions.sum(model(np.ones((2, 1, 6, 6), np.float32))).backward()
    assert model.conv.W.grad is not None and model.fc.W.grad is None


@pytest.mark.parametrize('parts, reason', [
    (['convs'], "Net has no part 'convs'; its parts are conv, norm, fc"), (['conv', 'norm', 'fc'], 'nothing left')])
def test_freeze_says_what_cannot_be_frozen(parts, reason):
    model = net()
    with pytest.raises(ValueError, match=reason):
        freeze(model, *parts)
    assert all(parameter.requires_grad for parameter in model.params())


def frozen_trainer(run):
    training = tiny.trainer(run)
    training.model = net()
    freeze(training.model, 'conv', 'norm')
    return training


def test_resumed_training_with_frozen_parts_ends_in_the_same_bits(tmp_path):
    nailorch.seed(3)
    whole = frozen_trainer(tmp_path / 'whole')
    whole.fit()
    nailorch.seed(3)
    assert isinstance(interrupt_after(frozen_trainer(tmp_path / 'run'), 5), TrainingInterrupted)
    nailorch.seed(3)
    second = frozen_trainer(tmp_path / 'run')
    second.fit(resume=True)
    assert ends_in(second) == ends_in(whole)


# ---- from settings


def told(**values):
    return change(Settings(), {f'model.{name}': value for name, value in values.items()})


def test_pretrained_networks_get_images_as_they_were_trained_on():
    for settings, (mean, std) in [(told(), UNIT), (told(name='resnet18', pretrained=True), IMAGENET),
                                  (told(name='efficientnet_lite0', pretrained=True), LITE)]:
        _, normalize = to_numbers(settings)
        assert (normalize.mean, normalize.std) == (mean, std)
    size = {'data.name': 'a/folder'}
    assert resolve(change(told(name='resnet18', pretrained=True), size)).data.size == 224


def test_pretrained_wants_a_model_with_weights():
    with pytest.raises(ValueError, match=r'model\.pretrained.*mnistnet'):
        resolve(told(pretrained=True))


class MobileNetV2(models.MobileNetV2):
    """A small one, whose trained weights are random ones."""

    def __init__(self, num_classes=1000):
        super().__init__(num_classes, width=0.1)

    @classmethod
    def from_pretrained(cls, name_or_path=None, **options):
        model = cls(**options)
        nailorch.seed(7)
        with nailorch.no_grad(), nailorch.test_mode():
            model(np.zeros((1, 3, 32, 32), np.float32))
        return model


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Bright and dark pictures, ten of each, and the small network under its usual name."""
    monkeypatch.setitem(MODELS, 'mobilenet_v2', MobileNetV2)
    random = np.random.default_rng(0)
    for name, level in (('day', 180), ('night', 20)):
        (tmp_path / 'data' / name).mkdir(parents=True)
        for index in range(10):
            picture = random.integers(level, level + 60, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(picture).save(tmp_path / 'data' / name / f'{index}.png')
    return tmp_path / 'data'


def test_resumed_training_of_a_pretrained_network_ends_in_the_same_bits(folder, tmp_path):
    asked = {'data.name': str(folder), 'data.size': 32, 'augmentation.flip': True, 'augmentation.jitter': 0.2,
             'training.epochs': 2, 'training.batch_size': 4}
    settings = change(told(name='mobilenet_v2', pretrained=True, freeze='features/0, features/1'), asked)

    def trainer(run):
        return Recipe(settings).trainer(Run.at(tmp_path / run), 'none')

    whole = trainer('whole')
    whole.fit()
    interrupt_after(trainer('run'), 3)
    second = trainer('run')
    second.fit(resume=True)
    assert ends_in(second) == ends_in(whole)


def training_of(folder, run, frozen='features', **more):
    asked = {'data.name': str(folder), 'data.size': 32, 'training.epochs': 3, 'training.batch_size': 4, **more}
    recipe = Recipe(change(told(name='mobilenet_v2', pretrained=True, freeze=frozen), asked))
    return recipe, recipe.trainer(Run.at(run), 'none')


def extracted(model, monkeypatch):
    """Return a list that gets the number of images whenever features are extracted."""
    counts, extract = [], model.extract
    monkeypatch.setattr(model, 'extract', lambda x: counts.append(len(x)) or extract(x))
    return counts


def test_features_that_are_computed_once_lead_to_the_same_weights(folder, tmp_path, monkeypatch):
    _, slow = training_of(folder, tmp_path / 'slow')
    slow.fit()
    recipe, quick = training_of(folder, tmp_path / 'quick')
    assert not recipe.augmented
    data, said, counts = quick.loader.dataset, [], extracted(quick.model, monkeypatch)
    with features_once(quick, lambda *told: said.append(told)):
        counts.clear()
        quick.fit()
        assert counts == []
    assert said == [(18, 18 * 1280 * 4)]
    assert quick.loader.dataset is data and 'forward' not in vars(quick.model)
    for name, array in slow.model.state_dict().items():
        np.testing.assert_allclose(quick.model.state_dict()[name], array, rtol=1e-4, atol=1e-5)
    assert [len(part) for part in (quick.loader.dataset, quick.valid)] == [16, 2]


def test_resumed_training_on_features_ends_in_the_same_bits(folder, tmp_path):
    _, whole = training_of(folder, tmp_path / 'whole')
    with features_once(whole):
        whole.fit()
    _, first = training_of(folder, tmp_path / 'run')
    with features_once(first):
        interrupt_after(first, 5)
    _, second = training_of(folder, tmp_path / 'run')
    with features_once(second):
        second.fit(resume=True)
    assert ends_in(second) == ends_in(whole)


@pytest.mark.parametrize('why', ['learns', 'large', 'other'])
def test_features_that_cannot_be_kept_are_computed_in_every_epoch(folder, tmp_path, monkeypatch, why):
    _, training = training_of(folder, tmp_path / 'run', 'features/0' if why == 'learns' else 'features')
    if why == 'large':
        monkeypatch.setattr(features, 'MOST', 18 * 1280 * 4 - 1)
    if why == 'other':
        training.model = models.Sequential(nailorch.layers.Linear(2))
    data, said = training.loader.dataset, []
    with features_once(training, lambda *told: said.append(told)):
        assert (training.loader.dataset is data, said, 'forward' in vars(training.model)) == (True, [], False)


def test_the_model_is_whole_again_after_an_error(folder, tmp_path):
    _, training = training_of(folder, tmp_path / 'run')
    data = training.loader.dataset
    with pytest.raises(ZeroDivisionError), features_once(training):
        1 / 0  # noqa: B018
    assert training.loader.dataset is data
    assert training.model(np.zeros((1, 3, 32, 32), np.float32)).shape == (1, 2)


def test_train_says_that_features_are_computed_once(folder, tmp_path, capsys):
    asked = ['train', '--data', str(folder), '--model', 'mobilenet_v2', '--pretrained', '--freeze', 'features',
             '--size', '32', '--epochs', '1', '--batch-size', '4', '--root', str(tmp_path / 'runs'), '--lang', 'en']
    assert main(asked) == 0
    assert 'What they make of the 18 images is computed once (0.1 MB)' in capsys.readouterr().out
    assert main([*asked, '--flip']) == 0
    assert 'computed once' not in capsys.readouterr().out


def test_train_begins_with_trained_weights_and_evaluate_and_predict_know_it(folder, tmp_path, capsys):
    asked = ['train', '--data', str(tmp_path / 'data'), '--model', 'mobilenet_v2', '--pretrained', '--freeze',
             'features', '--size', '32', '--epochs', '5', '--batch-size', '4', '--lr', '0.01', '--flip', '--root',
             str(tmp_path / 'runs'), '--lang', 'en']
    assert main(asked) == 0
    printed = capsys.readouterr().out
    assert 'parameters are frozen' in printed
    best = float(printed.split()[-1])
    assert main(['evaluate', 'latest', '--root', str(tmp_path / 'runs'), '--json']) == 0
    assert json.loads(capsys.readouterr().out)['accuracy'] == best
    answers = []
    for form in ('predict', 'evaluate'):
        assert main([form, 'latest', *([str(tmp_path / 'data')] if form == 'predict' else []), '--root',
                     str(tmp_path / 'runs'), '--json']) == 0
        answers.append(json.loads(capsys.readouterr().out))
    best_weights = next((tmp_path / 'runs').iterdir()) / 'best.safetensors'
    alike = ['--model', 'mobilenet_v2', '--pretrained', '--data', str(folder), '--json']
    assert main(['predict', str(best_weights), str(folder), '--size', '32', *alike]) == 0
    assert json.loads(capsys.readouterr().out) == answers[0]
    right = sum(each['answers'][0]['class'] in each['file'] for each in answers[0])
    assert right >= 16  # of 20: the weights were not trained, but bright and dark differ
