"""Rows into an existing BigQuery table, by streaming inserts of whole bundles.

Keyed rows enter. What leaves: the message ids of rows that the table took, and
the rows that it refuses for good, with its reasons. A row's key is its insertId,
by which BigQuery drops the copies that a bundle run again would make. A process
has one request to a table at a time: bundles that end meanwhile share the next
one. Why this is not Beam's WriteToBigQuery stands in docs/decisions/0009.
"""

import dataclasses
import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from http import HTTPStatus
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.transforms.window import GlobalWindows
from apache_beam.typehints.decorators import no_annotations
from apache_beam.utils.shared import Shared
from apache_beam.utils.windowed_value import WindowedValue
from google.api_core.exceptions import GoogleAPICallError, GoogleAPIError, RetryError
from google.api_core.retry import Retry, if_exception_type
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery

LOG = logging.getLogger(__name__)
MAX_ROWS = 500  # a request, as BigQuery recommends
REQUEST_TIMEOUT_S = 60.0  # to connect, and for the answer
RETRY_FOR_S = 600.0  # all requests for one list of rows together
EVERY_S = 0.1  # at least, from one request's beginning to the next one's
FIRST_PAUSE_S = 1.0  # at most, as each one after it: twice the one before, a minute in the end
# Reasons to send a row again; "stopped" is said of good rows beside a bad one.
PASSING_REASONS = frozenset(
    {"backendError", "internalError", "rateLimitExceeded", "quotaExceeded", "timeout", "stopped"}
)
GAVE_UP = "gaveUp"  # our own reason, of rows that BigQuery did not take in the time allowed

KeyedRow = tuple[str, Mapping[str, Any]]
RefusedRows = list[tuple[Mapping[str, Any], Sequence[Any]]]  # each with its errors
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

    def insert(self, rows: Sequence[KeyedRow]) -> RefusedRows:
        """Returns the refused rows with their errors.

        What keeps BigQuery from taking rows, a table that is gone as much as
        an overload, is waited out for `retry_for_s`, and one request's time at
        most; rows that were not taken by then are refused with it. Such a row
        may have been taken all the same, by a request whose answer was lost.
        """
        waiting: list[Sequence[KeyedRow]] = [
            rows[first : first + MAX_ROWS] for first in range(0, len(rows), MAX_ROWS)
        ]
        refused: RefusedRows = []

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


class SharedInserter:
    """Lets threads insert into one table together: one is at it, for all that wait.

    The first rows go at once; later ones wait until `every_s` has passed since the
    request before, and take along what has come until then. So the number of requests
    does not grow with the number of bundles, however small these are.
    """

    def __init__(self, inserter: Inserter, *, every_s: float) -> None:
        self._inserter = inserter
        self._every_s = every_s
        self._next_s = 0.0
        self._waiting: list[tuple[Sequence[KeyedRow], Future[RefusedRows]]] = []
        self._inserting = threading.Lock()

    def insert(self, rows: Sequence[KeyedRow]) -> RefusedRows:
        """The refused ones of these rows, as `Inserter.insert` returns them.

        Takes up to twice as long: rows that come during one try wait for the next.
        """
        refused = Future[RefusedRows]()
        self._waiting.append((rows, refused))
        with self._inserting:
            if not refused.done():
                self._insert_all()
        return refused.result()

    def _insert_all(self) -> None:
        time.sleep(max(0.0, self._next_s - time.monotonic()))
        self._next_s = time.monotonic() + self._every_s
        count = len(self._waiting)  # others add to it meanwhile, at the end
        taken, self._waiting[:count] = self._waiting[:count], []
        try:
            found = self._inserter.insert([row for rows, _ in taken for row in rows])
        except BaseException as error:
            for _, refused in taken:
                refused.set_exception(error)
            raise
        errors = {id(row): (row, why) for row, why in found}
        for rows, refused in taken:
            refused.set_result([errors[id(row)] for _, row in rows if id(row) in errors])


class _InsertDoFn(beam.DoFn):
    inserted = Metrics.counter("testudo", "rows_inserted")

    def __init__(self, table: str, every_s: float) -> None:
        self._table = table
        self._every_s = every_s
        self._shared = Shared()  # by all threads of a process

    def setup(self) -> None:
        self._inserter = self._shared.acquire(self._make)

    def _make(self) -> SharedInserter:
        project, _, name = self._table.replace(":", ".", 1).partition(".")
        inserter = Inserter(bigquery.Client(project=project), f"{project}.{name}")
        return SharedInserter(inserter, every_s=self._every_s)

    def start_bundle(self) -> None:
        self._rows: list[KeyedRow] = []

    def process(self, row: KeyedRow) -> None:
        self._rows.append(row)

    def finish_bundle(self) -> Iterator[WindowedValue | beam.pvalue.TaggedOutput]:
        if not self._rows:
            return
        refused = self._inserter.insert(self._rows)
        self.inserted.inc(len(self._rows) - len(refused))
        for row, errors in refused:
            value = GlobalWindows.windowed_value((self._table, row, errors))
            yield beam.pvalue.TaggedOutput(REFUSED, value)
        refused_rows = {id(row) for row, _ in refused}
        for _, row in self._rows:
            if id(row) not in refused_rows:
                yield GlobalWindows.windowed_value(row["message_id"])


class Inserted(NamedTuple):
    message_ids: beam.PCollection[str]  # of the rows that are in the table
    refused: beam.PCollection[Refused]


@dataclasses.dataclass(eq=False, kw_only=True)
class InsertRows(beam.PTransform):
    """(insertId, row), in the global window -> Inserted: each row is in one of the two.

    `table` is PROJECT:DATASET.TABLE; its rows have a `message_id`. Requests of a process
    begin at least `every_s` apart.
    """

    table: str
    every_s: float = EVERY_S

    @no_annotations  # Beam understands only single PCollections there
    def expand(self, rows: beam.PCollection[KeyedRow]) -> Inserted:
        answers = rows | "Request" >> beam.ParDo(
            _InsertDoFn(self.table, self.every_s)
        ).with_outputs(REFUSED, main="message_ids")
        answers["message_ids"].element_type = str
        answers[REFUSED].element_type = Refused
        return Inserted(answers["message_ids"], answers[REFUSED])
