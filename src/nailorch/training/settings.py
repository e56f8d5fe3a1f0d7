"""What a training run is told, as one frozen tree of values: read from TOML, changed by flags, saved with the run.

Each setting states its default, its bounds and its meaning once, here; the command line makes its flags from them.
"""

from __future__ import annotations

import difflib
import math
import operator
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, field, fields, is_dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

from nailorch.formats.toml import parse_toml
from nailorch.messages import message

__all__ = [
    'AugmentationSettings',
    'DataSettings',
    'ModelSettings',
    'Settings',
    'TrainingSettings',
    'all_settings',
    'change',
    'leaves',
    'parse_assignment',
    'read_settings',
    'settings_from',
    'settings_to_dict',
    'value_of',
]

LIMITS = {'least': operator.ge, 'most': operator.le, 'above': operator.gt}
LARGEST_FILE = 1 << 20  # a configuration is a page; a gigabyte given by mistake is not read into memory


def setting(default: Any, english: str, chinese: str, **limits: float) -> Any:
    """Declare one setting: default, meaning in both languages, and the limits `least`, `most` or `above`."""
    return field(default=default, metadata={'help': (english, chinese), 'limits': limits})


@dataclass(frozen=True)
class ModelSettings:
    name: str = setting(
        'mnistnet',
        'the network: mnistnet, lenet, mlp, vgg16, resnet18, squeezenet1_1, mobilenet_v2 …',
        '网络：mnistnet、lenet、mlp、vgg16、resnet18、squeezenet1_1、mobilenet_v2 等',
    )
    pretrained: bool = setting(
        False,
        'begin with weights trained on ImageNet; images are then prepared as these expect',
        '从 ImageNet 预训练权重开始；图像按这些权重的要求预处理',
    )
    freeze: str = setting(
        '',
        'parts of the network that stay as they are, for example features; several with commas',
        '保持不变的部分，例如 features；多个用逗号分开',
    )


@dataclass(frozen=True)
class DataSettings:
    name: str = setting(
        'digits',
        'digits, mnist, fashion_mnist, cifar10, cifar100, or a folder with one subfolder a class',
        'digits、mnist、fashion_mnist、cifar10、cifar100，或一个文件夹（每个类别一个子文件夹）',
    )
    valid: float = setting(
        0.1,
        'share of the training images kept for validation',
        '从训练集中留作验证的比例',
        above=0,
        most=0.5,
    )
    test: float = setting(
        0.1,
        'share of a folder kept for the test, unless it has train and test inside',
        '图像文件夹留作测试的比例（若其中已有 train 和 test 则不用）',
        above=0,
        most=0.5,
    )
    size: int | None = setting(
        None,
        'resize images to this many pixels a side (image folders: 64; --pretrained: 224)',
        '把图像缩放到边长多少像素（图像文件夹默认 64，--pretrained 默认 224）',
        least=1,
        most=1024,
    )
    workers: int = setting(0, 'threads that prepare batches ahead', '预先准备批量的线程数', least=0, most=64)


@dataclass(frozen=True)
class AugmentationSettings:
    shift: int = setting(
        0, 'move training images by up to this many pixels', '训练图像随机平移的最大像素数', least=0, most=1024
    )
    rotation: float = setting(
        0.0, 'turn training images by up to this many degrees', '训练图像随机旋转的最大角度', least=0, most=180
    )
    flip: bool = setting(False, 'mirror half of the training images, left to right', '随机左右翻转一半的训练图像')
    jitter: float = setting(
        0.0, 'vary brightness and contrast by up to this share', '亮度与对比度随机变化的最大比例', least=0, most=1
    )


@dataclass(frozen=True)
class TrainingSettings:
    epochs: int = setting(10, 'passes over the training images', '遍历训练集的轮数', least=1)
    batch_size: int = setting(100, 'images a step', '每一步的图像数', least=1)
    optimizer: str = setting(
        'adam',
        'sgd, momentum, nesterov, adagrad, adadelta, rmsprop, adam or adamw',
        '优化器：sgd、momentum、nesterov、adagrad、adadelta、rmsprop、adam 或 adamw',
    )
    lr: float | None = setting(
        None, "learning rate (default: the optimiser's usual one)", '学习率（默认取优化器的常用值）', above=0
    )
    schedule: str = setting(
        'cosine',
        'how the learning rate changes: constant, step, cosine, onecycle or plateau',
        '学习率如何变化：constant、step、cosine、onecycle 或 plateau',
    )
    warmup: float = setting(
        0.0, 'epochs in which the learning rate rises to its full value', '学习率升到设定值所用的轮数', least=0
    )
    weight_decay: float | None = setting(
        None,
        'pull weights towards zero by this much (default: 0; adamw 0.01)',
        '权重衰减系数（默认 0，adamw 为 0.01）',
        least=0,
    )
    label_smoothing: float = setting(
        0.0,
        'probability taken from the true class and shared among all',
        '标签平滑：从正确类别分给所有类别的概率',
        least=0,
        most=0.9,
    )
    clip: float = setting(0.0, 'largest norm of the gradient; 0 leaves it alone', '梯度范数的上限，0 表示不限', least=0)
    patience: int = setting(
        0,
        'stop after this many epochs without improvement; 0 never stops early',
        '验证结果连续多少轮没有进步就停止，0 表示不提前停止',
        least=0,
    )


@dataclass(frozen=True)
class Settings:
    """Everything that decides a run's outcome.

    Example:
        >>> change(Settings(), {'training.epochs': 3}).training.epochs
        3
    """

    seed: int = setting(0, 'the start of everything random', '一切随机数的种子', least=0)
    model: ModelSettings = field(default_factory=ModelSettings)
    data: DataSettings = field(default_factory=DataSettings)
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)


def all_settings(section: Any = Settings, prefix: str = '') -> Iterator[tuple[str, type, Field[Any]]]:
    """Yield (dotted key, type, field) of every setting, in the order in which they are written."""
    hints = typing.get_type_hints(section)
    for entry in fields(section):
        kind = hints[entry.name]
        if is_dataclass(kind):
            yield from all_settings(kind, f'{prefix}{entry.name}.')
        else:
            yield prefix + entry.name, kind, entry


def settings_from(tree: Mapping[str, Any], source: str = 'settings') -> Settings:
    """Check a nested mapping, as TOML gives it, and make it `Settings`; what it leaves out keeps its default.

    Raises:
        ValueError: a key that is not a setting (the nearest one is named), a wrong type, or a value out of bounds.
    """
    return change(Settings(), dict(leaves(tree)), source)


def leaves(tree: Mapping[str, Any], prefix: str = '') -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) of everything in `tree` that is not itself a table."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f'{prefix}{key}.')
        else:
            yield prefix + key, value


def change(settings: Settings, values: Mapping[str, Any], source: str = 'settings') -> Settings:
    """Return `settings` with the values of some dotted keys replaced, each checked as in `settings_from`."""
    known = {key: (kind, entry) for key, kind, entry in all_settings()}
    for key, value in values.items():
        if key not in known:
            raise ValueError(message('settings.unknown', source=source, name=key, remedy=nearest(key, list(known))))
        kind, entry = known[key]
        checked = check(source, key, value, kind, entry.metadata['limits'])
        section, _, name = key.rpartition('.')
        if section:
            settings = replace(settings, **{section: replace(getattr(settings, section), **{name: checked})})
        else:
            settings = replace(settings, **{name: checked})
    return settings


def nearest(key: str, known: list[str]) -> str:
    """Return 'did you mean …?' for the known key that resembles `key` most, in its own section or in another."""
    last = key.rpartition('.')[2]
    same_name = [name for name in known if name.rpartition('.')[2] == last]
    by_name = {name.rpartition('.')[2]: name for name in known}
    close = same_name or difflib.get_close_matches(key, known, 1)
    close = close or [by_name[name] for name in difflib.get_close_matches(last, by_name, 1)]
    return message('settings.meant', near=close[0]) if close else message('settings.known', names=', '.join(known))


def check(source: str, key: str, value: Any, kind: Any, limits: Mapping[str, float]) -> Any:
    """Return `value` as `kind`, or raise the error that names the key, the value and what is wanted."""
    if isinstance(kind, types.UnionType):
        kind = typing.get_args(kind)[0]  # `int | None`: TOML has no None, so a value given is an int
    if kind is float and type(value) is int:
        value = float(value) if abs(value) <= sys.float_info.max else math.inf
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        wanted = message(f'settings.{kind.__name__}')
        raise ValueError(message('settings.type', source=source, name=key, wanted=wanted, value=value))
    for limit, kept in LIMITS.items():
        if limit in limits and not kept(value, limits[limit]):
            raise ValueError(message(f'settings.{limit}', source=source, name=key, value=value, bound=limits[limit]))
    return value


def parse_assignment(text: str) -> tuple[str, Any]:
    """Split 'training.lr=0.01' into a key and its value."""
    key, equals, value = (part.strip() for part in text.partition('='))
    if not equals or not key:
        raise ValueError(message('settings.assignment', text=text))
    return key, value_of(key, value)


def value_of(key: str, given: Any) -> Any:
    """Return what a person typed for a setting as the value that they mean: text as it is, the rest as TOML."""
    kinds = {name: kind for name, kind, _ in all_settings()}
    if not isinstance(given, str) or (kinds.get(key) is str and not given.startswith(('"', "'"))):
        return given
    try:
        return parse_toml(f'value = {given}')['value']
    except ValueError:
        return given


def settings_to_dict(settings: Any) -> dict[str, Any]:
    """Return the nested dictionary of `settings`, without the entries that are None (TOML has no word for it)."""
    tree: dict[str, Any] = {}
    for entry in fields(settings):
        value = getattr(settings, entry.name)
        if is_dataclass(value):
            tree[entry.name] = settings_to_dict(value)
        elif value is not None:
            tree[entry.name] = value
    return tree


def read_settings(path: str | PathLike[str]) -> Settings:
    """Read a TOML file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is too large, is not TOML, or says what no setting allows; the message names the place.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(message('settings.missing', path=path))
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError(message('settings.size', source=path, size=path.stat().st_size, most=LARGEST_FILE))
    try:
        tree = parse_toml(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(message('settings.syntax', source=path, error=error)) from error
    return settings_from(tree, str(path))
