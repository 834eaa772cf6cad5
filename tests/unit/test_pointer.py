"""Who changes `current.json` when: nobody's choice is lost, on files and in Cloud Storage."""

import codecs
import contextlib
import dataclasses
import gc
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Barrier, Lock, Thread
from urllib.parse import parse_qs, urlsplit

import pytest

from models import release
from models.manifest import ReleaseError
from models.objects import Objects
from models.release import (
    POINTER,
    Pointer,
    PointerChanged,
    copy_releases,
    find_pointer,
    read_pointer,
    write_pointer,
)

# Google's clients leave the connection of an answer that they try again for to the collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.usefixtures("small_heap"),
]

WRITERS = 8
OURS = Pointer("ours", tenants={"acme": "acmes"})
THEIRS = Pointer("ours", canary="theirs", canary_share=0.5)


class TinyStorage(ThreadingHTTPServer):
    """One object of Cloud Storage, written under preconditions as Google documents them.

    What is in `meanwhile` is written by somebody else right before the next upload;
    `lost_answers` uploads are done, and the connection closed without an answer.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _TinyStorageHandler)
        self.content: bytes | None = None
        self.generation = 0
        self.meanwhile: list[bytes] = []
        self.lost_answers = 0
        self.refused = 0
        self.lock = Lock()
        self.address = f"http://127.0.0.1:{self.server_address[1]}"

    def put(self, content: bytes) -> None:
        self.content, self.generation = content, self.generation + 1


class _TinyStorageHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: TinyStorage

    def do_GET(self) -> None:
        stored = self.server
        with stored.lock:
            if stored.content is None:
                self._answer(404, b"{}")
            elif self.path.startswith("/download/"):
                self._answer(200, stored.content)
            else:
                self._described()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        stored = self.server
        with stored.lock:
            if stored.meanwhile:
                stored.put(stored.meanwhile.pop())
            wanted = parse_qs(urlsplit(self.path).query).get("ifGenerationMatch")
            there = stored.generation if stored.content is not None else 0
            if wanted and int(wanted[0]) != there:
                stored.refused += 1
                self._answer(412, b"{}")
                return
            stored.put(body)
            if stored.lost_answers:
                stored.lost_answers -= 1
                self.close_connection = True
                return
            self._described()

    def _described(self) -> None:
        self._answer(200, json.dumps({"generation": str(self.server.generation)}).encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response_only(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def stored() -> Iterator[TinyStorage]:
    with TinyStorage() as server:
        thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def bucket(stored: TinyStorage, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A root in Cloud Storage."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", stored.address)
    objects = Objects(retry_for_s=60, request_timeout_s=10, first_pause_s=0.02)
    with contextlib.closing(objects):
        monkeypatch.setattr(release, "OBJECTS", objects)
        yield "gs://bucket/releases"
    gc.collect()  # here, where the warning is expected


@pytest.fixture(params=["files", "cloud"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return request.getfixturevalue("bucket") if request.param == "cloud" else str(tmp_path / "r")


def add_tenant(root: str, tenant: str, start: Barrier) -> None:
    """As `testudo release use --tenant`, again and again until nobody else is in between."""
    start.wait()
    while True:
        before = read_pointer(root)
        after = replace(before, tenants={**before.tenants, tenant: "ours"})
        with contextlib.suppress(PointerChanged):
            write_pointer(root, after, replacing=before)
            return


@pytest.mark.slow
def test_several_writers_lose_nothing_of_each_other(root: str) -> None:
    """Each adds a tenant of its own at the same time: all of them are there in the end."""
    write_pointer(root, Pointer("ours"))
    tenants, start = [f"tenant-{number}" for number in range(WRITERS)], Barrier(WRITERS)
    with ThreadPoolExecutor(WRITERS) as writers:
        for added in [writers.submit(add_tenant, root, one, start) for one in tenants]:
            added.result()
    assert set(read_pointer(root).tenants) == set(tenants)


@pytest.mark.parametrize("replacing", [None, Pointer("before")])
def test_a_pointer_that_is_not_the_one_that_was_read_stays(
    root: str, replacing: Pointer | None
) -> None:
    """Written over it would take away what somebody chose meanwhile."""
    write_pointer(root, THEIRS)
    with pytest.raises(PointerChanged, match=r"r\w*/current.json was changed by somebody else"):
        write_pointer(root, OURS, replacing=replacing)
    assert read_pointer(root) == THEIRS


def test_a_pointer_that_is_gone_is_not_written_again(root: str) -> None:
    """Whoever took it away meant that."""
    with pytest.raises(PointerChanged):
        write_pointer(root, OURS, replacing=THEIRS)
    assert find_pointer(root) is None


def test_to_write_what_is_there_already_is_no_change(root: str) -> None:
    """Two that want the same do not fail for each other."""
    write_pointer(root, OURS)
    write_pointer(root, OURS)
    write_pointer(root, OURS, replacing=THEIRS)
    assert read_pointer(root) == OURS


@pytest.mark.parametrize("before", [None, Pointer("before")])
def test_somebody_between_reading_and_writing_is_found_out(
    bucket: str, stored: TinyStorage, before: Pointer | None
) -> None:
    """The upload carries the generation that was read: Cloud Storage itself refuses it."""
    if before:
        write_pointer(bucket, before)
    stored.meanwhile.append(json.dumps({"default": "theirs"}).encode())
    with pytest.raises(PointerChanged):
        write_pointer(bucket, OURS, replacing=before)
    assert read_pointer(bucket) == Pointer("theirs")


def test_somebody_who_wants_the_same_is_nobody_to_fail_for(
    bucket: str, stored: TinyStorage
) -> None:
    """Two jobs that start together both bring what they found: the slower one has what it wants."""
    same = json.dumps(dataclasses.asdict(OURS)).encode()
    stored.meanwhile.append(same)
    write_pointer(bucket, OURS)
    assert read_pointer(bucket) == OURS


def test_a_lost_answer_is_no_lost_race(bucket: str, stored: TinyStorage) -> None:
    """Written, but the connection closed: the second try is refused, and finds its own."""
    write_pointer(bucket, Pointer("before"))
    stored.lost_answers = 1
    write_pointer(bucket, OURS, replacing=Pointer("before"))
    assert read_pointer(bucket) == OURS
    assert stored.refused == 1


def test_a_pointer_is_replaced_whole_and_alone(tmp_path: Path) -> None:
    """Readers never see a part of it, and nothing else stays in the folder."""
    write_pointer(str(tmp_path), Pointer("before"))
    with (tmp_path / POINTER).open() as reader:
        write_pointer(str(tmp_path), OURS, replacing=Pointer("before"))
        assert json.load(reader)["default"] == "before"
    assert [one.name for one in tmp_path.iterdir()] == [POINTER]


def test_a_broken_pointer_is_not_written_over(tmp_path: Path) -> None:
    """It may hold somebody's choices, and a slip."""
    (tmp_path / POINTER).write_text('{"default": "a", "tenants": {')
    for write in (write_pointer, lambda root, _: copy_releases(root, root)):
        with pytest.raises(ReleaseError, match="is not a pointer"):
            write(str(tmp_path), OURS)
    assert (tmp_path / POINTER).read_text() == '{"default": "a", "tenants": {'


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (codecs.BOM_UTF8 + b'{"default": "a"}', "UTF-8 with a byte order mark"),
        ('{"default": "a"}'.encode("utf-16"), "UTF-16"),
        ('{"default": "a"}'.encode("utf-16-be"), "UTF-16"),
        ('{"default": "a"}'.encode("utf-32"), "UTF-32"),
        (b"[" * 100_000, "current.json is not a pointer"),
    ],
)
def test_a_pointer_of_another_encoding_is_refused_by_its_name(
    tmp_path: Path, data: bytes, named: str
) -> None:
    """As Windows' tools save text files, and what is nested without an end."""
    (tmp_path / POINTER).write_bytes(data)
    with pytest.raises(ReleaseError, match=named):
        read_pointer(str(tmp_path))
