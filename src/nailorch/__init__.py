"""nailorch: convolutional networks in Python that you can read, that run fast, and that show what they compute."""

from nailorch import cuda, functions, layers, models
from nailorch.config import Config, no_grad, test_mode, using_config
from nailorch.core import Function, Parameter, Variable, as_array, as_variable, grad
from nailorch.layers import Layer
from nailorch.models import Model
from nailorch.rng import seed

__version__ = '0.1.0'

__all__ = ['Config', 'Function', 'Layer', 'Model', 'Parameter', 'Variable', 'as_array', 'as_variable', 'cuda',
           'functions', 'grad', 'layers', 'models', 'no_grad', 'seed', 'test_mode', 'using_config']
