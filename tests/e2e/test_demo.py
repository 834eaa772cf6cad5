"""The demo over files, as it runs where a part of the local stack is missing."""

import shutil
import subprocess
import sys
from pathlib import Path

from models.release import Pointer, write_pointer

REPOSITORY = Path(__file__).parents[2]


def test_demo_over_files_finds_an_outcome_for_every_item(trained: Path, tmp_path: Path) -> None:
    """Without any server the demo accounts for each item, broken ones too, and reports it."""
    releases = tmp_path / "releases"
    shutil.copytree(trained, releases)
    first = next(one.name for one in releases.iterdir() if one.name.startswith("first-"))
    write_pointer(str(releases), Pointer(default=first))
    demo = (sys.executable, "-m", "testudo.cli", "demo", "--files", "--items=200")
    done = subprocess.run(
        [*demo, f"--home={tmp_path}"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lost = done.stdout[done.stdout.index("compared id by id") :]
    (counts,) = [line for line in lost.splitlines() if "192" in line]
    assert [cell.strip() for cell in counts.strip("│ ").split("│")] == ["200", "192", "8", "0", "0"]
