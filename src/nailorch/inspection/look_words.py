"""What the page of `nailorch look` says, in English and in Chinese."""

from __future__ import annotations

__all__ = ['WORDS']

WORDS: dict[str, tuple[str, str]] = {
    'title': ('Inside {model}', '{model} 的内部'),
    'lead': ('What the network is given, what it answers, where it looks, and what its layers compute.',
             '网络得到什么、回答什么、在看哪里，以及各层算出了什么。'),
    'image': ('Picture: {file}', '图片：{file}'),
    'input': ('What the network is given: {height} × {width} pixels', '网络的输入：{height} × {width} 像素'),
    'input_alt': ('The picture as the network is given it', '作为网络输入的图片'),
    'answers': ('What it answers', '它的回答'),
    'answer': ('answer', '答案'),
    'probability': ('probability', '概率'),
    'explained': ('Below, the class “{name}” is explained ({percent}).', '下面解释的是类别“{name}”（{percent}）。'),
    'where': ('Where it looks', '它在看哪里'),
    'where_note': (
        'Several ways to ask which places speak for “{name}”. They ask different things, so they may disagree.',
        '用几种方法来问：哪些位置支持“{name}”？它们问的并不是同一件事，结果可以不一致。',
    ),
    'grad_cam': ('Grad-CAM', 'Grad-CAM（梯度加权类激活图）'),
    'grad_cam_note': (
        'The {height} × {width} maps of {layer}, each weighted by how much it moves the score, added up. '
        'Yellow speaks most for the class.',
        '把 {layer} 的 {height} × {width} 特征图按其对得分的影响加权求和。越黄，越支持该类别。',
    ),
    'saliency': ('Saliency', '显著图'),
    'saliency_note': (
        'The gradient at each pixel: the brighter, the more a small change there moves the score.',
        '得分对每个像素的梯度：越亮，该处的微小变化对得分的影响越大。',
    ),
    'occlusion': ('Occlusion', '遮挡图'),
    'occlusion_note': (
        'A square of {size} pixels hides one place after another ({count} in all). Yellow: there the probability falls '
        'most, by {most}.',
        '用边长 {size} 像素的方块依次遮住各处（共 {count} 处）。黄色处遮住后概率下降最多：{most}。',
    ),
    'field': ('What the strongest place sees', '最强的位置看到什么'),
    'field_note': (
        'The brightest unit of Grad-CAM (row {row}, column {column}) can see {height} × {width} pixels: the orange '
        'box. Yellow is what it really depends on.',
        'Grad-CAM 最亮的单元（第 {row} 行第 {column} 列）能看到 {height} × {width} 像素，即橙色框；'
        '黄色是它真正依赖的部分。',
    ),
    'heat_alt': ('{kind} for the class {name}, over the picture', '{kind}：类别“{name}”，叠在图片上'),
    'maps': ('What its layers compute', '各层的特征图'),
    'maps_note': (
        'Each small picture is one channel: one filter’s answer, from dark (least) to yellow (most).',
        '每个小图是一个通道，即一个卷积核的响应：从深色（最小）到黄色（最大）。',
    ),
    'maps_layer': ('{layer}: {shown} of {count} channels, {height} × {width}',
                   '{layer}：{count} 个通道中的 {shown} 个，{height} × {width}'),
    'maps_alt': ('Feature maps of {layer}', '{layer} 的特征图'),
    'filters': ('What the first layer seeks', '第一层在找什么'),
    'filters_note': ('The filters of {layer}, {shape}', '{layer} 的卷积核，{shape}'),
    'filters_alt': ('{count} filters of {layer}', '{layer} 的 {count} 个卷积核'),
    'no_filters': ('This network has no convolution.', '这个网络没有卷积层。'),
    'foot': ('Made by nailorch look; batch norm uses its averages and dropout is off.',
             '由 nailorch look 生成；批归一化使用滑动平均，dropout 关闭。'),
}
