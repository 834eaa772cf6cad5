"""Publish messages on engines that have no Pub/Sub write of their own.

Messages enter; their ids leave when Pub/Sub has taken them, so that they can then be
acked where they came from. Should it not take them in the time that Google's client
tries, the bundle fails, and with it the job: nothing was acked, and all comes again.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue
from google.pubsub_v1 import PubsubMessage

from beam_pipeline.io.publishing import Publisher, size_of
from transforms.quotas import MAX_REQUEST_BYTES, overflow_attributes
from transforms.records import Message

MAX_MESSAGES = 1_000  # a request


class _PublishDoFn(beam.DoFn):
    def __init__(self, topic: str) -> None:
        self._topic = topic

    def setup(self) -> None:
        self._publisher = Publisher(self._topic)

    def start_bundle(self) -> None:
        self._waiting: list[PubsubMessage] = []
        self._waiting_bytes = 0
        self._message_ids: list[str] = []

    def process(self, message: Message) -> None:
        outgoing = PubsubMessage(data=message.data, attributes=overflow_attributes(message))
        size_bytes = size_of(outgoing)
        full = self._waiting_bytes + size_bytes > MAX_REQUEST_BYTES
        if full or len(self._waiting) == MAX_MESSAGES:
            self._flush()
        self._waiting.append(outgoing)
        self._waiting_bytes += size_bytes
        self._message_ids.append(message.message_id)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        self._flush()
        yield from map(GlobalWindows.windowed_value, self._message_ids)

    def teardown(self) -> None:
        self._publisher.close()

    def _flush(self) -> None:
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        if waiting:
            self._publisher.publish(waiting)


@dataclass(eq=False, kw_only=True)
class PublishMessages(beam.PTransform):
    """Messages -> their ids, when they are in the topic, marked as the overflow's."""

    topic: str

    def expand(self, messages: beam.PCollection[Message]) -> beam.PCollection[str]:
        return messages | "Publish" >> beam.ParDo(_PublishDoFn(self.topic)).with_output_types(str)
