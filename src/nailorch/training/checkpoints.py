"""Checkpoints: everything a training needs to go on, written so that no crash can lose it.

The folder `last.ckpt` holds the newest checkpoint and the one before it, each a numbered folder:

    last.ckpt/00000007/arrays.safetensors    every array of the state: weights, the optimiser's moments ...
    last.ckpt/00000007/state.json            all else: epoch, batch, history, random states ...
    last.ckpt/00000007/manifest.json         length and SHA-256 of the two

A checkpoint is written under another name, each file and the folder forced to the disk, then renamed to its number.
That rename is the commit: before it the older checkpoints are in place, after it the new one is. Only then are those
that are two steps back removed. A reader takes the highest number whose manifest fits.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nailorch.formats.files import digest, sync_folder, write_file
from nailorch.formats.safetensors import load_safetensors, safetensors_parts
from nailorch.messages import message
from nailorch.training.packing import pack, unpack

__all__ = ['Checkpoint', 'CheckpointError', 'Checkpoints']

FORMAT = 'nailorch checkpoint 1'
# The largest files that are read: a damaged or hostile one must not fill the memory.
LIMITS = {'manifest.json': 64 << 10, 'state.json': 64 << 20, 'arrays.safetensors': 64 << 30}


class CheckpointError(OSError):
    """A checkpoint could not be written or read; the message says which file, why, and what to do."""


@dataclass(frozen=True)
class Checkpoint:
    """What `Checkpoints.load` found.

    Attributes:
        path: its folder.
        state: what was saved: dicts of arrays, and of what JSON has.
        skipped: why each newer checkpoint could not be used, as sentences; empty as a rule.
    """

    path: Path
    state: dict[str, Any]
    skipped: list[str] = field(default_factory=list)


class Checkpoints:
    """The checkpoints of one training, in one folder (made when the first is saved)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.good: Path | None = None  # the last one that this process wrote or read

    def save(self, state: Mapping[str, Any]) -> Path:
        """Write a checkpoint, whole or not at all, and keep the one before it.

        Args:
            state: dicts, nested as you like, of arrays and of what JSON has; names are strings.
        Raises:
            CheckpointError: the disk is full, the folder cannot be written; earlier checkpoints are untouched.
        """
        numbers = [int(path.name) for path in self.numbered()]
        unfinished = self.folder / 'unfinished'
        path = self.folder / f'{max(numbers, default=0) + 1:08}'
        try:
            if unfinished.exists():
                shutil.rmtree(unfinished)
            unfinished.mkdir(parents=True)
            sync_folder(self.folder.parent)
            self._write(unfinished, state)
            os.rename(unfinished, path)
            sync_folder(self.folder)
        except OSError as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            kept = message('checkpoint.kept', path=self.good) if self.good else message('checkpoint.none_kept')
            raise CheckpointError(
                message('checkpoint.write', path=path, reason=error.strerror or error, kept=kept)) from error
        for old in self.folder.iterdir():
            if old not in (path, self.good):
                shutil.rmtree(old, ignore_errors=True)
        self.good = path
        return path

    def _write(self, folder: Path, state: Mapping[str, Any]) -> None:
        arrays, plain = pack(state)
        parts = {'arrays.safetensors': safetensors_parts(arrays), 'state.json': [_json(plain)]}
        files = {}
        for name, content in parts.items():
            length, sha256 = write_file(folder / name, content)
            files[name] = {'bytes': length, 'sha256': sha256}
        write_file(folder / 'manifest.json', [_json({'format': FORMAT, 'files': files})])
        sync_folder(folder)

    def load(self) -> Checkpoint | None:
        """Return the newest whole checkpoint, or None where none was ever saved.

        Raises:
            CheckpointError: there are checkpoints, and all of them are damaged; the newest one's fault is told.
        """
        skipped: list[str] = []
        for path in reversed(self.numbered()):
            try:
                state = _read(path)
            except (OSError, ValueError, RecursionError) as error:
                skipped.append(str(error))
            else:
                self.good = path
                return Checkpoint(path, state, skipped)
        if skipped:
            raise CheckpointError(message('checkpoint.damaged', reason=skipped[0], folder=self.folder))
        return None

    def numbered(self) -> list[Path]:
        """Return the folders that bear a checkpoint's number, oldest first, whole or not."""
        if not self.folder.is_dir():
            return []
        return sorted(path for path in self.folder.iterdir() if path.name.isdecimal() and len(path.name) == 8)


def _json(value: Any) -> bytes:
    def plain(number: Any) -> Any:  # a NumPy scalar in somebody's state
        if isinstance(number, np.generic):
            return number.item()
        raise TypeError(f'checkpoint: {type(number).__name__} cannot be kept as JSON: {number!r}')

    return json.dumps(value, indent=1, default=plain).encode()


def _read(folder: Path) -> dict[str, Any]:
    """Check the files against the manifest; return the state in them."""
    manifest = _read_json(folder / 'manifest.json')
    files = manifest.get('files')
    if manifest.get('format') != FORMAT or not isinstance(files, dict):
        raise ValueError(f'{folder / "manifest.json"}: not a manifest of "{FORMAT}"')
    for name in ('state.json', 'arrays.safetensors'):
        entry, path = files.get(name), folder / name
        if not isinstance(entry, dict):
            raise ValueError(f'{folder / "manifest.json"}: has no entry for {name}')
        length = _length(path)
        if length != entry.get('bytes'):
            raise ValueError(f'{path}: {length} bytes long, manifest.json says {entry.get("bytes")}')
        if digest(path) != entry.get('sha256'):
            raise ValueError(f'{path}: its content does not match the SHA-256 in manifest.json')
    state: dict[str, Any] = unpack(load_safetensors(folder / 'arrays.safetensors'), _read_json(folder / 'state.json'))
    return state


def _read_json(path: Path) -> dict[str, Any]:
    _length(path)
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path}: not JSON ({error})') from None
    if not isinstance(value, dict):
        raise ValueError(f'{path}: expected a JSON object')
    return value


def _length(path: Path) -> int:
    """Return a regular file's length, if it is not absurd."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f'{path}: not a regular file')
    if status.st_size > LIMITS[path.name]:
        raise ValueError(f'{path}: {status.st_size} bytes are more than any checkpoint has ({LIMITS[path.name]})')
    return status.st_size
