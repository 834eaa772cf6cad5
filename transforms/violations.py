"""What is wrong with a message's JSON, in words: the field, what was sent, what is wanted.

Values are never repeated, and of unknown names only those that could be a field's: what
a sender wrote may be anybody's data.
"""

import re
from collections.abc import Iterable, Mapping
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
FIELD_NAME = re.compile("[A-Za-z_][A-Za-z0-9_]{0,39}")
MOST_SHOWN = 3


def violation(message: Any, errors: Iterable[jsonschema_rs.ValidationError]) -> str:
    """All that the schema has against a message; fields first, else a rule of the whole."""
    if not isinstance(message, dict):
        whole = 'an object, as {"item_id": "mug-1", "tenant_id": "acme", "text": "a red mug"}'
        return f"message: is {_kind_of(message)}; wanted is {whole}"
    fields, wholes = {}, []
    for error in errors:
        if error.instance_path:
            field = str(error.instance_path[0])
            fields[field] = f"{field}: is {_sent(error)}; wanted is {WANTED[field]}"
        else:
            wholes.append(str(error.schema_path[0]))
    problems = list(fields.values())
    problems += [
        f"{field}: is missing; wanted is {WANTED[field]}"
        for field in ("item_id", "tenant_id")
        if "required" in wholes and field not in message
    ]
    if "additionalProperties" in wholes:
        problems.append(_unknown(message))
    return "; ".join(problems) or "; ".join(WHOLE_RULES[rule] for rule in wholes)


def _sent(error: jsonschema_rs.ValidationError) -> str:
    """What stands in the field, without its value."""
    if error.instance == "":
        return "empty"
    if isinstance(error.instance, str) and len(error.instance) > LONG_CHARS:
        return f"a text of {len(error.instance):,} characters"
    return _kind_of(error.instance)


def _kind_of(value: Any) -> str:
    return next(words for kind, words in KINDS if isinstance(value, kind))


def _unknown(message: Mapping[str, Any]) -> str:
    """The fields that no message has, by name where they have one that may be shown."""
    unknown = sorted(message.keys() - WANTED.keys())
    shown = [name for name in unknown if FIELD_NAME.fullmatch(name)][:MOST_SHOWN]
    allowed = f"it may have {', '.join(WANTED)}"
    if not shown:
        return f"message: has fields that no message has; {allowed}"
    others = len(unknown) - len(shown)
    more = f" and {others} more" * bool(others)
    what = "is no field" if len(unknown) == 1 else "are no fields"
    return f"{', '.join(shown)}{more}: {what} of a message; {allowed}"
