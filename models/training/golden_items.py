"""The golden items of a new release: held-out items, and what its files give for them.

The kernels that will serve the release answer here, from the sender's text and the picture's
file on, so what is kept is what a worker has to give again (models.golden).
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from models.facts import Encoded, Scores
from models.failures import Failure, Stage
from models.features import FeatureSpec, ImageLimits, decode_image
from models.golden import GoldenItem, to_json
from models.kernels import Answer, CallLimits, ImageKernel, ScoreKernel, TextKernel
from models.manifest import GOLDEN, Manifest, ScorerSpec
from models.training.manifest_lines import LabelledItem
from models.training.rehearsal import GoldenItemFailed

# Larger files are kept as a PNG of the decoded picture, of at most this side.
MAX_FILE_BYTES = 50_000
MAX_SIDE_PX = 256
LEAST_WHOLE = 3  # of items with both, before two are taken to show one side each
# A kernel's alarm ends its process, which here is the training.
PATIENT = CallLimits(decode_s=600.0, call_s=600.0)


def choose_golden(items: Sequence[LabelledItem], count: int) -> list[LabelledItem]:
    """`count` of the items, spread over them; two of those with both lose the one or the other.

    So that each scorer also answers for an item without a picture, and one without a text.
    """
    step = max(1, len(items) // max(1, count))
    chosen = list(items[::step][:count])
    whole = [place for place, one in enumerate(chosen) if one.image and one.text.strip()]
    if len(whole) >= LEAST_WHOLE:
        without_text, without_image = whole[-2:]
        chosen[without_text] = chosen[without_text]._replace(text="")
        chosen[without_image] = chosen[without_image]._replace(image="")
    return chosen


def as_served(
    folder: Path,
    task: str,
    size_px: int,
    features: Mapping[str, tuple[FeatureSpec, ...]],
    scorers: tuple[ScorerSpec, ...],
) -> Manifest:
    """The manifest of files that have no release yet, as far as kernels read it."""
    names = {path.relative_to(folder).as_posix(): "" for path in folder.rglob("*")}
    return Manifest(
        release=task,
        task=task,
        created_at="",
        image_size_px=size_px,
        features=features,
        scorers=scorers,
        files=names,
        evaluation={},
    )


def write_golden(
    folder: Path,
    manifest: Manifest,
    items: Sequence[LabelledItem],
    pictures: Path,
    limits: ImageLimits,
) -> None:
    """Write `golden.json` into the folder of a release that is otherwise complete.

    Items' images are relative to `pictures`. Raises GoldenItemFailed for an
    item that a kernel has no answer for.
    """
    if not items:
        return
    images = [_small(pictures / one.image, limits) if one.image else b"" for one in items]
    image = ImageKernel(manifest, folder, PATIENT, limits)
    text = TextKernel(manifest, folder, PATIENT)
    score = ScoreKernel(manifest, folder, PATIENT)
    encoded = iter(image([one for one in images if one]))
    features: list[dict[str, bytes]] = [
        {
            Stage.IMAGE: _features(item, next(encoded)) if data else b"",
            Stage.TEXT: _features(item, answer),
        }
        for item, data, answer in zip(items, images, text([one.text for one in items]), strict=True)
    ]
    scored = score([(one, "") for one in features])
    golden = [
        GoldenItem(item.item_id, data, item.text, packed, _scores(item, answer).scores)
        for item, data, packed, answer in zip(items, images, features, scored, strict=True)
    ]
    (folder / GOLDEN).write_text(to_json(golden), encoding="utf-8")


def _small(path: Path, limits: ImageLimits) -> bytes:
    data = path.read_bytes()
    if len(data) <= MAX_FILE_BYTES:
        return data
    pixels, _ = decode_image(data, size_px=MAX_SIDE_PX, limits=limits)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _features(item: LabelledItem, answer: Answer) -> bytes:
    result = _answered(item, answer)
    assert isinstance(result, Encoded)  # noqa: S101 - for mypy
    return result.features


def _scores(item: LabelledItem, answer: Answer) -> Scores:
    result = _answered(item, answer)
    assert isinstance(result, Scores)  # noqa: S101 - for mypy
    return result


def _answered(item: LabelledItem, answer: Answer) -> object:
    if isinstance(answer.result, Failure):
        raise GoldenItemFailed(
            f"item {item.item_id!r} of the manifest would be a dead letter, "
            f"{answer.result.reason}: {answer.result.detail}\nNothing was saved."
        )
    result: object = answer.result
    return result
