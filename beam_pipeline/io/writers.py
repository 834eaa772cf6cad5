"""Writers that the ends are made of: table rows, JSON Lines and the Parquet archive."""

import dataclasses
import random
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.metrics import Metrics
from apache_beam.transforms.window import GlobalWindows, IntervalWindow
from apache_beam.utils.windowed_value import PaneInfo, WindowedValue
from google.cloud.bigquery import SchemaField

from beam_pipeline.io.appends import AppendRows, Refused
from models.failures import Failure, Reason, Stage
from models.objects import OBJECTS, join
from transforms.outcomes import (
    ARCHIVE_SCHEMA,
    Row,
    archive_row,
    day_of,
    json_line,
    rfc3339,
)
from transforms.records import DeadLetter, Scored

Record = Scored | DeadLetter


class _WriteLinesDoFn(beam.DoFn):
    """Writes the rows of each bundle as one new JSON Lines object under `prefix`/dt=.../.

    The rows' message ids leave when that is done.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def start_bundle(self) -> None:
        self._lines: list[str] = []
        self._message_ids: list[str] = []

    def process(self, row: Row) -> None:
        self._lines.append(json_line(row))
        self._message_ids.append(row["message_id"])

    def finish_bundle(self) -> Iterator[WindowedValue]:
        if self._lines:
            day = f"dt={day_of(time.time_ns() // 1000)}"
            path = join(self._prefix, day, f"{uuid.uuid4().hex}.jsonl")
            OBJECTS.write(path, ("\n".join(self._lines) + "\n").encode())
        yield from map(GlobalWindows.windowed_value, self._message_ids)


def rejected_row(refused: Refused) -> Row:
    """The dead letter of a row that its table did not take."""
    table, row, why = refused
    failure = Failure(Stage.SINK, Reason.ROW_REJECTED, f"{table}: {why!r}"[:500])
    return {
        **{name: row.get(name) for name in ("item_id", "tenant_id", "message_id", "release")},
        "payload_uri": row.get("payload_uri"),
        "failed_at": rfc3339(time.time_ns() // 1000),
        **failure._asdict(),
        "row": dict(row),
    }


@dataclasses.dataclass(eq=False, kw_only=True)
class WriteTable(beam.PTransform):
    """Records -> rows of an existing BigQuery table; their message ids leave when they are stored.

    A row that is wrong for good becomes a line under `rejects`, with the reason and the
    whole row. So each message id that leaves has its outcome stored in one of the two.
    """

    to_row: Callable[[Any], Row]
    table: str
    schema: Sequence[SchemaField]
    rejects: str
    every_s: float

    def expand(self, records: beam.PCollection[Record]) -> beam.PCollection[str]:
        appended = (
            records
            | "ToRow" >> beam.Map(self.to_row).with_output_types(Row)
            | "Unwindow" >> beam.WindowInto(GlobalWindows())
            | "Append" >> AppendRows(table=self.table, schema=self.schema, every_s=self.every_s)
        )
        kept = (
            appended.refused
            | "Rejected" >> beam.Map(rejected_row).with_output_types(Row)
            | "Keep" >> beam.ParDo(_WriteLinesDoFn(self.rejects)).with_output_types(str)
        )
        return (appended.message_ids, kept) | "Stored" >> beam.Flatten()


@dataclasses.dataclass(eq=False, kw_only=True)
class WriteLines(beam.PTransform):
    """Records -> JSON Lines files `<prefix>-NNNNN-of-NNNNN.jsonl`."""

    to_row: Callable[[Any], Row]
    prefix: str

    def expand(self, records: beam.PCollection[Record]) -> None:
        (
            records
            | "ToRow" >> beam.Map(self.to_row).with_output_types(Row)
            | "ToLine" >> beam.Map(json_line)
            | "Unwindow" >> beam.WindowInto(GlobalWindows())
            | "Lines" >> beam.io.WriteToText(self.prefix, file_name_suffix=".jsonl")
        )


def _in_shard(shards: int, scored: Scored) -> tuple[int, Scored]:
    return random.randrange(shards), scored  # noqa: S311 - only spreads the work


class _WriteParquetDoFn(beam.DoFn):
    written = Metrics.counter("testudo", "archive_files")

    def __init__(self, prefix: str, run: str) -> None:
        self._prefix = prefix
        self._run = run

    def process(
        self,
        shard: tuple[int, Iterable[Scored]],
        window: IntervalWindow = beam.DoFn.WindowParam,
        pane: PaneInfo = beam.DoFn.PaneInfoParam,
    ) -> None:
        number, items = shard
        start = datetime.fromtimestamp(int(window.start), UTC)
        table = pa.Table.from_pylist([archive_row(one) for one in items], schema=ARCHIVE_SCHEMA)
        file = BytesIO()
        pq.write_table(table, file, compression="zstd")
        # A bundle that is run again writes the same name; another job never does.
        name = f"{start:%H%M%S}-{self._run}-{number}-{pane.index}.parquet"
        path = join(self._prefix, f"dt={start:%Y-%m-%d}", name)
        OBJECTS.write(path, file.getvalue())
        self.written.inc()


@dataclasses.dataclass(eq=False, kw_only=True)
class WriteArchive(beam.PTransform):
    """Scored -> one Parquet file a window and shard: `<prefix>/dt=YYYY-MM-DD/*.parquet`."""

    prefix: str
    shards: int

    def expand(self, scored: beam.PCollection[Scored]) -> None:
        run = uuid.uuid4().hex[:8]
        (
            scored
            | "Shard"
            >> beam.Map(partial(_in_shard, self.shards)).with_output_types(tuple[int, Scored])
            | "Group" >> beam.GroupByKey()
            | "Parquet" >> beam.ParDo(_WriteParquetDoFn(self.prefix, run))
        )
