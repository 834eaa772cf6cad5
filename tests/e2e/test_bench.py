"""`make bench`, on very few items: that its numbers are there, never how large they are."""

import json
from pathlib import Path

import pytest
from conftest import Releases
from rigs.__main__ import main
from rigs.bench import ALONE, STAGES, STREAMS, TESTUDO, Run, runs_of

from testudo.errors import CommandError
from testudo.local.jobs import BUNDLES
from testudo.local.tools import DEFAULT_FOLDER

TOOLS = Path(__file__).parents[2] / DEFAULT_FOLDER
ALWAYS = ("items_per_s", "cpu_ms_per_item", "items_per_cpu_s", "ratio_to_loop", "peak_mb")


@pytest.mark.usefixtures("stack")  # which installs the tools that this test borrows
def test_bench_measures_every_way_in_both_shapes(releases: Releases, tmp_path: Path) -> None:
    """Each has its numbers: batches where models are called, requests where something is stored."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "tools").symlink_to(TOOLS)
    saved = tmp_path / "bench.json"
    flags = {
        "items": 128,  # of fewer the machine's noise may cost more than the items
        "releases": releases.root,
        "home": home,
        "output": saved,
    }
    assert main(["bench", *(f"--{name}={value}" for name, value in flags.items())]) == 0
    numbers = json.loads(saved.read_text())
    assert 0 < numbers["join_bytes_per_item"] <= 2048
    measured = {Run(one["way"], one["bundles"]): one for one in numbers["runs"]}
    assert list(measured) == runs_of((*ALONE, *STREAMS), list(BUNDLES))
    for run, one in measured.items():
        assert all(one[name][0] > 0 for name in ALWAYS), one
        if run.bundles and run.way != "null":
            assert all(one[f"{stage}_batch"][0] >= 1 for stage in STAGES), one
            assert 0 < one["appends_per_1000"][0] <= 1000, one
        if run.way == TESTUDO:
            assert 0 < one["objects_per_1000"][0] <= 1000, one


def test_what_is_not_known_is_refused(tmp_path: Path) -> None:
    """Before anything is measured."""
    for flag in ("--ways=loop,none", "--shapes=none"):
        assert main(["bench", flag, f"--home={tmp_path}"]) == CommandError.exit_code
