"""What `make chaos` calls left behind: what its own pipeline left, on a machine with others."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from rigs.chaos import left_folders, processes_of

from models import release_cache


def ended() -> int:
    """The number of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_folders_of_another_jobs_workers_are_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were killed as well, and their next worker removes what they left."""
    monkeypatch.setattr(release_cache.tempfile, "tempdir", str(tmp_path))
    ours, others = ended(), ended()
    for pid in (ours, others):
        (tmp_path / f"{release_cache.CACHE}{pid}-abc").mkdir()
    assert left_folders({ours}) == [str(tmp_path / f"{release_cache.CACHE}{ours}-abc")]


def test_processes_are_known_by_their_home(tmp_path: Path) -> None:
    """Those that name another folder are somebody else's, and one that has ended is gone."""
    wait = "import sys; print(flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with (
        subprocess.Popen([sys.executable, "-c", wait, f"--home={tmp_path}/ours"], **pipes) as ours,
        subprocess.Popen([sys.executable, "-c", wait, f"--home={tmp_path}/theirs"], **pipes) as one,
    ):
        for each in (ours, one):
            assert each.stdout
            each.stdout.readline()
        name = psutil.Process(ours.pid).name()
        assert processes_of(str(tmp_path / "ours")) == [f"{name} ({ours.pid})"]
        ours.communicate()
        assert processes_of(str(tmp_path / "ours")) == []
        one.communicate()
