"""What speaks against an update in place: two graphs' fingerprints, held against each other."""

import itertools
from collections.abc import Mapping
from typing import NamedTuple

Step = dict[str, object]
Graph = dict[str, Step]
SHOWN_BEFORE_CHARS, SHOWN_AFTER_CHARS = 40, 20


class Difference(NamedTuple):
    """Why a running job cannot be updated in place: the step, and what is different."""

    step: str
    what: str


def differences(running: Mapping[str, Step], replacement: Mapping[str, Step]) -> list[Difference]:
    """All that speaks against an update in place; empty when nothing does.

    Stricter than Dataflow, which lets some encodings change between steps that
    it runs as one: which ones these are only Dataflow knows.
    """
    found = []
    for name, step in running.items():
        if name not in replacement:
            found.append(Difference(name, "is gone"))
            continue
        for key, before in step.items():
            after = replacement[name].get(key)
            if before != after:
                found.append(Difference(name, f"{key}: {_apart(before, after)}"))
    return found


def _apart(before: object, after: object) -> str:
    """Both in words, without what they begin and end with alike: a record may have many fields."""
    one, other = _words(before), _words(after)
    start = _alike(one, other)
    end = _alike(one[start:][::-1], other[start:][::-1])
    context = max(start - SHOWN_BEFORE_CHARS, 0)
    shown = [
        text[context : len(text) - end + SHOWN_AFTER_CHARS] or "nothing" for text in (one, other)
    ]
    return f"{shown[0]!r} became {shown[1]!r}"


def _alike(one: str, other: str) -> int:
    """How many characters the two begin with alike."""
    pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return sum(1 for _ in pairs)


def _words(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, dict):
        return "; ".join(f"{name} {text}" for name, text in value.items())
    return str(value)
