"""Functions that own parameters: `import nailorch.layers as L`."""

# ruff: noqa: F403
from nailorch.layers import convolution, dense, initializers
from nailorch.layers.base import Layer, current_layers
from nailorch.layers.convolution import *
from nailorch.layers.dense import *
from nailorch.layers.initializers import *

__all__ = ['Layer', 'current_layers']
__all__ += convolution.__all__ + dense.__all__ + initializers.__all__
