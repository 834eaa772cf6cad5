"""What a release must beat: linear models that anybody fits in a minute, on the same items.

They share nothing with the release but the items and the encoder: scikit-learn cuts
the texts into words itself.
"""

from typing import Any

import numpy as np

from models.features import normalise_text
from models.training.examples import Examples
from models.training.linear import MAX_ROWS, MAX_WEIGHTS, fit_linear, plain_tfidf, scaling_of
from models.training.measures import wilson
from models.training.wide import BOTH, IMAGE_ONLY, TEXT_ONLY, Rows, Wide

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
    some = np.sort(np.random.default_rng(seed).permutation(len(training.texts))[:MAX_ROWS])
    tested = np.arange(len(held_out.texts))[:MAX_ROWS]
    chosen = ((training, some), (held_out, tested))
    texts = [[normalise_text(part.texts[row]) for row in rows] for part, rows in chosen]
    terms = plain_tfidf(*texts, most=min(MAX_FEATURES, MAX_WEIGHTS // most))
    rows, rows_held_out = (
        Rows(words, np.asarray(image[rows]), *(one[rows, 0] > 0 for one in _presence(part)))
        for words, image, (part, rows) in zip(terms, (seen, seen_held_out), chosen, strict=True)
    )
    return {
        name: _of_scorer(
            rows,
            rows_held_out,
            training.answers[name][some],
            held_out.answers[name][tested],
            len(labels),
            seed,
        )
        for name, labels in training.labels.items()
    }


def _presence(part: Examples) -> tuple[np.ndarray, np.ndarray]:
    return part.has_image, part.has_text


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
