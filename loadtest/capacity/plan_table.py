"""A plan at the terminal."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from loadtest.capacity.plan_record import Plan, Step
from loadtest.capacity.regression import Interval
from testudo.cloud.prices import Prices


def show(plan: Plan, prices: Prices, out: Path, console: Console) -> None:
    """The ladder as a table, then quotas, assumptions and what to do with the file `out`."""
    table = Table(title=f"{plan.profile}: p95 within {plan.slo_p95_s:g} s, {plan.days:g} days")
    headings = (
        "customers",
        "items/s\nmean, peak",
        "workers",
        "machine, hint",
        "p95, s",
        "worst hour, s",
        "minutes\nheld",
        "USD a month",
        "USD a\nmillion",
    )
    for name in headings:
        table.add_column(name, justify="right")
    for step in plan.steps:
        table.add_row(*_cells(step), style="" if step.feasible else "red")
    console.print(table)
    console.print("In brackets: 5 and 95 of 100 draws.", markup=False)
    for quota in plan.chosen.quotas:
        given = f" (at first {quota.default})" if quota.default else ""
        console.print(f"Quota {quota.name}: {quota.needed:,.6g}{given}", markup=False)
    for one in plan.assumptions:
        console.print(f"Assumed: {one}", markup=False)
    if plan.calibration["provisional"]:
        console.print("The calibration is provisional: `testudo loadtest calibrate` measures one.")
    if prices.borrowed:
        console.print(f"Prices of {prices.region} for {', '.join(prices.borrowed)}.", markup=False)
    console.print(f"Use it: testudo launch ENVIRONMENT --template VERSION --plan {out}")


def _cells(step: Step) -> list[str]:
    return [
        f"{step.customers:,}",
        f"{step.rate_mean:.1f}, {step.rate_peak:.1f}",
        f"{step.min_num_workers} to {step.max_num_workers}",
        f"{step.machine_type}, {step.utilization_hint:g}",
        _in_words(step.p95_s, ".1f"),
        f"{_in_words(step.worst_hour.p95_s, '.1f')}\n{step.worst_hour.hour}",
        f"{step.held_share.low:.2%}",
        _in_words(step.usd_month, ",.0f"),
        _in_words(step.usd_million, ",.2f"),
    ]


def _in_words(interval: Interval, form: str) -> str:
    return f"{interval.mid:{form}} ({interval.low:{form}}-{interval.high:{form}})"


def not_held(plan: Plan) -> str:
    """What to say of a plan whose chosen limits do not hold the goal."""
    step = plan.chosen
    return (
        f"No limits were found that hold a p95 of {plan.slo_p95_s:g} s in 99 % of the minutes for "
        f"{step.customers:,} customers. The best hold it in {step.held_share.low:.1%}; in their "
        f"worst hour, {step.worst_hour.hour}, p95 is {step.worst_hour.p95_s.high:.1f} s. Allow "
        "that, or name larger --machine_types."
    )
