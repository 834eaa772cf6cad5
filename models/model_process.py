"""The process that holds the models of one stage, and that may be lost at any time.

    python -P -m models.model_process SETUP FD

Requests come over the socket FD from the worker that started it (models.isolation)
and are answered one by one; when the worker is gone, in whatever way, the socket
ends, and so does this process, in the middle of a call too. Time limits are the
system's alarm, and memory is limited by the system too: an item that breaks out of
either ends this process, and nothing else. No Beam is imported here, so that it starts fast.

A request is msgpack of [folder of a release, items]; without items it only loads.
The answer is [failed, value, microseconds] an item. Nothing is ever unpickled.
"""

import contextlib
import json
import os
import re
import resource
import select
import signal
import sys
import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import msgpack

from models.branches import BRANCHES, Kernel
from models.facts import Encoded, Score
from models.failures import Failure, Reason, Stage, attempt
from models.features import ImageLimits
from models.kernels import Answer, CallLimits, ScoreKernel, time_limit
from models.manifest import MANIFEST, Manifest

KEPT_RELEASES = 3  # the one in use, the one before it, and a canary
LOAD_ALLOWED_S = 120.0  # importing TensorFlow on a busy machine is much of it
DATA_SIZE = re.compile(r"^VmData:\s+(\d+) kB$", re.MULTILINE)


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
    # Without items there is nothing to answer, or why the release cannot be loaded.
    refused = not count and len(answers) == 1 and isinstance(answers[0].result, Failure)
    if len(answers) != count and not refused:
        raise ValueError(f"{len(answers)} answers to {count} items")
    return answers


def _failure(value: Sequence[Any]) -> Failure:
    stage, reason, detail = value
    return Failure(Stage(stage), Reason(reason), str(detail))


def _encoded(value: Sequence[Any]) -> Encoded:
    features, facts, spent_us = value
    for one, kinds in ((features, bytes), (facts, dict | None), (spent_us, dict)):
        if not isinstance(one, kinds):
            raise TypeError(f"{type(one).__name__} for {kinds}")
    return Encoded(features, facts, spent_us)


def _scores(value: Sequence[Any]) -> list[Score]:
    return [Score(*one) for one in value]


class Server:
    """Answers requests with the kernels of the last few releases."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._kernels: OrderedDict[str, Kernel] = OrderedDict()

    def answer(self, request: bytes) -> list[Answer]:
        folder, items = msgpack.unpackb(request)
        loaded = self._loaded(folder)
        if isinstance(loaded, Failure):
            return [Answer(loaded, 0)] * max(1, len(items))
        return loaded(items) if items else []

    def _loaded(self, folder: str) -> Kernel | Failure:
        kernel = self._kernels.get(folder)
        if kernel is not None:
            self._kernels.move_to_end(folder)
            return kernel
        limit_memory(None)
        with time_limit(LOAD_ALLOWED_S):
            load = partial(load_kernel, self._setup, Path(folder))
            loaded = attempt(self._setup.stage, Reason.RELEASE_UNAVAILABLE, load)
        if not isinstance(loaded, Failure):
            self._kernels[folder] = loaded
            while len(self._kernels) > KEPT_RELEASES:
                self._kernels.popitem(last=False)
        limit_memory(self._setup.calls.memory_bytes)
        return loaded


def limit_memory(more_bytes: int | None) -> None:
    """Let this process take so much more memory than now, or as much as there is.

    Linux only; elsewhere nothing happens.
    """
    with contextlib.suppress(OSError):
        status = Path("/proc/self/status").read_text(encoding="ascii")
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        limit = most
        if more_bytes is not None and (size := DATA_SIZE.search(status)):
            limit = int(size[1]) * 1024 + more_bytes
        resource.setrlimit(resource.RLIMIT_DATA, (limit, most))


def be_first_to_go() -> None:
    """Where memory ends, the system is to end this process, not the worker. Linux only."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def end_with_worker(number: int) -> None:
    """End this process when the socket ends, whatever it does then."""
    watch = select.poll()
    watch.register(number, 0)  # nothing but the end
    threading.Thread(target=_outlive_nobody, args=(watch,), name="worker", daemon=True).start()


def _outlive_nobody(watch: select.poll) -> None:
    watch.poll()
    os._exit(0)


def let_alarms_end() -> None:
    """A worker's own ways with signals are inherited: one that it ignores would cut nothing."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def main(number: int, setup: Setup) -> int:
    """Answer until the worker is gone."""
    let_alarms_end()
    end_with_worker(number)
    be_first_to_go()
    server = Server(setup)
    with Connection(number) as connection:
        while True:
            try:
                request = connection.recv_bytes()
                connection.send_bytes(pack_answers(server.answer(request)))
            except (EOFError, OSError):  # also in the middle of a request
                return 0


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.exit(main(int(sys.argv[2]), Setup.from_json(sys.argv[1])))
