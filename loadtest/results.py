"""What one run of the load kit found: the records that trials fill, and planner and report read.

A run's folder holds `result.json` (a Result), `items.parquet` (a row a message),
`processes.parquet` (a row a process and sample) and `trace.parquet` (the schedule). Times
are in seconds, latencies from the moment that a message was due (not from when it was
sent: a sender that falls behind must not hide the wait) to the moment that a query first
returned its row.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Self

from pydantic import AliasChoices, Field

from loadtest.records import Amount, Count, Positive, read_record, write_record

RESULT, ITEMS, PROCESSES = "result.json", "items.parquet", "processes.parquet"
TRACE = "trace.parquet"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Latency:
    """Percentiles of one group of items; zeros where `items` is 0."""

    items: int
    mean_s: Amount
    p50_s: Amount
    p90_s: Amount
    p95_s: Amount
    p99_s: Amount
    p999_s: Amount
    max_s: Amount


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What was asked of the run."""

    profile: str
    seed: int
    duration_s: Positive
    rate: float  # messages a second, the mean that was offered
    customers: int
    processes: int  # of `testudo run`; 0 where a cloud job ran
    cores: int  # of the machine; 0 where a cloud job ran
    images: str  # the mix of the items in words, as "640x480 JPEG"
    wild: tuple[str, ...] = ()  # tenants that send more than their share for a while
    flags: tuple[str, ...] = ()  # of `testudo run`, beside the usual ones


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sent:
    """What the generator did, and whether it kept its schedule."""

    messages: int  # copies included
    refused: int  # that Pub/Sub did not take
    seconds: float  # from the first to the last
    lag_p50_s: float  # behind the schedule
    lag_p99_s: float
    lag_max_s: float
    cpu_s: float
    kept_up: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProcessUse:
    """What the processes of one role used together, from the first message to the last outcome.

    Roles: worker-1.., image-models, text-models, score-models, engine (Prism),
    pubsub, bigquery, storage, sender, watcher.
    """

    processes: int
    cpu_s: float
    busiest_share: float  # of one core, of the busiest of them, over its busiest ten seconds
    peak_bytes: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Second:
    """One second of the run, counted from its start; by the time that each thing happened."""

    second: int
    due: int
    outcomes: int
    waiting: int  # due, and without an outcome, at its end
    p50_s: float | None  # of the items that were due in it; None where there were none
    p95_s: float | None
    cpu_shares: Mapping[str, float]  # by role, of one core; `other` is the rest of the machine


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """One run. It proves something only if `valid`."""

    name: Annotated[str, Field(min_length=1)]
    started_at: str  # RFC 3339
    settings: Settings
    sent: Sent
    items: Count  # distinct messages sent
    outcomes: Mapping[str, Count]  # `predicted`, or a reason: items
    lost: Count
    unexpected: int  # items with another outcome than their kind should have
    copies_removed: int  # rows of items that have another row
    latency: Latency
    histogram: str  # HdrHistogram's V2 encoding in base64, of microseconds
    # image, text, score; wait (due to parsed), job (parsed to scored), store (scored to seen)
    stages: Mapping[str, Latency]
    tenants: Mapping[str, Latency]
    processes: Mapping[str, ProcessUse]
    seconds: Sequence[Second]
    throughput: float  # outcomes a second, from the first outcome to the last
    # How exact the latencies are; under its earlier name in older files.
    poll_every_s: Annotated[
        float, Field(validation_alias=AliasChoices("poll_every_s", "look_every_s"))
    ]
    saturated: str  # what was at its limit, in words; empty where nothing was
    problems: Sequence[str]  # why it proves nothing

    @property
    def valid(self) -> bool:
        return not self.problems

    @property
    def complete(self) -> bool:
        """Items in = outcomes out, whatever is wrong with the latencies."""
        return not (self.lost or self.unexpected or self.sent.refused)

    def save(self, folder: Path) -> None:
        write_record(self, folder / RESULT)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Raises BadRecord where the folder holds no result."""
        return read_record(cls, folder / RESULT)
