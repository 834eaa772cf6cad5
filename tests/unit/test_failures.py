"""How what goes wrong with an item becomes a value."""

import logging

import pytest

from models.failures import MAX_DETAIL_CHARS, Failure, Reason, Rejected, Stage, attempt

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
    """With the exception's name and place; `bug` only where the stage gives none of its own."""
    line = broken.__code__.co_firstlineno + 1
    where = f"KeyError in broken, test_failures.py line {line}"
    answer = attempt(Stage.TEXT, Reason.MODEL_FAILED, broken, SECRET)
    assert answer == Failure(Stage.TEXT, Reason.MODEL_FAILED, where)
    assert attempt(Stage.TEXT, Reason.BUG, broken, SECRET) == (Stage.TEXT, Reason.BUG, where)


def test_an_error_where_no_item_is_involved_is_told_in_its_own_words() -> None:
    """What is wrong with a release is no sender's text, and whoever mends it needs it."""
    answer = attempt(Stage.TEXT, Reason.RELEASE_UNAVAILABLE, broken, "scores")
    assert answer == Failure(Stage.TEXT, Reason.RELEASE_UNAVAILABLE, "KeyError: 'scores'")


def test_details_are_one_line_of_ascii() -> None:
    """A library's text that repeats what it read cannot forge a line of a log or move a cursor."""
    answer = attempt(Stage.IMAGE, Reason.BUG, rejecting, "chunk \x1b[2J\n\u202e\u00e4\0")
    assert isinstance(answer, Failure)
    assert answer.detail == r"chunk \x1b[2J\n\u202e\xe4\x00"


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
    for call, unexpected in ((broken, Reason.RELEASE_UNAVAILABLE), (rejecting, Reason.BUG)):
        answer = attempt(Stage.IMAGE, unexpected, call, "x\n" * 10_000)
        assert isinstance(answer, Failure)
        assert len(answer.detail) == MAX_DETAIL_CHARS


def test_an_interruption_is_no_failure_of_an_item() -> None:
    """Ctrl-C and the end of the process pass through."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attempt(Stage.TEXT, Reason.BUG, interrupted)
