"""Charts of latency: of one run, and of some runs beside each other."""

from collections.abc import Sequence
from typing import Any

import altair

from loadtest.measuring.latencies import decode_histogram
from loadtest.report.marks import chart, chunks, joined, lines_over_time, most, rule, series
from loadtest.report.section import Figure
from loadtest.results import Latency, Result

STAGES = ("wait", "job", "image", "text", "score", "store")
TICKS_A_HALF = 4  # points each time that the distance to 100 % halves
# The axis of percentiles: 1 / (1 - share) on a logarithmic scale gives each nine the same room.
NINES = [2, 10, 100, 1000, 10_000, 100_000]
AS_PERCENT = "format(100 - 100 / datum.value, '.6~g') + ' %'"


def over_time(result: Result, goal_s: float | None) -> Figure:
    names = ["p50", "p95"]
    rows = [
        {
            "second": some[0].second,
            "series": name,
            "value": most(getattr(point, field) for point in some),
        }
        for some in chunks(result.seconds)
        for name, field in zip(names, ("p50_s", "p95_s"), strict=True)
    ]
    says = f"Median and 95th percentile of the items of each second{joined(result.seconds)}."
    drawn: Any = lines_over_time(rows, names, "latency, s")
    if goal_s is not None:
        drawn = drawn + rule(goal_s, f"goal {goal_s:g} s")
    return Figure(title="Latency over time", says=says, chart=drawn)


def percentiles(results: Sequence[Result], goal_s: float | None) -> Figure:
    """The whole distribution of each run; its ends stand far apart."""
    names = _distinct([result.name for result in results])
    rows = [
        {"series": name, "nines": nines, "latency_s": latency_s}
        for name, result in zip(names, results, strict=True)
        for nines, latency_s in _curve(result)
    ]
    lines = (
        chart(rows)
        .mark_line(interpolate="step-after")
        .encode(
            x=altair.X(
                "nines:Q",
                title="share of the items that were at least as fast",
                scale=altair.Scale(type="log", nice=False),
                axis=altair.Axis(values=NINES, labelExpr=AS_PERCENT, labelOverlap=False),
            ),
            y=altair.Y("latency_s:Q", title="latency, s"),
            tooltip=["series:N", altair.Tooltip("latency_s:Q", title="latency, s", format=".3~f")],
            **(series(names=names) if len(names) > 1 else {}),
        )
    )
    drawn: Any = lines if goal_s is None else lines + rule(goal_s, f"goal {goal_s:g} s")
    says = "How late the slowest items are: 90, 99 and 99.9 % have the same room on the axis."
    return Figure(title="Latency by percentile", says=says, chart=drawn)


def _distinct(names: Sequence[str]) -> list[str]:
    """Each name once: those that come again with their number."""
    return [
        name if name not in names[:index] else f"{name} ({names[:index].count(name) + 1})"
        for index, name in enumerate(names)
    ]


def _curve(result: Result) -> list[tuple[float, float]]:
    """1 / (1 - share) and the latency there, up to the slowest item."""
    histogram = decode_histogram(result.histogram)
    end = max(2, histogram.get_total_count())
    return [
        (
            min(end, 1 / max(1e-9, 1 - point.percentile_level_iterated_to / 100)),
            point.value_iterated_to / 1e6,
        )
        for point in histogram.get_percentile_iterator(TICKS_A_HALF)
    ]


def tenants(result: Result, goal_s: float | None) -> Figure:
    total = max(1, sum(tenant.items for tenant in result.tenants.values()))
    ranked = sorted(result.tenants.items(), key=_items, reverse=True)
    rows = [
        {
            "tenant": name,
            "percent": 100 * point.items / total,
            "p95_s": point.p95_s,
            "items": point.items,
        }
        for some in chunks([point for point in ranked if point[1].items])
        for name, point in some[:1]
    ]
    points = (
        chart(rows)
        .mark_point(style="dot")
        .encode(
            x=altair.X(
                "percent:Q",
                title="share of all items, %",
                scale=altair.Scale(type="log", nice=False, padding=14),
                axis=altair.Axis(format="~g", tickCount=4, grid=False),
            ),
            y=altair.Y("p95_s:Q", title="p95 of latency, s"),
            tooltip=["tenant:N", "items:Q", altair.Tooltip("p95_s:Q", format=".3~f")],
        )
    )
    drawn: Any = points + rule(result.latency.p95_s, "p95 of all items", style="plain")
    if goal_s is not None:
        drawn = drawn + rule(goal_s, f"goal {goal_s:g} s")
    says = "A point a tenant, the busiest to the right: points far above the others are unfairness."
    return Figure(title="Tenants", says=says, chart=drawn)


def _items(one: tuple[str, Any]) -> int:
    return int(one[1].items)


def by_stage(result: Result) -> dict[str, Latency]:
    """In the order that an item takes; what no list has comes last."""
    order = [name for name in STAGES if name in result.stages]
    order += [name for name in result.stages if name not in STAGES]
    return {name: result.stages[name] for name in order}


def stages(result: Result) -> Figure:
    found = by_stage(result)
    rows = [
        {"stage": name, "p50_s": part.p50_s, "p95_s": part.p95_s} for name, part in found.items()
    ]
    y = altair.Y("stage:N", title=None, sort=list(found), axis=altair.Axis(ticks=False))
    base = chart(rows).encode(y=y, tooltip=["stage:N", *_percentile_tips()])
    bars = base.mark_bar().encode(x=altair.X("p50_s:Q", title="latency, s"))
    lines = base.mark_rule(style="plain").encode(x="p50_s:Q", x2="p95_s:Q")
    ends = base.mark_tick(style="end").encode(x="p95_s:Q")
    says = "Where the time goes, from due to queryable. Bar: median; line: up to p95."
    return Figure(
        title="Stages", says=says, chart=bars + lines + ends, height_px=34 * len(rows) + 20
    )


def _percentile_tips() -> list[altair.Tooltip]:
    return [altair.Tooltip(f"{name}_s:Q", format=".3~f") for name in ("p50", "p95")]
