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
from models.manifest import ENCODER, TEXT_TRANSFORM, ScorerSpec, presence_of
from models.runtimes import Model, open_model
from models.text_transform import TextTransform
from models.training.examples import Examples
from models.training.measures import calibration_error, confusion, draw_confusion, wilson
from models.training.rehearsal import rehearsed

BATCH = 16
CONFUSIONS = "evaluation"  # folder of a release with a picture a scorer
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
    """All that is known of a bundle, by scorer; and draws its confusions into the bundle.

    `accuracy` and `intervals` (95 %) by view, `calibration_error` of all items,
    `commonest_share`, `labels` (counts) by label, and `largest_difference` by file:
    between it and what it was exported from, on `expected` inputs.
    """
    found: dict[str, Any] = {
        "largest_difference": {
            path: largest_difference(bundle / path, *one) for path, one in expected.items()
        }
    }
    (bundle / CONFUSIONS).mkdir()
    for scorer in scorers:
        answers = held_out.answers[scorer.name]
        scores = scores_by_view(bundle, scorer, inputs)
        right = {view: one.argmax(axis=1) == answers for view, one in scores.items()}
        counts = label_counts(scorer.labels, training.answers[scorer.name], answers, right["both"])
        matrix = confusion(answers, scores["both"].argmax(axis=1), len(scorer.labels))
        draw_confusion(scorer.labels, matrix).save(bundle / CONFUSIONS / f"{scorer.name}.png")
        for name, value in {
            "accuracy": accuracy_by_view(right, inputs),
            "intervals": intervals_by_view(right, inputs),
            "calibration_error": calibration_error(scores["both"], answers),
            "commonest_share": commonest_share(counts),
            "labels": counts,
        }.items():
            found.setdefault(name, {})[scorer.name] = value
    return found


def largest_difference(path: Path, inputs: Mapping[str, np.ndarray], run: Run) -> float | None:
    """Between a file and the model it was exported from, over all numbers; None of no items."""
    if not len(next(iter(inputs.values()))):
        return None
    (served,) = run_batches(open_model(path), inputs).values()
    return float(np.abs(served - run(inputs)).max())


def accuracy_by_view(
    right: Mapping[str, np.ndarray], inputs: Mapping[str, Mapping[str, Any]]
) -> dict[str, float | None]:
    """The share of right answers in each view, of the items that have those sides.

    None where there is no such item.
    """
    return {
        view: round(float(one.mean()), 4) if len(one) else None
        for view, one in _whole(right, inputs).items()
    }


def intervals_by_view(
    right: Mapping[str, np.ndarray], inputs: Mapping[str, Mapping[str, Any]]
) -> dict[str, tuple[float, float]]:
    """Wilson's 95 % interval of each of these shares."""
    return {view: wilson(int(one.sum()), len(one)) for view, one in _whole(right, inputs).items()}


def _whole(
    right: Mapping[str, np.ndarray], inputs: Mapping[str, Mapping[str, Any]]
) -> dict[str, np.ndarray]:
    """Right or wrong, of the items that have the sides of each view."""
    flags = ("has_image", "has_text")
    kept = {}
    for view, arrays in inputs.items():
        needs = [flag for flag, show in zip(flags, VIEWS[view], strict=True) if show]
        kept[view] = right[view][np.all([arrays[flag][:, 0] == 1 for flag in needs], axis=0)]
    return kept


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
            own += [Score(scorer.name, *one) for one in zip(scorer.labels, values, strict=True)]
    for item_id, own in zip(item_ids, scores, strict=True):
        rehearsed(item_id, functions.decide, own, "")


def label_counts(
    labels: tuple[str, ...], training: np.ndarray, held_out: np.ndarray, right: np.ndarray
) -> dict[str, dict[str, int]]:
    """By label: items trained on, items held out, and those of them that were answered right."""
    columns = {"trained_on": training, "held_out": held_out, "right": held_out[right]}
    counts = {
        name: np.bincount(answers, minlength=len(labels)) for name, answers in columns.items()
    }
    return {
        label: {name: int(count[number]) for name, count in counts.items()}
        for number, label in enumerate(labels)
    }


def commonest_share(counts: Mapping[str, Mapping[str, int]]) -> float:
    """The accuracy of whoever always answers the label that training saw most often."""
    commonest = max(counts.values(), key=lambda one: one["trained_on"])
    return round(commonest["held_out"] / sum(one["held_out"] for one in counts.values()), 4)
