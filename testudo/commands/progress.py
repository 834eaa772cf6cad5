"""Progress bars: over items, and while something is waited for."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

T = TypeVar("T")
FIRST_PAUSE_S, PAUSE_GROWTH, LONGEST_PAUSE_S = 0.5, 1.2, 5.0


@contextmanager
def tracked(
    items: Iterable[T], what: str, *, total: int | None = None, console: Console | None = None
) -> Iterator[Iterator[T]]:
    """Give the items, and show how many were taken.

    Not `rich.progress.track`: its bar is a generator's own, and its thread is waited for
    for ever when an error leaves the generator half-way.
    """
    with Progress(console=console) as progress:
        task = progress.add_task(what, total=total)
        yield _counted(items, progress, task)


def _counted(items: Iterable[T], progress: Progress, task: TaskID) -> Iterator[T]:
    for item in items:
        yield item
        progress.advance(task)


def poll(
    what: str, count: Callable[[], int], *, total: int, timeout_s: float, console: Console
) -> int:
    """Show how many there are until all are, or time is up; returns how many are then."""
    deadline_s, pause_s = time.monotonic() + timeout_s, FIRST_PAUSE_S
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(what, total=total)
        while True:
            found = count()
            progress.update(task, completed=min(found, total))
            if found >= total or time.monotonic() > deadline_s:
                return found
            time.sleep(pause_s)
            pause_s = min(PAUSE_GROWTH * pause_s, LONGEST_PAUSE_S)
