"""explain: asks the right explainer."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

import numpy as np

from nailorch.explaining import others, pools, windows
from nailorch.explaining.model import Explanation
from nailorch.messages import message

__all__ = ['EXPLAINED', 'explain']

EXPLAINED: dict[str, Callable[..., Explanation]] = {
    'conv2d': windows.conv2d, 'deconv2d': windows.deconv2d, 'pooling': pools.pooling,
    'average_pooling': pools.average_pooling, 'im2col': windows.im2col, 'col2im': windows.col2im,
    'linear': others.linear, 'softmax': others.softmax, 'batch_norm': others.batch_norm,
}

ALIASES = {'conv': 'conv2d', 'conv2d_simple': 'conv2d', 'deconv': 'deconv2d', 'deconv2d_simple': 'deconv2d',
           'max_pooling': 'pooling', 'pool': 'pooling', 'pooling_simple': 'pooling', 'avg_pooling': 'average_pooling',
           'linear_simple': 'linear', 'dense': 'linear', 'softmax_simple': 'softmax', 'batchnorm': 'batch_norm'}


def explain(op: str | Callable[..., Any], x: Any, *arguments: Any, **options: Any) -> Explanation:
    """Explain how an operator computes every number of its result.

    Args:
        op: a function of nailorch.functions, F.conv2d, or its name.
        x, arguments, options: what the function takes. Convolution and pooling also take one grey image (H, W), and
            one image of channels (C, H, W); filters likewise (KH, KW), (C, KH, KW) or (OC, C, KH, KW).
        of: explain the gradient with respect to this argument, 'x', 'W', 'b', instead of the result.
        gy: the gradient of the result; ones where it is not given.
    Returns:
        an Explanation: print it, take `.cell(0, 1)`, iterate over it, show it in a notebook.
    Raises:
        ValueError: there is no explanation for that operator, it does not take such arrays, or gy comes without of.
    Example:
        >>> told = explain('conv2d', np.arange(1, 10).reshape(3, 3), [[0, 1], [2, 3]])
        >>> print(told.cell(0, 0))
        0·1 + 1·2 + 2·4 + 3·5 = 25
        >>> told.readers('x', 1, 1)
        [(0, 0), (0, 1), (1, 0), (1, 1)]
        >>> print(explain('conv2d', np.arange(1, 10).reshape(3, 3), [[0, 1], [2, 3]], of='x').cell(1, 1))
        0·1 + 1·1 + 2·1 + 3·1 = 6
    """
    name = op if isinstance(op, str) else getattr(op, '__name__', type(op).__name__)
    name = ALIASES.get(name, name)
    if name not in EXPLAINED:
        near = difflib.get_close_matches(name, [*EXPLAINED, *ALIASES], 1)
        meant = message('explain.meant', near=near[0]) if near else ''
        raise ValueError(message('explain.unknown', name=name, meant=meant, names=', '.join(EXPLAINED)))
    if options.get('gy') is not None and options.get('of', 'y') == 'y':
        raise ValueError(message('explain.gy_alone', op=name))
    with np.errstate(invalid='ignore', over='ignore'):  # infinities give NaN, which the cells show
        return EXPLAINED[name](x, *arguments, **options)
