"""A command and the processes that it cannot do without."""

import subprocess
import sys
from pathlib import Path

import pytest

from testudo.watch import Watching, forget, raise_ended, watch

DEADLINE_S = 60.0
# A command that waits as BODY says; its part is ended from within.
COMMAND = """
import subprocess, sys, threading, time
from pathlib import Path
from testudo.watch import PartEnded, Watching, forget, watch
part = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
try:
    with Watching():
        watch("the part", part.pid, log=Path("part.log"), advice="Start again.")
        part.kill()
        BODY
except PartEnded as ended:
    print(ended)
    raise SystemExit(1)
print("went on")
"""


def run(body: str) -> "subprocess.CompletedProcess[str]":
    text = COMMAND.replace("BODY", body.replace("\n", "\n        "))
    return subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=DEADLINE_S
    )


@pytest.mark.parametrize(
    "waiting",
    [
        "threading.Event().wait()",
        "subprocess.Popen(part.args, stdin=-1, stdout=-3).wait()",
        "import grpc\ngrpc.channel_ready_future(grpc.insecure_channel('localhost:1')).result()",
        "while True:\n    try:\n        time.sleep(9)\n    except Exception:\n        pass",
    ],
    ids=["for a thread", "for a process", "for an engine", "and catching errors"],
)
def test_a_wait_ends_with_the_part(waiting: str) -> None:
    """Whatever the command waits for, it ends, and names part, process and log."""
    done = run(waiting)
    assert done.returncode == 1
    assert done.stdout.startswith("the part (process ")
    assert done.stdout.endswith(") has ended; its log is part.log. Start again.\n")


def test_an_error_that_comes_of_the_end_is_told_as_the_end() -> None:
    """A connection that breaks is no riddle when the process behind it is dead."""
    done = run("raise ConnectionError('reset by peer')")
    assert (done.returncode, done.stdout[:8]) == (1, "the part")


@pytest.mark.slow
def test_what_catches_everything_ends_too() -> None:
    """One that does not let go is ended, with the same words."""
    done = run(
        "while True:\n    try:\n        time.sleep(99)\n    except BaseException:\n        pass"
    )
    assert done.returncode == 1
    assert "testudo: the part (process" in done.stderr


def test_a_part_that_may_end_ends_nothing() -> None:
    """What is forgotten before it is stopped, as a command does with its own servers."""
    done = run("forget([part.pid])\ntime.sleep(1)")
    assert (done.returncode, done.stdout) == (0, "went on\n")


def test_a_part_that_is_forgotten_while_it_is_looked_at_ends_nothing() -> None:
    """A command that ends its own engine has not lost it, whenever the look began."""
    with Watching() as watching, subprocess.Popen([sys.executable, "-c", ""]) as part:
        watch("the part", part.pid, log=None, advice="")
        (seen,) = watching._parts
        forget([part.pid])
        assert watching._end(seen) is False


def test_errors_of_a_command_whose_parts_live_are_its_own() -> None:
    """They pass unchanged, within a block and outside of one."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as part:
        with pytest.raises(ZeroDivisionError), Watching():
            watch("a part", part.pid, log=Path("log"), advice="")
            raise ZeroDivisionError
        part.kill()
    watch("a part", part.pid, log=None, advice="")
    forget([part.pid])
    raise_ended(ZeroDivisionError())


def test_the_inner_of_two_commands_is_the_one_that_ends() -> None:
    """A command may run another one in its own process, and hears of its parts no more."""
    done = run(
        "forget([part.pid])\n"
        "try:\n"
        "    with Watching():\n"
        "        watch('another', part.pid, log=None, advice='')\n"
        "        threading.Event().wait()\n"
        "except PartEnded as ended:\n"
        "    print('inner', ended, flush=True)"
    )
    assert done.stdout.startswith("inner another (process")
