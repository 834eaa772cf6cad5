"""How good a bundle is, measured on held-out items through the files to be served.

Nothing of Keras is in the path: the same functions score the items that will
score them in the pipeline, float16 between the branches included.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.facts import Score
from models.failures import Stage
from models.features import FeatureSpec, pack_features, unpack_features, widened
from models.functions import DECIDE, Functions
from models.litert import LiteRTModel
from models.manifest import ENCODER, TEXT_TRANSFORM, Kind, ScorerSpec, presence_of
from models.runtimes import Model, open_model
from models.text_transform import TextTransform
from models.training.examples import Examples
from models.training.heads import known
from models.training.measures import calibration_error, confusion, draw_confusion
from models.training.quality import (
    MEASURES,
    answers_of,
    average_precision,
    guess_of,
    quality,
    r2,
)
from models.training.rehearsal import rehearsed
from models.training.scatter import draw_scatter

BATCH = 16
CONFUSIONS = "evaluation"  # folder of a release with pictures of scorers
VIEWS: Mapping[str, tuple[bool, bool]] = {  # which sides are shown
    "both": (True, True),
    "image_only": (True, False),
    "text_only": (False, True),
}

Run = Callable[[Mapping[str, np.ndarray]], np.ndarray]


def scorer_inputs(
    bundle: Path,
    items: Examples,
    features: Mapping[str, tuple[FeatureSpec, ...]],
    embedding: np.ndarray | None = None,
) -> dict[str, dict[str, np.ndarray]]:
    """What the scorers of `bundle` get for `items` in each of VIEWS.

    `embedding` is given where the pictures themselves are no longer there.
    """
    if embedding is None:
        encoded = run_batches(LiteRTModel(bundle / ENCODER), {"image": items.images})
    else:
        encoded = {features[Stage.IMAGE][0].name: embedding}
    texts = TextTransform(bundle / TEXT_TRANSFORM, features[Stage.TEXT])(items.texts)
    sides = (
        (Stage.IMAGE, pack_features(features[Stage.IMAGE], encoded), items.has_image),
        (Stage.TEXT, texts, items.has_text),
    )
    inputs: dict[str, dict[str, np.ndarray]] = {}
    for view, shown in VIEWS.items():
        inputs[view] = {}
        for (branch, packed, present), show in zip(sides, shown, strict=True):
            there = present * np.float32(show)
            kept = [one if has else b"" for one, has in zip(packed, there[:, 0], strict=True)]
            arrays = unpack_features(features[branch], kept)
            inputs[view] |= {name: widened(array) for name, array in arrays.items()}
            inputs[view][presence_of(branch).name] = there
    return inputs


def run_batches(model: Model, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """One output row for each input row, BATCH rows at a time."""
    count = len(next(iter(inputs.values())))
    parts = [
        model({name: array[start : start + BATCH] for name, array in inputs.items()})
        for start in range(0, count, BATCH)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def measure(
    bundle: Path,
    training: Examples,
    held_out: Examples,
    scorers: Sequence[ScorerSpec],
    inputs: Mapping[str, Mapping[str, np.ndarray]],
    expected: Mapping[str, tuple[Mapping[str, np.ndarray], Run]],
) -> dict[str, Any]:
    """All that is known of a bundle, by scorer; and draws a picture of each into the bundle.

    The measure of the scorer's kind (models.training.quality) by its name and by view,
    `intervals` (95 %) by view, `best_guess`: the same measure of one answer for all items, what
    `_details` has, and `largest_difference` by file: between it and what it was exported from,
    on `expected` inputs; of numbers in standard deviations.
    """
    spreads = {one.path: one.spread for one in scorers if one.kind is Kind.REGRESSION}
    found: dict[str, Any] = {
        "largest_difference": {
            path: largest_difference(bundle / path, *one, unit=spreads.get(path, 1.0))
            for path, one in expected.items()
        }
    }
    (bundle / CONFUSIONS).mkdir()
    for scorer in scorers:
        kind, answers = scorer.kind, held_out.answers[scorer.name]
        outputs = scores_by_view(bundle, scorer, inputs)
        rows = rows_by_view(answers, inputs)
        views = {
            view: quality(kind, answers_of(kind, one, scorer.threshold), answers[rows[view]])
            if len(one := outputs[view][rows[view]])
            else None
            for view in outputs
        }
        there = known(answers)
        trained = training.answers[scorer.name]
        trained = trained[known(trained)]
        guess = guess_of(kind, trained, len(scorer.labels))
        guessed = np.broadcast_to(guess, (int(there.sum()), *guess.shape[1:]))
        for name, value in {
            MEASURES[kind]: {view: one.value if one else None for view, one in views.items()},
            "intervals": {view: one.interval if one else None for view, one in views.items()},
            "best_guess": quality(kind, guessed, answers[there]).value,
            **_details(bundle, scorer, trained, outputs["both"][there], answers[there]),
        }.items():
            found.setdefault(name, {})[scorer.name] = value
    return found


def _details(
    bundle: Path,
    scorer: ScorerSpec,
    trained: np.ndarray,
    outputs: np.ndarray,
    answers: np.ndarray,
) -> dict[str, Any]:
    """What else is measured, on all held-out items with an answer; draws the picture.

    `labels` (counts) by label; `calibration_error` of one label, `average_precision` of several,
    `r2` and `r2_interval` of a number.
    """
    found = answers_of(scorer.kind, outputs, scorer.threshold)
    picture = bundle / CONFUSIONS / f"{scorer.name}.png"
    if scorer.kind is Kind.REGRESSION:
        draw_scatter(answers, found).save(picture)
        explained = r2(found, answers)
        return {"r2": explained.value, "r2_interval": explained.interval}
    counts = label_counts(scorer.labels, trained, answers, found)
    if scorer.kind is Kind.MULTILABEL:
        return {"labels": counts, "average_precision": average_precision(outputs, answers)}
    draw_confusion(scorer.labels, confusion(answers, found, len(scorer.labels))).save(picture)
    return {"labels": counts, "calibration_error": calibration_error(outputs, answers)}


def largest_difference(
    path: Path, inputs: Mapping[str, np.ndarray], run: Run, *, unit: float = 1.0
) -> float | None:
    """Between a file and the model it was exported from, over all numbers; None of no items."""
    if not len(next(iter(inputs.values()))):
        return None
    (served,) = run_batches(open_model(path), inputs).values()
    return float(np.abs(served - run(inputs)).max() / unit)


def rows_by_view(
    answers: np.ndarray, inputs: Mapping[str, Mapping[str, Any]]
) -> dict[str, np.ndarray]:
    """By view, the numbers of the items that have an answer, and what the view shows."""
    flags = ("has_image", "has_text")
    rows = {}
    for view, arrays in inputs.items():
        needs = [flag for flag, show in zip(flags, VIEWS[view], strict=True) if show]
        there = np.all([arrays[flag][:, 0] == 1 for flag in needs], axis=0)
        rows[view] = np.flatnonzero(there & known(answers))
    return rows


def scores_by_view(
    bundle: Path, scorer: ScorerSpec, inputs: Mapping[str, Mapping[str, Any]]
) -> dict[str, np.ndarray]:
    """Scores (n, labels) in each view."""
    model = LiteRTModel(bundle / scorer.path)
    return {view: run_batches(model, arrays)["scores"] for view, arrays in inputs.items()}


def rehearse_decide(
    bundle: Path,
    item_ids: Sequence[str],
    scorers: Sequence[ScorerSpec],
    inputs: Mapping[str, Mapping[str, np.ndarray]],
    functions: Functions,
) -> None:
    """Have `decide` decide on each item by its scores, without fields. Raises FunctionFailed."""
    if DECIDE not in functions.names:
        return
    scores: list[list[Score]] = [[] for _ in item_ids]
    for scorer in scorers:
        found = scores_by_view(bundle, scorer, {"both": inputs["both"]})["both"].tolist()
        for own, values in zip(scores, found, strict=True):
            own.extend(scorer.scores(values))
    for item_id, own in zip(item_ids, scores, strict=True):
        rehearsed(item_id, functions.decide, own, "")


def label_counts(
    labels: tuple[str, ...], training: np.ndarray, held_out: np.ndarray, found: np.ndarray
) -> dict[str, dict[str, int]]:
    """By label: items trained on, items held out, and those of them that were given the label.

    Answers are numbers of labels, or (n, labels) of several at once.
    """
    numbers = np.arange(len(labels))
    trained, tested, given = (
        one[:, None] == numbers if one.ndim == 1 else one == 1
        for one in (training, held_out, found)
    )
    columns = {"trained_on": trained, "held_out": tested, "right": tested & given}
    counts = {name: one.sum(axis=0) for name, one in columns.items()}
    return {
        label: {name: int(count[number]) for name, count in counts.items()}
        for number, label in enumerate(labels)
    }
