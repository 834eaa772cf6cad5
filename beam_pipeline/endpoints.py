"""Ends: where the graph reads and writes. The graph itself is the same at all of them."""

import dataclasses
from collections import defaultdict
from functools import partial
from typing import Any, ClassVar

import apache_beam as beam
from apache_beam.coders import BytesCoder

from beam_pipeline.config import Config
from beam_pipeline.io.lines import holds_message, message_from_line
from beam_pipeline.io.pubsub import (
    ReadFromPubSub,
    ReadWithinQuotas,
    WriteToTopic,
    on_arrival,
)
from beam_pipeline.io.writers import WriteArchive, WriteLines, WriteTable
from beam_pipeline.tables import table_schema
from transforms import coders  # noqa: F401 - registers the records'
from transforms.outcomes import dead_letter_row, prediction_line, prediction_row
from transforms.quotas import AdmitTenants
from transforms.records import Message, Scored


@dataclasses.dataclass(frozen=True, kw_only=True)
class Endpoints:
    """One read of Messages; a write of Scored items, and one of DeadLetters."""

    read: beam.PTransform
    predictions: beam.PTransform
    dead_letters: beam.PTransform


def cloud_ends(config: Config) -> Endpoints:
    """Pub/Sub as Dataflow reads it itself; BigQuery and GCS."""
    read = ReadFromPubSub(subscription=config.input_subscription)
    overflow = WriteToTopic(topic=config.overflow_topic)
    return _tables(config, _within_quotas(config, read, overflow))


def emulator_ends(config: Config) -> Endpoints:
    """The same for an engine that cannot read Pub/Sub itself (Prism).

    It keeps all in memory, so a message is acked only when its outcome is stored.
    """
    # Imported here: the worker image of the cloud has no local stack.
    from beam_pipeline.io.pubsub_sink import PublishMessages
    from beam_pipeline.io.pubsub_source import AckMessages, ReadFromSubscription

    read = ReadFromSubscription(
        subscription=config.input_subscription,
        readers=config.readers,
        max_records_per_bundle=config.bundle_messages,
    )
    ack = AckMessages(subscription=config.input_subscription)
    overflow = Then(first=PublishMessages(topic=config.overflow_topic), then=ack)
    ends = _tables(config, _within_quotas(config, read, overflow))
    return dataclasses.replace(
        ends,
        predictions=Then(first=ends.predictions, then=ack),
        dead_letters=Then(first=ends.dead_letters, then=ack),
    )


def file_ends(config: Config) -> Endpoints:
    """JSON Lines in; JSON Lines and Parquet out; no server at all."""
    return Endpoints(
        read=ReadFromLines(pattern=config.input_file),
        predictions=WriteScored(
            lines=WriteLines(to_row=prediction_line, prefix=f"{config.output}/predictions"),
            archive=WriteArchive(prefix=config.archive),
        ),
        dead_letters=WriteLines(to_row=dead_letter_row, prefix=f"{config.output}/dead_letters"),
    )


def memory_ends(messages: list[Message]) -> Endpoints:
    """Messages from a list; what comes out is found in Collect.records."""
    return Endpoints(
        read=beam.Create(messages, reshuffle=False).with_output_types(Message),
        predictions=Collect(name="predictions"),
        dead_letters=Collect(name="dead_letters"),
    )


def _within_quotas(
    config: Config, read: beam.PTransform, overflow: beam.PTransform
) -> beam.PTransform:
    """The reading end, with quotas where the configuration has a topic for what they turn away."""
    if not config.overflow_topic:
        return read
    return ReadWithinQuotas(read=read, admit=AdmitTenants(quota=config.quota), overflow=overflow)


def _tables(config: Config, read: beam.PTransform) -> Endpoints:
    write = partial(WriteTable, rejects=f"{config.dead_letters}/rejected-rows")
    return Endpoints(
        read=read,
        predictions=write(
            to_row=prediction_row,
            table=config.predictions_table,
            schema=table_schema("predictions"),
        ),
        dead_letters=write(
            to_row=dead_letter_row,
            table=config.dead_letters_table,
            schema=table_schema("dead_letters"),
        ),
    )


@dataclasses.dataclass(eq=False, kw_only=True)
class ReadFromLines(beam.PTransform):
    """Messages of JSON Lines files, one a line, with the time of reading as timestamp.

    Blank lines are no messages.
    """

    pattern: str

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection[Message]:
        return (
            pipeline
            | "Lines" >> beam.io.ReadFromText(self.pattern, coder=BytesCoder())
            | "NotBlank" >> beam.Filter(holds_message)
            | "ToMessage" >> beam.Map(message_from_line).with_output_types(Message)
            | "Stamp" >> beam.Map(on_arrival).with_output_types(Message)
        )


@dataclasses.dataclass(eq=False, kw_only=True)
class Then(beam.PTransform):
    """A writer, and what follows when it has written."""

    first: beam.PTransform
    then: beam.PTransform

    def expand(self, records: beam.PCollection) -> None:
        records | "Write" >> self.first | "Ack" >> self.then


@dataclasses.dataclass(eq=False, kw_only=True)
class WriteScored(beam.PTransform):
    """Scored items as lines, and with their features in the archive."""

    lines: beam.PTransform
    archive: beam.PTransform

    def expand(self, scored: beam.PCollection[Scored]) -> None:
        scored | "Rows" >> self.lines
        scored | "Archive" >> self.archive


class _CollectDoFn(beam.DoFn):
    def __init__(self, name: str) -> None:
        self._name = name

    def process(self, record: Any) -> None:
        Collect.records[self._name].append(record)


@dataclasses.dataclass(eq=False, kw_only=True)
class Collect(beam.PTransform):
    """Append records to `Collect.records[name]`; only where the runner shares our process."""

    name: str
    records: ClassVar[dict[str, list[Any]]] = defaultdict(list)

    def expand(self, records: beam.PCollection) -> None:
        records | "Append" >> beam.ParDo(_CollectDoFn(self.name))
