"""What is wrong with a message's JSON, in words: the field, what was sent, what is wanted.

Values are never repeated, and of unknown names only those that could be a field's: what
a sender wrote may be anybody's data.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jsonschema_rs

ID_WANTED = "a text of 1 to 128 characters of A-Z a-z 0-9 . _ : -"
WANTED: Mapping[str, str] = {
    "item_id": f'{ID_WANTED}, as "mug-1"',
    "tenant_id": f'{ID_WANTED}, as "acme"',
    "text": 'a text of up to 100,000 characters, as "a red mug"',
    "image": 'the file in base64, as "/9j/4AAQ..."',
    "image_uri": 'a text of up to 1,300 characters, as "gs://bucket/mug.jpg"',
    "event_time": 'RFC 3339 with a zone, as "2026-11-24T10:00:00Z"',
    "fields": 'an object of up to 64 numbers, texts, true or false, as {"price": 3, "used": true}',
}
NO_SIDE = "message: has neither a text nor an image"
WHOLE_RULES: Mapping[str, str] = {
    "anyOf": NO_SIDE,
    "not": "message: has both image and image_uri",
}
KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "true or false"),  # before the numbers, of which Python's are some
    ((int, float), "a number"),
    (str, "a text of another form"),
    (list, "an array"),
    (dict, "an object"),
    (type(None), "null"),
)
LONG_CHARS = 128
FIELD_NAME = re.compile("[A-Za-z_][A-Za-z0-9_]{0,63}")
MOST_SHOWN = 3


def violation(
    message: Any, errors: Iterable[jsonschema_rs.ValidationError], own: Sequence[str] = ()
) -> str:
    """All that the schema has against a message; fields first, else a rule of the whole.

    `own` is what is wrong with the sender's own fields (transforms.own_fields).
    """
    if not isinstance(message, dict):
        whole = 'an object, as {"item_id": "mug-1", "tenant_id": "acme", "text": "a red mug"}'
        return f"message: is {sent(message)}; wanted is {whole}"
    fields, wholes = {}, []
    for error in errors:
        if error.instance_path:
            field = str(error.instance_path[0])
            fields[field] = f"{field}: is {sent(error.instance)}; wanted is {WANTED[field]}"
        else:
            wholes.append(str(error.schema_path[0]))
    problems = list(fields.values())
    problems += [
        f"{field}: is missing; wanted is {WANTED[field]}"
        for field in ("item_id", "tenant_id")
        if "required" in wholes and field not in message
    ]
    problems += own
    return "; ".join(problems) or "; ".join(WHOLE_RULES[rule] for rule in wholes)


def sent(value: Any) -> str:
    """What stands in a field, without its value."""
    if value == "":
        return "empty"
    if isinstance(value, str) and len(value) > LONG_CHARS:
        return f"a text of {len(value):,} characters"
    return next(words for kind, words in KINDS if isinstance(value, kind))
