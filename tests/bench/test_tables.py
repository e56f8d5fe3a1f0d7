"""The figures on the pages are those that were measured."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / 'benchmarks' / 'tables.py'
MACHINE = {'cpu': 'A CPU', 'threads': 2, 'versions': {'torch': '2.13.0'}}
ABOUT = {'machine': MACHINE, 'limits': {'gflops': 226.4, 'triad_gb_s': 20.6}, 'date': '2026-01-31T10:00:00'}


@pytest.fixture
def tables():
    spec = importlib.util.spec_from_file_location('benchmark_tables', SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def row(participant, milliseconds, **more):
    peer, _, mode = participant.partition(' ')
    return {'participant': participant, 'peer': peer, 'mode': mode, 'status': 'ok', 'median_ms': milliseconds,
            'of_peak': 0.5, **more}


def test_pages_have_the_figures_of_the_results(tables):
    assert tables.main(['--check']) == 0, 'run: python benchmarks/tables.py'


def test_a_network_stands_beside_the_best_of_the_others(tables, monkeypatch):
    found = {'name': 'vgg16-inference-b8', 'shape': 'VGG16 8x3x224x224', 'best_pytorch': 'pytorch jit-frozen',
             'best_runtime': None, 'results': [row('nailorch fast', 500.0), row('nailorch compiled', 400.0),
                                               row('pytorch NCHW', 2000.0), row('pytorch jit-frozen', 1000.0)]}
    monkeypatch.setattr(tables, 'results', lambda name: {**ABOUT, 'workloads': [found]})
    text = tables.models(str)
    assert '| VGG16 inference, batch 8 | 500 | 1000 (jit-frozen) | **2.00** | – | – | 50 % |' in text
    assert '| VGG16 inference, batch 8, compiled | 400 | 1000 (jit-frozen) | **2.50** |' in text
    assert 'Measured on A CPU, 2 threads, float32, 2026-01-31; PyTorch 2.13.0; limits: 226 GFLOP/s, 20.6 GB/s.' in text


def test_layers_are_summed_up(tables, monkeypatch):
    found = [{'name': f'vgg16-conv1_2-{job}-b8', 'shape': '8x64x224x224 -> 64, 3x3', 'ratio_pytorch': ratio,
              'results': [row('pytorch NCHW', 3.0)]}
             for job, ratio in (('forward', 2.0), ('data-grad', 8.0), ('weight-grad', 4.0))]
    monkeypatch.setattr(tables, 'results', lambda name: {**ABOUT, 'workloads': found})
    text = tables.layers('vgg-layers', tables.WORDS.__getitem__)
    assert '| conv1_2: 64x224x224 -> 64, 3x3 | 8 | 2.00 | 8.00 | 4.00 |' in text
    assert '| 全部 |  | 几何平均 **4.00** | 中位数 **4.00** | 最小 **2.00** |' in text


def test_a_page_keeps_all_but_its_tables(tables, monkeypatch, tmp_path):
    monkeypatch.setitem(tables.TABLES, 'ladder', lambda say: say('ratio') + '\n')
    page = tmp_path / 'page.zh.md'
    page.write_text('before\n<!-- table: ladder -->\nold\n<!-- end of table -->\nafter\n', 'utf-8')
    assert tables.written(page) == 'before\n<!-- table: ladder -->\n倍数\n<!-- end of table -->\nafter\n'
