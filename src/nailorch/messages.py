"""What nailorch says to a person whose input does not fit, in English and in Chinese.

One catalogue, one entry a message, both languages side by side, so neither can be forgotten. A message says what
disagrees, with both values, then the remedy where it is known.
"""

from __future__ import annotations

import locale
import os
from typing import Any

from nailorch.config import Config

__all__ = ['MESSAGES', 'language', 'message']


def language() -> str:
    """Return 'zh' or 'en': `Config.lang`, else NAILORCH_LANG, else the locale."""
    asked = [Config.lang, *(os.environ.get(name) for name in ('NAILORCH_LANG', 'LC_ALL', 'LC_MESSAGES', 'LANG'))]
    chosen = next((name for name in asked if name), None) or locale.getlocale()[0] or ''
    return 'zh' if chosen.lower().startswith(('zh', 'chinese')) else 'en'


def message(key: str, **values: Any) -> str:
    """Return the message `key` in the language in force, its {placeholders} filled with `values`."""
    english, chinese = MESSAGES[key]
    return (chinese if language() == 'zh' else english).format(**values)


MESSAGES: dict[str, tuple[str, str]] = {
    # sizes
    'size.pair': (
        '{name}: expected an int or two ints (vertical, horizontal), got {value!r}',
        '{name}：应为一个整数，或两个整数（竖直, 水平），得到的是 {value!r}',
    ),
    'size.least': (
        '{name}: {value} is too small; the smallest that makes sense is {least}',
        '{name}：{value} 太小，至少应为 {least}',
    ),
    'size.pad': (
        "pad: expected an int, (vertical, horizontal), ((top, bottom), (left, right)), 'same' or 'valid', got {value!r}",
        "pad：应为整数、(竖直, 水平)、((上, 下), (左, 右))、'same' 或 'valid'，得到的是 {value!r}",
    ),
    'size.kernel': (
        'the kernel, {kernel} pixels wide{dilated}, does not fit into {size} + {pad} of padding; '
        'pad more, or use a smaller kernel',
        '卷积核宽 {kernel} 个像素{dilated}，放不进 {size} + 填充 {pad}；请增大填充，或换用更小的卷积核',
    ),
    'size.dilated': (' ({spread} when dilated)', '（空洞展开后为 {spread}）'),
    'size.output': (
        'an output of {outsize} is not possible from an input of {size} with kernel {kernel}, stride {stride}, '
        'pad {pad}: choose from {least} to {most}',
        '输入 {size}、卷积核 {kernel}、步幅 {stride}、填充 {pad} 得不到大小为 {outsize} 的输出：可取 {least} 到 {most}',
    ),
    'deconv.small': (
        'deconv: an input of {size} with kernel {kernel}, stride {stride}, pad {pad} would make {outsize} pixels; pad less',
        '转置卷积：输入 {size}、卷积核 {kernel}、步幅 {stride}、填充 {pad} 只能得到 {outsize} 个像素；请减小填充',
    ),
    'pool.pad': (
        'pooling: a pad of {pad} lets a window of {kernel} see nothing but padding; pad less than the kernel',
        '池化：填充 {pad} 会让大小为 {kernel} 的窗口只看到填充；填充应小于窗口',
    ),
    # axes and channels
    'axes.images': (
        '{op}: images have four axes (N, C, H, W), x has {ndim}; x.shape={shape}. {remedy}',
        '{op}：图像应有四个轴 (N, C, H, W)，x 有 {ndim} 个；x.shape={shape}。{remedy}',
    ),
    'axes.batch': (
        'For one image of (C, H, W), add the batch axis: x[None]',
        '若只有一张 (C, H, W) 的图像，请添上批量轴：x[None]',
    ),
    'axes.channel': (
        'For one grey image of (H, W), add batch and channel axes: x[None, None]',
        '若只有一张 (H, W) 的灰度图，请添上批量轴和通道轴：x[None, None]',
    ),
    'axes.flat': (
        'For flattened images, give them back their shape: x.reshape(-1, C, H, W)',
        '若图像已被展平，请恢复其形状：x.reshape(-1, C, H, W)',
    ),
    'axes.filters': (
        '{op}: filters have four axes (OC, C, KH, KW), W has {ndim}; W.shape={shape}',
        '{op}：卷积核应有四个轴 (OC, C, KH, KW)，W 有 {ndim} 个；W.shape={shape}',
    ),
    'conv.channels': (
        '{op}: x has {channels} channels, W expects {expected}; x.shape={x}, W.shape={W}{remedy}',
        '{op}：x 有 {channels} 个通道，W 需要 {expected} 个；x.shape={x}，W.shape={W}{remedy}',
    ),
    'conv.layout': (
        '. The last axis of x has {expected}: if x is (N, H, W, C), use x.transpose(0, 3, 1, 2)',
        '。x 的最后一个轴恰为 {expected}：若 x 是 (N, H, W, C)，请用 x.transpose(0, 3, 1, 2)',
    ),
    'conv.groups': (
        '{op}: {name}={channels} cannot be shared out evenly among groups={groups}',
        '{op}：{name}={channels} 不能平均分给 groups={groups} 个组',
    ),
    'conv.bias': (
        '{op}: b has shape {b}, one number for each of the {channels} output channels is expected: ({channels},)',
        '{op}：b 的形状是 {b}，应为每个输出通道一个数，共 {channels} 个：({channels},)',
    ),
    'col.shape': (
        'col2im: a column of {got} elements does not match images of {shape}, which need {expected}',
        'col2im：列矩阵有 {got} 个元素，与形状为 {shape} 的图像不符，后者需要 {expected} 个',
    ),
    # the tape
    'backward.nothing': (
        'backward: nothing led to this Variable that could be differentiated. Was it computed under no_grad(), '
        'or from plain arrays alone?',
        'backward：没有可求导的计算通向这个 Variable。它是在 no_grad() 下、或只由普通数组算出的吗？',
    ),
    'backward.twice': (
        'backward: the arrays saved by {function} were freed by an earlier backward(); '
        'to go through the graph again, call the first one with retain_graph=True',
        'backward：{function} 保存的数组已被先前的 backward() 释放；若要再次反向传播，请在第一次调用时给出 retain_graph=True',
    ),
    'backward.shape': (
        '{function}.backward: the gradient of input {index} has shape {got}, the input {expected}',
        '{function}.backward：第 {index} 个输入的梯度形状是 {got}，而输入的形状是 {expected}',
    ),
    # settings of a training run
    'settings.missing': ('{path}: there is no such file', '{path}：没有这个文件'),
    'settings.size': (
        '{source}: {size} bytes is too much for a configuration; at most {most} are read. Is it the right file?',
        '{source}：有 {size} 字节，配置文件最多读取 {most} 字节。是不是选错了文件？',
    ),
    'settings.syntax': ('{source}: this is not TOML: {error}', '{source}：不是合法的 TOML：{error}'),
    'settings.unknown': (
        '{source}: there is no setting {name!r}: {remedy}',
        '{source}：没有名为 {name!r} 的设置：{remedy}',
    ),
    'settings.meant': ('did you mean {near!r}?', '是不是想写 {near!r}？'),
    'settings.known': ('there are {names}', '可用的有 {names}'),
    'settings.type': (
        '{source}: {name} must be {wanted}, not {value!r}',
        '{source}：{name} 应为{wanted}，而不是 {value!r}',
    ),
    'settings.int': ('a whole number', '整数'),
    'settings.float': ('a finite number', '有限的数'),
    'settings.bool': ('true or false', 'true 或 false'),
    'settings.str': ('text in quotes', '带引号的文本'),
    'settings.least': (
        '{source}: {name}={value} is too small: at least {bound}',
        '{source}：{name}={value} 太小，至少应为 {bound}',
    ),
    'settings.most': (
        '{source}: {name}={value} is too large: at most {bound}',
        '{source}：{name}={value} 太大，至多为 {bound}',
    ),
    'settings.above': ('{source}: {name}={value} must be above {bound}', '{source}：{name}={value} 应大于 {bound}'),
    'settings.assignment': (
        '{text!r} is no assignment; write KEY=VALUE, for example training.lr=0.01',
        '{text!r} 不是赋值；请写成 键=值，例如 training.lr=0.01',
    ),
    # checkpoints and run folders
    'checkpoint.write': (
        'checkpoint: {path} cannot be written: {reason}. {kept}',
        '检查点：无法写入 {path}：{reason}。{kept}',
    ),
    'checkpoint.kept': (
        'Nothing is lost: {path} is whole; make room or choose another folder, then resume from it',
        '数据没有丢失：{path} 完好；请腾出空间或换一个文件夹，再从它继续训练',
    ),
    'checkpoint.none_kept': (
        'No checkpoint was saved yet; make room or choose another folder',
        '此前还没有保存过检查点；请腾出空间或换一个文件夹',
    ),
    'checkpoint.damaged': (
        'checkpoint: {reason}. No whole checkpoint is left in {folder}; start again in a new run folder',
        '检查点：{reason}。{folder} 中已没有完好的检查点；请在新的运行文件夹中重新开始',
    ),
    'checkpoint.older': (
        'Damaged: {reason}. Going on from the one before it, {path}',
        '检查点已损坏：{reason}。改从前一个检查点 {path} 继续',
    ),
    'checkpoint.other': (
        'resume: {path} belongs to another training: {name} was {saved}, now it is {now}. '
        'Resume with the same settings, or start in a new run folder',
        '继续训练：{path} 属于另一次训练：{name} 原为 {saved}，现在是 {now}。'
        '请用相同的设置继续，或在新的运行文件夹中开始',
    ),
    'checkpoint.content': (
        'resume: {path} does not hold what this training needs: {reason}',
        '继续训练：{path} 的内容与本次训练不符：{reason}',
    ),
    'run.create': (
        'run folder: {path} cannot be made: {reason}',
        '运行文件夹：无法建立 {path}：{reason}',
    ),
    'run.missing': (
        'run folder: {path} is none (it has no config.toml)',
        '运行文件夹：{path} 不是运行文件夹（其中没有 config.toml）',
    ),
    'run.unknown': (
        'run folder: nothing in {root} is called {text!r}; there are {names}',
        '运行文件夹：{root} 中没有叫 {text!r} 的运行；现有 {names}',
    ),
    'run.ambiguous': (
        'run folder: {text!r} fits several runs in {root}: {names}; give more of the name',
        '运行文件夹：{root} 中有多个运行符合 {text!r}：{names}；请写出更完整的名字',
    ),
    'run.file': (
        'run folder: {path} cannot be used: {reason}',
        '运行文件夹：{path} 不可用：{reason}',
    ),
    'run.used': (
        'run folder: {path} already holds a training; resume it, or start in a new folder',
        '运行文件夹：{path} 中已有一次训练；请继续它，或在新的文件夹中开始',
    ),
}
