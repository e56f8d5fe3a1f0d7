"""SqueezeNet: AlexNet's accuracy with a fiftieth of its weights, since a 3x3 convolution only ever sees few channels.

    fire                  squeeze: 1x1 convolution to few channels; expand: 1x1 and 3x3 ones side by side, concatenated
    stem                  convolution of stride 2, ReLU, 3x3 max pool of stride 2
    fire2 ... fire9       with max pools between: after fire4 and fire8 (1.0), after fire3 and fire5 (1.1)
    end                   dropout, 1x1 convolution to the classes, ReLU, global average: no dense layer at all

1.0 is the paper's; 1.1, its authors' later one, has a smaller stem and earlier pools: the same accuracy for 2.4 times
fewer multiplications. The pools' last windows hang over the edge (`ceil_mode`), as Caffe's do.
Source: Iandola, Han, Moskewicz, Ashraf, Dally & Keutzer, SqueezeNet, 2016, table 1 and figure 2; for 1.1
github.com/forresti/SqueezeNet.
"""

from __future__ import annotations

from typing import Any, ClassVar

import nailorch.functions as F
import nailorch.layers as L
from nailorch.core import Variable
from nailorch.models.base import Classifier
from nailorch.models.preprocessing import torchvision

__all__ = ['Fire', 'SqueezeNet', 'SqueezeNet1_0', 'SqueezeNet1_1']


class Fire(L.Layer):
    """Squeeze to few channels, expand by 1x1 and by 3x3 convolutions side by side.

    Args:
        squeeze: channels inside.
        expand: channels of each of the two expansions; twice as many come out.
    """

    def __init__(self, squeeze: int, expand: int) -> None:
        he = L.HeNormal()
        self.squeeze = L.Conv2d(squeeze, 1, W_init=he)
        self.expand1x1 = L.Conv2d(expand, 1, W_init=he)
        self.expand3x3 = L.Conv2d(expand, 3, pad=1, W_init=he)

    def forward(self, x: Any) -> Variable:
        x = F.relu(self.squeeze(x))
        return F.concat([F.relu(self.expand1x1(x)), F.relu(self.expand3x3(x))], axis=1)


class SqueezeNet(Classifier):
    """What both SqueezeNets share: features (the stem, fires and pools, one after another) and classifier.

    Args:
        num_classes: scores that come out.
        width: factor of all channels; a smaller one makes a smaller network of the same shape.
        dropout_ratio: the share of the last features that training drops.
    """

    stem: ClassVar[tuple[int, int]]  # channels and kernel size
    pools: ClassVar[tuple[int, int]]  # the fires that a pool follows
    fires: ClassVar[tuple[tuple[int, int], ...]] = (  # squeeze, expand of fire2 ... fire9
        (16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
    preprocess = staticmethod(torchvision)

    def __init__(self, num_classes: int = 1000, width: float = 1.0, dropout_ratio: float = 0.5) -> None:
        super().__init__()
        self.num_classes, self.width, self.dropout_ratio = num_classes, width, dropout_ratio
        channels, kernel_size = self.stem
        self.features: list[L.Layer] = [
            L.Conv2d(self.scaled(channels), kernel_size, stride=2, W_init=L.HeNormal()), L.ReLU(), pool()]
        for number, (squeeze, expand) in enumerate(self.fires, 2):
            self.features.append(Fire(self.scaled(squeeze), self.scaled(expand)))
            if number in self.pools:
                self.features.append(pool())
        # A class whose scores are all below 0 would get no gradient through the last ReLU, and never learn: they begin
        # above, which changes no probability.
        self.classifier = L.Conv2d(num_classes, 1, W_init=L.Normal(0.01), b_init=1)

    def scaled(self, channels: int) -> int:
        """Return `channels` times the width, at least 1."""
        return max(1, round(channels * self.width))

    def extract(self, x: Any) -> Variable:
        for layer in self.features:
            x = layer(x)
        return x

    def classify(self, x: Any) -> Variable:
        x = F.relu(self.classifier(F.dropout(x, self.dropout_ratio)))
        x = F.global_average_pooling(x)
        return F.reshape(x, (x.shape[0], -1))

    def torch_name(self, path: str) -> str:
        """Return what torchvision calls the layer at `path`: 'features/3/squeeze' is its 'features.3.squeeze'."""
        return 'classifier.1' if path == 'classifier' else path.replace('/', '.')  # its classifier.0 is the dropout


def pool() -> L.MaxPool2d:
    return L.MaxPool2d(3, stride=2, ceil_mode=True)


class SqueezeNet1_0(SqueezeNet):
    """SqueezeNet 1.0, the paper's: 1,248,424 parameters for 1000 classes."""

    stem, pools = (96, 7), (4, 8)


class SqueezeNet1_1(SqueezeNet):
    """SqueezeNet 1.1: 1,235,496 parameters for 1000 classes, and 2.4 times fewer multiplications than 1.0."""

    stem, pools = (64, 3), (3, 5)
