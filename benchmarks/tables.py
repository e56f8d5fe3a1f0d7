"""Put measured figures into the pages: benchmarks/results/*.json -> the tables of README.md and docs/.

    python benchmarks/tables.py            write them
    python benchmarks/tables.py --check    only say which pages are out of date, and fail if any is

A page has `<!-- table: models -->` where a table begins and `<!-- end of table -->` after it; what stands between is
written here. Chinese pages (*.zh.md) get Chinese headings.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PAGES = [path for folder in (HERE.parent, HERE.parent / 'docs') for path in sorted(folder.glob('*.md'))]
MARKED = re.compile(r'(<!-- table: ([\w-]+) -->\n).*?(<!-- end of table -->)', re.S)

WORDS = {  # English: Chinese
    'work': '任务', 'best PyTorch': 'PyTorch 最快', 'best runtime': '推理引擎最快', 'ratio': '倍数',
    'of the limit': '达到极限的',
    'layer': '层', 'batch': '批量', 'forward': '前向', 'data gradient': '图像梯度', 'weight gradient': '权重梯度',
    'step': '步骤', 'memory': '内存', 'inference': '推理', 'training step': '训练一步', 'compiled': '编译后',
    'geometric mean': '几何平均', 'smallest': '最小', 'median': '中位数', 'left out': '略去', 'all': '全部',
    'Measured on': '测量环境：', 'threads': '线程', 'limits': '极限',
}

Row = Iterable[str]


def results(name: str) -> Any:
    return json.loads((HERE / 'results' / f'{name}.json').read_text('utf-8'))


def number(value: float | None) -> str:
    """Return three digits of a number."""
    return '–' if value is None else f'{value:.0f}' if value >= 100 else f'{value:#.3g}'


def markdown(rows: Iterable[Row]) -> str:
    """Return a table of Markdown, its first row the headings."""
    first, *rest = [list(row) for row in rows]
    lines = [first, ['---', *['---:'] * (len(first) - 1)], *rest]
    return ''.join('| ' + ' | '.join(line) + ' |\n' for line in lines)


def machine(report: dict[str, Any], say: Callable[[str], str]) -> str:
    """Return one line about where and when a report was made."""
    about, limits = report['machine'], report['limits']
    took_part = {row['peer'] for found in report['workloads'] for row in found.get('results', ())}
    versions = ', '.join(f'{name} {about["versions"][key]}' for name, peer, key in (
        ('PyTorch', 'pytorch', 'torch'), ('ncnn', 'ncnn', 'ncnn'), ('MNN', 'mnn', 'MNN'),
        ('OpenVINO', 'openvino', 'openvino'), ('ONNX Runtime', 'onnxruntime', 'onnxruntime')) if peer in took_part)
    where = f'{about["cpu"]}, {about["threads"]} {say("threads")}, float32, {report["date"][:10]}'
    peaks = f'{number(limits["gflops"])} GFLOP/s, {number(limits["triad_gb_s"])} GB/s'
    return f'{say("Measured on")} {where}; {versions}; {say("limits")}: {peaks}.\n'


# the tables


def models(say: Callable[[str], str], name: str = 'models') -> str:
    """Networks: every participant of ours beside the best of the others."""
    report = results(name)
    rows = [[say('work'), 'nailorch ms', f'{say("best PyTorch")} ms', say('ratio'), f'{say("best runtime")} ms',
             say('ratio'), say('of the limit')]]
    for found in report['workloads']:
        for ours in found['results']:
            if ours['peer'] == 'nailorch' and ours['status'] == 'ok':
                rows.append([title(found, ours, say), number(ours['median_ms']), *beside(found, ours, 'pytorch'),
                             *beside(found, ours, 'runtime'), f'{100 * ours["of_peak"]:.0f} %'])
    return markdown(rows) + '\n' + machine(report, say)


def title(found: dict[str, Any], ours: dict[str, Any], say: Callable[[str], str]) -> str:
    """Return what a row of the models' table is about: 'VGG16 inference, batch 8, compiled'."""
    job = say('training step' if 'training' in found['name'] else 'inference')
    compiled = f', {say("compiled")}' if 'compiled' in ours['mode'] else ''
    return f'{found["shape"].split()[0]} {job}, {say("batch")} {found["name"].rpartition("-b")[2]}{compiled}'


def beside(found: dict[str, Any], ours: dict[str, Any], kind: str) -> list[str]:
    """Return the best rival of a kind, and its time over ours; the eager model's is PyTorch's best eager one."""
    eager = kind == 'pytorch' and ours['participant'] == found.get('eager')
    best = found['best_eager' if eager else f'best_{kind}']
    rival = next((row for row in found['results'] if row['participant'] == best), None)
    if rival is None:
        return ['–', '–']
    name = rival['mode'] if kind == 'pytorch' else rival['peer']
    return [f'{number(rival["median_ms"])} ({name})', f'**{rival["median_ms"] / ours["median_ms"]:.2f}**']


JOBS = {'forward': 'forward', 'data-grad': 'data gradient', 'weight-grad': 'weight gradient'}


def layers(name: str, say: Callable[[str], str]) -> str:
    """Single layers: the best PyTorch's time over ours, forward and for both gradients."""
    report = results(name)
    table: dict[tuple[str, str], dict[str, float]] = {}
    for found in report['workloads']:
        layer, job, batch = re.fullmatch(r'(.*)-(forward|data-grad|weight-grad)-b(\d+)', found['name']).groups()
        name = f'{layer.removeprefix("vgg16-")}: {found["shape"].partition("x")[2]}'
        if found['ratio_pytorch']:
            table.setdefault((name, batch), {})[job] = found['ratio_pytorch']
    rows = [[say('layer'), say('batch'), *map(say, JOBS.values())]]
    rows += [[layer, batch, *(number(ratios.get(job)) for job in JOBS)] for (layer, batch), ratios in table.items()]
    every = [ratio for ratios in table.values() for ratio in ratios.values()]
    rows.append([say('all'), '', f'{say("geometric mean")} **{statistics.geometric_mean(every):.2f}**',
                 f'{say("median")} **{statistics.median(every):.2f}**', f'{say("smallest")} **{min(every):.2f}**'])
    return markdown(rows) + '\n' + machine(report, say)


def ladder(say: Callable[[str], str]) -> str:
    """One convolution, rung by rung, on the larger of the two shapes."""
    part = results('ladder')[-1]
    (N, _, H, W), (OC, C, KH, KW) = part['images'], part['filters']
    gflop = 2 * N * OC * C * KH * KW * (H - KH + 1) * (W - KW + 1) / 1e9
    rows = [[say('step'), 'ms', say('memory'), 'GFLOP/s']]
    for rung in part['rungs']:
        if rung['seconds'] is None:
            rows.append([f'`{rung["name"]}`', say('left out'), '', ''])
        else:
            middle = rung['seconds'][1]
            rows.append([f'`{rung["name"]}`', number(1e3 * middle), f'{number(rung["bytes"] / 1e6)} MB',
                         number(gflop / middle)])
    return markdown(rows)


TABLES: dict[str, Callable[[Callable[[str], str]], str]] = {
    'models': models, 'networks': lambda say: models(say, 'networks'),
    'vgg-layers': lambda say: layers('vgg-layers', say), 'other-layers': lambda say: layers('other-layers', say),
    'ladder': ladder,
}


def written(page: Path) -> str:
    """Return a page's text with its tables as the results have them."""
    say = WORDS.__getitem__ if page.name.endswith('.zh.md') else str
    return MARKED.sub(lambda found: found[1] + TABLES[found[2]](say) + found[3], page.read_text('utf-8'))


def main(arguments: list[str]) -> int:
    changed = [page for page in PAGES if written(page) != page.read_text('utf-8')]
    for page in changed:
        print(page.relative_to(HERE.parent))
        if arguments != ['--check']:
            page.write_text(written(page), 'utf-8')
    return 1 if changed and arguments == ['--check'] else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
