"""What a job shows of itself: a panel on a terminal, lines elsewhere, the noise in a file."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from builders import created, message
from waiting import eventually

from beam_pipeline.io.writers import WriteLines
from models.release import Pointer, write_pointer
from testudo.commands import panel
from testudo.commands.panel import Counts, Progress, counts_of, shown
from transforms.events import ParseItems
from transforms.outcomes import dead_letter_row
from transforms.records import Message

NOISY = """
import os, subprocess, sys
from pathlib import Path
from testudo.commands.quiet import quiet
with quiet(Path(sys.argv[1])):
    os.write(2, b"a library\\n")
    subprocess.run(["sh", "-c", "echo a process >&2"])
    print("we", file=sys.stderr)
print("after", file=sys.stderr)
os.write(2, b"and a library again\\n")
"""


def on_terminal(text: str, *arguments: str) -> str:
    """What a Python program shows on a terminal that is its standard error."""
    ours, theirs = pty.openpty()
    try:
        subprocess.run([sys.executable, "-c", text, *arguments], stderr=theirs, check=True)
        return os.read(ours, 100_000).decode().replace("\r\n", "\n")
    finally:
        os.close(ours)
        os.close(theirs)


def test_on_a_terminal_only_the_program_itself_speaks(tmp_path: Path) -> None:
    """What libraries and other processes say stands in the log, and is nobody's in between."""
    log = tmp_path / "logs" / "run.log"
    seen = on_terminal(NOISY, str(log))
    assert seen == f"Its log is {log}\nwe\nafter\nand a library again\n"
    assert log.read_text() == "a library\na process\n"


def test_elsewhere_everything_goes_where_it_went(tmp_path: Path) -> None:
    """Who reads a job's standard error from a file finds its log there."""
    log = tmp_path / "run.log"
    done = subprocess.run(
        [sys.executable, "-c", NOISY, log], capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[:2] == ["a library", "a process"]
    assert not log.exists()


def test_counts_are_the_jobs_own(tmp_path: Path) -> None:
    """By the counters of its stages; those that it has not yet are 0."""
    write_pointer(str(tmp_path), Pointer("stable"))
    pipeline = beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions([]))
    parsed = created(pipeline, [message(b"{")] * 3, Message) | ParseItems(
        releases=str(tmp_path), refresh_s=30, max_message_bytes=100
    )
    parsed.dead_letters | WriteLines(to_row=dead_letter_row, prefix=str(tmp_path / "dead"))
    assert counts_of(pipeline.run()) == Counts(messages=3, rows=3, dead_letters=3)


def test_numbers_are_said_in_words() -> None:
    """With what is between: an item that was read, and has no outcome yet."""
    counts = Counts(messages=1_234, rows=1_200, dead_letters=34)
    assert counts.in_words() == "1,234 messages: 1,166 predictions, 34 dead letters, 34 under way"
    assert Counts(rows=5).under_way == 0


def test_a_job_that_does_not_answer_shows_what_it_last_said() -> None:
    """That an engine has ended is told by who watches it."""
    seen = iter([Counts(7, 7, 0)])
    progress = Progress(lambda: next(seen))
    assert progress.counts() == progress.counts() == Counts(7, 7, 0)


def test_without_a_terminal_there_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For who reads a file or a service's log."""
    monkeypatch.setattr(panel, "LINE_EVERY_S", 0.01)
    lines: list[str] = []
    with shown(Progress(lambda: Counts(3, 2, 1))):
        eventually(lambda: lines.extend(capsys.readouterr().err.splitlines()), lambda _: lines)
    assert lines[0].startswith("3 messages: 1 predictions, 1 dead letters, 1 under way, ")
