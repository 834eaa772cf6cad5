"""The pure parts of fairness, proof and tour: what is sent, and how it is told."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loadtest.capacity.regression import Interval
from loadtest.commands.fairness import FOR, FROM, latencies, profiles
from loadtest.commands.prove import _held, _holds
from loadtest.measuring.items import COPY
from loadtest.results import ITEMS
from loadtest.traffic.schedule import make_schedule

WILD = "tenant-0001"


def test_the_others_send_the_same_beside_a_wild_tenant() -> None:
    """So that what differs between the runs is the wild tenant alone."""
    calm, wild = profiles(rate=20, wild_rate=300, seconds=30)
    alone, beside = (make_schedule(one, duration_s=30, seed=3) for one in (calm, wild))
    others = beside.tenant != 0
    assert alone.due_s[alone.tenant != 0].tolist() == beside.due_s[others].tolist()
    more = len(beside.due_s) - len(alone.due_s)
    assert more == pytest.approx(300 * 30 * FOR, rel=0.1)
    extra_s = sorted(set(beside.due_s.tolist()) - set(alone.due_s.tolist()))
    assert extra_s[0] >= 30 * FROM
    assert extra_s[-1] <= 30 * (FROM + FOR)


def test_latencies_are_told_of_the_others_and_of_the_wild_one(tmp_path: Path) -> None:
    """Copies have none of their own, and a lost item has no latency."""
    rows = [
        ("a", WILD, "predicted", 9.0),
        ("b", "tenant-0002", "predicted", 1.0),
        ("c", "tenant-0003", "predicted", 3.0),
        ("d", "tenant-0003", COPY, None),
        ("e", "tenant-0003", "", None),
    ]
    numbers = list(range(len(rows)))
    table = pa.table(
        {
            "index": numbers,
            "original": pa.array([0, 1, 2, 2, 4], pa.int32()),
            "item_id": [one[0] for one in rows],
            "tenant": [one[1] for one in rows],
            "outcome": [one[2] for one in rows],
            "due_s": [0.0] * len(rows),
            "seen_s": pa.array([one[3] for one in rows], pa.float64()),
        }
    )
    pq.write_table(table, tmp_path / ITEMS)
    others, wild = latencies(tmp_path, WILD)
    assert (others.items, others.p50_s, others.max_s) == (2, 1.0, 3.0)
    assert (wild.items, wild.max_s) == (1, 9.0)


def test_a_proof_holds_when_every_figure_is_within_its_limit() -> None:
    """An error is a share of what was measured, on either side."""

    def row(throughput: float, p95_s: float) -> dict:
        return {
            "throughput": _held(Interval(80, 100, 120), throughput) | {"within": 0.15},
            "p95_s": _held(Interval(1, 2, 3), p95_s) | {"within": 0.30},
        }

    assert _holds(row(95, 2.5))
    assert not _holds(row(80, 2.0))
    assert not _holds(row(100, 1.4))
    assert row(80, 2.0)["throughput"]["error"] == pytest.approx(0.25)
