"""`nailorch doctor`: what nailorch finds on this machine, and what to install for what is missing."""

from __future__ import annotations

import argparse
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

import nailorch
from nailorch.cli.output import show_json, show_table
from nailorch.cli.texts import TEXTS, text
from nailorch.config import Config
from nailorch.formats.assets import cache_folder
from nailorch.kernels import fast
from nailorch.messages import language
from nailorch.training.runs import environment

__all__ = ['add_arguments', 'run']

REPORT, TEST = "pip install 'nailorch[report]'", "pip install 'nailorch[test]'"
PACKAGES = {
    'rich': 'pip install rich',
    'pillow': 'pip install pillow',
    'safetensors': 'pip install safetensors',
    'matplotlib': REPORT,
    'jinja2': REPORT,
    'pytest': TEST,
    'torch': "pip install 'nailorch[compare]'",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`doctor` takes nothing of its own."""


def run(options: argparse.Namespace) -> int:
    found = examine()
    if options.json:
        show_json(found)
        return 0
    packages = found.pop('packages')
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
        'engine': Config.engine,
        'kernels': fast.obstacle() or text('doctor.generated'),
        'language': language(),
        'cache': str(cache_folder()),
        'packages': {name: installed(name) for name in PACKAGES},
    }


def installed(package: str) -> str | None:
    """Return a package's version without importing it."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
