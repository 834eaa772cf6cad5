"""Copies of releases on this machine, which the stages of a worker process share."""

import atexit
import contextlib
import functools
import os
import re
import shutil
import tempfile
import threading
import time
from pathlib import Path

from models.manifest import MANIFEST, Manifest, ReleaseError
from models.release import fetch_release

CACHE = "testudo-releases-"
OWNER = re.compile(rf"{CACHE}(\d+)-")
# How long a release that the pointer no longer names is kept after its last item.
UNNAMED_FOR_S = 600.0


@functools.cache
def release_folder() -> Path:
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


class ReleaseCache:
    """Copies of releases, which the stages of a process share."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turns: dict[str, threading.Lock] = {}
        self._used_s: dict[str, float] = {}

    def fetch(self, root: str, release: str) -> Path:
        """A whole copy: what was removed under it is fetched again. Slow ones hold up no other."""
        with self._turn(release):
            self.use(release)
            folder = release_folder() / release
            if not _is_whole(folder):
                shutil.rmtree(folder, ignore_errors=True)
                fetch_release(root, release, release_folder())
            return folder

    def use(self, release: str) -> None:
        self._used_s[release] = time.monotonic()

    def forget(self, named: frozenset[str]) -> None:
        """Remove what is neither named nor was used for a while."""
        for release in self._used_s.keys() - named:
            if self._is_idle(release):
                with self._turn(release):
                    if self._is_idle(release):  # still: it may have been fetched meanwhile
                        self._used_s.pop(release, None)
                        shutil.rmtree(release_folder() / release, ignore_errors=True)

    def _is_idle(self, release: str) -> bool:
        now_s = time.monotonic()
        return now_s - self._used_s.get(release, now_s) > UNNAMED_FOR_S

    def _turn(self, release: str) -> threading.Lock:
        with self._lock:
            return self._turns.setdefault(release, threading.Lock())


RELEASE_CACHE = ReleaseCache()


def _is_whole(folder: Path) -> bool:
    """Whether the files of a copy are all there: its digests were verified when it was made."""
    with contextlib.suppress(OSError, ValueError, ReleaseError):
        manifest = Manifest.from_json((folder / MANIFEST).read_text(encoding="utf-8"))
        return all((folder / name).is_file() for name in manifest.files)
    return False
