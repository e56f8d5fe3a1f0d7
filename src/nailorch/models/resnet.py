"""ResNet: every block adds to its input what it has learned, so that even a hundred layers pass a gradient on.

    stem                  7x7 convolution of stride 2, 3x3 max pool of stride 2: 224 -> 112 -> 56
    layer1 ... layer4     blocks; from layer2 on, the first one halves the image and doubles the channels
    end                   global average, one dense layer

Of the two usual readings this is torchvision's: a bottleneck's stride stands on its 3x3 convolution, not on the first
1x1 (called v1.5), and eps is 1e-5.
Source: He, Zhang, Ren & Sun, Deep residual learning for image recognition, 2015, table 1.
"""

from __future__ import annotations

from typing import Any, ClassVar

import nailorch.functions as F
import nailorch.layers as L
from nailorch.core import Variable
from nailorch.models.base import Classifier
from nailorch.models.preprocessing import torchvision

__all__ = ['BasicBlock', 'Bottleneck', 'ResNet', 'ResNet18', 'ResNet34', 'ResNet50', 'ResNet101', 'ResNet152']


def convolution(channels: int, kernel_size: int, stride: int = 1) -> L.Conv2d:
    """Return a convolution that keeps the image's size (but for its stride), to be followed by a batch norm."""
    return L.Conv2d(channels, kernel_size, stride, kernel_size // 2, nobias=True, W_init=L.HeNormal(), moments=True)


def batch_norm(activation: str = '') -> L.BatchNorm:
    return L.BatchNorm(eps=1e-5, activation=activation)


class Block(L.Layer):
    """What both kinds of blocks share: the way round.

    Args:
        channels: of the block's inner convolutions.
        stride: 2 halves the image.
        project: True where the input's channels or size are not the result's, and a 1x1 convolution must make them so.
    """

    expansion: ClassVar[int]  # channels that come out, for each inner one

    def __init__(self, channels: int, stride: int, project: bool) -> None:
        self.channels, self.stride = channels, stride
        self.build(channels, stride)
        self.downsample = [convolution(channels * self.expansion, 1, stride), batch_norm()] if project else []

    def build(self, channels: int, stride: int) -> None:
        raise NotImplementedError

    def join(self, x: Any, around: Any) -> Variable:
        """Return relu(what the block learned of x + what came around it); the last batch norm does all three."""
        raise NotImplementedError

    def forward(self, x: Any) -> Variable:
        around = x
        for layer in self.downsample:
            around = layer(around)
        return self.join(x, around)


class BasicBlock(Block):
    """Two 3x3 convolutions."""

    expansion = 1

    def build(self, channels: int, stride: int) -> None:
        self.conv1 = convolution(channels, 3, stride)
        self.bn1 = batch_norm('relu')
        self.conv2 = convolution(channels, 3)
        self.bn2 = batch_norm('relu')

    def join(self, x: Any, around: Any) -> Variable:
        x = self.bn1(self.conv1(x))
        return self.bn2(self.conv2(x), around)


class Bottleneck(Block):
    """A 1x1 convolution to few channels, a 3x3 on these, a 1x1 back to four times as many."""

    expansion = 4

    def build(self, channels: int, stride: int) -> None:
        self.conv1 = convolution(channels, 1)
        self.bn1 = batch_norm('relu')
        self.conv2 = convolution(channels, 3, stride)
        self.bn2 = batch_norm('relu')
        self.conv3 = convolution(4 * channels, 1)
        self.bn3 = batch_norm('relu')

    def join(self, x: Any, around: Any) -> Variable:
        x = self.bn1(self.conv1(x))
        x = self.bn2(self.conv2(x))
        return self.bn3(self.conv3(x), around)


class ResNet(Classifier):
    """What all ResNets share: conv1, bn1, the lists of blocks layer1 ... layer4, and fc.

    Args:
        num_classes: scores that come out.
        width: channels of the stem; a smaller one makes a smaller network of the same shape.
    """

    block: ClassVar[type[Block]]
    depths: ClassVar[tuple[int, ...]]  # blocks in layer1 ... layer4
    preprocess = staticmethod(torchvision)

    def __init__(self, num_classes: int = 1000, width: int = 64) -> None:
        super().__init__()
        self.num_classes, self.width = num_classes, width
        self.conv1 = convolution(width, 7, stride=2)
        self.bn1 = batch_norm('relu')
        self.layer1 = self.blocks(0)
        self.layer2 = self.blocks(1)
        self.layer3 = self.blocks(2)
        self.layer4 = self.blocks(3)
        self.fc = L.Linear(num_classes)

    def blocks(self, stage: int) -> list[Block]:
        """Return the blocks of one stage; only the first meets images of another kind than it makes."""
        channels, stride = self.width * 2 ** stage, 1 if stage == 0 else 2
        first = self.block(channels, stride, project=stage > 0 or self.block.expansion > 1)
        return [first, *(self.block(channels, 1, project=False) for _ in range(1, self.depths[stage]))]

    def extract(self, x: Any) -> Variable:
        x = self.bn1(self.conv1(x))
        x = F.pooling(x, 3, 2, 1)
        for block in (*self.layer1, *self.layer2, *self.layer3, *self.layer4):
            x = block(x)
        x = F.global_average_pooling(x)
        return F.reshape(x, (x.shape[0], -1))

    def classify(self, x: Any) -> Variable:
        return self.fc(x)


class ResNet18(ResNet):
    """ResNet with 18 layers of weights: 11,689,512 parameters for 1000 classes."""

    block, depths = BasicBlock, (2, 2, 2, 2)


class ResNet34(ResNet):
    """ResNet with 34 layers of weights: 21,797,672 parameters for 1000 classes."""

    block, depths = BasicBlock, (3, 4, 6, 3)


class ResNet50(ResNet):
    """ResNet with 50 layers of weights: 25,557,032 parameters for 1000 classes."""

    block, depths = Bottleneck, (3, 4, 6, 3)


class ResNet101(ResNet):
    """ResNet with 101 layers of weights: 44,549,160 parameters for 1000 classes."""

    block, depths = Bottleneck, (3, 4, 23, 3)


class ResNet152(ResNet):
    """ResNet with 152 layers of weights: 60,192,808 parameters for 1000 classes."""

    block, depths = Bottleneck, (3, 8, 36, 3)
