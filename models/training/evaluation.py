"""How good a bundle is, measured on held-out items through the files to be served.

Nothing of Keras is in the path: the same functions score the items that will
score them in the pipeline, float16 between the branches included.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from models.failures import Stage
from models.features import FeatureSpec, pack_features, unpack_features
from models.kernels import widened
from models.litert import LiteRTModel
from models.manifest import ENCODER, TEXT_TRANSFORM, ScorerSpec, presence_of
from models.text_transform import TextTransform
from models.training.examples import Examples

BATCH = 16
VIEWS: Mapping[str, tuple[bool, bool]] = {  # which sides are shown
    "both": (True, True),
    "image_only": (True, False),
    "text_only": (False, True),
}


def scorer_inputs(
    bundle: Path, items: Examples, features: Mapping[str, tuple[FeatureSpec, ...]]
) -> dict[str, dict[str, np.ndarray]]:
    """What the scorers of `bundle` get for `items` in each of VIEWS."""
    encoded = run_batches(LiteRTModel(bundle / ENCODER), {"image": items.images})
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


def run_batches(model: LiteRTModel, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """One output row for each input row, BATCH rows at a time."""
    count = len(next(iter(inputs.values())))
    parts = [
        model({name: array[start : start + BATCH] for name, array in inputs.items()})
        for start in range(0, count, BATCH)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def accuracy_by_view(
    right: Mapping[str, np.ndarray], inputs: Mapping[str, Mapping[str, Any]]
) -> dict[str, float | None]:
    """The share of right answers in each view, of the items that have those sides.

    None where there is no such item.
    """
    shares: dict[str, float | None] = {}
    for view, arrays in inputs.items():
        flags = ("has_image", "has_text")
        needs = [flag for flag, show in zip(flags, VIEWS[view], strict=True) if show]
        whole = np.all([arrays[flag][:, 0] == 1 for flag in needs], axis=0)
        shares[view] = round(float(right[view][whole].mean()), 4) if whole.any() else None
    return shares


def right_by_view(
    bundle: Path, scorer: ScorerSpec, inputs: Mapping[str, Mapping[str, Any]], answers: np.ndarray
) -> dict[str, np.ndarray]:
    """Whether the likeliest label is the right one, in each view: bool (n,)."""
    model = LiteRTModel(bundle / scorer.path)
    return {
        view: run_batches(model, arrays)["scores"].argmax(axis=1) == answers
        for view, arrays in inputs.items()
    }


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
