"""What a release's answers for labelled items say of one of its scorers, by the scorer's kind."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from models.manifest import Kind, ScorerSpec
from models.training.manifest_labels import LabelValue
from models.training.measures import calibration_error, squared_errors, wilson
from models.training.quality import (
    MEASURES,
    Quality,
    answers_of,
    bootstrapped,
    f1,
    quality,
    r2,
)

Outputs = Sequence[Sequence[float] | None]  # of each item what the scorer put out, None for nothing


@dataclass(frozen=True)
class ScorerFigures(ABC):
    """One scorer on the n items that have a label for it."""

    errors: np.ndarray  # float (n,), nan for items that would be dead letters
    kind: ClassVar[Kind]

    @property
    def measure(self) -> str:
        """The name of what `quality` is."""
        return MEASURES[self.kind]

    @property
    @abstractmethod
    def quality(self) -> Quality:
        """The measure of its kind, with its 95 % interval."""

    @abstractmethod
    def details(self) -> Mapping[str, float]:
        """What else is measured, by name."""

    def shown(self, value: float) -> str:
        return f"{value:.3f}"

    def to_json(self) -> dict[str, Any]:
        value, interval = self.quality
        return {self.measure: value, "interval": interval, **self.details()}


@dataclass(frozen=True)
class LabelFigures(ScorerFigures):
    """One of several labels; dead letters count as wrong. `errors` are Brier's."""

    right: np.ndarray  # bool (n,)
    calibration_error: float
    kind = Kind.CLASSIFICATION

    @property
    def quality(self) -> Quality:
        interval = wilson(int(self.right.sum()), len(self.right))
        return Quality(round(float(self.right.mean()), 4), interval)

    def details(self) -> Mapping[str, float]:
        return {"calibration_error": self.calibration_error}


@dataclass(frozen=True)
class LabelsFigures(ScorerFigures):
    """Several labels at once; of dead letters none is chosen. `errors` are Brier's, summed."""

    hits: np.ndarray  # (n, 2), as models.training.quality.label_hits
    kind = Kind.MULTILABEL

    @property
    def quality(self) -> Quality:
        return bootstrapped(self.hits, f1)

    def details(self) -> Mapping[str, float]:
        return {}


@dataclass(frozen=True)
class NumberFigures(ScorerFigures):
    """A number; dead letters do not count. `errors` are absolute, in the manifest's unit."""

    found: np.ndarray  # float (n,), nan for dead letters
    answers: np.ndarray  # float (n,)
    spread: float  # of the numbers that the scorer was trained on
    kind = Kind.REGRESSION

    @property
    def quality(self) -> Quality:
        there = ~np.isnan(self.found)
        return quality(self.kind, self.found[there], self.answers[there])

    def details(self) -> Mapping[str, float]:
        there = ~np.isnan(self.found)
        return {"r2": r2(self.found[there], self.answers[there]).value}

    def shown(self, value: float) -> str:
        return f"{value:.4g}"


def judge(scorer: ScorerSpec, outputs: Outputs, answers: Sequence[LabelValue]) -> ScorerFigures:
    """The figures of n >= 1 items; labels that the scorer does not have are answered wrong."""
    return JUDGES[scorer.kind](scorer, outputs, answers)


def _label(scorer: ScorerSpec, outputs: Outputs, answers: Sequence[Any]) -> LabelFigures:
    numbers = {label: number for number, label in enumerate(scorer.labels)}
    there = np.array([one is not None for one in outputs], bool)
    right, errors = np.zeros(len(outputs), bool), np.full(len(outputs), np.nan)
    if not there.any():
        return LabelFigures(errors, right, 1.0)
    scores = np.array([one for one in outputs if one is not None])
    wanted = np.array([numbers.get(one, -1) for one in answers], int)[there]
    right[there] = scores.argmax(axis=1) == wanted
    errors[there] = squared_errors(scores, wanted)
    return LabelFigures(errors, right, calibration_error(scores, wanted))


def _labels(scorer: ScorerSpec, outputs: Outputs, answers: Sequence[Any]) -> LabelsFigures:
    errors, hits = np.full(len(outputs), np.nan), np.zeros((len(outputs), 2))
    for row, (found, wanted) in enumerate(zip(outputs, answers, strict=True)):
        hits[row] = 0, len(wanted)
        if found is None:
            continue
        scores, true = np.array(found), np.isin(scorer.labels, wanted)
        chosen = answers_of(scorer.kind, scores, scorer.threshold)
        hits[row] += (chosen & true).sum(), chosen.sum()
        errors[row] = ((scores - true) ** 2).sum() + len(wanted) - true.sum()
    return LabelsFigures(errors, hits)


def _number(scorer: ScorerSpec, outputs: Outputs, answers: Sequence[Any]) -> NumberFigures:
    found = np.array([np.nan if one is None else one[0] for one in outputs])
    wanted = np.array(answers, float)
    return NumberFigures(np.abs(found - wanted), found, wanted, scorer.spread)


JUDGES = {Kind.CLASSIFICATION: _label, Kind.MULTILABEL: _labels, Kind.REGRESSION: _number}
