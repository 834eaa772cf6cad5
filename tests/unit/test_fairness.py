"""The pure parts of fairness and proof: what is sent, and how it is judged."""

import dataclasses

import load_results
import pyarrow as pa
import pytest

from loadtest.capacity.proof import Proof, Row, figure
from loadtest.capacity.regression import Interval
from loadtest.measuring.fairness import fairness_of
from loadtest.measuring.items import COPY
from loadtest.traffic.profile import read_profile
from loadtest.traffic.schedule import make_schedule

WILD = "tenant-0001"


def test_the_others_send_the_same_beside_a_wild_tenant() -> None:
    """So that what differs between runs of `neighbour`, with it and without, is it alone."""
    profile = read_profile("neighbour")
    calm = dataclasses.replace(profile, wild=())
    alone, beside = (make_schedule(one, duration_s=30, seed=3) for one in (calm, profile))
    (wild,) = profile.wild
    assert (alone.wild, beside.wild) == ((), (WILD,))
    others = beside.tenant != 0
    assert alone.due_s[alone.tenant != 0].tolist() == beside.due_s[others].tolist()
    more = len(beside.due_s) - len(alone.due_s)
    extra = profile.rate_a_customer * (wild.factor - 1) * wild.length_s
    assert more == pytest.approx(extra, rel=0.1)
    extra_s = sorted(set(beside.due_s.tolist()) - set(alone.due_s.tolist()))
    assert extra_s[0] >= wild.from_s
    assert extra_s[-1] <= wild.from_s + wild.length_s


def test_latencies_are_those_of_the_others_and_of_the_wild_one() -> None:
    """Copies have none of their own, and a lost item has no latency."""
    rows = [
        ("a", WILD, "predicted", 9.0),
        ("b", "tenant-0002", "predicted", 1.0),
        ("c", "tenant-0003", "predicted", 3.0),
        ("d", "tenant-0003", COPY, None),
        ("e", "tenant-0003", "", None),
    ]
    table = pa.table(
        {
            "index": list(range(len(rows))),
            "original": pa.array([0, 1, 2, 2, 4], pa.int32()),
            "item_id": [one[0] for one in rows],
            "tenant": [one[1] for one in rows],
            "outcome": [one[2] for one in rows],
            "due_s": [0.0] * len(rows),
            "seen_s": pa.array([one[3] for one in rows], pa.float64()),
        }
    )
    run = load_results.result(duration_s=2)
    assert fairness_of([(run, table)]) is None
    wild = dataclasses.replace(
        run, name="wild", settings=dataclasses.replace(run.settings, wild=(WILD,))
    )
    found = fairness_of([(wild, table), (run, table)])
    assert found is not None
    calm, beside = found.runs
    assert (calm.name, calm.wild) == (run.name, None)
    assert (beside.others.items, beside.others.p50_s, beside.others.max_s) == (2, 1.0, 3.0)
    assert beside.wild is not None
    assert (beside.wild.items, beside.wild.max_s) == (1, 9.0)


def test_a_proof_holds_when_every_figure_is_within_its_limit() -> None:
    """An error is a share of what was measured, on either side."""

    def proof(throughput: float, p95_s: float) -> Proof:
        row = Row(
            what="2 processes",
            throughput=figure(Interval(80, 100, 120), throughput, 0.15),
            p95_s=figure(Interval(1, 2, 3), p95_s, 0.30),
        )
        return Proof(calibrated_on="two cores", rows=[row])

    assert proof(95, 2.5).holds
    assert not proof(80, 2.0).holds
    assert not proof(100, 1.4).holds
    assert proof(80, 2.0).rows[0].throughput.error == pytest.approx(0.25)
