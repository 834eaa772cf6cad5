"""The progress of a run at a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from loadtest.measuring import live


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
