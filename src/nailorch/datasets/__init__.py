"""Samples to learn from: made-up points, digits, clothes, photographs, your own pictures."""

from nailorch.datasets.base import ArrayDataset, Dataset, Subset, split
from nailorch.datasets.cifar import CIFAR10, CIFAR100
from nailorch.datasets.digits import MNIST, Digits, FashionMNIST
from nailorch.datasets.folder import ImageFolder
from nailorch.datasets.toys import SinCurve, Spiral, get_spiral

__all__ = [
    'CIFAR10',
    'CIFAR100',
    'MNIST',
    'ArrayDataset',
    'Dataset',
    'Digits',
    'FashionMNIST',
    'ImageFolder',
    'SinCurve',
    'Spiral',
    'Subset',
    'get_spiral',
    'split',
]
