"""Windows become rows of a matrix: im2col, the product that convolution then is, and pooling."""

from __future__ import annotations

import numpy as np

import nailorch.functions as F
from nailorch.drawing import Drawing, Line, above, beside, blank
from nailorch.drawing.parts import arrow, captioned, label, outlined, symbol
from nailorch.explaining import explain
from nailorch.figures.sheet import Panel, by, figure, grid, say, under
from nailorch.figures.sliding import IMAGE, KERNEL, corner

__all__ = ['TABLE', 'im2col', 'im2col_product', 'pooling', 'pooling_im2col']

TABLE = np.array([[1.0, 2, 3, 4], [5, 6, 7, 8], [9, 1, 2, 3], [4, 5, 6, 7]])


@figure('im2col', ('im2col: each window becomes a row', 'im2col：每个窗口变成一行'), (
    'The pixels under the window are written into one row, left to right and top to bottom. One row for each place.',
    '把窗口盖住的像素从左到右、从上到下写成一行；窗口的每个位置对应一行。'), steps=4)
def im2col() -> list[Panel]:
    told = explain('im2col', IMAGE, 2)
    columns, panels, side = told.output, [], 52.0
    for row in range(len(columns)):
        places = [told.cell(row, c).reads[0].index for c in range(columns.shape[1])]
        top, left = min(h for h, _ in places), min(w for _, w in places)
        image = grid(IMAGE, 'blue', side, fill=lambda h, w, now=places: 'pale blue' if (h, w) in now else 'paper')
        image = outlined(image, top, left, 2, 2, 'orange', side)
        shown = [[value if r <= row else None for value in line] for r, line in enumerate(columns)]
        matrix = outlined(grid(shown, 'blue', side, fill=lambda r, c, now=row: 'pale blue' if r <= now else 'paper'),
                          row, 0, 1, columns.shape[1], 'purple', side)
        body = beside(under(image, say('image', '图像'), by(IMAGE.shape), 'blue'), arrow(60),
                      under(matrix, say('matrix', '矩阵'), by(columns.shape), 'blue'), gap=20)
        line = f'[{", ".join(f"{value:g}" for value in columns[row])}]'
        words = say(f'window at ({top}, {left})  →  row {row}:  {line}',
                    f'位于 ({top}, {left}) 的窗口  →  第 {row} 行：{line}')
        panels.append(Panel(above(body, label(words, 20), gap=22), words + say('.', '。'),
                            {'x': IMAGE, 'col': columns, 'row': row, 'window': (top, left)}))
    return panels


@figure('im2col-product', ('Convolution as one matrix product', '用一次矩阵乘法完成卷积'), (
    'im2col writes the windows into rows, the kernel becomes a column. Their product has all numbers of the output; '
    'reshape puts them in their places.',
    'im2col 把窗口写成行，卷积核写成一列；两者相乘就得到全部输出，再用 reshape 排回原来的位置。'))
def im2col_product() -> list[Panel]:
    columns = F.im2col(IMAGE[None, None], 2).data
    weights = KERNEL.reshape(-1, 1)
    product = F.matmul(columns, weights).data
    y = product.reshape(F.conv2d(IMAGE[None, None], KERNEL[None, None]).shape[2:])
    side, first = 44.0, 1
    row, column = divmod(first, y.shape[1])
    image = outlined(grid(IMAGE, 'blue', side), row, column, 2, 2, 'purple', side)
    matrix = outlined(grid(columns, 'blue', side), first, 0, 1, 4, 'purple', side)
    # Each stands over what becomes of it; the kernel's arrow has its word in the free room to the right.
    rows = above(under(image, say('image', '图像'), by(IMAGE.shape), 'blue'), arrow(40, 'im2col', down=True),
                 under(matrix, say('one row a window', '每个窗口一行'), by(columns.shape), 'blue'), gap=14)
    down = arrow(40, 'reshape', down=True)
    weighing = above(under(grid(KERNEL, 'orange', side), say('kernel', '卷积核'), by(KERNEL.shape), 'orange'),
                     blank(0, down.height).at(-down.width / 2, 0, down),
                     under(grid(weights, 'orange', side), say('column', '一列'), by(weights.shape), 'orange'), gap=14)
    products = under(outlined(grid(product, 'green', side), first, 0, 1, 1, 'purple', side),
                     say('product', '乘积'), by(product.shape), 'green')
    output = under(outlined(grid(y, 'green', side), row, column, 1, 1, 'purple', side),
                   say('output', '输出'), by(y.shape), 'green')
    height = blank(0, products.height)  # in the middle of the rows below
    parts = beside(rows, beside(height, symbol('×'), gap=0), weighing, beside(height, symbol('='), gap=0),
                   beside(products, arrow(66, 'reshape'), output, gap=12), gap=12, align='end')
    formula = explain('conv2d', IMAGE, KERNEL).cell(row, column).formula
    body = above(parts, label(formula, 20, 'purple'), gap=14)
    return [Panel(body, f'{by(columns.shape)} · {by(weights.shape)} = {by(product.shape)}; {formula}.',
                  {'x': IMAGE, 'W': KERNEL, 'col': columns, 'product': product, 'y': y, 'formula': formula})]


@figure('pooling', ('Pooling: largest and average', '池化：最大值与平均值'), (
    'Max pooling keeps the largest number of each window. Windows of 2 × 2, moved by 2, keep a quarter of the numbers.',
    '最大池化只保留每个窗口中最大的数。窗口 2 × 2、步幅 2 时，只剩四分之一。'))
def pooling() -> list[Panel]:
    told = explain('pooling', TABLE, 2, stride=2)
    side, gap = 48.0, 10.0
    image = blank(4 * side + gap, 4 * side + gap)
    for cell in told:  # windows do not overlap: each is drawn by itself
        (row, column), term = corner(cell), next(term for term in cell.stages[0].terms if term.chosen)
        best = term.reads[0].index[0] - row, term.reads[0].index[1] - column
        window = grid(TABLE[row:row + 2, column:column + 2], 'blue', side,
                      fill=lambda r, c, best=best: 'purple' if (r, c) == best else 'pale blue',
                      ink=lambda r, c, best=best: 'paper' if (r, c) == best else 'ink')
        image = image.at(column * side + (gap if column else 0), row * side + (gap if row else 0), window)
    top = beside(under(image, say('input', '输入'), by(TABLE.shape), 'blue'),
                 arrow(86, say('max 2 × 2 / 2', '最大 2 × 2 / 2')),
                 under(grid(told.output, 'green', side), say('output', '输出'), by(told.output.shape), 'green'), gap=22)
    x = np.array([[1.0, 5], [3, 4]])
    ways = [explain(op, x, 2) for op in ('pooling', 'average_pooling')]
    rows = [beside(arrow(60), grid(way.output, 'green', side, fill='pale green'),
                   label(way.cell(0, 0).formula, 18, align='start'), gap=16) for way in ways]
    bottom = beside(grid(x, 'blue', side), above(*rows, gap=16, align='start'), gap=20)
    formulas = [way.cell(0, 0).formula for way in ways]
    return [Panel(above(top, bottom, gap=34), '; '.join([*(cell.formula for cell in told), *formulas]) + '.',
                  {'x': TABLE, 'y': told.output, 'window': x, 'max': ways[0].output, 'average': ways[1].output})]


@figure('pooling-im2col', ('Pooling by im2col, channel by channel', '用 im2col 逐通道池化'), (
    'Each window of each channel becomes a row of 4: first all channels of one place, then the next place. The largest '
    'number of each row, put back in order, is the output.',
    '每个通道的每个窗口变成长为 4 的一行：先是同一位置的各个通道，再到下一个位置。取每行最大的数，再排回原来的次序，'
    '就是输出。'))
def pooling_im2col() -> list[Panel]:
    x = np.stack([TABLE, TABLE.T, TABLE[::-1]])
    columns = F.im2col(x[None], 2, 2).data.reshape(-1, 4)
    best = F.max(columns, axis=1).data
    y = F.pooling_simple(x[None], 2, 2).data[0]
    side = 36.0
    marked = 4  # a row: place 1, channel 1
    place, c = divmod(marked, len(x))
    row, column = divmod(place, y.shape[2])
    images = [outlined(grid(x[i], 'blue', side), 2 * row, 2 * column, 2, 2, 'purple', side, line=4)
              if i == c else grid(x[i], 'blue', side) for i in range(len(x))]
    outputs = [outlined(grid(y[i], 'green', side), row, column, 1, 1, 'purple', side)
               if i == c else grid(y[i], 'green', side) for i in range(len(x))]
    left, right = (above(*(captioned(one, say(f'channel {i}', f'通道 {i}')) for i, one in enumerate(many)), gap=gap)
                   for many, gap in ((images, 16), (outputs, 64)))
    names = above(*(beside(label(say(f'ch {i}', f'通道 {i}'), 14, 'muted'), blank(0, side), gap=0)
                    for i in range(len(x))), gap=0)
    blocks = []
    for start in range(0, len(columns), len(x)):  # the rows of one place, of all channels
        rows = grid(columns[start:start + len(x)], 'blue', side), grid(best[start:start + len(x), None], 'green', side)
        if start == place * len(x):
            rows = outlined(rows[0], c, 0, 1, 4, 'purple', side), outlined(rows[1], c, 0, 1, 1, 'purple', side)
        blocks.append(rows)
    names, matrix, largest = (above(*parts, gap=8) for parts in ([names] * len(blocks), *zip(*blocks, strict=True)))
    middle = beside(beside(names, matrix, gap=6), steps('max'), largest, gap=6)
    body = beside(under(left, say('input', '输入'), by(x.shape), 'blue'), steps(''),
                  under(middle, say('rows, then the largest', '各行，及每行最大的数'),
                        f'{by(columns.shape)}  →  {len(best)}', 'blue'), steps(''),
                  under(right, say('output', '输出'), by(y.shape), 'green'), gap=6)
    return [Panel(body, f'{by(x.shape)}, {by(columns.shape)}, {len(best)}, {by(y.shape)}: '
                  + ', '.join(f'{value:g}' for value in y.ravel()) + '.',
                  {'x': x, 'rows': columns, 'best': best, 'y': y})]


def steps(text: str) -> Drawing:
    """Draw a short arrow under a word."""
    return arrow(26, text, 13) if text else Drawing(26, 12, (Line(((0, 6), (26, 6)), 'muted', 2, arrow=True),))
