"""The wide part of a scorer: linear models on weighted terms and embedding, beside the deep one.

For each of the three views (both sides, either alone) there is one, fitted by
itself, so that each is as good as logistic regression is. How much the deep part
counts beside it is chosen, view by view, on items that neither was fitted on.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import tensorflow as tf

from models.manifest import Kind
from models.training.heads import Head, activated, fit_head, losses
from models.training.linear import Linear, Scaling, scaling_of, weighted_terms

BOTH, IMAGE_ONLY, TEXT_ONLY = "both", "image_only", "text_only"
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the deep part's answer
ACTIVATIONS = {
    Kind.CLASSIFICATION: tf.nn.softmax,
    Kind.MULTILABEL: tf.nn.sigmoid,
    Kind.REGRESSION: tf.identity,
}

Score = Callable[..., Any]  # (the scorer's inputs, training=False) -> (n, columns), as served


class Rows(NamedTuple):
    """n items as linear models take them."""

    terms: sp.csr_matrix  # (n, terms)
    image: np.ndarray  # float32 (n, numbers)
    has_image: np.ndarray  # bool (n,)
    has_text: np.ndarray  # bool (n,)

    def take(self, rows: np.ndarray) -> "Rows":
        return Rows(*(column[rows] for column in self))

    def having(self, view: str) -> np.ndarray:
        """The numbers of the items that have the sides of `view`."""
        image = self.has_image | (view == TEXT_ONLY)
        return np.flatnonzero(image & (self.has_text | (view == IMAGE_ONLY)))


class Wide(NamedTuple):
    """`models` by view: on terms and then image, on image, on terms."""

    models: Mapping[str, Linear]
    scaling: Scaling
    terms: int
    head: Head

    def outputs(self, rows: Rows, view: str) -> np.ndarray:
        """Probabilities, or numbers as they are learnt."""
        return activated(self.head.kind, self.models[view](self.columns(rows, view)))

    def columns(self, rows: Rows, view: str) -> np.ndarray | sp.csr_matrix:
        if view == TEXT_ONLY:
            return rows.terms
        image = self.scaling(rows.image)
        if view == IMAGE_ONLY:
            return image
        return sp.hstack([rows.terms, sp.csr_matrix(image)]).tocsr()


def rows_of(arrays: Mapping[str, np.ndarray], terms: int) -> Rows:
    return Rows(
        weighted_terms(arrays["term_ids"], arrays["term_weights"], terms),
        arrays["embedding"],
        arrays["has_image"][:, 0] > 0,
        arrays["has_text"][:, 0] > 0,
    )


def fit_wide(rows: Rows, answers: np.ndarray, head: Head, *, seed: int) -> Wide:
    """Of items that all have an answer."""
    wide = Wide({}, scaling_of(rows.image[rows.has_image]), rows.terms.shape[1], head)
    models = {}
    for view in (BOTH, IMAGE_ONLY, TEXT_ONLY):
        there = rows.having(view)
        columns = wide.columns(rows.take(there), view)
        models[view] = fit_head(head, columns, answers[there], seed=seed)
    return wide._replace(models=models)


def choose_shares(
    wide: Wide, deep: Mapping[str, np.ndarray], rows: Rows, answers: np.ndarray
) -> dict[str, float]:
    """By view, the share of the deep part with the least loss on these items, which have answers.

    `deep` are its outputs by view, activated. Of equal shares the smallest.
    """
    shares = {}
    for view, model in wide.models.items():
        there = rows.having(view)
        if not len(there) or not model.weights.any():
            shares[view] = 1.0
            continue
        linear = wide.outputs(rows.take(there), view)
        found = [
            losses(
                wide.head, (1 - share) * linear + share * deep[view][there], answers[there]
            ).mean()
            for share in SHARES
        ]
        shares[view] = SHARES[int(np.argmin(found))]
    return shares


def mixed_outputs(
    wide: Wide, deep: Mapping[str, np.ndarray], shares: Mapping[str, float], rows: Rows
) -> np.ndarray:
    """What both parts make of each item, by all that it has; (n, columns), activated."""
    outputs = np.zeros((len(rows.has_image), wide.head.columns))
    for view in (TEXT_ONLY, IMAGE_ONLY, BOTH):  # the last that an item has counts
        there = rows.having(view)
        if len(there):
            linear = wide.outputs(rows.take(there), view)
            outputs[there] = (1 - shares[view]) * linear + shares[view] * deep[view][there]
    return outputs


def mixed_scorer(deep: Score, wide: Wide, shares: Mapping[str, float]) -> Score:
    """Both parts as one function of the scorer's inputs, to be exported.

    `deep` gives logits.
    """
    activate = ACTIVATIONS[wide.head.kind]
    both, image_only, text_only = (wide.models[one] for one in (BOTH, IMAGE_ONLY, TEXT_ONLY))
    split = wide.terms  # of `both`, the weights of the terms come first
    table = tf.constant(np.concatenate([both.weights[:split], text_only.weights], axis=1))
    seen = np.concatenate([both.weights[split:], image_only.weights], axis=1) * wide.scaling.scale
    bias = np.concatenate([both.bias, image_only.bias]) - wide.scaling.mean @ seen
    seen, bias = (tf.constant(one, tf.float32) for one in (seen, bias))

    def score(inputs: Mapping[str, tf.Tensor], *, training: bool = False) -> tf.Tensor:
        weights = inputs["term_weights"][:, tf.newaxis]
        words = tf.matmul(weights, tf.gather(table, inputs["term_ids"]))[:, 0]
        of_both, of_text = tf.split(words, 2, axis=1)
        also_both, of_image = tf.split(tf.matmul(inputs["embedding"], seen) + bias, 2, axis=1)
        has_image, has_text = inputs["has_image"], inputs["has_text"]
        is_both, is_image = has_image * has_text, has_image * (1 - has_text)
        is_text = has_text * (1 - has_image)
        linear = (
            is_both * (of_both + also_both)
            + is_image * of_image
            + is_text * (of_text + text_only.bias)
        )
        share = is_both * shares[BOTH] + is_image * shares[IMAGE_ONLY] + is_text * shares[TEXT_ONLY]
        mixed = (1 - share) * activate(linear) + share * activate(deep(inputs, training=training))
        if wide.head.kind is Kind.REGRESSION:
            return mixed * wide.head.spread + wide.head.mean
        return mixed

    return score
