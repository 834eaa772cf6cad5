"""What the generator's processes did: a row a message, and a summary."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from loadtest.results import Sent
from loadtest.traffic.open_loop import OpenLoop

SENT = "sent.parquet"
LAG_ALLOWED_S = 0.05  # of 99 messages in 100
_CPU = b"testudo.cpu_s"
_FAILURE = b"testudo.failure"


class SentFile(NamedTuple):
    """What was sent: of each message that was due, its `index` in the trace and three moments.

    `due_s`, `sent_s` and `acked_s` are Unix times in seconds; the last, or both last, are
    NaN where Pub/Sub did not take the message.
    """

    path: Path
    start_at: float  # Unix time; `due_s` less this is the schedule's
    sent: Sent
    failure: str  # why Pub/Sub refused the last one that it did; empty where it took all


def save_share(path: Path, loop: OpenLoop, done: int, cpu_s: float) -> None:
    """Write the first `done` messages of one process."""
    columns: dict[str, Any] = {
        "index": loop.indexes[:done].astype(np.int32),
        "due_s": loop.due_s[:done],
        "sent_s": loop.sent_s[:done],
        "acked_s": loop.acked_s[:done],
    }
    header = {_CPU: str(cpu_s), _FAILURE: loop.failure}
    pq.write_table(pa.table(columns).replace_schema_metadata(header), path)


def join_shares(shares: Sequence[Path], path: Path, start_at: float, *, whole: int) -> SentFile:
    """One file of all processes' shares, of which `whole` messages were to come."""
    tables = [pq.read_table(share) for share in shares]
    headers = [part.schema.metadata for part in tables]
    table = pa.concat_tables([part.replace_schema_metadata() for part in tables])
    table = table.take(pc.sort_indices(table["index"]))
    pq.write_table(table, path)
    due_s, sent_s, acked_s = (table[name].to_numpy() for name in ("due_s", "sent_s", "acked_s"))
    cpu_s = sum(float(header[_CPU]) for header in headers)
    failures = [header[_FAILURE].decode() for header in headers if header[_FAILURE]]
    refused = int(np.isnan(acked_s).sum())
    sent = _summary(due_s, sent_s, refused, cpu_s, cut_short=len(table) < whole)
    return SentFile(path, start_at, sent, failures[-1] if failures else "")


def _summary(
    due_s: np.ndarray, sent_s: np.ndarray, refused: int, cpu_s: float, *, cut_short: bool
) -> Sent:
    lag_s = np.maximum(sent_s - due_s, 0)[~np.isnan(sent_s)]
    p50_s, p99_s, max_s = np.percentile(lag_s, [50, 99, 100]) if len(lag_s) else (0.0, 0.0, 0.0)
    return Sent(
        messages=len(due_s),
        refused=refused,
        seconds=float(np.nanmax(sent_s) - np.nanmin(sent_s)) if len(lag_s) else 0.0,
        lag_p50_s=float(p50_s),
        lag_p99_s=float(p99_s),
        lag_max_s=float(max_s),
        cpu_s=cpu_s,
        kept_up=bool(p99_s <= LAG_ALLOWED_S and not refused and not cut_short),
    )
