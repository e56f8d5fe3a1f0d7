"""What a report says, in English and in Chinese: both stand in the page, and a switch shows one."""

from __future__ import annotations

__all__ = ['WORDS']

WORDS: dict[str, tuple[str, str]] = {
    'title': ('Report: {model} on {data}', '训练报告：{model}，数据 {data}'),
    'run': ('Run {name}', '运行 {name}'),
    'language': ('Language', '语言'),
    # headline numbers
    'accuracy': ('test accuracy', '测试准确率'),
    'interval': ('between {low} and {high} with 95\u202f% confidence', '95% 置信区间 {low} 至 {high}'),
    'right': ('{right} of {count} test images right', '{count} 张测试图像中答对 {right} 张'),
    'top5': ('among the first five answers', '前五个答案命中率'),
    'valid': ('validation accuracy, epoch {epoch}', '验证准确率（第 {epoch} 轮）'),
    'parameters': ('parameters', '参数量'),
    'time': ('training time', '训练用时'),
    'rate': ('{rate} images a second', '每秒 {rate} 张图像'),
    'epochs': ('{count} epochs', '共 {count} 轮'),
    # curves
    'learning': ('How it learned', '学习过程'),
    'loss': ('Loss by epoch', '每轮的损失'),
    'share': ('Accuracy by epoch', '每轮的准确率'),
    'train': ('training', '训练'),
    'validation': ('validation', '验证'),
    'best': ('epoch {epoch}, whose weights were kept', '第 {epoch} 轮，保留其权重'),
    'measured': (
        'Training is measured while the weights change, on augmented images and with dropout: it can look worse than '
        'validation, which has neither.',
        '训练的数值是在权重变化的过程中、带着数据增强和 dropout 测得的，所以可能比验证差；验证时两者都不用。',
    ),
    'stopped': ('Training ended: {reason}', '训练结束：{reason}'),
    'numbers': ('The numbers, epoch by epoch', '每一轮的数值'),
    'epoch': ('epoch', '轮'),
    'train_loss': ('training loss', '训练损失'),
    'train_accuracy': ('training accuracy', '训练准确率'),
    'valid_loss': ('validation loss', '验证损失'),
    'valid_accuracy': ('validation accuracy', '验证准确率'),
    'lr': ('learning rate', '学习率'),
    'seconds': ('seconds', '秒'),
    # answers
    'confusion': ('What was taken for what', '混淆矩阵'),
    'confusion_note': (
        'A row is a true class, a column the answer given: the diagonal is right, everything else a mistake.',
        '行是真实类别，列是模型的答案：对角线上是答对的，其余都是错误。',
    ),
    'confusion_alt': (
        'Confusion matrix of {classes} classes: the brighter, the larger the share of its row',
        '{classes} 个类别的混淆矩阵：越亮，占该行的比例越大',
    ),
    'pairs': ('The most frequent mistakes', '最常见的错误'),
    'true': ('true', '真实'),
    'answer': ('answer', '答案'),
    'count': ('how often', '次数'),
    'corner': ('true ↓ answer →', '真实 ↓ 答案 →'),
    'classes': ('Accuracy by class', '各类别的准确率'),
    'class': ('class', '类别'),
    'images': ('images', '图像数'),
    'class_accuracy': ('accuracy', '准确率'),
    'others': ('The other {count} classes', '其余 {count} 个类别'),
    'mistakes': ('The most confident mistakes', '最有把握的错误'),
    'mistakes_note': (
        'Worth a look: a wrong label, a rare shape, or something that the network misunderstood.',
        '值得细看：可能是标签有误、写法罕见，也可能是网络理解错了。',
    ),
    'no_mistakes': ('There is none: every test image was answered rightly.', '没有错误：所有测试图像都答对了。'),
    'mistake': ('{true} taken for {answer}', '{true} 误认为 {answer}'),
    'mistake_alt': ('test image {index}: {true}, taken for {answer} with probability {probability}',
                    '测试图像 {index}：{true}，以概率 {probability} 误认为 {answer}'),
    'heats': ('Where it looked when it erred', '答错时它在看哪里'),
    'heats_note': (
        'Grad-CAM for the wrong answer: yellow places spoke most for it.',
        '针对错误答案的 Grad-CAM：越黄的位置越支持这个答案。',
    ),
    'heat_alt': ('where it looked in test image {index}, {true} taken for {answer}',
                 '测试图像 {index}（{true} 误认为 {answer}）中它在看的位置'),
    # inside
    'filters': ('What the first layer looks for', '第一层在找什么'),
    'filters_note': (
        '{layer}: its filters, {shape}. Blue is negative, white zero, orange positive; those for colour images are '
        'shown in colour.',
        '{layer} 的卷积核，{shape}。蓝为负、白为零、橙为正；彩色图像的卷积核以彩色显示。',
    ),
    'filters_alt': ('{count} filters of {layer}', '{layer} 的 {count} 个卷积核'),
    'no_filters': ('This network has no convolution.', '这个网络没有卷积层。'),
    'maps': ('What it sees in an image', '它在图像里看到什么'),
    'maps_note': (
        'The feature maps of one test image ({label}), from the smallest value (dark) to the largest (bright).',
        '一张测试图像（{label}）的特征图，由暗到亮表示由小到大。',
    ),
    'maps_alt': ('feature maps of {layer}', '{layer} 的特征图'),
    'maps_layer': ('{layer}: {shown} of {count} channels, {height} × {width}',
                   '{layer}：{count} 个通道中的 {shown} 个，{height} × {width}'),
    'sample_alt': ('the test image: {label}', '这张测试图像：{label}'),
    'input': ('the image', '输入图像'),
    # facts
    'settings': ('Settings', '设置'),
    'environment': ('Environment', '环境'),
    'again': ('Train again with the same settings', '以相同的设置重新训练'),
    'foot': (
        'Made by nailorch. This page is complete in itself: it asks nothing of the network.',
        '由 nailorch 生成。本页自成一体，不访问网络。',
    ),
}
