"""Golden items: a few items that a release carries, and what its files gave for them in training.

Whoever loads the release scores them first: where the answers are others, so would be those
for everybody's items, and the release is not used. So a library, a machine or a decoder
that computes something else is found before it answers, and not in what it answered.
"""

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from models.facts import Encoded, Score, Scores
from models.failures import Failure, Reason, Stage
from models.features import FeatureSpec, unpack_features
from models.kernels import Answer
from models.manifest import GOLDEN, Kind, Manifest, ReleaseError

FORMAT = 1
# Of the largest number of a feature. Measured on two encoders: kernels of other processors and
# float16 differ by 0.0003, pixels that are off by a shade, as another decoder's, by 0.002, all of
# them in one direction by 0.005; mirrored or half as sharp by 0.02, blue for red by 0.1. A GPU
# rounds products to 10 bits, a thousandth.
FEATURE_TOLERANCE = 0.01
# Other kernels differ by a millionth, a GPU by a thousandth: scores are made from the features
# that were kept. Another file or order of labels is off by tenths for at least one of the items.
SCORE_TOLERANCE = 0.01


class GoldenItem(NamedTuple):
    """`image` as a file's bytes; b"" and "" for what the item lacks.

    `features` are packed (models.features), by branch, b"" for none.
    """

    item_id: str
    image: bytes
    text: str
    features: Mapping[str, bytes]
    scores: Sequence[Score]


def to_json(items: Sequence[GoldenItem]) -> str:
    """What `golden.json` says: bytes in base64, scores as [scorer, label, score].

    What else a score has follows, unless it is null.
    """
    lines = [
        {
            "item_id": one.item_id,
            "image": base64.b64encode(one.image).decode(),
            "text": one.text,
            "features": {
                branch: base64.b64encode(packed).decode() for branch, packed in one.features.items()
            },
            "scores": [_without_nulls(score) for score in one.scores],
        }
        for one in items
    ]
    return json.dumps({"format": FORMAT, "items": lines}, indent=1) + "\n"


def from_json(text: str) -> list[GoldenItem]:
    """Raises ReleaseError when the text is not what `to_json` gives."""
    try:
        content = json.loads(text)
        if content["format"] != FORMAT:
            raise ReleaseError(f"{GOLDEN} has format {content['format']}, this code reads {FORMAT}")
        return [
            GoldenItem(
                str(one["item_id"]),
                base64.b64decode(one["image"], validate=True),
                str(one["text"]),
                {
                    branch: base64.b64decode(packed, validate=True)
                    for branch, packed in one["features"].items()
                },
                [Score(*score) for score in one["scores"]],
            )
            for one in content["items"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReleaseError(f"{GOLDEN} cannot be read: {type(error).__name__}: {error}") from error


def _without_nulls(score: Score) -> Sequence[Any]:
    """Versions that know no other kinds read three of it."""
    return score[:3] if score[3:] == (None, None) else score


def read_golden(manifest: Manifest, folder: Path) -> list[GoldenItem]:
    """Those of the release in `folder`, none where it has none. Raises ReleaseError."""
    if GOLDEN not in manifest.files:
        return []
    return from_json((folder / GOLDEN).read_text(encoding="utf-8"))


def check_golden(
    stage: Stage,
    kernel: Callable[[Sequence[Any]], list[Answer]],
    manifest: Manifest,
    items: Sequence[GoldenItem],
) -> None:
    """Have a loaded kernel answer for the items. Raises ReleaseError for another answer.

    It names the first such item, what was wanted and what it got. An image beyond the limits
    of this job is passed over: that says nothing of the release. What `decide` gives is not
    compared, as it may depend on the day; that it gives something is.
    """
    asked = [(one, given) for one in items for given in _given(stage, one)]
    if not asked:
        return
    answers = kernel([given for _, given in asked])
    wrong = [
        f"golden item {item.item_id!r}: {difference}"
        for (item, _), answer in zip(asked, answers, strict=True)
        for difference in _differences(stage, manifest, item, answer.result)
    ]
    if wrong:
        raise ReleaseError(f"{wrong[0]}" + f" (and {len(wrong) - 1} more)" * (len(wrong) > 1))


def _given(stage: Stage, item: GoldenItem) -> Iterator[Any]:
    """What the kernel of a stage reads of the item, if anything."""
    if stage == Stage.IMAGE and item.image:
        yield item.image
    elif stage == Stage.TEXT:
        yield item.text
    elif stage == Stage.SCORE:
        yield item.features, ""


def _differences(stage: Stage, manifest: Manifest, item: GoldenItem, result: Any) -> Iterator[str]:
    if isinstance(result, Failure):
        if result.reason != Reason.IMAGE_TOO_LARGE:
            yield f"wanted an answer, got {result.reason}: {result.detail}"
    elif isinstance(result, Scores):
        yield from _of_scores(manifest, item.scores, result.scores)
    elif isinstance(result, Encoded):
        wanted = item.features.get(stage, b"")
        yield from _of_features(manifest.features[stage], wanted, result.features)


def _of_features(specs: Sequence[FeatureSpec], wanted: bytes, got: bytes) -> Iterator[str]:
    size_bytes = sum(spec.size_bytes for spec in specs)
    if len(wanted) not in (0, size_bytes):
        raise ReleaseError(f"{GOLDEN} has features of {len(wanted)} bytes, not {size_bytes}")
    if bool(wanted) != bool(got):
        yield f"wanted {'' if wanted else 'no '}features, got {'some' if got else 'none'}"
        return
    arrays = unpack_features(specs, [wanted, got])
    for spec in specs:
        before, now = (one.ravel().astype(np.float64) for one in arrays[spec.name])
        if not before.size:
            continue
        is_whole = np.dtype(spec.dtype).kind in "iu"
        allowed = 0.0 if is_whole else FEATURE_TOLERANCE * float(np.abs(before).max())
        off = np.abs(now - before)
        worst = int(off.argmax())
        if not off[worst] <= allowed:  # which is also false of nan
            yield (
                f"{spec.name}[{worst}] wanted {before[worst]:.6g}, got {now[worst]:.6g} "
                f"(allowed {allowed:.2g})"
            )


def _of_scores(manifest: Manifest, wanted: Sequence[Score], got: Sequence[Score]) -> Iterator[str]:
    names = [(one.model, one.label) for one in wanted]
    if names != [(one.model, one.label) for one in got]:
        yield f"wanted scores of {names}, got others"
        return
    # Numbers are compared as what they were trained on varies.
    spreads = {one.name: one.spread for one in manifest.scorers if one.kind is Kind.REGRESSION}

    def off(pair: tuple[Score, Score]) -> float:
        before, now = pair
        return abs(before.number - now.number) / spreads.get(before.model, 1.0)

    worst = max(zip(wanted, got, strict=True), key=off)
    if not off(worst) <= SCORE_TOLERANCE:
        before, now = worst
        what = before.model if before.label is None else f"{before.model} {before.label!r}"
        allowed = SCORE_TOLERANCE * spreads.get(before.model, 1.0)
        yield (f"{what} wanted {before.number:.4f}, got {now.number:.4f} (allowed {allowed:g})")
