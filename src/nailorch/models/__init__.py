"""Whole networks, ready to train."""

# ruff: noqa: F403
from nailorch.models import base, lenet
from nailorch.models.base import *
from nailorch.models.lenet import *

__all__ = [*base.__all__, *lenet.__all__]
