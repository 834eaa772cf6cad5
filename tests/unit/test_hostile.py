"""The table of hostile messages itself, and what it taught the parser, the texts and the fetch."""

import gzip
import json
import re
import sys
import threading
import unicodedata
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from builders import ARRIVAL, fields, message, rejection
from rigs.hostile.messages import MAX_MESSAGE_BYTES
from rigs.hostile.table import HOSTILE

from loadtest.traffic.poison import SCORED, Trouble
from models.failures import Failure, Reason, Stage
from models.features import MAX_MARKS, normalise_text
from transforms.images import ImageStore
from transforms.parsing import parse_message, reject
from transforms.settings import ImageAccess

BUCKET = "hostile-pictures"
FEWEST_KINDS = 45


def test_kinds_are_named_and_described_in_one_line() -> None:
    """A name in snake case, and words that stand in a cell of docs/reference.md."""
    assert len(HOSTILE) >= FEWEST_KINDS
    for name, kind in HOSTILE.items():
        assert re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", name)
        assert kind.name == name
        assert kind.what
        assert not {"|", "\n"} & set(kind.what), name
        assert kind.outcome in {SCORED, *Reason}


def test_a_kind_makes_the_same_message_each_time() -> None:
    """The same id and bucket give the same bytes; another id gives another message."""
    for name, kind in HOSTILE.items():
        one = kind.message(item_id="a-1", bucket=BUCKET)
        assert one == kind.message(item_id="a-1", bucket=BUCKET), name
        other = kind.message(item_id="a-2", bucket=BUCKET)
        assert one.attributes != other.attributes or not one.attributes, name
        assert set(one.uploads) <= {kind.object_name("a-1")}, name


def test_what_is_called_publishable_is_taken_by_pubsub() -> None:
    """Data or attributes, 10 MB together, attributes of 1,024 bytes: Pub/Sub's own limits."""
    for name, kind in HOSTILE.items():
        one = kind.message(item_id="a-1", bucket=BUCKET)
        texts = [*one.attributes, *one.attributes.values()]
        size_bytes = len(one.data) + sum(len(text.encode()) for text in texts)
        fits = size_bytes <= MAX_MESSAGE_BYTES and bool(one.data or one.attributes)
        assert kind.publishable == fits, name
        assert all(len(text.encode()) <= 1_024 for text in texts), name


def test_every_kind_of_trouble_is_there() -> None:
    """And the table has what its name promises: kinds of every stage's reasons."""
    assert {kind.trouble for kind in HOSTILE.values()} == {None, *Trouble}
    assert {kind.reason for kind in HOSTILE.values()} == {
        None, Reason.MESSAGE_TOO_LARGE, Reason.NOT_JSON, Reason.SCHEMA_VIOLATION,
        Reason.IMAGE_NOT_BASE64, Reason.IMAGE_FORMAT_REFUSED, Reason.IMAGE_UNREADABLE,
        Reason.IMAGE_TOO_LARGE, Reason.IMAGE_URI_REFUSED, Reason.IMAGE_NOT_FOUND,
        Reason.IMAGE_FORBIDDEN, Reason.IMAGE_FETCH_FAILED,
    }  # fmt: skip


@pytest.mark.parametrize("levels", [254, 255, 256, 1_000, 1_022, 1_023, 1_024, 5_000])
def test_nesting_has_a_reason_at_any_depth(levels: int) -> None:
    """The validator gives up at 255 levels, and the JSON reader at 1,024."""
    data = json.dumps(fields())[:-1] + f', "more": {"[" * levels}{"]" * levels}' + "}"
    rejected = rejection(lambda: parse_message(data.encode(), max_bytes=1_000_000))
    assert rejected.reason in {Reason.SCHEMA_VIOLATION, Reason.NOT_JSON}


@pytest.mark.parametrize("blank", ["\x1c", "\x1d \x1e\x1f", "\x85"])
def test_a_text_that_would_be_scored_as_none_is_no_side(blank: str) -> None:
    """The schema's white space is not Python's; with an image it makes no difference."""
    alone = json.dumps(fields(text=blank)).encode()
    assert normalise_text(blank) == ""
    rejected = rejection(lambda: parse_message(alone, max_bytes=1_000))
    assert rejected.reason == Reason.SCHEMA_VIOLATION
    assert "neither a text nor an image" in rejected.detail
    whole = fields(text=blank, image="eA==")
    assert parse_message(json.dumps(whole).encode(), max_bytes=1_000) == whole


@pytest.mark.parametrize("name", ["../../etc/passwd", "a\n", "\x1b[2J", "x" * 129, "\u00e4"])
def test_a_rejected_message_is_not_named_by_what_is_no_id(name: str) -> None:
    """Attributes are the sender's words: what no item can be called names no dead letter."""
    failure = Failure(Stage.PARSE, Reason.NOT_JSON, "x")
    dead = reject(message(b"{", item_id=name, tenant_id=name), ARRIVAL, failure)
    assert (dead.envelope.item_id, dead.envelope.tenant_id) == ("", "")
    assert dead.envelope.attributes_json.isascii()


def test_marks_beyond_any_letter_are_dropped() -> None:
    """What languages write is kept; a pile of marks counts as its first thirty."""
    assert normalise_text("Vie\u0323\u0302t \u0e01\u0e34\u0e4c") == "vi\u1ec7t \u0e01\u0e34\u0e4c"
    pile = "a" + "\u0316" * 500 + "\u0301" * 500 + "b"
    assert normalise_text(pile) == "a" + "\u0316" * MAX_MARKS + "b"


def test_no_character_hides_its_marks_from_the_count() -> None:
    """Of all of Unicode: where a run of marks can begin or go on, it is counted."""
    for code in range(sys.maxunicode + 1):
        one = chr(code)
        if unicodedata.combining(unicodedata.normalize("NFKD", one)[0]):
            assert len(normalise_text("a" + one * 200)) <= 4 * (MAX_MARKS + 1), hex(code)


class _OneAnswer(ThreadingHTTPServer):
    """Answers every request in the same way, and says which paths were asked for."""

    def __init__(self, answer: Callable[[BaseHTTPRequestHandler], None]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.asked: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    server: _OneAnswer

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        try:
            self.server.answer(self)
        except ConnectionError:
            pass  # a client that has read enough

    def log_message(self, *_: Any) -> None:
        """The test says what was wrong."""


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


Serve = Callable[[Callable[[BaseHTTPRequestHandler], None]], _OneAnswer]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Starts a server that Google's client takes for Cloud Storage."""
    servers: list[tuple[_OneAnswer, threading.Thread]] = []

    def start(answer: Callable[[BaseHTTPRequestHandler], None]) -> _OneAnswer:
        server = _OneAnswer(answer)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        servers.append((server, thread))
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "testudo-tests")
        return server

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def store(*, max_bytes: int = 1_000, timeout_s: float = 300.0) -> ImageStore:
    return ImageStore(ImageAccess(frozenset({BUCKET}), timeout_s), max_bytes)


def test_an_empty_object_is_read_as_no_bytes(serve: Serve) -> None:
    """Cloud Storage answers 416 to a range of it, which is no failure of the fetch."""
    serve(lambda handler: send(handler, 416, b"no such range"))
    assert store().fetch(f"gs://{BUCKET}/empty.jpg") == b""


def test_a_server_that_sends_more_than_asked_is_not_listened_to(serve: Serve) -> None:
    """Of a whole object instead of a range, `max_bytes` + 1 bytes are kept."""
    serve(lambda handler: send(handler, 200, b"x" * 5_000_000))
    assert store().fetch(f"gs://{BUCKET}/long.jpg") == b"x" * 1_001


def test_an_object_stored_in_gzip_is_unpacked_so_far(serve: Serve) -> None:
    """10 KB that unpack to 10 MB are not unpacked to their end."""
    packed = gzip.compress(b"x" * 10_000_000)
    serve(lambda handler: send(handler, 200, packed, Content_Encoding="gzip"))
    assert store().fetch(f"gs://{BUCKET}/packed.jpg") == b"x" * 1_001
    small = gzip.compress(b"y" * 900)
    serve(lambda handler: send(handler, 200, small, Content_Encoding="gzip"))
    assert store().fetch(f"gs://{BUCKET}/small.jpg") == b"y" * 900


def test_an_object_that_comes_too_slowly_is_given_up(serve: Serve) -> None:
    """The time allowed is for the whole object, not for each piece of it."""
    over = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not over.wait(0.05):
            handler.wfile.write(b"x" * 8_192)

    serve(drip)
    try:
        fetch = store(max_bytes=10_000_000_000, timeout_s=0.5).fetch
        rejected = rejection(lambda: fetch(f"gs://{BUCKET}/slow.jpg"))
    finally:
        over.set()
    assert rejected.reason == Reason.IMAGE_FETCH_FAILED


@pytest.mark.parametrize("name", [".", "..", "a\rb", "a\nb", "\u00e4" * 513, "x" * 1_025])
def test_a_name_that_no_object_has_is_not_asked_for(serve: Serve, name: str) -> None:
    """`..` would ask the service for something else than an object."""
    server = serve(lambda handler: send(handler, 200, b"an answer"))
    rejected = rejection(lambda: store().fetch(f"gs://{BUCKET}/{name}"))
    assert rejected.reason == Reason.IMAGE_NOT_FOUND
    assert server.asked == []


def test_a_path_in_a_name_stays_a_name(serve: Serve) -> None:
    """Slashes, dots, queries and fragments cannot leave the bucket."""
    server = serve(lambda handler: send(handler, 200, b"an answer"))
    assert store().fetch(f"gs://{BUCKET}/../other/a.jpg?x=1#y") == b"an answer"
    # The client asks for the bucket too, once; that is none of our doing.
    (path,) = (one for one in server.asked if "/o/" in one)
    assert path.split("?")[0] == (
        f"/download/storage/v1/b/{BUCKET}/o/..%2Fother%2Fa.jpg%3Fx%3D1%23y"
    )
