"""What nailorch says to a person whose input does not fit, in English and in Chinese.

One catalogue, one entry a message, both languages side by side, so neither can be forgotten. A message says what
disagrees, with both values, then the remedy where it is known.
"""

from __future__ import annotations

import locale
import os
from typing import Any

from nailorch.config import Config

__all__ = ['MESSAGES', 'language', 'message', 'whole']


def language() -> str:
    """Return 'zh' or 'en': `Config.lang`, else NAILORCH_LANG, else the locale."""
    asked = [Config.lang, *(os.environ.get(name) for name in ('NAILORCH_LANG', 'LC_ALL', 'LC_MESSAGES', 'LANG'))]
    chosen = next((name for name in asked if name), None) or locale.getlocale()[0] or ''
    return 'zh' if chosen.lower().startswith(('zh', 'chinese')) else 'en'


def message(key: str, **values: Any) -> str:
    """Return the message `key` in the language in force, its {placeholders} filled with `values`."""
    english, chinese = MESSAGES[key]
    return (chinese if language() == 'zh' else english).format(**values)


def whole(error: BaseException) -> str:
    """Return what an error says and, in brackets, its notes: where it arose."""
    notes = getattr(error, '__notes__', ())
    return ''.join([str(error), *(message('error.note', note=note) for note in notes)])


MESSAGES: dict[str, tuple[str, str]] = {
    'error.note': (' ({note})', '（{note}）'),
    # sizes
    'size.pair': (
        '{name}: expected an int or two ints (vertical, horizontal), got {value!r}',
        '{name}：应为一个整数，或两个整数（竖直, 水平），得到的是 {value!r}',
    ),
    'size.whole': (
        '{name}: expected a whole number, got {value!r}; where sizes are divided, // keeps them whole',
        '{name}：应为整数，得到的是 {value!r}；大小相除时请用 //，结果才是整数',
    ),
    'size.least': (
        '{name}: {value} is too small; the smallest that makes sense is {least}',
        '{name}：{value} 太小，至少应为 {least}',
    ),
    'size.pad': (
        "pad: expected an int, (vertical, horizontal), ((top, bottom), (left, right)), 'same' or 'valid', "
        'got {value!r}',
        "pad：应为整数、(竖直, 水平)、((上, 下), (左, 右))、'same' 或 'valid'，得到的是 {value!r}",
    ),
    'size.kernel': (
        'the kernel, {kernel} pixels wide{dilated}, does not fit into {size} + {pad} of padding; '
        'pad more, use a smaller kernel, or give larger images',
        '卷积核宽 {kernel} 个像素{dilated}，放不进 {size} + 填充 {pad}；请增大填充、换用更小的卷积核，或给更大的图像',
    ),
    'size.dilated': (' ({spread} when dilated)', '（空洞展开后为 {spread}）'),
    'size.output': (
        'an output of {outsize} is not possible from an input of {size} with kernel {kernel}, stride {stride}, '
        'pad {pad}: choose from {least} to {most}',
        '输入 {size}、卷积核 {kernel}、步幅 {stride}、填充 {pad} 得不到大小为 {outsize} 的输出：可取 {least} 到 {most}',
    ),
    'deconv.small': (
        'deconv: an input of {size} with kernel {kernel}, stride {stride}, pad {pad} would make {outsize} pixels; '
        'pad less',
        '转置卷积：输入 {size}、卷积核 {kernel}、步幅 {stride}、填充 {pad} 只能得到 {outsize} 个像素；请减小填充',
    ),
    'pool.pad': (
        'pooling: on {size} pixels, a pad of {pad} lets a window of {kernel} see nothing but padding; pad less',
        '池化：图像边长 {size}，填充 {pad} 会让大小为 {kernel} 的窗口只看到填充；请减小填充',
    ),
    # the fast engine
    'engine.numba': (
        'numba cannot be imported ({error}): pip install numba',
        '无法导入 numba（{error}）：pip install numba',
    ),
    'engine.fma': (
        'this processor has no vectors with fused multiply-add (AVX2 and FMA, or NEON)',
        '本机处理器没有带融合乘加的向量指令（AVX2 加 FMA，或 NEON）',
    ),
    'engine.first': (
        'nailorch: compiling kernels for this processor, which takes some seconds, once '
        '(nailorch doctor --warm compiles all of them)',
        'nailorch：正在为本机处理器编译计算内核，需要几秒钟，只编译一次（nailorch doctor --warm 可一次全部编译好）',
    ),
    'engine.compiling': (
        'nailorch: compiling kernels, once: {done} ...',
        'nailorch：正在编译计算内核（只编译一次）：{done} ……',
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
    'col.images': (
        'col2im: images have four axes (N, C, H, W), input_shape={shape} has {ndim}',
        'col2im：图像应有四个轴 (N, C, H, W)，input_shape={shape} 有 {ndim} 个',
    ),
    'col.shape': (
        'col2im: a column of {got} elements does not match images of {shape}, which need {expected}',
        'col2im：列矩阵有 {got} 个元素，与形状为 {shape} 的图像不符，后者需要 {expected} 个',
    ),
    # shapes
    'reshape.count': (
        'reshape: x has {count} elements, {shape} takes {room}; x.shape={x}',
        'reshape：x 有 {count} 个元素，而 {shape} 需要 {room} 个；x.shape={x}',
    ),
    'reshape.rest': (
        'reshape: x has {count} elements, no multiple of {room}, so -1 in {shape} has no size; x.shape={x}',
        'reshape：x 有 {count} 个元素，不是 {room} 的倍数，{shape} 中的 -1 无法确定；x.shape={x}',
    ),
    'reshape.empty': (
        'reshape: x has no elements, so -1 in {shape} could be any size; x.shape={x}. '
        'Write the size; or, to flatten each sample of a batch, F.flatten(x)',
        'reshape：x 没有元素，{shape} 中的 -1 可以是任意大小；x.shape={x}。'
        '请写出大小；若要展平每个样本，请用 F.flatten(x)',
    ),
    'reshape.twice': (
        'reshape: of {shape} one size at most may be -1; x.shape={x}',
        'reshape：{shape} 中最多只能有一个 -1；x.shape={x}',
    ),
    'reshape.batch': (
        '. To flatten each of the {N} samples: F.flatten(x), or x.reshape({N}, -1)',
        '。若要展平 {N} 个样本中的每一个：F.flatten(x)，或 x.reshape({N}, -1)',
    ),
    'broadcast.axis': (
        '{op}: axis {axis} is {size0} in {name0} and {size1} in {name1}, and only an axis of 1 stretches; '
        '{shapes}{remedy}',
        '{op}：第 {axis} 轴在 {name0} 中是 {size0}，在 {name1} 中是 {size1}，只有长度为 1 的轴可以扩展；'
        '{shapes}{remedy}',
    ),
    'broadcast.front': (
        '. If the first axis of {name} is axis {axis} of {other}: {name}.reshape{shape}',
        '。若 {name} 的第一个轴对应 {other} 的第 {axis} 轴：{name}.reshape{shape}',
    ),
    'concat.empty': ('concat: xs is empty: there is nothing to join', 'concat：xs 是空的，没有可拼接的数组'),
    'concat.axes': (
        'concat: xs[0] has {ndim} axes, xs[{index}] has {other}; xs[0].shape={first}, xs[{index}].shape={x}',
        'concat：xs[0] 有 {ndim} 个轴，xs[{index}] 有 {other} 个；xs[0].shape={first}，xs[{index}].shape={x}',
    ),
    'concat.axis': (
        'concat: there is no axis {axis}; xs[0].shape={first}',
        'concat：没有第 {axis} 轴；xs[0].shape={first}',
    ),
    'concat.first': ('. To join along the first axis: axis=0', '。若要沿第一个轴拼接：axis=0'),
    'concat.sizes': (
        'concat: axis {k} is {size0} in xs[0] and {size} in xs[{index}]; only axis {axis}, along which they are '
        'joined, may differ; xs[0].shape={first}, xs[{index}].shape={x}',
        'concat：第 {k} 轴在 xs[0] 中是 {size0}，在 xs[{index}] 中是 {size}；只有拼接所沿的第 {axis} 轴可以不同；'
        'xs[0].shape={first}，xs[{index}].shape={x}',
    ),
    'concat.along': ('. They can be joined along axis={axis}', '。可以沿 axis={axis} 拼接'),
    'stack.shapes': (
        'stack: all need one shape; xs[0].shape={first}, xs[{index}].shape={x}',
        'stack：各数组的形状应相同；xs[0].shape={first}，xs[{index}].shape={x}',
    ),
    # dense layers
    'matmul.inner': (
        'matmul: the last axis of x and the last but one of W must be equal; x.shape={x}, W.shape={W}',
        'matmul：x 的最后一个轴应等于 W 的倒数第二个轴；x.shape={x}，W.shape={W}',
    ),
    'linear.features': (
        'linear: x has {got} features, W expects {expected}; x.shape={x}, W.shape={W}{remedy}',
        'linear：x 有 {got} 个特征，W 需要 {expected} 个；x.shape={x}，W.shape={W}{remedy}',
    ),
    'linear.axes': (
        'linear: W has two axes, (IN, OUT), and x at least one; x.shape={x}, W.shape={W}',
        'linear：W 应有两个轴 (IN, OUT)，x 至少一个；x.shape={x}，W.shape={W}',
    ),
    'linear.bias': (
        'linear: b has shape {b}, expected {expected}; W.shape={W}',
        'linear：b 的形状是 {b}，应为 {expected}；W.shape={W}',
    ),
    'linear.flatten': (
        '. Flatten the images first: x.reshape(len(x), -1)',
        '。请先把图像展平：x.reshape(len(x), -1)',
    ),
    'linear.pooled': (
        '. {expected} = 4 * {got}: the layer before is one 2x2 pooling further than W was made for',
        '。{expected} = 4 × {got}：前面多做了一次 2x2 池化',
    ),
    'linear.unpooled': (
        '. {got} = 4 * {expected}: the layer before is one 2x2 pooling short of what W was made for',
        '。{got} = 4 × {expected}：前面少做了一次 2x2 池化',
    ),
    'embed.ids': (
        'embed_id: ids must be ints from 0 to {last}; got {dtype} from {low} to {high}',
        'embed_id：编号应为 0 到 {last} 的整数；得到的是 {dtype}，从 {low} 到 {high}',
    ),
    'softmax.axis': (
        '{op}: x has no axis {axis}; x.shape={x}. The scores of one sample are a batch of one, x[None], or have axis=0',
        '{op}：x 没有第 {axis} 轴；x.shape={x}。一个样本的分数应是一个样本的批次，x[None]；或者用 axis=0',
    ),
    # losses, noise, normalisation
    'loss.shapes': (
        '{op}: {name0} and {name1} need one shape; {name0}.shape={x0}, {name1}.shape={x1}{remedy}',
        '{op}：{name0} 与 {name1} 的形状应相同；{name0}.shape={x0}，{name1}.shape={x1}{remedy}',
    ),
    'loss.reshape': (
        '. Only axes of length 1 differ: {name}.reshape{shape}',
        '。只差长度为 1 的轴：{name}.reshape{shape}',
    ),
    'loss.probability': (
        'binary_cross_entropy: p holds probabilities, from 0 to 1; got {low} to {high}. '
        'For scores before the sigmoid, use sigmoid_cross_entropy',
        'binary_cross_entropy：p 应是 0 到 1 之间的概率，得到的是 {low} 到 {high}。'
        '若是 sigmoid 之前的得分，请用 sigmoid_cross_entropy',
    ),
    'loss.scores': (
        '{op}: scores have the axes (N, C): one row a sample, one column a class; x.shape={x}',
        '{op}：得分应有 (N, C) 两个轴：每行一个样本，每列一个类别；x.shape={x}',
    ),
    'loss.onehot': (
        '{op}: t has the shape of the scores, {x}. If its rows are one-hot, turn them into class ids: t.argmax(axis=1)',
        '{op}：t 的形状与得分相同，都是 {x}。若每行是独热编码，请换成类别编号：t.argmax(axis=1)',
    ),
    'loss.targets': (
        '{op}: t has the shape {t}, expected {expected}: one class id for each answer; x.shape={x}{remedy}',
        '{op}：t 的形状是 {t}，应为 {expected}：每个答案对应一个类别编号；x.shape={x}{remedy}',
    ),
    'loss.flatten': (
        '. If a sample has one class, its scores are (N, C): flatten before the first linear layer, F.flatten(x)',
        '。若每个样本只有一个类别，得分应为 (N, C)：请在第一个全连接层之前展平，F.flatten(x)',
    ),
    'loss.dtype': (
        '{op}: t holds class ids, which are ints; got {dtype}. If they are whole numbers: t.astype(int)',
        '{op}：t 应是整数的类别编号，得到的是 {dtype}。若其值都是整数，请用 t.astype(int)',
    ),
    'loss.range': (
        '{op}: {classes} classes have the ids 0 to {last}; t holds {low} to {high}. '
        'Is the last layer as wide as there are classes? Targets to be left out are named by ignore_index',
        '{op}：{classes} 个类别的编号是 0 到 {last}，t 里却有 {low} 到 {high}。'
        '最后一层的输出数与类别数相同吗？不参与计算的目标用 ignore_index 指定',
    ),
    'loss.weight': (
        '{op}: class_weight has the shape {shape}, one number for each of the {classes} classes is expected: '
        '({classes},)',
        '{op}：class_weight 的形状是 {shape}，应为每个类别一个数，共 {classes} 个：({classes},)',
    ),
    'ratio.range': (
        '{op}: {name} is a part of the whole, from 0 to 1; got {value}',
        '{op}：{name} 是一个比例，应在 0 到 1 之间，得到的是 {value}',
    ),
    'norm.axes': (
        '{op}: x is (N, C) or images (N, C, H, W); x.shape={x}',
        '{op}：x 应为 (N, C)，或图像 (N, C, H, W)；x.shape={x}',
    ),
    'norm.channels': (
        '{op}: x has {channels} channels, {name} has the shape {shape}, expected ({channels},); x.shape={x}',
        '{op}：x 有 {channels} 个通道，{name} 的形状是 {shape}，应为 ({channels},)；x.shape={x}',
    ),
    'norm.single': (
        'batch_norm: one value a channel has no variance; x.shape={x}. Train on more than one sample at a time '
        '(DataLoader has drop_last), or predict inside test_mode()',
        'batch_norm：每个通道只有一个值，没有方差可言；x.shape={x}。训练时每批应多于一个样本'
        '（DataLoader 可设 drop_last），预测时请放在 test_mode() 里',
    ),
    'norm.added': (
        'batch_norm: what is added has the shape of x; x.shape={x}, added.shape={added}',
        'batch_norm：要加上的数组应与 x 形状相同；x.shape={x}，added.shape={added}',
    ),
    'norm.last': (
        'layer_norm: gamma and beta need the shape of the last axes of x; x.shape={x}, gamma.shape={gamma}, '
        'beta.shape={beta}',
        'layer_norm：gamma 与 beta 的形状应等于 x 的最后几个轴；x.shape={x}，gamma.shape={gamma}，beta.shape={beta}',
    ),
    # layers and weights
    'hint.name': ('{owner} has no {name!r}: {remedy}', '{owner} 没有 {name!r}：{remedy}'),
    'hint.argument': ('{owner}: there is no argument {name!r}: {remedy}', '{owner}：没有参数 {name!r}：{remedy}'),
    'hint.ours': ("{whose}'s {name} is {ours} here", '{whose} 的 {name} 在这里是 {ours}'),
    'hint.needless': (
        "{whose}'s {name} is not needed here, where everything is computed on the CPU",
        '{whose} 的 {name} 在这里用不着：一切都在 CPU 上计算',
    ),
    'hint.order': (
        '{kind}({given}, {name}=...): {name} is given twice. The number of filters comes first here, then the kernel; '
        'the channels that come in are found at the first call, or given by name: '
        '{kind}(16, kernel_size=3, in_channels=3)',
        '{kind}({given}, {name}=...)：{name} 给了两次。这里第一个参数是卷积核的个数，然后是核的大小；'
        '输入通道数在第一次调用时确定，也可以用名字给出：{kind}(16, kernel_size=3, in_channels=3)',
    ),
    'conv.last': (
        '{kind}: x.shape={shape} has {channels} channels, and {width} columns. If it is (N, H, W, C), as in Keras, use '
        'x.transpose(0, 3, 1, 2)',
        '{kind}：x.shape={shape} 有 {channels} 个通道、{width} 列。若它是 Keras 那样的 (N, H, W, C)，请用 '
        'x.transpose(0, 3, 1, 2)',
    ),
    'conv.order': (
        '{kind}({out_channels}, {kernel_size}, {stride}) means out_channels={out_channels}, kernel_size={kernel_size}, '
        'stride={stride}. Were these meant as in PyTorch (channels in, out, kernel)? Then write '
        '{kind}({kernel_size}, {stride}): the channels that come in are found by themselves',
        '{kind}({out_channels}, {kernel_size}, {stride}) 表示 out_channels={out_channels}、kernel_size={kernel_size}、'
        'stride={stride}。是不是按 PyTorch 的顺序（输入通道、输出通道、核）写的？'
        '若是，请写成 {kind}({kernel_size}, {stride})：输入通道数会自动确定',
    ),
    'layer.where': (
        'in the layer {path}, {layer}, which was given {given}',
        '出错的层是 {path}：{layer}，它的输入是 {given}',
    ),
    'layer.bytes': (
        "{layer}: x holds uint8, numbers from 0 to {most}. Networks learn best from small numbers: "
        "x.astype('float32') / 255",
        "{layer}：x 是 uint8，数值从 0 到 {most}。网络更适合学习小的数：x.astype('float32') / 255",
    ),
    'layer.set': (
        '{layer}.{name} is a set, which has no order: its layers could be neither trained nor saved. Use a list: [...]',
        '{layer}.{name} 是集合，没有顺序：其中的层既不会被训练，也不会被保存。请用列表：[...]',
    ),
    'norm.decay': (
        'BatchNorm: decay is how much of the old averages is kept, from 0 to 1; got {decay!r}. The channels are found '
        'at the first call: BatchNorm(); or given by name: BatchNorm(channels=16)',
        'BatchNorm：decay 是保留旧平均值的比例，在 0 到 1 之间，得到的是 {decay!r}。'
        '通道数在第一次调用时确定：BatchNorm()；也可以用名字给出：BatchNorm(channels=16)',
    ),
    'layer.double': (
        "{layer}: x is float64, the parameters are float32; all that follows is computed in float64, which is slower. "
        "Remedy: x.astype('float32')",
        "{layer}：x 是 float64，参数是 float32，后面的计算都会变成较慢的 float64。请用 x.astype('float32')",
    ),
    'layer.nobias': (
        "{layer}: nobias is True or False, got {value!r}. The output's size comes first; the input's is found at the "
        'first call, or given by name: {example}',
        '{layer}：nobias 应为 True 或 False，得到的是 {value!r}。第一个参数是输出大小；'
        '输入大小在第一次调用时确定，也可以用名字给出：{example}',
    ),
    'rnn.batch': (
        '{layer}: it remembers the state of another batch: h.shape={h}, x.shape={x}. '
        'Before a new sequence, call reset_state()',
        '{layer}：记住的是另一批数据的状态：h.shape={h}，x.shape={x}。开始新的序列前请调用 reset_state()',
    ),
    'init.shape': (
        'the initial array has shape {got}, the parameter {expected}',
        '给出的初始数组形状是 {got}，而参数的形状是 {expected}',
    ),
    'layer.parameter': (
        '{layer}.{name} is a Parameter; an array in its place would be neither trained nor saved. '
        'To give it other numbers: layer.{name}.data = array',
        '{layer}.{name} 是一个 Parameter；换成数组后，它既不会被训练，也不会被保存。'
        '若要改变其中的数：layer.{name}.data = array',
    ),
    'weights.unknown': (
        '{layer}: nothing to save yet, the sizes of {names} are unknown. Call the model once on an example, then save',
        '{layer}：还没有可保存的权重，{names} 的大小未知。请先用一个样本调用一次模型，再保存',
    ),
    'weights.fit': (
        '{where}the weights do not fit {layer}; nothing was loaded{partly}\n  {lines}',
        '{where}权重与 {layer} 不符，什么都没有载入{partly}\n  {lines}',
    ),
    'weights.partly': (' (strict=False loads what fits)', '（strict=False 可载入相符的部分）'),
    'weights.classes': (
        'The weights know {found} classes, the model {asked}: make the model with num_classes={found}; or, to train '
        'for other classes, {model}.from_pretrained(path, num_classes={asked}) leaves the last layer new',
        '权重有 {found} 个类别，模型却有 {asked} 个：请用 num_classes={found} 创建模型；'
        '若要为别的类别训练，{model}.from_pretrained(path, num_classes={asked}) 会保留新的最后一层',
    ),
    'weights.missing': ('{name}: missing; {expected} is expected', '{name}：缺少，应有形状 {expected}'),
    'weights.unexpected': (
        '{name}: unexpected; the model has no such name. Its shape is {shape}',
        '{name}：多余，模型里没有这个名字；其形状是 {shape}',
    ),
    'weights.shape': (
        '{name}: wrong shape {shape}; {expected} is expected',
        '{name}：形状是 {shape}，应为 {expected}',
    ),
    'weights.turned': (
        '{name}: wrong shape {shape}; {expected} is expected. Turned it would fit: Chainer and PyTorch keep dense '
        'weights (OUT, IN), and from_pretrained(path) turns them',
        '{name}：形状是 {shape}，应为 {expected}。转置后相符：Chainer 和 PyTorch 的全连接权重是 (OUT, IN)，'
        'from_pretrained(path) 会转置它们',
    ),
    'weights.other': (
        '{path}: this is a file of the kind {kind}, whose names are others. Read it with model.{remedy}(path), or with '
        'from_pretrained(path), which tells kinds apart',
        '{path}：这是 {kind} 类的文件，名称不同。请用 model.{remedy}(path) 读取，'
        '或用 from_pretrained(path)，它会自行分辨种类',
    ),
    'weights.suffix': (
        'weights: {path} is to be a {suffix} file, which nailorch does not write; take {stem}.safetensors, '
        'which PyTorch reads by safetensors.torch.load_file, or {stem}.npz',
        'weights：{path} 应为 {suffix} 文件，nailorch 不写这种文件；请用 {stem}.safetensors'
        '（PyTorch 用 safetensors.torch.load_file 读取）或 {stem}.npz',
    ),
    'weights.write': (
        'weights: {path} cannot be written: {reason}',
        '权重：无法写入 {path}：{reason}',
    ),
    'weights.broken': (
        '{path}: not a whole {kind} file of weights: {reason}',
        '{path}：不是完整的 {kind} 权重文件：{reason}',
    ),
    'weights.more': ('... and {count} more', '……另有 {count} 处'),
    'weights.kind': (
        "{path}: no file of weights that is known: PyTorch's .pth, safetensors, .npz, Keras's .h5",
        '{path}：不是可识别的权重文件，即 PyTorch 的 .pth、safetensors、.npz 或 Keras 的 .h5',
    ),
    # why a file is broken
    'broken.bytes': (
        'a file of {length} bytes cannot hold {total} bytes of numbers',
        '{length} 字节的文件装不下 {total} 字节的数',
    ),
    'broken.deep': ('groups in groups, more than {most} deep', '组套组超过 {most} 层'),
    'broken.link': ('{name} is a link to elsewhere', '{name} 是指向别处的链接'),
    'broken.places': ('{name} stands in two places', '{name} 出现在两处'),
    'broken.numbers': ('{name} holds {dtype}, no numbers', '{name} 里是 {dtype}，不是数'),
    'broken.packed': (
        '{name} is packed or in pieces; Keras writes arrays in one',
        '{name} 被压缩或分块；Keras 的数组是整块写入的',
    ),
    'broken.beyond': (
        '{name}: {shape} of {dtype} reach beyond the end of the file',
        '{name}：形状 {shape}、类型 {dtype} 的数组超出了文件末尾',
    ),
    'broken.short': ('{size} bytes are announced, {at} are there', '应有 {size} 字节，实际只有 {at} 字节'),
    'broken.after': ('an entry goes on after its numbers', '某个条目在数据之后还有内容'),
    'broken.strides': (
        'a tensor has {axes} axes and {strides} strides',
        '某个张量有 {axes} 个轴，却有 {strides} 个步长',
    ),
    'broken.storage': (
        'a tensor of shape {shape} reaches beyond its storage of {count}',
        '形状 {shape} 的张量超出了它的存储区（{count} 个数）',
    ),
    'broken.views': (
        'its tensors would take more than {times} times the bytes of the file',
        '其中的张量会占用文件大小的 {times} 倍以上',
    ),
    'broken.size': ('a tensor has a size that is none', '某个张量的大小不是数'),
    'broken.twice': ('two entries have one name', '有两个条目同名'),
    'broken.entries': ('its entries are packed, or larger than the file', '其中的条目被压缩，或比文件还大'),
    'broken.begin': ('it does not begin as one', '文件开头不符'),
    'broken.version': ('its version is not 1001', '版本不是 1001'),
    'broken.storages': ('its list of storages is not that of its tensors', '存储区列表与张量不符'),
    'broken.name': ('a tensor has a name that nobody gave it, so long is it', '某个张量的名字长得不合理'),
    'broken.asks': ('its pickle asks for something that is no storage', '其 pickle 要求的不是存储区'),
    'broken.storage_size': ('a storage has a size that is none', '某个存储区的大小不是数'),
    'broken.pickle': ('its pickle takes {size} bytes', '其 pickle 有 {size} 字节'),
    'broken.storage_bytes': (
        'the storage {name} takes {size} bytes, there are {there}',
        '存储区 {name} 需要 {size} 字节，实际有 {there} 字节',
    ),
    'broken.storage_count': (
        'the storage {name} holds {expected} numbers, there are {count}, or they are cut short',
        '存储区 {name} 应有 {expected} 个数，实际有 {count} 个，或不完整',
    ),
    'broken.unusual': ('its entries are packed in an unusual way', '其中条目的压缩方式不常见'),
    'broken.unpack': ('a file of {length} bytes would unpack to {size}', '{length} 字节的文件解压后会有 {size} 字节'),
    'broken.array': (
        '{name}: {shape} of {dtype} are {size} bytes, there are {there}',
        '{name}：形状 {shape}、类型 {dtype} 应有 {size} 字节，实际有 {there} 字节',
    ),
    'broken.larger': ('{name}: {size} bytes, in a file of {length}', '{name}：{size} 字节，而文件只有 {length} 字节'),
    'broken.goes_on': ('{name} goes on after its array', '{name} 在数组之后还有内容'),
    'broken.left': ('{count} bytes are announced, {left} are left', '应有 {count} 字节，只剩 {left} 字节'),
    'broken.steps': ('its pickle takes more than {most} steps', '其 pickle 超过 {most} 步'),
    'broken.end': ('its pickle has no end', '其 pickle 没有结尾'),
    'broken.opcode': (
        'its pickle holds the opcode {name}, which weights have no use for',
        '其 pickle 含有操作码 {name}，而权重用不到它',
    ),
    'broken.fills': ('its pickle fills a {kind}', '其 pickle 要填充一个 {kind}'),
    'broken.calls': ('its pickle calls a {kind}', '其 pickle 要调用一个 {kind}'),
    'broken.copies': ('its pickle copies more than {most} things', '其 pickle 复制了 {most} 个以上的东西'),
    'broken.mark': ('its pickle takes a mark for a thing', '其 pickle 把标记当成了对象'),
    'broken.key': ('its pickle has a {kind} for a key', '其 pickle 用 {kind} 作键'),
    'broken.safetensors': (
        '{path}: not a whole safetensors file ({error})',
        '{path}：不是完整的 safetensors 文件（{error}）',
    ),
    'broken.type': (
        '{path}: its numbers are of a type that NumPy lacks ({error})',
        '{path}：其中数的类型 NumPy 没有（{error}）',
    ),
    'image.program': ('{kind}: no pixels, but a program that draws them', '{kind}：里面没有像素，而是一段绘图程序'),
    'image.values': (
        'mode {mode} with values from {low} to {high}, not 0 to 65535',
        '模式 {mode} 的数值从 {low} 到 {high}，应在 0 到 65535 之间',
    ),
    'image.floats': ('mode F: pixels of floating point, whose range is unknown', '模式 F：像素是浮点数，范围未知'),
    'image.truncated': ('it is cut short ({said})', '文件不完整（{said}）'),
    'keras.install': (
        "Keras's files are read with the package pyfive, which is not installed: pip install 'nailorch[keras]'",
        "读取 Keras 文件需要 pyfive 包，它尚未安装：pip install 'nailorch[keras]'",
    ),
    'keras.flatten': (
        '{name}: {rows} rows are no square image of {channels} channels, flattened',
        '{name}：{rows} 行不是由 {channels} 个通道的正方形图像展平而来',
    ),
    'keras.twice': (
        'the file has two arrays called {name}: {first} and {second}',
        '文件里有两个叫 {name} 的数组：{first} 和 {second}',
    ),
    'pretrained.none': (
        '{model}: no trained weights are known for it; give a file: {model}.from_pretrained(path)',
        '{model}：没有已知的预训练权重；请给出文件：{model}.from_pretrained(path)',
    ),
    'pretrained.missing': (
        '{path}: there is no such file; known by name for {model}:{names}',
        '{path}：没有这个文件；{model} 已知的名字有：{names}',
    ),
    'pretrained.head': (
        '{path}: all is loaded but the last layer, {layer}, which knows other classes there: its weights are new',
        '{path}：除最后一层 {layer} 外都已载入；文件中这一层的类别不同，因此它的权重是新的',
    ),
    'pth.name': (
        'it names {name}, which weights have no use for, and nothing was run. A whole saved model cannot be read, only '
        'its state dict: torch.save(model.state_dict(), path)',
        '其中提到 {name}，而权重用不到它，因此什么都没有执行。无法读取整个保存的模型，只能读取其 state dict：'
        'torch.save(model.state_dict(), path)',
    ),
    'pth.dict': (
        'it holds no state dict, that is, no dictionary of tensors',
        '其中没有 state dict，即由张量组成的字典',
    ),
    'preprocess.image': (
        'preprocess: a PIL image is expected, got {kind}; use PIL.Image.open(path), or PIL.Image.fromarray(array)',
        'preprocess：应为 PIL 图像，得到的是 {kind}；请用 PIL.Image.open(path) 或 PIL.Image.fromarray(array)',
    ),
    'sequential.type': (
        'Sequential: {name} is a class; put a layer made of it in: {name}(...)',
        'Sequential：{name} 是类，请放入由它创建的层：{name}(...)',
    ),
    'sequential.layer': (
        'Sequential: a layer or function is expected, got {kind}. A list goes in with a star: Sequential(*layers)',
        'Sequential：应为层或函数，得到的是 {kind}。若放在列表里，请加星号展开：Sequential(*layers)',
    ),
    # the tape
    'array.none': (
        'expected numbers, got None: does a function or a forward end without return?',
        '应为数，得到的却是 None：是不是有函数或 forward 忘了写 return？',
    ),
    'parameter.unknown': (
        '{name}: its size is not yet known, only {shape}. Call the model once on an example',
        '{name}：大小尚未确定，目前只知道 {shape}。请先用一个样本调用一次模型',
    ),
    'backward.nothing': (
        'backward: nothing led to this Variable that could be differentiated. Was it computed under no_grad(), '
        'from plain arrays alone, or from ints? Only floats have derivatives: Variable(np.array(3.0))',
        'backward：没有可求导的计算通向这个 Variable。它是在 no_grad() 下、只由普通数组、或由整数算出的吗？'
        '只有浮点数才有导数：Variable(np.array(3.0))',
    ),
    'backward.twice': (
        'backward: the arrays saved by {function} were freed by an earlier backward(); '
        'to go through the graph again, call the first one with retain_graph=True. '
        'If a recurrent state led back to it, cut it off: loss.unchain_backward()',
        'backward：{function} 保存的数组已被先前的 backward() 释放；'
        '若要再次反向传播，请在第一次调用时给出 retain_graph=True。'
        '若是循环层的状态连到了先前的计算图，请用 loss.unchain_backward() 切断',
    ),
    'backward.count': (
        '{function}.backward: it returned {got} of {expected} gradients; return one for each input, or None',
        '{function}.backward：应返回 {expected} 个梯度，只返回了 {got} 个；每个输入各一个，不需要的返回 None',
    ),
    'backward.more': (
        '{function}.backward: it returned {got} gradients, the number of inputs is {expected}; return one for each '
        'input of forward, and none for what __init__ takes',
        '{function}.backward：返回了 {got} 个梯度，而输入只有 {expected} 个；forward 的每个输入各一个，'
        '__init__ 的参数没有梯度',
    ),
    'backward.shape': (
        '{function}.backward: the gradient of input {index} has shape {got}, the input {expected}',
        '{function}.backward：第 {index} 个输入的梯度形状是 {got}，而输入的形状是 {expected}',
    ),
    # optimisers and schedules
    'optimizer.setup': (
        '{optimizer}: it knows no parameters yet; call {optimizer}(...).setup(model) first',
        '{optimizer}：还没有要更新的参数；请先调用 {optimizer}(...).setup(model)',
    ),
    'optimizer.target': (
        '{optimizer}.setup: expected the layer or model that owns the parameters, got {kind}; call setup(model)',
        '{optimizer}.setup：应给出参数所属的层或模型，得到的是 {kind}；请用 setup(model)',
    ),
    'optimizer.number': (
        '{name}: expected a number, got {kind}. The parameters are set up after that: Adam(alpha=0.001).setup(model)',
        '{name}：应为一个数，得到的是 {kind}。参数在构造之后交给优化器：Adam(alpha=0.001).setup(model)',
    ),
    'optimizer.range': (
        '{name} = {value}: expected a number in {interval}',
        '{name} = {value}：应为 {interval} 中的数',
    ),
    'optimizer.gradient': (
        '{optimizer}: the gradient of {name} has shape {got}, the parameter itself {expected}',
        '{optimizer}：{name} 的梯度形状是 {got}，而参数本身的形状是 {expected}',
    ),
    'optimizer.other': (
        '{optimizer}.load_state_dict: this is the state of {other}; make the optimiser that saved it',
        '{optimizer}.load_state_dict：这是 {other} 的状态；请使用保存它的那种优化器',
    ),
    'optimizer.damaged': (
        '{optimizer}.load_state_dict: the state is incomplete, or was made by another version',
        '{optimizer}.load_state_dict：状态不完整，或由其他版本保存',
    ),
    'optimizer.unknown': (
        '{optimizer}.load_state_dict: the model has no parameters called {names}; load the state of this model',
        '{optimizer}.load_state_dict：模型中没有名为 {names} 的参数；请载入属于这个模型的状态',
    ),
    'optimizer.shape': (
        '{optimizer}.load_state_dict: {kind} of {name} has shape {got}, the parameter itself {expected}',
        '{optimizer}.load_state_dict：{name} 的 {kind} 形状是 {got}，而参数本身的形状是 {expected}',
    ),
    'clip.norm': (
        "ClipGrad: the gradients' norm is {norm}, since that of {name} {shape} is not finite; nothing was updated. "
        'Lower the learning rate, or look for a division by 0, or a log or square root of 0, in the loss',
        'ClipGrad：梯度的范数是 {norm}，因为 {name} {shape} 的梯度不是有限数；参数未更新。'
        '请减小学习率，或检查损失中是否有除以 0、对 0 取对数或开方',
    ),
    'schedule.choice': (
        '{name} = {value!r}: choose one of {choices}',
        '{name} = {value!r}：请从 {choices} 中选择',
    ),
    'schedule.other': (
        '{schedule}.load_state_dict: this is the state of {other}, or incomplete; load what such a schedule saved',
        '{schedule}.load_state_dict：这是 {other} 的状态，或不完整；请载入同一种学习率策略保存的状态',
    ),
    # graphs and what reads them
    'graph.examples': (
        "trace: no input was given; what a model computes is found by an example of each, such as "
        "np.zeros((1, 3, 224, 224), 'float32')",
        "trace：没有给输入；模型的计算要靠每个输入的一个例子来记录，例如 np.zeros((1, 3, 224, 224), 'float32')",
    ),
    'graph.shape': (
        "trace: {shape} is taken for an array of numbers. If it is a shape, give np.zeros({whole}, 'float32'); {error}",
        "trace：{shape} 被当成了一组数。若它是形状，请给出 np.zeros({whole}, 'float32')；{error}",
    ),
    'graph.example': (
        'trace: example {position} has shape {shape}; a batch of at least one item is needed, (N, ...). '
        'For a single item, add the batch axis: x[None]',
        'trace：第 {position} 个样本的形状是 {shape}；应为至少含一个样本的批量 (N, ...)。'
        '若只有一个样本，请添上批量轴：x[None]',
    ),
    'graph.run': (
        'trace runs the model on batches of several sizes; this happened with {n}. '
        'Does the model take the size of its batch for granted? Use x.shape[0]',
        'trace 会用几种大小的批量运行模型；这个错误发生在批量为 {n} 时。模型是否写死了批量大小？请用 x.shape[0]',
    ),
    'graph.cut': (
        'trace: the result of {model} does not depend on its input: between the two, something is computed outside '
        'nailorch.functions, for instance with NumPy from x.data',
        'trace：{model} 的结果与输入无关：两者之间有些计算没有使用 nailorch.functions，例如直接用 NumPy 处理了 x.data',
    ),
    'graph.structure': (
        'trace: the model does not compute the same for every batch: step {step} is {op} for {n} items, but {op0} for '
        '{first}, of other numbers. If forward decides by size, that cannot be written down; if by numbers, let '
        'F.where(y > 0, ...) choose for each of them',
        'trace：模型的计算随批量而变：第 {step} 步在批量为 {n} 时是 {op}，换一组数、批量为 {first} 时却是 {op0}。'
        '若 forward 按批量大小分支，就无法记录；若按数值分支，请用 F.where(y > 0, ...) 逐个选择',
    ),
    'graph.attribute': (
        '{node}: {attribute} is {first} in a batch of {n0}, but {last} in one of {n1}; only whole sizes such as N or '
        '2N+1 can follow the batch',
        '{node}：{attribute} 在批量为 {n0} 时是 {first}，在批量为 {n1} 时却是 {last}；'
        '只有 N、2N+1 这样的整数大小才能随批量变化',
    ),
    'graph.computed': (
        '{name}: its shape is {first} in a batch of {n0}, but {last} in one of {n1}; only sizes such as N or 2N+1 can '
        'follow the batch',
        '{name}：形状在批量为 {n0} 时是 {first}，在批量为 {n1} 时却是 {last}；只有 N、2N+1 这样的大小才能随批量变化',
    ),
    'graph.constant': (
        '{name}: an array that is no constant: it is {first} in a batch of {n0}, but {last} in one of {n1}. If it '
        'follows from the input, compute it with nailorch.functions, not with NumPy from x.data',
        '{name}：这个数组不是常量：在批量为 {n0} 时是 {first}，在批量为 {n1} 时却是 {last}。'
        '若它由输入算出，请使用 nailorch.functions，而不要用 NumPy 处理 x.data',
    ),
    'summary.input': (
        '{who}: input_shape={shape} is no shape of one item: (C, H, W) or (features,), without the batch axis; '
        'for several inputs, a list of such shapes',
        '{who}：input_shape={shape} 不是一个样本的形状；应为 (C, H, W) 或 (特征数,)，不含批量轴；'
        '若有几个输入，请给出这样的形状的列表',
    ),
    'summary.inputs': (
        '{who}: {model} takes {taken} inputs ({names}), and {count} shapes were given, input_shape={shape}; '
        'give a list with one shape for each',
        '{who}：{model} 有 {taken} 个输入（{names}），却给了 {count} 个形状，input_shape={shape}；'
        '请给出列表，每个输入一个形状',
    ),
    'summary.batch': (
        '{error}\nsummary: input_shape={shape} is the shape of one item, to which the batch axis is added. '
        'If the first size is that of a batch, leave it out: input_shape={rest}',
        '{error}\nsummary：input_shape={shape} 是一个样本的形状，批量轴会自动添上。'
        '若第一个数是批量大小，请去掉它：input_shape={rest}',
    ),
    'summary.grey': (
        '{error}\nsummary: input_shape={shape} is the shape of one item. For grey images of (H, W), add the channel '
        'axis: input_shape={grey}',
        '{error}\nsummary：input_shape={shape} 是一个样本的形状。'
        '若是 (H, W) 的灰度图，请添上通道轴：input_shape={grey}',
    ),
    'summary.last': (
        '{error}\nsummary: input_shape={shape} is (C, H, W), channels first. If they stand last there: '
        'input_shape={first}',
        '{error}\nsummary：input_shape={shape} 是 (C, H, W)，通道在最前。若这里通道在最后，应为 input_shape={first}',
    ),
    'summary.title': ('{model}, input {shape}', '{model}，输入 {shape}'),
    'summary.layer': ('Layer', '层'),
    'summary.type': ('Type', '类型'),
    'summary.shape': ('Output shape', '输出形状'),
    'summary.parameters': ('Parameters', '参数量'),
    'summary.multiply_adds': ('Multiply-adds', '乘加次数'),
    'summary.memory': ('Memory', '内存'),
    'summary.field': ('Field', '感受野'),
    'summary.jump': ('Jump', '步距'),
    'summary.start': ('Start', '起点'),
    'summary.whole': ('all', '全图'),
    'summary.legend': (
        'Field: pixels of the image a unit sees · Jump: pixels from unit to unit · '
        'Start: middle of what the first sees',
        '感受野：一个单元能看到多少个像素 · 步距：相邻两个单元相隔多少个像素 · 起点：第一个单元所见范围的中心',
    ),
    'summary.widest': (
        '* paths with different receptive fields meet here: that of the widest is shown',
        '* 感受野不同的几条路径在此汇合：显示最宽的一条',
    ),
    'summary.shared': ('shared', '共享'),
    'summary.total': ('Total', '合计'),
    'summary.counts': (
        'learned {learned} · frozen {frozen} · buffers {buffers}',
        '学习的 {learned} · 冻结的 {frozen} · 缓冲区 {buffers}',
    ),
    'summary.sizes': (
        'weights {weight} MB · input {input} MB · outputs {output} MB',
        '权重 {weight} MB · 输入 {input} MB · 各层输出 {output} MB',
    ),
    'summary.unused': ('not used: {names}', '未用到：{names}'),
    # inspection
    'inspect.rows': (
        '{who}: {layer} gives {shape}, which has no rows and columns',
        '{who}：{layer} 的输出形状是 {shape}，没有行和列',
    ),
    'inspect.unit': (
        '{who}: {layer} gives {shape}; there is no unit {unit}',
        '{who}：{layer} 的输出形状是 {shape}，没有单元 {unit}',
    ),
    'inspect.images': (
        '{who}: images are floats with the axes (N, C, H, W) or (C, H, W); x.shape={shape}, {dtype}',
        '{who}：图像应为浮点数，轴为 (N, C, H, W) 或 (C, H, W)；x.shape={shape}，{dtype}',
    ),
    'inspect.seen': (
        '{who}: seen={seen!r} is none of the {count} inputs, which are numbered from 0',
        '{who}：seen={seen!r} 不对，共有 {count} 个输入，从 0 开始编号',
    ),
    'inspect.layer': (
        '{who}: no layer {layer!r} computes here; there are {names}',
        '{who}：没有名为 {layer!r} 的层参与计算；有 {names}',
    ),
    'inspect.filters': (
        'filters: there is no convolution {layer}; there are {names}',
        'filters：没有卷积层 {layer}；有 {names}',
    ),
    'inspect.no_filters': (
        'filters: there are no convolutions. A model that was never called does not know its sizes yet',
        'filters：没有卷积层。从未调用过的模型还不知道各层大小',
    ),
    'inspect.no_convolution': (
        '{who}: {model} has no convolution; a layer that gives maps can be named',
        '{who}：{model} 没有卷积层；可以指定一个输出特征图的层',
    ),
    'inspect.square': (
        'occlusion: a square of {size} pixels does not fit into an image of {H}x{W}',
        'occlusion：边长 {size} 像素的方块放不进 {H}x{W} 的图像',
    ),
    'inspect.scores': (
        '{who}: scores have the axes (N, K), one number a class; {model} gives {shape}',
        '{who}：得分应有 (N, K) 两个轴，每个类别一个数；{model} 的输出形状是 {shape}',
    ),
    'inspect.target': (
        '{who}: classes go from 0 to {last}; target={target!r}',
        '{who}：类别编号是 0 到 {last}；target={target!r}',
    ),
    'metrics.classes': (
        'confusion_matrix: classes go from 0 to {last}, found {low} to {high}',
        'confusion_matrix：类别编号是 0 到 {last}，却有 {low} 到 {high}',
    ),
    'metrics.shapes': (
        'metrics: predictions and labels differ in shape: {predicted}, {labels}',
        'metrics：预测与标签的形状不同：{predicted}、{labels}',
    ),
    # explanations
    'explain.unknown': (
        'explain: there is no explanation of {name!r}{meant}; there are {names}',
        'explain：没有 {name!r} 的讲解{meant}；可讲解的有 {names}',
    ),
    'explain.meant': (' (did you mean {near!r}?)', '（是不是想写 {near!r}？）'),
    'explain.axes': (
        'explain: {name} has {ndim} axes, {least} to {most} are understood; {name}.shape={shape}',
        'explain：{name} 有 {ndim} 个轴，应有 {least} 到 {most} 个；{name}.shape={shape}',
    ),
    'explain.numbers': ('explain: {name} holds {dtype}, no numbers', 'explain：{name} 里是 {dtype}，不是数'),
    'explain.gy_alone': (
        "explain: gy is the gradient that comes back; say of which argument the gradient is wanted: of='x'",
        "explain：gy 是传回来的梯度；请说明要哪个参数的梯度：of='x'",
    ),
    'explain.gy': (
        'explain: gy has {got} numbers, the result has {expected}; gy.shape={gy}, y.shape={y}',
        'explain：gy 有 {got} 个数，结果有 {expected} 个；gy.shape={gy}，y.shape={y}',
    ),
    'explain.channels': (
        'explain: x has {channels} channels, W one; x.shape={x}, W.shape={W}: give W as (C, KH, KW)',
        'explain：x 有 {channels} 个通道，W 只有一个；x.shape={x}，W.shape={W}：请把 W 写成 (C, KH, KW)',
    ),
    'explain.gradient': (
        'explain: {op} has gradients of {names}, not of {of!r}',
        'explain：{op} 有对 {names} 的梯度，没有对 {of!r} 的',
    ),
    'explain.cell': (
        '{of} has the shape {shape}: there is no cell {cell}',
        '{of} 的形状是 {shape}，没有 {cell} 这一格',
    ),
    # ONNX files
    'onnx.extra': (
        "ONNX files need the package onnx, which cannot be imported ({error}): pip install 'nailorch[onnx]'",
        "读写 ONNX 文件需要 onnx 包，但无法导入（{error}）：pip install 'nailorch[onnx]'",
    ),
    'onnx.example': (
        'onnx.export: what goes into the model? Give for each input its shape without the batch axis, such as '
        '(3, 224, 224), or an example',
        'onnx.export：模型的输入是什么？请为每个输入给出不含批量轴的形状（例如 (3, 224, 224)），或一个样例',
    ),
    'onnx.opset': (
        'onnx.export: opset={opset!r}; the installed onnx and nailorch know {oldest} to {newest}',
        'onnx.export：opset={opset!r}；已安装的 onnx 与 nailorch 支持 {oldest} 到 {newest}',
    ),
    'onnx.large': (
        'onnx.export: the weights of {model} take {size:.1f} GiB; one ONNX file holds less than 2 GiB',
        'onnx.export：{model} 的权重有 {size:.1f} GiB；一个 ONNX 文件最多不到 2 GiB',
    ),
    'onnx.unwritable': (
        'onnx.export: {model} has functions that cannot be written as ONNX: {lines}',
        'onnx.export：{model} 中有无法写成 ONNX 的函数：{lines}',
    ),
    'onnx.refused': (
        'onnx.export: ONNX has no such operator for these types or sizes: {error}',
        'onnx.export：对这样的类型或形状，ONNX 没有相应的算子：{error}',
    ),
    'onnx.no_writer': ('it has no form there', '没有对应的形式'),
    'onnx.needs_opset': ('it needs opset {opset}', '需要 opset {opset}'),
    'onnx.smoothing': ('label smoothing has no form there', '标签平滑没有对应的形式'),
    'onnx.index_batch': ('an index that follows the batch', '下标随批量大小变化'),
    'onnx.index_joint': (
        'arrays that index the batch together with another axis',
        '多个数组同时索引批量轴和其他轴',
    ),
    # ONNX files that come in
    'onnx.read.invalid': ('{where}: no valid ONNX model: {reason}', '{where}：不是有效的 ONNX 模型：{reason}'),
    'onnx.read.opset': (
        '{where}: written for opset {opset}; {oldest} and later are read. onnx.version_converter writes newer ones',
        '{where}：所用算子集版本为 {opset}；可读取 {oldest} 及以上。可用 onnx.version_converter 转换成较新的版本',
    ),
    'onnx.read.unknown': (
        '{where}: {count} nodes need operators that are not known here:\n  {lines}',
        '{where}：有 {count} 个节点需要这里没有的算子：\n  {lines}',
    ),
    'onnx.read.attribute': (
        '{where}: {op} {name}: attributes that are not known here: {attributes}',
        '{where}：{op} {name}：这里不支持的属性：{attributes}',
    ),
    'onnx.read.tensor': ('tensor {name}: it cannot be read ({reason})', '张量 {name}：无法读取（{reason}）'),
    'onnx.read.beside': (
        'tensor {name}: its numbers lie in another file, {location!r}; load the model by its path',
        '张量 {name}：数据在另一个文件 {location!r} 中；请用路径来加载模型',
    ),
    'onnx.read.outside': (
        'tensor {name}: its numbers should lie in {location!r}, which is no file inside {folder}',
        '张量 {name}：数据应在 {location!r} 中，而它不是 {folder} 里的文件',
    ),
    'onnx.read.node': ('{op} {name}: {error}', '{op} {name}：{error}'),
    'onnx.read.axes': (
        '{op}: images (N, C, H, W) or signals (N, C, L) are expected, got {shape}; volumes are not known here',
        '{op}：应为图像 (N, C, H, W) 或信号 (N, C, L)，得到的是 {shape}；这里不支持体数据',
    ),
    'onnx.read.count': (
        '{model} takes {expected} inputs ({names}), got {got}',
        '{model} 有 {expected} 个输入（{names}），得到的是 {got} 个',
    ),
    'onnx.read.rank': (
        '{model}: the input {name} has {expected} axes, {wanted}; got {ndim}, {shape}{remedy}',
        '{model}：输入 {name} 应有 {expected} 个轴 {wanted}，得到的有 {ndim} 个：{shape}{remedy}',
    ),
    'onnx.read.single': (
        '. For a single item, add the batch axis: {name}[None]',
        '。若只有一个样本，请添上批量轴：{name}[None]',
    ),
    'onnx.read.setting': (
        'a setting (such as how many, or which shape) is computed from the numbers that go in; a summary, a session or '
        'a file would keep that of one example. The model itself can be called',
        '某个设置（例如个数或形状）由输入的数值算出；概览、会话或文件只会记住某一个样本的值。可以直接调用模型本身',
    ),
    'onnx.read.large': (
        'an array of shape {shape} would be needed; at most {most:,} elements are made from numbers in a file',
        '需要形状为 {shape} 的数组；由文件中的数字得出的数组最多 {most:,} 个元素',
    ),
    # sessions
    'session.count': (
        'the session of {model} takes as many inputs as it was compiled with, {expected} ({names}), got {got}',
        '{model} 的会话应得到编译时那样的 {expected} 个输入（{names}），得到的是 {got} 个',
    ),
    'session.dtype': (
        'the session of {model}: input {name} is {dtype}, but it was compiled for {expected}; '
        "convert with x.astype('{expected}'), or compile with such an example",
        '{model} 的会话：输入 {name} 的类型是 {dtype}，而编译时是 {expected}；'
        "请用 x.astype('{expected}') 转换，或用这种类型的样本重新编译",
    ),
    'session.shape': (
        'the session of {model}: input {name} has shape {shape}, but it was compiled for {expected}, N being the size '
        'of the batch{batch}',
        '{model} 的会话：输入 {name} 的形状是 {shape}，而编译时是 {expected}，其中 N 是批量大小{batch}',
    ),
    'session.batch': (', here {n}, that of the first input', '，这里是 {n}，由第一个输入决定'),
    'session.changed': (
        'session: {name} was {was} when it was compiled, and is {now} now; compile the model again',
        '会话：{name} 在编译时是 {was}，现在是 {now}；请重新编译模型',
    ),
    'session.title': (
        'Session({model}: {start} -> {end}; {steps} steps for {nodes} nodes, {engine} engine)',
        '会话（{model}：{start} -> {end}；{nodes} 个节点合为 {steps} 步，{engine} 引擎）',
    ),
    'session.step': ('step', '步骤'),
    'session.kernel': ('kernel', '内核'),
    'session.result': ('result', '结果'),
    'session.weights': ('weights, MB', '权重 MB'),
    'session.all': ('all steps', '全部'),
    'session.total': ('weights {weights} MB in all', '权重共 {weights} MB'),
    'session.peak': ('; results at most {peak} MB at once for N = {n}', '；N = {n} 时各步结果同时至多占 {peak} MB'),
    'session.arena': (', and {arena} MB stay for the next call', '，另有 {arena} MB 留给下一次调用'),
    # data
    'file.missing': ('{path}: there is no such file', '{path}：没有这个文件'),
    'file.folder': (
        '{path}: this is a folder; a file that ends in {endings} is expected',
        '{path}：这是文件夹；应为以 {endings} 结尾的文件',
    ),
    'file.inside': ('; it holds {names}', '；其中有 {names}'),
    'file.broken': (
        '{path}: the file is broken or cut short ({reason}); fetch it again',
        '{path}：文件已损坏或不完整（{reason}），请重新获取',
    ),
    'idx.header': (
        '{path}: not an idx file of bytes with {ndim} axes; it begins with {header}, 00 00 08 0{ndim} is expected',
        '{path}：不是 {ndim} 轴的 idx 字节文件；开头是 {header}，应为 00 00 08 0{ndim}',
    ),
    'idx.size': (
        '{path}: its header says {shape}, {expected} values, but {size} follow; the file is broken, '
        'fetch it again',
        '{path}：文件头写的是 {shape}，共 {expected} 个值，实际却有 {size} 个；文件已损坏，请重新获取',
    ),
    'cifar.size': (
        '{name}: {size} bytes are not a whole number of records of {record}, from 1 to {most}; fetch the file again',
        '{name}：{size} 字节不是 {record} 字节记录的整数倍（1 到 {most} 条）；请重新获取',
    ),
    'cifar.label': (
        'a label of {label} among {classes} classes: is it the right archive?',
        '共 {classes} 个类别，却有标签 {label}：是不是用错了文件？',
    ),
    'folder.missing': ('{path}: there is no such folder', '{path}：没有这个文件夹'),
    'folder.classes': (
        '{path}: no sub-folders; pictures are expected in one folder a class, for example {path}/cat/1.jpg',
        '{path}：没有子文件夹；应当每个类别一个文件夹，例如 {path}/cat/1.jpg',
    ),
    'folder.empty': (
        '{path}: no pictures in this class; files that end in {endings} are looked for',
        '{path}：这个类别里没有图片；能识别的扩展名有 {endings}',
    ),
    'image.unknown': (
        '{path}: not an image, or broken',
        '{path}：不是图像，或已损坏',
    ),
    'image.unreadable': (
        '{path}: not an image, or broken: {reason}',
        '{path}：不是图像，或已损坏：{reason}',
    ),
    'image.large': (
        '{path}: {pixels} megapixels; images of up to {limit} are read. Make it smaller first',
        '{path}：有 {pixels} 百万像素，最多读取 {limit} 百万像素的图像；请先缩小',
    ),
    'image.axes': (
        'an image is an array (C, H, W) or a PIL image, got an array {shape}; Flatten() comes last',
        '图像应是 (C, H, W) 的数组或 PIL 图像，得到的数组形状是 {shape}；Flatten() 应放在最后',
    ),
    'image.channels': (
        'ToPIL: an image has 1, 3 or 4 channels, got an array (C, H, W) of {shape}',
        'ToPIL：图像应有 1、3 或 4 个通道，得到的 (C, H, W) 数组形状是 {shape}',
    ),
    'crop.size': (
        'a crop of {size} (height, width) does not fit into an image of {image}; Resize first, or pad',
        '从 {image}（高, 宽）的图像里裁不出 {size}；请先用 Resize 放大，或加填充',
    ),
    'normalize.channels': (
        'Normalize: {count} numbers, one for each channel, do not fit an array of shape {shape}; (C, H, W) with C = '
        '{count} is expected. A single number would count for all channels',
        'Normalize：每个通道一个数，共给了 {count} 个，与形状 {shape} 的数组不符；应为 C = {count} 的 (C, H, W)。'
        '若只给一个数，则用于所有通道',
    ),
    'dataset.lengths': ('{x} samples x, but {t} labels t', 'x 有 {x} 个样本，t 却有 {t} 个标签'),
    'split.sizes': (
        'split: {sizes} of {total} samples makes parts of {counts}; no part may be empty, and together they must be '
        'all samples: numbers that add up to {total}, or fractions that add up to 1.0',
        'split：把 {total} 个样本按 {sizes} 分，各部分是 {counts}；每部分都不能为空，合起来应是全部样本：'
        '给出和为 {total} 的整数，或和为 1.0 的比例',
    ),
    'loader.count': (
        'DataLoader: {name} is a whole number of at least {least}, got {value!r}',
        'DataLoader：{name} 应为不小于 {least} 的整数，得到的是 {value!r}',
    ),
    'loader.empty': (
        'DataLoader: the dataset ({dataset}) is empty; there is nothing to make batches of',
        'DataLoader：数据集（{dataset}）是空的，无法组成批量',
    ),
    'loader.drop_last': (
        'DataLoader: a batch of {batch_size} cannot be filled from {size} samples; use a smaller batch_size',
        'DataLoader：只有 {size} 个样本，凑不满大小为 {batch_size} 的批量；请减小 batch_size',
    ),
    'loader.sample': (
        'DataLoader: this happened while sample {index} was read',
        'DataLoader：读取第 {index} 个样本时出错',
    ),
    'loader.pair': (
        'DataLoader: a sample is a pair (x, t), where t may be None; sample {index} is {sample}',
        'DataLoader：样本应是一对 (x, t)，其中 t 可以是 None；第 {index} 个样本是 {sample}',
    ),
    'loader.arrays': (
        '. Two arrays, x and t, are made a dataset by nailorch.datasets.ArrayDataset(x, t)',
        '。两个数组 x 和 t 可以组成数据集：nailorch.datasets.ArrayDataset(x, t)',
    ),
    'loader.image': (
        'DataLoader: sample {index} is a PIL image; end its transform with ToArray()',
        'DataLoader：第 {index} 个样本是 PIL 图像；请在变换的最后加上 ToArray()',
    ),
    'loader.shapes': (
        'DataLoader: samples of one batch need one shape; {name} of sample {first} has {expected}, of sample {index} '
        '{shape}. For pictures, Resize or crop them first',
        'DataLoader：同一批量的样本形状应相同；第 {first} 个样本的 {name} 是 {expected}，第 {index} 个是 {shape}。'
        '若是图片，请先用 Resize 或裁剪统一大小',
    ),
    'loader.state': (
        'DataLoader: the saved state is of a loader with {name}={saved}, this one has {name}={value}',
        'DataLoader：保存的状态来自 {name}={saved} 的加载器，而这里 {name}={value}',
    ),
    'gpu.none': (
        'no GPU is usable: nailorch computes on the CPU. Ask nailorch.cuda.gpu_enable before to_gpu()',
        '没有可用的 GPU：nailorch 在 CPU 上运算。调用 to_gpu() 之前请先查看 nailorch.cuda.gpu_enable',
    ),
    'asset.unknown': (
        'there is no asset {name!r}; did you mean {near!r}?',
        '没有名为 {name!r} 的资源；是不是想写 {near!r}？',
    ),
    'asset.fetching': ('Fetching {name} ({size}) from {source}', '正在从 {source} 获取 {name}（{size}）'),
    'asset.unreachable': ('cannot be reached', '无法连接'),
    'asset.index': (
        'pip finds it nowhere: there is no network, or the package index lacks it',
        'pip 找不到它：没有网络，或软件包索引里没有',
    ),
    'asset.package': ('the package {package}', '软件包 {package}'),
    'asset.about': ('about {size}', '约 {size}'),
    'asset.waiting': ('{name}: another process is fetching it; waiting', '{name}：另一个进程正在获取，请稍候'),
    'asset.size': ('{size} bytes, not {expected}', '大小是 {size} 字节，应为 {expected}'),
    'asset.sha256': ('its sha256 is {actual}, not {expected}', 'sha256 是 {actual}，应为 {expected}'),
    'asset.missing': (
        '{name} ({size}) is not on this machine and could not be fetched:{reasons}.\n'
        'Put the file at {path}; its sha256 is {sha256}',
        '本机没有 {name}（{size}），也没能获取到：{reasons}。\n请把文件放到 {path}；它的 sha256 是 {sha256}',
    ),
    # frozen parts
    'freeze.unknown': (
        'freeze: {model} has no part {part!r}; its parts are {names}',
        'freeze：{model} 没有名为 {part!r} 的部分；它的各部分是 {names}',
    ),
    'freeze.sizes': (
        '{model}: the sizes of {names} are unknown: call the model once on an example, or load its weights, '
        'then freeze',
        '{model}：{names} 的大小未知：请先用一个样本调用一次模型，或载入权重，再冻结',
    ),
    'freeze.all': (
        'freeze: all of {model} would be frozen, and nothing left to learn',
        'freeze：{model} 会被全部冻结，没有可学习的部分',
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
    'settings.choice': ('{name}: there is no {value!r}: {remedy}', '{name}：没有 {value!r}：{remedy}'),
    'settings.assignment': (
        '{text!r} is no assignment; write KEY=VALUE, for example training.lr=0.01',
        '{text!r} 不是赋值；请写成 键=值，例如 training.lr=0.01',
    ),
    'data.classes': (
        '{path}: train and test hold different classes: {train} and {test}',
        '{path}：train 与 test 中的类别不同：{train} 与 {test}',
    ),
    'model.pretrained': (
        'model.pretrained: nobody has published weights for {name}; there are some for {names}',
        'model.pretrained：{name} 没有公开的预训练权重；有的是 {names}',
    ),
    'data.grey': (
        "model.pretrained: {model}'s weights were learned from colour images (3 channels); those of {data} have "
        '{channels}. Train it without pretrained weights, or on colour images: cifar10, or a folder of pictures',
        'model.pretrained：{model} 的权重是用彩色图像（3 个通道）学到的，而 {data} 的图像有 {channels} 个通道。'
        '请不用预训练权重，或改用彩色图像：cifar10，或装有图片的文件夹',
    ),
    'data.one': (
        '{path}: {name!r} is the only sub-folder, so there is one class, and nothing to tell apart; '
        'pictures are expected in one folder a class, for example {path}/cat/1.jpg and {path}/dog/1.jpg',
        '{path}：只有一个子文件夹 {name!r}，即只有一个类别，没有什么可区分；'
        '每个类别应有自己的文件夹，例如 {path}/cat/1.jpg 和 {path}/dog/1.jpg',
    ),
    'data.parts': (
        '{path}: its sub-folders {names} are no classes, it seems, but parts of the data. Call the parts train and '
        'test, with one folder a class in each; or give one part, for example {path}/{first}, which is then split',
        '{path}：子文件夹 {names} 看来不是类别，而是数据的几部分。这些部分应叫 train 和 test，其中每个类别一个文件夹；'
        '也可以只给其中一部分，例如 {path}/{first}，由程序划分',
    ),
    'data.few': (
        '{path}: of {total} pictures {learn} are to learn from, {valid} to choose the best epoch by and {test} to test'
        ', and none of these may be empty. Add pictures; data.valid and data.test are the shares',
        '{path}：{total} 张图片中，{learn} 用于学习，{valid} 用于选出最佳的一轮，{test} 用于测试，每部分都不能为空。'
        '请增加图片；比例由 data.valid 和 data.test 决定',
    ),
    'data.unknown': (
        'data.name: {name!r} is no folder in {folder}, and no data set: {remedy}',
        'data.name：{folder} 里没有文件夹 {name!r}，也没有这样的数据集：{remedy}',
    ),
    'data.model': (
        '{model} cannot take images (C, H, W) of {shape}: {error} (--size N, or data.size, makes them larger or '
        'smaller)',
        '{model} 无法处理形状 (C, H, W) 为 {shape} 的图像：{error}（--size N，即 data.size，可以改变图像大小）',
    ),
    'report.extra': (
        "a report needs {package}, which is not installed: pip install 'nailorch[report]'",
        "生成报告需要 {package}，尚未安装：pip install 'nailorch[report]'",
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
    'resume.fixed': (
        'resume: {path} was changed since this training began: {changes}. A training cannot go on with that: put it '
        'back, or begin anew: nailorch train --config {path}',
        '继续训练：{path} 在训练开始后被修改过：{changes}。训练无法这样继续：请改回去，'
        '或重新开始：nailorch train --config {path}',
    ),
    'checkpoint.content': (
        'resume: {path} does not hold what this training needs: {reason}',
        '继续训练：{path} 的内容与本次训练不符：{reason}',
    ),
    'run.write': (
        'run folder: {path} cannot be written: {reason}. Make room, or choose another folder',
        '运行文件夹：无法写入 {path}：{reason}。请腾出空间，或换一个文件夹',
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
    'run.busy': (
        'run folder: a training is at work in {path}; wait for its end, or stop it',
        '运行文件夹：{path} 中有一次训练正在进行；请等它结束，或先停止它',
    ),
    # the training loop
    'training.stopping': (
        'saving after this batch; once more quits',
        '完成这一批后保存；再按一次立即退出',
    ),
    'training.monitor': (
        'monitor: there is no {monitor!r}; there are {names}',
        'monitor：没有 {monitor!r}；可选 {names}',
    ),
    'training.no_valid': (
        'monitor: {monitor} cannot be watched without validation; give the Trainer valid=0.1, or a dataset',
        'monitor：没有验证集，无法观察 {monitor}；请给 Trainer 传入 valid=0.1 或一个数据集',
    ),
    'training.unmeasured': (
        'monitor: {monitor} was not measured, since the targets are no classes; choose a loss',
        'monitor：目标不是类别，无法测量 {monitor}；请改用某个损失',
    ),
    'training.header': (
        'Data {data} {samples} · {model} {count} params · seed {seed} · {threads}',
        '数据 {data} {samples} · {model} {count} 个参数 · 种子 {seed} · {threads}',
    ),
    'training.thread': ('1 thread', '1 个线程'),
    'training.threads': ('{threads} threads', '{threads} 个线程'),
    'training.resume': (
        'resume: there is no run folder to resume from; give the Trainer run=...',
        '继续训练：没有可供继续的运行文件夹；请给 Trainer 传入 run=...',
    ),
    'training.restart': (
        'There is no checkpoint in {path} yet: starting from the beginning',
        '{path} 中还没有检查点：从头开始',
    ),
    'training.resumed': (
        'Resuming in epoch {epoch}, after batch {batch} of {batches}',
        '从第 {epoch} 轮、第 {batch} 批（共 {batches} 批）之后继续',
    ),
    'training.best_lost': (
        '{path} does not hold the weights of epoch {epoch}, the best: the best is sought anew from here',
        '{path} 中没有最佳轮次（第 {epoch} 轮）的权重：从此处起重新寻找最佳',
    ),
    'training.interrupted': (
        '{signal}: stopped in epoch {epoch}, after batch {batch} of {batches}; all is saved in {path}',
        '{signal}：停在第 {epoch} 轮、第 {batch} 批（共 {batches} 批）之后；已全部保存到 {path}',
    ),
    'training.interrupted_unsaved': (
        '{signal}: stopped in epoch {epoch}, after batch {batch} of {batches}; fit() goes on from here',
        '{signal}：停在第 {epoch} 轮、第 {batch} 批（共 {batches} 批）之后；再次调用 fit() 可从此处继续',
    ),
    'training.loss': ('the loss is {value}', '损失为 {value}'),
    'training.valid': ('the loss on the validation set is {value}', '验证集上的损失为 {value}'),
    'training.weight': ('the weight {name} is not finite', '权重 {name} 不是有限的数'),
    'training.non_finite': (
        '{what} in epoch {epoch}, batch {batch} of {batches} (step {step}). {remedy}{kept}',
        '{what}，在第 {epoch} 轮、第 {batch} 批（共 {batches} 批，第 {step} 步）。{remedy}{kept}',
    ),
    'training.slower': (
        'Try a smaller learning rate (it is {lr:g}), or clip the gradients: '
        'optimizer.add_hook(optimizers.ClipGrad(1.0)), or --clip 1',
        '请尝试更小的学习率（现为 {lr:g}），或裁剪梯度：optimizer.add_hook(optimizers.ClipGrad(1.0))，或 --clip 1',
    ),
    'training.data': (
        'The batch itself holds NaN or infinite values: look at the data and its transform (learning rate {lr:g})',
        '这一批数据本身就含有 NaN 或无穷大：请检查数据及其变换（学习率 {lr:g}）',
    ),
    'training.labels': (
        'the samples have no labels (t is None), and the loss asks for them: {error}',
        '样本没有标签（t 是 None），而损失函数需要标签：{error}',
    ),
    'training.kept': ('. The last good checkpoint is {path}', '。最近的完好检查点是 {path}'),
    'training.done': ('All {epochs} epochs are done', '{epochs} 轮已全部完成'),
    'training.done_one': ('The one epoch is done', '1 轮已完成'),
    'training.patience': (
        '{monitor} has not become better than {value} (epoch {epoch}) for {patience} epochs: stopped',
        '{monitor} 已有 {patience} 轮未优于 {value}（第 {epoch} 轮）：停止训练',
    ),
    'training.plateau': (
        'Trainer: the schedule watches {monitor}, and ReduceLROnPlateau(mode={mode!r}) takes worse for better: '
        'mode={right!r}',
        'Trainer：学习率调度监视的是 {monitor}，而 ReduceLROnPlateau(mode={mode!r}) 会把变差当成变好：'
        '应为 mode={right!r}',
    ),
    'training.optimizer': (
        'Trainer: optimizer is one of nailorch.optimizers, such as optimizers.Adam(alpha=0.001); got {given}',
        'Trainer：optimizer 应是 nailorch.optimizers 里的优化器，例如 optimizers.Adam(alpha=0.001)；得到的是 {given}',
    ),
    'training.loss_function': (
        'Trainer: loss is a function of the scores and the labels, such as F.softmax_cross_entropy; got {given}',
        'Trainer：loss 应是得分与标签的函数，例如 F.softmax_cross_entropy；得到的是 {given}',
    ),
    'training.restored': ('; the weights are those of epoch {epoch}, the best', '；权重取自最佳的第 {epoch} 轮'),
    'progress.epoch': ('Epoch {epoch}/{epochs}', '第 {epoch}/{epochs} 轮'),
    'progress.loss': ('loss {loss}', '损失 {loss}'),
    'progress.accuracy': ('acc {accuracy}', '准确率 {accuracy}'),
    'progress.rate': ('{rate} img/s', '{rate} 张/秒'),
    'progress.left': ('ETA {time}', '剩余 {time}'),
    'progress.measuring': ('validating …', '验证中……'),
    'progress.train': ('train {values}', '训练 {values}'),
    'progress.valid': ('val {values}', '验证 {values}'),
    'progress.best': ('★best', '★最佳'),
}
