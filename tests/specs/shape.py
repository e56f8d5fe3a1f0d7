"""Specs of functions/shape.py and functions/indexing.py."""

import numpy as np

import nailorch.functions as F
from tests.specs import OpSpec, normal, sample

X = normal(2, 3, 4)
SUM_TO = {(2, 3, 4): lambda x: x, (3, 1): lambda x: x.sum((0, 2)).reshape(3, 1), (1, 3, 4): lambda x: x.sum(0)[None],
          (): lambda x: x.sum(), (4,): lambda x: x.sum((0, 1))}

SPECS = [
    OpSpec('reshape', F.reshape, np.reshape, [sample(X, (4, 6)), sample(X, (2, -1)), sample(X, -1), sample(X, [3, 8])],
           torch=lambda x, shape: x.reshape(shape), errors=[
               (lambda: F.reshape(X, (5, 5, 1)), ValueError, 'x has 24 elements, (5, 5, 1) takes 25; x.shape=(2,'),
               (lambda: F.reshape(X, 5), ValueError, 'x has 24 elements, (5,) takes 5; x.shape=(2, 3, 4)'),
               (lambda: F.reshape(X, (5, -1)), ValueError,
                'x has 24 elements, no multiple of 5, so -1 in (5, -1) has no size; x.shape=(2, 3, 4). '
                'To flatten each of the 2 samples: F.flatten(x), or x.reshape(2, -1)'),
               (lambda: F.reshape(X[:0], (0, -1)), ValueError, 'no elements, so -1 in (0, -1) could be any size'),
               (lambda: F.reshape(X, (-1, -1)), ValueError, 'of (-1, -1) one size at most may be -1')]),
    OpSpec('transpose', F.transpose, np.transpose, [sample(X), sample(X, (1, 2, 0)), sample(X, (-1, 0, 1))],
           errors=[(lambda: F.transpose(X, (0, 1)), ValueError, 'axes')]),
    OpSpec('broadcast_to', F.broadcast_to, np.broadcast_to,
           [sample(normal(3, 1), (2, 3, 4)), sample(normal(), (2, 3)), sample(X, (2, 3, 4))],
           errors=[(lambda: F.broadcast_to(X, (2, 4)), ValueError, 'which does not stretch to (2, 4)')]),
    OpSpec('sum_to', F.sum_to, lambda x, shape: SUM_TO[shape](x), [sample(X, shape) for shape in SUM_TO], errors=[
        (lambda: F.sum_to(X[0], (4, 3)), ValueError, 'x has shape (3, 4), to which (4, 3) does not stretch'),
        (lambda: F.sum_to(X[0], (1, 3, 4)), ValueError, 'does not stretch')]),
    OpSpec('pad', F.pad, lambda x, widths, value=0: np.pad(x, widths, constant_values=value),
           [sample(X, ((0, 0), (1, 2), (3, 0))), sample(X, 1, value=2.5), sample(X, ((0, 0),) * 3)],
           errors=[(lambda: F.pad(X, ((1, 1),) * 4), ValueError, 'broadcast')]),
    OpSpec('pad', F.pad, lambda x, widths, mode: np.pad(x, widths, mode),
           [sample(X, ((0, 0), (1, 2), (2, 0)), mode=mode) for mode in ('edge', 'reflect', 'wrap')]),
    OpSpec('flatten', F.flatten, lambda x: x.reshape(len(x), x[:1].size if len(x) else 6),
           [sample(X), sample(normal(3)), sample(normal(0, 2, 3))]),
    OpSpec('expand_dims', F.expand_dims, np.expand_dims, [sample(X, 1), sample(X, -1), sample(X, 0)]),
    OpSpec('squeeze', F.squeeze, np.squeeze, [sample(normal(1, 3, 1)), sample(normal(1, 3, 1), 2), sample(X),
                                       sample(normal(1, 3, 1), np.int64(0)), sample(normal(1, 3, 1), (0, 2))],
           errors=[(lambda: F.squeeze(X, 1), ValueError, 'not equal to one')]),
    OpSpec('concat', lambda a, b, c, **how: F.concat([a, b, c], **how),
           lambda a, b, c, axis=1: np.concatenate([a, b, c], axis),
           [sample(normal(2, 1, 3), X[:, :, :3], normal(2, 2, 3)), sample(X, X[:1], X[:0], axis=0),
            sample(X, X, X, axis=-1)],
           errors=[(lambda: F.concat([X, X, X[:1]]), ValueError,
                    'concat: axis 0 is 2 in xs[0] and 1 in xs[2]; only axis 1, along which they are joined, may '
                    'differ; xs[0].shape=(2, 3, 4), xs[2].shape=(1, 3, 4). They can be joined along axis=0'),
                   (lambda: F.concat([X, X[:1, :, :2]], axis=-1), ValueError, 'only axis -1, along which'),
                   (lambda: F.concat([X, X[:1, :2]], axis=2), ValueError, 'xs[1].shape=(1, 2, 4)'),
                   (lambda: F.concat([]), ValueError, 'concat: xs is empty'),
                   (lambda: F.concat([np.ones(3), np.ones(3)]), ValueError,
                    'concat: there is no axis 1; xs[0].shape=(3,). To join along the first axis: axis=0'),
                   (lambda: F.concat([np.ones((1, 1, 1, 1), 'f'), np.ones((1, 1), 'f')]), ValueError,
                    'concat: xs[0] has 4 axes, xs[1] has 2; xs[0].shape=(1, 1, 1, 1), xs[1].shape=(1, 1)')]),
    OpSpec('stack', lambda a, b, **how: F.stack([a, b], **how), lambda a, b, axis=0: np.stack([a, b], axis),
           [sample(X, X[::-1].copy()), sample(X, X, axis=2), sample(X, X, axis=-1)],
           errors=[(lambda: F.stack([X, X, X[:1]]), ValueError,
                    'stack: all need one shape; xs[0].shape=(2, 3, 4), xs[2].shape=(1, 3, 4)')]),
    OpSpec('split', F.split, lambda x, parts, axis=1: np.split(x, parts, axis),
           [sample(X, 3), sample(X, [1, 3], axis=2), sample(X, 2, axis=0), sample(X, [0, 2])],
           errors=[(lambda: F.split(X, 2), ValueError, 'equal division')]),
    OpSpec('get_item', F.get_item, lambda x, slices: x[slices],
           [sample(X, 1), sample(X, (slice(None), slice(None, None, -2))), sample(X, (..., 2)), sample(X, None),
            sample(X, [1, 0, 1]), sample(X, (slice(None), [0, 2], [1, 1])), sample(X, X > 0),
            sample(X, ([1, 1], slice(3)))],
           errors=[(lambda: F.get_item(X, 5), IndexError, 'out of bounds')]),
]
