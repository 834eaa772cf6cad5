"""Training data: a JSON Lines manifest in, checked arrays out.

One JSON object a line: `item_id`; `image`, a path relative to the manifest;
`text`; `labels`, an object from label name to label. An item may lack image or
text, not both; every item has the same label names. All pixels are in memory:
27 KB an item at 96 px.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from models.features import decode_image, normalise_text
from transforms.records import Rejected

MAX_PROBLEMS = 20  # listed in one refusal; the others are counted
HELD_OUT_SHARE = 0.2
MIN_HELD_OUT = 10  # an accuracy on fewer says nothing
LABEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")  # it becomes a file name


class ManifestRefused(Exception):
    """Training data with mistakes: every one of them, with its line."""

    def __init__(self, manifest: Path, problems: Sequence[str]) -> None:
        shown = list(problems[:MAX_PROBLEMS])
        if len(problems) > len(shown):
            shown.append(f"and {len(problems) - len(shown)} more")
        super().__init__(f"{manifest.name} cannot be trained on:\n  " + "\n  ".join(shown))
        self.problems = tuple(problems)


@dataclasses.dataclass(frozen=True)
class Examples:
    """n items as arrays; the sides that an item lacks are zeros and ""."""

    item_ids: list[str]
    images: np.ndarray  # uint8 (n, size_px, size_px, 3)
    texts: list[str]
    has_image: np.ndarray  # float32 (n, 1), 0 or 1
    has_text: np.ndarray  # float32 (n, 1), 0 or 1
    labels: Mapping[str, tuple[str, ...]]  # label name -> its labels, sorted
    answers: Mapping[str, np.ndarray]  # label name -> int32 (n,), indices into its labels

    def take(self, rows: np.ndarray) -> "Examples":
        return Examples(
            [self.item_ids[row] for row in rows],
            self.images[rows],
            [self.texts[row] for row in rows],
            self.has_image[rows],
            self.has_text[rows],
            self.labels,
            {name: answers[rows] for name, answers in self.answers.items()},
        )


class _Line(NamedTuple):
    item_id: str
    text: str
    pixels: np.ndarray | None
    labels: Mapping[str, str]


def read_examples(manifest: Path, *, size_px: int) -> Examples:
    """Read and decode every item of `manifest`.

    Raises ManifestRefused, which lists all mistakes at once: lines that are not
    JSON or lack a field, item ids used twice, pictures that are missing or
    unreadable, label names that differ between lines, labels with one value.
    """
    try:
        texts = manifest.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestRefused(manifest, [f"cannot be read: {error}"]) from error
    lines: list[_Line] = []
    problems: list[str] = []
    first_lines: dict[str, int] = {}
    for number, text in enumerate(texts, start=1):
        if not text.strip():
            continue
        try:
            line = _read_line(text, manifest.parent, size_px)
        except ValueError as error:
            problems.append(f"line {number}: {error}")
            continue
        first = first_lines.setdefault(line.item_id, number)
        if first != number:
            problems.append(f"line {number}: item_id {line.item_id!r} is also on line {first}")
        if lines and line.labels.keys() != lines[0].labels.keys():
            problems.append(
                f"line {number}: labels {sorted(line.labels)}, earlier lines have "
                f"{sorted(lines[0].labels)}"
            )
            continue
        lines.append(line)
    if not lines and not problems:
        problems.append("no items")
    labels = {
        name: tuple(sorted({line.labels[name] for line in lines}))
        for name in (sorted(lines[0].labels) if lines else ())
    }
    problems += [
        f"label {name!r} is {values[0]!r} on every line: there is nothing to learn"
        for name, values in labels.items()
        if len(values) == 1
    ]
    if problems:
        raise ManifestRefused(manifest, problems)
    return _to_examples(lines, labels, size_px)


def split_examples(examples: Examples, manifest: Path) -> tuple[Examples, Examples]:
    """Training and held-out part, by hash of the item id.

    An item is on the same side whatever else is in the manifest. Raises
    ManifestRefused when fewer than MIN_HELD_OUT items would be in one part.
    """
    held_out = np.array([_is_held_out(item_id) for item_id in examples.item_ids])
    smaller_part = min(held_out.sum(), (~held_out).sum())
    if smaller_part < MIN_HELD_OUT:
        raise ManifestRefused(
            manifest,
            [f"{len(held_out)} items are too few: {MIN_HELD_OUT} must be held out to be tested on"],
        )
    return examples.take(np.flatnonzero(~held_out)), examples.take(np.flatnonzero(held_out))


def _is_held_out(item_id: str) -> bool:
    digest = hashlib.sha256(f"held out/{item_id}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64 < HELD_OUT_SHARE


def _read_line(text: str, folder: Path, size_px: int) -> _Line:
    """Raises ValueError with what is wrong with the line."""
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise ValueError("not a JSON object")
    for name in ("item_id", "image", "text"):
        if not isinstance(fields.get(name, ""), str):
            raise ValueError(f"{name} is not a string")
    if not fields.get("item_id"):
        raise ValueError("no item_id")
    labels = _checked_labels(fields.get("labels"))
    words = fields.get("text", "")
    image = fields.get("image", "")
    if not image and not normalise_text(words):
        raise ValueError("neither image nor text")
    return _Line(
        fields["item_id"], words, _read_pixels(folder / image, size_px) if image else None, labels
    )


def _checked_labels(labels: Any) -> dict[str, str]:
    if not isinstance(labels, dict) or not labels:
        raise ValueError("labels is not an object with at least one label")
    for name, value in labels.items():
        if not LABEL_NAME.fullmatch(name):
            raise ValueError(f"label name {name!r} is not letters, digits, - and _ (64 at most)")
        if not isinstance(value, str) or not value:
            raise ValueError(f"label {name!r} is not a text")
    return labels


def _read_pixels(path: Path, size_px: int) -> np.ndarray:
    try:
        pixels, _ = decode_image(path.read_bytes(), size_px=size_px)
    except OSError as error:
        raise ValueError(f"image {path.name}: {error.strerror}") from error
    except Rejected as rejected:
        raise ValueError(f"image {path.name}: {rejected}") from rejected
    return pixels


def _to_examples(
    lines: Sequence[_Line], labels: Mapping[str, tuple[str, ...]], size_px: int
) -> Examples:
    blank = np.zeros((size_px, size_px, 3), np.uint8)
    return Examples(
        item_ids=[line.item_id for line in lines],
        images=np.stack([blank if line.pixels is None else line.pixels for line in lines]),
        texts=[line.text for line in lines],
        has_image=_presence([line.pixels is not None for line in lines]),
        has_text=_presence([bool(normalise_text(line.text)) for line in lines]),
        labels=labels,
        answers={
            name: np.array([values.index(line.labels[name]) for line in lines], np.int32)
            for name, values in labels.items()
        },
    )


def _presence(flags: Sequence[bool]) -> np.ndarray:
    return np.array(flags, np.float32)[:, None]
