"""Payloads: every message is kept before anything can go wrong with it.

Messages enter, the same messages leave, each with the `payload_uri` under which
its `data` was written: `<object>#<start>-<end>` (bytes, end not included). A
bundle's messages share one object, written before the bundle is committed and
so before Pub/Sub hears an acknowledgement. Whatever stage fails an item later,
its dead letter can be replayed, and no payload travels through the shuffle.
"""

import dataclasses
import time
import uuid
from collections.abc import Iterator

import apache_beam as beam
from apache_beam.metrics import Metrics

from models.objects import OBJECTS, join
from transforms import coders  # noqa: F401 - registers the records'
from transforms.outcomes import day_of
from transforms.records import Message

MAX_OBJECT_BYTES = 16_000_000


def read_payload(payload_uri: str) -> bytes:
    """The `data` of the message that was kept under this URI."""
    path, _, span = payload_uri.rpartition("#")
    start, end = (int(part) for part in span.split("-"))
    return OBJECTS.read_span(path, start, end)


class _KeepDoFn(beam.DoFn):
    kept_bytes = Metrics.counter("testudo", "payload_kept_bytes")

    def __init__(self, root: str) -> None:
        self._root = root

    def start_bundle(self) -> None:
        self._parts: list[bytes] = []
        self._path = ""
        self._size_bytes = 0

    def process(self, message: Message) -> Iterator[Message]:
        if self._size_bytes + len(message.data) > MAX_OBJECT_BYTES:
            self._flush()
        if not self._parts:
            day = f"dt={day_of(time.time_ns() // 1000)}"
            self._path = join(self._root, day, f"{uuid.uuid4().hex}.bin")
        start = self._size_bytes
        self._parts.append(message.data)
        self._size_bytes += len(message.data)
        yield message._replace(payload_uri=f"{self._path}#{start}-{self._size_bytes}")

    def finish_bundle(self) -> None:
        self._flush()

    def _flush(self) -> None:
        if self._parts:
            OBJECTS.write(self._path, b"".join(self._parts))
            self.kept_bytes.inc(self._size_bytes)
        self._parts, self._size_bytes = [], 0


@dataclasses.dataclass(eq=False, kw_only=True)
class KeepPayloads(beam.PTransform):
    """Message -> Message with `payload_uri`, its data written under `root`."""

    root: str

    def expand(self, messages: beam.PCollection[Message]) -> beam.PCollection[Message]:
        return messages | "Write" >> beam.ParDo(_KeepDoFn(self.root)).with_output_types(Message)
