"""MobileNetV2: few multiplications, since only 1x1 convolutions mix channels, and 3x3 ones look at one channel each.

    inverted residual     1x1 convolution to six times the channels, 3x3 on each channel alone, 1x1 back to few;
                          where neither size nor channels change, the input is added
    stem                  3x3 convolution of stride 2 to 32 channels: 224 -> 112
    stages                t, c, n, s of the paper's table 2: expansion, channels, blocks, stride of the first one
    end                   1x1 convolution to 1280 channels, global average, dropout, one dense layer

Between the wide inside and the narrow ends a ReLU6 bends; the narrow ends themselves are linear, for there a bend would
lose what it cuts off ("linear bottleneck").
Source: Sandler, Howard, Zhu, Zhmoginov & Chen, MobileNetV2: Inverted residuals and linear bottlenecks, 2018, table 2.
"""

from __future__ import annotations

from typing import Any, ClassVar

import nailorch.functions as F
import nailorch.layers as L
from nailorch.core import Variable
from nailorch.models.base import Classifier
from nailorch.models.preprocessing import torchvision

__all__ = ['ConvBN', 'InvertedResidual', 'MobileNetV2', 'multiple_of_8']


class ConvBN(L.Layer):
    """A convolution that keeps the image's size (but for its stride), batch norm, ReLU6.

    Args:
        channels: that come out.
        kernel_size, stride, groups: as Conv2d takes them; `groups=channels` looks at each channel alone.
        linear: True leaves the ReLU6 out.
        pad: as Conv2d takes it; None: half the kernel on every side.
        decay, eps: as BatchNorm takes them.
    """

    def __init__(self, channels: int, kernel_size: int, stride: int = 1, groups: int = 1, linear: bool = False,
                 pad: Any = None, decay: float = 0.9, eps: float = 1e-5) -> None:
        pad = kernel_size // 2 if pad is None else pad
        self.conv = L.Conv2d(channels, kernel_size, stride, pad, nobias=True, groups=groups, W_init=L.HeNormal())
        self.bn = L.BatchNorm(decay, eps, activation='' if linear else 'relu6')

    def forward(self, x: Any, *added: Any) -> Variable:
        return self.bn(self.conv(x), *added)


class InvertedResidual(L.Layer):
    """Expand, look around in each channel, project: wide inside, narrow at both ends.

    Args:
        inside: channels that come in.
        channels: that come out.
        stride: 2 halves the image.
        expansion: how many times wider the inside is; 1 leaves `expand` out.
        kernel_size: of the depthwise convolution.
        units: pad, decay and eps of all three, as ConvBN takes them.
    Attributes:
        expand, depthwise, project: the three convolutions, each with its batch norm.
    """

    def __init__(self, inside: int, channels: int, stride: int, expansion: int, kernel_size: int = 3,
                 **units: Any) -> None:
        wide = inside * expansion
        self.shortcut = stride == 1 and inside == channels
        self.expand = ConvBN(wide, 1, **units) if expansion > 1 else None
        self.depthwise = ConvBN(wide, kernel_size, stride, groups=wide, **units)
        self.project = ConvBN(channels, 1, linear=True, **units)

    def forward(self, x: Any) -> Variable:
        y = self.expand(x) if self.expand else x
        return self.project(self.depthwise(y), *[x] * self.shortcut)


class MobileNetV2(Classifier):
    """MobileNetV2: 3,504,872 parameters for 1000 classes; 300 million multiplications for a 224x224 image.

    Args:
        num_classes: scores that come out.
        width: the paper's width multiplier: of all channels, but for the last 1280 where it is below 1.
        dropout_ratio: the share of the last features that training drops.
    Attributes:
        features: the stem, 17 inverted residuals and the last convolution.
        classifier: the dense layer.
    """

    stages: ClassVar[tuple[tuple[int, int, int, int], ...]] = (
        # expansion, channels, blocks, stride
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )
    preprocess = staticmethod(torchvision)

    def __init__(self, num_classes: int = 1000, width: float = 1.0, dropout_ratio: float = 0.2) -> None:
        super().__init__()
        self.num_classes, self.width, self.dropout_ratio = num_classes, width, dropout_ratio
        inside = multiple_of_8(32 * width)
        self.features: list[Any] = [ConvBN(inside, 3, stride=2)]
        for expansion, channels, blocks, stride in self.stages:
            channels = multiple_of_8(channels * width)
            for i in range(blocks):
                self.features.append(InvertedResidual(inside, channels, stride if i == 0 else 1, expansion))
                inside = channels
        self.features.append(ConvBN(multiple_of_8(1280 * max(width, 1.0)), 1))
        self.classifier = L.Linear(num_classes)

    def extract(self, x: Any) -> Variable:
        for block in self.features:
            x = block(x)
        x = F.global_average_pooling(x)
        return F.reshape(x, (x.shape[0], -1))

    def classify(self, x: Any) -> Variable:
        return self.classifier(F.dropout(x, self.dropout_ratio))

    def torch_name(self, path: str) -> str:
        """Return what torchvision calls the layer at `path`: 'features/2/expand/conv' is its 'features.2.conv.0.0'."""
        if path == 'classifier':
            return 'classifier.1'  # 0 is the dropout
        features, index, *inner = path.split('/')
        block = self.features[int(index)]
        if isinstance(block, ConvBN):
            return f'{features}.{index}.{PARTS[inner[0]]}'
        part, layer = inner
        place = ('expand', 'depthwise', 'project').index(part) - (block.expand is None)
        # the first two are units of their own there, the last one's layers stand beside them
        place_in = f'{place + PARTS[layer]}' if part == 'project' else f'{place}.{PARTS[layer]}'
        return f'{features}.{index}.conv.{place_in}'


PARTS = {'conv': 0, 'bn': 1}  # of a ConvBN, as PyTorch numbers them


def multiple_of_8(channels: float) -> int:
    """Return the multiple of 8 that is nearest, at least 8 and not below nine tenths of `channels`.

    Example:
        >>> [multiple_of_8(channels) for channels in (3, 16, 33.6, 11.5)]
        [8, 16, 32, 16]
    """
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8
