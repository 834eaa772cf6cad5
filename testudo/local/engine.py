"""Prism, Beam's streaming engine, for as long as one pipeline runs.

Each pipeline has an engine of its own: Prism keeps all in memory, takes up no
further job once a job's workers have gone away, and ends in a tenth of a second.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from testudo.local.processes import ServerProcess, wait_for_answers, warn_of_open_addresses
from testudo.local.servers import HOST, engine_server
from testudo.local.tools import install_tools
from testudo.watch import forget, watch

AFTER_ENGINE = "Start again: what has no outcome yet comes again, within half a minute."
_START_ALLOWED_S = 300.0  # one that has ended is reported at once


@contextlib.contextmanager
def running_engine(
    home: Path,
    report: Callable[[str], None],
    *,
    tools: Path | None = None,
    name: str = "prism",
) -> Iterator[str]:
    """Run Prism within the block; gives host and port for Beam's --job_endpoint.

    It ends with the block, and with this process on whatever path, kill -9
    included; a command that uses it ends when it does. Its log is home/logs/NAME.log;
    engines that run at the same time need names of their own. Raises ToolsMissing or
    StackError.
    """
    found = install_tools(tools or home / "tools", report)
    prism = ServerProcess(
        engine_server(found), home / name, home / "logs" / f"{name}.log", keep_data=False
    )
    try:
        prism.start()
        wait_for_answers([prism], _START_ALLOWED_S, time.monotonic, time.sleep)
        warn_of_open_addresses([prism], report)
        watch(f"the engine {name}", prism.pid, log=prism.log, advice=AFTER_ENGINE)
        yield f"{HOST}:{prism.ports[0]}"
    finally:
        forget([prism.pid])
        prism.stop()
