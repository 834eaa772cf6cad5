"""The one way to start a job on this machine: `testudo run` in a process of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from testudo.environment import Environment
from testudo.errors import Failed

RUN = (sys.executable, "-m", "testudo.cli", "run")
RUNNING = "Running; Ctrl-C ends it."  # what it says when its job is built
LAST_CHARS = 2_000  # of its log, for an error
POLL_S = 0.25
LAPTOP, DATAFLOW = "laptop", "dataflow"
# How bundles are made: as Prism makes them by itself, and as Dataflow may make them.
BUNDLES: dict[str, tuple[str, ...]] = {
    LAPTOP: (),
    DATAFLOW: (
        "--bundle_messages=2",
        "--readers=16",
        "--experiments=prism_max_bundle_size=2",
        "--experiments=prism_max_parallelism=24",
    ),
}
PROJECT_ROOT = Path(__file__).resolve().parents[2]


def python_path() -> str:
    """A PYTHONPATH that finds this package from any working directory."""
    return os.pathsep.join(filter(None, [str(PROJECT_ROOT), os.environ.get("PYTHONPATH")]))


def local_flags(environment: Environment, job_endpoint: str) -> list[str]:
    """The flags of a job that uses a local environment from end to end, on the engine there."""
    return [
        *(f"--{name}={value}" for name, value in environment.pipeline_flags.items()),
        f"--project={environment.project}",
        "--runner=testudo.local.workers.LocalRunner",
        f"--job_endpoint={job_endpoint}",
        "--environment_type=LOOPBACK",
        # Beam ends its own wait for the job, and with it the job, after this time: a year.
        "--job_server_timeout=31536000",
        # Prism splits a long bundle of the unbounded source wrongly.
        "--experiments=prism_disable_sdf_split",
    ]


class LocalJob:
    """`testudo run` with these flags, started; who starts it ends it by `stop` or `kill`.

    What it says goes to `log`: to its end with `append`. Without a log it is for the caller to
    read from `process.stdout`, and the job ends when the caller closes `process.stdin`.
    `variables` are set over this process's own environment. With `own_group` a terminal's Ctrl-C
    does not reach it. `command` stands for `testudo run` in tests.
    """

    def __init__(
        self,
        flags: Sequence[str],
        log: Path | None = None,
        *,
        append: bool = False,
        variables: Mapping[str, str] | None = None,
        own_group: bool = False,
        nice: int = 0,
        command: Sequence[str] = RUN,
    ) -> None:
        self.log = log
        self._begin = log.stat().st_size if log and append and log.exists() else 0
        output = log.open("ab" if append else "wb") if log else subprocess.PIPE
        try:
            self.process: subprocess.Popen[bytes] = subprocess.Popen(
                [*command, *flags],
                stdin=None if log else subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": python_path(), **(variables or {})},
                process_group=0 if own_group else None,
            )
        finally:
            if not isinstance(output, int):
                output.close()
        if nice:
            psutil.Process(self.process.pid).nice(nice)  # what it starts is as nice

    def said(self) -> str:
        """What it has written to its log."""
        if self.log is None:
            return ""
        with self.log.open("rb") as file:
            file.seek(self._begin)
            return file.read().decode(errors="replace")

    def ended(self) -> bool:
        return self.process.poll() is not None

    def runs(self) -> bool:
        """Whether it has said that its job is built, and has not ended."""
        return not self.ended() and RUNNING in self.said()

    def wait_until_running(self, allowed_s: float) -> None:
        """Raises Failed, with its last words, when it ends before that or takes longer."""
        deadline_s = time.monotonic() + allowed_s
        while not self.runs():
            if self.ended():
                raise Failed(f"the job ended by itself; {self.last_words()}")
            if time.monotonic() > deadline_s:
                raise Failed(f"the job does not run after {allowed_s:.0f} s; {self.last_words()}")
            time.sleep(POLL_S)

    def last_words(self) -> str:
        return f"its log {self.log} ends with:\n{self.said()[-LAST_CHARS:]}"

    def ask_to_end(self) -> None:
        """As Ctrl-C does: at the first time it finishes what is in flight."""
        self.process.terminate()

    def stop(self, allowed_s: float) -> int:
        """Ask it to end, and kill it when it takes longer; returns its exit code."""
        self.ask_to_end()
        try:
            return self.process.wait(allowed_s)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        self.process.kill()
        return self.process.wait()
