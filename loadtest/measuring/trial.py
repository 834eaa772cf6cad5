"""One trial: a schedule sent to a topic, until every item has its outcome in BigQuery."""

import collections
import contextlib
import dataclasses
import os
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from loadtest.measuring.items import items_table
from loadtest.measuring.live import Live, Progress
from loadtest.measuring.summary import Measured, summarise
from loadtest.measuring.usage import Usage
from loadtest.measuring.watcher import POLL_EVERY_S, Watcher
from loadtest.results import ITEMS, PROCESSES, TRACE, Result, Settings
from loadtest.traffic.schedule import Schedule
from loadtest.traffic.sender import LIMIT_USD, send
from loadtest.traffic.sent import SentFile
from loadtest.traffic.trace import save_trace
from testudo.environment import Environment

FOLLOW_EVERY_S = 0.5
SETTLE_S = 2.0  # for the rows of copies, when all items have one
REST_ALLOWED_S = 300.0  # after the last message
ALL_PICTURES = 3  # sizes that are named


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial:
    """What to send, where to, and whom the progress is reported to.

    `check` raises MeasuringError where the system under test is gone; without `usage` no
    process is sampled.
    """

    name: str
    place: Environment
    schedule: Schedule
    folder: Path
    settings: Settings
    usage: Usage | None = None
    follow: Callable[[Progress], None] | None = None
    check: Callable[[], None] | None = None
    poll_every_s: float = POLL_EVERY_S
    rest_allowed_s: float = REST_ALLOWED_S
    limit_usd: float = LIMIT_USD  # that Pub/Sub may bill, where it is the real one
    region: str = "us-central1"  # whose prices hold
    report: Callable[[str], None] | None = None  # of what sending will cost

    def run(self) -> Result:
        """Send, wait and judge; the folder then holds every file of a run.

        Raises MeasuringError where watcher, sender or job end badly.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        prefix = f"load-{uuid.uuid4().hex[:10]}-"
        save_trace(self.schedule, self.folder / TRACE)
        with (
            Watcher(self.place, prefix, self.folder, poll_every_s=self.poll_every_s) as watcher,
            self._sampled(),
        ):
            sent = self._send_and_wait(watcher, prefix)
            sightings = watcher.finish()
        samples = None if self.usage is None else self.usage.save(self.folder / PROCESSES)
        items = items_table(
            self.schedule,
            pq.read_table(sent.path),
            sightings,
            prefix=prefix,
            start_s=sent.start_at,
        )
        sent.path.unlink()  # the items have it
        pq.write_table(items, self.folder / ITEMS)
        result = summarise(
            Measured(
                name=self.name,
                settings=self.settings,
                sent=sent.sent,
                items=items,
                samples=samples,
                start_s=sent.start_at,
                poll_every_s=sightings.poll_every_s,
                asked_poll_every_s=self.poll_every_s,
                late=sightings.late,
                failure=sent.failure,
            )
        )
        result.save(self.folder)
        return result

    def _sampled(self) -> AbstractContextManager[object]:
        return contextlib.nullcontext() if self.usage is None else self.usage

    def _send_and_wait(self, watcher: Watcher, prefix: str) -> SentFile:
        """Until all items have been seen, or time is up; follows both meanwhile."""
        live, stop = Live(self.schedule, watcher.seen_s, self.report), threading.Event()
        with ThreadPoolExecutor(1, "send") as pool:
            sending = pool.submit(
                send,
                self.place.topic_path,
                self.folder / TRACE,
                prefix=prefix,
                image_bucket=self.place.image_bucket,
                report=live.read_line,
                limit_usd=self.limit_usd,
                region=self.region,
                stop=stop,
            )
            try:
                while not sending.done():
                    self._poll(watcher, live)
            finally:
                stop.set()
            sent = sending.result()
        deadline_s = time.monotonic() + self.rest_allowed_s
        while not live.all_seen and time.monotonic() < deadline_s:
            self._poll(watcher, live)
        if live.has_copies:
            time.sleep(SETTLE_S)
        return sent

    def _poll(self, watcher: Watcher, live: Live) -> None:
        time.sleep(FOLLOW_EVERY_S)
        watcher.check()
        if self.check is not None:
            self.check()
        if self.follow is not None:
            self.follow(live.progress())


def pictures_of(schedule: Schedule) -> str:
    """The mix in words: the sizes of the good items' pictures, the most frequent first."""
    counts = collections.Counter[str]()
    for number, count in enumerate(np.bincount(schedule.kind, minlength=len(schedule.kinds))):
        kind = schedule.kinds[number]
        if not kind.fault:
            size = f"{kind.width_px}x{kind.height_px} {kind.format}" if kind.format else "text only"
            counts[size] += int(count)
    whole = max(counts.total(), 1)
    largest = [(size, count) for size, count in counts.most_common(ALL_PICTURES) if count]
    if len(largest) == 1:
        return largest[0][0]
    return ", ".join(f"{size} {count / whole:.0%}" for size, count in largest)


def settings_of(schedule: Schedule, *, processes: int, flags: Sequence[str] = ()) -> Settings:
    """What a schedule asks of a job of so many local processes; 0 for one in the cloud."""
    return Settings(
        profile=schedule.profile,
        seed=schedule.seed,
        duration_s=schedule.duration_s,
        rate=len(schedule.due_s) / schedule.duration_s,
        customers=len(schedule.tenants),
        processes=processes,
        cores=(os.cpu_count() or 1) if processes else 0,
        images=pictures_of(schedule),
        wild=schedule.wild,
        flags=tuple(flags),
    )
