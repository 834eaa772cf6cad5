"""The manifest of labelled items: JSON Lines in, items or all that is wrong with them out.

One JSON object a line: `item_id`; `image`, the path of a file, relative to the
manifest; `text`; `labels`, an object from label name to label; null and a field that
is left out are the same. An item may lack image or text, not both; every item has the
same label names. No picture is opened here: what is wrong with lines is known in
seconds, however many pictures there are.
"""

import difflib
import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from models.encodings import refuse_other_encodings
from models.failures import TestudoError
from models.features import normalise_text

MAX_PROBLEMS = 20  # listed in one refusal; the others are counted
MAX_LINES_A_KIND = 3  # of problems of one kind; more are one problem, with a count
MAX_VALUE = 300  # characters of a value that are shown; paths are shorter, base64 is longer
FIELDS = ("item_id", "image", "text", "labels")
# What the fields are called in messages and by other tools.
OTHER_NAMES = {
    "id": "item_id",
    "image_uri": "image",
    "imageGcsUri": "image",
    "img": "image",
    "photo": "image",
    "picture": "image",
    "body": "text",
    "caption": "text",
    "description": "text",
    "title": "text",
    "category": "labels",
    "class": "labels",
}
A_PATH = "the path of a file on this machine is wanted"
LABEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")  # it becomes a file name
BASE64 = re.compile(r"(data:.*|[A-Za-z0-9+/=\s]{200,})", re.DOTALL)
EXAMPLE = '{"item_id": "a1", "image": "a1.jpg", "text": "a red mug", "labels": {"kind": "mug"}}'


class ManifestRefused(TestudoError):
    """Training data with mistakes: every one of them, with its line."""

    def __init__(self, manifest: Path, problems: Sequence[str]) -> None:
        shown = list(problems[:MAX_PROBLEMS])
        if len(problems) > len(shown):
            shown.append(f"and {len(problems) - len(shown)} more")
        super().__init__(f"{manifest.name} cannot be trained on:\n  " + "\n  ".join(shown))
        self.problems = tuple(problems)


class Problem(NamedTuple):
    """One thing wrong with one line; those of a kind are told together when they are many."""

    line: int
    text: str
    kind: str


class LabelledItem(NamedTuple):
    """A line of the manifest, checked; `image` as it is written there, "" for none."""

    line: int
    item_id: str
    image: str
    text: str
    labels: Mapping[str, str]


def read_items(manifest: Path) -> list[LabelledItem]:
    """Every item of the manifest, without opening its picture.

    Raises ManifestRefused, which lists all mistakes at once: an encoding other than
    UTF-8, what is no JSON Lines file, lines that are not JSON or lack a field, fields
    that are unknown or of a wrong type, item ids used twice, pictures that are not
    there, label names that differ between lines, labels with one value.
    """
    items: list[LabelledItem] = []
    problems: list[Problem] = []
    for number, data in _lines(manifest):
        try:
            fields = _fields(data)
        except ValueError as error:
            problems.append(Problem(number, str(error), str(error).split(":")[0]))
            continue
        found = [Problem(number, *one) for one in _problems_of(fields, manifest.parent)]
        problems += found
        if not found:
            labels = fields["labels"]
            image, text = (fields.get(name) or "" for name in ("image", "text"))
            items.append(LabelledItem(number, fields["item_id"], image, text, labels))
    problems = sorted([*problems, *_problems_between(items)], key=lambda one: one.line)
    # With lines missing, a label may only seem to have one value.
    if refused := summarised(problems) or _unlearnable(items):
        raise ManifestRefused(manifest, refused)
    return items


def summarised(problems: Sequence[Problem]) -> list[str]:
    """A text each, or one of a kind that has more than MAX_LINES_A_KIND; in the lines' order."""
    kinds: dict[str, list[Problem]] = {}
    for problem in problems:
        kinds.setdefault(problem.kind, []).append(problem)
    texts = []
    for problem in problems:
        alike = kinds[problem.kind]
        if len(alike) <= MAX_LINES_A_KIND:
            texts.append(f"line {problem.line}: {problem.text}")
        elif alike[0] is problem:
            lines = ", ".join(str(one.line) for one in alike[:MAX_LINES_A_KIND])
            differ = any(one.text != problem.text for one in alike)
            such_as = f"such as line {problem.line}: " if differ else ""
            texts.append(f"{len(alike)} lines ({lines}, ...): {such_as}{problem.text}")
    return texts


def shown(value: str) -> str:
    """A value as it is written, but for what no terminal prints, and cut where it is no path."""
    escaped = "".join(
        one if one.isprintable() else one.encode("unicode_escape", "surrogatepass").decode()
        for one in value
    )
    return escaped if len(escaped) <= MAX_VALUE else f"{escaped[:40]}... ({len(value)} characters)"


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


def _problems_of(fields: Mapping[str, Any], folder: Path) -> Iterator[tuple[str, str]]:
    """What is wrong with one line, each with its kind."""
    for name in [one for one in fields if one not in FIELDS]:
        text = f"unknown field {shown(name)!r}; {_meant(name, fields)}"
        yield text, text
    wrong = [name for name in FIELDS[:3] if not isinstance(fields.get(name) or "", str)]
    for name in wrong:
        value = fields[name]
        fix = "" if isinstance(value, list | dict) else f': write "{json.dumps(value)}"'
        yield f"{name} is not a string{fix}", f"{name} is not a string"
    if "item_id" not in wrong:
        yield from _problems_of_text("item_id", fields.get("item_id") or "")
        if not fields.get("item_id"):
            yield "no item_id", "no item_id"
    if not wrong and not fields.get("image") and not normalise_text(fields.get("text") or ""):
        yield "neither image nor text", "neither image nor text"
    if "image" not in wrong and fields.get("image"):
        yield from _problems_of_image(fields["image"], folder)
    yield from _problems_of_labels(fields.get("labels"))


def _meant(name: str, fields: Mapping[str, Any]) -> str:
    missing = [one for one in FIELDS if one not in fields]
    close = difflib.get_close_matches(name.lower(), missing, n=1)
    close += difflib.get_close_matches(name.lower(), FIELDS, n=1, cutoff=0.8)
    other = OTHER_NAMES.get(name)
    if not close and other not in missing:
        return f"a manifest has {', '.join(FIELDS)}"
    meant = close[0] if close else other
    needs = f" ({A_PATH})" if meant == "image" else ""
    return f"did you mean {meant!r}?{needs}"


def _problems_of_text(what: str, text: str) -> Iterator[tuple[str, str]]:
    try:
        text.encode()
    except UnicodeEncodeError:
        kind = f"{what} holds half a character (a lone surrogate)"
        yield f"{kind}: {shown(text)}", kind


def _problems_of_image(image: str, folder: Path) -> Iterator[tuple[str, str]]:
    path = folder / image
    if os.path.isfile(path):
        return
    if "://" in image:
        kind = f"a URI: {A_PATH}"
    elif BASE64.fullmatch(image):
        kind = f"the picture itself: {A_PATH}"
    elif os.path.isdir(path):
        kind = f"a folder: {A_PATH}"
    elif "\\" in image:
        kind = "no such file: paths are written with /"
    else:
        kind = "no such file"
    yield f"image {shown(image)}: {kind}", f"image {kind}"


def _problems_of_labels(labels: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(labels, dict) or not labels:
        text = 'labels is not an object with at least one label, such as {"kind": "mug"}'
        yield text, text
        return
    for name, value in labels.items():
        text = ""
        if not LABEL_NAME.fullmatch(name):
            name = shown(name)  # noqa: PLW2901 - from here on it is only shown
            text = f"label name {name!r} is not letters, digits, - and _ (64 at most)"
        elif value is None:
            text = f"label {name!r} is null: every line needs every label"
        elif isinstance(value, bool | int | float):
            kind = f"label {name!r} is no text"
            yield f'{kind}: write "{json.dumps(value)}", not {json.dumps(value)}', kind
        elif not isinstance(value, str) or not value:
            text = f"label {name!r} is not a text"
        else:
            yield from _problems_of_text(f"label {name!r}", value)
        if text:
            yield text, text


def _problems_between(items: Sequence[LabelledItem]) -> Iterator[Problem]:
    first_lines: dict[str, int] = {}
    for item in items:
        first = first_lines.setdefault(item.item_id, item.line)
        if first != item.line:
            text = f"item_id {shown(item.item_id)!r} is also on line {first}"
            yield Problem(item.line, text, "item_id is used twice")
        if item.labels.keys() != items[0].labels.keys():
            text = f"labels {sorted(item.labels)}, earlier lines have {sorted(items[0].labels)}"
            yield Problem(item.line, text, text)


def _unlearnable(items: Sequence[LabelledItem]) -> list[str]:
    values: dict[str, set[str]] = {}
    for item in items:
        for name, value in item.labels.items():
            values.setdefault(name, set()).add(value)
    return [
        f"label {name!r} is {next(iter(found))!r} on every line: there is nothing to learn"
        for name, found in sorted(values.items())
        if len(found) == 1
    ]
