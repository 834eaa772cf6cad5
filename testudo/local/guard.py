"""Run one server and end it, and all that it started, when its owner is gone.

A program of its own, on the standard library alone:

    python guard.py LOG REMOVE COMMAND...

The owner holds the other end of this program's standard input. Whatever way
the owner ends, kill -9 included, the system closes that pipe, the end of file
arrives here, and the server's whole process group is ended: SIGTERM, then
SIGKILL after a grace time. REMOVE, unless empty, is a folder that is deleted
after that. The server writes to LOG; its process id is the one line that this
program prints. Exits with the server's code when the server ends by itself.
"""

import os
import select
import shutil
import signal
import subprocess
import sys

_GRACE_S = 3.0
_POLL_S = 0.3


def main(log: str, remove: str, command: list[str]) -> int:
    """Run the server until it ends or its owner does; leave no process of it behind."""
    ending: list[int] = []
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda received, _frame: ending.append(received))
    owner = os.getppid()
    with open(log, "ab") as output:
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,
        )
    try:
        print(server.pid, flush=True)
        while server.poll() is None and not ending and os.getppid() == owner:
            if select.select([sys.stdin], [], [], _POLL_S)[0]:
                break  # nothing is ever written to the pipe: this is its end
    except OSError:
        pass  # the owner went before it could read the process id
    finally:
        code = _end(server)
        if remove:
            shutil.rmtree(remove, ignore_errors=True)
    return code


def _end(server: "subprocess.Popen[bytes]") -> int:
    _signal_group(server.pid, signal.SIGTERM)
    try:
        server.wait(timeout=_GRACE_S)
    except subprocess.TimeoutExpired:
        pass
    _signal_group(server.pid, signal.SIGKILL)
    return server.wait()


def _signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # macOS says the latter of a dead group
        pass


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
