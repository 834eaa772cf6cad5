"""Reading and writing Pub/Sub as Dataflow does it itself, and quotas between the two."""

import dataclasses
import time

import apache_beam as beam
from apache_beam.io.gcp.pubsub import PubsubMessage
from apache_beam.utils.timestamp import Timestamp

from transforms import coders  # noqa: F401 - registers the records'
from transforms.parsing import now_us
from transforms.quotas import AdmitTenants, as_first_published, overflow_attributes
from transforms.records import Message

# The attribute that Dataflow de-duplicates by, for the ten minutes that it remembers.
ID_LABEL = "idempotency_key"


def message_from_pubsub(message: PubsubMessage) -> Message:
    """A delivery as Beam reads it; of an overflow topic, as it was first published."""
    published = message.publish_time
    return as_first_published(
        Message(
            data=message.data,
            attributes=dict(message.attributes or {}),
            message_id=message.message_id or "",
            publish_time_us=round(published.timestamp() * 1e6) if published else now_us(),
        )
    )


def overflow_message(message: Message) -> PubsubMessage:
    return PubsubMessage(message.data, overflow_attributes(message))


def on_arrival(
    message: Message, read: Timestamp = beam.DoFn.TimestampParam
) -> beam.window.TimestampedValue:
    """The message with the present time as its timestamp.

    A reader's own time (of Pub/Sub: the publishing) stands where this machine's clock is behind
    it: the watermark is never later than that, so no message is late from its beginning.
    """
    return beam.window.TimestampedValue(message, max(Timestamp(time.time()), read))


@dataclasses.dataclass(eq=False, kw_only=True)
class ReadFromPubSub(beam.PTransform):
    """Messages of a subscription, each with its time of arrival as timestamp."""

    subscription: str

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection[Message]:
        return (
            pipeline
            | "Pull"
            >> beam.io.ReadFromPubSub(
                subscription=self.subscription, id_label=ID_LABEL, with_attributes=True
            )
            | "ToMessage" >> beam.Map(message_from_pubsub).with_output_types(Message)
            | "Stamp" >> beam.Map(on_arrival).with_output_types(Message)
        )


@dataclasses.dataclass(eq=False, kw_only=True)
class ReadWithinQuotas(beam.PTransform):
    """The messages of `read` but for the excess of tenants, which goes to `overflow`."""

    read: beam.PTransform
    admit: AdmitTenants
    overflow: beam.PTransform

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection[Message]:
        # Not applied but expanded: its steps keep their names, with which a running job that
        # is updated to have quotas keeps what its reader remembers.
        admitted = self.read.expand(pipeline) | "Admit" >> self.admit
        admitted.overflow | "Overflow" >> self.overflow
        return admitted.messages


@dataclasses.dataclass(eq=False, kw_only=True)
class WriteToTopic(beam.PTransform):
    """Messages, published to a topic as Dataflow does it itself: at least once."""

    topic: str

    def expand(self, messages: beam.PCollection[Message]) -> None:
        (
            messages
            | "ToPubsub" >> beam.Map(overflow_message).with_output_types(PubsubMessage)
            | "Publish" >> beam.io.WriteToPubSub(self.topic, with_attributes=True)
        )
