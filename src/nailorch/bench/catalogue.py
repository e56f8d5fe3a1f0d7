"""The list of workloads, and how they are asked for by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from nailorch.bench.traced import Traced
from nailorch.bench.workloads import JOBS, Convolution, Dense, Stack, Step, Workload

__all__ = ['GROUPS', 'catalogue', 'chosen']

GROUPS = {
    'models': 'VGG16, ResNet50, MobileNetV2 and MNISTNet: inference and training',
    'vgg-layers': 'each different convolution of VGG16',
    'other-layers': '1x1, 7x7/2, 3x3/2, dilated, depthwise, grouped: ResNet50, MobileNetV2 and their kind',
    'dense-layers': 'the dense layers of VGG16',
}

# name, images (C, H, W), channels out
VGG_LAYERS = (
    ('conv1_1', (3, 224, 224), 64), ('conv1_2', (64, 224, 224), 64),
    ('conv2_1', (64, 112, 112), 128), ('conv2_2', (128, 112, 112), 128),
    ('conv3_1', (128, 56, 56), 256), ('conv3_2', (256, 56, 56), 256),
    ('conv4_1', (256, 28, 28), 512), ('conv4_2', (512, 28, 28), 512),
    ('conv5_1', (512, 14, 14), 512),
)

# name, images (C, H, W), channels out, kernel, stride, pad, dilation, groups
OTHER_LAYERS = (
    ('stem7x7', (3, 224, 224), 64, 7, 2, 3, 1, 1),
    ('stem3x3', (3, 224, 224), 32, 3, 2, 1, 1, 1),
    ('1x1-widen', (64, 56, 56), 256, 1, 1, 0, 1, 1),
    ('1x1-narrow', (256, 56, 56), 64, 1, 1, 0, 1, 1),
    ('1x1-deep', (1024, 14, 14), 256, 1, 1, 0, 1, 1),
    ('1x1-stride2', (256, 56, 56), 512, 1, 2, 0, 1, 1),
    ('1x1-bottleneck', (96, 56, 56), 24, 1, 1, 0, 1, 1),
    ('3x3-stride2', (128, 56, 56), 128, 3, 2, 1, 1, 1),
    ('3x3-stride2-deep', (512, 14, 14), 512, 3, 2, 1, 1, 1),
    ('dilated2', (256, 28, 28), 256, 3, 1, 2, 2, 1),
    ('dilated4', (512, 28, 28), 512, 3, 1, 4, 4, 1),
    ('depthwise', (144, 56, 56), 144, 3, 1, 1, 1, 144),
    ('depthwise-stride2', (96, 112, 112), 96, 3, 2, 1, 1, 96),
    ('depthwise-deep', (576, 14, 14), 576, 3, 1, 1, 1, 576),
    ('grouped32', (128, 56, 56), 128, 3, 1, 1, 1, 32),
    ('grouped32-deep', (512, 14, 14), 512, 3, 1, 1, 1, 32),
)

DENSE_LAYERS = (('fc6', 25088, 4096), ('fc7', 4096, 4096), ('fc8', 4096, 1000))


def vgg_steps(width: int, hidden: int, classes: int) -> tuple[Step, ...]:
    steps: list[Step] = []
    for block, depth in enumerate((2, 2, 3, 3, 3)):
        steps += [('conv', width * min(2 ** block, 8)), ('relu', 0)] * depth + [('pool', 2)]
    steps += [('flatten', 0), *[('linear', hidden), ('relu', 0), ('dropout', 50)] * 2, ('linear', classes)]
    return tuple(steps)


MNIST_STEPS: tuple[Step, ...] = (
    ('conv', 16), ('relu', 0), ('pool', 2), ('conv', 32), ('relu', 0), ('pool', 2), ('flatten', 0),
    ('linear', 128), ('relu', 0), ('dropout', 50), ('linear', 10),
)


def catalogue(quick: bool = False) -> dict[str, Workload]:
    """Return every workload by its name, at its real size or, for `quick`, at a small one under the same name."""
    workloads = [*networks(quick), *convolutions(quick), *dense(quick)]
    return {workload.name: workload for workload in workloads}


def networks(quick: bool) -> Iterator[Workload]:
    width, hidden, classes, side = (4, 32, 10, 32) if quick else (64, 4096, 1000, 224)
    options = {'num_classes': classes, 'width': width, 'hidden': hidden}
    steps = vgg_steps(width, hidden, classes)
    image = (3, side, side)
    for job, batch, optimizer in (('inference', 1, ''), ('inference', 8, ''), ('training', 8, 'momentum')):
        yield Stack(f'vgg16-{job}-b{batch}', job, batch, 'models', 'VGG16', options, image, optimizer, steps)
    yield from traced(quick)
    for job, optimizer in (('inference', ''), ('training', 'adam')):
        batch = 10 if quick else 100
        yield Stack(f'mnistnet-{job}-b100', job, batch, 'models', 'MNISTNet', {}, (1, 28, 28), optimizer, MNIST_STEPS)


def traced(quick: bool) -> Iterator[Workload]:
    """Yield the networks with branches. Theirs is the batch that their papers' users train with, on one machine."""
    classes, image = (10, (3, 64, 64)) if quick else (1000, (3, 224, 224))
    for name, model, options in (
            ('resnet50', 'ResNet50', {'width': 8 if quick else 64}),
            ('mobilenet_v2', 'MobileNetV2', {'width': 0.25 if quick else 1.0, 'dropout_ratio': 0.0})):
        for job, batch, optimizer in (('inference', 1, ''), ('inference', 8, ''), ('training', 16, 'momentum')):
            yield Traced(f'{name}-{job}-b{batch}', job, min(batch, 4) if quick else batch, 'models', model,
                         {'num_classes': classes, **options}, image, optimizer)


def convolutions(quick: bool) -> Iterator[Workload]:
    layers = [('vgg-layers', f'vgg16-{name}', image, channels, 3, 1, 1, 1, 1) for name, image, channels in VGG_LAYERS]
    layers += [('other-layers', *layer) for layer in OTHER_LAYERS]
    for group, name, (C, H, W), channels, kernel, stride, pad, dilation, groups in layers:
        if quick:
            C, channels, groups = small(C), small(channels), small(groups)
            H, W = max(H // 8, 7), max(W // 8, 7)
        for batch in (8, 1):
            for job in JOBS:
                yield Convolution(f'{name}-{job}-b{batch}', job, min(batch, 2) if quick else batch, group,
                                  (C, H, W), channels, kernel, stride, pad, dilation, groups)


def small(channels: int) -> int:
    """Return an eighth of the channels, which keeps groups even."""
    return channels // 8 if channels >= 8 else channels


def dense(quick: bool) -> Iterator[Workload]:
    for name, features, outputs in DENSE_LAYERS:
        for batch in (8, 1):
            sizes = (features // 64, outputs // 8) if quick else (features, outputs)
            yield Dense(f'vgg16-{name}-forward-b{batch}', 'forward', batch, 'dense-layers', *sizes)


def chosen(words: Sequence[str], known: dict[str, Workload]) -> list[Workload]:
    """Return the workloads that `words` name: 'all', a group, a name, its beginning ('vgg16-conv1_1'), or a pattern.

    Raises:
        LookupError: a word, its argument, names nothing.
    """
    found: dict[str, Workload] = {}
    for word in words or ('models',):
        named = {name: workload for name, workload in known.items()
                 if word in ('all', workload.group, name) or name.startswith(f'{word}-') or fnmatchcase(name, word)}
        if not named:
            raise LookupError(word)
        found |= named
    return list(found.values())
