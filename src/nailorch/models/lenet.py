"""Small networks for handwritten digits, 28x28 pixels."""

from __future__ import annotations

from typing import Any

import nailorch.functions as F
import nailorch.layers as L
from nailorch.core import Variable
from nailorch.models.base import Model

__all__ = ['LeNet', 'MNISTNet']


class LeNet(Model):
    """LeNet-5: two convolutions, each followed by average pooling, then three dense layers; tanh between them.

    As in the paper but for three simplifications that have become usual: 28x28 images padded to its 32x32, pooling
    without weights, filters that see all channels. 61,706 parameters.

    Args:
        num_classes: scores that come out.
    Source: LeCun, Bottou, Bengio & Haffner, Gradient-based learning applied to document recognition, 1998, section II.
    """

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.conv1 = L.Conv2d(6, kernel_size=5, pad=2)
        self.conv2 = L.Conv2d(16, kernel_size=5)
        self.fc1 = L.Linear(120)
        self.fc2 = L.Linear(84)
        self.fc3 = L.Linear(num_classes)

    def forward(self, x: Any) -> Variable:
        x = F.average_pooling(F.tanh(self.conv1(x)), 2, 2)  # (N, 6, 14, 14)
        x = F.average_pooling(F.tanh(self.conv2(x)), 2, 2)  # (N, 16, 5, 5)
        x = F.reshape(x, (x.shape[0], -1))
        x = F.tanh(self.fc1(x))
        x = F.tanh(self.fc2(x))
        return self.fc3(x)


class MNISTNet(Model):
    """Two convolutions and two dense layers, 206,922 parameters: 99 % of MNIST's test digits after 20 epochs.

    Args:
        num_classes: scores that come out.
        dropout_ratio: the share of the hidden features that training drops.
    """

    def __init__(self, num_classes: int = 10, dropout_ratio: float = 0.5) -> None:
        super().__init__()
        self.num_classes, self.dropout_ratio = num_classes, dropout_ratio
        self.conv1 = L.Conv2d(16, kernel_size=3, stride=1, pad=1, activation='relu', pool=2)
        self.conv2 = L.Conv2d(32, kernel_size=3, stride=1, pad=1, activation='relu', pool=2)
        self.fc1 = L.Linear(128, activation='relu')
        self.fc2 = L.Linear(num_classes)

    def forward(self, x: Any) -> Variable:
        x = self.conv1(x)  # (N, 16, 14, 14): ReLU and max pooling follow in one go
        x = self.conv2(x)  # (N, 32, 7, 7)
        x = F.reshape(x, (x.shape[0], -1))
        return self.fc2(F.dropout(self.fc1(x), self.dropout_ratio))
