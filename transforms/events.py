"""Parse: messages enter; valid items leave, and a dead letter for each other one.

The release that will score an item is chosen here, once, and stamped on it;
so is the delivery id that its two halves are joined by.
"""

import dataclasses
import uuid
from collections.abc import Iterator
from typing import Literal, NamedTuple

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.typehints.decorators import no_annotations

from models.current_pointer import current_pointer
from models.failures import Failure, Reason, Stage, attempt
from transforms import coders  # noqa: F401 - registers the records'
from transforms.dead_letters import count_bug, counted
from transforms.parsing import Arrival, now_us, parse_item, reject
from transforms.records import DeadLetter, Item, Message

REJECTED = "rejected"


class _ParseDoFn(beam.DoFn):
    messages = Metrics.counter("testudo", "messages")
    canary_items = Metrics.counter("testudo", "canary_items")
    pointer_failures = Metrics.counter("testudo", "release_pointer_failures")

    def __init__(
        self, releases: str, refresh_s: float, max_bytes: int, *, keep_unknown: bool = True
    ) -> None:
        self._releases = releases
        self._refresh_s = refresh_s
        self._max_bytes = max_bytes
        self._keep_unknown = keep_unknown

    def setup(self) -> None:
        self._current = current_pointer(self._releases)
        self._current.get(self._refresh_s)  # without any the job fails, and no item

    def start_bundle(self) -> None:
        """A pointer stays in use until another one is read, and what that names is loaded."""
        self._pointer = self._current.get(self._refresh_s)
        if failures := self._current.new_failures():
            self.pointer_failures.inc(failures)

    def process(
        self, message: Message
    ) -> Iterator[Item | beam.pvalue.TaggedOutput[Literal["rejected"], DeadLetter]]:
        self.messages.inc()
        arrival = Arrival(uuid.uuid4().hex, now_us())
        item = count_bug(
            attempt(
                Stage.PARSE,
                Reason.BUG,
                parse_item,
                message,
                arrival,
                self._pointer,
                max_bytes=self._max_bytes,
                keep_unknown=self._keep_unknown,
            )
        )
        if isinstance(item, Failure):
            dead_letter = reject(message, arrival, item, keep_unknown=self._keep_unknown)
            yield beam.pvalue.TaggedOutput(REJECTED, counted(dead_letter))
            return
        if item.envelope.canary:
            self.canary_items.inc()
        yield item


class ParsedItems(NamedTuple):
    items: beam.PCollection[Item]
    dead_letters: beam.PCollection[DeadLetter]


@dataclasses.dataclass(eq=False, kw_only=True)
class ParseItems(beam.PTransform):
    """Message -> Item, or DeadLetter for a message that breaks the contract.

    Which release scores which item is read from `releases`, anew every
    `refresh_s` seconds. With `keep_unknown` flat fields that no message has are the
    sender's own; else they break the contract.
    """

    releases: str
    refresh_s: float
    max_message_bytes: int
    keep_unknown: bool = True

    @no_annotations  # Beam understands only single PCollections there
    def expand(self, messages: beam.PCollection[Message]) -> ParsedItems:
        parsed = messages | "Stamp" >> beam.ParDo(
            _ParseDoFn(
                self.releases,
                self.refresh_s,
                self.max_message_bytes,
                keep_unknown=self.keep_unknown,
            )
        ).with_outputs(REJECTED, main="items")
        parsed["items"].element_type = Item
        parsed[REJECTED].element_type = DeadLetter
        return ParsedItems(parsed["items"], parsed[REJECTED])
