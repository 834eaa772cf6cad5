"""A plan: limits for numbers of customers. Its JSON, and the file for `testudo launch --plan`."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field

from loadtest.capacity.regression import Interval
from loadtest.records import Amount, Bound, Positive, as_json, read_record
from testudo.cloud.plan_file import PLANNED
from testudo.local.jobs import LAPTOP

Customers = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(pattern="^[a-z][a-z0-9-]*$")]  # nothing that would end a TOML value


@dataclasses.dataclass(frozen=True)
class Quota:
    name: str
    needed: Amount
    default: str  # what Google gives at first, in words; empty where it differs by project


@dataclasses.dataclass(frozen=True)
class WorstHour:
    hour: str  # as "day 12, 19:00"
    p95_s: Interval
    backlog: Interval  # items, most


@dataclasses.dataclass(frozen=True)
class Hour:
    hour: int
    offered: Bound  # items/s
    workers: Bound
    backlog: Bound
    p95_s: Bound


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """The limits for one number of customers. Intervals are 5, 50 and 95 of 100 draws."""

    customers: Customers
    rate_mean: Amount  # items/s
    rate_peak: Amount  # of the busiest minute
    machine_type: Name
    num_workers: int
    min_num_workers: int
    max_num_workers: int
    utilization_hint: Amount
    threads: int
    processes: Name
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
class Basis:
    """The calibration that a plan was made of."""

    made_at: str
    machine: str
    provisional: bool
    release: str = ""
    runs: int = 0
    cost_spread: float = 0.0
    notes: Sequence[str] = ()
    bundles: str = LAPTOP


@dataclasses.dataclass(frozen=True, kw_only=True)
class Other:
    """The chosen limits, had bundles been made as in another calibration: the range between."""

    bundles: str
    machine_type: Name
    max_num_workers: int
    usd_month: Interval
    usd_million: Interval
    feasible: bool

    def text(self) -> str:
        holds = "" if self.feasible else " (the goal is not held)"
        return (
            f"With bundles as on {self.bundles}: up to {self.max_num_workers} workers of "
            f"{self.machine_type}, {self.usd_month.text('.0f')} USD a month, "
            f"{self.usd_million.text('.2f')} a million items{holds}."
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """A ladder of limits up to the number of customers that was asked about."""

    profile: str
    slo_p95_s: Positive
    days: Positive
    seed: int
    region: str
    prices_version: str
    calibration: Basis
    assumptions: Sequence[str]
    steps: Annotated[Sequence[Step], Field(min_length=1)]
    series: Sequence[Hour]  # of the last step, of the draw in the middle
    others: Sequence[Other] = ()

    @property
    def chosen(self) -> Step:
        return self.steps[-1]

    def to_json(self) -> str:
        """Of plan.json; the chosen step stands there twice."""
        values: dict[str, Any] = json.loads(as_json(self))
        return json.dumps({**values, "chosen": values["steps"][-1]}, indent=1, allow_nan=False)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raises BadRecord."""
        return read_record(cls, path)

    def to_toml(self) -> str:
        """The limits of the chosen step as values of an environment, with where they come from."""
        values: Mapping[str, object] = dataclasses.asdict(self.chosen)
        # A calibration's words may have line ends, after which a comment would be a value.
        comments = [f"# {' '.join(line.split())}" for line in self._comments()]
        return "\n".join([*comments, "", *(f"{n} = {_value(values[n])}" for n in PLANNED), ""])

    def _comments(self) -> list[str]:
        step = self.chosen
        provisional = " It is provisional: measure one." if self.calibration.provisional else ""
        return [
            f"Limits for {step.customers:,} customers of profile {self.profile}: "
            f"{'holds' if step.feasible else 'does NOT hold'} a p95 of {self.slo_p95_s:g} s.",
            f"Calculated for {self.days:g} days with seed {self.seed}, from the calibration of "
            f"{self.calibration.made_at} ({self.calibration.machine}; bundles as on "
            f"{self.calibration.bundles}).{provisional}",
            f"Offered: {step.rate_mean:.2f} items/s, {step.rate_peak:.2f} in the busiest minute.",
            f"Expected: p95 {step.p95_s.text('.1f')} s; in the worst hour "
            f"{step.worst_hour.p95_s.text('.1f')} s; {step.usd_month.text('.0f')} USD a month in "
            f"{self.region}, prices of {self.prices_version}.",
            *(other.text() for other in self.others),
            *(f"Assumed: {assumption}" for assumption in self.assumptions),
            "Use it: testudo launch ENVIRONMENT --template VERSION --plan THIS_FILE",
        ]


def _value(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
