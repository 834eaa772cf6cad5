"""A progress bar over items, which ends with its block on every path."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress, TaskID

T = TypeVar("T")


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
