"""EfficientNet-Lite: MobileNetV2's blocks, some of them with 5x5 kernels, arranged by a search and widened by one rule.

    block                 MobileNetV2's inverted residual
    stem                  3x3 convolution of stride 2 to 32 channels: 224 -> 112
    stages                kernel, channels, blocks, ... of EfficientNet-B0, the paper's table 1
    end                   1x1 convolution to 1280 channels, global average, dropout, one dense layer

"Lite" is EfficientNet without what small processors are slow at: no squeeze-and-excitation, ReLU6 in place of swish,
and a stem and an end that never grow. Its conventions are TensorFlow's, where it was trained: 'same' padding, whose odd
pixel stands at the bottom and right, and batch norm's eps of 1e-3 and decay of 0.99.
Source: Tan & Le, EfficientNet: Rethinking model scaling for convolutional neural networks, 2019, table 1;
Liu, Higher accuracy on vision models with EfficientNet-Lite, TensorFlow blog, 2020.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import nailorch.functions as F
import nailorch.layers as L
from nailorch.core import Variable
from nailorch.models.base import Classifier
from nailorch.models.mobilenet import ConvBN, InvertedResidual, multiple_of_8
from nailorch.models.preprocessing import efficientnet_lite

__all__ = ['EfficientNetLite0']

UNITS: dict[str, Any] = {'pad': 'same', 'decay': 0.99, 'eps': 1e-3}  # TensorFlow's


class EfficientNetLite0(Classifier):
    """EfficientNet-Lite0: 4,652,008 parameters for 1000 classes; 400 million multiplications for a 224x224 image.

    Args:
        num_classes: scores that come out.
        width: of all channels, but for the last 1280, and of the stem's 32 where it is below 1.
        depth: of the blocks of each stage, but for the first and last stage. Lite0 to Lite4 are (width, depth) =
            (1, 1), (1, 1.1), (1.1, 1.2), (1.2, 1.4) and (1.4, 1.8).
        dropout_ratio: the share of the last features that training drops.
    Attributes:
        features: the stem, 16 inverted residuals and the last convolution.
        classifier: the dense layer.
    """

    stages: ClassVar[tuple[tuple[int, int, int, int, int], ...]] = (
        # kernel size, expansion, channels, blocks, stride
        (3, 1, 16, 1, 1),
        (3, 6, 24, 2, 2),
        (5, 6, 40, 2, 2),
        (3, 6, 80, 3, 2),
        (5, 6, 112, 3, 1),
        (5, 6, 192, 4, 2),
        (3, 6, 320, 1, 1),
    )
    preprocess = staticmethod(efficientnet_lite)

    def __init__(self, num_classes: int = 1000, width: float = 1.0, depth: float = 1.0,
                 dropout_ratio: float = 0.2) -> None:
        super().__init__()
        self.num_classes, self.width, self.depth, self.dropout_ratio = num_classes, width, depth, dropout_ratio
        inside = multiple_of_8(32 * min(width, 1.0))
        self.features: list[Any] = [ConvBN(inside, 3, stride=2, **UNITS)]
        for stage, (kernel_size, expansion, channels, blocks, stride) in enumerate(self.stages):
            channels = multiple_of_8(channels * width)
            blocks = math.ceil(blocks * depth) if 0 < stage < len(self.stages) - 1 else blocks
            for i in range(blocks):
                block = InvertedResidual(inside, channels, stride if i == 0 else 1, expansion, kernel_size, **UNITS)
                self.features.append(block)
                inside = channels
        self.features.append(ConvBN(1280, 1, **UNITS))
        self.classifier = L.Linear(num_classes)

    def extract(self, x: Any) -> Variable:
        for block in self.features:
            x = block(x)
        x = F.global_average_pooling(x)
        return F.reshape(x, (x.shape[0], -1))

    def classify(self, x: Any) -> Variable:
        return self.classifier(F.dropout(x, self.dropout_ratio))

    def torch_name(self, path: str) -> str:
        """Return what the package efficientnet_lite_pytorch calls the layer at `path`.

        'features/2/expand/bn' is its '_blocks.1._bn0'.
        """
        if path == 'classifier':
            return '_fc'
        _, index, *inner = path.split('/')
        place, end = int(index), len(self.features) - 1
        if place == 0:
            return {'conv': '_conv_stem', 'bn': '_bn0'}[inner[0]]
        if place == end:
            return {'conv': '_conv_head', 'bn': '_bn1'}[inner[0]]
        part, layer = inner
        norms = {'expand': '_bn0', 'depthwise': '_bn1', 'project': '_bn2'}
        return f'_blocks.{place - 1}.' + (norms[part] if layer == 'bn' else f'_{part}_conv')
