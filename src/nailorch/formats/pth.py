"""PyTorch's files of weights, .pth or .pt, read without PyTorch, as data: nothing that such a file says is run.

    zip (since 1.6)   NAME/data.pkl, a pickle of the names and shapes; NAME/data/0 ..., the numbers; NAME/byteorder
    legacy            five pickles: magic number, version, system, names and shapes, order of the storages; the numbers

A tensor is a view of a storage: where it begins, its shape, and how far apart its neighbours are along each axis.
Storages may be shared. Every view is held against its storage, every storage against the file, before memory is asked
for; what a file may name is listed in `DTYPES` and `known`, and any other name is refused.
Source: torch/serialization.py and torch/_utils.py of PyTorch 2.13.
"""

from __future__ import annotations

import io
import math
import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from nailorch.formats.files import broken
from nailorch.formats.numbers import Order, read_bytes, widened
from nailorch.formats.pickles import Bounded, dictionary, unpickle
from nailorch.messages import message
from nailorch.shapes import Array

__all__ = ['LEGACY', 'read_pth']

# What PyTorch's storages hold; bfloat16, which NumPy lacks, is the upper half of a float32.
DTYPES = {'Double': 'f8', 'Float': 'f4', 'Half': 'f2', 'BFloat16': 'bfloat16', 'Long': 'i8', 'Int': 'i4', 'Short': 'i2',
          'Char': 'i1', 'Byte': 'u1', 'Bool': '?'}
TYPES = {'float64': 'f8', 'float32': 'f4', 'float16': 'f2', 'bfloat16': 'bfloat16', 'int64': 'i8', 'int32': 'i4',
         'int16': 'i2', 'int8': 'i1', 'uint8': 'u1', 'uint16': 'u2', 'uint32': 'u4', 'uint64': 'u8', 'bool': '?'}
LEGACY = b'\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.'  # how a legacy file begins: the pickled magic number
# Where a training's checkpoint keeps the weights.
INSIDE = 'state_dict', 'model_state_dict', 'model_state', 'model', 'net', 'weights', 'params'
VIEWS, SMALL = 16, 1 << 24  # tensors may show their storages' bytes that many times, where that is not little
MAX_PICKLE = 1 << 26
LONGEST_NAME = 1000


@dataclass(frozen=True)
class Dtype:
    """The type of a storage's numbers: NumPy's code, 'bfloat16', or '' for bytes that the tensors give types."""

    code: str

    @property
    def size(self) -> int:
        return 2 if self.code == 'bfloat16' else np.dtype(self.code or 'u1').itemsize


@dataclass
class Storage:
    """A row of numbers that tensors are views of."""

    key: str
    dtype: Dtype
    count: int
    bytes: Any = None
    views: dict[str, Array] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """How many bytes it takes."""
        return self.count * self.dtype.size

    def numbers(self, dtype: Dtype, order: Order) -> Array:
        """Return the numbers, all in a row, half precision as float32."""
        if dtype.code not in self.views:
            self.views[dtype.code] = widened(self.bytes, dtype.code, order)
        return self.views[dtype.code]


@dataclass(frozen=True)
class Tensor:
    """A view of a storage, as a file describes it; it is checked when it is made."""

    storage: Storage
    dtype: Dtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def __post_init__(self) -> None:
        numbers = self.offset, *self.shape, *self.strides
        if any(type(number) is not int or not 0 <= number < 1 << 48 for number in numbers):
            raise ValueError(message('broken.size'))
        if len(self.shape) != len(self.strides) or len(self.shape) > 32:
            raise ValueError(message('broken.strides', axes=len(self.shape), strides=len(self.strides)))
        last = self.offset + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        if self.size and last >= self.storage.size // self.dtype.size:
            raise ValueError(message('broken.storage', shape=self.shape, count=self.storage.count))

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def array(self, order: Order) -> Array:
        """Return the numbers, a view of those of the storage."""
        numbers = self.storage.numbers(self.dtype, order)
        if not self.size:
            return np.zeros(self.shape, numbers.dtype)
        strides = [stride * numbers.itemsize for stride in self.strides]
        return np.lib.stride_tricks.as_strided(numbers[self.offset:], self.shape, strides, writeable=False)


def read_pth(path: str | os.PathLike[str]) -> dict[str, Array]:
    """Read a state dict: the arrays by PyTorch's names, in PyTorch's layouts; half precision becomes float32.

    In a checkpoint, it is looked for under the usual names, such as 'state_dict'; what is no tensor is passed over.

    Raises:
        BrokenFile: the file is broken, cut short or hostile, or holds no state dict.
    """
    path = Path(path)
    with open(path, 'rb') as file, broken(path, 'PyTorch'):
        length = path.stat().st_size
        read = read_zip if file.read(4) == b'PK\3\4' else read_legacy
        file.seek(0)
        found, order = read(file, length)
        tensors = state_dict(found)
        if sum(tensor.size * tensor.dtype.size for tensor in tensors.values()) > VIEWS * length + SMALL:
            raise ValueError(message('broken.views', times=VIEWS))
        return {name: tensor.array(order) for name, tensor in tensors.items()}


def read_zip(file: BinaryIO, length: int) -> tuple[Any, Order]:
    """Return what a zip file holds, its storages filled, and the numbers' byte order."""
    archive = zipfile.ZipFile(file)
    entries = {info.filename: info for info in archive.infolist()}
    if len(entries) < len(archive.infolist()):
        raise ValueError(message('broken.twice'))
    if any(info.compress_type or info.flag_bits & 1 or info.file_size != info.compress_size
           for info in entries.values()) or sum(info.file_size for info in entries.values()) > length:
        raise ValueError(message('broken.entries'))
    (pickled,) = (name for name in entries if name.endswith('/data.pkl') and name.count('/') == 1)
    folder = pickled.removesuffix('data.pkl')
    if entries[pickled].file_size > MAX_PICKLE:
        raise ValueError(message('broken.pickle', size=entries[pickled].file_size))
    order = archive.read(f'{folder}byteorder') if f'{folder}byteorder' in entries else b'little'
    storages: dict[str, Storage] = {}
    data = archive.read(pickled)
    found = unpickle(Bounded(io.BytesIO(data), len(data)), known, lambda identity: storage(identity, storages))
    for each in storages.values():
        info = entries[f'{folder}data/{each.key}']
        if info.file_size != each.size:
            raise ValueError(message('broken.storage_bytes', name=each.key, size=each.size, there=info.file_size))
        with archive.open(info) as entry:
            each.bytes = read_bytes(entry, each.size)
    orders: dict[bytes, Order] = {b'little': '<', b'big': '>'}
    return found, orders[order]


def read_legacy(file: BinaryIO, length: int) -> tuple[Any, Order]:
    """Return what a legacy file holds, its storages filled, and the numbers' byte order."""
    storages: dict[str, Storage] = {}
    bounded = Bounded(file, length)
    if unpickle(bounded, known) != 0x1950a86a20f9469cfc6c:
        raise ValueError(message('broken.begin'))
    version, system = unpickle(bounded, known), unpickle(bounded, known)
    if version != 1001 or type(system) is not dict:
        raise ValueError(message('broken.version'))  # nor is it shown: it may be a tuple of tuples of tuples
    found = unpickle(bounded, known, lambda identity: storage(identity, storages))
    keys = unpickle(bounded, known)
    if type(keys) is not list or any(type(key) is not str for key in keys) or sorted(keys) != sorted(storages):
        raise ValueError(message('broken.storages'))
    order: Order = '<' if system.get('little_endian', True) else '>'
    for key in keys:
        each = storages[key]
        count = int.from_bytes(bounded.read(8), 'little' if order == '<' else 'big')
        if count != each.count or each.size > length - file.tell():
            raise ValueError(message('broken.storage_count', name=key, expected=each.count, count=count))
        each.bytes = read_bytes(file, each.size)
    return found, order


def state_dict(found: Any) -> dict[str, Tensor]:
    """Return the tensors by name, of a state dict or of a checkpoint that has one inside."""
    for _ in range(3):
        if type(found) is not dict:
            break
        tensors = {str(name): value for name, value in found.items() if type(value) is Tensor}
        inside = [found[key] for key in INSIDE if type(found.get(key)) is dict]
        if max(map(len, tensors), default=0) > LONGEST_NAME:
            raise ValueError(message('broken.name'))
        if tensors and not inside:
            return tensors
        found = inside[0] if inside else None
    raise ValueError(message('pth.dict'))


# What a file may name.

def known(name: str) -> Any:
    """Return what stands for a name in a pickle; raise ValueError where weights need no such name."""
    module, _, last = name.rpartition('.')
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    if module in ('torch', 'torch.cuda', 'torch.storage') and last.removesuffix('Storage') in DTYPES:
        return Dtype(DTYPES[last.removesuffix('Storage')])
    if module == 'torch' and last in TYPES:
        return Dtype(TYPES[last])
    if name == 'torch.storage.UntypedStorage':
        return Dtype('')
    raise ValueError(message('pth.name', name=name[:200]))


def storage(identity: Any, storages: dict[str, Storage]) -> Storage:
    """Return the storage of a persistent id: ('storage', type, key, device, count), in legacy files None as well."""
    kind, dtype, key, _, count, *view = identity
    if kind != 'storage' or type(dtype) is not Dtype or type(key) is not str or any(each is not None for each in view):
        raise ValueError(message('broken.asks'))
    if type(count) is not int or not 0 <= count < 1 << 48:
        raise ValueError(message('broken.storage_size'))
    return storages.setdefault(key, Storage(key, dtype, count))


def rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    """Stand for torch._utils._rebuild_tensor_v2, whose other arguments are of no use here."""
    return Tensor(storage, storage.dtype, offset, tuple(shape), tuple(strides))


def rebuild_tensor_of_type(storage: Any, offset: Any, shape: Any, strides: Any, grad: Any, hooks: Any, dtype: Any,
                           *_: Any) -> Tensor:
    """Stand for torch._utils._rebuild_tensor_v3, which gives a storage of bytes a type."""
    return Tensor(storage, dtype, offset, tuple(shape), tuple(strides))


def rebuild_parameter(data: Any, *_: Any) -> Any:
    """Stand for torch._utils._rebuild_parameter."""
    return data


def size(shape: Any = ()) -> tuple[Any, ...]:
    """Stand for torch.Size."""
    return tuple(shape)


def device(*_: Any) -> None:
    """Stand for torch.device: here is but one."""


FUNCTIONS = {
    'collections.OrderedDict': dictionary,
    'torch._utils._rebuild_tensor_v2': rebuild_tensor,
    'torch._utils._rebuild_tensor_v3': rebuild_tensor_of_type,
    'torch._utils._rebuild_parameter': rebuild_parameter,
    'torch.Size': size,
    'torch.device': device,
}
