"""How much of the image does one number of a deep layer depend on? Ask the gradient.

    python examples/receptive_field.py

A pixel that the number depends on gets a gradient; all others get none. The layers are VGG16's, with one channel,
weights of 1 and average pooling, so that nothing cancels out.
"""

import numpy as np

import nailorch.functions as F
from nailorch import Variable

W = np.ones((1, 1, 3, 3))


def receptive_field(image, feature):
    """Return how many rows of the image the middle of a feature map depends on."""
    middle = feature.shape[2] // 2
    image.cleargrad()
    feature[0, 0, middle, middle].backward(retain_graph=True)
    rows = np.flatnonzero(image.grad.data.any(axis=(0, 1, 3)))
    return rows[-1] - rows[0] + 1


image = Variable(np.ones((1, 1, 288, 288)))
print(f'one 3x3 convolution sees {receptive_field(image, F.conv2d(image, W, pad=1))} pixels')

x = image
for block, convolutions in enumerate([2, 2, 3, 3, 3], start=1):
    for _ in range(convolutions):
        x = F.conv2d(x, W, pad=1)
    x = F.average_pooling(x, 2, 2)
    print(f'VGG16 after pool{block} sees {receptive_field(image, x)} pixels')
