"""Parse: messages enter; valid items leave, and a dead letter for each other one.

The release that will score an item is chosen here, once, and stamped on it;
so is the delivery id that its two halves are joined by.
"""

import dataclasses
import functools
import json
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any, Literal, NamedTuple

import apache_beam as beam
import jsonschema_rs
import orjson
from apache_beam.metrics import Metrics
from apache_beam.typehints.decorators import no_annotations

from models.failures import Failure, Reason, Rejected, Stage, attempt
from models.loaded import current_pointer
from models.release import Pointer
from transforms import coders  # noqa: F401 - registers the records'
from transforms.dead_letters import count_bug, counted
from transforms.records import DeadLetter, Envelope, Item, Message
from transforms.violations import NO_SIDE, violation

ATTEMPT_ATTRIBUTE = "testudo_attempt"
EVENT_TIME_ATTRIBUTE = "testudo_event_time"  # RFC 3339; a replay keeps its place in time by it
ATTEMPT = re.compile("[0-9]{1,9}")
ID = re.compile("[A-Za-z0-9._:-]{1,128}")  # as in the message schema
MAX_ATTRIBUTES_CHARS = 300  # twice they cross the join, in 2 KB an item at most
REJECTED = "rejected"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@functools.cache
def message_schema() -> Any:
    """The JSON Schema of a message's `data`, with its validator built once a process."""
    text = resources.files("transforms").joinpath("message.schema.json").read_text()
    return jsonschema_rs.validator_for(json.loads(text), validate_formats=True)


def parse_message(data: bytes, *, max_bytes: int) -> Mapping[str, Any]:
    """Return the fields of a valid message; of a field that is there twice, the last one.

    Raises Rejected: MESSAGE_TOO_LARGE; NOT_JSON (which includes wrong UTF-8 and
    lone surrogates); SCHEMA_VIOLATION, naming the field, what was sent and what is wanted.
    """
    if len(data) > max_bytes:
        raise Rejected(Reason.MESSAGE_TOO_LARGE, f"{len(data)} bytes, allowed are {max_bytes}")
    try:
        fields: Mapping[str, Any] = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Rejected(Reason.NOT_JSON, str(error)) from error
    try:
        problem = _problem(fields)
    except ValueError as error:  # the validator's own limit, 255 levels; an item has two
        raise Rejected(Reason.SCHEMA_VIOLATION, "message: is nested too deep") from error
    if problem:
        raise Rejected(Reason.SCHEMA_VIOLATION, problem)
    return fields


def _problem(fields: Any) -> str:
    """What breaks the schema, in words; empty for a valid message."""
    schema = message_schema()
    if not schema.is_valid(fields):
        return violation(fields, schema.iter_errors(fields))
    # Blank in Python, where U+001C to U+001F and U+0085 are, and not in the schema.
    blank = not (fields.keys() & {"image", "image_uri"} or fields["text"].strip())
    return NO_SIDE if blank else ""


def time_us(rfc3339: str) -> int:
    """Microseconds since 1970 of an RFC 3339 time.

    Raises Rejected: SCHEMA_VIOLATION, for a leap second and for a time before
    the year 1 or after 9999 in UTC, which no table could store.
    """
    try:
        moment = datetime.fromisoformat(rfc3339.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Rejected(
            Reason.SCHEMA_VIOLATION, "event_time: is a leap second, or not in the years 1 to 9999"
        ) from error
    return (moment - EPOCH) // timedelta(microseconds=1)


@functools.cache
def _date_time() -> Any:
    return jsonschema_rs.validator_for(
        {"type": "string", "format": "date-time"}, validate_formats=True
    )


def given_time_us(value: Any) -> int | None:
    """Microseconds since 1970 of what may be an RFC 3339 time that no schema was held against."""
    if not _date_time().is_valid(value):
        return None
    try:
        return time_us(value)
    except Rejected:
        return None


class Arrival(NamedTuple):
    """What the pipeline itself gives to a message when it arrives."""

    delivery: str
    received_us: int


def make_envelope(
    message: Message, arrival: Arrival, *, item_id: str, tenant_id: str, release: str
) -> Envelope:
    """The event time is a replay's attribute, or else the publish time."""
    attempt_text = message.attributes.get(ATTEMPT_ATTRIBUTE, "")
    event_time_us = given_time_us(message.attributes.get(EVENT_TIME_ATTRIBUTE))
    own = {name: text for name, text in message.attributes.items() if name != EVENT_TIME_ATTRIBUTE}
    return Envelope(
        delivery=arrival.delivery,
        item_id=item_id,
        tenant_id=tenant_id,
        release=release,
        message_id=message.message_id,
        event_time_us=message.publish_time_us if event_time_us is None else event_time_us,
        publish_time_us=message.publish_time_us,
        received_us=arrival.received_us,
        attempt=int(attempt_text) if ATTEMPT.fullmatch(attempt_text) else 1,
        payload_uri=message.payload_uri,
        attributes_json=json.dumps(own)[:MAX_ATTRIBUTES_CHARS],
    )


def parse_item(message: Message, arrival: Arrival, pointer: Pointer, *, max_bytes: int) -> Item:
    """One valid item, stamped with its release. Raises as `parse_message` does."""
    fields = parse_message(message.data, max_bytes=max_bytes)
    envelope = make_envelope(
        message,
        arrival,
        item_id=fields["item_id"],
        tenant_id=fields["tenant_id"],
        release=pointer.choose(fields["tenant_id"], fields["item_id"]),
    )
    envelope = envelope._replace(canary=envelope.release == pointer.canary)
    if "event_time" in fields:
        envelope = envelope._replace(event_time_us=time_us(fields["event_time"]))
    return Item(
        envelope=envelope,
        text=fields.get("text", ""),
        image_base64=fields.get("image", ""),
        image_uri=fields.get("image_uri", ""),
    )


def reject(message: Message, arrival: Arrival, failure: Failure) -> DeadLetter:
    """The dead letter of a message that is no item.

    Its ids and its event time are those of the JSON, as an item's are; its ids are the
    attributes' where it has none, or could not be read. What is no id is only in
    `attributes_json`.
    """
    unread = failure.reason in (Reason.MESSAGE_TOO_LARGE, Reason.NOT_JSON)
    carried = {} if unread else _fields_in(message.data)
    ids = _ids(message.attributes) | _ids(carried)
    envelope = make_envelope(
        message,
        arrival,
        item_id=ids.get("item_id", ""),
        tenant_id=ids.get("tenant_id", ""),
        release="",
    )
    event_time_us = given_time_us(carried.get("event_time"))
    if event_time_us is not None:
        envelope = envelope._replace(event_time_us=event_time_us)
    return DeadLetter(envelope, [failure], time.time_ns() // 1000)


def ids_in(data: bytes) -> dict[str, str]:
    """The ids that a message's JSON carries, by field, although it may be no item."""
    return _ids(_fields_in(data))


def _fields_in(data: bytes) -> Mapping[str, Any]:
    """The fields of data that may be anything; none of what is no JSON object."""
    try:
        fields = orjson.loads(data)
    except orjson.JSONDecodeError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _ids(fields: Mapping[str, Any]) -> dict[str, str]:
    """Those of item_id and tenant_id that are ids; a whole number is one by its digits."""
    found = {name: fields[name] for name in ("item_id", "tenant_id") if name in fields}
    texts = {name: str(one) if type(one) is int else one for name, one in found.items()}
    return {
        name: text for name, text in texts.items() if isinstance(text, str) and ID.fullmatch(text)
    }


class _ParseDoFn(beam.DoFn):
    messages = Metrics.counter("testudo", "messages")
    canary_items = Metrics.counter("testudo", "canary_items")
    pointer_failures = Metrics.counter("testudo", "release_pointer_failures")

    def __init__(self, releases: str, refresh_s: float, max_bytes: int) -> None:
        self._releases = releases
        self._refresh_s = refresh_s
        self._max_bytes = max_bytes

    def setup(self) -> None:
        self._current = current_pointer(self._releases)
        self._current.get(self._refresh_s)  # without any the job fails, and no item

    def start_bundle(self) -> None:
        """A pointer that cannot be read again stays in use."""
        self._pointer = self._current.get(self._refresh_s)
        if failures := self._current.new_failures():
            self.pointer_failures.inc(failures)

    def process(
        self, message: Message
    ) -> Iterator[Item | beam.pvalue.TaggedOutput[Literal["rejected"], DeadLetter]]:
        self.messages.inc()
        arrival = Arrival(uuid.uuid4().hex, time.time_ns() // 1000)
        item = count_bug(
            attempt(
                Stage.PARSE,
                Reason.BUG,
                parse_item,
                message,
                arrival,
                self._pointer,
                max_bytes=self._max_bytes,
            )
        )
        if isinstance(item, Failure):
            yield beam.pvalue.TaggedOutput(REJECTED, counted(reject(message, arrival, item)))
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
    `refresh_s` seconds.
    """

    releases: str
    refresh_s: float
    max_message_bytes: int

    @no_annotations  # Beam understands only single PCollections there
    def expand(self, messages: beam.PCollection[Message]) -> ParsedItems:
        parsed = messages | "Stamp" >> beam.ParDo(
            _ParseDoFn(self.releases, self.refresh_s, self.max_message_bytes)
        ).with_outputs(REJECTED, main="items")
        parsed["items"].element_type = Item
        parsed[REJECTED].element_type = DeadLetter
        return ParsedItems(parsed["items"], parsed[REJECTED])
