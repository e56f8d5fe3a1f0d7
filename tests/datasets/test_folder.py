"""Folders of pictures."""

import numpy as np
import pytest
from PIL import Image

from nailorch.dataloaders import DataLoader
from nailorch.datasets import ImageFolder, split
from nailorch.transforms import Compose, Resize, ToArray


def picture(path, colour=(255, 0, 0), size=(6, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', size, colour).save(path)


@pytest.fixture
def root(tmp_path):
    picture(tmp_path / 'dog' / 'b.PNG', (0, 255, 0))
    picture(tmp_path / 'dog' / 'a.jpg')
    picture(tmp_path / 'cat' / 'deep' / 'c.bmp', (0, 0, 51))
    (tmp_path / 'dog' / 'notes.txt').write_text('not a picture')
    (tmp_path / 'dog' / '.hidden.png').write_text('not shown')
    (tmp_path / '.git').mkdir()
    (tmp_path / 'readme.md').write_text('')
    return tmp_path


def test_image_folder_sorts_classes_and_pictures(root):
    dataset = ImageFolder(root)
    assert dataset.classes == ['cat', 'dog']
    assert dataset.label.tolist() == [0, 1, 1]
    assert [path.name for path in dataset.data] == ['c.bmp', 'a.jpg', 'b.PNG']


def test_image_folder_gives_colours_up_to_one(root):
    x, t = ImageFolder(root)[0]
    assert t == 0 and x.dtype == np.float32
    np.testing.assert_array_equal(x, np.broadcast_to(np.float32([0, 0, 0.2])[:, None, None], (3, 4, 6)))


def test_image_folder_hands_transforms_a_pil_image(root):
    modes = [x for x, _ in ImageFolder(root, transform=lambda image: (image.mode, image.size))]
    assert modes == [('RGB', (6, 4))] * 3


def test_image_folder_of_different_sizes_needs_resize(root):
    picture(root / 'cat' / 'd.png', size=(3, 3))
    with pytest.raises(ValueError, match='Resize or crop them first'):
        next(iter(DataLoader(ImageFolder(root), 4, shuffle=False)))
    x, t = next(iter(DataLoader(ImageFolder(root, Compose([Resize(5), ToArray()])), 4, shuffle=False)))
    assert x.shape == (4, 3, 5, 5) and t.tolist() == [0, 0, 1, 1]


def test_image_folder_can_be_split(root):
    train, valid = split(ImageFolder(root), (2, 1))
    assert train.classes == ['cat', 'dog'] and len(valid) == 1


def test_image_folder_names_a_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match='pets: there is no such folder'):
        ImageFolder(tmp_path / 'pets')


def test_image_folder_without_classes_shows_what_is_expected(tmp_path):
    picture(tmp_path / '1.png')
    with pytest.raises(ValueError, match=r'no sub-folders.*cat/1.jpg'):
        ImageFolder(tmp_path)


def test_image_folder_names_an_empty_class(root):
    (root / 'emu').mkdir()
    with pytest.raises(ValueError, match='emu: no pictures in this class'):
        ImageFolder(root)


def test_image_folder_names_a_broken_picture_and_its_number(root):
    (root / 'dog' / 'b.PNG').write_bytes(b'\x89PNG no more')
    with pytest.raises(ValueError, match=r'b\.PNG: not an image, or broken') as error:
        list(DataLoader(ImageFolder(root), 3, shuffle=False, workers=2))
    assert error.value.__notes__ == ['DataLoader: this happened while sample 2 was read']


def test_image_folder_refuses_large_pictures(root):
    with pytest.raises(ValueError, match=r'0\.0 megapixels; images of up to'):
        ImageFolder(root, max_pixels=23)[0]
    ImageFolder(root, max_pixels=24)[0]
