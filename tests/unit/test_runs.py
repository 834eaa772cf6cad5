"""What runs on this machine is found: the stack from below its folder, and the jobs on it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from testudo.local.home import nearest_home
from testudo.local.runs import FOLDER, recorded, runs_on


def test_the_stack_is_found_from_any_folder_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As git finds its own: the nearest one counts, and this folder's where there is none."""
    below = tmp_path / "mine" / "notebooks" / "old"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert nearest_home() == Path(".testudo")
    (tmp_path / ".testudo").mkdir()
    assert nearest_home() == Path("../../../.testudo")
    (tmp_path / "mine" / ".testudo").mkdir()
    assert nearest_home() == Path("../../.testudo")


@pytest.mark.skipif(os.getuid() != 0, reason="gives a folder to another user")
def test_another_users_stack_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it says would lead clients to that user's servers."""
    (tmp_path / ".testudo").mkdir()
    os.chown(tmp_path / ".testudo", 65_534, 65_534)
    below = tmp_path / "mine"
    below.mkdir()
    monkeypatch.chdir(below)
    assert nearest_home() == Path(".testudo")


def test_a_run_is_seen_while_it_lasts(tmp_path: Path) -> None:
    """With its process, and its log where it has one."""
    with recorded(tmp_path, "run", tmp_path / "run.log"), recorded(tmp_path, "run-2", None):
        first, second = runs_on(tmp_path)
        assert (first.name, first.pid, first.log) == ("run", os.getpid(), str(tmp_path / "run.log"))
        assert (second.name, second.log) == ("run-2", "")
    assert runs_on(tmp_path) == []


def test_what_a_crash_leaves_is_no_run(tmp_path: Path) -> None:
    """Neither a process that has ended, nor another that has its number since."""
    code = "import os, sys; from pathlib import Path; from testudo.local.runs import recorded; "
    code += "run = recorded(Path(sys.argv[1]), 'run', None); run.__enter__(); os._exit(9)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    file = tmp_path / FOLDER / "run.json"
    left = json.loads(file.read_text())
    assert runs_on(tmp_path) == []
    file.write_text(json.dumps({**left, "pid": os.getpid()}))
    assert runs_on(tmp_path) == []
    for text in ("{", "[]", '{"name": "run"}', json.dumps({**left, "pid": "x"})):
        file.write_text(text)
        assert runs_on(tmp_path) == []
    for pid in (-1, 0, 1e30, 10**20):
        file.write_text(json.dumps({**left, "pid": pid}))
        assert runs_on(tmp_path) == []
