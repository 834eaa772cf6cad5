"""Percentiles, histograms, and how probes of the knee are judged."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from loadtest.measuring.latencies import NONE, decode_histogram, encode_histogram, latency_of
from loadtest.measuring.probing import Judged, judge, saturated_near
from loadtest.measuring.saturation import saturated
from loadtest.measuring.shares import Shares
from loadtest.measuring.usage import SAMPLES
from loadtest.results import Result, Second, Sent, Settings

SENT = Sent(
    messages=100,
    refused=0,
    seconds=10.0,
    lag_p50_s=0.0,
    lag_p99_s=0.01,
    lag_max_s=0.02,
    cpu_s=1.0,
    kept_up=True,
)
SETTINGS = Settings(
    profile="p", seed=1, duration_s=10.0, rate=10.0, customers=1, processes=1, cores=2, images=""
)


def result(p95_s: float, *, waiting: int = 0, **changes: object) -> Result:
    """A result of 10 messages a second."""
    latency = dataclasses.replace(NONE, items=100, p95_s=p95_s)
    second = Second(
        second=9, due=10, outcomes=10, waiting=waiting, p50_s=1.0, p95_s=1.0, cpu_shares={}
    )
    made = Result(
        name="probe-01",
        started_at="",
        settings=SETTINGS,
        sent=SENT,
        items=100,
        outcomes={"predicted": 100},
        lost=0,
        unexpected=0,
        copies_removed=0,
        latency=latency,
        histogram="",
        stages={},
        tenants={},
        processes={},
        seconds=[second],
        throughput=10.0,
        poll_every_s=0.5,
        saturated="",
        problems=[],
    )
    return dataclasses.replace(made, **changes)


def test_percentiles_are_values_that_were_measured() -> None:
    """No percentile lies between two values, and they are in order; NaN counts nowhere."""
    latency = latency_of(np.array([3.0, 1.0, np.nan, 2.0, 4.0]))
    assert latency.items == 4
    assert (latency.p50_s, latency.p90_s, latency.max_s) == (2.0, 4.0, 4.0)
    assert latency_of(np.array([])) == NONE


def test_histogram_keeps_three_digits() -> None:
    """What is decoded has each percentile within 0.1 % of the exact one."""
    values = np.random.default_rng(1).lognormal(0, 1.5, 20_000)
    histogram = decode_histogram(encode_histogram(values))
    exact = latency_of(values)
    assert histogram.get_total_count() == 20_000
    for percent, value_s in ((50, exact.p50_s), (95, exact.p95_s), (99.9, exact.p999_s)):
        found = histogram.get_value_at_percentile(percent) / 1e6
        assert found == pytest.approx(value_s, rel=2e-3)


@pytest.mark.parametrize("text", ["", "abc", "AAAA", "SElTVEZBQUFBQ1h="])
def test_no_histogram_is_refused(text: str) -> None:
    """Whatever a file holds instead raises ValueError."""
    with pytest.raises(ValueError, match="HdrHistogram"):
        decode_histogram(text)


def test_a_probe_holds_within_the_goal() -> None:
    """At the goal it holds, past it it fails, and a growing backlog is a failure as well."""
    assert judge(result(2.0), 2.0).holds is True
    assert judge(result(2.1), 2.0).holds is False
    assert judge(result(1.0, waiting=20), 2.0).holds is False


def test_an_invalid_probe_never_holds() -> None:
    """It fails only where its own errors cannot be why; lost items prove nothing at all."""
    late = dataclasses.replace(SENT, kept_up=False, lag_max_s=0.4)
    assert judge(result(1.0, sent=late, problems=["late"]), 2.0).holds is None
    assert judge(result(2.5, sent=late, problems=["late"]), 2.0).holds is None
    assert judge(result(3.5, sent=late, problems=["late"]), 2.0).holds is False
    assert judge(result(9.0, lost=1, problems=["lost"]), 2.0).holds is None


def test_the_knee_names_what_most_failed_probes_name() -> None:
    """Only what the majority of the nearest failures says is told, with the nearest's numbers."""

    def failed(rate: float, said: str) -> Judged:
        return Judged(
            rate=rate,
            achieved=rate,
            p95_s=9.0,
            holds=False,
            saturated=said,
            problems=[],
            result="",
        )

    probes = [
        failed(100, "worker-1 used 97% of a core; rows took 3.0 s from scored"),
        failed(110, "worker-1 used 99% of a core"),
        failed(120, "worker-1 used 96% of a core"),
    ]
    assert saturated_near(probes, 95.0) == "worker-1 used 97% of a core"


def test_full_processes_and_full_machines_are_named() -> None:
    """One worker at a core, and all cores busy with their largest consumers."""
    stages = {"store": NONE, "wait": NONE}
    seconds = np.arange(1000.0, 1021.0)

    def samples(**cores: float) -> pa.Table:
        rows = [
            (at_s, role.replace("_", "-"), number, share * (at_s - 1000.0), 1)
            for number, (role, share) in enumerate(cores.items())
            for at_s in seconds
        ]
        values = zip(*rows, strict=True)
        columns = [pa.array(one, kind) for one, kind in zip(values, SAMPLES.types, strict=True)]
        return pa.Table.from_arrays(columns, schema=SAMPLES)

    def said(**cores: float) -> str:
        table = samples(**cores)
        return saturated(Shares(table, 1000.0, 20), table, stages, SENT, cores=2, poll_every_s=0.5)

    assert said(worker_1=0.5, bigquery=0.4) == ""
    assert said(worker_1=0.95, bigquery=0.4).startswith("worker-1 used 95% of a core")
    assert "all 2 cores were busy (95%); of a core: other 120%" in said(worker_1=0.7, other=1.2)
    assert said(worker_1=0.5, other=0.6) == "other programs used 60% of a core"


def test_slow_sink_and_slow_source_are_named() -> None:
    """By where the time goes: after scoring, or before idle workers parse."""
    slow = dataclasses.replace(NONE, items=10, p95_s=5.0)
    assert "BigQuery" in saturated(
        None, None, {"store": slow, "wait": NONE}, SENT, cores=0, poll_every_s=0.5
    )
    assert (
        saturated(None, None, {"store": NONE, "wait": slow}, SENT, cores=0, poll_every_s=0.5) == ""
    )
