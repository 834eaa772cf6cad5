"""Quotas: while messages wait, no tenant takes more than its share of the scoring.

Messages enter; those that are scored here leave, and apart from them the excess of
tenants that had more than their share, to be published to another topic. Only
attributes and times are looked at. Pub/Sub spreads a subscription's messages evenly
over the processes that read it, so what one process admits stands for what all admit:
no state is shared, nothing is shuffled. Why so stands in docs/decisions/0020.
"""

import dataclasses
import re
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.typehints.decorators import no_annotations
from apache_beam.utils.shared import Shared

from transforms import coders  # noqa: F401 - registers the records'
from transforms.records import Message
from transforms.settings import Quota

TENANT_ATTRIBUTE = "tenant_id"
OVERFLOWED_FROM = "testudo_overflowed_from"  # the id that the message had when it was published
FIRST_PUBLISHED = "testudo_first_published_us"
OVERFLOW = "overflow"

SLOT_S = 1
WINDOW_S = 10
# A tenant that sent no more than these in the window is nobody's wild neighbour.
LEAST_MESSAGES = 30
# Of a slot. A tenant beyond it is not counted, and so has no excess: in the next slot it may be.
MAX_TENANTS = 1_000

# Pub/Sub's limits of a message, and of a publish request, with room for what frames 1,000 messages.
MAX_ATTRIBUTES = 100
MAX_REQUEST_BYTES = 10_000_000 - 10_000
RESERVED = "goog"  # attributes that Pub/Sub sets itself, and refuses from a sender
LONGEST_WAIT_US = 31 * 24 * 3600 * 1_000_000  # as long as Pub/Sub keeps a message
TIME_US = re.compile("[0-9]{1,16}")


class _Slot:
    """The messages admitted in one second: of all tenants, and of each."""

    def __init__(self, begin_s: int) -> None:
        self.begin_s = begin_s
        self.admitted = 0
        self.of_tenants: dict[str, int] = {}


class Admission:
    """Decides for one process, message by message, over the last ten seconds.

    A tenant has an excess when at least LEAST_MESSAGES of it were admitted, and they
    are its share of all that were. Safe to use from several threads.
    """

    def __init__(self, quota: Quota) -> None:
        self._quota = quota
        self._slots: deque[_Slot] = deque()
        self._lock = threading.Lock()

    def admits(self, tenant_id: str, *, waited_s: float, now_s: float) -> bool:
        """Whether a message that waited so long is to be scored here; `now_s` never goes back."""
        with self._lock:
            slot = self._slot(now_s)
            if waited_s > self._quota.after_s and self._has_excess(tenant_id):
                return False
            slot.admitted += 1
            if tenant_id in slot.of_tenants or len(slot.of_tenants) < MAX_TENANTS:
                slot.of_tenants[tenant_id] = slot.of_tenants.get(tenant_id, 0) + 1
            return True

    def _has_excess(self, tenant_id: str) -> bool:
        admitted = sum(slot.admitted for slot in self._slots)
        of_tenant = sum(slot.of_tenants.get(tenant_id, 0) for slot in self._slots)
        return of_tenant >= max(LEAST_MESSAGES, self._quota.share * admitted)

    def _slot(self, now_s: float) -> _Slot:
        """The slot of this moment; of the last one, where another thread was faster."""
        begin_s = int(now_s) // SLOT_S * SLOT_S
        if not self._slots or self._slots[-1].begin_s < begin_s:
            self._slots.append(_Slot(begin_s))
        while self._slots[0].begin_s <= self._slots[-1].begin_s - WINDOW_S:
            self._slots.popleft()
        return self._slots[-1]


def overflow_attributes(message: Message) -> dict[str, str]:
    """The attributes with which a message's data is published to the overflow topic.

    Its own, and when and as what it was first published; these are left out
    where Pub/Sub's limits have no room for them, lest it never takes the message.
    """
    kept = {k: text for k, text in message.attributes.items() if not k.startswith(RESERVED)}
    marked = kept | {
        OVERFLOWED_FROM: message.message_id,
        FIRST_PUBLISHED: str(message.publish_time_us),
    }
    size_bytes = len(message.data) + sum(
        len(name.encode()) + len(text.encode()) for name, text in marked.items()
    )
    fits = len(marked) <= MAX_ATTRIBUTES and size_bytes <= MAX_REQUEST_BYTES
    return marked if fits else kept


def as_first_published(message: Message) -> Message:
    """A message as it was before it was sent to the overflow topic.

    A sender may write such attributes too: a time is taken only if it lies in the
    31 days before the message was published, and no other is an error.
    """
    if not message.attributes.keys() & {FIRST_PUBLISHED, OVERFLOWED_FROM}:
        return message
    attributes: Mapping[str, str] = {
        name: text
        for name, text in message.attributes.items()
        if name not in (FIRST_PUBLISHED, OVERFLOWED_FROM)
    }
    text = message.attributes.get(FIRST_PUBLISHED, "")
    first_us = int(text) if TIME_US.fullmatch(text) else message.publish_time_us
    if not 0 <= message.publish_time_us - first_us <= LONGEST_WAIT_US:
        first_us = message.publish_time_us
    return message._replace(attributes=attributes, publish_time_us=first_us)


class _AdmitDoFn(beam.DoFn):
    overflowed = Metrics.counter("testudo", "overflowed_messages")

    def __init__(self, quota: Quota) -> None:
        self._quota = quota
        self._shared = Shared()

    def setup(self) -> None:
        """One admission a process: a worker's threads have an instance each."""
        self._admission: Admission = self._shared.acquire(self._new)

    def process(
        self, message: Message
    ) -> Iterator[Message | beam.pvalue.TaggedOutput[Literal["overflow"], Message]]:
        tenant_id = message.attributes.get(TENANT_ATTRIBUTE, "")
        # Against Pub/Sub's clock; the seconds are counted by one that no correction moves.
        waited_s = time.time() - message.publish_time_us / 1e6
        if self._admission.admits(tenant_id, waited_s=waited_s, now_s=time.monotonic()):
            yield message
            return
        self.overflowed.inc()
        yield beam.pvalue.TaggedOutput(OVERFLOW, message)

    def _new(self) -> Admission:
        return Admission(self._quota)


class AdmittedMessages(NamedTuple):
    messages: beam.PCollection[Message]
    overflow: beam.PCollection[Message]


@dataclasses.dataclass(eq=False, kw_only=True)
class AdmitTenants(beam.PTransform):
    """Message -> Message, or its tenant's excess: each message is in one of the two."""

    quota: Quota

    @no_annotations  # Beam understands only single PCollections there
    def expand(self, messages: beam.PCollection[Message]) -> AdmittedMessages:
        admitted = messages | "Decide" >> beam.ParDo(_AdmitDoFn(self.quota)).with_outputs(
            OVERFLOW, main="messages"
        )
        admitted["messages"].element_type = Message
        admitted[OVERFLOW].element_type = Message
        return AdmittedMessages(admitted["messages"], admitted[OVERFLOW])
