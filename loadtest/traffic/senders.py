"""The generator's processes, as their caller has them: started together, ended together."""

import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from testudo.errors import Failed

MODULE = "loadtest.traffic.sender"
READY, DUE = "ready", "due"  # what a process says
START_AHEAD_S = 0.1  # where the caller names no moment
_POLL_EVERY_S = 0.2
_READY_ALLOWED_S, _END_ALLOWED_S = 180.0, 120.0
_LOG_LINES = 15


class SendError(Failed):
    """Why a trace cannot be sent, or was not."""


class Senders:
    """The generator's processes; none is left when the block ends."""

    def __init__(self, folder: Path, count: int, flags: Mapping[str, object]) -> None:
        self._folder, self._count, self._flags = folder, count, flags
        self._running: list[subprocess.Popen[str]] = []
        self._said: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        for number in range(self._count):
            own = {"share": number, "of": self._count, "out": self._out(number)}
            flags = [f"--{name}={value}" for name, value in {**self._flags, **own}.items()]
            with self._log(number).open("wb") as log:
                process = subprocess.Popen(
                    [sys.executable, "-m", MODULE, *flags],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    errors="replace",  # the listener must not end, whatever is printed
                )
            self._running.append(process)
            threading.Thread(target=self._listen, args=(number, process), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    pipe.close()

    def begin(self, start_at: float | None) -> float:
        """Wait until all are ready, and have them begin; returns the Unix time at which they do."""
        deadline_s, ready = time.monotonic() + _READY_ALLOWED_S, set[int]()
        while len(ready) < self._count:
            number, line = self._next(deadline_s - time.monotonic())
            if line != READY:
                raise self._failed(number)
            ready.add(number)
        now = time.time()
        if start_at is not None and start_at < now:
            raise SendError(f"the generator was ready {now - start_at:.1f} s after it should begin")
        start_at = now + START_AHEAD_S if start_at is None else start_at
        for process in self._running:
            self._tell(process, f"{start_at!r}\n")
        return start_at

    def wait(self, messages: int, report: Callable[[str], None], stop: threading.Event) -> None:
        """Until all have sent what is theirs, or `stop` is set."""
        due = [0] * self._count
        while not stop.is_set() and any(process.poll() is None for process in self._running):
            try:
                number, line = self._said.get(timeout=_POLL_EVERY_S)
            except queue.Empty:
                continue
            if line.startswith(DUE):
                due[number] = int(line.split()[1])
                report(f"{sum(due):,} of {messages:,} messages sent")

    def end(self) -> list[Path]:
        """Let what is on its way arrive; returns the files of what each has sent."""
        for process in self._running:
            if process.stdin:
                process.stdin.close()
        for number, process in enumerate(self._running):
            try:
                code = process.wait(_END_ALLOWED_S)
            except subprocess.TimeoutExpired as error:
                raise self._failed(number) from error
            if code:
                raise self._failed(number)
        return [self._out(number) for number in range(self._count)]

    def _next(self, allowed_s: float) -> tuple[int, str]:
        try:
            return self._said.get(timeout=max(allowed_s, 0))
        except queue.Empty as error:
            raise SendError(f"the generator is not ready after {_READY_ALLOWED_S:g} s") from error

    def _listen(self, number: int, process: subprocess.Popen[str]) -> None:
        """Its lines, and an empty one at its end."""
        for line in process.stdout or ():
            self._said.put((number, line.strip()))
        self._said.put((number, ""))

    def _tell(self, process: subprocess.Popen[str], line: str) -> None:
        if process.stdin:
            process.stdin.write(line)
            process.stdin.flush()

    def _failed(self, number: int) -> SendError:
        log = self._log(number).read_text(encoding="utf-8", errors="replace").splitlines()
        return SendError("\n".join(["the generator ended with:", *log[-_LOG_LINES:]]))

    def _out(self, number: int) -> Path:
        return self._folder / f"sent-{number}.parquet"

    def _log(self, number: int) -> Path:
        return self._folder / f"sender-{number}.log"
