"""What makes a candidate worse than the release in use, on the same items."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from models.failures import Failure, Reason, Stage
from models.manifest import GOLDEN, Manifest
from testudo.columns import aligned
from testudo.comparison import Comparison, compare
from testudo.scoring import Figures, ScorerFigures

ITEMS = 400


def scorer(right: int, *, error: float = 0.2, calibration_error: float = 0.05) -> ScorerFigures:
    """The first so many of ITEMS are right."""
    return ScorerFigures(np.arange(ITEMS) < right, np.full(ITEMS, error), calibration_error)


def figures(name: str, *, evaluation: Mapping[str, Any] | None = None, **fields: Any) -> Figures:
    manifest = Manifest(name, "mine", "", 8, {}, (), {GOLDEN: ""}, evaluation or {})
    plain = Figures(manifest, ITEMS, {"kind": scorer(320)}, 4.0, 5_000_000, {})
    return dataclasses.replace(plain, **fields)


def judged(**fields: Any) -> Comparison:
    """A candidate with these figures beside a release that has 320 of 400 right."""
    return compare(figures("old"), figures("new", **fields))


def verdict_of(comparison: Comparison, what: str) -> str:
    (row,) = (one for one in comparison.rows if one.what == what)
    return row.verdict


@pytest.mark.parametrize(
    ("right", "verdict"),
    [(300, "WORSE"), (318, "within chance"), (320, "within chance"), (340, "better")],
)
def test_accuracy_is_judged_item_by_item(right: int, verdict: str) -> None:
    """Two items of 400 may be chance; twenty that were right and are wrong now are none."""
    comparison = judged(scorers={"kind": scorer(right)})
    assert verdict_of(comparison, "kind: accuracy") == verdict
    assert bool(comparison.refusals) == (verdict == "WORSE")
    assert comparison.verdict == verdict


def test_the_same_share_of_other_items_may_be_chance() -> None:
    """Where items change in both directions the interval is as wide as that makes it."""
    moved = ScorerFigures(np.roll(np.arange(ITEMS) < 318, 40), np.full(ITEMS, 0.2), 0.05)
    comparison = judged(scorers={"kind": moved})
    assert verdict_of(comparison, "kind: accuracy") == "within chance"


def test_scores_that_are_surely_further_from_the_truth_are_worse() -> None:
    """The right label as often, but with less sense in how sure it is."""
    comparison = judged(scorers={"kind": scorer(320, error=0.25, calibration_error=0.2)})
    assert comparison.refusals == (
        "kind: scores are surely further from the truth, by 0.050 at least",
    )
    assert judged(scorers={"kind": scorer(320, error=0.205)}).refusals == ()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"scorers": {"other": scorer(400)}}, "scorer kind is gone"),
        ({"item_ms": 9.0}, "milliseconds an item: 2.2 times as much, allowed is 2 times"),
        ({"size_bytes": 21_000_000}, "size, MB: 4.2 times as much"),
        (
            {"dead_letters": {"a1": Failure(Stage.TEXT, Reason.FUNCTION_FAILED, "decide: x")}},
            "1 items would be dead letters that are none now, first 'a1': function_failed",
        ),
        (
            {"evaluation": {"largest_difference": {"a": 0.1, "b": None}, "tolerance": 0.001}},
            "exported files differ from their models by 1.0e-01, allowed is 0.001",
        ),
    ],
)
def test_what_else_is_worse_is_named(fields: dict[str, Any], said: str) -> None:
    """Scorers that are gone, time, size, dead letters, exported files."""
    (refusal,) = judged(**fields).refusals
    assert said in refusal


def test_what_is_not_known_refuses_nothing() -> None:
    """A release that was built by hand says nothing of its export; it may have one scorer more."""
    comparison = judged(scorers={"kind": scorer(320), "more": scorer(100)}, item_ms=0.0)
    assert comparison.refusals == ()
    assert verdict_of(comparison, "more: accuracy") == "new"


def test_dead_letters_of_both_count_for_neither() -> None:
    """Their squared errors are nowhere, and who was a dead letter before may be one."""
    some = Failure(Stage.IMAGE, Reason.IMAGE_UNREADABLE, "")
    errors = np.where(np.arange(ITEMS) < 1, np.nan, 0.2)
    both = {
        "scorers": {"kind": dataclasses.replace(scorer(320), errors=errors)},
        "dead_letters": {"a1": some},
    }
    assert compare(figures("old", **both), figures("new", **both)).refusals == ()


def test_columns_are_as_wide_as_they_must_be() -> None:
    """Numbers to the right, and nothing that a terminal would obey."""
    assert aligned(("name", "ms"), [("a\x1b", "1.5"), ("bolt", "10.25")]) == (
        "name      ms\na\\x1b    1.5\nbolt   10.25"
    )
