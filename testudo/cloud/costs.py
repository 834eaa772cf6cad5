"""What a job or a million items cost: measured use times list prices. Pure functions.

docs/cost.md has the formulas in words, and what is assumed.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from google.cloud.dataflow_v1beta3 import JobMetrics

from testudo.cloud.prices import Prices

HOUR_S = 3600
ORIGIN = "dataflow/v1b3"  # of the service's own metrics, not the pipeline's
# Dataflow's name -> ours, and what to multiply by. Memory is counted in MiB seconds, although
# its description says GB.
SERVICE_METRICS = {
    "TotalVcpuTime": ("vcpu_s", 1.0),
    "TotalMemoryUsage": ("memory_gb_s", 1 / 1024),
    "TotalPdUsage": ("disk_gb_s", 1.0),
    "TotalSsdUsage": ("ssd_gb_s", 1.0),
    "TotalStreamingDataProcessed": ("streaming_gb", 1.0),
    "TotalSeCuUsage": ("streaming_units", 1.0),
}


class Usage(NamedTuple):
    """What a job used of what Dataflow bills."""

    vcpu_s: float = 0.0
    memory_gb_s: float = 0.0
    disk_gb_s: float = 0.0
    ssd_gb_s: float = 0.0
    streaming_gb: float = 0.0
    streaming_units: float = 0.0

    def since(self, earlier: "Usage") -> "Usage":
        """The use after an earlier reading; never less than nothing."""
        pairs = zip(self, earlier, strict=True)
        return Usage(*(max(now - before, 0.0) for now, before in pairs))


class Cost(NamedTuple):
    vcpu_usd: float
    memory_usd: float
    disk_usd: float
    streaming_usd: float

    @property
    def total_usd(self) -> float:
        return sum(self)


def usage_of(metrics: JobMetrics) -> Usage:
    """A job's use since its start. Values that Dataflow calls tentative are left out."""
    found = {
        ours: update.scalar * factor
        for update in metrics.metrics
        if update.name.origin == ORIGIN
        and "tentative" not in update.name.context
        and update.name.name in SERVICE_METRICS
        for ours, factor in [SERVICE_METRICS[update.name.name]]
    }
    return Usage(**found)


def cost_of(usage: Usage, prices: Prices) -> Cost:
    """Streaming Engine is billed by units where a job has any, otherwise by gigabytes."""
    usd = prices.usd
    by_data = usage.streaming_gb * usd["streaming_gb"]
    by_units = usage.streaming_units * usd["streaming_unit"]
    disks = usage.disk_gb_s * usd["disk_gb_hour"] + usage.ssd_gb_s * usd["ssd_gb_hour"]
    return Cost(
        vcpu_usd=usage.vcpu_s * usd["vcpu_hour"] / HOUR_S,
        memory_usd=usage.memory_gb_s * usd["memory_gb_hour"] / HOUR_S,
        disk_usd=disks / HOUR_S,
        streaming_usd=by_units if usage.streaming_units else by_data,
    )


class JobDay(NamedTuple):
    """A job on one UTC day."""

    job_id: str
    job_name: str
    region: str
    day: date


def cost_row(job: JobDay, read_at: datetime, usage: Usage, prices: Prices) -> dict[str, Any]:
    """The row of table job_costs for a job's use on a day."""
    cost = cost_of(usage, prices)
    return {
        **job._asdict(),
        "day": job.day.isoformat(),
        "priced_at": read_at.astimezone(UTC).isoformat(timespec="microseconds"),
        **usage._asdict(),
        **cost._asdict(),
        "cost_usd": cost.total_usd,
        "prices_version": prices.version,
        "prices_region": prices.region,
    }


def usage_before(rows: list[Mapping[str, Any]]) -> Usage:
    """The sum of a job's use over the days that have a row already."""
    return Usage(*(sum(row[field] for row in rows) for field in Usage._fields))
