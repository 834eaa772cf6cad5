"""Training data: the items of a manifest as arrays, and the part of them that is held out.

All pixels are in memory: 27 KB an item at 96 px.
"""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from models.failures import Reason, Rejected
from models.features import ImageLimits, decode_image, normalise_text
from models.training.manifest_lines import (
    LabelledItem,
    ManifestRefused,
    Problem,
    read_items,
    shown,
    summarised,
)

HELD_OUT_SHARE = 0.2
MIN_HELD_OUT = 10  # an accuracy on fewer says nothing


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


def read_examples(manifest: Path, *, size_px: int, limits: ImageLimits = ImageLimits()) -> Examples:
    """Read every item of `manifest`, then decode its picture.

    Raises ManifestRefused for all that `read_items` finds, with no picture decoded;
    and if that is nothing, for all pictures that are unreadable or beyond `limits`.
    """
    items = read_items(manifest)
    images = np.zeros((len(items), size_px, size_px, 3), np.uint8)
    problems = []
    for row, item in enumerate(items):
        try:
            if item.image:
                images[row] = _pixels(manifest.parent / item.image, size_px, limits)
        except ValueError as error:
            wrong = f"image {shown(item.image)}: {error}"
            problems.append(Problem(item.line, wrong, str(error).split(":")[0]))
    if problems:
        raise ManifestRefused(manifest, summarised(problems))
    return _to_examples(items, images)


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


def _pixels(path: Path, size_px: int, limits: ImageLimits) -> np.ndarray:
    """Raises ValueError with what is wrong with the picture."""
    try:
        pixels, _ = decode_image(path.read_bytes(), size_px=size_px, limits=limits)
    except OSError as error:
        raise ValueError(error.strerror) from error
    except Rejected as rejected:
        too_large = rejected.reason == Reason.IMAGE_TOO_LARGE
        allow = " (--max_image_pixels and --max_image_bytes allow more)" if too_large else ""
        raise ValueError(f"{rejected}{allow}") from rejected
    return pixels


def _to_examples(items: Sequence[LabelledItem], images: np.ndarray) -> Examples:
    labels = {
        name: tuple(sorted({item.labels[name] for item in items}))
        for name in sorted(items[0].labels)
    }
    numbers = {
        name: {value: number for number, value in enumerate(values)}
        for name, values in labels.items()
    }
    return Examples(
        item_ids=[item.item_id for item in items],
        images=images,
        texts=[item.text for item in items],
        has_image=_presence([bool(item.image) for item in items]),
        has_text=_presence([bool(normalise_text(item.text)) for item in items]),
        labels=labels,
        answers={
            name: np.array([numbers[name][item.labels[name]] for item in items], np.int32)
            for name in labels
        },
    )


def _presence(flags: Sequence[bool]) -> np.ndarray:
    return np.array(flags, np.float32)[:, None]
