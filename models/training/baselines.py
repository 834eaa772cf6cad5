"""What a release must beat: linear models that anybody fits in a minute, on the same items.

They share nothing with the release but the items and the encoder: scikit-learn cuts
the texts into words itself.
"""

from typing import Any

import numpy as np

from models.features import normalise_text
from models.manifest import Kind
from models.training.examples import Examples
from models.training.heads import DEFAULT_THRESHOLD, Head, activated, fit_head, head_of, known
from models.training.linear import MAX_ROWS, MAX_WEIGHTS, plain_tfidf, scaling_of
from models.training.quality import MEASURES, answers_of, quality
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
    """By scorer and view: the measure of its kind, and `interval`, on the held-out items with
    those sides and an answer.

    `seen` are the encoder's numbers of each picture. A view without items is left out.
    """
    most = max(len(labels) or 1 for labels in training.labels.values())
    some = np.sort(np.random.default_rng(seed).permutation(len(training.texts))[:MAX_ROWS])
    tested = np.arange(len(held_out.texts))[:MAX_ROWS]
    chosen = ((training, some), (held_out, tested))
    texts = [[normalise_text(part.texts[row]) for row in rows] for part, rows in chosen]
    terms = plain_tfidf(*texts, most=min(MAX_FEATURES, MAX_WEIGHTS // most))
    rows, rows_held_out = (
        Rows(words, np.asarray(image[rows]), *(one[rows, 0] > 0 for one in _presence(part)))
        for words, image, (part, rows) in zip(terms, (seen, seen_held_out), chosen, strict=True)
    )
    found = {}
    for name, labels in training.labels.items():
        answers, asked = training.answers[name][some], held_out.answers[name][tested]
        there, tried = np.flatnonzero(known(answers)), np.flatnonzero(known(asked))
        found[name] = _of_scorer(
            head_of(training.kinds[name], labels, answers),
            (rows.take(there), answers[there]),
            (rows_held_out.take(tried), asked[tried]),
            seed,
        )
    return found


def _presence(part: Examples) -> tuple[np.ndarray, np.ndarray]:
    return part.has_image, part.has_text


def _of_scorer(
    head: Head,
    training: tuple[Rows, np.ndarray],
    held_out: tuple[Rows, np.ndarray],
    seed: int,
) -> dict[str, Any]:
    (rows, answers), (rows_held_out, asked) = training, held_out
    plain = Wide({}, scaling_of(rows.image[rows.has_image]), rows.terms.shape[1], head)
    found = {}
    for view in (BOTH, IMAGE_ONLY, TEXT_ONLY):
        there, tested = rows.having(view), rows_held_out.having(view)
        if not len(there) or not len(tested):
            continue
        model = fit_head(head, plain.columns(rows.take(there), view), answers[there], seed=seed)
        logits = model(plain.columns(rows_held_out.take(tested), view))
        outputs = activated(head.kind, logits)
        if head.kind is Kind.REGRESSION:
            outputs = outputs * head.spread + head.mean
        given = answers_of(head.kind, outputs, DEFAULT_THRESHOLD)
        value, interval = quality(head.kind, given, asked[tested])
        found[view] = {MEASURES[head.kind]: value, "interval": interval}
    return found
