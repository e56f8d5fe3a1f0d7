"""nailorch: convolutional networks in Python that you can read, that run fast, and that show what they compute."""

import importlib
import sys
from typing import TYPE_CHECKING, Any

from nailorch import cuda, functions, layers, models, optimizers
from nailorch.config import Config, no_grad, test_mode, using_config
from nailorch.core import Buffer, Function, Parameter, Variable, as_array, as_variable, grad
from nailorch.hints import PACKAGE, missing
from nailorch.layers import Layer
from nailorch.models import Model
from nailorch.rng import seed

if TYPE_CHECKING:
    from nailorch import datasets, graph, inspection, onnx, schedules, training, transforms
    from nailorch import inspection as inspect
    from nailorch.dataloaders import DataLoader, SeqDataLoader
    from nailorch.datasets import Dataset
    from nailorch.explaining import explain
    from nailorch.session import Session, compile, compile_gradients

__version__ = '0.1.0'

__all__ = ['Buffer', 'Config', 'DataLoader', 'Dataset', 'Function', 'Layer', 'Model', 'Parameter', 'SeqDataLoader',
           'Session', 'Variable', 'as_array', 'as_variable', 'compile', 'compile_gradients', 'cuda', 'datasets',
           'explain', 'functions', 'grad', 'graph', 'inspect', 'inspection', 'layers', 'models', 'no_grad', 'onnx',
           'optimizers', 'schedules', 'seed', 'test_mode', 'training', 'transforms', 'using_config']

# What a script may not need is imported when it is first asked for: `import nailorch` stays quick.
LATER = {'DataLoader': 'dataloaders', 'SeqDataLoader': 'dataloaders', 'Dataset': 'datasets', 'Session': 'session',
         'compile': 'session', 'compile_gradients': 'session', 'explain': 'explaining'}
CHAPTERS = {'datasets', 'graph', 'inspection', 'onnx', 'schedules', 'training', 'transforms'}


def __getattr__(name: str) -> Any:
    if name == 'inspect':  # a verb beside explain and compile; the package bears the noun
        return importlib.import_module('nailorch.inspection')
    if name in CHAPTERS:
        return importlib.import_module(f'nailorch.{name}')
    if name in LATER:
        return getattr(importlib.import_module(f'nailorch.{LATER[name]}'), name)
    same = {name: f'nailorch.functions.{name}'} if name in functions.__all__ else {}  # torch.exp is F.exp
    raise missing(sys.modules[__name__], name, PACKAGE | same)
