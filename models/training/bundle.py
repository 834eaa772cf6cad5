"""Train on examples and fill the folder of a release: files, and what they measure.

The only module that knows all the steps that need tensorflow.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from models.failures import Stage
from models.features import FeatureSpec, unpack_features, widened
from models.functions import NO_FUNCTIONS, Functions
from models.manifest import ENCODER, FUNCTIONS, TEXT_TRANSFORM, ScorerSpec
from models.model_checks import offered_inputs
from models.text_transform import TextTransform
from models.training.architecture import EMBEDDING
from models.training.baselines import baselines
from models.training.evaluation import Run, measure, rehearse_decide, scorer_inputs
from models.training.examples import Examples
from models.training.export import export_litert
from models.training.frozen import FrozenEncoder, Projection, fit_projection
from models.training.network import run_model
from models.training.text_analysis import TextAnalysis, analyse_texts
from models.training.trained import train_scorers

TEXTS_A_CALL, PICTURES_A_CALL = 500, 5_000

Features = Mapping[str, tuple[FeatureSpec, ...]]


class Bundle(NamedTuple):
    """What `save_release` wants to know of a filled folder."""

    features: Features
    scorers: tuple[ScorerSpec, ...]
    evaluation: dict[str, Any]


def make_bundle(
    folder: Path,
    training: Examples,
    held_out: Examples,
    *,
    encoder: FrozenEncoder | None = None,
    functions: Functions = NO_FUNCTIONS,
    seed: int,
    epochs: int,
    report: Callable[[str], None],
) -> Bundle:
    """Analyse the texts, train, export into `folder`, measure on the held-out items.

    Only `training` shapes the release. The items are as `functions` prepared them; their file
    goes into the folder too. Raises FunctionFailed where `decide` fails. `evaluation` is as
    models.training.evaluation says, with the baselines of models.training.baselines.
    """
    keras.utils.set_random_seed(seed)
    analysis = analyse_texts(training.texts, folder / TEXT_TRANSFORM)
    report(f"text transform analysed: {analysis.terms - 1} terms")
    arrays = _text_arrays(folder, training, analysis)
    projection = None
    embedding = EMBEDDING
    if encoder:
        there = np.flatnonzero(training.has_image)
        projection = fit_projection(training.images, there, seed=seed)
        embedding = FeatureSpec(EMBEDDING.name, EMBEDDING.dtype, projection.matrix.shape[1:])
        arrays["embedding"] = served(projection, training)
    features: Features = {Stage.IMAGE: (embedding,), Stage.TEXT: analysis.features}
    inputs = tuple(offered_inputs(features).values())
    trained = train_scorers(training, arrays, inputs, analysis, encoder, seed, epochs, report)
    scorers = tuple(
        ScorerSpec(
            name,
            head.labels,
            tuple(one.name for one in inputs),
            head.kind,
            trained.thresholds[name],
            head.spread,
        )
        for name, head in trained.heads.items()
    )
    name, encode = _write_encoder(folder, training, trained.encode, encoder, projection)
    for scorer in scorers:
        export_litert(
            trained.scores[scorer.name], inputs, output="scores", path=folder / scorer.path
        )
    report("exported to LiteRT" if name == ENCODER else f"exported to LiteRT, and {name}")
    encoded = served(projection, held_out) if projection else None
    shown = scorer_inputs(folder, held_out, features, encoded)
    samples = encoder.samples if encoder else held_out.images
    rehearse_decide(folder, held_out.item_ids, scorers, shown, functions)
    evaluation = measure(
        folder,
        training,
        held_out,
        scorers,
        shown,
        expected={
            name: ({"image": samples}, encode),
            **{
                one.path: (shown["both"], partial(run_model, trained.scores[one.name]))
                for one in scorers
            },
        },
    )
    seen = (
        (training.images, held_out.images)
        if encoder
        else (
            trained.embedding,
            shown["image_only"][EMBEDDING.name],
        )
    )
    evaluation["deep_shares"] = trained.shares
    evaluation["baselines"] = baselines(training, held_out, *seen, seed=seed)
    if functions.names:
        (folder / FUNCTIONS).write_bytes(functions.source)
        report(f"{', '.join(functions.names)}: no failure on {len(held_out.texts)} held-out items")
    return Bundle(features, scorers, evaluation)


def served(projection: Projection, examples: Examples) -> np.ndarray:
    """Embeddings of a frozen encoder's features, as the join hands them to scorers."""
    starts = range(0, len(examples.images), PICTURES_A_CALL)
    parts = [projection(examples.images[start : start + PICTURES_A_CALL]) for start in starts]
    embedding = np.concatenate(parts).astype(EMBEDDING.dtype).astype(np.float32)
    return embedding * examples.has_image


def _text_arrays(folder: Path, examples: Examples, analysis: TextAnalysis) -> dict[str, np.ndarray]:
    transform = TextTransform(folder / TEXT_TRANSFORM, analysis.features)
    starts = range(0, len(examples.texts), TEXTS_A_CALL)
    packed = [
        one for start in starts for one in transform(examples.texts[start : start + TEXTS_A_CALL])
    ]
    arrays = unpack_features(analysis.features, packed)
    return {name: widened(array) for name, array in arrays.items()} | {
        "has_image": examples.has_image,
        "has_text": examples.has_text,
    }


def _write_encoder(
    folder: Path,
    training: Examples,
    trained: Any,
    frozen: FrozenEncoder | None,
    projection: Projection | None,
) -> tuple[str, Run]:
    """Write the encoder's file; returns its name, and what it has to compute."""
    if frozen and projection:
        return frozen.write(folder, projection)
    image = FeatureSpec("image", "uint8", training.images.shape[1:])
    export_litert(trained, (image,), output=EMBEDDING.name, path=folder / ENCODER)
    return ENCODER, partial(run_model, trained)
