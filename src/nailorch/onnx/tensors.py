"""Tensors and attributes of a file, as NumPy's and Python's; what they say of themselves is checked."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from nailorch.messages import message
from nailorch.onnx.common import onnx_package
from nailorch.shapes import Array

__all__ = ['External', 'attribute', 'tensor']


class External:
    """Arrays beside the model: files in its own folder, read only as far as they go.

    Args:
        folder: the model's; None: there is none, and so no files beside it.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.read: dict[Path, int] = defaultdict(int)

    def bytes_of(self, proto: Any) -> bytes:
        """Return the bytes that a tensor says are elsewhere.

        Raises:
            ValueError: they lie outside the folder, or there are not as many.
        """
        said = {entry.key: entry.value for entry in proto.external_data}
        name, place = proto.name, said.get('location', '')
        if self.folder is None:
            raise ValueError(message('onnx.read.beside', name=name, location=place))
        folder = Path(os.path.realpath(self.folder))
        path = Path(os.path.realpath(folder / place))
        if not place or not path.is_relative_to(folder) or not path.is_file():
            raise ValueError(message('onnx.read.outside', name=name, location=place, folder=folder))
        size = path.stat().st_size
        try:
            start = int(said.get('offset', 0))
            length = int(said.get('length', size - start))
        except ValueError:
            raise ValueError(message('onnx.read.tensor', name=name, reason='offset, length')) from None
        self.read[path] += length
        if start < 0 or length < 0 or start + length > size or self.read[path] > 2 * size:
            raise ValueError(message('onnx.read.tensor', name=name, reason=f'{place}: {start} + {length} > {size}'))
        with open(path, 'rb') as file:
            file.seek(start)
            return file.read(length)


def tensor(proto: Any, external: External) -> Array:
    """Return a tensor as an array of its own.

    Raises:
        ValueError: its type is none of NumPy's, or its numbers are not as many as its shape says.
    """
    onnx = onnx_package()
    try:
        if proto.data_location == onnx.TensorProto.EXTERNAL:
            data = external.bytes_of(proto)
            proto = onnx.TensorProto(dims=proto.dims, data_type=proto.data_type, name=proto.name, raw_data=data)
        if proto.data_type == onnx.TensorProto.STRING or min(proto.dims, default=0) < 0:
            raise ValueError(f'{onnx.TensorProto.DataType.Name(proto.data_type)}, {list(proto.dims)}')
        array = np.asarray(onnx.numpy_helper.to_array(proto))
    except (ValueError, TypeError, KeyError, OverflowError, AttributeError) as error:
        raise ValueError(message('onnx.read.tensor', name=proto.name[:80], reason=error)) from error
    if array.dtype.name == 'bfloat16':
        array = array.astype(np.float32)
    if array.dtype.kind not in 'biuf':
        raise ValueError(message('onnx.read.tensor', name=proto.name[:80], reason=array.dtype))
    return np.array(array, order='C')


def attribute(proto: Any, external: External) -> Any:
    """Return an attribute's value; None for kinds that no operator here has, such as graphs."""
    kinds = onnx_package().AttributeProto
    if proto.type == kinds.FLOAT:
        return number(proto.f)
    if proto.type == kinds.FLOATS:
        return tuple(map(number, proto.floats))
    if proto.type == kinds.STRING:
        return proto.s.decode('utf-8', 'replace')
    if proto.type == kinds.STRINGS:
        return tuple(text.decode('utf-8', 'replace') for text in proto.strings)
    if proto.type == kinds.TENSOR:
        return tensor(proto.t, external)
    return {kinds.INT: proto.i, kinds.INTS: tuple(proto.ints)}.get(proto.type)


def number(x: float) -> float:
    """Return a float32 as the decimal number that was meant: 1e-05, not 9.999999747378752e-06."""
    return float(str(np.float32(x)))
