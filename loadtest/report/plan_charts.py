"""Charts of a plan: cost and workers against customers, and the planned days hour by hour."""

from collections.abc import Sequence
from typing import Any

import altair

from loadtest.capacity.plan import Hour, Plan
from loadtest.report.marks import chart, chunks, most, rule, series
from loadtest.report.section import Figure

HOURLY_PX = 150
LOG = altair.Scale(type="log", nice=False, padding=16)
MEAN, LEAST, MOST = "mean", "least", "most"


def _customers(plan: Plan) -> altair.X:
    return altair.X(
        "customers:Q",
        title="customers",
        scale=LOG,
        axis=altair.Axis(values=[step.customers for step in plan.steps], format=",d", grid=False),
    )


def cost(plan: Plan) -> Figure:
    rows = [{"customers": step.customers, **step.usd_month._asdict()} for step in plan.steps]
    y = altair.Y("low:Q", title="USD a month", scale=LOG)
    tips = [altair.Tooltip(f"{end}:Q", format=",.0f") for end in ("low", "mid", "high")]
    base = chart(rows).encode(x=_customers(plan), tooltip=["customers:Q", *tips])
    band = base.mark_area(style="band").encode(y=y, y2="high:Q")
    line = base.mark_line(point=True).encode(y="mid:Q")
    says = "What the limits cost in a month, with the interval; both axes are logarithmic."
    return Figure(title="Cost", says=says, chart=band + line)


def workers(plan: Plan) -> Figure:
    rows = [
        {"customers": step.customers, "series": name, "workers": value}
        for step in plan.steps
        for name, value in (
            (LEAST, step.min_num_workers),
            (MEAN, step.workers_mean.mid),
            (MOST, step.max_num_workers),
        )
    ]
    drawn = (
        chart(rows)
        .mark_line(point=True)
        .encode(
            x=_customers(plan),
            y=altair.Y("workers:Q", title="workers", axis=altair.Axis(tickMinStep=1)),
            tooltip=["series:N", "customers:Q", altair.Tooltip("workers:Q", format=".2~f")],
            **series(names=[MOST, MEAN, LEAST]),
        )
    )
    says = "The limits of the number of workers, and how many run in the mean."
    return Figure(title="Workers", says=says, chart=drawn)


def hourly(plan: Plan) -> list[Figure]:
    """Offered load, workers, backlog and latency, each over the same days."""
    charts = (
        ("offered", "Offered load", "items/s", "What the customers send, in each hour."),
        ("workers", "Workers at work", "workers", "How many workers the autoscaler keeps."),
        ("backlog", "Backlog", "items", "What waits, at the most of each hour."),
        ("p95_s", "Latency", "p95, s", "The 95th percentile of each hour's items."),
    )
    figures = []
    for field, title, unit, says in charts:
        drawn: Any = _over_days(plan.series, field, unit)
        if field == "p95_s":
            drawn = drawn + rule(plan.slo_p95_s, f"goal {plan.slo_p95_s:g} s")
        figures.append(Figure(title=title, says=says, chart=drawn, height_px=HOURLY_PX))
    return figures


def _over_days(hours: Sequence[Hour], field: str, unit: str) -> altair.Chart:
    rows = [
        {"day": some[0].hour / 24, "value": most(getattr(hour, field) for hour in some)}
        for some in chunks(hours, 720)
    ]
    nothing = not any(row["value"] for row in rows)  # zero would lie in the middle of no range
    scale = altair.Scale(domain=[0, 1]) if nothing else altair.Scale()
    return (
        chart(rows)
        .mark_line(style="thin")
        .encode(
            x=altair.X(
                "day:Q",
                title="day",
                scale=altair.Scale(nice=False),
                axis=altair.Axis(grid=False),
            ),
            y=altair.Y("value:Q", title=unit, scale=scale),
            tooltip=[
                altair.Tooltip("day:Q", format=".2f"),
                altair.Tooltip("value:Q", title=unit, format=",.3~f"),
            ],
        )
    )
