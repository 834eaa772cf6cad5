"""The smoke test's verdict, and what `testudo release` writes: both pure."""

import dataclasses
import json

import pytest

from models.release import Pointer
from testudo.commands.release import pointed
from testudo.messages import BREAKAGES, REASONS
from testudo.verdict import PREDICTED, Outcome, verdict

EXPECTED = {"a": PREDICTED, "b": PREDICTED, "c": "image_unreadable"}
GOOD = [
    Outcome("a", PREDICTED, 100.0),
    Outcome("b", PREDICTED, 0.5),
    Outcome("c", "image_unreadable", None),
]


def test_what_came_out_as_expected_passes() -> None:
    """The warm-up item may be late; the others' p95 is under the limit."""
    found = verdict(EXPECTED, {"a"}, GOOD, 1.0)
    assert (found.published, found.outcomes) == (3, {PREDICTED: 2, "image_unreadable": 1})
    assert (found.p95_s, found.problems) == (0.5, [])


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (GOOD[:2], "1 without an outcome: c"),
        ([*GOOD, Outcome("a", "timed_out", None)], "1 with two outcomes: a"),
        (
            [*GOOD[:2], Outcome("c", "bug", None)],
            "1 with another outcome than expected: c: bug, not image_unreadable",
        ),
        (
            [*GOOD[:1], Outcome("b", "model_failed", None), GOOD[2]],
            "1 with another outcome than expected: b: model_failed, not predicted",
        ),
        ([GOOD[0], Outcome("b", PREDICTED, 3.0), GOOD[2]], "p95 is 3.00 s, and the limit is 1 s"),
        ([GOOD[0], Outcome("b", "timed_out", None), GOOD[2]], "there is no prediction"),
    ],
)
def test_each_kind_of_failure_is_told(found: list[Outcome], said: str) -> None:
    """Lost, doubled, wrong reason, dead-lettered without one, late, none at all."""
    assert any(said in one for one in verdict(EXPECTED, {"a"}, found, 1.0).problems)


def test_a_verdict_can_be_written_as_json() -> None:
    """Each outcome by its name, with its count."""
    written = json.dumps(dataclasses.asdict(verdict(EXPECTED, {"a"}, GOOD, 1.0)))
    assert json.loads(written)["outcomes"] == {PREDICTED: 2, "image_unreadable": 1}


def test_p95_is_the_nearest_rank() -> None:
    """Of a hundred latencies the ninety-fifth: five may be later."""
    expected = {str(number): PREDICTED for number in range(1, 101)}
    found = [Outcome(one, PREDICTED, float(one)) for one in expected]
    assert verdict(expected, set(), found, 95.0).problems == []
    assert verdict(expected, set(), found, 94.9).problems != []


def test_many_ids_are_cut_short() -> None:
    """A thousand lost items are one line."""
    expected = {f"{number:04d}": PREDICTED for number in range(1000)}
    problems = verdict(expected, set(), [], 1.0).problems
    assert problems[0] == "1000 without an outcome: 0000, 0001, 0002, 0003, 0004 and 995 more"


def test_every_breakage_has_its_reason() -> None:
    """What is broken on purpose is expected to be told as what it is."""
    assert set(REASONS) == set(BREAKAGES)


@pytest.mark.parametrize(
    ("share", "tenant", "after"),
    [
        (None, None, Pointer("new", tenants={"t": "old"})),
        (0.1, None, Pointer("old", canary="new", canary_share=0.1, tenants={"t": "old"})),
        (
            None,
            "u",
            Pointer("old", canary="other", canary_share=0.5, tenants={"t": "old", "u": "new"}),
        ),
    ],
)
def test_a_release_is_used_by_everyone_a_share_or_a_tenant(
    share: float | None, tenant: str | None, after: Pointer
) -> None:
    """For everyone, it ends the canary; the others leave everyone else alone."""
    before = Pointer("old", canary="other", canary_share=0.5, tenants={"t": "old"})
    assert pointed(before, "new", canary_share=share, tenant=tenant) == after


def test_a_share_that_is_none_is_refused() -> None:
    """Before anything is written."""
    with pytest.raises(ValueError, match="canary_share"):
        pointed(Pointer("old"), "new", canary_share=2.0, tenant=None)
