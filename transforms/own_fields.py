"""A sender's own fields, as price or brand: gathered from a message, judged, written as JSON.

They are flat: numbers, texts, true or false by name. transforms/message.schema.json has their
rules for senders; here they are in words, which take no longer than the message is long.
"""

from collections.abc import Mapping
from itertools import islice
from typing import Any

import orjson

from transforms.violations import FIELD_NAME, MOST_SHOWN, WANTED, sent

FIELDS = "fields"  # where they stand in a message
FLAT = (str, int, float, bool)
MAX_NAMES = 64
MAX_TEXT_CHARS = 1_000
MAX_BYTES = 10_000  # of all of them as JSON: they cross the join, and stand in every row
VALUE_WANTED = f"a number, a text of up to {MAX_TEXT_CHARS:,} characters, or true or false"
NAME_WANTED = "1 to 64 characters of A-Z a-z 0-9 _, the first one no digit"


def gathered(message: Mapping[str, Any], *, keep_unknown: bool) -> dict[str, Any]:
    """The message without its nulls; with `keep_unknown` its flat unknown fields under `fields`.

    What cannot be gathered stays where it is, for `own_problems` to name: a value that is not flat,
    and a name that stands in `fields` too.
    """
    whole = {name: value for name, value in message.items() if value is not None}
    own = whole.get(FIELDS, {})
    if not isinstance(own, dict):
        return whole
    own = {name: value for name, value in own.items() if value is not None}
    if keep_unknown:
        for name in [name for name in whole if name not in WANTED and name not in own]:
            if isinstance(whole[name], FLAT):
                own[name] = whole.pop(name)
    whole.pop(FIELDS, None)
    return {**whole, FIELDS: own} if own else whole


def own_problems(message: Mapping[str, Any], *, keep_unknown: bool) -> list[str]:
    """All that is wrong with the own fields of a gathered message, a rule or a field each."""
    own = message.get(FIELDS, {})
    problems = _inside(own) if isinstance(own, dict) else [_no_object(own)]
    unknown = sorted(message.keys() - WANTED.keys())
    if unknown and keep_unknown:
        return problems + _not_gathered(message, unknown)
    return problems + [_refused(unknown)] * bool(unknown)


def as_json(own: Mapping[str, Any]) -> str:
    """Compact JSON, its names sorted; empty where there are no fields."""
    return orjson.dumps(own, option=orjson.OPT_SORT_KEYS).decode() if own else ""


def _no_object(own: Any) -> str:
    what = "a text" if isinstance(own, str) else sent(own)
    return f"{FIELDS}: is {what}; wanted is {WANTED[FIELDS]}"


def _inside(own: Mapping[str, Any]) -> list[str]:
    problems = []
    if len(own) > MAX_NAMES:
        problems.append(f"{FIELDS}: has {len(own):,} names; wanted are {MAX_NAMES} at most")
    plain = [name for name in own if FIELD_NAME.fullmatch(name)]
    if len(plain) < len(own):
        problems.append(f"{FIELDS}: has a name of another form; wanted are {NAME_WANTED}")
    wrong = [name for name in plain if _is_wrong(own[name])]
    problems += [
        f"{FIELDS}.{name}: is {sent(own[name])}; wanted is {VALUE_WANTED}"
        for name in wrong[:MOST_SHOWN]
    ]
    problems += _more(len(wrong))
    if problems or any(map(_is_wrong, own.values())):
        return problems
    size_bytes = len(as_json(own).encode())
    if size_bytes > MAX_BYTES:
        problems.append(
            f"{FIELDS}: take {size_bytes:,} bytes as JSON; wanted are {MAX_BYTES:,} at most"
        )
    return problems


def _is_wrong(value: Any) -> bool:
    return not isinstance(value, FLAT) or (isinstance(value, str) and len(value) > MAX_TEXT_CHARS)


def _not_gathered(message: Mapping[str, Any], unknown: list[str]) -> list[str]:
    """Why fields that could be the sender's own are not."""
    own = message.get(FIELDS, {})
    wrong = {}
    for name in unknown:
        if not isinstance(message[name], FLAT):
            wrong[name] = f"is {sent(message[name])}; wanted is {VALUE_WANTED}"
        elif isinstance(own, dict):
            wrong[name] = f"stands in {FIELDS} and beside it; wanted is one of the two"
    return [
        f"{name if FIELD_NAME.fullmatch(name) else 'a field whose name is not shown'}: {what}"
        for name, what in islice(wrong.items(), MOST_SHOWN)
    ] + _more(len(wrong))


def _more(count: int) -> list[str]:
    return [f"and {count - MOST_SHOWN:,} more fields"] * (count > MOST_SHOWN)


def _refused(unknown: list[str]) -> str:
    """The fields that no message has, by name where they have one that may be shown."""
    shown = [name for name in unknown if FIELD_NAME.fullmatch(name)][:MOST_SHOWN]
    allowed = f"it may have {', '.join(WANTED)}, and your own under {FIELDS}"
    if not shown:
        return f"message: has fields that no message has; {allowed}"
    others = len(unknown) - len(shown)
    more = f" and {others:,} more" * bool(others)
    what = "is no field" if len(unknown) == 1 else "are no fields"
    return f"{', '.join(shown)}{more}: {what} of a message; {allowed}"
