"""Parts that charts share: axes, lines of a goal, series short enough to draw.

Colours are not here: the page's script gives the categories' and the styles' for
light and dark (see page.js), so that each chart can be drawn in both.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import altair

MOST_POINTS = 400  # of one series: a chart is no wider on most screens
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3])
Row = Mapping[str, Any]


def data(rows: Iterable[Row]) -> altair.InlineData:
    """Rows in the specification itself. Fields have fixed names; what files say is values only."""
    return altair.InlineData(values=[{key: _finite(row[key]) for key in row} for row in rows])


def _finite(value: Any) -> Any:
    """JSON has no infinity: there is no point where there is no bound."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def chart(rows: Iterable[Row]) -> altair.Chart:
    return altair.Chart(data(rows))


def series(field: str = "series", names: Sequence[str] = ()) -> dict[str, Any]:
    """Colour and dash for each of some lines, in the order of their names, and one legend."""
    domain = list(names)
    dashes = [DASHES[index % len(DASHES)] for index in range(len(names))]
    legend = altair.Legend(title=None, symbolType="stroke", symbolSize=400)
    return {
        "color": altair.Color(f"{field}:N", scale=altair.Scale(domain=domain), legend=legend),
        "strokeDash": altair.StrokeDash(
            f"{field}:N", scale=altair.Scale(domain=domain, range=dashes), legend=legend
        ),
    }


def shapes(field: str, named: Mapping[str, str]) -> dict[str, Any]:
    """Colour and shape for each kind of point, and one legend."""
    domain, found = list(named), list(named.values())
    return {
        "color": altair.Color(f"{field}:N", scale=altair.Scale(domain=domain), title=None),
        "shape": altair.Shape(
            f"{field}:N", scale=altair.Scale(domain=domain, range=found), title=None
        ),
    }


def rule(value: float, name: str, *, axis: str = "y", style: str = "goal") -> altair.LayerChart:
    """A line across the chart at a value, with its name at the end."""
    base = chart([{"value": value, "name": name}])
    if axis == "y":
        line = base.mark_rule(style=style).encode(y="value:Q")
        text = base.mark_text(style=f"{style}-name", align="right", baseline="bottom", dx=-4, dy=-3)
        return line + text.encode(y="value:Q", x=altair.value("width"), text="name:N")
    line = base.mark_rule(style=style).encode(x="value:Q")
    text = base.mark_text(style=f"{style}-name", align="left", baseline="top", dx=5, dy=3)
    return line + text.encode(x="value:Q", y=altair.value(0), text="name:N")


def chunks(rows: Sequence[Any], most: int = MOST_POINTS) -> list[Sequence[Any]]:
    """At most so many equal runs of the rows, in order: each becomes one point."""
    length = max(1, -(-len(rows) // most))
    return [rows[start : start + length] for start in range(0, len(rows), length)]


def joined(rows: Sequence[Any], by: str = "most") -> str:
    """What a sentence about the rows must add where a point stands for several of them."""
    length = len(chunks(rows)[0]) if rows else 1
    return f"; a point is the {by} of {length} seconds" if length > 1 else ""


def most(values: Iterable[float | None]) -> float | None:
    """The largest value there is: a peak must not vanish where points are joined."""
    return max((value for value in values if value is not None), default=None)


def seconds_axis() -> altair.X:
    axis = altair.Axis(grid=False, tickMinStep=1)
    return altair.X(
        "second:Q", title="seconds from the start", axis=axis, scale=altair.Scale(nice=False)
    )


def lines_over_time(rows: Sequence[Row], names: Sequence[str], unit: str) -> altair.Chart:
    return (
        chart(rows)
        .mark_line()
        .encode(
            x=seconds_axis(),
            y=altair.Y("value:Q", title=unit),
            tooltip=["series:N", "second:Q", altair.Tooltip("value:Q", title=unit, format=".3~f")],
            **series(names=names),
        )
    )
