"""`current.json` as a worker knows it: what it says, and what of that is in use.

A release that it newly names is in use when the stages of this process have loaded it, with
its golden items; until then each entry stays as it was. So a release that is broken, or
slow to load, takes no item from the one before.
"""

import dataclasses
import functools
import logging
import threading
import time
import weakref
from collections.abc import Callable
from typing import Protocol

from models.failures import Failure
from models.manifest import ReleaseError
from models.release import Pointer, read_pointer

LOG = logging.getLogger(__name__)
POINTER_RETRY_FOR_S = 5.0  # a pointer is in use meanwhile, and items wait


class Proving(Protocol):
    """One stage's releases of this process."""

    def proof(self, release: str) -> bool | Failure:
        """Whether it is loaded and gave its golden items, or why it cannot be; never waits."""


class CurrentPointer:
    """`current.json`, read once a process however many threads and stages ask for it."""

    def __init__(self, root: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._root = root
        self._clock = clock
        self._turn = threading.Lock()
        self._read: Pointer | None = None
        self._read_s = 0.0
        self._in_use: Pointer | None = None
        self._stages: weakref.WeakSet[Proving] = weakref.WeakSet()
        self._proven: frozenset[str] = frozenset()
        self._unusable: dict[str, Failure] = {}  # of the releases that it names
        self._failures = 0

    def ask(self, stage: Proving) -> None:
        """From now on nothing is in use that this stage has not proven."""
        self._stages.add(stage)

    def get(self, refresh_s: float) -> Pointer:
        """The pointer in use, read again when it is older than `refresh_s`.

        Only the first reading is waited for, and may raise ReleaseError; what it names is in
        use at once, as there is nothing else. Later one thread reads, and what is in use stays
        until it has something else that is proven.
        """
        if self._in_use is None:
            with self._turn:
                if self._in_use is None:
                    self._read, self._read_s = read_pointer(self._root), self._clock()
                    self._in_use, self._proven = self._read, self._read.releases
                return self._in_use
        is_old = self._clock() - self._read_s >= refresh_s
        if (is_old or self._read != self._in_use) and self._turn.acquire(blocking=False):
            try:
                if is_old:
                    self._read_again()
                self._take_up()
            finally:
                self._turn.release()
        return self._in_use

    def releases(self, refresh_s: float) -> frozenset[str]:
        """Every release that is in use, or that `current.json` wants to be."""
        in_use = self.get(refresh_s)
        return in_use.releases | (self._read or in_use).releases

    def new_failures(self) -> int:
        """How often, since this was asked last, a reading brought nothing that can be used.

        It could not be read again, or names a release that cannot be loaded.
        """
        failures, self._failures = self._failures, 0
        return failures

    def _read_again(self) -> None:
        self._failures += len(self._unusable)  # still
        try:
            self._read = read_pointer(self._root, retry_for_s=POINTER_RETRY_FOR_S)
        except ReleaseError as error:
            LOG.warning("the pointer in use stays in use: %s", error)
            self._failures += 1
        self._read_s = self._clock()

    def _take_up(self) -> None:
        """Take into use what is proven by now of what was read."""
        read, in_use = self._read, self._in_use
        assert read is not None and in_use is not None  # noqa: S101, PT018 - for mypy
        self._proven &= read.releases | in_use.releases
        self._proven |= {one for one in read.releases - self._proven if self._is_proven(one)}
        self._unusable = {
            name: why for name, why in self._unusable.items() if name in read.releases
        }
        self._in_use = usable(read, in_use, self._proven)
        if self._in_use != in_use:
            LOG.info("in use is now %s", self._in_use)

    def _is_proven(self, release: str) -> bool:
        """All stages are asked, as each begins to load then."""
        proofs = [one.proof(release) for one in list(self._stages)]
        for one in proofs:
            if isinstance(one, Failure) and release not in self._unusable:
                LOG.error("%s is not used, what is in use stays: %s", release, one.detail)
                self._unusable[release] = one
                self._failures += 1
        is_proven = all(one is True for one in proofs)
        if is_proven:
            self._unusable.pop(release, None)
        return is_proven


def usable(read: Pointer, in_use: Pointer, proven: frozenset[str]) -> Pointer:
    """What was read, with what is in use in place of each entry whose release is not proven.

    A tenant that had none before is scored as all others are.
    """
    tenants = {
        tenant: release if release in proven else in_use.tenants.get(tenant, "")
        for tenant, release in read.tenants.items()
    }
    canary = read if not read.canary or read.canary in proven else in_use
    return dataclasses.replace(
        read,
        default=read.default if read.default in proven else in_use.default,
        canary=canary.canary,
        canary_share=canary.canary_share,
        tenants={tenant: release for tenant, release in tenants.items() if release},
    )


@functools.cache
def current_pointer(root: str) -> CurrentPointer:
    """This process's one pointer under a root."""
    return CurrentPointer(root)
