"""The section of a plan: the limits to set, ready to copy, and what they rest on."""

import math

from loadtest.capacity.plan import Plan, Step
from loadtest.report import plan_charts
from loadtest.report.quantities import counted, interval, number, rate, seconds, share, usd
from loadtest.report.section import Judged, Section, Table, Verdict


def plan_section(plan: Plan, anchor: str) -> Section:
    step = plan.chosen
    words = [
        f"Calculated for {counted(step.customers, 'customer')} of the profile {plan.profile} and "
        f"{plan.days:g} days in {plan.region}, with the prices of {plan.prices_version}, from the "
        f"calibration of {plan.calibration.made_at} ({plan.calibration.machine}, bundles as on "
        f"{plan.calibration.bundles}). "
        "Intervals hold 90 of 100 draws of what is uncertain."
    ]
    if plan.calibration.provisional:
        words.append("The calibration is provisional: testudo loadtest calibrate measures one.")
    words += [other.text() for other in plan.others]
    return Section(
        anchor=anchor,
        title=f"Limits for {counted(step.customers, 'customer')}",
        verdict=_verdict(plan),
        paragraphs=words,
        copied=plan.to_toml(),
        tables=[ladder(plan), _quotas(step)],
        figures=[plan_charts.cost(plan), plan_charts.workers(plan)]
        + (plan_charts.hourly(plan) if plan.series else []),
        points=plan.assumptions,
        points_title="Assumed",
    )


def _verdict(plan: Plan) -> Verdict:
    step = plan.chosen
    limits = (
        f"{step.min_num_workers} to {step.max_num_workers} workers of {step.machine_type}, "
        f"utilization hint {step.utilization_hint:g}"
    )
    words = (
        f"Expected: p95 {_seconds(step.p95_s)}, goal {plan.slo_p95_s:g} s; "
        f"{interval(step.usd_month, usd)} a month."
    )
    if not step.feasible:
        head = f"No limits that were tried hold {plan.slo_p95_s:g} s"
        return Verdict(Judged.BAD, head, f"The nearest: {limits}. {words}")
    return Verdict(Judged.GOOD, f"Set {limits}", words)


def ladder(plan: Plan) -> Table:
    return Table(
        caption="Limits against customers",
        columns=[
            "customers",
            "goal",
            "workers",
            "machine",
            "hint",
            "USD a month",
            "USD a million",
            "p95",
            "minutes held",
            "worst hour",
            "its p95",
            "mean rate",
            "peak rate",
        ],
        words=["goal", "machine"],
        rows=[_ladder_row(step) for step in plan.steps],
    )


def _ladder_row(step: Step) -> list[str]:
    return [
        f"{step.customers:,}",
        "holds" if step.feasible else "fails",
        f"{step.min_num_workers} to {step.max_num_workers}",
        step.machine_type,
        f"{step.utilization_hint:g}",
        interval(step.usd_month, usd),
        interval(step.usd_million, usd),
        _seconds(step.p95_s),
        share(step.held_share.mid, 2),
        step.worst_hour.hour,
        _seconds(step.worst_hour.p95_s),
        rate(step.rate_mean),
        rate(step.rate_peak),
    ]


def _seconds(bounds: tuple[float, float, float]) -> str:
    """As an interval; where even the low end has none, only that."""
    return interval(bounds, seconds) if math.isfinite(bounds[0]) else seconds(math.inf)


def _quotas(step: Step) -> Table:
    return Table(
        caption="Quotas that the limits need",
        columns=["", "needed", "at first"],
        words=["at first"],
        rows=[[quota.name, number(quota.needed), quota.default] for quota in step.quotas],
    )
