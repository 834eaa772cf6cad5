"""The releases of a worker: fetched once a process, and used by its models' processes.

As many stay loaded as `current.json` names, and what it no longer names as long as items
ask for it; where memory ends, the one that was used least lately makes room. A release
that cannot be used costs its own items a failure, and nobody a wait but the first.
"""

import contextlib
import logging
import math
import re
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from models import release_cache
from models.current_pointer import current_pointer
from models.failures import Failure, Reason, Stage, attempt
from models.group_commit import Closed, Ticket
from models.isolation import ModelProcess
from models.kernels import Answer
from models.manifest import ReleaseError
from models.release import Pointer
from models.release_cache import RELEASE_CACHE

LOG = logging.getLogger(__name__)
# How long what cannot be used is not tried again: a wait for many items, not for each.
UNUSABLE_FOR_S = 15.0
TIDY_EVERY_S = 30.0
# Of the machine's memory, for the items of three stages; less is made more.
LEAST_FREE_BYTES = 1_000_000_000
MEMORY = re.compile(r"^MemAvailable:\s+(\d+) kB$", re.MULTILINE)
FILES = re.compile(r"^inactive_file (\d+)$", re.MULTILINE)
CGROUP = Path("/sys/fs/cgroup")


def free_bytes() -> int:
    """What processes may still take, of the machine or of this container. Linux only."""
    free = 2**62
    with contextlib.suppress(OSError):
        if found := MEMORY.search(Path("/proc/meminfo").read_text(encoding="ascii")):
            free = int(found[1]) * 1024
    with contextlib.suppress(OSError, ValueError):  # none, or "max"
        limit = int((CGROUP / "memory.max").read_text(encoding="ascii"))
        used = int((CGROUP / "memory.current").read_text(encoding="ascii"))
        # Copies of files count as used, and are given back when memory is wanted.
        if found := FILES.search((CGROUP / "memory.stat").read_text(encoding="ascii")):
            used -= int(found[1])
        free = min(free, limit - used)
    return free


class _Use:
    """What one stage knows of one release."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.folder: Path | None = None
        self.failure: Failure | None = None
        self.failed_s = -math.inf
        self.trying = False
        self.used_s = time.monotonic()


class LoadedReleases:
    """One stage's part of the releases under `root`, each loaded when it is first used."""

    def __init__(
        self,
        root: str,
        stage: Stage,
        process: ModelProcess,
        *,
        free: Callable[[], int] = free_bytes,
    ) -> None:
        self.process = process
        self._evictions = 0  # since they were last asked for
        self._root = root
        self._stage = stage
        self._free = free
        self._lock = threading.Lock()
        self._uses: dict[str, _Use] = {}
        self._tidied_s = time.monotonic()
        current_pointer(root).ask(self)

    @property
    def loaded(self) -> frozenset[str]:
        """The releases that are loaded now."""
        return frozenset(release for release, use in list(self._uses.items()) if use.folder)

    def prepare_all(self, pointer: Pointer) -> None:
        """Load what the pointer names; waits for the default release only.

        What cannot be loaded now is tried again, and reported, item by item.
        """
        for release in pointer.releases - {pointer.default}:
            self._behind(partial(self.prepare, release), release)
        self.prepare(pointer.default)

    def prepare(self, release: str) -> Path | Failure:
        """Fetch, verify and load a release; RELEASE_UNAVAILABLE for one that cannot be.

        Waits for the first try only. What failed is tried again behind the back of those
        that ask for it, who get the failure meanwhile.
        """
        use = self._use(release)
        folder = use.folder
        if folder is not None:
            return folder
        failure = use.failure
        if failure is not None:
            self._retry(release, use)
            return use.folder or failure
        return self._prepare(release, use)

    def proof(self, release: str) -> bool | Failure:
        """Whether a release is loaded, which it is only with its golden items; or why it cannot be.

        Waits for nobody: what is not loaded is loaded behind the back of who asks.
        """
        use = self._use(release)
        if use.folder is None:
            self._retry(release, use)
        return use.failure or use.folder is not None

    def submit(self, release: str, items: Sequence[Any]) -> "Ticket[Answer] | Failure":
        """Hand in items, to be answered with whatever else waits for their release."""
        self._tidy()
        folder = self.prepare(release)
        return folder if isinstance(folder, Failure) else self.process.submit(folder, items)

    def answers(self, release: str, items: Sequence[Any]) -> list[Answer]:
        """An answer an item, in order."""
        return answers_of(self.submit(release, items), len(items))

    def take_evictions(self) -> int:
        """How many, since this was last asked, made room for another although they were in use."""
        with self._lock:
            evictions, self._evictions = self._evictions, 0
        return evictions

    def _use(self, release: str) -> _Use:
        with self._lock:
            use = self._uses.setdefault(release, _Use())
        use.used_s = time.monotonic()
        RELEASE_CACHE.use(release)
        return use

    def _retry(self, release: str, use: _Use) -> None:
        with self._lock:
            if use.trying or time.monotonic() - use.failed_s < UNUSABLE_FOR_S:
                return
            use.trying = True
        try:
            self._behind(partial(self._prepare_again, release, use), release)
        except RuntimeError:  # the system has no thread to give
            use.trying = False
            raise

    def _prepare_again(self, release: str, use: _Use) -> None:
        try:
            self._prepare(release, use)
        finally:
            use.trying = False

    @staticmethod
    def _behind(work: Callable[[], object], release: str) -> None:
        """Do it in a thread of its own, which nobody waits for."""

        def do() -> None:
            with contextlib.suppress(Closed):  # at the end of the worker
                work()

        threading.Thread(target=do, name=f"load-{release}", daemon=True).start()

    def _prepare(self, release: str, use: _Use) -> Path | Failure:
        with use.lock:
            if use.folder is not None:
                return use.folder
            if use.failure is not None and not use.trying:
                return use.failure  # of the first try, which others waited for too
            folder = self._fetch(release)
            if not isinstance(folder, Failure):
                restore = partial(self._restore, release)
                folder = self.process.load(folder, restore) or folder
            if isinstance(folder, Failure):
                use.failure, use.failed_s = folder, time.monotonic()
                return folder
            use.folder, use.failure = folder, None
        self._make_room(release)
        return folder

    def _fetch(self, release: str) -> Path | Failure:
        return attempt(
            self._stage, Reason.RELEASE_UNAVAILABLE, RELEASE_CACHE.fetch, self._root, release
        )

    def _restore(self, release: str) -> Failure | None:
        folder = self._fetch(release)
        return folder if isinstance(folder, Failure) else None

    def _make_room(self, kept: str) -> None:
        """Let go what was used least lately until there is memory for items."""
        named = self._named()
        while self._free() < LEAST_FREE_BYTES:
            others = [
                (release in named, use.used_s, release) for release, use in self._others(kept)
            ]
            if not others:
                return
            _, _, release = min(others)
            with self._lock:
                self._evictions += 1
            LOG.warning("%s models: %s makes room for %s", self._stage, release, kept)
            self._let_go(release)

    def _others(self, kept: str) -> list[tuple[str, _Use]]:
        with self._lock:
            return [(name, use) for name, use in self._uses.items() if use.folder and name != kept]

    def _named(self) -> frozenset[str]:
        try:
            return current_pointer(self._root).releases(TIDY_EVERY_S)
        except ReleaseError:
            return frozenset(self._uses)  # nobody knows, so all count as named

    def _tidy(self) -> None:
        """Now and then: end what the pointer does not name and nobody asked for for a while."""
        now_s = time.monotonic()
        with self._lock:
            if now_s - self._tidied_s < TIDY_EVERY_S:
                return
            self._tidied_s = now_s
        named = self._named()
        for release, use in self._others(""):
            if release not in named and now_s - use.used_s > release_cache.UNNAMED_FOR_S:
                self._let_go(release)
        RELEASE_CACHE.forget(named)

    def _let_go(self, release: str) -> None:
        with self._lock:
            use = self._uses.pop(release, None)
        if use is not None and use.folder is not None:
            self.process.drop(use.folder)


def answers_of(submitted: "Ticket[Answer] | Failure", count: int) -> list[Answer]:
    """The answers to `count` items that were handed in; waits for them."""
    if isinstance(submitted, Failure):
        return [Answer(submitted, 0)] * count
    return submitted.answers()
