"""How the report writes numbers with their units."""

import math
from collections.abc import Callable, Sequence

NONE = "-"  # where there is no number
ENDLESS = "no end"
GB_BYTES, MB_BYTES = 1e9, 1e6
MS_UNDER_S = 0.1  # shorter times are written in milliseconds
MINUTES_FROM_S, HOURS_FROM_S = 120, 7200
WHOLE_FROM = 100  # from here on a fraction says nothing


def number(value: float | None) -> str:
    """Three digits at least, thousands apart: 0.456, 12.3, 1,234."""
    if value is None or not math.isfinite(value):
        return NONE if value is None else ENDLESS
    if value == int(value) or abs(value) >= WHOLE_FROM:
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= WHOLE_FROM / 10 else f"{value:,.3g}"


def seconds(value_s: float | None) -> str:
    if value_s is None or not math.isfinite(value_s):
        return NONE if value_s is None else ENDLESS
    if value_s >= HOURS_FROM_S:
        return f"{value_s / 3600:.1f} h"
    if value_s >= MINUTES_FROM_S:
        return f"{value_s / 60:.1f} min"
    if 0 < value_s < MS_UNDER_S:
        return f"{value_s * 1000:.3g} ms"
    return f"{value_s:.2f} s" if value_s < WHOLE_FROM / 10 else f"{value_s:.1f} s"


def size(value_bytes: float) -> str:
    if value_bytes >= GB_BYTES:
        return f"{value_bytes / GB_BYTES:.2f} GB"
    return f"{value_bytes / MB_BYTES:.0f} MB"


def share(value: float | None, digits: int = 0) -> str:
    return NONE if value is None else f"{100 * value:.{digits}f} %"


def change(value: float) -> str:
    """A share with its sign: +4.2 %."""
    return f"{100 * value:+.1f} %"


def usd(value_usd: float | None) -> str:
    if value_usd is None:
        return NONE
    return f"${value_usd:,.0f}" if value_usd >= WHOLE_FROM else f"${value_usd:,.2f}"


def rate(value: float | None) -> str:
    return NONE if value is None else f"{number(value)} items/s"


def interval(bounds: Sequence[float | None], form: Callable[[float | None], str]) -> str:
    """Low, middle and high as `middle (low to high)`."""
    low, middle, high = bounds
    return f"{form(middle)} ({form(low)} to {form(high)})"


def counted(count: int, noun: str) -> str:
    """1 run, 2 runs."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
