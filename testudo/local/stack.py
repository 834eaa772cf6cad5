"""The laptop stack: Pub/Sub, BigQuery, Cloud Storage, control planes on loopback ports.

As long as the `LocalStack` block runs, the four servers run. They end with it
on every path: return, exception, Ctrl-C, SIGTERM, and kill -9 of the process
that holds it (each server has a guard, see guard.py).
"""

import contextlib
import fcntl
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from testudo.clients import ENDPOINT
from testudo.errors import StackError
from testudo.local.processes import ServerProcess, wait_for_answers, warn_of_open_addresses
from testudo.local.servers import (
    GCLOUD,
    HOST,
    PROJECT,
    Server,
    client_environment,
    control_plane,
    stack_servers,
)
from testudo.local.tools import install_tools
from testudo.watch import forget, watch

START_ALLOWED_S = 300.0  # a server that has ended is reported at once


class LocalStack:
    """A context manager over the four servers.

    `home` gets logs, data and stack.json; `tools` (default: home/tools) the
    programs, which several homes may share. `report` is given each step in a
    line of plain words. Data is deleted at the end unless `keep_data`, which
    also takes up the data of the last run that kept it (Pub/Sub's excepted:
    its emulator has memory only).

    Entering raises ToolsMissing or StackError, and leaves nothing running
    then. While inside, SIGTERM raises SystemExit in the main thread.
    """

    def __init__(
        self,
        home: Path,
        report: Callable[[str], None] = print,
        *,
        tools: Path | None = None,
        keep_data: bool = False,
    ) -> None:
        self.home = home.resolve()
        self.project = PROJECT
        self.environment: dict[str, str] = {}
        self.servers: list[ServerProcess] = []
        self._tools = (tools or home / "tools").resolve()
        self._report = report
        self._keep_data = keep_data
        self._exits = contextlib.ExitStack()

    def __enter__(self) -> Self:
        tools = install_tools(self._tools, self._report)
        with contextlib.ExitStack() as exits:
            exits.enter_context(_sigterm_as_exit())
            exits.enter_context(only_owner(self.home))
            exits.callback(state_file(self.home).unlink, missing_ok=True)
            exits.callback(self._stop)
            began = time.monotonic()
            data = self.home / ("kept" if self._keep_data else "data")
            ports = self._started(stack_servers(tools, data), data)
            self.environment = client_environment(
                ports, _write_credentials(self.home), _write_token(self.home)
            )
            (control,) = self._started([control_plane(self.environment)], data)["control"]
            # By this name and no other Beam speaks plain HTTP to a Dataflow of its own.
            self.environment[ENDPOINT] = f"http://localhost:{control}"
            self.environment[f"{GCLOUD}API_ENDPOINT_OVERRIDES_DATAFLOW"] = (
                f"http://{HOST}:{control}/"
            )
            self._report(f"The stack answers after {time.monotonic() - began:.1f} s")
            warn_of_open_addresses(self.servers, self._report)
            self._write_state(self.environment)
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._exits.close()

    def redirect(self, environment: Mapping[str, str]) -> None:
        """Lead commands that look for this stack elsewhere, for instance through a proxy."""
        self._write_state({**self.environment, **environment})

    def _started(self, servers: Iterable[Server], data: Path) -> dict[str, list[int]]:
        """Start servers and wait for their answers; returns each one's ports by name."""
        started = []
        for server in servers:
            folder, log = data / server.name, self.home / "logs" / f"{server.name}.log"
            started.append(ServerProcess(server, folder, log, keep_data=self._keep_data))
            self.servers.append(started[-1])
            started[-1].start()
        wait_for_answers(started, START_ALLOWED_S, time.monotonic, time.sleep)
        for each in started:
            watch(each.server.name, each.pid, log=each.log, advice="The stack ends with it.")
        return {each.server.name: each.ports for each in started}

    def _stop(self) -> None:
        forget(each.pid for each in self.servers)
        for each in self.servers:
            each.let_go()
        for each in self.servers:
            each.stop()
        self.servers.clear()

    def _write_state(self, environment: Mapping[str, str]) -> None:
        servers = [
            {
                "name": each.server.name,
                "pid": each.pid,
                "ports": each.ports,
                "log": str(each.log),
            }
            for each in self.servers
        ]
        state = {
            "pid": os.getpid(),
            "project": self.project,
            "tools": str(self._tools),
            "environment": dict(environment),
            "servers": servers,
        }
        partial = state_file(self.home).with_suffix(".partial")
        partial.write_text(json.dumps(state, indent=2))
        partial.replace(state_file(self.home))


def state_file(home: Path) -> Path:
    """Where a running stack says what it runs; only true while `is_up`."""
    return home / "stack.json"


def is_up(home: Path) -> bool:
    """Whether a process holds the stack of this home, still starting or running.

    Judged by a file lock, which the system drops when the process ends in
    whatever way: a state file left behind by kill -9 or a reboot never counts.
    """
    return _refuses(_probe(home), fcntl.LOCK_SH)


def _probe(home: Path) -> Path:
    """The lock that others try: another than that which refuses a second start.

    Who starts waits for it, no longer than a try takes.
    """
    return home / "stack.up"


def is_held(home: Path) -> bool:
    """Whether a process owns this home, be it of a version that does not say that it is up."""
    return _refuses(home / "stack.lock", fcntl.LOCK_EX)


def _refuses(path: Path, kind: int) -> bool:
    """Whether somebody holds this lock against that kind of it; nobody does where no home is."""
    if not path.parent.is_dir():
        return False
    with open(path, "a") as lock:
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextlib.contextmanager
def only_owner(home: Path) -> Iterator[None]:
    """Hold the stack of this home within the block. Raises StackError when another does."""
    home.mkdir(parents=True, exist_ok=True)
    with open(home / "stack.lock", "a") as lock, open(_probe(home), "a") as probe:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StackError(
                f"A stack runs in {home} already; `testudo local down` ends it."
            ) from error
        fcntl.flock(probe, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _sigterm_as_exit() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set signal handlers
        return
    before = signal.signal(signal.SIGTERM, _raise_exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _raise_exit(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def _write_credentials(home: Path) -> Path:
    """Write a credentials file that every Google client takes and that opens nothing.

    Its token never expires, so no client asks Google for a new one.
    """
    path = home / "credentials.json"
    content = {
        "type": "authorized_user",
        "client_id": PROJECT,
        "client_secret": "none",
        "refresh_token": "none",
        "token": "none",
        "expiry": "2999-01-01T00:00:00Z",
    }
    path.write_text(json.dumps(content))
    return path


def _write_token(home: Path) -> Path:
    """Write an access token that gcloud and bq send, and that opens nothing."""
    path = home / "access_token"
    path.write_text("none")
    return path
