"""The records of a plan: what `testudo loadtest plan` saves as plan.json, and a report shows."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from loadtest.capacity.regression import Interval


class Quota(NamedTuple):
    name: str
    needed: float
    default: str  # what Google gives at first, in words; empty where it differs by project


class WorstHour(NamedTuple):
    hour: str  # as "day 12, 19:00"
    p95_s: Interval
    backlog: Interval  # items, most


class Hour(NamedTuple):
    hour: int
    offered: float  # items/s
    workers: float
    backlog: float
    p95_s: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """The limits for one number of customers. Intervals are 5, 50 and 95 of 100 draws."""

    customers: int
    rate_mean: float  # items/s
    rate_peak: float  # of the busiest minute
    machine_type: str
    num_workers: int
    min_num_workers: int
    max_num_workers: int
    utilization_hint: float
    threads: int
    processes: str
    min_ram_gb: int
    disk_size_gb: int
    p95_s: Interval  # of all items
    worst_hour: WorstHour
    held_share: Interval  # of the minutes, those whose p95 is within the goal
    quotas: Sequence[Quota]
    usd_month: Interval
    usd_million: Interval
    workers_mean: Interval
    feasible: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """A ladder of limits up to the number of customers that was asked about."""

    profile: str
    slo_p95_s: float
    days: float
    seed: int
    region: str
    prices_version: str
    calibration: Mapping[str, Any]
    assumptions: Sequence[str]
    steps: Sequence[Step]
    series: Sequence[Hour]  # of the last step, of the draw in the middle

    @property
    def chosen(self) -> Step:
        return self.steps[-1]

    def as_dict(self) -> dict[str, Any]:
        """Plain values. A latency without an end is null."""
        values = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        values["steps"] = [_step(one) for one in self.steps]
        values["series"] = [one._asdict() for one in self.series]
        return {**values, "chosen": values["steps"][-1]}

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.as_dict(), indent=1, allow_nan=False)
        path.write_text(text + "\n", encoding="utf-8")


def _step(step: Step) -> dict[str, Any]:
    values = dataclasses.asdict(step)
    values["quotas"] = [one._asdict() for one in step.quotas]
    values["worst_hour"] = step.worst_hour._asdict()
    return values
