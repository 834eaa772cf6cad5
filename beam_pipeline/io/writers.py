"""Writers that the ends are made of: table rows, JSON Lines and the Parquet archive."""

import dataclasses
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.metrics import Metrics
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue
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
ROWS_WRITTEN = Metrics.counter("testudo", "rows_written")
FILE_ITEMS = 20_000  # of the archive: 20 MB of items


class _WriteLinesDoFn(beam.DoFn):
    """Writes the rows of each bundle as one JSON Lines object under `prefix`/dt=.../.

    The rows' message ids leave when that is done. A bundle that comes again for ever
    writes the same object.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def start_bundle(self) -> None:
        self._lines: list[str] = []
        self._message_ids: list[str] = []
        self._digest = hashlib.sha256()

    def process(self, row: Row) -> None:
        self._lines.append(json_line(row))
        of = row["message_id"], row["row"].get("publish_time"), row["detail"]
        self._digest.update(repr(of).encode("utf-8", "backslashreplace"))
        self._message_ids.append(row["message_id"])

    def finish_bundle(self) -> Iterator[WindowedValue]:
        if self._lines:
            day = f"dt={day_of(time.time_ns() // 1000)}"
            path = join(self._prefix, day, f"{self._digest.hexdigest()[:32]}.jsonl")
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

    def expand(self, records: beam.PCollection[Record]) -> beam.PCollection[str]:
        appended = (
            records
            | "ToRow" >> beam.Map(self.to_row).with_output_types(Row)
            | "Unwindow" >> beam.WindowInto(GlobalWindows())
            | "Append" >> AppendRows(table=self.table, schema=self.schema)
        )
        kept = (
            appended.refused
            | "Rejected" >> beam.Map(rejected_row).with_output_types(Row)
            | "Keep" >> beam.ParDo(_WriteLinesDoFn(self.rejects)).with_output_types(str)
        )
        return (appended.message_ids, kept) | "Stored" >> beam.Flatten()


def _counted_line(row: Row) -> str:
    ROWS_WRITTEN.inc()
    return json_line(row)


@dataclasses.dataclass(eq=False, kw_only=True)
class WriteLines(beam.PTransform):
    """Records -> JSON Lines files `<prefix>-NNNNN-of-NNNNN.jsonl`."""

    to_row: Callable[[Any], Row]
    prefix: str

    def expand(self, records: beam.PCollection[Record]) -> None:
        (
            records
            | "ToRow" >> beam.Map(self.to_row).with_output_types(Row)
            | "ToLine" >> beam.Map(_counted_line)
            | "Unwindow" >> beam.WindowInto(GlobalWindows())
            | "Lines" >> beam.io.WriteToText(self.prefix, file_name_suffix=".jsonl")
        )


class _WriteParquetDoFn(beam.DoFn):
    """Writes the items of each bundle, FILE_ITEMS a file at most."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def start_bundle(self) -> None:
        self._items: list[Scored] = []

    def process(self, scored: Scored) -> None:
        self._items.append(scored)
        if len(self._items) == FILE_ITEMS:
            self._write()

    def finish_bundle(self) -> None:
        if self._items:
            self._write()

    def _write(self) -> None:
        envelopes = [one.joined.envelope for one in self._items]
        # A bundle that is run again writes the same name; another job never does.
        name = hashlib.sha256("".join(one.delivery for one in envelopes).encode()).hexdigest()
        table = pa.Table.from_pylist(list(map(archive_row, self._items)), schema=ARCHIVE_SCHEMA)
        file = BytesIO()
        pq.write_table(table, file, compression="zstd")
        day = f"dt={day_of(envelopes[0].received_us)}"
        OBJECTS.write(join(self._prefix, day, f"{name[:32]}.parquet"), file.getvalue())
        self._items = []


@dataclasses.dataclass(eq=False, kw_only=True)
class WriteArchive(beam.PTransform):
    """Scored -> Parquet files `<prefix>/dt=YYYY-MM-DD/*.parquet`, by the day of arrival.

    Of files mode alone, whose bundles are large: nothing is gathered for it.
    """

    prefix: str

    def expand(self, scored: beam.PCollection[Scored]) -> None:
        scored | "Parquet" >> beam.ParDo(_WriteParquetDoFn(self.prefix))
