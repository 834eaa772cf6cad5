"""One release of a stage: the processes that load it and answer, begun again when they are lost.

A call that crashes, hangs or takes too much memory ends the release's process, which
has said which item it was at. That item is set aside, the others go on as a batch, and
at last it is tried once more, alone: once may be chance, such as the system's want of
memory; twice is the item's doing. Where a call on a whole batch ended the process, the
next one calls item by item, and who ends it then has ended two.
"""

import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from models.exchange import Child, Forked, ProcessEnded, Started
from models.failures import Failure, Reason, attempt
from models.group_commit import Closed, GroupCommit
from models.kernels import Answer
from models.model_process import LOAD_ALLOWED_S, Setup, unpack_answers, unpack_loaded

LOG = logging.getLogger(__name__)
LOAD_TRIES = 2
FORK_ALLOWED_S = 30.0
DROP_ALLOWED_S = 1.0  # for a call to end by itself
MAX_BATCH_BYTES = 2**26
ROOT = str(Path(__file__).parents[1])
# What leads to a service or opens it. The process reads senders' bytes, and asks nobody.
ACCESS = re.compile(
    "GOOGLE|GCLOUD|CLOUDSDK|EMULATOR|PROXY|AUTH|CREDENTIAL|SECRET|TOKEN|PASSW|API_?KEY",
    re.IGNORECASE,
)

Restore = Callable[[], Failure | None]


class FirstProcess:
    """The process of a stage that the others are forked from; started when it is needed."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._over = False

    def fork(self) -> Child:
        """Raises ProcessEnded; Closed, which is no item's fault, while the worker ends."""
        with self._lock:
            if self._over:
                raise Closed("this process is ending")
            if sys.platform != "linux":  # where what is imported may not be forked
                return self._start()
            if self._child is not None and not self._child.usable:
                self._child.end()
                self._child = None
            if self._child is None:
                self._child = self._start()
            return Forked(self._child, allowed_s=LOAD_ALLOWED_S)

    def end(self, *, for_good: bool) -> None:
        child, self._over = self._child, for_good
        if child is not None:
            child.kill()
        with self._lock:
            child, self._child = self._child, None
            if child is not None:
                child.end()

    def _start(self) -> Child:
        environment = {k: v for k, v in os.environ.items() if not ACCESS.search(k)}
        paths = filter(None, (ROOT, environment.get("PYTHONPATH")))
        environment["PYTHONPATH"] = os.pathsep.join(paths)
        return Started(self._command, environment)


class ReleaseProcesses:
    """One release's part of a stage, in a process that has loaded it and one that answers."""

    def __init__(
        self,
        setup: Setup,
        folder: str,
        first: FirstProcess,
        *,
        batch_size: int,
        request_s: float,
        spare_s: float,
    ) -> None:
        self.restore: Restore | None = None
        self.group: GroupCommit[Any, Answer] = GroupCommit(
            self._run,
            most_items=batch_size,
            name=f"{setup.stage}-models",
            weigh=_size_bytes,
            most_weight=MAX_BATCH_BYTES,
        )
        self._setup = setup
        self._folder = folder
        self._first = first
        self._request_s = request_s
        self._stalled_s = spare_s + max(setup.calls.decode_s, setup.calls.call_s)
        self._turn = threading.Lock()
        self._loader: Child | None = None
        self._server: Child | None = None
        self._can_be_forked = True
        self._over = False

    @property
    def pid(self) -> int:
        """Of the process that answers; 0 when there is none now."""
        server = self._server
        return server.pid if server is not None and server.usable else 0

    @property
    def is_loaded(self) -> bool:
        loader = self._loader
        return loader is not None and loader.usable

    def load(self) -> Failure | None:
        """Load it, unless it is loaded, and be ready to answer; returns why it cannot be."""
        with self._turn:
            ready = self._ready()
            return ready if isinstance(ready, Failure) else None

    def finish(self) -> None:
        """End its processes once they have answered for what they were given."""
        try:
            self.group.finish()
        finally:
            self.end()

    def end(self) -> None:
        """End its processes; what waits for them gets an error."""
        self._over = True
        self.group.close()
        if self._server is not None:
            self._server.kill()
        if not self._turn.acquire(timeout=DROP_ALLOWED_S):  # it is being loaded
            if self._loader is not None:
                self._loader.kill()
            self._turn.acquire()
        try:
            self._end_children()
        finally:
            self._turn.release()

    # With the turn held:

    def _run(self, items: list[Any]) -> list[Answer]:
        """An answer an item, in order, whatever the items do."""
        with self._turn:
            end_s = time.monotonic() + self._request_s
            found: dict[int, Answer] = {}
            suspects = self._together(items, end_s, found)
            for number in suspects:
                found[number] = self._alone(items[number], end_s)
            return [found[number] for number in range(len(items))]

    def _together(self, items: list[Any], end_s: float, found: dict[int, Answer]) -> list[int]:
        """Answer what can be as a batch; returns which items are to be tried alone."""
        suspects: list[int] = []
        left = list(range(len(items)))
        one_by_one = again = False
        while left and time.monotonic() < end_s:
            try:
                answers = self._ask([items[number] for number in left], end_s, one_by_one)
            except ProcessEnded as ended:
                LOG.warning("%s models: %s", self._setup.stage, ended)
                place = ended.place
                if place.items == 1 and place.first < len(left):
                    number = left.pop(place.first)
                    if one_by_one:
                        found[number] = self._culprit(ended)
                    else:
                        suspects.append(number)
                    one_by_one = False
                elif place.items and not one_by_one:
                    one_by_one = True
                elif again:  # twice, and at no item
                    break
                else:
                    again = True
            else:
                found.update(zip(left, answers, strict=True))
                return suspects
        return suspects + left

    def _alone(self, item: Any, end_s: float) -> Answer:
        if time.monotonic() >= end_s:
            detail = f"the time of its batch was over, {self._request_s:g} s"
            return self._failed(Reason.TIMED_OUT, detail)
        try:
            return self._ask([item], end_s)[0]
        except ProcessEnded as ended:
            return self._culprit(ended)

    def _culprit(self, ended: ProcessEnded) -> Answer:
        if not ended.cut:
            return self._failed(Reason.CRASHED, f"it ended the model's process: {ended}")
        calls = self._setup.calls
        allowed = f"allowed are {calls.decode_s:g} s to decode and {calls.call_s:g} s a call"
        return self._failed(Reason.TIMED_OUT, f"cut ({ended}); {allowed}")

    def _failed(self, reason: Reason, detail: str) -> Answer:
        LOG.warning("%s models: %s: %s", self._setup.stage, reason, detail)
        return Answer(Failure(self._setup.stage, reason, detail), 0)

    def _ask(self, items: Sequence[Any], end_s: float, one_by_one: bool = False) -> list[Answer]:
        """Raises ProcessEnded."""
        stage, ready = self._setup.stage, self._ready()
        if isinstance(ready, Failure):
            return [Answer(ready, 0)] * len(items)
        data = ready.ask(
            ["answer", items, one_by_one],
            allowed_s=max(0.0, end_s - time.monotonic()),
            stalled_s=self._stalled_s,
        )
        answers = attempt(stage, Reason.CRASHED, unpack_answers, stage, data, len(items))
        if isinstance(answers, Failure):
            ready.end()  # what else it would say is worth as little
            raise ProcessEnded(f"its answer cannot be read: {answers.detail}")
        return answers

    def _ready(self) -> Child | Failure:
        """The process that answers, forked from the one that has loaded the release."""
        if self._over:
            raise Closed("the release is not to be used any more")
        how = ""
        for _ in range(LOAD_TRIES):
            try:
                if self._loader is None or not self._loader.usable:
                    failure = self._load()
                    if failure is not None:
                        return failure
                assert self._loader is not None  # noqa: S101 - for mypy
                if not self._can_be_forked:
                    self._server = self._loader
                elif self._server is None or not self._server.usable:
                    self._server = Forked(self._loader, allowed_s=FORK_ALLOWED_S)
                return self._server
            except ProcessEnded as ended:
                how = str(ended)
                if ended.cut:
                    break
        detail = f"loading it ended the model's process: {how}"
        return Failure(self._setup.stage, Reason.RELEASE_UNAVAILABLE, detail)

    def _load(self) -> Failure | None:
        """Raises ProcessEnded."""
        if self.restore is not None:
            failure = self.restore()
            if failure is not None:
                return failure
        self._end_children()
        loader = self._loader = self._first.fork()
        data = loader.ask(["load", self._folder], allowed_s=2 * LOAD_ALLOWED_S)
        loaded = attempt(self._setup.stage, Reason.CRASHED, unpack_loaded, data)
        if isinstance(loaded, Failure):
            loader.end()
            return loaded._replace(reason=Reason.RELEASE_UNAVAILABLE)
        self._can_be_forked = loaded
        return None

    def _end_children(self) -> None:
        """The one that was forked first: only the other knows how it ended."""
        for child in (self._server, self._loader):
            if child is not None:
                child.end()
        self._server = self._loader = None


def _size_bytes(item: Any) -> int:
    return len(item) if isinstance(item, bytes | str) else 1
