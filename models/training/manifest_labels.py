"""Labels over all lines of a manifest: what cannot be learnt, or was spelt in two ways."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from models.features import normalise_text
from models.training.manifest_problems import shown

MAX_NAMED = 10  # labels in one problem
MIN_LINES = 5  # of a label; of fewer none may be held out, and nothing is learnt


def unlearnable(
    answers: Sequence[Mapping[str, str]], *, min_lines: int = MIN_LINES
) -> Iterator[str]:
    """One problem a label name or label; `answers` are the labels of each line."""
    counts: dict[str, Counter[str]] = {}
    for labels in answers:
        for name, value in labels.items():
            counts.setdefault(name, Counter())[value] += 1
    for name, found in sorted(counts.items()):
        if len(found) == 1:
            value = next(iter(found))
            yield f"label {name!r} is {value!r} on every line: there is nothing to learn"
            continue
        yield from _spelt_twice(name, found)
        yield from _rare(name, found, min_lines)


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
            "lines, leave them out, or give them a common label"
        )
