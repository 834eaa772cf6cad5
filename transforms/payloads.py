"""Payloads: every message is kept before anything can go wrong with it.

Messages enter, the same messages leave, each with the `payload_uri` under which
its `data` is written. They go on as soon as their object has its name, and it is
written while other stages work; but it is written before the bundle is
committed, and so before Pub/Sub hears an acknowledgement. Whatever stage fails an
item later, its dead letter can be replayed, and no payload travels through the shuffle.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.utils.windowed_value import WindowedValue

from models.group_commit import Ticket
from transforms import coders  # noqa: F401 - registers the records'
from transforms.payload_objects import (
    MAX_MESSAGES,
    MAX_OBJECT_BYTES,
    WRITES_AT_ONCE,
    payload_objects,
)
from transforms.records import Message


class _KeepDoFn(beam.DoFn):
    kept_bytes = Metrics.counter("testudo", "payload_kept_bytes")

    def __init__(self, root: str) -> None:
        self._root = root

    def setup(self) -> None:
        self._objects = payload_objects(self._root)

    def start_bundle(self) -> None:
        self._waiting: list[WindowedValue] = []
        self._waiting_bytes = 0
        self._writes: dict[Ticket[None], None] = {}  # in order

    def process(
        self,
        message: Message,
        timestamp: Any = beam.DoFn.TimestampParam,
        window: Any = beam.DoFn.WindowParam,
    ) -> Iterator[WindowedValue]:
        """Memory holds some objects of a large bundle, not all of it."""
        self._waiting.append(WindowedValue(message, timestamp, [window]))
        self._waiting_bytes += len(message.data)
        if len(self._waiting) == MAX_MESSAGES or self._waiting_bytes >= MAX_OBJECT_BYTES:
            yield from self._named()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        yield from self._named()
        for write in self._writes:
            write.answers()

    def _named(self) -> Iterator[WindowedValue]:
        waiting, self._waiting = self._waiting, []
        self.kept_bytes.inc(self._waiting_bytes)
        self._waiting_bytes = 0
        kept = self._objects.keep([one.value for one in waiting])
        self._writes.update((one.written, None) for one in kept)
        while len(self._writes) > WRITES_AT_ONCE:  # of a bundle that is larger than memory
            write = next(iter(self._writes))
            write.answers()
            del self._writes[write]
        for one, its in zip(waiting, kept, strict=True):
            yield one.with_value(one.value._replace(payload_uri=its.uri))


@dataclasses.dataclass(eq=False, kw_only=True)
class KeepPayloads(beam.PTransform):
    """Message -> Message with `payload_uri`, its data written under `root`."""

    root: str

    def expand(self, messages: beam.PCollection[Message]) -> beam.PCollection[Message]:
        return messages | "Write" >> beam.ParDo(_KeepDoFn(self.root)).with_output_types(Message)
