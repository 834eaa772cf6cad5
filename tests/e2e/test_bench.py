"""`make bench`, on very few items: that its numbers are there, never how large they are."""

import json
from pathlib import Path

import pytest
from conftest import Releases
from rigs.__main__ import main
from rigs.bench import FILES, LOOP, STREAMING

from testudo.local.tools import DEFAULT_FOLDER

TOOLS = Path(__file__).parents[2] / DEFAULT_FOLDER
ROUNDS = 1


@pytest.mark.usefixtures("stack")  # which installs the tools that this test borrows
def test_bench_measures_all_three_ways(releases: Releases, tmp_path: Path) -> None:
    """Each way has a positive number for every column and round, and the join its bytes."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "tools").symlink_to(TOOLS)
    saved = tmp_path / "bench.json"
    flags = {
        "items": 256,  # of fewer the machine's noise may cost more than the items
        "rounds": ROUNDS,
        "releases": releases.root,
        "home": home,
        "output": saved,
    }
    assert main(["bench", *(f"--{name}={value}" for name, value in flags.items())]) == 0
    numbers = json.loads(saved.read_text())
    assert set(numbers["ways"]) == {LOOP, FILES, STREAMING}
    assert 0 < numbers["join_bytes_per_item"] <= 2048
    for columns in numbers["ways"].values():
        assert len(columns) == 5
        for values in columns.values():
            assert len(values) == ROUNDS
            assert all(value > 0 for value in values), numbers
