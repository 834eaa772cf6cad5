"""Training data: the items of a manifest as arrays, the part of them that is held out last.

Pictures lie on disk, in the folder that the caller gives, and are read from there in
batches: what is in memory grows by the texts alone.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from models.failures import Reason, Rejected
from models.features import ImageLimits, decode_image, normalise_text
from models.functions import NO_FUNCTIONS, Functions
from models.manifest import Kind
from models.training.manifest_labels import kinds_of
from models.training.manifest_lines import LabelledItem, read_items
from models.training.manifest_problems import ManifestRefused, Problem, shown, summarised
from models.training.rehearsal import rehearsed
from models.training.splits import check_enough, split_items

BATCH = 16  # pictures that are decoded, and encoded, together


class Encoder(Protocol):
    """A frozen encoder: uint8 pixels (n, s, s, 3) to float32 features (n, width)."""

    width: int

    def __call__(self, pixels: np.ndarray) -> np.ndarray: ...


@dataclasses.dataclass(frozen=True)
class Examples:
    """n items as arrays, pictures and texts as the release's functions prepared them.

    The sides that an item lacks are zeros and "".
    """

    item_ids: list[str]
    images: np.ndarray  # uint8 (n, size_px, size_px, 3); features (n, width) of a frozen encoder
    texts: list[str]
    has_image: np.ndarray  # float32 (n, 1), 0 or 1
    has_text: np.ndarray  # float32 (n, 1), 0 or 1
    kinds: Mapping[str, Kind]  # by label name, sorted
    labels: Mapping[str, tuple[str, ...]]  # label name -> its labels, sorted; () of a number
    answers: Mapping[str, np.ndarray]  # label name -> (n, ...), as models.training.heads has them

    def part(self, start: int, end: int) -> "Examples":
        """Items `start` to `end`, without a copy of their pictures."""
        return Examples(
            self.item_ids[start:end],
            self.images[start:end],
            self.texts[start:end],
            self.has_image[start:end],
            self.has_text[start:end],
            self.kinds,
            self.labels,
            {name: answers[start:end] for name, answers in self.answers.items()},
        )


def read_examples(
    manifest: Path,
    folder: Path,
    *,
    size_px: int,
    limits: ImageLimits = ImageLimits(),
    encoder: Encoder | None = None,
    functions: Functions = NO_FUNCTIONS,
    min_lines: int = 1,
    skip_broken: bool = False,
    report: Callable[[str], None] = print,
) -> tuple[Examples, Examples]:
    """Read every item of `manifest`, decode its picture, and put it into `folder`.

    Returns the training and the held-out part. Raises ManifestRefused for all that
    `read_items` and `split_items` find, with no picture decoded; and if that is
    nothing, for all pictures that are unreadable or beyond `limits`. With
    `skip_broken` these are reported, and their items left out. Raises FunctionFailed for the
    first item that a function fails on.
    """
    items = read_items(manifest, min_lines=min_lines)
    training, held_out = split_items(items, manifest, report)
    shape = (encoder.width,) if encoder else (size_px, size_px, 3)
    images = np.lib.format.open_memmap(
        folder / "pictures.npy",
        mode="w+",
        dtype=np.float32 if encoder else np.uint8,
        shape=(len(items), *shape),
    )
    kept: list[LabelledItem] = []
    problems: list[Problem] = []
    counts = []
    for part in (training, held_out):
        for batch, pixels, broken in _decoded(part, manifest.parent, size_px, limits, functions):
            problems += broken
            there = [row for row, item in enumerate(batch) if item.image]
            if there:
                found = encoder(pixels[there]) if encoder else pixels[there]
                images[[len(kept) + row for row in there]] = found
            kept += batch
        counts.append(len(kept))
    if problems and not skip_broken:
        raise ManifestRefused(manifest, [*summarised(problems), "(--skip_broken leaves them out)"])
    for line in summarised(problems):
        report(f"left out: {line}")
    check_enough(manifest, kept[: counts[0]], kept[counts[0] :])
    examples = _to_examples(kept, images, functions)
    return examples.part(0, counts[0]), examples.part(counts[0], len(kept))


def _decoded(
    items: Sequence[LabelledItem],
    folder: Path,
    size_px: int,
    limits: ImageLimits,
    functions: Functions,
) -> Iterator[tuple[list[LabelledItem], np.ndarray, list[Problem]]]:
    """Items with their pixels, zeros for none; those that are broken are left out and named."""
    for start in range(0, len(items), BATCH):
        good: list[LabelledItem] = []
        problems: list[Problem] = []
        pixels = np.zeros((BATCH, size_px, size_px, 3), np.uint8)
        for item in items[start : start + BATCH]:
            try:
                if item.image:
                    decoded = _pixels(folder / item.image, size_px, limits)
                    prepare = functions.prepare_image
                    pixels[len(good)] = rehearsed(item.item_id, prepare, decoded)
                good.append(item)
            except ValueError as error:
                wrong = f"image {shown(item.image)}: {error}"
                problems.append(Problem(item.line, wrong, str(error).split(":")[0]))
        yield good, pixels, problems


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


def _to_examples(
    items: Sequence[LabelledItem], images: np.ndarray, functions: Functions
) -> Examples:
    texts = [rehearsed(item.item_id, functions.prepare_text, item.text) for item in items]
    kinds = kinds_of([item.labels for item in items])
    labels, answers = {}, {}
    for name, kind in kinds.items():
        values = [item.labels.get(name) for item in items]
        labels[name] = _labels(kind, values)
        answers[name] = _answers(kind, values, labels[name])
    return Examples(
        item_ids=[item.item_id for item in items],
        images=images,
        texts=texts,
        has_image=_presence([bool(item.image) for item in items]),
        has_text=_presence([bool(normalise_text(text)) for text in texts]),
        kinds=kinds,
        labels=labels,
        answers=answers,
    )


def _labels(kind: Kind, values: Sequence[Any]) -> tuple[str, ...]:
    if kind is Kind.REGRESSION:
        return ()
    there = [one for one in values if one is not None]
    return tuple(sorted(set(there if kind is Kind.CLASSIFICATION else chain.from_iterable(there))))


def _answers(kind: Kind, values: Sequence[Any], labels: Sequence[str]) -> np.ndarray:
    """One row an item; None is no answer."""
    if kind is Kind.REGRESSION:
        return np.array([np.nan if one is None else one for one in values], np.float64)
    numbers = {label: number for number, label in enumerate(labels)}
    if kind is Kind.CLASSIFICATION:
        return np.array([numbers.get(one, -1) for one in values], np.int32)
    answers = np.zeros((len(values), len(labels)), np.float32)
    for row, chosen in zip(answers, values, strict=True):
        if chosen is None:
            row[:] = np.nan
        else:
            row[[numbers[one] for one in chosen]] = 1
    return answers


def _presence(flags: Sequence[bool]) -> np.ndarray:
    return np.array(flags, np.float32)[:, None]
