"""Linear models: the wide part of every scorer, and what a network has to beat.

scikit-learn fits them. It is needed in training alone: a release holds the numbers.
"""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge

MAX_ROWS = 50_000  # that one is fitted on; more hardly change it, and take minutes
MAX_WEIGHTS = 4_000_000  # features times labels: 16 MB of a release
STRENGTH = 10.0  # the inverse of the regularisation; for rows of norm 1
ITERATIONS = 300
SHRINKAGE = 1.0  # of ridge regression, for rows of norm 1 and numbers with a deviation of 1


class Linear(NamedTuple):
    """Logits of rows x are x @ weights + bias; a label that was never seen has no chance.

    Of a number there is one column, and it is the number.
    """

    weights: np.ndarray  # float32 (features, columns)
    bias: np.ndarray  # float32 (columns,)

    def __call__(self, rows: np.ndarray | sp.csr_matrix) -> np.ndarray:
        return np.asarray(rows @ self.weights) + self.bias


class Scaling(NamedTuple):
    """Brings embeddings to mean 0 and a mean norm of 1."""

    mean: np.ndarray
    scale: float

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        return (rows - self.mean) * self.scale


NEVER = -30.0  # a logit of what training never saw


def scaling_of(rows: np.ndarray) -> Scaling:
    mean = rows.mean(axis=0) if len(rows) else np.zeros(rows.shape[1], np.float32)
    norms = np.linalg.norm(rows - mean, axis=1)
    return Scaling(mean, 1 / max(float(norms.mean()) if len(rows) else 1.0, 1e-6))


def fit_linear(
    rows: np.ndarray | sp.csr_matrix, answers: np.ndarray, labels: int, *, seed: int = 0
) -> Linear:
    """Logistic regression of int answers (n,), below `labels`; on MAX_ROWS at most."""
    if rows.shape[0] > MAX_ROWS:
        some = np.random.default_rng(seed).permutation(rows.shape[0])[:MAX_ROWS]
        rows, answers = rows[some], answers[some]
    weights = np.zeros((rows.shape[1], labels), np.float32)
    bias = np.full(labels, NEVER, np.float32)
    seen = np.unique(answers)
    if len(seen) < 2:  # nothing to tell apart  # noqa: PLR2004 - it takes two
        bias[seen] = 0
        return Linear(weights, bias)
    model = LogisticRegression(C=STRENGTH, max_iter=ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(rows, answers)
    coefficients, intercepts = model.coef_.T, model.intercept_
    if len(seen) == 2:  # noqa: PLR2004 - scikit-learn gives the second label's alone
        coefficients = np.concatenate([-coefficients, coefficients], axis=1) / 2
        intercepts = np.array([-intercepts[0], intercepts[0]]) / 2
    weights[:, seen], bias[seen] = coefficients, intercepts
    return Linear(weights, bias)


def fit_labels(rows: np.ndarray | sp.csr_matrix, answers: np.ndarray, *, seed: int = 0) -> Linear:
    """Logistic regression of each label by itself; answers (n, labels) are 0 or 1."""
    each = [fit_linear(rows, one, 2, seed=seed) for one in answers.T.astype(np.int32)]
    return Linear(
        np.stack([one.weights[:, 1] - one.weights[:, 0] for one in each], axis=1),
        np.array([one.bias[1] - one.bias[0] for one in each], np.float32),
    )


def fit_number(rows: np.ndarray | sp.csr_matrix, answers: np.ndarray, *, seed: int = 0) -> Linear:
    """Ridge regression of answers (n,) with mean 0 and deviation 1; on MAX_ROWS at most."""
    if rows.shape[0] > MAX_ROWS:
        some = np.random.default_rng(seed).permutation(rows.shape[0])[:MAX_ROWS]
        rows, answers = rows[some], answers[some]
    if rows.shape[0] < 2:  # nothing to tell apart  # noqa: PLR2004 - it takes two
        return Linear(np.zeros((rows.shape[1], 1), np.float32), np.zeros(1, np.float32))
    model = Ridge(SHRINKAGE).fit(rows, answers)
    weights = model.coef_.reshape(-1, 1).astype(np.float32)
    return Linear(weights, np.array([model.intercept_], np.float32))


def weighted_terms(ids: np.ndarray, weights: np.ndarray, terms: int) -> sp.csr_matrix:
    """`term_ids` and `term_weights`, (n, k), as sparse rows (n, terms); id 0 is none."""
    count = len(ids)
    there = ids > 0
    starts = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
    return sp.csr_matrix(
        (weights[there].astype(np.float32), ids[there], starts), shape=(count, terms)
    )


def plain_tfidf(
    training: Sequence[str], held_out: Sequence[str], *, most: int
) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """What anybody would try first: scikit-learn's tf-idf of words and pairs of words."""
    vectorizer = TfidfVectorizer(
        ngram_range=(1, 2), min_df=2, sublinear_tf=True, max_features=most, dtype=np.float32
    )
    try:
        return vectorizer.fit_transform(training), vectorizer.transform(held_out)
    except ValueError:  # no word is there twice
        return sp.csr_matrix((len(training), 1)), sp.csr_matrix((len(held_out), 1))
