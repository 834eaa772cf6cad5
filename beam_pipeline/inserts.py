"""Rows into an existing BigQuery table, by streaming inserts of a bundle's rows.

Keyed rows enter; only rows that the table refuses for good leave, with its
reasons. A row's key is its insertId, by which BigQuery drops the copies that
a bundle run again would make. Why this is not Beam's WriteToBigQuery stands in
docs/decisions/0009.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue
from google.api_core.exceptions import ClientError
from google.api_core.retry import Retry, if_exception_type
from google.cloud import bigquery

MAX_ROWS = 500  # a request, as BigQuery recommends
REQUEST_TIMEOUT_S = 60.0
RETRY_FOR_S = 600.0
# Reasons to send a row again; "stopped" is said of good rows beside a bad one.
PASSING_REASONS = frozenset(
    {"backendError", "internalError", "rateLimitExceeded", "quotaExceeded", "timeout", "stopped"}
)

KeyedRow = tuple[str, Mapping[str, Any]]
Refused = tuple[str, Mapping[str, Any], Sequence[Any]]  # table, row, its errors


class BusyError(Exception):
    """BigQuery did not take some rows now; it may later."""


class Inserter:
    """Inserts rows into one table, again and again until each is taken or refused for good."""

    def __init__(self, client: bigquery.Client, table: str) -> None:
        self._client = client
        self._table = table

    def insert(self, rows: Sequence[KeyedRow]) -> list[tuple[Mapping[str, Any], Sequence[Any]]]:
        """Returns the refused rows with their errors.

        Raises what keeps BigQuery from taking any row, such as NotFound for the
        table, and BusyError or a server's error when they last longer than
        RETRY_FOR_S.
        """
        waiting, refused = list(rows), []

        def once() -> None:
            nonlocal waiting
            answers = self._request(waiting)
            again = []
            for index, errors in answers.items():
                if {error.get("reason") for error in errors} <= PASSING_REASONS:
                    again.append(waiting[index])
                else:
                    refused.append((waiting[index][1], errors))
            waiting = again
            if waiting:
                raise BusyError(f"{len(waiting)} rows, {next(iter(answers.values()))}")

        Retry(predicate=if_exception_type(BusyError), timeout=RETRY_FOR_S)(once)()
        return refused

    def _request(self, rows: Sequence[KeyedRow]) -> dict[int, Sequence[Any]]:
        """Errors by index. A request that is refused as a whole is halved, down to the culprit."""
        try:
            answers = self._client.insert_rows_json(
                self._table,
                [row for _, row in rows],
                row_ids=[key for key, _ in rows],
                skip_invalid_rows=True,
                timeout=REQUEST_TIMEOUT_S,
            )
        except ClientError as error:
            if error.code not in (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE):
                raise
            if len(rows) == 1:
                return {0: [{"reason": "invalid", "message": error.message}]}
            middle = len(rows) // 2
            later = self._request(rows[middle:])
            return self._request(rows[:middle]) | {
                middle + index: errors for index, errors in later.items()
            }
        return {answer["index"]: answer["errors"] for answer in answers}


class _InsertDoFn(beam.DoFn):
    inserted = Metrics.counter("testudo", "rows_inserted")

    def __init__(self, table: str) -> None:
        self._table = table

    def setup(self) -> None:
        project, _, name = self._table.replace(":", ".", 1).partition(".")
        self._inserter = Inserter(bigquery.Client(project=project), f"{project}.{name}")

    def start_bundle(self) -> None:
        self._rows: list[KeyedRow] = []

    def process(self, row: KeyedRow) -> Iterator[Refused]:
        self._rows.append(row)
        if len(self._rows) == MAX_ROWS:
            yield from self._flush()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        for refused in self._flush():
            yield GlobalWindows.windowed_value(refused)

    def _flush(self) -> Iterator[Refused]:
        rows, self._rows = self._rows, []
        if not rows:
            return
        refused = self._inserter.insert(rows)
        self.inserted.inc(len(rows) - len(refused))
        for row, errors in refused:
            yield self._table, row, errors


@dataclasses.dataclass(eq=False, kw_only=True)
class InsertRows(beam.PTransform):
    """(insertId, row), in the global window -> (table, row, errors) of each refused row.

    `table` is PROJECT:DATASET.TABLE.
    """

    table: str

    def expand(self, rows: beam.PCollection[KeyedRow]) -> beam.PCollection[Refused]:
        return rows | "Request" >> beam.ParDo(_InsertDoFn(self.table)).with_output_types(Refused)
