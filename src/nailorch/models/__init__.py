"""Whole networks, ready to train."""

# ruff: noqa: F403
import sys
from typing import TYPE_CHECKING, Any

from nailorch.hints import missing
from nailorch.models import base, efficientnet, lenet, mobilenet, resnet, squeezenet, vgg
from nailorch.models.base import *
from nailorch.models.efficientnet import *
from nailorch.models.lenet import *
from nailorch.models.mobilenet import *
from nailorch.models.resnet import *
from nailorch.models.squeezenet import *
from nailorch.models.vgg import *

# By the names that the command line knows: those that need to be told nothing but how many classes there are.
MODELS: dict[str, type[base.Model]] = {
    'mnistnet': lenet.MNISTNet, 'lenet': lenet.LeNet,
    'vgg11': vgg.VGG11, 'vgg13': vgg.VGG13, 'vgg16': vgg.VGG16, 'vgg19': vgg.VGG19,
    'vgg11_bn': vgg.VGG11_BN, 'vgg13_bn': vgg.VGG13_BN, 'vgg16_bn': vgg.VGG16_BN, 'vgg19_bn': vgg.VGG19_BN,
    'resnet18': resnet.ResNet18, 'resnet34': resnet.ResNet34, 'resnet50': resnet.ResNet50,
    'resnet101': resnet.ResNet101, 'resnet152': resnet.ResNet152,
    'squeezenet1_0': squeezenet.SqueezeNet1_0, 'squeezenet1_1': squeezenet.SqueezeNet1_1,
    'mobilenet_v2': mobilenet.MobileNetV2, 'efficientnet_lite0': efficientnet.EfficientNetLite0,
}

__all__ = ['MODELS', *base.__all__, *efficientnet.__all__, *lenet.__all__, *mobilenet.__all__, *resnet.__all__,
           *squeezenet.__all__, *vgg.__all__]

if not TYPE_CHECKING:
    def __getattr__(name: str) -> Any:  # torchvision's functions bear the names of the command line
        raise missing(sys.modules[__name__], name, {low: f'models.{kind.__name__}' for low, kind in MODELS.items()})
