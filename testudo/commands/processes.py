"""`testudo run --processes`: several jobs on one machine, which share a subscription.

A worker has one interpreter's lock and an engine takes one job, so more cores are
used by more of both. Each child is a `testudo run` with an engine of its own. What
it says goes on to standard error, each line with its number. It reads an empty
standard input, whose end it takes for its own: however the supervisor ends, kill -9
included, its children end.
"""

import contextlib
import os
import queue
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import NamedTuple, Self

from testudo.commands.job import on_signals, say
from testudo.local.jobs import RUN, RUNNING, LocalJob

LOOK_S = 1.0  # a signal that comes just before a wait begins is seen after it
LAST_WORDS_S = 10.0  # of the models' processes, which hold a child's output a little longer


class Change(NamedTuple):
    """A child runs, or has ended with an exit code."""

    number: int
    code: int | None = None


class Child:
    """A job, running within the block; killed at its end if it still runs."""

    def __init__(self, number: int, job: LocalJob, changes: "queue.SimpleQueue[Change]") -> None:
        self.number = number
        self.job = job
        self._changes = changes
        self._threads = [
            threading.Thread(target=work, name=f"child-{number}", daemon=True)
            for work in (self._pass_on, self._wait)
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        process = self.job.process
        if process.stdin is not None:
            process.stdin.close()
        for thread in self._threads:
            thread.join(LAST_WORDS_S)
        if process.stdout is not None and not self._threads[0].is_alive():
            process.stdout.close()

    def _pass_on(self) -> None:
        for line in self.job.process.stdout or ():
            if line.strip() == RUNNING.encode():
                self._changes.put(Change(self.number))
                continue
            with contextlib.suppress(OSError):  # nobody reads; the child must not wait for it
                text = line.rstrip(b"\n").decode(errors="replace")
                sys.stderr.write(f"[{self.number}] {text}\n")
                sys.stderr.flush()

    def _wait(self) -> None:
        self._changes.put(Change(self.number, _exit_code(self.job.process.wait())))


def _exit_code(returncode: int) -> int:
    """As shells say it: 128 and the signal's number for what a signal ended."""
    return returncode if returncode >= 0 else 128 - returncode


def run_several(flags: Sequence[Sequence[str]], *, command: Sequence[str] = RUN) -> int:
    """Run a job for each of these flags until all have ended; SIGINT and SIGTERM go on to them.

    Returns 0 if all ended well. One that ends by itself ends the others, which
    finish what is in flight, and its exit code is returned.
    """
    changes: queue.SimpleQueue[Change] = queue.SimpleQueue()
    with contextlib.ExitStack() as exits:
        children = [
            # A terminal's Ctrl-C comes through `ask_to_end`, once.
            exits.enter_context(
                Child(number, LocalJob(own, own_group=True, command=command), changes)
            )
            for number, own in enumerate(flags, 1)
        ]
        return _Supervisor(children, changes).wait()


class _Supervisor:
    def __init__(self, children: Sequence[Child], changes: "queue.SimpleQueue[Change]") -> None:
        self._children = children
        self._changes = changes
        self._ending = False
        on_signals(self._end)

    def wait(self) -> int:
        """Until all have ended; returns the exit code."""
        running, codes = set[int](), dict[int, int]()
        while len(codes) < len(self._children):
            try:
                number, code = self._changes.get(timeout=LOOK_S)
            except queue.Empty:
                continue
            if code is None:
                running.add(number)
                if len(running) == len(self._children):
                    say(RUNNING)
                continue
            codes[number] = code
            if not self._ending:
                say(f"Process {number} ended by itself with exit code {code}; the others finish.")
                self._end()
        first, *others = codes.values()
        return first or max(others, default=0)

    def _end(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        self._ending = True
        for child in self._children:
            child.job.ask_to_end()


def end_with_supervisor() -> None:
    """Have this child killed when its standard input ends, which its supervisor holds open."""
    threading.Thread(target=_outlive_nobody, name="supervisor", daemon=True).start()


def _outlive_nobody() -> None:
    try:
        while os.read(sys.stdin.fileno(), 1):
            pass
    finally:
        os.kill(os.getpid(), signal.SIGKILL)
