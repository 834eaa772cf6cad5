"""Labelled items through a release's models' processes, and what they say of the release.

Nothing of training is in the path: pictures' files and senders' texts go in, as in a job.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from models.facts import Encoded, Scores
from models.failures import Failure, Stage
from models.kernels import Answer
from models.manifest import Manifest, ScorerSpec
from models.training.manifest_lines import LabelledItem
from testudo.scorer_figures import ScorerFigures, judge
from testudo.serving import Processes

BATCH = 64
# To say what an item takes: the fastest of some rounds, since what else the machine does only adds.
TIMED_ITEMS, ROUNDS = 32, 5


class Outcome(NamedTuple):
    """What became of one item: its outputs by scorer, in the order of labels, or a failure.

    `spent_ms` is its share of its batch.
    """

    scores: Mapping[str, Sequence[float]]
    spent_ms: float
    failure: Failure | None = None


@dataclasses.dataclass(frozen=True)
class Figures:
    """A release on the items of a manifest."""

    folder: Path
    manifest: Manifest
    items: int
    scorers: Mapping[str, ScorerFigures]
    item_ms: float  # decode, encode, text, scorers; 0 where it was not timed
    size_bytes: int
    dead_letters: Mapping[str, Failure]  # by item id

    def to_json(self) -> dict[str, Any]:
        return {
            "release": self.manifest.release,
            "items": self.items,
            "scorers": {name: one.to_json() for name, one in self.scorers.items()},
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
    scorer of, on the items that have a label of that name, which is of the scorer's kind.
    """
    outcomes: list[Outcome] = []
    for start in range(0, len(items), BATCH):
        outcomes += _score(processes, folder, items[start : start + BATCH], pictures)
    return Figures(
        folder=folder,
        manifest=manifest,
        items=len(items),
        scorers={
            scorer.name: figures
            for scorer in manifest.scorers
            if (figures := _judged(scorer, outcomes, items))
        },
        item_ms=0.0,
        size_bytes=sum((folder / name).stat().st_size for name in manifest.files),
        dead_letters={
            item.item_id: one.failure
            for item, one in zip(items, outcomes, strict=True)
            if one.failure
        },
    )


def timed(
    processes: Processes,
    releases: Sequence[Figures],
    items: Sequence[LabelledItem],
    pictures: Path,
) -> list[Figures]:
    """The figures with the milliseconds of an item; releases take turns with the same items.

    So what slows the machine slows each of them.
    """
    fastest = [float("inf")] * len(releases)
    for _ in range(ROUNDS):
        for number, one in enumerate(releases):
            outcomes = _score(processes, one.folder, items[:TIMED_ITEMS], pictures)
            spent = [outcome.spent_ms for outcome in outcomes if not outcome.failure]
            if spent:
                fastest[number] = min(fastest[number], sum(spent) / len(spent))
    return [
        dataclasses.replace(one, item_ms=round(least, 3) if least < float("inf") else 0.0)
        for one, least in zip(releases, fastest, strict=True)
    ]


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
        scores.setdefault(one.model, []).append(one.number)
    return Outcome(scores, (spent_us + answer.spent_us) / 1000)


def _judged(
    scorer: ScorerSpec, outcomes: Sequence[Outcome], items: Sequence[LabelledItem]
) -> ScorerFigures | None:
    labelled = [
        (outcome.scores.get(scorer.name), item.labels[scorer.name])
        for outcome, item in zip(outcomes, items, strict=True)
        if scorer.name in item.labels
    ]
    return judge(scorer, *zip(*labelled, strict=True)) if labelled else None
