"""How runs look at a terminal: a line of progress, and a table of what came out."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from loadtest.measuring import live
from loadtest.results import Latency, Result

LARGEST_TENANTS = 5


@contextmanager
def following(console: Console, what: str) -> Iterator[Callable[[live.Progress], None]]:
    """A bar of the items that have an outcome, with how many wait and the p95 so far."""
    columns = (
        TextColumn(what),
        BarColumn(),
        TextColumn("{task.fields[now]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(what, total=None, now="waiting for the start")

        def follow(one: live.Progress) -> None:
            p95 = "none yet" if one.p95_s is None else f"{one.p95_s:.2f} s"
            now = (
                f"{one.outcomes:,} of {one.items:,} outcomes, {max(one.waiting, 0):,} waiting, "
                f"p95 {p95}"
            )
            progress.update(task, completed=one.outcomes, total=one.items, now=now)

        yield follow


def tell(console: Console, result: Result) -> None:
    """Tables of latencies, outcomes and processes, and what was at its limit."""
    console.print(latencies(result))
    rows = [*result.outcomes.items(), ("lost", result.lost)]
    counted = ", ".join(f"{count:,} {what}" for what, count in rows if count)
    console.print(
        f"{result.sent.messages:,} messages of {result.items:,} items at "
        f"{result.settings.rate:.1f}/s: {counted}; {result.copies_removed:,} copies removed; "
        f"{result.throughput:.1f} outcomes/s. A look every {result.look_every_s:.2f} s, "
        f"generator late by {result.sent.lag_p99_s * 1000:.0f} ms (p99)."
    )
    if result.processes:
        console.print(processes(result))
    console.print(f"At its limit: {result.saturated or 'nothing'}.")


def latencies(result: Result) -> Table:
    """Of all items, of the stages, and of the tenants with most items."""
    table = Table("latency, s", "items", "p50", "p90", "p95", "p99", "p99.9", "max")
    for heading in table.columns[1:]:
        heading.justify = "right"
    largest = sorted(result.tenants.items(), key=_items_last)[-LARGEST_TENANTS:]
    groups: list[tuple[str, Latency]] = [
        ("all", result.latency),
        *result.stages.items(),
        *reversed(largest),
    ]
    for name, one in groups:
        numbers = (one.p50_s, one.p90_s, one.p95_s, one.p99_s, one.p999_s, one.max_s)
        table.add_row(name, f"{one.items:,}", *(f"{number:.3f}" for number in numbers))
    return table


def _items_last(pair: tuple[str, Latency]) -> int:
    return pair[1].items


def processes(result: Result) -> Table:
    table = Table("role", "CPU, s", "ms an item", "busiest ten seconds", "memory, MB")
    for heading in table.columns[1:]:
        heading.justify = "right"
    for role, use in result.processes.items():
        table.add_row(
            role,
            f"{use.cpu_s:.1f}",
            f"{1000 * use.cpu_s / max(result.items, 1):.1f}",
            f"{use.busiest_share:.0%} of a core",
            f"{use.peak_bytes / 1e6:,.0f}",
        )
    return table
