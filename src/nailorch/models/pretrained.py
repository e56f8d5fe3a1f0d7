"""Weights that others trained: which files there are for which model.

Where each file comes from, how large it is and what its checksum is, the registry of assets knows.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ['PRETRAINED', 'Pretrained']


@dataclass(frozen=True)
class Pretrained:
    """The assets that are weights of one model, the usual one first; their kind, and how many classes they know."""

    assets: tuple[str, ...]
    kind: str = 'torch'
    classes: int = 1000


# By the class's name. The first of two of ResNet50 and MobileNetV2 is torchvision's V1, the second its V2.
PRETRAINED: dict[str, Pretrained] = {
    'VGG16': Pretrained(('vgg16-397923af.pth',)),
    'VGG16_BN': Pretrained(('vgg16_bn-6c64b313.pth',)),
    'ResNet18': Pretrained(('resnet18-f37072fd.pth',)),
    'ResNet50': Pretrained(('resnet50-0676ba61.pth', 'resnet50-11ad3fa6.pth')),
    'SqueezeNet1_0': Pretrained(('squeezenet1_0-b66bff10.pth',)),
    'SqueezeNet1_1': Pretrained(('squeezenet1_1-b8a52dc0.pth',)),
    'MobileNetV2': Pretrained(('mobilenet_v2-b0353104.pth', 'mobilenet_v2-7ebf99e0.pth')),
    'EfficientNetLite0': Pretrained(('efficientnet-lite0-57934424.pth',)),
}
