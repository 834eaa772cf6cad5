"""Labels over all lines of a manifest: of which kind, what cannot be learnt, or has two spellings.

A text is one of several labels, a list of texts are several at once, a number is a number.
"""

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from models.features import normalise_text
from models.manifest import Kind
from models.training.manifest_problems import shown

MAX_NAMED = 10  # labels in one problem
MIN_LINES = 5  # of a label; of fewer none may be held out, and nothing is learnt
NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?")
IN_WORDS = {
    Kind.CLASSIFICATION: "a text",
    Kind.MULTILABEL: "a list",
    Kind.REGRESSION: "a number",
}

LabelValue = str | tuple[str, ...] | float


def kind_of(value: LabelValue) -> Kind:
    """What a scorer answers whose labels are such."""
    if isinstance(value, str):
        return Kind.CLASSIFICATION
    return Kind.MULTILABEL if isinstance(value, tuple) else Kind.REGRESSION


def kinds_of(answers: Sequence[Mapping[str, LabelValue]]) -> dict[str, Kind]:
    """By label name, sorted; of lines that agree in it."""
    found = {name: kind_of(value) for labels in answers for name, value in labels.items()}
    return dict(sorted(found.items()))


def mixed(lines: Sequence[tuple[int, Mapping[str, LabelValue]]]) -> Iterator[str]:
    """One problem for each label name that is of several kinds; lines by their numbers."""
    found: dict[str, dict[Kind, list[tuple[int, LabelValue]]]] = {}
    for number, labels in lines:
        for name, value in labels.items():
            found.setdefault(name, {}).setdefault(kind_of(value), []).append((number, value))
    for name, kinds in sorted(found.items()):
        if len(kinds) == 1:
            continue
        parts = [
            f"{IN_WORDS[kind]} on {len(those)} lines (such as line {those[0][0]}: "
            f"{shown(json.dumps(those[0][1], ensure_ascii=False))})"
            for kind, those in sorted(kinds.items(), key=lambda one: -len(one[1]))
        ]
        yield f"label {name!r} is {' and '.join(parts)}: write one kind{_advice(kinds)}"


def _advice(kinds: Mapping[Kind, Sequence[tuple[int, LabelValue]]]) -> str:
    texts = [str(value) for _, value in kinds.get(Kind.CLASSIFICATION, ())]
    if Kind.REGRESSION in kinds and texts and all(map(NUMBER.fullmatch, texts)):
        return "; numbers without quotes"
    if Kind.MULTILABEL in kinds:
        return ', such as ["red", "new"] for several labels at once, [] for none of them'
    return ", with quotes for one of several labels"


def unlearnable(
    answers: Sequence[Mapping[str, LabelValue]], *, min_lines: int = MIN_LINES
) -> Iterator[str]:
    """One problem a label name or label; `answers` are the labels of each line."""
    values: dict[str, list[LabelValue]] = {}
    for labels in answers:
        for name, value in labels.items():
            values.setdefault(name, []).append(value)
    for name, found in sorted(values.items()):
        distinct = {frozenset(one) if isinstance(one, tuple) else one for one in found}
        if len(distinct) == 1:
            only = list(found[0]) if isinstance(found[0], tuple) else found[0]
            yield f"label {name!r} is {only!r} on every line: there is nothing to learn"
        elif kind_of(found[0]) is Kind.REGRESSION:
            yield from _two_numbers(name, distinct)
        else:
            each = ((one,) if isinstance(one, str) else one for one in found)
            counts = Counter(label for labels in each for label in labels)  # type: ignore[union-attr]
            yield from _spelt_twice(name, counts)
            yield from _rare(name, counts, min_lines)


def _two_numbers(name: str, distinct: Collection[Any]) -> Iterator[str]:
    if len(distinct) == 2:  # noqa: PLR2004 - as many as yes and no
        low, high = (f"{one:g}" for one in sorted(distinct))
        yield (
            f"label {name!r} has the numbers {low} and {high} alone: write "
            f'"{low}" and "{high}" for one of two labels'
        )


def _spelt_twice(name: str, found: Counter[str]) -> Iterator[str]:
    spellings: dict[str, list[str]] = {}
    for value in found:
        spellings.setdefault(normalise_text(value), []).append(value)
    for alike in spellings.values():
        if len(alike) > 1:
            written = " and ".join(f"{shown(one)!r} ({found[one]} lines)" for one in sorted(alike))
            yield (
                f"label {name!r}: {written} differ in case, spaces or form of letters alone: "
                "write one of them"
            )


def _rare(name: str, found: Counter[str], min_lines: int) -> Iterator[str]:
    rare = sorted(
        (value for value, count in found.items() if count < min_lines),
        key=lambda one: (found[one], one),
    )
    if rare:
        some = ", ".join(f"{shown(one)!r} ({found[one]})" for one in rare[:MAX_NAMED])
        more = f" and {len(rare) - MAX_NAMED} more" if len(rare) > MAX_NAMED else ""
        yield (
            f"label {name!r}: fewer than {min_lines} lines (--min_lines) have {some}{more}: add "
            f"lines, leave them out, or give them a common label{_unquoted(found)}"
        )


def _unquoted(found: Counter[str]) -> str:
    if all(map(NUMBER.fullmatch, found)):
        return "; for numbers, write them without quotes"
    return ""
