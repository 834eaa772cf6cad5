"""One item through a release on this machine, by the job's own models' processes.

Decode, prepare, encode, text transform, scorers and decide, each within the limits that it
has in a job. What the job does before and after, parsing and rows, is not part of it.
"""

import hashlib
import io
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from models.facts import Encoded, Score, Scores
from models.failures import Failure, Reason, Stage, plain
from models.features import FeatureSpec, ImageLimits, decode_image, unpack_features
from models.functions import functions_of
from models.kernels import Answer, CallLimits
from models.manifest import FUNCTIONS, GOLDEN, MANIFEST, Manifest
from models.release import fetch_release
from testudo.errors import CommandError
from testudo.serving import Processes, serving_processes


class Item(NamedTuple):
    """`image` as a file's bytes; b"" and "" for what the item lacks."""

    image: bytes
    text: str
    fields_json: str = ""


@dataclass(kw_only=True)
class Trial:
    """What became of one item; where there are failures, what came before them."""

    release: str
    functions: str = ""  # whose they are; empty for none
    image: Mapping[str, Any] | None = None
    text: Mapping[str, Any] | None = None
    features: list[dict[str, Any]] = field(default_factory=list)  # a summary of each array
    scores: list[Score] = field(default_factory=list)
    decisions_json: str = ""
    spent_ms: dict[str, float] = field(default_factory=dict)  # by step
    square: bytes = b""  # PNG
    failures: list[Failure] = field(default_factory=list)


def try_item(
    root: str,
    release: str,
    item: Item,
    *,
    functions: Path | None = None,
    square: bool = False,
    calls: CallLimits = CallLimits(),
    limits: ImageLimits = ImageLimits(),
) -> Trial:
    """Score one item by a release under `root`, perhaps with other functions than its own.

    Raises ReleaseError for a release that is missing or damaged, CommandError for
    `functions` that cannot be used.
    """
    with tempfile.TemporaryDirectory() as scratch, serving_processes(calls, limits) as processes:
        manifest, folder = fetch_release(root, release, Path(scratch) / "cache")
        if functions:
            manifest, folder = _with(functions, manifest, folder, Path(scratch) / "tried")
        trial = Trial(release=release, functions=_whose(manifest, functions))
        asked = {
            Stage.IMAGE: [item.image] if item.image else [],
            Stage.TEXT: [item.text] if item.text else [],
            Stage.SCORE: [],
        }
        answer = partial(_answer, processes, folder)
        with ThreadPoolExecutor(len(asked)) as threads:  # each imports and loads for a while
            found = dict(zip(asked, threads.map(answer, asked, asked.values()), strict=True))
        features = {}
        for branch, one in found.items():
            if branch != Stage.SCORE:
                features[branch] = _take(trial, manifest, branch, one) if one else b""
        _check_functions(functions, [one.result for one in found.values() if one])
        if not trial.failures:
            _score(trial, answer(Stage.SCORE, [(features, item.fields_json)]))
        if square and item.image and Stage.IMAGE not in {one.stage for one in trial.failures}:
            trial.square = _png(manifest, folder, item.image, limits)
    return trial


def _answer(
    processes: Processes, folder: Path, stage: Stage, items: Sequence[Any]
) -> Answer | None:
    """Of one item, or None of none; TensorFlow is not started for an item without a text.

    The second time counts: in the first one buffers are made, which a job does once.
    """
    process = processes[stage]
    if not items:
        failure = process.load(folder) if stage is Stage.SCORE else None
        return Answer(failure, 0) if failure else None
    (answer,) = process.answers(folder, items)
    if not isinstance(answer.result, Failure):
        (answer,) = process.answers(folder, items)
    return answer


def _take(trial: Trial, manifest: Manifest, branch: Stage, answer: Answer) -> bytes:
    """What a branch answered, into the trial; returns the features."""
    result = answer.result
    if isinstance(result, Failure):
        trial.failures.append(result)
        return b""
    assert isinstance(result, Encoded)  # noqa: S101 - for mypy
    if branch is Stage.IMAGE:
        trial.image = result.facts
        trial.spent_ms |= {step: us / 1000 for step, us in result.spent_us.items()}
        trial.spent_ms["encode"] = answer.spent_us / 1000
    else:
        trial.text = result.facts
        trial.spent_ms["text"] = answer.spent_us / 1000
    if result.features:
        specs = manifest.features[branch]
        arrays = unpack_features(specs, [result.features])
        trial.features += [_summary(spec, arrays[spec.name][0]) for spec in specs]
    return result.features


def _summary(spec: FeatureSpec, array: np.ndarray) -> dict[str, Any]:
    return {
        "name": spec.name,
        "type": spec.dtype,
        "numbers": array.size,
        "not_zero": int(np.count_nonzero(array)),
        "least": round(float(array.min()), 4),
        "most": round(float(array.max()), 4),
    }


def _score(trial: Trial, answer: Answer | None) -> None:
    assert answer is not None  # noqa: S101 - for mypy: an item was asked for
    if isinstance(answer.result, Failure):
        trial.failures.append(answer.result)
        return
    assert isinstance(answer.result, Scores)  # noqa: S101 - for mypy
    trial.scores, trial.decisions_json = answer.result
    trial.spent_ms["score"] = answer.spent_us / 1000


def _with(functions: Path, manifest: Manifest, folder: Path, copy: Path) -> tuple[Manifest, Path]:
    """The release with other functions, as training would save it; it has no id of its own."""
    shutil.copytree(folder, copy)
    source = functions.read_bytes()
    (copy / FUNCTIONS).write_bytes(source)
    files = {**manifest.files, FUNCTIONS: hashlib.sha256(source).hexdigest()}
    files.pop(GOLDEN, None)  # what they say is of the release's own functions
    manifest = replace(manifest, files=files)
    (copy / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    return manifest, copy


def _whose(manifest: Manifest, functions: Path | None) -> str:
    if functions:
        return f"of {functions}"
    return "of the release" if FUNCTIONS in manifest.files else ""


def _check_functions(functions: Path | None, results: Sequence[object]) -> None:
    """Raises CommandError: the release was whole, so what it cannot load is the new file."""
    for one in results:
        unloadable = isinstance(one, Failure) and one.reason == Reason.RELEASE_UNAVAILABLE
        if functions and unloadable:
            assert isinstance(one, Failure)  # noqa: S101 - for mypy
            raise CommandError(f"--functions: {functions}: {plain(one.detail)}")


def _png(manifest: Manifest, folder: Path, image: bytes, limits: ImageLimits) -> bytes:
    """The square, made here again: processes give features alone, and have made it before."""
    pixels, _ = decode_image(image, size_px=manifest.image_size_px, limits=limits)
    square = Image.fromarray(functions_of(manifest, folder).prepare_image(pixels))
    file = io.BytesIO()
    square.save(file, "PNG")
    return file.getvalue()
