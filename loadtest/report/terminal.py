"""Tables of the report, and a plan, as a terminal shows them."""

from collections.abc import Sequence
from pathlib import Path

from rich import table as rich
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.text import Text

from loadtest.capacity.plan import Plan
from loadtest.report.plan_section import ladder
from loadtest.report.section import Table
from testudo.cloud.prices import Prices

# Of the ladder's columns, those that a terminal has room for.
COLUMNS = (
    "customers",
    "workers",
    "machine",
    "hint",
    "USD a month",
    "p95",
    "minutes held",
    "its p95",
)


def rich_table(table: Table, columns: Sequence[str] = ()) -> rich.Table:
    """All columns, or those that are named. Cells are text: what a file brings is no markup."""
    shown = [number for number, name in enumerate(table.columns) if not columns or name in columns]
    made = rich.Table(title=Text(table.caption), title_justify="left", box=SIMPLE_HEAD)
    made.pad_edge, made.collapse_padding = False, True
    for number in shown:
        name = table.columns[number]
        words = not number or name in table.words
        made.add_column(name, justify="left" if words else "right", overflow="fold")
    for row in table.rows:
        made.add_row(*(Text(row[number]) for number in shown))
    return made


def show_plan(plan: Plan, prices: Prices, out: Path, console: Console) -> None:
    """The ladder as a table, then quotas, assumptions and what to do with the file `out`."""
    step = plan.chosen
    lines = [
        "Intervals: 5, 50 and 95 of 100 draws. The last column is the p95 of the worst hour, "
        f"which is {step.worst_hour.hour} for {step.customers:,} customers.",
        f"A million items: {step.usd_million.text(',.2f')} USD.",
    ]
    lines += [other.text() for other in plan.others]
    for quota in step.quotas:
        given = f" (at first {quota.default})" if quota.default else ""
        lines.append(f"Quota {quota.name}: {quota.needed:,.6g}{given}")
    lines += [f"Assumed: {assumption}" for assumption in plan.assumptions]
    if plan.calibration.provisional:
        lines.append("The calibration is provisional: `testudo loadtest calibrate` measures one.")
    if prices.borrowed:
        lines.append(f"Prices of {prices.region} for {', '.join(prices.borrowed)}.")
    lines.append(f"Use it: testudo launch ENVIRONMENT --template VERSION --plan {out}")
    console.print(f"{plan.profile}: p95 within {plan.slo_p95_s:g} s, {plan.days:g} days")
    console.print(rich_table(ladder(plan), COLUMNS))
    console.print("\n".join(lines), markup=False)


def not_held(plan: Plan) -> str:
    """What to say of a plan whose chosen limits do not hold the goal."""
    step = plan.chosen
    return (
        f"No limits were found that hold a p95 of {plan.slo_p95_s:g} s in 99 % of the minutes for "
        f"{step.customers:,} customers. The best hold it in {step.held_share.low:.1%}; in their "
        f"worst hour, {step.worst_hour.hour}, p95 is {step.worst_hour.p95_s.high:.1f} s. Allow "
        "that, or name larger --machine_types."
    )
