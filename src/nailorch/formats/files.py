"""Files that survive a crash: whatever stops the program, a reader finds the old file or the new one, never a part.

A file is written beside its place, forced to the disk, and renamed over the old one; a rename is all or nothing.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from nailorch.messages import message

__all__ = ['BrokenFile', 'broken', 'check_file', 'digest', 'locked', 'replace_file', 'replacing', 'sync_folder',
           'write_file']

Bytes = bytes | memoryview
MOST = 5  # names in an error


def check_file(path: Path, *endings: str) -> None:
    """Raise FileNotFoundError unless `path` is a file; of a folder, it tells what lies in it with such endings."""
    if path.is_dir():
        there = sorted(each.name for each in path.iterdir() if each.suffix in endings)
        inside = message('file.inside', names=', '.join(there[:MOST])) if there else ''
        raise FileNotFoundError(message('file.folder', path=path, endings=', '.join(endings)) + inside)
    if not path.is_file():
        raise FileNotFoundError(message('file.missing', path=path))


class BrokenFile(ValueError):
    """A file that is not what it should be: cut short, damaged, of another kind, or made to do harm."""


@contextlib.contextmanager
def broken(path: Path, kind: str) -> Iterator[None]:
    """Turn whatever a reader says of bytes that are not what they should be into one BrokenFile."""
    try:
        yield
    except Exception as error:  # of a dozen types, down to struct.error and bz2's OSError
        reason = textwrap.shorten(str(error)[:1000] or type(error).__name__, 300)
        raise BrokenFile(message('weights.broken', path=path, kind=kind, reason=reason)) from error


def write_file(path: Path, parts: Iterable[Bytes]) -> tuple[int, str]:
    """Write a new file, force it to the disk, and return its length and SHA-256."""
    length, sha256 = 0, hashlib.sha256()
    with open(path, 'wb') as file:
        for part in parts:
            file.write(part)
            sha256.update(part)
            length += len(part)
        file.flush()
        os.fsync(file.fileno())
    return length, sha256.hexdigest()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Yield a file to write; when the block ends well, it takes the place of `path`, else an older file stays."""
    beside = path.with_name(f'.{path.name}.unfinished')
    try:
        with open(beside, 'wb') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    sync_folder(path.parent)


def replace_file(path: Path, parts: Iterable[Bytes]) -> None:
    """Write `path` whole or not at all; an older file of that name stays until the new one is on the disk."""
    with replacing(path) as file:
        file.writelines(parts)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep a file for this block alone; the system gives it free when the process ends, in whatever way.

    Others can read and write it, but not lock it. Where the file system knows no locks, there is none.

    Raises:
        BlockingIOError: it is locked already, by this process or another.
    """
    with open(path, 'rb') as file:
        try:
            if sys.platform == 'win32':
                import msvcrt

                file.seek(1 << 30)  # behind the end: what is locked cannot be read there
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise BlockingIOError(error.errno, error.strerror, str(path)) from error
        yield


def sync_folder(folder: Path) -> None:
    """Force a folder's list of names to the disk, so that a rename outlasts a power failure (POSIX only)."""
    if os.name == 'posix':
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, read a piece at a time."""
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()
