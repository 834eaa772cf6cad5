"""Where a models' process is in a request: a few bytes of memory that its worker reads.

They outlive the process: from its first death on the worker knows whose call it was.
"""

import mmap
import os
import struct
import tempfile
from typing import NamedTuple

LAYOUT = struct.Struct("=III")


class Place(NamedTuple):
    """The first item that a call is about, and how many; none between two calls.

    `step` counts the calls.
    """

    step: int
    first: int
    items: int


class Progress:
    """One side's view of the memory; the process writes, the worker reads."""

    def __init__(self, number: int) -> None:
        """Of the file `number`, which is kept open no longer."""
        self._bytes = mmap.mmap(number, LAYOUT.size)
        os.close(number)
        self._step = 0
        self._offset = 0

    def at(self, first: int, count: int) -> None:
        """A call on `count` items begins, or (0) ends."""
        self._step += 1
        LAYOUT.pack_into(self._bytes, 0, self._step % 2**32, self._offset + first, count)

    def begin_at(self, offset: int) -> None:
        """The places that follow are counted from the item at `offset`."""
        self._offset = offset

    def place(self) -> Place:
        return Place(*LAYOUT.unpack_from(self._bytes))

    def close(self) -> None:
        self._bytes.close()


def shared_file() -> int:
    """The number of a file that nobody else sees, for one `Progress` on each side."""
    with tempfile.TemporaryFile() as file:
        file.write(bytes(LAYOUT.size))  # not a hole, which a full disk would end a process for
        file.flush()
        return os.dup(file.fileno())
