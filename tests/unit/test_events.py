"""Messages: what the schema asks, what a refusal says, and what an item is stamped with."""

import json
import string
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from builders import ARRIVAL, fields, message, rejection
from hypothesis import given
from hypothesis import strategies as st

from models.failures import Failure, Reason, Stage
from models.release import Pointer
from transforms.outcomes import rfc3339
from transforms.parsing import (
    EPOCH,
    MAX_ATTRIBUTES_CHARS,
    parse_item,
    parse_message,
    reject,
    time_us,
)
from transforms.records import Item

MAX_BYTES = 1_000_000
POINTER = Pointer(default="listings-a")
SECRET = "hush-7731"  # noqa: S105 - what must not be repeated


def refused(data: Any, *, keep_unknown: bool = True) -> tuple[Reason, str]:
    """Reason and detail that a message's data is refused with."""
    bytes_ = data if isinstance(data, bytes) else json.dumps(data).encode()
    rejected = rejection(
        lambda: parse_message(bytes_, max_bytes=MAX_BYTES, keep_unknown=keep_unknown)
    )
    return rejected.reason, rejected.detail


def parsed(changes: dict[str, Any], **attributes: str) -> Item:
    return parse_item(
        message(fields(**changes), **attributes), ARRIVAL, POINTER, max_bytes=MAX_BYTES
    )


@pytest.mark.parametrize(
    "valid",
    [
        fields(),
        fields(text=None, image="eA=="),
        fields(text="", image="eA=="),
        fields(text=" ", image_uri="gs://pictures/a/b c.jpg"),
        fields(item_id="A-z0_9.:", tenant_id="x" * 128),
        fields(text="x" * 100_000),
        fields(event_time="2026-11-24t08:00:00.5+01:00"),
    ],
)
def test_a_message_that_keeps_the_schema_is_taken(valid: dict[str, Any]) -> None:
    """Either side may be absent, or both be there; ids have five punctuation marks."""
    assert parse_message(json.dumps(valid).encode(), max_bytes=MAX_BYTES) == valid


@pytest.mark.parametrize(
    ("broken", "field"),
    [
        ([], "message"),
        (SECRET, "message"),
        (None, "message"),
        (fields(item_id=None), "item_id"),
        (fields(tenant_id=None), "tenant_id"),
        (fields(item_id=5), "item_id"),
        (fields(item_id=""), "item_id"),
        (fields(item_id=f"{SECRET} "), "item_id"),
        (fields(item_id=f"{SECRET}\n"), "item_id"),
        (fields(item_id="ä"), "item_id"),
        (fields(tenant_id="x" * 129), "tenant_id"),
        (fields(tenant_id=[SECRET]), "tenant_id"),
        (fields(text=None), "neither a text nor an image"),
        (fields(text=""), "neither a text nor an image"),
        (fields(text=" \n\t\u00a0\u3000"), "neither a text nor an image"),
        (fields(text={SECRET: SECRET}), "text"),
        (fields(text=SECRET * 20_000), "text"),
        (fields(image=""), "image"),
        (fields(image=7731), "image"),
        (fields(image="eA==", image_uri="gs://pictures/a"), "image and image_uri"),
        (fields(image_uri=f"https://{SECRET}/a"), "image_uri"),
        (fields(image_uri=f"gs://{SECRET}"), "image_uri"),
        (fields(image_uri=f"gs://UPPER/{SECRET}"), "image_uri"),
        (fields(image_uri=f"gs://pictures/a\n{SECRET}"), "image_uri"),
        (fields(image_uri="gs://pictures/" + SECRET * 200), "image_uri"),
        (fields(event_time=f"at {SECRET}"), "event_time"),
        (fields(event_time="2026-02-30T00:00:00Z"), "event_time"),
        (fields(event_time="2026-11-24"), "event_time"),
        (fields(event_time=1_770_000_000), "event_time"),
        (fields(**{SECRET: 1}), "fields: has a name of another form"),
        (fields(**{SECRET: [1]}), "a field whose name is not shown: is an array"),
        (fields(note=[SECRET]), "note"),
        (fields(fields=[SECRET]), "fields"),
        (fields(fields=SECRET), "fields"),
        (fields(fields={SECRET: 1}), "fields: has a name of another form"),
        (fields(fields={"note": [SECRET]}), "fields.note"),
        (fields(fields={"note": SECRET * 1_000}), "fields.note"),
        (fields(fields={"note": "x"}, note=SECRET), "note: stands in fields and beside it"),
    ],
)
def test_a_broken_rule_is_refused_by_its_field(broken: Any, field: str) -> None:
    """The detail names the field, and never repeats what the sender wrote."""
    reason, detail = refused(broken)
    assert reason == Reason.SCHEMA_VIOLATION
    assert field in detail
    assert SECRET not in detail
    assert "7731" not in detail


@pytest.mark.parametrize(
    "data",
    [
        b"",
        SECRET.encode(),
        json.dumps(fields(text=SECRET)).encode()[:-3],
        json.dumps(fields(text="x")).encode() + SECRET.encode(),
        b'{"item_id": "a", "tenant_id": "b", "text": "\xff"}',
        b'{"item_id": "a", "tenant_id": "b", "text": "\\ud800"}',
        b'{"item_id": "a", "tenant_id": "b", "text": NaN}',
        b"[" * 100_000,
    ],
    ids=range(8),
)
def test_what_is_not_json_is_refused_as_such(data: bytes) -> None:
    """Wrong UTF-8, lone surrogates, NaN and endless nesting are no JSON either."""
    reason, detail = refused(data)
    assert reason == Reason.NOT_JSON
    assert SECRET not in detail


def test_a_message_that_is_too_large_is_refused_unread() -> None:
    """The limit counts bytes, and is met exactly."""
    data = json.dumps(fields()).encode()
    assert parse_message(data, max_bytes=len(data)) == fields()
    rejected = rejection(lambda: parse_message(data, max_bytes=len(data) - 1))
    assert rejected.reason == Reason.MESSAGE_TOO_LARGE


@given(
    st.binary()
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(
        lambda value: json.dumps(value).encode()
    )
)
def test_whatever_arrives_is_refused_and_never_a_bug(data: bytes) -> None:
    """No bytes make the parser raise anything but a reason."""
    assert refused(data)[0] in {Reason.NOT_JSON, Reason.SCHEMA_VIOLATION}


@given(st.text(alphabet=string.ascii_letters + string.digits + "_.:-", min_size=1, max_size=128))
def test_every_id_of_the_alphabet_is_taken(item_id: str) -> None:
    """1 to 128 characters of it, in any order."""
    assert parsed({"item_id": item_id}).envelope.item_id == item_id


def test_the_schema_file_is_what_the_docs_may_quote() -> None:
    """The published schema describes every field that a message may have."""
    schema = json.loads(Path("transforms/message.schema.json").read_text(encoding="utf-8"))
    assert set(schema["properties"]) == {
        "item_id",
        "tenant_id",
        "text",
        "image",
        "image_uri",
        "event_time",
        "fields",
    }
    assert all(one["description"] for one in schema["properties"].values())


def test_an_item_carries_what_arrived_and_what_it_was_given() -> None:
    """Ids and sides come from the data, delivery and release from the pipeline."""
    item = parsed({"image": "eA==", "item_id": "mug-1"}, item_id="ignored", trace="t-1")
    assert (item.text, item.image_base64, item.image_uri) == ("a red mug", "eA==", "")
    assert item.envelope.item_id == "mug-1"
    assert item.envelope.delivery == ARRIVAL.delivery
    assert item.envelope.received_us == ARRIVAL.received_us
    assert item.envelope.release == "listings-a"
    assert item.envelope.message_id == "message-1"
    assert json.loads(item.envelope.attributes_json) == {"item_id": "ignored", "trace": "t-1"}


def test_the_event_time_is_the_senders_or_else_the_publish_time() -> None:
    """An item without `event_time` came about when it was published."""
    with_time = parsed({"event_time": "2026-11-24T08:00:00.000001+01:00"}).envelope
    assert rfc3339(with_time.event_time_us) == "2026-11-24T07:00:00.000001+00:00"
    assert with_time.publish_time_us == 1_770_000_000_000_000
    assert parsed({}).envelope.event_time_us == 1_770_000_000_000_000


REPLAYED = "2026-01-02T03:04:05.000006+00:00"


def test_a_replay_keeps_its_place_in_time() -> None:
    """Its event time is the attribute's, where the data has none; the row has it, once."""
    envelope = parsed({}, testudo_event_time=REPLAYED, trace="t-1").envelope
    assert rfc3339(envelope.event_time_us) == REPLAYED
    assert envelope.publish_time_us == 1_770_000_000_000_000
    assert json.loads(envelope.attributes_json) == {"trace": "t-1"}
    own = {"event_time": "2026-11-24T08:00:00Z"}
    envelope = parsed(own, testudo_event_time=REPLAYED).envelope
    assert rfc3339(envelope.event_time_us) == "2026-11-24T08:00:00.000000+00:00"


@pytest.mark.parametrize(
    "nonsense", ["", "yesterday", "2026-11-24", "2016-12-31T23:59:60Z", "0000-06-01T00:00:00Z"]
)
def test_an_attribute_that_is_no_time_is_none(nonsense: str) -> None:
    """Anybody can set it."""
    envelope = parsed({}, testudo_event_time=nonsense).envelope
    assert envelope.event_time_us == envelope.publish_time_us


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (fields(text=5, event_time="2026-11-24T08:00:00Z"), "2026-11-24T08:00:00.000000+00:00"),
        (fields(text=5), REPLAYED),
        (fields(event_time="yesterday"), REPLAYED),
        (fields(event_time=5), REPLAYED),
        ([], REPLAYED),
        (b"{", REPLAYED),
    ],
)
def test_a_dead_letter_has_the_event_time_that_was_given(data: Any, expected: str) -> None:
    """The data's, else the replay's: a broken version is older or newer as a whole one is."""
    bytes_ = data if isinstance(data, bytes) else json.dumps(data).encode()
    failure = Failure(Stage.PARSE, refused(bytes_)[0], "x")
    letter = reject(message(bytes_, testudo_event_time=REPLAYED), ARRIVAL, failure)
    assert rfc3339(letter.envelope.event_time_us) == expected


@pytest.mark.parametrize(
    "beyond",
    [
        "2016-12-31T23:59:60Z",
        "0000-06-01T00:00:00Z",
        "9999-12-31T23:59:59-01:00",
        "0001-01-01T00:00:00+01:00",
    ],
)
def test_a_time_that_no_table_can_store_is_refused(beyond: str) -> None:
    """Leap seconds and years outside 1 to 9999 (in UTC) are RFC 3339, and no TIMESTAMP."""
    rejected = rejection(lambda: parsed({"event_time": beyond}))
    assert rejected.reason == Reason.SCHEMA_VIOLATION
    assert "event_time" in rejected.detail


@given(st.datetimes(timezones=st.timezones()))
def test_times_survive_to_the_microsecond(moment: datetime) -> None:
    """What is parsed is the moment that was sent, and is written as that moment."""
    try:
        expected = moment.astimezone(UTC)
    except OverflowError:
        return  # of the years 0 or 10000 in UTC
    parsed_us = time_us(expected.isoformat())
    assert EPOCH + timedelta(microseconds=parsed_us) == expected
    assert datetime.fromisoformat(rfc3339(parsed_us)) == expected


@pytest.mark.parametrize(
    ("attribute", "attempt"), [("3", 3), ("", 1), ("-2", 1), ("two", 1), ("9" * 30, 1)]
)
def test_the_attempt_is_read_from_its_attribute(attribute: str, attempt: int) -> None:
    """A replay counts up; nonsense in the attribute counts as the first attempt."""
    assert parsed({}, testudo_attempt=attribute).envelope.attempt == attempt
    assert parsed({}).envelope.attempt == 1


def test_long_attributes_are_cut() -> None:
    """Attributes cross the join, so their length is bounded."""
    item = parsed({}, baggage="x" * 50_000)
    assert len(item.envelope.attributes_json) == MAX_ATTRIBUTES_CHARS


def rejected_ids(data: Any, reason: Reason, **attributes: str) -> tuple[str, str]:
    failure = Failure(Stage.PARSE, reason, "x")
    named = reject(message(data, **attributes), ARRIVAL, failure).envelope
    return named.item_id, named.tenant_id


@pytest.mark.parametrize("reason", [Reason.NOT_JSON, Reason.MESSAGE_TOO_LARGE])
def test_a_message_that_was_not_read_is_named_by_its_attributes(reason: Reason) -> None:
    """They are all that names the item; what is no id is left out."""
    failure = Failure(Stage.PARSE, reason, "x")
    named = reject(message(b"{", item_id="mug-1", tenant_id="acme"), ARRIVAL, failure)
    assert (named.envelope.item_id, named.envelope.tenant_id) == ("mug-1", "acme")
    assert named.envelope.release == ""
    assert named.failures == [failure]
    assert rejected_ids(b"{", reason) == ("", "")
    assert rejected_ids(b"{", reason, item_id="a b", tenant_id="acme") == ("", "acme")


@pytest.mark.parametrize(
    ("sent", "attributes", "ids"),
    [
        (fields(text=5), {}, ("item-1", "acme")),
        (fields(text=5), {"item_id": "other", "tenant_id": "other"}, ("item-1", "acme")),
        (fields(item_id="a b"), {"item_id": "mug-1"}, ("mug-1", "acme")),
        (fields(item_id="a b"), {}, ("", "acme")),
        (fields(item_id=None), {"item_id": "mug-1"}, ("mug-1", "acme")),
        (fields(item_id=12345), {}, ("12345", "acme")),
        (fields(item_id=True, tenant_id=1.5), {}, ("", "")),
        (fields(item_id=[["a"]], tenant_id="x" * 129), {}, ("", "")),
        (["item_id"], {"item_id": "mug-1"}, ("mug-1", "")),
    ],
)
def test_a_dead_letter_keeps_the_ids_of_the_data(
    sent: Any, attributes: dict[str, str], ids: tuple[str, str]
) -> None:
    """As an item does, each by itself; the attributes' where the data has no such id."""
    assert rejected_ids(sent, Reason.SCHEMA_VIOLATION, **attributes) == ids


ID_WANTED = "wanted is a text of 1 to 128 characters of A-Z a-z 0-9 . _ : -"


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (fields(item_id=12345), f'item_id: is a number; {ID_WANTED}, as "mug-1"'),
        (fields(tenant_id=7), f'tenant_id: is a number; {ID_WANTED}, as "acme"'),
        (fields(item_id=True), "item_id: is true or false; "),
        (fields(item_id=""), "item_id: is empty; "),
        (fields(item_id="a b"), "item_id: is a text of another form; "),
        (fields(item_id="x" * 129), "item_id: is a text of 129 characters; "),
        (fields(item_id=None), "item_id: is missing; "),
        ({"text": "x"}, "tenant_id: is missing; "),
        ({**fields(), "item_id": None}, "item_id: is missing; "),
        (fields(image=[1]), "image: is an array; "),
        (fields(text={"a": 1}), "text: is an object; "),
        (fields(text="x" * 100_001), "text: is a text of 100,001 characters; wanted is"),
        (fields(image_uri="https://a/b"), 'another form; wanted is a text of up to 1,300 '
         'characters, as "gs://bucket/mug.jpg"'),
        (fields(event_time=1_770_000_000), "event_time: is a number; wanted is RFC 3339 with a "
         'zone, as "2026-11-24T10:00:00Z"'),
        ([fields()], 'message: is an array; wanted is an object, as {"item_id": "mug-1"'),
    ],
)  # fmt: skip
def test_a_refusal_says_what_was_sent_and_what_is_wanted(sent: Any, said: str) -> None:
    """The field, the kind of what stands there, and an example."""
    assert said in refused(sent)[1]


def test_a_refusal_names_all_fields_that_are_wrong() -> None:
    """So that a sender is mended once."""
    sent = {"item_id": 5, "text": 7, "fields": {"size": {}, "brand": None}, "price": [1]}
    detail = refused(sent)[1]
    names = [one.split(":")[0] for one in detail.split("; ") if not one.startswith("wanted")]
    assert names == ["item_id", "text", "tenant_id", "fields.size", "price"]


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-24T10:00:00.123456", "2026-11-24T10:00:00.000+0000", "2026-11-24 10:00:00Z",
        "2026-11-24T10:00:00+01", "2026-11-24T24:00:00Z", "2026-11-24", "2026-11-24T10:00Z",
    ],
)  # fmt: skip
def test_a_time_of_another_form_is_refused_with_the_form(text: str) -> None:
    """As Python, Java and people write them: without a zone, a colon, seconds, a T."""
    rejected = rejection(lambda: parsed({"event_time": text}))
    assert rejected.reason == Reason.SCHEMA_VIOLATION
    assert rejected.detail.startswith("event_time: ")
    assert "2026-11-24T10:00:00Z" in rejected.detail
