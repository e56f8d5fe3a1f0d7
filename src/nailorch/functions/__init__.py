"""Everything that can be computed and differentiated: `import nailorch.functions as F`.

A function takes Variables, arrays or numbers and returns a Variable. Images are (N, C, H, W). A size may be an int, or
two for (vertical, horizontal).
"""

# ruff: noqa: F403
import sys
from typing import TYPE_CHECKING, Any

from nailorch.functions import (
    activation,
    arithmetic,
    columns,
    convolution,
    dense,
    indexing,
    loss,
    noise,
    normalization,
    pools,
    reduction,
    shape,
)
from nailorch.functions.activation import *
from nailorch.functions.arithmetic import *
from nailorch.functions.columns import *
from nailorch.functions.convolution import *
from nailorch.functions.dense import *
from nailorch.functions.indexing import *
from nailorch.functions.loss import *
from nailorch.functions.noise import *
from nailorch.functions.normalization import *
from nailorch.functions.pools import *
from nailorch.functions.reduction import *
from nailorch.functions.shape import *
from nailorch.hints import FUNCTIONS, missing
from nailorch.shapes import get_conv_outsize, get_deconv_outsize, pair

__all__ = ['get_conv_outsize', 'get_deconv_outsize', 'pair']
__all__ += activation.__all__ + arithmetic.__all__ + columns.__all__ + convolution.__all__ + dense.__all__
__all__ += indexing.__all__ + loss.__all__ + noise.__all__ + normalization.__all__ + pools.__all__
__all__ += reduction.__all__ + shape.__all__

if not TYPE_CHECKING:
    def __getattr__(name: str) -> Any:
        raise missing(sys.modules[__name__], name, FUNCTIONS)
