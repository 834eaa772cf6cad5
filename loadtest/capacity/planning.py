"""From a profile and a calibration to a plan: demands of a ladder, sized, with quotas and costs."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

from loadtest.capacity.autoscaling import PUBLISHED, Floats
from loadtest.capacity.bill import MESSAGES_PER_OBJECT, ROW_BYTES
from loadtest.capacity.calibration import Calibration
from loadtest.capacity.plan import Basis, Hour, Other, Plan, Quota, Step, WorstHour
from loadtest.capacity.regression import Interval
from loadtest.capacity.simulation import HOUR_S, PERCENT
from loadtest.capacity.sizing import size
from loadtest.capacity.trials import DISK_GB, STEP_S, Demand, Question, Tried
from loadtest.capacity.worker import SYSTEM_BYTES
from loadtest.traffic.profile import Profile
from testudo.cloud.preflight import needed_quotas
from testudo.environment import Environment

DAY_S = 24 * HOUR_S
LADDER = (30, 100, 300, 1000, 2000, 5000, 10_000)
BURST_SEEDS = 3  # months of bursts, which the draws take in turn
LEAST_RAM_GB = 8
ENDS = (0.05, 0.5, 0.95)
DEFAULTS = {
    "DISKS_TOTAL_GB": "differs by project",
    "Dataflow workers of a job": "2,000; 4,000 with Streaming Engine and no zone named",
    "Pub/Sub publisher throughput, MB/s": "200 in small, 800 in medium regions, more in large ones",
}


def ladder(customers: int) -> list[int]:
    """From 30 customers to as many as were asked about."""
    return [*(count for count in LADDER if count < customers), customers]


def demands_of(
    profile: Profile, customers: Sequence[int], *, days: float, seed: int
) -> list[Demand]:
    """Mean rates by the minute, several months of bursts a number of customers."""

    def offered(count: int, number: int) -> Floats:
        return profile.offered(STEP_S, days * DAY_S, customers=count, seed=seed + number)

    return [
        Demand(
            customers=count,
            offered=np.column_stack([offered(count, number) for number in range(BURST_SEEDS)]),
            start_hour=profile.start_hour,
        )
        for count in customers
    ]


def make_plan(
    question: Question,
    profile: Profile,
    customers: int,
    *,
    days: float,
    region: str,
    others: Sequence[Question] = (),
    report: Callable[[str, float], None] = lambda *_: None,
) -> Plan:
    """Limits for each number of customers of the ladder; of `others` only the largest number's.

    Raises ValueError, as `size` does.
    """
    demands = demands_of(profile, ladder(customers), days=days, seed=question.seed)
    found = size(question, demands, report)
    return Plan(
        profile=profile.name,
        slo_p95_s=question.goal_s,
        days=days,
        seed=question.seed,
        region=region,
        prices_version=question.prices.version,
        calibration=_basis(question.calibration),
        assumptions=_assumptions(question),
        steps=[_step(question, trial) for trial in found],
        series=_series(found[-1]),
        others=[_other(other, size(other, demands[-1:], report)[0]) for other in others],
    )


def _other(question: Question, tried: Tried) -> Other:
    step = _step(question, tried)
    return Other(
        bundles=question.calibration.bundles,
        machine_type=step.machine_type,
        max_num_workers=step.max_num_workers,
        usd_month=step.usd_month,
        usd_million=step.usd_million,
        feasible=step.feasible,
    )


def _step(question: Question, tried: Tried) -> Step:
    one, outcome = tried.candidate, tried.outcome
    most = max(tried.max_workers, one.min_workers)
    items = np.maximum(outcome.arrived, 1)
    month_items = items * (30 * DAY_S / tried.demand.duration_s)
    peak = float(tried.demand.offered.max())
    return Step(
        customers=tried.demand.customers,
        rate_mean=float(tried.demand.offered.mean()),
        rate_peak=peak,
        machine_type=one.machine.name,
        num_workers=one.min_workers,
        min_num_workers=one.min_workers,
        max_num_workers=most,
        utilization_hint=one.hint,
        threads=Environment.threads,
        processes=one.processes,
        min_ram_gb=min(LEAST_RAM_GB, math.floor(one.machine.memory_gb)),
        disk_size_gb=DISK_GB,
        p95_s=_interval(_all_items_p95_s(tried)),
        worst_hour=_worst_hour(tried),
        held_share=_interval(outcome.held_share),
        quotas=_quotas(one.machine.name, most, peak, question),
        usd_month=_interval(tried.usd_month),
        usd_million=_interval(tried.usd_month / month_items * 1e6),
        workers_mean=_interval(outcome.worker_s / tried.demand.duration_s),
        feasible=tried.holds,
    )


def _interval(values: Floats) -> Interval:
    return Interval(*map(float, np.quantile(values, ENDS)))


def _all_items_p95_s(tried: Tried) -> Floats:
    """Of each draw: 95 of 100 items were in hours whose p95 is no larger."""
    outcome = tried.outcome
    order = np.argsort(outcome.hour_p95_s, axis=0)
    items = np.take_along_axis(outcome.hour_offered, order, axis=0).cumsum(axis=0)
    first = (items >= PERCENT * items[-1]).argmax(axis=0)
    rows = np.take_along_axis(order, first[None], axis=0)
    return np.take_along_axis(outcome.hour_p95_s, rows, axis=0)[0].astype(float)


def _worst_hour(tried: Tried) -> WorstHour:
    outcome = tried.outcome
    worst = outcome.hour_p95_s.max(axis=0)
    middle = int(np.argsort(worst)[len(worst) // 2])
    begun = int(outcome.hour_p95_s[:, middle].argmax())
    hour = begun + int(tried.demand.start_hour)
    return WorstHour(
        hour=f"day {hour // 24 + 1}, {hour % 24:02d}:00",
        p95_s=_interval(worst.astype(float)),
        backlog=_interval(outcome.hour_backlog.max(axis=0).astype(float)),
    )


def _quotas(machine: str, most: int, peak: float, question: Question) -> list[Quota]:
    """Of the region, as `testudo launch` checks them, and of the services."""
    fleet = Environment(
        name="plan",
        project="any-project",
        machine_type=machine,
        num_workers=1,
        max_num_workers=most,
        disk_size_gb=DISK_GB,
    )
    needed = {
        **needed_quotas(fleet),
        "Dataflow workers of a job": float(most),
        "Pub/Sub publisher throughput, MB/s": peak * question.mix.message_bytes / 1e6,
        "BigQuery appends, MB/s": peak * ROW_BYTES / 1e6,
        "Cloud Storage object writes, 1/s": peak
        / MESSAGES_PER_OBJECT[question.calibration.bundles],
    }
    return [Quota(name, value, DEFAULTS.get(name, "")) for name, value in needed.items()]


def _series(tried: Tried) -> list[Hour]:
    """The draw whose cost is in the middle."""
    outcome = tried.outcome
    middle = int(np.argsort(tried.usd_month)[len(tried.usd_month) // 2])
    columns = (
        outcome.hour_offered,
        outcome.hour_workers,
        outcome.hour_backlog,
        outcome.hour_p95_s,
    )
    rows = zip(*(column[:, middle].tolist() for column in columns), strict=True)
    return [Hour(number, *(round(value, 4) for value in row)) for number, row in enumerate(rows)]


def _basis(made: Calibration) -> Basis:
    return Basis(**{field.name: getattr(made, field.name) for field in dataclasses.fields(Basis)})


def _assumptions(question: Question) -> list[str]:
    speed, services = question.vcpu_speed, question.services_s
    mix = question.mix
    return [
        f"One vCPU does {speed.low:g} to {speed.high:g}, most likely {speed.mid:g}, times what a "
        "core of the calibrated machine does (--vcpu_speed).",
        f"Pub/Sub, Dataflow and BigQuery add {services.low:g} to {services.high:g} s to every "
        f"latency, most likely {services.mid:g} s (--services_s).",
        f"An item costs {mix.item_s * 1000:.2f} ms of CPU in a worker and its models, within "
        f"{question.calibration.cost_spread:.0%}; a message has {mix.message_bytes / 1000:.1f} KB.",
        f"Autoscaling acts after {PUBLISHED.sustained_s:.0f} s, and a worker works "
        f"{PUBLISHED.start_s:.0f} s after it was asked for; Dataflow's own is not published whole.",
        "The latency law of the local stack holds on Dataflow, a worker at a time.",
        f"A worker's system takes {SYSTEM_BYTES / 1e9:.0f} GB; processes and models what was "
        "measured here, and a fifth more.",
        "Bursts of less than a minute are spread over it; tenants share one queue.",
    ]
