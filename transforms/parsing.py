"""Parsing without Beam: a message's bytes to an item, or to the dead letter that it becomes.

Commands that read messages use these too, so nothing here may wait for Beam's import.
"""

import functools
import json
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any, NamedTuple

import jsonschema_rs
import orjson

from models.failures import Failure, Reason, Rejected
from models.release import Pointer
from transforms.own_fields import FIELDS, as_json, gathered, own_problems
from transforms.records import DeadLetter, Envelope, Item, Message
from transforms.violations import NO_SIDE, WANTED, violation

ATTEMPT_ATTRIBUTE = "testudo_attempt"
EVENT_TIME_ATTRIBUTE = "testudo_event_time"  # RFC 3339; a replay keeps its place in time by it
ATTEMPT = re.compile("[0-9]{1,9}")
ID = re.compile("[A-Za-z0-9._:-]{1,128}")  # as in the message schema
MAX_ATTRIBUTES_CHARS = 300  # twice they cross the join, in 2 KB an item at most
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@functools.cache
def message_schema() -> Any:
    """The JSON Schema of a message's `data`, with its validator built once a process."""
    text = resources.files("transforms").joinpath("message.schema.json").read_text()
    return jsonschema_rs.validator_for(json.loads(text), validate_formats=True)


def parse_message(data: bytes, *, max_bytes: int, keep_unknown: bool = True) -> Mapping[str, Any]:
    """Return the fields of a valid message; of a field that is there twice, the last one.

    Nulls are left out. With `keep_unknown` flat fields that no message has are the sender's own,
    under `fields`; else they are refused.
    Raises Rejected: MESSAGE_TOO_LARGE; NOT_JSON (which includes wrong UTF-8 and
    lone surrogates); SCHEMA_VIOLATION, naming the field, what was sent and what is wanted.
    """
    if len(data) > max_bytes:
        raise Rejected(Reason.MESSAGE_TOO_LARGE, f"{len(data)} bytes, allowed are {max_bytes}")
    try:
        sent = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Rejected(Reason.NOT_JSON, str(error)) from error
    if not isinstance(sent, dict):
        raise Rejected(Reason.SCHEMA_VIOLATION, violation(sent, ()))
    fields = gathered(sent, keep_unknown=keep_unknown)
    try:
        problem = _problem(fields, keep_unknown)
    except ValueError as error:  # the validator's own limit, 255 levels; an item has two
        raise Rejected(Reason.SCHEMA_VIOLATION, "message: is nested too deep") from error
    if problem:
        raise Rejected(Reason.SCHEMA_VIOLATION, problem)
    return fields


def _problem(fields: Mapping[str, Any], keep_unknown: bool) -> str:
    """What breaks the schema, in words; empty for a valid message."""
    schema = message_schema()
    own = own_problems(fields, keep_unknown=keep_unknown)
    if own or not schema.is_valid(fields):
        # Without the own ones, of which each error of the validator would hold a copy.
        ours = {name: fields[name] for name in WANTED if name in fields and name != FIELDS}
        return violation(ours, schema.iter_errors(ours), own)
    # Blank in Python, where U+001C to U+001F and U+0085 are, and not in the schema.
    blank = not (fields.keys() & {"image", "image_uri"} or fields["text"].strip())
    return NO_SIDE if blank else ""


def fields_problem(own: Any) -> str:
    """What is wrong with `fields` of a message that is valid otherwise; empty where nothing is."""
    message = {"item_id": "mug-1", "tenant_id": "acme", "text": "a red mug", FIELDS: own}
    return _problem(gathered(message, keep_unknown=False), keep_unknown=False)


def parse_fields(text: str) -> tuple[dict[str, Any], str]:
    """A sender's own fields from JSON, without nulls, or else what is wrong with them."""
    try:
        own = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return {}, f"is no JSON ({error}); wanted is an object, as '{{\"price\": 3}}'"
    if problem := fields_problem(own):
        return {}, problem.removeprefix(f"{FIELDS}: ")
    return {name: value for name, value in own.items() if value is not None}, ""


def now_us() -> int:
    return time.time_ns() // 1000


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


def parse_item(
    message: Message,
    arrival: Arrival,
    pointer: Pointer,
    *,
    max_bytes: int,
    keep_unknown: bool = True,
) -> Item:
    """One valid item, stamped with its release. Raises as `parse_message` does."""
    fields = parse_message(message.data, max_bytes=max_bytes, keep_unknown=keep_unknown)
    envelope = make_envelope(
        message,
        arrival,
        item_id=fields["item_id"],
        tenant_id=fields["tenant_id"],
        release=pointer.choose(fields["tenant_id"], fields["item_id"]),
    )
    envelope = envelope._replace(
        canary=envelope.release == pointer.canary, fields_json=as_json(fields.get(FIELDS, {}))
    )
    if "event_time" in fields:
        envelope = envelope._replace(event_time_us=time_us(fields["event_time"]))
    return Item(
        envelope=envelope,
        text=fields.get("text", ""),
        image_base64=fields.get("image", ""),
        image_uri=fields.get("image_uri", ""),
    )


def reject(
    message: Message, arrival: Arrival, failure: Failure, *, keep_unknown: bool = True
) -> DeadLetter:
    """The dead letter of a message that is no item.

    Its ids, its event time and the sender's own fields are those of the JSON, as an item's
    are; its ids are the attributes' where it has none, or could not be read. What is no id is
    only in `attributes_json`, and fields that break a rule are nowhere.
    """
    unread = failure.reason in (Reason.MESSAGE_TOO_LARGE, Reason.NOT_JSON)
    carried = gathered({} if unread else _fields_in(message.data), keep_unknown=keep_unknown)
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
    own = carried.get(FIELDS, {})
    if not fields_problem(own):
        envelope = envelope._replace(fields_json=as_json(own))
    return DeadLetter(envelope, [failure], now_us())


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
