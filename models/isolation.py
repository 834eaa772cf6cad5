"""Models in processes of their own, so that no item can end, hang or fill a worker.

A stage has one process that has imported what it needs. Each release is loaded in a
fork of it, and answers in a fork of that: so a release that crashes, hangs or is slow
to load holds up no other, and one that has lost its process goes on after a fork. The
items of all threads and bundles that wait for a release are its next batch.
"""

import atexit
import contextlib
import functools
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.failures import Failure
from models.group_commit import Closed, Ticket
from models.kernels import Answer
from models.model_process import Setup
from models.release_processes import FirstProcess, ReleaseProcesses, Restore

BATCH_SIZE = 64
REQUEST_S = 180.0  # for all items of a batch, however many of them end the process
SPARE_S = 10.0  # beyond the time of a call, for a process that its own alarm cannot end
# -P: a folder `models` where the user happens to stand is not this package.
COMMAND = (sys.executable, "-P", "-m", "models.model_process")


class ModelProcess:
    """One stage's models in processes of their own; started when they are first needed.

    Safe to use from several threads, which share batches of at most `batch_size`.
    """

    def __init__(
        self,
        setup: Setup,
        *,
        batch_size: int = BATCH_SIZE,
        request_s: float = REQUEST_S,
        spare_s: float = SPARE_S,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._first = FirstProcess((*command, setup.to_json()))
        self._release = functools.partial(
            ReleaseProcesses,
            setup,
            first=self._first,
            batch_size=batch_size,
            request_s=request_s,
            spare_s=spare_s,
        )
        self._lock = threading.Lock()
        self._releases: dict[str, ReleaseProcesses] = {}
        self._over = False  # when this process ends, so that no other is started any more
        atexit.register(self._end, for_good=True)

    @property
    def pid(self) -> int:
        """Of a process that answers; 0 when there is none now."""
        return max((one.pid for one in list(self._releases.values())), default=0)

    @property
    def mean_batch(self) -> float:
        """Items a batch, over all releases that are loaded."""
        groups = [one.group for one in list(self._releases.values())]
        return sum(one.items for one in groups) / max(1, sum(one.batches for one in groups))

    def load(self, folder: Path, restore: Restore | None = None) -> Failure | None:
        """Load a release's part; returns why it cannot be.

        Whenever it is to be loaded, `restore` is called first, to see that its files are there.
        """
        release = self._of(folder)
        release.restore = restore
        return release.load()

    def is_loaded(self, folder: Path) -> bool:
        release = self._releases.get(str(folder))
        return release is not None and release.is_loaded

    def drop(self, folder: Path) -> None:
        """End the release's processes, once they have answered; a later call starts others."""
        with self._lock:
            release = self._releases.pop(str(folder), None)
        if release is not None:
            release.finish()

    def submit(self, folder: Path, items: Sequence[Any]) -> Ticket[Answer]:
        """Hand in items, to be answered with whatever else waits for the release."""
        while True:
            group = self._of(folder).group
            with contextlib.suppress(Closed):  # dropped in this moment
                return group.submit(items)

    def answers(self, folder: Path, items: Sequence[Any]) -> list[Answer]:
        """An answer an item, in order, whatever the items do."""
        return self.submit(folder, items).answers()

    def close(self) -> None:
        """End all processes; a later call starts others."""
        self._end(for_good=False)

    def _of(self, folder: Path) -> ReleaseProcesses:
        """Raises Closed, which is no item's fault, while this process ends."""
        with self._lock:
            if self._over:
                raise Closed("this process is ending")
            if str(folder) not in self._releases:
                self._releases[str(folder)] = self._release(str(folder))
            return self._releases[str(folder)]

    def _end(self, *, for_good: bool) -> None:
        with self._lock:
            self._over = for_good
            releases, self._releases = list(self._releases.values()), {}
        if for_good:
            self._first.end(for_good=True)
        for release in releases:
            release.end()
        self._first.end(for_good=for_good)


_starting = threading.Lock()


def model_process(setup: Setup, batch_size: int = BATCH_SIZE) -> ModelProcess:
    """This process's one model process of a kind, shared by its threads and pipelines."""
    with _starting:
        return _model_process(setup, batch_size)


@functools.cache
def _model_process(setup: Setup, batch_size: int) -> ModelProcess:
    return ModelProcess(setup, batch_size=batch_size)
