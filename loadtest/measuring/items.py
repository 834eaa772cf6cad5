"""A run's messages, a row each: when each was due, and what became of it.

The columns of `items.parquet`: `index` in the schedule, `original` (the message that it
copies, or itself), `item_id`, `tenant`, `kind`, `expected` and `outcome` (`predicted`, a
reason, `copy`, or empty when lost), `rows` that the item has, times in seconds since
1970 (`due_s`, `sent_s`, `received_s`, `processed_s`, `seen_s`) and the steps' milliseconds.
A copy has an item's outcome but no times of its own: which of the rows is its is not known.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from loadtest.measuring.latencies import Seconds
from loadtest.measuring.sightings import SPENT, Sightings
from loadtest.traffic.schedule import Schedule

COPY, LOST = "copy", ""
TIMES = ("received_s", "processed_s", "seen_s")


def items_table(
    schedule: Schedule, sent: pa.Table, sightings: Sightings, *, prefix: str, start_s: float
) -> pa.Table:
    """Put together what was planned, sent and seen; `sent` has the columns of SentFile."""
    count = len(schedule.due_s)
    number, rows = _rows_of_items(sightings.rows, prefix, count)
    first, per_item = _first_rows(rows, number, count)
    is_copy = schedule.original != np.arange(count)
    found = (first >= 0) & ~is_copy
    outcome = np.full(count, LOST, dtype=object)
    outcome[found] = np.array(rows["outcome"].to_pylist(), dtype=object)[first[found]]
    outcome[is_copy] = COPY
    ids = [f"{prefix}{number}" for number in schedule.original.tolist()]
    kinds = np.array([kind.name for kind in schedule.kinds], dtype=object)
    expected = np.array([kind.expected for kind in schedule.kinds], dtype=object)
    return pa.table(
        {
            "index": np.arange(count, dtype=np.int64),
            "original": schedule.original,
            "item_id": ids,
            "tenant": np.array(schedule.tenants, dtype=object)[schedule.tenant],
            "kind": kinds[schedule.kind],
            "expected": expected[schedule.kind],
            "due_s": schedule.due_s + start_s,
            "sent_s": _of_all(sent, "sent_s", count),
            "acked_s": _of_all(sent, "acked_s", count),
            **{name: _of_found(rows, name, first, found) for name in (*TIMES, *SPENT)},
            "outcome": outcome,
            "outcomes": _distinct_outcomes(rows, number, count),
            "rows": per_item,
        }
    )


def _rows_of_items(rows: pa.Table, prefix: str, count: int) -> tuple[NDArray[np.int64], pa.Table]:
    """The rows whose ids end with the number of a message, and those numbers."""
    ends = pc.utf8_slice_codeunits(rows["item_id"], len(prefix))
    numbers = pc.if_else(pc.match_substring_regex(ends, r"^\d{1,9}$"), ends, "-1")
    number = numbers.cast(pa.int64()).to_numpy()
    known = (number >= 0) & (number < count)
    return number[known], rows.filter(pa.array(known))


def _first_rows(
    rows: pa.Table, number: NDArray[np.int64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of each item the row that was processed first, -1 where it has none; and how many it has."""
    processed_s = rows["processed_s"].to_numpy()
    first = np.full(count, -1, dtype=np.int64)
    backwards = np.argsort(-processed_s, kind="stable")
    first[number[backwards]] = backwards  # the last write, of the smallest time, stays
    return first, np.bincount(number, minlength=count).astype(np.int64)


def _distinct_outcomes(rows: pa.Table, number: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    pairs = set(zip(number.tolist(), rows["outcome"].to_pylist(), strict=True))
    return np.bincount([pair for pair, _ in pairs], minlength=count).astype(np.int64)


def _of_all(sent: pa.Table, name: str, count: int) -> Seconds:
    """A column of what was sent, for messages that the sender did not come to as well."""
    values = np.full(count, np.nan)
    values[sent["index"].to_numpy()] = sent[name].to_numpy(zero_copy_only=False)
    return values


def _of_found(
    rows: pa.Table, name: str, first: NDArray[np.int64], found: NDArray[np.bool_]
) -> Seconds:
    values = np.full(len(first), np.nan)
    values[found] = rows[name].to_numpy(zero_copy_only=False)[first[found]]
    return values


def latencies_of(items: pa.Table) -> Seconds:
    """From due to seen, of every item that has an outcome, in the order in which they were due."""
    its = items.filter(pc.and_(is_item(items), pc.not_equal(items["outcome"], LOST)))
    its = its.sort_by("due_s")
    taken: Seconds = its["seen_s"].to_numpy() - its["due_s"].to_numpy()
    return taken


def is_item(items: pa.Table) -> pa.ChunkedArray:
    """Which messages are no copies."""
    return pc.equal(items["index"], items["original"].cast(pa.int64()))


def load_items(path: Path) -> pa.Table:
    """Raises OSError, or ValueError where the file is no such table."""
    try:
        items = pq.read_table(path)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path}: {error}") from error
    missing = {"index", "original", "tenant", "outcome", "due_s", "seen_s"} - set(
        items.column_names
    )
    if missing:
        raise ValueError(f"{path}: there is no column {', '.join(sorted(missing))}")
    return items
