"""Every hostile kind through the whole graph, in one run: one outcome each, with its reason."""

import dataclasses
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import apache_beam as beam
import pytest
from builders import message, run
from conftest import Releases
from rigs.hostile.table import HOSTILE, HUGE_OBJECT_BYTES

from beam_pipeline.config import Config
from beam_pipeline.endpoints import memory_ends
from beam_pipeline.graph import build
from loadtest.traffic.poison import SCORED, HostileMessage, Trouble
from transforms.payload_objects import read_payload
from transforms.records import Message

BUCKET = "hostile-pictures"
FETCH_TIMEOUT_S = 10.0  # one object is never answered
MAX_IMAGE_BYTES = 5_000_000
BLOCK = bytes(1_000_000)
OBJECTS = f"/download/storage/v1/b/{BUCKET}/o/"


class Storage(ThreadingHTTPServer):
    """The download part of Cloud Storage's JSON API, with objects that make trouble."""

    def __init__(self, objects: Mapping[str, bytes], troubles: Mapping[str, Trouble]) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.objects = objects
        self.troubles = troubles
        self.sent_bytes: Counter[str] = Counter()
        self.asked: set[str] = set()
        self.closing = threading.Event()


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Storage

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        name = unquote(path.removeprefix(OBJECTS)) if path.startswith(OBJECTS) else path
        self.server.asked.add(name)
        trouble = self.server.troubles.get(name)
        if trouble == Trouble.SILENT:
            self.server.closing.wait()
            self.close_connection = True
        elif trouble == Trouble.FORBIDDEN:
            self._answer(403, b"no permission")
        elif trouble == Trouble.HUGE:
            self._send_part(name, None, HUGE_OBJECT_BYTES)
        elif name not in self.server.objects:
            self._answer(404, b"no such object")
        elif trouble == Trouble.UNPACKED:
            self._answer(200, self.server.objects[name], ("Content-Encoding", "gzip"))
        else:
            data = self.server.objects[name]
            self._send_part(name, data, len(data))

    def _send_part(self, name: str, data: bytes | None, size_bytes: int) -> None:
        """As Cloud Storage does: no byte of an empty object is in any range."""
        first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
        start, end = int(first), min(int(last) + 1, size_bytes)
        if start >= size_bytes:
            self._answer(416, b"no such range")
            return
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size_bytes}")
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        while start < end:
            length = min(len(BLOCK), end - start)
            self.wfile.write(BLOCK[:length] if data is None else data[start : start + length])
            self.server.sent_bytes[name] += length
            start += length

    def _answer(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for header in (*headers, ("Content-Length", str(len(body)))):
            self.send_header(*header)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """The test says what was wrong."""

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:  # a client that has read enough
            self.close_connection = True


def _published(name: str) -> Message:
    one = HOSTILE[name].message(item_id=f"hostile-{name}", bucket=BUCKET)
    return message(one.data, **one.attributes)


class _Publish(beam.PTransform):
    """Makes the messages in the pipeline: Beam would pack what a Create holds for seconds."""

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        names = pipeline | beam.Create(list(HOSTILE), reshuffle=False)
        return names | beam.Map(_published).with_output_types(Message)


@pytest.fixture(scope="module")
def hostile() -> Mapping[str, HostileMessage]:
    return {
        name: kind.message(item_id=f"hostile-{name}", bucket=BUCKET)
        for name, kind in HOSTILE.items()
    }


@pytest.fixture
def cloud_storage(
    hostile: Mapping[str, HostileMessage], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Storage]:
    troubles = {
        kind.object_name(f"hostile-{name}"): kind.trouble
        for name, kind in HOSTILE.items()
        if kind.trouble
    }
    objects = {name: data for one in hostile.values() for name, data in one.uploads.items()}
    with Storage(objects, troubles) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.05,))
        serving.start()
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "testudo-tests")
        yield server
        server.closing.set()
        server.shutdown()
        serving.join()


def test_every_hostile_message_has_its_one_outcome(
    tmp_path: Path,
    releases: Releases,
    hostile: Mapping[str, HostileMessage],
    cloud_storage: Storage,
) -> None:
    """Scored, or a dead letter with the reason that the table says; no bug, and nothing twice."""
    made = Config(
        output=str(tmp_path / "out"),
        releases=releases.root,
        image_buckets=BUCKET,
        fetch_timeout_s=FETCH_TIMEOUT_S,
        max_image_bytes=MAX_IMAGE_BYTES,
    )
    ends = dataclasses.replace(memory_ends([]), read=_Publish())
    ran = run(lambda pipeline: build(pipeline, made, ends))

    kinds = {one.data: name for name, one in hostile.items() if one.data}
    kinds_empty = {name for name, one in hostile.items() if not one.data}
    outcomes: dict[str, list[str]] = {name: [] for name in hostile}
    empty: Counter[str] = Counter()
    found = [(one.joined.envelope, SCORED) for one in ran.records["predictions"]]
    found += [(one.envelope, one.failures[0].reason) for one in ran.records["dead_letters"]]
    for envelope, outcome in found:
        data = read_payload(envelope.payload_uri)
        if data:
            outcomes[kinds[data]].append(outcome)
        else:
            empty[outcome] += 1
    expected = {name: [kind.outcome] for name, kind in HOSTILE.items()}
    assert empty == Counter(HOSTILE[name].outcome for name in kinds_empty)
    assert outcomes == {**expected, **{name: [] for name in kinds_empty}}
    assert "bugs" not in ran.counters

    huge = HOSTILE["uri_huge"].object_name("hostile-uri_huge")
    assert cloud_storage.sent_bytes[huge] == MAX_IMAGE_BYTES + 1
