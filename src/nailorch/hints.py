"""What PyTorch and Keras call things, for those who come from there: an error then says what they are called here."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import lru_cache
from types import ModuleType
from typing import Any, Self

from nailorch.messages import message

__all__ = ['CUDA', 'FUNCTIONS', 'LAYER', 'LAYERS', 'OPTIMIZER', 'PACKAGE', 'SCHEDULE', 'TRANSFORMS', 'VARIABLE',
           'Checked', 'missing']

NEEDLESS = ''  # in place of our word: everything is computed on the CPU

VARIABLE = {
    'view': 'x.reshape(...)', 'permute': 'x.transpose(...)', 'unsqueeze': 'F.expand_dims(x, axis)',
    'squeeze': 'F.squeeze(x)', 'relu': 'F.relu(x)', 'softmax': 'F.softmax(x)', 'sigmoid': 'F.sigmoid(x)',
    'tanh': 'F.tanh(x)', 'exp': 'F.exp(x)', 'log': 'F.log(x)', 'sqrt': 'F.sqrt(x)', 'abs': 'F.abs(x)',
    'matmul': 'x @ y', 'mm': 'x @ y', 'bmm': 'x @ y', 'pow': 'x ** n', 'clamp': 'F.clip(x, low, high)',
    'expand': 'F.broadcast_to(x, shape)', 'chunk': 'F.split(x, n)', 'dim': 'x.ndim', 'numel': 'x.size',
    'argmax': 'x.data.argmax(axis)', 'tolist': 'x.data.tolist()', 'cpu': 'x.data', 'cuda': NEEDLESS,
    'to': 'x.astype(dtype)', 'grad_fn': 'x.creator',
    'float': "x.astype('float32')", 'double': "x.astype('float64')", 'long': "x.astype('int64')",
    'clone': 'Variable(x.data.copy())', 'requires_grad_': 'x.requires_grad = True', 'zero_': 'x.cleargrad()',
}
LAYER = {'zero_grad': 'cleargrads()', 'parameters': 'params()', 'modules': 'named_layers()',
         'named_modules': 'named_layers()', 'children': 'named_layers()',
         'register_buffer': 'self.name = Buffer(array)', 'add_module': 'self.name = layer', 'to': NEEDLESS,
         'cuda': NEEDLESS, 'cpu': NEEDLESS, 'requires_grad_': 'nailorch.training.freeze(model, name)',
         'save': 'save_weights(path)', 'load': 'load_weights(path)',
         'fit': 'nailorch.training.Trainer(model, optimizer, data).fit()',
         'compile': 'nailorch.training.Trainer(model, optimizer, data)', 'predict': 'with test_mode(): model(x)',
         'evaluate': 'nailorch.training.evaluate(model, data)', 'add': 'append(layer)'}
OPTIMIZER = {'zero_grad': 'model.cleargrads()', 'step': 'update()', 'param_groups': 'lr'}
LAYERS = {
    'BatchNorm1d': 'L.BatchNorm', 'BatchNorm2d': 'L.BatchNorm', 'ConvTranspose2d': 'L.Deconv2d',
    'AvgPool2d': 'L.AveragePool2d', 'AdaptiveAvgPool2d': 'L.AdaptiveAveragePool2d', 'Embedding': 'L.EmbedID',
    'Module': 'nailorch.Model', 'Parameter': 'nailorch.Parameter', 'Sequential': 'nailorch.models.Sequential',
    'ModuleList': '[...]', 'ELU': 'F.elu', 'PReLU': 'F.prelu', 'Dropout2d': 'L.Dropout',
    'CrossEntropyLoss': 'F.softmax_cross_entropy', 'MSELoss': 'F.mean_squared_error',
    'BCEWithLogitsLoss': 'F.sigmoid_cross_entropy', 'BCELoss': 'F.binary_cross_entropy', 'NLLLoss': 'F.nll_loss',
    'Dense': 'L.Linear', 'Conv2D': 'L.Conv2d', 'Conv2DTranspose': 'L.Deconv2d', 'MaxPooling2D': 'L.MaxPool2d',
    'AveragePooling2D': 'L.AveragePool2d', 'GlobalAveragePooling2D': 'L.GlobalAveragePool2d',
    'GlobalMaxPooling2D': 'L.GlobalMaxPool2d', 'BatchNormalization': 'L.BatchNorm', 'Activation': 'L.ReLU',
    'LayerNormalization': 'L.LayerNorm', 'DepthwiseConv2D': 'L.Conv2d(C, 3, groups=C)', 'SimpleRNN': 'L.RNN',
}
FUNCTIONS = {
    'max_pool2d': 'F.pooling', 'avg_pool2d': 'F.average_pooling', 'conv_transpose2d': 'F.deconv2d',
    'adaptive_avg_pool2d': 'F.adaptive_average_pooling', 'adaptive_max_pool2d': 'F.adaptive_max_pooling',
    'cross_entropy': 'F.softmax_cross_entropy', 'mse_loss': 'F.mean_squared_error', 'cat': 'F.concat',
    'binary_cross_entropy_with_logits': 'F.sigmoid_cross_entropy', 'embedding': 'F.embed_id', 'unfold': 'F.im2col',
    'fold': 'F.col2im', 'permute': 'F.transpose', 'view': 'F.reshape', 'unsqueeze': 'F.expand_dims',
    'clamp': 'F.clip', 'amax': 'F.max', 'amin': 'F.min', 'one_hot': 'np.eye(classes)[t]',
    'argmax': 'x.data.argmax(axis)', 'chunk': 'F.split', 'l1_loss': 'F.mean(F.abs(x - y))',
}
PACKAGE = {'nn': 'nailorch.layers', 'optim': 'nailorch.optimizers', 'tensor': 'nailorch.Variable',
           'Tensor': 'nailorch.Variable', 'from_numpy': 'nailorch.Variable', 'manual_seed': 'nailorch.seed',
           'save': 'model.save_weights(path)', 'load': 'model.load_weights(path)', 'device': NEEDLESS,
           'set_num_threads': 'nailorch.Config.threads = n', 'inference_mode': 'nailorch.no_grad',
           'set_grad_enabled': "nailorch.using_config('enable_backprop', False)", 'summary': 'model.summary(shape)',
           **{name: f'np.{name}' for name in ('zeros', 'ones', 'arange', 'linspace', 'eye')},
           'float32': 'np.float32', 'float64': 'np.float64', 'int64': 'np.int64', 'long': 'np.int64',
           'randn': 'np.random.randn', 'rand': 'np.random.rand'}
CUDA = {'is_available': 'nailorch.cuda.gpu_enable'}
SCHEDULE = {'step': 'update(optimizer, epoch=epoch)', 'get_last_lr': 'optimizer.lr'}
TRANSFORMS = {'ToTensor': 'transforms.Compose([transforms.ToArray(), transforms.Normalize(0., 255.)])',
              'PILToTensor': 'transforms.ToArray',
              'ToPILImage': 'transforms.ToPIL', 'ConvertImageDtype': 'transforms.AsType',
              'Grayscale': "transforms.Convert('L')"}
KERAS = {'Dense', 'Conv2D', 'Conv2DTranspose', 'MaxPooling2D', 'AveragePooling2D', 'GlobalAveragePooling2D',
         'GlobalMaxPooling2D', 'BatchNormalization', 'Activation', 'LayerNormalization', 'DepthwiseConv2D', 'SimpleRNN',
         'fit', 'compile', 'predict', 'evaluate', 'add', 'rate', 'filters', 'units', 'strides'}
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
    'num_workers': (('workers', 'workers'),), 'prefetch_factor': (('prefetch', 'prefetch'),),
    'pin_memory': (('workers', NEEDLESS),), 'pretrained': (('num_classes', '{kind}.from_pretrained()'),),
    'weights': (('num_classes', '{kind}.from_pretrained()'),),
    'download': (('root', 'root=None'),),
    'rate': (('dropout_ratio', 'dropout_ratio'),), 'filters': (('out_channels', 'out_channels'),),
    'units': (('out_size', 'out_size'),), 'strides': (('stride', 'stride'),),
    'weight_decay': (('lr', 'add_hook(optimizers.WeightDecay(rate))'), ('alpha', 'optimizers.AdamW')),
}


def missing(owner: Any, name: str, words: Mapping[str, str]) -> AttributeError:
    """Return the error for an attribute that is not there; if it is PyTorch's word, with ours."""
    called = owner.__name__ if isinstance(owner, ModuleType) else type(owner).__name__
    text = answer('name', words[name], owner=called, name=name) if name in words else (
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
                raise TypeError(answer('argument', told.format(kind=kind.__name__), owner=kind.__name__, name=name))
    if kind.__init__ is object.__init__ and (given or named):  # type: ignore[misc]
        raise TypeError(f'{kind.__name__}() takes no arguments')


def answer(what: str, ours: str, owner: str, name: str) -> str:
    """Return the sentence that there is no such `what`, 'name' or 'argument', and what it is called here."""
    whose = 'Keras' if name in KERAS else 'PyTorch'
    remedy = message('hint.ours' if ours else 'hint.needless', whose=whose, name=name, ours=ours)
    return message(f'hint.{what}', owner=owner, name=name, remedy=remedy)


class Checked:
    """A class that answers other frameworks' arguments with ours."""

    def __new__(cls, *given: Any, **named: Any) -> Self:
        check_arguments(cls, given, named)
        return super().__new__(cls)


@lru_cache(None)
def parameters(kind: type) -> tuple[str, ...]:
    """Return what a class is called with."""
    return tuple(inspect.signature(kind.__init__).parameters)[1:]  # type: ignore[misc]
