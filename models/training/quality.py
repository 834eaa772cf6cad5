"""How good the answers of a scorer are, by its kind: one measure each, with its 95 % interval.

classification   accuracy: the share of items with the right label
multilabel       micro-F1: 2 * right / (chosen + true), over all labels of all items
regression       mean absolute error, in the unit of the manifest; less is better
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from models.manifest import Kind
from models.training.measures import wilson

ACCURACY, MICRO_F1, MEAN_ERROR = "accuracy", "micro_f1", "mean_absolute_error"
MEASURES = {
    Kind.CLASSIFICATION: ACCURACY,
    Kind.MULTILABEL: MICRO_F1,
    Kind.REGRESSION: MEAN_ERROR,
}
MEASURES_IN_WORDS = {ACCURACY: "accuracy", MICRO_F1: "micro-F1", MEAN_ERROR: "mean absolute error"}
RESAMPLES, TOGETHER = 500, 50  # samples of the bootstrap, and how many are drawn at once
BOUNDS = (2.5, 97.5)  # percentiles

Interval = tuple[float, float]
# Sums over the items of each of k columns, (samples, k), to a figure for each sample.
Statistic = Callable[[np.ndarray], np.ndarray]


class Quality(NamedTuple):
    """A measure on some items, and its 95 % interval."""

    value: float
    interval: Interval


def answers_of(kind: Kind, outputs: np.ndarray, threshold: float) -> np.ndarray:
    """What a scorer's outputs (n, columns) say: a label's number, bool (n, labels), or a number."""
    if kind is Kind.CLASSIFICATION:
        return np.asarray(outputs.argmax(axis=1))
    return outputs >= threshold if kind is Kind.MULTILABEL else outputs[:, 0]


def guess_of(kind: Kind, answers: np.ndarray, labels: int) -> np.ndarray:
    """The one answer, (1, ...), that is best without looking at the items.

    The commonest label, the commonest set of labels, the median: of those that are trained on.
    """
    if kind is Kind.REGRESSION:
        return np.median(answers, keepdims=True)
    if kind is Kind.CLASSIFICATION:
        return np.array([np.bincount(answers, minlength=labels).argmax()])
    sets, counts = np.unique(answers, axis=0, return_counts=True)
    return np.asarray(sets[[counts.argmax()]] == 1)


def quality(kind: Kind, found: np.ndarray, answers: np.ndarray) -> Quality:
    """Of n items that all have an answer, the measure of this kind."""
    if kind is Kind.CLASSIFICATION:
        right = int((found == answers).sum())
        share = round(right / len(answers), 4) if len(answers) else 0.0
        return Quality(share, wilson(right, len(answers)))
    if kind is Kind.MULTILABEL:
        return bootstrapped(label_hits(found, answers), f1)
    errors = np.abs(found - answers)
    return bootstrapped(np.stack([errors, np.ones_like(errors)], axis=1), ratio)


def label_hits(chosen: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """By item, how many labels are rightly chosen, and chosen and true together; (n, 2)."""
    wanted = answers == 1
    hits = (chosen & wanted).sum(axis=1)
    return np.stack([hits, chosen.sum(axis=1) + wanted.sum(axis=1)], axis=1).astype(float)


def f1(sums: np.ndarray) -> np.ndarray:
    """Of the columns of `label_hits`; 0 where nothing is chosen or true."""
    return np.asarray(2 * sums[:, 0] / np.maximum(sums[:, 1], 1))


def ratio(sums: np.ndarray) -> np.ndarray:
    return np.asarray(sums[:, 0] / np.maximum(sums[:, 1], 1e-9))


def r2(found: np.ndarray, answers: np.ndarray) -> Quality:
    """The share of the numbers' variance that is explained; 0 is that of their mean."""
    centred = answers - answers.mean() if len(answers) else answers
    columns = [(found - answers) ** 2, centred, centred**2, np.ones_like(centred)]

    def explained(sums: np.ndarray) -> np.ndarray:
        squared, total, squares, count = sums.T
        varied = np.maximum(squares - total**2 / count, 1e-12)
        return np.asarray(1 - squared / varied)

    return bootstrapped(np.stack(columns, axis=1), explained)


def bootstrapped(columns: np.ndarray, statistic: Statistic) -> Quality:
    """A figure of sums over items, (n, k), with its interval by drawing items again.

    The same draws whenever there are as many items.
    """
    count = len(columns)
    if not count:
        return Quality(0.0, (0.0, 0.0))
    chance = np.random.default_rng(count)
    even = np.full(count, 1 / count)
    figures = [
        statistic(chance.multinomial(count, even, TOGETHER) @ columns)
        for _ in range(RESAMPLES // TOGETHER)
    ]
    low, high = np.percentile(np.concatenate(figures), BOUNDS)
    whole = float(statistic(columns.sum(axis=0, keepdims=True))[0])
    return Quality(_short(whole), (_short(low), _short(high)))


def average_precision(outputs: np.ndarray, answers: np.ndarray) -> float:
    """Over all labels together, whatever the threshold; 0 where no label is true."""
    from sklearn.metrics import average_precision_score  # which training alone has

    wanted = answers == 1
    if not wanted.any():
        return 0.0
    return round(float(average_precision_score(wanted, outputs, average="micro")), 4)


def _short(value: float) -> float:
    """Four digits of a share; of a number of any size, five that count."""
    return round(float(value), 4) if abs(value) <= 1 else float(f"{value:.5g}")
