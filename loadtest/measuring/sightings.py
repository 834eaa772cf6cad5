"""Which rows of a run BigQuery has, and when a query first returned each item's.

A poll asks only for rows of the last seconds, and gets one string of item ids: it costs
little, however many rows there are. What a row says besides is read once, at the end.
"""

import dataclasses
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from google.cloud.bigquery import Client, QueryJobConfig, ScalarQueryParameter

from beam_pipeline.tables import fill

# How far before the latest row a poll begins: rows may come in another order than they
# were processed in. The farther, the later the latest was; now and then much farther.
LEAST_SLACK_S, LARGEST_SLACK_S = 3.0, 60.0
WIDE_EVERY = 20
POLL = """
SELECT STRING_AGG(SUBSTR(item_id, @begin), ' ') AS ids, MAX(moment) AS latest
FROM (
  SELECT item_id, processed_at AS moment FROM `{dataset}.predictions`
  WHERE processed_at >= @since AND STARTS_WITH(item_id, @prefix)
)
"""
BOTH = POLL.replace(
    "\n)",
    """
  UNION ALL
  SELECT item_id, failed_at AS moment FROM `{dataset}.dead_letters`
  WHERE failed_at >= @since AND STARTS_WITH(item_id, @prefix)
)""",
)
SWEEP = """
SELECT item_id, message_id, tenant_id, 'predicted' AS outcome,
  UNIX_MICROS(received_at) AS received_us, UNIX_MICROS(processed_at) AS processed_us,
  spent.fetch_ms, spent.decode_ms, spent.encode_ms, spent.text_ms, spent.score_ms
FROM `{dataset}.predictions`
WHERE processed_at >= @since AND STARTS_WITH(item_id, @prefix)
UNION ALL
SELECT item_id, message_id, tenant_id, reason AS outcome,
  UNIX_MICROS(received_at), UNIX_MICROS(failed_at), NULL, NULL, NULL, NULL, NULL
FROM `{dataset}.dead_letters`
WHERE failed_at >= @since AND STARTS_WITH(item_id, @prefix)
"""
SPENT = ("fetch_ms", "decode_ms", "encode_ms", "text_ms", "score_ms")
ROWS = pa.schema(
    [
        ("item_id", pa.string()),
        ("message_id", pa.string()),
        ("tenant_id", pa.string()),
        ("outcome", pa.string()),
        ("received_s", pa.float64()),
        ("processed_s", pa.float64()),
        *((name, pa.float64()) for name in SPENT),
        ("seen_s", pa.float64()),  # the item's first sight, whichever of its rows that was
    ]
)
_POLL_EVERY, _LATE = b"poll_every_s", b"late"


class Poll(NamedTuple):
    at_s: float  # when its query had returned, in seconds since 1970
    took_s: float
    fresh: Sequence[str]  # item ids, without the prefix, that no poll had returned before


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sightings:
    """All rows of a run, a row each; `late` items were found by the last sweep only."""

    rows: pa.Table
    poll_every_s: float  # 95 of 100 polls followed the one before in this time
    late: int

    def save(self, path: Path) -> None:
        header = {_POLL_EVERY: str(self.poll_every_s), _LATE: str(self.late)}
        pq.write_table(self.rows.replace_schema_metadata(header), path)

    @classmethod
    def load(cls, path: Path) -> Self:
        rows = pq.read_table(path)
        header = rows.schema.metadata
        return cls(rows=rows, poll_every_s=float(header[_POLL_EVERY]), late=int(header[_LATE]))


class Poller:
    """Polls for rows whose item ids begin with `prefix`, processed from now on.

    Without `dead_letters` only each twentieth poll asks for those as well.
    """

    def __init__(
        self, client: Client, dataset: str, prefix: str, *, dead_letters: bool = True
    ) -> None:
        self.seen_s: dict[str, float] = {}
        self._client = client
        self._dataset = dataset
        self._prefix = prefix
        self._dead_letters = dead_letters
        self._began = self._latest = datetime.now(UTC)
        self._slack_s = LEAST_SLACK_S
        self._ends_s: list[float] = []

    def poll(self) -> Poll:
        """Ask once, and keep what is new."""
        wide = len(self._ends_s) % WIDE_EVERY == WIDE_EVERY - 1
        slack_s = LARGEST_SLACK_S if wide else self._slack_s
        begun_s = time.time()
        sql = BOTH if wide or self._dead_letters else POLL
        ((ids, latest),) = self._ask(sql, self._latest - timedelta(seconds=slack_s))
        at_s = time.time()
        self._ends_s.append(at_s)
        if latest is not None:
            self._latest = max(self._latest, latest)
            late_s = max(begun_s - latest.timestamp(), 0.0)
            self._slack_s = min(LEAST_SLACK_S + late_s, LARGEST_SLACK_S)
        fresh = [
            item_id for item_id in dict.fromkeys((ids or "").split()) if item_id not in self.seen_s
        ]
        self.seen_s.update(dict.fromkeys(fresh, at_s))
        return Poll(at_s, at_s - begun_s, fresh)

    def sweep(self) -> Sightings:
        """Read all rows. Items that no poll returned count as seen now."""
        rows = [
            tuple(row) for row in self._ask(SWEEP, self._began - timedelta(seconds=LARGEST_SLACK_S))
        ]
        now_s, skip = time.time(), len(self._prefix)
        late = {row[0][skip:] for row in rows} - self.seen_s.keys()
        self.seen_s.update(dict.fromkeys(late, now_s))
        values = [
            (*row[:4], _seconds(row[4]), _seconds(row[5]), *row[6:], self.seen_s[row[0][skip:]])
            for row in rows
        ]
        columns = zip(*values, strict=True) if values else [()] * len(ROWS)
        arrays = [pa.array(column, kind) for column, kind in zip(columns, ROWS.types, strict=True)]
        apart_s = np.diff(self._ends_s)
        return Sightings(
            rows=pa.Table.from_arrays(arrays, schema=ROWS),
            poll_every_s=float(np.percentile(apart_s, 95)) if len(apart_s) else 0.0,
            late=len(late),
        )

    def _ask(self, sql: str, since: datetime) -> Any:
        parameters = [
            ScalarQueryParameter("since", "TIMESTAMP", since),
            ScalarQueryParameter("prefix", "STRING", self._prefix),
        ]
        if "@begin" in sql:
            begin = len(self._prefix) + 1
            parameters.append(ScalarQueryParameter("begin", "INT64", begin))
        config = QueryJobConfig(query_parameters=parameters)
        return self._client.query_and_wait(fill(sql, self._dataset), job_config=config)


def _seconds(time_us: int | None) -> float | None:
    return None if time_us is None else time_us / 1e6
