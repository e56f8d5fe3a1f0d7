"""The models in PyTorch, written by hand with torchvision's names: what is loaded here from there, and back."""

from collections import OrderedDict
from functools import partial

import torch
from torch import nn


class VGG(nn.Module):
    """vgg11 ... vgg19, with or without batch norm, at the size that 32x32 images leave before the dense layers."""

    def __init__(self, depths, batch_norm, classes=1000, width=64, hidden=4096, side=7, dropout=0.5):
        super().__init__()
        layers, inside = [], 3
        for block, depth in enumerate(depths):
            for _ in range(depth):
                channels = width * min(2 ** block, 8)
                layers += [nn.Conv2d(inside, channels, 3, padding=1)]
                layers += [nn.BatchNorm2d(channels)] if batch_norm else []
                layers += [nn.ReLU(inplace=True)]
                inside = channels
            layers += [nn.MaxPool2d(2, 2)]
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((side, side))
        self.classifier = nn.Sequential(
            nn.Linear(inside * side * side, hidden), nn.ReLU(True), nn.Dropout(dropout),
            nn.Linear(hidden, hidden), nn.ReLU(True), nn.Dropout(dropout), nn.Linear(hidden, classes))

    def forward(self, x):
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


class Residual(nn.Module):
    """BasicBlock and Bottleneck."""

    def __init__(self, inside, channels, stride, bottleneck):
        super().__init__()
        out = channels * (4 if bottleneck else 1)
        sizes = ([(inside, channels, 1, 1), (channels, channels, 3, stride), (channels, out, 1, 1)] if bottleneck
                 else [(inside, channels, 3, stride), (channels, channels, 3, 1)])
        self.depth = len(sizes)
        for i, (c, oc, kernel, s) in enumerate(sizes, 1):
            setattr(self, f'conv{i}', nn.Conv2d(c, oc, kernel, s, kernel // 2, bias=False))
            setattr(self, f'bn{i}', nn.BatchNorm2d(oc))
        self.downsample = None
        if stride != 1 or inside != out:
            self.downsample = nn.Sequential(nn.Conv2d(inside, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        y = x
        for i in range(1, self.depth + 1):
            y = getattr(self, f'bn{i}')(getattr(self, f'conv{i}')(y))
            y = y.relu() if i < self.depth else y
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


class ResNet(nn.Module):
    """resnet18 ... resnet152."""

    def __init__(self, depths, bottleneck, classes=1000, width=64):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width)
        inside = width
        for stage, depth in enumerate(depths):
            channels, blocks = width * 2 ** stage, []
            for i in range(depth):
                blocks.append(Residual(inside, channels, 2 if stage and not i else 1, bottleneck))
                inside = channels * (4 if bottleneck else 1)
            setattr(self, f'layer{stage + 1}', nn.Sequential(*blocks))
        self.fc = nn.Linear(inside, classes)

    def forward(self, x):
        x = nn.functional.max_pool2d(self.bn1(self.conv1(x)).relu(), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


class Fire(nn.Module):
    def __init__(self, inside, squeeze, expand):
        super().__init__()
        self.squeeze, self.expand1x1 = nn.Conv2d(inside, squeeze, 1), nn.Conv2d(squeeze, expand, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x):
        x = self.squeeze(x).relu()
        return torch.cat([self.expand1x1(x).relu(), self.expand3x3(x).relu()], 1)


class SqueezeNet(nn.Module):
    """squeezenet1_0 and 1_1; `width` shrinks all channels as ours does."""

    def __init__(self, version, classes=1000, width=1.0, dropout=0.5):
        super().__init__()

        def c(channels):
            return max(1, round(channels * width))

        fires = [(16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256)]
        stem, kernel, pools = (96, 7, (2, 6)) if version == '1_0' else (64, 3, (1, 3))
        inside = c(stem)
        layers = [nn.Conv2d(3, inside, kernel, 2), nn.ReLU(True), nn.MaxPool2d(3, 2, ceil_mode=True)]
        for i, (squeeze, expand) in enumerate(fires):
            layers.append(Fire(inside, c(squeeze), c(expand)))
            inside = 2 * c(expand)
            layers += [nn.MaxPool2d(3, 2, ceil_mode=True)] if i in pools else []
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Conv2d(inside, classes, 1), nn.ReLU(True),
                                        nn.AdaptiveAvgPool2d((1, 1)))

    def forward(self, x):
        return torch.flatten(self.classifier(self.features(x)), 1)


def round8(channels):
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest


def conv_bn(inside, channels, kernel=3, stride=1, groups=1):
    return nn.Sequential(nn.Conv2d(inside, channels, kernel, stride, kernel // 2, groups=groups, bias=False),
                         nn.BatchNorm2d(channels), nn.ReLU6(True))


class Inverted(nn.Module):
    def __init__(self, inside, channels, stride, expansion):
        super().__init__()
        self.shortcut, wide = stride == 1 and inside == channels, inside * expansion
        first = [conv_bn(inside, wide, 1)] if expansion > 1 else []
        self.conv = nn.Sequential(*first, conv_bn(wide, wide, 3, stride, wide),
                                  nn.Conv2d(wide, channels, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x):
        return x + self.conv(x) if self.shortcut else self.conv(x)


MOBILE = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]


class MobileNetV2(nn.Module):
    """mobilenet_v2."""

    def __init__(self, classes=1000, width=1.0, dropout=0.2):
        super().__init__()
        inside = round8(32 * width)
        layers = [conv_bn(3, inside, stride=2)]
        for expansion, channels, blocks, stride in MOBILE:
            for i in range(blocks):
                layers.append(Inverted(inside, round8(channels * width), 1 if i else stride, expansion))
                inside = round8(channels * width)
        last = round8(1280 * max(width, 1.0))
        self.features = nn.Sequential(*layers, conv_bn(inside, last, 1))
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(last, classes))

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding: the odd pixel at the bottom and right."""

    def forward(self, x):
        pads = []
        for size, kernel, stride in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return self._conv_forward(nn.functional.pad(x, pads), self.weight, self.bias)


class MBConv(nn.Module):
    def __init__(self, inside, channels, kernel, stride, expansion):
        super().__init__()
        wide = inside * expansion
        norm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)
        self.shortcut, self.expansion = stride == 1 and inside == channels, expansion
        if expansion > 1:
            self._expand_conv, self._bn0 = SameConv2d(inside, wide, 1, bias=False), norm(wide)
        self._depthwise_conv = SameConv2d(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1 = norm(wide)
        self._project_conv, self._bn2 = SameConv2d(wide, channels, 1, bias=False), norm(channels)

    def forward(self, x):
        y = nn.functional.relu6(self._bn0(self._expand_conv(x))) if self.expansion > 1 else x
        y = nn.functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.shortcut else y


LITE = [  # kernel, channels, expansion, blocks, stride
    (3, 16, 1, 1, 1), (3, 24, 6, 2, 2), (5, 40, 6, 2, 2), (3, 80, 6, 3, 2), (5, 112, 6, 3, 1), (5, 192, 6, 4, 2),
    (3, 320, 6, 1, 1)]


class EfficientNetLite0(nn.Module):
    """efficientnet-lite0, with the names of the package efficientnet_lite_pytorch."""

    def __init__(self, classes=1000, width=1.0, dropout=0.2):
        super().__init__()
        stem, last = round8(32 * min(width, 1.0)), 1280
        norm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)
        self._conv_stem, self._bn0 = SameConv2d(3, stem, 3, 2, bias=False), norm(stem)
        blocks, inside = [], stem
        for kernel, channels, expansion, count, stride in LITE:
            for i in range(count):
                blocks.append(MBConv(inside, round8(channels * width), kernel, 1 if i else stride, expansion))
                inside = round8(channels * width)
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = SameConv2d(inside, last, 1, bias=False), norm(last)
        self._dropout, self._fc = nn.Dropout(dropout), nn.Linear(last, classes)

    def forward(self, x):
        x = nn.functional.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        x = nn.functional.relu6(self._bn1(self._conv_head(x)))
        return self._fc(self._dropout(x.mean((2, 3))))


def state(module):
    """Return a module's state dict as arrays."""
    return OrderedDict((name, tensor.detach().numpy()) for name, tensor in module.state_dict().items())
