"""Files of weights of every kind, told apart by what they hold, not by what they are called.

    kind           begins with               names and layouts
    torch          PK or a pickled number    PyTorch's: 'features.0.weight', dense weights (OUT, IN)
    safetensors    the length of a header    whoever wrote it: ours or PyTorch's
    npz            PK                        ours: 'conv1/W', dense weights (IN, OUT); Chainer's are (OUT, IN)
    keras          \\x89HDF                   Keras's: 'conv1/kernel', (KH, KW, C, OC)

Nothing in a file is run, and none may ask for more memory than a small multiple of its size.
"""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nailorch.formats.files import BrokenFile, broken, check_file
from nailorch.messages import message
from nailorch.shapes import Array

__all__ = ['ENDINGS', 'Weights', 'read_weights']

ENDINGS = '.safetensors', '.npz', '.pth', '.pt', '.h5'  # by which such files mostly are called


@dataclass(frozen=True)
class Weights:
    """What a file holds: arrays by name, as they stand there, and the kind of the file."""

    kind: Literal['torch', 'safetensors', 'npz', 'keras']
    arrays: dict[str, Array]


def read_weights(path: str | os.PathLike[str]) -> Weights:
    """Read a file of weights of any kind; half precision becomes float32.

    Raises:
        FileNotFoundError: there is no such file.
        BrokenFile: a ValueError: it is of no kind that is known, broken, cut short or hostile.
        ImportError: a Keras file needs a package that is not installed; the message says how to install it.
    """
    path = Path(path)
    check_file(path, *ENDINGS)
    kind = kind_of(path)
    if kind == 'torch':
        from nailorch.formats.pth import read_pth
        return Weights(kind, read_pth(path))
    if kind == 'npz':
        from nailorch.formats.npz import load_npz
        return Weights(kind, load_npz(path))
    if kind == 'keras':
        from nailorch.formats.keras import read_keras
        return Weights(kind, read_keras(path))
    from nailorch.formats.safetensors import read_safetensors
    return Weights(kind, read_safetensors(path))


def kind_of(path: Path) -> Literal['torch', 'safetensors', 'npz', 'keras']:
    """Tell what a file is from how it begins; of zip files, from what is in them."""
    from nailorch.formats.pth import LEGACY

    with open(path, 'rb') as file:
        start = file.read(16)
    if start.startswith(b'PK'):
        with broken(path, '.npz'), zipfile.ZipFile(path) as archive:
            return 'torch' if any(name.endswith('/data.pkl') for name in archive.namelist()) else 'npz'
    if start.startswith(LEGACY[:12]):
        return 'torch'
    if start.startswith(b'\x89HDF\r\n\x1a\n'):
        return 'keras'
    if start[8:9] == b'{':
        return 'safetensors'
    raise BrokenFile(message('weights.kind', path=path))
