"""The old home of the convolution family; everything lives in `nailorch.functions` now."""

from nailorch.functions import (
    AveragePooling,
    Col2im,
    Conv2d,
    Conv2DGradW,
    Conv2dGradW,
    Deconv2d,
    Im2col,
    Pooling,
    average_pooling,
    col2im,
    col2im_array,
    conv2d,
    conv2d_simple,
    deconv2d,
    deconv2d_simple,
    get_conv_outsize,
    get_deconv_outsize,
    im2col,
    im2col_array,
    pair,
    pooling,
    pooling_simple,
)

__all__ = ['AveragePooling', 'Col2im', 'Conv2DGradW', 'Conv2d', 'Conv2dGradW', 'Deconv2d', 'Im2col', 'Pooling',
           'average_pooling', 'col2im', 'col2im_array', 'conv2d', 'conv2d_simple', 'deconv2d', 'deconv2d_simple',
           'get_conv_outsize', 'get_deconv_outsize', 'im2col', 'im2col_array', 'pair', 'pooling', 'pooling_simple']
