"""The processes that hold the models of one stage, and that may be lost at any time.

    python -P -m models.model_process SETUP SOCKET FILE

The first one imports what its stage needs. Asked to, it forks another one, which loads
a release; that one forks the one that answers for items. So to begin again after a death
costs a fork, and no import and no load. Each is asked over a socket of its own by the
worker that started the first (models.isolation); when the worker is gone, in whatever
way, the sockets end, and so do the processes, in the middle of a call too. Time limits
are the system's alarm, and memory is limited by the system too: an item that breaks out
of either ends one process, and nothing else. No Beam is imported here, so that they
start fast.

Requests are msgpack: ["fork"], with the new process's files; ["ended", PID];
["load", FOLDER]; ["answer", ITEMS, ONE_BY_ONE]. The answer to the last two is
[failed, value, microseconds] an item. Nothing is ever unpickled.
"""

import contextlib
import gc
import json
import os
import resource
import socket
import sys
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgpack

from models.branches import BRANCHES, Kernel
from models.exchange import LENGTH_BYTES
from models.facts import Encoded, Score, Scores
from models.failures import Failure, Reason, Stage, attempt
from models.features import ImageLimits
from models.golden import check_golden, read_golden
from models.kernels import Answer, CallLimits, ScoreKernel, time_limit
from models.manifest import MANIFEST, Manifest
from models.progress import Progress
from models.sandbox import (
    be_first_to_go,
    be_nobody,
    end_with_parent,
    end_with_worker,
    let_alarms_end,
    limit_memory,
)

LOAD_ALLOWED_S = 120.0  # importing TensorFlow on a busy machine is much of it


class Setup(NamedTuple):
    """What one of these processes is started for."""

    stage: Stage
    calls: CallLimits
    images: ImageLimits

    def to_json(self) -> str:
        return json.dumps([self.stage, vars(self.calls), vars(self.images)])

    @classmethod
    def from_json(cls, text: str) -> "Setup":
        stage, calls, images = json.loads(text)
        return cls(Stage(stage), CallLimits(**calls), ImageLimits(**images))


def load_kernel(setup: Setup, folder: Path) -> Kernel:
    """One stage's part of the release in `folder`."""
    manifest = Manifest.from_json((folder / MANIFEST).read_text(encoding="utf-8"))
    kernel = BRANCHES[setup.stage].kernel if setup.stage in BRANCHES else ScoreKernel
    return kernel(manifest, folder, setup.calls, setup.images)


def prove_kernel(stage: Stage, folder: Path, kernel: Kernel) -> None:
    """Raises ReleaseError where it does not give what the release's golden items say."""
    manifest = Manifest.from_json((folder / MANIFEST).read_text(encoding="utf-8"))
    check_golden(stage, kernel, manifest, read_golden(manifest, folder))


def pack_answers(answers: Sequence[Answer]) -> bytes:
    packed: bytes = msgpack.packb(
        [(isinstance(one.result, Failure), one.result, one.spent_us) for one in answers]
    )
    return packed


def unpack_answers(stage: Stage, data: bytes, count: int) -> list[Answer]:
    """What `pack_answers` packed in the process of that stage, for a request of `count` items.

    Raises ValueError or TypeError for what it never packs.
    """
    result = _encoded if stage in BRANCHES else _scores
    answers = [
        Answer(_failure(value) if failed else result(value), int(spent_us))
        for failed, value, spent_us in msgpack.unpackb(data)
    ]
    if len(answers) != count:
        raise ValueError(f"{len(answers)} answers to {count} items")
    return answers


def pack_loaded(loaded: Failure | Kernel) -> bytes:
    told = (True, loaded) if isinstance(loaded, Failure) else (False, can_be_forked(loaded))
    packed: bytes = msgpack.packb(told)
    return packed


def unpack_loaded(data: bytes) -> bool | Failure:
    """Whether what was loaded can be forked, or why it was not.

    Raises ValueError or TypeError for what `pack_loaded` never packs.
    """
    failed, value = msgpack.unpackb(data)
    return _failure(value) if failed else bool(value)


def _failure(value: Sequence[Any]) -> Failure:
    stage, reason, detail = value
    return Failure(Stage(stage), Reason(reason), str(detail))


def _encoded(value: Sequence[Any]) -> Encoded:
    features, facts, spent_us = value
    for one, kinds in ((features, bytes), (facts, dict | None), (spent_us, dict)):
        if not isinstance(one, kinds):
            raise TypeError(f"{type(one).__name__} for {kinds}")
    return Encoded(features, facts, spent_us)


def _scores(value: Sequence[Any]) -> Scores:
    scores, decisions = value
    if not isinstance(decisions, str):
        raise TypeError(f"{type(decisions).__name__} for {str}")
    return Scores([Score(*one) for one in scores], decisions)


class Server:
    """Answers the requests of one of the processes, and is the same in those that it forks."""

    def __init__(self, setup: Setup, connection: "Connection", progress: Progress) -> None:
        self._setup = setup
        self._connection = connection
        self._progress = progress
        self._kernel: Kernel | None = None
        self._guarded = False

    def serve(self) -> None:
        """Answer until the worker is gone. Raises EOFError or OSError then."""
        while True:
            verb, *values = msgpack.unpackb(self._connection.receive())
            self.handle(verb, values)

    def handle(self, verb: str, values: Sequence[Any]) -> None:
        if verb == "fork":
            self._fork()
        elif verb == "ended":
            _, status = os.waitpid(values[0], 0)
            self._connection.send(msgpack.packb(os.waitstatus_to_exitcode(status)))
        elif verb == "load":
            self._connection.send(pack_loaded(self._load(Path(values[0]))))
        else:
            self._connection.send(pack_answers(self._answers(*values)))

    def _fork(self) -> None:
        """What follows happens in both: the worker asks each by its own connection."""
        number, file = self._connection.receive_files(2)
        parent = os.getpid()
        pid = os.fork()
        if pid:
            os.close(number)
            os.close(file)
            self._connection.send(msgpack.packb(pid))
            return
        end_with_parent(parent)
        self._connection.close()
        self._progress.close()
        self._connection, self._progress = Connection(number), Progress(file)
        end_with_worker(number)

    def _load(self, folder: Path) -> Kernel | Failure:
        stage = self._setup.stage
        with time_limit(LOAD_ALLOWED_S):
            load = partial(load_kernel, self._setup, folder)
            loaded = attempt(stage, Reason.RELEASE_UNAVAILABLE, load)
        if not isinstance(loaded, Failure):
            # Each call within has its own time, by the same alarm as that of the load.
            prove = partial(prove_kernel, stage, folder, loaded)
            if failure := attempt(stage, Reason.RELEASE_UNAVAILABLE, prove):
                return failure
            self._kernel = loaded
            # What is loaded by now is no garbage, and stays shared with what is forked.
            gc.collect()
            gc.freeze()
        return loaded

    def _answers(self, items: Sequence[Any], one_by_one: bool) -> list[Answer]:
        assert self._kernel is not None, "no release was loaded"  # noqa: S101 - the worker's bug
        if not self._guarded:
            self._guarded = True
            limit_memory(self._setup.calls.memory_bytes)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # of which an item would write many
            if can_be_forked(self._kernel):  # else it holds a device, which may not be everybody's
                be_nobody()
            if not getattr(self._kernel, "opens_files", True):
                # TensorFlow's last words would be its libraries' symbols: a tenth of a second.
                resource.setrlimit(resource.RLIMIT_NOFILE, (1, 1))  # a poll counts as one
        self._kernel.at = self._progress.at  # type: ignore[attr-defined]
        answers: list[Answer] = []
        for number, part in enumerate([[item] for item in items] if one_by_one else [items]):
            self._progress.begin_at(number)
            answers += self._kernel(part)
        self._progress.at(0, 0)
        return answers


def can_be_forked(kernel: Kernel) -> bool:
    """Whether a loaded kernel works in a fork of the process that loaded it."""
    return sys.platform == "linux" and getattr(kernel, "can_be_forked", False)


class Connection:
    """Whole messages over the socket to the worker. Raises EOFError when it is gone."""

    def __init__(self, number: int) -> None:
        self._socket = socket.socket(fileno=number)
        self._socket.setblocking(True)

    def receive(self) -> bytes:
        return self._exactly(int.from_bytes(self._exactly(LENGTH_BYTES)))

    def receive_files(self, count: int) -> list[int]:
        _, files, _, _ = socket.recv_fds(self._socket, 1, count)
        if len(files) != count:
            raise EOFError
        return list(files)

    def send(self, data: bytes) -> None:
        self._socket.sendall(len(data).to_bytes(LENGTH_BYTES) + data)

    def close(self) -> None:
        self._socket.close()

    def _exactly(self, count: int) -> bytes:
        data = bytearray(count)
        left = memoryview(data)
        while left:
            received = self._socket.recv_into(left)
            if not received:
                raise EOFError
            left = left[received:]
        return bytes(data)


def import_for(stage: Stage) -> None:
    """What takes long to import, and every release of the stage needs."""
    if stage == Stage.TEXT:
        import tensorflow  # noqa: F401 - seconds, that no release's own process is to take


def main(number: int, file: int, setup: Setup) -> int:
    """Answer until the worker is gone."""
    let_alarms_end()
    end_with_worker(number)
    be_first_to_go()
    # The other thread of a process that forks waits in a call of the system.
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    import_for(setup.stage)
    gc.collect()
    gc.freeze()
    with contextlib.suppress(EOFError, OSError):  # also in the middle of a request
        Server(setup, Connection(number), Progress(file)).serve()
    return 0


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.exit(main(int(sys.argv[2]), int(sys.argv[3]), Setup.from_json(sys.argv[1])))
