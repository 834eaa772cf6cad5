"""End a command when a part of the stack that it works with is dead for good.

Clients ask a server that has ended again and again, for minutes, and Beam waits for an
engine without an end. A server that fails or is silent for a while is left to the clients:
what counts here is that its process is gone.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Collection, Iterable
from pathlib import Path
from types import FrameType, TracebackType
from typing import NamedTuple, Self

import psutil

_POLL_S = 0.25
_SURE_WITHIN_S = 0.3  # a dying process closes its connections a little before it is gone
_END_ALLOWED_S = 15.0  # for what is open: threads may still be asking the dead part
_SIGNAL = signal.SIGUSR1


class PartEnded(BaseException):
    """A part has ended; which, and what to do about it, in one line.

    No Exception: what asks again at any error must not catch it.
    """

    exit_code = 1


class Part(NamedTuple):
    """A process that a command cannot do without; `advice` follows on how it ended."""

    name: str
    pid: int
    process: psutil.Process | None  # None when it had ended before it was watched
    log: Path | None
    advice: str

    def ended(self) -> bool:
        return self.process is None or not lives(self.process)

    def __str__(self) -> str:
        log = f"; its log is {self.log}" if self.log else ""
        return f"{self.name} (process {self.pid}) has ended{log}. {self.advice}"


def lives(process: psutil.Process) -> bool:
    """Whether it is there, and is the one that it was; a zombie does nothing any more."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Watching:
    """While the block runs, PartEnded is raised in it when a part of `watch` has ended.

    For the main thread. Should something catch that, or take too long to close, the
    process ends all the same, with exit code 1. An error that the end of a part brings
    about becomes PartEnded too.
    """

    def __init__(self) -> None:
        self._parts: tuple[Part, ...] = ()
        self._lock = threading.Lock()
        self._over, self._left = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        _blocks.append(self)
        self._handler = signal.signal(_SIGNAL, self._raise)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if isinstance(error, Exception):
                self.raise_ended(error)
        except PartEnded as ended:
            error = ended
            raise
        finally:
            _blocks.remove(self)
            with self._lock:
                self._left.set()
                if not isinstance(error, PartEnded):
                    self._over.set()
            signal.signal(_SIGNAL, self._handler)

    def add(self, part: Part) -> None:
        with self._lock:
            self._parts += (part,)
            if self._thread is None:
                self._thread = threading.Thread(target=self._poll, name="watch", daemon=True)
                self._thread.start()

    def forget(self, pids: Collection[int]) -> None:
        with self._lock:
            self._parts = tuple(part for part in self._parts if part.pid not in pids)

    def raise_ended(self, cause: BaseException) -> None:
        """Raise PartEnded if a part has ended, or does so in this moment."""
        deadline_s = time.monotonic() + _SURE_WITHIN_S
        while self._parts:
            if ended := self._first_ended():
                raise PartEnded(str(ended)) from cause
            if time.monotonic() > deadline_s:
                return
            time.sleep(_POLL_S / 5)

    def _first_ended(self) -> Part | None:
        return next((part for part in self._parts if part.ended()), None)

    def _poll(self) -> None:
        while not self._over.wait(_POLL_S):
            ended = self._first_ended()
            if ended and self._end(ended):
                return

    def _end(self, part: Part) -> bool:
        """End the command; False when the part was forgotten since."""
        with self._lock:
            if part not in self._parts:
                return False
            self._ended = part
            if not self._left.is_set():
                # A real signal: only that ends a wait of the main thread.
                signal.pthread_kill(threading.main_thread().ident or 0, _SIGNAL)
        if self._over.wait(_END_ALLOWED_S):
            return True
        if not self._left.is_set():  # else the command has said so
            print(f"testudo: {part}", file=sys.stderr, flush=True)
        os._exit(PartEnded.exit_code)

    def _raise(self, _number: int, _frame: FrameType | None) -> None:
        raise PartEnded(str(self._ended))


_blocks: list[Watching] = []  # a command may run another one


def watch(name: str, pid: int, *, log: Path | None, advice: str) -> None:
    """End the command when this process has; does nothing outside of `Watching`."""
    if not _blocks:
        return
    try:
        process = psutil.Process(pid)
    except psutil.NoSuchProcess:
        process = None
    _blocks[-1].add(Part(name, pid, process, log, advice))


def forget(pids: Iterable[int]) -> None:
    """These processes may end from now on."""
    gone = set(pids)
    for block in _blocks:
        block.forget(gone)


def raise_ended(cause: BaseException) -> None:
    """Raise PartEnded if a watched process has ended, which `cause` may come from."""
    for block in reversed(_blocks):
        block.raise_ended(cause)
