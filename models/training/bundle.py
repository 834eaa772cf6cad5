"""Train on examples and fill the folder of a release: files, and what they measure.

The only module that knows all the steps that need tensorflow.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from models.failures import Stage
from models.features import FeatureSpec, unpack_features
from models.litert import LiteRTModel
from models.manifest import ENCODER, TEXT_TRANSFORM, ScorerSpec
from models.text_transform import TextTransform
from models.training.evaluation import (
    accuracy_by_view,
    commonest_share,
    label_counts,
    right_by_view,
    run_batches,
    scorer_inputs,
)
from models.training.examples import Examples
from models.training.export import export_litert
from models.training.network import EMBEDDING, SCORER_INPUTS, Network, build_network, fit_network
from models.training.text_analysis import TEXT_FEATURES, analyse_texts

FEATURES: Mapping[str, tuple[FeatureSpec, ...]] = {
    Stage.IMAGE: (EMBEDDING,),
    Stage.TEXT: TEXT_FEATURES,
}


class Bundle(NamedTuple):
    """What `save_release` wants to know of a filled folder."""

    features: Mapping[str, tuple[FeatureSpec, ...]]
    scorers: tuple[ScorerSpec, ...]
    evaluation: dict[str, Any]


def make_bundle(
    folder: Path,
    training: Examples,
    held_out: Examples,
    *,
    seed: int,
    epochs: int,
    report: Callable[[str], None],
) -> Bundle:
    """Analyse the texts, train, export into `folder`, measure on the held-out items.

    Only `training` shapes the release. `evaluation` has `accuracy` by scorer and
    view, `commonest_share` by scorer, `labels` (counts) by scorer and label, and
    `largest_difference` between file and Keras model by file.
    """
    keras.utils.set_random_seed(seed)
    vocabulary = analyse_texts(training.texts, folder / TEXT_TRANSFORM)
    report(f"text transform analysed: {vocabulary} tokens")
    network = build_network(
        training.labels, size_px=training.images.shape[1], vocabulary=vocabulary
    )
    packed = TextTransform(folder / TEXT_TRANSFORM, TEXT_FEATURES)(training.texts)
    arrays = unpack_features(TEXT_FEATURES, packed) | {
        "image": training.images,
        "has_image": training.has_image,
        "has_text": training.has_text,
    }
    fit_network(network, arrays, training.answers, epochs=epochs, seed=seed, report=report)
    scorers = tuple(
        ScorerSpec(name, labels, tuple(one.name for one in SCORER_INPUTS))
        for name, labels in training.labels.items()
    )
    image = FeatureSpec("image", "uint8", training.images.shape[1:])
    export_litert(network.encoder, (image,), output=EMBEDDING.name, path=folder / ENCODER)
    for scorer in scorers:
        export_litert(
            network.scorers[scorer.name], SCORER_INPUTS, output="scores", path=folder / scorer.path
        )
    report("exported to LiteRT")
    return Bundle(FEATURES, scorers, _measure(folder, network, training, held_out, scorers))


def _measure(
    folder: Path,
    network: Network,
    training: Examples,
    held_out: Examples,
    scorers: tuple[ScorerSpec, ...],
) -> dict[str, Any]:
    inputs = scorer_inputs(folder, held_out, FEATURES)
    differences = {
        ENCODER: _largest_difference(
            folder / ENCODER, network.encoder, {"image": held_out.images}, EMBEDDING.name
        )
    }
    for scorer in scorers:
        differences[scorer.path] = _largest_difference(
            folder / scorer.path, network.scorers[scorer.name], inputs["both"], "scores"
        )
    accuracy, labels = {}, {}
    for scorer in scorers:
        answers = held_out.answers[scorer.name]
        right = right_by_view(folder, scorer, inputs, answers)
        accuracy[scorer.name] = accuracy_by_view(right, inputs)
        labels[scorer.name] = label_counts(
            scorer.labels, training.answers[scorer.name], answers, right["both"]
        )
    return {
        "accuracy": accuracy,
        "commonest_share": {name: commonest_share(counts) for name, counts in labels.items()},
        "labels": labels,
        "largest_difference": differences,
    }


def _largest_difference(
    path: Path, model: keras.Model, inputs: Mapping[str, np.ndarray], output: str
) -> float:
    """Between the file and the Keras model it was exported from, over all numbers."""
    served = run_batches(LiteRTModel(path), inputs)[output]
    return float(np.abs(served - model.predict(dict(inputs), verbose=0)).max())
