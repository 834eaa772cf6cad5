"""Tensors out of PyTorch's old files: read without PyTorch, and with nothing called."""

import os
import pickle
import struct
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.training.torch_file import MAGIC, PROTOCOL, read_tensors

NUMBERS = np.arange(12, dtype="<f4")


class Global:
    """Pickles as the name of a class, and as a call of it where it has arguments."""

    def __init__(self, module: str, name: str, arguments: tuple[Any, ...] | None = None) -> None:
        self.module, self.name, self.arguments = module, name, arguments


class Writer(pickle._Pickler):  # type: ignore[name-defined]
    """Writes what PyTorch would, names of classes that are not installed here included."""

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if isinstance(obj, Global):
            self.write(f"c{obj.module}\n{obj.name}\n".encode())
            if obj.arguments is not None:
                self.save(obj.arguments)
                self.write(pickle.REDUCE)
            return
        if isinstance(obj, list) and obj[:1] == ["storage"]:
            super().save(tuple(obj))
            self.write(pickle.BINPERSID)
            return
        super().save(obj, save_persistent_id)


def written(path: Path, state: object, keys: Sequence[str] = ("0",), count: int = 12) -> Path:
    with path.open("wb") as file:
        for one in (MAGIC, PROTOCOL, {"little_endian": True}):
            pickle.dump(one, file, protocol=2)
        Writer(file, protocol=2).dump(state)
        pickle.dump(list(keys), file, protocol=2)
        file.write(struct.pack("<q", 12) + NUMBERS.tobytes()[: count * 4])
    return path


def tensor(offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> Global:
    storage = ["storage", Global("torch", "FloatStorage"), "0", "cpu", 12, None]
    return Global("torch._utils", "_rebuild_tensor_v2", (storage, offset, shape, strides, False))


def test_a_strided_view_becomes_an_array_of_its_own(tmp_path: Path) -> None:
    """Offset and strides count numbers; a transposed matrix is read across."""
    path = written(tmp_path / "a.pth", {"w": tensor(2, (3, 2), (1, 4)), "b": tensor(0, (), ())})
    found = read_tensors(path)
    np.testing.assert_array_equal(found["w"], [[2, 6], [3, 7], [4, 8]])
    assert found["w"].flags.c_contiguous
    assert found["b"] == 0


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"w": Global("os", "system", ("touch called",))}, "names os.system"),
        ({"w": Global("builtins", "eval", ("1",))}, "names builtins.eval"),
        ({"w": Global("torch", "load", ())}, "names torch.load"),
        ({"w": tensor(8, (3, 2), (1, 4))}, "reaches beyond"),
        ({"w": tensor(0, (3, 2), (-1, 4))}, "reaches beyond"),
        ({"w": 5}, "holds no tensors"),
    ],
)
def test_what_is_no_tensor_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: object, said: str
) -> None:
    """A pickle may call anything: nothing of it is."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=said):
        read_tensors(written(tmp_path / "a.pth", state))
    assert os.listdir(tmp_path) == ["a.pth"]


def test_a_file_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    """So is one of another kind: today's files are zip archives."""
    with pytest.raises(ValueError, match="cut short"):
        read_tensors(written(tmp_path / "a.pth", {"w": tensor(0, (2,), (1,))}, count=7))
    for content in (b"PK\x03\x04", b"", pickle.dumps(OrderedDict())):
        (tmp_path / "b.pth").write_bytes(content)
        with pytest.raises(ValueError, match="b.pth holds no tensors"):
            read_tensors(tmp_path / "b.pth")
