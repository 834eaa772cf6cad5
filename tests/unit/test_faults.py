"""What writes to BigQuery and Cloud Storage, behind a proxy that fails on purpose."""

import contextlib
import gc
import http.client
import io
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from append_server import TinyTable
from gcp_storage_emulator.server import create_server
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from google.cloud.bigquery import SchemaField
from rigs.faults import Fault, FaultPlan, FaultyProxy
from rigs.faulty_appends import faulty_environment

from beam_pipeline.io.append_stream import EMULATOR, append_call, default_stream
from beam_pipeline.io.appending import Answer, Appender, AppendError
from beam_pipeline.io.row_encoding import RowEncoder
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
TABLE = default_stream("testudo-tests:testudo.items")
ROWS = RowEncoder([SchemaField("name", "STRING")])
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


@pytest.fixture
def table() -> Iterator[TinyTable]:
    with TinyTable() as server:
        yield server


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
    services = {EMULATOR: table.address, "STORAGE_EMULATOR_HOST": cloud_storage}
    with faulty_environment(services, plan) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield environment
        gc.collect()  # here, where the warning is expected


@pytest.fixture
def appender(led: Mapping[str, str], request: pytest.FixtureRequest) -> Iterator[Appender]:
    fault = getattr(request.node, "callspec", None) and request.node.callspec.params.get("fault")
    times_s = {"answer_timeout_s": 0.3} if fault == Fault.NO_ANSWER else {}
    appends = Appender(append_call, TABLE, ROWS, every_s=0.0, first_pause_s=0.02, **times_s)
    with contextlib.closing(appends):
        yield appends


@pytest.fixture
def objects(led: Mapping[str, str], soon: Mapping[str, float]) -> Iterator[Objects]:
    with contextlib.closing(Objects(**soon)) as opened:
        yield opened


def append(appender: Appender, *names: str) -> Answer:
    return appender.append([ROWS.encode({"name": name}) for name in names])


def names_of(table: TinyTable) -> list[str]:
    return [row["name"] for row in table.rows]


@pytest.mark.parametrize("fault", PASSING)
def test_appends_outlast_what_passes(
    fault: Fault, appender: Appender, plan: FaultPlan, table: TinyTable
) -> None:
    """No row is refused and every row is in the table, however requests fail first."""
    plan.once("bigquery", fault, times=2)
    assert append(appender, *"abc").refused == {}
    assert set(names_of(table)) == {"a", "b", "c"}
    assert len(table.rows) == (9 if fault == Fault.CLOSE_AFTER else 3)
    assert set(plan.counts) == {("bigquery", fault)}
    assert append(appender, "d").refused == {}


def test_a_rejected_row_costs_itself_alone(
    appender: Appender, plan: FaultPlan, table: TinyTable
) -> None:
    """One row that the proxy rejects and one that the table does: both come back, once."""
    plan.once("bigquery", Fault.REJECT_ONE)
    sent = ["a", "bad", "c", "d", "e"]
    refused = {sent[at] for at in append(appender, *sent).refused}
    assert refused == {"bad"} | {row["name"] for row in plan.rejected}
    assert sorted(names_of(table)) == sorted(set(sent) - refused)


def test_rows_that_are_all_rejected_come_back(
    appender: Appender, plan: FaultPlan, table: TinyTable
) -> None:
    """At once: nothing is sent again."""
    plan.once("bigquery", Fault.REJECT_ALL)
    assert append(appender, "a", "b").refused.keys() == {0, 1}
    assert (table.rows, plan.requests["bigquery", "AppendRows"]) == ([], 1)


@pytest.mark.parametrize(
    "fault", [Fault.ANSWER_429, Fault.ANSWER_503, Fault.CLOSE_BEFORE, Fault.NO_ANSWER]
)
def test_what_lasts_fails_and_refuses_no_row(
    fault: Fault, led: Mapping[str, str], plan: FaultPlan, table: TinyTable
) -> None:
    """The bundle comes again, for as long as it takes; what passes then is stored."""
    plan.change({fault: 1.0})
    times_s = {"wait_s": 0.6, "answer_timeout_s": 0.2, "first_pause_s": 0.02}
    with contextlib.closing(Appender(append_call, TABLE, ROWS, **times_s)) as appends:
        with pytest.raises(AppendError, match="2 rows not taken"):
            append(appends, "a", "b")
        assert table.rows == []
        plan.change({})
        assert append(appends, "c", "d").refused == {}
    assert names_of(table)[-2:] == ["c", "d"]


def test_a_row_that_was_taken_is_never_called_invalid(
    appender: Appender, plan: FaultPlan, table: TinyTable
) -> None:
    """Its answer was lost; when it comes again the proxy refuses nothing, as BigQuery would."""
    plan.once("bigquery", Fault.CLOSE_AFTER)
    plan.once("bigquery", Fault.REJECT_ALL)
    assert append(appender, "a").refused == {}
    assert names_of(table) == ["a", "a"]
    assert append(appender, "b").refused == {0: "the faulty proxy's"}


def test_delays_of_requests_on_one_connection_pass_together(
    led: Mapping[str, str], plan: FaultPlan
) -> None:
    """As they do on a way that is long: four requests take no longer than one does."""
    plan.delay_s = 0.5
    plan.change({Fault.DELAY: 1.0})
    with contextlib.closing(Appender(append_call, TABLE, ROWS, every_s=0.0)) as appends:
        append(appends, "a")
        began_s = time.monotonic()
        with ThreadPoolExecutor(4) as threads:
            for each in [threads.submit(append, appends, name) for name in "bcde"]:
                each.result()
    assert time.monotonic() - began_s < 1.5


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


def test_chunked_bodies_on_one_connection(cloud_storage: str, plan: FaultPlan) -> None:
    """The proxy reads either kind of body to its end, and keeps the connection open."""
    plan.once("storage", Fault.ANSWER_503)
    with FaultyProxy("storage", cloud_storage, plan) as proxy:
        connection = http.client.HTTPConnection(urlsplit(proxy.address).netloc)
        statuses, path = [], f"/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name=chunked"
        for body in (b"abcdef", iter([b"abc", b"def"])):
            connection.request("POST", path, body)
            if not statuses:
                kept_open = connection.sock
            assert connection.sock is kept_open
            response = connection.getresponse()
            response.read()
            statuses.append(response.status)
        connection.close()
    assert statuses == [503, 200]


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
