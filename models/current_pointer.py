"""`current.json` as a worker knows it."""

import functools
import logging
import threading
import time
from collections.abc import Callable

from models.manifest import ReleaseError
from models.release import Pointer, read_pointer

LOG = logging.getLogger(__name__)
POINTER_RETRY_FOR_S = 5.0  # a pointer is in use meanwhile, and items wait


class CurrentPointer:
    """`current.json`, read once a process however many threads and stages ask for it."""

    def __init__(self, root: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._root = root
        self._clock = clock
        self._reading = threading.Lock()
        self._read: tuple[Pointer, float] | None = None  # and when
        self._failures = 0

    def get(self, refresh_s: float) -> Pointer:
        """The pointer, read again when it is older than `refresh_s`.

        Only the first reading is waited for, and may raise ReleaseError; later one thread
        reads, and the pointer in use stays in use until it has another.
        """
        read = self._read
        if read is None:
            with self._reading:
                read = self._read = self._read or (read_pointer(self._root), self._clock())
            return read[0]
        if self._clock() - read[1] < refresh_s or not self._reading.acquire(blocking=False):
            return read[0]
        try:
            self._read = (self._again(read[0]), self._clock())
            return self._read[0]
        finally:
            self._reading.release()

    def new_failures(self) -> int:
        """How often it could not be read again, since this was asked last."""
        failures, self._failures = self._failures, 0
        return failures

    def _again(self, pointer: Pointer) -> Pointer:
        try:
            return read_pointer(self._root, retry_for_s=POINTER_RETRY_FOR_S)
        except ReleaseError as error:
            LOG.warning("the pointer in use stays in use: %s", error)
            self._failures += 1
            return pointer


@functools.cache
def current_pointer(root: str) -> CurrentPointer:
    """This process's one pointer under a root."""
    return CurrentPointer(root)
