"""Models in processes of their own, so that no item can end, hang or fill a worker.

A call that crashes, hangs or takes too much memory ends the model's process. It
is started again, and the batch's items are sent one by one: only an item that
ends the process again when it is alone gets a failure, the others their results.
Once may be chance, such as the system's want of memory; twice is the item's doing.
"""

import atexit
import functools
import logging
import os
import re
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgpack

from models.exchange import Child, ProcessEnded
from models.failures import Failure, Reason, attempt
from models.kernels import Answer
from models.model_process import LOAD_ALLOWED_S, Setup, unpack_answers

LOG = logging.getLogger(__name__)
LOAD_TRIES = 2
# Of a request, beyond what one item may take: for the others of its batch, however many
# (those of a batch that needs more go one by one), and for a release that is loaded again.
SPARE_S = LOAD_ALLOWED_S
# -P: a folder `models` where the user happens to stand is not this package.
COMMAND = (sys.executable, "-P", "-m", "models.model_process")
ROOT = str(Path(__file__).parents[1])
# What leads to a service or opens it. The process reads senders' bytes, and asks nobody.
ACCESS = re.compile(
    "GOOGLE|GCLOUD|CLOUDSDK|EMULATOR|PROXY|AUTH|CREDENTIAL|SECRET|TOKEN|PASSW|API_?KEY",
    re.IGNORECASE,
)


class ModelProcess:
    """One stage's models in a process of their own; started when it is first needed.

    Safe to use from several threads; calls take turns.
    """

    def __init__(
        self, setup: Setup, *, spare_s: float = SPARE_S, command: Sequence[str] = COMMAND
    ) -> None:
        self._setup = setup
        self._allowed_s = spare_s + setup.calls.decode_s + 2 * setup.calls.call_s
        self._command = (*command, setup.to_json())
        self._turn = threading.Lock()
        self._child: Child | None = None
        self._loaded: set[str] = set()
        self._over = False  # when this process ends, so that no other is started any more
        atexit.register(self._close_for_good)

    @property
    def pid(self) -> int:
        """Of the running process; 0 when there is none now."""
        child = self._child
        return child.pid if child is not None else 0

    def load(self, folder: Path) -> Failure | None:
        """Load a release's part; returns why it cannot be."""
        with self._turn:
            return self._load(str(folder))

    def answers(self, folder: Path, items: Sequence[Any]) -> list[Answer]:
        """An answer an item, in order, whatever the items do."""
        with self._turn:
            try:
                return self._ask(str(folder), items)
            except ProcessEnded as ended:
                LOG.warning("%s models: %s; one item at a time now", self._setup.stage, ended)
            return [self._alone(str(folder), item) for item in items]

    def close(self) -> None:
        """End the process; a later call starts another."""
        child, self._child = self._child, None
        if child is not None:
            child.end()

    def _close_for_good(self) -> None:
        self._over = True
        self.close()

    def _alone(self, folder: str, item: Any) -> Answer:
        try:
            return self._ask(folder, [item])[0]
        except ProcessEnded as ended:
            if ended.cut:
                return self._failed(Reason.TIMED_OUT, f"cut ({ended}); {self._allowed()}")
            return self._failed(Reason.CRASHED, f"it ended the model's process: {ended}")

    def _allowed(self) -> str:
        calls = self._setup.calls
        return f"allowed are {calls.decode_s:g} s to decode and {calls.call_s:g} s a call"

    def _failed(self, reason: Reason, detail: str) -> Answer:
        LOG.warning("%s models: %s: %s", self._setup.stage, reason, detail)
        return Answer(Failure(self._setup.stage, reason, detail), 0)

    def _ask(self, folder: str, items: Sequence[Any]) -> list[Answer]:
        """Raises ProcessEnded."""
        failure = self._load(folder)
        if failure is not None:
            return [Answer(failure, 0)] * len(items)
        # The process cuts itself; this is for one that even its alarm cannot end.
        return self._exchange(folder, items, self._allowed_s)

    def _load(self, folder: str) -> Failure | None:
        for _ in range(LOAD_TRIES):
            try:
                return self._load_once(folder)
            except ProcessEnded as error:
                ended = error
        detail = f"loading it ended the model's process: {ended}"
        return Failure(self._setup.stage, Reason.RELEASE_UNAVAILABLE, detail)

    def _load_once(self, folder: str) -> Failure | None:
        """Raises ProcessEnded."""
        self._running()
        if folder in self._loaded:
            return None
        answers = self._exchange(folder, [], 2 * LOAD_ALLOWED_S)
        if answers:
            return answers[0].result
        self._loaded.add(folder)
        return None

    def _exchange(self, folder: str, items: Sequence[Any], allowed_s: float) -> list[Answer]:
        """Raises ProcessEnded."""
        stage, request = self._setup.stage, msgpack.packb((folder, items))
        child = self._running()
        data = child.ask(request, allowed_s)
        answers = attempt(stage, Reason.CRASHED, unpack_answers, stage, data, len(items))
        if isinstance(answers, Failure):
            child.end()  # what else it would say is worth as little
            raise ProcessEnded(f"its answer cannot be read: {answers.detail}")
        return answers

    def _running(self) -> Child:
        """Raises RuntimeError, which is no item's fault, while this process ends."""
        if self._over:
            raise RuntimeError("this process is ending")
        if self._child is None or not self._child.usable:
            self.close()
            environment = {k: v for k, v in os.environ.items() if not ACCESS.search(k)}
            paths = filter(None, (ROOT, environment.get("PYTHONPATH")))
            environment["PYTHONPATH"] = os.pathsep.join(paths)
            self._loaded = set()
            self._child = Child(self._command, environment)
        return self._child


_starting = threading.Lock()


def model_process(setup: Setup) -> ModelProcess:
    """This process's one model process of a kind, shared by its threads and pipelines."""
    with _starting:
        return _model_process(setup)


@functools.cache
def _model_process(setup: Setup) -> ModelProcess:
    return ModelProcess(setup)
