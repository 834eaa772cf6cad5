"""Linear models: the wide part of a scorer and the baselines."""

import numpy as np
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression

from models.manifest import Kind
from models.training.heads import Head, activated
from models.training.linear import (
    STRENGTH,
    fit_linear,
    plain_tfidf,
    scaling_of,
    weighted_terms,
)
from models.training.wide import (
    BOTH,
    IMAGE_ONLY,
    TEXT_ONLY,
    Rows,
    choose_shares,
    fit_wide,
)

CHANCE = np.random.default_rng(0)
THREE = Head(Kind.CLASSIFICATION, ("a", "b", "c"))


def softmax(logits: np.ndarray) -> np.ndarray:
    return activated(Kind.CLASSIFICATION, logits)


def items(count: int, labels: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows that tell their labels well, and not always."""
    answers = CHANCE.integers(0, labels, count)
    return np.eye(labels)[answers] + CHANCE.normal(0, 0.6, (count, labels)), answers


def test_a_linear_model_is_logistic_regression() -> None:
    """The probabilities are scikit-learn's, of two labels too."""
    for labels in (2, 4):
        rows, answers = items(200, labels)
        theirs = LogisticRegression(C=STRENGTH, max_iter=300).fit(rows, answers)
        ours = softmax(fit_linear(rows, answers, labels)(rows))
        np.testing.assert_allclose(ours, theirs.predict_proba(rows), atol=1e-5)


def test_a_label_without_items_gets_no_chance() -> None:
    """And with one label, or none, there is nothing to tell apart."""
    rows, answers = items(100, 3)
    found = softmax(fit_linear(rows, answers, 5)(rows))
    assert found[:, 3:].max() < 1e-6
    assert softmax(fit_linear(rows, np.zeros(100, int), 2)(rows))[0, 0] > 0.999
    np.testing.assert_allclose(softmax(fit_linear(rows[:0], answers[:0], 2)(rows)), 0.5)


def test_terms_become_sparse_rows() -> None:
    """Id 0 is no term, and a text without terms an empty row."""
    ids, weights = np.array([[3, 1, 0], [0, 0, 0]]), np.array([[0.8, 0.6, 0], [0, 0, 0]])
    found = weighted_terms(ids, weights.astype(np.float16), 5).toarray()
    np.testing.assert_allclose(found, [[0, 0.6, 0, 0.8, 0], [0] * 5], atol=1e-3)


def test_embeddings_are_scaled_to_a_mean_norm_of_one() -> None:
    """Of any number of pictures, none included."""
    rows = CHANCE.normal(5, 40, (50, 8))
    scaled = scaling_of(rows)(rows)
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(scaled, axis=1).mean(), 1)
    assert scaling_of(rows[:0]).scale == 1


def test_texts_without_a_common_word_have_a_baseline_too() -> None:
    """Nothing to learn from is no error."""
    training, held_out = plain_tfidf(["a", "b c"], ["d"], most=10)
    assert (training.shape, held_out.shape) == ((2, 1), (1, 1))


def test_each_view_has_the_model_that_was_fitted_on_it() -> None:
    """From the text alone the wide part equals logistic regression on texts alone."""
    image, answers = items(120, 3)
    terms = sp.csr_matrix(CHANCE.random((120, 6)) * (answers[:, None] == np.arange(6) % 3))
    has_text = CHANCE.random(120) < 0.8
    rows = Rows(terms, image.astype(np.float32), np.ones(120, bool), has_text)
    wide = fit_wide(rows, answers, THREE, seed=0)
    alone = LogisticRegression(C=STRENGTH, max_iter=300).fit(terms[has_text], answers[has_text])
    found = wide.outputs(rows, TEXT_ONLY)
    np.testing.assert_allclose(found, alone.predict_proba(terms), atol=1e-4)


def test_the_deep_part_counts_where_it_is_better() -> None:
    """View by view, on items that neither was fitted on; the linear one wins a tie."""
    image, answers = items(150, 3)
    there = np.ones(150, bool)
    rows = Rows(sp.csr_matrix((150, 4)), image.astype(np.float32), there, there)
    wide = fit_wide(rows, answers, THREE, seed=0)
    knows = np.eye(3)[answers] * 0.96 + 0.01
    guesses = np.full((150, 3), 1 / 3)
    deep = {BOTH: knows, IMAGE_ONLY: guesses, TEXT_ONLY: guesses}
    assert choose_shares(wide, deep, rows, answers) == {
        BOTH: 1.0,
        IMAGE_ONLY: 0.0,
        TEXT_ONLY: 1.0,  # no terms at all: there is no linear model
    }
