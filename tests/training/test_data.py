"""The data of a run: three parts without a common image, only the first augmented, repeatable by seed."""

import numpy as np
import pytest
from PIL import Image

from nailorch import rng
from nailorch.config import using_config
from nailorch.training import data as data_module
from nailorch.training.data import augmentation, is_folder, load_data
from nailorch.training.settings import AugmentationSettings, Settings, change


class Fake:
    """A hundred images of two classes; the image of number n is filled with n."""

    classes = ('a', 'b')

    def __init__(self, train=True, transform=None):
        count = 100 if train else 30
        numbers = np.arange(count, dtype=np.uint8) + (0 if train else 100)
        self.data = numbers[:, None, None, None] * np.ones((1, 4, 6), np.uint8)
        self.label, self.transform = np.arange(count) % 2, transform

    def __getitem__(self, index):
        return self.transform(self.data[index]), self.label[index]

    def __len__(self):
        return len(self.data)


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setitem(data_module.DATASETS, 'fake', (Fake, (1, 4, 6)))
    return change(Settings(), {'data.name': 'fake', 'data.valid': 0.2})


def numbers(part):
    return {round(float(part[index][0].max()) * 255) for index in range(len(part))}


def make_folder(root, count=10, classes=('cat', 'dog')):
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for index in range(count):
            Image.new('RGB', (9, 7), (10 * index, 100 * number, 0)).save(root / name / f'{index}.png')
    return root


def test_the_parts_share_no_image(fake):
    data = load_data(fake)
    assert [len(data.train), len(data.valid), len(data.test)] == [80, 20, 30]
    assert numbers(data.train) | numbers(data.valid) == set(range(100))
    assert numbers(data.test) == set(range(100, 130))
    assert (data.classes, data.shape) == (['a', 'b'], (1, 4, 6))


def test_grey_images_do_not_fit_pretrained_weights(fake):
    with pytest.raises(ValueError, match=r"mobilenet_v2's weights were learned from colour images .*those of fake have"
                                         r' 1\. Train it without'):
        load_data(change(fake, {'model.name': 'mobilenet_v2', 'model.pretrained': True}))


def test_the_split_follows_the_seed(fake):
    assert numbers(load_data(fake).valid) == numbers(load_data(fake).valid)
    assert numbers(load_data(fake).valid) != numbers(load_data(change(fake, {'seed': 1})).valid)


def test_only_training_images_are_augmented(fake):
    rng.seed(0)
    data = load_data(change(fake, {'augmentation.shift': 2, 'augmentation.rotation': 10.0, 'augmentation.flip': True}))
    plain = load_data(fake)
    assert all((data.valid[index][0] == plain.valid[index][0]).all() for index in range(20))
    assert all((data.test[index][0] == plain.test[index][0]).all() for index in range(30))
    assert not all((data.train[index][0] == plain.train[index][0]).all() for index in range(80))
    assert data.train[0][0].shape == (1, 4, 6)
    assert data.train[0][0].dtype == np.float32


def test_pictures_are_the_bytes_of_the_test_images(fake):
    data = load_data(fake)
    assert data.picture(7).dtype == np.uint8
    assert (data.picture(7) == 107).all()


def test_images_are_resized_when_that_is_asked_for(fake):
    data = load_data(change(fake, {'data.size': 5}))
    assert data.shape == data.train[0][0].shape == data.picture(0).shape == (1, 5, 5)


def test_a_folder_is_split_in_three(tmp_path):
    data = load_data(change(Settings(), {'data.name': str(make_folder(tmp_path)), 'data.size': 8}))
    assert [len(data.train), len(data.valid), len(data.test)] == [16, 2, 2]
    assert (data.classes, data.shape) == (['cat', 'dog'], (3, 8, 8))
    assert data.train[0][0].max() <= 1
    assert data.picture(0).shape == (3, 8, 8)


def test_a_folder_with_train_and_test_inside_is_taken_as_it_is(tmp_path):
    make_folder(tmp_path / 'train')
    make_folder(tmp_path / 'test', 3)
    data = load_data(change(Settings(), {'data.name': str(tmp_path)}))
    assert [len(data.train), len(data.valid), len(data.test)] == [18, 2, 6]
    assert data.shape == (3, 64, 64)


def test_other_classes_in_the_test_folder_are_refused(tmp_path):
    make_folder(tmp_path / 'train')
    make_folder(tmp_path / 'test', classes=('cat', 'cow'))
    with using_config('lang', 'en'), pytest.raises(ValueError, match='different classes'):
        load_data(change(Settings(), {'data.name': str(tmp_path)}))


@pytest.mark.parametrize(('folders', 'said'), [
    (['cat'], "'cat' is the only sub-folder, so there is one class"),
    (['Train', 'val'], 'sub-folders Train, val are no classes, it seems, .* for example .*Train, which is then'),
    (['train'], 'sub-folders train are no classes'),
])
def test_sub_folders_that_can_hardly_be_classes_are_refused(folders, said, tmp_path):
    make_folder(tmp_path, classes=folders)
    with using_config('lang', 'en'), pytest.raises(ValueError, match=said):
        load_data(change(Settings(), {'data.name': str(tmp_path)}))


def test_every_augmentation_keeps_the_shape_of_colour_images(tmp_path):
    asked = {'shift': 1, 'rotation': 20.0, 'flip': True, 'jitter': 0.5}
    settings = change(Settings(), {'data.name': str(make_folder(tmp_path)), 'data.size': 8,
                                   **{f'augmentation.{name}': value for name, value in asked.items()}})
    rng.seed(0)
    x, _ = load_data(settings).train[0]
    assert (x.shape, x.dtype) == ((3, 8, 8), np.float32)


def test_no_augmentation_is_no_transform():
    assert augmentation(AugmentationSettings(), (4, 6)) == []


def test_a_name_is_a_folder_if_it_exists_or_has_a_separator(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'photos').mkdir()
    assert is_folder('photos')
    assert is_folder('nowhere/at/all')
    assert not is_folder('digits')
    assert not is_folder('cifar11')


def test_a_folder_that_stands_elsewhere_is_missed_with_the_place_where_it_was_sought(tmp_path, monkeypatch):
    make_folder(tmp_path / 'photos')
    told = change(Settings(), {'data.name': 'photos'})
    monkeypatch.chdir(tmp_path)
    assert load_data(told).classes == ['cat', 'dog']
    (tmp_path / 'other').mkdir()
    monkeypatch.chdir(tmp_path / 'other')
    with using_config('lang', 'en'), pytest.raises(ValueError, match=r"'photos' is no folder in .*other, and"):
        load_data(told)


def test_a_missing_folder_is_named():
    with using_config('lang', 'en'), pytest.raises(FileNotFoundError, match='nowhere/photos: there is no such folder'):
        load_data(change(Settings(), {'data.name': 'nowhere/photos'}))


