"""What PyTorch calls things, for those who come from there: an error then says what they are called here."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import lru_cache
from types import ModuleType
from typing import Any

from nailorch.messages import message

__all__ = ['FUNCTIONS', 'LAYER', 'LAYERS', 'OPTIMIZER', 'PACKAGE', 'VARIABLE', 'check_arguments', 'missing']

VARIABLE = {
    'view': 'x.reshape(...)', 'permute': 'x.transpose(...)', 'unsqueeze': 'F.expand_dims(x, axis)',
    'squeeze': 'F.squeeze(x)', 'relu': 'F.relu(x)', 'softmax': 'F.softmax(x)', 'sigmoid': 'F.sigmoid(x)',
    'tanh': 'F.tanh(x)', 'exp': 'F.exp(x)', 'log': 'F.log(x)', 'sqrt': 'F.sqrt(x)', 'abs': 'F.abs(x)',
    'matmul': 'x @ y', 'argmax': 'x.data.argmax(axis)', 'tolist': 'x.data.tolist()', 'cpu': 'x.data',
    'float': "x.astype('float32')", 'double': "x.astype('float64')", 'long': "x.astype('int64')",
    'clone': 'Variable(x.data.copy())', 'requires_grad_': 'x.requires_grad = True', 'zero_': 'x.cleargrad()',
}
LAYER = {'zero_grad': 'cleargrads()', 'parameters': 'params()', 'modules': 'named_layers()',
         'named_modules': 'named_layers()', 'children': 'named_layers()',
         'register_buffer': 'self.name = Buffer(array)', 'add_module': 'self.name = layer'}
OPTIMIZER = {'zero_grad': 'model.cleargrads()', 'step': 'update()', 'param_groups': 'lr'}
LAYERS = {
    'BatchNorm1d': 'L.BatchNorm', 'BatchNorm2d': 'L.BatchNorm', 'ConvTranspose2d': 'L.Deconv2d',
    'AvgPool2d': 'L.AveragePool2d', 'AdaptiveAvgPool2d': 'L.AdaptiveAveragePool2d', 'Embedding': 'L.EmbedID',
    'Module': 'nailorch.Model', 'Parameter': 'nailorch.Parameter', 'Sequential': 'nailorch.models.Sequential',
    'ModuleList': '[...]', 'ELU': 'F.elu', 'PReLU': 'F.prelu', 'Dropout2d': 'L.Dropout',
    'CrossEntropyLoss': 'F.softmax_cross_entropy', 'MSELoss': 'F.mean_squared_error',
    'BCEWithLogitsLoss': 'F.sigmoid_cross_entropy', 'BCELoss': 'F.binary_cross_entropy', 'NLLLoss': 'F.nll_loss',
}
FUNCTIONS = {
    'max_pool2d': 'F.pooling', 'avg_pool2d': 'F.average_pooling', 'conv_transpose2d': 'F.deconv2d',
    'adaptive_avg_pool2d': 'F.adaptive_average_pooling', 'adaptive_max_pool2d': 'F.adaptive_max_pooling',
    'cross_entropy': 'F.softmax_cross_entropy', 'mse_loss': 'F.mean_squared_error', 'cat': 'F.concat',
    'binary_cross_entropy_with_logits': 'F.sigmoid_cross_entropy', 'embedding': 'F.embed_id', 'unfold': 'F.im2col',
    'fold': 'F.col2im', 'permute': 'F.transpose', 'view': 'F.reshape', 'unsqueeze': 'F.expand_dims',
}
PACKAGE = {'nn': 'nailorch.layers', 'optim': 'nailorch.optimizers', 'tensor': 'nailorch.Variable',
           'Tensor': 'nailorch.Variable', 'from_numpy': 'nailorch.Variable', 'manual_seed': 'nailorch.seed',
           'save': 'model.save_weights(path)', 'load': 'model.load_weights(path)'}
# Of one name here, several there may be meant: the first that the layer or optimiser takes.
ARGUMENTS: dict[str, tuple[tuple[str, str], ...]] = {
    'padding': (('pad', 'pad'),), 'bias': (('nobias', 'nobias (bias=False is nobias=True)'),),
    'in_features': (('in_size', 'in_size'),), 'out_features': (('out_size', 'out_size'),),
    'num_features': (('channels', 'channels'),), 'num_channels': (('channels', 'channels'),),
    'num_groups': (('groups', 'groups'),), 'num_embeddings': (('in_size', 'in_size'),),
    'embedding_dim': (('out_size', 'out_size'),), 'normalized_shape': (('size', 'size'),),
    'output_size': (('outsize', 'outsize'),), 'input_size': (('in_size', 'in_size'),), 'p': (('dropout_ratio',) * 2,),
    'momentum': (('decay', 'decay, which is 1 - momentum'), ('lr', 'optimizers.Momentum(lr, momentum)')),
    'negative_slope': (('slope', 'slope'),), 'dim': (('axis', 'axis'),), 'lr': (('alpha', 'alpha'),),
    'betas': (('beta1', 'beta1 and beta2'),),
    'weight_decay': (('lr', 'add_hook(optimizers.WeightDecay(rate))'), ('alpha', 'optimizers.AdamW')),
}


def missing(owner: Any, name: str, words: Mapping[str, str]) -> AttributeError:
    """Return the error for an attribute that is not there; if it is PyTorch's word, with ours."""
    called = owner.__name__ if isinstance(owner, ModuleType) else type(owner).__name__
    text = message('hint.name', owner=called, name=name, ours=words[name]) if name in words else (
        f'module {called!r} has no attribute {name!r}' if isinstance(owner, ModuleType) else
        f'{called!r} object has no attribute {name!r}')
    return AttributeError(text, name=name, obj=owner)  # Python itself adds a name that is near


def check_arguments(kind: type, given: tuple[Any, ...], named: Mapping[str, Any]) -> None:
    """Raise TypeError for a named argument that a class does not take, if what it is called here is known."""
    taken = parameters(kind)
    for name in named:
        if name in taken[:len(given)] and taken[0] == 'out_channels':
            raise TypeError(message('hint.order', kind=kind.__name__, name=name, given=', '.join(map(repr, given))))
        for ours, told in ARGUMENTS.get(name, ()) if name not in taken else ():
            if ours in taken:
                raise TypeError(message('hint.argument', kind=kind.__name__, name=name, ours=told))
    if kind.__init__ is object.__init__ and (given or named):  # type: ignore[misc]
        raise TypeError(f'{kind.__name__}() takes no arguments')


@lru_cache(None)
def parameters(kind: type) -> tuple[str, ...]:
    """Return what a class is called with."""
    return tuple(inspect.signature(kind.__init__).parameters)[1:]  # type: ignore[misc]
