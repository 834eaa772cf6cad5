"""Train the network and the linear models, and join them to one scorer a label name."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from models.features import FeatureSpec
from models.manifest import Kind
from models.training.architecture import DEEP_INPUTS, Network, build_network
from models.training.evaluation import VIEWS
from models.training.examples import Examples
from models.training.frozen import FrozenEncoder
from models.training.heads import (
    DEFAULT_THRESHOLD,
    Head,
    activated,
    choose_threshold,
    head_of,
    known,
)
from models.training.network import fit_network, run_model
from models.training.text_analysis import TextAnalysis
from models.training.wide import (
    Score,
    Wide,
    choose_shares,
    fit_wide,
    mixed_outputs,
    mixed_scorer,
    rows_of,
)

# Items that neither part of a scorer is fitted on, to say how much each counts.
CHOOSING_SHARE, MIN_CHOOSING, MAX_CHOOSING = 0.1, 50, 200


class Trained(NamedTuple):
    """`embedding` of the training items, as served; `encode` and `scores` to export.

    `encode` is None where a frozen encoder encodes.
    """

    embedding: np.ndarray
    encode: Any
    heads: Mapping[str, Head]
    scores: Mapping[str, Score]
    shares: Mapping[str, Mapping[str, float]]
    thresholds: Mapping[str, float]


def train_scorers(
    training: Examples,
    arrays: dict[str, np.ndarray],
    inputs: Sequence[FeatureSpec],
    analysis: TextAnalysis,
    encoder: FrozenEncoder | None,
    seed: int,
    epochs: int,
    report: Callable[[str], None],
) -> Trained:
    """Train the encoder, where none is given, and every scorer, on the items with an answer.

    `arrays` are the text features, presence, and of a frozen encoder the embedding.
    """
    count = len(training.texts)
    order = np.random.default_rng(seed).permutation(count)
    for_choice = min(MAX_CHOOSING, max(int(count * CHOOSING_SHARE), min(MIN_CHOOSING, count // 5)))
    choosing, fitting = np.sort(order[:for_choice]), np.sort(order[for_choice:])
    heads = {
        name: head_of(training.kinds[name], labels, training.answers[name])
        for name, labels in training.labels.items()
    }
    network = build_network(
        {name: head.columns for name, head in heads.items()},
        inputs,
        size_px=None if encoder else training.images.shape[1],
        vocabulary=analysis.vocabulary,
    )
    pixels = {} if encoder else {"image": training.images}
    embedding = fit_network(
        network,
        heads,
        arrays | pixels,
        training.answers,
        fitting,
        epochs=epochs,
        seed=seed,
        report=report,
    )
    arrays = arrays | {"embedding": embedding}
    rows = rows_of(arrays, analysis.terms)
    scores, shares, thresholds = {}, {}, {}
    for name, head in heads.items():
        answers = training.answers[name]
        there = known(answers)
        fit_on, choose_on = fitting[there[fitting]], choosing[there[choosing]]
        trial = fit_wide(rows.take(fit_on), answers[fit_on], head, seed=seed)
        deep = _deep_outputs(network, name, head, arrays, choose_on)
        found, wanted = rows.take(choose_on), answers[choose_on]
        shares[name] = choose_shares(trial, deep, found, wanted)
        thresholds[name] = DEFAULT_THRESHOLD
        if head.kind is Kind.MULTILABEL:
            mixed = mixed_outputs(trial, deep, shares[name], found)
            thresholds[name] = choose_threshold(mixed, wanted)
        whole: Wide = fit_wide(rows.take(np.flatnonzero(there)), answers[there], head, seed=seed)
        scores[name] = mixed_scorer(_reading(network.logits[name]), whole, shares[name])
        parts = ", ".join(f"{view} {share:.2f}" for view, share in shares[name].items())
        report(f"{name}: share of the deep part: {parts}")
    return Trained(embedding, network.encoder, heads, scores, shares, thresholds)


def _reading(logits: Callable[..., Any]) -> Callable[..., Any]:
    """Keras models take exactly their own inputs."""

    def read(inputs: Mapping[str, Any], *, training: bool = False) -> Any:
        return logits({name: inputs[name] for name in DEEP_INPUTS}, training=training)

    return read


def _deep_outputs(
    network: Network, name: str, head: Head, arrays: Mapping[str, np.ndarray], rows: np.ndarray
) -> dict[str, np.ndarray]:
    """By view, what the deep part alone makes of these items, (n, columns), activated."""
    if not len(rows):
        return dict.fromkeys(VIEWS, np.zeros((0, head.columns)))
    chosen = {one: arrays[one][rows] for one in DEEP_INPUTS}
    outputs = {}
    for view, (image, text) in VIEWS.items():
        shown = {"embedding": image, "has_image": image, "token_ids": text, "has_text": text}
        inputs = {one: array * array.dtype.type(shown[one]) for one, array in chosen.items()}
        outputs[view] = activated(head.kind, run_model(network.logits[name], inputs))
    return outputs
