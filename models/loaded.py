"""The releases of a worker: fetched once a process, and used by its models' processes."""

import atexit
import contextlib
import functools
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.failures import Failure, Reason, Stage, attempt
from models.isolation import ModelProcess
from models.kernels import Answer
from models.release import fetch_release

CACHE = "testudo-releases-"
OWNER = re.compile(rf"{CACHE}(\d+)-")
# How long what cannot be used is not tried again: a wait for many items, not for each.
UNUSABLE_FOR_S = 15.0

_fetching = threading.Lock()


@functools.cache
def _release_cache() -> Path:
    """This process's own folder of verified releases, gone when the process ends."""
    for folder in left_behind():
        shutil.rmtree(folder, ignore_errors=True)
    own = Path(tempfile.mkdtemp(prefix=f"{CACHE}{os.getpid()}-"))
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    return own


def left_behind() -> list[Path]:
    """The folders of workers that were killed, which the next worker removes."""
    found = []
    for folder in Path(tempfile.gettempdir()).glob(f"{CACHE}*"):
        owner = OWNER.match(folder.name)
        if owner and not _is_running(int(owner[1])):
            found.append(folder)
    return found


def _is_running(pid: int) -> bool:
    with contextlib.suppress(PermissionError):  # somebody else's, and running
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return True


class LoadedReleases:
    """One stage's part of the releases under `root`, each loaded when it is first used."""

    def __init__(self, root: str, stage: Stage, process: ModelProcess) -> None:
        self.process = process
        self._root = root
        self._stage = stage
        self._lock = threading.Lock()
        self._folders: dict[str, Path] = {}
        self._unusable: dict[str, tuple[Failure, float]] = {}  # and until when

    def prepare(self, release: str) -> Path | Failure:
        """Fetch, verify and load a release; RELEASE_UNAVAILABLE for one that cannot be."""
        with self._lock:
            if release in self._folders:
                return self._folders[release]
            failure, until_s = self._unusable.get(release, (None, 0.0))
            if failure is not None and time.monotonic() < until_s:
                return failure
            folder = attempt(self._stage, Reason.RELEASE_UNAVAILABLE, self._fetch, release)
            if not isinstance(folder, Failure):
                folder = self.process.load(folder) or folder
            if isinstance(folder, Failure):
                self._unusable[release] = folder, time.monotonic() + UNUSABLE_FOR_S
            else:
                self._folders[release] = folder
            return folder

    def answers(self, release: str, items: Sequence[Any]) -> list[Answer]:
        """An answer an item, in order."""
        folder = self.prepare(release)
        if isinstance(folder, Failure):
            return [Answer(folder, 0)] * len(items)
        return self.process.answers(folder, items)

    def _fetch(self, release: str) -> Path:
        with _fetching:
            return fetch_release(self._root, release, _release_cache())[1]
