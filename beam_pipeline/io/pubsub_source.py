"""Read a Pub/Sub subscription on engines that have no Pub/Sub read of their own.

Enters: nothing. Leaves: one `Message` a delivery, its timestamp the time of
arrival. Guaranteed: at least once, to the outcome. A message is acked by
`AckMessages`, when its outcome is stored, and not when the engine has taken it:
such an engine keeps everything in memory, and what it loses comes back.
"""

import re
import time
from dataclasses import dataclass, field

import apache_beam as beam
from apache_beam.coders import Coder, registry
from apache_beam.io.unbounded_source import (
    CheckpointMark,
    ReadFromUnboundedSource,
    UnboundedReader,
    UnboundedSource,
)
from apache_beam.utils.timestamp import MAX_TIMESTAMP, Timestamp
from google.pubsub_v1.types import ReceivedMessage

from beam_pipeline.io.deliveries import close_pull, is_draining, open_pull, settle
from transforms import coders  # noqa: F401 - registers the records'
from transforms.quotas import as_first_published
from transforms.records import Message


@dataclass(frozen=True)
class PubSubSource(UnboundedSource):
    """A subscription, by its full path, as an unbounded source.

    `max_messages` and `max_bytes` bound what one process holds at a time:
    messages waiting here, and messages read whose outcome is not yet stored.
    """

    subscription: str
    max_messages: int = 1000
    max_bytes: int = 64 * 2**20
    readers: int = 1

    def split(
        self, desired_num_splits: int, options: object | None = None
    ) -> list["UnboundedSource"]:
        """The whole source, once a reader: one puller feeds all readers of a process."""
        return [self] * self.readers

    def create_reader(
        self, options: object | None, checkpoint_mark: CheckpointMark | None
    ) -> "_Reader":
        """A reader of what Pub/Sub sends next; where another one stopped is Pub/Sub's to know."""
        return _Reader(self)

    def get_checkpoint_mark_coder(self) -> Coder:
        return _MarkCoder()

    def default_output_coder(self) -> Coder:
        return registry.get_coder(Message)


@dataclass(frozen=True)
class _Mark(CheckpointMark):
    """Where a reader stopped: nothing to know, since Pub/Sub knows it."""

    def finalize_checkpoint(self) -> None:
        """That the engine has taken a bundle settles none of its messages."""


class _MarkCoder(Coder):
    """No bytes at all: one mark is as good as another. Beam's usual one unpickles."""

    def encode(self, value: _Mark) -> bytes:
        return b""

    def decode(self, encoded: bytes) -> _Mark:
        return _Mark()

    def is_deterministic(self) -> bool:
        return True


_BEGAN_S = time.time() - time.monotonic()


def _now() -> Timestamp:
    """The time, which no correction of the system's clock sets back: a message would be late."""
    return Timestamp(_BEGAN_S + time.monotonic())


class _Reader(UnboundedReader):
    """Reads what the process's puller holds; nothing here waits."""

    def __init__(self, source: PubSubSource) -> None:
        self._pull = open_pull(source.subscription, source.max_messages, source.max_bytes)
        self._current: ReceivedMessage | None = None
        self._uncommitted: list[str] = []  # ack ids
        self._watermark = _now()
        self._closed = False

    def start(self) -> bool:
        return self.advance()

    def advance(self) -> bool:
        self._current = self._pull.next()
        self._watermark = max(self._watermark, _now())
        if self._current is None:
            return False
        self._uncommitted.append(self._current.ack_id)
        return True

    def get_current(self) -> Message:
        if self._current is None:
            raise LookupError("no message was read")
        message = self._current.message
        return as_first_published(
            Message(
                data=message.data,
                attributes=dict(message.attributes),
                message_id=message.message_id,
                publish_time_us=Timestamp.from_utc_datetime(message.publish_time).micros,
            )
        )

    def get_current_timestamp(self) -> Timestamp:
        return self._watermark

    def get_watermark(self) -> Timestamp:
        """The time of the last look: every later message is stamped at it or after it.

        Drained, it is the end of time, by which Beam knows the source's end.
        """
        if is_draining() and not self._uncommitted:
            return MAX_TIMESTAMP
        return self._watermark

    def get_checkpoint_mark(self) -> _Mark:
        self._uncommitted = []  # from here they are the bundle's
        return _Mark()

    def close(self) -> None:
        """Give back what was read and not committed; the last reader ends the pull."""
        if self._closed:
            return
        self._closed = True
        close_pull(self._pull, self._uncommitted)


@dataclass(eq=False, kw_only=True)
class ReadFromSubscription(beam.PTransform):
    """Messages of one Pub/Sub subscription, as `Message`, at least once.

    A reader's part of a bundle ends after `max_records_per_bundle` messages, after
    `max_read_time_s`, or when nothing is there; an empty subscription is looked
    at again after `poll_interval_s`. Smaller bundles mean less latency and more
    overhead. An engine may run the bundles of several `readers` at once.
    `AckMessages` of the same process has to settle what is read.
    Needs `--experiments=prism_disable_sdf_split` on Prism.
    """

    subscription: str
    max_messages: int = 1000
    max_bytes: int = 64 * 2**20
    readers: int = 1
    max_records_per_bundle: int = 100
    max_read_time_s: float = 1.0
    poll_interval_s: float = 0.2
    _source: PubSubSource = field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__init__()
        if not re.fullmatch("projects/[^/]+/subscriptions/[^/]+", self.subscription):
            raise ValueError(
                f"subscription must be projects/PROJECT/subscriptions/NAME, not {self.subscription}"
            )
        if min(self.max_messages, self.max_bytes, self.readers) < 1:
            raise ValueError("max_messages, max_bytes and readers must be at least 1")
        self._source = PubSubSource(
            self.subscription, self.max_messages, self.max_bytes, self.readers
        )

    def expand(self, pbegin: beam.pvalue.PBegin) -> beam.PCollection[Message]:
        return pbegin | "Pull" >> ReadFromUnboundedSource(
            self._source,
            poll_interval=self.poll_interval_s,
            max_records_per_bundle=self.max_records_per_bundle,
            max_read_time_seconds=self.max_read_time_s,
        )


class _AckDoFn(beam.DoFn):
    def __init__(self, subscription: str) -> None:
        self._subscription = subscription

    def start_bundle(self) -> None:
        self._message_ids: list[str] = []

    def process(self, message_id: str) -> None:
        self._message_ids.append(message_id)

    def finish_bundle(self) -> None:
        settle(self._subscription, self._message_ids)


@dataclass(eq=False, kw_only=True)
class AckMessages(beam.PTransform):
    """Ids of messages whose outcomes are stored -> nothing; they are acked."""

    subscription: str

    def expand(self, message_ids: beam.PCollection[str]) -> None:
        message_ids | "Settle" >> beam.ParDo(_AckDoFn(self.subscription))
