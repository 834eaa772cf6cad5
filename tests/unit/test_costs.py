"""What a job's metrics cost, what a million items cost, and that docs/cost.md says the same."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from google.cloud.dataflow_v1beta3 import (
    Job,
    JobMetrics,
    JobState,
    MetricStructuredName,
    MetricUpdate,
)
from google.protobuf.struct_pb2 import Value

from testudo.cloud.costs import Usage, cost_of, usage_before, usage_of
from testudo.cloud.million import ItemUse, Kept, Machine, million_cost
from testudo.cloud.prices import read_prices
from testudo.commands.costs import day_of
from testudo.environment_file import read_environment
from testudo.errors import CommandError
from testudo.provisioning.resources import SOFT_DELETE_DAYS

REPOSITORY = Path(__file__).parents[2]
PRICES = read_prices("us-central1")
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def metric(name: str, value: float, origin: str = "dataflow/v1b3", **context: str) -> MetricUpdate:
    return MetricUpdate(
        name=MetricStructuredName(origin=origin, name=name, context=context),
        scalar=Value(number_value=value),
    )


def test_the_use_is_read_from_what_the_service_counts() -> None:
    """Not from tentative values, which come beside them, nor from counters of the same name."""
    metrics = JobMetrics(
        metrics=[
            metric("TotalVcpuTime", 7200),
            metric("TotalVcpuTime", 9999, tentative="true"),
            metric("TotalVcpuTime", 5, origin="user"),
            metric("TotalMemoryUsage", 1024 * 100),
            metric("TotalPdUsage", 50),
            metric("TotalSsdUsage", 5),
            metric("TotalStreamingDataProcessed", 1.5),
            metric("CurrentVcpuCount", 4),
        ]
    )
    assert usage_of(metrics) == Usage(7200, 100, 50, 5, 1.5, 0)


def test_memory_is_counted_in_mebibyte_seconds() -> None:
    """As in the sample of Google's exporter of metrics: 2 cores and 8 GB for 91 seconds."""
    sample = [metric("TotalVcpuTime", 182.0), metric("TotalMemoryUsage", 747068.0)]
    usage = usage_of(JobMetrics(metrics=sample))
    assert usage.memory_gb_s / (usage.vcpu_s / 2) == pytest.approx(8, rel=0.01)


def test_a_job_costs_its_use_times_the_list_prices() -> None:
    """A hundred hours of a machine with four cores, 16 GB and 50 GB of disk."""
    hours = 100 * 3600
    cost = cost_of(Usage(4 * hours, 16 * hours, 50 * hours, 0, 1000), PRICES)
    assert cost == pytest.approx((400 * 0.069, 1600 * 0.003557, 5000 * 0.000054, 1000 * 0.018))
    assert cost.total_usd == pytest.approx(27.6 + 5.6912 + 0.27 + 18)


def test_streaming_engine_is_billed_one_way_or_the_other() -> None:
    """By units where the job has any."""
    assert cost_of(Usage(streaming_gb=10), PRICES).streaming_usd == pytest.approx(0.18)
    both = Usage(streaming_gb=10, streaming_units=2)
    assert cost_of(both, PRICES).streaming_usd == pytest.approx(0.178)


def test_a_day_has_what_was_used_since_the_earlier_ones() -> None:
    """The sum over the days is what the job used since its start."""
    rows: list[Any] = [Usage(10, 20)._asdict(), Usage(5, 1)._asdict()]
    assert Usage(18, 30).since(usage_before(rows)) == Usage(3, 9)
    assert Usage(14, 30).since(usage_before(rows)) == Usage(0, 9)


@pytest.mark.parametrize(
    ("job", "metrics", "day"),
    [
        (Job(), JobMetrics(), 24),
        (Job(), JobMetrics(metric_time=NOW.replace(day=23)), 23),
        (
            Job(
                current_state=JobState.JOB_STATE_DRAINED,
                current_state_time=NOW.replace(day=20),
            ),
            JobMetrics(metric_time=NOW),
            20,
        ),
    ],
    ids=["no time of the metrics", "running", "ended"],
)
def test_use_is_counted_to_the_day_until_which_it_goes(
    job: Job, metrics: JobMetrics, day: int
) -> None:
    """An ended job's to its last day, whenever it is read."""
    assert day_of(job, metrics, NOW).day == day


def test_a_region_without_a_price_borrows_it_and_says_so() -> None:
    """No number is made up: the row names the region whose prices it has."""
    prices = read_prices("europe-west1")
    assert prices.region == "us-central1"
    assert "vcpu_hour" in prices.borrowed
    assert prices.usd["table_gb_month"] == 0.02
    assert (PRICES.region, PRICES.borrowed) == ("us-central1", ())


def test_every_price_names_its_unit_and_source() -> None:
    """With the page and the day that it is from."""
    listed = json.loads((REPOSITORY / "templates/prices.json").read_text(encoding="utf-8"))
    for name, price in listed["prices"].items():
        assert price["unit"], name
        assert listed["fallback_region"] in price["usd"], name
        source = listed["sources"][price["source"]]
        assert source["page"].startswith("https://cloud.google.com/")
        assert datetime.fromisoformat(source["as_of"]), name
        assert all(usd > 0 for usd in price["usd"].values()), name


@pytest.mark.parametrize("text", ["", "[]", '{"prices": {}}', '{"fallback_region": "a"}'])
def test_a_file_that_is_no_list_of_prices_is_refused(text: str, tmp_path: Path) -> None:
    """Naming the file."""
    path = tmp_path / "prices.json"
    path.write_text(text)
    with pytest.raises(CommandError, match=r"prices\.json"):
        read_prices("us-central1", path)


# --- docs/cost.md ----------------------------------------------------------------------------


def cells(heading: str) -> dict[str, list[str]]:
    """A table of docs/cost.md by the first cells of its rows; `heading` begins its first line."""
    text = (REPOSITORY / "docs/cost.md").read_text(encoding="utf-8")
    rows = text.split(f"| {heading} |")[1].split("\n\n")[0].splitlines()[2:]
    split = ([cell.strip(" *") for cell in row.strip("|").split("|")] for row in rows)
    return {first: others for first, *others in split}


def figure(name: str) -> float:
    """The number that a row of the document's figures begins with."""
    return float(cells("figure")[name][0].split()[0].replace(",", ""))


def test_the_document_calculates_as_the_code_does() -> None:
    """The cost of a million items follows from its own figures and the list of prices."""
    environment = read_environment("production", REPOSITORY / "templates/environments.toml")
    assert environment.machine_type in cells("figure")["worker"][0]
    assert f"{environment.disk_size_gb} GB of disk" in cells("figure")["worker"][0]
    assert figure("utilisation") == environment.utilization_hint
    inline = ItemUse(
        cpu_s=1 / figure("items a CPU second"),
        message_bytes=figure("message"),
        join_bytes=figure("parts in the join"),
        row_bytes=figure("row"),
        messages_per_object=figure("messages a payload object"),
    )
    by_uri = inline._replace(message_bytes=figure("message, by URI"), image_reads=1)
    large = {
        "cpu_s": 1 / figure("items a CPU second, bundles of a hundred"),
        "messages_per_object": figure("messages a payload object, bundles of a hundred"),
    }
    machine = Machine(4, 16, environment.disk_size_gb, environment.utilization_hint)
    kept = Kept(1, figure("kept by the topic"), figure("soft delete"))
    assert kept == Kept(1, environment.seek_days, SOFT_DELETE_DAYS)
    costs = [
        million_cost(item, machine, PRICES, kept)
        for one in (inline, by_uri)
        for item in (one, one._replace(**large))
    ]
    expected = {name: [f"{cost[name]:.3f}" for cost in costs] for name in costs[0]}
    expected["sum"] = [f"{sum(cost.values()):.3f}" for cost in costs]
    assert cells("component, us-central1") == expected


def test_small_messages_are_billed_as_a_kilobyte() -> None:
    """Of Pub/Sub; of BigQuery a row is billed as it is."""
    item = ItemUse(0.001, 10, 0, 10, 1)
    cost = million_cost(item, Machine(4, 16, 50, 1), PRICES)
    assert cost["Pub/Sub"] == pytest.approx(2 * 1e9 / 2**40 * 40)
    assert cost["rows"] == pytest.approx(0.01 * 0.025)


def test_what_is_acknowledged_is_paid_for_while_it_is_kept() -> None:
    """2.90 USD a million inline items at seven days, and nothing at none."""
    item = ItemUse(0.001, 49_480, 0, 10, 1)
    costs = [
        million_cost(item, Machine(4, 16, 50, 1), PRICES, Kept(seek_days=days)) for days in (0, 7)
    ]
    assert [round(cost["Pub/Sub retention"], 2) for cost in costs] == [0, 2.90]


def test_cores_that_wait_are_paid_for_too() -> None:
    """Part the utilisation, twice the machines."""
    item = ItemUse(0.001, 10, 0, 10, 1)
    half, whole = (million_cost(item, Machine(4, 16, 50, share), PRICES) for share in (0.5, 1.0))
    for name in ("vCPU", "memory", "disk"):
        assert half[name] == pytest.approx(2 * whole[name])
