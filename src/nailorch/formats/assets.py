"""Files that are fetched when they are first asked for, each known by its size and SHA-256.

`asset('mnist_5k.csv.gz')` returns the file's path. It looks in the folder that NAILORCH_ASSETS names, then in the cache
(NAILORCH_CACHE, or the system's own place for caches), then asks the mirror that NAILORCH_MIRROR names (a web address
under which the assets lie by their names), then the asset's own sources, one after the other. A file whose checksum
differs is never used, and nothing that is fetched is run or unpickled.
"""

from __future__ import annotations

import difflib
import os
import shutil
import textwrap
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nailorch.formats.catalogue import ASSETS
from nailorch.formats.files import locked
from nailorch.formats.sources import Asset, Source, Url, Wheel, say
from nailorch.messages import message

__all__ = ['Asset', 'Url', 'Wheel', 'asset', 'cache_folder', 'fetch', 'find', 'list_assets', 'lookup', 'places',
           'register']


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

    The file appears under its name only when it is whole and checked. Of several processes that want it at once, one
    downloads it and the others wait.
    """
    wanted, target = lookup(name), cache_folder() / name
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = cache_folder() / '.fetching' / name
    with turn(name, folder):
        if found := find(name):  # another process was faster
            return found
        reasons = [f'{path}: {wanted.fault(path)}' for path in places(name) if path.is_file()]
        for source in sources(wanted):
            say(message('asset.fetching', name=name, size=wanted.size, source=source.brief))
            try:
                path = source.fetch(wanted, folder)
                if fault := wanted.fault(path):
                    path.unlink()
                    raise OSError(fault)
                os.replace(path, target)  # within the cache, so on one disk
                return target
            # RuntimeError: of zipfile, for members that it cannot read.
            except (OSError, LookupError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
                reasons.append(f'{source}: {textwrap.shorten(str(error) or type(error).__name__, 200)}')
        tidy(folder, wanted)
    raise FileNotFoundError(message('asset.missing', name=name, size=wanted.size, path=places(name)[0],
                                    sha256=wanted.sha256 + ('' if wanted.exact else '…'),
                                    reasons=';'.join(f'\n  {reason}' for reason in reasons)))


def sources(wanted: Asset) -> tuple[Source, ...]:
    """Return who is asked for an asset: the user's mirror first."""
    mirror = os.environ.get('NAILORCH_MIRROR')
    return (*([Url(f'{mirror.rstrip("/")}/{wanted.name}')] if mirror else []), *wanted.sources)


@contextmanager
def turn(name: str, folder: Path) -> Iterator[None]:
    """Keep the folder in which an asset is fetched for this thread alone; wait while another has it."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / 'lock'  # stays: who waits for a file that is removed waits for nothing
    lock.touch()
    waiting = False
    while True:
        try:
            with locked(lock):
                yield
                return
        except BlockingIOError as error:
            if error.filename != str(lock):
                raise
            if not waiting:
                say(message('asset.waiting', name=name))
            waiting = True
            time.sleep(0.1)


def tidy(folder: Path, wanted: Asset) -> None:
    """Remove what cannot become the asset; a beginning stays, to go on from."""
    part = folder / 'download'
    if part.is_file() and part.stat().st_size >= wanted.most:
        part.unlink()
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)


def lookup(name: str) -> Asset:
    """Return what is known of an asset."""
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
