"""Which items are held out: by a hash, so that an item's side never depends on the others.

An item with a picture is placed by the picture's content: the same picture, under
whatever name, is never trained on and tested on. An item without one goes by its id.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from models.training.manifest_lines import LabelledItem
from models.training.manifest_problems import ManifestRefused

HELD_OUT_SHARE = 0.2
MIN_HELD_OUT = 10  # an accuracy on fewer says nothing
# A picture on so many lines stands for a missing one: its items go by their ids.
PLACEHOLDER_LINES, PLACEHOLDER_SHARE = 20, 0.01


def split_items(
    items: Sequence[LabelledItem], manifest: Path, report: Callable[[str], None]
) -> tuple[list[LabelledItem], list[LabelledItem]]:
    """Training and held-out items, each in the manifest's order.

    Reads every picture's bytes, and decodes none. Raises ManifestRefused as `check_enough`.
    """
    contents = {
        item.item_id: _content(manifest.parent / item.image) for item in items if item.image
    }
    counts = Counter(contents.values())
    placeholders = {
        one
        for one, count in counts.items()
        if count > max(PLACEHOLDER_LINES, PLACEHOLDER_SHARE * len(items)) or not one
    }
    _report(counts, placeholders, report)
    parts: tuple[list[LabelledItem], list[LabelledItem]] = [], []
    for item in items:
        content = contents.get(item.item_id, "")
        key = item.item_id if content in placeholders else content or item.item_id
        parts[is_held_out(key)].append(item)
    check_enough(manifest, *parts)
    return parts


def check_enough(
    manifest: Path, training: Sequence[LabelledItem], held_out: Sequence[LabelledItem]
) -> None:
    """Raises ManifestRefused when fewer than MIN_HELD_OUT items are in one part, in all or of
    those with one of the label names.
    """
    wanted = f"{MIN_HELD_OUT} must be held out to be tested on"
    if min(len(training), len(held_out)) < MIN_HELD_OUT:
        total = len(training) + len(held_out)
        raise ManifestRefused(manifest, [f"{total} items are too few: {wanted}"])
    counts = [
        Counter(name for item in part for name in item.labels) for part in (training, held_out)
    ]
    few = [
        f"label {name!r} is on {counts[0][name] + counts[1][name]} lines, of which "
        f"{counts[1][name]} are held out: {wanted}"
        for name in sorted(counts[0] | counts[1])
        if min(counts[0][name], counts[1][name]) < MIN_HELD_OUT
    ]
    if few:
        raise ManifestRefused(manifest, few)


def is_held_out(key: str) -> bool:
    digest = hashlib.sha256(f"held out/{key}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64 < HELD_OUT_SHARE


def _content(path: Path) -> str:
    """A digest of the file, "" where it cannot be read: that is told when it is decoded."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _report(counts: Counter[str], placeholders: set[str], report: Callable[[str], None]) -> None:
    alike = [count for one, count in counts.items() if count > 1 and one not in placeholders]
    if alike:
        report(
            f"{sum(alike)} items share {len(alike)} pictures: each picture's items are on one "
            "side, trained on or held out"
        )
    if common := [counts[one] for one in placeholders if one]:
        report(
            f"{len(common)} pictures are on {sum(common)} items and taken for placeholders: "
            "their items may be on both sides"
        )
