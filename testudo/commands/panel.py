"""What `testudo run` shows of its job: on a terminal one panel, elsewhere a line now and then."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from apache_beam.metrics import MetricsFilter
from apache_beam.runners.portability.portable_runner import (
    PipelineResult as PortablePipelineResult,
)
from apache_beam.runners.runner import PipelineResult
from rich.console import Console
from rich.live import Live
from rich.table import Table

LINE_EVERY_S = 10.0
LOOK_S = 1.0  # at the job's counters
RATE_OVER_S = 10.0


class Counts(NamedTuple):
    """What a job has done; an item that came twice counts twice."""

    messages: int = 0
    rows: int = 0  # predictions and dead letters that are stored
    dead_letters: int = 0

    @property
    def predictions(self) -> int:
        return max(0, self.rows - self.dead_letters)

    @property
    def under_way(self) -> int:
        return max(0, self.messages - self.rows)

    def in_words(self) -> str:
        return (
            f"{self.messages:,} messages: {self.predictions:,} predictions, "
            f"{self.dead_letters:,} dead letters, {self.under_way:,} under way"
        )


def counts_of(result: PipelineResult) -> Counts:
    """By its counters as they are now."""
    if isinstance(result, PortablePipelineResult):
        result._metrics = None  # else it repeats its first answer for good
    found = dict.fromkeys(("messages", "rows_inserted", "rows_written", "dead_letters"), 0)
    named = MetricsFilter().with_namespace("testudo").with_names(list(found))
    for one in result.metrics().query(named)["counters"]:
        found[one.key.metric.name] += one.result or 0
    messages, inserted, written, dead_letters = found.values()
    return Counts(messages, inserted + written, dead_letters)


class Progress:
    """Looks at a job's counters; keeps those that it saw last where the job does not answer."""

    def __init__(self, look: Callable[[], Counts]) -> None:
        self._look = look
        self._seen = [(time.monotonic(), Counts())]

    def counts(self) -> Counts:
        with contextlib.suppress(Exception):  # an engine that has ended is told elsewhere
            self._seen.append((time.monotonic(), self._look()))
        while len(self._seen) > 2 and self._seen[-1][0] - self._seen[1][0] >= RATE_OVER_S:  # noqa: PLR2004 - two make a rate
            del self._seen[0]
        return self._seen[-1][1]

    @property
    def rate(self) -> float:
        """Rows a second, over the last seconds."""
        (first_s, first), (last_s, last) = self._seen[0], self._seen[-1]
        return (last.rows - first.rows) / max(last_s - first_s, LOOK_S)

    def line(self) -> str:
        counts = self.counts()
        return f"{counts.in_words()}, {self.rate:.1f} a second"

    def panel(self) -> Table:
        counts = self.counts()
        table = Table("messages", "predictions", "dead letters", "under way", "a second")
        for column in table.columns:
            column.justify = "right"
        numbers = (counts.messages, counts.predictions, counts.dead_letters, counts.under_way)
        table.add_row(*(f"{one:,}" for one in numbers), f"{self.rate:.1f}")
        return table


@contextlib.contextmanager
def shown(progress: Progress) -> Iterator[None]:
    """Show it within the block, on standard error."""
    if sys.stderr.isatty():
        console = Console(file=sys.stderr)
        with Live(console=console, get_renderable=progress.panel, refresh_per_second=1 / LOOK_S):
            yield
        return
    over = threading.Event()
    thread = threading.Thread(target=_print_lines, args=(progress, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _print_lines(progress: Progress, over: threading.Event) -> None:
    while not over.wait(LINE_EVERY_S):
        with contextlib.suppress(OSError):  # nobody reads
            sys.stderr.write(f"{progress.line()}\n")
            sys.stderr.flush()
