"""What writes to BigQuery and Cloud Storage, behind a proxy that fails on purpose."""

import contextlib
import gc
import gzip
import http.client
import io
import json
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
from gcp_storage_emulator.server import create_server
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, storage
from rigs.faults import Fault, FaultPlan, FaultyProxy, faulty_environment

from beam_pipeline.io.inserts import GAVE_UP, Inserter
from models import release
from models.manifest import ReleaseError
from models.objects import ObjectError, Objects, split_uri
from models.release import Pointer, read_pointer, write_pointer

# Google's clients leave the connection of an answer that they try again for to the collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.usefixtures("small_heap"),
]

BUCKET = "testudo-tests"
TABLE = "testudo-tests.testudo.items"
SOON = {"retry_for_s": 300, "request_timeout_s": 60, "first_pause_s": 0.02}
GIVES_UP = {"retry_for_s": 0.01, "request_timeout_s": 0.2}
PASSING = [
    Fault.ANSWER_429,
    Fault.ANSWER_500,
    Fault.ANSWER_503,
    Fault.CLOSE_BEFORE,
    Fault.CLOSE_AFTER,
    Fault.DELAY,
    Fault.NO_ANSWER,
]


class TinyTable(ThreadingHTTPServer):
    """Takes streaming inserts into `rows`; one named "bad" is invalid, as a wrong type would be."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _TinyTableHandler)
        self.rows: dict[str, Mapping[str, Any]] = {}
        self.times_taken: list[str] = []
        self.address = f"http://127.0.0.1:{self.server_address[1]}"


class _TinyTableHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: TinyTable

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        errors = []
        for index, row in enumerate(json.loads(body)["rows"]):
            if row["json"]["name"] == "bad":
                errors.append({"index": index, "errors": [{"reason": "invalid"}]})
            else:
                self.server.rows[row["insertId"]] = row["json"]
                self.server.times_taken.append(row["insertId"])
        answer = json.dumps({"insertErrors": errors}).encode()
        self.send_response_only(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


@pytest.fixture
def table() -> Iterator[TinyTable]:
    with TinyTable() as server:
        thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def cloud_storage() -> Iterator[str]:
    with create_server("127.0.0.1", 0, in_memory=True, default_bucket=BUCKET) as server:
        yield f"http://127.0.0.1:{server._api._httpd.server_address[1]}"


@pytest.fixture
def plan() -> FaultPlan:
    return FaultPlan(seed=3, delay_s=0.05, silence_s=300)


@pytest.fixture
def soon(request: pytest.FixtureRequest) -> Mapping[str, float]:
    """How long what is tested waits: long for an answer, but for one that never comes."""
    fault = getattr(request.node, "callspec", None) and request.node.callspec.params.get("fault")
    return SOON | ({"request_timeout_s": 0.3} if fault == Fault.NO_ANSWER else {})


@pytest.fixture
def led(
    table: TinyTable, cloud_storage: str, plan: FaultPlan, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Mapping[str, str]]:
    """Google's clients led through the proxy to the table and to a Cloud Storage stand-in."""
    services = {"BIGQUERY_EMULATOR_HOST": table.address, "STORAGE_EMULATOR_HOST": cloud_storage}
    with faulty_environment(services, plan) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield environment
        gc.collect()  # here, where the warning is expected


@pytest.fixture
def inserter(led: Mapping[str, str], soon: Mapping[str, float]) -> Iterator[Inserter]:
    with bigquery.Client(project=BUCKET, credentials=AnonymousCredentials()) as client:
        yield Inserter(client, TABLE, **soon)


@pytest.fixture
def objects(led: Mapping[str, str], soon: Mapping[str, float]) -> Iterator[Objects]:
    with contextlib.closing(Objects(**soon)) as opened:
        yield opened


def keyed(*names: str) -> list[tuple[str, Mapping[str, Any]]]:
    return [(f"key-{number}", {"name": name}) for number, name in enumerate(names)]


@pytest.mark.slow
@pytest.mark.parametrize("fault", PASSING)
def test_inserts_outlast_what_passes(
    fault: Fault, inserter: Inserter, plan: FaultPlan, table: TinyTable
) -> None:
    """No row is refused and every row is in the table, however requests fail first."""
    plan.once("bigquery", fault, times=2)
    assert inserter.insert(keyed(*"abc")) == []
    assert [row["name"] for row in table.rows.values()] == ["a", "b", "c"]
    assert set(plan.counts) == {("bigquery", fault)}


def test_a_rejected_row_costs_itself_alone(
    inserter: Inserter, plan: FaultPlan, table: TinyTable
) -> None:
    """One row that the proxy rejects and one that the table does: both come back, once."""
    plan.once("bigquery", Fault.REJECT_ONE)
    refused = inserter.insert(keyed("a", "bad", "c", "d", "e"))
    names = {row["name"] for row, _ in refused}
    assert names == {"bad"} | {row["name"] for row in plan.rejected}
    assert {row["name"] for row in table.rows.values()} == {"a", "bad", "c", "d", "e"} - names
    assert len(refused) == len(names)


def test_rows_that_are_all_rejected_come_back(
    inserter: Inserter, plan: FaultPlan, table: TinyTable
) -> None:
    """At once: nothing is sent again."""
    plan.once("bigquery", Fault.REJECT_ALL)
    assert [row for row, _ in inserter.insert(keyed("a", "b"))] == [{"name": "a"}, {"name": "b"}]
    assert (table.rows, plan.requests["bigquery", "POST"]) == ({}, 1)


@pytest.mark.parametrize("fault", [Fault.ANSWER_400, Fault.ANSWER_413])
def test_a_whole_request_that_is_refused_is_sent_in_halves(
    fault: Fault, inserter: Inserter, plan: FaultPlan, table: TinyTable
) -> None:
    """The whole and its first half, then the first row alone: that one is the culprit."""
    plan.once("bigquery", fault, times=3)
    refused = inserter.insert(keyed(*"abcd"))
    assert [row["name"] for row, _ in refused] == ["a"]
    assert sorted(row["name"] for row in table.rows.values()) == ["b", "c", "d"]


@pytest.mark.parametrize("fault", [Fault.ANSWER_503, Fault.CLOSE_BEFORE, Fault.NO_ANSWER])
def test_what_lasts_too_long_ends_as_refused_rows(
    fault: Fault, led: Mapping[str, str], plan: FaultPlan, table: TinyTable
) -> None:
    """Nothing waits for ever: the rows leave with the reason, to be kept and replayed."""
    plan.change({fault: 1.0})
    with bigquery.Client(project=BUCKET, credentials=AnonymousCredentials()) as client:
        refused = Inserter(client, TABLE, **GIVES_UP).insert(keyed("a", "b"))
    assert [row["name"] for row, _ in refused] == ["a", "b"]
    assert {error["reason"] for _, errors in refused for error in errors} == {GAVE_UP}
    assert table.rows == {}


def test_a_row_that_was_taken_is_never_called_invalid(
    inserter: Inserter, plan: FaultPlan, table: TinyTable
) -> None:
    """Its answer was lost; when it comes again the proxy refuses nothing, as BigQuery would."""
    plan.once("bigquery", Fault.CLOSE_AFTER)
    plan.once("bigquery", Fault.REJECT_ALL)
    assert inserter.insert(keyed("a")) == []
    assert table.times_taken == ["key-0", "key-0"]
    assert [row["name"] for row, _ in inserter.insert([("key-9", {"name": "b"})])] == ["b"]


@pytest.mark.slow
@pytest.mark.parametrize("fault", PASSING)
def test_objects_outlast_what_passes(fault: Fault, objects: Objects, plan: FaultPlan) -> None:
    """Written, read, and read in part, each after two requests that failed."""
    path, data = f"gs://{BUCKET}/a b/object#1", bytes(range(256)) * 4
    plan.once("storage", fault, times=2)
    objects.write(path, data)
    plan.once("storage", fault, times=2)
    assert objects.read(path) == data
    plan.once("storage", fault, times=2)
    assert objects.read_span(path, 250, 260) == data[250:260]
    assert set(plan.counts) == {("storage", fault)}


def test_a_uri_is_split_at_its_bucket() -> None:
    """Object names may hold anything, slashes and hashes too."""
    assert split_uri("gs://bucket/a/b c#1.jpg") == ("bucket", "a/b c#1.jpg")


def test_an_object_is_one_request(objects: Objects, plan: FaultPlan) -> None:
    """Whatever its size."""
    data = b"\r\n\x00-" * 3_000_000
    objects.write(f"gs://{BUCKET}/large", data)
    assert plan.requests["storage", "POST"] == 1
    assert objects.read(f"gs://{BUCKET}/large") == data
    objects.copy(f"gs://{BUCKET}/large", f"gs://{BUCKET}/copy")
    assert objects.read_span(f"gs://{BUCKET}/copy", 8, 16) == data[8:16]


def test_empty_objects_and_spans(objects: Objects) -> None:
    """A message may have no data at all."""
    objects.write(f"gs://{BUCKET}/empty", b"")
    assert objects.read(f"gs://{BUCKET}/empty") == b""
    assert objects.read_span(f"gs://{BUCKET}/empty", 0, 0) == b""


def test_what_is_not_there_is_told_at_once(objects: Objects, plan: FaultPlan) -> None:
    """By name, and without another request."""
    with pytest.raises(FileNotFoundError, match=f"gs://{BUCKET}/missing"):
        objects.read(f"gs://{BUCKET}/missing")
    with pytest.raises(FileNotFoundError, match="gs://no-such-bucket"):
        objects.write("gs://no-such-bucket/a", b"a")
    assert plan.requests["storage", "POST"] == 1


@pytest.mark.parametrize("fault", [Fault.ANSWER_503, Fault.CLOSE_BEFORE, Fault.NO_ANSWER])
def test_objects_give_up_in_bounded_time(
    fault: Fault, led: Mapping[str, str], plan: FaultPlan
) -> None:
    """With an error that names the object, and is not the one of a missing file."""
    plan.change({fault: 1.0})
    with contextlib.closing(Objects(**GIVES_UP)) as objects:
        for ask in (
            lambda: objects.write(f"gs://{BUCKET}/a", b"a"),
            lambda: objects.read(f"gs://{BUCKET}/a"),
            lambda: objects.read_span(f"gs://{BUCKET}/a", 0, 1),
        ):
            with pytest.raises(ObjectError, match=f"gs://{BUCKET}/a"):
                ask()


def test_a_release_outlasts_what_passes(
    objects: Objects, plan: FaultPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pointer is read in spite of a closed connection; a missing one is an error at once."""
    monkeypatch.setattr(release, "OBJECTS", objects)
    write_pointer(f"gs://{BUCKET}/releases", Pointer("a"))
    plan.once("storage", Fault.CLOSE_BEFORE, times=2)
    assert read_pointer(f"gs://{BUCKET}/releases") == Pointer("a")
    with pytest.raises(ReleaseError, match="elsewhere/current.json is not there"):
        read_pointer(f"gs://{BUCKET}/elsewhere")


def test_resumable_uploads_go_through_the_proxy(led: Mapping[str, str], plan: FaultPlan) -> None:
    """Every part of them: the address that the first answer gives is the proxy's."""
    with storage.Client(project=BUCKET, credentials=AnonymousCredentials()) as client:
        blob = client.bucket(BUCKET).blob("resumable", chunk_size=256 * 1024)
        blob.upload_from_file(io.BytesIO(b"x" * 600_000))
        assert plan.requests["storage", "PUT"] == 3
        assert client.bucket(BUCKET).blob("resumable").download_as_bytes() == b"x" * 600_000


def test_compressed_and_chunked_bodies_on_one_connection(table: TinyTable, plan: FaultPlan) -> None:
    """The proxy reads what a row is in either, and keeps the connection open."""
    body = gzip.compress(json.dumps({"rows": [{"insertId": "1", "json": {"name": "a"}}]}).encode())
    path = "/bigquery/v2/projects/p/datasets/d/tables/t/insertAll"
    plan.once("bigquery", Fault.ANSWER_413)
    with FaultyProxy("bigquery", table.address, plan) as proxy:
        connection = http.client.HTTPConnection(urlsplit(proxy.address).netloc)
        statuses = []
        for part in (body, iter([body[:5], body[5:]])):
            connection.request("POST", path, part, {"Content-Encoding": "gzip"})
            if len(statuses) == 0:
                kept_open = connection.sock
            assert connection.sock is kept_open
            response = connection.getresponse()
            response.read()
            statuses.append(response.status)
        connection.close()
    assert statuses == [413, 200]
    assert table.rows == {"1": {"name": "a"}}


def test_the_same_seed_gives_the_same_faults() -> None:
    """And shares are kept, about."""
    shares = {Fault.ANSWER_503: 0.1, Fault.DELAY: 0.2}
    plans = [FaultPlan(shares, seed=7) for _ in range(2)]
    drawn = [[plan.draw("storage", "GET", None) for _ in range(1_000)] for plan in plans]
    assert drawn[0] == drawn[1]
    assert 70 < drawn[0].count(Fault.ANSWER_503) < 130
    assert 160 < drawn[0].count(Fault.DELAY) < 240


@pytest.mark.parametrize("shares", [{Fault.DELAY: 1.1}, {Fault.DELAY: -0.1}])
def test_shares_that_are_none_are_refused(shares: dict[Fault, float]) -> None:
    with pytest.raises(ValueError, match="delay"):
        FaultPlan(shares)
