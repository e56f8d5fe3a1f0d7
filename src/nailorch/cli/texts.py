"""What the command line says, in English and in Chinese side by side, as in messages.py."""

from __future__ import annotations

from typing import Any

from nailorch.messages import language

__all__ = ['COMPLAINTS', 'TEXTS', 'text']


def text(key: str, **values: Any) -> str:
    """Return the text `key` in the language in force, its {placeholders} filled with `values`."""
    english, chinese = TEXTS[key]
    chosen = chinese if language() == 'zh' else english
    return chosen.format(**values) if values else chosen


# What argparse complains of, and its Chinese: patterns, since the words between are the user's.
COMPLAINTS = {
    r'the following arguments are required: (.+)': r'缺少参数：\1',
    r'argument (\S+?):? ': r'参数 \1：',
    r'invalid choice: (.+?) \(choose from (.+)\)': r'\1 不可选，可选的有 \2',
    r'expected one argument': '需要一个值',
    r'expected at least one argument': '至少需要一个值',
    r'ignored explicit argument (.+)': r'不接受值 \1',
    r'invalid (\w+) value: (.+)': r'\2 不是合法的值（应为 \1）',
    r'not allowed with argument (.+)': r'不能与 \1 同时使用',
}

TEXTS: dict[str, tuple[str, str]] = {
    # help
    'help.about': (
        'Convolutional networks that you can read:\ntrain them on real digits, look at what they learn.',
        '看得懂的卷积神经网络：在真实的手写数字上训练，看看它学到了什么。',
    ),
    'help.examples': (
        'examples:\n'
        '  nailorch demo                       train on 5,000 real digits, about a minute\n'
        '  nailorch train --model lenet --epochs 5\n'
        '  nailorch predict latest digit.png   what is in this picture?\n'
        '  nailorch COMMAND --help             what a command takes, with examples',
        '示例：\n'
        '  nailorch demo                       用 5000 张真实手写数字训练，大约一分钟\n'
        '  nailorch train --model lenet --epochs 5\n'
        '  nailorch predict latest digit.png   这张图片是什么？\n'
        '  nailorch 命令 --help                命令的参数与示例',
    ),
    'help.command': ('nailorch COMMAND [...]', 'nailorch 命令 [...]'),
    'help.usage': ('usage: ', '用法：'),
    'help.positionals': ('what', '对象'),
    'help.options': ('options', '选项'),
    'help.commands': ('commands', '命令'),
    'help.common': ('for every command', '所有命令通用'),
    'help.help': ('show this help and exit', '显示本帮助并退出'),
    'help.version': ('show the version and exit', '显示版本号并退出'),
    'help.json': ('answer in JSON', '以 JSON 输出'),
    'help.quiet': ('say only the result', '只输出结果'),
    'help.lang': ('language (default: NAILORCH_LANG, else the locale)', '语言（默认取 NAILORCH_LANG，其次取系统语言）'),
    'help.debug': ('when something fails, show the Python traceback too', '出错时同时显示 Python 的调用栈'),
    # what went wrong
    'usage.unknown': ('there is no {word!r}: {remedy}', '没有 {word!r}：{remedy}'),
    'usage.many': ('{command} takes no {word!r}', '{command} 不接受 {word!r}'),
    'usage.meant': ('did you mean {near}?', '是不是想写 {near}？'),
    'usage.known': ('there are {names}', '可用的有 {names}'),
    'usage.lang': ("--lang: 'en' or 'zh', not {value!r}", "--lang：应为 'en' 或 'zh'，而不是 {value!r}"),
    'usage.error': ('{problem}; see {prog} --help', '{problem}；用法见 {prog} --help'),
    'usage.model': ('there is no model {name!r}: {remedy}', '没有名为 {name!r} 的模型：{remedy}'),
    'usage.shape': (
        '--input {value!r}: write C,H,W, for example 1,28,28',
        '--input {value!r}：请写成 C,H,W，例如 1,28,28',
    ),
    'usage.count': ('{value!r} is no whole number of at least 1', '{value!r} 不是不小于 1 的整数'),
    'interrupted': ('interrupted', '已中断'),
    'memory': (
        'out of memory: use a smaller batch, smaller images or a smaller model',
        '内存不足：请减小批量、图像或模型',
    ),
    'unexpected': (
        'unexpected {kind}: {error} (this is a fault of nailorch; --debug shows where)',
        '意外的 {kind}：{error}（这是 nailorch 的缺陷，--debug 可显示出错位置）',
    ),
    # demo
    'demo.about': (
        'train a small network on 5,000 real handwritten digits and report on it',
        '用 5000 张真实的手写数字训练一个小网络，并生成报告',
    ),
    'demo.examples': (
        'examples:\n'
        '  nailorch demo               about a minute on a laptop; needs no GPU\n'
        '  nailorch demo --seed 1      another start\n'
        '  nailorch demo --lang zh     in Chinese',
        '示例：\n'
        '  nailorch demo               在笔记本电脑上大约一分钟，不需要 GPU\n'
        '  nailorch demo --seed 1      换一个随机种子\n'
        '  nailorch demo --lang en     以英文输出',
    ),
    'demo.seed': ('the start of everything random (default: 0)', '随机种子（默认 0）'),
    'demo.intro': (
        '5,000 real handwritten digits of MNIST: 4,000 to learn from, 500 to choose the best epoch by, 500 to test.',
        'MNIST 的 5000 张真实手写数字：4000 张用于学习，500 张用于选出最佳的一轮，500 张用于最后的测试。',
    ),
    # train
    'train.about': (
        'train a model on images and keep all of it in a run folder',
        '在图像上训练模型，并把一切保存在运行文件夹里',
    ),
    'train.usage': (
        'nailorch train [--config FILE] [settings ...]\n       nailorch train --resume RUN',
        'nailorch train [--config FILE] [设置 ...]\n      nailorch train --resume RUN',
    ),
    'train.examples': (
        'A flag counts before the file of --config, and the file before the default.\n'
        'Ctrl-C finishes the batch, saves, and says how to go on; a second one quits.\n\n'
        'examples:\n'
        '  nailorch train\n'
        '  nailorch train --model lenet --data fashion_mnist --epochs 5 --shift 2\n'
        '  nailorch train --data photos/ --model resnet18 --size 64 --flip\n'
        '  nailorch train --data my/ --model mobilenet_v2 --pretrained --freeze features\n'
        '  nailorch train --config runs/…/config.toml --seed 1\n'
        '  nailorch train --resume latest',
        '命令行选项优先于 --config 的文件，文件优先于默认值。\n'
        '按一次 Ctrl-C：算完当前批量、保存，并提示如何继续；再按一次立即退出。\n\n'
        '示例：\n'
        '  nailorch train\n'
        '  nailorch train --model lenet --data fashion_mnist --epochs 5 --shift 2\n'
        '  nailorch train --data photos/ --model resnet18 --size 64 --flip\n'
        '  nailorch train --data my/ --model mobilenet_v2 --pretrained --freeze features\n'
        '  nailorch train --config runs/…/config.toml --seed 1\n'
        '  nailorch train --resume latest',
    ),
    'train.config': ('read settings from this TOML file', '从这个 TOML 文件读取设置'),
    'train.resume': ('go on with an interrupted run: its name, a part of it, a path, or latest',
                     '继续一次中断的运行：名称（或其一部分）、路径，或 latest'),
    'train.set': ('any setting by its full name, e.g. training.clip=1.0', '按全名指定任一设置，例如 training.clip=1.0'),
    'train.settings': ('settings', '设置'),
    'train.resume_alone': (
        '--resume goes on with what its run was told; take away {flags}. More epochs? Edit config.toml in its folder',
        '--resume 会沿用该运行的设置；请去掉 {flags}。要增加轮数，请修改运行文件夹里的 config.toml',
    ),
    'train.edited': (
        '{path} was changed since this training began; from here on {changes}',
        '{path} 在训练开始后被修改过；从这里起 {changes}',
    ),
    'train.default': (' (default: {value})', '（默认 {value}）'),
    'train.continue': ('Go on with: nailorch train --resume {run}', '继续训练：nailorch train --resume {run}'),
    'train.frozen': ('{frozen} of {size} parameters are frozen', '{size} 个参数中冻结了 {frozen} 个'),
    'train.once': ('What they make of the {images} images is computed once ({size} MB)',
                   '冻结部分对 {images} 张图像的输出只计算一次（{size} MB）'),
    'train.hardest': ('Hardest pair {true}→{answer} ({count})', '最易混淆：{true}→{answer}（{count} 次）'),
    'train.report': ('Report: {path}', '报告：{path}'),
    'root': ('the folder of all runs (default: runs)', '存放所有运行的文件夹（默认 runs）'),
    # evaluate
    'evaluate.about': ('measure a trained model on test images', '在测试图像上评估训练好的模型'),
    'evaluate.examples': (
        'examples:\n'
        '  nailorch evaluate latest\n'
        '  nailorch evaluate runs/20250131-142305-mnistnet-7f3a --json\n'
        '  nailorch evaluate net.npz --model mnistnet --data digits\n'
        '  nailorch evaluate latest --data new/    all its pictures, or those in test/',
        '示例：\n'
        '  nailorch evaluate latest\n'
        '  nailorch evaluate runs/20250131-142305-mnistnet-7f3a --json\n'
        '  nailorch evaluate net.npz --model mnistnet --data digits\n'
        '  nailorch evaluate latest --data new/    其中全部图片；有 test/ 时只用它',
    ),
    'run_or_weights': (
        'a run (name, a part of it, path, or latest), or a weights file (.safetensors, .npz, '
        '.pth, .h5)',
        '一次运行（名称或其一部分、路径，或 latest），或权重文件（.safetensors、.npz、.pth、.h5）',
    ),
    'evaluate.begin': ('{name} on {count} test images of {data}', '{name}，{data} 的 {count} 张测试图像'),
    'evaluate.whole': ('{name} on all {count} images of {data}', '{name}，{data} 的全部 {count} 张图像'),
    'evaluate.class': ('class', '类别'),
    'evaluate.images': ('images', '图像数'),
    'evaluate.accuracy': ('accuracy', '准确率'),
    'evaluate.right': (
        '{right} of {count} right (between {low} and {high} with 95% confidence), loss {loss}',
        '{count} 张中答对 {right} 张（95% 置信区间 {low} 至 {high}），损失 {loss}',
    ),
    'evaluate.other': (
        '{name} knows {classes} classes of images {shape}; {data} has {data_classes} of {data_shape}, or other names',
        '{name}：{classes} 个类别，形状 {shape}；{data}：{data_classes} 个，形状 {data_shape}，或类别名不同',
    ),
    'opening.model': ('for a weights file: the model that it belongs to', '权重文件所属的模型'),
    'opening.data': (
        'the data (default: what the run was trained on; for weights digits)',
        '数据（默认取该运行所用的；权重文件默认 digits）',
    ),
    'opening.pretrained': ('for a weights file: it was trained with --pretrained, which prepares images in its own way',
                           '权重文件是用 --pretrained 训练的，图像要相应地预处理'),
    'opening.size': ('for a weights file: pixels a side of its images', '权重文件所用图像的边长（像素）'),
    'opening.which_model': (
        '{path} is a weights file: say which model it belongs to, for example --model mnistnet',
        '{path} 是权重文件：请用 --model 说明它属于哪个模型，例如 --model mnistnet',
    ),
    'opening.own_model': (
        '--model, --pretrained and --size are for weights files; the run {run} is of {name}',
        '--model、--pretrained 和 --size 只用于权重文件；运行 {run} 的模型是 {name}',
    ),
    'opening.unknown': (
        'no run in {root} is called {name!r}: did you mean {near}?',
        '{root} 里没有名为 {name!r} 的运行：是不是想写 {near}？',
    ),
    'opening.no_runs': ('there is no run {name!r}: no runs in {root} yet; nailorch demo makes one',
                        '没有名为 {name!r} 的运行：{root} 里还没有运行；nailorch demo 会生成一次'),
    'opening.neither': ('{name!r} is no model ({names}); {error}', '{name!r} 不是模型（{names}）；{error}'),
    'opening.untrained': (
        'the run {run} has no weights yet, since its first epoch is not over. Go on: nailorch train --resume {run}',
        '运行 {run} 还没有权重：第一轮尚未结束。继续训练：nailorch train --resume {run}',
    ),
    'opening.damaged': (
        '{path} does not say which classes the model knows: the file is damaged',
        '{path} 里没有模型的类别：文件已损坏',
    ),
    # predict
    'predict.about': ('say what is in some images', '识别图像里的内容'),
    'predict.examples': (
        'examples:\n'
        '  nailorch predict latest digit.png\n'
        '  nailorch predict latest scans/ --format csv > answers.csv\n'
        '  nailorch predict latest photo.jpg --invert      a dark digit on light paper',
        '示例：\n'
        '  nailorch predict latest digit.png\n'
        '  nailorch predict latest scans/ --format csv > answers.csv\n'
        '  nailorch predict latest photo.jpg --invert      浅色纸上的深色数字',
    ),
    'predict.images': ('image files, or folders of them', '图像文件，或装有图像的文件夹'),
    'predict.format': ('how to answer (default: table)', '输出格式（默认 table）'),
    'predict.top': ('how many answers an image', '每张图像给出几个答案'),
    'predict.invert': ('swap dark and light (ink on paper becomes light on dark, as in MNIST)',
                       '反转明暗（白纸黑字变成 MNIST 那样的黑底白字）'),
    'predict.file': ('file', '文件'),
    'predict.answer': ('answer', '答案'),
    'predict.empty': ('{path}: no pictures in this folder', '{path}：这个文件夹里没有图片'),
    'predict.inverted': (
        'these digits look dark on light, and the model learned light on dark: try --invert',
        '图像像是浅底深字，而模型学的是深底浅字：请试试 --invert',
    ),
    # classify
    'classify.run': (
        '--model {name}: what a run has learned, predict says: nailorch predict {name} {photo}',
        '--model {name}：运行学到的模型请用 predict：nailorch predict {name} {photo}',
    ),
    'classify.small': (
        '{name} has learned no photographs; these have: {names}',
        '{name} 不是识别照片的模型；可用的有 {names}',
    ),
    'classify.about': ('say what is in photographs, by a network trained on ImageNet',
                       '用在 ImageNet 上训练好的网络识别照片'),
    'classify.examples': (
        'The first use fetches the weights (14 MB) and compiles kernels, which takes some\n'
        'seconds; later ones start at once.\n\n'
        'examples:\n'
        '  nailorch classify photo.jpg\n'
        '  nailorch classify holiday/ --top 1 --quiet\n'
        '  nailorch classify photo.jpg --model efficientnet_lite0\n'
        '  nailorch classify photo.jpg --model vgg16 --weights vgg16-397923af.pth --json',
        '第一次使用会下载权重（14 MB）并编译内核，需要十几秒；以后立即开始。\n\n'
        '示例：\n'
        '  nailorch classify photo.jpg\n'
        '  nailorch classify holiday/ --top 1 --quiet\n'
        '  nailorch classify photo.jpg --model efficientnet_lite0\n'
        '  nailorch classify photo.jpg --model vgg16 --weights vgg16-397923af.pth --json',
    ),
    'classify.images': ('photographs, or folders of them', '照片，或装有照片的文件夹'),
    'classify.model': ('the network (default: mobilenet_v2); others: efficientnet_lite0, vgg16, resnet50 …; or '
                       'a file.onnx',
                       '网络（默认 mobilenet_v2），还有 efficientnet_lite0、vgg16、resnet50 等；也可以是 .onnx 文件'),
    'classify.weights': ('its weights: .pth, .safetensors, .npz or .h5 (default: the official ones, fetched)',
                         '权重文件：.pth、.safetensors、.npz 或 .h5（默认获取官方权重）'),
    'classify.top': ('how many answers a photograph (default: 5)', '每张照片给出几个答案（默认 5）'),
    'classify.progress': ('Photographs', '照片'),
    # assets
    'assets.about': ('list, fetch or find the files that nailorch can fetch', '列出、获取或查找可下载的文件'),
    'assets.examples': (
        'Files go to the cache folder (nailorch doctor names it). NAILORCH_ASSETS names a\n'
        'folder that is looked in first, NAILORCH_MIRROR a web address under which the\n'
        'files lie by their names.\n\n'
        'examples:\n'
        '  nailorch assets\n'
        '  nailorch assets fetch mobilenet_v2-b0353104.pth imagenet1k_clean_names.json\n'
        '  nailorch assets path photos/coffee.png',
        '文件存放在缓存文件夹里（nailorch doctor 会显示）。\n'
        'NAILORCH_ASSETS 指定优先查找的文件夹，NAILORCH_MIRROR 指定镜像网址。\n\n'
        '示例：\n'
        '  nailorch assets\n'
        '  nailorch assets fetch mobilenet_v2-b0353104.pth imagenet1k_clean_names.json\n'
        '  nailorch assets path photos/coffee.png',
    ),
    'assets.action': ('list (default), fetch or path', 'list（默认）、fetch 或 path'),
    'assets.names': ('which files', '哪些文件'),
    'assets.which': ('assets {action}: which? nailorch assets lists them',
                     'assets {action}：哪一个？nailorch assets 可列出'),
    'assets.absent': ('{name} is not on this machine; nailorch assets fetch {name} gets it, or put it at {path}',
                      '本机没有 {name}；可用 nailorch assets fetch {name} 获取，或放到 {path}'),
    'assets.name': ('name', '名称'),
    'assets.present': ('here', '本机'),
    'assets.here': ('yes', '有'),
    'assets.size': ('size', '大小'),
    'assets.licence': ('licence', '许可证'),
    # graph
    'graph.about': ('draw what a model computes: boxes, arrows and shapes', '画出模型的计算图：方框、箭头和形状'),
    'graph.examples': (
        'examples:\n'
        '  nailorch graph resnet18 --out resnet18.svg\n'
        '  nailorch graph resnet18 --out blocks.png --depth 3\n'
        '  nailorch graph latest --out mine.png\n'
        '  nailorch graph model.onnx --out model.svg --input 3,224,224',
        '示例：\n'
        '  nailorch graph resnet18 --out resnet18.svg\n'
        '  nailorch graph resnet18 --out blocks.png --depth 3\n'
        '  nailorch graph latest --out mine.png\n'
        '  nailorch graph model.onnx --out model.svg --input 3,224,224',
    ),
    'graph.out': ('the picture, .svg or .png (default: MODEL.svg)', '图片文件，.svg 或 .png（默认 模型名.svg）'),
    'graph.depth': ('show layers within layers down to this level (default: 2)', '展开到第几级的层（默认 2）'),
    'graph.suffix': ('--out {path}: the name ends with .svg or .png', '--out {path}：文件名须以 .svg 或 .png 结尾'),
    'graph.done': ('{path}: {boxes} boxes, {edges} arrows', '{path}：{boxes} 个方框，{edges} 个箭头'),
    # look
    'look.about': ('show what a network sees in pictures: where it looks, what its layers compute',
                   '展示网络在图片里看到什么：它看哪里、各层算出什么'),
    'look.usage': ('nailorch look [MODEL] IMAGE [...] [options]', 'nailorch look [模型] 图片 [...] [选项]'),
    'look.examples': (
        'Pictures (PNG) and a page, index.html, are written to look/MODEL. The page opens\n'
        'offline.\n\n'
        'examples:\n'
        '  nailorch look photo.jpg\n'
        '  nailorch look mobilenet_v2 photo.jpg --target "tabby cat"\n'
        '  nailorch look latest digit.png --layer conv1 --layer conv2\n'
        '  nailorch look model.onnx photo.jpg --out seen --json',
        '图片（PNG）和网页 index.html 写入 look/模型名，网页离线可用。\n\n'
        '示例：\n'
        '  nailorch look photo.jpg\n'
        '  nailorch look mobilenet_v2 photo.jpg --target "tabby cat"\n'
        '  nailorch look latest digit.png --layer conv1 --layer conv2\n'
        '  nailorch look model.onnx photo.jpg --out seen --json',
    ),
    'look.what': ('a network and pictures. The network: a run, weights with --model, mobilenet_v2 (default), '
                  'resnet50 … with trained weights, or a file.onnx',
                  '网络和图片。网络可以是：一次运行、权重文件（配合 --model）、自带训练好权重的 mobilenet_v2（默认）、'
                  'resnet50 等，或 ONNX 文件'),
    'look.images': ('look into {model} at which pictures? nailorch look {model} photo.jpg',
                    '用 {model} 看哪些图片？nailorch look {model} photo.jpg'),
    'look.out': ('where to write (default: look/MODEL)', '写到哪里（默认 look/模型名）'),
    'look.target': ('the class to explain, by name or number (default: the most probable)',
                    '要解释的类别，名称或编号（默认最可能的类别）'),
    'look.layer': ('show the feature maps of this layer; may be repeated (default: four convolutions)',
                   '展示这一层的特征图，可重复（默认四个卷积层）'),
    'look.cam_layer': ('compute Grad-CAM at this layer (default: the last convolution)',
                       '在这一层计算 Grad-CAM（默认最后一个卷积层）'),
    'look.hiding': ('Hiding parts of {name}', '逐块遮挡 {name}'),
    'look.no_class': ('there is no class {name!r} among 0 to {last}: {remedy}',
                      '没有类别 {name!r}（编号 0 到 {last}）：{remedy}'),
    'opening.onnx': (
        'what an ONNX file answers to pictures, classify says: nailorch classify PHOTO --model {path}',
        'ONNX 文件请用 classify：nailorch classify 照片 --model {path}',
    ),
    'notes.broken': (
        '{file}: its metadata, {entry}, does not say how pictures are prepared',
        '{file}：元数据 {entry} 没有说明图片应如何预处理',
    ),
    'opening.no_images': ('{file} takes no images (N, C, H, W): its input is {shape}',
                       '{file} 的输入不是图像 (N, C, H, W)，而是 {shape}'),
    'look.page': ('Page: {path}', '网页：{path}'),
    # summary
    'summary.all': ('show every block, alike ones too', '逐个显示所有模块，不合并相同的'),
    'summary.about': ("show a model's layers, shapes and parameters", '显示模型的各层、形状和参数量'),
    'summary.examples': (
        'examples:\n'
        '  nailorch summary vgg16\n'
        '  nailorch summary resnet18 --input 3,64,64\n'
        '  nailorch summary latest\n'
        '  nailorch summary mnistnet --json',
        '示例：\n'
        '  nailorch summary vgg16\n'
        '  nailorch summary resnet18 --input 3,64,64\n'
        '  nailorch summary latest\n'
        '  nailorch summary mnistnet --json',
    ),
    'summary.model': (
        'mnistnet, lenet, mlp, vgg16, resnet18, squeezenet1_1, mobilenet_v2 …; a file.onnx; or a run '
        '(name, a part of it, path, or latest)',
        'mnistnet、lenet、mlp、vgg16、resnet18、squeezenet1_1、mobilenet_v2 等；ONNX 文件；'
        '或一次运行（名称或其一部分、路径，或 latest）',
    ),
    'summary.last': ('--input {given} is C,H,W, channels first; should it be --input {first}?',
                     '--input {given} 是 C,H,W，通道在最前；是不是应为 --input {first}？'),
    'summary.own_classes': ('{name} has the classes that it has: leave out --classes',
                            '{name} 的类别数是固定的：请去掉 --classes'),
    'summary.onnx_input': ('{file} leaves sizes of its input open: give them with --input C,H,W',
                           '{file} 没有写明输入的大小：请用 --input C,H,W 给出'),
    'summary.input': ('shape of one image, C,H,W; once for each input of a model that has several',
                      '一张图像的形状 C,H,W；若模型有几个输入，每个输入给一次'),
    'summary.classes': ('how many classes', '类别数'),
    # export
    'export.input': ('shape of one image, C,H,W', '一张图像的形状 C,H,W'),
    'export.about': (
        'write a model as an ONNX file, weights included, for batches of any size',
        '把模型连同权重写成 ONNX 文件，批量大小任意',
    ),
    'export.examples': (
        'Needs the package onnx; with onnxruntime installed, its answers are compared.\n\n'
        'examples:\n'
        '  nailorch export latest digits.onnx\n'
        '  nailorch export runs/…/best.safetensors net.onnx --model mnistnet\n'
        '  nailorch export mobilenet_v2 mobilenet.onnx --pretrained\n'
        '  nailorch export resnet18 net.onnx --input 3,64,64 --classes 5\n'
        '  nailorch export latest old.onnx --opset 13',
        '需要 onnx 包；若装有 onnxruntime，还会比较两者的输出。\n\n'
        '示例：\n'
        '  nailorch export latest digits.onnx\n'
        '  nailorch export runs/…/best.safetensors net.onnx --model mnistnet\n'
        '  nailorch export mobilenet_v2 mobilenet.onnx --pretrained\n'
        '  nailorch export resnet18 net.onnx --input 3,64,64 --classes 5\n'
        '  nailorch export latest old.onnx --opset 13',
    ),
    'export.what': (
        "a run (name, a part of it, path, or latest), a weights file (with --model), or a model's name",
        '一次运行（名称或其一部分、路径，或 latest）、权重文件（配合 --model），或模型名称',
    ),
    'export.file': ('the file to write', '要写入的文件'),
    'export.model': ('the model that a weights file belongs to', '权重文件所属的模型'),
    'export.opset': ("version of ONNX's operators, 13 or newer (default: 18)",
                     'ONNX 算子集的版本，不低于 13（默认 18）'),
    'export.which_model': ('{path}: whose weights are these? Give --model',
                           '{path}：这是哪个模型的权重？请给出 --model'),
    'export.weights': ('with weights that others trained, which are fetched', '使用他人训练好的权重（会下载）'),
    'opening.unused': ('{flag} says nothing of {what}', '{flag} 不适用于 {what}'),
    'export.pretrained': ('{name}, trained by others', '{name}，他人训练的权重'),
    'export.untrained': ('{name}, untrained', '{name}，未经训练'),
    'export.done': (
        '{path}: {size} MB, {origin}, images {shape}; checked by onnx, {check}',
        '{path}：{size} MB，{origin}，图像 {shape}；已由 onnx 检查，{check}',
    ),
    'export.alike': (
        "and onnxruntime's answers are ours (largest difference {difference})",
        'onnxruntime 的输出与模型一致（最大相对误差 {difference}）',
    ),
    'export.unchecked': (
        'but not compared: pip install onnxruntime',
        '但未比较输出：pip install onnxruntime',
    ),
    'export.differs': (
        "{path}: not written: onnxruntime's answers are not the model's (they differ by {difference} of the largest "
        'number)',
        '{path}：未写入，因为 onnxruntime 的输出与模型不一致（最大相对误差 {difference}）',
    ),
    # runs
    'runs.about': ('list past runs, or show one', '列出以往的运行，或查看其中一次'),
    'runs.examples': (
        'examples:\n  nailorch runs\n  nailorch runs latest\n  nailorch runs --json',
        '示例：\n  nailorch runs\n  nailorch runs latest\n  nailorch runs --json',
    ),
    'runs.action': ('list (default), show, or at once the run to show', 'list（默认）、show，或直接写要查看的运行'),
    'runs.which': ('which run to show', '查看哪一次运行'),
    'runs.none': ('no runs in {root} yet; nailorch demo makes one', '{root} 里还没有运行；nailorch demo 会生成一次'),
    'runs.run': ('run', '运行'),
    'runs.date': ('date', '日期'),
    'runs.model': ('model', '模型'),
    'runs.epochs': ('epochs', '轮数'),
    'runs.best_epoch': ('best', '最佳轮'),
    'runs.valid_accuracy': ('val', '验证'),
    'runs.test_accuracy': ('test', '测试'),
    'runs.status': ('status', '状态'),
    'runs.finished': ('finished', '已完成'),
    'runs.unfinished': ('unfinished', '未完成'),
    'runs.damaged': ('damaged', '已损坏'),
    'runs.epoch': ('epoch', '轮'),
    'runs.train_loss': ('train loss', '训练损失'),
    'runs.train_accuracy': ('train', '训练'),
    'runs.valid_loss': ('val loss', '验证损失'),
    'runs.lr': ('lr', '学习率'),
    # doctor
    'doctor.about': ('say what nailorch finds on this machine', '检查本机环境'),
    'doctor.examples': (
        'examples:\n  nailorch doctor\n  nailorch doctor --warm\n  nailorch doctor --json',
        '示例：\n  nailorch doctor\n  nailorch doctor --warm\n  nailorch doctor --json',
    ),
    'doctor.platform': ('system', '操作系统'),
    'doctor.cpu': ('processor', '处理器'),
    'doctor.cpu_features': ('its features', '指令集'),
    'doctor.cores': ('cores', '核心数'),
    'doctor.threads': ('threads', '线程数'),
    'doctor.engine': ('engine', '计算引擎'),
    'doctor.kernels': ('fast kernels', '快速内核'),
    'doctor.generated': ('generated for {vectors}; threads: {threads}', '为 {vectors} 生成；线程数 {threads}'),
    'doctor.compiled': ('compiled', '已编译'),
    'doctor.kept': ('{kept} of {kernels}, in {folder}', '{kernels} 个中的 {kept} 个，位于 {folder}'),
    'doctor.nowhere': ('no folder can be written: each start compiles', '没有可写的文件夹：每次启动都要编译'),
    'doctor.warm': ('compile all kernels of the fast engine now', '立即编译快速引擎的全部内核'),
    'doctor.warmed': ('Kernels compiled: {count}', '编译的内核数：{count}'),
    'doctor.language': ('language', '语言'),
    'doctor.cache': ('cache folder', '缓存文件夹'),
    'doctor.missing': ('missing: {install}', '未安装：{install}'),
    # bench
    'explain.about': ('see how an operator computes every number', '看清一个运算怎样算出每一个数'),
    'explain.examples': (
        "Without numbers, the textbook's example is explained. In a terminal the arrow\n"
        'keys lead from cell to cell.\n\n'
        'examples:\n'
        '  nailorch explain conv\n'
        '  nailorch explain conv --pad 1 --stride 2\n'
        '  nailorch explain conv --x "1 2 3; 4 5 6; 7 8 9" --kernel "1 0; 0 -1"\n'
        '  nailorch explain conv --of W        the gradient of the kernel\n'
        '  nailorch explain conv --html conv.html\n'
        '  nailorch explain pooling | im2col | col2im | softmax | batch_norm\n'
        '  nailorch explain ladder conv        one convolution, rung by rung',
        '不给数字时，讲解课本上的例子。在终端里用方向键逐格查看。\n\n'
        '示例：\n'
        '  nailorch explain conv\n'
        '  nailorch explain conv --pad 1 --stride 2\n'
        '  nailorch explain conv --x "1 2 3; 4 5 6; 7 8 9" --kernel "1 0; 0 -1"\n'
        '  nailorch explain conv --of W        卷积核的梯度\n'
        '  nailorch explain conv --html conv.html\n'
        '  nailorch explain pooling | im2col | col2im | softmax | batch_norm\n'
        '  nailorch explain ladder conv        同一个卷积，从七重循环到引擎',
    ),
    'explain.op': ('what is explained: {names}; or ladder', '要讲解的运算：{names}；或 ladder'),
    'explain.which': ('after ladder: whose rungs', '用在 ladder 之后：哪个运算的阶梯'),
    'explain.x': ('the input: rows parted by ";", channels by "|"', '输入：行之间用 ";"，通道之间用 "|" 分开'),
    'explain.W': ('the kernel, or the weights of linear', '卷积核，或 linear 的权重'),
    'explain.b': ('the bias', '偏置'),
    'explain.kernel_size': ('the window, "2" or "2,3"', '窗口大小，"2" 或 "2,3"'),
    'explain.stride': ('stride, "2" or "2,1"', '步幅，"2" 或 "2,1"'),
    'explain.pad': ('padding: "1", "1,0", "1,0;2,1" (top, bottom; left, right) or same',
                    '填充："1"、"1,0"、"1,0;2,1"（上,下;左,右）或 same'),
    'explain.dilation': ('dilation', '空洞（膨胀）率'),
    'explain.groups': ('groups of channels', '通道分组数'),
    'explain.input_shape': ('the size of the image that col2im makes', 'col2im 还原出的图像大小'),
    'explain.gy': ('the gradient that comes back, ones if not given', '传回来的梯度，不给则全为 1'),
    'explain.of': ('explain the gradient of this argument', '讲解对这个参数的梯度'),
    'explain.cell': ('show this cell of the result', '只看结果中的这一格'),
    'explain.html': ('write a page to step through in a browser, and print its path',
                     '写成可在浏览器里逐步查看的网页，并打印路径'),
    'explain.all': ('write all cells down, without stepping', '不逐步查看，直接列出所有格子'),
    'explain.unknown': ("there is no explanation of '{word}': {remedy}", '没有 {word} 的讲解：{remedy}'),
    'explain.ladder_alone': ('ladder takes no {flag}: its convolution is always the same',
                             'ladder 没有 {flag}：它比较的总是同一个卷积'),
    'explain.no': ('{op} takes no {flag}; it takes --x {flags}', '{op} 没有 {flag}；可用的有 --x {flags}'),
    'explain.number': ("{flag}: '{value}' are no numbers as they are expected here; see nailorch explain --help",
                       '{flag}：{value} 不是这里要的数；见 nailorch explain --help'),
    'explain.ragged': ("{flag}: the rows of '{value}' have different lengths", '{flag}：{value} 各行长短不一'),
    'explain.ladder': ("there is a ladder of conv, none of '{word}'", '只有 conv 的阶梯，没有 {word} 的'),
    'figures.about': ("draw the textbook's figures, each number computed", '绘制教材的插图，图中每个数都是算出来的'),
    'figures.examples': (
        'A figure of several steps becomes one picture a step, and one GIF.\n\n'
        'examples:\n'
        '  nailorch figures --list\n'
        '  nailorch figures --out pictures\n'
        '  nailorch figures slide stride --format gif\n'
        '  nailorch figures vgg16 --format svg,png --lang zh\n'
        '  nailorch figures --lang all          folders en and zh',
        '分几步的插图：每步一幅图，另有一个 GIF 动画。\n\n'
        '示例：\n'
        '  nailorch figures --list\n'
        '  nailorch figures --out 插图\n'
        '  nailorch figures slide stride --format gif\n'
        '  nailorch figures vgg16 --format svg,png --lang en\n'
        '  nailorch figures --lang all          分别放在 en 和 zh 文件夹',
    ),
    'figures.name': ('figures by name; without one, all of them', '插图的名称；不写就是全部'),
    'figures.out': ('the folder for the files (default: figures)', '存放文件的文件夹（默认 figures）'),
    'figures.format': ('svg, png, gif, parted by commas (default: all three)',
                       'svg、png、gif，用逗号分开（默认三种都要）'),
    'figures.list': ('only say which figures there are', '只列出有哪些插图'),
    'figures.formats': ("--format '{value}': svg, png or gif, parted by commas",
                        "--format '{value}'：应为 svg、png 或 gif，用逗号分开"),
    'figures.unknown': ("there is no figure '{name}': {remedy}", '没有名为 {name} 的插图：{remedy}'),
    'figures.heads': ('name, steps, title', '名称, 步数, 标题'),
    'figures.done': ('{figures} figures, {files} files in {folder}', '{figures} 幅插图，{files} 个文件，在 {folder}'),
    'figures.missing': ("left out: '{name}' shows {photo}, which cannot be had; nailorch assets says more",
                        '略去 {name}：它用到的照片 {photo} 无法取得；详见 nailorch assets'),
    'figures.still': ('{names}: one step, so no GIF', '{names}：只有一步，没有 GIF'),
    'bench.about': ('measure nailorch beside other frameworks on this machine', '在本机上与其他框架比较速度'),
    'bench.examples': (
        'Everyone gets the same work, numbers and threads, in a process of its own, in\n'
        'turn. Whoever computes something else than nailorch is disqualified.\n\n'
        'examples:\n'
        '  nailorch bench --quick              try everything out, in small sizes\n'
        '  nailorch bench                      VGG16 and MNISTNet, inference and training\n'
        '  nailorch bench vgg16-inference --peers pytorch,ncnn\n'
        '  nailorch bench other-layers --save layers.json\n'
        '  nailorch bench ladder --sources     one convolution, rung by rung',
        '每个参与者在自己的进程里，用同样的数据和线程数，轮流完成同样的工作。\n'
        '结果与 nailorch 不一致的，取消成绩。\n\n'
        '示例：\n'
        '  nailorch bench --quick              用小尺寸把一切试一遍\n'
        '  nailorch bench                      VGG16 与 MNISTNet 的推理和训练\n'
        '  nailorch bench vgg16-inference --peers pytorch,ncnn\n'
        '  nailorch bench other-layers --save layers.json\n'
        '  nailorch bench ladder --sources     同一个卷积的几种写法',
    ),
    'bench.workloads': (
        'a group, a name, its beginning or a pattern (see --list); all; ladder (default: models)',
        '组名、名称、名称的开头或通配符（见 --list）；all；ladder（默认 models）',
    ),
    'bench.list': ('list the workloads and exit', '列出所有测试项目并退出'),
    'bench.peers': ('who is measured beside nailorch: {peers}; none (default: all)',
                    '与谁比较：{peers}；none 表示不比较（默认 all）'),
    'bench.engines': ("nailorch's engines, or all; peers are compared with the first (default: the one in force)",
                      'nailorch 的计算引擎，或 all；与第一个比较（默认为当前引擎）'),
    'bench.modes': ("those of PyTorch's modes that take part: {modes} (default: all)",
                    '参加比较的 PyTorch 模式：{modes}（默认全部）'),
    'bench.rounds': ('how often everyone is measured (default: 5; quick: 2)', '每个参与者测几轮（默认 5，quick 为 2）'),
    'bench.seconds': ('how long in each round (default: 0.5; quick: 0.05)', '每轮测多少秒（默认 0.5，quick 为 0.05）'),
    'bench.threads': ('of everyone (default: NAILORCH_NUM_THREADS, else the cores)',
                      '所有参与者的线程数（默认取 NAILORCH_NUM_THREADS，其次取核心数）'),
    'bench.quick': ('small sizes, to try everything out; such times say nothing about speed',
                    '用小尺寸试一遍；这样的时间不能说明速度'),
    'bench.save': ('write machine, versions and all numbers to this JSON file after each workload',
                   '每测完一项，就把机器、版本和全部数字写入这个 JSON 文件'),
    'bench.sources': ("ladder: show each implementation's source", 'ladder：显示每种实现的源代码'),
    'bench.unknown': ('there is no {word}: {remedy}', '没有 {word}：{remedy}'),
    'bench.least': ('{name}: a number above 0, not {value}', '{name}：应大于 0，而不是 {value}'),
    'bench.machine': ('{cpu}, {cores} cores; threads: {threads}, {dtype}, engine {engine}, {rounds} rounds',
                      '{cpu}，{cores} 核；线程数 {threads}，{dtype}，引擎 {engine}，{rounds} 轮'),
    'bench.versions': ('Versions: {versions}', '版本：{versions}'),
    'bench.limits': (
        'Limits: {gflops} GFLOP/s ({by}; NumPy sgemm {sgemm}), {triad} GB/s triad, {read} GB/s reading',
        '极限：{gflops} GFLOP/s（{by}；NumPy sgemm {sgemm}），{triad} GB/s triad，读 {read} GB/s',
    ),
    'bench.quick_note': ('Small sizes (--quick) say nothing about speed. PyTorch compiles only if --modes names it.',
                         '小尺寸（--quick）不能说明速度。只有 --modes 指明时 PyTorch 才编译。'),
    'bench.no_huge': ('Huge pages for PyTorch: not here, {reason}', 'PyTorch 的大页内存：这里没有，{reason}'),
    'bench.busy': ('Somebody else is at work here, a load of {load}: neither times nor limits can be trusted.',
                   '机器上还有别的任务，负载 {load}：时间和极限都不可信。'),
    'bench.ignored': ('{name}={value} is set here; nobody gets it.', '环境里设有 {name}={value}；参与者都不使用它。'),
    'bench.missing': ('{peer} is missing: {install}', '缺少 {peer}：{install}'),
    'bench.round': ('round {number}', '第 {number} 轮'),
    'bench.check': ('preparing and checking', '准备与核对'),
    'bench.who': ('participant', '参与者'),
    'bench.middle': ('middle half', '中间一半'),
    'bench.times_ours': ('x ours', '倍数'),
    'bench.of_peak': ('of peak', '占峰值'),
    'bench.peak_mb': ('peak MB', '内存峰值 MB'),
    'bench.first_s': ('first s', '首次 s'),
    'bench.best_pytorch': ('best PyTorch', 'PyTorch 最快'),
    'bench.best_runtime': ('best runtime', '其他最快'),
    'bench.failed': ('failed: {reason}', '失败：{reason}'),
    'bench.disqualified': ('DISQUALIFIED: {reason}', '取消成绩：{reason}'),
    'bench.loud': ('{name}: {who} is DISQUALIFIED, {reason}', '{name}：{who} 取消成绩，{reason}'),
    'bench.workload': ('workload', '项目'),
    'bench.group': ('group', '组'),
    'bench.shape': ('sizes', '尺寸'),
    'bench.its_best': ('its best', '最快模式'),
    'bench.ratio': ('ratio', '比值'),
    'bench.runtime_ms': ('runtime ms', '其他 ms'),
    'bench.which': ('which', '哪一个'),
    'bench.ratio_note': ("Medians. Ratio: the other's time over ours; above 1, nailorch is faster.",
                         '时间为中位数。比值 = 对方时间 / nailorch 时间，大于 1 表示 nailorch 更快。'),
    'bench.geometric': ('Geometric mean of {count} ratios to PyTorch: {ratio}',
                        '与 PyTorch 的 {count} 个比值的几何平均：{ratio}'),
    'bench.ladder': ('Images {images}, filters {filters}; threads: {threads}',
                     '图像 {images}，滤波器 {filters}；线程数 {threads}'),
    'bench.too_slow': ('left out', '略过'),
    'bench.measuring': ('measuring {name} …', '正在测量 {name} ……'),
    'bench.rung': ('implementation', '实现'),
    'bench.equal': ('All results are equal within 1e-5; memory is what a call held at most, its result included.',
                    '所有结果在 1e-5 内相等；内存是一次调用最多占用的量，包括结果。'),
}
