"""Run folders: one training, one folder, everything that is known about it.

    runs/20250131-142305-mnistnet-7f3a/
        config.toml        what was asked for, resolved
        env.json           which versions, which processor, which engine, how many threads
        metrics.jsonl      one line an epoch
        best.safetensors   the best epoch's weights
        last.ckpt/         the newest checkpoints, to resume from
        result.json        how it ended
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import platform
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from nailorch.config import Config, thread_count
from nailorch.formats.files import locked, replace_file
from nailorch.formats.toml import parse_toml
from nailorch.kernels import fast
from nailorch.messages import message
from nailorch.training.checkpoints import Checkpoints
from nailorch.training.history import History, read_metrics

__all__ = ['Run', 'RunError', 'environment', 'list_runs', 'threads', 'writing']

LARGEST_FILE = 1 << 20


class RunError(OSError):
    """A run folder cannot be made, found or read; the message says which and why."""


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system says of a full or read-only disk into one error that names the file."""
    try:
        yield
    except OSError as error:
        raise RunError(message('run.write', path=path, reason=error.strerror or error)) from error


class Run:
    """The folder of one training. `Run.create` makes one, `Run.open` and `Run.find` find one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metrics_file = path / 'metrics.jsonl'
        self.best_weights = path / 'best.safetensors'
        self.checkpoints = Checkpoints(path / 'last.ckpt')

    @classmethod
    def create(cls, root: str | Path = 'runs', model: str = 'model', config: Mapping[str, Any] | None = None) -> Run:
        """Make a new folder `<date>-<time>-<model>-<id>` under `root`, with config.toml and env.json."""
        now = datetime.datetime.now().strftime('%Y%m%d-%H%M%S')
        slug = re.sub(r'[^\w]+', '-', model.lower()).strip('-')[:40] or 'model'
        return cls.at(Path(root) / f'{now}-{slug}-{secrets.token_hex(2)}', config)

    @classmethod
    def at(cls, path: str | Path, config: Mapping[str, Any] | None = None) -> Run:
        """Open the run folder `path`; make it, with config.toml and env.json, where there is none."""
        path = Path(path)
        if (path / 'config.toml').is_file():
            return cls(path)
        import tomli_w

        with writing(path):
            path.mkdir(parents=True, exist_ok=True)
            replace_file(path / 'env.json', [json.dumps(environment(), indent=1).encode()])
            replace_file(path / 'config.toml', [tomli_w.dumps(dict(config or {})).encode()])
        return cls(path)

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Open an existing run folder.

        Raises:
            RunError: there is no such folder, or it is not a run's.
        """
        if not (Path(path) / 'config.toml').is_file():
            raise RunError(message('run.missing', path=path))
        return cls(Path(path))

    @classmethod
    def find(cls, text: str, root: str | Path = 'runs') -> Run:
        """Open the run that `text` means: a path, a name, a part of one name, or 'latest'.

        Raises:
            RunError: none, or several, fit.
        """
        if (Path(text) / 'config.toml').is_file():
            return cls(Path(text))
        runs = list_runs(root)
        if text == 'latest':
            found = runs[:1]
        else:
            found = [run for run in runs if run.name == text] or [run for run in runs if text and text in run.name]
        if len(found) != 1:
            names = ', '.join(run.name for run in (found or runs)[:5]) or '-'
            raise RunError(message('run.ambiguous' if found else 'run.unknown', text=text, root=root, names=names))
        return found[0]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.resolve().name

    @property
    def config(self) -> dict[str, Any]:
        """config.toml."""
        return self._read('config.toml', parse_toml)

    @property
    def environment(self) -> dict[str, Any]:
        """env.json."""
        return self._read('env.json', json.loads)

    @property
    def result(self) -> dict[str, Any]:
        """result.json: what `record` kept; empty while the training has not ended."""
        return self._read('result.json', json.loads) if (self.path / 'result.json').exists() else {}

    @property
    def history(self) -> History:
        """metrics.jsonl, and why training stopped."""
        history = read_metrics(self.metrics_file)
        history.stopped = str(self.result.get('stopped', ''))
        return history

    @contextlib.contextmanager
    def training(self) -> Iterator[None]:
        """Keep the folder for one training alone.

        Raises:
            RunError: a training is at work in it, in this process or another.
        """
        try:
            with locked(self.path / 'config.toml'):
                yield
        except BlockingIOError as error:
            raise RunError(message('run.busy', path=self.path)) from error

    def record(self, **values: Any) -> None:
        """Add to result.json; an entry of the same name is replaced."""
        path = self.path / 'result.json'
        content = json.dumps({**self.result, **values}, indent=1).encode()
        with writing(path):
            replace_file(path, [content])

    def summary(self) -> dict[str, Any]:
        """Return one row for a list of runs: plain values, JSON-able."""
        best = self.history.best or {}
        result = self.result
        return {
            'name': self.name,
            'epochs': len(self.history),
            'best_epoch': best.get('epoch'),
            'valid_loss': best.get('valid_loss'),
            'valid_accuracy': best.get('valid_accuracy'),
            'test_accuracy': result.get('test_accuracy'),
            'status': 'finished' if result.get('stopped') else 'unfinished',
        }

    def _read(self, name: str, parse: Callable[[str], Any]) -> dict[str, Any]:
        path = self.path / name
        try:
            if path.stat().st_size > LARGEST_FILE:
                raise ValueError(f'{path.stat().st_size} bytes')
            value = parse(path.read_text(encoding='utf-8'))
            if not isinstance(value, dict):
                raise ValueError(f'{type(value).__name__}')
            return value
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(message('run.file', path=path, reason=error)) from None

    def __repr__(self) -> str:
        return f'Run({str(self.path)!r})'


def list_runs(root: str | Path = 'runs') -> list[Run]:
    """Return the run folders under `root`, newest first; what is not a run is passed over."""
    root = Path(root)
    if not root.is_dir():
        return []
    paths = [path for path in root.iterdir() if (path / 'config.toml').is_file()]
    return [Run(path) for path in sorted(paths, key=began, reverse=True)]


def began(path: Path) -> tuple[str, str]:
    """Return when a run began, as its name says, or else the time of its config.toml; and the name, for equal times."""
    stamp = re.match(r'\d{8}-\d{6}', path.name)
    if stamp:
        return stamp[0], path.name
    seconds = (path / 'config.toml').stat().st_mtime
    return datetime.datetime.fromtimestamp(seconds).strftime('%Y%m%d-%H%M%S'), path.name


def environment() -> dict[str, Any]:
    """Return what a result may depend on besides the code: versions, processor, engine, threads."""
    versions = {}
    for package in ('nailorch', 'numpy', 'numba', 'llvmlite', 'safetensors', 'pillow'):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # run from a source tree
            versions[package] = 'not installed'
    return {'versions': {'python': platform.python_version(), **versions}, 'platform': platform.platform(),
            'cpu': processor(), 'cores': os.cpu_count(), 'engine': Config.engine, 'threads': threads()}


def processor() -> str:
    """Return the processor's name, as the system tells it."""
    try:
        for line in Path('/proc/cpuinfo').read_text().splitlines():
            if line.startswith('model name'):
                return line.partition(':')[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def threads() -> int:
    """Return how many threads compute: of the fast engine where it does, else of NumPy's matrix products."""
    if Config.engine == 'fast' and not fast.obstacle():
        return thread_count()
    for name in ('OPENBLAS_NUM_THREADS', 'OMP_NUM_THREADS', 'MKL_NUM_THREADS'):
        if os.environ.get(name, '').isdecimal():
            return int(os.environ[name])
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
