"""The jobs of `testudo run` that work on a local stack now, for the commands that ask for jobs."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

FOLDER = "runs"
SCORES_NOTHING = (
    "Jobs of `local` are stand-ins of Dataflow's, which score nothing; `testudo run` scores items."
)


class Run(NamedTuple):
    """A process of `testudo run`, and the file with its log, or "" where a terminal has it."""

    name: str
    pid: int
    began_s: float  # as the system has it, so that another process of this number is none
    log: str


@contextlib.contextmanager
def recorded(home: Path, name: str, log: Path | None) -> Iterator[None]:
    """Within the block, this process is a job of the stack in `home`."""
    file = home / FOLDER / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    pid = os.getpid()
    run = Run(name, pid, psutil.Process(pid).create_time(), str(log.resolve()) if log else "")
    file.write_text(json.dumps(run._asdict()))
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def runs_on(home: Path) -> list[Run]:
    """Those that are alive, by name; a crash leaves a record behind, which does not count."""
    found = (_read(file) for file in (home / FOLDER).glob("*.json"))
    return sorted(run for run in found if run and _is_alive(run))


def _read(file: Path) -> Run | None:
    try:
        found = Run(**json.loads(file.read_text()))
        return Run(str(found.name), int(found.pid), float(found.began_s), str(found.log))
    except (OSError, ValueError, TypeError, OverflowError):  # it ends or begins just now
        return None


def _is_alive(run: Run) -> bool:
    try:
        return psutil.Process(run.pid).create_time() == run.began_s
    except (psutil.Error, ValueError, OverflowError):  # of what is no process's number too
        return False
