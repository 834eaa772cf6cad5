"""Start one server under its guard, wait until it answers, and end it."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil

from testudo.errors import StackError
from testudo.local.servers import HOST, Server
from testudo.watch import lives

_GUARD = Path(__file__).with_name("guard.py")
_PORT_TAKEN = re.compile(r"already in use|EADDRINUSE|failed to bind|BindException", re.IGNORECASE)
_STARTS = 3
_LOG_LINES = 15


class ServerProcess:
    """One running server: a guard process, and below it the server itself."""

    def __init__(self, server: Server, data: Path, log: Path, *, keep_data: bool) -> None:
        self.server = server
        self.ports: list[int] = []
        self.pid = 0
        self.log = log
        self._data = data
        self._keep_data = keep_data
        self._guard: subprocess.Popen[bytes] | None = None
        self._process: psutil.Process | None = None
        self._starts = 0
        self._reason = "it was never asked"

    def start(self) -> None:
        """Start the server on ports that are free now; raises StackError when it cannot run."""
        self.stop()
        self._starts += 1
        self.ports = free_ports(self.server.port_count)
        self._data.mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.write_bytes(b"")
        remove = "" if self._keep_data else str(self._data)
        command = self.server.command(self.ports, self._data)
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_GUARD), str(self.log), remove, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_server_environment(self.server),
            start_new_session=True,
        )
        line = self._guard.stdout.readline() if self._guard.stdout else b""
        if not line:
            raise self.error(f"{command[0]} cannot be run")
        self.pid = int(line)
        with contextlib.suppress(psutil.NoSuchProcess):
            self._process = psutil.Process(self.pid)

    def answers(self) -> bool:
        """Whether a request to the server gets its proper answer now.

        A server whose port was taken by another program in between is started
        again on another one: it may live on and say so far above its log's end, as the Pub/Sub
        emulator does. Raises StackError when it has ended.
        """
        if _PORT_TAKEN.search(self._log()) and self._starts < _STARTS:
            self.start()
            return False
        if not self.alive():
            raise self.error("it ended by itself")
        try:
            self.server.ask(self.ports[0])
        except (OSError, RuntimeError) as error:
            self._reason = str(error)
            return False
        return True

    def alive(self) -> bool:
        """Whether the server's process is there."""
        return self._guard is not None and self._guard.poll() is None

    def error(self, why: str) -> StackError:
        """The error to raise about this server."""
        return StackError(
            f"{self.server.name} does not run: {why}\n{self.log} ends with:\n{self._log_end()}"
        )

    def late(self, allowed_s: float) -> StackError:
        """The error of a server that did not answer in time."""
        return self.error(f"no answer in {allowed_s:.0f} s ({self._reason})")

    def let_go(self) -> None:
        """Tell the guard to end the server; returns at once."""
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.stdin.close()

    def stop(self) -> None:
        """End the server and wait until it and its guard are gone; safe to repeat."""
        self.let_go()
        if self._guard is not None:
            if self._guard.wait() < 0:
                self._end_unguarded()
            if self._guard.stdout is not None:
                self._guard.stdout.close()
            self._guard = None

    def _end_unguarded(self) -> None:
        """A guard that was killed leaves its server behind."""
        if self._process is not None and lives(self._process):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def open_addresses(self) -> list[str]:
        """Addresses other than the loopback one on which the server listens."""
        try:
            connections = psutil.Process(self.pid).net_connections("tcp")
        except psutil.Error:
            return []
        loopback = {HOST, "::1", "::ffff:127.0.0.1"}
        return sorted(
            {
                f"{each.laddr.ip}:{each.laddr.port}"
                for each in connections
                if each.status == psutil.CONN_LISTEN and each.laddr.ip not in loopback
            }
        )

    def _log(self) -> str:
        """All that it has said since its last start."""
        try:
            return self.log.read_text(errors="replace")
        except OSError:
            return ""

    def _log_end(self) -> str:
        lines = self._log().splitlines()
        return "\n".join(f"  {line[:300]}" for line in lines[-_LOG_LINES:])


def _server_environment(server: Server) -> dict[str, str]:
    """The environment of one server, without the settings of this Python."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    return {**kept, **server.environment}


def free_ports(count: int) -> list[int]:
    """Loopback ports free at this moment, all different; another program may still take one."""
    held = [socket.socket() for _ in range(count)]
    try:
        for each in held:
            each.bind((HOST, 0))
        return [int(each.getsockname()[1]) for each in held]
    finally:
        for each in held:
            each.close()


def wait_for_answers(
    servers: list[ServerProcess],
    allowed_s: float,
    clock: Callable[[], float],
    pause: Callable[[float], None],
) -> None:
    """Return when every server has answered; raises StackError for the first that does not."""
    deadline = clock() + allowed_s
    waiting = list(servers)
    while waiting:
        waiting = [each for each in waiting if not each.answers()]
        if waiting and clock() > deadline:
            raise waiting[0].late(allowed_s)
        if waiting:
            pause(0.05)


def warn_of_open_addresses(servers: list[ServerProcess], report: Callable[[str], None]) -> None:
    """Report every server that other machines could reach."""
    for each in servers:
        for address in each.open_addresses():
            report(
                f"Careful: {each.server.name} listens on {address}, not only on this machine; "
                "this build of it has no setting against that. Keep a firewall on."
            )
