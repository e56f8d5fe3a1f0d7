"""VGG: depth from nothing but 3x3 convolutions.

    block          1    2    3    4    5
    channels      64  128  256  512  512     each block ends with a 2x2 max pool; then fc 4096, 4096, classes
    VGG11          1    1    2    2    2     convolutions
    VGG13          2    2    2    2    2
    VGG16          2    2    3    3    3
    VGG19          2    2    4    4    4

Source: Simonyan & Zisserman, Very deep convolutional networks for large-scale image recognition, 2014, table 1
(columns A, B, D, E).
"""

from __future__ import annotations

from typing import Any, ClassVar

import nailorch.functions as F
import nailorch.layers as L
from nailorch.core import Variable
from nailorch.models.base import Classifier
from nailorch.models.preprocessing import caffe

__all__ = ['VGG', 'VGG11', 'VGG11_BN', 'VGG13', 'VGG13_BN', 'VGG16', 'VGG16_BN', 'VGG19', 'VGG19_BN']


class VGG(Classifier):
    """What all VGGs share: layers conv1_1 ... conv5_4 (and bn1_1 ...), fc6, fc7, fc8.

    Args:
        num_classes: scores that come out.
        width: channels of the first block; a smaller one makes a smaller network of the same shape.
        hidden: features of fc6 and fc7.
        dropout_ratio: the share of these that training drops.
    """

    depths: ClassVar[tuple[int, ...]]  # convolutions in each block
    batch_norm: ClassVar[bool] = False
    preprocess = staticmethod(caffe)

    def __init__(self, num_classes: int = 1000, width: int = 64, hidden: int = 4096,
                 dropout_ratio: float = 0.5) -> None:
        super().__init__()
        self.num_classes, self.width, self.hidden, self.dropout_ratio = num_classes, width, hidden, dropout_ratio
        he = L.HeNormal()
        for block, depth in enumerate(self.depths, 1):
            channels = width * min(2 ** (block - 1), 8)
            for i in range(1, depth + 1):
                # A layer's own ReLU saves reading its images once more.
                setattr(self, f'conv{block}_{i}', L.Conv2d(channels, kernel_size=3, stride=1, pad=1, W_init=he,
                                                           activation='' if self.batch_norm else 'relu'))
                if self.batch_norm:
                    setattr(self, f'bn{block}_{i}', L.BatchNorm(eps=1e-5, activation='relu'))
        self.fc6 = L.Linear(hidden, W_init=he, activation='relu')
        self.fc7 = L.Linear(hidden, W_init=he, activation='relu')
        self.fc8 = L.Linear(num_classes)

    def extract(self, x: Any) -> Variable:
        for block, depth in enumerate(self.depths, 1):
            for i in range(1, depth + 1):
                x = getattr(self, f'conv{block}_{i}')(x)
                if self.batch_norm:
                    x = getattr(self, f'bn{block}_{i}')(x)
            x = F.pooling(x, 2, 2)
        return F.reshape(x, (x.shape[0], -1))

    def classify(self, x: Any) -> Variable:
        x = F.dropout(self.fc6(x), self.dropout_ratio)
        x = F.dropout(self.fc7(x), self.dropout_ratio)
        return self.fc8(x)

    def keras_name(self, path: str) -> str:
        """Return what Keras calls the layer at `path`: 'conv1_2' is its 'block1_conv2', 'fc6' its 'fc1'."""
        if path.startswith('fc'):
            return {'fc6': 'fc1', 'fc7': 'fc2', 'fc8': 'predictions'}[path]
        return f'block{path[-3]}_{path[:-3]}{path[-1]}'

    def keras_flatten(self) -> dict[str, int]:
        """Return that fc6 reads the last block's images, flattened."""
        return {'fc6': 8 * self.width}

    def torch_name(self, path: str) -> str:
        """Return what torchvision calls the layer at `path`: VGG16's 'conv1_2' is its 'features.2'.

        There the layers of all blocks, ReLUs and pools among them, are numbered through.
        """
        if path.startswith('fc'):
            return f'classifier.{("fc6", "fc7", "fc8").index(path) * 3}'  # after the first two: ReLU, dropout
        kind, block, i = path[:-3], int(path[-3]), int(path[-1])
        unit = 3 if self.batch_norm else 2  # convolution, batch norm, ReLU
        place = unit * (sum(self.depths[:block - 1]) + i - 1) + (block - 1)  # a pool ends each block before
        return f'features.{place + (kind == "bn")}'


class VGG11(VGG):
    """VGG with 11 layers of weights: 132,863,336 parameters for 224x224 images and 1000 classes."""

    depths = 1, 1, 2, 2, 2


class VGG13(VGG):
    """VGG with 13 layers of weights: 133,047,848 parameters for 224x224 images and 1000 classes."""

    depths = 2, 2, 2, 2, 2


class VGG16(VGG):
    """VGG with 16 layers of weights: 138,357,544 parameters for 224x224 images and 1000 classes."""

    depths = 2, 2, 3, 3, 3


class VGG19(VGG):
    """VGG with 19 layers of weights: 143,667,240 parameters for 224x224 images and 1000 classes."""

    depths = 2, 2, 4, 4, 4


class VGG11_BN(VGG11):
    """VGG11 with batch norm before every ReLU of a convolution."""

    batch_norm = True


class VGG13_BN(VGG13):
    """VGG13 with batch norm before every ReLU of a convolution."""

    batch_norm = True


class VGG16_BN(VGG16):
    """VGG16 with batch norm before every ReLU of a convolution: 138,365,992 parameters."""

    batch_norm = True


class VGG19_BN(VGG19):
    """VGG19 with batch norm before every ReLU of a convolution."""

    batch_norm = True
