"""Rows into an existing BigQuery table, by appends that all bundles of a process share.

Rows enter. What leaves: the message ids of rows that the table took, and the rows that are
wrong for good, with the reason. Nothing else is ever called wrong: what keeps BigQuery from
the rows is waited out for a while, and then the bundle fails and comes again. So a row may
be stored twice; the views show one. Why this is not Beam's WriteToBigQuery, and what it
costs, stands in docs/decisions/0024.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.transforms.window import GlobalWindows
from apache_beam.typehints.decorators import no_annotations
from apache_beam.utils.shared import Shared
from apache_beam.utils.windowed_value import WindowedValue
from google.cloud.bigquery import SchemaField

from beam_pipeline.io.append_stream import append_call, default_stream
from beam_pipeline.io.appending import Appender
from beam_pipeline.io.row_encoding import RowEncoder, UnencodableError

Row = Mapping[str, Any]
Refused = tuple[str, Row, str]  # table, row, why
REFUSED = "refused"


class _AppendDoFn(beam.DoFn):
    inserted = Metrics.counter("testudo", "rows_inserted")
    requests = Metrics.counter("testudo", "append_requests")
    # The name by which Dataflow knows a wait for a service from work.
    throttled = Metrics.counter("testudo", "cumulativeThrottlingSeconds")

    def __init__(self, table: str, schema: Sequence[SchemaField]) -> None:
        self._table = table
        self._schema = schema
        self._shared = Shared()  # by all threads of a process

    def setup(self) -> None:
        self._appender = self._shared.acquire(self._make)
        self._throttled_s = 0.0  # that is not counted yet: less than a second

    def _make(self) -> Appender:
        return Appender(append_call, default_stream(self._table), RowEncoder(self._schema))

    def start_bundle(self) -> None:
        self._rows: list[Row] = []
        self._encoded: list[bytes] = []
        self._refused: list[tuple[Row, str]] = []

    def process(self, row: Row) -> None:
        try:
            self._encoded.append(self._appender.encoder.encode(row))
        except UnencodableError as error:
            self._refused.append((row, str(error)))
        else:
            self._rows.append(row)

    def finish_bundle(self) -> Iterator[WindowedValue | beam.pvalue.TaggedOutput]:
        before_s = self._appender.paused_s()
        answer = self._appender.append(self._encoded)
        self._count_throttled(self._appender.paused_s() - before_s)
        self.inserted.inc(len(self._rows) - len(answer.refused))
        self.requests.inc(answer.requests)
        for at, row in enumerate(self._rows):
            if at in answer.refused:
                self._refused.append((row, answer.refused[at]))
            else:
                yield GlobalWindows.windowed_value(row["message_id"])
        for row, why in self._refused:
            value = GlobalWindows.windowed_value((self._table, row, why))
            yield beam.pvalue.TaggedOutput(REFUSED, value)

    def _count_throttled(self, paused_s: float) -> None:
        self._throttled_s += paused_s
        whole_s = int(self._throttled_s)
        if whole_s:
            self.throttled.inc(whole_s)
            self._throttled_s -= whole_s


class Appended(NamedTuple):
    message_ids: beam.PCollection[str]  # of the rows that are in the table
    refused: beam.PCollection[Refused]


@dataclasses.dataclass(eq=False, kw_only=True)
class AppendRows(beam.PTransform):
    """Rows in the global window -> Appended: each row is in one of the two.

    `table` is PROJECT:DATASET.TABLE; its rows have the columns of `schema`, a `message_id`
    among them.
    """

    table: str
    schema: Sequence[SchemaField]

    @no_annotations  # Beam understands only single PCollections there
    def expand(self, rows: beam.PCollection[Row]) -> Appended:
        answers = rows | "Request" >> beam.ParDo(_AppendDoFn(self.table, self.schema)).with_outputs(
            REFUSED, main="message_ids"
        )
        answers["message_ids"].element_type = str
        answers[REFUSED].element_type = Refused
        return Appended(answers["message_ids"], answers[REFUSED])
