"""safetensors: a JSON header that names every array, then their bytes. Nothing in such a file can run.

Writing goes array by array, so a file needs no second copy of the weights in memory. Reading, or where the numbers are
others' the check of the header, is left to the `safetensors` package, whose parser has been fuzzed.
Source: https://huggingface.co/docs/safetensors, "Format".
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nailorch.formats.files import Bytes, broken, replace_file
from nailorch.formats.numbers import read_bytes, widened
from nailorch.messages import message

__all__ = ['load_metadata', 'load_safetensors', 'read_safetensors', 'safetensors_parts', 'save_safetensors']

Array = npt.NDArray[Any]
CODES = {'bool': 'BOOL', 'uint8': 'U8', 'uint16': 'U16', 'uint32': 'U32', 'uint64': 'U64', 'int8': 'I8', 'int16': 'I16',
         'int32': 'I32', 'int64': 'I64', 'float16': 'F16', 'float32': 'F32', 'float64': 'F64'}

NUMBERS = {code: np.dtype(name).str[1:] for name, code in CODES.items()} | {'BF16': 'bfloat16'}


def save_safetensors(path: Path, arrays: Mapping[str, Array], metadata: Mapping[str, str] | None = None) -> None:
    """Write arrays by name; the file at `path` is replaced whole or not at all."""
    replace_file(path, safetensors_parts(arrays, metadata))


def safetensors_parts(arrays: Mapping[str, Array], metadata: Mapping[str, str] | None = None) -> Iterator[Bytes]:
    """Yield the file's bytes: header length (8 bytes), header, then each array in little-endian row-major order."""
    header: dict[str, Any] = {'__metadata__': dict(metadata)} if metadata else {}
    end = 0
    for name, array in arrays.items():
        begin, end = end, end + array.nbytes
        header[name] = {'dtype': CODES[array.dtype.name], 'shape': list(array.shape), 'data_offsets': [begin, end]}
    text = json.dumps(header, ensure_ascii=False, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % 8)  # the arrays then start at a multiple of 8, and can be mapped into memory
    yield len(text).to_bytes(8, 'little')
    yield text
    for array in arrays.values():
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder('<'))
        yield little.reshape(-1).view(np.uint8).data


def load_safetensors(path: Path) -> dict[str, Array]:
    """Read all arrays of a file.

    Raises:
        ValueError: the file is not safetensors, was cut short, or holds numbers that NumPy does not have, such as
            bfloat16; it is named.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(path)
        for array in arrays.values():
            if array.dtype.isbuiltin != 1:  # a package such as ml_dtypes added it
                raise TypeError(array.dtype.name)
        return arrays
    except (SafetensorError, KeyError, ValueError) as error:
        raise ValueError(message('broken.safetensors', path=path, error=error)) from None
    except (TypeError, AttributeError) as error:
        raise ValueError(message('broken.type', path=path, error=error)) from None


def read_safetensors(path: Path) -> dict[str, Array]:
    """Read all arrays of a file that others wrote; half precision, bfloat16 too, becomes float32.

    The `safetensors` package holds the header against the file, then each array is read by itself.

    Raises:
        BrokenFile: the file is broken, or its numbers are of a type that NumPy lacks.
    """
    from safetensors import safe_open

    with broken(path, 'safetensors'), open(path, 'rb') as file:
        with safe_open(path, framework='numpy'):
            pass
        header = json.loads(file.read(int.from_bytes(file.read(8), 'little')))
        start = file.tell()
        arrays = {}
        for name, entry in header.items():
            if name != '__metadata__':
                file.seek(start + entry['data_offsets'][0])
                numbers = widened(read_bytes(file, entry['data_offsets'][1] - entry['data_offsets'][0]),
                                  NUMBERS[entry['dtype']], '<')
                arrays[name] = numbers.reshape(entry['shape'])
        return arrays


def load_metadata(path: Path) -> dict[str, str]:
    """Read the text that was saved beside the arrays, without reading them."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework='numpy') as file:
            return file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(message('broken.safetensors', path=path, error=error)) from None
