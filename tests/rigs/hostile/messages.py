"""Messages whose JSON, ids, times, texts or base64 are wrong, odd or hostile."""

import base64
from collections.abc import Callable
from functools import partial

from loadtest.traffic import poison_files
from loadtest.traffic.poison import (
    POISON,
    Content,
    HostileKind,
    Place,
    as_json,
    changed,
    item,
    item_fields,
    literal,
    nested,
)  # fmt: skip
from models.failures import Reason

MAX_MESSAGE_BYTES = 10_000_000  # the pipeline's default, and Pub/Sub's own limit


def constant(data: bytes) -> Callable[[Place], Content]:
    return lambda _: Content(data)


def base64_changed(change: Callable[[str], str]) -> Callable[[Place], Content]:
    """An item with a good image, the base64 of which is changed."""
    text = partial(poison_files.saved, "PNG")
    return lambda place: Content(
        as_json(item_fields(place, image=change(base64.b64encode(text()).decode())))
    )


def _twice(data: bytes) -> bytes:
    return b'{"item_id": "another", "text": 5, ' + data[1:]


_ZALGO = "".join(letter + "\u0300\u0316\u0489" * 40 for letter in "he comes")
MESSAGES = (
    HostileKind("not_json", "plain words", Reason.NOT_JSON, constant(b"give me a mug")),
    HostileKind("cut_json", "JSON cut off", Reason.NOT_JSON, changed(lambda data: data[:-9])),
    HostileKind(
        "two_documents", "two JSON documents in a row", Reason.NOT_JSON,
        changed(lambda data: data * 2),
    ),
    POISON["utf16"],
    HostileKind(
        "latin1", "JSON in Latin-1, with an accent", Reason.NOT_JSON,
        changed(lambda data: data.replace(b"red", "ros\u00e9".encode("latin-1"))),
    ),
    HostileKind(
        "byte_order_mark", "JSON behind a byte order mark", Reason.NOT_JSON,
        changed(lambda data: b"\xef\xbb\xbf" + data),
    ),
    HostileKind("json_array", "an array", Reason.SCHEMA_VIOLATION, changed(lambda d: b"[%b]" % d)),
    HostileKind("json_number", "a number", Reason.SCHEMA_VIOLATION, constant(b"7")),
    HostileKind("json_null", "null", Reason.SCHEMA_VIOLATION, constant(b"null")),
    HostileKind("json_string", "a string", Reason.SCHEMA_VIOLATION, constant(b'"an item"')),
    POISON["nested"],
    HostileKind(
        "nested_deep", "100,000 arrays in one another", Reason.NOT_JSON, nested(100_000)
    ),
    HostileKind("duplicate_keys", "fields given twice: the last ones count", None, changed(_twice)),
    HostileKind("nan", "NaN for a number", Reason.NOT_JSON, literal('"text": NaN')),
    HostileKind("infinity", "Infinity for a number", Reason.NOT_JSON, literal('"text": Infinity')),
    HostileKind(
        "number_too_large", "a number beyond any double", Reason.NOT_JSON, literal('"text": 1e999')
    ),
    HostileKind(
        "wrong_types", "an id that is an array, a text that is an object", Reason.SCHEMA_VIOLATION,
        item(item_id=["a"], text={"a": 1}),
    ),
    HostileKind("no_item_id", "no item_id", Reason.SCHEMA_VIOLATION, item(item_id=None)),
    HostileKind("no_tenant_id", "no tenant_id", Reason.SCHEMA_VIOLATION, item(tenant_id=None)),
    HostileKind("no_side", "neither text nor image", Reason.SCHEMA_VIOLATION, item(text=None)),
    POISON["two_images"],
    HostileKind(
        "unknown_field", "a field that no message has: kept as the sender's own", None,
        item(admin=True),
    ),
    HostileKind(
        "unknown_prototype", "a nested field named `__proto__`", Reason.SCHEMA_VIOLATION,
        item(__proto__={"admin": True}),
    ),
    HostileKind(
        "unknown_script", "a field whose name is HTML", Reason.SCHEMA_VIOLATION,
        item(**{"<script>alert(1)</script>": 1}),
    ),
    HostileKind("nulls", "null for what an item need not have", None, literal(
        '"image": null, "image_uri": null, "event_time": null, "fields": {"a": null}, "b": null'
    )),
    HostileKind("id_null", "null for an id", Reason.SCHEMA_VIOLATION, literal('"item_id": null')),
    HostileKind(
        "fields_array", "own fields in an array", Reason.SCHEMA_VIOLATION, item(fields=[1])
    ),
    HostileKind(
        "fields_nested", "an own field that is an object", Reason.SCHEMA_VIOLATION,
        item(fields={"size": {"width": 1}}),
    ),
    HostileKind(
        "fields_names", "own fields with names of other forms", Reason.SCHEMA_VIOLATION,
        item(fields={"": 1, "a.b": 2, "9": 3, "$where": 4}),
    ),
    HostileKind(
        "fields_many", "100,000 own fields", Reason.SCHEMA_VIOLATION,
        lambda place: Content(as_json(item_fields(place, **{f"n{n}": n for n in range(100_000)}))),
    ),
    HostileKind(
        "fields_long", "an own field of 1 MB", Reason.SCHEMA_VIOLATION,
        item(fields={"note": "x" * 1_000_000}),
    ),
    HostileKind(
        "fields_large", "own fields of 20 KB, each within its limit", Reason.SCHEMA_VIOLATION,
        item(fields={f"n{n}": "x" * 1_000 for n in range(20)}),
    ),
    HostileKind(
        "fields_twice", "an own field under `fields` and beside it", Reason.SCHEMA_VIOLATION,
        item(price=1, fields={"price": 2}),
    ),
    HostileKind(
        "fields_number", "an own field beyond any double", Reason.NOT_JSON,
        literal('"fields": {"price": 1e999}'),
    ),
    HostileKind(
        "fields_escapes", "NULs, escapes, SQL, HTML and the names of columns in own fields", None,
        item(fields={"a": "\0\x1b[2J\r\n\x85'; DROP TABLE items; -- <script>alert(1)</script>",
                     "item_id": "another", "release": "another", "__proto__": 1}),
    ),
    HostileKind(
        "fields_integer", "a whole number of 60 digits in an own field", None,
        literal(f'"fields": {{"price": {"9" * 60}}}'),
    ),
    HostileKind(
        "id_characters", "an id with a space and an accent", Reason.SCHEMA_VIOLATION,
        item(item_id="an item\u00e9"),
    ),
    HostileKind(
        "id_long", "an id of 5,000 characters", Reason.SCHEMA_VIOLATION, item(item_id="x" * 5_000)
    ),
    HostileKind("id_empty", "an empty id", Reason.SCHEMA_VIOLATION, item(item_id="")),
    HostileKind(
        "id_path", "an id that is a path", Reason.SCHEMA_VIOLATION,
        item(item_id="../../etc/passwd"),
    ),
    HostileKind(
        "id_sql", "an id that is SQL", Reason.SCHEMA_VIOLATION,
        item(tenant_id="a'; DROP TABLE predictions; --"),
    ),
    POISON["id_newline"],
    HostileKind(
        "id_escape", "an id with terminal escapes", Reason.SCHEMA_VIOLATION,
        item(item_id="\x1b[2J\x1b]0;owned\x07"),
    ),
    HostileKind(
        "id_template", "an id that asks a logger for a look-up", Reason.SCHEMA_VIOLATION,
        item(item_id="${jndi:ldap://127.0.0.1/a}"),
    ),
    POISON["hostile_attributes"],
    HostileKind(
        "message_too_large", "a byte more than Pub/Sub takes", Reason.MESSAGE_TOO_LARGE,
        changed(lambda data: data.ljust(MAX_MESSAGE_BYTES + 1)), publishable=False,
    ),
    HostileKind("empty_data", "attributes and no data", Reason.NOT_JSON, constant(b"")),
    HostileKind(
        "empty_message", "neither data nor attributes", Reason.NOT_JSON,
        lambda _: Content(b"", attributes={}), publishable=False,
    ),
    HostileKind(
        "time_nonsense", "an event_time in words", Reason.SCHEMA_VIOLATION,
        item(event_time="yesterday"),
    ),
    HostileKind(
        "time_number", "an event_time in seconds", Reason.SCHEMA_VIOLATION,
        item(event_time=1_770_000_000),
    ),
    HostileKind(
        "time_leap_second", "an event_time in a leap second", Reason.SCHEMA_VIOLATION,
        item(event_time="2016-12-31T23:59:60Z"),
    ),
    HostileKind(
        "time_year_0", "an event_time in the year 0", Reason.SCHEMA_VIOLATION,
        item(event_time="0000-01-01T00:00:00Z"),
    ),
    HostileKind(
        "time_before_year_1", "an event_time that its offset moves out of the year 1",
        Reason.SCHEMA_VIOLATION, item(event_time="0001-01-01T00:00:00+01:00"),
    ),
    HostileKind(
        "time_year_1", "the first event_time that a table can hold", None,
        item(event_time="0001-01-01T00:00:00Z"),
    ),
    HostileKind(
        "time_year_9999", "the last event_time that a table can hold", None,
        item(event_time="9999-12-31T23:59:59.999999Z"),
    ),
)  # fmt: skip
TEXTS = (
    HostileKind(
        "text_megabyte", "a text of 1 MB", Reason.SCHEMA_VIOLATION, item(text="mug " * 250_000)
    ),
    HostileKind("text_longest", "the longest text allowed", None, item(text="mug " * 25_000)),
    HostileKind(
        "text_expanding", "100,000 characters, each of which normalises to 18", None,
        item(text="\ufdfa" * 100_000),
    ),
    HostileKind(
        "text_surrogate", "a lone surrogate", Reason.NOT_JSON, item(text="a \ud800 mug")
    ),
    HostileKind("text_nul", "NULs in a text", None, item(text="a\0red\0mug")),
    HostileKind(
        "text_noncharacters", "characters that are none, and private ones", None,
        item(text="\uffff\ufdd0\ue000\U0010ffff"),
    ),
    HostileKind(
        "text_right_to_left", "Arabic, Hebrew and direction overrides", None,
        item(text="\u0643\u0648\u0628 \u05e1\u05e4\u05dc \u202egum der a\u202c"),
    ),
    HostileKind(
        "text_emoji", "a family of joined emoji, and flags", None,
        item(text="\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1ea\U0001f1fa \u2615\ufe0f"),
    ),
    HostileKind(
        "text_zero_width", "nothing but zero-width characters", None,
        item(text="\u200b\u200c\u200d\u2060"),
    ),
    HostileKind("text_zalgo", "letters under piles of marks", None, item(text=_ZALGO)),
    POISON["text_marks"],
    POISON["text_escapes"],
    HostileKind("text_empty", "an empty text, no image", Reason.SCHEMA_VIOLATION, item(text="")),
    HostileKind(
        "text_blank", "white space, no image", Reason.SCHEMA_VIOLATION,
        item(text=" \t\n\u00a0\u2003\u3000"),
    ),
    HostileKind(
        "text_separators", "separators that only some call white space, no image",
        Reason.SCHEMA_VIOLATION, item(text="\x1c\x1f\x85"),
    ),
)  # fmt: skip
BASE64 = (
    HostileKind("image_empty", "an empty image", Reason.SCHEMA_VIOLATION, item(image="")),
    HostileKind(
        "base64_unpadded", "base64 without its padding", Reason.IMAGE_NOT_BASE64,
        base64_changed(lambda text: text[:-1]),
    ),
    HostileKind(
        "base64_lines", "base64 with line breaks", Reason.IMAGE_NOT_BASE64,
        base64_changed(lambda text: "\r\n".join((text[:76], text[76:]))),
    ),
    HostileKind(
        "base64_accents", "base64 with characters beyond ASCII", Reason.IMAGE_NOT_BASE64,
        base64_changed(lambda text: "\u00e4\u00f6" + text[2:]),
    ),
    HostileKind(
        "base64_of_urls", "base64 in the alphabet of URLs", None,
        base64_changed(lambda text: text.replace("+", "-").replace("/", "_")),
    ),
    HostileKind(
        "base64_of_both", "base64 in both alphabets at once", Reason.IMAGE_NOT_BASE64,
        base64_changed(lambda text: "+/-_" + text[4:]),
    ),
    HostileKind(
        "base64_data_uri", "a data: URI", Reason.IMAGE_NOT_BASE64,
        base64_changed(lambda text: "data:image/png;base64," + text),
    ),
)  # fmt: skip
