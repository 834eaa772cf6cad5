"""How end-to-end tests run the pipeline, and wait for what it does."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from google.api_core.exceptions import GoogleAPICallError

from beam_pipeline.commands.engines import BigQueryEngine
from beam_pipeline.tables import statements

REPOSITORY = Path(__file__).parents[1]
WINDOW_S = 5
STOP_ALLOWED_S = 60.0
DEADLINE_S = 120.0
POLL_S = 0.5

T = TypeVar("T")


def eventually(look: Callable[[], T], done: Callable[[T], bool]) -> T:
    """Look again and again until what is seen will do; fails with the last sight of it."""
    deadline_s, tick = time.monotonic() + DEADLINE_S, threading.Event()
    while not done(seen := look()):
        assert time.monotonic() < deadline_s, f"never came about; last seen: {seen}"
        tick.wait(POLL_S)
    return seen


def wait_for_tables(engine: BigQueryEngine) -> None:
    """The pipeline makes its topic and tables before it starts."""
    eventually(lambda: _tables_exist(engine), bool)


def _tables_exist(engine: BigQueryEngine) -> bool:
    """Whether the view is there that is made last."""
    last = list(statements("views"))[-1]
    try:
        engine.ask(f"SELECT COUNT(*) FROM `{{dataset}}.{last}`")
    except GoogleAPICallError:
        return False
    return True


class Pipeline:
    """`testudo run` on the stack, in a process of its own, as a user starts it."""

    def __init__(self, home: Path, releases: Path) -> None:
        self._command = [sys.executable, "-m", "beam_pipeline.cli", "run", f"--home={home}"]
        self._command += [f"--local_releases={releases}", f"--window_s={WINDOW_S}"]
        self.log = home / "logs" / "pipeline.log"
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log, cwd=REPOSITORY)

    def stop(self) -> int:
        """End it as Ctrl-C does; returns its exit code."""
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(timeout=STOP_ALLOWED_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
