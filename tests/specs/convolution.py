"""Specs of functions/convolution.py and functions/columns.py, against float64 loops and PyTorch."""

import numpy as np

import nailorch.functions as F
from tests import loops
from tests.specs import OpSpec, normal, sample


def torch_pads(x, pad, value=0.0):
    import torch
    (top, bottom), (left, right) = loops.sides(pad, None, None, None, None)
    return torch.nn.functional.pad(x, (left, right, top, bottom), value=value)


def torch_conv2d(x, W, b=None, stride=1, pad=0, dilation=1, groups=1):
    import torch
    if pad == 'same':
        pad = loops.sides('same', x.shape[2:], W.shape[2:], loops.both(stride), loops.both(dilation))
    return torch.nn.functional.conv2d(torch_pads(x, pad), W, b, stride, 0, dilation, groups)


def torch_deconv2d(x, W, b=None, stride=1, pad=0, dilation=1, groups=1, output_padding=0):
    import torch
    return torch.nn.functional.conv_transpose2d(x, W, b, stride, pad, output_padding, groups, dilation)


def conv(N, C, H, W, OC, KH, KW, groups=1, bias=True):
    return normal(N, C, H, W), normal(OC, C // groups, KH, KW, seed=1), *([normal(OC, seed=2)] if bias else [])


def deconv(N, C, H, W, OC, KH, KW, groups=1, bias=True):
    return normal(N, C, H, W), normal(C, OC // groups, KH, KW, seed=1), *([normal(OC, seed=2)] if bias else [])


def conv2d_then(x, W, b=None, activation='', **how):
    y = np.maximum(loops.conv2d(x, W, b, **how), 0)
    return np.minimum(y, 6) if activation == 'relu6' else y


PLAIN = [
    sample(*conv(1, 1, 3, 3, 1, 2, 2)),
    sample(*conv(2, 3, 5, 6, 4, 3, 2, bias=False)),
    sample(*conv(2, 3, 7, 5, 2, 3, 3), pad=1),
    sample(*conv(2, 2, 7, 8, 3, 2, 3), stride=(2, 3), pad=(1, 2)),
    sample(*conv(1, 2, 5, 4, 2, 3, 2), pad=((0, 2), (1, 0)), stride=2),
    sample(*conv(3, 1, 4, 6, 2, 1, 1)),
    sample(*conv(2, 2, 4, 5, 3, 4, 5)),
    sample(*conv(2, 2, 6, 7, 3, 3, 2), pad='same', stride=(2, 1)),
    sample(*conv(2, 2, 4, 5, 3, 3, 3), pad='valid'),
]
FURTHER = [
    sample(*conv(2, 2, 7, 9, 3, 3, 2), dilation=(2, 3), pad=1),
    sample(*conv(2, 4, 5, 6, 6, 3, 2, groups=2), groups=2, pad=(1, 0), stride=(1, 2)),
    sample(*conv(2, 3, 5, 4, 3, 3, 3, groups=3), groups=3, pad=1),
    sample(*conv(1, 3, 5, 4, 6, 2, 3, groups=3, bias=False), groups=3, dilation=2, pad=2),
    sample(*conv(1, 2, 8, 8, 2, 2, 2), stride=3),
    sample(*conv(2, 2, 1, 9, 4, 2, 2, groups=2), stride=3, pad=(3, 0), dilation=(1, 2), groups=2),  # most is padding
    sample(*conv(1, 1, 9, 7, 1, 3, 3), pad='same', stride=2, dilation=2),
]
def pooled(x, W, b=None, activation='', pool=1, **how):
    y = loops.conv2d(x, W, b, **how)
    y = conv2d_then(x, W, b, activation, **how) if activation else y
    KH, KW = loops.both(pool)
    (N, C), OH, OW = y.shape[:2], y.shape[2] // KH, y.shape[3] // KW
    return y[:, :, :OH * KH, :OW * KW].reshape(N, C, OH, KH, OW, KW).max(axis=(3, 5))


POOLED = [
    sample(*conv(2, 3, 5, 6, 4, 2, 3), activation='relu', pool=2),
    sample(*conv(2, 1, 6, 8, 3, 3, 3), pad=1, activation='relu', pool=(2, 2)),
    sample(*conv(2, 1, 4, 6, 3, 3, 3), pad=1, pool=2),
    sample(*conv(2, 2, 7, 9, 3, 3, 3), pad=1, activation='relu6', pool=(3, 2)),
    sample(*conv(1, 2, 6, 4, 4, 3, 3, groups=2, bias=False), pad='same', groups=2, activation='relu', pool=(1, 2)),
]
ACTIVATED = [
    sample(*conv(2, 3, 5, 6, 4, 3, 2), activation='relu'),
    sample(*conv(2, 1, 7, 5, 3, 3, 3), pad=1, activation='relu6'),
    sample(*conv(2, 4, 5, 6, 6, 3, 2, groups=2, bias=False), groups=2, stride=(1, 2), activation='relu'),
    sample(*conv(2, 2, 6, 7, 3, 3, 3), pad='same', dilation=2, activation='relu6'),
]
BACK = [
    sample(*deconv(1, 1, 2, 2, 1, 2, 2)),
    sample(*deconv(2, 3, 3, 4, 2, 3, 2, bias=False), stride=(2, 3)),
    sample(*deconv(2, 2, 3, 4, 3, 3, 2), pad=(1, 0), stride=2),
    sample(*deconv(2, 4, 3, 2, 6, 3, 3, groups=2), groups=2, pad=1, dilation=(1, 2)),
    sample(*deconv(1, 2, 3, 3, 2, 3, 3), stride=2, pad=1, output_padding=1),
    sample(*deconv(1, 3, 4, 3, 3, 2, 3, groups=3), groups=3, stride=(3, 2), output_padding=(2, 1)),
]
BACK_OURS = [
    sample(*deconv(1, 2, 3, 4, 2, 3, 2), stride=(2, 3), outsize=(8, 13)),
    sample(*deconv(1, 2, 3, 4, 2, 3, 3), stride=2, pad=((0, 1), (1, 0))),
    sample(*deconv(2, 2, 3, 2, 2, 3, 3), stride=2, pad='same'),
    sample(*deconv(2, 2, 3, 2, 2, 3, 4), stride=(2, 3), pad='same', outsize=(5, 5)),
]
COLUMNS = [
    sample(normal(1, 1, 3, 3), 2),
    sample(normal(2, 3, 5, 6), (3, 2), (2, 1), (1, 2)),
    sample(normal(2, 2, 5, 4), (2, 3), 2, ((0, 1), (2, 0))),
    sample(normal(2, 2, 5, 4), [2, 3], 1, 1, False),
    sample(normal(1, 2, 7, 6), (2, 3), 1, 'same', dilation=(3, 2)),
]
ROWS = [
    sample(normal(4, 4), (1, 1, 3, 3), 2),
    sample(normal(2 * 3 * 9, 3 * 6), (2, 3, 5, 6), (3, 2), (2, 1), (1, 2)),
    sample(normal(2, 2, 2, 3, 6, 4), (2, 2, 5, 4), (2, 3), 1, 1, False),
    sample(normal(1 * 4 * 4, 2 * 6), (1, 2, 7, 6), (2, 3), 1, 0, dilation=(3, 1)),
]
X = np.zeros((1, 3, 8, 8))

SPECS = [
    OpSpec('conv2d', F.conv2d, loops.conv2d, PLAIN + FURTHER, torch=torch_conv2d, errors=[
        (lambda: F.conv2d(X, np.zeros((4, 2, 3, 3))), ValueError,
         'conv2d: x has 3 channels, W expects 2; x.shape=(1, 3, 8, 8), W.shape=(4, 2, 3, 3)'),
        (lambda: F.conv2d(np.zeros((1, 8, 8, 3)), np.zeros((4, 3, 3, 3))), ValueError, 'x.transpose(0, 3, 1, 2)'),
        (lambda: F.conv2d(X[0], np.zeros((4, 3, 3, 3))), ValueError, 'add the batch axis: x[None]'),
        (lambda: F.conv2d(X[0, 0], np.zeros((4, 1, 3, 3))), ValueError, 'x[None, None]'),
        (lambda: F.conv2d(np.zeros((5, 784)), np.zeros((4, 1, 3, 3))), ValueError, 'x.reshape(-1, C, H, W)'),
        (lambda: F.conv2d(X, np.zeros((4, 3, 9, 3))), ValueError, 'kernel, 9 pixels wide, does not fit into 8'),
        (lambda: F.conv2d(X, np.zeros((4, 3, 5, 3)), dilation=3), ValueError, '(13 when dilated)'),
        (lambda: F.conv2d(X, np.zeros((4, 3, 3, 3)), np.zeros(3)), ValueError, 'b has shape (3,)'),
        (lambda: F.conv2d(X, np.zeros((4, 1, 3, 3)), groups=3), ValueError, 'OC=4 cannot be shared out evenly'),
        (lambda: F.conv2d(X, np.zeros((3, 1, 3, 3)), groups=3.0), ValueError, 'groups=3.0'),
        (lambda: F.conv2d(X, np.zeros((3, 3, 3))), ValueError, 'filters have four axes'),
        (lambda: F.conv2d(X, np.zeros((4, 3, 3, 3)), stride=0), ValueError, 'stride: 0 is too small'),
        (lambda: F.conv2d(X, np.zeros((4, 3, 3, 3)), stride=(1, 2, 3)), ValueError, 'two ints'),
        (lambda: F.conv2d(X, np.zeros((4, 3, 3, 3)), pad=-1), ValueError, 'pad: -1 is too small'),
        (lambda: F.conv2d(X, np.zeros((4, 3, 3, 3)), pad='full'), ValueError, "got 'full'"),
    ]),
    OpSpec('conv2d', F.conv2d, conv2d_then, ACTIVATED, errors=[
        (lambda: F.conv2d(X, np.zeros((4, 3, 3, 3)), activation='tanh'), ValueError,
         "conv2d: activation is 'tanh'; there are '', 'relu', 'relu6'"),
    ]),
    OpSpec('conv2d', F.conv2d, pooled, POOLED, errors=[
        (lambda: F.conv2d(X, np.zeros((4, 3, 3, 3)), pool=7), ValueError, 'kernel, 7 pixels wide, does not fit into 6'),
        (lambda: F.conv2d(X, np.zeros((4, 3, 3, 3)), pool=0), ValueError, '0 is too small'),
    ]),
    OpSpec('conv2d_simple', F.conv2d_simple, loops.conv2d, PLAIN, torch=torch_conv2d, errors=[
        (lambda: F.conv2d_simple(X, np.zeros((4, 2, 3, 3))), ValueError, 'x has 3 channels, W expects 2'),
        (lambda: F.conv2d_simple(X[0], np.zeros((4, 3, 3, 3))), ValueError, 'x[None]'),
        (lambda: F.conv2d_simple(X, np.zeros((4, 3, 3, 3)), np.zeros(1)), ValueError, 'b has shape (1,)'),
    ]),
    OpSpec('deconv2d', F.deconv2d, loops.deconv2d, BACK + BACK_OURS, errors=[
        (lambda: F.deconv2d(X, np.zeros((2, 4, 3, 3))), ValueError, 'x has 3 channels, W expects 2'),
        (lambda: F.deconv2d(X, np.zeros((3, 4, 3, 3)), stride=2, outsize=(20, 17)), ValueError, 'choose from 17 to 18'),
        (lambda: F.deconv2d(X, np.zeros((3, 4, 3, 3)), stride=2, outsize=(18, 16)), ValueError, 'choose from 17 to 18'),
        (lambda: F.deconv2d(X, np.zeros((3, 4, 3, 3)), pad='same', stride=2, outsize=17), ValueError, 'from 15 to 16'),
        (lambda: F.deconv2d(X, np.zeros((3, 4, 3, 3)), output_padding=1), ValueError, 'choose from 10 to 10'),
        (lambda: F.deconv2d(X, np.zeros((3, 4, 1, 1)), pad=4), ValueError, 'would make 0 pixels'),
        (lambda: F.deconv2d(X, np.zeros((3, 4, 3, 3)), outsize=10, output_padding=1), ValueError, 'one of them'),
    ]),
    OpSpec('deconv2d', F.deconv2d, loops.deconv2d, BACK, torch=torch_deconv2d),
    OpSpec('deconv2d_simple', F.deconv2d_simple, loops.deconv2d, [*BACK[:3], BACK_OURS[0], BACK_OURS[3]]),
    OpSpec('im2col', F.im2col, loops.im2col, COLUMNS, errors=[
        (lambda: F.im2col(X[0], 3), ValueError, 'x[None]'),
        (lambda: F.im2col(X, [3, 3, 3]), ValueError, 'kernel_size: expected an int or two ints'),
        (lambda: F.im2col_array(X[0], 3, 1, 0), ValueError, 'x[None]'),
    ]),
    OpSpec('col2im', F.col2im, loops.col2im, ROWS, errors=[
        (lambda: F.col2im(np.zeros((4, 5)), (1, 1, 3, 3), 2), ValueError, '20 elements does not match images of'),
        (lambda: F.col2im(np.zeros((4, 4)), (1, 3, 3), 2), ValueError, 'input_shape=(1, 3, 3) has 3'),
    ]),
]
