"""What a worker has loaded of the releases: once a process and stage, shared by its threads."""

import atexit
import functools
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from models.release import Manifest, ReleaseError, fetch_release
from transforms.records import Reason, Rejected

KEPT_RELEASES = 3  # the one in use, the one before it, and a canary

LoadedT = TypeVar("LoadedT")

_fetching = threading.Lock()


@functools.cache
def _release_cache() -> Path:
    """This process's own folder of verified releases, gone when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="testudo-releases-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


class Releases(Generic[LoadedT]):
    """What one stage of one process has loaded of the releases, the latest few of them."""

    def __init__(self, root: str, load: Callable[[Manifest, Path], LoadedT]) -> None:
        self._root = root
        self._load = load
        self._lock = threading.Lock()
        self._loaded: OrderedDict[str, LoadedT] = OrderedDict()

    def get(self, release: str) -> LoadedT:
        """Raises Rejected: RELEASE_UNAVAILABLE, for a release that is missing or damaged."""
        with self._lock:
            if release not in self._loaded:
                try:
                    with _fetching:
                        manifest, folder = fetch_release(self._root, release, _release_cache())
                except ReleaseError as error:
                    raise Rejected(Reason.RELEASE_UNAVAILABLE, str(error)) from error
                self._loaded[release] = self._load(manifest, folder)
            self._loaded.move_to_end(release)
            while len(self._loaded) > KEPT_RELEASES:
                self._loaded.popitem(last=False)
            return self._loaded[release]


def image_size_px(manifest: Manifest, folder: Path) -> int:
    del folder
    return manifest.image_size_px
