"""A sender's own fields: which are taken, what a refusal says, and how they reach a row."""

import json
import time
from typing import Any

import pytest
from builders import ARRIVAL, fields, message, rejection
from hypothesis import given
from hypothesis import strategies as st

from models.failures import Failure, Reason, Rejected, Stage
from models.release import Pointer
from transforms.own_fields import MAX_BYTES, MAX_NAMES, MAX_TEXT_CHARS, as_json
from transforms.parsing import (
    fields_problem,
    message_schema,
    parse_item,
    parse_message,
    reject,
)

POINTER = Pointer(default="listings-a")
VALUE = "wanted is a number, a text of up to 1,000 characters, or true or false"
LONGEST_NAME = "n" * 64
ITEM = {"item_id": "item-1", "tenant_id": "acme", "text": "a red mug"}


def own(sent: dict[str, Any], *, keep_unknown: bool = True) -> Any:
    """The own fields of a message's item."""
    item = parse_item(
        message({**ITEM, **sent}), ARRIVAL, POINTER, max_bytes=1_000_000, keep_unknown=keep_unknown
    )
    text = item.envelope.fields_json
    return json.loads(text) if text else None


def refused(sent: dict[str, Any], *, keep_unknown: bool = True) -> str:
    """The detail that a message is refused with."""
    data = json.dumps({**ITEM, **sent}).encode()
    rejected = rejection(
        lambda: parse_message(data, max_bytes=100_000_000, keep_unknown=keep_unknown)
    )
    assert rejected.reason == Reason.SCHEMA_VIOLATION
    return rejected.detail


@pytest.mark.parametrize(
    "given_fields",
    [
        {"price": 3},
        {"price": 3.5, "brand": "Ofen & Söhne", "used": False, "_x9": ""},
        {"text": "another text", "item_id": 7, "fields": True},
        {LONGEST_NAME: "x" * MAX_TEXT_CHARS},
        {f"n{number}": number for number in range(MAX_NAMES)},
        {"large": 2**63, "small": -(2**63), "tiny": 5e-324, "huge": 1.7e308},
    ],
)
def test_numbers_texts_and_booleans_reach_the_envelope(given_fields: dict[str, Any]) -> None:
    """As they were sent, whatever they are called, up to each limit; in both modes."""
    for keep_unknown in (True, False):
        assert own({"fields": given_fields}, keep_unknown=keep_unknown) == given_fields


def test_fields_are_compact_json_with_sorted_names() -> None:
    """So that equal fields are equal texts in the table."""
    sent = message({**ITEM, "fields": {"b": 1.0, "a": "\x00é", "c": True}})
    envelope = parse_item(sent, ARRIVAL, POINTER, max_bytes=10_000).envelope
    assert envelope.fields_json == '{"a":"\\u0000é","b":1.0,"c":true}'
    assert as_json({}) == ""


@pytest.mark.parametrize("sent", [{}, {"fields": None}, {"fields": {}}, {"fields": {"a": None}}])
def test_an_item_may_have_none(sent: dict[str, Any]) -> None:
    """Nothing, null, an empty object and one of nulls are the same."""
    assert own(sent) is None


def test_null_is_absent_everywhere() -> None:
    """An id that is null is missing, a text that is null is none, and a null field is left out."""
    sent = {"text": None, "image": "eA==", "image_uri": None, "event_time": None, "color": None}
    for keep_unknown in (True, False):
        item = parse_item(
            message({**ITEM, **sent, "fields": {"a": None, "b": 1}}),
            ARRIVAL, POINTER, max_bytes=10_000, keep_unknown=keep_unknown,
        )  # fmt: skip
        assert (item.text, item.image_base64, item.image_uri) == ("", "eA==", "")
        assert item.envelope.event_time_us == item.envelope.publish_time_us
        assert item.envelope.fields_json == '{"b":1}'
    assert refused({"item_id": None}).startswith("item_id: is missing; wanted is ")
    assert refused({"text": None}) == "message: has neither a text nor an image"


TOO_MANY = {f"n{number}": 1 for number in range(MAX_NAMES + 1)}
TOO_LARGE = {f"n{number}": "x" * 999 for number in range(10)}
OBJECT = "wanted is an object of up to 64 numbers, texts, true or false, as "
NAME = "wanted are 1 to 64 characters of A-Z a-z 0-9 _, the first one no digit"


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (5, f"fields: is a number; {OBJECT}"),
        ([1], f"fields: is an array; {OBJECT}"),
        ("x", f"fields: is a text; {OBJECT}"),
        (True, f"fields: is true or false; {OBJECT}"),
        ({"size": [1, 2]}, f"fields.size: is an array; {VALUE}"),
        ({"size": {"w": 1}}, f"fields.size: is an object; {VALUE}"),
        ({"note": "x" * 1_001}, f"fields.note: is a text of 1,001 characters; {VALUE}"),
        ({"a": [], "b": {}, "c": [], "d": []}, f"fields.c: is an array; {VALUE}; and 1 more field"),
        ({"a b": 1}, f"fields: has a name of another form; {NAME}"),
        ({"": 1}, f"fields: has a name of another form; {NAME}"),
        ({"9a": 1}, f"fields: has a name of another form; {NAME}"),
        ({"a\n": 1}, f"fields: has a name of another form; {NAME}"),
        ({"größe": 1}, f"fields: has a name of another form; {NAME}"),
        ({LONGEST_NAME + "n": 1}, f"fields: has a name of another form; {NAME}"),
        (TOO_MANY, "fields: has 65 names; wanted are 64 at most"),
        (TOO_LARGE, "fields: take 10,071 bytes as JSON; wanted are 10,000 at most"),
    ],
)
def test_a_broken_rule_is_named_with_its_field(sent: Any, said: str) -> None:
    """What stands there, and what is wanted instead; in both modes."""
    assert said in refused({"fields": sent})
    assert said in refused({"fields": sent}, keep_unknown=False)
    assert said in fields_problem(sent)


def test_the_bytes_of_fields_are_counted_as_json_and_met_exactly() -> None:
    """In UTF-8, as they are stored: an accent is two, and a name has its quotes."""
    most = {f"n{number}": "é" * 400 for number in range(12)}
    most["rest"] = "x" * (MAX_BYTES - len(as_json(most).encode()) - len(',"rest":""'))
    assert own({"fields": most}) == most
    most["rest"] += "x"
    assert "fields: take 10,001 bytes as JSON" in refused({"fields": most})


def test_flat_fields_that_no_message_has_are_the_senders_own() -> None:
    """Beside those that stand under `fields` already."""
    sent = {"price": 3, "used": True, "brand": "Öfen", "fields": {"size": 2.5}}
    assert own(sent) == {"price": 3, "used": True, "brand": "Öfen", "size": 2.5}


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"sizes": [1]}, f"sizes: is an array; {VALUE}"),
        ({"__proto__": {"a": 1}}, f"__proto__: is an object; {VALUE}"),
        ({"a b": [1]}, f"a field whose name is not shown: is an array; {VALUE}"),
        ({"a b": 1}, f"fields: has a name of another form; {NAME}"),
        ({"note": "x" * 1_001}, f"fields.note: is a text of 1,001 characters; {VALUE}"),
        ({"price": 3, "fields": {"price": 3}}, "price: stands in fields and beside it; wanted is "
         "one of the two"),
        ({"a": [], "b": [], "c": [], "d": [], "e": []}, "; and 2 more fields"),
        ({"fields": [], "price": 3}, f"fields: is an array; {OBJECT}"),
        (TOO_MANY, "fields: has 65 names; wanted are 64 at most"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_refused_by_name(sent: dict[str, Any], said: str) -> None:
    """A nested value, a name of another form, and a name in both places."""
    assert said in refused(sent)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"price": 5}, "price: is no field of a message; it may have item_id, tenant_id, text, "
         "image, image_uri, event_time, fields, and your own under fields"),
        ({"sizes": [1]}, "sizes: is no field of a message; it may have "),
        ({"b": 1, "a": 2, "c": 3, "d": 4}, "a, b, c and 1 more: are no fields of a message; "),
        ({"a b": 1}, "message: has fields that no message has; it may have item_id, "),
    ],
)  # fmt: skip
def test_unknown_fields_are_refused_where_the_flag_says_so(sent: dict[str, Any], said: str) -> None:
    """By name, with all that a message may have."""
    assert refused(sent, keep_unknown=False).startswith(said)


FLAT = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
VALUES = FLAT | st.text("x", min_size=990, max_size=1_010) | st.lists(FLAT, max_size=2)
NAMES = st.text("aZ_9 é\n", max_size=4) | st.text("n", min_size=63, max_size=66)
SOME = st.dictionaries(NAMES, VALUES, max_size=6) | st.dictionaries(
    st.text("abc", min_size=3, max_size=5), st.integers(0, 1), min_size=60, max_size=70
)


@given(SOME | VALUES)
def test_the_words_and_the_published_schema_agree(sent: Any) -> None:
    """There are words for what the schema refuses, and for nothing else but their bytes."""
    if isinstance(sent, dict):
        sent = {name: value for name, value in sent.items() if value is not None}
    taken = sent is None or message_schema().is_valid({**ITEM, "fields": sent})
    assert taken == (fields_problem(sent) == "")


@given(SOME, st.booleans())
def test_whatever_stands_beside_the_fields_is_kept_or_refused_in_words(
    beside: dict[str, Any], keep_unknown: bool
) -> None:
    """Nothing is lost but nulls, and nothing is taken that the published schema refuses."""
    data = json.dumps({**beside, **ITEM}).encode()
    try:
        parsed = parse_message(data, max_bytes=1_000_000, keep_unknown=keep_unknown)
    except Rejected as rejected:
        assert rejected.reason in {Reason.SCHEMA_VIOLATION, Reason.NOT_JSON}
        assert rejected.detail
    else:
        assert message_schema().is_valid(parsed)
        kept = {name for name, value in beside.items() if value is not None}
        assert parsed.get("fields", {}).keys() == kept


def test_many_wrong_fields_are_refused_in_no_time() -> None:
    """The validator would copy all of them into each error."""
    many = {f"a {number}": [1] for number in range(300_000)}
    started_s = time.process_time()
    for sent in ({"fields": many}, many):
        for keep_unknown in (True, False):
            assert len(refused(sent, keep_unknown=keep_unknown)) < 1_000
    assert time.process_time() - started_s < 8


def carried(sent: Any, *, keep_unknown: bool = True) -> str:
    failure = Failure(Stage.PARSE, Reason.SCHEMA_VIOLATION, "x")
    dead = reject(message(sent), ARRIVAL, failure, keep_unknown=keep_unknown)
    return dead.envelope.fields_json


def test_the_dead_letter_of_the_parser_has_the_fields_that_keep_the_rules() -> None:
    """Whatever else is wrong with the message; of fields that break one, none."""
    assert carried(fields(text=5, fields={"b": 1, "a": None})) == '{"b":1}'
    assert carried(fields(text=5, price=3)) == '{"price":3}'
    assert carried(fields(text=5, price=3), keep_unknown=False) == ""
    assert carried(fields(fields={"a": 1, "b": [1]})) == ""
    assert carried(fields(fields=5)) == ""
    assert carried([1]) == ""
    assert carried(fields(text=5)) == ""
    assert carried(b'{"fields": {"a": ' + b"[" * 900 + b"]" * 900 + b"}}") == ""
