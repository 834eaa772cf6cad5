"""Appends: every row is stored or refused, and threads share requests."""

import json
import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import apache_beam as beam
import grpc
import pytest
from append_server import TinyTable
from builders import run
from google.cloud.bigquery import SchemaField
from google.cloud.bigquery_storage_v1 import types
from waiting import eventually

from beam_pipeline.io import appending
from beam_pipeline.io.append_stream import EMULATOR, AppendAnswer, append_call, default_stream
from beam_pipeline.io.appending import MAX_BYTES, MAX_ROWS, Appender, AppendError, pause_after
from beam_pipeline.io.appends import AppendRows
from beam_pipeline.io.row_encoding import MAX_ROW_BYTES, RowEncoder, UnencodableError

SCHEMA = [SchemaField("name", "STRING")]
STREAM = default_stream("project:dataset.table")
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE.value[0]
SOON = {"first_pause_s": 0.02, "every_s": 0.0}


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[TinyTable]:
    with TinyTable() as table:
        monkeypatch.setenv(EMULATOR, table.address)
        yield table


def appender(**times_s: float) -> Any:
    return closing(Appender(append_call, STREAM, RowEncoder(SCHEMA), **{**SOON, **times_s}))


def encoded(*names: str) -> list[bytes]:
    return [RowEncoder(SCHEMA).encode({"name": name}) for name in names]


def names_of(table: TinyTable) -> list[str]:
    return [row["name"] for row in table.rows]


def test_rows_are_stored_when_the_call_returns(table: TinyTable) -> None:
    """In one request, over a connection that the next call uses again."""
    with appender() as appends:
        assert appends.append(encoded("a", "b")) == ({}, 1)
        assert names_of(table) == ["a", "b"]
        assert appends.append(encoded("c")) == ({}, 1)
    assert (table.requests, table.connections) == ([2, 1], 1)


def test_no_rows_are_no_request(table: TinyTable) -> None:
    """A bundle without dead letters does not even connect."""
    with appender() as appends:
        assert appends.append([]) == ({}, 0)
    assert table.connections == 0


def test_a_bad_row_is_refused_and_its_neighbours_are_stored(table: TinyTable) -> None:
    """By its index in the call, though BigQuery stores nothing of a request that has one."""
    with appender() as appends:
        assert appends.append(encoded("a", "bad", "c", "bad")).refused == {
            1: "is bad",
            3: "is bad",
        }
    assert names_of(table) == ["a", "c"]
    assert table.requests == [4, 2]


def test_bundles_share_requests(table: TinyTable) -> None:
    """What comes soon after a request waits for others; each gets its own answer."""
    calls = [encoded("a", "bad"), encoded("b"), encoded("bad", "c", "d")]
    with appender(every_s=1.0) as appends, ThreadPoolExecutor(len(calls)) as threads:
        assert appends.append(encoded("first")) == ({}, 1)
        answers = list(threads.map(appends.append, calls))
    assert [one.refused for one in answers] == [{1: "is bad"}, {}, {0: "is bad"}]
    assert sorted(names_of(table)) == ["a", "b", "c", "d", "first"]
    assert table.requests == [1, 6, 4]
    assert sum(one.requests for one in answers) == 2


def test_requests_begin_apart(table: TinyTable) -> None:
    """Unless they are full."""
    began_s = time.monotonic()
    with appender(every_s=0.1) as appends:
        for _ in range(3):
            appends.append(encoded("a"))
    assert time.monotonic() - began_s > 0.2
    with appender(every_s=60.0) as appends:
        appends.append(encoded("a"))
        appends.append(encoded(*["a"] * MAX_ROWS))
    with appender(every_s=60.0) as appends:  # more bytes than one request has
        appends.append(encoded(*["a" * (MAX_BYTES // 2)] * 9))
    assert len(table.requests) == 3 + 2 + 9


def test_many_rows_go_in_requests_of_bounded_size(table: TinyTable) -> None:
    """Several of them under way at once."""
    with appender() as appends:
        appends.append(encoded(*["a"] * (2 * MAX_ROWS + 1)))
    assert table.requests == [MAX_ROWS, MAX_ROWS, 1]


class Slow(TinyTable):
    """Answers nothing while `go` is not set."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.go.set()

    def __exit__(self, *error: object) -> None:
        self.go.set()
        super().__exit__(*error)

    def answer(self, rows: Any) -> Any:
        self.go.wait()
        return super().answer(rows)


def test_a_call_waits_for_its_own_rows_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes during a request neither waits for it to go out, nor gets its refusals."""
    with Slow() as table, appender() as appends, ThreadPoolExecutor(2) as threads:
        monkeypatch.setenv(EMULATOR, table.address)
        table.go.clear()
        first = threads.submit(appends.append, encoded("bad"))
        eventually(lambda: len(appends._in_flight), bool)
        second = threads.submit(appends.append, encoded("a"))
        assert eventually(lambda: len(appends._in_flight), lambda count: count == 2)
        table.go.set()
        assert first.result().refused == {0: "is bad"}
        assert second.result().refused == {}


class Busy(Slow):
    """Has no room for the first requests: says so of the whole, or of rows by no error it knows."""

    def __init__(self, requests: int, *, of_rows: bool = False) -> None:
        super().__init__()
        self._left, self._of_rows = requests, of_rows

    def answer(self, rows: Any) -> Any:
        self.go.wait()
        if self._left <= 0:
            return super().answer(rows)
        self._left -= 1
        self.requests.append(len(rows))
        answer = AppendAnswer()
        answer.error.code, answer.error.message = UNAVAILABLE, "no room"
        if self._of_rows:
            code = types.RowError.RowErrorCode.ROW_ERROR_CODE_UNSPECIFIED
            answer.row_errors.add(index=0, code=code, message="who knows")
        return answer


@pytest.mark.parametrize("of_rows", [False, True])
def test_rows_of_a_busy_table_are_sent_again(
    of_rows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over the same connection; what BigQuery does not know is not the row's fault."""
    with Busy(2, of_rows=of_rows) as table, appender() as appends:
        monkeypatch.setenv(EMULATOR, table.address)
        assert appends.append(encoded("a", "b")) == ({}, 3)
        assert (table.requests, table.connections) == ([2, 2, 2], 1)
        assert names_of(table) == ["a", "b"]


def test_what_lasts_fails_the_bundle_and_refuses_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In bounded time, with the reason; and nothing of it is sent when the table works again."""
    with Busy(1_000) as table, appender(wait_s=0.3) as appends:
        monkeypatch.setenv(EMULATOR, table.address)
        with pytest.raises(AppendError, match="2 rows not taken; 14: no room"):
            appends.append(encoded("a", "b"))
        table._left = 0
        appends.append(encoded("c"))
        assert names_of(table) == ["c"]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_pauses_of_the_connection_count_as_throttling(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as they last, and not longer: Dataflow is told that its workers waited."""
    with Busy(2) as table, appender(first_pause_s=0.2) as appends:
        monkeypatch.setenv(EMULATOR, table.address)
        began_s = time.monotonic()
        appends.append(encoded("a"))
        assert 0.2 < appends.paused_s() <= time.monotonic() - began_s
        before_s = appends.paused_s()
        appends.append(encoded("b"))
        assert appends.paused_s() == before_s


def test_a_bundle_counts_what_it_waited_in_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """In whole seconds, as Beam's counter has them; the rest counts with the next bundle's."""
    monkeypatch.setattr(appending, "pause_after", lambda *_: 2.1)  # at least half of it

    def connect(pipeline: beam.Pipeline) -> dict[str, beam.PCollection]:
        rows = pipeline | beam.Create([{"message_id": "1", "name": "a"}])
        schema = [SchemaField(name, "STRING") for name in ("message_id", "name")]
        answers = rows | AppendRows(table="project:dataset.table", schema=schema)
        return {"stored": answers.message_ids}

    with Busy(1) as table:
        monkeypatch.setenv(EMULATOR, table.address)
        ran = run(connect)
    assert ran.records["stored"] == ["1"]
    assert ran.counters["cumulativeThrottlingSeconds"] >= 1


def test_pauses_grow_to_a_last_one() -> None:
    """However long BigQuery is away."""
    assert [pause_after(failures) for failures in (0, 1, 2, 5, 6)] == [0.5, 1, 2, 16, 16]
    assert pause_after(100_000) == 16


def test_requests_that_fail_together_are_one_failure(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Else eight that were under way would pause for long after one overload."""
    rows = encoded(*["a"] * (2 * MAX_ROWS + 1))
    with (
        Busy(3) as table,
        appender(first_pause_s=60) as appends,
        ThreadPoolExecutor(1) as thread,
    ):
        monkeypatch.setenv(EMULATOR, table.address)
        table.go.clear()
        appended = thread.submit(appends.append, rows)
        eventually(lambda: len(appends._in_flight), lambda count: count == 3)
        table.go.set()
        eventually(lambda: len(appends._waiting), lambda count: count == len(rows))
        assert len(caplog.records) == 1
        with appends._changed:
            appends._paused_until_s = 0.0
            appends._changed.notify()
        assert appended.result().refused == {}
        assert sum(table.requests) == 2 * len(rows)


def test_a_service_that_is_not_there_fails_the_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that refuses does; it is connected to when it comes."""
    monkeypatch.setenv(EMULATOR, "127.0.0.1:1")
    with appender(wait_s=0.3) as appends, pytest.raises(AppendError, match="UNAVAILABLE"):
        appends.append(encoded("a"))


def test_a_thread_that_the_system_did_not_give_is_asked_for_again(
    table: TinyTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows wait for it; else all that this process ever appended would wait in vain."""
    failing = iter([RuntimeError("can't start new thread")])
    start = threading.Thread.start

    def start_or_not(thread: threading.Thread) -> None:
        if thread.name.startswith("appends to") and (error := next(failing, None)):
            raise error
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_or_not)
    with appender(wait_s=5) as appends:
        assert appends.append(encoded("a")) == ({}, 1)
    assert names_of(table) == ["a"]


def test_a_connection_that_ends_while_idle_is_opened_anew(
    table: TinyTable, caplog: pytest.LogCaptureFixture
) -> None:
    """As BigQuery's do after ten minutes; without a word, a pause or a row twice."""
    with appender() as appends:
        appends.append(encoded("a"))
        appends._stream._call.cancel()
        eventually(lambda: appends._stream, lambda found: found is None)
        appends.append(encoded("b"))
    assert (names_of(table), table.connections, caplog.records) == (["a", "b"], 2, [])


EVERYTHING = [
    SchemaField("id", "STRING", mode="REQUIRED"),
    SchemaField("at", "TIMESTAMP"),
    SchemaField("features", "BYTES"),
    SchemaField("size", "RECORD", fields=[SchemaField("width_px", "INTEGER")]),
    SchemaField("scores", "RECORD", mode="REPEATED", fields=[SchemaField("score", "FLOAT")]),
]


def test_a_row_is_encoded_by_its_tables_columns() -> None:
    """Nested, repeated, absent; timestamps in microseconds."""
    encoder = RowEncoder(EVERYTHING)
    row = {
        "id": "a",
        "at": "2026-11-24T12:00:00.000001+00:00",
        "features": b"\x00\xff",
        "size": None,
        "scores": [{"score": 0.5}, {"score": None}],
    }
    message = encoder._message.FromString(encoder.encode(row))
    assert message.at == 1_795_521_600_000_001
    assert (message.id, message.features, message.HasField("size")) == ("a", b"\x00\xff", False)
    assert [one.score for one in message.scores] == [0.5, 0.0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": 7},
        {"id": "\ud800"},
        {"at": "yesterday"},
        {"size": {"width_px": 2**63}},
        {"unknown": "a"},
        {"features": bytes(MAX_ROW_BYTES + 1)},
    ],
    ids=lambda wrong: json.dumps([*wrong]),
)
def test_a_row_that_no_request_can_hold_is_said_so(wrong: dict[str, Any]) -> None:
    """By its own fault, before anything is sent."""
    with pytest.raises(UnencodableError):
        RowEncoder(EVERYTHING).encode(wrong)
