"""`nailorch doctor`: what nailorch finds on this machine, and what to install for what is missing."""

from __future__ import annotations

import argparse
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

import nailorch
from nailorch.cli.output import say, show_json, show_table
from nailorch.cli.texts import TEXTS, text
from nailorch.config import Config
from nailorch.formats.assets import cache_folder
from nailorch.kernels import fast
from nailorch.messages import language
from nailorch.training.runs import environment

__all__ = ['add_arguments', 'run']

REPORT, TEST = "pip install 'nailorch[report]'", "pip install 'nailorch[test]'"
BENCH = "pip install 'nailorch[bench]'"
PACKAGES = {
    'numba': 'pip install numba',
    'rich': 'pip install rich',
    'pillow': 'pip install pillow',
    'safetensors': 'pip install safetensors',
    'matplotlib': REPORT,
    'jinja2': REPORT,
    'pytest': TEST,
    'torch': "pip install 'nailorch[compare]'",
    'onnx': "pip install 'nailorch[onnx]'",
    'onnxruntime': 'pip install onnxruntime',
    'pyfive': "pip install 'nailorch[keras]'",
    **dict.fromkeys(('openvino', 'ncnn', 'MNN'), BENCH),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--warm', action='store_true', help=text('doctor.warm'))


def run(options: argparse.Namespace) -> int:
    compiled = warm() if options.warm else 0
    found = examine()
    if options.json:
        show_json(found)
        return 0
    if options.warm:
        say(options, text('doctor.warmed', count=compiled))
    packages, kernels = found.pop('packages'), found.pop('kernels')
    if kernels['obstacle']:
        found['kernels'] = kernels['obstacle']
    else:
        found['kernels'] = text('doctor.generated', **kernels)
        found['compiled'] = text('doctor.kept' if kernels['folder'] else 'doctor.nowhere', **kernels)
    rows = [(text(f'doctor.{name}') if f'doctor.{name}' in TEXTS else name,
             ', '.join(value) if isinstance(value, list) else str(value)) for name, value in found.items()]
    rows += [(name, found or text('doctor.missing', install=PACKAGES[name])) for name, found in packages.items()]
    show_table(('nailorch doctor', ''), rows)
    return 0


def examine() -> dict[str, Any]:
    """Return what there is, JSON-able; a package that is missing has the version None."""
    here = environment()
    built: Any = np.show_config(mode='dicts')
    blas = built['Build Dependencies']['blas']
    return {
        'nailorch': nailorch.__version__,
        'python': platform.python_version(),
        'numpy': np.__version__,
        'platform': here['platform'],
        'cpu': here['cpu'],
        'cpu_features': built['SIMD Extensions'].get('found', []),
        'cores': here['cores'],
        'threads': here['threads'],
        'blas': f'{blas["name"]} {blas["version"]}',
        'engine': 'reference' if fast.obstacle() else Config.engine,
        'kernels': {'obstacle': fast.obstacle()} | ({} if fast.obstacle() else generated_for()),
        'language': language(),
        'cache': str(cache_folder()),
        'packages': {name: installed(name) for name in PACKAGES},
    }


def generated_for() -> dict[str, Any]:
    """Return what the fast engine's kernels are made for, how many there are, and how many are on disk already."""
    from nailorch.kernels.fast import warming

    return warming.facts()


def warm() -> int:
    """Compile all kernels that are not on disk; return how many."""
    if fast.obstacle():
        raise ValueError(fast.obstacle())
    from nailorch.kernels.fast import warming

    return warming.warm()


def installed(package: str) -> str | None:
    """Return a package's version without importing it."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
