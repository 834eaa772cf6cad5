"""How far a trial is, while it runs, and how a terminal shows it."""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from rich import progress
from rich.console import Console

from loadtest.measuring.latencies import percentile_s
from loadtest.traffic.schedule import Schedule

SENT_COUNT = re.compile(r"([\d,]+) of ")  # in what `send` reports


class Progress(NamedTuple):
    """How far a trial is."""

    due: int  # items until now
    items: int  # of the whole trial
    outcomes: int
    p95_s: float | None  # of the outcomes so far; items that still wait are not in it

    @property
    def waiting(self) -> int:
        return self.due - self.outcomes


class Live:
    """How far a trial is, from what the sender and the watcher have reported until now."""

    def __init__(
        self,
        schedule: Schedule,
        seen_s: Mapping[str, float],
        report: Callable[[str], None] | None,
    ) -> None:
        numbers = np.flatnonzero(~schedule.is_copy)
        self.has_copies = len(numbers) < len(schedule.due_s)
        self._due_s = schedule.due_s[numbers]
        self._due_of = dict(zip(map(str, numbers.tolist()), self._due_s.tolist(), strict=True))
        self._all_due_s = schedule.due_s
        self._seen_s = seen_s
        self._report = report
        self._start_s: float | None = None

    @property
    def all_seen(self) -> bool:
        return len(self._seen_s) >= len(self._due_of)

    def read_line(self, line: str) -> None:
        """Of the sender: when it began follows from its first count, to some milliseconds."""
        found = SENT_COUNT.match(line)
        if found is None:
            if self._report is not None:
                self._report(line)
        elif self._start_s is None:
            count = int(found[1].replace(",", ""))
            self._start_s = time.time() - float(self._all_due_s[max(count - 1, 0)])

    def progress(self) -> Progress:
        start_s = self._start_s
        seen = list(dict(self._seen_s).items())
        if start_s is None or not seen:
            return Progress(0 if start_s is None else self._due(start_s), len(self._due_s), 0, None)
        taken_s = np.array([at_s - start_s - self._due_of.get(item, np.nan) for item, at_s in seen])
        taken_s = taken_s[~np.isnan(taken_s)]
        p95_s = percentile_s(taken_s, 95) if len(taken_s) else None
        return Progress(self._due(start_s), len(self._due_s), len(taken_s), p95_s)

    def _due(self, start_s: float) -> int:
        return int(np.searchsorted(self._due_s, time.time() - start_s, "right"))


@contextmanager
def following(console: Console, what: str) -> Iterator[Callable[[Progress], None]]:
    """A bar of the items that have an outcome, with how many wait and the p95 so far."""
    columns = (
        progress.TextColumn(what),
        progress.BarColumn(),
        progress.TextColumn("{task.fields[now]}"),
        progress.TimeElapsedColumn(),
    )
    with progress.Progress(*columns, console=console) as bar:
        task = bar.add_task(what, total=None, now="waiting for the start")

        def follow(one: Progress) -> None:
            p95 = "none yet" if one.p95_s is None else f"{one.p95_s:.2f} s"
            now = (
                f"{one.outcomes:,} of {one.items:,} outcomes, {max(one.waiting, 0):,} waiting, "
                f"p95 {p95}"
            )
            bar.update(task, completed=one.outcomes, total=one.items, now=now)

        yield follow
