"""Tensors out of a file that PyTorch wrote before its files were zip archives, without PyTorch.

Such a file is five pickles and then the numbers. A pickle may call anything; the
reader here knows tensors, their storages and ordered dictionaries, and refuses all
other names before anything of theirs is called.
"""

import pickle
import struct
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
BROKEN = (
    pickle.UnpicklingError,
    EOFError,
    struct.error,
    LookupError,
    AttributeError,
    TypeError,
    ValueError,
)
STORAGES: Mapping[str, str] = {  # classes of torch -> little-endian numbers
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "DoubleStorage": "<f8",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
}


class _Tensor(NamedTuple):
    """A view of a storage whose numbers come later in the file."""

    storage: tuple[str, str]  # its key, and its numbers' dtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in numbers


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a state dict by name, as new arrays in C order.

    Raises ValueError for a file of another kind, one that is cut short, and one
    that names anything but tensors.
    """
    try:
        with path.open("rb") as file:
            return _read(file)
    except BROKEN as error:
        raise ValueError(f"{path.name} holds no tensors: {error}") from error


def _read(file: BinaryIO) -> dict[str, np.ndarray]:
    magic, protocol, _ = (_Tensors(file).load() for _ in range(3))
    if (magic, protocol) != (MAGIC, PROTOCOL):
        raise ValueError("it is not of PyTorch's old format")
    tensors, keys = _Tensors(file).load(), _Tensors(file).load()
    dtypes = dict(one.storage for one in tensors.values())
    numbers = {key: _numbers(file, dtypes[key]) for key in keys}
    return {name: _array(one, numbers[one.storage[0]]) for name, one in tensors.items()}


class _Tensors(pickle.Unpickler):
    """Allows what a state dict of tensors is made of, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuilt
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise pickle.UnpicklingError(f"it names {module}.{name}, which is no tensor")

    def persistent_load(self, pid: Any) -> tuple[str, str]:
        kind, dtype, key, *_ = pid
        if kind != "storage" or dtype not in STORAGES.values():
            raise pickle.UnpicklingError(f"it refers to a {kind}, which is no storage")
        return str(key), dtype


def _rebuilt(
    storage: tuple[str, str], offset: int, shape: Sequence[int], strides: Sequence[int], *_: Any
) -> _Tensor:
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _numbers(file: BinaryIO, dtype: str) -> np.ndarray:
    (count,) = struct.unpack("<q", file.read(8))
    numbers = np.frombuffer(file.read(count * np.dtype(dtype).itemsize), dtype)
    if len(numbers) != count:
        raise EOFError("it is cut short")
    return numbers


def _array(tensor: _Tensor, numbers: np.ndarray) -> np.ndarray:
    last = tensor.offset + sum(
        (length - 1) * stride for length, stride in zip(tensor.shape, tensor.strides, strict=True)
    )
    if min(tensor.offset, *tensor.strides, 0) < 0 or last >= len(numbers):
        raise LookupError("a tensor reaches beyond its numbers")
    strides = [stride * numbers.itemsize for stride in tensor.strides]
    view = np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.shape, strides)
    return np.ascontiguousarray(view)
