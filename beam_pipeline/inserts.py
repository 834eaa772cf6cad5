"""Rows into an existing BigQuery table, by streaming inserts of a bundle's rows.

Keyed rows enter. What leaves: the message ids of rows that the table took, and
the rows that it refuses for good, with its reasons. A row's key is its insertId,
by which BigQuery drops the copies that a bundle run again would make. Why this is
not Beam's WriteToBigQuery stands in docs/decisions/0009.
"""

import dataclasses
import logging
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.transforms.window import GlobalWindows
from apache_beam.typehints.decorators import no_annotations
from apache_beam.utils.windowed_value import WindowedValue
from google.api_core.exceptions import GoogleAPICallError, GoogleAPIError, RetryError
from google.api_core.retry import Retry, if_exception_type
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery

LOG = logging.getLogger(__name__)
MAX_ROWS = 500  # a request, as BigQuery recommends
REQUEST_TIMEOUT_S = 60.0  # to connect, and for the answer
RETRY_FOR_S = 600.0  # all requests for one list of rows together
FIRST_PAUSE_S = 1.0  # at most, as each one after it: twice the one before, a minute in the end
# Reasons to send a row again; "stopped" is said of good rows beside a bad one.
PASSING_REASONS = frozenset(
    {"backendError", "internalError", "rateLimitExceeded", "quotaExceeded", "timeout", "stopped"}
)
GAVE_UP = "gaveUp"  # our own reason, of rows that BigQuery did not take in the time allowed

KeyedRow = tuple[str, Mapping[str, Any]]
Refused = tuple[str, Mapping[str, Any], Sequence[Any]]  # table, row, its errors
REFUSED = "refused"


class BusyError(Exception):
    """BigQuery did not take some rows now; it may later."""


def _pass(errors: Sequence[Mapping[str, Any]]) -> bool:
    return {error.get("reason") for error in errors} <= PASSING_REASONS


class Inserter:
    """Inserts rows into one table, until each is taken or refused."""

    def __init__(
        self,
        client: bigquery.Client,
        table: str,
        *,
        retry_for_s: float = RETRY_FOR_S,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        self._client = client
        self._table = table
        self._timeout_s = request_timeout_s
        self._retry = Retry(
            predicate=if_exception_type(BusyError, GoogleAPIError, GoogleAuthError, OSError),
            initial=first_pause_s,
            timeout=retry_for_s,
            on_error=self._tell,
        )

    def insert(self, rows: Sequence[KeyedRow]) -> list[tuple[Mapping[str, Any], Sequence[Any]]]:
        """Returns the refused rows with their errors.

        What keeps BigQuery from taking rows, a table that is gone as much as
        an overload, is waited out for `retry_for_s`, and one request's time at
        most; rows that were not taken by then are refused with it. Such a row
        may have been taken all the same, by a request whose answer was lost.
        """
        waiting: list[Sequence[KeyedRow]] = [rows]
        refused: list[tuple[Mapping[str, Any], Sequence[Any]]] = []

        def once() -> None:
            # What has left `waiting` is decided; an error keeps the rest for the next try.
            while waiting:
                sent = waiting[-1]
                answers = self._request(sent)
                waiting.pop()
                if answers is None:
                    middle = len(sent) // 2
                    waiting.extend((sent[middle:], sent[:middle]))
                    continue
                passing = [index for index, errors in answers.items() if _pass(errors)]
                refused.extend(
                    (sent[index][1], errors)
                    for index, errors in answers.items()
                    if index not in passing
                )
                if passing:
                    waiting.append([sent[index] for index in passing])
                    raise BusyError(f"{len(passing)} rows, {answers[passing[0]]}")

        try:
            self._retry(once)()
        except RetryError as error:
            why = f"{type(error.cause).__name__}: {error.cause}"
            LOG.exception("%s: rows are given up", self._table)
            refused += [
                (row, [{"reason": GAVE_UP, "message": why}]) for part in waiting for _, row in part
            ]
        return refused

    def _request(self, rows: Sequence[KeyedRow]) -> dict[int, Sequence[Any]] | None:
        """Errors by index; None when the request is refused as a whole, but not for one row."""
        try:
            answers = self._client.insert_rows_json(
                self._table,
                [row for _, row in rows],
                row_ids=[key for key, _ in rows],
                skip_invalid_rows=True,
                timeout=self._timeout_s,
                retry=None,  # its own would begin anew with each request
            )
        except GoogleAPICallError as error:  # of which 413 has no class of its own
            if error.code not in (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE):
                raise
            if len(rows) > 1:
                return None
            return {0: [{"reason": "invalid", "message": error.message}]}
        return {answer["index"]: answer["errors"] for answer in answers}

    def _tell(self, error: Exception) -> None:
        LOG.warning("%s: %s: %s; trying again", self._table, type(error).__name__, error)


class _InsertDoFn(beam.DoFn):
    inserted = Metrics.counter("testudo", "rows_inserted")

    def __init__(self, table: str) -> None:
        self._table = table

    def setup(self) -> None:
        project, _, name = self._table.replace(":", ".", 1).partition(".")
        self._inserter = Inserter(bigquery.Client(project=project), f"{project}.{name}")

    def start_bundle(self) -> None:
        self._rows: list[KeyedRow] = []

    def process(self, row: KeyedRow) -> Iterator[str | beam.pvalue.TaggedOutput]:
        self._rows.append(row)
        if len(self._rows) == MAX_ROWS:
            yield from self._flush()

    def finish_bundle(self) -> Iterator[WindowedValue | beam.pvalue.TaggedOutput]:
        for one in self._flush():
            if isinstance(one, str):
                yield GlobalWindows.windowed_value(one)
            else:
                yield beam.pvalue.TaggedOutput(one.tag, GlobalWindows.windowed_value(one.value))

    def _flush(self) -> Iterator[str | beam.pvalue.TaggedOutput]:
        rows, self._rows = self._rows, []
        if not rows:
            return
        refused = self._inserter.insert(rows)
        self.inserted.inc(len(rows) - len(refused))
        for row, errors in refused:
            yield beam.pvalue.TaggedOutput(REFUSED, (self._table, row, errors))
        refused_rows = {id(row) for row, _ in refused}
        yield from (row["message_id"] for _, row in rows if id(row) not in refused_rows)


class Inserted(NamedTuple):
    message_ids: beam.PCollection[str]  # of the rows that are in the table
    refused: beam.PCollection[Refused]


@dataclasses.dataclass(eq=False, kw_only=True)
class InsertRows(beam.PTransform):
    """(insertId, row), in the global window -> Inserted: each row is in one of the two.

    `table` is PROJECT:DATASET.TABLE; its rows have a `message_id`.
    """

    table: str

    @no_annotations  # Beam understands only single PCollections there
    def expand(self, rows: beam.PCollection[KeyedRow]) -> Inserted:
        answers = rows | "Request" >> beam.ParDo(_InsertDoFn(self.table)).with_outputs(
            REFUSED, main="message_ids"
        )
        answers["message_ids"].element_type = str
        answers[REFUSED].element_type = Refused
        return Inserted(answers["message_ids"], answers[REFUSED])
