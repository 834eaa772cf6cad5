"""The manifest of labelled items: JSON Lines in, items or all that is wrong with them out.

One JSON object a line: `item_id`; `image`, the path of a file, relative to the
manifest; `text`; `labels`, an object from label name to a text, a list of texts or a
number; null and what is left out are the same. An item may lack image or text, not
both, and any label names but the last; a name has one kind on all lines. No picture is
opened here: what is wrong with lines is known in seconds, however many pictures there
are.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from models.encodings import refuse_other_encodings
from models.training.manifest_fields import problems_of
from models.training.manifest_labels import LabelValue, mixed, unlearnable
from models.training.manifest_problems import ManifestRefused, Problem, shown, summarised

EXAMPLE = '{"item_id": "a1", "image": "a1.jpg", "text": "a red mug", "labels": {"kind": "mug"}}'


class LabelledItem(NamedTuple):
    """A line of the manifest, checked; `image` as it is written there, "" for none."""

    line: int
    item_id: str
    image: str
    text: str
    labels: Mapping[str, LabelValue]  # those that the line has


def read_items(manifest: Path, *, min_lines: int = 1) -> list[LabelledItem]:
    """Every item of the manifest, without opening its picture.

    Raises ManifestRefused, which lists all mistakes at once: an encoding other than
    UTF-8, what is no JSON Lines file, lines that are not JSON or lack a field, fields
    that are unknown or of a wrong type, item ids used twice, pictures that are not
    there, label names of several kinds; and if that is nothing, labels with one value,
    in two spellings, or on fewer than `min_lines` lines.
    """
    items: list[LabelledItem] = []
    problems: list[Problem] = []
    for number, data in _lines(manifest):
        try:
            fields = _fields(data)
        except ValueError as error:
            problems.append(Problem(number, str(error), str(error).split(":")[0]))
            continue
        found = [Problem(number, *one) for one in problems_of(fields, manifest.parent)]
        problems += found
        if not found:
            labels = _labels(fields["labels"])
            image, text = (fields.get(name) or "" for name in ("image", "text"))
            items.append(LabelledItem(number, fields["item_id"], image, text, labels))
    problems = sorted([*problems, *_problems_between(items)], key=lambda one: one.line)
    # With lines missing, a label may only seem to have one value.
    answers = [one.labels for one in items]
    refused = summarised(problems) + list(mixed([(one.line, one.labels) for one in items]))
    if refused := refused or list(unlearnable(answers, min_lines=min_lines)):
        raise ManifestRefused(manifest, refused)
    return items


def _lines(manifest: Path) -> list[tuple[int, bytes]]:
    """The lines that are not blank, by number. Raises ManifestRefused for no JSON Lines file."""
    try:
        data = manifest.read_bytes()
        refuse_other_encodings(data)
    except OSError as error:
        raise ManifestRefused(manifest, [f"cannot be read: {error.strerror}"]) from error
    except ValueError as error:
        raise ManifestRefused(manifest, [str(error)]) from error
    lines = [
        (number, line.strip())
        for number, line in enumerate(data.split(b"\n"), start=1)
        if line.strip()
    ]
    wanted = f"JSON Lines is wanted, one object a line, such as {EXAMPLE}"
    if not lines:
        raise ManifestRefused(manifest, ["no items"])
    if lines[0][1].startswith(b"["):
        raise ManifestRefused(manifest, [f"it is a JSON array: {wanted}"])
    if not any(line.startswith(b"{") for _, line in lines):
        raise ManifestRefused(manifest, [f"no line of it is a JSON object: {wanted}"])
    return lines


def _fields(line: bytes) -> dict[str, Any]:
    """Raises ValueError with what is wrong with the line, of a kind that ends at its colon."""
    twice: list[str] = []

    def each_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        counts = Counter(name for name, _ in pairs)
        twice.extend(name for name, count in counts.items() if count > 1)
        return dict(pairs)

    try:
        fields = json.loads(line.decode(), object_pairs_hook=each_once)
    except UnicodeDecodeError as error:
        where = f"byte {line[error.start]:#04x} after {error.start} others"
        raise ValueError(f"not UTF-8: {where}; save the file as UTF-8") from error
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from error
    except RecursionError as error:
        raise ValueError("not JSON that can be read: it is nested too deeply") from error
    if not isinstance(fields, dict):
        raise ValueError("not a JSON object")
    if twice:
        raise ValueError(f"two values for one name: {shown(twice[0])!r}")
    return fields


def _labels(labels: Mapping[str, Any]) -> dict[str, LabelValue]:
    """Those that are there; an item's labels that are several, as a tuple."""
    plain = {list: tuple, int: float}
    return {
        name: plain.get(type(value), type(value))(value)
        for name, value in labels.items()
        if value is not None
    }


def _problems_between(items: Sequence[LabelledItem]) -> Iterator[Problem]:
    first_lines: dict[str, int] = {}
    for item in items:
        first = first_lines.setdefault(item.item_id, item.line)
        if first != item.line:
            text = f"item_id {shown(item.item_id)!r} is also on line {first}"
            yield Problem(item.line, text, "item_id is used twice")
