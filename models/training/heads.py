"""What the kinds of scorers differ in while they are fitted: answers, activations, losses.

Answers of n items, some of which may have none, are
  classification   int32 (n,), a label's number, -1 for none
  multilabel       float32 (n, labels), 0 or 1, a row of nan for none
  regression       float64 (n,), in the unit of the manifest, nan for none
A number is learnt as how many standard deviations it is from the mean.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from models.manifest import Kind
from models.training.linear import Linear, fit_labels, fit_linear, fit_number

LEAST = 1e-6  # of a probability, where its logarithm is taken
THRESHOLDS = np.linspace(0.05, 0.95, 19)
DEFAULT_THRESHOLD = 0.5
MIN_CHOOSING = 20  # items to choose a threshold by


class Head(NamedTuple):
    """What one scorer answers; `labels` is () of a number, which has `mean` and `spread`."""

    kind: Kind
    labels: tuple[str, ...]
    mean: float = 0.0
    spread: float = 1.0

    @property
    def columns(self) -> int:
        """Of its output."""
        return len(self.labels) or 1


def head_of(kind: Kind, labels: tuple[str, ...], answers: np.ndarray) -> Head:
    """The head for the answers of the items that are trained on."""
    if kind is not Kind.REGRESSION:
        return Head(kind, labels)
    there = answers[known(answers)].astype(np.float64)
    return Head(kind, (), float(there.mean()), float(there.std()) or 1.0)


def known(answers: np.ndarray) -> np.ndarray:
    """Which items have an answer, bool (n,)."""
    if answers.dtype.kind == "i":
        return answers >= 0
    missing: np.ndarray = np.isnan(answers).any(axis=tuple(range(1, answers.ndim)))
    return ~missing


def targets(head: Head, answers: np.ndarray) -> np.ndarray:
    """Answers as they are learnt; 0 for those that are not there."""
    if head.kind is Kind.CLASSIFICATION:
        return np.maximum(answers, 0)
    if head.kind is Kind.REGRESSION:
        answers = (answers - head.mean) / head.spread
    return np.nan_to_num(answers).astype(np.float32)


def activated(kind: Kind, logits: np.ndarray) -> np.ndarray:
    """Probabilities, or numbers as they are learnt, (n, columns)."""
    if kind is Kind.REGRESSION:
        return logits
    if kind is Kind.MULTILABEL:
        return 1 / (1 + np.exp(-np.clip(logits, -50, 50)))
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def losses(head: Head, outputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Of activated outputs for items that all have an answer, (n,): the less, the better."""
    wanted = targets(head, answers)
    if head.kind is Kind.REGRESSION:
        return np.asarray((outputs[:, 0] - wanted) ** 2)
    if head.kind is Kind.MULTILABEL:
        right = np.where(wanted == 1, outputs, 1 - outputs)
        return np.asarray(-np.log(np.maximum(right, LEAST)).sum(axis=1))
    right = outputs[np.arange(len(wanted)), wanted]
    return np.asarray(-np.log(np.maximum(right, LEAST)))


def fit_head(
    head: Head, rows: np.ndarray | sp.csr_matrix, answers: np.ndarray, *, seed: int
) -> Linear:
    """A linear model of items that all have an answer; it gives what `activated` takes."""
    if head.kind is Kind.CLASSIFICATION:
        return fit_linear(rows, answers, len(head.labels), seed=seed)
    fit = fit_labels if head.kind is Kind.MULTILABEL else fit_number
    return fit(rows, targets(head, answers), seed=seed)


def choose_threshold(outputs: np.ndarray, answers: np.ndarray) -> float:
    """The probability from which on labels are best chosen, by the F1 of all of them together.

    Of equally good ones that next to a half, which is also that of too few items.
    """
    if len(answers) < MIN_CHOOSING:
        return DEFAULT_THRESHOLD
    wanted = answers == 1
    found = []
    for threshold in THRESHOLDS:
        chosen = outputs >= threshold
        both = int(chosen.sum() + wanted.sum())
        f1 = 2 * int((chosen & wanted).sum()) / max(both, 1)
        found.append((f1, -abs(threshold - DEFAULT_THRESHOLD), threshold))
    return round(float(max(found)[2]), 2)
