"""Streaming inserts: every row is taken or refused, and one bad row costs itself alone."""

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest, NotFound

from beam_pipeline.io.inserts import GAVE_UP, MAX_ROWS, Inserter, RefusedRows, SharedInserter


class Table:
    """A table that refuses the rows named bad, is busy at first, and breaks at broken ones."""

    def __init__(self, *, busy_requests: int = 0) -> None:
        self.rows: dict[str, Mapping[str, Any]] = {}
        self.busy_requests = busy_requests
        self.requests: list[int] = []

    def insert_rows_json(
        self, table: str, rows: Sequence[Mapping[str, Any]], *, row_ids: Sequence[str], **_: Any
    ) -> list[dict[str, Any]]:
        self.requests.append(len(rows))
        if table == "missing":
            raise NotFound("no such table")
        if any(row["name"] == "broken" for row in rows):
            raise BadRequest("cannot be read")
        if len(self.requests) <= self.busy_requests:
            return [
                {"index": at, "errors": [{"reason": "backendError"}]} for at in range(len(rows))
            ]
        errors = []
        for at, (key, row) in enumerate(zip(row_ids, rows, strict=True)):
            if row["name"] == "bad":
                errors.append({"index": at, "errors": [{"reason": "invalid"}]})
            else:
                self.rows[key] = row
        return errors


def keyed(*names: str) -> list[tuple[str, Mapping[str, Any]]]:
    return [(f"key-{number}", {"name": name}) for number, name in enumerate(names)]


def test_refused_rows_come_back_and_the_others_are_taken() -> None:
    """A bad row is returned with its errors; its neighbours are in the table."""
    table = Table()
    refused = Inserter(table, "t").insert(keyed("a", "bad", "c"))
    assert refused == [({"name": "bad"}, [{"reason": "invalid"}])]
    assert list(table.rows) == ["key-0", "key-2"]


def test_a_request_refused_as_a_whole_costs_only_the_culprit() -> None:
    """Rows beside one that makes the whole request fail are taken, in halves of it."""
    table = Table()
    refused = Inserter(table, "t").insert(keyed(*"abcdef", "broken", "h"))
    assert [row for row, _ in refused] == [{"name": "broken"}]
    assert len(table.rows) == 7


def test_rows_of_a_busy_table_are_sent_again() -> None:
    """What passes is no refusal: the same rows go again until they are taken."""
    table = Table(busy_requests=1)
    assert Inserter(table, "t").insert(keyed("a", "b")) == []
    assert table.requests == [2, 2]
    assert list(table.rows) == ["key-0", "key-1"]


def test_rows_of_a_table_that_is_gone_are_given_up_in_bounded_time() -> None:
    """They leave as refused, with what was wrong, so that they are kept and can be replayed."""
    refused = Inserter(Table(), "missing", retry_for_s=0.1).insert(keyed("a", "b"))
    assert [row["name"] for row, _ in refused] == ["a", "b"]
    assert all(error["reason"] == GAVE_UP for _, errors in refused for error in errors)
    assert all("NotFound" in error["message"] for _, errors in refused for error in errors)


def test_rows_of_a_table_that_stays_busy_are_given_up() -> None:
    """What was taken before is not among them."""
    table = Table(busy_requests=1_000)
    refused = Inserter(table, "t", retry_for_s=0.1).insert(keyed("a", "b"))
    assert [row["name"] for row, _ in refused] == ["a", "b"]
    assert table.rows == {}


class SlowTable(Table):
    """Its first request is held up until `go` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived, self.go = threading.Event(), threading.Event()

    def insert_rows_json(
        self, table: str, rows: Sequence[Mapping[str, Any]], *, row_ids: Sequence[str], **_: Any
    ) -> list[dict[str, Any]]:
        self.arrived.set()
        self.go.wait()
        return super().insert_rows_json(table, rows, row_ids=row_ids)


def insert_together(
    table: SlowTable, shared: SharedInserter, *later: Sequence[tuple[str, Mapping[str, Any]]]
) -> list[Future[RefusedRows]]:
    """Insert `later`, each from a thread of its own, while a request of one row is under way."""
    with ThreadPoolExecutor(1 + len(later)) as threads:
        first = threads.submit(shared.insert, keyed("a"))
        table.arrived.wait()
        found = [threads.submit(shared.insert, rows) for rows in later]
        while len(shared._waiting) < len(later):
            time.sleep(0.01)
        table.go.set()
    assert first.result() == []
    return found


def test_rows_that_come_during_a_request_share_the_next_one() -> None:
    """Each caller gets its own refused rows back, and the table is asked twice, not four times."""
    table = SlowTable()
    shared = SharedInserter(Inserter(table, "t"), every_s=0.0)
    later = [[(name, {"name": name}), (f"{name}-bad", {"name": "bad"})] for name in "bcd"]
    for one in insert_together(table, shared, *later):
        assert one.result() == [({"name": "bad"}, [{"reason": "invalid"}])]
    assert table.requests == [1, 6]
    assert list(table.rows) == ["key-0", "b", "c", "d"]


def test_what_is_shared_still_goes_in_requests_of_bounded_size() -> None:
    """However many rows have come together."""
    table = Table()
    assert Inserter(table, "t").insert(keyed(*["a"] * (MAX_ROWS + 1))) == []
    assert sorted(table.requests) == [1, MAX_ROWS]


def test_an_error_of_a_shared_request_reaches_every_caller() -> None:
    """So that each bundle is run again, and the next rows are tried."""
    table = SlowTable()
    shared = SharedInserter(Inserter(table, "t"), every_s=0.0)
    nameless = [("key", {})]  # at which the table fails
    for one in insert_together(table, shared, nameless, nameless):
        with pytest.raises(KeyError):
            one.result()
    assert shared.insert(keyed("b")) == []
