"""Transfer learning: a network that knows a thousand things learns three new ones from a few pictures of each.

    python examples/transfer.py                     8 pictures a class, 10 epochs; half a minute
    python examples/transfer.py --pictures 2        fewer pictures
    python examples/transfer.py --scratch           the same network without what it knew, to compare

The classes are brick, grass and gravel: grey patches of 64x64 pixels cut from three photographs (fetched once, with
the weights of MobileNetV2: 28 MB). The upper half of a photograph gives patches to learn from and to choose the epoch
by, the lower half those to test with; so nothing that is tested was seen before.

The same from the command line, for a folder with one sub-folder a class:

    nailorch train --data FOLDER --model mobilenet_v2 --pretrained --freeze features --flip
"""

import argparse

import numpy as np
from PIL import Image

import nailorch
from nailorch import optimizers, training
from nailorch.datasets import ArrayDataset
from nailorch.formats.assets import asset
from nailorch.models import MobileNetV2
from nailorch.transforms import Compose, RandomHorizontalFlip

CLASSES = 'brick', 'grass', 'gravel'
PATCH = 64


def patches(name, top, bottom, count, random):
    """Cut `count` squares out of some rows of a photograph."""
    photo = Image.open(asset(f'photos/{name}.png')).convert('RGB')
    for _ in range(count):
        x, y = random.integers(photo.width - PATCH), random.integers(top, bottom - PATCH + 1)
        yield photo.crop((x, y, x + PATCH, y + PATCH))


def dataset(top, bottom, count, seed, size, transform=None):
    """Return patches of all classes, prepared as MobileNetV2 expects its pictures."""
    random = np.random.default_rng(seed)
    pictures = [(MobileNetV2.preprocess(patch, size=size, resize=size), label)
                for label, name in enumerate(CLASSES) for patch in patches(name, top, bottom, count, random)]
    images, labels = zip(*pictures, strict=True)
    return ArrayDataset(np.stack(images), np.array(labels), transform)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--pictures', type=int, default=8, help='of each class to learn from')
    parser.add_argument('--epochs', type=int, default=10)
    parser.add_argument('--size', type=int, default=128, help='that patches are enlarged to')
    parser.add_argument('--test', type=int, default=100, help='pictures of each class to test with')
    parser.add_argument('--scratch', action='store_true', help='begin with random weights, and freeze nothing')
    told = parser.parse_args()

    nailorch.seed(0)
    train = dataset(0, 192, told.pictures, seed=1, size=told.size, transform=Compose([RandomHorizontalFlip()]))
    valid = dataset(192, 256, told.pictures, seed=2, size=told.size)
    test = dataset(256, 512, told.test, seed=3, size=told.size)

    if told.scratch:
        model = MobileNetV2(num_classes=len(CLASSES))
    else:
        model = MobileNetV2.from_pretrained(num_classes=len(CLASSES))
        frozen = training.freeze(model, 'features')
        print(f'{frozen:,} numbers are frozen')
    optimizer = optimizers.Adam(alpha=0.001 if told.scratch else 0.01)
    training.Trainer(model, optimizer, train, valid, batch_size=8, epochs=told.epochs, progress='lines').fit()
    found = training.evaluate(model, test)
    print(f'test accuracy {found.accuracy:.1%} of {len(test)} patches')


if __name__ == '__main__':
    main()
