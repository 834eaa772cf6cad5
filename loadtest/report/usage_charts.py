"""Charts of what a run did each second, and of the processors and memory it took."""

from typing import Any

import altair

from loadtest.report.marks import (
    chart,
    chunks,
    joined,
    lines_over_time,
    most,
    rule,
    seconds_axis,
)
from loadtest.report.section import Figure
from loadtest.results import Result

# What a person distinguishes, of the roles of a run; the first that fits.
GROUPS = {
    "worker-": "workers",
    "image-models": "models",
    "text-models": "models",
    "score-models": "models",
    "engine": "engine",
    "pubsub": "Pub/Sub",
    "bigquery": "BigQuery",
    "storage": "Cloud Storage",
    "sender": "load kit",
    "watcher": "load kit",
}
OTHER = "other"
STACKED = [*dict.fromkeys(GROUPS.values()), OTHER]


def group_of(role: str) -> str:
    return next((group for prefix, group in GROUPS.items() if role.startswith(prefix)), OTHER)


def rates(result: Result) -> Figure:
    names = ["due", "outcomes"]
    rows = [
        {
            "second": some[0].second,
            "series": name,
            "value": sum(getattr(point, name) for point in some) / len(some),
        }
        for some in chunks(result.seconds)
        for name in names
    ]
    says = f"Messages due and outcomes queryable, in each second{joined(result.seconds, 'mean')}."
    drawn = lines_over_time(rows, names, "items/s")
    return Figure(title="Offered and achieved", says=says, chart=drawn)


def waiting(result: Result) -> Figure:
    rows = [
        {"second": some[0].second, "waiting": most(point.waiting for point in some)}
        for some in chunks(result.seconds)
    ]
    drawn = (
        chart(rows)
        .mark_area(line=True)
        .encode(
            x=seconds_axis(),
            y=altair.Y("waiting:Q", title="items"),
            tooltip=["second:Q", "waiting:Q"],
        )
    )
    says = "Items that were due and had no outcome yet; a line that keeps rising is overload."
    return Figure(title="Waiting", says=says, chart=drawn)


def cpu(result: Result) -> Figure:
    rows = []
    for some in chunks(result.seconds):
        shares = dict.fromkeys(STACKED, 0.0)
        for point in some:
            for role, share in point.cpu_shares.items():
                # The rest of the machine is a difference of two samples: noise takes it below 0.
                shares[group_of(role)] += max(0.0, share) / len(some)
        rows += [
            {"second": some[0].second, "role": group, "cores": share, "order": order}
            for order, (group, share) in enumerate(shares.items())
        ]
    there = [group for group in STACKED if any(r["cores"] for r in rows if r["role"] == group)]
    areas = (
        chart([row for row in rows if row["role"] in there])
        .mark_area(style="layer")
        .encode(
            x=seconds_axis(),
            y=altair.Y("cores:Q", title="cores in use", stack="zero"),
            color=altair.Color(
                "role:N", scale=altair.Scale(domain=there), legend=altair.Legend(title=None)
            ),
            order="order:O",
            tooltip=["role:N", "second:Q", altair.Tooltip("cores:Q", format=".2f")],
        )
    )
    cores = result.settings.cores
    drawn: Any = areas + rule(cores, f"all {cores} cores", style="limit") if cores else areas
    says = "Cores in use, by who used them; the first of the legend lies at the bottom."
    return Figure(title="Processors", says=says, chart=drawn)


def memory(result: Result) -> Figure:
    rows = [
        {"role": role, "mb": use.peak_bytes / 1e6, "group": group_of(role)}
        for role, use in result.processes.items()
    ]
    drawn = (
        chart(rows)
        .mark_bar()
        .encode(
            x=altair.X("mb:Q", title="MB at the peak"),
            y=altair.Y("role:N", title=None, sort="-x", axis=altair.Axis(ticks=False)),
            tooltip=["role:N", altair.Tooltip("mb:Q", format=".0f")],
        )
    )
    says = "The most resident memory that the processes of each role had together."
    return Figure(title="Memory", says=says, chart=drawn, height_px=24 * len(rows) + 20)
