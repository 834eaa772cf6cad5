"""A plan from the plain values of plan.json, which have been checked against formats.json."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from loadtest.capacity.plan_record import Hour, Plan, Quota, Step, WorstHour
from loadtest.capacity.regression import Interval

INTERVALS = ("p95_s", "held_share", "usd_month", "usd_million", "workers_mean")


def plan_of(values: Mapping[str, Any]) -> Plan:
    """The plan; what has no bound, null in the file, is infinite in it."""
    its_own = {one.name: values[one.name] for one in dataclasses.fields(Plan)}
    series = [Hour(*(_bound(one[name]) for name in Hour._fields)) for one in values["series"]]
    return Plan(**{**its_own, "steps": [_step(one) for one in values["steps"]], "series": series})


def _step(values: Mapping[str, Any]) -> Step:
    worst = values["worst_hour"]
    return Step(
        **{
            **{one.name: values[one.name] for one in dataclasses.fields(Step)},
            **{name: _interval(values[name]) for name in INTERVALS},
            "quotas": [
                Quota(one["name"], one["needed"], one["default"]) for one in values["quotas"]
            ],
            "worst_hour": WorstHour(
                worst["hour"], _interval(worst["p95_s"]), _interval(worst["backlog"])
            ),
        }
    )


def _interval(bounds: Sequence[float | None]) -> Interval:
    return Interval(*map(_bound, bounds))


def _bound(value: float | None) -> Any:
    return math.inf if value is None else value
