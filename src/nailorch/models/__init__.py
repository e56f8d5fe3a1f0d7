"""Whole networks, ready to train."""

# ruff: noqa: F403
from nailorch.models import base, lenet, resnet, vgg
from nailorch.models.base import *
from nailorch.models.lenet import *
from nailorch.models.resnet import *
from nailorch.models.vgg import *

__all__ = [*base.__all__, *lenet.__all__, *resnet.__all__, *vgg.__all__]
