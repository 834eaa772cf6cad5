"""Start, end and read the state of a stack that stays when the command that started it returns."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psutil

from testudo.errors import StackError
from testudo.local.jobs import python_path
from testudo.local.stack import is_held, is_up, state_file
from testudo.local.tools import install_tools
from testudo.watch import forget

_END_ALLOWED_S = 60.0
_POLL_S = 0.05


class ServerState(NamedTuple):
    """One server of a running stack, as it is now."""

    name: str
    ports: list[int]
    pid: int
    alive: bool
    stopped: bool  # as SIGSTOP does it: there, and doing nothing
    memory_bytes: int
    log: Path


class StackState(NamedTuple):
    """A running stack."""

    pid: int
    tools: Path
    environment: dict[str, str]
    servers: list[ServerState]


def start_detached(
    home: Path, report: Callable[[str], None], *, tools: Path | None = None, keep_data: bool = False
) -> StackState:
    """Start a stack in a process of its own; returns when every server answers.

    Raises ToolsMissing, or StackError when it does not start or runs already.
    An interruption while it starts ends it again.
    """
    if is_up(home):
        raise StackError(f"A stack runs in {home} already; `testudo local down` ends it.")
    tools = (tools or home / "tools").resolve()
    install_tools(tools, report)
    command = [sys.executable, "-m", "testudo.local.daemon"]
    daemon = subprocess.Popen(
        [*command, str(home.resolve()), str(tools), str(int(keep_data))],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": python_path()},
    )
    try:
        said = _all_said(daemon)
    except BaseException:
        daemon.terminate()
        daemon.wait()
        raise
    state = read_state(home)
    if state is None or state.pid != daemon.pid:
        daemon.wait()
        raise StackError(said.strip() or "The stack ended while it started.")
    for line in said.splitlines():
        report(line)
    daemon.returncode = 0  # it stays on purpose: no warning that it still runs
    return state


def _all_said(daemon: "subprocess.Popen[str]") -> str:
    """What the daemon prints until it closes its output, which it does when the stack answers."""
    if daemon.stdout is None:
        return ""
    with daemon.stdout as output:
        return output.read()


def stop_detached(home: Path) -> bool:
    """End the stack of this home and wait until nothing of it is left.

    Returns False when none ran. Raises StackError when it does not end.
    """
    state = read_state(home)
    if state is None:
        if is_up(home):
            raise StackError(f"The stack in {home} is still starting; try again in a moment.")
        if is_held(home):
            raise StackError(
                f"A stack of another version runs in {home}: end it with `testudo local down` of "
                "that version, or by its process in stack.json."
            )
        state_file(home).unlink(missing_ok=True)
        return False
    forget([state.pid, *(each.pid for each in state.servers)])
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):  # it ended just now
            os.kill(state.pid, number)
        deadline = time.monotonic() + _END_ALLOWED_S
        while time.monotonic() < deadline:
            if not is_up(home) and not any(_alive(each.pid) for each in state.servers):
                state_file(home).unlink(missing_ok=True)
                return True
            time.sleep(_POLL_S)
    raise StackError(f"The stack in {home}, process {state.pid}, does not end.")


def read_state(home: Path) -> StackState | None:
    """What runs in this home; None when nothing does, or what a crash left behind."""
    if not is_up(home):
        return None
    try:
        saved = json.loads(state_file(home).read_text())
    except FileNotFoundError:
        return None
    servers = [_server_state(each) for each in saved["servers"]]
    return StackState(saved["pid"], Path(saved["tools"]), saved["environment"], servers)


def _alive(pid: int) -> bool:
    """Whether it runs; one that has ended holds nothing, though nobody has waited for it yet."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _server_state(saved: dict[str, object]) -> ServerState:
    pid = int(str(saved["pid"]))
    ports = [int(each) for each in saved["ports"]]  # type: ignore[attr-defined]
    try:
        process = psutil.Process(pid)
        status = process.status()
        memory = process.memory_info().rss if status != psutil.STATUS_ZOMBIE else 0
    except psutil.Error:
        status, memory = psutil.STATUS_ZOMBIE, 0
    return ServerState(
        str(saved["name"]),
        ports,
        pid,
        status != psutil.STATUS_ZOMBIE,
        status == psutil.STATUS_STOPPED,
        memory,
        Path(str(saved["log"])),
    )
