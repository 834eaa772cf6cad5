"""What one run of the load kit found: the records that trials fill, and planner and report read.

A run's folder holds `result.json` (a Result), `items.parquet` (a row a message),
`processes.parquet` (a row a process and look) and `trace.parquet` (the schedule). Times
are in seconds, latencies from the moment that a message was due (not from when it was
sent: a sender that falls behind must not hide the wait) to the moment that a query first
returned its row.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

RESULT, ITEMS, PROCESSES = "result.json", "items.parquet", "processes.parquet"
TRACE = "trace.parquet"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Latency:
    """Percentiles of one group of items; zeros where `items` is 0."""

    items: int
    mean_s: float
    p50_s: float
    p90_s: float
    p95_s: float
    p99_s: float
    p999_s: float
    max_s: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What was asked of the run."""

    profile: str
    seed: int
    duration_s: float
    rate: float  # messages a second, the mean that was offered
    customers: int
    processes: int  # of `testudo run`; 0 where a cloud job ran
    cores: int  # of the machine; 0 where a cloud job ran
    images: str  # the mix of the items in words, as "640x480 JPEG"


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

    name: str
    started_at: str  # RFC 3339
    settings: Settings
    sent: Sent
    items: int  # distinct messages sent
    outcomes: Mapping[str, int]  # `predicted`, or a reason: items
    lost: int
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
    look_every_s: float  # how exact the latencies are
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
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(dataclasses.asdict(self), indent=1)
        (folder / RESULT).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Raises OSError or ValueError where the folder holds no result."""
        values: dict[str, Any] = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        try:
            return cls(
                **{
                    **values,
                    "settings": Settings(**values["settings"]),
                    "sent": Sent(**values["sent"]),
                    "latency": Latency(**values["latency"]),
                    "stages": {k: Latency(**v) for k, v in values["stages"].items()},
                    "tenants": {k: Latency(**v) for k, v in values["tenants"].items()},
                    "processes": {k: ProcessUse(**v) for k, v in values["processes"].items()},
                    "seconds": [Second(**one) for one in values["seconds"]],
                }
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"{folder / RESULT}: {error}") from error
