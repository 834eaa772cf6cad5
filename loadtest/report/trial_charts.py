"""Charts of what is made of several runs: knees, proofs, fairness."""

import math
from collections.abc import Mapping
from typing import Any

import altair

from loadtest.capacity import proof
from loadtest.measuring.fairness import Fairness
from loadtest.measuring.probing import Judged, Knee
from loadtest.report.marks import chart, rule, shapes
from loadtest.report.section import Figure

HOLDS, FAILS, NOTHING = "holds", "fails", "proves nothing"
SHAPES = {HOLDS: "circle", FAILS: "triangle-up", NOTHING: "square"}
ROW_PX = 46
# Names in two lines, where they have two parts.
NAMES = altair.Axis(ticks=False, labelLimit=150, labelExpr="split(datum.label, ', ')")


def judged(probe: Judged) -> str:
    if probe.problems or probe.holds is None:
        return NOTHING
    return HOLDS if probe.holds else FAILS


def knee(found: Knee) -> Figure:
    goal_s = found.goal_p95_s
    rows = [
        {"rate": probe.rate, "p95_s": probe.p95_s, "probe": judged(probe)}
        for probe in found.probes
        if math.isfinite(probe.p95_s)
    ]
    points = (
        chart(rows)
        .mark_point(style="probe")
        .encode(
            x=altair.X("rate:Q", title="offered rate, items/s"),
            y=altair.Y("p95_s:Q", title="p95 of latency, s"),
            tooltip=["probe:N", "rate:Q", altair.Tooltip("p95_s:Q", format=".3~f")],
            **shapes("probe", SHAPES),
        )
    )
    drawn: Any = points + rule(goal_s, f"goal {goal_s:g} s")
    if found.low is not None and found.high is not None:
        bounds = chart([{"low": found.low, "high": found.high}])
        drawn = bounds.mark_rect(style="band").encode(x="low:Q", x2="high:Q") + drawn
    if found.knee is not None:
        drawn = drawn + rule(found.knee, "knee", axis="x", style="plain")
    says = (
        "Each probe's rate and 95th percentile: the knee is where points cross the goal, and the "
        "band its interval."
    )
    return Figure(title="Latency against rate", says=says, chart=drawn)


def predicted(title: str, unit: str, figures: Mapping[str, proof.Figure]) -> Figure:
    """Predicted and measured, and what may lie between them."""
    y = altair.Y("what:N", title=None, sort=None, axis=NAMES)
    tips = [altair.Tooltip(f"{name}:Q", format=".3~f") for name in ("predicted", "measured")]
    base = chart([_bounds(what, figure) for what, figure in figures.items()]).encode(
        y=y, tooltip=tips
    )
    x = altair.X("least:Q", title=unit, scale=altair.Scale(zero=False, padding=12))
    allowed = base.mark_bar(style="allowed").encode(x=x, x2="most:Q")
    bounds = base.mark_rule(style="interval").encode(x="low:Q", x2="high:Q")
    points = (
        base.transform_fold(["predicted", "measured"], as_=["which", "value"])
        .mark_point(style="probe")
        .encode(x="value:Q", **shapes("which", {"predicted": "circle", "measured": "diamond"}))
    )
    within = next(iter(figures.values())).within
    says = (
        f"Grey: {100 * within:.0f} % about the measured value, where a prediction holds. Line: the "
        "prediction's interval."
    )
    return Figure(
        title=title,
        says=says,
        chart=allowed + bounds + points,
        height_px=ROW_PX * len(figures) + 20,
    )


def _bounds(what: str, one: proof.Figure) -> dict[str, Any]:
    return {
        "what": what,
        "predicted": one.predicted,
        "low": one.low,
        "high": one.high,
        "measured": one.measured,
        "least": one.measured * (1 - one.within),
        "most": one.measured * (1 + one.within),
    }


def fairness(found: Fairness) -> Figure:
    names = ("p50_s", "p95_s", "p99_s")
    rows = [
        {"run": run.name, **{name: getattr(run.others, name) for name in names}}
        for run in found.runs
    ]
    y = altair.Y("run:N", title=None, sort=None, axis=NAMES)
    tips = [altair.Tooltip(f"{name}:Q", format=".3~f") for name in names]
    base = chart(rows).encode(y=y, tooltip=["run:N", *tips])
    bars = base.mark_bar().encode(x=altair.X("p95_s:Q", title="latency, s"))
    lines = base.mark_rule(style="plain").encode(x="p95_s:Q", x2="p99_s:Q")
    ends = base.mark_tick(style="end").encode(x="p99_s:Q")
    says = "All tenants but the wild one, in each run. Bar: p95; line: up to p99."
    return Figure(
        title="The others' latency",
        says=says,
        chart=bars + lines + ends,
        height_px=ROW_PX * len(rows) + 20,
    )
