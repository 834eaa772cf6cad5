"""A candidate beside the release in use, on the same items: what is better, worse, or chance.

Differences are judged item by item, with 95 % intervals: surely worse is what lies below zero
as a whole. Time and size are no samples; they are refused beyond a multiple.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from models.manifest import GOLDEN, Manifest
from models.training.measures import mean_interval, paired_difference
from models.training.quality import MEASURES_IN_WORDS, bootstrapped, f1
from testudo.scorer_figures import LabelFigures, LabelsFigures, NumberFigures, ScorerFigures
from testudo.scoring import Figures

BETTER, WORSE, CHANCE = "better", "WORSE", "within chance"
# Of squared errors, 0 to 2 an item: less is nothing that a threshold would notice. Of a number,
# in standard deviations of what it was trained on.
LEAST_ERROR = 0.01
MOST_TIMES_SLOWER = 2.0  # measured in turns; on a busy machine they still differ by a third
MOST_TIMES_LARGER = 4.0
MEGABYTE = 1_000_000


class Row(NamedTuple):
    """One line of the table. `verdict` is empty for what is shown and not judged."""

    what: str
    current: str
    candidate: str
    difference: str
    verdict: str


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two releases on the same items."""

    current: str
    candidate: str
    items: int
    rows: tuple[Row, ...]
    refusals: tuple[str, ...]  # why the candidate should not take the place of the current one

    @property
    def verdict(self) -> str:
        """Of all, in a word."""
        if self.refusals:
            return WORSE
        return BETTER if any(one.verdict == BETTER for one in self.rows) else CHANCE

    def to_json(self) -> dict[str, Any]:
        fields = dataclasses.asdict(self)
        rows = [row._asdict() for row in self.rows]
        return {**fields, "rows": rows, "verdict": self.verdict.lower()}


def compare(current: Figures, candidate: Figures) -> Comparison:
    """Judge a candidate by the release that it should replace; both have scored the same items."""
    rows: list[Row] = []
    refusals: list[str] = []
    for judged in _judged(current, candidate):
        rows.append(judged[0])
        if judged[0].verdict == WORSE:
            refusals.append(judged[1])
    return Comparison(
        current.manifest.release,
        candidate.manifest.release,
        candidate.items,
        tuple(rows),
        tuple(refusals),
    )


def _judged(current: Figures, candidate: Figures) -> Iterator[tuple[Row, str]]:
    """Each row, with the words for it if it is worse."""
    for name in dict.fromkeys((*current.scorers, *candidate.scorers)):
        before, after = current.scorers.get(name), candidate.scorers.get(name)
        if before and after:
            yield from _scorer(name, before, after)
        else:
            yield _one_sided(name, before, after)
    yield _dead_letters(current, candidate)
    yield _multiple("milliseconds an item", current.item_ms, candidate.item_ms, MOST_TIMES_SLOWER)
    now_mb, then_mb = (one.size_bytes / MEGABYTE for one in (current, candidate))
    yield _multiple("size, MB", now_mb, then_mb, MOST_TIMES_LARGER)
    yield _exports(current.manifest, candidate.manifest)
    yield _golden(current.manifest, candidate.manifest)


def _row(what: str, shown: Iterable[str], difference: str = "", verdict: str = "") -> Row:
    current, candidate = shown
    return Row(what, current, candidate, difference, verdict)


def _scorer(name: str, before: ScorerFigures, after: ScorerFigures) -> Iterator[tuple[Row, str]]:
    if isinstance(before, LabelFigures) and isinstance(after, LabelFigures):
        yield _accuracy(name, before, after)
        yield from _squared_error(name, before, after)
        errors = [one.calibration_error for one in (before, after)]
        shown = [f"{one:.3f}" for one in errors]
        yield _row(f"{name}: calibration error", shown, f"{errors[1] - errors[0]:+.3f}"), ""
    elif isinstance(before, LabelsFigures) and isinstance(after, LabelsFigures):
        yield _micro_f1(name, before, after)
        yield from _squared_error(name, before, after)
    elif isinstance(before, NumberFigures) and isinstance(after, NumberFigures):
        yield _mean_error(name, before, after)
        shown = [f"{one.details()['r2']:.3f}" for one in (before, after)]
        yield _row(f"{name}: R2", shown), ""
    else:
        kinds = [before.kind, after.kind]
        words = f"{name} is another kind of scorer: {after.kind} in place of {before.kind}"
        yield _row(f"{name}: kind", kinds, verdict=WORSE), words


def _qualities(*figures: ScorerFigures) -> list[str]:
    return [
        f"{one.shown(value)} ({one.shown(low)}-{one.shown(high)})"
        for one in figures
        for value, (low, high) in [one.quality]
    ]


def _accuracy(name: str, before: LabelFigures, after: LabelFigures) -> tuple[Row, str]:
    share, low, high = paired_difference(before.right, after.right)
    verdict = WORSE if high < 0 else BETTER if low > 0 else CHANCE
    difference = f"{share:+.3f} ({low:+.3f} to {high:+.3f})"
    words = f"{name} is surely less accurate, by {-high:.3f} at least"
    return _row(f"{name}: accuracy", _qualities(before, after), difference, verdict), words


def _micro_f1(name: str, before: LabelsFigures, after: LabelsFigures) -> tuple[Row, str]:
    both = np.concatenate([before.hits, after.hits], axis=1)
    share, (low, high) = bootstrapped(both, _f1_gained)
    verdict = WORSE if high < 0 else BETTER if low > 0 else CHANCE
    difference = f"{share:+.3f} ({low:+.3f} to {high:+.3f})"
    words = f"{name}: micro-F1 is surely less, by {-high:.3f} at least"
    return _row(f"{name}: micro-F1", _qualities(before, after), difference, verdict), words


def _f1_gained(sums: np.ndarray) -> np.ndarray:
    return f1(sums[:, 2:]) - f1(sums[:, :2])


def _mean_error(name: str, before: NumberFigures, after: NumberFigures) -> tuple[Row, str]:
    both = ~(np.isnan(before.errors) | np.isnan(after.errors))
    middle, low, high = mean_interval(after.errors[both] - before.errors[both])
    least = LEAST_ERROR * before.spread
    verdict = WORSE if low > least else BETTER if high < -least else CHANCE
    difference = f"{middle:+.4g} ({low:+.4g} to {high:+.4g})"
    words = f"{name}: numbers are surely further off, by {low:.4g} at least"
    what = f"{name}: mean absolute error"
    return _row(what, _qualities(before, after), difference, verdict), words


def _squared_error(
    name: str, before: ScorerFigures, after: ScorerFigures
) -> Iterator[tuple[Row, str]]:
    both = ~(np.isnan(before.errors) | np.isnan(after.errors))
    if not both.any():
        return
    means = [f"{one.errors[both].mean():.3f}" for one in (before, after)]
    middle, low, high = mean_interval(after.errors[both] - before.errors[both])
    verdict = WORSE if low > LEAST_ERROR else BETTER if high < -LEAST_ERROR else CHANCE
    difference = f"{middle:+.3f} ({low:+.3f} to {high:+.3f})"
    words = f"{name}: scores are surely further from the truth, by {low:.3f} at least"
    yield _row(f"{name}: squared error", means, difference, verdict), words


def _one_sided(
    name: str, before: ScorerFigures | None, after: ScorerFigures | None
) -> tuple[Row, str]:
    there = before or after
    assert there is not None  # noqa: S101 - for mypy: a scorer is of one of the two
    shown = [one.shown(one.quality.value) if one else "none" for one in (before, after)]
    verdict = WORSE if before else "new"
    what = f"{name}: {MEASURES_IN_WORDS[there.measure]}"
    return _row(what, shown, verdict=verdict), f"scorer {name} is gone"


def _dead_letters(current: Figures, candidate: Figures) -> tuple[Row, str]:
    counts = [len(one.dead_letters) for one in (current, candidate)]
    lost = [name for name in candidate.dead_letters if name not in current.dead_letters]
    difference, words = f"{counts[1] - counts[0]:+d}", ""
    if lost:
        why = candidate.dead_letters[lost[0]]
        words = (
            f"{len(lost)} items would be dead letters that are none now, first {lost[0]!r}: "
            f"{why.reason}: {why.detail}"
        )
    return _row("dead letters", map(str, counts), difference, WORSE if lost else ""), words


def _multiple(what: str, before: float, after: float, most: float) -> tuple[Row, str]:
    times = after / before if before else 1.0
    verdict = WORSE if times > most else ""
    words = f"{what}: {times:.1f} times as much, allowed is {most:g} times"
    return _row(what, (f"{before:.2f}", f"{after:.2f}"), f"x{times:.2f}", verdict), words


def _exports(current: Manifest, candidate: Manifest) -> tuple[Row, str]:
    """How far exported files are from the models that they were made of, by their manifests."""
    found = [_largest_difference(one) for one in (current, candidate)]
    shown = ["not known" if one is None else f"{one:.1e}" for one in found]
    after, allowed = found[1], candidate.evaluation.get("tolerance")
    off = after is not None and allowed is not None and not after <= allowed
    words = f"exported files differ from their models by {shown[1]}, allowed is {allowed}"
    return _row("exported files differ by", shown, verdict=WORSE if off else ""), words


def _largest_difference(manifest: Manifest) -> float | None:
    found = manifest.evaluation.get("largest_difference", {}).values()
    return max((one for one in found if one is not None), default=None)


def _golden(current: Manifest, candidate: Manifest) -> tuple[Row, str]:
    """Both have been loaded here, so those that have golden items reproduced them."""
    shown = ["reproduced" if GOLDEN in one.files else "has none" for one in (current, candidate)]
    return _row("golden items", shown), ""
