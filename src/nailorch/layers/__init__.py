"""Functions that own parameters: `import nailorch.layers as L`."""

# ruff: noqa: F403
import sys
from typing import TYPE_CHECKING, Any

from nailorch.hints import LAYERS, missing
from nailorch.layers import activation, convolution, dense, initializers, noise, normalization, pools, recurrent, shape
from nailorch.layers.activation import *
from nailorch.layers.base import Layer, current_layers
from nailorch.layers.convolution import *
from nailorch.layers.dense import *
from nailorch.layers.initializers import *
from nailorch.layers.noise import *
from nailorch.layers.normalization import *
from nailorch.layers.pools import *
from nailorch.layers.recurrent import *
from nailorch.layers.shape import *

__all__ = ['Layer', 'current_layers']
__all__ += activation.__all__ + convolution.__all__ + dense.__all__ + initializers.__all__ + noise.__all__
__all__ += normalization.__all__ + pools.__all__ + recurrent.__all__ + shape.__all__

if not TYPE_CHECKING:
    def __getattr__(name: str) -> Any:
        raise missing(sys.modules[__name__], name, LAYERS)
