"""Several children of one command: what they say, how a signal and an end spread."""

import contextlib
import io
import os
import signal
import sys

import pytest

from testudo.cli import main
from testudo.commands.processes import run_several
from testudo.local.jobs import RUNNING

# It waits for a signal that it holds back: one that came just before a pause would be lost.
WAITS = f"""
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
os.write(1, {RUNNING.encode()!r} + b"\\n")
signal.sigwait([signal.SIGTERM])
os.write(1, b"ends\\n")
sys.exit(CODE)
"""


def waits(code: int = 0) -> list[str]:
    """A child that runs until it is asked to end, and ends with this exit code."""
    return child(WAITS.replace("CODE", str(code)))


def child(text: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", text]


class Terminal(io.StringIO):
    """Somebody who presses Ctrl-C as soon as it says that all run."""

    def write(self, text: str, /) -> int:
        written = super().write(text)
        if text.strip() == RUNNING:
            os.kill(os.getpid(), signal.SIGINT)
        return written


def run(*commands: list[str]) -> tuple[int, list[str]]:
    """Run children at such a terminal; gives the exit code, and the lines that it shows."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with contextlib.redirect_stderr(Terminal()) as screen:
            code = run_several(commands, command=())
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code, screen.getvalue().splitlines()


def test_that_it_runs_is_said_once() -> None:
    """It is said when all children run; what else they say has their number before it."""
    code, said = run(waits(), waits())
    assert code == 0
    assert said[0] == RUNNING
    assert sorted(said[1:]) == ["[1] ends", "[2] ends"]


@pytest.mark.parametrize("codes", [(0, 1), (1, 0)])
def test_all_must_end_well(codes: tuple[int, int]) -> None:
    """Ctrl-C ends every child, and one that fails at it fails the command."""
    assert run(*(waits(code) for code in codes))[0] == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", 128 + signal.SIGKILL)],
)
def test_one_that_ends_ends_the_others(text: str, expected: int) -> None:
    """Which one ended, and how, is said and is the exit code; the others may finish."""
    code, said = run(waits(), child(text))
    assert code == expected
    assert f"Process 2 ended by itself with exit code {expected}; the others finish." in said


def test_words_that_are_no_text_do_not_stop_it() -> None:
    """A line in another encoding, or without an end, is passed on as well as it can be."""
    code, said = run(
        child(r"import os; os.write(1, b'\xff\xfe caf\xe9\nlast'); raise SystemExit(3)")
    )
    assert code == 3
    assert [line for line in said if line.startswith("[")] == ["[1] �� caf�", "[1] last"]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--processes=0"], "--processes: is 0, must be 1 or more"),
        (["--processes=2", "--input_file=in.jsonl"], "does not go with --input_file"),
        (["--processes=2", "--runner=DataflowRunner"], "does not go with --runner"),
        (["--lane=overflow", "--input_file=in.jsonl"], "--lane: is of the local stack"),
        (["--processes=2", "--job_endpoint", "localhost:1"], "does not go with --job_endpoint"),
    ],
)
def test_processes_are_for_the_local_stack(
    flags: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where several processes make no sense, the flag's value is refused before anything starts."""
    assert main(["run", *flags]) == 2
    assert told in capsys.readouterr().err
