"""How what goes wrong with an item becomes a value."""

import logging

import pytest

from transforms.failures import MAX_DETAIL_CHARS, attempt
from transforms.records import Failure, Reason, Rejected, Stage

SECRET = "hush-7731"  # noqa: S105 - what must not be repeated


def broken(text: str) -> None:
    raise KeyError(text)


def rejecting(detail: str) -> None:
    raise Rejected(Reason.IMAGE_NOT_FOUND, detail)


def test_an_answer_passes_through() -> None:
    """The call gets its arguments, and its answer is returned."""
    assert attempt(Stage.TEXT, Reason.BUG, divmod, 7, 2) == (3, 1)


def test_an_expected_failure_keeps_its_reason() -> None:
    """Whatever reason the stage has for the unexpected."""
    answer = attempt(Stage.IMAGE, Reason.MODEL_FAILED, rejecting, "no such object")
    assert answer == Failure(Stage.IMAGE, Reason.IMAGE_NOT_FOUND, "no such object")


def test_an_unexpected_failure_gets_the_stages_reason() -> None:
    """With the exception's name; `bug` only where the stage gives none of its own."""
    answer = attempt(Stage.TEXT, Reason.MODEL_FAILED, broken, "x")
    assert answer == Failure(Stage.TEXT, Reason.MODEL_FAILED, "KeyError: 'x'")
    assert attempt(Stage.TEXT, Reason.BUG, broken, "x")[1] == Reason.BUG


def test_a_bug_is_logged_with_its_place_and_without_the_item(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Who mends it needs the lines of code; nobody needs the customer's text in a log."""
    with caplog.at_level(logging.DEBUG):
        attempt(Stage.TEXT, Reason.BUG, broken, SECRET)
        attempt(Stage.TEXT, Reason.MODEL_FAILED, broken, SECRET)
    (record,) = caplog.records
    assert "KeyError in stage text" in record.getMessage()
    assert "in broken" in record.getMessage()
    assert SECRET not in caplog.text


def test_details_are_bounded() -> None:
    """A detail crosses the join, so its length is cut."""
    for call in (broken, rejecting):
        answer = attempt(Stage.IMAGE, Reason.BUG, call, "x" * 10_000)
        assert len(answer[2]) == MAX_DETAIL_CHARS


def test_an_interruption_is_no_failure_of_an_item() -> None:
    """Ctrl-C and the end of the process pass through."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attempt(Stage.TEXT, Reason.BUG, interrupted)
