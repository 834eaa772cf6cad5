"""How a stage turns what goes wrong with one item into a value.

This is the only place that catches `Exception`: an expected failure is raised
as `Rejected` and keeps its reason; anything else becomes the reason that the
stage gives for it (`bug` where it gives none), and is logged without the item's
content. Details have no words of an error that may repeat the item, but for the
beginning of what a team's own function says, and are escaped. Nothing here is of Beam:
transforms.dead_letters counts.
"""

import enum
import logging
import os
import traceback
from collections.abc import Callable
from types import CodeType
from typing import NamedTuple, ParamSpec, TypeVar


class TestudoError(Exception):
    """An expected failure whose words are for a person: testudo/errors.py draws the tree."""

    exit_code = 2  # of the command that shows it


class Stage(enum.StrEnum):
    """Where in the graph an item failed."""

    PARSE = "parse"
    IMAGE = "image"
    TEXT = "text"
    JOIN = "join"
    SCORE = "score"
    SINK = "sink"


class Reason(enum.StrEnum):
    """Why an item has no prediction: the closed set, explained in docs/reference.md."""

    NOT_JSON = "not_json"
    SCHEMA_VIOLATION = "schema_violation"
    MESSAGE_TOO_LARGE = "message_too_large"
    IMAGE_NOT_BASE64 = "image_not_base64"
    IMAGE_UNREADABLE = "image_unreadable"
    IMAGE_FORMAT_REFUSED = "image_format_refused"
    IMAGE_TOO_LARGE = "image_too_large"
    IMAGE_URI_REFUSED = "image_uri_refused"
    IMAGE_NOT_FOUND = "image_not_found"
    IMAGE_FORBIDDEN = "image_forbidden"
    IMAGE_FETCH_FAILED = "image_fetch_failed"
    TIMED_OUT = "timed_out"
    CRASHED = "crashed"
    MODEL_FAILED = "model_failed"
    MODEL_OUTPUT_INVALID = "model_output_invalid"
    FUNCTION_FAILED = "function_failed"
    RELEASE_UNAVAILABLE = "release_unavailable"
    HALF_MISSING = "half_missing"
    ROW_REJECTED = "row_rejected"
    BUG = "bug"


class Rejected(Exception):
    """An expected failure of one item, raised by a pure function.

    The stage that called the function turns it into a `Failure`; it never
    leaves a DoFn.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Failure(NamedTuple):
    """One stage's answer for an item that it could not handle."""

    stage: str
    reason: str
    detail: str


LOG = logging.getLogger(__name__)
MAX_DETAIL_CHARS = 500
# What this reason stands for is done before any item is looked at.
WITHOUT_ITEM = Reason.RELEASE_UNAVAILABLE
# Whoever wrote the function chose these words, and is who reads them.
OF_THE_TEAM, MAX_WORDS_CHARS = Reason.FUNCTION_FAILED, 200
HERE = os.path.dirname(__file__)

P = ParamSpec("P")
T = TypeVar("T")


def attempt(
    stage: Stage,
    unexpected: Reason,
    call: Callable[P, T],
    /,
    *args: P.args,
    **kwargs: P.kwargs,
) -> T | Failure:
    """Return what the call returns, or the Failure that stands for its exception."""
    try:
        return call(*args, **kwargs)
    except Rejected as rejected:
        return Failure(stage, rejected.reason, plain(rejected.detail))
    except Exception as error:  # noqa: BLE001 - the one place, see the module's docstring
        if unexpected is Reason.BUG:
            frames = "".join(traceback.format_tb(error.__traceback__))
            LOG.error("%s in stage %s:\n%s", type(error).__name__, stage, frames)  # noqa: TRY400 - exception() would print what the item holds
        if unexpected is WITHOUT_ITEM:
            words = f": {error}"
        elif unexpected is OF_THE_TEAM:
            words = f": {_words_of(error, stage)} in {_place_outside(error)}"
        else:
            words = f" in {_place_of(error)}"
        return Failure(stage, unexpected, plain(f"{type(error).__name__}{words}"))


def plain(detail: str) -> str:
    """One line of ASCII, whatever an error's text holds, and not longer than is kept."""
    return detail.encode("unicode_escape").decode("ascii")[:MAX_DETAIL_CHARS]


def _place_of(error: Exception) -> str:
    """The line of code that raised: it says what the error's own words would not be kept for."""
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    return _shown(frame.f_code, line)


def _place_outside(error: Exception) -> str:
    """The last line of the first file that is none of this package's: the team's own."""
    places = [(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    files = [code.co_filename for code, _ in places]
    theirs = next((file for file in files if os.path.dirname(file) != HERE), files[-1])
    return _shown(*[place for place in places if place[0].co_filename == theirs][-1])


def _shown(code: CodeType, line: int) -> str:
    return f"{code.co_name}, {os.path.basename(code.co_filename)} line {line}"


def _words_of(error: Exception, stage: Stage) -> str:
    """The beginning of its text, which an error of the team's own class may fail to give."""
    words = attempt(stage, Reason.MODEL_FAILED, str, error)
    return words.detail if isinstance(words, Failure) else words[:MAX_WORDS_CHARS]
