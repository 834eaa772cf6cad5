"""How end-to-end tests run the pipeline, and wait for what it does."""

import signal
from pathlib import Path

from google.api_core.exceptions import GoogleAPICallError
from waiting import eventually, exit_code

from beam_pipeline.tables import statements
from testudo.commands.engines import BigQueryEngine
from testudo.local.jobs import LocalJob

REPOSITORY = Path(__file__).parents[1]
REFRESH_S = 2  # a test that changes releases need not wait half a minute


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
        self._flags = [f"--home={home}", f"--local_releases={releases}"]
        self._flags.append(f"--release_refresh_s={REFRESH_S}")
        self.log = home / "logs" / "pipeline.log"
        self.start()

    def start(self) -> None:
        self.process = LocalJob(self._flags, self.log, append=True).process

    def stop(self) -> int:
        """End it as Ctrl-C does; returns its exit code."""
        self.process.send_signal(signal.SIGINT)
        try:
            return exit_code(self.process)
        except AssertionError:
            self.process.kill()
            self.process.wait()
            raise
