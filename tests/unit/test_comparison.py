"""What makes a candidate worse than the release in use, on the same items."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.failures import Failure, Reason, Stage
from models.manifest import GOLDEN, Kind, Manifest, ScorerSpec
from testudo.columns import aligned
from testudo.comparison import Comparison, compare
from testudo.scorer_figures import (
    LabelFigures,
    NumberFigures,
    ScorerFigures,
    judge,
)
from testudo.scoring import Figures

ITEMS = 400


def scorer(right: int, *, error: float = 0.2, calibration_error: float = 0.05) -> LabelFigures:
    """The first so many of ITEMS are right."""
    return LabelFigures(np.full(ITEMS, error), np.arange(ITEMS) < right, calibration_error)


def figures(name: str, *, evaluation: Mapping[str, Any] | None = None, **fields: Any) -> Figures:
    manifest = Manifest(name, "mine", "", 8, {}, (), {GOLDEN: ""}, evaluation or {})
    plain = Figures(Path(), manifest, ITEMS, {"kind": scorer(320)}, 4.0, 5_000_000, {})
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
    moved = LabelFigures(np.full(ITEMS, 0.2), np.roll(np.arange(ITEMS) < 318, 40), 0.05)
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


# --- several labels, and numbers ---------------------------------------------------------------

TAGS = ScorerSpec("kind", ("new", "red"), (), Kind.MULTILABEL, threshold=0.4)
PRICE = ScorerSpec("kind", (), (), Kind.REGRESSION, spread=50.0)


def tags(right: int) -> ScorerFigures:
    """All items are red; the first so many are surely found to be, the others surely new."""
    outputs = [[0.1, 0.5] if one < right else [0.5, 0.1] for one in range(ITEMS)]
    return judge(TAGS, outputs, [("red",)] * ITEMS)


def price(off: float) -> ScorerFigures:
    """Each number is off by so much, one half of them more by 2, the other less."""
    outputs = [[100 + off + one % 2 * 4 - 2] for one in range(ITEMS)]
    return judge(PRICE, outputs, [100.0] * ITEMS)


@pytest.mark.parametrize(
    ("right", "verdict"), [(300, "WORSE"), (320, "within chance"), (340, "better")]
)
def test_several_labels_are_judged_by_micro_f1(right: int, verdict: str) -> None:
    """Items are drawn again together with what both releases gave for them."""
    comparison = compare(
        figures("old", scorers={"kind": tags(320)}), figures("new", scorers={"kind": tags(right)})
    )
    assert verdict_of(comparison, "kind: micro-F1") == verdict
    if verdict == "WORSE":
        assert comparison.refusals[0].startswith("kind: micro-F1 is surely less, by 0.03")


@pytest.mark.parametrize(
    ("off", "verdict"), [(11.0, "WORSE"), (10.4, "within chance"), (9.0, "better")]
)
def test_numbers_are_judged_by_their_mean_error(off: float, verdict: str) -> None:
    """Surely further off by more than a hundredth of what the numbers vary: 0.5 here."""
    comparison = compare(
        figures("old", scorers={"kind": price(10.0)}), figures("new", scorers={"kind": price(off)})
    )
    assert verdict_of(comparison, "kind: mean absolute error") == verdict
    words = ("kind: numbers are surely further off, by 1 at least",)
    assert comparison.refusals == words * (verdict == "WORSE")


def test_a_scorer_of_another_kind_is_worse() -> None:
    """Whoever reads the rows would find something else in them."""
    comparison = judged(scorers={"kind": price(0.0)})
    (refusal,) = comparison.refusals
    assert refusal == "kind is another kind of scorer: regression in place of classification"
    assert "scorer kind is gone" in judged(scorers={"more": price(0.0)}).refusals


def test_labels_at_once_are_right_label_by_label() -> None:
    """From the threshold on; a label that the scorer lacks is missed, and all of a dead letter."""
    outputs = [[0.4, 0.39], [0.9, 0.8], None]
    found = judge(TAGS, outputs, [("new",), ("red", "old"), ("red",)])
    assert found.quality.value == pytest.approx(2 * 2 / (3 + 4), abs=1e-4)
    assert found.errors[:2].tolist() == pytest.approx([0.6**2 + 0.39**2, 0.9**2 + 0.2**2 + 1])
    assert np.isnan(found.errors[2])


def test_numbers_of_dead_letters_do_not_count() -> None:
    """That they are dead letters is judged by itself."""
    found = judge(PRICE, [[1.0], None, [5.0]], [2.0, 9.0, 3.0])
    assert isinstance(found, NumberFigures)
    assert found.to_json()["mean_absolute_error"] == 1.5
    assert set(found.to_json()) == {"mean_absolute_error", "interval", "r2"}


def test_columns_are_as_wide_as_they_must_be() -> None:
    """Numbers to the right, and nothing that a terminal would obey."""
    assert aligned(("name", "ms"), [("a\x1b", "1.5"), ("bolt", "10.25")]) == (
        "name      ms\na\\x1b    1.5\nbolt   10.25"
    )
