"""What a release must beat: linear models that anybody fits in a minute, on the same items.

They share nothing with the release but the items and the encoder: scikit-learn cuts
the texts into words itself.
"""

from typing import Any

import numpy as np

from models.features import normalise_text
from models.training.examples import Examples
from models.training.linear import MAX_WEIGHTS, fit_linear, plain_tfidf
from models.training.measures import wilson
from models.training.wide import BOTH, IMAGE_ONLY, TEXT_ONLY, Rows, Wide, scaling_of

MAX_FEATURES = 50_000


def baselines(
    training: Examples,
    held_out: Examples,
    seen: np.ndarray,
    seen_held_out: np.ndarray,
    *,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """By scorer and view: `accuracy` and `interval` on the held-out items with those sides.

    `seen` are the encoder's numbers of each picture. A view without items is left out.
    """
    most = max(len(labels) for labels in training.labels.values())
    texts = [[normalise_text(one) for one in part.texts] for part in (training, held_out)]
    terms = plain_tfidf(*texts, most=min(MAX_FEATURES, MAX_WEIGHTS // most))
    rows, rows_held_out = (
        Rows(words, image, part.has_image[:, 0] > 0, part.has_text[:, 0] > 0)
        for words, image, part in zip(
            terms, (seen, seen_held_out), (training, held_out), strict=True
        )
    )
    return {
        name: _of_scorer(
            rows, rows_held_out, training.answers[name], held_out.answers[name], len(labels), seed
        )
        for name, labels in training.labels.items()
    }


def _of_scorer(
    rows: Rows,
    rows_held_out: Rows,
    answers: np.ndarray,
    answers_held_out: np.ndarray,
    labels: int,
    seed: int,
) -> dict[str, Any]:
    plain = Wide({}, scaling_of(rows.image[rows.has_image]), rows.terms.shape[1])
    found = {}
    for view in (BOTH, IMAGE_ONLY, TEXT_ONLY):
        there, tested = rows.having(view), rows_held_out.having(view)
        if not len(there) or not len(tested):
            continue
        model = fit_linear(plain.columns(rows.take(there), view), answers[there], labels, seed=seed)
        given = model(plain.columns(rows_held_out.take(tested), view)).argmax(axis=1)
        right = int((given == answers_held_out[tested]).sum())
        found[view] = {
            "accuracy": round(right / len(tested), 4),
            "interval": wilson(right, len(tested)),
        }
    return found
