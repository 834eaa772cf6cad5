"""A pipeline that is killed, and starts again whenever it has ended."""

import contextlib
import enum
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from beam_pipeline.io.threads import Background
from loadtest.processes import MODELS
from testudo.local.family import family_of, living
from testudo.local.jobs import LocalJob

LOOK_EVERY_S = 0.5
STOP_ALLOWED_S = 300.0  # a machine with other work is slow
KILL_ALLOWED_S = 300.0  # for a victim to be there
ENGINE = "prism"


class Victim(enum.StrEnum):
    """What is killed, each by SIGKILL."""

    WORKER = "worker"  # the process of `testudo run`
    ENGINE = "engine"
    MODELS = "models"  # one of the models' processes
    EVERYTHING = "everything"


class Job:
    """`testudo run` as a context: started at the beginning, and again each time that it ends.

    `on_change` is called with True when the job runs, and False when it has ended. The
    largest memory of its processes together, Prism apart, is measured twice a second.
    """

    def __init__(
        self, flags: Sequence[str], log: Path, on_change: Callable[[bool], None], *, seed: int
    ) -> None:
        self.kills: Counter[Victim] = Counter()
        self.starts = 0
        self.peak_bytes = self.peak_engine_bytes = 0
        self._flags = flags
        self._log = log
        self._on_change = on_change
        self._chance = random.Random(seed)
        self._stopping = threading.Event()
        self._seen: set[psutil.Process] = set()
        self._job = self._start()
        self._watcher = Background(self._watch, "watch-job")

    def __enter__(self) -> Self:
        self._watcher.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._stopping.is_set():
            self.stop()

    def kill(self, victim: Victim) -> None:
        """Kill it; waits until there is one to kill."""
        deadline_s = time.monotonic() + KILL_ALLOWED_S
        while time.monotonic() < deadline_s:
            if victims := self._find(victim):
                for one in victims:
                    with contextlib.suppress(psutil.NoSuchProcess):  # it went with another one
                        one.kill()
                self.kills[victim] += 1
                return
            time.sleep(LOOK_EVERY_S)

    def family(self) -> list[psutil.Process]:
        """The running worker and all processes below it, itself first."""
        return family_of(self._job.process.pid)

    @property
    def pids(self) -> set[int]:
        """The numbers of all processes of any of its starts."""
        return {one.pid for one in self._seen}

    def left(self) -> list[psutil.Process]:
        """Processes of any of its starts that are still there."""
        return living(self._seen)

    def stop(self) -> int:
        """End it as SIGTERM does; returns its exit code."""
        self._stopping.set()
        self._watcher.join()
        code = self._job.stop(STOP_ALLOWED_S)
        self._watcher.check()
        return code

    def _start(self) -> LocalJob:
        self.starts += 1
        self._runs = False
        return LocalJob(self._flags, self._log, append=True)

    def _watch(self) -> None:
        while not self._stopping.wait(LOOK_EVERY_S):
            if self._job.ended():
                if self._runs:
                    self._on_change(False)
                self._job = self._start()
            elif not self._runs and self._job.runs():
                self._runs = True
                self._on_change(True)
            self._look_at_memory()

    def _look_at_memory(self) -> None:
        used = engine = 0
        for one in self.family():
            self._seen.add(one)
            try:
                if one.name() == ENGINE:
                    engine += one.memory_info().rss
                else:
                    used += one.memory_info().rss
            except psutil.Error:
                continue
        self.peak_bytes = max(self.peak_bytes, used)
        self.peak_engine_bytes = max(self.peak_engine_bytes, engine)

    def _find(self, victim: Victim) -> list[psutil.Process]:
        family = self.family()
        try:
            if victim is Victim.ENGINE:
                return [one for one in family if one.name() == ENGINE]
            if victim is Victim.MODELS:
                models = [one for one in family if MODELS in one.cmdline()]
                return [self._chance.choice(models)] if models else []
        except psutil.Error:
            return []  # one has just ended: look again
        return family[:1] if victim is Victim.WORKER else family
