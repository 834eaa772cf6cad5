"""Labelled items through a release's models' processes, and what they say of the release.

Nothing of training is in the path: pictures' files and senders' texts go in, as in a job.
"""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from models.facts import Encoded, Scores
from models.failures import Failure, Stage
from models.kernels import Answer
from models.manifest import Manifest
from models.training.manifest_lines import LabelledItem
from models.training.measures import calibration_error, squared_errors, wilson
from testudo.serving import Processes

BATCH = 64


class Outcome(NamedTuple):
    """What became of one item: its scores by scorer, in the order of labels, or a failure."""

    scores: Mapping[str, Sequence[float]]
    spent_ms: float
    failure: Failure | None = None


@dataclasses.dataclass(frozen=True)
class ScorerFigures:
    """One scorer on n items; those that would be dead letters count as wrong.

    `errors` are Brier's, nan for dead letters.
    """

    right: np.ndarray  # bool (n,)
    errors: np.ndarray  # float (n,)
    calibration_error: float

    @property
    def accuracy(self) -> float:
        return round(float(self.right.mean()), 4)

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(int(self.right.sum()), len(self.right))


@dataclasses.dataclass(frozen=True)
class Figures:
    """A release on the items of a manifest."""

    manifest: Manifest
    items: int
    scorers: Mapping[str, ScorerFigures]
    item_ms: float  # median of an item in batches of BATCH: decode, encode, text, scorers
    size_bytes: int
    dead_letters: Mapping[str, Failure]  # by item id

    def to_json(self) -> dict[str, Any]:
        return {
            "release": self.manifest.release,
            "items": self.items,
            "scorers": {
                name: {
                    "accuracy": one.accuracy,
                    "interval": one.interval,
                    "calibration_error": one.calibration_error,
                }
                for name, one in self.scorers.items()
            },
            "item_ms": self.item_ms,
            "size_bytes": self.size_bytes,
            "dead_letters": len(self.dead_letters),
        }


def evaluate(
    processes: Processes,
    folder: Path,
    manifest: Manifest,
    items: Sequence[LabelledItem],
    pictures: Path,
) -> Figures:
    """Score the items by the release in `folder`, which is loaded, and judge its answers.

    `pictures` is what items' images are relative to. Of label names that the release has a
    scorer of; a label that the scorer does not have is answered wrong.
    """
    outcomes: list[Outcome] = []
    for start in range(0, len(items), BATCH):
        outcomes += _score(processes, folder, items[start : start + BATCH], pictures)
    spent = [one.spent_ms for one in outcomes if not one.failure]
    return Figures(
        manifest=manifest,
        items=len(items),
        scorers={
            scorer.name: _judge(
                outcomes, scorer.name, [item.labels[scorer.name] for item in items], scorer.labels
            )
            for scorer in manifest.scorers
            if scorer.name in items[0].labels
        },
        item_ms=round(statistics.median(spent), 3) if spent else 0.0,
        size_bytes=sum((folder / name).stat().st_size for name in manifest.files),
        dead_letters={
            item.item_id: one.failure
            for item, one in zip(items, outcomes, strict=True)
            if one.failure
        },
    )


def _score(
    processes: Processes, folder: Path, items: Sequence[LabelledItem], pictures: Path
) -> list[Outcome]:
    images = [(pictures / one.image).read_bytes() if one.image else b"" for one in items]
    encoded = iter(processes[Stage.IMAGE].answers(folder, [one for one in images if one]))
    nothing = Answer(Encoded(b"", None, {}), 0)
    by_image = [next(encoded) if data else nothing for data in images]
    by_text = processes[Stage.TEXT].answers(folder, [one.text for one in items])
    halves = list(zip(by_image, by_text, strict=True))
    whole = [both for both in halves if not _failure(both)]
    asked = [
        ({Stage.IMAGE: image.result.features, Stage.TEXT: text.result.features}, "")
        for image, text in whole
    ]
    scored = iter(processes[Stage.SCORE].answers(folder, asked) if asked else [])
    return [
        Outcome({}, 0.0, failure) if (failure := _failure(both)) else _outcome(both, next(scored))
        for both in halves
    ]


def _failure(halves: tuple[Answer, Answer]) -> Failure | None:
    return next((one.result for one in halves if isinstance(one.result, Failure)), None)


def _outcome(halves: tuple[Answer, Answer], answer: Answer) -> Outcome:
    image, text = halves
    spent_us = image.spent_us + sum(image.result.spent_us.values()) + text.spent_us
    if isinstance(answer.result, Failure):
        return Outcome({}, 0.0, answer.result)
    assert isinstance(answer.result, Scores)  # noqa: S101 - for mypy
    scores: dict[str, list[float]] = {}
    for one in answer.result.scores:
        scores.setdefault(one.model, []).append(one.score)
    return Outcome(scores, (spent_us + answer.spent_us) / 1000)


def _judge(
    outcomes: Sequence[Outcome], scorer: str, answers: Sequence[str], labels: Sequence[str]
) -> ScorerFigures:
    numbers = {label: number for number, label in enumerate(labels)}
    there = np.array([one.failure is None for one in outcomes], bool)
    right, errors = np.zeros(len(outcomes), bool), np.full(len(outcomes), np.nan)
    if not there.any():
        return ScorerFigures(right, errors, 1.0)
    scores = np.array([one.scores[scorer] for one in outcomes if not one.failure])
    wanted = np.array([numbers.get(one, -1) for one in answers], int)[there]
    right[there] = scores.argmax(axis=1) == wanted
    errors[there] = squared_errors(scores, wanted)
    return ScorerFigures(right, errors, calibration_error(scores, wanted))
