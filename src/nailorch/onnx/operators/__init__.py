"""The operators that `nailorch.onnx.load` knows: OPERATORS, by domain and name."""

from nailorch.onnx.operators import elementwise, losses, norms, resizing, shaping, sums, windows  # noqa: F401
from nailorch.onnx.operators.table import OPERATORS, Discrete, Operator, find

__all__ = ['OPERATORS', 'Discrete', 'Operator', 'find']
