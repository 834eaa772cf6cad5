"""One appender a process and table: its threads' rows go out together, several requests at once.

A group-commit: callers hand rows in and wait for these alone. A request goes out when the
one before was long enough ago, or when it is full. The answers of several requests may be
due at a time.
"""

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError
from google.cloud.bigquery_storage_v1 import types

from beam_pipeline.io.append_stream import AppendStream, Call, told
from beam_pipeline.io.row_encoding import RowEncoder
from beam_pipeline.io.threads import Background

LOG = logging.getLogger(__name__)
MAX_ROWS, MAX_BYTES = 500, 2_000_000  # a request; BigQuery takes 10 MB, a stand-in 4
MAX_IN_FLIGHT = 8  # requests
EVERY_S = 0.5  # between requests that are not full: what comes meanwhile goes together
ANSWER_TIMEOUT_S = 30.0  # then the connection is opened anew
WAIT_S = 90.0  # for all of a call's rows; then its bundle comes again
FIRST_PAUSE_S, LAST_PAUSE_S = 0.5, 16.0  # at most, after a failure; twice the one before
_Code = types.RowError.RowErrorCode
OF_THE_ROW = _Code.FIELDS_ERROR  # its other code says nothing


class AppendError(Exception):
    """BigQuery did not take some rows in the time allowed, for no fault of theirs."""


class Answer(NamedTuple):
    refused: Mapping[int, str]  # why a row is wrong for good, by its index; the others are stored
    requests: int  # that this call's rows were the first of: of all calls, the sum is the number


def pause_after(failures: int, first_pause_s: float = FIRST_PAUSE_S) -> float:
    """The longest pause after so many failures before: twice as long each time, to a last one."""
    return min(first_pause_s * 2 ** min(failures, 30), LAST_PAUSE_S)


class _Caller:
    def __init__(self, count: int) -> None:
        self.left = count
        self.refused: dict[int, str] = {}
        self.requests = 0
        self.gone = False
        self.done = threading.Event()

    def finish_one(self) -> None:
        self.left -= 1
        if not self.left:
            self.done.set()


class _Row(NamedTuple):
    data: bytes
    place: int  # among its caller's rows
    caller: _Caller


class _Request(NamedTuple):
    rows: Sequence[_Row]
    sent_s: float


class Appender:
    """Appends encoded rows to one stream, until each is stored or refused."""

    def __init__(
        self,
        connect: Callable[[], Call],
        stream: str,
        encoder: RowEncoder,
        *,
        every_s: float = EVERY_S,
        wait_s: float = WAIT_S,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        self.encoder = encoder
        self._connect = connect
        self._name = stream
        self._every_s, self._wait_s = every_s, wait_s
        self._answer_timeout_s = answer_timeout_s
        self._first_pause_s = first_pause_s
        self._changed = threading.Condition()  # guards all that follows
        self._waiting: deque[_Row] = deque()
        self._in_flight: deque[_Request] = deque()  # in the order of their answers
        self._call: Call | None = None
        self._stream: AppendStream | None = None
        self._next_s = 0.0  # when the next request may go that is not full
        self._paused_until_s = 0.0
        self._pauses_s = 0.0  # of all pauses that have begun, to their ends
        self._failures = 0  # since the last request that was taken
        self._why = "no answer yet"
        self._closed = False
        self._sender = Background(self._run, f"sender of {stream}")
        self._sender.start()

    def append(self, rows: Sequence[bytes]) -> Answer:
        """Wait until each row is stored or refused.

        Raises AppendError after `wait_s`; some of the rows may be stored all the same.
        """
        caller = _Caller(len(rows))
        with self._changed:
            self._waiting.extend(_Row(data, at, caller) for at, data in enumerate(rows))
            self._changed.notify()
        if rows:
            self._wait(caller)
        return Answer(caller.refused, caller.requests)

    def paused_s(self) -> float:
        """How long it has paused until now, after failures."""
        with self._changed:
            return self._pauses_s - max(0.0, self._paused_until_s - time.monotonic())

    def close(self) -> None:
        """End the connection and the thread; who still waits does so in vain."""
        with self._changed:
            self._closed = True
            self._lose()
            self._changed.notify()
        self._sender.join()

    def _wait(self, caller: _Caller) -> None:
        done = caller.done.wait(self._wait_s)
        with self._changed:
            if done or caller.done.is_set():
                return
            caller.gone = True
            self._waiting = deque(row for row in self._waiting if not row.caller.gone)
            why = self._why
        self._sender.check()
        raise AppendError(f"{self._name}: {caller.left} rows not taken; {why}")

    def _run(self) -> None:
        with self._changed:
            while not self._closed:
                now_s = time.monotonic()
                overdue_s = self._overdue_s()
                due_s = self._due_s()
                if overdue_s <= now_s:
                    self._fail(f"no answer for {self._answer_timeout_s:g} s")
                    self._lose()
                elif due_s <= now_s:
                    self._send(now_s)
                else:
                    pause_s = min(due_s, overdue_s) - now_s
                    self._changed.wait(None if pause_s == float("inf") else pause_s)

    def _overdue_s(self) -> float:
        """When the oldest request has waited too long for its answer."""
        if not self._in_flight:
            return float("inf")
        return self._in_flight[0].sent_s + self._answer_timeout_s

    def _due_s(self) -> float:
        """When the next request is to go, if nothing changes until then."""
        if not self._waiting or len(self._in_flight) >= MAX_IN_FLIGHT:
            return float("inf")
        if len(self._waiting) >= MAX_ROWS:
            return self._paused_until_s
        return max(self._next_s, self._paused_until_s)

    def _send(self, now_s: float) -> None:
        if self._stream is None:
            try:
                self._call = self._call or self._connect()
                self._stream = AppendStream(
                    self._call,
                    self._name,
                    self.encoder.descriptor,
                    answered=self._answered,
                    ended=self._ended,
                )
            # A system that has no thread to give is a RuntimeError, a closed channel a ValueError.
            except (GoogleAPIError, GoogleAuthError, OSError, RuntimeError, ValueError) as error:
                self._fail(told(error))
                return
        rows = self._taken()
        rows[0].caller.requests += 1
        self._in_flight.append(_Request(rows, now_s))
        self._next_s = now_s if self._waiting else now_s + self._every_s
        self._stream.send([row.data for row in rows])

    def _taken(self) -> list[_Row]:
        rows: list[_Row] = []
        size = 0
        while self._waiting and len(rows) < MAX_ROWS:
            size += len(self._waiting[0].data)
            if rows and size > MAX_BYTES:
                break
            rows.append(self._waiting.popleft())
        return rows

    def _answered(self, stream: AppendStream, answer: Any) -> None:
        """Of one request: all its rows are stored, or none is."""
        with self._changed:
            if stream is not self._stream:
                return  # its rows have been sent again
            rows = self._in_flight.popleft().rows
            if not answer.HasField("error"):
                self._failures = 0
                for row in rows:
                    row.caller.finish_one()
            else:
                wrong = (one for one in answer.row_errors if one.code == OF_THE_ROW)
                why = {one.index: one.message for one in wrong}
                for at, message in why.items():
                    rows[at].caller.refused[rows[at].place] = message
                    rows[at].caller.finish_one()
                self._put_back(row for at, row in enumerate(rows) if at not in why)
                if not why:
                    self._fail(f"{answer.error.code}: {answer.error.message}")
            self._changed.notify()

    def _ended(self, stream: AppendStream, error: Exception) -> None:
        with self._changed:
            if stream is not self._stream:
                return
            if self._in_flight:  # BigQuery ends a connection that was idle for minutes
                self._fail(told(error))
            self._lose()
            self._changed.notify()

    def _lose(self) -> None:
        """Drop the connection; what it carried goes again, over the next one."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        self._put_back(row for request in self._in_flight for row in request.rows)
        self._in_flight.clear()

    def _put_back(self, rows: Iterable[_Row]) -> None:
        kept = [row for row in rows if not row.caller.gone]
        self._waiting.extendleft(reversed(kept))

    def _fail(self, why: str) -> None:
        """Pause before the next request; of several that fail together, the first counts."""
        self._why = why
        now_s = time.monotonic()
        if now_s >= self._paused_until_s:
            pause_s = pause_after(self._failures, self._first_pause_s)
            pause_s *= random.uniform(0.5, 1)  # noqa: S311 - so that workers come one by one
            self._paused_until_s = now_s + pause_s
            self._pauses_s += pause_s
            self._failures += 1
            LOG.warning("%s: %s; trying again", self._name, why)
