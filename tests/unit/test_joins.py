"""The join as a function: halves of one delivery in, its outcome out."""

import itertools

import pytest
from apache_beam.transforms.window import WindowFn
from apache_beam.utils.timestamp import Timestamp
from builders import envelope, failure, image_part, text_part
from hypothesis import given
from hypothesis import strategies as st

from models.failures import Failure, Reason, Stage
from transforms.joins import _windows, by_delivery, join_parts
from transforms.records import DeadLetter, Joined, Part

HALVES = (image_part(), text_part())
BRANCHES = (Stage.IMAGE, Stage.TEXT)


@given(
    st.lists(st.sampled_from(HALVES)).map(lambda more: [*more, *HALVES]).flatmap(st.permutations)
)
def test_two_halves_make_one_item_in_any_order_and_number(halves: list[Part]) -> None:
    """Features and facts of each side, and the time spent on both."""
    assert join_parts(halves, BRANCHES) == Joined(
        envelope=envelope(),
        features={"image": b"embedding", "text": b"words"},
        facts={"image": image_part().facts, "text": text_part().facts},
        spent_us={"fetch": 1, "decode": 2, "text": 4},
    )


@pytest.mark.parametrize(
    ("image_fails", "text_fails"), [(True, False), (False, True), (True, True)]
)
def test_every_failure_is_named(image_fails: bool, text_fails: bool) -> None:
    """One dead letter an item, whichever branch failed, image before text."""
    image = image_part(failure=failure(Stage.IMAGE) if image_fails else None)
    text = text_part(failure=failure(Stage.TEXT) if text_fails else None)
    expected = [one.failure for one in (image, text) if one.failure]
    for halves in itertools.permutations((image, text)):
        outcome = join_parts(halves, BRANCHES)
        assert isinstance(outcome, DeadLetter)
        assert outcome.envelope == envelope()
        assert outcome.failures == expected


@pytest.mark.parametrize(("half", "missing"), [(image_part(), "text"), (text_part(), "image")])
def test_a_lone_half_is_a_dead_letter_of_the_join(half: Part, missing: str) -> None:
    """It names the branch that did not answer, and keeps what the other one said."""
    expected = Failure(Stage.JOIN, Reason.HALF_MISSING, f"no answer from branch {missing}")
    assert join_parts([half], BRANCHES).failures == [expected]
    with_failure = half._replace(failure=failure(half.branch))
    assert join_parts([with_failure], BRANCHES).failures == [failure(half.branch), expected]


FIELDS = '{"price":3}'


def keyed(*parts: Part) -> list[Part]:
    """The parts as they cross the join, those of an item that has own fields."""
    its = envelope(fields_json=FIELDS)
    return [by_delivery(part._replace(envelope=its), Stage.IMAGE)[1] for part in parts]


def test_own_fields_cross_once_and_are_the_items_again() -> None:
    """With the part of one branch, whichever comes first, and whichever failed."""
    third = text_part()._replace(branch="tabular", facts="")
    branches = (*BRANCHES, "tabular")
    for parts in itertools.permutations((image_part(), text_part(), third)):
        crossing = keyed(*parts)
        having = [part.branch for part in crossing if part.envelope.fields_json]
        assert having == [Stage.IMAGE]
        assert join_parts(crossing, branches).envelope == envelope(fields_json=FIELDS)
        failed = [part._replace(failure=failure(part.branch)) for part in crossing]
        dead = join_parts(failed, branches)
        assert isinstance(dead, DeadLetter)
        assert dead.envelope == envelope(fields_json=FIELDS)


def test_a_lone_half_has_the_fields_that_it_carried() -> None:
    """Those of the other part are lost with it."""
    image, text = keyed(image_part(), text_part())
    assert join_parts([image], BRANCHES).envelope.fields_json == FIELDS
    assert join_parts([text], BRANCHES).envelope.fields_json == ""


def test_what_a_runner_keeps_of_the_join_is_bounded() -> None:
    """At 1,000 items a second some 45,000 keys wait to be forgotten, none for two minutes."""
    windowing = _windows(count=2, bounded=False).windowing
    kept_s = [
        float(window.end + windowing.allowed_lateness) - arrival / 1_000
        for arrival in range(0, 600_000, 10)
        for window in windowing.windowfn.assign(WindowFn.AssignContext(Timestamp(arrival / 1_000)))
    ]
    assert max(kept_s) <= 120
    assert sum(kept_s) / len(kept_s) * 1_000 == pytest.approx(45_000, rel=0.01)
