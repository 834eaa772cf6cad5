"""What runs when a part of the stack dies: it ends, soon, and says which part it was."""

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from conftest import Releases
from streaming import REPOSITORY, eventually

from testudo.local.detached import StackState, start_detached, stop_detached
from testudo.local.jobs import LocalJob
from testudo.local.stack import LocalStack
from testudo.local.tools import DEFAULT_FOLDER

TOOLS = REPOSITORY / DEFAULT_FOLDER
END_ALLOWED_S = 120.0  # of one that hangs the end never comes
# What the command's log holds at a moment of its start or run.
ENGINE_APPEARS = "the engine appears"
JOB_IS_BUILT = "Running; Ctrl-C ends it."
JOB_RUNS = "Job state changed to RUNNING"


class Run:
    """`testudo run` in a process of its own; what it says is read from its log."""

    def __init__(self, home: Path, releases: str, log: Path, *flags: str) -> None:
        self._log = log
        own = [f"--home={home}", f"--local_releases={releases}", *flags]
        self.process = LocalJob(own, log).process

    @property
    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def engines(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.Error):
            below = psutil.Process(self.process.pid).children(recursive=True)
            return [one for one in below if one.name() == "prism"]
        return []

    def reaches(self, moment: str) -> None:
        def has_come() -> bool:
            assert self.process.poll() is None, self.said
            if moment == ENGINE_APPEARS:
                return bool(self.engines())
            return moment in self.said

        eventually(has_come, bool)

    def ends(self) -> str:
        """What it told when it failed; with nothing left of it."""
        family = [*psutil.Process(self.process.pid).children(recursive=True)]
        try:
            code = self.process.wait(timeout=END_ALLOWED_S)
        except subprocess.TimeoutExpired:
            pytest.fail(f"it goes on for ever; it said:\n{self.said[-2000:]}")
        assert code in (1, 2), self.said
        eventually(lambda: [one for one in family if one.is_running()], lambda left: not left)
        told = re.findall(r"testudo(?: run)?: .*", self.said)
        assert told, self.said
        return "\n".join(told)


@pytest.fixture
def start(releases: Releases, tmp_path: Path) -> "Iterator[Callable[..., Run]]":
    """Starts a run on the stack of a home; none outlives the test."""
    started: list[Run] = []

    def begin(home: Path, *flags: str) -> Run:
        log = tmp_path / f"run-{len(started)}.log"
        started.append(Run(home, releases.root, log, *flags))
        return started[-1]

    yield begin
    for one in started:
        one.process.kill()
        one.process.wait()


@pytest.mark.parametrize("moment", [ENGINE_APPEARS, JOB_IS_BUILT, JOB_RUNS])
def test_a_run_ends_with_its_engine(
    stack: LocalStack, start: Callable[..., Run], moment: str
) -> None:
    """Whenever the engine is killed, the command ends and names it."""
    run = start(stack.home, "--lane=overflow")
    run.reaches(moment)
    (engine,) = run.engines()
    engine.kill()
    assert "prism" in run.ends()


def test_several_processes_end_with_one_engine(
    stack: LocalStack, start: Callable[..., Run]
) -> None:
    """With --processes, too, an engine that dies in a start ends all of it."""
    run = start(stack.home, "--lane=overflow", "--processes=2")
    run.reaches(ENGINE_APPEARS)
    run.engines()[0].kill()
    assert "prism" in run.ends()


@pytest.fixture
def own(stack: LocalStack, tmp_path: Path) -> Iterator[StackState]:
    """A stack that may be killed."""
    home = tmp_path / "home"
    yield start_detached(home, print, tools=TOOLS)
    stop_detached(home)


@pytest.mark.parametrize("part", ["pubsub", "bigquery", "storage", "the local stack"])
def test_a_run_ends_with_a_server(
    own: StackState, tmp_path: Path, start: Callable[..., Run], part: str
) -> None:
    """A server, or what holds them all, is killed: a job that runs and one that starts end."""
    pids = {"the local stack": own.pid, **{one.name: one.pid for one in own.servers}}
    running = start(tmp_path / "home")
    running.reaches(JOB_RUNS)
    starting = start(tmp_path / "home", "--lane=overflow")
    starting.reaches(ENGINE_APPEARS)
    os.kill(pids[part], signal.SIGKILL)
    for one in (starting, running):
        assert part in one.ends()


def test_a_run_goes_on_without_what_it_does_not_use(
    own: StackState, tmp_path: Path, start: Callable[..., Run]
) -> None:
    """The stand-in for control planes has no part in a job: it may die before and within one."""
    (control,) = [one.pid for one in own.servers if one.name == "control"]
    running = start(tmp_path / "home")
    running.reaches(JOB_RUNS)
    os.kill(control, signal.SIGKILL)
    starting = start(tmp_path / "home", "--lane=overflow")
    starting.reaches(JOB_RUNS)
    assert running.process.poll() is None, running.said
