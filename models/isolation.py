"""Models in processes of their own, so that no item can end, hang or fill a worker.

A call that crashes, hangs or takes too much memory ends the model's process. It
is started again, and the batch's items are sent one by one: only an item that
ends the process again when it is alone gets a failure, the others their results.
Once may be chance, such as the system's want of memory; twice is the item's doing.
"""

import atexit
import contextlib
import functools
import logging
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgpack

from models.kernels import Answer
from models.model_process import LOAD_ALLOWED_S, Setup, unpack_answers
from transforms.records import Failure, Reason

LOG = logging.getLogger(__name__)
LOAD_TRIES = 2
END_ALLOWED_S = 5.0
# What leads to a service or opens it. The process reads senders' bytes, and asks nobody.
ACCESS = re.compile(
    "GOOGLE|GCLOUD|CLOUDSDK|EMULATOR|PROXY|AUTH|CREDENTIAL|SECRET|TOKEN|PASSW|API_?KEY",
    re.IGNORECASE,
)


class ProcessEnded(Exception):
    """The model's process ended during a call; says how."""

    def __init__(self, code: int) -> None:
        self.cut = -code == signal.SIGALRM
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        super().__init__(name)


class ModelProcess:
    """One stage's models in a process of their own; started when it is first needed.

    Safe to use from several threads; calls take turns.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._loaded: set[str] = set()
        atexit.register(self.close)

    @property
    def pid(self) -> int:
        """Of the running process; 0 when there is none now."""
        return self._process.pid if self._process is not None else 0

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
        if self._connection is not None:
            self._connection.close()  # by which it knows
            self._connection = None
        if self._process is not None:
            try:
                self._process.wait(END_ALLOWED_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        self._loaded.clear()

    def _alone(self, folder: str, item: Any) -> Answer:
        try:
            return self._ask(folder, [item])[0]
        except ProcessEnded as ended:
            if ended.cut:
                return self._failed(Reason.TIMED_OUT, self._allowed())
            return self._failed(Reason.CRASHED, f"it ended the model's process: {ended}")

    def _allowed(self) -> str:
        calls = self._setup.calls
        return f"cut; allowed are {calls.decode_s:g} s to decode and {calls.call_s:g} s a call"

    def _failed(self, reason: Reason, detail: str) -> Answer:
        LOG.warning("%s models: %s: %s", self._setup.stage, reason, detail)
        return Answer(Failure(self._setup.stage, reason, detail), 0)

    def _ask(self, folder: str, items: Sequence[Any]) -> list[Answer]:
        failure = self._load(folder)
        if failure is not None:
            return [Answer(failure, 0)] * len(items)
        calls = self._setup.calls
        # The process cuts itself; this is for one that even its alarm cannot end.
        allowed_s = LOAD_ALLOWED_S + len(items) * (calls.decode_s + 2 * calls.call_s)
        return self._exchange(folder, items, allowed_s)

    def _load(self, folder: str) -> Failure | None:
        if folder in self._loaded:
            return None
        for _ in range(LOAD_TRIES):
            try:
                answers = self._exchange(folder, [], 2 * LOAD_ALLOWED_S)
            except ProcessEnded as error:
                ended = error
                continue
            if answers:
                return answers[0].result
            self._loaded.add(folder)
            return None
        detail = f"loading it ended the model's process: {ended}"
        return Failure(self._setup.stage, Reason.RELEASE_UNAVAILABLE, detail)

    def _exchange(self, folder: str, items: Sequence[Any], allowed_s: float) -> list[Answer]:
        """Raises ProcessEnded."""
        connection = self._connected()
        with contextlib.suppress(EOFError, ConnectionError):
            connection.send_bytes(msgpack.packb((folder, items)))
            if connection.poll(allowed_s):
                return unpack_answers(self._setup.stage, connection.recv_bytes())
        raise self._ended()

    def _ended(self) -> ProcessEnded:
        process = self._process
        if process is None:
            raise RuntimeError("no process was started")
        try:
            code = process.wait(END_ALLOWED_S)
        except subprocess.TimeoutExpired:
            process.kill()
            code = -signal.SIGALRM  # which did not come through
        self.close()
        return ProcessEnded(code)

    def _connected(self) -> Connection:
        if self._connection is None:
            # Not socket.socketpair: its ends keep the default timeout that Beam sets for
            # its HTTP clients, and the process's first read would fail at once.
            ours, theirs = Pipe()
            with theirs:
                self._process = subprocess.Popen(
                    [
                        *(sys.executable, "-m", "models.model_process"),
                        *(str(theirs.fileno()), self._setup.to_json()),
                    ],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    env={k: v for k, v in os.environ.items() if not ACCESS.search(k)},
                    process_group=0,  # Ctrl-C is the worker's to handle
                )
            self._connection = ours
        return self._connection


_starting = threading.Lock()


def model_process(setup: Setup) -> ModelProcess:
    """This process's one model process of a kind, shared by its threads and pipelines."""
    with _starting:
        return _model_process(setup)


@functools.cache
def _model_process(setup: Setup) -> ModelProcess:
    return ModelProcess(setup)
