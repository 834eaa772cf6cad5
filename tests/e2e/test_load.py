"""One run of the load kit on a rig of its own: what it leaves, and what commands make of it."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import Releases

from loadtest.measuring.latencies import decode_histogram
from loadtest.measuring.rig import Rig
from loadtest.measuring.usage import STAGES
from loadtest.report.material import read_material
from loadtest.results import ITEMS, PROCESSES, TRACE, Result
from loadtest.traffic.kinds import broken_kind
from loadtest.traffic.schedule import Kind, Schedule
from loadtest.traffic.trace import load_trace
from testudo.local.tools import DEFAULT_FOLDER

TOOLS = Path(__file__).parents[2] / DEFAULT_FOLDER
GOOD = Kind(name="photo", width_px=320, height_px=240, format="JPEG")
ITEMS_A_S, DURATION_S = 8, 6
COPY_EVERY, BROKEN_EVERY = 12, 9


def small_schedule() -> Schedule:
    """Messages at an even rate, of three tenants, with copies and broken ones in between."""
    count = ITEMS_A_S * DURATION_S
    number = np.arange(count)
    original = number.copy()
    original[COPY_EVERY::COPY_EVERY] -= 1
    kind = np.where(number % BROKEN_EVERY == BROKEN_EVERY - 1, 1, 0)
    return Schedule(
        due_s=number / ITEMS_A_S,
        tenant=(original % 3).astype(np.int32),
        kind=kind[original].astype(np.int16),
        original=original.astype(np.int32),
        tenants=("tenant-0001", "tenant-0002", "tenant-0003"),
        kinds=(GOOD, broken_kind("cut_image")),
        profile="test",
        seed=1,
        duration_s=float(DURATION_S),
    )


@pytest.mark.usefixtures("stack")  # which installs the tools that this test borrows
def test_a_run_accounts_for_every_message(releases: Releases, tmp_path: Path) -> None:
    """Items in are outcomes out, each as expected; processes are seen; all files load again."""
    home, folder, schedule = tmp_path / "home", tmp_path / "run", small_schedule()
    home.mkdir()
    (home / "tools").symlink_to(TOOLS)
    with Rig(home, releases.root, report=print) as rig:
        result = rig.measure(schedule, name="run", folder=folder)

    copies = int(schedule.is_copy.sum())
    assert copies > 0
    assert result.items == len(schedule.due_s) - copies == sum(result.outcomes.values())
    assert (result.lost, result.unexpected, result.sent.refused) == (0, 0, 0)
    assert set(result.outcomes) == {"predicted", "image_unreadable"}
    assert result.copies_removed == copies
    latency = result.latency
    assert 0 < latency.p50_s <= latency.p90_s <= latency.p95_s <= latency.p99_s <= latency.max_s
    assert result.stages["job"].items == result.stages["store"].items == result.items
    assert decode_histogram(result.histogram).get_total_count() == result.items
    assert {f"{stage}-models" for stage in STAGES} < result.processes.keys()
    seen = {"worker-1", "engine", "pubsub", "bigquery", "sender", "watcher"}
    assert seen < result.processes.keys()
    assert all(result.processes[role].peak_bytes > 0 for role in seen)

    assert Result.load(folder) == result
    assert pq.read_table(folder / ITEMS).num_rows == len(schedule.due_s)
    assert {"worker-1", "other"} < set(pq.read_table(folder / PROCESSES)["role"].to_pylist())
    assert load_trace(folder / TRACE).due_s.tolist() == schedule.due_s.tolist()
    other = tmp_path / "other"
    other.symlink_to(folder)
    (comparison,) = read_material([folder, other]).comparisons
    assert not comparison.beyond_noise
